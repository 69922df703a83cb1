//! Who did what: what the audit collection gets. A slider that is dragged is one entry a second and not a hundred.

use gantry_control::{Journal, Who};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most entries between two times that they are taken; what comes beyond is counted as one.
const MAX_ENTRIES: usize = 1000;

/// What has happened since it was last taken.
#[derive(Default)]
pub(crate) struct Audit {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    changes: BTreeMap<Key, Change>,
    logins: BTreeMap<(String, String, String, &'static str), u64>,
    beyond: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    observable: String,
    user: Option<String>,
    via: String,
    address: Option<String>,
}

struct Change {
    from: Value,
    to: Value,
    times: u64,
}

impl Audit {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an attempt to log in, and what came of it.
    pub(crate) fn login(&self, user: &str, via: &str, address: &str, outcome: &'static str) {
        let mut entries = self.entries();
        let full = entries.logins.len() >= MAX_ENTRIES;
        // A name is what a stranger typed.
        let user: String = user.chars().take(64).collect();
        let key = (user, via.to_owned(), address.to_owned(), outcome);
        match entries.logins.get_mut(&key) {
            Some(times) => *times += 1,
            None if full => entries.beyond += 1,
            None => _ = entries.logins.insert(key, 1),
        }
    }

    /// Everything since the last time, as records of the collection `audit`.
    pub(crate) fn take(&self) -> Vec<Value> {
        let Entries { changes, logins, beyond } = std::mem::take(&mut *self.entries());
        let mut records: Vec<Value> = changes
            .into_iter()
            .map(|(key, change)| {
                json!({
                    "type": "change", "observable": key.observable, "from": change.from, "to": change.to,
                    "times": change.times, "user": key.user, "via": key.via, "address": key.address,
                })
            })
            .collect();
        records.extend(logins.into_iter().map(|((user, via, address, outcome), times)| {
            json!({
                "type": "login", "user": user, "outcome": outcome, "times": times, "via": via, "address": address,
            })
        }));
        if beyond > 0 {
            records.push(json!({"type": "more", "entries": beyond}));
        }
        records
    }
}

impl Journal for Audit {
    fn changed(&self, who: &Who, key: &str, from: &Value, to: &Value) {
        let mut entries = self.entries();
        let full = entries.changes.len() >= MAX_ENTRIES;
        let key = Key {
            observable: key.to_owned(),
            user: who.user.clone(),
            via: who.via.to_string(),
            address: who.address.clone(),
        };
        match entries.changes.get_mut(&key) {
            Some(change) => {
                change.to = to.clone();
                change.times += 1;
            }
            None if full => entries.beyond += 1,
            None => {
                let change = Change { from: from.clone(), to: to.clone(), times: 1 };
                entries.changes.insert(key, change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_user_does_to_one_observable_is_one_entry() {
        let audit = Audit::default();
        let who = Who { user: Some("anna".into()), address: Some("10.0.0.7:5".into()), ..Who::part("cpro") };
        for value in 51..=60 {
            audit.changed(&who, "brightness", &json!(value - 1), &json!(value));
        }
        audit.changed(&Who::part("script"), "brightness", &json!(60), &json!(1));
        audit.login("anna", "cpro", "10.0.0.7:5", "refused");
        audit.login("anna", "cpro", "10.0.0.7:5", "refused");
        let records = audit.take();
        assert_eq!(records.len(), 3, "{records:?}");
        let anna = &records[1];
        assert_eq!(
            (&anna["from"], &anna["to"], &anna["times"], &anna["user"]),
            (&json!(50), &json!(60), &json!(10), &json!("anna"))
        );
        assert_eq!(records[2]["times"], json!(2));
        assert!(audit.take().is_empty());
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let audit = Audit::default();
        for n in 0..MAX_ENTRIES + 5 {
            audit.login(&format!("user{n}"), "cpro", "10.0.0.7:5", "refused");
        }
        let records = audit.take();
        assert_eq!(records.len(), MAX_ENTRIES + 1);
        assert_eq!(records.last(), Some(&json!({"type": "more", "entries": 5})));
    }
}
