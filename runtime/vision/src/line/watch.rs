//! Who is on which side of a line.

use super::went::{Place, Places};
use super::{BEYOND, Crossing, Direction, Line};
use crate::{Point, Rect};
use std::collections::BTreeMap;

/// For how long somebody may seem to be on the other side before it is how he looks there, in seconds: less than is
/// remembered.
const DOUBT_S: f64 = 2.0;
/// So near to an edge of the picture a box is cut off by it.
pub(super) const EDGE: f32 = 0.02;
/// For how long somebody comes in at an edge, or goes out, in seconds.
const CUT_S: f64 = 4.0;

/// What touches the upper edge and ends above this height has no feet on the floor.
const LOW: f32 = 0.8;
/// For how long what hung must be free of the edge, in seconds, and by which part of its size it must then have gone on.
const FREE_S: f64 = 0.3;
const ON: f32 = 1.0;
/// For how long somebody must be seen beyond the band, in seconds: for one frame an arm may have been taken for him.
const STAY_S: f64 = 0.1;

/// What is known of who is seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Belief {
    /// Whether he counts; who does not yet is only remembered.
    pub(crate) counts: bool,
    /// Whether something else seems to be taken for him at the moment.
    pub(crate) is_other: bool,
}

impl Belief {
    /// Somebody of whom there is no doubt.
    #[cfg(test)]
    pub(crate) const SURE: Self = Self { counts: true, is_other: false };
}

/// Somebody whom the left or right edge of the picture cuts off.
#[derive(Debug, Clone, Copy)]
struct Cut {
    since: f64,
    /// Where the anchor was then.
    anchor: Point,
    /// He was first seen so: he comes in. Else he goes out.
    comes: bool,
}

#[derive(Debug)]
struct Walk {
    /// The side on which he was last, beyond the band: true is where one goes `in`.
    settled: Option<bool>,
    /// How far the anchor was beyond the line in the last frame, where along it, and when.
    last: (f32, f32, f64),
    /// When and where along the line he last passed it.
    passed: Option<(f64, f32)>,
    cut: Option<Cut>,
    hung: Option<Hung>,
    places: Places,
    /// Since when he has been beyond the band of the other side.
    beyond: Option<f64>,
    /// When he came in at the left or right edge, if he did.
    entered: Option<f64>,
    /// Since when he seems to be on the other side, and may only look different.
    doubted: Option<f64>,
}

/// Somebody who hangs into the picture from above, or did: an arm, or legs that will get a body.
#[derive(Debug, Clone, Copy)]
struct Hung {
    /// When the upper edge was last touched.
    t: f64,
    /// Where the anchor was when it had been free for a moment.
    free: Option<Point>,
}

impl Hung {
    /// Whether he now walks on his own: free of the edge, and on by a part of his size. A thing that an arm put down stays.
    fn walks(&mut self, rect: &Rect, anchor: Point, t: f64) -> bool {
        if t - self.t < FREE_S {
            return false;
        }
        let free = *self.free.get_or_insert(anchor);
        (anchor.x - free.x).abs() / rect.w.max(0.3 * rect.h) + (anchor.y - free.y).abs() / rect.h.max(0.01)
            > ON
    }
}

/// A line and who is on which side of it.
#[derive(Debug)]
pub(crate) struct LineWatch {
    pub(crate) line: Line,
    walks: BTreeMap<u64, Walk>,
}

impl LineWatch {
    pub(crate) fn new(line: Line) -> Self {
        Self { line, walks: BTreeMap::new() }
    }

    /// Forgets who is no longer followed.
    pub(crate) fn forget(&mut self, keep: impl Fn(u64) -> bool) {
        self.walks.retain(|id, _| keep(*id));
    }

    /// Takes where somebody was seen at `t`.
    pub(crate) fn step(&mut self, track: u64, rect: &Rect, t: f64, belief: Belief) -> Option<Crossing> {
        let anchor = self.line.anchor.of(rect);
        let (far, along) = self.line.measure(anchor);
        let is_new = !self.walks.contains_key(&track);
        let walk = self.walks.entry(track).or_insert(Walk {
            settled: None,
            last: (far, along, t),
            passed: None,
            cut: None,
            hung: None,
            places: Places::default(),
            beyond: None,
            doubted: None,
            entered: (is_at_side(rect) && rect.bottom() < 1.0 - EDGE).then_some(t),
        });
        let (was, was_along, before) = walk.last;
        if (was < 0.0) != (far < 0.0) {
            let part = was / (was - far);
            let place = was_along + part * (along - was_along);
            walk.passed = Some((before + f64::from(part) * (t - before), place));
        }
        walk.last = (far, along, t);
        let is_cut = is_at_side(rect);
        walk.cut = is_cut.then(|| walk.cut.unwrap_or(Cut { since: t, anchor, comes: is_new }));
        if hangs(rect) {
            walk.hung = Some(Hung { t, free: None });
        } else if walk.hung.as_mut().is_some_and(|hung| hung.walks(rect, anchor, t)) {
            walk.hung = None;
        }
        let place = Place::new(&self.line, rect, t);
        walk.places.remember(place);
        let side = far > 0.0;
        if walk.settled == Some(side) {
            walk.doubted = None;
        }
        if far.abs() < self.line.band(rect) || walk.settled == Some(side) {
            walk.beyond = None;
            return None;
        }
        let beyond = *walk.beyond.get_or_insert(t);
        if walk.settled.is_none() {
            walk.settled = Some(side);
            return None;
        }
        if let Some(cut) = walk.cut.filter(|cut| t - cut.since < CUT_S) {
            // Only an arm or a leg may be seen: only his way across counts, and how far down he is where he is seen whole.
            let is_on_side = |x, y| (self.line.measure(Point::new(x, y)).0 > 0.0) == side;
            if cut.comes && is_on_side(cut.anchor.x, anchor.y) {
                walk.settled = Some(side);
                return None;
            }
            if !cut.comes && !is_on_side(anchor.x, cut.anchor.y) {
                return None;
            }
        }
        // Who goes out at the lower edge is not seen for long.
        let stays = t - beyond > STAY_S - 1e-6 || rect.bottom() > 1.0 - EDGE;
        if !belief.counts || walk.hung.is_some() || !stays {
            // The side is kept, so that it counts when he is believed, has come down, or stays there.
            return None;
        }
        let appears = walk.entered.is_some_and(|since| t - since < CUT_S);
        if belief.is_other || !walk.places.went(&self.line, place, side, appears) {
            // He may be on the way. Who is not in all this time only looks different.
            if t - *walk.doubted.get_or_insert(t) > DOUBT_S {
                (walk.settled, walk.doubted) = (Some(side), None);
            }
            return None;
        }
        walk.doubted = None;
        walk.settled = Some(side);
        let (t_s, along) = walk.passed.take()?;
        (-BEYOND..=1.0 + BEYOND).contains(&along).then(|| Crossing {
            t_s,
            line: self.line.name.clone(),
            direction: if side { Direction::In } else { Direction::Out },
            track,
        })
    }
}

/// Whether the left or right edge of the picture cuts a box off.
fn is_at_side(rect: &Rect) -> bool {
    rect.x < EDGE || rect.right() > 1.0 - EDGE
}

/// Whether what is seen hangs into the picture from above.
fn hangs(rect: &Rect) -> bool {
    rect.y < EDGE && rect.bottom() < LOW
}
