//! What cameras send: any JSON is an [`Entry`] to be kept, or a [`Refusal`].

use crate::json;
use serde_json::{Map, Value};
use std::fmt;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Plates that were read.
    Detection,
    /// How a camera does.
    Health,
    /// A camera that registers.
    Camera,
}

impl Kind {
    /// The collection of its records.
    #[must_use]
    pub fn collection(self) -> &'static str {
        match self {
            Self::Detection => "detections",
            Self::Health => "health",
            Self::Camera => "cameras",
        }
    }

    /// The rules that see it before it is kept.
    #[must_use]
    pub fn hook(self) -> Option<&'static str> {
        match self {
            Self::Detection => Some("on_detection"),
            Self::Health => Some("on_health"),
            Self::Camera => None,
        }
    }

    /// The one that a message names in its `type`.
    #[must_use]
    pub fn of_type(name: &str) -> Option<Self> {
        match name {
            "detection_result" => Some(Self::Detection),
            "health_check" => Some(Self::Health),
            "camera_register" => Some(Self::Camera),
            _ => None,
        }
    }

    /// The fields that it must have, in the order in which they are missed.
    fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Detection => &["type", "camera_id", "checkpoint_id", "timestamp"],
            Self::Health => &["type", "camera_id", "checkpoint_id", "timestamp", "component", "status"],
            Self::Camera => &["camera_id", "checkpoint_id"],
        }
    }
}

/// Why a message is not kept. It is written as the sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No JSON, or more of it than anybody needs.
    NotJson(String),
    /// JSON, but not one object.
    NotObject,
    /// There is no such field, or nothing in it.
    Missing(&'static str),
    /// A camera that does not say which one it is.
    Unnamed,
    /// The field is neither text nor, where that may be, a number.
    Wrong(&'static str),
    /// Nothing is known of this type.
    UnknownType(String),
    /// Without its pictures it is larger than a record can be.
    TooLarge,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(why) => write!(f, "Invalid JSON: {why}"),
            Self::NotObject => f.write_str("The data must be a JSON object"),
            Self::Missing(field) => write!(f, "Missing required field: {field}"),
            Self::Unnamed => f.write_str("camera_id and checkpoint_id are required"),
            Self::Wrong(field @ ("type" | "component" | "status")) => {
                write!(f, "Invalid field: {field} must be text")
            }
            Self::Wrong(field) => write!(f, "Invalid field: {field} must be text or a number"),
            Self::UnknownType(name) => write!(
                f,
                "Unknown type: `{}`; send detection_result or health_check",
                name.chars().take(64).collect::<String>()
            ),
            Self::TooLarge => f.write_str("Too large: without its images a message may have 1,000,000 bytes"),
        }
    }
}

/// A message that may be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it is about.
    pub kind: Kind,
    /// The camera, as it names itself: text or a number.
    pub camera: Value,
    /// Its checkpoint, likewise.
    pub checkpoint: Value,
    /// The whole message: as sent, but `camera_id` is there for `aicamera_id`, and JSON in texts is JSON.
    pub body: Map<String, Value>,
}

/// Fields that some cameras send as JSON in a text.
const TEXTS: [&str; 5] =
    ["ocr_results", "vehicle_detections", "plate_detections", "details", "cropped_plates"];

/// Reads one object.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match json::read(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Refusal::NotObject),
        Err(why) => Err(Refusal::NotJson(why)),
    }
}

/// Whether there is something in a field.
fn is_there(value: Option<&Value>) -> bool {
    value.is_some_and(|value| !value.is_null() && value != "")
}

impl Entry {
    /// Looks whether a message has what its kind needs.
    pub fn new(kind: Kind, mut body: Map<String, Value>) -> Result<Self, Refusal> {
        name_camera(&mut body)?;
        for field in kind.needs() {
            let value = body.get(*field);
            // A time is kept as it was given, whatever it is.
            let there = is_there(value) || (*field == "timestamp" && value.is_some_and(|value| value == ""));
            if !there {
                let unnamed = kind == Kind::Camera;
                return Err(if unnamed { Refusal::Unnamed } else { Refusal::Missing(field) });
            }
            let number = matches!(*field, "camera_id" | "checkpoint_id" | "timestamp");
            if !value.is_some_and(|value| value.is_string() || (number && value.is_number())) {
                return Err(Refusal::Wrong(field));
            }
        }
        for field in TEXTS {
            if let Some(value) = body.get_mut(field) {
                unfold(value);
            }
        }
        let of = |field| body.get(field).cloned().unwrap_or_default();
        let (camera, checkpoint) = (of("camera_id"), of("checkpoint_id"));
        Ok(Self { kind, camera, checkpoint, body })
    }

    /// A field's value, or another when there is none.
    #[must_use]
    pub fn or(&self, field: &str, other: Value) -> Value {
        self.body.get(field).filter(|value| !value.is_null()).cloned().unwrap_or(other)
    }
}

/// Some cameras call themselves `aicamera_id`. Whoever asks for records looks for `camera_id`.
fn name_camera(body: &mut Map<String, Value>) -> Result<(), Refusal> {
    for field in ["camera_id", "aicamera_id"] {
        if !body.get(field).is_none_or(|id| id.is_string() || id.is_number() || id.is_null()) {
            return Err(Refusal::Wrong(field));
        }
    }
    if is_there(body.get("camera_id")) {
        return Ok(());
    }
    if let Some(id) = body.get("aicamera_id").filter(|id| is_there(Some(id))).cloned() {
        body.insert("camera_id".to_owned(), id);
    }
    Ok(())
}

/// Makes JSON of a text that holds a list, an object or `null`. Anything else is a text: a plate may read `1234`.
fn unfold(value: &mut Value) {
    let Value::String(text) = value else { return };
    let text = text.trim();
    if !(text.starts_with(['[', '{']) || text == "null") {
        return;
    }
    // A part of a message must leave room for the rest.
    if let Ok(parsed) = json::read(text.as_bytes())
        && json::depth(&parsed) < json::MAX_DEPTH
    {
        *value = parsed;
    }
}

/// An id as text: what two ids have in common that are the same but for their type.
#[must_use]
pub fn id_text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{Entry, Kind, Refusal, id_text, object};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn entry(kind: Kind, value: &Value) -> Result<Entry, Refusal> {
        Entry::new(kind, object(value.to_string().as_bytes())?)
    }

    fn detection() -> Value {
        json!({"type": "detection_result", "camera_id": "1", "checkpoint_id": 2, "timestamp": "2024-12-19T10:00:00Z"})
    }

    #[test]
    fn ids_keep_their_type_and_the_message_its_order() {
        let entry = entry(Kind::Detection, &detection()).unwrap();
        assert_eq!((&entry.camera, &entry.checkpoint), (&json!("1"), &json!(2)));
        assert_eq!(Value::Object(entry.body).to_string(), detection().to_string());
        assert_eq!((id_text(&json!("1")), id_text(&json!(1))), ("1".to_owned(), "1".to_owned()));
    }

    #[test]
    fn the_first_missing_field_is_named_in_the_order_of_the_protocol() {
        let fields = ["type", "camera_id", "checkpoint_id", "timestamp", "component", "status"];
        let mut body = json!({});
        for field in fields {
            let refusal = entry(Kind::Health, &body).unwrap_err();
            assert_eq!(refusal.to_string(), format!("Missing required field: {field}"));
            body[field] = Value::Null;
            assert_eq!(entry(Kind::Health, &body).unwrap_err(), Refusal::Missing(field), "null is nothing");
            body[field] = json!("x");
        }
        assert!(entry(Kind::Health, &body).is_ok());
        for body in [json!({}), json!({"camera_id": 1}), json!({"checkpoint_id": "", "camera_id": "1"})] {
            let refusal = entry(Kind::Camera, &body).unwrap_err();
            assert_eq!(refusal.to_string(), "camera_id and checkpoint_id are required");
        }
        assert!(entry(Kind::Camera, &json!({"camera_id": 0, "checkpoint_id": "b"})).is_ok(), "0 is an id");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(object(b"[1]").unwrap_err(), Refusal::NotObject);
        assert_eq!(object(b"\"{}\"").unwrap_err(), Refusal::NotObject);
        assert!(object(b"{").unwrap_err().to_string().starts_with("Invalid JSON: "));
    }

    #[test]
    fn cameras_that_call_themselves_aicamera_are_found_as_cameras() {
        let mut body = detection();
        body["camera_id"] = Value::Null;
        body["aicamera_id"] = json!(7);
        let entry = entry(Kind::Detection, &body).unwrap();
        assert_eq!(
            (&entry.camera, &entry.body["camera_id"], &entry.body["aicamera_id"]),
            (&json!(7), &json!(7), &json!(7))
        );
        body["camera_id"] = json!("a");
        assert_eq!(
            super::Entry::new(Kind::Detection, object(body.to_string().as_bytes()).unwrap()).unwrap().camera,
            "a"
        );
    }

    #[test]
    fn json_in_texts_is_json_and_other_texts_stay() {
        let mut body = detection();
        body["ocr_results"] = json!(r#"[{"text":"กข 1234","confidence":0.9}]"#);
        body["vehicle_detections"] = json!(" [] ");
        body["plate_detections"] = json!("[not json");
        body["details"] = json!(r#"{"cpu_usage":45.2}"#);
        let entry = entry(Kind::Detection, &body).unwrap();
        assert_eq!(entry.body["ocr_results"], json!([{"text": "กข 1234", "confidence": 0.9}]));
        assert_eq!(entry.body["vehicle_detections"], json!([]));
        assert_eq!(entry.body["plate_detections"], "[not json");
        assert_eq!(entry.body["details"], json!({"cpu_usage": 45.2}));
        body["ocr_results"] = json!("1234");
        assert_eq!(
            super::tests::entry(Kind::Detection, &body).unwrap().body["ocr_results"],
            "1234",
            "a plate"
        );
    }

    #[test]
    fn times_of_any_form_are_kept_and_what_is_none_is_not() {
        for time in [
            json!("2024-12-19 10:00:00"),
            json!("2024-12-19T10:00:00"),
            json!("yesterday"),
            json!(""),
            json!(17.5),
        ] {
            let mut body = detection();
            body["timestamp"] = time.clone();
            assert_eq!(entry(Kind::Detection, &body).unwrap().body["timestamp"], time);
        }
        for (field, value) in [
            ("timestamp", json!([])),
            ("camera_id", json!({})),
            ("type", json!(1)),
            ("aicamera_id", json!(true)),
        ] {
            let mut body = detection();
            body[field] = value;
            assert_eq!(entry(Kind::Detection, &body).unwrap_err(), Refusal::Wrong(field));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(map) = object(&bytes) {
                let _ = (Entry::new(Kind::Health, map.clone()), Entry::new(Kind::Camera, map));
            }
        }
    }
}
