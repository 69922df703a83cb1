//! Engine.IO 4 and Socket.IO 5 as a client reads and writes them, over WebSocket.

use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;
use std::time::Duration;

/// What a ping may carry.
const MAX_PING: usize = 125;
/// A server that wants longer or shorter times than anybody uses gets these.
const TIMES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// A packet from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The transport is open.
    Open {
        /// How long the server may be silent before it is taken for dead.
        silence: Duration,
        /// The largest message that it takes, in bytes.
        max_payload: Option<usize>,
    },
    /// The transport ends.
    Close,
    /// Are you there? With what is to be sent back.
    Ping(&'a str),
    /// The client is in the namespace.
    Connected,
    /// The client may not into the namespace. With what the server says about it, JSON.
    Refused(&'a str),
    /// The client is out of the namespace.
    Disconnected,
    /// An event without attachments: its name and its first argument, JSON.
    Event(String, Option<&'a str>),
    /// The acknowledgement of an event of ours: its number and its first argument, JSON.
    Ack(u64, Option<&'a str>),
    /// Something for others: another namespace, attachments, nothing.
    Other,
}

/// What a packet is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the upstream sends what is no Socket.IO ({0})")]
pub struct Malformed(pub &'static str);

#[derive(Deserialize)]
struct Opening {
    #[serde(rename = "pingInterval", default)]
    ping_interval: Option<f64>,
    #[serde(rename = "pingTimeout", default)]
    ping_timeout: Option<f64>,
    #[serde(rename = "maxPayload", default)]
    max_payload: Option<Number>,
}

fn milliseconds(ms: Option<f64>, default: u64) -> Duration {
    let ms = ms.filter(|ms| ms.is_finite() && *ms >= 0.0).unwrap_or(default as f64);
    Duration::from_secs_f64((ms / 1000.0).min(TIMES.1.as_secs_f64()))
}

/// Reads a text message of the WebSocket.
pub fn decode(text: &str) -> Result<Packet<'_>, Malformed> {
    let kind = *text.as_bytes().first().ok_or(Malformed("an empty packet"))?;
    let Some(rest) = text.get(1..) else { return Err(Malformed("an unknown packet")) };
    match kind {
        b'0' => {
            if !rest.starts_with('{') {
                return Err(Malformed("its opening"));
            }
            let opening: Opening = serde_json::from_str(rest).map_err(|_| Malformed("its opening"))?;
            let silence =
                milliseconds(opening.ping_interval, 25_000) + milliseconds(opening.ping_timeout, 20_000);
            // A number that is no size is none.
            let max_payload = opening
                .max_payload
                .and_then(|most| usize::try_from(most.as_u64()?).ok())
                .filter(|most| *most > 0);
            Ok(Packet::Open { silence: silence.clamp(TIMES.0, TIMES.1), max_payload })
        }
        b'1' => Ok(Packet::Close),
        b'2' if rest.len() > MAX_PING => Err(Malformed("a long ping")),
        b'2' => Ok(Packet::Ping(rest)),
        b'3' | b'5' | b'6' | b'b' => Ok(Packet::Other),
        b'4' => message(rest),
        _ => Err(Malformed("an unknown packet")),
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}

fn message(text: &str) -> Result<Packet<'_>, Malformed> {
    let kind = *text.as_bytes().first().ok_or(Malformed("an empty message"))?;
    let Some(mut rest) = text.get(1..) else { return Err(Malformed("an unknown message")) };
    if matches!(kind, b'5' | b'6') {
        // Its attachments follow as binary messages, which nobody reads.
        return Ok(Packet::Other);
    }
    if rest.starts_with('/') {
        let (namespace, after) = rest.split_once(',').unwrap_or((rest, ""));
        if namespace != "/" {
            return Ok(Packet::Other);
        }
        rest = after;
    }
    match kind {
        b'0' => Ok(Packet::Connected),
        b'1' => Ok(Packet::Disconnected),
        b'2' => {
            let (_, json) = digits(rest);
            let Elements(name, argument) = serde_json::from_str(json).map_err(|_| Malformed("an event"))?;
            let name = name.ok_or(Malformed("an event without a name"))?;
            let name: String = serde_json::from_str(name.get()).map_err(|_| Malformed("an event's name"))?;
            Ok(Packet::Event(name, argument.map(RawValue::get)))
        }
        b'3' => {
            let (id, json) = digits(rest);
            let id = id.parse().map_err(|_| Malformed("an acknowledgement's number"))?;
            let Elements(argument, _) =
                serde_json::from_str(json).map_err(|_| Malformed("an acknowledgement"))?;
            Ok(Packet::Ack(id, argument.map(RawValue::get)))
        }
        b'4' => Ok(Packet::Refused(rest)),
        _ => Err(Malformed("an unknown message")),
    }
}

/// The first two elements of an array; the others are read over.
struct Elements<'a>(Option<&'a RawValue>, Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> serde::de::Visitor<'de> for Visit {
            type Value = (Option<&'de RawValue>, Option<&'de RawValue>);
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let found = (seq.next_element()?, seq.next_element()?);
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(found)
            }
        }
        let (first, second) = deserializer.deserialize_seq(Visit)?;
        Ok(Self(first, second))
    }
}

/// The packet that asks to be let into the namespace `/`. `auth` is JSON.
#[must_use]
pub fn connect(auth: Option<&str>) -> String {
    format!("40{}", auth.unwrap_or_default())
}

/// The packet of an event with one argument, JSON, that is to be acknowledged under a number.
#[must_use]
pub fn event(name: &str, id: u64, argument: &str) -> String {
    let mut text = String::with_capacity(argument.len() + name.len() + 32);
    text.push_str("42");
    text.push_str(&id.to_string());
    text.push_str("[\"");
    text.push_str(name);
    text.push_str("\",");
    text.push_str(argument);
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::{Packet, connect, decode, event};
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn what_servers_say_is_read() {
        let open =
            r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        let silence = Duration::from_secs(45);
        assert_eq!(decode(open), Ok(Packet::Open { silence, max_payload: Some(1_000_000) }));
        assert_eq!(decode("0{}"), Ok(Packet::Open { silence, max_payload: None }));
        assert_eq!(decode("1"), Ok(Packet::Close));
        assert_eq!(decode("2x"), Ok(Packet::Ping("x")));
        assert_eq!(decode(r#"40{"sid":"b"}"#), Ok(Packet::Connected));
        assert_eq!(decode("40/,{}"), Ok(Packet::Connected));
        assert_eq!(decode("41"), Ok(Packet::Disconnected));
        assert_eq!(decode(r#"44{"message":"no"}"#), Ok(Packet::Refused(r#"{"message":"no"}"#)));
        let event = r#"42["lpr_response",{"success":true},3]"#;
        assert_eq!(decode(event), Ok(Packet::Event("lpr_response".to_owned(), Some(r#"{"success":true}"#))));
        assert_eq!(decode(r#"427["status"]"#), Ok(Packet::Event("status".to_owned(), None)));
        assert_eq!(decode(r#"4312[{"a":1}]"#), Ok(Packet::Ack(12, Some(r#"{"a":1}"#))));
        assert_eq!(decode("430[]"), Ok(Packet::Ack(0, None)));
        for other in
            ["6", "3", r#"42/admin,["x"]"#, r#"451-["x",{"_placeholder":true,"num":0}]"#, "40/admin,"]
        {
            assert_eq!(decode(other), Ok(Packet::Other), "{other}");
        }
    }

    #[test]
    fn times_and_sizes_that_nobody_means_are_none() {
        for (open, silence) in [
            (r#"0{"pingInterval":0,"pingTimeout":0}"#, 1),
            (r#"0{"pingInterval":1e300,"pingTimeout":1e300}"#, 3600),
            (r#"0{"pingInterval":-5,"pingTimeout":null,"maxPayload":-1}"#, 45),
        ] {
            let silence = Duration::from_secs(silence);
            assert_eq!(decode(open), Ok(Packet::Open { silence, max_payload: None }), "{open}");
        }
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        for wrong in [
            "",
            "é",
            "9",
            "4",
            "4é",
            "49",
            "42",
            "42{}",
            "42[]",
            "42[1]",
            "43[]",
            "43x[]",
            "0",
            "0[]",
            "0{",
            "42[\"a\"",
            "4399999999999999999999[]",
        ] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
        assert!(decode(&format!("2{}", "x".repeat(126))).is_err());
    }

    #[test]
    fn deep_and_long_answers_are_read_over() {
        let deep = format!("42[\"a\",1,{}{}]", "[".repeat(100), "]".repeat(100));
        assert_eq!(decode(&deep), Ok(Packet::Event("a".to_owned(), Some("1"))));
        let many = format!("42[\"a\"{}]", ",0".repeat(100_000));
        assert_eq!(decode(&many), Ok(Packet::Event("a".to_owned(), Some("0"))));
        let abyss = format!("42[\"a\",{}", "[".repeat(100_000));
        assert!(decode(&abyss).is_err());
    }

    #[test]
    fn what_is_said_is_as_servers_read_it() {
        assert_eq!(connect(None), "40");
        assert_eq!(connect(Some(r#"{"api_key":"x"}"#)), r#"40{"api_key":"x"}"#);
        assert_eq!(event("lpr_data", 7, "{}"), r#"427["lpr_data",{}]"#);
    }

    proptest! {
        #[test]
        fn any_text_is_a_packet_or_an_error(text in "\\PC*") {
            let _ = decode(&text);
        }

        #[test]
        fn nearly_packets_are_packets_or_errors(text in "[0-6b]{1,3}-?(/[a-z]{0,3},)?[0-9]{0,3}[\\[\\]{}\",:a0-9]{0,20}") {
            let _ = decode(&text);
        }
    }
}
