//! Whole numbers as Python's `int()` reads them, because that is what the original reads ids and limits with.

use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// More digits than this are no number for Python either.
const MAX_DIGITS: usize = 4300;

/// A whole number of any size, in its shortest decimal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integer(String);

/// Why something is not a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoInteger {
    /// Text that is no number, or one with too many digits: Python's `ValueError`.
    Value,
    /// A list, an object, or a number that is infinite as a float: Python's other errors.
    Type,
}

impl Integer {
    /// Reads a JSON value: integers of any size, floats (cut towards zero), booleans, and text with a number in it.
    /// `null` is [`NoInteger::Value`].
    pub fn read(json: &RawValue) -> Result<Self, NoInteger> {
        let text = json.get();
        match text.as_bytes().first() {
            Some(b't') => Ok(Self("1".into())),
            Some(b'f') => Ok(Self("0".into())),
            Some(b'"') => {
                // A lone surrogate is no text, and no digit either.
                let text: String = serde_json::from_str(text).map_err(|_| NoInteger::Value)?;
                Self::from_text(&text)
            }
            Some(b'-' | b'0'..=b'9') if text.contains(['.', 'e', 'E']) => Self::from_float(text),
            Some(b'-' | b'0'..=b'9') => Self::from_text(text),
            Some(b'[' | b'{') => Err(NoInteger::Type),
            _ => Err(NoInteger::Value),
        }
    }

    fn from_float(text: &str) -> Result<Self, NoInteger> {
        let float: f64 = text.parse().map_err(|_| NoInteger::Value)?;
        if !float.is_finite() {
            return Err(NoInteger::Type);
        }
        // `{:.0}` writes a whole float out exactly, however large it is.
        Self::from_text(&format!("{:.0}", float.trunc()))
    }

    /// White space around it, a sign, ASCII digits, and single underscores between digits.
    fn from_text(text: &str) -> Result<Self, NoInteger> {
        let text = text.trim();
        let (minus, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let mut number = String::with_capacity(digits.len().min(MAX_DIGITS) + 1);
        let mut count = 0;
        for group in digits.split('_') {
            if group.is_empty() || !group.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(NoInteger::Value);
            }
            count += group.len();
            if count > MAX_DIGITS {
                return Err(NoInteger::Value);
            }
            number.push_str(group);
        }
        let number = number.trim_start_matches('0');
        Ok(Self(match (number, minus) {
            ("", _) => "0".into(),
            (number, true) => format!("-{number}"),
            (number, false) => number.into(),
        }))
    }

    /// The number, when it is one of 64 bits without a sign.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// How many of something that is: none when it is negative, and `most` when it is more than that.
    #[must_use]
    pub fn clamp(&self, most: usize) -> usize {
        if self.0.starts_with('-') { 0 } else { self.0.parse().map_or(most, |count: usize| count.min(most)) }
    }
}

impl From<u64> for Integer {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

/// Its digits, which are JSON as well.
impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number of the state or of a service that counts something. What is none, or negative, is 0.
#[must_use]
pub fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Integer, NoInteger};
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn read(json: &str) -> Result<String, NoInteger> {
        Integer::read(&RawValue::from_string(json.to_owned()).expect(json)).map(|integer| integer.to_string())
    }

    #[test]
    fn what_python_reads_as_a_whole_number_is_one() {
        // Each of these was put to CPython's `int(json.loads(…))`.
        for (json, expected) in [
            ("3", "3"),
            ("-1", "-1"),
            ("-0", "0"),
            ("3.9", "3"),
            ("-3.9", "-3"),
            ("-0.5", "0"),
            ("0.99999", "0"),
            ("1e3", "1000"),
            ("1E-3", "0"),
            ("1e22", "10000000000000000000000"),
            ("1e23", "99999999999999991611392"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("true", "1"),
            ("false", "0"),
            (r#""3""#, "3"),
            (r#"" 3 ""#, "3"),
            (r#""\t3\n""#, "3"),
            (r#""\u000b3\u00a0\u2003""#, "3"),
            (r#""+3""#, "3"),
            (r#""-3""#, "-3"),
            (r#""007""#, "7"),
            (r#""-000""#, "0"),
            (r#""1_000""#, "1000"),
            (r#""0_7""#, "7"),
            (r#""\u0033""#, "3"),
        ] {
            assert_eq!(read(json).as_deref(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn text_that_is_no_number_is_a_value_error_and_a_list_is_none() {
        for json in [
            r#""""#,
            r#"" ""#,
            r#""3.5""#,
            r#""1e3""#,
            r#""0x10""#,
            r#""_1""#,
            r#""1_""#,
            r#""1__0""#,
            r#""+""#,
            r#""+-3""#,
            r#""- 3""#,
            r#""3 4""#,
            r#""abc""#,
            r#""\u001c3""#,
            r#""\ud800""#,
            "null",
        ] {
            assert_eq!(read(json), Err(NoInteger::Value), "{json}");
        }
        for json in ["[]", "[3]", "{}", r#"{"a":3}"#, "1e400", "-1e400"] {
            assert_eq!(read(json), Err(NoInteger::Type), "{json}");
        }
    }

    #[test]
    fn a_number_of_more_digits_than_python_takes_is_none() {
        assert_eq!(read(&"9".repeat(4300)), Ok("9".repeat(4300)));
        assert_eq!(read(&"9".repeat(4301)), Err(NoInteger::Value));
        assert_eq!(read(&format!("\"{}\"", "9".repeat(100_000))), Err(NoInteger::Value));
    }

    #[test]
    fn a_limit_is_never_negative_and_never_more_than_the_most() {
        let clamp =
            |json: &str| Integer::read(&RawValue::from_string(json.into()).unwrap()).unwrap().clamp(500);
        let limits = ["-5", "0", "2", "499", "501", "99999999999999999999999", "-99999999999999999999999"];
        assert_eq!(limits.map(clamp), [0, 0, 2, 499, 500, 500, 0]);
    }

    proptest! {
        #[test]
        fn every_integer_reads_as_itself_also_as_text(number in any::<i128>()) {
            prop_assert_eq!(read(&number.to_string()), Ok(number.to_string()));
            prop_assert_eq!(read(&format!("\" {number}\"")), Ok(number.to_string()));
        }

        #[test]
        fn every_float_reads_as_its_whole_part(float in -1e15..1e15f64) {
            prop_assert_eq!(read(&format!("{float:?}")), Ok((float.trunc() as i64).to_string()));
        }

        #[test]
        fn any_text_is_a_number_in_its_shortest_form_or_refused(text in "[-+_ 0-9a٣]{0,8}") {
            if let Ok(number) = read(&serde_json::to_string(&text).unwrap()) {
                prop_assert_eq!(number.parse::<i64>().unwrap().to_string(), number);
            }
        }
    }
}
