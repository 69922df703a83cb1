//! What ends as time goes on.

use crate::Count;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// An hour is over, or is another than was told. To be stored in place of what was stored of it before.
    Hour(HourSums),
    /// A day ended and another began.
    Day {
        /// What ended. A day that a wrong clock interrupted is told again when it ends: the later one counts.
        ended: DaySums,
        /// The name of the day that began, or goes on after it was interrupted.
        day: String,
    },
}

/// Everything that was counted in an hour of UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourSums {
    /// When the hour began, Unix time in milliseconds.
    pub start_ms: i64,
    /// Who crossed, by `CAMERA/LINE`.
    pub lines: BTreeMap<String, Count>,
}

/// Everything that was counted on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaySums {
    /// Its name, such as `2026-11-21`.
    pub day: String,
    /// When it began, Unix time in milliseconds.
    pub start_ms: i64,
    /// When it should have ended; it may have ended elsewhere because the clock was set.
    pub end_ms: i64,
    /// Who went in, at all lines.
    pub count_in: u64,
    /// Who went out, at all lines.
    pub count_out: u64,
    /// Who crossed, by `CAMERA/LINE`.
    pub lines: BTreeMap<String, Count>,
    /// Faces that were kept.
    pub faces: u64,
    /// Events that began.
    pub events: u64,
}
