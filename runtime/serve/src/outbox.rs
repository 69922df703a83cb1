//! What must arrive at one client.

use crate::{Limits, Segments, lock};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a closed outbox may take to bring its last messages to the client.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// What a queued message weighs against `queue_bytes`.
pub trait Weight {
    /// In bytes.
    fn weight(&self) -> usize;
}

impl Weight for Segments {
    fn weight(&self) -> usize {
        self.len()
    }
}

/// A message was not taken: the outbox is closed, or full and closed for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The client is going or gone.
    Closed,
    /// This message was one too many: the client does not keep up with what must arrive.
    Overflowed,
}

struct Queue<T> {
    items: VecDeque<T>,
    bytes: usize,
    closed: Option<Instant>,
}

/// The messages that must arrive at one client. Beyond its bounds it overflows: the caller closes the client.
pub struct Outbox<T> {
    queue: Mutex<Queue<T>>,
    wake: Notify,
    closing: Notify,
    max_messages: usize,
    max_bytes: usize,
    pulse: Arc<Pulse>,
}

/// When a client last showed that it is there by what it takes and gives, and not by an answer to a question: one that
/// is slow may come to the question late.
#[derive(Debug)]
pub struct Pulse {
    born: Instant,
    /// Milliseconds since `born`; 0: never.
    last: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { born: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Pulse {
    /// It is there now.
    pub fn beat(&self) {
        let ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.last.store(ms, Relaxed);
    }

    /// When it was last there.
    #[must_use]
    pub fn last(&self) -> Option<Instant> {
        match self.last.load(Relaxed) {
            0 => None,
            ms => Some(self.born + Duration::from_millis(ms)),
        }
    }
}

impl<T: Weight> Outbox<T> {
    /// Empty, with the bounds of the limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            queue: Mutex::new(Queue { items: VecDeque::new(), bytes: 0, closed: None }),
            wake: Notify::new(),
            closing: Notify::new(),
            max_messages: limits.queue_messages,
            max_bytes: limits.queue_bytes,
            pulse: Arc::default(),
        }
    }

    /// Appends a message. One that is larger than the whole queue is taken when nothing else waits.
    pub fn push(&self, item: T) -> Result<(), Full> {
        let weight = item.weight();
        let mut queue = lock(&self.queue);
        if queue.closed.is_some() {
            return Err(Full::Closed);
        }
        let too_many = queue.items.len() >= self.max_messages;
        if too_many || (!queue.items.is_empty() && queue.bytes + weight > self.max_bytes) {
            return Err(Full::Overflowed);
        }
        queue.bytes += weight;
        queue.items.push_back(item);
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes the next message when it is one that `wanted` wants.
    pub fn pop_if(&self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut queue = lock(&self.queue);
        let item = queue.items.pop_front_if(|item| wanted(item))?;
        queue.bytes -= item.weight();
        Some(item)
    }

    /// Takes the next message.
    pub fn pop(&self) -> Option<T> {
        self.pop_if(|_| true)
    }

    /// Takes no more messages but these, whatever the bounds; the writer ends after them.
    pub fn close(&self, last: impl IntoIterator<Item = T>) {
        let mut queue = lock(&self.queue);
        if queue.closed.is_none() {
            queue.closed = Some(Instant::now());
            for item in last {
                queue.bytes += item.weight();
                queue.items.push_back(item);
            }
        }
        drop(queue);
        self.wake.notify_one();
        self.closing.notify_waiters();
    }

    /// Forgets what waits. Used before [`close`](Self::close) when the client does not take it anyway.
    pub fn clear(&self) {
        let mut queue = lock(&self.queue);
        queue.items.clear();
        queue.bytes = 0;
    }

    /// Whether no more messages are taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        lock(&self.queue).closed.is_some()
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.queue).items.len()
    }

    /// Whether no message waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns when there may be something to take, or when the outbox was closed.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Makes [`changed`](Self::changed) return.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Beats when the client takes something after it had made us wait. To be given to its [`Reader`] as well.
    ///
    /// [`Reader`]: crate::websocket::Reader
    #[must_use]
    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// What the writer does next.
    pub(crate) fn next(&self) -> Next<T> {
        let mut queue = lock(&self.queue);
        if let Some(item) = queue.items.pop_front() {
            queue.bytes -= item.weight();
            return Next::Message(item);
        }
        if queue.closed.is_some() { Next::End } else { Next::Frame }
    }

    /// Returns when the outbox has been closed for so long that its client will not read the rest.
    pub(crate) async fn given_up(&self) {
        loop {
            let closing = self.closing.notified();
            let closed = lock(&self.queue).closed;
            if let Some(since) = closed {
                return tokio::time::sleep_until((since + LAST_WORDS).into()).await;
            }
            closing.await;
        }
    }
}

/// What a client's writer does next.
pub(crate) enum Next<T> {
    Message(T),
    Frame,
    End,
}

#[cfg(test)]
mod tests {
    use super::{Full, Outbox};
    use crate::{Limits, Segments};
    use bytes::Bytes;

    fn text(text: &'static str) -> Segments {
        Bytes::from_static(text.as_bytes()).into()
    }

    #[test]
    fn messages_beyond_the_bounds_overflow() {
        let limits = Limits { queue_messages: 8, queue_bytes: 4096, ..Limits::default() };
        let many: Outbox<Segments> = Outbox::new(&limits);
        for _ in 0..8 {
            many.push(text("x")).unwrap();
        }
        assert_eq!(many.push(text("x")), Err(Full::Overflowed));
        let large: Outbox<Segments> = Outbox::new(&limits);
        large.push(Bytes::from(vec![0; 5000]).into()).expect("alone it is taken");
        assert_eq!(large.push(text("x")), Err(Full::Overflowed));
        large.pop();
        large.push(text("x")).expect("there is room again");
        large.close([]);
        assert_eq!(large.push(text("x")), Err(Full::Closed));
    }
}
