//! The thread `annotate:CAMERA`: what was seen, drawn into the camera's pictures, while somebody watches that.

use crate::desk::{Desk, Kit, Person, Scene};
use crate::models::guarded;
use crate::picture::Layout;
use crate::presence::Presence;
use crate::retry::Trouble;
use crate::section::Section;
use crate::slot::Feed;
use crate::worker::{is_connected, missing, seconds};
use crate::{I420, lock};
use bytes::Bytes;
use gantry_core::frames::{Format, Frame, Stream};
use gantry_core::state::State;
use gantry_vision::{Canvas, LineMark, Overlay, PersonMark, Rect, ZoneMark, annotate};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Boxes are moved to the time of the picture that they are drawn into, by so many seconds at most: people turn.
const LONGEST_MOVE: f64 = 0.3;
/// What is older than this, or than so many frames of the analysis, is not drawn, in seconds.
const STALE: f64 = 1.0;
const STALE_FRAMES: f64 = 2.5;

/// The stream of annotated pictures of a camera.
pub(crate) fn stream_of(camera: &str) -> String {
    format!("{camera}/annotated")
}

/// Draws, while somebody watches.
pub(crate) struct Annotator {
    kit: Arc<Kit>,
    desk: Arc<Desk>,
    out: Arc<Stream>,
    feed: Feed,
    presence: Presence,
    trouble: Trouble,
    /// The picture that is drawn on; kept, so that memory is not asked for 30 times a second.
    copy: Vec<u8>,
}

impl Annotator {
    pub(crate) fn new(kit: Arc<Kit>, desk: Arc<Desk>) -> Self {
        let out = kit.runtime.frames.stream(&stream_of(&desk.camera));
        let feed = Feed::new(desk.slots[1].clone());
        Self {
            kit,
            desk,
            out,
            feed,
            presence: Presence::default(),
            trouble: Trouble::default(),
            copy: Vec::new(),
        }
    }

    pub(crate) fn run(mut self) {
        let slot = self.desk.slots[1].clone();
        self.look_around();
        loop {
            let now = (self.kit.clock)();
            let woken = slot.wait(self.presence.look(now).map(|at| at.saturating_duration_since(now)));
            if woken.is_over {
                return;
            }
            if woken.is_called {
                self.look_around();
            }
            if let Some(frame) = woken.frame.filter(|frame| self.feed.stream() == Some(&*frame.stream)) {
                let drawn = guarded(|| self.draw(&frame)).unwrap_or_else(Err);
                let now = (self.kit.clock)();
                self.presence.frame(now);
                match drawn {
                    Ok(()) => self.trouble.went_well(now),
                    Err(message) => self.trouble.happened(now, message),
                }
            }
            self.tell();
        }
    }

    /// Watches the camera as fast as the fastest of its own watchers wants, and not at all without one.
    fn look_around(&mut self) {
        let (now, demand) = ((self.kit.clock)(), self.out.demand());
        if demand.watchers == 0 {
            self.feed.stop();
            self.presence.watches(None);
            self.trouble = Trouble::default();
            self.copy = Vec::new();
        } else {
            let raw = format!("{}/raw", self.desk.camera);
            if self.feed.watch(&self.kit.runtime.frames, &raw, demand.max_millihertz) {
                self.presence.watches(Some(now));
            }
        }
        self.presence.connected(now, is_connected(&self.kit.runtime.state, &self.desk.camera));
    }

    fn draw(&mut self, frame: &Frame) -> Result<(), String> {
        let section = self.desk.section();
        let scene = self.desk.is_running.load(Relaxed).then(|| self.desk.scene());
        let state = &self.kit.runtime.state;
        let overlay = overlay(state, &self.desk.camera, &section, scene.as_deref(), seconds(frame));
        let layout = Layout::of(frame)?;
        self.copy.clear();
        self.copy.extend_from_slice(&frame.data[..layout.bytes()]);
        let planes = layout.planes_mut(&mut self.copy);
        let canvas = Canvas::i420(planes, layout.width, layout.height, layout.strides);
        annotate(&mut canvas.map_err(|e| e.to_string())?, &overlay);
        let picture = I420 {
            planes: layout.planes(&self.copy),
            width: layout.width,
            height: layout.height,
            strides: layout.strides,
        };
        let data = self.kit.encoder.encode(&picture, section.jpeg_quality)?;
        self.publish(frame, data);
        Ok(())
    }

    fn publish(&self, frame: &Frame, data: Bytes) {
        if self.desk.is_muted() {
            return;
        }
        let frame = Frame { stream: self.out.name(), format: Format::Jpeg, data, ..frame.clone() };
        self.desk.annotated.fetch_add(1, Relaxed);
        self.out.publish(&Arc::new(frame));
    }

    /// Tells what keeps pictures from being annotated, for the thread that reports it.
    fn tell(&self) {
        let missing = || missing(&self.presence, (self.kit.clock)(), &self.desk.camera, "raw");
        let trouble = self.trouble.message().map(str::to_owned).or_else(missing);
        let trouble = trouble.map(|message| format!("no annotated pictures: {message}"));
        let mut told = lock(&self.desk.annotating);
        if *told != trouble {
            *told = trouble;
            drop(told);
            self.desk.slots[0].call();
        }
    }
}

/// What is to be seen in a picture that was taken at `t`. Without a scene nobody looks.
fn overlay(state: &State, camera: &str, section: &Section, scene: Option<&Scene>, t: f64) -> Overlay {
    let stale = STALE.max(STALE_FRAMES / f64::from(section.config.fps.max(1)));
    let fresh = scene.filter(|scene| (t - scene.t).abs() <= stale);
    let count = |line: &str, way: &str| count(state, &format!("counts/{camera}/lines/{line}/{way}"));
    let lines = section.places.lines.iter().map(|line| LineMark {
        count_in: count(line.name(), "in"),
        count_out: count(line.name(), "out"),
        line: line.clone(),
    });
    let zones = section.places.zones.iter().map(|zone| ZoneMark {
        people: fresh.and_then(|scene| scene.zones.get(zone.name()).copied()).unwrap_or(0),
        zone: zone.clone(),
    });
    let people = |scene: &Scene| {
        let mark = |person: &Person| PersonMark {
            id: person.id,
            rect: moved(person, t - scene.t),
            hidden: person.is_hidden,
        };
        scene.people.iter().map(mark).collect()
    };
    Overlay {
        lines: lines.collect(),
        zones: zones.collect(),
        people: fresh.map(people).unwrap_or_default(),
        faces: fresh.map(|scene| scene.faces.clone()).unwrap_or_default(),
        // Counts that stand still must not look like a quiet day.
        text: if scene.is_some() { Vec::new() } else { vec!["not counting".into()] },
    }
}

/// Where somebody is `later` seconds after he was seen.
fn moved(person: &Person, later: f64) -> Rect {
    let later = later.clamp(-LONGEST_MOVE, LONGEST_MOVE) as f32;
    let Person { rect, velocity, .. } = person;
    Rect::new(rect.x + velocity.x * later, rect.y + velocity.y * later, rect.w, rect.h)
}

fn count(state: &State, key: &str) -> u64 {
    state.get(key).as_ref().and_then(|(value, _)| Value::as_u64(value)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_core::config::{Analysis, Camera};
    use gantry_vision::Point;
    use serde_json::json;

    fn person(id: u64) -> Person {
        let rect = Rect::new(0.5, 0.5, 0.1, 0.2);
        Person { id, rect, velocity: Point::new(0.5, -0.1), is_hidden: id == 2 }
    }

    #[test]
    fn boxes_go_on_with_the_person_for_a_third_of_a_second_at_most() {
        for (later, x, y) in [(0.0, 0.5, 0.5), (0.2, 0.6, 0.48), (9.0, 0.65, 0.47), (-9.0, 0.35, 0.53)] {
            let Rect { x: at_x, y: at_y, .. } = moved(&person(1), later);
            assert!((at_x - x).abs() < 1e-6 && (at_y - y).abs() < 1e-6, "{later}: {at_x} {at_y}");
        }
    }

    #[test]
    fn what_is_drawn_is_what_was_seen_lately_with_the_counts_of_the_state() {
        let section = json!({
            "lines": {"door": {"from": [0.5, 0.0], "to": [0.5, 1.0]}},
            "zones": {"hall": {"corners": [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]}},
        });
        let section: Analysis = serde_json::from_value(section).unwrap();
        let section = Section::new(&section, &Camera::default());
        let state = State::default();
        state.set("counts/main/lines/door/in", json!(12)).unwrap();
        state.set("counts/main/lines/door/out", json!("?")).unwrap();
        let scene = Scene {
            t: 100.0,
            people: vec![person(1), person(2)],
            faces: vec![Rect::new(0.1, 0.1, 0.1, 0.1)],
            zones: [("hall".to_owned(), 2)].into(),
        };
        let drawn = overlay(&state, "main", &section, Some(&scene), 100.2);
        let counts =
            |drawn: &Overlay| (drawn.lines[0].count_in, drawn.lines[0].count_out, drawn.zones[0].people);
        assert_eq!(counts(&drawn), (12, 0, 2));
        let ids: Vec<_> = drawn.people.iter().map(|p| (p.id, p.hidden)).collect();
        assert_eq!(ids, [(1, false), (2, true)]);
        assert!((drawn.people[0].rect.x - 0.6).abs() < 1e-6, "moved by a fifth of a second");
        assert_eq!((drawn.faces.len(), drawn.text.len()), (1, 0));
        let late = overlay(&state, "main", &section, Some(&scene), 101.1);
        assert_eq!((late.people.len(), late.faces.len(), counts(&late)), (0, 0, (12, 0, 0)));
        let dead = overlay(&state, "main", &section, None, 100.0);
        assert_eq!(
            (dead.people.len(), counts(&dead), &dead.text[..]),
            (0, (12, 0, 0), &["not counting".to_owned()][..])
        );
    }
}
