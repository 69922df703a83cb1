//! The faces that were kept: who may see them, and what is asked of them. They are records of the collection `faces`, each
//! with its picture.

mod album;
mod command;
mod services;

pub(crate) use command::{Command, command};
pub(crate) use services::{Policy, Rules, offer};

use gantry_store::{Query, Record};
use serde::{Deserialize, Serialize};

/// The collection.
pub(crate) const COLLECTION: &str = "faces";

/// What is noted of a face.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Face {
    /// Its number: rises, and is given once.
    pub(crate) face_id: u64,
    /// Whose picture it was cut out of.
    pub(crate) camera: String,
    /// The track of the person.
    pub(crate) track: u64,
    /// When it was seen, Unix time in milliseconds.
    pub(crate) time_ms: i64,
    /// Width in pixels.
    pub(crate) width: u32,
    /// Height in pixels.
    pub(crate) height: u32,
}

impl Face {
    /// The name of its picture.
    pub(crate) fn filename(&self) -> String {
        format!("face_{}.jpg", self.face_id)
    }

    /// What a record tells. `None` for a record of something else.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        serde_json::from_str(&record.json).ok()
    }
}

/// The face of that number, which is its record's deduplication key: whoever may look at faces may ask for any number, as
/// often as he wants, and each must cost next to nothing.
fn by_number(face_id: u64) -> Query {
    Query { dedup: Some(face_id.to_string()), limit: 1, ..Query::collection(COLLECTION) }
}

#[cfg(test)]
mod tests;
