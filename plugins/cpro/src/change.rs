//! What the runtime tells about a mapping, encoded once for everybody who sees the same of it.

use crate::role::Role;
use bytes::Bytes;
use gantry_serve::{Segments, SegmentsBuilder, websocket};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A message of its own frame. Any JSON is UTF-8.
pub(crate) fn put(builder: &mut SegmentsBuilder, message: &impl Serialize) {
    // Serialising fails for maps whose keys are no text only; there is none here.
    let text = serde_json::to_vec(message).unwrap_or_else(|_| b"{}".to_vec());
    websocket::put_text(builder, &Bytes::from(text));
}

/// A prebuilt message, ready for any number of sockets.
pub(crate) fn encode(message: &impl Serialize) -> Segments {
    let mut builder = SegmentsBuilder::new();
    put(&mut builder, message);
    builder.finish()
}

/// New values, as each role may see them.
#[derive(Debug, Clone)]
pub struct Change {
    sequence: u64,
    frames: [Option<Segments>; Role::COUNT],
}

#[derive(Deserialize)]
struct Payload {
    sequence: u64,
    values: Map<String, Value>,
    #[serde(default)]
    read: Map<String, Value>,
}

impl Change {
    /// Reads a message of `mappings/NAME/changed`. `None` when it is none. A value of which it is not said who may read
    /// it is for nobody.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let Payload { sequence, values, read } = serde_json::from_slice(payload).ok()?;
        let least: Vec<Option<Role>> =
            values.keys().map(|key| read.get(key).and_then(|role| Role::deserialize(role).ok())).collect();
        let mut frames = [const { None }; Role::COUNT];
        let mut before: (usize, Option<Segments>) = (0, None);
        for role in Role::ALL {
            let sees = |least: &Option<Role>| least.is_some_and(|least| least <= role);
            let count = least.iter().filter(|least| sees(least)).count();
            // Whoever sees as many as the role before sees the same.
            if count != before.0 {
                let seen = values.iter().zip(&least).filter(|(_, least)| sees(least));
                let seen: Map<_, _> = seen.map(|((key, value), _)| (key.clone(), value.clone())).collect();
                before = (count, Some(encode(&seen)));
            }
            frames[role as usize].clone_from(&before.1);
        }
        Some(Self { sequence, frames })
    }

    /// Grows by one from change to change.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What a role gets of it.
    #[must_use]
    pub fn frame(&self, role: Role) -> Option<&Segments> {
        self.frames[role as usize].as_ref()
    }
}

/// What each role gets of several changes: one piece, one write. Those before `from` it has already.
pub(crate) fn join(changes: &[Change], from: &[u64; Role::COUNT]) -> [Option<Segments>; Role::COUNT] {
    Role::ALL.map(|role| {
        let fresh = changes.iter().filter(|change| change.sequence >= from[role as usize]);
        let mut frames = fresh.filter_map(|change| change.frame(role));
        let (first, second) = (frames.next()?, frames.next());
        let Some(second) = second else { return Some(first.clone()) };
        let mut builder = SegmentsBuilder::new();
        [first, second].into_iter().chain(frames).for_each(|frame| builder.append(frame));
        Some(builder.finish())
    })
}

#[cfg(test)]
mod tests {
    use super::{Change, join};
    use crate::role::Role;
    use proptest::prelude::*;
    use serde_json::json;

    fn change(sequence: u64) -> Change {
        let json = json!({"sequence": sequence, "values": {"c": 1, "a": "x", "b": true, "d": 0},
            "read": {"a": "anonymous", "b": "operator", "c": "anonymous"}});
        Change::read(json.to_string().as_bytes()).expect("a change")
    }

    #[test]
    fn each_role_gets_what_it_may_read_in_the_order_of_the_runtime() {
        let change = change(7);
        let text = |role| {
            let bytes = change.frame(role).expect("a frame").to_bytes();
            String::from_utf8(bytes[2..].to_vec()).unwrap()
        };
        assert_eq!(text(Role::Anonymous), r#"{"c":1,"a":"x"}"#);
        assert_eq!(text(Role::Operator), r#"{"c":1,"a":"x","b":true}"#, "`d` is for nobody");
        let memory = |role| change.frame(role).unwrap().iter().next().unwrap().as_ptr();
        assert_eq!(memory(Role::Anonymous), memory(Role::Viewer), "encoded once for both");
        assert_eq!(memory(Role::Operator), memory(Role::Administrator));
    }

    #[test]
    fn a_role_that_sees_nothing_of_a_change_gets_nothing() {
        let secret = json!({"sequence": 1, "values": {"a": 1}, "read": {"a": "administrator"}});
        let change = Change::read(secret.to_string().as_bytes()).unwrap();
        assert!(change.frame(Role::Operator).is_none() && change.frame(Role::Administrator).is_some());
    }

    #[test]
    fn several_changes_become_one_piece_without_what_is_had_already() {
        let changes = [change(1), change(2), change(3)];
        let joined = join(&changes, &[2, 4, 1, 3]);
        let lengths = joined.map(|frame| frame.map(|frame| frame.len()));
        let one = |role| changes[0].frame(role).unwrap().len();
        let (public, all) = (one(Role::Anonymous), one(Role::Operator));
        assert_eq!(lengths, [Some(2 * public), None, Some(3 * all), Some(all)]);
    }

    proptest! {
        #[test]
        fn any_payload_is_a_change_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Change::read(&bytes);
        }
    }
}
