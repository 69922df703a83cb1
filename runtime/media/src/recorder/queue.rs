//! What waits between a camera and the thread that writes: bounded, so that a slow disk loses frames and not memory.

use crate::lock;
use gantry_core::frames::{Format, Frame};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The most frames that wait: two seconds of a usual camera.
const MAX_FRAMES: usize = 64;
/// The most bytes that wait.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What the writer gets.
pub(crate) enum Next {
    Frame(Arc<Frame>),
    /// What follows is after a pause.
    Pause,
    /// Nothing came in time.
    Nothing,
    /// Nothing more will come.
    End,
}

#[derive(Default)]
struct Inner {
    /// `None` is a pause.
    items: VecDeque<Option<Arc<Frame>>>,
    bytes: usize,
    dropped: u64,
    accepts: bool,
    ended: bool,
}

/// The queue of one recording.
#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    ready: Condvar,
}

impl Queue {
    /// Takes a frame, or counts it as dropped. Never waits.
    pub(crate) fn push(&self, frame: &Arc<Frame>) {
        let mut inner = lock(&self.inner);
        if !inner.accepts || inner.ended || frame.format != Format::Jpeg {
            return;
        }
        if inner.items.len() >= MAX_FRAMES || inner.bytes + frame.data.len() > MAX_BYTES {
            inner.dropped += 1;
            return;
        }
        inner.bytes += frame.data.len();
        inner.items.push_back(Some(frame.clone()));
        self.ready.notify_one();
    }

    /// Frames are taken from now on.
    pub(crate) fn open(&self) {
        lock(&self.inner).accepts = true;
    }

    /// Frames are left out from now on, and their time, too.
    pub(crate) fn pause(&self) {
        let mut inner = lock(&self.inner);
        // Pauses with nothing between them are one.
        if std::mem::take(&mut inner.accepts) {
            inner.items.push_back(None);
        }
        self.ready.notify_one();
    }

    /// Nothing more is taken; what waits is still given.
    pub(crate) fn end(&self) {
        lock(&self.inner).ended = true;
        self.ready.notify_one();
    }

    pub(crate) fn dropped(&self) -> u64 {
        lock(&self.inner).dropped
    }

    pub(crate) fn next(&self, patience: Duration) -> Next {
        let inner = lock(&self.inner);
        let waited = self.ready.wait_timeout_while(inner, patience, |i| i.items.is_empty() && !i.ended);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        match inner.items.pop_front() {
            Some(Some(frame)) => {
                inner.bytes -= frame.data.len();
                Next::Frame(frame)
            }
            Some(None) => Next::Pause,
            None if inner.ended => Next::End,
            None => Next::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn frame(len: usize) -> Arc<Frame> {
        Arc::new(Frame {
            stream: "main/jpeg".into(),
            format: Format::Jpeg,
            width: 4,
            height: 2,
            sequence: 1,
            captured_unix_ns: 0,
            captured_monotonic_ns: 0,
            data: vec![0; len].into(),
        })
    }

    #[test]
    fn a_disk_that_does_not_keep_up_loses_frames_that_are_counted() {
        let queue = Queue::default();
        queue.push(&frame(1));
        assert!(matches!(queue.next(Duration::ZERO), Next::Nothing), "it was not open");
        queue.open();
        for _ in 0..70 {
            queue.push(&frame(1));
        }
        assert_eq!(queue.dropped(), 6);
        queue.end();
        queue.push(&frame(1));
        let given = std::iter::from_fn(|| match queue.next(Duration::ZERO) {
            Next::Frame(frame) => Some(frame),
            _ => None,
        });
        assert_eq!(given.count(), 64);
        assert!(matches!(queue.next(Duration::ZERO), Next::End));
    }

    #[test]
    fn large_frames_are_limited_by_their_bytes() {
        let queue = Queue::default();
        queue.open();
        let large = Arc::new(Frame { data: Bytes::from(vec![0; 30 << 20]), ..(*frame(0)).clone() });
        for _ in 0..4 {
            queue.push(&large);
        }
        assert_eq!(queue.dropped(), 2);
    }
}
