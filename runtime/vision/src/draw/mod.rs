//! What was seen, drawn into the picture.
//!
//! Everything is clipped and nothing is refused: what cannot be drawn (boxes that are no numbers, pictures of one pixel) is
//! left out. Sizes of strokes and letters follow the picture's, so that it reads alike at 320x240 and at 1920x1080.

mod canvas;

pub use canvas::Canvas;

use crate::{Line, Rect, Zone};

/// A counting line and its counts.
#[derive(Debug, Clone, PartialEq)]
pub struct LineMark {
    /// The line.
    pub line: Line,
    /// How many went `in`.
    pub count_in: u64,
    /// How many went `out`.
    pub count_out: u64,
}

/// A zone and who is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneMark {
    /// The zone.
    pub zone: Zone,
    /// How many are in it.
    pub people: usize,
}

/// Somebody who is followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PersonMark {
    /// The number of the track.
    pub id: u64,
    /// Where, in parts of the picture.
    pub rect: Rect,
    /// Whether this is only where he should be: drawn dashed and dimmer.
    pub hidden: bool,
}

/// What is drawn into a picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overlay {
    /// Counting lines, with an arrow to the side to which one goes `in`.
    pub lines: Vec<LineMark>,
    /// Zones, as outlines.
    pub zones: Vec<ZoneMark>,
    /// People, as boxes with their numbers.
    pub people: Vec<PersonMark>,
    /// Faces, as thin boxes, in parts of the picture.
    pub faces: Vec<Rect>,
    /// Lines of text, for the upper left corner.
    pub text: Vec<String>,
}

/// Draws all of an overlay.
pub fn annotate(canvas: &mut Canvas<'_>, overlay: &Overlay) {
    let _ = (canvas, overlay);
}
