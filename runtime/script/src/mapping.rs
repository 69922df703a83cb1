//! Mappings: which keys of a protocol stand for which observables.

use crate::error::ScriptError;
use crate::program::Program;
use crate::scripts::Direction;
use gantry_core::access::Role;
use gantry_core::config::Kind;
use gantry_core::spelling::nearest;
use serde_json::{Number, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// The table of one mapping script. What needs no function is used from here and never enters the engine.
#[derive(Debug)]
pub struct Mapping {
    name: String,
    file: Arc<str>,
    text: Arc<str>,
    generation: u64,
    keys: Vec<Key>,
    /// For each key, line and column of its observable in the script.
    places: Vec<(usize, usize)>,
    index: HashMap<String, usize>,
    by_observable: HashMap<String, Vec<usize>>,
}

/// A key as it was read from the script.
pub(crate) struct Entry {
    pub(crate) key: Key,
    /// Line and column of its observable.
    pub(crate) place: (usize, usize),
}

/// One key of a protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key as clients write it, such as `cam1-light`.
    pub name: String,
    /// The observable that it stands for, such as `light0`.
    pub observable: String,
    /// Who may read it, besides what the observable asks for.
    pub read: Right,
    /// Who may write it, besides what the observable asks for.
    pub write: Right,
    /// How the observable's value becomes what clients see.
    pub reads: Conversion,
    /// How what clients send becomes the observable's value.
    pub writes: Conversion,
    /// What clients send: any of these kinds. Empty: what the observable asks for.
    pub kinds: Vec<Kind>,
    /// The least and the greatest number that clients may send.
    pub range: Option<[f64; 2]>,
    /// The values that clients may send; empty: any.
    pub choices: Vec<Value>,
}

/// What a mapping adds to the rights of an observable. It can only take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Right {
    /// As the observable says.
    #[default]
    AsObservable,
    /// At least this role, and as the observable says.
    AtLeast(Role),
    /// Nobody.
    Nobody,
}

impl Right {
    /// The least role that may, when the observable itself asks for `observable`; `None` when nobody may.
    #[must_use]
    pub fn needs(self, observable: Role) -> Option<Role> {
        match self {
            Self::AsObservable => Some(observable),
            Self::AtLeast(role) => Some(role.max(observable)),
            Self::Nobody => None,
        }
    }
}

/// How a value is converted between a protocol and an observable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Conversion {
    /// As it is: use the value and spare the engine.
    #[default]
    Direct,
    /// By the function of that name, with that many parameters: see [`Scripts::convert`](crate::Scripts::convert).
    Function(String, usize),
}

impl Mapping {
    pub(crate) fn new(name: &str, program: &Program, generation: u64, entries: Vec<Entry>) -> Self {
        let (keys, places): (Vec<Key>, Vec<_>) =
            entries.into_iter().map(|entry| (entry.key, entry.place)).unzip();
        let index = keys.iter().enumerate().map(|(at, key)| (key.name.clone(), at)).collect();
        let mut by_observable = HashMap::<_, Vec<_>>::new();
        for (at, key) in keys.iter().enumerate() {
            by_observable.entry(key.observable.clone()).or_default().push(at);
        }
        let (file, text) = (program.file.clone(), program.text.clone());
        Self { name: name.to_owned(), file, text, generation, keys, places, index, by_observable }
    }

    /// The mapping's name: that of its file without `.rhai`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The script it comes from, for messages.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Differs for every program that was ever loaded.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All keys, sorted by name.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key of that name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.index.get(name).map(|at| &self.keys[*at])
    }

    /// The keys that stand for an observable.
    pub fn keys_of(&self, observable: &str) -> impl Iterator<Item = &Key> {
        self.by_observable.get(observable).into_iter().flatten().map(|at| &self.keys[*at])
    }

    /// The keys whose observable is none of `known`, each as an error at its place in the script. Which
    /// observables there are is known to whoever has the configuration.
    #[must_use]
    pub fn unknown_observables<'a>(&self, known: impl IntoIterator<Item = &'a str>) -> Vec<ScriptError> {
        let known: Vec<&str> = known.into_iter().collect();
        let unknown = |(key, _): &(&Key, _)| !known.contains(&key.observable.as_str());
        let error = |(key, (line, column)): (&Key, &(usize, usize))| {
            let hint = match nearest(&key.observable, known.iter().copied()) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => format!(": add [state.{}] to gantry.toml, or remove the key", key.observable),
            };
            let message = format!("key `{}`: there is no observable `{}`{hint}", key.name, key.observable);
            ScriptError::at(&self.file, &self.text, *line, *column, message)
        };
        self.keys.iter().zip(&self.places).filter(unknown).map(error).collect()
    }
}

impl Key {
    /// How values are converted that go that way.
    #[must_use]
    pub fn conversion(&self, direction: Direction) -> &Conversion {
        match direction {
            Direction::In => &self.writes,
            Direction::Out => &self.reads,
        }
    }

    /// Whether writing goes through the engine.
    #[must_use]
    pub fn writes_by_function(&self) -> bool {
        self.writes != Conversion::Direct
    }

    /// Whether reading goes through the engine.
    #[must_use]
    pub fn reads_by_function(&self) -> bool {
        self.reads != Conversion::Direct
    }

    /// Checks what a client sent against the kind, range and choices of the *key*, before any conversion, and
    /// gives it back normalised (`7.0` is the whole number `7`). What the observable asks for besides is
    /// checked afterwards, by whoever has the observables. The error is a sentence for the client.
    pub fn check(&self, value: &Value) -> Result<Value, String> {
        let fitting = if self.kinds.is_empty() {
            Some(value.clone())
        } else {
            self.kinds.iter().find_map(|kind| fit(*kind, value))
        };
        if !self.choices.is_empty() {
            return match fitting.filter(|value| self.choices.iter().any(|choice| same(choice, value))) {
                Some(value) => Ok(value),
                None => Err(one_of(&self.choices)),
            };
        }
        let value = fitting.ok_or_else(|| format!("Value must be {}", described(&self.kinds)))?;
        if let (Some([low, high]), Some(number)) = (self.range, value.as_f64())
            && !(low..=high).contains(&number)
        {
            return Err(format!("Value must be between {low} and {high}"));
        }
        Ok(value)
    }
}

/// The value as that kind, if it is of it.
fn fit(kind: Kind, value: &Value) -> Option<Value> {
    match kind {
        Kind::Bool => value.is_boolean().then(|| value.clone()),
        Kind::Int => whole(value.as_number()?).map(Value::from),
        Kind::Float => value.is_number().then(|| value.clone()),
        Kind::String | Kind::Enum => value.is_string().then(|| value.clone()),
    }
}

/// A number that is whole, however it is written.
fn whole(number: &Number) -> Option<i64> {
    // Above this a float has no room for each whole number, and what was meant is unknown.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = || number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= EXACT).map(|n| n as i64);
    number.as_i64().or_else(float)
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

fn described(kinds: &[Kind]) -> String {
    let words = kinds.iter().flat_map(|kind| match kind {
        Kind::Bool => &["true", "false"][..],
        Kind::Int => &["a whole number"],
        Kind::Float => &["a number"],
        Kind::String | Kind::Enum => &["text"],
    });
    either(&words.map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

fn one_of(choices: &[Value]) -> String {
    let words = choices.iter().map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned));
    format!("Value must be {}", either(&words.collect::<Vec<_>>()))
}

/// `a, b or c`
fn either(words: &[String]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(kinds: &[Kind], range: Option<[f64; 2]>, choices: &[Value]) -> Key {
        Key {
            name: "k".into(),
            observable: "o".into(),
            read: Right::AsObservable,
            write: Right::AsObservable,
            reads: Conversion::Direct,
            writes: Conversion::Direct,
            kinds: kinds.to_vec(),
            range,
            choices: choices.to_vec(),
        }
    }

    #[test]
    fn a_client_is_told_what_a_value_must_be() {
        let camera = key(&[Kind::Int], Some([1.0, 2.0]), &[]);
        assert_eq!(camera.check(&json!("x")), Err("Value must be a whole number".into()));
        assert_eq!(camera.check(&json!(1.5)), Err("Value must be a whole number".into()));
        assert_eq!(camera.check(&json!(3)), Err("Value must be between 1 and 2".into()));
        assert_eq!(camera.check(&json!(2.0)), Ok(json!(2)));
        let mode = key(&[Kind::Bool, Kind::String], None, &[]);
        assert_eq!(mode.check(&json!(3)), Err("Value must be true, false or text".into()));
        let record = key(&[], None, &[json!(true), json!("on"), json!("off")]);
        assert_eq!(record.check(&json!("maybe")), Err("Value must be true, on or off".into()));
        assert_eq!(record.check(&json!(true)), Ok(json!(true)));
        assert_eq!(key(&[], None, &[]).check(&json!([1])), Ok(json!([1])));
    }

    #[test]
    fn a_mapping_takes_rights_away_and_never_gives_any() {
        let operator = Right::AtLeast(Role::Operator);
        assert_eq!(operator.needs(Role::Administrator), Some(Role::Administrator));
        assert_eq!(operator.needs(Role::Anonymous), Some(Role::Operator));
        assert_eq!(Right::AsObservable.needs(Role::Viewer), Some(Role::Viewer));
        assert_eq!(Right::Nobody.needs(Role::Anonymous), None);
    }
}
