//! Real WebSocket clients, driven by lines of JSON (see `tests/clients`).

use crate::process::{Process, node, python};
use crate::{PATIENCE, until};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// npm `ws`.
    Node,
    /// PyPI `websockets`.
    Python,
}

/// Both.
pub const KINDS: [Kind; 2] = [Kind::Node, Kind::Python];

/// Messages that are shown of a test that fails.
const SHOWN: usize = 8;

/// A running client. Dropping it ends it.
pub struct Client {
    process: Process,
    /// The beginnings of what it was sent last, for messages of tests that fail.
    seen: RefCell<Vec<String>>,
}

impl Client {
    /// Connects a client that is given these options of its own.
    ///
    /// # Panics
    /// When it cannot connect.
    #[must_use]
    pub fn connect_with(kind: Kind, url: &str, options: &Value) -> Self {
        Self::attempt(kind, url, options)
            .unwrap_or_else(|why| panic!("{kind:?} cannot connect to {url}: {why}"))
    }

    /// Connects a client.
    #[must_use]
    pub fn connect(kind: Kind, url: &str) -> Self {
        Self::connect_with(kind, url, &json!({}))
    }

    /// Tries to connect a client.
    ///
    /// # Errors
    /// What the client says: `{"refused": STATUS}` or `{"error": …}`.
    ///
    /// # Panics
    /// When it cannot be started, or says nothing.
    pub fn attempt(kind: Kind, url: &str, options: &Value) -> Result<Self, Value> {
        let mut command = match kind {
            Kind::Node => node("ws.mjs"),
            Kind::Python => python("ws.py"),
        };
        command.arg(url).arg(options.to_string());
        let client = Self { process: Process::start(command), seen: RefCell::default() };
        let first = client.line(PATIENCE).expect("the client connects or says why not");
        if first["open"] == true { Ok(client) } else { Err(first) }
    }

    /// The client that the C Pro document shows for this language, once it is connected.
    #[must_use]
    pub fn example(kind: Kind, url: &str, user: &str, password: &str) -> Self {
        let mut command = match kind {
            Kind::Node => node("example.mjs"),
            Kind::Python => python("example.py"),
        };
        command.args([url, user, password]);
        let client = Self { process: Process::start(command), seen: RefCell::default() };
        until("the document's client to connect", || (client.line(PATIENCE)?["open"] == true).then_some(()));
        client
    }

    /// Calls methods of the document's client one after the other.
    pub fn call(&mut self, calls: &[(&str, Value)]) {
        let lines: Vec<_> = calls.iter().map(|(name, args)| json!({ "call": name, "args": args })).collect();
        self.process.write(&lines);
    }

    /// The last lines of the client, for messages of tests that fail.
    fn before(&self) -> String {
        let seen = self.seen.borrow();
        seen[seen.len().saturating_sub(SHOWN)..].join("\n")
    }

    fn line(&self, time: Duration) -> Option<Value> {
        let line = self.process.line_within(time)?;
        let value = serde_json::from_str(&line).expect("a line of JSON");
        let mut seen = self.seen.borrow_mut();
        // A stream of pictures need not be remembered.
        if seen.len() >= 2 * SHOWN {
            seen.drain(..SHOWN);
        }
        seen.push(line.chars().take(400).collect());
        Some(value)
    }

    /// The next message within a time, or `None`.
    ///
    /// # Panics
    /// When the connection ends instead, or the message is no text.
    #[must_use]
    pub fn text_within(&self, time: Duration) -> Option<String> {
        let line = self.line(time)?;
        match line["text"].as_str() {
            Some(text) => Some(text.to_owned()),
            None => panic!("{line} instead of a message"),
        }
    }

    /// The next message, as it was sent.
    ///
    /// # Panics
    /// When none comes.
    #[must_use]
    pub fn text(&self) -> String {
        self.text_within(PATIENCE).unwrap_or_else(|| panic!("no message; before:\n{}", self.before()))
    }

    /// The next message.
    ///
    /// # Panics
    /// When none comes, or it is no JSON.
    #[must_use]
    pub fn next(&self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text} is no JSON: {error}"))
    }

    /// The first message that `wanted` takes; the others are thrown away.
    ///
    /// # Panics
    /// When none comes.
    pub fn find(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        while let Some(text) = self.text_within(deadline.saturating_duration_since(Instant::now())) {
            let value = serde_json::from_str(&text).expect("JSON");
            if wanted(&value) {
                return value;
            }
        }
        panic!("waited {PATIENCE:?} for {what}; before:\n{}", self.before());
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    /// Sends any text.
    pub fn send_text(&mut self, text: &str) {
        self.process.write([&json!({ "text": text })]);
    }

    /// Sends messages back to back.
    pub fn send_all(&mut self, messages: &[Value]) {
        let lines: Vec<_> = messages.iter().map(|m| json!({ "text": m.to_string() })).collect();
        self.process.write(&lines);
    }

    /// Sends a binary message, given as base64.
    pub fn send_binary(&mut self, base64: &str) {
        self.process.write([&json!({ "binary": base64 })]);
    }

    /// Sends a message and returns the next one that comes, as it was sent.
    pub fn ask(&mut self, message: &Value) -> String {
        self.send(message);
        self.text()
    }

    /// The value of a key, asked for; what comes meanwhile is thrown away.
    pub fn get(&mut self, key: &str) -> Value {
        // A broadcast has the same form as the answer to one key: a pair of keys tells them apart.
        self.send(&json!({ "get": [key, "#"] }));
        let mut value = None;
        self.find(&format!("the answer to a get of {key}"), |message| {
            if message["error"].is_null() {
                value = message.get(key).cloned().or_else(|| value.take());
            }
            message["key"] == "#"
        });
        value.unwrap_or_else(|| panic!("{key} was not answered; before:\n{}", self.before()))
    }

    /// Logs in, and returns the permissions.
    ///
    /// # Panics
    /// When that is refused.
    pub fn log_in(&mut self, user: &str, password: &str) -> Vec<Value> {
        let answer = self.ask(&json!({ "username": user, "password": password }));
        let value: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(value["authenticated"], true, "{answer}");
        value["permissions"].as_array().expect("permissions").clone()
    }

    /// Closes the connection, and returns the code that came back.
    pub fn close(mut self, code: u16) -> u64 {
        self.process.write([&json!({ "close": code })]);
        self.closed()
    }

    /// Waits until the connection is closed, and returns the code.
    #[must_use]
    pub fn closed(&self) -> u64 {
        until("the connection to be closed", || self.line(PATIENCE)?["close"].as_u64())
    }
}
