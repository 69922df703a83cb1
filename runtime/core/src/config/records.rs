//! `[records]`: how much is kept of what must not be lost, and who may read it.

use crate::access::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is kept of records. The oldest go first; what an uplink has not sent yet stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    /// Records are refused rather than leave less room than this on the disk, in bytes.
    pub min_free_bytes: u64,
    /// Who may read records through a plugin that passes on the requests of clients, such as `nats`.
    pub read: Role,
    /// How often the gateway writes down how it does.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub health_interval: Duration,
    /// Records go when they are older than this, since they came.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// The most records of one collection.
    pub max_count: u64,
    /// The most bytes of one collection with its pictures.
    pub max_bytes: u64,
    /// Collections of which more or less is kept, by name.
    pub collections: BTreeMap<String, Kept>,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            min_free_bytes: 256 << 20,
            read: Role::Operator,
            health_interval: Duration::from_secs(60),
            max_age: Duration::from_secs(90 * 24 * 3600),
            max_count: 1_000_000,
            max_bytes: 4 << 30,
            collections: BTreeMap::new(),
        }
    }
}

/// What is kept of one collection; what is not said is as for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kept {
    /// Records go when they are older than this.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    #[schemars(with = "Option<String>")]
    pub max_age: Option<Duration>,
    /// The most records.
    pub max_count: Option<u64>,
    /// The most bytes with pictures.
    pub max_bytes: Option<u64>,
}
