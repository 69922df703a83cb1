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
        let overlay = self.overlay(&section, &self.desk.scene(), seconds(frame));
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

    /// What is to be seen in a picture that was taken at `t`.
    fn overlay(&self, section: &Section, scene: &Scene, t: f64) -> Overlay {
        let (state, camera) = (&self.kit.runtime.state, &self.desk.camera);
        let is_running = self.desk.is_running.load(Relaxed);
        let stale = STALE.max(STALE_FRAMES / f64::from(section.config.fps.max(1)));
        let is_fresh = is_running && (t - scene.t).abs() <= stale;
        let count = |line: &str, way: &str| count(state, &format!("counts/{camera}/lines/{line}/{way}"));
        let lines = section.places.lines.iter().map(|line| LineMark {
            count_in: count(line.name(), "in"),
            count_out: count(line.name(), "out"),
            line: line.clone(),
        });
        let zones = section.places.zones.iter().map(|zone| ZoneMark {
            people: scene.zones.get(zone.name()).copied().filter(|_| is_fresh).unwrap_or(0),
            zone: zone.clone(),
        });
        let people = scene.people.iter().filter(|_| is_fresh).map(|person| PersonMark {
            id: person.id,
            rect: moved(person, t - scene.t),
            hidden: person.is_hidden,
        });
        Overlay {
            lines: lines.collect(),
            zones: zones.collect(),
            people: people.collect(),
            faces: scene.faces.iter().filter(|_| is_fresh).copied().collect(),
            // A count that stands still must not look like a quiet day.
            text: if is_running { Vec::new() } else { vec!["not counting".into()] },
        }
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
    use gantry_vision::Point;

    #[test]
    fn boxes_go_on_with_the_person_for_a_third_of_a_second_at_most() {
        let rect = Rect::new(0.5, 0.5, 0.1, 0.2);
        let person = Person { id: 1, rect, velocity: Point::new(0.5, -0.1), is_hidden: false };
        for (later, x, y) in [(0.0, 0.5, 0.5), (0.2, 0.6, 0.48), (9.0, 0.65, 0.47), (-9.0, 0.35, 0.53)] {
            let Rect { x: at_x, y: at_y, .. } = moved(&person, later);
            assert!((at_x - x).abs() < 1e-6 && (at_y - y).abs() < 1e-6, "{later}: {at_x} {at_y}");
        }
    }
}
