//! What rules are told, for whoever records it.

use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::broadcast;

/// Events that may wait for one who records; more are lost to him, and he is told.
const WAITING: usize = 1024;

/// One event, as a line of a recording.
#[derive(Debug)]
pub(crate) struct Taped {
    /// The hook that it is for.
    pub(crate) hook: &'static str,
    /// `{"hook", "event"}` and a line end.
    pub(crate) line: String,
}

/// Where events pass by.
#[derive(Debug)]
pub(crate) struct Tape(broadcast::Sender<Arc<Taped>>);

impl Default for Tape {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }
}

impl Tape {
    /// Whether somebody records.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// An event passes. Costs nothing while nobody records.
    pub(crate) fn pass(&self, hook: &'static str, event: &Value) {
        if self.is_heard() {
            let line = json!({ "hook": hook, "event": event }).to_string() + "\n";
            // Nobody is there any more: no matter.
            let _ = self.0.send(Arc::new(Taped { hook, line }));
        }
    }

    /// Everything that passes from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Taped>> {
        self.0.subscribe()
    }
}
