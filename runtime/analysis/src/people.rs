//! Who is where: the detector, the tracker, the lines and zones of one camera, and what may go wrong with them.

use crate::desk::{Kit, Person};
use crate::models::guarded;
use crate::retry::{Retry, Trouble, stamp};
use crate::section::Section;
use crate::swap::ModelFile;
use gantry_core::config::Detector as Kind;
use gantry_vision::{Counter, Event, Frame, Sight, Track, TrackerSettings};

/// Counts, when it can.
#[derive(Default)]
pub(crate) struct People {
    counter: Option<Counter>,
    /// Where its detector is from, if that is a file.
    file: Option<ModelFile>,
    pub(crate) retry: Retry,
    pub(crate) trouble: Trouble,
    /// The highest number that somebody was given by counters before this one, and by this one. A new one
    /// begins at 1 again, and nobody outside is to notice.
    before: u64,
    highest: u64,
}

impl People {
    /// Whether there is a detector.
    pub(crate) fn is_ready(&self) -> bool {
        self.counter.is_some()
    }

    /// Forgets everything: another detector is wanted, or another picture is to come.
    pub(crate) fn reset(&mut self) {
        self.drop_counter();
        (self.retry, self.trouble) = (Retry::default(), Trouble::default());
    }

    fn drop_counter(&mut self) {
        (self.counter, self.file) = (None, None);
        self.before = self.highest;
    }

    /// Makes the detector, if there is none and it is time to try; makes it anew, if its model is another now.
    pub(crate) fn prepare(&mut self, kit: &Kit, section: &Section, shape: f32) {
        let now = (kit.clock)();
        if self.counter.is_some() {
            if let Some(file) = &mut self.file {
                file.look(now, stamp, || kit.models.people(&section.config, shape));
            }
            return;
        }
        if !self.retry.is_due(now, stamp) {
            return;
        }
        let model = section.config.model.clone().filter(|_| section.config.detector == Kind::Onnx);
        // Before it is read: what is written meanwhile is another file.
        let file = model.map(|path| (path.clone(), stamp(&path)));
        let made = guarded(|| kit.models.people(&section.config, shape));
        let now = (kit.clock)();
        match made {
            Ok(Ok(detector)) => {
                let settings = TrackerSettings::default();
                let places = &section.places;
                let (watched, detector) = ModelFile::of(file.clone(), now, detector);
                match Counter::new(detector, settings, places.lines.clone(), places.zones.clone()) {
                    Ok(counter) => {
                        (self.counter, self.file) = (Some(counter), watched);
                        self.retry.loaded(now);
                    }
                    Err(error) => self.retry.refused(now, file, error.to_string()),
                }
            }
            Ok(Err(message)) => self.retry.refused(now, file, message),
            Err(panic) => self.retry.panicked(now, file, broken(&panic)),
        }
    }

    /// Counts on other lines and zones, without forgetting what was learned.
    pub(crate) fn set_places(&mut self, section: &Section) {
        if let Some(counter) = &mut self.counter {
            let places = &section.places;
            // Names were checked when the places were made.
            let _ = counter.set_places(places.lines.clone(), places.zones.clone());
        }
    }

    /// Looks at a picture that was taken at `t` seconds. `None` when that failed: it is in `retry` or
    /// `trouble` then.
    pub(crate) fn look(&mut self, kit: &Kit, picture: &Frame<'_>, t: f64) -> Option<Vec<Event>> {
        let counter = self.counter.as_mut()?;
        let looked = guarded(|| counter.step(picture, t));
        let now = (kit.clock)();
        match looked {
            Ok(Ok(mut events)) => {
                self.retry.worked();
                self.trouble.went_well(now);
                let highest = counter.tracks().iter().map(|track| track.id).max().unwrap_or(0);
                self.highest = self.highest.max(self.before + highest);
                for event in &mut events {
                    if let Event::Crossing(crossing) = event {
                        crossing.track += self.before;
                    }
                }
                Some(events)
            }
            Ok(Err(error)) => {
                self.trouble.happened(now, error.to_string());
                None
            }
            Err(panic) => {
                self.drop_counter();
                self.retry.panicked(now, None, broken(&panic));
                None
            }
        }
    }

    /// Everybody who is followed, believed or not, by the numbers that are told.
    pub(crate) fn tracks(&self) -> Vec<Track> {
        let tracks = self.counter.iter().flat_map(Counter::tracks);
        tracks
            .map(|track| {
                let mut track = track.clone();
                track.id += self.before;
                track
            })
            .collect()
    }

    /// How many are in each zone now.
    pub(crate) fn occupancy(&self) -> impl Iterator<Item = (&str, usize)> {
        self.counter.iter().flat_map(Counter::occupancy)
    }

    /// Why a model is used that is not the one in the file.
    pub(crate) fn stale(&self) -> Option<&str> {
        self.file.as_ref().and_then(ModelFile::problem)
    }

    /// What is the matter.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &str> {
        self.retry.message().into_iter().chain(self.trouble.message())
    }
}

fn broken(panic: &str) -> String {
    format!(
        "the detector broke down ({panic}) and is started again: use another model or detector if it does not stop"
    )
}

/// Who of them is shown.
pub(crate) fn believed(tracks: &[Track]) -> Vec<Person> {
    let believed = tracks.iter().filter(|track| track.confirmed);
    believed
        .map(|track| Person {
            id: track.id,
            rect: track.rect(),
            velocity: track.velocity(),
            is_hidden: track.sight == Sight::Hidden,
        })
        .collect()
}
