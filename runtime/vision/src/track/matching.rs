//! Which detection is whom: what a pair costs.

use super::Tracker;
use super::assign::assign;
use crate::Detection;

/// What it costs that a detection is higher or lower than who it would be, by a factor of e.
const UNLIKE: f32 = 0.6;
/// By how much less somebody who is new or cut off must overlap, with a strong detection and with a weak one: who comes in at
/// an edge grows with every frame, and is not surely seen yet.
pub(super) const EASE: (f32, f32) = (0.14, 0.3);
/// What a pair may cost: by a strong detection and by a weak one.
pub(super) const LIMITS: (f32, f32) = (0.75, 0.5);
/// By which part of their size boxes are enlarged on every side before they are compared: at 10 frames a second; more per
/// second between frames; more per second of not being seen; and while somebody is new.
const REACH: (f32, f32, f32, f32) = (0.15, 0.5, 0.2, 0.4);
/// What a pair costs that must not be.
const NEVER: f32 = 1e3;

impl Tracker {
    /// The detection of each track, among the tracks that take part.
    pub(super) fn matches(
        &self,
        detections: &[Detection],
        among: impl Iterator<Item = usize>,
        (t, dt): (f64, f32),
        (limit, ease): (f32, f32),
    ) -> Vec<Option<usize>> {
        let among: Vec<usize> = among.collect();
        let cost = |row: usize, column: usize| {
            let (track, detection) = (&self.tracks[among[row]], &detections[column]);
            if track.class != detection.class {
                return NEVER;
            }
            let unseen = (t - track.last_seen) as f32;
            // The longer it was not seen, the farther away it may be.
            let base = if track.hits < 3 { REACH.3 } else { REACH.0 + REACH.1 * (dt - 0.1).clamp(0.0, 0.3) };
            let reach = base + (REACH.2 * (unseen - dt).max(0.0)).min(0.6);
            let rect = track.rect();
            let overlap = rect.grown(reach).iou(&detection.rect.grown(reach));
            let is_cut = !detection.rect.is_whole();
            // Somebody new may go anywhere, and who comes in or goes out at an edge changes his size.
            let limit = if is_cut || track.hits < 3 { limit + ease } else { limit };
            if 1.0 - overlap > limit {
                return NEVER;
            }
            let cost = 1.0 - overlap
                + if is_cut { 0.0 } else { UNLIKE } * (rect.h / detection.rect.h).ln().abs().min(1.0);
            // Who is there comes before who was lost, and who is believed before who is new.
            cost + if track.confirmed { 0.0 } else { 0.1 } + (0.1 * unseen).min(0.2)
        };
        let mut matched = vec![None; self.tracks.len()];
        for (row, column) in assign(among.len(), detections.len(), &cost).into_iter().enumerate() {
            matched[among[row]] = column.filter(|c| cost(row, *c) < NEVER);
        }
        matched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Rect};

    #[test]
    fn who_comes_in_at_the_lower_edge_is_one_although_he_grows_and_is_weakly_seen_between() {
        let mut tracker = Tracker::default();
        // As a model saw somebody come in close to the camera.
        let boxes = [
            (0.24, 0.90, 0.38, 0.73),
            (0.27, 0.75, 0.44, 0.85),
            (0.28, 0.62, 0.51, 0.34),
            (0.29, 0.62, 0.61, 0.44),
            (0.31, 0.54, 0.63, 0.46),
            (0.33, 0.58, 0.63, 0.34),
            (0.37, 0.35, 0.64, 0.84),
            (0.38, 0.28, 0.64, 0.62),
            (0.41, 0.25, 0.63, 0.79),
            (0.44, 0.22, 0.64, 0.89),
        ];
        for (n, (left, top, right, score)) in boxes.into_iter().enumerate() {
            let found = Detection { rect: Rect::between(left, top, right, 1.0), score, class: Class::Person };
            tracker.step(&[found], n as f64 / 10.0);
        }
        let [one] = tracker.tracks() else { panic!("{:?}", tracker.tracks()) };
        assert!(one.id == 1 && one.confirmed, "{one:?}");
    }
}
