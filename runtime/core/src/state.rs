//! The runtime's state: named JSON values, each with the revision of its last change.
//!
//! Keys that are declared (the observables of `[state.NAME]`) have a type, and nothing else is ever kept under them. Other
//! keys are the word of whoever writes them: the cameras, or a plugin.

use crate::config::Observable;
use crate::lock;
use crate::observable::Invalid;
use crate::topic::{self, TopicError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The largest value, in bytes of JSON.
pub const MAX_VALUE: usize = 16 * 1024;
/// The most keys that can exist.
pub const MAX_KEYS: usize = 4096;

/// What keys begin with that the runtime itself speaks under. Plugins, rules and the configuration use other names.
const RESERVED: [&str; 5] = ["analysis/", "cameras/", "counts/", "events/", "faces/"];

/// The beginning of the key, when it is the runtime's own.
#[must_use]
pub fn reserved(key: &str) -> Option<&'static str> {
    RESERVED.into_iter().find(|own| key.starts_with(own))
}

/// A key's value at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The key, such as `cameras/main/connected`.
    pub key: Arc<str>,
    /// The value.
    pub value: Value,
    /// Grows with every change of any key.
    pub revision: u64,
}

/// Why a write is refused.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The key cannot be a key.
    #[error("state key `{key}`: {source}")]
    Key {
        /// The key as given.
        key: String,
        /// What is wrong with it.
        source: TopicError,
    },
    /// The value is larger than [`MAX_VALUE`].
    #[error(
        "state key `{key}`: the value has {len} bytes, at most {MAX_VALUE} are kept: store a record instead"
    )]
    TooLarge {
        /// The key.
        key: String,
        /// The size of the value in bytes of JSON.
        len: usize,
    },
    /// The key is declared and this is none of its values.
    #[error("state key `{key}`: {source}")]
    Value {
        /// The key.
        key: String,
        /// What the value has to be.
        source: Invalid,
    },
    /// There are [`MAX_KEYS`] keys already.
    #[error("state key `{key}`: there are {MAX_KEYS} keys already: reuse one of them")]
    TooMany {
        /// The key.
        key: String,
    },
}

/// Called with each change, on the thread that made it, in order. Must not block and not call the state.
pub type ChangeSink = Arc<dyn Fn(&Change) + Send + Sync>;

struct Watcher {
    id: u64,
    filter: String,
    sink: ChangeSink,
}

#[derive(Default)]
struct Inner {
    values: BTreeMap<Arc<str>, (Value, u64)>,
    declared: BTreeMap<String, Arc<Observable>>,
    revision: u64,
    watchers: Vec<Watcher>,
    next_id: u64,
}

impl Inner {
    fn put(&mut self, key: Arc<str>, value: Value) {
        if self.values.get(&key).is_some_and(|(old, _)| *old == value) {
            return;
        }
        self.revision += 1;
        self.values.insert(key.clone(), (value.clone(), self.revision));
        self.tell(&Change { key, value, revision: self.revision });
    }

    fn take(&mut self, key: &str) {
        if let Some((key, _)) = self.values.remove_entry(key) {
            self.revision += 1;
            self.tell(&Change { key, value: Value::Null, revision: self.revision });
        }
    }

    fn tell(&self, change: &Change) {
        for watcher in self.watchers.iter().filter(|w| topic::matches(&w.filter, &change.key)) {
            (watcher.sink)(change);
        }
    }
}

/// All values and whoever watches them.
#[derive(Default)]
pub struct State {
    inner: Mutex<Inner>,
}

impl State {
    /// The value of a key and its revision.
    pub fn get(&self, key: &str) -> Option<(Value, u64)> {
        lock(&self.inner).values.get(key).cloned()
    }

    /// Sets a key and tells its watchers. Setting the value it has already changes nothing. Returns the key's revision.
    pub fn set(&self, key: &str, value: Value) -> Result<u64, StateError> {
        self.set_all(vec![(key.to_owned(), value)])
    }

    /// Sets several keys as one: either all are set or, when one is refused, none. Returns the last revision.
    pub fn set_all(&self, mut batch: Vec<(String, Value)>) -> Result<u64, StateError> {
        let mut inner = lock(&self.inner);
        let mut new_keys = 0;
        for (key, value) in &mut batch {
            if let Some(observable) = inner.declared.get(key.as_str()) {
                *value = observable
                    .check(value)
                    .map_err(|source| StateError::Value { key: key.clone(), source })?;
            }
            topic::check_name(key).map_err(|source| StateError::Key { key: key.clone(), source })?;
            let len = value.to_string().len();
            if len > MAX_VALUE {
                return Err(StateError::TooLarge { key: key.clone(), len });
            }
            new_keys += usize::from(!inner.values.contains_key(key.as_str()));
            if inner.values.len() + new_keys > MAX_KEYS {
                return Err(StateError::TooMany { key: key.clone() });
            }
        }
        for (key, value) in batch {
            inner.put(key.into(), value);
        }
        Ok(inner.revision)
    }

    /// Declares the observables, in place of those before. Each has its first value from `initial`, unless it has a value
    /// already that still is one; those that are declared no more are removed.
    pub fn declare(&self, observables: BTreeMap<String, Observable>, initial: impl Fn(&str) -> Value) {
        let mut inner = lock(&self.inner);
        let new = observables.into_iter().map(|(key, observable)| (key, Arc::new(observable))).collect();
        let old = std::mem::replace(&mut inner.declared, new);
        for key in old.keys().filter(|key| !inner.declared.contains_key(*key)).cloned().collect::<Vec<_>>() {
            inner.take(&key);
        }
        for (key, observable) in inner.declared.clone() {
            let kept = inner.values.get(key.as_str()).is_some_and(|(value, _)| {
                old.contains_key(&key) && observable.check(value).as_ref() == Ok(value)
            });
            if !kept {
                inner.put(key.as_str().into(), initial(&key));
            }
        }
    }

    /// The declaration of a key, if it has one.
    pub fn declared(&self, key: &str) -> Option<Arc<Observable>> {
        lock(&self.inner).declared.get(key).cloned()
    }

    /// All declarations by key.
    pub fn all_declared(&self) -> BTreeMap<String, Arc<Observable>> {
        lock(&self.inner).declared.clone()
    }

    /// Removes a key; its watchers see `null`.
    pub fn remove(&self, key: &str) {
        lock(&self.inner).take(key);
    }

    /// Calls `sink` for every key that matches `filter`: once with the value it has now, then at every change, until the
    /// returned [`Watch`] is dropped.
    pub fn watch(self: &Arc<Self>, filter: &str, sink: ChangeSink) -> Result<Watch, TopicError> {
        topic::check_filter(filter)?;
        let mut inner = lock(&self.inner);
        for (key, (value, revision)) in inner.values.iter().filter(|(k, _)| topic::matches(filter, k)) {
            sink(&Change { key: key.clone(), value: value.clone(), revision: *revision });
        }
        inner.next_id += 1;
        let id = inner.next_id;
        inner.watchers.push(Watcher { id, filter: filter.to_owned(), sink });
        Ok(Watch { state: self.clone(), id })
    }
}

/// Watches state; dropping it ends that.
pub struct Watch {
    state: Arc<State>,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.state.inner).watchers.retain(|w| w.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    type Log = Arc<Mutex<Vec<(String, Value, u64)>>>;

    fn log_of(state: &Arc<State>, filter: &str) -> (Log, Watch) {
        let log = Log::default();
        let seen = log.clone();
        let sink: ChangeSink =
            Arc::new(move |c| lock(&seen).push((c.key.to_string(), c.value.clone(), c.revision)));
        let watch = state.watch(filter, sink).expect("a good filter");
        (log, watch)
    }

    #[test]
    fn a_watcher_sees_what_is_there_and_then_each_change_once() {
        let state = Arc::new(State::default());
        state.set("robot/lidar", json!({"range_m": 2})).expect("set");
        let (log, watch) = log_of(&state, "robot/#");
        state.set("robot/lidar", json!({"range_m": 3})).expect("set");
        state.set("robot/lidar", json!({"range_m": 3})).expect("set");
        state.set("other", json!(1)).expect("set");
        state.remove("robot/lidar");
        drop(watch);
        state.set("robot/lidar", json!(4)).expect("set");
        assert_eq!(
            *lock(&log),
            [
                ("robot/lidar".to_owned(), json!({"range_m": 2}), 1),
                ("robot/lidar".to_owned(), json!({"range_m": 3}), 2),
                ("robot/lidar".to_owned(), Value::Null, 4),
            ]
        );
    }

    #[test]
    fn a_batch_with_one_bad_key_changes_nothing() {
        let state = State::default();
        let batch = vec![("good".to_owned(), json!(1)), ("bad/#".to_owned(), json!(2))];
        assert!(matches!(state.set_all(batch), Err(StateError::Key { .. })));
        assert_eq!(state.get("good"), None);
    }

    fn percent(default: i64) -> BTreeMap<String, Observable> {
        let declared = json!({"type": "int", "range": [0, 100], "default": default});
        BTreeMap::from([("brightness".to_owned(), serde_json::from_value(declared).expect("a declaration"))])
    }

    #[test]
    fn nothing_but_a_value_of_its_type_is_kept_under_a_declared_key() {
        let state = Arc::new(State::default());
        let (log, _watch) = log_of(&state, "#");
        state.declare(percent(50), |_| json!(50));
        assert_eq!(state.get("brightness"), Some((json!(50), 1)));
        let batch = vec![("other".to_owned(), json!(1)), ("brightness".to_owned(), json!(101))];
        assert!(matches!(state.set_all(batch), Err(StateError::Value { .. })));
        assert_eq!(state.get("other"), None);
        state.set("brightness", json!(75.0)).expect("a whole number");
        assert_eq!(state.get("brightness"), Some((json!(75), 2)));
        // Declared anew it keeps its value, and loses it when it is none any more.
        state.declare(percent(40), |_| json!(40));
        assert_eq!(state.get("brightness"), Some((json!(75), 2)));
        state.declare(BTreeMap::new(), |_| Value::Null);
        assert_eq!(state.get("brightness"), None);
        let values: Vec<_> = lock(&log).iter().map(|(_, value, _)| value.clone()).collect();
        assert_eq!(values, [json!(50), json!(75), Value::Null]);
    }

    #[test]
    fn size_and_number_are_limited() {
        let state = State::default();
        let large = Value::String("x".repeat(MAX_VALUE));
        assert!(matches!(state.set("large", large), Err(StateError::TooLarge { .. })));
        for n in 0..MAX_KEYS {
            state.set(&format!("k{n}"), json!(n)).expect("below the limit");
        }
        assert!(matches!(state.set("one-more", json!(0)), Err(StateError::TooMany { .. })));
        state.set("k0", json!("still writable")).expect("an existing key");
    }
}
