//! Detections of one frame after another become tracks: people with a number that stays.

mod assign;
mod end;
mod group;
mod kalman;
mod matching;
mod tracker;
mod walker;

pub use tracker::{Tracker, TrackerSettings};

use crate::{Class, Point, Rect};
use kalman::Axis;
use walker::Walker;

/// What a track knew of its person in the last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sight {
    /// Seen alone.
    Seen,
    /// Part of a silhouette of several: some of its sides were seen.
    Merged,
    /// Not seen: the box is where it should be.
    Hidden,
}

/// Someone who is followed.
#[derive(Debug, Clone)]
pub struct Track {
    /// Given to nobody else, growing from 1.
    pub id: u64,
    /// What it is.
    pub class: Class,
    /// How sure the last detection was.
    pub score: f32,
    /// How it was seen in the last frame.
    pub sight: Sight,
    /// Whether it was seen often enough to be believed.
    pub confirmed: bool,
    /// When it was first seen, in seconds.
    pub since: f64,
    /// When it was last seen, merged or alone, in seconds.
    pub last_seen: f64,
    pub(crate) hits: u32,
    /// How often of these by a strong detection.
    strong_hits: u32,
    /// For how long it was seen alone in all, in seconds, and when last.
    alone_s: f64,
    alone: f64,
    /// In how many frames it was followed.
    frames: u32,
    /// For how long it has been inside the box of somebody else who was seen, in seconds.
    inside_s: f32,
    /// The detection of the last frame in which it was seen alone.
    pub(crate) detected: Rect,
    /// Where it was first seen, and the farthest that it was from there, in parts of the picture.
    first: Point,
    pub(crate) travelled: f32,
    pub(crate) walker: Walker,
    x: Axis,
    y: Axis,
    w: f32,
    h: f32,
}

impl Track {
    fn new(id: u64, rect: Rect, score: f32, class: Class, t: f64) -> Self {
        let centre = rect.centre();
        let (sx, sy) = sizes(rect.w, rect.h);
        Self {
            id,
            class,
            score,
            sight: Sight::Seen,
            confirmed: false,
            since: t,
            last_seen: t,
            hits: 1,
            strong_hits: 1,
            alone_s: 0.0,
            alone: t,
            frames: 1,
            inside_s: 0.0,
            detected: rect,
            first: centre,
            travelled: 0.0,
            walker: Walker::new(&rect, t),
            x: Axis::new(centre.x, 0.1 * sx, 1.2 * sx),
            y: Axis::new(centre.y, 0.1 * sy, 0.7 * sy),
            w: rect.w,
            h: rect.h,
        }
    }

    /// Where it is. May reach beyond the picture.
    #[must_use]
    pub fn rect(&self) -> Rect {
        Rect::around(Point::new(self.x.place, self.y.place), self.w, self.h)
    }

    /// How fast its middle moves, in pictures per second.
    #[must_use]
    pub fn velocity(&self) -> Point {
        Point::new(self.x.speed, self.y.speed)
    }

    fn predict(&mut self, dt: f32) {
        let (sx, sy) = sizes(self.w, self.h);
        // People start and stop within about their own height and second.
        self.x.predict(dt, 1.2 * sx);
        self.y.predict(dt, 0.8 * sy);
        if self.sight != Sight::Seen {
            self.x.brake(dt, 2.5);
            self.y.brake(dt, 1.0);
        }
    }

    fn observe(&mut self, rect: Rect, score: f32, t: f64) {
        let (sx, sy) = sizes(self.w, self.h);
        let centre = rect.centre();
        self.x.observe(centre.x, 0.08 * sx);
        self.y.observe(centre.y, 0.06 * sy);
        // Sizes follow within a few frames: arms and legs swing, but who comes in at an edge grows quickly.
        let follow = if self.hits < 3 { 0.6 } else { 0.35 };
        self.w += (rect.w - self.w) * follow;
        self.h += (rect.h - self.h) * follow;
        self.score = score;
        if self.sight == Sight::Seen {
            self.alone_s += t - self.alone;
        }
        self.alone = t;
        self.sight = Sight::Seen;
        self.last_seen = t;
        self.hits += 1;
        self.detected = rect;
        let away = (self.x.place - self.first.x).hypot(self.y.place - self.first.y);
        self.travelled = self.travelled.max(away);
    }
}

/// What lengths across and down the picture are small or large for a person of this box.
fn sizes(w: f32, h: f32) -> (f32, f32) {
    // Who is cut off by an edge of the picture is low, or narrow, and not small.
    (w.max(0.3 * h).max(0.01), h.max(0.8 * w).max(0.01))
}
