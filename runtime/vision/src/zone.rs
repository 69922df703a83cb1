//! Zones: parts of the picture in which people are.

use crate::{Anchor, Error, Point, Rect};
use std::collections::BTreeMap;

/// Most corners of a zone.
const MOST: usize = 64;
/// The part of a box's size by which somebody must be out of a zone to have left it.
const BAND: f32 = 0.08;

/// A polygon in the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    name: String,
    corners: Vec<Point>,
    anchor: Anchor,
}

impl Zone {
    /// A zone with these corners, in order; the last is joined to the first. Anchored at the feet, which are where
    /// somebody stands.
    ///
    /// # Errors
    /// [`Error::Zone`] for fewer than 3 or more than 64 corners, corners outside the picture, and zones without an area.
    pub fn new(name: impl Into<String>, corners: Vec<Point>) -> Result<Self, Error> {
        let name = name.into();
        let within = corners.iter().all(|p| (0.0..=1.0).contains(&p.x) && (0.0..=1.0).contains(&p.y));
        let twice: f32 = edges(&corners).map(|(a, b)| a.x * b.y - b.x * a.y).sum();
        if !within || !(3..=MOST).contains(&corners.len()) || twice.abs() < 1e-5 {
            return Err(Error::Zone { name });
        }
        Ok(Self { name, corners, anchor: Anchor::Foot })
    }

    /// With another anchor.
    #[must_use]
    pub fn with_anchor(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its corners.
    #[must_use]
    pub fn corners(&self) -> &[Point] {
        &self.corners
    }

    /// Whether a point is inside (the even-odd rule).
    #[must_use]
    pub fn contains(&self, p: Point) -> bool {
        edges(&self.corners)
            .filter(|(a, b)| {
                (a.y > p.y) != (b.y > p.y) && p.x < a.x + (p.y - a.y) / (b.y - a.y) * (b.x - a.x)
            })
            .count()
            % 2
            == 1
    }

    /// How far a point is from the border.
    fn distance(&self, p: Point) -> f32 {
        edges(&self.corners)
            .map(|(a, b)| {
                let (dx, dy) = (b.x - a.x, b.y - a.y);
                let square = (dx * dx + dy * dy).max(f32::MIN_POSITIVE);
                let part = (((p.x - a.x) * dx + (p.y - a.y) * dy) / square).clamp(0.0, 1.0);
                (p.x - a.x - part * dx).hypot(p.y - a.y - part * dy)
            })
            .fold(f32::INFINITY, f32::min)
    }
}

fn edges(corners: &[Point]) -> impl Iterator<Item = (Point, Point)> {
    corners.iter().zip(corners.iter().cycle().skip(1)).map(|(a, b)| (*a, *b))
}

/// A zone and who is in it.
#[derive(Debug)]
pub(crate) struct ZoneWatch {
    pub(crate) zone: Zone,
    /// Whether each track is inside.
    inside: BTreeMap<u64, bool>,
}

impl ZoneWatch {
    pub(crate) fn new(zone: Zone) -> Self {
        Self { zone, inside: BTreeMap::new() }
    }

    /// Forgets who is no longer followed.
    pub(crate) fn forget(&mut self, keep: impl Fn(u64) -> bool) {
        self.inside.retain(|id, _| keep(*id));
    }

    /// Takes where a believed track is.
    pub(crate) fn step(&mut self, track: u64, rect: &Rect) {
        let place = self.zone.anchor.of(rect);
        let is_in = self.zone.contains(place);
        let was = self.inside.entry(track).or_insert(is_in);
        if *was != is_in && self.zone.distance(place) > BAND * rect.w.min(rect.h) {
            *was = is_in;
        }
    }

    /// How many are inside.
    pub(crate) fn occupancy(&self) -> usize {
        self.inside.values().filter(|inside| **inside).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square() -> Zone {
        let corners = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)];
        Zone::new("hall", corners.map(|(x, y)| Point::new(x, y)).to_vec()).unwrap()
    }

    #[test]
    fn who_stands_on_the_border_does_not_come_and_go() {
        let mut watch = ZoneWatch::new(square());
        let at = |x: f32| Rect::new(x - 0.05, 0.2, 0.1, 0.3);
        watch.step(1, &at(0.5));
        assert_eq!(watch.occupancy(), 1);
        for n in 0..50 {
            watch.step(1, &at(if n % 2 == 0 { 0.805 } else { 0.795 }));
            assert_eq!(watch.occupancy(), 1);
        }
        watch.step(1, &at(0.9));
        assert_eq!(watch.occupancy(), 0);
    }

    #[test]
    fn who_is_no_longer_followed_is_no_longer_inside() {
        let mut watch = ZoneWatch::new(square());
        watch.step(1, &Rect::new(0.4, 0.4, 0.1, 0.2));
        watch.step(2, &Rect::new(0.6, 0.4, 0.1, 0.2));
        watch.forget(|id| id == 2);
        assert_eq!(watch.occupancy(), 1);
    }

    #[test]
    fn a_zone_without_area_is_refused() {
        let line = [(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)].map(|(x, y)| Point::new(x, y)).to_vec();
        assert!(Zone::new("line", line).is_err());
        assert!(Zone::new("two", vec![Point::default(); 2]).is_err());
        assert!(
            Zone::new("far", vec![Point::new(2.0, 0.0), Point::default(), Point::new(0.0, 1.0)]).is_err()
        );
    }
}
