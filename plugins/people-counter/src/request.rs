//! What a client sends.

use crate::integer::{Integer, NoInteger};
use serde::Deserializer as _;
use serde::de::{Deserialize, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// How many faces are sent when it is not said.
pub const FACES: usize = 50;
/// The most faces that are sent at once.
pub const MOST_FACES: usize = 500;

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `get_face`: the picture of one face.
    Face(Integer),
    /// `get_all_faces`: this many of the newest faces.
    Faces(usize),
}

/// Why a message is not done. Only its sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not JSON.
    NotJson,
    /// Its `type` is missing or unknown.
    UnknownType,
    /// `face_id` or `limit` is no number.
    NoNumber,
    /// It is no object, `face_id` or `limit` is a list or an object, or the gateway does not answer.
    Internal,
}

impl Refusal {
    /// The protocol's words for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NotJson => "Invalid JSON message",
            Self::UnknownType => "Unknown request type",
            Self::NoNumber => "Invalid face_id or limit format",
            Self::Internal => "Internal server error processing request",
        }
    }
}

impl From<NoInteger> for Refusal {
    fn from(why: NoInteger) -> Self {
        match why {
            NoInteger::Value => Self::NoNumber,
            NoInteger::Type => Self::Internal,
        }
    }
}

impl Request {
    /// Reads a message. What is not looked at is only checked to be JSON, so that nothing of a message is kept,
    /// however deep or long it is.
    pub fn read(message: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(message).map_err(|_| Refusal::NotJson)?;
        let json: &RawValue = serde_json::from_str(text).map_err(|_| Refusal::NotJson)?;
        if !json.get().starts_with('{') {
            return Err(Refusal::Internal);
        }
        let mut object = serde_json::Deserializer::from_str(json.get());
        let fields = object.deserialize_map(FieldsVisitor).map_err(|_| Refusal::NotJson)?;
        let kind = fields.kind.and_then(|kind| serde_json::from_str::<String>(kind.get()).ok());
        match kind.as_deref() {
            Some("get_face") => {
                let id = fields.face_id.ok_or(Refusal::NoNumber)?;
                Ok(Self::Face(Integer::read(id)?))
            }
            Some("get_all_faces") => match fields.limit {
                None => Ok(Self::Faces(FACES)),
                Some(limit) if limit.get() == "null" => Ok(Self::Faces(FACES)),
                Some(limit) => Ok(Self::Faces(Integer::read(limit)?.clamp(MOST_FACES))),
            },
            _ => Err(Refusal::UnknownType),
        }
    }
}

/// What is looked at; of a key that comes twice the last value counts, as in Python.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a RawValue>,
    face_id: Option<&'a RawValue>,
    limit: Option<&'a RawValue>,
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key()? {
            match key {
                Key::Type => fields.kind = Some(map.next_value()?),
                Key::FaceId => fields.face_id = Some(map.next_value()?),
                Key::Limit => fields.limit = Some(map.next_value()?),
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

enum Key {
    Type,
    FaceId,
    Limit,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_bytes<E>(self, key: &[u8]) -> Result<Key, E> {
                Ok(match key {
                    b"type" => Key::Type,
                    b"face_id" => Key::FaceId,
                    b"limit" => Key::Limit,
                    _ => Key::Other,
                })
            }
        }
        // As bytes, because a key may be JSON and no text: half of a surrogate pair.
        deserializer.deserialize_bytes(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::{FACES, MOST_FACES, Refusal, Request};
    use crate::integer::Integer;
    use proptest::prelude::*;
    use serde_json::Value;

    fn read(text: &str) -> Result<Request, Refusal> {
        Request::read(text.as_bytes())
    }

    fn face(id: u64) -> Result<Request, Refusal> {
        Ok(Request::Face(Integer::from(id)))
    }

    #[test]
    fn the_requests_of_the_document_are_read() {
        assert_eq!(read(r#"{"type": "get_face", "face_id": 123}"#), face(123));
        assert_eq!(read(r#"{"type": "get_all_faces", "limit": 50}"#), Ok(Request::Faces(50)));
        assert_eq!(read(r#" {"face_id":123,"unknown":[{}],"type":"get_face"} "#), face(123));
        assert_eq!(read(r#"{"t\u0079pe":"get\u005fface","face_id":7}"#), face(7));
    }

    #[test]
    fn a_limit_is_fifty_unless_said_and_never_more_than_is_reasonable() {
        let limit = |json: &str| read(&format!(r#"{{"type":"get_all_faces","limit":{json}}}"#));
        assert_eq!(read(r#"{"type":"get_all_faces"}"#), Ok(Request::Faces(FACES)));
        assert_eq!(limit("null"), Ok(Request::Faces(FACES)));
        for (json, expected) in
            [("\"2\"", 2), ("2.9", 2), ("true", 1), ("0", 0), ("-3", 0), ("1e300", MOST_FACES)]
        {
            assert_eq!(limit(json), Ok(Request::Faces(expected)), "{json}");
        }
        for json in ["\"\"", "\"many\"", "\"2.5\""] {
            assert_eq!(limit(json), Err(Refusal::NoNumber), "{json}");
        }
        for json in ["[]", "{}", "[2]"] {
            assert_eq!(limit(json), Err(Refusal::Internal), "{json}");
        }
    }

    #[test]
    fn ids_that_are_no_numbers_are_refused_in_the_words_of_the_protocol() {
        let id = |json: &str| read(&format!(r#"{{"type":"get_face","face_id":{json}}}"#));
        assert_eq!(read(r#"{"type":"get_face"}"#), Err(Refusal::NoNumber));
        assert_eq!(id("null"), Err(Refusal::NoNumber));
        assert_eq!(id("\"x\""), Err(Refusal::NoNumber));
        assert_eq!(id("[3]"), Err(Refusal::Internal));
        assert_eq!(id("{\"id\":3}"), Err(Refusal::Internal));
        assert_eq!(id("NaN"), Err(Refusal::NotJson));
        assert_eq!(id("Infinity"), Err(Refusal::NotJson));
        assert_eq!((id("\"3\""), id("3.9"), id("true")), (face(3), face(3), face(1)));
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        for text in
            ["", " ", "{", "hello", "{'type':1}", "{\"type\":\"get_face\",}", "{} {}", "\u{feff}{}", "NaN"]
        {
            assert_eq!(read(text), Err(Refusal::NotJson), "{text}");
        }
        assert_eq!(Request::read(b"\xff\xfe{\0}\0"), Err(Refusal::NotJson));
        assert_eq!(Request::read(b"{\"type\":\"\xff\"}"), Err(Refusal::NotJson));
        for text in ["[]", "3", "null", "true", "\"get_face\"", "1e999", "[{\"type\":\"get_face\"}]"] {
            assert_eq!(read(text), Err(Refusal::Internal), "{text}");
        }
        for text in [
            "{}",
            r#"{"type":"frame"}"#,
            r#"{"type":"GET_FACE","face_id":1}"#,
            r#"{"type":null}"#,
            r#"{"type":["get_face"],"face_id":1}"#,
            r#"{"type":7,"face_id":1}"#,
            r#"{"face_id":1}"#,
            r#"{"type":"\ud800"}"#,
            r#"{"\ud800":1}"#,
        ] {
            assert_eq!(read(text), Err(Refusal::UnknownType), "{text}");
        }
    }

    #[test]
    fn of_a_key_that_comes_twice_the_last_value_counts() {
        assert_eq!(read(r#"{"type":"x","face_id":[],"type":"get_face","face_id":4}"#), face(4));
    }

    #[test]
    fn depth_is_neither_an_error_nor_a_danger() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read(&deep), Err(Refusal::Internal));
        assert_eq!(read(&format!(r#"{{"type":"get_face","face_id":3,"more":{deep}}}"#)), face(3));
        assert_eq!(read(&format!(r#"{{"type":"get_face","face_id":{deep}}}"#)), Err(Refusal::Internal));
        assert_eq!(read(&"[".repeat(100_000)), Err(Refusal::NotJson));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_a_refusal(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::read(&bytes);
        }

        #[test]
        fn any_text_that_looks_like_one_is_judged_as_a_parser_of_json_judges_it(
            text in r#"[{]"(type|limit|face_id)":("(get_face|get_all_faces)"|[-0-9.eE]{1,5}|null|[{][}]|\[\])(,"face_id":("?[-+_ 0-9.]{0,4}"?|[\[{tf]))?[}]?"#
        ) {
            let json = serde_json::from_str::<Value>(&text);
            prop_assert_eq!(read(&text) == Err(Refusal::NotJson), json.is_err(), "{}", text);
        }
    }
}
