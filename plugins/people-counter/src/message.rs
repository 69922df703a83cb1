//! What clients are sent, encoded once for everybody who gets it. The order of the keys is the document's.

use crate::clock::Clock;
use crate::counts::Stats;
use crate::integer::Integer;
use crate::request::Refusal;
use bytes::Bytes;
use gantry_serve::{Segments, websocket};
use serde::Deserialize;
use serde_json::Value;
use std::time::SystemTime;

/// `frame`: a JPEG picture.
#[must_use]
pub fn frame(jpeg: &[u8], clock: &Clock, now: SystemTime) -> Segments {
    const BEGIN: &[u8] = br#"{"type":"frame","data":""#;
    let end = format!(r#"","timestamp":"{}"}}"#, clock.stamp(now));
    let base64 = jpeg.len().div_ceil(3) * 4;
    let mut text = Vec::with_capacity(BEGIN.len() + base64 + end.len());
    text.extend_from_slice(BEGIN);
    // Base64 needs no escaping, so the picture is not looked at again after this.
    base64_simd::STANDARD.encode_append(jpeg, &mut text);
    text.extend_from_slice(end.as_bytes());
    websocket::text(&text.into())
}

/// `stats`: the counts of the day.
#[must_use]
pub fn stats(stats: &Stats, clock: &Clock, now: SystemTime) -> Segments {
    let Stats { count_in, count_out, face_count, daily_event_count, event_active, current_event_count_in } =
        stats;
    say(format!(
        r#"{{"type":"stats","data":{{"count_in":{count_in},"count_out":{count_out},"face_count":{face_count},"#
    ) + &format!(
        r#""daily_event_count":{daily_event_count},"event_active":{event_active},"current_event_count_in":{current_event_count_in}}},"timestamp":"{}"}}"#,
        clock.stamp(now)
    ))
}

/// An event has begun or ended, as the runtime tells it on `events/NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Event {
    /// It has begun.
    Started {
        /// Then, in milliseconds since 1970.
        start_ms: i64,
    },
    /// It has ended.
    Ended {
        /// When it began, in milliseconds since 1970.
        start_ms: i64,
        /// When it ended, in milliseconds since 1970.
        end_ms: i64,
        /// Who went in meanwhile.
        count_in: u64,
    },
}

impl Event {
    /// Reads a message of the bus.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// `event`. `None` when its times are none.
    #[must_use]
    pub fn message(&self, clock: &Clock, now: SystemTime) -> Option<Segments> {
        let data = match self {
            Self::Started { start_ms } => {
                format!(r#""status":"started","start_time":"{}""#, clock.time(*start_ms)?)
            }
            Self::Ended { start_ms, end_ms, count_in } => format!(
                r#""status":"ended","start_time":"{}","end_time":"{}","count_in":{count_in}"#,
                clock.time(*start_ms)?,
                clock.time(*end_ms)?
            ),
        };
        let stamp = clock.stamp(now);
        Some(say(format!(r#"{{"type":"event","data":{{{data}}},"timestamp":"{stamp}"}}"#)))
    }
}

/// A face with its picture.
#[derive(Debug, Clone)]
pub struct Face {
    /// Its id.
    pub id: Integer,
    /// The name of its file.
    pub filename: String,
    /// Its JPEG picture in base64.
    pub picture: Bytes,
}

impl Face {
    fn name(&self) -> Value {
        Value::from(self.filename.as_str())
    }
}

/// `face_image` with a picture.
#[must_use]
pub fn face_image(face: &Face) -> Segments {
    let begin = format!(r#"{{"type":"face_image","face_id":{},"image_data":""#, face.id);
    let end = format!(r#"","filename":{}}}"#, face.name());
    websocket::text_of(&[begin.into(), face.picture.clone(), end.into()])
}

/// Why there is no picture of a face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoFace {
    /// There is no face of that id.
    Unknown,
    /// There was one, and its picture is gone.
    FileGone,
}

/// `face_image` without a picture.
#[must_use]
pub fn no_face_image(id: &Integer, why: NoFace) -> Segments {
    let error = match why {
        NoFace::Unknown => "Face ID not found",
        NoFace::FileGone => "Face image file not found",
    };
    say(format!(r#"{{"type":"face_image","face_id":{id},"error":"{error}"}}"#))
}

/// `all_faces`: as many of these as fit into `budget` bytes.
#[must_use]
pub fn all_faces(faces: &[Face], budget: usize) -> Segments {
    let mut pieces = vec![Bytes::from_static(br#"{"type":"all_faces","faces":["#)];
    let mut length = 0;
    for (i, face) in faces.iter().enumerate() {
        let (comma, name) = (if i == 0 { "" } else { "," }, face.name());
        let begin = format!(r#"{comma}{{"face_id":{},"filename":{name},"image_data":""#, face.id);
        length += begin.len() + face.picture.len() + 2;
        if length > budget {
            break;
        }
        pieces.extend([begin.into(), face.picture.clone(), Bytes::from_static(b"\"}")]);
    }
    pieces.push(Bytes::from_static(b"]}"));
    websocket::text_of(&pieces)
}

/// `all_faces` when there are none to be had: no faces are looked for, or nobody may see them here.
#[must_use]
pub fn no_faces() -> Segments {
    say(r#"{"type":"all_faces","error":"Face data not available on server"}"#.to_owned())
}

/// A request is not done.
#[must_use]
pub fn error(refusal: Refusal) -> Segments {
    say(format!(r#"{{"error":"{}"}}"#, refusal.text()))
}

fn say(text: String) -> Segments {
    websocket::text(&text.into())
}

#[cfg(test)]
mod tests;
