//! What a record says in the words of the protocol. The same record always gives the same bytes: what is sent again after
//! an answer was lost is known to the upstream by its content.

use gantry_lpr_protocol::picture;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// The collections that can be sent.
pub const COLLECTIONS: [&str; 5] = ["detections", "health", "events", "gateway", "counts"];
/// The field in which a record's id goes along, from the first gateway to the last server.
const RECORD_ID: &str = "record_id";
/// The id in this gateway, when that is another one.
const OWN_ID: &str = "gateway_record_id";

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A camera registers.
    Register,
    /// Plates that were read, and what people did.
    Detection,
    /// How a camera, or the gateway, does.
    Health,
}

impl Kind {
    /// The event that carries it over Socket.IO.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Self::Register => "camera_register",
            Self::Detection => "lpr_data",
            Self::Health => "health_status",
        }
    }

    /// The event that answers it.
    #[must_use]
    pub fn answer(self) -> &'static str {
        match self {
            Self::Register => "camera_register",
            Self::Detection => "lpr_response",
            Self::Health => "health_response",
        }
    }

    /// The path to which it is posted.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Register => "/api/cameras/register",
            Self::Detection => "/api/detection",
            Self::Health => "/api/health",
        }
    }
}

/// A message of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub kind: Kind,
    /// The camera's id as text.
    pub camera: String,
    /// Its checkpoint's.
    pub checkpoint: String,
    /// The message, JSON.
    pub body: String,
}

/// A record as the store gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id, a UUIDv7.
    pub id: String,
    /// Its collection.
    pub collection: String,
    /// When it happened, Unix time in milliseconds.
    pub time_ms: i64,
    /// What it says.
    pub data: Value,
    /// The base64 of its blobs, by name.
    pub blobs: HashMap<String, String>,
    /// Whether it has blobs, given or not.
    pub has_blobs: bool,
}

impl Record {
    /// Of what the store answers.
    #[must_use]
    pub fn of(mut value: Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (id, collection) = (text(&value["id"])?, text(&value["collection"])?);
        let time_ms = value["time_ms"].as_i64()?;
        let mut blobs = HashMap::new();
        let mut has_blobs = false;
        if let Value::Array(all) = value["blobs"].take() {
            has_blobs = !all.is_empty();
            for mut blob in all {
                if let (Value::String(name), Value::String(base64)) =
                    (blob["name"].take(), blob["data"].take())
                {
                    blobs.insert(name, base64);
                }
            }
        }
        Some(Self { id, collection, time_ms, data: value["data"].take(), blobs, has_blobs })
    }

    /// Whether the rules have kept it back.
    #[must_use]
    pub fn is_kept_back(&self) -> bool {
        self.data["forward"] == false
    }
}

/// The gateway's own names, for what no camera has sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// In `camera_id`.
    pub camera: Value,
    /// In `checkpoint_id`.
    pub checkpoint: Value,
}

impl Origin {
    /// What the record says.
    ///
    /// # Errors
    /// A sentence, for what the protocol has no words.
    pub fn message(&self, record: Record) -> Result<Message, String> {
        let Record { id, collection, time_ms, data, blobs, .. } = record;
        let Value::Object(data) = data else { return Err("it is no JSON object".to_owned()) };
        let (kind, mut body) = match collection.as_str() {
            "detections" => (Kind::Detection, as_sent(data, &blobs)),
            "health" => (Kind::Health, as_sent(data, &blobs)),
            "events" => (Kind::Detection, self.local("people_event", "event", time_ms, data)),
            "counts" => {
                let kind = if data.get("type").and_then(Value::as_str) == Some("correction") {
                    "correction"
                } else {
                    "crossing"
                };
                (Kind::Detection, self.local(&format!("people_{kind}"), kind, time_ms, data))
            }
            "gateway" => (Kind::Health, self.health(time_ms, data)),
            _ => return Err(format!("this protocol has no words for records of `{collection}`")),
        };
        identify(&mut body, &id);
        let id_of = |field| body.get(field).map(id_text).unwrap_or_default();
        let (camera, checkpoint) = (id_of("camera_id"), id_of("checkpoint_id"));
        Ok(Message { kind, camera, checkpoint, body: Value::Object(body).to_string() })
    }

    /// What people did at this gateway, in the words for plates: servers of this protocol keep it, and those that know it
    /// find it in a field of its own.
    fn local(&self, kind: &str, field: &str, time_ms: i64, data: Map<String, Value>) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("type".to_owned(), kind.into());
        self.sign(&mut body, time_ms);
        body.insert("vehicles_count".to_owned(), 0.into());
        body.insert("plates_count".to_owned(), 0.into());
        body.insert("ocr_results".to_owned(), json!([]));
        body.insert(field.to_owned(), Value::Object(data));
        body
    }

    fn health(&self, time_ms: i64, mut data: Map<String, Value>) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("type".to_owned(), "health_check".into());
        self.sign(&mut body, time_ms);
        for (field, otherwise) in
            [("component", json!("gateway")), ("status", json!("warning")), ("message", json!(""))]
        {
            // A server of this protocol takes nothing without them.
            let value = data.shift_remove(field).filter(Value::is_string);
            body.insert(field.to_owned(), value.unwrap_or(otherwise));
        }
        let details = data.shift_remove("details").filter(Value::is_object).unwrap_or_else(|| json!({}));
        body.insert("details".to_owned(), details);
        body
    }

    fn sign(&self, body: &mut Map<String, Value>, time_ms: i64) {
        body.insert("camera_id".to_owned(), self.camera.clone());
        body.insert("checkpoint_id".to_owned(), self.checkpoint.clone());
        body.insert("timestamp".to_owned(), stamp(time_ms).into());
    }
}

/// The registration of the camera that a message is from, at this time.
#[must_use]
pub fn registration(message: &Message, time_ms: i64) -> Message {
    // The ids keep the type that they have in the message.
    let sent: Value = serde_json::from_str(&message.body).unwrap_or_default();
    let body = json!({
        "camera_id": sent["camera_id"], "checkpoint_id": sent["checkpoint_id"], "timestamp": stamp(time_ms),
    });
    Message { kind: Kind::Register, body: body.to_string(), ..message.clone() }
}

/// A camera's message as it was sent, with what rules have added.
fn as_sent(mut data: Map<String, Value>, blobs: &HashMap<String, String>) -> Map<String, Value> {
    picture::put_back(&mut data, blobs);
    data
}

/// Adds the id under which a record is known everywhere: that of the gateway that had it first.
fn identify(body: &mut Map<String, Value>, id: &str) {
    let known = body.get(RECORD_ID).cloned();
    if known.as_ref().and_then(Value::as_str).is_some_and(is_uuid) {
        // A camera can say what it wants there, also twice the same.
        body.insert(OWN_ID.to_owned(), id.into());
        return;
    }
    if let Some(own) = known.filter(|own| !own.is_null()) {
        // A number of the camera's own is no id, and not ours to throw away.
        body.insert("camera_record_id".to_owned(), own);
    }
    body.insert(RECORD_ID.to_owned(), id.into());
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// An id as text, whether it is a text or a number.
fn id_text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// A time as the protocol writes it: ISO 8601, UTC.
#[must_use]
pub fn stamp(unix_ms: i64) -> String {
    let time = Timestamp::from_millisecond(unix_ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::{Kind, Origin, Record, registration};
    use serde_json::{Value, json};

    const ID: &str = "01990000-0000-7000-8000-000000000001";

    fn origin() -> Origin {
        Origin { camera: json!("site-7"), checkpoint: json!(3) }
    }

    fn record(collection: &str, data: Value) -> Record {
        let value = json!({"id": ID, "collection": collection, "time_ms": 1_700_000_000_123_i64, "data": data,
            "blobs": [{"name": "annotated_image", "bytes": 3, "data": "QUJD"}]});
        Record::of(value).unwrap()
    }

    fn body(collection: &str, data: Value) -> String {
        origin().message(record(collection, data)).unwrap().body
    }

    #[test]
    fn a_detection_is_as_it_was_sent_with_its_pictures_and_its_id() {
        let data = json!({"type": "detection_result", "camera_id": 7, "checkpoint_id": "c", "timestamp": "then",
            "confidence": 0.912_345_678_901_234_5, "annotated_image": {"$blob": "annotated_image"}, "tags": ["vip"]});
        let message = origin().message(record("detections", data.clone())).unwrap();
        assert_eq!(
            (message.kind, message.camera.as_str(), message.checkpoint.as_str()),
            (Kind::Detection, "7", "c")
        );
        let text = format!(
            r#"{{"type":"detection_result","camera_id":7,"checkpoint_id":"c","timestamp":"then","confidence":0.9123456789012345,"annotated_image":"QUJD","tags":["vip"],"record_id":"{ID}"}}"#
        );
        assert_eq!(message.body, text);
        assert_eq!(body("detections", data), text, "the same bytes each time");
    }

    #[test]
    fn a_health_check_is_as_it_was_sent() {
        let data = json!({"type": "health_check", "camera_id": "7", "component": "lens", "status": "ok"});
        let message = origin().message(record("health", data)).unwrap();
        assert_eq!(message.kind, Kind::Health);
        assert!(message.body.starts_with(r#"{"type":"health_check","camera_id":"7","component":"lens""#));
    }

    #[test]
    fn the_first_gateways_id_is_kept_and_a_cameras_own_number_is_not_lost() {
        let theirs = "01980000-aaaa-7000-8000-00000000000f";
        assert_eq!(
            body("detections", json!({ "record_id": theirs })),
            format!(r#"{{"record_id":"{theirs}","gateway_record_id":"{ID}"}}"#)
        );
        let own = body("detections", json!({"record_id": 17, "x": 1}));
        assert_eq!(own, format!(r#"{{"record_id":"{ID}","x":1,"camera_record_id":17}}"#));
        assert_eq!(body("detections", json!({"record_id": null})), format!(r#"{{"record_id":"{ID}"}}"#));
    }

    #[test]
    fn what_people_did_is_a_detection_of_the_gateway() {
        let data = json!({"type": "event-started", "event": "crowd", "status": "started", "start_ms": 5});
        let text = format!(
            r#"{{"type":"people_event","camera_id":"site-7","checkpoint_id":3,"timestamp":"2023-11-14T22:13:20.123Z","vehicles_count":0,"plates_count":0,"ocr_results":[],"event":{data},"record_id":"{ID}"}}"#
        );
        assert_eq!(body("events", data), text);
        let crossing: Value =
            serde_json::from_str(&body("counts", json!({"type": "crossing", "line": "door"}))).unwrap();
        assert_eq!(
            (&crossing["type"], &crossing["crossing"]["line"]),
            (&json!("people_crossing"), &json!("door"))
        );
        let correction: Value =
            serde_json::from_str(&body("counts", json!({"type": "correction", "count_in": -1}))).unwrap();
        assert_eq!(correction["correction"]["count_in"], -1);
    }

    #[test]
    fn the_gateways_own_health_is_a_health_check() {
        let data = json!({"component": "plugin/lpr", "status": "error", "message": "gone", "details": {"cpu_usage": 4.5}});
        let text = format!(
            r#"{{"type":"health_check","camera_id":"site-7","checkpoint_id":3,"timestamp":"2023-11-14T22:13:20.123Z","component":"plugin/lpr","status":"error","message":"gone","details":{{"cpu_usage":4.5}},"record_id":"{ID}"}}"#
        );
        assert_eq!(body("gateway", data), text);
        let poor: Value = serde_json::from_str(&body("gateway", json!({"status": 3}))).unwrap();
        assert_eq!(
            (&poor["component"], &poor["status"], &poor["details"]),
            (&json!("gateway"), &json!("warning"), &json!({}))
        );
    }

    #[test]
    fn what_the_protocol_has_no_words_for_is_said_so() {
        assert!(origin().message(record("pictures", json!({}))).is_err());
        assert!(origin().message(record("detections", json!([]))).is_err());
        assert!(Record::of(json!({"id": 1})).is_none());
    }

    #[test]
    fn what_rules_keep_back_is_known() {
        assert!(record("detections", json!({"forward": false})).is_kept_back());
        assert!(!record("detections", json!({"forward": "false"})).is_kept_back());
    }

    #[test]
    fn a_camera_registers_with_the_ids_of_its_message() {
        let message = origin()
            .message(record(
                "detections",
                json!({"camera_id": 7, "checkpoint_id": "c", "annotated_image": "x"}),
            ))
            .unwrap();
        let registration = registration(&message, 0);
        assert_eq!(
            registration.body,
            r#"{"camera_id":7,"checkpoint_id":"c","timestamp":"1970-01-01T00:00:00.000Z"}"#
        );
        assert_eq!((registration.kind, registration.camera), (Kind::Register, "7".to_owned()));
    }
}
