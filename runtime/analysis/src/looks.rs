//! Looks at single pictures, such as those that devices send, for whoever asks.

mod decode;
mod queue;
mod status;
#[cfg(test)]
mod tests;
mod worker;

pub use status::LooksStatus;

use crate::lock;
use crate::models::picture_detector;
use bytes::Bytes;
use gantry_core::Runtime;
use gantry_core::config::{Config, PictureDetector};
use gantry_core::spelling;
use gantry_vision::{Detection, Detector};
use queue::{Job, Queue};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use worker::Worker;

/// What was seen in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// Who is there, the surest first, at most a hundred. Places are parts of the picture.
    pub objects: Vec<Detection>,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// What decoding and looking took.
    pub took: Duration,
}

/// Takes what was seen, or a sentence about why nothing was looked at. Called once, on any thread.
pub type Answer = Box<dyn FnOnce(Result<Looked, String>) + Send>;

/// Makes detectors. Errors are sentences that end in the next step.
type Make = dyn Fn(&PictureDetector) -> Result<Box<dyn Detector>, String> + Send + Sync;

/// What all detectors work with.
struct Kit {
    runtime: Runtime,
    make: Box<Make>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

/// The detectors of the sections `[detectors.NAME]`. Dropping it ends them.
pub struct Looks {
    kit: Arc<Kit>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    running: BTreeMap<String, Handle>,
    is_shut: bool,
}

/// The thread of one detector.
struct Handle {
    queue: Arc<Queue>,
    /// Hangs up when the thread has ended.
    ended: Receiver<()>,
}

/// How long a detector that is taken away may take to end.
const END_WAIT: Duration = Duration::from_secs(2);

/// The health part of a detector.
fn part(name: &str) -> String {
    format!("detector/{name}")
}

impl Looks {
    /// None yet.
    #[must_use]
    pub fn new(runtime: Runtime) -> Self {
        Self::with(Kit { runtime, make: Box::new(picture_detector), clock: Box::new(Instant::now) })
    }

    fn with(kit: Kit) -> Self {
        Self { kit: Arc::new(kit), inner: Mutex::default() }
    }

    /// Starts, changes and ends detectors so that exactly those of this configuration are there. One that has changed goes
    /// on as it was until the new one is loaded; one that hangs is left behind, and another takes its place.
    pub fn apply(&self, config: &Config) {
        let mut inner = lock(&self.inner);
        if inner.is_shut {
            return;
        }
        let is_wanted = |name: &String| config.detectors.contains_key(name);
        let leaving: Vec<String> = inner.running.keys().filter(|name| !is_wanted(name)).cloned().collect();
        let leaving: Vec<_> =
            leaving.into_iter().filter_map(|name| inner.running.remove_entry(&name)).collect();
        // Nobody who asks is to wait for those that end.
        drop(inner);
        self.end(leaving, Instant::now() + END_WAIT);
        let mut inner = lock(&self.inner);
        for (name, section) in &config.detectors {
            let known = inner.running.get(name);
            if known.is_some_and(|handle| handle.queue.section().as_ref() == section) {
                continue;
            }
            match known.filter(|handle| handle.queue.hangs((self.kit.clock)()).is_none()) {
                Some(handle) => handle.queue.configure(section.clone()),
                None => {
                    let stuck: Vec<_> = inner.running.remove_entry(name).into_iter().collect();
                    self.end(stuck, Instant::now());
                    if let Some(handle) = self.start(name, section.clone()) {
                        inner.running.insert(name.clone(), handle);
                    }
                }
            }
        }
    }

    fn start(&self, name: &str, section: PictureDetector) -> Option<Handle> {
        let queue = Arc::new(Queue::new(name, section));
        let worker = Worker::new(self.kit.clone(), queue.clone());
        let (alive, ended) = channel::<()>();
        let thread = std::thread::Builder::new().name(format!("look:{name}"));
        let spawned = thread.spawn(move || {
            worker.run();
            drop(alive);
        });
        if let Err(error) = spawned {
            let message = format!("its thread cannot be started: {error}: restart the gateway");
            queue.report(&self.kit, Err(message));
            return None;
        }
        Some(Handle { queue, ended })
    }

    /// Has a JPEG looked at by the detector of that name. Never waits: when too many pictures wait already, when it takes
    /// longer than `within`, or when there is no such detector, that is the answer. An answer that is late because the
    /// detector hangs comes when [`watch`](Self::watch) is called next.
    pub fn look(&self, detector: &str, jpeg: Bytes, within: Duration, answer: Answer) {
        let queue = lock(&self.inner).running.get(detector).map(|handle| handle.queue.clone());
        let Some(queue) = queue else { return answer(Err(self.unknown(detector))) };
        let now = (self.kit.clock)();
        queue.ask(Job { jpeg, due: now + within, answer }, now);
    }

    fn unknown(&self, name: &str) -> String {
        let inner = lock(&self.inner);
        let near = spelling::nearest(name, inner.running.keys().map(String::as_str));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("there is no detector `{name}`{near}: configure [detectors.{name}] with a model")
    }

    /// How each detector does.
    #[must_use]
    pub fn status(&self) -> Vec<LooksStatus> {
        lock(&self.inner).running.values().map(|handle| handle.queue.status()).collect()
    }

    /// Answers those who waited too long, and looks whether a detector hangs. To be called every few seconds; cheap.
    pub fn watch(&self, now: Instant) {
        let queues: Vec<_> = lock(&self.inner).running.values().map(|handle| handle.queue.clone()).collect();
        for queue in queues {
            queue.answer_late(now);
            queue.watch(&self.kit, now);
        }
    }

    /// Ends all detectors, for good, and waits until `deadline` at most: one that hangs is left behind.
    pub fn shutdown(&self, deadline: Instant) {
        let mut inner = lock(&self.inner);
        inner.is_shut = true;
        let running = std::mem::take(&mut inner.running);
        drop(inner);
        self.end(running, deadline);
    }

    fn end(&self, leaving: impl IntoIterator<Item = (String, Handle)>, deadline: Instant) {
        let leaving: Vec<_> = leaving.into_iter().collect();
        leaving.iter().for_each(|(_, handle)| handle.queue.end());
        for (name, handle) in leaving {
            let patience = deadline.saturating_duration_since(Instant::now());
            if handle.ended.recv_timeout(patience) != Err(RecvTimeoutError::Disconnected) {
                tracing::warn!(detector = %name, "it did not end in time and is left behind");
            }
            handle.queue.forget(&self.kit);
        }
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.shutdown(Instant::now() + END_WAIT);
    }
}
