//! From a frame to the numbers that a model wants.

use crate::{Frame, Rect};

/// What a family wants to see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    /// Blue before green before red.
    pub(super) is_bgr: bool,
    /// A value is `(level - mean) × scale`.
    pub(super) mean: f32,
    pub(super) scale: f32,
    /// Whether the picture keeps its shape, with grey beside it, and then whether it lies in the middle; else it is
    /// stretched.
    pub(super) keeps_aspect: Option<bool>,
}

/// Where in the model's input the picture lies, as parts of the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit(Rect);

impl Fit {
    /// From a box in the model's input (0 to 1) to one in the picture.
    pub(super) fn to_picture(self, rect: &Rect) -> Rect {
        let Self(fit) = self;
        Rect::new((rect.x - fit.x) / fit.w, (rect.y - fit.y) / fit.h, rect.w / fit.w, rect.h / fit.h)
    }
}

/// The grey beside a picture that keeps its shape.
const BESIDE: f32 = 114.0;

/// The input of a model: three planes, one after another.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) values: Vec<f32>,
    width: usize,
    height: usize,
    row: Vec<[f32; 3]>,
}

/// A place between two pixels: the two, and how near it is to the second.
type Between = (usize, usize, f32);

/// Where the pixels of a side of `to` pixels are on a side of `from` pixels.
fn places(from: usize, to: usize) -> Vec<Between> {
    let scale = from as f32 / to as f32;
    (0..to)
        .map(|n| {
            let at = ((n as f32 + 0.5) * scale - 0.5).clamp(0.0, (from - 1) as f32);
            let low = at as usize;
            (low, (low + 1).min(from - 1), at - low as f32)
        })
        .collect()
}

impl Prepared {
    pub(super) fn new((width, height): (usize, usize)) -> Self {
        Self { values: vec![0.0; 3 * width * height], width, height, row: Vec::new() }
    }

    /// Puts the frame into the values, scaled bilinearly.
    pub(super) fn take(&mut self, frame: &Frame<'_>, input: Input) -> Fit {
        let (mut width, mut height) = (self.width, self.height);
        if input.keeps_aspect.is_some() {
            let (w, h) = (frame.width() as f32, frame.height() as f32);
            let scale = (width as f32 / w).min(height as f32 / h);
            width = ((w * scale).round() as usize).clamp(1, width);
            height = ((h * scale).round() as usize).clamp(1, height);
            self.values.fill((BESIDE - input.mean) * input.scale);
        }
        let is_centred = input.keeps_aspect == Some(true);
        let (left, top) =
            if is_centred { ((self.width - width) / 2, (self.height - height) / 2) } else { (0, 0) };
        let (columns, plane) = (places(frame.width(), width), self.width * self.height);
        // The two source rows between which a row lies, scaled across; most are used more than once.
        let mut near: [(usize, Vec<[f32; 3]>); 2] = [(usize::MAX, Vec::new()), (usize::MAX, Vec::new())];
        for (y, (upper, lower, part)) in places(frame.height(), height).into_iter().enumerate() {
            if near[1].0 == upper {
                near.swap(0, 1);
            }
            for (slot, wanted) in [(0, upper), (1, lower)] {
                if near[slot].0 != wanted {
                    frame.colour_row(wanted, &mut self.row);
                    near[slot].0 = wanted;
                    near[slot].1.clear();
                    near[slot].1.extend(columns.iter().map(|(a, b, part)| {
                        let (a, b) = (self.row[*a], self.row[*b]);
                        [0, 1, 2].map(|c| a[c] + part * (b[c] - a[c]))
                    }));
                }
            }
            let start = (top + y) * self.width + left;
            for (x, (a, b)) in near[0].1.iter().zip(&near[1].1).enumerate() {
                for c in 0..3 {
                    let level = a[c] + part * (b[c] - a[c]);
                    let plane = plane * if input.is_bgr { 2 - c } else { c };
                    self.values[plane + start + x] = (level - input.mean) * input.scale;
                }
            }
        }
        let (w, h) = (self.width as f32, self.height as f32);
        Fit(Rect::new(left as f32 / w, top as f32 / h, width as f32 / w, height as f32 / h))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_picture_lies_in_the_middle_and_boxes_find_their_way_back() {
        let rgb: Vec<u8> = (0..64 * 32).flat_map(|_| [200, 100, 50]).collect();
        let frame = Frame::rgb(&rgb, 64, 32, 192).unwrap();
        let mut prepared = Prepared::new((64, 64));
        let keep = Input { is_bgr: true, mean: 0.0, scale: 1.0, keeps_aspect: Some(true) };
        let fit = prepared.take(&frame, keep);
        let at = |c: usize, y: usize| prepared.values[c * 64 * 64 + y * 64 + 5];
        assert_eq!(
            (at(0, 0), at(0, 32), at(1, 32), at(2, 32), at(2, 63)),
            (114.0, 50.0, 100.0, 200.0, 114.0)
        );
        let back = fit.to_picture(&Rect::new(0.5, 0.25, 0.25, 0.5));
        assert_eq!(back, Rect::new(0.5, 0.0, 0.25, 1.0));
    }

    #[test]
    fn stretching_fills_everything() {
        let grey: Vec<u8> = (0..40 * 20).map(|n| (n % 40 * 6) as u8).collect();
        let frame = Frame::grey(&grey, 40, 20, 40).unwrap();
        let mut prepared = Prepared::new((80, 60));
        let stretch = Input { is_bgr: false, mean: 127.0, scale: 1.0 / 128.0, keeps_aspect: None };
        prepared.take(&frame, stretch);
        let row = &prepared.values[..80];
        assert!(row.windows(2).all(|w| w[0] <= w[1]) && (row[0] + 0.992).abs() < 0.01, "{row:?}");
    }
}
