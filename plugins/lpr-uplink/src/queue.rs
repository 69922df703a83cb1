//! The records that wait, read from the store in their order, one ahead of what is being sent.

use crate::config::Config;
use crate::line::Head;
use crate::message::{Message, Origin, Record};
use crate::report::Backlog;
use gantry_plugin::calls::Calls;
use gantry_plugin::{Host, warn};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// The name of the consumer: it goes on where it was also when the upstream has moved.
pub(crate) const CONSUMER: &str = "uplink";
const NOT_UNDERSTOOD: &str =
    "the store's answer is not understood: use the uplink and the gateway of the same version";
/// How often the store is asked when it does not say that there is more.
const LOOK: Duration = Duration::from_secs(1);

/// The record whose turn it is.
pub(crate) struct Turn {
    pub(crate) id: String,
    pub(crate) collection: String,
    pub(crate) message: Result<Arc<Message>, String>,
    /// The camera and its checkpoint, as one text.
    pub(crate) camera: String,
}

impl Turn {
    pub(crate) fn head(&self) -> Head<'_> {
        let (bytes, unfit) = match &self.message {
            Ok(message) => (message.body.len(), None),
            Err(why) => (0, Some(why.as_str())),
        };
        Head { id: &self.id, camera: &self.camera, bytes, unfit }
    }
}

/// What becomes of a record.
pub(crate) enum Item {
    /// To be sent.
    Send(Turn),
    /// Not to be sent.
    Skip(String),
}

impl Item {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Send(Turn { id, .. }) | Self::Skip(id) => id,
        }
    }
}

/// Reads records and hands them over, until the receiver is gone.
pub(crate) struct Reader {
    pub(crate) host: Host,
    pub(crate) calls: Arc<Calls>,
    pub(crate) config: Config,
    pub(crate) origin: Origin,
    /// There is more.
    pub(crate) more: Arc<Notify>,
    pub(crate) items: mpsc::Sender<Item>,
}

impl Reader {
    pub(crate) async fn run(self) {
        let mut is_open = false;
        let mut told = false;
        while !self.items.is_closed() {
            let read = if is_open { self.batch().await } else { self.open().await };
            match read {
                Ok(Some(0)) => {
                    let _ = tokio::time::timeout(LOOK, self.more.notified()).await;
                }
                Ok(Some(_)) => {}
                Ok(None) => (is_open, told) = (true, false),
                Err(why) => {
                    if !std::mem::replace(&mut told, true) {
                        warn!(
                            self.host,
                            "the records cannot be read and are not sent: {why}; it is tried again"
                        );
                    }
                    // It is opened again, in case that the store has forgotten it.
                    is_open = false;
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    async fn open(&self) -> Result<Option<usize>, String> {
        let Config { collections, start, .. } = &self.config;
        let request = json!({"consumer": CONSUMER, "collections": collections, "start": start.name()});
        self.calls.ask("records.open", &request).await?;
        // What was given to an instance before this one was not acknowledged by it.
        self.calls.ask("records.rewind", &json!({ "consumer": CONSUMER })).await?;
        Ok(None)
    }

    /// Hands over the next batch; how many they were.
    async fn batch(&self) -> Result<Option<usize>, String> {
        let request = json!({"consumer": CONSUMER, "limit": self.config.batch});
        let mut reply = self.calls.ask("records.next", &request).await?;
        let Value::Array(all) = reply["records"].take() else {
            return Err(NOT_UNDERSTOOD.to_owned());
        };
        let count = all.len();
        for value in all {
            let Some(mut record) = Record::of(value) else {
                return Err(NOT_UNDERSTOOD.to_owned());
            };
            let id = record.id.clone();
            let item = if record.is_kept_back() || !self.fill(&mut record).await? {
                Item::Skip(id)
            } else {
                let collection = record.collection.clone();
                let message = self.origin.message(record).map(Arc::new);
                let camera =
                    message.as_ref().map(|message| json!([message.camera, message.checkpoint]).to_string());
                Item::Send(Turn { id, collection, camera: camera.unwrap_or_default(), message })
            };
            if self.items.send(item).await.is_err() {
                return Ok(Some(0));
            }
        }
        Ok(Some(count))
    }

    /// Fetches a record's blobs, which are too much to be had for a whole batch. `false`: the record is gone.
    async fn fill(&self, record: &mut Record) -> Result<bool, String> {
        if !record.has_blobs {
            return Ok(true);
        }
        let request = json!({"collection": record.collection, "id": record.id, "blobs": true});
        let mut reply = self.calls.ask("records.query", &request).await?;
        match Record::of(reply["records"][0].take()) {
            Some(whole) => *record = whole,
            None => return Ok(false),
        }
        Ok(true)
    }
}

/// What tells the store that all up to this record are done with.
pub(crate) fn acknowledgement(id: &str) -> Value {
    json!({ "consumer": CONSUMER, "up_to": id })
}

/// What waits.
pub(crate) async fn backlog(calls: &Calls) -> Option<Backlog> {
    let waiting: Value = calls.ask("records.waiting", &json!({ "consumer": CONSUMER })).await.ok()?;
    let count = waiting["count"].as_u64()?;
    let oldest_age_s = waiting["oldest_age_ms"].as_u64().unwrap_or(0) / 1000;
    Some(Backlog { count, oldest_age_s })
}

/// What the runtime calls this instance: its state keys have the name in them.
pub(crate) async fn instance(calls: &Calls) -> String {
    let info = calls.ask("gateway.info", &json!({})).await.unwrap_or_default();
    info["plugin"].as_str().unwrap_or("lpr-uplink").to_owned()
}
