//! Questions to the runtime whose answers are awaited, for plugins with a [`worker`](crate::worker).

use crate::{Error, Host, debug};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Tokens below are the plugin's own.
const FIRST: u64 = 16;

/// An answer, or a sentence.
pub type Reply = Result<Value, String>;
type Waiting = HashMap<u64, oneshot::Sender<Reply>>;

/// The open questions: asked on the worker, answered on the plugin's thread, which passes on what comes to
/// [`on_reply`](crate::Plugin::on_reply). Their tokens begin with 16; a plugin's own calls use those below.
pub struct Calls {
    host: Host,
    patience: Duration,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
}

impl Calls {
    /// None yet. An answer that has not come after `patience` is an error.
    #[must_use]
    pub fn new(host: Host, patience: Duration) -> Arc<Self> {
        Arc::new(Self { host, patience, next: FIRST.into(), waiting: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics half-way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks and waits for the answer.
    pub async fn ask(&self, service: &str, request: &Value) -> Reply {
        self.wait(service, |token| self.host.call(service, request, token)).await
    }

    /// The same with bytes beside the question, see [`Host::call_with`].
    pub async fn ask_with(&self, service: &str, request: &Value, blobs: &[&[u8]]) -> Reply {
        self.wait(service, |token| self.host.call_with(service, request, blobs, token)).await
    }

    async fn wait(&self, service: &str, call: impl FnOnce(u64) -> Result<(), Error>) -> Reply {
        let token = self.next.fetch_add(1, Relaxed);
        let (give, answer) = oneshot::channel();
        self.lock().insert(token, give);
        // Also when the one that waits is dropped half-way.
        let _open = Open { calls: self, token };
        let reply = match call(token) {
            Ok(()) => match tokio::time::timeout(self.patience, answer).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) | Err(_) => Err(format!("`{service}` did not answer in time")),
            },
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = &reply {
            debug!(self.host, "{error}");
        }
        reply
    }

    /// Asks, whatever the answer is.
    pub fn tell(&self, service: &str, request: &Value) {
        let token = self.next.fetch_add(1, Relaxed);
        if let Err(error) = self.host.call(service, request, token) {
            debug!(self.host, "not told: {error}");
        }
    }

    /// An answer has come.
    pub fn reply(&self, token: u64, reply: Result<Value, Error>) {
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
