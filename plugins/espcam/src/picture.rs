//! A picture that has come whole: its record, and what the bus is told.

use crate::jpeg;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The service that keeps records.
pub(crate) const APPEND: &str = "records.append";
/// The service that looks at pictures.
pub(crate) const LOOK: &str = "pictures.look";

/// A picture that has come whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The device's id.
    pub device: u8,
    /// Where it was sent from.
    pub source: SocketAddr,
    /// When it was whole, in ms since 1970.
    pub time_ms: i64,
    /// From the first request until it was whole, in ms.
    pub duration_ms: u64,
    /// In how many packets it came.
    pub packets: u8,
    /// The picture.
    pub bytes: Vec<u8>,
    /// The same for every attempt to keep this picture, and for no other.
    pub key: String,
    /// What a detector saw, or why none did. `None`: none was asked.
    pub analysis: Option<Value>,
}

impl Picture {
    fn size(&self) -> Option<(u16, u16)> {
        jpeg::look(&self.bytes).size
    }

    /// What the store is asked to keep, with the picture beside it.
    #[must_use]
    pub fn record(&self) -> Value {
        let size = self.size();
        let mut record = json!({
            "collection": "pictures",
            "time_ms": self.time_ms,
            "dedup_key": self.key,
            "hook": "on_picture",
            "blobs": ["picture.jpg"],
            "data": {
                "type": "picture",
                "device": self.device,
                "source": self.source.to_string(),
                "address": self.source.ip().to_canonical().to_string(),
                "bytes": self.bytes.len(),
                "packets": self.packets,
                "duration_ms": self.duration_ms,
                "width": size.map(|size| size.0),
                "height": size.map(|size| size.1),
                "format": "jpeg",
            },
        });
        if let Some(analysis) = &self.analysis {
            record["data"]["analysis"] = analysis.clone();
        }
        record
    }

    /// The topic on which a stored picture is told.
    #[must_use]
    pub fn topic(&self) -> String {
        format!("pictures/{}", self.device)
    }

    /// What is told there.
    #[must_use]
    pub fn message(&self, record: &str) -> Value {
        let size = self.size();
        let mut message = json!({
            "record": record,
            "device": self.device,
            "bytes": self.bytes.len(),
            "width": size.map(|size| size.0),
            "height": size.map(|size| size.1),
            "time_ms": self.time_ms,
        });
        if let Some(analysis) = &self.analysis {
            message["people"] = analysis["people"].clone();
        }
        message
    }
}

/// What is noted of a picture that `detector` was asked about.
pub(crate) fn analysis(detector: &str, seen: Result<Value, String>) -> Value {
    let seen = seen.map(serde_json::from_value::<Seen>);
    let Seen { objects, duration_ms } = match seen {
        Ok(Ok(seen)) => seen,
        Ok(Err(_)) => {
            return unseen(
                detector,
                "the detector answers in other words than agreed: update the gateway and its plugins together",
            );
        }
        Err(error) => return unseen(detector, &error),
    };
    let people = objects.iter().filter(|object| object["class"] == "person").count();
    json!({ "detector": detector, "people": people, "objects": objects, "duration_ms": duration_ms })
}

/// What is noted of a picture that nobody has looked at.
pub(crate) fn unseen(detector: &str, why: &str) -> Value {
    json!({ "detector": detector, "error": why })
}

#[derive(Deserialize)]
struct Seen {
    objects: Vec<Value>,
    duration_ms: f64,
}

/// What became of a picture that was to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is on the disk, under this id.
    Kept(String),
    /// A rule does not want it.
    Dropped,
    /// It is not kept, and why. The device has to send its last packet again.
    Refused(String),
}

#[derive(Deserialize)]
struct Answer {
    id: Option<String>,
    #[serde(default)]
    dropped: bool,
    refused: Option<String>,
    message: Option<String>,
}

impl Outcome {
    /// Reads the store's answer. What is not an answer is a refusal: nothing is believed to be kept that is not.
    #[must_use]
    pub fn of(reply: Result<Value, String>) -> Self {
        let answer = match reply.map(serde_json::from_value::<Answer>) {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return Self::Refused(
                "the store answers in other words than agreed: update the gateway and its plugins together"
                    .into(),
            ),
            Err(error) => return Self::Refused(error),
        };
        match answer {
            Answer { refused: Some(kind), message, .. } => Self::Refused(message.unwrap_or(kind)),
            Answer { dropped: true, .. } => Self::Dropped,
            Answer { id: Some(id), .. } => Self::Kept(id),
            Answer { .. } => Self::Refused(
                "the store answers without an id: update the gateway and its plugins together".into(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Picture, analysis};
    use serde_json::json;

    fn picture(bytes: &[u8]) -> Picture {
        let source = "[::ffff:10.0.0.9]:4000".parse().unwrap();
        let bytes = bytes.to_vec();
        Picture {
            device: 7,
            source,
            time_ms: 5000,
            duration_ms: 80,
            packets: 3,
            bytes,
            key: "k-1".into(),
            analysis: None,
        }
    }

    #[test]
    fn the_record_says_what_came_from_whom() {
        let picture = picture(b"\xff\xd8\xff\xc0\0\x09\x08\x01\xe0\x02\x80\x01\x01\xff\xd9");
        let record = picture.record();
        assert_eq!(
            record,
            json!({
                "collection": "pictures", "time_ms": 5000, "dedup_key": "k-1", "hook": "on_picture",
                "blobs": ["picture.jpg"],
                "data": {"type": "picture", "device": 7, "source": "[::ffff:10.0.0.9]:4000", "address": "10.0.0.9",
                    "bytes": 15, "packets": 3, "duration_ms": 80, "width": 640, "height": 480, "format": "jpeg"},
            })
        );
        let told =
            json!({"record": "r1", "device": 7, "bytes": 15, "width": 640, "height": 480, "time_ms": 5000});
        assert_eq!((picture.topic().as_str(), picture.message("r1")), ("pictures/7", told));
    }

    #[test]
    fn what_a_detector_saw_is_in_the_record_and_how_many_people_in_the_message() {
        let mut picture = picture(b"\xff\xd8\xff\xd9");
        let objects = json!([{"class": "person", "score": 0.9, "box": [0.1, 0.1, 0.2, 0.5]}, {"class": "face"},
            {"class": "person"}]);
        let seen = json!({"objects": objects, "width": 8, "height": 8, "duration_ms": 16.5});
        picture.analysis = Some(analysis("people", Ok(seen)));
        let noted = json!({"detector": "people", "people": 2, "objects": objects, "duration_ms": 16.5});
        assert_eq!(
            (&picture.record()["data"]["analysis"], &picture.message("r")["people"]),
            (&noted, &json!(2))
        );
        for answer in
            [Err("it is late".to_owned()), Ok(json!({})), Ok(json!({"objects": 7, "duration_ms": 1}))]
        {
            picture.analysis = Some(analysis("people", answer));
            let (record, message) = (picture.record(), picture.message("r"));
            assert!(record["data"]["analysis"]["error"].is_string(), "{record}");
            assert_eq!(
                (&record["data"]["analysis"]["people"], &message["people"]),
                (&json!(null), &json!(null))
            );
        }
    }

    #[test]
    fn a_picture_without_a_frame_header_has_no_size() {
        assert_eq!(picture(b"\xff\xd8\xff\xd9").record()["data"]["width"], json!(null));
    }

    #[test]
    fn only_an_id_means_that_it_is_kept() {
        let of = |json| Outcome::of(Ok(json));
        assert_eq!(of(json!({"id": "r1", "duplicate": false})), Outcome::Kept("r1".into()));
        assert_eq!(of(json!({"id": "r1", "duplicate": true})), Outcome::Kept("r1".into()));
        assert_eq!(of(json!({"id": "r1", "dropped": true})), Outcome::Dropped);
        let full = json!({"refused": "full", "message": "the disk is full"});
        assert_eq!(of(full), Outcome::Refused("the disk is full".into()));
        assert_eq!(of(json!({"refused": "busy"})), Outcome::Refused("busy".into()));
        assert_eq!(Outcome::of(Err("no such service".into())), Outcome::Refused("no such service".into()));
        for odd in
            [json!({}), json!(null), json!([1]), json!({"id": 7}), json!({"refused": "bad", "id": "r1"})]
        {
            assert!(matches!(of(odd.clone()), Outcome::Refused(_)), "{odd}");
        }
    }
}
