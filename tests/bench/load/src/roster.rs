//! Who of the clients is connected, who is not, and why.

use crate::tally::milliseconds;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// What the clients of a run report of themselves.
#[derive(Debug, Default)]
pub struct Roster {
    connected: AtomicU64,
    failed: AtomicU64,
    failures: Mutex<BTreeMap<String, u64>>,
    connect_ms: Mutex<Vec<f32>>,
}

impl Roster {
    /// Notes that a client got through the handshake that it began at `since`.
    pub fn note_connected(&self, since: Instant) {
        lock(&self.connect_ms).push(milliseconds(since.elapsed()));
        self.connected.fetch_add(1, Relaxed);
    }

    /// Notes that a client ended before the run did.
    pub fn note_failure(&self, reason: String) {
        *lock(&self.failures).entry(reason).or_default() += 1;
        self.failed.fetch_add(1, Relaxed);
    }

    /// Waits until each of `everybody` has connected or failed, and not beyond `deadline`.
    pub async fn wait_for(&self, everybody: u64, deadline: Instant) {
        while self.connected() + self.failed() < everybody && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Clients that got through the handshake.
    pub fn connected(&self) -> u64 {
        self.connected.load(Relaxed)
    }

    /// Clients that ended before the run did.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Why, and how many of them.
    pub fn failures(&self) -> BTreeMap<String, u64> {
        lock(&self.failures).clone()
    }

    /// How long each handshake took, in milliseconds.
    pub fn connect_ms(&self) -> Vec<f32> {
        lock(&self.connect_ms).clone()
    }
}

/// A poisoned lock still holds good counts: the panic itself is reported by the task.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
