//! Points and boxes in normalised picture coordinates: (0, 0) is the upper left corner, (1, 1) the lower right one.

use serde::{Deserialize, Serialize};

/// A place in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Point {
    /// 0 is the left edge, 1 the right one.
    pub x: f32,
    /// 0 is the upper edge, 1 the lower one.
    pub y: f32,
}

impl Point {
    /// The point at these coordinates.
    #[must_use]
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }
}

/// A box with its sides along the picture's.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Rect {
    /// The left side.
    pub x: f32,
    /// The upper side.
    pub y: f32,
    /// The width.
    pub w: f32,
    /// The height.
    pub h: f32,
}

impl Rect {
    /// From the upper left corner and the size.
    #[must_use]
    pub const fn new(x: f32, y: f32, w: f32, h: f32) -> Self {
        Self { x, y, w, h }
    }

    /// From the centre and the size.
    #[must_use]
    pub fn around(centre: Point, w: f32, h: f32) -> Self {
        Self { x: centre.x - w / 2.0, y: centre.y - h / 2.0, w, h }
    }

    /// From the upper left and the lower right corner; a box that is turned inside out is empty.
    #[must_use]
    pub fn between(x0: f32, y0: f32, x1: f32, y1: f32) -> Self {
        Self { x: x0, y: y0, w: (x1 - x0).max(0.0), h: (y1 - y0).max(0.0) }
    }

    /// The right side.
    #[must_use]
    pub fn right(&self) -> f32 {
        self.x + self.w
    }

    /// The lower side.
    #[must_use]
    pub fn bottom(&self) -> f32 {
        self.y + self.h
    }

    /// The middle.
    #[must_use]
    pub fn centre(&self) -> Point {
        Point { x: self.x + self.w / 2.0, y: self.y + self.h / 2.0 }
    }

    /// Width by height.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.w * self.h
    }

    /// What both cover.
    #[must_use]
    pub fn common(&self, other: &Self) -> f32 {
        let w = self.right().min(other.right()) - self.x.max(other.x);
        let h = self.bottom().min(other.bottom()) - self.y.max(other.y);
        w.max(0.0) * h.max(0.0)
    }

    /// Intersection over union, 0 to 1.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f32 {
        let common = self.common(other);
        let union = self.area() + other.area() - common;
        if union > 0.0 { common / union } else { 0.0 }
    }

    /// Which part of this box lies inside the other, 0 to 1.
    #[must_use]
    pub fn inside(&self, other: &Self) -> f32 {
        let area = self.area();
        if area > 0.0 { self.common(other) / area } else { 0.0 }
    }

    /// The smallest box around both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::between(
            self.x.min(other.x),
            self.y.min(other.y),
            self.right().max(other.right()),
            self.bottom().max(other.bottom()),
        )
    }

    /// Grown by a part of its size on every side.
    #[must_use]
    pub fn grown(&self, part: f32) -> Self {
        let (dx, dy) = (self.w * part, self.h * part);
        Self { x: self.x - dx, y: self.y - dy, w: self.w + 2.0 * dx, h: self.h + 2.0 * dy }
    }

    /// What of it is in the picture.
    #[must_use]
    pub fn clipped(&self) -> Self {
        let clip = |v: f32| v.clamp(0.0, 1.0);
        Self::between(clip(self.x), clip(self.y), clip(self.right()), clip(self.bottom()))
    }

    /// Whether no edge of the picture cuts it off.
    pub(crate) fn is_whole(&self) -> bool {
        const MARGIN: f32 = 0.01;
        self.x > MARGIN && self.y > MARGIN && self.right() < 1.0 - MARGIN && self.bottom() < 1.0 - MARGIN
    }

    /// Whether every number is one, and the size is not negative.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        [self.x, self.y, self.w, self.h].iter().all(|v| v.is_finite()) && self.w >= 0.0 && self.h >= 0.0
    }
}
