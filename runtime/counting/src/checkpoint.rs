//! A ledger at rest.

use crate::book::Book;
use crate::events::Events;
use crate::sums::Sums;
use crate::turn::{DaySums, HourSums};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The only version there is.
const VERSION: u32 = 1;

/// Everything that a ledger knows and that is not configured or seen anew after a start: of today and the day
/// before the hours, what rolling sums reach, the events. A few kilobytes of JSON, more only where a window
/// of a day meets a crowd.
///
/// It does not say which records it contains: whoever stores it, stores the place of the last one with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    #[serde(deserialize_with = "version")]
    pub(crate) version: u32,
    pub(crate) now_ms: i64,
    pub(crate) book: Book,
    pub(crate) before: Option<Book>,
    pub(crate) next_face: u64,
    pub(crate) events: Events,
    pub(crate) sums: BTreeMap<String, Sums>,
    /// Hours that changed since they were told.
    pub(crate) changed: BTreeSet<i64>,
    /// What ended and is not told yet.
    pub(crate) hours: Vec<HourSums>,
    pub(crate) days: Vec<(DaySums, String)>,
}

impl Checkpoint {
    pub(crate) const VERSION: u32 = VERSION;
}

fn version<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match u32::deserialize(from)? {
        VERSION => Ok(VERSION),
        other => Err(serde::de::Error::custom(format_args!(
            "the checkpoint is of version {other}, this gateway reads {VERSION}: start the gateway that wrote it, or \
             remove the checkpoint"
        ))),
    }
}
