//! From one message to many clients, at no client's mercy.
//!
//! Every client has two ways to be sent something: its [`Outbox`](crate::Outbox), a small queue of what must arrive, and
//! a [`Subscription`] to a [`Fanout`], in which the newest message replaces the one before. One task per client,
//! [`pump`](crate::pump), owns the write half of the socket: it empties the queue, then takes the newest frame, and
//! changes between the two only on the border of a message.

use std::sync::Arc;
use tokio::sync::watch;

struct Newest<T: ?Sized> {
    /// Counts what was published, from 1.
    sequence: u64,
    message: Option<Arc<T>>,
}

/// A message that is replaced by the next one. What all clients hold of it together is one reference to the newest, and
/// each that is writing one to what it writes.
pub struct Fanout<T: ?Sized> {
    newest: watch::Sender<Newest<T>>,
}

impl<T: ?Sized> Default for Fanout<T> {
    fn default() -> Self {
        Self { newest: watch::Sender::new(Newest { sequence: 0, message: None }) }
    }
}

impl<T: ?Sized> Fanout<T> {
    /// Replaces the message for everybody who has not taken it yet.
    pub fn publish(&self, message: Arc<T>) {
        self.newest.send_modify(|newest| {
            newest.sequence += 1;
            newest.message = Some(message);
        });
    }

    /// Lets go of the newest message. Who has not taken it does not get it.
    pub fn clear(&self) {
        self.newest.send_if_modified(|newest| {
            newest.message = None;
            false
        });
    }

    /// How many messages have been published.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.newest.borrow().sequence
    }

    /// To be told of what is published from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription<T> {
        let newest = self.newest.subscribe();
        let seen = newest.borrow().sequence;
        Subscription { newest, seen }
    }

    /// To be told of what is published after `seen`: the newest may be there already.
    #[must_use]
    pub fn subscribe_after(&self, seen: u64) -> Subscription<T> {
        Subscription { newest: self.newest.subscribe(), seen }
    }
}

/// One client's view of a [`Fanout`].
pub struct Subscription<T: ?Sized> {
    newest: watch::Receiver<Newest<T>>,
    seen: u64,
}

impl<T: ?Sized> Subscription<T> {
    /// The newest message when it has not been taken yet, and how many before it were missed.
    pub fn take(&mut self) -> Option<(Arc<T>, u64)> {
        let newest = self.newest.borrow_and_update();
        if newest.sequence == self.seen {
            return None;
        }
        let missed = newest.sequence - self.seen - 1;
        self.seen = newest.sequence;
        newest.message.clone().map(|message| (message, missed))
    }

    /// Returns when there may be something to take. Never, when the fan-out is gone.
    pub async fn changed(&mut self) {
        if self.newest.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// How many messages have been published since the last one taken.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.newest.borrow().sequence - self.seen
    }

    /// The sequence number of the last message taken.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }
}
