//! Real Socket.IO clients, driven by lines of JSON (see `tests/clients`).

use crate::PATIENCE;
use crate::process::{Process, node, python};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// npm `socket.io-client` 4 (Engine.IO 4).
    Node4,
    /// npm `socket.io-client` 2 (Engine.IO 3).
    Node2,
    /// PyPI `python-socketio` 5.
    Python,
}

/// One event as the client saw it.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its name; `#connect`, `#disconnect`, `#error`, `#upgrade`, `#ack` are the client's own.
    pub name: String,
    /// Its arguments.
    pub args: Vec<Value>,
    /// The line as the client wrote it, which keeps the order of keys.
    pub line: String,
}

/// A running client. Dropping it ends it.
pub struct Client(Process);

impl Client {
    /// Connects a client with these options of its own (`{"transports": ["polling"]}`).
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn connect(kind: Kind, url: &str, options: &Value) -> Self {
        let mut options = options.clone();
        let mut command = if kind == Kind::Python {
            python("sio.py")
        } else {
            options["version"] = json!(if kind == Kind::Node2 { 2 } else { 4 });
            node("sio.mjs")
        };
        command.arg(url).arg(options.to_string());
        Self(Process::start(command))
    }

    /// The next event, whatever it is.
    ///
    /// # Panics
    /// When none comes.
    #[must_use]
    pub fn next(&self) -> Event {
        self.next_within(PATIENCE).expect("an event")
    }

    /// The next event within a time, or `None`.
    ///
    /// # Panics
    /// When the client has ended.
    #[must_use]
    pub fn next_within(&self, time: Duration) -> Option<Event> {
        let line = self.0.line_within(time)?;
        let value: Value = serde_json::from_str(&line).expect("a line of JSON");
        let name = value["event"].as_str().unwrap_or_default().to_owned();
        let args = value["args"].as_array().cloned().unwrap_or_default();
        Some(Event { name, args, line })
    }

    /// The first event that `wanted` takes; the others are thrown away.
    ///
    /// # Panics
    /// When none comes.
    pub fn find(&self, what: &str, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        let deadline = Instant::now() + PATIENCE;
        while let Some(event) = self.next_within(deadline.saturating_duration_since(Instant::now())) {
            if wanted(&event) {
                return event;
            }
        }
        panic!("waited {PATIENCE:?} for {what}");
    }

    /// The next event of that name.
    pub fn named(&self, name: &str) -> Event {
        self.find(name, |event| event.name == name)
    }

    /// The next periodic `status`.
    pub fn status(&self) -> Value {
        let event = self.find("a periodic status", |e| e.name == "status" && e.args[0]["message"].is_null());
        event.args[0].clone()
    }

    /// Emits an event.
    ///
    /// # Panics
    /// When the client has ended.
    pub fn emit(&mut self, event: &[Value]) {
        self.0.write([&json!({ "emit": event })]);
    }

    /// Emits an event with an acknowledgement, which comes as `#ack`.
    ///
    /// # Panics
    /// When the client has ended.
    pub fn emit_with_ack(&mut self, event: &[Value]) {
        self.0.write([&json!({ "emit": event, "ack": true })]);
    }

    /// Says good-bye and ends.
    pub fn close(mut self) {
        self.0.end(Some(&json!({ "close": true })));
    }
}
