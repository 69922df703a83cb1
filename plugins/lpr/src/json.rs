//! Reading JSON of strangers: as `serde_json` does, but no deeper and no more than somebody needs.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;

/// Levels of a message. What is deeper could not be read again once it is part of something else.
pub const MAX_DEPTH: usize = 64;
/// Values of a message: each takes some eighty bytes of memory, of which two may have come over the network.
pub const MAX_VALUES: usize = 100_000;

/// Why something was not read: a sentence.
pub type Why = String;

/// Reads one JSON value with nothing behind it.
pub fn read(bytes: &[u8]) -> Result<Value, Why> {
    let left = Cell::new(MAX_VALUES);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Bounded { left: &left, depth: 0 };
    let value = seed.deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Bounded<'a> {
    left: &'a Cell<usize>,
    depth: usize,
}

impl Bounded<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| D::Error::custom(format!("more than {MAX_VALUES} values")))?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut all = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut all = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(inner)?;
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}

/// How many levels a value has: 0 for one without parts.
#[must_use]
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
        Value::Object(all) => 1 + all.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// How many values an object has, those of its values included.
#[must_use]
pub fn values(object: &Map<String, Value>) -> usize {
    fn count(value: &Value) -> usize {
        match value {
            Value::Array(all) => 1 + all.iter().map(count).sum::<usize>(),
            Value::Object(all) => 1 + values(all),
            _ => 1,
        }
    }
    object.values().map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, MAX_VALUES, depth, read};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_deeper_or_has_more_values_than_anybody_needs_is_refused_while_it_is_read() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(depth(&read(nested(MAX_DEPTH).as_bytes()).unwrap()), MAX_DEPTH);
        assert!(read(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().contains("nested deeper than 64"));
        assert!(read(nested(5_000_000).as_bytes()).unwrap_err().contains("nested deeper than 64"));
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert!(read(many.as_bytes()).unwrap_err().contains("more than 100000 values"));
        assert!(read(b"{\"a\":1} x").is_err());
        assert!(read(b"").is_err());
        assert!(read(b"\"\xff\"").is_err());
    }

    #[test]
    fn the_order_of_keys_and_the_kinds_of_numbers_stay() {
        let text = r#"{"z":1,"a":1.0,"m":-7,"b":18446744073709551615,"t":[true,null,"\u0000é"]}"#;
        assert_eq!(serde_json::to_string(&read(text.as_bytes()).unwrap()).unwrap(), text);
        assert_eq!(read(b" 3 ").unwrap(), json!(3));
    }

    proptest! {
        #[test]
        fn numbers_stay_what_they_are(float in any::<f64>(), integer in any::<i64>()) {
            prop_assume!(float.is_finite());
            let sent = json!([float, integer]).to_string();
            prop_assert_eq!(read(sent.as_bytes()).unwrap().to_string(), sent);
        }

        #[test]
        fn any_bytes_are_read_as_serde_json_reads_them_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(read(&bytes).ok(), serde_json::from_slice::<Value>(&bytes).ok());
        }

        #[test]
        fn any_json_text_is_read_as_serde_json_reads_it(text in "[\\[\\]{}:,\"a0-9.eE+\\- ]{0,40}") {
            prop_assert_eq!(read(text.as_bytes()).ok(), serde_json::from_str::<Value>(&text).ok());
        }
    }
}
