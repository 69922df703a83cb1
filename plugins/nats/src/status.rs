//! How it goes: health, metrics, state and log.

use crate::feed::Waiting;
use gantry_plugin::{Health, Host, Metric, info, warn};
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the health tells of a record that was refused.
const TOLD_FOR: Duration = Duration::from_secs(600);

/// The plugin's metrics.
#[derive(Clone, Copy)]
pub(crate) struct Meters {
    pub(crate) published: Metric,
    pub(crate) duplicates: Metric,
    pub(crate) kept_back: Metric,
    pub(crate) truncated: Metric,
    pub(crate) refused: Metric,
    pub(crate) objects: Metric,
    pub(crate) attempts: Metric,
    pub(crate) requests: Metric,
    pub(crate) refused_requests: Metric,
    pub(crate) ignored_requests: Metric,
    connected: Metric,
    backlog: Metric,
    oldest: Metric,
}

impl Meters {
    fn new(host: &Host) -> Self {
        Self {
            published: host
                .counter("published", "Records that are in the stream, with those that were there already"),
            duplicates: host.counter("duplicates", "Records that the stream had already"),
            kept_back: host.counter("kept_back", "Records that the rules keep on this gateway"),
            truncated: host.counter("truncated", "Records whose data did not fit into a message"),
            refused: host
                .counter("refused", "Records that no message can be made of, see the collection `refused`"),
            objects: host.counter("objects", "Pictures that are in the object store"),
            attempts: host.counter("attempts", "Attempts to connect or to publish that failed"),
            requests: host.counter("requests", "Requests that were passed on"),
            refused_requests: host.counter("refused_requests", "Requests that were refused"),
            ignored_requests: host.counter("ignored_requests", "Requests that cannot be answered"),
            connected: host.gauge("connected", "Whether there is a connection to a server"),
            backlog: host.gauge("backlog", "Records that wait"),
            oldest: host.gauge("oldest_age_seconds", "Age of the oldest record that waits"),
        }
    }
}

#[derive(Default)]
struct Inner {
    server: Option<String>,
    /// Why there is no connection.
    link: Option<String>,
    /// Why nothing is published.
    publishing: Option<String>,
    refused: Option<(Instant, String)>,
    last_error: Option<String>,
    backlog: u64,
    oldest_ms: Option<u64>,
    told: Option<(Health, String)>,
}

/// How it goes.
pub(crate) struct Status {
    host: Host,
    pub(crate) meters: Meters,
    inner: Mutex<Inner>,
}

impl Status {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, meters: Meters::new(&host), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connected(&self, server: &str) {
        let mut inner = self.lock();
        inner.server = Some(server.to_owned());
        inner.link = None;
        self.meters.connected.record(1.0);
        self.tell(&mut inner);
    }

    pub(crate) fn disconnected(&self, why: &str) {
        let mut inner = self.lock();
        (inner.server, inner.publishing) = (None, None);
        (inner.link, inner.last_error) = (Some(why.to_owned()), Some(why.to_owned()));
        self.meters.connected.record(0.0);
        self.meters.attempts.record(1.0);
        self.tell(&mut inner);
    }

    /// Nothing is published, and why; or it is again.
    pub(crate) fn publishing(&self, trouble: Option<&str>) {
        let mut inner = self.lock();
        if trouble.is_none() && inner.publishing.is_none() {
            return;
        }
        inner.publishing = trouble.map(str::to_owned);
        if let Some(why) = trouble {
            inner.last_error = Some(why.to_owned());
            self.meters.attempts.record(1.0);
        }
        self.tell(&mut inner);
    }

    pub(crate) fn refused(&self, reason: &str) {
        let mut inner = self.lock();
        inner.refused = Some((Instant::now(), reason.to_owned()));
        inner.last_error = Some(reason.to_owned());
        self.meters.refused.record(1.0);
        self.tell(&mut inner);
    }

    /// What waits now, and what the state is to say.
    pub(crate) fn figures(&self, waiting: Option<Waiting>) -> Value {
        let mut inner = self.lock();
        if let Some(waiting) = waiting {
            (inner.backlog, inner.oldest_ms) = (waiting.count, waiting.oldest_age_ms);
        }
        let oldest_s = inner.oldest_ms.unwrap_or_default() / 1000;
        self.meters.backlog.record(inner.backlog as f64);
        self.meters.oldest.record(oldest_s as f64);
        self.tell(&mut inner);
        json!({
            "connected": inner.server.is_some(),
            "backlog": inner.backlog,
            "oldest_age_s": oldest_s,
            "last_error": inner.last_error,
        })
    }

    fn tell(&self, inner: &mut Inner) {
        if inner.refused.as_ref().is_some_and(|(at, _)| at.elapsed() > TOLD_FOR) {
            inner.refused = None;
        }
        let now = match (&inner.link, &inner.publishing, &inner.refused, &inner.server) {
            (Some(why), ..) | (None, Some(why), ..) | (None, None, Some((_, why)), _) => {
                (Health::Degraded, why.clone())
            }
            (None, None, None, Some(server)) => (Health::Ok, format!("connected to {server}")),
            // The first attempt is still on its way.
            (None, None, None, None) => return,
        };
        if inner.told.as_ref() != Some(&now) {
            match now.0 {
                Health::Ok => info!(self.host, "{}", now.1),
                _ => warn!(self.host, "{}; records wait on this gateway", now.1),
            }
            self.host.health(now.0, &now.1);
            inner.told = Some(now);
        }
    }
}
