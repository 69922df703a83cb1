//! Clients of a plain WebSocket: one message, one answer.

use crate::clock::stamp;
use crate::desk::Desk;
use crate::key::Grant;
use crate::record::Failure;
use crate::session::{self, Step};
use gantry_serve::websocket::{self, Client, Handler, Message};
use gantry_serve::{Feed, Segments};
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// One client.
pub(crate) struct Talk {
    desk: Arc<Desk>,
    grant: Grant,
    client: Client<Segments>,
    /// How many messages may wait for the client before it is not told of one more that was above the rate.
    complaints: usize,
    clients: Arc<AtomicUsize>,
}

impl Talk {
    pub(crate) fn new(
        desk: Arc<Desk>,
        grant: Grant,
        client: Client<Segments>,
        complaints: usize,
        clients: Arc<AtomicUsize>,
    ) -> Self {
        clients.fetch_add(1, Relaxed);
        Self { desk, grant, client, complaints, clients }
    }

    async fn answer(&self, bytes: &[u8]) -> Result<Value, Failure> {
        match session::plain(bytes)? {
            Step::Keep(entry) => {
                let prepared = self.desk.prepare(entry, &[], bytes.len(), &self.grant)?;
                let done = self.desk.keep(prepared).await?;
                Ok(done.receipt.plain(&done.id, &done.at))
            }
            Step::Ping(message) => Ok(session::plain_pong(message, &stamp(Timestamp::now()))),
            Step::Join(_) | Step::Ignore => Ok(Value::Null),
        }
    }

    fn say(&self, answer: &Value) {
        self.client.send(websocket::text(&answer.to_string().into()));
    }
}

impl Handler for Talk {
    async fn message(&mut self, message: Message) {
        let bytes = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        };
        let answer = self.answer(bytes).await.unwrap_or_else(|failure| {
            self.client.counters().add_rejected_messages(1);
            session::plain_error(&failure.to_string())
        });
        self.say(&answer);
    }

    fn above_rate(&mut self) {
        // Each is told, unless it does not read what it is told.
        if self.client.waiting() < self.complaints {
            self.say(&session::plain_error("busy: try again (too many messages a second)"));
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.clients.fetch_sub(1, Relaxed);
    }
}

/// Everything here is made as it is sent.
pub(crate) struct AsIs;

impl Feed for AsIs {
    type Item = Segments;
    type Frame = Segments;

    fn message(&self, item: &Segments) -> Option<Segments> {
        Some(item.clone())
    }

    fn frame(&self, _: &Segments, _: u64) -> Option<Segments> {
        None
    }
}
