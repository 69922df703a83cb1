//! What comes back to whoever asked.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// A key that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// `Permission denied`, `Invalid value` or `Unknown key`.
    pub error: &'static str,
    /// The key, as it was asked for.
    pub key: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Rejected {
    pub(crate) fn denied(key: &str, message: Option<String>) -> Self {
        Self { error: "Permission denied", key: key.to_owned(), message }
    }

    pub(crate) fn invalid(key: &str, message: String) -> Self {
        Self { error: "Invalid value", key: key.to_owned(), message: Some(message) }
    }

    pub(crate) fn unknown(key: &str, message: Option<String>) -> Self {
        Self { error: "Unknown key", key: key.to_owned(), message }
    }
}

/// The answer to a write or a read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The number of the last message about the mapping that this answer takes into account.
    pub sequence: u64,
    /// What was accepted or read, as it is now, in the order in which it was asked for.
    pub values: Vec<(String, Value)>,
    /// What was refused, in the order in which it was asked for.
    pub rejected: Vec<Rejected>,
}

impl Answer {
    /// As the service replies, with the values under this name.
    #[must_use]
    pub fn to_json(&self, values: &str) -> Value {
        let all: Map<String, Value> = self.values.iter().cloned().collect();
        json!({"sequence": self.sequence, values: all, "rejected": self.rejected})
    }
}
