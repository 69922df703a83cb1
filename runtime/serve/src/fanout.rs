//! From one message to many clients, at no client's mercy.
//!
//! Every client has two ways to be sent something: its [`Outbox`], a small queue of what must arrive, and a
//! [`Subscription`] to a [`Fanout`], in which the newest message replaces the one before. One task per client, [`pump`],
//! owns the write half of the socket: it empties the queue, then takes the newest frame, and changes between the two only
//! on the border of a message.

use crate::{Counters, Limits, Segments, lock};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, watch};

/// How long a closed outbox may take to bring its last messages to the client.
const LAST_WORDS: Duration = Duration::from_millis(1500);

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

    /// The sequence number of the last message taken.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

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
    fn next(&self) -> Next<T> {
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

enum Next<T> {
    Message(T),
    Frame,
    End,
}

/// How a client's messages become bytes.
pub trait Feed: Send {
    /// What is in the outbox.
    type Item: Weight + Send;
    /// What the fan-out carries.
    type Frame: ?Sized + Send + Sync;

    /// The bytes of a message, or `None` when it is not for this client.
    fn message(&self, item: &Self::Item) -> Option<Segments>;
    /// The bytes of a frame, or `None` when it is not for this client. `sequence` counts the frames of the fan-out.
    fn frame(&self, frame: &Self::Frame, sequence: u64) -> Option<Segments>;
}

/// Writes a client's messages and frames until its outbox is closed and empty, then ends the stream.
///
/// Queued messages go before a frame. A message that has begun is finished, unless the client takes nothing of it for
/// 1.5 s after the outbox was closed. Nothing is allocated per message.
pub async fn pump<W, F>(
    io: &mut W,
    outbox: &Outbox<F::Item>,
    frames: &mut Subscription<F::Frame>,
    feed: &F,
    counters: &Counters,
) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
    F: Feed,
{
    loop {
        let segments = match outbox.next() {
            Next::Message(item) => feed.message(&item),
            Next::End => break,
            Next::Frame => match frames.take() {
                Some((frame, missed)) => {
                    let segments = feed.frame(&frame, frames.seen());
                    if missed > 0 && segments.is_some() {
                        counters.add_skipped_frames(missed);
                    }
                    segments
                }
                None => {
                    tokio::select! {
                        biased;
                        () = frames.changed() => {}
                        () = outbox.changed() => {}
                    }
                    continue;
                }
            },
        };
        let Some(segments) = segments else { continue };
        tokio::select! {
            biased;
            result = segments.write(io, || outbox.pulse.beat()) => result?,
            () = outbox.given_up() => return Err(io::ErrorKind::TimedOut.into()),
        }
        counters.add_sent_bytes(segments.len() as u64);
    }
    tokio::select! {
        biased;
        result = io.shutdown() => result,
        () = outbox.given_up() => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fanout, Feed, Full, Outbox, pump};
    use crate::{Counters, Limits, Segments};
    use bytes::Bytes;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    /// Memory of a camera: counts how many of it are alive.
    struct Picture(Vec<u8>, Arc<AtomicUsize>);
    impl Picture {
        fn frame(text: &str, alive: &Arc<AtomicUsize>) -> Arc<Segments> {
            alive.fetch_add(1, SeqCst);
            Arc::new(Bytes::from_owner(Self(text.as_bytes().to_vec(), alive.clone())).into())
        }
    }
    impl AsRef<[u8]> for Picture {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Picture {
        fn drop(&mut self) {
            self.1.fetch_sub(1, SeqCst);
        }
    }

    struct AsIs;
    impl Feed for AsIs {
        type Item = Segments;
        type Frame = Segments;
        fn message(&self, item: &Segments) -> Option<Segments> {
            Some(item.clone())
        }
        fn frame(&self, frame: &Segments, _: u64) -> Option<Segments> {
            Some(frame.clone())
        }
    }

    struct Client {
        outbox: Arc<Outbox<Segments>>,
        counters: Arc<Counters>,
        far: DuplexStream,
        task: tokio::task::JoinHandle<std::io::Result<()>>,
    }

    fn client(fanout: &Fanout<Segments>, window: usize, limits: &Limits) -> Client {
        let (mut near, far) = duplex(window);
        let outbox = Arc::new(Outbox::new(limits));
        let counters = Arc::new(Counters::default());
        let mut frames = fanout.subscribe();
        let (o, c) = (outbox.clone(), counters.clone());
        let task = tokio::spawn(async move { pump(&mut near, &o, &mut frames, &AsIs, &c).await });
        Client { outbox, counters, far, task }
    }

    /// Lets every task run until it waits.
    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    async fn read(far: &mut DuplexStream, n: usize) -> String {
        let mut bytes = vec![0; n];
        far.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn text(text: &'static str) -> Segments {
        Bytes::from_static(text.as_bytes()).into()
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_holds_two_frames_and_sees_the_newest_next() {
        let alive = Arc::new(AtomicUsize::new(0));
        let fanout = Fanout::default();
        let mut slow = client(&fanout, 4, &Limits::default());
        for i in 0..100 {
            fanout.publish(Picture::frame(&format!("frame {i:02};"), &alive));
            settle().await;
            assert!(alive.load(SeqCst) <= 2, "one in flight, one pending");
        }
        assert_eq!(read(&mut slow.far, 9).await, "frame 00;");
        assert_eq!(read(&mut slow.far, 9).await, "frame 99;");
        settle().await;
        assert_eq!(slow.counters.skipped_frames(), 98);
        assert_eq!(alive.load(SeqCst), 1, "the newest stays until the next");
        fanout.clear();
        assert_eq!(alive.load(SeqCst), 0);
    }

    #[tokio::test]
    async fn a_hundred_clients_share_one_frame_and_a_stuck_one_costs_the_others_nothing() {
        let alive = Arc::new(AtomicUsize::new(0));
        let fanout = Fanout::default();
        let _stuck = client(&fanout, 1, &Limits::default());
        let mut quick: Vec<_> = (0..100).map(|_| client(&fanout, 1024, &Limits::default())).collect();
        for i in 0..10 {
            fanout.publish(Picture::frame(&format!("{i}"), &alive));
            settle().await;
            for client in &mut quick {
                assert_eq!(read(&mut client.far, 1).await, format!("{i}"));
            }
            assert!(alive.load(SeqCst) <= 2);
        }
    }

    #[tokio::test]
    async fn the_queue_goes_before_the_pending_frame_and_never_into_the_middle_of_one() {
        let fanout = Fanout::default();
        let mut slow = client(&fanout, 2, &Limits::default());
        fanout.publish(Arc::new(text("first;")));
        settle().await;
        fanout.publish(Arc::new(text("second;")));
        slow.outbox.push(text("pong;")).unwrap();
        slow.outbox.push(text("ack;")).unwrap();
        assert_eq!(read(&mut slow.far, 22).await, "first;pong;ack;second;");
    }

    #[tokio::test]
    async fn messages_beyond_the_bounds_overflow() {
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

    #[tokio::test]
    async fn a_closed_outbox_says_its_last_words_and_ends_the_stream() {
        let fanout = Fanout::default();
        let mut client = client(&fanout, 1024, &Limits::default());
        client.outbox.push(text("hello;")).unwrap();
        client.outbox.close([text("bye;")]);
        let mut all = String::new();
        client.far.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "hello;bye;");
        client.task.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_client_that_takes_nothing_is_given_up() {
        let fanout = Fanout::default();
        let client = client(&fanout, 1, &Limits::default());
        fanout.publish(Arc::new(text("never read")));
        settle().await;
        client.outbox.close([text("bye")]);
        assert!(client.task.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn being_slow_is_a_sign_of_life() {
        let fanout = Fanout::default();
        let mut slow = client(&fanout, 3, &Limits::default());
        fanout.publish(Arc::new(text("frame;")));
        settle().await;
        assert_eq!(slow.outbox.pulse().last(), None);
        assert_eq!(read(&mut slow.far, 6).await, "frame;");
        settle().await;
        assert!(slow.outbox.pulse().last().is_some());
    }
}
