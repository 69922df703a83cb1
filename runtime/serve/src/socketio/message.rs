//! What is sent, encoded at most once for each form that some client needs.

use super::engine::{SEPARATOR, Version, utf16_len};
use crate::{Segments, SegmentsBuilder, Weight, websocket};
use base64::Engine as _;
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// One Engine.IO packet.
#[derive(Debug, Clone)]
pub enum Part {
    /// A text packet, from its type digit on (`42["name",…]`). Must be UTF-8.
    Text(Bytes),
    /// An attachment.
    Binary(Bytes),
}

/// How packets are carried to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    WebSocket(Version),
    Polling(Version),
}

/// Packets that belong together and reach a client together, shared by all who get them.
#[derive(Debug)]
pub struct Message {
    parts: Vec<Part>,
    /// By [`Form`]: each is built when the first client needs it.
    forms: [OnceLock<Segments>; 4],
}

impl Message {
    /// A message of these packets. An event with attachments is its text part followed by as many binary parts.
    #[must_use]
    pub fn new(parts: Vec<Part>) -> Self {
        Self { parts, forms: Default::default() }
    }

    /// A message of one text packet.
    #[must_use]
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::new(vec![Part::Text(text.into())])
    }

    /// An event with one argument.
    #[must_use]
    pub fn event(name: &str, payload: &impl serde::Serialize) -> Self {
        // What does not serialise (a map whose keys are no text) is sent as null rather than not at all.
        let json = serde_json::to_string(payload).unwrap_or_else(|_| "null".to_owned());
        Self::text(super::packet::event(name, &json))
    }

    /// The packets.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// How many packets these are.
    pub(crate) fn packets(&self) -> usize {
        self.parts.len()
    }

    /// The bytes for a transport. On long-polling the caller puts a separator between messages of version 4.
    pub(crate) fn encoded(&self, form: Form) -> &Segments {
        let index = match form {
            Form::WebSocket(Version::V4) => 0,
            Form::WebSocket(Version::V3) => 1,
            Form::Polling(Version::V4) => 2,
            Form::Polling(Version::V3) => 3,
        };
        self.forms[index].get_or_init(|| self.encode(form))
    }

    fn encode(&self, form: Form) -> Segments {
        let mut builder = SegmentsBuilder::new();
        for (i, part) in self.parts.iter().enumerate() {
            match (form, part) {
                (Form::WebSocket(_), Part::Text(text)) => websocket::put_text(&mut builder, text),
                (Form::WebSocket(Version::V4), Part::Binary(bytes)) => {
                    websocket::put_binary(&mut builder, &[], bytes);
                }
                // Version 3 has the packet's type, 4, before the bytes.
                (Form::WebSocket(Version::V3), Part::Binary(bytes)) => {
                    websocket::put_binary(&mut builder, &[4], bytes);
                }
                (Form::Polling(Version::V4), part) => {
                    if i > 0 {
                        builder.copy(&[SEPARATOR]);
                    }
                    match part {
                        Part::Text(text) => builder.share(text),
                        Part::Binary(bytes) => builder.share(&base64("b", bytes)),
                    }
                }
                (Form::Polling(Version::V3), part) => {
                    let text = match part {
                        Part::Text(text) => text.clone(),
                        Part::Binary(bytes) => base64("b4", bytes),
                    };
                    builder.copy(format!("{}:", utf16_len(&text)).as_bytes());
                    builder.share(&text);
                }
            }
        }
        builder.finish()
    }
}

fn base64(prefix: &str, bytes: &[u8]) -> Bytes {
    let mut text = String::with_capacity(prefix.len() + bytes.len().div_ceil(3) * 4);
    text.push_str(prefix);
    base64::engine::general_purpose::STANDARD.encode_string(bytes, &mut text);
    text.into()
}

/// What waits in a client's queue.
#[derive(Debug, Clone)]
pub(crate) enum Outgoing {
    Message(Arc<Message>),
    /// A WebSocket control frame; nothing on long-polling.
    Control(Segments),
}

impl Outgoing {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::Message(Arc::new(Message::text(text)))
    }
}

impl Weight for Outgoing {
    fn weight(&self) -> usize {
        match self {
            Self::Message(message) => message
                .parts
                .iter()
                .map(|part| match part {
                    Part::Text(bytes) | Part::Binary(bytes) => bytes.len(),
                })
                .sum(),
            Self::Control(segments) => segments.len(),
        }
    }
}

/// What [`Server::publish`](super::Server::publish) sends to everybody: the newest replaces the one before.
pub trait Volatile: Send + Sync + 'static {
    /// The message for clients of this format (see [`Socket::set_format`](super::Socket::set_format)); 0 is the default.
    /// Called for every client, so it should build each format once.
    fn message(&self, format: u8) -> &Message;
}

impl Volatile for Message {
    fn message(&self, _: u8) -> &Message {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, Message, Part};
    use crate::socketio::Version;
    use crate::socketio::engine::{Packet, decode_payload};
    use bytes::Bytes;

    fn tick() -> Message {
        Message::new(vec![
            Part::Text(Bytes::from_static(
                b"451-[\"sensor_data\",{\"frame\":{\"_placeholder\":true,\"num\":0}}]",
            )),
            Part::Binary(Bytes::from_static(&[0xff, 0xd8, 0xff])),
            Part::Text("42[\"status\",\"é\"]".into()),
        ])
    }

    #[test]
    fn a_polling_payload_holds_every_packet_in_order() {
        for version in [Version::V3, Version::V4] {
            let body = tick().encoded(Form::Polling(version)).to_bytes();
            let packets: Vec<_> = decode_payload(&body, version, false).map(Result::unwrap).collect();
            assert_eq!(packets.len(), 3, "{version:?}");
            assert_eq!(packets[1], Packet::Binary(Bytes::from_static(&[0xff, 0xd8, 0xff])));
            assert_eq!(packets[2], Packet::Message("2[\"status\",\"é\"]"));
        }
    }

    #[test]
    fn binary_packets_of_version_3_begin_with_4() {
        let all = |version| tick().encoded(Form::WebSocket(version)).to_bytes();
        let find = |all: &Bytes, what: &[u8]| all.windows(what.len()).any(|w| w == what);
        assert!(find(&all(Version::V4), b"\x82\x03\xff\xd8\xff"));
        assert!(find(&all(Version::V3), b"\x82\x04\x04\xff\xd8\xff"));
    }

    #[test]
    fn a_form_is_built_once_and_shares_the_memory_of_large_parts() {
        let picture = Bytes::from(vec![1; 50_000]);
        let message = Message::new(vec![Part::Text("42".into()), Part::Binary(picture.clone())]);
        let form = Form::WebSocket(Version::V4);
        assert!(message.encoded(form).iter().any(|piece| piece.as_ptr() == picture.as_ptr()));
        assert!(std::ptr::eq(message.encoded(form), message.encoded(form)));
    }
}
