//! Does what is followed go as people go?

use crate::{Point, Rect};
use std::collections::VecDeque;

/// So near to an edge of the picture a box may be cut off by it.
const EDGE: f32 = 0.02;
/// For how long somebody must have been seen in all, in seconds.
const SEEN_S: f64 = 0.5;
/// Who was first seen amid the picture, and not at an edge, must have gone so far, in parts of the picture.
const WAY: f32 = 0.2;
/// Who was not seen for so long, in seconds, may be another: he must go on by this part of his size, and be seen alone.
const LOST_S: f64 = 0.8;
const ON: f32 = 0.5;
/// Nobody goes across by more than so many of his widths in a second, or up and down by more than so many of his heights.
const FASTEST: (f32, f32) = (10.0, 3.5);
/// Over how many seconds that is measured, at least and at most.
const PACE_S: (f64, f64) = (0.25, 0.5);
/// Nobody is so many times as large as he was a moment ago, when no edge of the picture cut him off.
const LARGER: f32 = 3.0;
/// What was too fast or too large is remembered for so long, in seconds.
const MEMORY_S: f64 = 3.0;
/// The most places that are remembered.
const MOST: usize = 48;

/// What was seen of the way somebody goes.
#[derive(Debug, Clone)]
pub(crate) struct Walker {
    seen_s: f64,
    last: f64,
    /// Where he was first seen, when that was amid the picture and he has not come far from there yet.
    amid: Option<Point>,
    /// Where he was found again after he was lost, until he has gone on.
    found: Option<Point>,
    /// When he was last too fast.
    rushed: Option<f64>,
    /// Where he was seen whole.
    places: VecDeque<(f64, Rect)>,
}

impl Walker {
    /// Somebody who is first seen at `t`.
    pub(super) fn new(rect: &Rect, t: f64) -> Self {
        let amid = is_whole(rect).then(|| rect.centre());
        Self { seen_s: 0.0, last: t, amid, found: None, rushed: None, places: VecDeque::new() }
    }

    /// Takes where he was seen at `t`. `alone`: no other was in his silhouette. `whole`: what was detected is not cut off.
    pub(super) fn step(&mut self, rect: &Rect, t: f64, (alone, whole): (bool, bool)) {
        let (gap, centre) = (t - self.last, rect.centre());
        self.last = t;
        self.seen_s += gap.min(SEEN_S);
        if self.amid.is_some_and(|at| (centre.x - at.x).hypot(centre.y - at.y) > WAY) {
            self.amid = None;
        }
        if gap >= LOST_S {
            self.found = Some(centre);
        }
        let is_on =
            |at: &Point| (centre.x - at.x).abs() > ON * rect.w || (centre.y - at.y).abs() > ON * rect.h;
        if alone && self.found.as_ref().is_some_and(is_on) {
            self.found = None;
        }
        if gap >= PACE_S.1 {
            self.places.clear();
        }
        while self.places.len() >= MOST || self.places.front().is_some_and(|p| t - p.0 > MEMORY_S) {
            self.places.pop_front();
        }
        if !whole || !is_whole(rect) {
            return;
        }
        let near = |p: &&(f64, Rect)| (PACE_S.0..=PACE_S.1).contains(&(t - p.0));
        if self.places.iter().rev().find(near).is_some_and(|(then, was)| {
            let (dt, before) = ((t - then) as f32, was.centre());
            (centre.x - before.x).abs() > FASTEST.0 * dt * rect.w.max(was.w)
                || (centre.y - before.y).abs() > FASTEST.1 * dt * rect.h.max(was.h)
        }) {
            self.rushed = Some(t);
        }
        // Many frames a second tell nothing more.
        if self.places.back().is_none_or(|last| t - last.0 > MEMORY_S / MOST as f64) {
            self.places.push_back((t, *rect));
        }
    }

    /// Whether enough was seen of him to say that he walks.
    pub(crate) fn is_known(&self) -> bool {
        self.seen_s >= SEEN_S - 1e-6 && self.amid.is_none() && self.found.is_none()
    }

    /// Whether something else was taken for him a moment ago: it was too fast, or is far too large.
    pub(crate) fn is_other(&self, rect: &Rect, t: f64) -> bool {
        let area = rect.clipped().area();
        self.rushed.is_some_and(|rushed| t - rushed < MEMORY_S)
            || self.places.iter().any(|(_, was)| area > LARGER * was.area())
    }
}

/// Whether no edge of the picture is so near that it may cut somebody off.
fn is_whole(rect: &Rect) -> bool {
    rect.x > EDGE && rect.y > EDGE && rect.right() < 1.0 - EDGE && rect.bottom() < 1.0 - EDGE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(boxes: impl Iterator<Item = Option<Rect>>) -> (Walker, Rect, f64) {
        let mut boxes = boxes.enumerate().filter_map(|(n, rect)| Some((n as f64 / 10.0, rect?)));
        let (t, mut last) = boxes.next().expect("somebody is seen");
        let (mut walker, mut end) = (Walker::new(&last, t), t);
        walker.step(&last, t, (true, true));
        for (t, rect) in boxes {
            walker.step(&rect, t, (true, true));
            (last, end) = (rect, t);
        }
        (walker, last, end)
    }

    fn at(x: f32, y: f32) -> Rect {
        Rect::around(Point::new(x, y), 0.1, 0.3)
    }

    #[test]
    fn who_comes_in_at_an_edge_is_known_after_half_a_second_and_not_before() {
        let steps = |count| walk((0..count).map(|n| Some(at(0.04 + 0.01 * n as f32, 0.5)))).0.is_known();
        assert!(!steps(5) && steps(6));
    }

    #[test]
    fn what_appears_amid_the_picture_must_go_some_way() {
        let go = |step: f32| walk((0..20).map(|n| Some(at(0.4 + step * n as f32, 0.5)))).0.is_known();
        assert!(!go(0.005) && go(0.012));
    }

    #[test]
    fn who_was_lost_for_a_second_must_go_on_when_he_is_found_again() {
        let walk = |after: f32| {
            walk((0..45).map(|n| match n {
                0..20 => Some(at(0.04 + 0.02 * n as f32, 0.5)),
                20..30 => None,
                _ => Some(at(0.6 + after * (n - 30) as f32, 0.5)),
            }))
        };
        assert!(!walk(0.0).0.is_known() && walk(0.01).0.is_known());
    }

    #[test]
    fn what_falls_is_nobody_and_who_runs_is_somebody() {
        let fall = |speed: f32| {
            let (walker, rect, t) =
                walk((0..10).map(|n| Some(Rect::around(Point::new(0.5, 0.1 + speed * n as f32), 0.03, 0.1))));
            walker.is_other(&rect, t)
        };
        assert!(fall(0.06) && !fall(0.03));
    }

    #[test]
    fn a_hand_that_comes_before_a_bottle_is_not_that_bottle_and_who_comes_in_at_an_edge_may_grow() {
        let bottle = (0..10).map(|_| Some(Rect::new(0.1, 0.3, 0.1, 0.5)));
        let hand = (0..4).map(|n| Some(Rect::new(0.1, 0.1, 0.2 + 0.08 * n as f32, 0.7)));
        let (walker, rect, t) = walk(bottle.chain(hand));
        assert!(walker.is_other(&rect, t));
        let (walker, rect, t) =
            walk((1..10).map(|n| Some(Rect::between(0.4, 1.0 - 0.08 * n as f32, 0.6, 1.0))));
        assert!(!walker.is_other(&rect, t));
    }
}
