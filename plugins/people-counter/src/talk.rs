//! One client's requests and their answers.

use crate::faces::{Ask, Pictures, Step};
use crate::hub::Hub;
use crate::message;
use crate::request::{Refusal, Request};
use gantry_plugin::calls::Calls;
use gantry_plugin::{Host, debug};
use gantry_serve::websocket::{Client, Handler, Message};
use gantry_serve::{Draining, Segments, Weight};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What must arrive at a client.
pub(crate) struct Item {
    message: Segments,
    /// For an answer: its client's turn, which is over when it is being written.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Item {
    pub(crate) fn segments(&self) -> &Segments {
        &self.message
    }
}

impl From<Segments> for Item {
    fn from(message: Segments) -> Self {
        Self { message, _turn: None }
    }
}

impl Weight for Item {
    fn weight(&self) -> usize {
        self.message.len()
    }
}

/// Lets a client have one answer waiting and one on its way. The next request is read when there is room: one that asks
/// and does not read what it is answered holds its own connection up and nothing else.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// The next one, or `None` when there will be none.
    async fn next(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().acquire_owned().await.ok()
    }

    /// What the client's writer holds: when it ends there are no more turns.
    pub(crate) fn writer(&self) -> Writing {
        Writing(self.clone())
    }
}

/// A client's writer is there.
pub(crate) struct Writing(Turns);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.0.close();
    }
}

/// Asks the runtime for faces, for all clients.
pub(crate) struct Desk {
    calls: Arc<Calls>,
    /// A list is megabytes on its way here, so there is one at a time.
    lists: Semaphore,
    pictures: Mutex<Pictures>,
    budget: usize,
}

impl Desk {
    pub(crate) fn new(calls: Arc<Calls>, budget: usize) -> Arc<Self> {
        Arc::new(Self { calls, lists: Semaphore::new(1), pictures: Mutex::default(), budget })
    }

    async fn answer(&self, ask: &Ask) -> Segments {
        let _list = match ask {
            Ask::Faces(_) => self.lists.acquire().await.ok(),
            Ask::Face(_) => None,
        };
        let reply = self.calls.ask(ask.service(), &ask.request()).await;
        let mut pictures = self.pictures.lock().unwrap_or_else(PoisonError::into_inner);
        ask.answer(reply, &mut pictures, self.budget)
    }
}

/// One client's requests.
pub(crate) struct Talk {
    pub(crate) host: Host,
    pub(crate) hub: Arc<Hub>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) client: Client<Item>,
    /// Of the hub.
    pub(crate) number: u64,
    pub(crate) turns: Turns,
    pub(crate) draining: Draining,
}

impl Talk {
    fn refuse(&self, refusal: Refusal) -> Segments {
        self.client.counters().add_rejected_messages(1);
        message::error(refusal)
    }
}

impl Handler for Talk {
    async fn message(&mut self, message: Message) {
        let bytes = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        };
        let turn = tokio::select! {
            turn = self.turns.next() => turn,
            () = self.draining.wait() => None,
        };
        let Some(turn) = turn else { return };
        let answer = match Request::read(bytes).map(Step::from) {
            Ok(Step::Say(answer)) => answer,
            Ok(Step::Ask(ask)) => self.desk.answer(&ask).await,
            Err(refusal) => self.refuse(refusal),
        };
        self.client.send(Item { message: answer, _turn: Some(turn) });
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.hub.leave(self.number);
        let counters = self.client.counters();
        debug!(
            self.host,
            "client {} has gone; it got {} bytes and missed {} frames",
            self.client.peer(),
            counters.sent_bytes(),
            counters.skipped_frames()
        );
    }
}
