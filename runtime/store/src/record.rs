//! Records and what becomes one.

use crate::blobs::INLINE;
use crate::{Hash, StoreError};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use uuid::Uuid;

/// The longest JSON of a record, in bytes.
pub const MAX_JSON: usize = 1024 * 1024;
/// The largest blob, in bytes.
pub const MAX_BLOB: usize = 32 * 1024 * 1024;
/// The most blobs of one record.
pub const MAX_BLOBS: usize = 16;

const MAX_KEY: usize = 256;

/// What is to become a record.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Which collection: 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    pub collection: String,
    /// When it happened, Unix time in milliseconds; `None`: now.
    pub time: Option<i64>,
    /// Any JSON value as text, of at most [`MAX_JSON`] bytes. Kept as it is, to the byte.
    pub json: String,
    /// Names and contents of the blobs; names are unique in a record and have 1 to 128 bytes.
    pub blobs: Vec<(String, Bytes)>,
    /// A second draft of the same collection and key is answered with the id of the first, for as long as the first is
    /// kept. At most 256 bytes.
    pub dedup_key: Option<String>,
    /// The names and contents of the blobs are part of the key, so that who appends need not hash them as well.
    pub dedup_blobs: bool,
    /// Keeps small blobs as files, too, as large ones always are: what is removed then leaves no trace in the database.
    pub blobs_as_files: bool,
}

/// The answer to an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The id of the record.
    pub id: Uuid,
    /// The key was there already: `id` is the first record's, and this draft was not stored.
    pub is_duplicate: bool,
}

/// One blob of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRef {
    /// Its name in the record.
    pub name: String,
    /// What it is found by.
    pub sha256: Hash,
    /// Its size.
    pub bytes: u64,
}

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the order of appending. Rises; has gaps.
    pub seq: i64,
    /// Its id. Rises with `seq`.
    pub id: Uuid,
    /// Its collection.
    pub collection: String,
    /// When it happened, Unix time in milliseconds, as the draft said.
    pub time: i64,
    /// When it was appended, Unix time in milliseconds, by the store's clock.
    pub stored: i64,
    /// The JSON as appended, to the byte.
    pub json: String,
    /// Its blobs in the order of the draft.
    pub blobs: Vec<BlobRef>,
}

impl Record {
    /// `time` as RFC 3339 in UTC, with milliseconds.
    #[must_use]
    pub fn time_text(&self) -> String {
        time_text(self.time)
    }

    /// All of it as JSON: `collection`, `id`, `time` (text), `time_ms`, `stored_ms`, `data`, `blobs`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let blobs: Vec<Value> = self
            .blobs
            .iter()
            .map(|b| json!({"name": b.name, "sha256": b.sha256.to_string(), "bytes": b.bytes}))
            .collect();
        json!({
            "collection": self.collection,
            "id": self.id.to_string(),
            "time": self.time_text(),
            "time_ms": self.time,
            "stored_ms": self.stored,
            "data": serde_json::from_str::<Value>(&self.json).unwrap_or_else(|_| Value::String(self.json.clone())),
            "blobs": blobs,
        })
    }
}

pub(crate) fn time_text(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => format!("{ms} ms"),
    }
}

/// A draft that was looked at, with its blobs hashed. Made on the thread of whoever appends.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) draft: Draft,
    pub(crate) hashes: Vec<Hash>,
    /// JSON and blobs.
    pub(crate) bytes: usize,
}

impl Checked {
    /// Whether this blob is kept as a file, and not in the database.
    pub(crate) fn is_file(&self, content: &[u8]) -> bool {
        self.draft.blobs_as_files || content.len() > INLINE
    }

    pub(crate) fn new(mut draft: Draft) -> Result<Self, StoreError> {
        check_collection(&draft.collection).map_err(StoreError::BadDraft)?;
        let bad = |message: String| Err(StoreError::BadDraft(message));
        if draft.json.len() > MAX_JSON {
            return bad(format!(
                "the JSON has {} bytes, at most {MAX_JSON} fit: send less",
                draft.json.len()
            ));
        }
        if let Err(error) = serde_json::from_str::<Value>(&draft.json) {
            return bad(format!("the JSON is none ({error}): correct it"));
        }
        if draft.time.is_some_and(|ms| jiff::Timestamp::from_millisecond(ms).is_err()) {
            return bad("the time is out of range: give milliseconds since 1970".into());
        }
        if draft.dedup_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY) {
            return bad(format!("the deduplication key needs 1 to {MAX_KEY} bytes: use a hash of it"));
        }
        if draft.blobs.len() > MAX_BLOBS {
            return bad(format!("it has {} blobs, at most {MAX_BLOBS} fit: make two", draft.blobs.len()));
        }
        let mut names = BTreeSet::new();
        for (name, content) in &draft.blobs {
            if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
                return bad("a blob's name needs 1 to 128 bytes, none a control character: rename it".into());
            }
            if !names.insert(name) {
                return bad(format!("two blobs are called `{name}`: rename one"));
            }
            if content.len() > MAX_BLOB {
                let len = content.len();
                return bad(format!("blob `{name}` has {len} bytes, at most {MAX_BLOB} fit: send less"));
            }
        }
        let hashes: Vec<Hash> = draft.blobs.iter().map(|(_, content)| Hash::of(content)).collect();
        if let Some(key) = draft.dedup_key.as_mut().filter(|_| draft.dedup_blobs) {
            key.push_str(&format!(":{}", of_all(&draft.blobs, &hashes)));
        }
        let bytes = draft.json.len() + draft.blobs.iter().map(|(_, content)| content.len()).sum::<usize>();
        Ok(Self { draft, hashes, bytes })
    }
}

/// The hash of names and contents, in whatever order they are.
fn of_all(blobs: &[(String, Bytes)], hashes: &[Hash]) -> Hash {
    let mut all: Vec<_> = blobs.iter().map(|(name, _)| name).zip(hashes).collect();
    all.sort_unstable();
    let mut text = String::new();
    for (name, hash) in all {
        // No name has a line's end in it.
        let _ = writeln!(text, "{name}\n{hash}");
    }
    Hash::of(text.as_bytes())
}

/// Whether this can be a collection's name; otherwise what to do about it.
pub(crate) fn check_collection(name: &str) -> Result<(), String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(format!("`{}` is no collection: use 1 to 64 of a-z, 0-9, `_` and `-`", shown.escape_default()))
}
