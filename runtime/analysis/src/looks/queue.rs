//! Between those who ask and the thread that looks: a short queue, and what the thread is doing.

use super::{Answer, Kit, Looked, LooksStatus, part};
use crate::lock;
use crate::watchdog::Doing;
use bytes::Bytes;
use gantry_core::config::PictureDetector;
use gantry_core::health::Level;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pictures that may wait, and their bytes: more are refused.
const MOST_WAITING: usize = 16;
const MOST_BYTES: usize = 32 << 20;

/// A picture that is to be looked at.
pub(super) struct Job {
    pub(super) jpeg: Bytes,
    /// From then on nobody wants to know.
    pub(super) due: Instant,
    pub(super) answer: Answer,
}

/// What is between the two.
pub(super) struct Queue {
    name: String,
    section: Mutex<Arc<PictureDetector>>,
    inner: Mutex<Inner>,
    wake: Condvar,
    /// What the thread is in the middle of.
    pub(super) doing: Doing,
    /// What was said last of the health. `None`: nothing yet.
    said: Mutex<Said>,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Job>,
    bytes: usize,
    /// Who waits for the picture that is looked at now.
    current: Option<(Instant, Answer)>,
    /// The section has changed.
    is_called: bool,
    is_over: bool,
    status: LooksStatus,
}

#[derive(Default)]
struct Said {
    last: Option<Result<(), String>>,
    /// What the thread says is not heard any more: it was taken away or left behind.
    is_muted: bool,
}

/// What the thread was woken for.
pub(super) enum Wake {
    /// A picture. Whoever wants to know is answered by [`Queue::done`].
    Picture(Bytes),
    /// Time to look around.
    Look,
    /// It is to end.
    Over,
}

impl Queue {
    pub(super) fn new(name: &str, section: PictureDetector) -> Self {
        let status = LooksStatus { detector: name.to_owned(), ..LooksStatus::default() };
        Self {
            name: name.to_owned(),
            section: Mutex::new(Arc::new(section)),
            inner: Mutex::new(Inner { status, ..Inner::default() }),
            wake: Condvar::new(),
            doing: Doing::default(),
            said: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn section(&self) -> Arc<PictureDetector> {
        lock(&self.section).clone()
    }

    /// Puts another section there, which the thread takes over when it can.
    pub(super) fn configure(&self, section: PictureDetector) {
        *lock(&self.section) = Arc::new(section);
        self.call();
    }

    /// Makes the thread look around.
    pub(super) fn call(&self) {
        lock(&self.inner).is_called = true;
        self.wake.notify_one();
    }

    /// Lets a picture wait, or answers at once that it cannot.
    pub(super) fn ask(&self, job: Job, now: Instant) {
        self.answer_late(now);
        let mut inner = lock(&self.inner);
        let bytes = job.jpeg.len();
        let refusal = if inner.is_over {
            Some(format!("the detector `{}` has ended: ask again", self.name))
        } else if inner.waiting.len() >= MOST_WAITING || inner.bytes + bytes > MOST_BYTES {
            let count = inner.waiting.len();
            Some(format!("{count} pictures wait for the detector `{}` already: send fewer", self.name))
        } else {
            None
        };
        match refusal {
            Some(refusal) => {
                inner.status.refused += 1;
                drop(inner);
                (job.answer)(Err(refusal));
            }
            None => {
                inner.bytes += bytes;
                inner.waiting.push_back(job);
                drop(inner);
                self.wake.notify_one();
            }
        }
    }

    /// Waits for something to do, or for so long.
    pub(super) fn wait(&self, patience: Duration) -> Wake {
        let idle = |inner: &mut Inner| inner.waiting.is_empty() && !inner.is_called && !inner.is_over;
        let inner = lock(&self.inner);
        let waited = self.wake.wait_timeout_while(inner, patience, idle);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        if inner.is_over {
            return Wake::Over;
        }
        // What has changed comes before the pictures that wait.
        if std::mem::take(&mut inner.is_called) {
            return Wake::Look;
        }
        let Some(job) = inner.waiting.pop_front() else { return Wake::Look };
        inner.bytes -= job.jpeg.len();
        inner.current = Some((job.due, job.answer));
        Wake::Picture(job.jpeg)
    }

    /// Whether somebody still wants to know of the picture that was taken out last.
    pub(super) fn is_wanted(&self, now: Instant) -> bool {
        self.answer_late(now);
        lock(&self.inner).current.is_some()
    }

    /// Answers who waits for the picture that was taken out last.
    pub(super) fn done(&self, looked: Result<Looked, String>) {
        let mut inner = lock(&self.inner);
        match &looked {
            Ok(looked) => {
                inner.status.looked += 1;
                inner.status.busy += looked.took;
            }
            Err(_) => inner.status.failed += 1,
        }
        let current = inner.current.take();
        drop(inner);
        if let Some((_, answer)) = current {
            answer(looked);
        }
    }

    /// Answers those who have waited too long, also for the picture that is looked at.
    pub(super) fn answer_late(&self, now: Instant) {
        let mut inner = lock(&self.inner);
        let current = inner.current.take_if(|(due, _)| now >= *due).map(|(_, answer)| answer);
        let mut late: Vec<Answer> = current.into_iter().collect();
        if inner.waiting.iter().any(|job| now >= job.due) {
            let (over, waiting) = std::mem::take(&mut inner.waiting)
                .into_iter()
                .partition::<VecDeque<_>, _>(|job| now >= job.due);
            inner.waiting = waiting;
            inner.bytes = inner.waiting.iter().map(|job| job.jpeg.len()).sum();
            late.extend(over.into_iter().map(|job| job.answer));
        }
        inner.status.refused += late.len() as u64;
        drop(inner);
        for answer in late {
            answer(Err(format!("the detector `{}` did not get to it in time: send fewer", self.name)));
        }
    }

    /// Makes the thread end, and answers all who wait.
    pub(super) fn end(&self) {
        let mut inner = lock(&self.inner);
        inner.is_over = true;
        inner.bytes = 0;
        let current = inner.current.take().map(|(_, answer)| answer);
        let waiting = std::mem::take(&mut inner.waiting).into_iter().map(|job| job.answer);
        let answers: Vec<Answer> = current.into_iter().chain(waiting).collect();
        drop(inner);
        self.wake.notify_one();
        for answer in answers {
            answer(Err(format!("the detector `{}` has ended: ask again", self.name)));
        }
    }

    pub(super) fn status(&self) -> LooksStatus {
        let inner = lock(&self.inner);
        LooksStatus { waiting: inner.waiting.len(), ..inner.status.clone() }
    }

    /// A sentence, when the thread does not come back from what it is doing.
    pub(super) fn hangs(&self, now: Instant) -> Option<String> {
        self.doing.overdue(now, "a smaller model")
    }

    /// Says that the thread hangs, if so. When it comes back, it says how it is.
    pub(super) fn watch(&self, kit: &Kit, now: Instant) {
        let mut said = lock(&self.said);
        // It may come back at this moment: then it speaks after this, and has the last word.
        if let Some(message) = self.hangs(now) {
            self.say(kit, &mut said, Err(message));
        }
    }

    /// Says how it is.
    pub(super) fn report(&self, kit: &Kit, is: Result<(), String>) {
        self.say(kit, &mut lock(&self.said), is);
    }

    fn say(&self, kit: &Kit, said: &mut Said, is: Result<(), String>) {
        if said.is_muted || said.last.as_ref() == Some(&is) {
            return;
        }
        let (part, detector) = (part(&self.name), &self.name);
        match &is {
            Ok(()) => {
                if kit.runtime.health.report(&part, Level::Ok, "looks at pictures") {
                    tracing::info!(%detector, "looks at pictures");
                }
            }
            Err(message) => {
                if kit.runtime.health.report(&part, Level::Degraded, message.as_str()) {
                    tracing::warn!(%detector, "{message}");
                }
            }
        }
        said.last = Some(is);
    }

    /// From now on nothing is said of it.
    pub(super) fn forget(&self, kit: &Kit) {
        let mut said = lock(&self.said);
        said.is_muted = true;
        kit.runtime.health.forget(&part(&self.name));
    }
}
