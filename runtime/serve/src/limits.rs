//! What a peer may make us hold and do.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::time::{Duration, Instant};

/// Bounds on what clients can cost.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at the same time. One more is answered 503 and closed.
    #[schemars(range(min = 1, max = 65_536))]
    pub connections: usize,
    /// Connections at the same time of one address (IPv6: of one /64 network). One more is answered 503 and closed. 0 is
    /// no limit: behind one router or proxy all clients have the same address.
    #[schemars(range(max = 65_536))]
    pub connections_per_address: usize,
    /// Bytes of one incoming message or request body.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub message_bytes: usize,
    /// Incoming messages per second and connection. What is more is dropped and counted; the connection stays.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub messages_per_second: u32,
    /// Bytes of incoming messages and bodies that are not complete yet, of all connections together.
    #[schemars(range(min = 65_536))]
    pub incomplete_bytes: usize,
    /// Messages that must arrive and wait for one client. A client that needs more is closed.
    #[schemars(range(min = 8, max = 65_536))]
    pub queue_messages: usize,
    /// Bytes of messages that must arrive and wait for one client. A client that needs more is closed.
    #[schemars(range(min = 4096))]
    pub queue_bytes: usize,
    /// Seconds that a TLS handshake, the head of a request and its body may each take.
    #[schemars(range(min = 1, max = 3600))]
    pub handshake_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_address: 0,
            message_bytes: 16 << 20,
            messages_per_second: 100,
            incomplete_bytes: 64 << 20,
            queue_messages: 64,
            queue_bytes: 1 << 20,
            handshake_seconds: 15,
        }
    }
}

impl Limits {
    /// Reads a section in which what is not said is `ours`, by key, and only then the default: protocols differ in what is
    /// usual.
    ///
    /// # Errors
    /// What the section says that is no limit.
    pub fn over<'de, D: Deserializer<'de>>(said: D, ours: &[(&str, u64)]) -> Result<Self, D::Error> {
        let mut said = serde_json::Map::deserialize(said)?;
        for (key, value) in ours {
            said.entry(*key).or_insert((*value).into());
        }
        Self::deserialize(serde_json::Value::Object(said)).map_err(serde::de::Error::custom)
    }

    /// What is wrong with these numbers: the key's name and a sentence for each.
    #[must_use]
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut findings = Vec::new();
        let mut at_least = |key, value: u64, least: u64| {
            if value < least {
                findings.push((key, format!("is {value}, which serves nobody: set {least} or more")));
            }
        };
        at_least("connections", self.connections as u64, 1);
        at_least("message_bytes", self.message_bytes as u64, 1024);
        at_least("messages_per_second", u64::from(self.messages_per_second), 1);
        at_least("incomplete_bytes", self.incomplete_bytes as u64, 65_536);
        at_least("queue_messages", self.queue_messages as u64, 8);
        at_least("queue_bytes", self.queue_bytes as u64, 4096);
        at_least("handshake_seconds", u64::from(self.handshake_seconds), 1);
        findings
    }

    /// [`handshake_seconds`](Self::handshake_seconds) as a time.
    #[must_use]
    pub fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_seconds.into())
    }
}

/// A token bucket that holds one second's worth.
#[derive(Debug, Clone)]
pub struct RateLimit {
    per_second: f64,
    tokens: f64,
    last: Instant,
}

impl RateLimit {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, tokens: per_second, last: now }
    }

    /// Whether one more message is within the rate at `now`.
    pub fn allows(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.last).as_secs_f64();
        self.last = self.last.max(now);
        self.tokens = (self.tokens + passed * self.per_second).min(self.per_second);
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

/// A number of bytes that all connections share.
#[derive(Debug)]
pub(crate) struct Budget {
    left: std::sync::atomic::AtomicUsize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { left: bytes.into() }
    }

    fn take(&self, bytes: usize) -> bool {
        use std::sync::atomic::Ordering::Relaxed;
        self.left.try_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// What one connection has taken of a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: std::sync::Arc<Budget>,
    taken: usize,
}

impl Share {
    pub(crate) fn new(budget: std::sync::Arc<Budget>) -> Self {
        Self { budget, taken: 0 }
    }

    /// Takes more, or `false` when the others have it all.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let taken = self.budget.take(bytes);
        if taken {
            self.taken += bytes;
        }
        taken
    }

    /// Gives back all of it.
    pub(crate) fn give_back(&mut self) {
        self.budget.left.fetch_add(std::mem::take(&mut self.taken), std::sync::atomic::Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Limits, RateLimit, Share};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    #[test]
    fn a_second_of_messages_may_come_at_once_and_then_as_many_as_time_allows() {
        let start = Instant::now();
        let mut rate = RateLimit::new(10, start);
        assert_eq!((0..20).filter(|_| rate.allows(start)).count(), 10);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..20).filter(|_| rate.allows(later)).count(), 5);
        let much_later = start + Duration::from_secs(60);
        assert_eq!((0..20).filter(|_| rate.allows(much_later)).count(), 10);
    }

    #[test]
    fn time_that_goes_backwards_gives_nothing() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut rate = RateLimit::new(1, start);
        assert!(rate.allows(start));
        assert!(!rate.allows(start - Duration::from_secs(5)));
        assert!(!rate.allows(start));
    }

    #[test]
    fn a_share_is_given_back_when_its_connection_ends() {
        let budget = Arc::new(Budget::new(100));
        let mut one = Share::new(budget.clone());
        let mut two = Share::new(budget.clone());
        assert!(one.take(60));
        assert!(!two.take(60));
        drop(one);
        assert!(two.take(60));
        two.give_back();
        assert!(two.take(100));
    }

    #[test]
    fn unknown_limits_are_errors_and_useless_ones_are_found() {
        assert!(serde_json::from_str::<Limits>(r#"{"conections":1}"#).is_err());
        let limits: Limits = serde_json::from_str(r#"{"connections":0,"queue_messages":1}"#).unwrap();
        let keys: Vec<_> = limits.check().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["connections", "queue_messages"]);
    }
}
