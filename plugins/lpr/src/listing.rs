//! `GET /api/records`: what was sent, as it was sent, newest first.

use crate::clock::{stamp, stamp_ms};
use crate::desk::Desk;
use crate::picture;
use bytes::Bytes;
use gantry_serve::socketio::Query;
use jiff::Timestamp;
use serde_json::{Map, Number, Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Records of an answer when nobody says how many, and the most.
const RECORDS: (usize, usize) = (50, 1000);
/// An answer has no more records when it has so many bytes.
const ANSWER_BYTES: usize = 32 << 20;
/// Bytes of answers that are on their way to those who asked, in KiB. What is small does not count.
const ON_THE_WAY: usize = 128 << 10;
const SMALL: usize = 64 << 10;

/// What somebody wants.
#[derive(Debug, PartialEq)]
pub(crate) struct Wanted {
    limit: usize,
    camera: Option<String>,
    checkpoint: Option<String>,
    before: Option<String>,
}

impl Wanted {
    pub(crate) fn read(query: &Query) -> Result<Self, &'static str> {
        let text = |name: &str| query.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let limit = match query.get("limit").filter(|text| !text.is_empty()) {
            None => RECORDS.0,
            Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err("limit must be a whole number from 1 on");
            }
            // More digits than a number has are more than the most.
            Some(digits) => digits.parse().unwrap_or(usize::MAX).min(RECORDS.1),
        };
        if limit == 0 {
            return Err("limit must be a whole number from 1 on");
        }
        let before = text("before");
        let is_id =
            |id: &String| id.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && id.bytes().all(is_of_id);
        if !before.as_ref().is_none_or(is_id) {
            return Err("before must be the detection_id of a record");
        }
        Ok(Self { limit, camera: text("camera_id"), checkpoint: text("checkpoint_id"), before })
    }

    /// The fields that a record must have: an id may be a text or a number.
    fn fields(&self) -> Vec<Value> {
        let mut all = vec![Vec::new()];
        for (name, id) in [("camera_id", &self.camera), ("checkpoint_id", &self.checkpoint)] {
            let Some(id) = id else { continue };
            let forms = forms(id);
            all = all
                .into_iter()
                .flat_map(|fields| {
                    let with = |form: &Value| {
                        [fields.clone(), vec![json!({"path": [name], "value": form})]].concat()
                    };
                    forms.iter().map(with).collect::<Vec<_>>()
                })
                .collect();
        }
        all.into_iter().map(Value::Array).collect()
    }
}

fn is_of_id(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b'-'
}

/// What an id may have been in JSON.
fn forms(id: &str) -> Vec<Value> {
    let mut forms = vec![Value::from(id)];
    forms.extend(id.parse::<Number>().ok().filter(|number| number.to_string() == id).map(Value::Number));
    forms
}

/// Answers, one at a time: each is megabytes.
pub(crate) struct Listing {
    desk: Arc<Desk>,
    turn: Semaphore,
    on_the_way: Arc<Semaphore>,
}

/// An answer that counts until it is written.
struct Counted {
    text: String,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Listing {
    pub(crate) fn new(desk: Arc<Desk>) -> Self {
        Self { desk, turn: Semaphore::new(1), on_the_way: Arc::new(Semaphore::new(ON_THE_WAY)) }
    }

    /// The JSON of the answer, or a sentence.
    pub(crate) async fn answer(&self, wanted: &Wanted) -> Result<Bytes, String> {
        // It is never closed.
        let _turn = self.turn.acquire().await.ok();
        let mut total = 0;
        let mut all = Vec::new();
        for fields in wanted.fields() {
            let count =
                self.ask("records.count", json!({"collection": "detections", "fields": fields})).await?;
            let count = count["count"].as_u64().unwrap_or(0);
            total += count;
            if count > 0 {
                self.read(wanted, &fields, &mut all).await?;
            }
        }
        // By their ids they are in the order of time.
        all.sort_by(|(a, _), (b, _)| b.cmp(a));
        all.truncate(wanted.limit);
        let records: Vec<Value> = all.into_iter().map(|(_, record)| record).collect();
        let returned = records.len();
        let answer = json!({"success": true, "records": records, "total_count": total, "returned_count": returned,
            "timestamp": stamp(Timestamp::now())});
        let text = answer.to_string();
        if text.len() < SMALL {
            return Ok(text.into());
        }
        let share = u32::try_from(text.len() >> 10).unwrap_or(u32::MAX);
        let permit = self.on_the_way.clone().try_acquire_many_owned(share);
        let permit = permit.map_err(|_| "busy: try again (too many records are being read)".to_owned())?;
        Ok(Bytes::from_owner(Counted { text, _permit: permit }))
    }

    async fn ask(&self, service: &str, request: Value) -> Result<Value, String> {
        let reply = self.desk.calls().ask(service, &request).await;
        let reply = reply.map_err(|why| format!("The records cannot be read now: {why}"))?;
        if let Some(refused) = reply.get("refused").and_then(Value::as_str) {
            return Err(format!(
                "The records cannot be read now: {refused}: {}",
                reply["message"].as_str().unwrap_or("")
            ));
        }
        Ok(reply)
    }

    async fn read(
        &self,
        wanted: &Wanted,
        fields: &Value,
        all: &mut Vec<(String, Value)>,
    ) -> Result<(), String> {
        let (mut before, mut bytes, mut left) = (wanted.before.clone(), 0, wanted.limit);
        while left > 0 && bytes < ANSWER_BYTES {
            let mut request = json!({"collection": "detections", "fields": fields, "order": "newest", "limit": left, "blobs": true});
            if let Some(before) = &before {
                request["before"] = before.as_str().into();
            }
            let mut reply = self.ask("records.query", request).await?;
            let more = reply["more"] == true;
            let Value::Array(records) = reply["records"].take() else { break };
            if records.is_empty() {
                break;
            }
            for record in records {
                let Some((id, record, weight)) = as_sent(record) else { continue };
                before = Some(id.clone());
                // One is given however large it is.
                if bytes > 0 && bytes + weight > ANSWER_BYTES {
                    return Ok(());
                }
                bytes += weight;
                left = left.saturating_sub(1);
                all.push((id, record));
            }
            if !more {
                break;
            }
        }
        Ok(())
    }
}

/// A record as its camera has sent it, with its id and when it came. What a camera itself says under these names stays.
fn as_sent(mut record: Value) -> Option<(String, Value, usize)> {
    let id = record["id"].as_str()?.to_owned();
    let received = stamp_ms(record["time_ms"].as_i64().unwrap_or(0));
    let Value::Object(mut data) = record["data"].take() else { return None };
    let mut blobs = HashMap::new();
    let mut weight = 0;
    if let Value::Array(all) = record["blobs"].take() {
        for mut blob in all {
            if let (Value::String(name), Value::String(base64)) = (blob["name"].take(), blob["data"].take()) {
                weight += base64.len();
                blobs.insert(name, base64);
            }
        }
    }
    picture::put_back(&mut data, &blobs);
    let mut out = Map::new();
    for (key, value) in [
        ("record_id", Value::from(id.clone())),
        ("detection_id", id.clone().into()),
        ("received_at", received.into()),
    ] {
        if !data.contains_key(key) {
            out.insert(key.to_owned(), value);
        }
    }
    out.append(&mut data);
    Some((id, Value::Object(out), weight + 1024))
}

#[cfg(test)]
mod tests {
    use super::{Wanted, as_sent};
    use gantry_serve::socketio::Query;
    use serde_json::json;

    fn wanted(query: &str) -> Result<Wanted, &'static str> {
        Wanted::read(&Query::parse(Some(query)))
    }

    #[test]
    fn what_is_not_said_is_as_usual_and_what_is_wrong_is_refused() {
        for query in ["", "limit=&camera_id=&checkpoint_id=&before="] {
            let wanted = wanted(query).unwrap();
            assert_eq!((wanted.limit, wanted.camera, wanted.before), (50, None, None));
        }
        assert_eq!(wanted("limit=5000").unwrap().limit, 1000);
        assert_eq!(wanted("limit=99999999999999999999999999").unwrap().limit, 1000);
        for query in [
            "limit=0",
            "limit=-1",
            "limit=1.5",
            "limit=a",
            "limit=+1",
            "before=x",
            "before=0190aaaa-0000-7000-8000-00000000000g",
        ] {
            assert!(wanted(query).is_err(), "{query}");
        }
    }

    #[test]
    fn an_id_is_looked_for_as_text_and_as_the_number_that_it_may_be() {
        let fields = |query: &str| wanted(query).unwrap().fields();
        assert_eq!(fields(""), [json!([])]);
        assert_eq!(fields("camera_id=01"), [json!([{"path": ["camera_id"], "value": "01"}])]);
        let both = fields("camera_id=1&checkpoint_id=a");
        assert_eq!(
            both,
            [
                json!([{"path": ["camera_id"], "value": "1"}, {"path": ["checkpoint_id"], "value": "a"}]),
                json!([{"path": ["camera_id"], "value": 1}, {"path": ["checkpoint_id"], "value": "a"}])
            ]
        );
        assert_eq!(fields("camera_id=1&checkpoint_id=-2.5").len(), 4);
    }

    #[test]
    fn a_record_is_as_it_was_sent_with_its_id_before_it() {
        let record = json!({"id": "i", "time_ms": 0, "data": {"z": 1, "annotated_image": {"$blob": "a"}, "received_at": "mine"},
            "blobs": [{"name": "a", "bytes": 3, "data": "QUJD"}]});
        let (id, record, _) = as_sent(record).unwrap();
        assert_eq!(id, "i");
        let text =
            r#"{"record_id":"i","detection_id":"i","z":1,"annotated_image":"QUJD","received_at":"mine"}"#;
        assert_eq!(record.to_string(), text);
        assert!(as_sent(json!({})).is_none());
    }
}
