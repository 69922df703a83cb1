//! The thread `analysis:CAMERA`.

use crate::desk::{Desk, Kit, Scene};
use crate::faces::Faces;
use crate::people::{People, believed};
use crate::presence::Presence;
use crate::retry::Trouble;
use crate::section::Section;
use crate::slot::Feed;
use crate::zones::Last;
use crate::{Seen, lock, picture};
use gantry_core::config::Detector;
use gantry_core::frames::Frame;
use gantry_core::state::State;
use gantry_vision::{BestFace, Event};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Looks at the newest frame, again and again.
pub(crate) struct Worker {
    kit: Arc<Kit>,
    desk: Arc<Desk>,
    /// What it works by; the desk may have a newer one.
    section: Arc<Section>,
    feed: Feed,
    presence: Presence,
    people: People,
    faces: Faces,
    /// Pictures that cannot be looked at.
    unreadable: Trouble,
    /// The width of the camera's pictures by their height.
    shape: f32,
    last: Option<Last>,
}

impl Worker {
    pub(crate) fn new(kit: Arc<Kit>, desk: Arc<Desk>) -> Self {
        let section = desk.section();
        let feed = Feed::new(desk.slots[0].clone());
        Self {
            kit,
            desk,
            section,
            feed,
            presence: Presence::default(),
            people: People::default(),
            faces: Faces::default(),
            unreadable: Trouble::default(),
            shape: 0.0,
            last: None,
        }
    }

    pub(crate) fn run(mut self) {
        let slot = self.desk.slots[0].clone();
        self.look_around();
        loop {
            let now = self.now();
            let woken = slot.wait(self.next_look(now).map(|at| at.saturating_duration_since(now)));
            if woken.is_over {
                break;
            }
            self.desk.skipped(woken.skipped);
            if woken.is_called {
                self.look_around();
            }
            self.prepare();
            if let Some(frame) = woken.frame.filter(|frame| self.feed.stream() == Some(&*frame.stream)) {
                self.look(&frame);
            }
            self.say();
        }
        let faces = self.faces.finish();
        self.tell_faces(faces);
        // Who restarts the gateway has not emptied the room.
        if self.desk.is_removed.load(Relaxed) {
            lock(&self.desk.zones).tell_empty(&self.kit, &self.desk, self.now());
        }
    }

    fn now(&self) -> Instant {
        (self.kit.clock)()
    }

    /// Takes over what may have changed: the section, and whether the camera is there.
    fn look_around(&mut self) {
        let now = self.now();
        let before = std::mem::replace(&mut self.section, self.desk.section());
        let section = self.section.clone();
        let state = &self.kit.runtime.state;
        let shape = std::mem::replace(&mut self.shape, shape(state, &self.desk.camera, section.size));
        let is_motion = section.config.detector == Detector::Motion;
        // How wide people are is told in pixels.
        let is_reshaped = is_motion
            && section.config.motion.person.is_some()
            && shape > 0.0
            && (shape / self.shape - 1.0).abs() > 0.01;
        if !section.finds_alike(&before) || is_reshaped {
            let faces = self.faces.finish();
            self.tell_faces(faces);
            self.people.reset();
        } else if section.places != before.places {
            self.people.set_places(&section);
        }
        let sees =
            |section: &Section| section.config.faces.clone().map(|faces| (faces, section.config.threads));
        if sees(&section) != sees(&before) {
            let faces = self.faces.finish();
            self.tell_faces(faces);
            self.faces.reset();
        }
        lock(&self.desk.zones).keep(&section.places);
        let stream = format!("{}/{}", self.desk.camera, section.stream());
        if self.feed.watch(&self.kit.runtime.frames, &stream, section.millihertz()) {
            self.presence.watches(Some(now));
        }
        self.presence.connected(now, is_connected(&self.kit.runtime.state, &self.desk.camera));
        self.prepare();
        self.say();
    }

    fn prepare(&mut self) {
        self.desk.doing.begins("the loading of the model", self.now());
        self.people.prepare(&self.kit, &self.section, self.shape);
        self.faces.prepare(&self.kit, &self.section);
        self.desk.doing.ends();
    }

    fn look(&mut self, frame: &Frame) {
        let begun = self.now();
        self.presence.frame(begun);
        let unix_ms = i64::try_from(frame.captured_unix_ns / 1_000_000).unwrap_or(i64::MAX);
        let last = Last { came: begun, unix_ms, t: seconds(frame) };
        self.last = Some(last);
        let picture = match picture::view(frame) {
            Ok(picture) => picture,
            Err(message) => return self.unreadable.happened(begun, message),
        };
        self.unreadable.went_well(begun);
        self.desk.doing.begins("the detector", begun);
        let events = self.people.look(&self.kit, &picture, last.t);
        self.desk.doing.ends();
        let Some(events) = events else { return };
        for event in events {
            if let Event::Crossing(crossing) = event {
                let seen = Seen::Crossing {
                    camera: self.desk.camera.clone(),
                    line: crossing.line,
                    direction: crossing.direction,
                    track: crossing.track,
                    unix_ms: last.unix_ms(crossing.t_s),
                };
                self.desk.tell(&self.kit.sink, seen);
            }
        }
        let zones: BTreeMap<String, usize> =
            self.people.occupancy().map(|(zone, people)| (zone.to_owned(), people)).collect();
        lock(&self.desk.zones).tell(&self.kit, &self.desk, &zones, last);
        let tracks = self.people.tracks();
        self.desk.doing.begins("the model of faces", self.now());
        let faces = self.faces.look(&self.kit, &picture, &tracks, last.t);
        self.desk.doing.ends();
        self.tell_faces(faces);
        let people = believed(&tracks);
        self.desk.measure(self.now().saturating_duration_since(begun), people.len());
        self.desk.show(Scene { t: last.t, people, faces: self.faces.places(), zones });
    }

    fn tell_faces(&mut self, faces: Vec<BestFace>) {
        let Some(last) = self.last else { return };
        self.faces.tell(&self.kit, &self.desk, &self.section, faces, |t| last.unix_ms(t));
    }

    /// Says how it is, and what no picture says: that none comes.
    fn say(&mut self) {
        let now = self.now();
        let flows = self.presence.flows(now);
        if !flows || !self.people.is_ready() {
            lock(&self.desk.zones).tell_empty(&self.kit, &self.desk, now);
            // Nor does anybody's face become better.
            let faces = self.faces.finish();
            self.tell_faces(faces);
        }
        let mut problems: Vec<String> = self.people.problems().map(str::to_owned).collect();
        let is_running = flows && self.people.is_ready() && problems.is_empty();
        problems.extend(self.people.stale().map(str::to_owned));
        problems.extend(self.unreadable.message().map(str::to_owned));
        problems.extend(missing(&self.presence, now, &self.desk.camera, self.section.stream()));
        problems.extend(self.faces.problems());
        problems.extend(self.section.places.problems.iter().cloned());
        problems.extend(lock(&self.desk.annotating).clone());
        self.desk.say(&self.kit, &self.section, is_running, problems);
    }

    /// When to look around although nothing came.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        let model = self.people.retry.look(now).filter(|_| !self.people.is_ready());
        [model, self.faces.look_again(now), self.presence.look(now)].into_iter().flatten().min()
    }
}

/// When a frame was taken, in seconds of its own clock.
pub(crate) fn seconds(frame: &Frame) -> f64 {
    Duration::from_nanos(frame.captured_monotonic_ns).as_secs_f64()
}

/// Whether the state says that a camera is there.
pub(crate) fn is_connected(state: &State, camera: &str) -> bool {
    state.get(&format!("cameras/{camera}/connected")).is_some_and(|(value, _)| value == json!(true))
}

/// The sentence about a stream that a camera does not give.
pub(crate) fn missing(presence: &Presence, now: Instant, camera: &str, stream: &str) -> Option<String> {
    presence.is_missing(now).then(|| {
        if presence.was_there() {
            format!(
                "camera {camera} gives no more pictures on the stream `{stream}`: look at its pipeline file"
            )
        } else {
            format!("camera {camera} gives no stream `{stream}`: add one to its pipeline file")
        }
    })
}

/// The width of a camera's pictures by their height: as they are, or else as they are to be.
fn shape(state: &State, camera: &str, (width, height): (u32, u32)) -> f32 {
    let side =
        |key| state.get(&format!("cameras/{camera}/{key}")).as_ref().and_then(|(v, _)| Value::as_u64(v));
    let now = side("width").zip(side("height")).filter(|(width, height)| *width > 0 && *height > 0);
    let (width, height) = now.unwrap_or((u64::from(width.max(1)), u64::from(height.max(1))));
    width as f32 / height as f32
}
