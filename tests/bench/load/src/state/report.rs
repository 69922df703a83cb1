//! What a run found, as the JSON object that `stateload` prints.

use crate::process::Measured;
use crate::report::{Spread, rounded};
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole report. An *update* is a write that was sent while it was measured; at the readers each counts once.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The name that was given to the run.
    pub label: String,
    /// Clients that read.
    pub readers: u32,
    /// Writes per second that were asked for.
    pub writes: u32,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Clients that got through the handshake, the writer included.
    pub connected: u64,
    /// Clients that ended before the run did.
    pub errors: u64,
    /// Why, and how many of them.
    pub error_text: BTreeMap<String, u64>,
    /// Updates.
    pub updates: usize,
    /// Updates per second.
    pub updates_per_s: f64,
    /// Updates that arrived at the readers, all readers together.
    pub received: u64,
    /// Updates that did not, although each of the readers should have got them: those of readers that ended are among them.
    pub lost: u64,
    /// Messages at the readers that belong to no write: repetitions, and what has nothing to do with the key.
    pub strange: u64,
    /// Messages to the writer that are errors.
    pub refused: u64,
    /// The first of these.
    pub refused_text: Option<String>,
    /// Bytes of a message to a reader, on average.
    pub message_bytes: f64,
    /// From the write to its arrival at a reader.
    pub latency_ms: Spread,
    /// From the write to its confirmation at the writer.
    pub confirm_ms: Spread,
    /// What it cost.
    pub server: Cost,
    /// CPU of `stateload` itself, in percent of one core: near 100 the clients were the limit.
    pub client_cpu_pct: f64,
    /// CPU of everything else on the machine, in percent of one core: well above 5, compare with nothing.
    pub others_cpu_pct: f64,
}

/// What the run cost the server.
#[derive(Debug, Serialize)]
pub struct Cost {
    /// Percent of one core.
    pub cpu_pct: f64,
    /// CPU microseconds for one update, to all readers.
    pub cpu_us_per_update: f64,
    /// CPU microseconds for one update to one reader.
    pub cpu_us_per_update_reader: f64,
    /// Resident memory when the measurement began.
    pub rss_start_mb: f64,
    /// Resident memory when it ended.
    pub rss_end_mb: f64,
    /// The most resident memory since the process began.
    pub rss_peak_mb: f64,
    /// Context switches of all threads.
    pub ctx_switches_per_s: f64,
}

impl Cost {
    /// The cost of so many updates, `received` by all readers together.
    pub fn new(measured: &Measured, updates: usize, received: u64) -> Self {
        let used = measured.server.seconds();
        let each = |count: f64| if count > 0.0 { rounded(used / count * 1e6) } else { 0.0 };
        let [start, end, peak] = measured.rss_mb;
        Self {
            cpu_pct: rounded(used / measured.seconds * 100.0),
            cpu_us_per_update: each(updates as f64),
            cpu_us_per_update_reader: each(received as f64),
            rss_start_mb: rounded(start),
            rss_end_mb: rounded(end),
            rss_peak_mb: rounded(peak),
            ctx_switches_per_s: rounded(measured.server.switches / measured.seconds),
        }
    }
}

/// What a reader got; or, added up, all of them.
#[derive(Debug, Default)]
pub struct Received {
    /// Updates.
    pub updates: u64,
    /// Messages that belong to no write.
    pub strange: u64,
    /// All messages.
    pub messages: u64,
    /// Bytes of all messages.
    pub bytes: u64,
    /// From the write to the arrival, of each update.
    pub latencies_ms: Vec<f32>,
}

impl Received {
    /// Adds what another reader got.
    pub fn add(&mut self, other: Received) {
        self.updates += other.updates;
        self.strange += other.strange;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.latencies_ms.extend(other.latencies_ms);
    }
}
