//! When a message was made, read from the message itself.
//!
//! Sender and receiver run on the same machine, so their clocks agree.

use crate::edge::Edge;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;

/// What the fake camera writes in front of its time stamp, inside a JPEG comment.
const COMMENT_MARK: &[u8] = b"CAMTS:";

/// Where the time stamp of a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stamp {
    /// Nowhere: no latency is measured.
    None,
    /// Seconds since 1970 under a JSON key.
    Epoch,
    /// `YYYY-MM-DD HH:MM:SS.mmm` under a JSON key.
    Datetime,
    /// Microseconds since 1970 in a JPEG comment that the fake camera wrote: latency from capture.
    Comment,
    /// The same where the JPEG is sent as base64.
    CommentBase64,
}

impl Stamp {
    /// The time at which the message was made, in seconds since 1970 UTC.
    ///
    /// `key` is what stands before the value, quotes included; `utc_offset` is how many seconds the server's local time
    /// is ahead of UTC.
    pub fn read(self, message: &Edge, key: &[u8], utc_offset: f64) -> Option<f64> {
        match self {
            Stamp::None => None,
            Stamp::Epoch => epoch(value(message, key)?),
            Stamp::Datetime => Some(datetime(value(message, key)?)? - utc_offset),
            Stamp::Comment => comment(message.head()),
            Stamp::CommentBase64 => comment(&decode_picture(message.head())?),
        }
    }
}

/// Where `needle` begins in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// What follows `key` and its colon, at whichever end of the message the key stands.
pub(crate) fn value<'a>(message: &'a Edge, key: &[u8]) -> Option<&'a [u8]> {
    [message.head(), message.tail()].into_iter().find_map(|end| {
        let rest = &end[find(end, key)? + key.len()..];
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b':' | b'"'))?;
        Some(&rest[start..])
    })
}

fn epoch(text: &[u8]) -> Option<f64> {
    let end = text.iter().position(|byte| !(byte.is_ascii_digit() || *byte == b'.')).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}

fn datetime(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text.get(..23)?).ok()?;
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let days = days_since_1970(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = days * 86_400 + number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?;
    Some(seconds as f64 + number(20, 23)? as f64 / 1e3)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // The year begins in March here, so that the leap day is its last.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn comment(picture: &[u8]) -> Option<f64> {
    let start = find(picture, COMMENT_MARK)? + COMMENT_MARK.len();
    let digits = std::str::from_utf8(picture.get(start..start + 16)?).ok()?;
    Some(digits.parse::<u64>().ok()? as f64 / 1e6)
}

/// The first bytes of a JPEG that stands as base64 somewhere in `text`.
fn decode_picture(text: &[u8]) -> Option<Vec<u8>> {
    // "/9j/" is the base64 of FF D8 FF, with which every JPEG begins.
    let picture = &text[find(text, b"/9j/")?..];
    let whole = (picture.len() / 4 * 4).min(128);
    STANDARD.decode(&picture[..whole]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"\"timestamp\"";

    fn edge(message: &[u8]) -> Edge {
        let mut edge = Edge::default();
        edge.push(message);
        edge
    }

    #[test]
    fn an_epoch_is_read_at_either_end_of_a_message() {
        let first = edge(br#"42["sensor_data",{"timestamp":1763683200.25,"camera":null}]"#);
        assert_eq!(Stamp::Epoch.read(&first, KEY, 0.0), Some(1_763_683_200.25));
        let mut last = vec![b'x'; 5000];
        last.extend_from_slice(br#"","timestamp": 12.5}"#);
        assert_eq!(Stamp::Epoch.read(&edge(&last), KEY, 0.0), Some(12.5));
    }

    #[test]
    fn a_local_date_becomes_utc() {
        let message = edge(br#"{"type":"frame","timestamp":"2024-02-29 12:30:15.500"}"#);
        assert_eq!(Stamp::Datetime.read(&message, KEY, 0.0), Some(1_709_209_815.5));
        assert_eq!(Stamp::Datetime.read(&message, KEY, 3600.0), Some(1_709_206_215.5));
    }

    #[test]
    fn the_cameras_comment_is_read_plain_and_in_base64() {
        let picture = b"\xff\xd8\xff\xfe\x00\x18CAMTS:0000000012500000\xff\xfe".repeat(2);
        assert_eq!(Stamp::Comment.read(&edge(&picture), KEY, 0.0), Some(12.5));
        let text = format!(r#"{{"frame":"{}"}}"#, STANDARD.encode(&picture));
        assert_eq!(Stamp::CommentBase64.read(&edge(text.as_bytes()), KEY, 0.0), Some(12.5));
    }

    #[test]
    fn a_message_without_a_stamp_has_none() {
        for message in [&b""[..], b"{}", br#""timestamp""#, br#""timestamp":"soon""#, b"CAMTS:12", b"/9j/"] {
            let stamps = [Stamp::None, Stamp::Epoch, Stamp::Datetime, Stamp::Comment, Stamp::CommentBase64];
            for stamp in stamps {
                assert_eq!(stamp.read(&edge(message), KEY, 0.0), None, "{stamp:?}");
            }
        }
    }
}
