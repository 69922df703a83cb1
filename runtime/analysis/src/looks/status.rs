//! How a detector of single pictures does, in figures.

use std::time::Duration;

/// How a detector of single pictures does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LooksStatus {
    /// Its name.
    pub detector: String,
    /// Pictures that were looked at.
    pub looked: u64,
    /// Pictures that were not: they are no JPEG that can be decoded, or the detector has failed.
    pub failed: u64,
    /// Pictures that were not because too many waited, or it was too late.
    pub refused: u64,
    /// What all that were looked at took.
    pub busy: Duration,
    /// Pictures that wait now.
    pub waiting: usize,
}
