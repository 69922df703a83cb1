//! Questions to the runtime whose answers are awaited.

use crate::picture::Blob;
use gantry_plugin::{Error, Host, debug};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an answer may take. Senders of this protocol give up after thirty seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Tokens below are the plugin's own.
const FIRST: u64 = 16;

/// An answer, or a sentence.
pub(crate) type Reply = Result<Value, String>;

/// The open questions. Asked on the worker, answered on the plugin's thread.
pub(crate) struct Calls {
    host: Host,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
}

impl Calls {
    pub(crate) fn new(host: Host) -> Arc<Self> {
        Arc::new(Self { host, next: FIRST.into(), waiting: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Reply>>> {
        // Nothing in here panics half-way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(&self, service: &str, request: &Value) -> Reply {
        self.wait(service, |token| self.host.call(service, request, token)).await
    }

    /// The same with bytes beside the question.
    pub(crate) async fn ask_with(&self, service: &str, request: &Value, blobs: &[Blob]) -> Reply {
        let bytes: Vec<&[u8]> = blobs.iter().map(|blob| &blob.bytes[..]).collect();
        self.wait(service, |token| self.host.call_with(service, request, &bytes, token)).await
    }

    async fn wait(&self, service: &str, call: impl FnOnce(u64) -> Result<(), Error>) -> Reply {
        let token = self.next.fetch_add(1, Relaxed);
        let (give, answer) = oneshot::channel();
        self.lock().insert(token, give);
        // Also when the one that waits is dropped half-way.
        let _open = Open { calls: self, token };
        let reply = match call(token) {
            Ok(()) => tokio::time::timeout(PATIENCE, answer).await,
            Err(error) => Ok(Ok(Err(error.to_string()))),
        };
        let reply = match reply {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) | Err(_) => Err(format!("`{service}` did not answer in time")),
        };
        if let Err(error) = &reply {
            debug!(self.host, "{error}");
        }
        reply
    }

    /// An answer has come.
    pub(crate) fn reply(&self, token: u64, reply: Result<Value, Error>) {
        let waiting = self.lock().remove(&token);
        if let Some(waiting) = waiting {
            let _ = waiting.send(reply.map_err(|error| error.to_string()));
        }
    }
}

struct Open<'a> {
    calls: &'a Calls,
    token: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.token);
    }
}
