//! The runtime's state: named JSON values, each with the revision of its last change.

use crate::lock;
use crate::topic::{self, TopicError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The largest value, in bytes of JSON.
pub const MAX_VALUE: usize = 16 * 1024;
/// The most keys that can exist.
pub const MAX_KEYS: usize = 4096;

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
    revision: u64,
    watchers: Vec<Watcher>,
    next_id: u64,
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
    pub fn set_all(&self, batch: Vec<(String, Value)>) -> Result<u64, StateError> {
        let mut inner = lock(&self.inner);
        let mut new_keys = 0;
        for (key, value) in &batch {
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
            if inner.values.get(key.as_str()).is_some_and(|(old, _)| *old == value) {
                continue;
            }
            inner.revision += 1;
            let change = Change { key: key.into(), value, revision: inner.revision };
            inner.values.insert(change.key.clone(), (change.value.clone(), change.revision));
            for watcher in inner.watchers.iter().filter(|w| topic::matches(&w.filter, &change.key)) {
                (watcher.sink)(&change);
            }
        }
        Ok(inner.revision)
    }

    /// Removes a key; its watchers see `null`.
    pub fn remove(&self, key: &str) {
        let mut inner = lock(&self.inner);
        if let Some((key, _)) = inner.values.remove_entry(key) {
            inner.revision += 1;
            let change = Change { key, value: Value::Null, revision: inner.revision };
            for watcher in inner.watchers.iter().filter(|w| topic::matches(&w.filter, &change.key)) {
                (watcher.sink)(&change);
            }
        }
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
