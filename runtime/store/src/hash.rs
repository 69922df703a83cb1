//! The name of a blob: the SHA-256 of its bytes.

use crate::StoreError;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// A SHA-256; 64 lower-case hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    pub(crate) fn folder(&self) -> String {
        format!("{:02x}", self.0[0])
    }

    /// The file's name inside [`folder`](Self::folder).
    pub(crate) fn file(&self) -> String {
        self.0[1..].iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let bad = || StoreError::BadHash(text.chars().take(80).collect());
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(0..32) {
            *byte = u8::from_str_radix(&text[2 * pair..2 * pair + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl ToSql for Hash {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(&self.0[..]))
    }
}

impl FromSql for Hash {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        bytes.try_into().map(Self).map_err(|_| FromSqlError::InvalidType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_hash_reads_back_from_its_text(bytes: Vec<u8>) {
            let hash = Hash::of(&bytes);
            proptest::prop_assert_eq!(hash.to_string().parse::<Hash>().unwrap(), hash);
            proptest::prop_assert_eq!(format!("{}{}", hash.folder(), hash.file()), hash.to_string());
        }

        #[test]
        fn any_text_is_a_hash_or_refused(text: String) {
            if let Ok(hash) = text.parse::<Hash>() {
                proptest::prop_assert_eq!(hash.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in ["", "abc", &"A".repeat(64), &"é".repeat(32), "../../../../etc/passwd"] {
            assert!(text.parse::<Hash>().is_err(), "{text}");
        }
    }
}
