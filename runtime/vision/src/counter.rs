//! From frames to counts.

use crate::line::{Belief, LineWatch};
use crate::zone::ZoneWatch;
use crate::{
    Class, Crossing, Detection, Detector, Error, Frame, Line, Sight, Track, Tracker, TrackerSettings, Zone,
};

/// What a step told.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Somebody crossed a line.
    Crossing(Crossing),
    /// Another number of people is in a zone.
    Occupancy {
        /// When, in seconds.
        t_s: f64,
        /// The zone's name.
        zone: String,
        /// How many are inside now.
        people: usize,
    },
}

/// A detector, a tracker, and the lines and zones of one camera.
///
/// The same frames with the same times give the same events, always: nothing here reads a clock or draws lots.
pub struct Counter {
    detector: Box<dyn Detector>,
    tracker: Tracker,
    lines: Vec<LineWatch>,
    zones: Vec<(ZoneWatch, usize)>,
    detections: Vec<Detection>,
}

impl Counter {
    /// Counts with this detector, on these lines and zones.
    ///
    /// # Errors
    /// [`Error::Name`] when two of them have one name.
    pub fn new(
        detector: Box<dyn Detector>,
        settings: TrackerSettings,
        lines: Vec<Line>,
        zones: Vec<Zone>,
    ) -> Result<Self, Error> {
        let tracker = Tracker::new(settings);
        let mut counter =
            Self { detector, tracker, lines: Vec::new(), zones: Vec::new(), detections: Vec::new() };
        counter.set_places(lines, zones)?;
        Ok(counter)
    }

    /// Counts on these lines and zones from now on. What the detector has learned and who is followed stays; a line or zone
    /// that is as it was knows who is on which side of it or inside, one that is new learns it with the next frame.
    ///
    /// # Errors
    /// [`Error::Name`] when two of them have one name; then nothing changes.
    pub fn set_places(&mut self, lines: Vec<Line>, zones: Vec<Zone>) -> Result<(), Error> {
        let names: Vec<&str> = lines.iter().map(Line::name).chain(zones.iter().map(Zone::name)).collect();
        if let Some((_, name)) = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
            return Err(Error::Name { name: (*name).to_owned() });
        }
        let mut old_lines = std::mem::take(&mut self.lines);
        for line in lines {
            let kept = old_lines.iter().position(|watch| watch.line == line);
            self.lines.push(kept.map_or_else(|| LineWatch::new(line), |at| old_lines.swap_remove(at)));
        }
        let mut old_zones = std::mem::take(&mut self.zones);
        for zone in zones {
            // Of a zone that was moved, the number that was told last is known still.
            let old = old_zones.iter().position(|(watch, _)| watch.zone.name() == zone.name());
            let (watch, told) = match old.map(|at| old_zones.swap_remove(at)) {
                Some((watch, told)) if watch.zone == zone => (watch, told),
                Some((_, told)) => (ZoneWatch::new(zone), told),
                None => (ZoneWatch::new(zone), 0),
            };
            self.zones.push((watch, told));
        }
        Ok(())
    }

    /// Takes the frame of second `t`, on any clock that only goes forward, and tells what happened, in the order of time.
    ///
    /// # Errors
    /// What the detector says; the frame is then as if it had not been, and the next may be tried.
    pub fn step(&mut self, frame: &Frame<'_>, t: f64) -> Result<Vec<Event>, Error> {
        self.detections = self.detector.detect(frame, t)?;
        let people: Vec<Detection> =
            self.detections.iter().filter(|d| d.class == Class::Person).copied().collect();
        let events = self.step_with(&people, t);
        self.detector.learn(self.tracker.tracks());
        Ok(events)
    }

    /// The same for detections that were made elsewhere.
    pub fn step_with(&mut self, detections: &[Detection], t: f64) -> Vec<Event> {
        let tracks = self.tracker.step(detections, t);
        let is_followed = |id| tracks.iter().any(|track| track.id == id);
        let mut events = Vec::new();
        for watch in &mut self.lines {
            watch.forget(is_followed);
            // Who is hidden may be anywhere: he crosses when he is seen again.
            for track in tracks.iter().filter(|track| track.sight != Sight::Hidden) {
                let rect = track.rect();
                let counts = track.confirmed && track.walker.is_known();
                let belief = Belief { counts, is_other: track.walker.is_other(&rect, t) };
                events.extend(watch.step(track.id, &rect, t, belief).map(Event::Crossing));
            }
        }
        events.sort_by(|a, b| a.time().total_cmp(&b.time()));
        for (watch, before) in &mut self.zones {
            watch.forget(is_followed);
            for track in tracks.iter().filter(|track| track.confirmed) {
                watch.step(track.id, &track.rect());
            }
            let people = watch.occupancy();
            if people != *before {
                *before = people;
                events.push(Event::Occupancy { t_s: t, zone: watch.zone.name().to_owned(), people });
            }
        }
        events
    }

    /// Everybody who is followed, believed or not.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        self.tracker.tracks()
    }

    /// What the detector found in the last frame, faces included.
    #[must_use]
    pub fn detections(&self) -> &[Detection] {
        &self.detections
    }

    /// How many people are in each zone now.
    pub fn occupancy(&self) -> impl Iterator<Item = (&str, usize)> {
        self.zones.iter().map(|(watch, people)| (watch.zone.name(), *people))
    }
}

impl Event {
    /// When it happened, in seconds.
    #[must_use]
    pub fn time(&self) -> f64 {
        match self {
            Self::Crossing(crossing) => crossing.t_s,
            Self::Occupancy { t_s, .. } => *t_s,
        }
    }
}
