//! The protocol: what is sent, and what is asked. No I/O: pictures, values and a time in, messages out.

use base64::Engine as _;
use base64::engine::{Simd, general_purpose::PAD};
use bytes::Bytes;
use gantry_serve::socketio::{Event, Message, Part, Query, RawValue, Volatile, packet};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::{LazyLock, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// Standard base64 with padding, by the widest instructions that this machine has.
static BASE64: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PAD));

/// What a client gets at once.
#[derive(Debug, Serialize)]
pub struct Greeting {
    message: &'static str,
    connected: bool,
}

/// What a client gets at once.
pub const GREETING: Greeting = Greeting { message: "Connected to robocar sensor stream", connected: true };

/// A time on the wire: Unix seconds with microseconds.
#[must_use]
pub fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:06}", since.as_secs(), since.subsec_micros())
}

/// The answer to `ping`.
#[must_use]
pub fn pong(now: SystemTime) -> Box<RawValue> {
    RawValue::from_string(format!(r#"{{"timestamp":{}}}"#, timestamp(now))).expect("digits make a number")
}

/// How `camera.frame` is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Format {
    /// As base64 text.
    #[default]
    Base64,
    /// As a Socket.IO attachment.
    Binary,
}

impl Format {
    /// What a client asks for when it connects: `?binary=1`, or `{"binary":true}` beside its CONNECT.
    #[must_use]
    pub fn asked(query: &Query, auth: Option<&RawValue>) -> Self {
        #[derive(Deserialize)]
        struct Auth {
            binary: bool,
        }
        let auth = auth.and_then(|auth| serde_json::from_str::<Auth>(auth.get()).ok());
        if auth.map_or_else(|| query.flag("binary"), |auth| auth.binary) {
            Self::Binary
        } else {
            Self::Base64
        }
    }
}

/// What an event of a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// `ping`: send `pong`.
    Ping,
    /// `set_format {"format":"binary"|"base64"}`.
    Format(Format),
    /// `set_format` with something else.
    UnknownFormat,
    /// Anything else.
    Unknown,
}

impl Request {
    /// Reads an event.
    #[must_use]
    pub fn read(event: &Event) -> Self {
        #[derive(Deserialize)]
        struct SetFormat {
            format: Format,
        }
        match event.name.as_str() {
            "ping" => Self::Ping,
            "set_format" => {
                event.arg::<SetFormat>(0).map_or(Self::UnknownFormat, |set| Self::Format(set.format))
            }
            _ => Self::Unknown,
        }
    }
}

/// A JPEG picture.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The file.
    pub jpeg: Bytes,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// A block of `sensor_data` beside `camera`.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its key.
    pub name: String,
    /// Its value as JSON text, `null` when there is none.
    pub json: String,
}

/// What a tick is made of.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Whether the camera is there.
    pub camera_connected: bool,
    /// How many clients there are.
    pub clients: usize,
    /// The blocks, in the order in which they are sent.
    pub blocks: &'a [Block],
}

/// `sensor_data` and then `status`, encoded when the first client needs it.
#[derive(Debug)]
pub struct Tick {
    /// `sensor_data` without its beginning and its picture; `None` while there is no camera.
    sensor: Option<Sensor>,
    status: Bytes,
    base64: OnceLock<Message>,
    binary: OnceLock<Message>,
}

#[derive(Debug)]
struct Sensor {
    timestamp: String,
    picture: Option<Picture>,
    /// `,"lidar":…` for each block.
    blocks: String,
}

impl Tick {
    /// The tick of this time. `picture` is the one that is new since the last tick.
    #[must_use]
    pub fn new(view: &View<'_>, picture: Option<Picture>, now: SystemTime) -> Self {
        let sensor = view.camera_connected.then(|| Sensor {
            timestamp: timestamp(now),
            picture,
            blocks: view.blocks.iter().fold(String::new(), |mut all, block| {
                let _ = write!(all, ",\"{}\":{}", block.name, block.json);
                all
            }),
        });
        let mut status = format!(
            r#"{{"timestamp":{},"camera_connected":{},"clients_connected":{}"#,
            timestamp(now),
            view.camera_connected,
            view.clients
        );
        for block in view.blocks {
            let _ = write!(status, ",\"{}_connected\":{}", block.name, block.json != "null");
        }
        status.push('}');
        let status = packet::event("status", &status);
        Self { sensor, status, base64: OnceLock::new(), binary: OnceLock::new() }
    }

    fn encode(&self, format: Format) -> Message {
        let mut parts = Vec::with_capacity(3);
        if let Some(sensor) = &self.sensor {
            match &sensor.picture {
                None => parts.push(Part::Text(sensor.text("", "null", &[], ""))),
                Some(picture) => {
                    let size = format!(
                        r#","width":{},"height":{},"format":"jpeg"}}"#,
                        picture.width, picture.height
                    );
                    match format {
                        Format::Base64 => {
                            let end = format!("\"{size}");
                            parts.push(Part::Text(sensor.text("", r#"{"frame":""#, &picture.jpeg, &end)));
                        }
                        Format::Binary => {
                            let frame = r#"{"frame":{"_placeholder":true,"num":0}"#;
                            parts.push(Part::Text(sensor.text("51-", frame, &[], &size)));
                            parts.push(Part::Binary(picture.jpeg.clone()));
                        }
                    }
                }
            }
        }
        parts.push(Part::Text(self.status.clone()));
        Message::new(parts)
    }
}

impl Sensor {
    /// The packet in one buffer. The picture's text needs no escaping, so it is not looked at again after it was made.
    fn text(&self, kind: &str, camera: &str, jpeg: &[u8], end: &str) -> Bytes {
        let kind = if kind.is_empty() { "2" } else { kind };
        let begin = format!(r#"4{kind}["sensor_data",{{"timestamp":{},"camera":{camera}"#, self.timestamp);
        let base64 = jpeg.len().div_ceil(3) * 4;
        let mut text = Vec::with_capacity(begin.len() + base64 + end.len() + self.blocks.len() + 2);
        text.extend_from_slice(begin.as_bytes());
        if !jpeg.is_empty() {
            let at = text.len();
            text.resize(at + base64, 0);
            let written = BASE64.encode_slice(jpeg, &mut text[at..]).expect("the room is four for three");
            text.truncate(at + written);
        }
        text.extend_from_slice(end.as_bytes());
        text.extend_from_slice(self.blocks.as_bytes());
        text.extend_from_slice(b"}]");
        text.into()
    }
}

impl Volatile for Tick {
    fn message(&self, format: u8) -> &Message {
        if format == Format::Binary as u8 {
            self.binary.get_or_init(|| self.encode(Format::Binary))
        } else {
            self.base64.get_or_init(|| self.encode(Format::Base64))
        }
    }
}

#[cfg(test)]
mod tests;
