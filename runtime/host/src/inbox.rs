//! What waits for an instance: bounded, so that a slow plugin costs itself and nobody else.

use crate::lock;
use gantry_core::bus::Message;
use gantry_core::frames::Frame;
use gantry_core::state::Change;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// How many messages wait at most; what comes then is dropped and counted.
pub(crate) const MAX_MESSAGES: usize = 256;
/// How many wakes can be open at once.
pub(crate) const MAX_WAKES: usize = 1024;

/// Something to be told to the instance.
#[derive(Debug)]
pub(crate) enum Event {
    /// A frame of a watched stream.
    Frame(Arc<Frame>),
    /// A message on a subscribed topic.
    Message(Message),
    /// The newest value of a watched key.
    State(Change),
    /// The answer to a call.
    Reply {
        /// What the plugin calls it.
        token: u64,
        /// The answer, or a sentence.
        reply: Result<Value, String>,
        /// The call is open until the plugin has been told.
        open: OpenCall,
    },
    /// A wake is due.
    Wake(u64),
    /// It is to stop.
    Stop,
}

/// Counts a call as open for as long as it lives.
#[derive(Debug)]
pub(crate) struct OpenCall(Arc<AtomicUsize>);

impl OpenCall {
    /// One more, if there are fewer than `max`.
    pub(crate) fn take(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let room = |open| (open < max).then_some(open + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Self(count.clone()))
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of blobs that wait for an answer; given back when dropped.
#[derive(Debug)]
pub(crate) struct OpenBytes(Arc<AtomicUsize>, usize);

impl OpenBytes {
    /// So many more, if there are not more than `max` then.
    pub(crate) fn take(count: &Arc<AtomicUsize>, bytes: usize, max: usize) -> Option<Self> {
        let room = |open: usize| open.checked_add(bytes).filter(|all| *all <= max);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Self(count.clone(), bytes))
    }
}

impl Drop for OpenBytes {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// The newest of each name, in the order in which the names came: one that changes all the time keeps its place and
/// cannot starve the others.
struct Newest<T> {
    order: VecDeque<Arc<str>>,
    values: BTreeMap<Arc<str>, T>,
}

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), values: BTreeMap::new() }
    }
}

impl<T> Newest<T> {
    /// Returns the one that was replaced.
    fn put(&mut self, name: &Arc<str>, value: T) -> Option<T> {
        let before = self.values.insert(name.clone(), value);
        if before.is_none() {
            self.order.push_back(name.clone());
        }
        before
    }

    fn pop(&mut self) -> Option<T> {
        self.values.remove(&self.order.pop_front()?)
    }

    fn remove(&mut self, name: &str) -> Option<T> {
        let value = self.values.remove(name)?;
        self.order.retain(|other| **other != *name);
        Some(value)
    }
}

/// What an inbox did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dropped {
    pub(crate) messages: u64,
    pub(crate) frames: u64,
}

#[derive(Default)]
struct Queues {
    frames: Newest<Arc<Frame>>,
    messages: VecDeque<Message>,
    state: Newest<Change>,
    replies: VecDeque<(u64, Result<Value, String>, OpenCall)>,
    wakes: BinaryHeap<Reverse<(Instant, u64, u64)>>,
    wake_order: u64,
    stop: bool,
    turn: usize,
    dropped: Dropped,
}

impl Queues {
    /// The next event that is ready. Kinds take turns, so that no flood of one starves another.
    fn take(&mut self, now: Instant) -> Option<Event> {
        if self.stop {
            return Some(Event::Stop);
        }
        for step in 0..5 {
            let kind = (self.turn + step) % 5;
            let event = match kind {
                0 => {
                    let next = self.replies.pop_front();
                    next.map(|(token, reply, open)| Event::Reply { token, reply, open })
                }
                1 => self.state.pop().map(Event::State),
                2 => self.frames.pop().map(Event::Frame),
                3 => self.messages.pop_front().map(Event::Message),
                _ => match self.wakes.peek() {
                    Some(Reverse((due, ..))) if *due <= now => {
                        self.wakes.pop().map(|Reverse((_, _, token))| Event::Wake(token))
                    }
                    _ => None,
                },
            };
            if event.is_some() {
                self.turn = (kind + 1) % 5;
                return event;
            }
        }
        None
    }
}

/// The queues of one instance.
#[derive(Default)]
pub(crate) struct Inbox {
    queues: Mutex<Queues>,
    ready: Condvar,
}

impl Inbox {
    /// Changes the queues, unless nothing is told any more. What is returned is dropped outside of the lock: the memory of
    /// a frame goes back to its camera, which may take a while.
    fn put<T>(&self, f: impl FnOnce(&mut Queues) -> T) {
        let mut queues = lock(&self.queues);
        if queues.stop {
            return;
        }
        let gone = f(&mut queues);
        drop(queues);
        self.ready.notify_one();
        drop(gone);
    }

    /// The newest frame of a stream replaces the one that waits.
    pub(crate) fn frame(&self, frame: &Arc<Frame>) {
        self.put(|q| {
            let before = q.frames.put(&frame.stream, frame.clone());
            q.dropped.frames += u64::from(before.is_some());
            before
        });
    }

    /// A frame was not taken because too many are kept.
    pub(crate) fn skipped_frame(&self) {
        lock(&self.queues).dropped.frames += 1;
    }

    /// Forgets the frame of a stream that is no longer watched.
    pub(crate) fn forget_stream(&self, stream: &str) {
        let gone = lock(&self.queues).frames.remove(stream);
        drop(gone);
    }

    pub(crate) fn message(&self, message: &Message) {
        self.put(|q| {
            if q.messages.len() < MAX_MESSAGES {
                q.messages.push_back(message.clone());
            } else {
                q.dropped.messages += 1;
            }
        });
    }

    /// The newest value of a key replaces the one that waits.
    pub(crate) fn state(&self, change: &Change) {
        self.put(|q| q.state.put(&change.key, change.clone()));
    }

    pub(crate) fn reply(&self, token: u64, reply: Result<Value, String>, open: OpenCall) {
        self.put(|q| q.replies.push_back((token, reply, open)));
    }

    /// Whether there was room.
    pub(crate) fn wake_at(&self, due: Instant, token: u64) -> bool {
        let mut taken = false;
        self.put(|q| {
            if q.wakes.len() < MAX_WAKES {
                q.wake_order += 1;
                let order = q.wake_order;
                q.wakes.push(Reverse((due, order, token)));
                taken = true;
            }
        });
        taken
    }

    /// Nothing but the stop is told from here on. What waits is let go at once: a thread that hangs must not keep pictures of
    /// the camera.
    pub(crate) fn stop(&self) {
        self.put(|q| {
            let dropped = q.dropped;
            std::mem::replace(q, Queues { stop: true, dropped, ..Queues::default() })
        });
    }

    /// Whether it is to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        lock(&self.queues).stop
    }

    pub(crate) fn dropped(&self) -> Dropped {
        lock(&self.queues).dropped
    }

    /// Waits for the next event.
    pub(crate) fn next(&self) -> Event {
        let mut queues = lock(&self.queues);
        loop {
            let now = Instant::now();
            if let Some(event) = queues.take(now) {
                return event;
            }
            let due = queues.wakes.peek().map(|Reverse((due, ..))| due.saturating_duration_since(now));
            queues = match due {
                Some(wait) => {
                    let waited = self.ready.wait_timeout(queues, wait);
                    waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
                None => self.ready.wait(queues).unwrap_or_else(std::sync::PoisonError::into_inner),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use gantry_core::frames::Format;
    use serde_json::json;
    use std::time::Duration;

    fn frame(stream: &str, sequence: u64) -> Arc<Frame> {
        Arc::new(Frame {
            stream: stream.into(),
            format: Format::Jpeg,
            width: 1,
            height: 1,
            sequence,
            captured_unix_ns: 0,
            captured_monotonic_ns: 0,
            data: Bytes::new(),
        })
    }

    fn open() -> OpenCall {
        OpenCall::take(&Arc::default(), 1).expect("room for one")
    }

    fn message(n: usize) -> Message {
        Message { topic: n.to_string().into(), payload: Bytes::new(), sender: "x".into() }
    }

    fn drain(inbox: &Inbox, now: Instant) -> Vec<String> {
        let mut queues = lock(&inbox.queues);
        std::iter::from_fn(|| queues.take(now))
            .map(|event| match event {
                Event::Frame(f) => format!("frame {} {}", f.stream, f.sequence),
                Event::Message(m) => format!("message {}", m.topic),
                Event::State(c) => format!("state {} {}", c.key, c.value),
                Event::Reply { token, .. } => format!("reply {token}"),
                Event::Wake(token) => format!("wake {token}"),
                Event::Stop => "stop".to_owned(),
            })
            .collect()
    }

    #[test]
    fn frames_and_state_are_merged_messages_are_bounded() {
        let inbox = Inbox::default();
        for n in 1..=3 {
            inbox.frame(&frame("main/jpeg", n));
            inbox.state(&Change { key: "k".into(), value: json!(n), revision: n });
        }
        inbox.frame(&frame("side/jpeg", 9));
        for n in 0..MAX_MESSAGES + 5 {
            inbox.message(&message(n));
        }
        assert_eq!(inbox.dropped(), Dropped { messages: 5, frames: 2 });
        let events = drain(&inbox, Instant::now());
        assert_eq!(events.len(), MAX_MESSAGES + 3);
        assert_eq!(events[..4], ["state k 3", "frame main/jpeg 3", "message 0", "frame side/jpeg 9"]);
    }

    #[test]
    fn wakes_come_when_due_and_in_order() {
        let (inbox, now) = (Inbox::default(), Instant::now());
        let at = |ms| now + Duration::from_millis(ms);
        assert!(inbox.wake_at(at(20), 2) && inbox.wake_at(at(10), 1) && inbox.wake_at(at(20), 3));
        assert_eq!(drain(&inbox, at(9)), Vec::<String>::new());
        assert_eq!(drain(&inbox, at(20)), ["wake 1", "wake 2", "wake 3"]);
        for n in 0..MAX_WAKES as u64 {
            assert!(inbox.wake_at(at(1000), n));
        }
        assert!(!inbox.wake_at(at(1000), 0));
    }

    #[test]
    fn a_flood_of_messages_starves_nobody() {
        let inbox = Inbox::default();
        for n in 0..200 {
            inbox.message(&message(n));
        }
        inbox.frame(&frame("main/jpeg", 1));
        inbox.reply(7, Ok(json!(null)), open());
        let events = drain(&inbox, Instant::now());
        assert!(events[..3].contains(&"frame main/jpeg 1".to_owned()), "{:?}", &events[..3]);
        assert!(events[..3].contains(&"reply 7".to_owned()), "{:?}", &events[..3]);
    }

    #[test]
    fn stop_goes_before_everything() {
        let inbox = Inbox::default();
        inbox.message(&message(0));
        inbox.stop();
        assert!(matches!(inbox.next(), Event::Stop));
    }

    #[test]
    fn nothing_is_held_after_the_stop() {
        let (inbox, calls) = (Inbox::default(), Arc::default());
        let (early, late) = (frame("main/jpeg", 1), frame("main/jpeg", 2));
        inbox.frame(&early);
        inbox.reply(1, Ok(json!(null)), OpenCall::take(&calls, 9).expect("room"));
        inbox.stop();
        inbox.frame(&late);
        inbox.reply(2, Ok(json!(null)), OpenCall::take(&calls, 9).expect("room"));
        assert_eq!((Arc::strong_count(&early), Arc::strong_count(&late)), (1, 1));
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        assert!(inbox.is_stopping());
    }

    #[test]
    fn a_busy_stream_or_key_starves_no_other() {
        let inbox = Inbox::default();
        let state = |key: &str| inbox.state(&Change { key: key.into(), value: json!(0), revision: 1 });
        for name in ["a", "b"] {
            inbox.frame(&frame(name, 1));
            state(name);
        }
        let mut seen = Vec::new();
        for n in 2..6 {
            // The first of each is there anew whenever the instance comes for the next.
            seen.push(match lock(&inbox.queues).take(Instant::now()).expect("an event") {
                Event::Frame(f) => format!("frame {}", f.stream),
                Event::State(c) => format!("state {}", c.key),
                other => panic!("{other:?}"),
            });
            inbox.frame(&frame("a", n));
            state("a");
        }
        assert_eq!(seen, ["state a", "frame a", "state b", "frame b"]);
    }

    #[test]
    fn a_call_is_open_until_its_answer_was_told() {
        let (inbox, calls) = (Inbox::default(), Arc::default());
        inbox.reply(1, Ok(json!(null)), OpenCall::take(&calls, 1).expect("room"));
        assert!(OpenCall::take(&calls, 1).is_none());
        drop(inbox.next());
        assert!(OpenCall::take(&calls, 1).is_some());
    }
}
