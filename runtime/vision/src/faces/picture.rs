//! A picture of its own.

use crate::Frame;

/// An I420 picture without padding, of even width and height.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedI420 {
    data: Vec<u8>,
    width: usize,
    height: usize,
}

impl OwnedI420 {
    /// A part of a frame, made smaller by a whole number until no side is longer than `largest`. `None` when less than two
    /// pixels would be left across or down.
    pub(super) fn of(part: &Frame<'_>, largest: usize) -> Option<Self> {
        let longest = part.width().max(part.height());
        let by = longest.div_ceil(largest.max(2)).max(1);
        let even = |side: usize| (side / by) & !1;
        let (width, height) = (even(part.width()), even(part.height()));
        if width == 0 || height == 0 {
            return None;
        }
        let mean = |x: usize, y: usize, step: usize, plane: usize| {
            let places = (0..by).flat_map(|down| (0..by).map(move |across| (across * step, down * step)));
            let sum: usize = places.map(|(dx, dy)| usize::from(part.yuv(x + dx, y + dy)[plane])).sum();
            ((sum + by * by / 2) / (by * by)) as u8
        };
        let mut data = Vec::with_capacity(width * height * 3 / 2);
        for y in 0..height {
            data.extend((0..width).map(|x| mean(x * by, y * by, 1, 0)));
        }
        for plane in 1..3 {
            for y in 0..height / 2 {
                // One colour for two pixels each way: every second pixel has it.
                data.extend((0..width / 2).map(|x| mean(2 * x * by, 2 * y * by, 2, plane)));
            }
        }
        Some(Self { data, width, height })
    }

    /// Pixels across.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Luminance and the two planes of colour, each of half the size.
    #[must_use]
    pub fn planes(&self) -> [&[u8]; 3] {
        let (luma, chroma) = self.data.split_at(self.width * self.height);
        let (u, v) = chroma.split_at(chroma.len() / 2);
        [luma, u, v]
    }

    /// Bytes from row to row, of luminance and of the colours.
    #[must_use]
    pub fn strides(&self) -> [usize; 2] {
        [self.width, self.width / 2]
    }
}

impl std::fmt::Debug for OwnedI420 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnedI420({}x{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_made_smaller_with_its_colours() {
        let luma: Vec<u8> = (0..9 * 6).map(|n| if n % 9 < 4 { 40 } else { 200 }).collect();
        let (u, v) = (vec![90; 15], vec![160; 15]);
        let frame = Frame::i420([&luma, &u, &v], 9, 6, [9, 5]).unwrap();
        let whole = OwnedI420::of(&frame, 100).unwrap();
        assert_eq!((whole.width(), whole.height(), whole.strides()), (8, 6, [8, 4]));
        let half = OwnedI420::of(&frame, 5).unwrap();
        assert_eq!((half.width(), half.height()), (4, 2));
        assert_eq!(half.planes(), [&[40, 40, 200, 200, 40, 40, 200, 200][..], &[90, 90], &[160, 160]]);
        assert!(OwnedI420::of(&frame.part(0, 0, 1, 6).unwrap(), 100).is_none());
    }
}
