//! What was seen, drawn into the picture.
//!
//! Everything is clipped and nothing is refused: what cannot be drawn (boxes that are no numbers, pictures of one pixel) is
//! left out. Sizes of strokes and letters follow the picture's, so that it reads alike at 320x240 and at 1920x1080. Letters
//! that ISO 8859-1 does not have are question marks.

mod canvas;
mod pen;

pub use canvas::Canvas;

use crate::{Line, Point, Rect, Zone};
use canvas::Yuv;
use pen::{Box, Pen, even};

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

const LINE: Yuv = Yuv(190, 40, 150);
const ZONE: Yuv = Yuv(130, 190, 90);
const PERSON: Yuv = Yuv(170, 60, 60);
const HIDDEN: Yuv = Yuv(100, 95, 95);
const FACE: Yuv = Yuv(215, 120, 150);
const GROUND: Yuv = Yuv(32, 128, 128);

/// Draws all of an overlay: zones, people, faces, lines, text; what is later lies above.
pub fn annotate(canvas: &mut Canvas<'_>, overlay: &Overlay) {
    let mut pen = Pen::new(canvas);
    for mark in &overlay.zones {
        zone(&mut pen, mark);
    }
    for mark in &overlay.people {
        person(&mut pen, mark);
    }
    for face in &overlay.faces {
        if let Some(place) = pixels(&pen, face) {
            let thick = pen.stroke / 2;
            pen.outline(place, thick, None, FACE);
        }
    }
    for mark in &overlay.lines {
        line(&mut pen, mark);
    }
    for (n, text) in overlay.text.iter().enumerate() {
        let y = pen.line().saturating_mul(i32::try_from(n).unwrap_or(i32::MAX));
        if y >= pen.height {
            break;
        }
        pen.label(text, 0, y, GROUND);
    }
}

/// The pixels of a box, even numbers; `None` for what cannot be drawn.
fn pixels(pen: &Pen<'_, '_>, rect: &Rect) -> Option<Box> {
    if !rect.is_sound() {
        return None;
    }
    // Far enough outside not to be seen, and near enough to count with.
    let place = |part: f32, side: i32| even((part.clamp(-2.0, 3.0) * side as f32).round() as i32);
    let across = |part: f32| place(part, pen.width);
    let down = |part: f32| place(part, pen.height);
    let place = [across(rect.x), down(rect.y), across(rect.right()), down(rect.bottom())];
    (place[2] > place[0] && place[3] > place[1]).then_some(place)
}

fn place(pen: &Pen<'_, '_>, point: Point) -> (f32, f32) {
    (point.x * pen.width as f32, point.y * pen.height as f32)
}

fn person(pen: &mut Pen<'_, '_>, mark: &PersonMark) {
    let Some(place) = pixels(pen, &mark.rect) else { return };
    let (ink, dash) = if mark.hidden { (HIDDEN, Some(4 * pen.stroke)) } else { (PERSON, None) };
    let [left, top, right, bottom] = place;
    let is_seen = right > 0 && bottom > 0 && left < pen.width && top < pen.height;
    if is_seen {
        pen.outline(place, pen.stroke, dash, ink);
        let above = top - pen.line();
        // Above the box, or inside where there is no room above.
        pen.label(&mark.id.to_string(), left, if above < 0 { top } else { above }, ink);
    }
}

fn zone(pen: &mut Pen<'_, '_>, mark: &ZoneMark) {
    let corners: Vec<(f32, f32)> = mark.zone.corners().iter().map(|corner| place(pen, *corner)).collect();
    for (from, to) in corners.iter().zip(corners.iter().cycle().skip(1)) {
        pen.stroke(*from, *to, ZONE);
    }
    if let Some((x, y)) = corners.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)) {
        let text = format!("{}: {}", mark.zone.name(), mark.people);
        pen.label(&text, x as i32 + pen.stroke, y as i32 + pen.stroke, ZONE);
    }
}

fn line(pen: &mut Pen<'_, '_>, mark: &LineMark) {
    let [from, to] = mark.line.ends().map(|end| place(pen, end));
    pen.stroke(from, to, LINE);
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(f32::MIN_POSITIVE);
    // To the left hand of who looks along the line, y being downwards: see `Direction`.
    let (nx, ny) = (dy / length, -dx / length);
    let middle = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
    let long = 9.0 * pen.stroke as f32;
    let tip = (middle.0 + nx * long, middle.1 + ny * long);
    let (neck, wing) = (0.5 * long, 0.35 * long);
    let neck = (middle.0 + nx * neck, middle.1 + ny * neck);
    pen.stroke(middle, neck, LINE);
    let head = [tip, (neck.0 - ny * wing, neck.1 + nx * wing), (neck.0 + ny * wing, neck.1 - nx * wing)];
    pen.canvas.fill_convex(&head, LINE);
    let text = format!("{} in {} out {}", mark.line.name(), mark.count_in, mark.count_out);
    let (w, h) = pen.size(&text);
    // Beside the line on the side of the `out`, or where there is no room beyond the arrow.
    let beside = |away: f32, side: f32| {
        let reach = away + (nx.abs() * w as f32 + ny.abs() * h as f32) / 2.0;
        let centre = (middle.0 + side * nx * reach, middle.1 + side * ny * reach);
        ((centre.0 as i32).saturating_sub(w / 2), (centre.1 as i32).saturating_sub(h / 2))
    };
    let fits = |(x, y): (i32, i32)| x >= 0 && y >= 0 && x + w <= pen.width && y + h <= pen.height;
    let out = beside(2.0 * pen.stroke as f32, -1.0);
    let beyond = beside(long + pen.stroke as f32, 1.0);
    let (x, y) = if fits(out) || !fits(beyond) { out } else { beyond };
    pen.label(&text, x, y, LINE);
}
