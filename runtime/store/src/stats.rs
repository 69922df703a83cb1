//! What a store holds.

use crate::record::time_text;
use serde::Serialize;
use std::collections::BTreeMap;

/// How much of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Pieces.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Usage {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }

    pub(crate) fn remove(&mut self, bytes: u64) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// One collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectionStats {
    /// Records.
    pub count: u64,
    /// Their JSON and blobs, in bytes; a blob that several records share counts for each.
    pub bytes: u64,
    /// The time of the record appended first, as RFC 3339.
    #[serde(serialize_with = "as_text")]
    pub oldest: i64,
    /// The time of the record appended last, as RFC 3339.
    #[serde(serialize_with = "as_text")]
    pub newest: i64,
}

fn as_text<S: serde::Serializer>(ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time_text(*ms))
}

/// One consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsumerStats {
    /// Its name.
    pub name: String,
    /// Whether records are held for it.
    pub hold: bool,
    /// Records that it did not acknowledge.
    pub waiting: u64,
}

/// Appends that wait or are being written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct QueueStats {
    /// Appends.
    pub records: usize,
    /// Their JSON and blobs.
    pub bytes: usize,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// By collection; only those that have records.
    pub collections: BTreeMap<String, CollectionStats>,
    /// The consumers by name.
    pub consumers: Vec<ConsumerStats>,
    /// Blobs that are files, each counted once.
    pub files: Usage,
    /// The database with its log, in bytes on the disk.
    pub database_bytes: u64,
    /// Free bytes on that disk.
    pub free_bytes: u64,
    /// What waits; zero when read by another process.
    pub queue: QueueStats,
}
