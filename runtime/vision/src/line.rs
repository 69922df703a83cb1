//! Counting lines.

mod watch;
mod went;

pub(crate) use watch::{Belief, LineWatch};

use crate::{Error, Point, Rect};
use serde::{Deserialize, Serialize};

/// Which point of a box is the person's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anchor {
    /// The middle.
    #[default]
    Centre,
    /// The middle of the lower side.
    Foot,
}

impl Anchor {
    /// The place of a box, of which only what is in the picture matters.
    #[must_use]
    pub fn of(self, rect: &Rect) -> Point {
        let rect = rect.clipped();
        match self {
            Self::Centre => rect.centre(),
            Self::Foot => Point::new(rect.centre().x, rect.bottom()),
        }
    }
}

/// Which way a line was crossed.
///
/// Who walks along the line from its first point to its second has the side where people come from when they go *in* at
/// the right hand, and the side to which they go at the left hand, as seen in the picture:
///
/// ```text
///        (x1,y1)                        in
///           |                            ^
///           |  ---> in                   |
///  <--- out |                (x1,y1) ---------> (x2,y2)
///           v                            |
///        (x2,y2)                         v  out
/// ```
///
/// So a line from top to bottom counts who goes from left to right as `in`, and a line from left to right counts who
/// goes up in the picture as `in`. To swap the two, swap the points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the right hand to the left hand of who looks from the first point to the second.
    In,
    /// The other way.
    Out,
}

/// The part of a box's extent across the line by which somebody must be past it.
const BAND: f32 = 0.15;
/// The least distance by which somebody must be past it.
const LEAST_BAND: f32 = 0.004;
/// How far beyond its ends a line still counts, as a part of its length: boxes are not exact.
const BEYOND: f32 = 0.02;

/// A line with two ends that people cross.
///
/// Somebody is on a side once his anchor is past the line by a seventh of his own extent (the *band*); within the band he
/// stays on the side where he was. So who lingers on the line is counted once, who turns back inside the band not at all,
/// and who turns back behind it once each way. Somebody counts the same way again only after he went back to the other
/// side. The band grows with the person because what a detector is unsure of grows with the person. Only who goes as people
/// go counts: arms, bottles and what else moves do not.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    name: String,
    from: Point,
    to: Point,
    anchor: Anchor,
    band: f32,
}

impl Line {
    /// A line from one point to another.
    ///
    /// # Errors
    /// [`Error::Line`] when the ends are the same, not in the picture or no numbers.
    pub fn new(name: impl Into<String>, from: Point, to: Point) -> Result<Self, Error> {
        let name = name.into();
        let within = [from.x, from.y, to.x, to.y].iter().all(|v| (0.0..=1.0).contains(v));
        if !within || (to.x - from.x).hypot(to.y - from.y) < 1e-3 {
            return Err(Error::Line { name });
        }
        Ok(Self { name, from, to, anchor: Anchor::default(), band: BAND })
    }

    /// With another anchor.
    #[must_use]
    pub fn with_anchor(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }

    /// With a band of this part (0 to 1) of a person's extent instead of a seventh.
    #[must_use]
    pub fn with_band(mut self, part: f32) -> Self {
        self.band = if part.is_finite() { part.clamp(0.0, 1.0) } else { BAND };
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ends.
    #[must_use]
    pub fn ends(&self) -> [Point; 2] {
        [self.from, self.to]
    }

    /// How far a point is on the side to which one goes `in` (negative: on the other), and where along the line (0 to 1).
    fn measure(&self, p: Point) -> (f32, f32) {
        let (dx, dy) = (self.to.x - self.from.x, self.to.y - self.from.y);
        let (px, py) = (p.x - self.from.x, p.y - self.from.y);
        let length = dx.hypot(dy);
        ((dy * px - dx * py) / length, (dx * px + dy * py) / (length * length))
    }

    /// The size of a box across the line.
    fn extent(&self, rect: &Rect) -> f32 {
        let (dx, dy) = (self.to.x - self.from.x, self.to.y - self.from.y);
        (rect.w * dy.abs() + rect.h * dx.abs()) / dx.hypot(dy)
    }

    /// The half width of the band for a box.
    fn band(&self, rect: &Rect) -> f32 {
        (self.band * self.extent(rect)).max(LEAST_BAND)
    }
}

/// Somebody crossed a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossing {
    /// When the anchor was on the line, in seconds: between two frames, and before the frame that told it.
    pub t_s: f64,
    /// The line's name.
    pub line: String,
    /// Which way.
    pub direction: Direction,
    /// Who.
    pub track: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn watch(from: (f32, f32), to: (f32, f32)) -> LineWatch {
        LineWatch::new(Line::new("door", Point::new(from.0, from.1), Point::new(to.0, to.1)).unwrap())
    }

    /// Somebody 0.1 wide and 0.3 high whose middle goes through these places, ten times a second.
    fn walk(watch: &mut LineWatch, places: &[(f32, f32)]) -> Vec<(Direction, f64)> {
        places
            .iter()
            .enumerate()
            .filter_map(|(n, (x, y))| {
                let rect = Rect::around(Point::new(*x, *y), 0.1, 0.3);
                watch.step(1, &rect, n as f64 / 10.0, Belief::SURE).map(|c| (c.direction, c.t_s))
            })
            .collect()
    }

    #[test]
    fn left_to_right_over_a_line_from_top_to_bottom_is_in_at_the_moment_between_two_frames() {
        let events =
            walk(&mut watch((0.5, 0.0), (0.5, 1.0)), &[(0.3, 0.5), (0.475, 0.5), (0.575, 0.5), (0.7, 0.5)]);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].0, Direction::In);
        assert!((events[0].1 - 0.125).abs() < 1e-6, "{events:?}");
    }

    #[test]
    fn up_over_a_line_from_left_to_right_is_in_and_turning_the_line_round_swaps_the_two() {
        let up = [(0.5, 0.7), (0.5, 0.5), (0.5, 0.3), (0.5, 0.2)];
        assert_eq!(walk(&mut watch((0.0, 0.5), (1.0, 0.5)), &up)[0].0, Direction::In);
        assert_eq!(walk(&mut watch((1.0, 0.5), (0.0, 0.5)), &up)[0].0, Direction::Out);
    }

    #[test]
    fn who_lingers_on_the_line_counts_once() {
        let mut places = vec![(0.4, 0.5)];
        places.extend((0..200).map(|n| (0.5 + 0.009 * (f64::from(n) * 0.7).sin() as f32, 0.5)));
        places.extend([(0.6, 0.5), (0.65, 0.5)]);
        assert_eq!(walk(&mut watch((0.5, 0.0), (0.5, 1.0)), &places).len(), 1);
    }

    #[test]
    fn who_turns_back_counts_once_each_way_and_who_turns_back_on_the_line_not_at_all() {
        let mut line = watch((0.5, 0.0), (0.5, 1.0));
        let there_and_back = [0.4, 0.48, 0.55, 0.6, 0.52, 0.45, 0.4].map(|x| (x, 0.5));
        let directions: Vec<_> = walk(&mut line, &there_and_back).into_iter().map(|e| e.0).collect();
        assert_eq!(directions, [Direction::In, Direction::Out]);
        assert!(walk(&mut watch((0.5, 0.0), (0.5, 1.0)), &[(0.4, 0.5), (0.505, 0.5), (0.4, 0.5)]).is_empty());
    }

    #[test]
    fn who_seems_to_be_on_the_other_side_for_one_frame_did_not_cross() {
        let across = |beyond: usize| {
            let mut places = vec![(0.4, 0.5); 5];
            places.extend(std::iter::repeat_n((0.6, 0.5), beyond));
            places.extend([(0.4, 0.5); 5]);
            walk(&mut watch((0.5, 0.0), (0.5, 1.0)), &places).len()
        };
        assert_eq!((across(1), across(3)), (0, 2));
    }

    #[test]
    fn who_goes_out_at_the_lower_edge_counts_although_he_is_seen_but_once_beyond_the_line() {
        let mut line = watch((0.0, 0.75), (1.0, 0.75));
        let boxes = [(0.2, 0.95), (0.2, 1.0), (0.45, 1.03), (0.55, 1.06), (0.7, 1.08)];
        let events: Vec<_> = boxes
            .into_iter()
            .enumerate()
            .filter_map(|(n, (top, bottom))| {
                line.step(1, &Rect::between(0.4, top, 0.6, bottom), n as f64 / 10.0, Belief::SURE)
            })
            .collect();
        assert!(events.len() == 1 && events[0].direction == Direction::Out, "{events:?}");
    }

    #[test]
    fn who_is_not_known_to_walk_yet_counts_later_and_what_was_taken_for_somebody_never() {
        let walk = |belief: fn(usize) -> Belief| {
            let mut line = watch((0.5, 0.0), (0.5, 1.0));
            (0..60)
                .filter_map(|n| {
                    let rect = Rect::around(Point::new((0.3 + 0.02 * n as f32).min(0.7), 0.5), 0.1, 0.3);
                    line.step(1, &rect, n as f64 / 10.0, belief(n))
                })
                .collect::<Vec<_>>()
        };
        let late = walk(|n| Belief { counts: n > 15, is_other: false });
        assert!(late.len() == 1 && (late[0].t_s - 1.0).abs() < 0.06, "{late:?}");
        assert!(walk(|n| Belief { counts: true, is_other: n < 40 }).is_empty());
    }

    #[test]
    fn who_goes_past_the_end_of_a_line_did_not_cross_it() {
        assert!(walk(&mut watch((0.5, 0.0), (0.5, 0.4)), &[(0.4, 0.6), (0.6, 0.6), (0.62, 0.6)]).is_empty());
        assert_eq!(walk(&mut watch((0.5, 0.0), (0.5, 0.4)), &[(0.4, 0.3), (0.6, 0.3), (0.62, 0.3)]).len(), 1);
    }

    #[test]
    fn a_leg_that_leaves_the_picture_last_is_not_somebody_who_goes_down() {
        let mut line = watch((0.0, 0.6), (1.0, 0.6));
        let boxes = [(0.7, 0.1, 0.9), (0.8, 0.1, 0.9), (0.9, 0.1, 0.9), (0.95, 0.4, 0.9), (0.97, 0.7, 0.9)];
        for (n, (x, top, bottom)) in boxes.into_iter().enumerate() {
            let rect = Rect::between(x, top, 1.0, bottom);
            assert_eq!(line.step(1, &rect, n as f64 / 10.0, Belief::SURE), None);
        }
    }

    #[test]
    fn an_arm_from_above_that_puts_something_down_counts_nothing() {
        let mut line = watch((0.0, 0.3), (1.0, 0.3));
        let arm = (0..10).map(|n| Rect::between(0.4, 0.0, 0.5, 0.07 * n as f32));
        let bottle = (0..20).map(|_| Rect::between(0.4, 0.4, 0.5, 0.7));
        for (n, rect) in arm.chain(bottle).enumerate() {
            assert_eq!(line.step(1, &rect, n as f64 / 10.0, Belief::SURE), None);
        }
    }

    #[test]
    fn who_is_seen_more_and_more_of_counts_nothing_until_he_goes_on_as_a_whole() {
        let mut line = watch((0.0, 0.6), (1.0, 0.6));
        // He comes out from behind something: first the legs, and his feet stay where they are.
        let appears = (0..12).map(|n| Rect::between(0.4, 0.75 - 0.05 * n as f32, 0.5, 0.9));
        for (n, rect) in appears.clone().enumerate() {
            assert_eq!(line.step(1, &rect, n as f64 / 10.0, Belief::SURE), None);
        }
        let walks = (1..10).map(|n| Rect::between(0.4, 0.2 - 0.01 * n as f32, 0.5, 0.9 - 0.05 * n as f32));
        let mut line = watch((0.0, 0.6), (1.0, 0.6));
        let events: Vec<_> = appears
            .chain(walks)
            .enumerate()
            .filter_map(|(n, rect)| line.step(1, &rect, n as f64 / 10.0, Belief::SURE))
            .collect();
        assert!(events.len() == 1 && events[0].direction == Direction::In, "{events:?}");
    }

    #[test]
    fn who_looks_different_for_long_is_on_the_side_where_he_is_seen() {
        let mut line = watch((0.0, 0.65), (1.0, 0.65));
        let legs = |_| Rect::between(0.4, 0.7, 0.5, 0.9);
        let whole = |_| Rect::between(0.4, 0.1, 0.5, 0.9);
        let down = |n: usize| Rect::between(0.4, 0.1 + 0.02 * n as f32, 0.5, 0.9 + 0.02 * n as f32);
        let boxes = (0..10).map(legs).chain((0..40).map(whole)).chain((0..35).map(down));
        let events: Vec<_> = boxes
            .enumerate()
            .filter_map(|(n, rect)| line.step(1, &rect, n as f64 / 10.0, Belief::SURE))
            .collect();
        assert!(events.len() == 1 && events[0].direction == Direction::Out, "{events:?}");
    }

    #[test]
    fn who_comes_in_at_the_top_counts_when_he_walks_on_with_the_time_of_the_crossing() {
        let mut line = watch((0.0, 0.25), (1.0, 0.25));
        let events: Vec<_> = (0..40)
            .filter_map(|n| {
                let bottom = 0.03 * n as f32;
                let rect = Rect::between(0.4, (bottom - 0.4).max(0.0), 0.5, bottom);
                line.step(1, &rect, f64::from(n) / 10.0, Belief::SURE)
            })
            .collect();
        assert_eq!(events.len(), 1);
        assert!(events[0].direction == Direction::Out && (events[0].t_s - 1.5).abs() < 0.2, "{events:?}");
    }

    #[test]
    fn a_line_without_length_is_refused() {
        for (x, y) in [(0.5, 0.5), (f32::NAN, 0.0), (1.5, 0.0)] {
            assert!(Line::new("door", Point::new(0.5, 0.5), Point::new(x, y)).is_err());
        }
    }

    proptest! {
        /// Whatever somebody does in the picture, the two directions take turns, and times go forward.
        #[test]
        fn nobody_counts_the_same_way_twice_in_a_row(
            places in prop::collection::vec((0.1f32..0.9, 0.2f32..0.8), 1..60),
            ends in (0.0f32..1.0, 0.0f32..1.0),
        ) {
            let events = walk(&mut watch((ends.0, 0.0), (ends.1, 1.0)), &places);
            for pair in events.windows(2) {
                prop_assert!(pair[0].0 != pair[1].0 && pair[0].1 <= pair[1].1);
            }
        }
    }
}
