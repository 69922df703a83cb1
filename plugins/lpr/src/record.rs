//! What is asked of the runtime to keep a message, and what it answers.

use crate::message::{Entry, Kind, Refusal};
use crate::picture::{self, Blob};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::io;

/// The service that keeps records.
pub const APPEND: &str = "records.append";
/// What the JSON of a record may have: the border takes 1 MiB with what is around it.
const MAX_JSON: usize = 1_000_000;

/// A record to be kept.
#[derive(Debug)]
pub struct Record {
    /// What [`APPEND`] is asked.
    pub request: Value,
    /// The bytes beside it, in the order of the request's names.
    pub blobs: Vec<Blob>,
}

impl Record {
    /// Of a message that came at `time_ms` since 1970.
    pub fn new(entry: Entry, attachments: &[Bytes], time_ms: i64) -> Result<Self, Refusal> {
        let Entry { kind, mut body, .. } = entry;
        let blobs = picture::take(&mut body, attachments);
        let mut size = Counting(0);
        // Writing to a counter never fails, and the keys are texts.
        if serde_json::to_writer(&mut size, &body).is_err() || size.0 > MAX_JSON {
            return Err(Refusal::TooLarge);
        }
        let names: Vec<&str> = blobs.iter().map(|blob| blob.name.as_str()).collect();
        // The store hashes the pictures anyhow.
        let mut request = json!({
            "collection": kind.collection(), "time_ms": time_ms, "dedup_key": dedup_key(kind, &body),
            "dedup_blobs": true, "blobs": names,
        });
        if let Some(hook) = kind.hook() {
            request["hook"] = hook.into();
        }
        request["data"] = Value::Object(body);
        Ok(Self { request, blobs })
    }

    /// What it costs while it is on its way.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.blobs.iter().map(|blob| blob.bytes.len()).sum()
    }
}

struct Counting(usize);

impl io::Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same for the same message, in whatever order its fields are and on whatever way it came: camera, checkpoint, type,
/// time and everything else but its pictures. A camera that registers again says nothing new by doing it later.
fn dedup_key(kind: Kind, body: &Map<String, Value>) -> String {
    let mut hash = Hash(Sha256::new());
    hash.object(body, |key| kind != Kind::Camera || key != "timestamp");
    let digest = hash.0.finalize();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("lpr:{hex}")
}

struct Hash(Sha256);

impl Hash {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn object(&mut self, object: &Map<String, Value>, counts: impl Fn(&str) -> bool) {
        let mut keys: Vec<_> = object.keys().filter(|key| counts(key)).collect();
        keys.sort_unstable();
        self.0.update([b'{']);
        for key in keys {
            self.text(key);
            self.value(&object[key]);
        }
        self.0.update([b'}']);
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                self.0.update([b'"']);
                self.text(text);
            }
            Value::Array(all) => {
                self.0.update([b'[']);
                all.iter().for_each(|value| self.value(value));
                self.0.update([b']']);
            }
            Value::Object(object) => self.object(object, |_| true),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                self.0.update([b'=']);
                self.text(&value.to_string());
            }
        }
    }
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// Nothing was added: it was there before, or the rules did not want it.
    pub known: bool,
}

/// Why a record is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The message itself.
    Refused(Refusal),
    /// The store will not have it.
    Bad(String),
    /// There is no room: try again when there is.
    Full(String),
    /// Not now: try again.
    Busy(String),
    /// The key does not fit the camera.
    Denied(&'static str),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Bad(why) => write!(f, "Not stored: {why}"),
            Self::Full(why) => write!(f, "Not stored, there is no room: {why}"),
            Self::Busy(why) => write!(f, "busy: try again ({why})"),
            Self::Denied(why) => f.write_str(why),
        }
    }
}

/// Reads the answer of [`APPEND`]. Only one with an id says that a record is kept.
pub fn kept(reply: Result<Value, String>) -> Result<Kept, Failure> {
    let reply = reply.map_err(Failure::Busy)?;
    let text = |key: &str| reply.get(key).and_then(Value::as_str).map(str::to_owned);
    let said = |key: &str| reply.get(key) == Some(&Value::Bool(true));
    if let Some(refused) = text("refused") {
        let why = text("message").unwrap_or_else(|| "the gateway says no more".to_owned());
        return Err(match refused.as_str() {
            "full" => Failure::Full(why),
            "bad" => Failure::Bad(why),
            _ => Failure::Busy(why),
        });
    }
    match text("id") {
        Some(id) => Ok(Kept { id, known: said("duplicate") || said("dropped") }),
        None => Err(Failure::Busy("the gateway's answer has no id".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Kept, Record, kept};
    use crate::message::{Entry, Kind, Refusal, object};
    use serde_json::{Value, json};

    fn record(kind: Kind, text: &str) -> Result<Record, Refusal> {
        Record::new(Entry::new(kind, object(text.as_bytes()).unwrap()).unwrap(), &[], 5)
    }

    fn key(kind: Kind, text: &str) -> Value {
        record(kind, text).unwrap().request["dedup_key"].clone()
    }

    #[test]
    fn a_record_has_its_pictures_beside_it_and_names_its_rules() {
        let image = "QUJD".repeat(30);
        let text = format!(
            r#"{{"type":"detection_result","camera_id":1,"checkpoint_id":"a","timestamp":"t","annotated_image":"{image}"}}"#
        );
        let record = record(Kind::Detection, &text).unwrap();
        let request = &record.request;
        assert_eq!(
            (&request["collection"], &request["hook"], &request["time_ms"]),
            (&json!("detections"), &json!("on_detection"), &json!(5))
        );
        assert_eq!(request["blobs"], json!(["annotated_image"]));
        assert_eq!(request["data"]["annotated_image"], json!({"$blob": "annotated_image"}));
        assert_eq!((record.blobs[0].bytes.as_ref(), record.bytes()), ("ABC".repeat(30).as_bytes(), 90));
    }

    #[test]
    fn the_same_message_has_the_same_key_on_whatever_way_it_came_and_another_has_another() {
        let first = r#"{"type":"d","camera_id":1,"checkpoint_id":"a","timestamp":"t","ocr_results":["A"],"x":{"a":1,"b":2}}"#;
        let same = r#"{"x":{"b":2,"a":1},"timestamp":"t","camera_id":1,"checkpoint_id":"a","type":"d","ocr_results":"[\"A\"]"}"#;
        assert_eq!(key(Kind::Detection, first), key(Kind::Detection, same));
        for (from, to) in [
            ("\"t\"", "\"u\""),
            ("\"a\",", "\"b\","),
            ("1,\"ch", "\"1\",\"ch"),
            ("\"d\"", "\"e\""),
            ("[\"A\"]", "[\"B\"]"),
        ] {
            let other = first.replacen(from, to, 1);
            assert_ne!(first, other);
            assert_ne!(key(Kind::Detection, first), key(Kind::Detection, &other), "{other}");
        }
        assert_eq!(
            record(Kind::Detection, first).unwrap().request["dedup_blobs"],
            true,
            "and other pictures"
        );
    }

    #[test]
    fn registering_again_is_nothing_new() {
        let at = |time: &str| format!(r#"{{"camera_id":1,"checkpoint_id":"a","timestamp":"{time}"}}"#);
        assert_eq!(key(Kind::Camera, &at("t")), key(Kind::Camera, &at("u")));
        assert_ne!(key(Kind::Camera, &at("t")), key(Kind::Camera, &at("t").replace(":1", ":2")));
    }

    #[test]
    fn what_no_record_can_hold_is_refused_before_it_is_tried() {
        let text = format!(
            r#"{{"camera_id":1,"checkpoint_id":2,"x":[{}]}}"#,
            vec![r#""0123456789012345678901234567890123456789""#; 30_000].join(",")
        );
        assert_eq!(record(Kind::Camera, &text).unwrap_err(), Refusal::TooLarge);
    }

    #[test]
    fn only_an_answer_with_an_id_is_a_success() {
        let id = || "0190-id".to_owned();
        assert_eq!(kept(Ok(json!({"id": id(), "duplicate": false}))), Ok(Kept { id: id(), known: false }));
        assert_eq!(kept(Ok(json!({"id": id(), "duplicate": true}))), Ok(Kept { id: id(), known: true }));
        assert_eq!(kept(Ok(json!({"id": id(), "dropped": true}))), Ok(Kept { id: id(), known: true }));
        assert!(matches!(
            kept(Ok(json!({"refused": "full", "message": "m", "id": id()}))),
            Err(Failure::Full(_))
        ));
        assert!(matches!(kept(Ok(json!({"refused": "bad"}))), Err(Failure::Bad(_))));
        for reply in [
            Ok(json!({"refused": "busy"})),
            Ok(json!({"refused": "?"})),
            Ok(json!({})),
            Ok(json!({"id": 1})),
            Ok(Value::Null),
            Err("no such service".to_owned()),
        ] {
            let failure = kept(reply).unwrap_err();
            assert!(
                matches!(failure, Failure::Busy(_)) && failure.to_string().starts_with("busy: try again")
            );
        }
    }
}
