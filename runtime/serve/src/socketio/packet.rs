//! Socket.IO packets: what an Engine.IO message says.
//!
//! Arguments stay JSON text until the plugin asks for its own type: a tree of values would take many times the memory of
//! the message that a peer may send.

use super::engine::Malformed;
use bytes::Bytes;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub use serde_json::value::RawValue;

/// The most arguments of an event.
const MAX_ARGUMENTS: usize = 64;
/// The most attachments of an event.
pub const MAX_ATTACHMENTS: usize = 16;

/// An event from a client.
#[derive(Debug)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its arguments, each as JSON text.
    pub args: Vec<Box<RawValue>>,
    /// Its binary attachments; in the arguments `{"_placeholder":true,"num":N}` stands where the Nth belongs.
    pub attachments: Vec<Bytes>,
    /// The number under which the client wants an acknowledgement.
    pub ack: Option<u64>,
}

impl Event {
    /// An argument as a type, or `None` when there is none or it is something else.
    #[must_use]
    pub fn arg<T: DeserializeOwned>(&self, index: usize) -> Option<T> {
        serde_json::from_str(self.args.get(index)?.get()).ok()
    }
}

/// A packet that has come in.
#[derive(Debug)]
pub enum Packet {
    /// The client wants into a namespace.
    Connect {
        /// `/` or another.
        namespace: String,
        /// What it says about itself.
        auth: Option<Box<RawValue>>,
    },
    /// The client leaves a namespace.
    Disconnect {
        /// `/` or another.
        namespace: String,
    },
    /// An event; its attachments follow as binary packets.
    Event {
        /// `/` or another.
        namespace: String,
        /// The event, still without its attachments.
        event: Event,
        /// How many attachments follow.
        attachments: usize,
    },
    /// The answer to an event of ours, which never asks for one.
    Ack {
        /// How many attachments follow.
        attachments: usize,
    },
}

/// The name and arguments of an event: `["name", …]`.
struct Arguments(String, Vec<Box<RawValue>>);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Arguments;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array that begins with a name")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Arguments, A::Error> {
                use serde::de::Error;
                let name = seq.next_element()?.ok_or_else(|| A::Error::custom("no name"))?;
                let mut args = Vec::new();
                while let Some(arg) = seq.next_element()? {
                    if args.len() == MAX_ARGUMENTS {
                        return Err(A::Error::custom("too many arguments"));
                    }
                    args.push(arg);
                }
                Ok(Arguments(name, args))
            }
        }
        deserializer.deserialize_seq(Visit)
    }
}

/// Splits digits off the front of a text.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}

/// Reads the text of an Engine.IO message.
pub fn decode(text: &str) -> Result<Packet, Malformed> {
    let kind = *text.as_bytes().first().ok_or(Malformed("empty message"))?;
    if !kind.is_ascii() {
        return Err(Malformed("message type"));
    }
    let mut rest = &text[1..];
    let mut attachments = 0;
    if matches!(kind, b'5' | b'6') {
        let (count, after) = digits(rest);
        rest = after.strip_prefix('-').ok_or(Malformed("attachment count"))?;
        attachments =
            count.parse().ok().filter(|n| *n <= MAX_ATTACHMENTS).ok_or(Malformed("attachment count"))?;
    }
    let mut namespace = "/";
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        // Version 3 clients put their query here.
        namespace = namespace.split_once('?').map_or(namespace, |(name, _)| name);
    }
    let namespace = namespace.to_owned();
    match kind {
        b'0' => {
            let auth = match rest {
                "" => None,
                json => Some(RawValue::from_string(json.to_owned()).map_err(|_| Malformed("JSON"))?),
            };
            Ok(Packet::Connect { namespace, auth })
        }
        b'1' => Ok(Packet::Disconnect { namespace }),
        b'2' | b'5' => {
            let (id, json) = digits(rest);
            let ack = match id {
                "" => None,
                id => Some(id.parse().map_err(|_| Malformed("acknowledgement id"))?),
            };
            let Arguments(name, args) = serde_json::from_str(json).map_err(|_| Malformed("event"))?;
            let event = Event { name, args, attachments: Vec::new(), ack };
            Ok(Packet::Event { namespace, event, attachments })
        }
        b'3' | b'6' => Ok(Packet::Ack { attachments }),
        _ => Err(Malformed("message type")),
    }
}

/// `4`, then what follows: a whole Engine.IO text packet with a name and arguments.
fn event_with(head: &str, name: &str, payload: Option<&str>) -> Bytes {
    debug_assert!(
        !matches!(name, "connect" | "disconnect" | "connect_error"),
        "clients close on a reserved name"
    );
    let name = serde_json::Value::from(name).to_string();
    let comma = if payload.is_some() { "," } else { "" };
    Bytes::from(format!("{head}[{name}{comma}{}]", payload.unwrap_or_default()))
}

/// The Engine.IO packet of an event with one argument, which is JSON text already.
#[must_use]
pub fn event(name: &str, payload: &str) -> Bytes {
    event_with("42", name, Some(payload))
}

/// The Engine.IO packet of an event with attachments; in `payload` `{"_placeholder":true,"num":N}` stands for the Nth.
#[must_use]
pub fn binary_event(name: &str, payload: &str, attachments: usize) -> Bytes {
    event_with(&format!("45{attachments}-"), name, Some(payload))
}

/// The Engine.IO packet that acknowledges an event with one argument, or none.
#[must_use]
pub fn ack(id: u64, value: Option<&impl Serialize>) -> Bytes {
    let json = value.and_then(|value| serde_json::to_string(value).ok()).unwrap_or_default();
    Bytes::from(format!("43{id}[{json}]"))
}

#[cfg(test)]
mod tests {
    use super::{MAX_ATTACHMENTS, Packet, ack, binary_event, decode, event};
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_protocol_are_read() {
        let Ok(Packet::Connect { namespace, auth: None }) = decode("0") else { panic!() };
        assert_eq!(namespace, "/");
        let Ok(Packet::Connect { namespace, auth: Some(auth) }) = decode(r#"0/admin,{"token":"123"}"#) else {
            panic!()
        };
        assert_eq!((namespace.as_str(), auth.get()), ("/admin", r#"{"token":"123"}"#));
        let Ok(Packet::Disconnect { namespace }) = decode("1/admin,") else { panic!() };
        assert_eq!(namespace, "/admin");
        let Ok(Packet::Event { event, attachments: 0, .. }) = decode(r#"212["foo",{"a":1},"b"]"#) else {
            panic!()
        };
        assert_eq!((event.name.as_str(), event.ack, event.args.len()), ("foo", Some(12), 2));
        assert_eq!(event.arg::<String>(1).as_deref(), Some("b"));
        assert_eq!(event.arg::<String>(0), None);
        let text = r#"51-/x,7["baz",{"_placeholder":true,"num":0}]"#;
        let Ok(Packet::Event { namespace, event, attachments: 1 }) = decode(text) else { panic!() };
        assert_eq!((namespace.as_str(), event.ack), ("/x", Some(7)));
        assert!(matches!(decode("3456[]"), Ok(Packet::Ack { attachments: 0 })));
        let Ok(Packet::Connect { namespace, .. }) = decode("0/chat?token=1,") else { panic!() };
        assert_eq!(namespace, "/chat");
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        for wrong in [
            "",
            "9",
            "é",
            "2",
            "2{}",
            "2[]",
            "2[1]",
            "2[\"a\"",
            "5[\"a\"]",
            "5-[\"a\"]",
            "517-[\"a\"]",
            "0{",
            "2999999999999999999999[\"a\"]",
            "2[\"a\"]x",
        ] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
        let deep = format!("2[\"a\",{}{}]", "[".repeat(100_000), "]".repeat(100_000));
        let Ok(Packet::Event { event, .. }) = decode(&deep) else { panic!("as text it is harmless") };
        assert!(event.arg::<serde_json::Value>(0).is_none(), "nesting is bounded where it costs stack");
        let many = format!("2[\"a\"{}]", ",0".repeat(100_000));
        assert!(decode(&many).is_err(), "arguments are bounded");
        assert!(decode(&format!("5{MAX_ATTACHMENTS}-[\"a\"]")).is_ok());
    }

    #[test]
    fn events_and_acknowledgements_are_written_as_clients_read_them() {
        assert_eq!(event("pong", "{\"timestamp\":1.5}"), "42[\"pong\",{\"timestamp\":1.5}]");
        assert_eq!(binary_event("a\"b", "{}", 1), "451-[\"a\\\"b\",{}]");
        assert_eq!(ack(3, Some(&"yes")), "433[\"yes\"]");
        assert_eq!(ack(3, None::<&()>), "433[]");
    }

    proptest! {
        #[test]
        fn any_text_is_a_packet_or_an_error(text in "\\PC*") {
            let _ = decode(&text);
        }

        #[test]
        fn nearly_packets_are_packets_or_errors(text in "[0-6]{1,3}-?(/[a-z]{0,3},)?[0-9]{0,3}[\\[\\]{}\",:a0-9]{0,20}") {
            let _ = decode(&text);
        }

        #[test]
        fn what_is_written_is_read_back(name in "\\PC{1,12}", value in "\\PC{0,12}", id in any::<u64>()) {
            let payload = serde_json::to_string(&value).unwrap();
            let text = event(&format!("x{name}"), &payload);
            let text = std::str::from_utf8(&text).unwrap().replacen("42", &format!("2{id}"), 1);
            let Ok(Packet::Event { event, .. }) = decode(&text) else { panic!("{text}") };
            prop_assert_eq!(event.name.clone(), format!("x{name}"));
            prop_assert_eq!(event.arg::<String>(0), Some(value));
            prop_assert_eq!(event.ack, Some(id));
        }
    }
}
