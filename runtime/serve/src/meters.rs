//! From [`Counters`] to the runtime's metrics.

use crate::Counters;
use gantry_plugin::{Host, Metric};
use std::sync::{Arc, Mutex};

type Read = fn(&Counters) -> u64;

/// The metrics that every network plugin has, fed from its totals.
pub struct Meters {
    totals: Arc<Counters>,
    clients: Metric,
    counts: Mutex<Vec<(Metric, Read, u64)>>,
}

impl Meters {
    /// Defines the metrics.
    #[must_use]
    pub fn new(host: &Host, totals: Arc<Counters>) -> Self {
        let count = |name, help, read: Read| (host.counter(name, help), read, 0);
        let counts = vec![
            count("sent_bytes", "Bytes sent to clients", Counters::sent_bytes),
            count("skipped_frames", "Frames that slow clients did not get", Counters::skipped_frames),
            count("received_messages", "Messages received from clients", Counters::received_messages),
            count("rejected_messages", "Messages received and not taken", Counters::rejected_messages),
            count("refused_connections", "Connections beyond a limit", Counters::refused_connections),
            count("failed_handshakes", "Connections without a request", Counters::failed_handshakes),
            count("evicted_sessions", "Polling sessions that made room", Counters::evicted_sessions),
            count("overflowed_clients", "Clients closed for a full queue", Counters::overflowed_clients),
        ];
        Self { totals, clients: host.gauge("clients", "Clients connected"), counts: Mutex::new(counts) }
    }

    /// Passes on what has happened since the last time. Once a second is often enough.
    pub fn record(&self, clients: usize) {
        self.clients.record(clients as f64);
        for (metric, read, last) in crate::lock(&self.counts).iter_mut() {
            let now = read(&self.totals);
            if now != *last {
                metric.record((now - *last) as f64);
                *last = now;
            }
        }
    }
}
