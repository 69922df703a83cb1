//! Engine.IO packets, and the payloads in which long-polling carries several of them.
//!
//! Version 4 separates packets by U+001E and writes binary as `b<base64>`. Version 3 puts a length before each, in UTF-16
//! code units, writes binary as `b4<base64>`, or the whole payload in a binary form of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// The protocol's revision, `EIO` in the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// socket.io-client 1 and 2.
    V3,
    /// socket.io-client 3 and 4.
    V4,
}

/// What separates the packets of a version 4 payload.
pub const SEPARATOR: u8 = 0x1e;

/// The most packets that are taken from one payload; the rest is dropped.
const MAX_PACKETS: usize = 4096;

/// The longest text of a ping.
const MAX_PING: usize = 125;

/// A packet that has come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Only servers send it.
    Open,
    /// The transport ends.
    Close,
    /// Is the other side there? From version 3 clients, and as `2probe` before an upgrade. What it says is sent back, so
    /// it is short, as that of a WebSocket's ping.
    Ping(&'a str),
    /// The answer to a ping.
    Pong(&'a str),
    /// A Socket.IO packet.
    Message(&'a str),
    /// An attachment of a Socket.IO packet.
    Binary(Bytes),
    /// The upgrade is complete.
    Upgrade,
    /// Nothing.
    Noop,
}

/// Bytes that are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

/// Reads a packet that came as text.
pub fn decode_text(text: &str, version: Version) -> Result<Packet<'_>, Malformed> {
    let Some(kind) = text.chars().next() else { return Err(Malformed("empty packet")) };
    let rest = &text[kind.len_utf8()..];
    Ok(match kind {
        '0' => Packet::Open,
        '1' => Packet::Close,
        '2' if rest.len() > MAX_PING => return Err(Malformed("ping: too long")),
        '2' => Packet::Ping(rest),
        '3' => Packet::Pong(rest),
        '4' => Packet::Message(rest),
        '5' => Packet::Upgrade,
        '6' => Packet::Noop,
        'b' => {
            let text = match version {
                Version::V3 => rest.strip_prefix('4').ok_or(Malformed("binary packet"))?,
                Version::V4 => rest,
            };
            Packet::Binary(STANDARD.decode(text).map_err(|_| Malformed("base64"))?.into())
        }
        _ => return Err(Malformed("packet type")),
    })
}

/// Reads a packet that came as a binary WebSocket message or as a binary part of a version 3 payload.
pub fn decode_binary(bytes: Bytes, version: Version) -> Result<Packet<'static>, Malformed> {
    match version {
        Version::V4 => Ok(Packet::Binary(bytes)),
        // Version 3 has the packet's type in the first byte, and only messages are ever binary.
        Version::V3 if bytes.first() == Some(&4) => Ok(Packet::Binary(bytes.slice(1..))),
        Version::V3 => Err(Malformed("binary packet")),
    }
}

/// The packets of a polling payload, one after the other; those that are malformed are errors in their place.
/// `binary` tells that version 3 sent it as `application/octet-stream`.
#[must_use]
pub fn decode_payload(body: &Bytes, version: Version, binary: bool) -> Payload<'_> {
    let text = match (version, binary) {
        // Looked through once, and not again for each of thousands of packets.
        (Version::V3, false) => match std::str::from_utf8(body) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&body[..error.valid_up_to()]).unwrap_or_default(),
        },
        _ => "",
    };
    Payload { body, text, at: 0, version, binary: binary && version == Version::V3, left: MAX_PACKETS }
}

/// See [`decode_payload`].
pub struct Payload<'a> {
    body: &'a Bytes,
    /// Version 3: as much of the body as is text.
    text: &'a str,
    at: usize,
    version: Version,
    binary: bool,
    left: usize,
}

impl<'a> Payload<'a> {
    /// Ends the payload: what follows cannot be read.
    fn lost(&mut self, what: &'static str) -> Result<Packet<'a>, Malformed> {
        self.at = self.body.len();
        Err(Malformed(what))
    }

    fn separated(&mut self) -> Result<Packet<'a>, Malformed> {
        let rest = &self.body[self.at..];
        let len = rest.iter().position(|b| *b == SEPARATOR);
        let packet = &rest[..len.unwrap_or(rest.len())];
        // A separator at the very end has no packet behind it.
        self.at += len.map_or(rest.len(), |len| len + 1);
        let text = std::str::from_utf8(packet).map_err(|_| Malformed("UTF-8"))?;
        decode_text(text, self.version)
    }

    fn counted(&mut self) -> Result<Packet<'a>, Malformed> {
        // Packets end where characters do, so there is always a rest; it is empty where the text is broken.
        let Some(rest) = self.text.get(self.at..).filter(|rest| !rest.is_empty()) else {
            return self.lost("UTF-8");
        };
        let Some((digits, rest)) = rest.split_once(':') else { return self.lost("length") };
        let Some(units) = number(digits) else { return self.lost("length") };
        let Some(len) = utf16_prefix(rest, units) else { return self.lost("length") };
        self.at += digits.len() + 1 + len;
        decode_text(&rest[..len], Version::V3)
    }

    fn binary(&mut self) -> Result<Packet<'a>, Malformed> {
        let rest = &self.body[self.at..];
        let kind = rest[0];
        let Some(end) = rest.iter().take(12).position(|b| *b == 0xff) else { return self.lost("length") };
        let digits = &rest[1..end.max(1)];
        if digits.is_empty() || digits.iter().any(|d| *d > 9) {
            return self.lost("length");
        }
        let len = digits.iter().fold(0_usize, |n, d| n.saturating_mul(10).saturating_add((*d).into()));
        let start = self.at + end + 1;
        let Some(stop) = start.checked_add(len).filter(|stop| *stop <= self.body.len()) else {
            return self.lost("length");
        };
        self.at = stop;
        match kind {
            0 => {
                let text = std::str::from_utf8(&self.body[start..stop]).map_err(|_| Malformed("UTF-8"))?;
                decode_text(text, Version::V3)
            }
            // A copy: a small attachment that waits for others must not keep the whole body.
            1 => decode_binary(Bytes::copy_from_slice(&self.body[start..stop]), Version::V3),
            _ => self.lost("payload"),
        }
    }
}

impl<'a> Iterator for Payload<'a> {
    type Item = Result<Packet<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.body.len() {
            return None;
        }
        if self.left == 0 {
            return Some(self.lost("payload: too many packets"));
        }
        self.left -= 1;
        Some(match (self.version, self.binary) {
            (Version::V4, _) => self.separated(),
            (Version::V3, false) => self.counted(),
            (Version::V3, true) => self.binary(),
        })
    }
}

fn number(digits: &str) -> Option<usize> {
    let plain = !digits.is_empty() && digits.len() < 12 && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// How many bytes the first `units` UTF-16 code units of a text take; `None` when it is shorter or that would cut a
/// character in half.
fn utf16_prefix(text: &str, units: usize) -> Option<usize> {
    // Nearly all of it is ASCII, where bytes and units are the same.
    if text.as_bytes().get(..units).is_some_and(<[u8]>::is_ascii) {
        return Some(units);
    }
    let (mut bytes, mut left) = (0, units);
    for c in text.chars() {
        if left == 0 {
            break;
        }
        left = left.checked_sub(c.len_utf16())?;
        bytes += c.len_utf8();
    }
    (left == 0).then_some(bytes)
}

/// How long version 3 says that a text is.
#[must_use]
pub fn utf16_len(text: &[u8]) -> usize {
    // A continuation byte begins no character, and characters of four bytes take two units.
    text.iter().map(|b| usize::from(*b & 0xc0 != 0x80) + usize::from(*b >= 0xf0)).sum()
}

/// The packet with which a session begins.
#[must_use]
pub fn open(
    sid: &str,
    upgrade: bool,
    version: Version,
    interval_ms: u128,
    timeout_ms: u128,
    max_payload: usize,
) -> String {
    let upgrades = if upgrade { r#"["websocket"]"# } else { "[]" };
    let max = match version {
        Version::V4 => format!(r#","maxPayload":{max_payload}"#),
        Version::V3 => String::new(),
    };
    format!(
        r#"0{{"sid":"{sid}","upgrades":{upgrades},"pingInterval":{interval_ms},"pingTimeout":{timeout_ms}{max}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::{Malformed, Packet, Version, decode_binary, decode_payload, decode_text, utf16_len};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn payload(
        body: &'static [u8],
        version: Version,
        binary: bool,
    ) -> Vec<Result<Packet<'static>, Malformed>> {
        let body: &'static Bytes = Box::leak(Box::new(Bytes::from_static(body)));
        decode_payload(body, version, binary).collect()
    }

    #[test]
    fn packets_are_read_by_their_first_character() {
        assert_eq!(decode_text("2probe", Version::V4), Ok(Packet::Ping("probe")));
        assert_eq!(decode_text("42[\"é\"]", Version::V3), Ok(Packet::Message("2[\"é\"]")));
        assert_eq!(decode_text("bAQID", Version::V4), Ok(Packet::Binary(Bytes::from_static(&[1, 2, 3]))));
        assert_eq!(decode_text("b4AQID", Version::V3), Ok(Packet::Binary(Bytes::from_static(&[1, 2, 3]))));
        assert_eq!(
            decode_binary(Bytes::from_static(&[4, 9]), Version::V3),
            Ok(Packet::Binary(Bytes::from_static(&[9])))
        );
        for wrong in ["", "9", "é", "b!", "x"] {
            assert!(decode_text(wrong, Version::V4).is_err(), "{wrong}");
        }
        assert!(decode_text("bAQID", Version::V3).is_err());
        assert!(decode_binary(Bytes::new(), Version::V3).is_err());
    }

    #[test]
    fn a_payload_of_version_4_is_separated_by_1e() {
        let packets = payload(b"4hello\x1e2\x1ebAQID", Version::V4, false);
        assert_eq!(
            packets,
            [
                Ok(Packet::Message("hello")),
                Ok(Packet::Ping("")),
                Ok(Packet::Binary(Bytes::from_static(&[1, 2, 3])))
            ]
        );
        let packets = payload(b"4a\x1e\x1e9\x1e4b\x1e", Version::V4, false);
        assert_eq!(
            packets.iter().filter(|p| p.is_ok()).count(),
            2,
            "one bad packet does not spoil its neighbours"
        );
    }

    #[test]
    fn a_payload_of_version_3_counts_utf16_units() {
        let packets = payload("6:4hello2:4€3:4🦀1:2".as_bytes(), Version::V3, false);
        assert_eq!(
            packets,
            [
                Ok(Packet::Message("hello")),
                Ok(Packet::Message("€")),
                Ok(Packet::Message("🦀")),
                Ok(Packet::Ping(""))
            ]
        );
        assert_eq!(payload("2:4🦀".as_bytes(), Version::V3, false), [Err(Malformed("length"))]);
        assert_eq!(payload(b"99999999999999999999:4", Version::V3, false), [Err(Malformed("length"))]);
    }

    #[test]
    fn text_before_bytes_that_are_none_is_read() {
        let packets = payload(b"2:4a2:4b\xff2:4c", Version::V3, false);
        let text = |text| Ok(Packet::Message(text));
        assert_eq!(packets, [text("a"), text("b"), Err(Malformed("UTF-8"))]);
    }

    #[test]
    fn a_ping_is_short_because_it_is_sent_back() {
        assert!(decode_text(&format!("2{}", "x".repeat(125)), Version::V4).is_ok());
        assert!(decode_text(&format!("2{}", "x".repeat(126)), Version::V4).is_err());
    }

    #[test]
    fn a_binary_payload_of_version_3_has_text_and_bytes() {
        let body = b"\x00\x06\xff4hello\x01\x04\xff\x04\x01\x02\x03";
        assert_eq!(
            payload(body, Version::V3, true),
            [Ok(Packet::Message("hello")), Ok(Packet::Binary(Bytes::from_static(&[1, 2, 3])))]
        );
        for wrong in
            [&b"\x00\xff"[..], b"\x00\x0a\xff", b"\x00\x09\xffabc", b"\x07\x01\xffa", b"\xff", b"\x00"]
        {
            assert!(payload(Box::leak(wrong.into()), Version::V3, true)[0].is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_payload_of_endless_tiny_packets_is_cut() {
        let body = Bytes::from("2\u{1e}".repeat(10_000));
        let packets: Vec<_> = decode_payload(&body, Version::V4, false).collect();
        assert_eq!(packets.len(), 4097);
        assert!(packets[4096].is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_packets_or_errors(body in prop::collection::vec(any::<u8>(), 0..300), v3 in any::<bool>(), binary in any::<bool>()) {
            let body = Bytes::from(body);
            let version = if v3 { Version::V3 } else { Version::V4 };
            prop_assert!(decode_payload(&body, version, binary).count() <= 4097);
        }

        #[test]
        fn lengths_are_those_of_javascript(text in "\\PC*") {
            prop_assert_eq!(utf16_len(text.as_bytes()), text.encode_utf16().count());
        }

        #[test]
        fn what_is_counted_is_read_back(texts in prop::collection::vec("\\PC{0,20}", 1..6)) {
            let body: String = texts.iter().map(|t| format!("{}:4{t}", utf16_len(t.as_bytes()) + 1)).collect();
            let body = Bytes::from(body);
            let packets: Vec<_> = decode_payload(&body, Version::V3, false).collect();
            let expected: Vec<_> = texts.iter().map(|t| Ok(Packet::Message(t.as_str()))).collect();
            prop_assert_eq!(packets, expected);
        }
    }
}
