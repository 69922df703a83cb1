//! What one client got.

use crate::edge::Edge;
use crate::options::Options;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Counts and times of one client while the run is measuring.
#[derive(Debug, Default)]
pub struct Tally {
    /// Messages that were at least `min_bytes` long.
    pub frames: u64,
    /// Bytes of all messages, without what the transport wraps around them.
    pub bytes: u64,
    /// Shorter messages.
    pub other: u64,
    /// Frames in which no time stamp was found.
    pub unstamped: u64,
    /// From the time stamp to the last byte of the frame, in milliseconds.
    pub latencies_ms: Vec<f32>,
    /// From one frame to the next, in milliseconds.
    pub gaps_ms: Vec<f32>,
    last: Option<Instant>,
}

impl Tally {
    /// Counts a message that has just become whole.
    pub fn message(&mut self, message: &Edge, options: &Options) {
        self.bytes += message.len() as u64;
        if message.len() < options.min_bytes {
            self.other += 1;
            return;
        }
        self.frames += 1;
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.gaps_ms.push(milliseconds(now - last));
        }
        if options.stamp == crate::stamp::Stamp::None {
            return;
        }
        match options.stamp.read(message, options.stamp_key.as_bytes(), options.utc_offset) {
            Some(made) => self.latencies_ms.push(((since_1970() - made) * 1e3) as f32),
            None => self.unstamped += 1,
        }
    }

    /// Counts an answered request.
    pub fn answer(&mut self, bytes: usize, took: Duration) {
        self.frames += 1;
        self.bytes += bytes as u64;
        self.latencies_ms.push(milliseconds(took));
    }
}

/// A duration in milliseconds.
pub fn milliseconds(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1e3
}

/// The time of day in seconds since 1970 UTC.
pub fn since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
