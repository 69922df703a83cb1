//! Which tracks end.

use super::{Sight, Tracker};
use crate::{Class, Rect};

/// What lies in somebody's box by this part, for so many seconds, is a part of him.
const PART: f32 = 0.7;
const PART_S: f32 = 1.0;
/// How long somebody is followed in a silhouette of several, besides what his time alone is worth, in seconds.
const RIDE_S: f64 = 0.5;
const RIDE_PART: f64 = 2.0;

impl Tracker {
    /// Ends tracks of parts of somebody: heads, bags, and the same person found twice. Who walks behind somebody else is
    /// hidden by him, or comes out, before long.
    pub(super) fn drop_parts(&mut self, dt: f32) {
        let seen: Vec<(u64, Class, Rect)> = self
            .tracks
            .iter()
            .filter(|t| t.confirmed && t.sight == Sight::Seen)
            .map(|t| (t.id, t.class, t.rect()))
            .collect();
        for track in &mut self.tracks {
            let rect = track.rect();
            let is_inside = track.sight == Sight::Seen
                && seen.iter().any(|(id, class, other)| {
                    *id < track.id
                        && *class == track.class
                        && rect.inside(other) > PART
                        && rect.area() < other.area()
                });
            track.inside_s = if is_inside { track.inside_s + dt } else { 0.0 };
        }
        self.tracks.retain(|track| track.inside_s < PART_S);
    }

    pub(super) fn bury(&mut self, t: f64) {
        let rects: Vec<(u64, Rect)> = self
            .tracks
            .iter()
            .filter(|t| t.confirmed && t.sight == Sight::Seen)
            .map(|t| (t.id, t.rect()))
            .collect();
        let settings = &self.settings;
        self.tracks.retain(|track| {
            // Who was hardly ever seen alone may have been a piece of one whom he is now believed to be beside.
            let ride = (RIDE_S + RIDE_PART * track.alone_s).min(settings.merged_patience_s);
            if track.sight == Sight::Merged && t - track.alone > ride {
                return false;
            }
            let unseen = t - track.last_seen;
            if unseen <= 0.0 {
                return true;
            }
            if !track.confirmed {
                return unseen < settings.confirm_s;
            }
            let rect = track.rect();
            if rect.inside(&Rect::new(0.0, 0.0, 1.0, 1.0)) < 0.35 {
                return false;
            }
            let covered = rects.iter().any(|(id, other)| *id != track.id && rect.inside(other) > 0.5);
            unseen < if covered { settings.merged_patience_s } else { settings.patience_s }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Detection;

    fn person(x: f32, y: f32, w: f32, h: f32) -> Detection {
        Detection { rect: Rect::new(x - w / 2.0, y - h / 2.0, w, h), score: 0.9, class: Class::Person }
    }

    #[test]
    fn a_bag_that_is_found_beside_somebody_and_then_on_him_is_not_somebody_for_long() {
        let mut tracker = Tracker::default();
        for n in 0..40 {
            let x = 0.2 + 0.01 * n as f32;
            let beside = (0.12 - 0.02 * n as f32).max(0.0);
            tracker
                .step(&[person(x, 0.5, 0.1, 0.4), person(x + beside, 0.55, 0.05, 0.1)], f64::from(n) / 10.0);
        }
        assert_eq!(tracker.tracks().iter().map(|t| t.id).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn who_was_hardly_seen_alone_is_not_carried_along_with_another() {
        let mut tracker = Tracker::default();
        for n in 0..60 {
            let x = 0.1 + 0.01 * n as f32;
            // For half a second one is seen as two halves, and then as a whole.
            let halves = [person(x - 0.03, 0.5, 0.055, 0.4), person(x + 0.03, 0.5, 0.055, 0.4)];
            let whole = [person(x, 0.5, 0.12, 0.4)];
            tracker.step(if n < 5 { &halves[..] } else { &whole[..] }, f64::from(n) / 10.0);
        }
        assert_eq!(tracker.tracks().len(), 1, "{:?}", tracker.tracks());
    }
}
