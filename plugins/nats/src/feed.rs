//! The records of this gateway, as the runtime gives them out: in order, and each until it is acknowledged.

use crate::config::{Config, REFUSED, Start};
use crate::message::{Blob, Record};
use gantry_plugin::calls::Calls;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// The consumer's name.
pub(crate) const CONSUMER: &str = "nats";
/// Nothing tells of what came in the moment between looking and waiting.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) count: u64,
    pub(crate) oldest_age_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Records {
    records: Vec<Record>,
}

/// The records that wait for this plugin.
pub(crate) struct Feed {
    calls: Arc<Calls>,
    woken: Arc<Notify>,
    collections: Vec<String>,
    start: Start,
}

impl Feed {
    pub(crate) fn new(calls: Arc<Calls>, woken: Arc<Notify>, config: &Config) -> Self {
        Self { calls, woken, collections: config.collections.clone(), start: config.start }
    }

    /// Opens the consumer.
    pub(crate) async fn open(&self) -> Result<(), String> {
        let open = json!({ "consumer": CONSUMER, "collections": self.collections, "start": self.start });
        self.calls.ask("records.open", &open).await.map(|_| ())
    }

    /// Begins again with the first record that is not acknowledged.
    pub(crate) async fn rewind(&self) -> Result<(), String> {
        self.calls.ask("records.rewind", &json!({ "consumer": CONSUMER })).await.map(|_| ())
    }

    /// The next ones.
    pub(crate) async fn next(&self, limit: usize) -> Result<Vec<Record>, String> {
        let answer = self.calls.ask("records.next", &json!({ "consumer": CONSUMER, "limit": limit })).await?;
        let told: Records = serde_json::from_value(answer)
            .map_err(|error| format!("records.next answers in other words than agreed: {error}"))?;
        Ok(told.records)
    }

    /// Waits until there may be more.
    pub(crate) async fn more(&self) {
        let _ = tokio::time::timeout(LOOK_AGAIN, self.woken.notified()).await;
    }

    /// All up to this one are done with.
    pub(crate) async fn ack(&self, up_to: Uuid) -> Result<(), String> {
        self.calls.ask("records.ack", &json!({ "consumer": CONSUMER, "up_to": up_to })).await.map(|_| ())
    }

    /// The blobs of a record with their contents.
    pub(crate) async fn blobs(&self, record: &Record) -> Result<Vec<Blob>, String> {
        let query = json!({ "collection": record.collection, "id": record.id, "blobs": true });
        let answer = self.calls.ask("records.query", &query).await?;
        let told: Records = serde_json::from_value(answer)
            .map_err(|error| format!("records.query answers in other words than agreed: {error}"))?;
        // One that is gone has left its blobs' names behind.
        Ok(told.records.into_iter().next().map_or_else(|| record.blobs.clone(), |found| found.blobs))
    }

    /// What waits, also what is on its way.
    pub(crate) async fn waiting(&self) -> Result<Waiting, String> {
        let answer = self.calls.ask("records.waiting", &json!({ "consumer": CONSUMER })).await?;
        serde_json::from_value(answer).map_err(|error| format!("records.waiting: {error}"))
    }

    /// Writes down that a record cannot be published, and why. It counts as done only when that is on the disk.
    pub(crate) async fn refuse(&self, record: &Record, reason: &str) -> Result<(), String> {
        let append = json!({
            "collection": REFUSED,
            "dedup_key": format!("nats:{}", record.id),
            "data": { "by": "nats", "record": record.id, "collection": record.collection, "reason": reason },
        });
        let answer = self.calls.ask("records.append", &append).await?;
        match answer.get("refused") {
            None => Ok(()),
            Some(_) => {
                let why = answer.get("message").and_then(Value::as_str).unwrap_or("no reason").to_owned();
                Err(format!("what cannot be published cannot be written down either: {why}"))
            }
        }
    }
}
