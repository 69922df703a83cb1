//! Heads that are drawn, for tests.

use crate::{Frame, Rect};

/// Which way somebody looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Head {
    Front,
    Side,
    Back,
}

/// A picture to draw on.
pub(super) struct Picture {
    pixels: Vec<u8>,
    /// Where in the picture a pixel is, in steps of four pixels, so that parts know where they come from.
    colours: [Vec<u8>; 2],
    width: usize,
    height: usize,
}

impl Picture {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let pixels = (0..width * height).map(|n| 150 + ((n % width) / 7 % 3 * 3) as u8).collect();
        let half = width.div_ceil(2);
        let places = || (0..half * height.div_ceil(2)).map(|n| (n % half, n / half));
        let colours =
            [places().map(|(x, _)| (x / 2) as u8).collect(), places().map(|(_, y)| (y / 2) as u8).collect()];
        Self { pixels, colours, width, height }
    }

    /// A head of so many pixels in height around (x, y), which are parts of the picture, and the box of its face.
    pub(super) fn head(&mut self, head: Head, x: f32, y: f32, high: f32) -> Rect {
        let wide = 0.75 * high;
        let (left, top) = (x * self.width as f32 - wide / 2.0, y * self.height as f32 - high / 2.0);
        for row in 0..self.height {
            for column in 0..self.width {
                let (u, v) = ((column as f32 + 0.5 - left) / wide, (row as f32 + 0.5 - top) / high);
                if (0.0..1.0).contains(&u) && (0.0..1.0).contains(&v) {
                    self.pixels[row * self.width + column] = tone(head, u, v);
                }
            }
        }
        Rect::new(
            left / self.width as f32,
            top / self.height as f32,
            wide / self.width as f32,
            high / self.height as f32,
        )
    }

    /// Takes the mean of so many pixels to the left and to the right.
    pub(super) fn blur(&mut self, by: usize) {
        for row in self.pixels.chunks_exact_mut(self.width) {
            let sharp = row.to_vec();
            for (x, pixel) in row.iter_mut().enumerate() {
                let near = &sharp[x.saturating_sub(by)..(x + by + 1).min(sharp.len())];
                *pixel = (near.iter().map(|v| usize::from(*v)).sum::<usize>() / near.len()) as u8;
            }
        }
    }

    /// Where a part of such a picture begins, to four pixels; pictures are up to 1024 pixels wide.
    pub(super) fn origin(part: &Frame<'_>) -> (usize, usize) {
        let [_, x, y] = part.yuv(0, 0);
        (usize::from(x) * 4, usize::from(y) * 4)
    }

    pub(super) fn frame(&self) -> Frame<'_> {
        let half = self.width.div_ceil(2);
        let planes = [&self.pixels[..], &self.colours[0], &self.colours[1]];
        Frame::i420(planes, self.width, self.height, [self.width, half]).unwrap()
    }
}

/// How bright a head is at a place of its face's box.
fn tone(head: Head, u: f32, v: f32) -> u8 {
    let is_in = |x0: f32, x1: f32, y0: f32, y1: f32| (x0..x1).contains(&u) && (y0..y1).contains(&v);
    match head {
        Head::Front => {
            let is_hair = v < 0.12 || (v < 0.5 && !(0.1..0.9).contains(&u));
            let is_eye = is_in(0.15, 0.4, 0.3, 0.42) || is_in(0.6, 0.85, 0.3, 0.42);
            match () {
                () if is_hair => 50,
                () if is_eye => 60,
                () if is_in(0.42, 0.58, 0.35, 0.62) => 210,
                () if is_in(0.3, 0.7, 0.74, 0.82) => 90,
                () => 180,
            }
        }
        Head::Side => match () {
            () if u < 0.55 && v < 0.75 => 50,
            () if is_in(0.62, 0.75, 0.35, 0.42) => 80,
            () if u < 0.85 => 180,
            () => 150,
        },
        Head::Back => {
            if v < 0.7 {
                50
            } else {
                180
            }
        }
    }
}
