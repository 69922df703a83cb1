//! Questions to the runtime whose answers are awaited.

use crate::faces::{Ask, Reply};
use gantry_plugin::{Error, Host, debug};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an answer may take: it may have to read hundreds of pictures from a slow disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tokens below are the plugin's own.
const FIRST: u64 = 16;

type Waiting = HashMap<u64, oneshot::Sender<Reply>>;

/// The open questions. Asked on the worker, answered on the plugin's thread.
pub(crate) struct Calls {
    host: Host,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
}

impl Calls {
    pub(crate) fn new(host: Host) -> Arc<Self> {
        Arc::new(Self { host, next: FIRST.into(), waiting: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics half-way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(&self, ask: &Ask) -> Reply {
        let token = self.next.fetch_add(1, Relaxed);
        let (give, answer) = oneshot::channel();
        self.lock().insert(token, give);
        // Also when the one that waits is dropped half-way.
        let _open = Open { calls: self, token };
        let asked = self.host.call(ask.service(), &ask.request(), token).map_err(|error| error.to_string());
        let reply = match asked {
            Ok(()) => tokio::time::timeout(PATIENCE, answer).await,
            Err(error) => Ok(Ok(Err(error))),
        };
        let reply = match reply {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) | Err(_) => Err(format!("`{}` did not answer in time", ask.service())),
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
