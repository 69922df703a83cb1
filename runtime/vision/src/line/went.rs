//! Did somebody go to the other side, or does he only look different?

use super::Line;
use super::watch::EDGE;
use crate::Rect;
use std::collections::VecDeque;

/// For how long is remembered where both sides of somebody were, in seconds, and the most that is remembered.
const MEMORY_S: f64 = 3.0;
const MOST: usize = 48;
/// The part of his middle's way that each side of somebody must have gone, too.
const BOTH: f32 = 0.45;

/// Where somebody was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    t: f64,
    rect: Rect,
    /// How far the middle was beyond the line, and half the extent across it.
    far: f32,
    half: f32,
}

/// Where somebody was in the last seconds.
#[derive(Debug, Default)]
pub(super) struct Places(VecDeque<Place>);

impl Place {
    /// What is in the picture of somebody who was seen at `t`.
    pub(super) fn new(line: &Line, rect: &Rect, t: f64) -> Self {
        let rect = rect.clipped();
        Self { t, rect, far: line.measure(rect.centre()).0, half: line.extent(&rect) / 2.0 }
    }
}

impl Places {
    pub(super) fn remember(&mut self, place: Place) {
        let is_old = |p: &Place| place.t - p.t > MEMORY_S;
        while self.0.len() > 1 && is_old(&self.0[1]) || self.0.len() >= MOST {
            self.0.pop_front();
        }
        // Many frames a second tell nothing more.
        if self.0.back().is_none_or(|last| place.t - last.t > MEMORY_S / MOST as f64) {
            self.0.push_back(place);
        }
    }

    /// Whether he went to this side as a whole: both of his sides did, and not only his middle because more or less of him
    /// is seen. A side that an edge of the picture cuts off is not known.
    /// `appears`: he came in at the side a moment ago.
    pub(super) fn went(&self, line: &Line, now: Place, side: bool, appears: bool) -> bool {
        let sign = if side { 1.0 } else { -1.0 };
        let Some(from) = self.0.iter().copied().min_by(|a, b| (sign * a.far).total_cmp(&(sign * b.far)))
        else {
            return true;
        };
        let way = sign * (now.far - from.far);
        let (lead, trail) = (way + now.half - from.half, way - now.half + from.half);
        let [a, b] = line.ends();
        // Where he goes, in the picture.
        let (x, y) = (sign * (b.y - a.y), sign * (a.x - b.x));
        let cuts = |rect: &Rect, x: f32, y: f32| {
            (x > 0.0 && x.abs() >= y.abs() && rect.right() > 1.0 - EDGE)
                || (x < 0.0 && x.abs() >= y.abs() && rect.x < EDGE)
                || (y > 0.0 && y.abs() >= x.abs() && rect.bottom() > 1.0 - EDGE)
        };
        // His feet may be at the lower edge while more and more of him is seen from the side.
        let is_appearing = y.abs() > x.abs() && appears;
        let leaves_above = y < 0.0 && y.abs() >= x.abs() && now.rect.y < EDGE;
        (lead >= BOTH * way || cuts(&now.rect, x, y) || leaves_above)
            && (trail >= BOTH * way || (cuts(&from.rect, -x, -y) && !is_appearing))
    }
}
