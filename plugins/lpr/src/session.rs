//! Events of a Socket.IO client and messages of a plain WebSocket: what each one asks for.

use crate::answer::{Room, pong};
use crate::message::{Entry, Kind, Refusal, object};
use serde_json::{Map, Value, json};

/// What a message asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// To be kept.
    Keep(Entry),
    /// To be told of what others send.
    Join(Room),
    /// Whether somebody is there; with what it said.
    Ping(Value),
    /// Nothing that is known here.
    Ignore,
}

/// What an event asks for. `argument` is the JSON of its first one.
pub fn event(name: &str, argument: Option<&[u8]>) -> Result<Step, Refusal> {
    let read = || object(argument.ok_or(Refusal::NotObject)?);
    let kind = match name {
        "camera_register" => Kind::Camera,
        "lpr_data" => Kind::Detection,
        "health_status" => Kind::Health,
        "ping" => {
            // Who only wants to know whether somebody is there says nothing.
            let said = if argument.is_none() { Map::new() } else { read()? };
            return Ok(Step::Ping(said.get("message").cloned().unwrap_or_default()));
        }
        "join_dashboard" => return Ok(Step::Join(Room::Dashboard)),
        "join_health_room" => return Ok(Step::Join(Room::Health)),
        _ => return Ok(Step::Ignore),
    };
    Entry::new(kind, read()?).map(Step::Keep)
}

/// What a message of a plain WebSocket asks for.
pub fn plain(bytes: &[u8]) -> Result<Step, Refusal> {
    let mut message = object(bytes)?;
    let name = match message.get("type") {
        None | Some(Value::Null) => return Err(Refusal::Missing("type")),
        Some(Value::String(name)) => name,
        Some(_) => return Err(Refusal::Wrong("type")),
    };
    match Kind::of_type(name) {
        Some(kind) => Entry::new(kind, message).map(Step::Keep),
        None if matches!(name.as_str(), "ping" | "test") => {
            Ok(Step::Ping(message.remove("message").unwrap_or_default()))
        }
        None => Err(Refusal::UnknownType(name.clone())),
    }
}

/// The argument of `status` for somebody who has joined.
#[must_use]
pub fn joined(room: Room, now: &str) -> Value {
    let message = match room {
        Room::Dashboard => "Joined dashboard room",
        Room::Health => "Joined health monitoring room",
    };
    json!({"message": message, "timestamp": now})
}

/// The answer to a ping over a plain WebSocket.
#[must_use]
pub fn plain_pong(message: Value, now: &str) -> Value {
    let Value::Object(mut data) = pong(message, now) else { return Value::Null };
    data.retain(|key, _| key != "success" && key != "message");
    json!({"status": "success", "type": "pong", "message": "pong", "data": data})
}

/// An error over a plain WebSocket.
#[must_use]
pub fn plain_error(message: &str) -> Value {
    json!({"status": "error", "message": message})
}

#[cfg(test)]
mod tests {
    use super::{Step, event, joined, plain, plain_error, plain_pong};
    use crate::answer::{Room, pong};
    use crate::message::{Kind, Refusal};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn kept(step: Result<Step, Refusal>) -> Option<Kind> {
        match step {
            Ok(Step::Keep(entry)) => Some(entry.kind),
            _ => None,
        }
    }

    const ALL: &[u8] =
        br#"{"type":"x","camera_id":1,"checkpoint_id":2,"timestamp":"t","component":"c","status":"s"}"#;

    #[test]
    fn each_event_is_what_the_protocol_says() {
        assert_eq!(kept(event("camera_register", Some(ALL))), Some(Kind::Camera));
        assert_eq!(kept(event("lpr_data", Some(ALL))), Some(Kind::Detection));
        assert_eq!(kept(event("health_status", Some(ALL))), Some(Kind::Health));
        assert_eq!(event("join_dashboard", None), Ok(Step::Join(Room::Dashboard)));
        assert_eq!(event("join_health_room", Some(b"{}")), Ok(Step::Join(Room::Health)));
        assert_eq!(event("unheard", Some(b"1")), Ok(Step::Ignore));
        assert_eq!(event("ping", Some(br#"{"message":"Hello"}"#)), Ok(Step::Ping(json!("Hello"))));
        assert_eq!(event("ping", None), Ok(Step::Ping(Value::Null)));
    }

    #[test]
    fn a_payload_that_is_no_object_or_misses_something_is_refused() {
        for name in ["camera_register", "lpr_data", "health_status"] {
            for argument in [None, Some(&b"[]"[..]), Some(b"null"), Some(b"\"{}\"")] {
                assert_eq!(event(name, argument), Err(Refusal::NotObject), "{name}");
            }
        }
        assert_eq!(event("ping", Some(b"3")), Err(Refusal::NotObject));
        assert_eq!(event("lpr_data", Some(b"{}")), Err(Refusal::Missing("type")));
        assert_eq!(event("camera_register", Some(b"{}")), Err(Refusal::Unnamed));
    }

    #[test]
    fn a_plain_message_says_in_its_type_what_it_is() {
        let of =
            |kind: &str| String::from_utf8_lossy(ALL).replace("\"x\"", &format!("\"{kind}\"")).into_bytes();
        assert_eq!(kept(plain(&of("detection_result"))), Some(Kind::Detection));
        assert_eq!(kept(plain(&of("health_check"))), Some(Kind::Health));
        assert_eq!(kept(plain(&of("camera_register"))), Some(Kind::Camera));
        assert_eq!(plain(br#"{"type":"ping","message":1}"#), Ok(Step::Ping(json!(1))));
        assert_eq!(plain(b"{}"), Err(Refusal::Missing("type")));
        assert_eq!(plain(br#"{"type":1}"#), Err(Refusal::Wrong("type")));
        assert_eq!(plain(br#"{"type":"?"}"#), Err(Refusal::UnknownType("?".to_owned())));
        assert_eq!(plain(b"[]"), Err(Refusal::NotObject));
        assert!(matches!(plain(b"hello"), Err(Refusal::NotJson(_))));
    }

    #[test]
    fn the_small_answers_are_as_the_protocol_says() {
        let text = r#"{"success":true,"message":"pong","original_message":"m","timestamp":"T"}"#;
        assert_eq!(pong(json!("m"), "T").to_string(), text);
        let text = r#"{"message":"Joined dashboard room","timestamp":"T"}"#;
        assert_eq!(joined(Room::Dashboard, "T").to_string(), text);
        assert_eq!(joined(Room::Health, "T")["message"], "Joined health monitoring room");
        let text = r#"{"status":"success","type":"pong","message":"pong","data":{"original_message":1,"timestamp":"T"}}"#;
        assert_eq!(plain_pong(json!(1), "T").to_string(), text);
        assert_eq!(plain_error("m").to_string(), r#"{"status":"error","message":"m"}"#);
    }

    proptest! {
        #[test]
        fn nothing_panics(name in "ping|lpr_data|camera_register|health_status|\\PC*", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (event(&name, Some(&bytes)), plain(&bytes));
        }
    }
}
