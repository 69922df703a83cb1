//! What the clients of one mapping see now.

use crate::mapping::{Conversion, Direction, Item, Key, Mapping, Writers};
use crate::{Converter, Who};
use gantry_core::access::Role;
use gantry_core::config::Observable;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A key as its clients see it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// Who may read it.
    pub(crate) read: Role,
    /// Who may write it; nobody without one.
    pub(crate) write: Option<Role>,
    /// Its value, or why it has none.
    pub(crate) value: Result<Value, String>,
    /// What it is, where clients see the observable's own values.
    pub(crate) observable: Option<Arc<Observable>>,
}

/// What the clients of one mapping see now.
pub(crate) struct Projection {
    pub(crate) mapping: Arc<Mapping>,
    /// The number of the last message about it.
    pub(crate) sequence: u64,
    pub(crate) shown: BTreeMap<String, Shown>,
}

/// What there is to know of an observable, if it is declared: its declaration, and its value or why it is missing.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Option<(Arc<Observable>, Result<Value, String>)> + 'a;

/// Who may read and who may write a key: its mapping can only narrow what the observable allows.
fn rights(key: &Key, observable: &Observable) -> (Role, Option<Role>) {
    let read = key.read.map_or(observable.read, |role| role.max(observable.read));
    let write = match key.write {
        _ if observable.follows.is_some() => None,
        Writers::Nobody => None,
        Writers::AsObservable => Some(observable.write.max(read)),
        Writers::AtLeast(role) => Some(role.max(observable.write).max(read)),
    };
    (read, write)
}

impl Projection {
    pub(crate) fn new(mapping: Arc<Mapping>, sequence: u64) -> Self {
        Self { mapping, sequence, shown: BTreeMap::new() }
    }

    /// The keys that stand for one of these observables.
    pub(crate) fn keys_of(&self, observables: &BTreeSet<String>) -> Vec<String> {
        let all = self.mapping.keys.iter();
        all.filter(|(_, key)| observables.contains(&key.observable)).map(|(name, _)| name.clone()).collect()
    }

    /// What these keys show now, made anew. Conversions block.
    pub(crate) fn look(
        mapping: &Mapping,
        names: &[String],
        converter: &dyn Converter,
        lookup: &Lookup,
    ) -> Vec<(String, Shown)> {
        let mut looked = Vec::with_capacity(names.len());
        let (mut items, mut places) = (Vec::new(), Vec::new());
        for name in names {
            let Some(key) = mapping.keys.get(name) else { continue };
            let shown = match lookup(&key.observable) {
                Some((observable, Ok(value))) => {
                    let (read, write) = rights(key, &observable);
                    let is_same = key.outward == Conversion::Same && key.inward == Conversion::Same;
                    if key.outward == Conversion::Function {
                        places.push(looked.len());
                        items.push(Item { key: name.clone(), value: value.clone(), current: value.clone() });
                    }
                    Shown { read, write, value: Ok(value), observable: is_same.then_some(observable) }
                }
                Some((observable, Err(why))) => {
                    let (read, write) = rights(key, &observable);
                    Shown { read, write, value: Err(why), observable: None }
                }
                // Nobody has said who may know of it.
                None => {
                    let observable = &key.observable;
                    let why = format!(
                        "there is no observable `{observable}`: declare it in [state] of the configuration"
                    );
                    Shown { read: Role::Administrator, write: None, value: Err(why), observable: None }
                }
            };
            looked.push((name.clone(), shown));
        }
        if !items.is_empty() {
            let converted = converter.convert(mapping, Direction::Outward, items);
            for (place, value) in places.into_iter().zip(converted) {
                looked[place].1.value = value;
            }
        }
        looked
    }

    /// What a client may do with each key, as the answer to `mapping.describe`.
    pub(crate) fn describe(&self, who: &Who) -> Value {
        let mut keys = Map::new();
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for (name, shown) in &self.shown {
            let read = who.may(shown.read) && shown.value.is_ok();
            let write = read && shown.write.is_some_and(|role| who.may(role));
            if read {
                reads.push(format!("read:{name}"));
            }
            if write {
                writes.push(format!("write:{name}"));
            }
            let mut key =
                Map::from_iter([("read".to_owned(), json!(read)), ("write".to_owned(), json!(write))]);
            if let Some(observable) = shown.observable.as_ref().filter(|_| read) {
                describe(observable, &mut key);
            }
            keys.insert(name.clone(), Value::Object(key));
        }
        reads.extend(writes);
        json!({"role": who.role, "keys": keys, "permissions": reads})
    }
}

/// What a client can build a slider or a list from.
fn describe(observable: &Observable, key: &mut Map<String, Value>) {
    key.insert("type".to_owned(), json!(observable.kind));
    if let Some([min, max]) = observable.range {
        key.insert("min".to_owned(), json!(min));
        key.insert("max".to_owned(), json!(max));
    }
    if let Some(choices) = &observable.choices {
        key.insert("choices".to_owned(), json!(choices));
    }
    if !observable.unit.is_empty() {
        key.insert("unit".to_owned(), json!(observable.unit));
    }
}
