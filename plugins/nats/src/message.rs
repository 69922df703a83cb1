//! Records as messages.

use crate::config::Pictures;
use crate::subject::Subjects;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// What the headers of a message need at most.
const HEADERS: usize = 128;
/// The service that gives what did not fit.
pub(crate) const READ: &str = "records.read";

/// A record as the runtime gives it.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    /// Its id; rises in the order of appending.
    pub id: Uuid,
    /// Its collection.
    pub collection: String,
    /// When it happened, Unix ms.
    pub time_ms: i64,
    /// When it was appended, Unix ms.
    pub stored_ms: i64,
    /// What it says.
    pub data: Value,
    /// What it has beside that.
    #[serde(default)]
    pub blobs: Vec<Blob>,
}

/// A blob of a record.
#[derive(Debug, Clone, Deserialize)]
pub struct Blob {
    /// Its name in the record.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its bytes in base64, when they were asked for and are there.
    #[serde(default)]
    pub data: Option<String>,
}

impl Record {
    /// Whether the rules want it to stay here.
    #[must_use]
    pub fn is_kept_back(&self) -> bool {
        self.data.get("forward") == Some(&Value::Bool(false))
    }
}

/// The name of a blob in the object store: the same whenever it is put there.
#[must_use]
pub fn object(record: &Uuid, blob: &str) -> String {
    format!("{record}/{blob}")
}

/// How messages are made.
#[derive(Debug, Clone)]
pub struct Form {
    /// The gateway's name.
    pub gateway: String,
    /// Its subjects.
    pub subjects: Subjects,
    /// What becomes of pictures.
    pub pictures: Pictures,
    /// Where they are, when they are objects.
    pub bucket: String,
    /// Whether [`READ`] can be asked over NATS.
    pub answers: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The record's id, by which the stream knows it again.
    pub id: Uuid,
    /// Where it goes.
    pub subject: String,
    /// What it says.
    pub payload: Bytes,
    /// Whether the record's data did not fit.
    pub is_truncated: bool,
}

impl Form {
    /// A record as a message of at most `most` bytes with its headers. What does not fit is left out and said so.
    ///
    /// # Errors
    /// How many bytes it would need even so.
    pub fn message(&self, record: &Record, most: usize) -> Result<Message, usize> {
        let room = most.saturating_sub(HEADERS);
        let subject = self.subjects.record(&record.collection, &record.data);
        let make = |payload: String, is_truncated| Message {
            id: record.id,
            subject: subject.clone(),
            payload: payload.into(),
            is_truncated,
        };
        let whole = self.payload(record, &record.data).to_string();
        if whole.len() <= room {
            return Ok(make(whole, false));
        }
        let mut short = self.payload(record, &Value::Null);
        short["truncated"] = json!({ "bytes": record.data.to_string().len() });
        if self.answers {
            short["truncated"]["ask"] = json!(self.subjects.request(READ));
        }
        let short = short.to_string();
        if short.len() <= room { Ok(make(short, true)) } else { Err(short.len() + HEADERS) }
    }

    fn payload(&self, record: &Record, data: &Value) -> Value {
        let blobs: Vec<Value> = record.blobs.iter().map(|blob| self.blob(record, blob)).collect();
        json!({
            "id": record.id,
            "time_ms": record.time_ms,
            "stored_ms": record.stored_ms,
            "gateway": self.gateway,
            "collection": record.collection,
            "data": data,
            "blobs": blobs,
        })
    }

    fn blob(&self, record: &Record, blob: &Blob) -> Value {
        let mut told = json!({ "name": blob.name, "bytes": blob.bytes });
        match self.pictures {
            // The gateway itself has lost it: nobody shall wait for it.
            Pictures::Object if blob.data.is_none() => told["missing"] = json!(true),
            Pictures::Object => {
                told["bucket"] = json!(self.bucket);
                told["object"] = json!(object(&record.id, &blob.name));
            }
            Pictures::Reference if self.answers => told["ask"] = json!(self.subjects.request(READ)),
            Pictures::Reference | Pictures::None => {}
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, HEADERS, Message, Record};
    use crate::config::Pictures;
    use crate::subject::Subjects;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn form(pictures: Pictures) -> Form {
        Form {
            gateway: "north".into(),
            subjects: Subjects::new("gantry", "north"),
            pictures,
            bucket: "gantry-north".into(),
            answers: true,
        }
    }

    fn record(data: Value) -> Record {
        serde_json::from_value(json!({
            "id": "0192f0c1-2345-7000-8000-000000000001", "collection": "pictures", "time_ms": 5, "stored_ms": 6,
            "data": data, "blobs": [{"name": "picture.jpg", "bytes": 2, "data": "/9g="}, {"name": "lost", "bytes": 9}],
        }))
        .unwrap()
    }

    fn json_of(message: &Message) -> Value {
        serde_json::from_slice(&message.payload).unwrap()
    }

    #[test]
    fn a_record_is_told_whole_with_where_its_pictures_are() {
        let record = record(json!({"device": 7}));
        let message = form(Pictures::Object).message(&record, 10_000).unwrap();
        assert_eq!((message.subject.as_str(), message.is_truncated), ("gantry.north.pictures.7", false));
        assert_eq!(
            json_of(&message),
            json!({
                "id": record.id, "time_ms": 5, "stored_ms": 6, "gateway": "north", "collection": "pictures",
                "data": {"device": 7}, "blobs": [
                    {"name": "picture.jpg", "bytes": 2, "bucket": "gantry-north",
                     "object": format!("{}/picture.jpg", record.id)},
                    {"name": "lost", "bytes": 9, "missing": true},
                ],
            })
        );
        let message = form(Pictures::Reference).message(&record, 10_000).unwrap();
        let asked = json!({"name": "picture.jpg", "bytes": 2, "ask": "gantry.north.request.records.read"});
        assert_eq!(json_of(&message)["blobs"][0], asked);
        let message = form(Pictures::None).message(&record, 10_000).unwrap();
        assert_eq!(json_of(&message)["blobs"][0], json!({"name": "picture.jpg", "bytes": 2}));
    }

    #[test]
    fn only_a_plain_false_keeps_back() {
        assert!(record(json!({"forward": false})).is_kept_back());
        for data in [json!({"forward": true}), json!({"forward": null}), json!({}), json!(false)] {
            assert!(!record(data).is_kept_back());
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        let record = record(json!({"device": 7, "text": "x".repeat(5000)}));
        let message = form(Pictures::None).message(&record, 2000).unwrap();
        let told = json_of(&message);
        assert_eq!((message.subject.as_str(), message.is_truncated), ("gantry.north.pictures.7", true));
        let ask = json!({"bytes": record.data.to_string().len(), "ask": "gantry.north.request.records.read"});
        assert_eq!((&told["data"], &told["truncated"]), (&Value::Null, &ask));
        let needs = form(Pictures::None).message(&record, 100).unwrap_err();
        assert!(form(Pictures::None).message(&record, needs).is_ok());
        assert!(form(Pictures::None).message(&record, needs - 1).is_err());
    }

    proptest! {
        #[test]
        fn no_message_is_larger_than_it_may_be(text: String, most in 0..3000usize) {
            let record = record(json!({ "device": text, "more": text.repeat(20) }));
            if let Ok(message) = form(Pictures::Reference).message(&record, most) {
                prop_assert!(message.payload.len() + HEADERS <= most);
                let told = json_of(&message);
                prop_assert_eq!(message.is_truncated, told["data"].is_null());
            }
        }
    }
}
