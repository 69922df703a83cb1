//! The thread `look:NAME`.

use super::decode::{broken, decode};
use super::queue::{Queue, Wake};
use super::{Kit, Looked};
use crate::models::guarded;
use crate::retry::{Retry, Stamp, Trouble, stamp};
use gantry_core::config::PictureDetector;
use gantry_vision::{Detector, Frame};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The model's file is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// The most objects that are told of a picture.
const MOST_OBJECTS: usize = 100;

/// A detector that can be used.
struct Loaded {
    detector: Box<dyn Detector>,
    section: Arc<PictureDetector>,
    /// Of the model's file before it was loaded.
    stamp: Stamp,
}

/// Looks at one picture after another.
pub(super) struct Worker {
    kit: Arc<Kit>,
    queue: Arc<Queue>,
    loaded: Option<Loaded>,
    /// What was to be loaded last, and could not.
    tried: Option<Arc<PictureDetector>>,
    retry: Retry,
    trouble: Trouble,
    /// The stamp of the wanted model's file, when it was looked at last.
    found: Stamp,
    next_look: Instant,
}

fn stamp_of(section: &PictureDetector) -> Stamp {
    section.model.as_deref().and_then(stamp)
}

impl Worker {
    pub(super) fn new(kit: Arc<Kit>, queue: Arc<Queue>) -> Self {
        let next_look = (kit.clock)();
        let (retry, trouble) = (Retry::default(), Trouble::default());
        Self { kit, queue, loaded: None, tried: None, retry, trouble, found: None, next_look }
    }

    pub(super) fn run(mut self) {
        self.prepare();
        loop {
            match self.queue.wait(self.patience()) {
                Wake::Over => return,
                Wake::Look => self.prepare(),
                Wake::Picture(jpeg) => {
                    self.prepare();
                    if self.queue.is_wanted(self.now()) {
                        let looked = self.look(&jpeg);
                        self.queue.done(looked);
                    }
                }
            }
            self.say();
        }
    }

    fn now(&self) -> Instant {
        (self.kit.clock)()
    }

    /// How long it may sleep when nobody asks.
    fn patience(&self) -> Duration {
        let now = self.now();
        let look = self.next_look.max(now + LOOK / 10);
        self.retry.look(now).unwrap_or(look).min(look).saturating_duration_since(now)
    }

    /// Loads what is wanted, if that is not what there is, and it is time to try. What there is stays until the new one is
    /// good.
    fn prepare(&mut self) {
        let (now, wanted) = (self.now(), self.queue.section());
        if now >= self.next_look {
            (self.next_look, self.found) = (now + LOOK, stamp_of(&wanted));
        }
        // A file that is gone is about to be written, or is not needed any more.
        let is_stale = |loaded: &Loaded| self.found.is_some() && self.found != loaded.stamp;
        let is_good = |loaded: &Loaded| loaded.section == wanted && !is_stale(loaded);
        if self.loaded.as_ref().is_some_and(is_good) {
            if self.tried.take().is_some() {
                // What could not be loaded is not wanted any more.
                self.retry = Retry::default();
            }
            return;
        }
        if self.tried.as_ref() == Some(&wanted) && !self.retry.is_due(now, stamp) {
            return;
        }
        let before = stamp_of(&wanted);
        let file = wanted.model.clone().map(|path| (path, before));
        self.queue.doing.begins("the loading of the model", now);
        let made = guarded(|| (self.kit.make)(&wanted));
        self.queue.doing.ends();
        let now = self.now();
        match made {
            Ok(Ok(detector)) => {
                if self.loaded.is_some() {
                    tracing::info!(detector = self.queue.name(), "the new model is used");
                }
                if self.tried.take().is_some_and(|tried| tried != wanted) {
                    // What became of another one says nothing of this one.
                    self.retry = Retry::default();
                }
                self.found = before;
                self.loaded = Some(Loaded { detector, section: wanted, stamp: before });
                self.retry.loaded(now);
            }
            Ok(Err(message)) => {
                self.retry.refused(now, file, message);
                self.tried = Some(wanted);
            }
            Err(panic) => {
                self.retry.panicked(
                    now,
                    file,
                    format!("the model cannot be loaded ({panic}): export it again"),
                );
                self.tried = Some(wanted);
            }
        }
    }

    fn look(&mut self, jpeg: &[u8]) -> Result<Looked, String> {
        let Some(loaded) = &mut self.loaded else {
            return Err(self.retry.message().unwrap_or("it is not loaded yet: ask again").to_owned());
        };
        let begun = (self.kit.clock)();
        self.queue.doing.begins("the detector", begun);
        // What a hostile picture does to the decoder is no fault of the detector.
        let picture = guarded(|| decode(jpeg)).unwrap_or_else(|panic| Err(broken(&panic)));
        let seen = picture.and_then(|picture| {
            let frame = Frame::rgb(&picture.data, picture.width, picture.height, 3 * picture.width);
            let frame = frame.map_err(|error| error.to_string())?;
            Ok((guarded(|| loaded.detector.detect(&frame, 0.0)), picture.width, picture.height))
        });
        self.queue.doing.ends();
        let now = (self.kit.clock)();
        let (detected, width, height) = seen?;
        match detected {
            Ok(Ok(mut objects)) => {
                // One that is to be replaced says nothing of the one that cannot be loaded.
                if self.tried.is_none() {
                    self.retry.worked();
                }
                self.trouble.went_well(now);
                objects.sort_by(|a, b| b.score.total_cmp(&a.score));
                objects.truncate(MOST_OBJECTS);
                let side = |pixels| u32::try_from(pixels).unwrap_or(u32::MAX);
                let (width, height) = (side(width), side(height));
                Ok(Looked { objects, width, height, took: now.saturating_duration_since(begun) })
            }
            Ok(Err(error)) => {
                self.trouble.happened(now, error.to_string());
                Err(error.to_string())
            }
            Err(panic) => {
                let message = format!(
                    "the detector broke down ({panic}) and is loaded again: use another model if it does not stop"
                );
                self.tried = self.loaded.take().map(|loaded| loaded.section);
                self.retry.panicked(now, None, message.clone());
                Err(message)
            }
        }
    }

    fn say(&self) {
        let is = match (self.retry.message(), self.trouble.message(), &self.loaded) {
            (Some(message), _, Some(_)) if self.tried.is_some() => {
                Err(format!("it was changed, and the one before is used still: {message}"))
            }
            (Some(message), ..) | (None, Some(message), _) => Err(message.to_owned()),
            (None, None, Some(_)) => Ok(()),
            (None, None, None) => return,
        };
        self.queue.report(&self.kit, is);
    }
}
