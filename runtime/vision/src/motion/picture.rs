//! The small, smoothed grey picture that motion is looked for in.

use crate::Frame;

/// The widest picture that is worked on; larger ones are shrunk by a whole factor.
const WIDEST: usize = 400;

/// Shrinks and smooths frames.
#[derive(Debug, Default)]
pub(super) struct Shrinker {
    pub(super) pixels: Vec<u8>,
    pub(super) width: usize,
    pub(super) height: usize,
    sums: Vec<u16>,
    rows: Vec<u16>,
    scratch: Vec<u8>,
}

impl Shrinker {
    /// Takes a frame; true when its size is another than that of the one before.
    pub(super) fn take(&mut self, frame: &Frame<'_>) -> bool {
        let factor = frame.width().div_ceil(WIDEST).max(1);
        let (width, height) = ((frame.width() / factor).max(1), (frame.height() / factor).max(1));
        let is_new = (width, height) != (self.width, self.height);
        (self.width, self.height) = (width, height);
        self.pixels.resize(width * height, 0);
        let factor = factor.min(frame.height());
        let scale = 65536 / (factor * factor) as u32;
        for y in 0..height {
            let target = &mut self.pixels[y * width..(y + 1) * width];
            if factor == 1 {
                target.copy_from_slice(&frame.luma_row(y, &mut self.scratch)[..width]);
                continue;
            }
            self.sums.clear();
            self.sums.resize(width, 0);
            for row in y * factor..(y + 1) * factor {
                let source = frame.luma_row(row, &mut self.scratch);
                for (sum, pixels) in self.sums.iter_mut().zip(source.chunks_exact(factor)) {
                    *sum += pixels.iter().map(|p| u16::from(*p)).sum::<u16>();
                }
            }
            for (pixel, sum) in target.iter_mut().zip(&self.sums) {
                *pixel = ((u32::from(*sum) * scale + 32768) >> 16).min(255) as u8;
            }
        }
        self.smooth();
        is_new
    }

    /// A 3x3 binomial filter: it takes two thirds of the noise.
    fn smooth(&mut self) {
        let (width, height) = (self.width, self.height);
        if width < 3 || height < 3 {
            return;
        }
        // Three rows of horizontal sums, of which the middle one is the row to be written.
        self.rows.resize(3 * width, 0);
        let blur = |source: &[u8], target: &mut [u16]| {
            let at = |x: usize| u16::from(source[x]);
            target[0] = 3 * at(0) + at(1);
            for (sum, near) in target[1..width - 1].iter_mut().zip(source.windows(3)) {
                *sum = u16::from(near[0]) + 2 * u16::from(near[1]) + u16::from(near[2]);
            }
            target[width - 1] = at(width - 2) + 3 * at(width - 1);
        };
        let (first, rest) = self.rows.split_at_mut(width);
        let (second, third) = rest.split_at_mut(width);
        let mut rows = [first, second, third];
        // Beyond the edges the picture goes on as it is there.
        blur(&self.pixels[..width], rows[0]);
        blur(&self.pixels[..width], rows[1]);
        for y in 0..height {
            let below = (y + 1).min(height - 1);
            blur(&self.pixels[below * width..][..width], rows[2]);
            let target = &mut self.pixels[y * width..(y + 1) * width];
            for (((pixel, a), b), c) in target.iter_mut().zip(&*rows[0]).zip(&*rows[1]).zip(&*rows[2]) {
                *pixel = ((a + 2 * b + c + 8) >> 4) as u8;
            }
            rows.rotate_left(1);
        }
    }
}
