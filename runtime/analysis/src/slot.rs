//! Between those who have something for a thread and the thread: the newest frame, and a bell.

use crate::lock;
use gantry_core::frames::{Frame, Hub, Watch};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Holds one frame. Giving never waits for the thread that takes.
#[derive(Default)]
pub(crate) struct Slot {
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Default)]
struct Inner {
    frame: Option<Arc<Frame>>,
    /// Frames that made way for newer ones since the last was taken.
    skipped: u64,
    is_called: bool,
    is_over: bool,
}

/// What a thread was woken for.
#[derive(Default)]
pub(crate) struct Wake {
    /// The newest frame, if one came.
    pub(crate) frame: Option<Arc<Frame>>,
    /// Frames that were left out before it.
    pub(crate) skipped: u64,
    /// Something else has changed.
    pub(crate) is_called: bool,
    /// The thread is to end.
    pub(crate) is_over: bool,
}

impl Slot {
    /// Gives a frame in place of one that was not taken.
    pub(crate) fn put(&self, frame: &Arc<Frame>) {
        let mut inner = lock(&self.inner);
        let before = inner.frame.replace(frame.clone());
        inner.skipped += u64::from(before.is_some());
        drop(inner);
        self.wake.notify_one();
    }

    /// Makes the thread look around.
    pub(crate) fn call(&self) {
        lock(&self.inner).is_called = true;
        self.wake.notify_one();
    }

    /// Makes the thread end.
    pub(crate) fn end(&self) {
        lock(&self.inner).is_over = true;
        self.wake.notify_one();
    }

    /// Forgets a frame that was not taken.
    fn clear(&self) {
        lock(&self.inner).frame = None;
    }

    /// Waits until there is something, or for so long.
    pub(crate) fn wait(&self, patience: Option<Duration>) -> Wake {
        let idle = |inner: &mut Inner| inner.frame.is_none() && !inner.is_called && !inner.is_over;
        let inner = lock(&self.inner);
        let mut inner = match patience {
            None => self.wake.wait_while(inner, idle).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let waited = self.wake.wait_timeout_while(inner, patience, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        Wake {
            frame: inner.frame.take(),
            skipped: std::mem::take(&mut inner.skipped),
            is_called: std::mem::take(&mut inner.is_called),
            is_over: inner.is_over,
        }
    }
}

/// What a thread watches, if anything.
pub(crate) struct Feed {
    slot: Arc<Slot>,
    watching: Option<(String, u32, Watch)>,
}

impl Feed {
    /// Watches nothing yet.
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        Self { slot, watching: None }
    }

    /// Watches this stream at this rate, and nothing else. Returns whether that is another stream than before.
    pub(crate) fn watch(&mut self, hub: &Hub, stream: &str, millihertz: u32) -> bool {
        let is_other = self.stream() != Some(stream);
        if is_other {
            self.stop();
        }
        if self.watching.as_ref().is_none_or(|(_, rate, _)| *rate != millihertz) {
            let slot = self.slot.clone();
            let watch = hub.stream(stream).watch(millihertz, Arc::new(move |frame| slot.put(frame)));
            // The old one ends after the new one began, so that the camera need not stop between.
            self.watching = Some((stream.to_owned(), millihertz, watch));
        }
        is_other
    }

    /// Watches nothing.
    pub(crate) fn stop(&mut self) {
        if self.watching.take().is_some() {
            self.slot.clear();
        }
    }

    /// What is watched.
    pub(crate) fn stream(&self) -> Option<&str> {
        self.watching.as_ref().map(|(stream, ..)| stream.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::grey;

    #[test]
    fn the_newest_frame_wins_and_the_others_are_counted() {
        let slot = Slot::default();
        for n in 0..5 {
            slot.put(&grey("main/analysis", n, 4, 4, 0));
        }
        let woken = slot.wait(None);
        assert_eq!((woken.frame.unwrap().sequence, woken.skipped), (4, 4));
        assert!(!woken.is_called && !woken.is_over);
        assert!(slot.wait(Some(Duration::ZERO)).frame.is_none());
    }

    #[test]
    fn another_rate_is_watched_without_a_gap_and_another_stream_leaves_nothing_of_the_first() {
        let hub = Hub::default();
        let slot = Arc::<Slot>::default();
        let mut feed = Feed::new(slot.clone());
        let (first, second) = (hub.stream("main/analysis"), hub.stream("main/raw"));
        assert!(feed.watch(&hub, "main/analysis", 10_000));
        let demands = Arc::new(Mutex::new(Vec::new()));
        let seen = demands.clone();
        first.on_demand(Some(Box::new(move |demand| lock(&seen).push(demand.watchers))));
        assert!(!feed.watch(&hub, "main/analysis", 20_000));
        assert!(!feed.watch(&hub, "main/analysis", 20_000));
        assert_eq!(*lock(&demands), [1, 2, 1], "never none");
        first.publish(&grey("main/analysis", 1, 4, 4, 0));
        assert!(feed.watch(&hub, "main/raw", 20_000));
        assert_eq!((first.demand().watchers, second.demand().watchers), (0, 1));
        assert!(slot.wait(Some(Duration::ZERO)).frame.is_none());
        feed.stop();
        assert_eq!((feed.stream(), second.demand().watchers), (None, 0));
    }
}
