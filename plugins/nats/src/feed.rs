//! The records of this gateway, as the runtime gives them out: in order, and each until it is acknowledged.

use crate::config::{Config, REFUSED, Start};
use crate::message::{Blob, Record};
use gantry_plugin::calls::Calls;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use uuid::Uuid;

/// The consumer's name.
pub(crate) const CONSUMER: &str = "nats";
/// How long the runtime may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
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
    turns: Turns,
}

/// Questions that move the consumer, one at a time. Whoever asks may be gone before the answer is there; the next one waits for
/// it all the same, or what it begins again would be moved on by a question that nobody waits for.
#[derive(Default)]
struct Turns(Arc<Mutex<()>>);

impl Turns {
    async fn take<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, String>> + Send + 'static,
    ) -> Result<T, String> {
        let turn = self.0.clone().lock_owned().await;
        let answered = tokio::spawn(async move {
            let _turn = turn;
            question.await
        });
        answered.await.map_err(|error| error.to_string())?
    }
}

impl Feed {
    pub(crate) fn new(calls: Arc<Calls>, woken: Arc<Notify>, config: &Config) -> Self {
        Self {
            calls,
            woken,
            collections: config.collections.clone(),
            start: config.start,
            turns: Turns::default(),
        }
    }

    /// Opens the consumer.
    pub(crate) async fn open(&self) -> Result<(), String> {
        let open = json!({ "consumer": CONSUMER, "collections": self.collections, "start": self.start });
        self.calls.ask("records.open", &open).await.map(|_| ())
    }

    /// Begins again with the first record that is not acknowledged.
    pub(crate) async fn rewind(&self) -> Result<(), String> {
        self.moves("records.rewind", json!({ "consumer": CONSUMER })).await.map(|_| ())
    }

    async fn moves(&self, service: &'static str, request: Value) -> Result<Value, String> {
        let calls = self.calls.clone();
        let asked = self.turns.take(async move { calls.ask(service, &request).await });
        tokio::time::timeout(PATIENCE, asked).await.map_err(|_| {
            format!("`{service}` is not answered: look whether the disk of this gateway is overloaded")
        })?
    }

    /// The next ones.
    pub(crate) async fn next(&self, limit: usize) -> Result<Vec<Record>, String> {
        let answer = self.moves("records.next", json!({ "consumer": CONSUMER, "limit": limit })).await?;
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
                Err(format!(
                    "what cannot be published cannot be written down either ({why}): make room on the gateway's disk"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use std::sync::{Arc, Mutex};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn what_begins_again_waits_for_an_answer_that_nobody_wants_any_more() {
        let (turns, order) = (Turns::default(), Arc::new(Mutex::new(Vec::new())));
        let (began, has_begun) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let told = order.clone();
        let next = turns.take(async move {
            began.send(()).unwrap();
            answered.await.unwrap();
            told.lock().unwrap().push("next");
            Ok(())
        });
        tokio::select! {
            _ = next => unreachable!("nobody has answered"),
            begun = has_begun => begun.unwrap(),
        }
        // Who asked has gone.
        let told = order.clone();
        let rewind = turns.take(async move {
            told.lock().unwrap().push("rewind");
            Ok(())
        });
        let answering = async {
            // As long as there is no answer, nothing happens however often it is looked.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(order.lock().unwrap().is_empty());
            answer.send(()).unwrap();
        };
        let (rewound, ()) = tokio::join!(rewind, answering);
        rewound.unwrap();
        assert_eq!(*order.lock().unwrap(), ["next", "rewind"]);
    }
}
