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
    /// Counts what was published or amended, from 1.
    version: u64,
    message: Option<Arc<T>>,
}

/// A message that is replaced by the next one. What all clients hold of it together is one reference to the newest, and
/// each that is writing one to what it writes.
pub struct Fanout<T: ?Sized> {
    newest: watch::Sender<Newest<T>>,
}

impl<T: ?Sized> Default for Fanout<T> {
    fn default() -> Self {
        Self { newest: watch::Sender::new(Newest { sequence: 0, version: 0, message: None }) }
    }
}

impl<T: ?Sized> Fanout<T> {
    /// Replaces the message for everybody who has not taken it yet.
    pub fn publish(&self, message: Arc<T>) {
        self.newest.send_modify(|newest| {
            newest.sequence += 1;
            newest.version += 1;
            newest.message = Some(message);
        });
    }

    /// Replaces the message by one that has more to say and is no new frame: everybody takes it, and nobody who has not
    /// taken the one before has missed a frame by that.
    pub fn amend(&self, message: Arc<T>) {
        self.newest.send_modify(|newest| {
            newest.version += 1;
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
        let (seen, version) = (newest.borrow().sequence, newest.borrow().version);
        Subscription { newest, seen, version }
    }

    /// To be told of what is published after `seen`: the newest may be there already.
    #[must_use]
    pub fn subscribe_after(&self, seen: u64) -> Subscription<T> {
        let newest = self.newest.subscribe();
        let version = if newest.borrow().sequence == seen { newest.borrow().version } else { 0 };
        Subscription { newest, seen, version }
    }
}

/// One client's view of a [`Fanout`].
pub struct Subscription<T: ?Sized> {
    newest: watch::Receiver<Newest<T>>,
    seen: u64,
    version: u64,
}

impl<T: ?Sized> Subscription<T> {
    /// The newest message when it has not been taken yet, and how many frames before it were missed.
    pub fn take(&mut self) -> Option<(Arc<T>, u64)> {
        let newest = self.newest.borrow_and_update();
        if newest.version == self.version {
            return None;
        }
        let missed = (newest.sequence - self.seen).saturating_sub(1);
        (self.seen, self.version) = (newest.sequence, newest.version);
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

#[cfg(test)]
mod tests {
    use super::Fanout;
    use std::sync::Arc;

    #[test]
    fn an_amended_message_is_taken_by_all_and_is_no_missed_frame() {
        let fanout = Fanout::default();
        let (mut quick, mut slow) = (fanout.subscribe(), fanout.subscribe());
        fanout.publish(Arc::new("1"));
        assert_eq!(quick.take(), Some((Arc::new("1"), 0)));
        fanout.amend(Arc::new("1 and more"));
        assert_eq!(quick.take(), Some((Arc::new("1 and more"), 0)));
        assert_eq!(quick.take(), None);
        for frame in ["2", "3", "4"] {
            fanout.publish(Arc::new(frame));
            fanout.amend(Arc::new("4 and more"));
        }
        assert_eq!((slow.missed(), fanout.published()), (4, 4));
        assert_eq!(slow.take(), Some((Arc::new("4 and more"), 3)));
        assert_eq!(quick.take(), Some((Arc::new("4 and more"), 2)));
        assert_eq!((slow.seen(), slow.missed()), (4, 0));
    }

    #[test]
    fn who_comes_later_gets_what_is_amended_from_then_on_and_who_comes_back_what_he_has_not_seen() {
        let fanout = Fanout::default();
        fanout.publish(Arc::new("1"));
        fanout.amend(Arc::new("1 and more"));
        assert_eq!(fanout.subscribe().take(), None);
        assert_eq!(fanout.subscribe_after(1).take(), None);
        assert_eq!(fanout.subscribe_after(0).take(), Some((Arc::new("1 and more"), 0)));
        let mut late = fanout.subscribe();
        fanout.amend(Arc::new("still more"));
        assert_eq!(late.take(), Some((Arc::new("still more"), 0)));
        fanout.clear();
        assert_eq!(fanout.subscribe_after(0).take(), None);
    }
}
