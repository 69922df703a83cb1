//! What is stored of what happened, and replayed after a crash.

use crate::error::ReplayError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which way somebody crossed a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// In.
    In,
    /// Out.
    Out,
}

/// Somebody crossed a line:
/// `{"type":"crossing","camera":"main","line":"door","direction":"in","track":17,"time_ms":…}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "crossing")]
pub struct CrossingRecord {
    /// The camera's name.
    pub camera: String,
    /// The line's name.
    pub line: String,
    /// Which way.
    pub direction: Direction,
    /// Who: the number of his track.
    #[serde(default)]
    pub track: u64,
    /// When, Unix time in milliseconds.
    pub time_ms: i64,
}

/// Somebody corrected the counts of a line:
/// `{"type":"correction","camera":"main","line":"door","count_in":-2,"count_out":0,"reason":"a dog","time_ms":…}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "correction")]
pub struct CorrectionRecord {
    /// The camera's name.
    pub camera: String,
    /// The line's name.
    pub line: String,
    /// How many more went in; fewer, when negative.
    #[serde(default)]
    pub count_in: i64,
    /// How many more went out; fewer, when negative.
    #[serde(default)]
    pub count_out: i64,
    /// Why, in the words of who corrected.
    #[serde(default)]
    pub reason: String,
    /// When it was corrected, Unix time in milliseconds.
    pub time_ms: i64,
}

/// A face was kept: `{"type":"face","face_id":3,"camera":"main","track":17,"time_ms":…}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "face")]
pub struct FaceRecord {
    /// Its number.
    pub face_id: u64,
    /// The camera's name.
    pub camera: String,
    /// Whose: the number of the track.
    #[serde(default)]
    pub track: u64,
    /// When, Unix time in milliseconds.
    pub time_ms: i64,
}

/// Any of the records that make a ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Somebody crossed a line.
    Crossing(CrossingRecord),
    /// Somebody corrected a count.
    Correction(CorrectionRecord),
    /// A face was kept.
    Face(FaceRecord),
}

impl Record {
    /// What a stored record says; `None` when its type is none of these, as those of later versions may be.
    ///
    /// # Errors
    /// [`ReplayError`] when it has no type, or not what its type needs.
    pub fn parse(stored: &Value) -> Result<Option<Self>, ReplayError> {
        let Some(kind) = stored.get("type").and_then(Value::as_str) else {
            return Err(ReplayError::NoType { record: excerpt(stored) });
        };
        Ok(Some(match kind {
            "crossing" => Self::Crossing(fields("crossing", stored)?),
            "correction" => Self::Correction(fields("correction", stored)?),
            "face" => Self::Face(fields("face", stored)?),
            _ => return Ok(None),
        }))
    }
}

fn fields<T: DeserializeOwned>(kind: &'static str, stored: &Value) -> Result<T, ReplayError> {
    T::deserialize(stored).map_err(|source| ReplayError::Malformed { kind, record: excerpt(stored), source })
}

/// Enough of a record to find it.
fn excerpt(stored: &Value) -> String {
    const ENOUGH: usize = 160;
    let text = stored.to_string();
    if text.len() <= ENOUGH { text } else { text.chars().take(ENOUGH).chain(['…']).collect() }
}
