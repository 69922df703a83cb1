//! Real Socket.IO clients, driven by lines of JSON (see `tests/clients`).

use crate::{PATIENCE, root};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
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
pub struct Client {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Client {
    /// Connects a client with these options of its own (`{"transports": ["polling"]}`).
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn connect(kind: Kind, url: &str, options: &Value) -> Self {
        let folder = root().join("tests/clients");
        let mut options = options.clone();
        let mut command = if kind == Kind::Python {
            let mut python = Command::new(folder.join(".venv/bin/python"));
            python.arg(folder.join("sio.py"));
            python
        } else {
            options["version"] = json!(if kind == Kind::Node2 { 2 } else { 4 });
            let mut node = Command::new("node");
            node.arg(folder.join("sio.mjs"));
            node
        };
        command.arg(url).arg(options.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the test clients: run `make test`, which installs them");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, stdin, lines }
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
        let line = match self.lines.recv_timeout(time) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => panic!("the client has ended"),
        };
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
        writeln!(self.stdin, "{}", json!({ "emit": event })).expect("the client runs");
    }

    /// Emits an event with an acknowledgement, which comes as `#ack`.
    ///
    /// # Panics
    /// When the client has ended.
    pub fn emit_with_ack(&mut self, event: &[Value]) {
        writeln!(self.stdin, "{}", json!({ "emit": event, "ack": true })).expect("the client runs");
    }

    /// Says good-bye and ends.
    pub fn close(mut self) {
        let _ = writeln!(self.stdin, "{}", json!({ "close": true }));
        let _ = self.child.wait();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
