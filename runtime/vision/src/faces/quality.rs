//! How good a picture of a face is.
//!
//! Detectors of faces are sure of profiles, and of the backs of some heads. What they cannot tell is measured here on the
//! luminance, relative to its own contrast: whether left mirrors right, and whether there are features between forehead
//! and mouth.

use crate::{Detection, Frame, Rect};

/// Pixels across and down to which a face is scaled to tell whether it is frontal.
const COARSE: usize = 24;
/// The same for sharpness.
const FINE: usize = 48;
/// A face of this height, in pixels, is half as good as one of infinite height.
const HALF_SIZE: f32 = 40.0;
/// The sharpness that is half as good as infinite sharpness.
const HALF_SHARP: f32 = 0.1;
/// What a face is worth that an edge of the picture cuts off.
const CUT: f32 = 0.5;
/// So near to an edge of the picture is cut off, as a part of the picture.
const EDGE: f32 = 0.004;
/// Light that changes by less than so many levels is noise.
const NOISE: f32 = 4.0;

/// What is to be known of a face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quality {
    /// How good it is in all, 0 to 1.
    pub(super) score: f32,
    /// Whether it looks this way, 0 to 1.
    pub(super) frontal: f32,
    /// Its height in pixels.
    pub(super) pixels: f32,
}

/// The quality of a face in this frame.
pub(super) fn measure(frame: &Frame<'_>, face: &Detection) -> Quality {
    let rect = face.rect.clipped();
    let pixels = rect.h * frame.height() as f32;
    let frontal = {
        let patch = Patch::of(frame, &rect, COARSE);
        ramp(patch.mirror(), -0.1, 0.4) * ramp(patch.features(), 0.1, 0.4)
    };
    let sharp = Patch::of(frame, &rect, FINE).sharpness();
    let size = pixels / (pixels + HALF_SIZE);
    let product = size * size * sharp / (sharp + HALF_SHARP) * frontal * face.score.clamp(0.0, 1.0);
    let inner = Rect::new(EDGE, EDGE, 1.0 - 2.0 * EDGE, 1.0 - 2.0 * EDGE);
    let is_cut = face.rect.inside(&inner) < 0.999;
    Quality { score: product.powf(0.2) * if is_cut { CUT } else { 1.0 }, frontal, pixels }
}

fn ramp(value: f32, from: f32, to: f32) -> f32 {
    ((value - from) / (to - from)).clamp(0.0, 1.0)
}

/// The luminance of a face, scaled to a square.
struct Patch {
    side: usize,
    values: Vec<f32>,
}

impl Patch {
    fn of(frame: &Frame<'_>, rect: &Rect, side: usize) -> Self {
        /// Places that are looked at across and down for one value.
        const PLACES: usize = 3;
        let (width, height) = (frame.width() as f32, frame.height() as f32);
        let count = side * PLACES;
        let places = |from: f32, long: f32, pixels: f32| {
            (0..count).map(move |n| {
                let at = (from + long * (n as f32 + 0.5) / count as f32) * pixels - 0.5;
                let at = at.clamp(0.0, pixels - 1.0);
                (at as usize, at.fract())
            })
        };
        let across: Vec<(usize, f32)> = places(rect.x, rect.w, width).collect();
        let mut values = vec![0.0; side * side];
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for (row, (y, part)) in places(rect.y, rect.h, height).enumerate() {
            let upper = frame.luma_row(y, &mut one);
            let lower = frame.luma_row((y + 1).min(frame.height() - 1), &mut other);
            for (column, (x, beside)) in across.iter().enumerate() {
                let next = (x + 1).min(frame.width() - 1);
                let between = |row: &[u8]| {
                    let (a, b) = (f32::from(row[*x]), f32::from(row[next]));
                    a + beside * (b - a)
                };
                let (above, below) = (between(upper), between(lower));
                values[row / PLACES * side + column / PLACES] += above + part * (below - above);
            }
        }
        for value in &mut values {
            *value /= (PLACES * PLACES) as f32;
        }
        Self { side, values }
    }

    /// How well the left mirrors the right, -1 to 1, once the mean of each row is taken off: else hair above a face would
    /// do. The axis may be off the middle, because boxes are not exact.
    fn mirror(&self) -> f32 {
        let side = self.side;
        let mut flat = self.values.clone();
        for row in flat.chunks_exact_mut(side) {
            let mean = row.iter().sum::<f32>() / side as f32;
            row.iter_mut().for_each(|v| *v -= mean);
        }
        let middle = side - 1;
        (middle - side / 4..=middle + side / 4)
            .map(|twice| {
                let pairs = || {
                    flat.chunks_exact(side).skip(side / 8).flat_map(move |row| {
                        (0..side).filter_map(move |x| {
                            let other = twice.checked_sub(x)?;
                            (other > x && other < side).then(|| (row[x], row[other]))
                        })
                    })
                };
                correlation(pairs)
            })
            .fold(-1.0, f32::max)
    }

    /// How often light and dark take turns from the forehead to the mouth (brows, eyes, nose): 0 where it only goes one
    /// way, as from hair to neck on the back of a head.
    fn features(&self) -> f32 {
        let side = self.side;
        let middle: Vec<f32> = self
            .values
            .chunks_exact(side)
            .map(|row| row[side / 4..side * 3 / 4].iter().sum::<f32>() / (side / 2) as f32)
            .collect();
        let range = middle.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b))
            - middle.iter().fold(f32::INFINITY, |a, b| a.min(*b));
        let face = &middle[side / 8..side * 11 / 16];
        let way: f32 = face.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum();
        let ends = face.last().zip(face.first()).map_or(0.0, |(a, b)| (a - b).abs());
        (way - ends) / range.max(NOISE)
    }

    /// The variance of the Laplacian by that of the luminance.
    fn sharpness(&self) -> f32 {
        let (side, v) = (self.side, &self.values);
        let edges: Vec<f32> = (1..side - 1)
            .flat_map(|y| (1..side - 1).map(move |x| y * side + x))
            .map(|n| 4.0 * v[n] - v[n - 1] - v[n + 1] - v[n - side] - v[n + side])
            .collect();
        variance(&edges) / variance(v).max(NOISE)
    }
}

fn variance(values: &[f32]) -> f32 {
    let count = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / count;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count
}

/// How pairs go together, -1 to 1.
fn correlation<I: Iterator<Item = (f32, f32)>>(pairs: impl Fn() -> I) -> f32 {
    let (mut count, mut a, mut b) = (0.0f32, 0.0, 0.0);
    for (x, y) in pairs() {
        count += 1.0;
        a += x;
        b += y;
    }
    (a, b) = (a / count.max(1.0), b / count.max(1.0));
    let (mut both, mut left, mut right) = (0.0, 0.0, 0.0);
    for (x, y) in pairs() {
        both += (x - a) * (y - b);
        left += (x - a).powi(2);
        right += (y - b).powi(2);
    }
    // A plain surface mirrors itself perfectly, and says nothing.
    both / (left * right).sqrt().max(count.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::super::drawing::{Head, Picture};
    use super::*;
    use crate::Class;

    fn quality(head: Head, height: f32, blur: usize) -> Quality {
        let mut picture = Picture::new(320, 240);
        let rect = picture.head(head, 0.5, 0.5, height);
        picture.blur(blur);
        measure(&picture.frame(), &Detection { rect, score: 0.9, class: Class::Face })
    }

    #[test]
    fn a_face_is_frontal_and_a_profile_and_the_back_of_a_head_are_not() {
        for height in [24.0, 40.0, 120.0] {
            let frontal = |head| quality(head, height, 0).frontal;
            assert!(frontal(Head::Front) > 0.4, "{height}: {}", frontal(Head::Front));
            assert!(frontal(Head::Side) < 0.25, "{height}: {}", frontal(Head::Side));
            assert!(frontal(Head::Back) < 0.1, "{height}: {}", frontal(Head::Back));
        }
    }

    #[test]
    fn larger_is_better_and_sharper_is_better_and_a_whole_face_is_better_than_one_cut_off() {
        let good = quality(Head::Front, 60.0, 0);
        assert!(quality(Head::Front, 30.0, 0).score < good.score);
        let blurred = quality(Head::Front, 60.0, 4);
        assert!(blurred.score < good.score, "{blurred:?} {good:?}");
        let mut picture = Picture::new(320, 240);
        let rect = picture.head(Head::Front, 0.5, 0.08, 60.0);
        let cut = measure(&picture.frame(), &Detection { rect, score: 0.9, class: Class::Face });
        assert!(cut.score < 0.6 * good.score, "{cut:?} {good:?}");
    }

    #[test]
    fn a_box_of_any_size_in_any_picture_is_measured_without_harm() {
        let pixels = [9; 6];
        for (width, height) in [(1, 1), (2, 3), (6, 1)] {
            let frame = Frame::grey(&pixels, width, height, width).unwrap();
            for rect in [Rect::new(0.0, 0.0, 1.0, 1.0), Rect::new(-1.0, 2.0, 9.0, 1e-9), Rect::default()] {
                let quality = measure(&frame, &Detection { rect, score: 2.0, class: Class::Face });
                assert!((0.0..=1.0).contains(&quality.score) && quality.frontal == 0.0, "{quality:?}");
            }
        }
    }
}
