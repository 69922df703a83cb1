//! What the threads of one camera, and those who ask how they do, have in common.

use crate::models::Models;
use crate::section::Section;
use crate::slot::Slot;
use crate::voice::Voice;
use crate::watchdog::Doing;
use crate::zones::Zones;
use crate::{AnalysisStatus, Encode, Seen, Sink, lock};
use gantry_core::Runtime;
use gantry_vision::{Point, Rect};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What all analyses work with.
pub(crate) struct Kit {
    pub(crate) runtime: Runtime,
    pub(crate) encoder: Arc<dyn Encode>,
    pub(crate) sink: Sink,
    pub(crate) models: Box<dyn Models>,
    pub(crate) clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

/// What was seen in one frame.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scene {
    /// When, in seconds of the frames' clock.
    pub(crate) t: f64,
    pub(crate) people: Vec<Person>,
    pub(crate) faces: Vec<Rect>,
    pub(crate) zones: BTreeMap<String, usize>,
}

/// Somebody who is followed and believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    pub(crate) id: u64,
    pub(crate) rect: Rect,
    /// In pictures a second.
    pub(crate) velocity: Point,
    pub(crate) is_hidden: bool,
}

/// What the threads of one camera share.
pub(crate) struct Desk {
    pub(crate) camera: String,
    section: Mutex<Arc<Section>>,
    scene: Mutex<Arc<Scene>>,
    measures: Mutex<Measures>,
    /// What the thread that analyses is in the middle of.
    pub(crate) doing: Doing,
    voice: Mutex<Voice>,
    pub(crate) zones: Mutex<Zones>,
    /// What keeps pictures from being annotated.
    pub(crate) annotating: Mutex<Option<String>>,
    pub(crate) is_running: AtomicBool,
    pub(crate) annotated: AtomicU64,
    /// Of the thread that analyses, and of the one that annotates.
    pub(crate) slots: [Arc<Slot>; 2],
    /// The section was taken out of the configuration, or is not enabled.
    pub(crate) is_removed: AtomicBool,
    /// What these threads say is not heard any more: they were left behind.
    is_muted: AtomicBool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Measures {
    frames: u64,
    skipped: u64,
    last: Duration,
    busy: Duration,
    people: u64,
}

impl Desk {
    pub(crate) fn new(camera: &str, section: Section) -> Self {
        Self {
            camera: camera.to_owned(),
            section: Mutex::new(Arc::new(section)),
            scene: Mutex::default(),
            measures: Mutex::default(),
            doing: Doing::default(),
            voice: Mutex::default(),
            zones: Mutex::default(),
            annotating: Mutex::default(),
            is_running: AtomicBool::new(false),
            annotated: AtomicU64::new(0),
            slots: Default::default(),
            is_removed: AtomicBool::new(false),
            is_muted: AtomicBool::new(false),
        }
    }

    /// The section as it is now.
    pub(crate) fn section(&self) -> Arc<Section> {
        lock(&self.section).clone()
    }

    /// Says how the analysis is.
    pub(crate) fn say(&self, kit: &Kit, section: &Section, is_running: bool, problems: Vec<String>) {
        lock(&self.voice).say(kit, self, section, is_running, problems);
    }

    /// Says that the thread does not come back from what it is doing, if so, and that nobody is known to be
    /// in its zones. When it does come back, it says how it is.
    pub(crate) fn look(&self, kit: &Kit, now: Instant) {
        let mut voice = lock(&self.voice);
        // It may come back at this moment: then it speaks after this, and has the last word.
        let instead = "a smaller model or `detector = \"motion\"`";
        if let Some(message) = self.doing.overdue(now, instead) {
            voice.say(kit, self, &self.section(), false, vec![message]);
            lock(&self.zones).tell_empty(kit, self, now);
        }
    }

    /// Puts another section there, if it is another.
    pub(crate) fn configure(&self, section: Section) {
        let mut now = lock(&self.section);
        if **now != section {
            *now = Arc::new(section);
            drop(now);
            self.call();
        }
    }

    /// Makes both threads look around.
    pub(crate) fn call(&self) {
        self.slots.iter().for_each(|slot| slot.call());
    }

    pub(crate) fn scene(&self) -> Arc<Scene> {
        lock(&self.scene).clone()
    }

    pub(crate) fn show(&self, scene: Scene) {
        *lock(&self.scene) = Arc::new(scene);
    }

    /// A frame was looked at.
    pub(crate) fn measure(&self, took: Duration, people: usize) {
        let mut measures = lock(&self.measures);
        measures.frames += 1;
        measures.last = took;
        measures.busy += took;
        measures.people = people as u64;
    }

    /// Frames were not looked at.
    pub(crate) fn skipped(&self, frames: u64) {
        if frames > 0 {
            lock(&self.measures).skipped += frames;
        }
    }

    pub(crate) fn tell(&self, sink: &Sink, seen: Seen) {
        if !self.is_muted() {
            sink(seen);
        }
    }

    pub(crate) fn mute(&self) {
        self.is_muted.store(true, Relaxed);
    }

    pub(crate) fn is_muted(&self) -> bool {
        self.is_muted.load(Relaxed)
    }

    pub(crate) fn status(&self) -> AnalysisStatus {
        let (section, measures) = (self.section(), *lock(&self.measures));
        let Measures { frames, skipped, last, busy, people } = measures;
        AnalysisStatus {
            camera: self.camera.clone(),
            detector: section.detector(),
            stream: section.stream(),
            running: self.is_running.load(Relaxed),
            frames,
            skipped,
            last,
            average: busy.div_f64(frames.max(1) as f64),
            busy,
            people,
            annotated: self.annotated.load(Relaxed),
        }
    }
}
