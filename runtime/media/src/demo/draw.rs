//! Filling shapes in an I420 picture: by rows, clipped, without anti-aliasing. What the demo needs and no more.

/// A colour in YUV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colour {
    pub(crate) y: u8,
    pub(crate) u: u8,
    pub(crate) v: u8,
}

/// Where the planes of an I420 picture are in its bytes. The same layout as GStreamer's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Bytes from row to row of Y, and of U and V.
    pub(crate) stride: [usize; 2],
    /// Where the planes begin.
    pub(crate) offset: [usize; 3],
    /// Bytes in all.
    pub(crate) size: usize,
}

impl Layout {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        let stride = [width.next_multiple_of(4), width.div_ceil(2).next_multiple_of(4)];
        let rows = height.next_multiple_of(2);
        let luma = stride[0] * rows;
        let chroma = stride[1] * rows / 2;
        let offset = [0, luma, luma + chroma];
        Self { width, height, stride, offset, size: luma + 2 * chroma }
    }

    pub(crate) fn chroma_width(&self) -> usize {
        self.width.div_ceil(2)
    }

    pub(crate) fn chroma_height(&self) -> usize {
        self.height.div_ceil(2)
    }
}

/// A picture to draw on.
pub(crate) struct Canvas<'a> {
    pub(crate) layout: Layout,
    pub(crate) data: &'a mut [u8],
}

impl Canvas<'_> {
    /// Fills the pixels `from..to` of a row. `shade` is added to the luminance from left (whole) to right (whole,
    /// negative), which makes a flat shape look round.
    pub(crate) fn span(&mut self, row: i64, from: f64, to: f64, colour: Colour, shade: i32) {
        let Layout { width, height, stride, offset, .. } = self.layout;
        if row < 0 || row >= height as i64 || to <= from {
            return;
        }
        let clip = |x: f64| x.round().clamp(0.0, width as f64) as usize;
        let (row, left, right) = (row as usize, clip(from), clip(to));
        if left >= right {
            return;
        }
        let luma = &mut self.data[row * stride[0]..][..width][left..right];
        if shade == 0 {
            luma.fill(colour.y);
        } else {
            // Fixed point: from +shade to -shade over the whole span, the part that is clipped included.
            let step = (f64::from(-2 * shade) / (to - from) * 65536.0) as i32;
            let mut value = (i32::from(colour.y) + shade) * 65536 + step * (left as f64 - from) as i32;
            for pixel in luma {
                *pixel = (value >> 16).clamp(16, 235) as u8;
                value += step;
            }
        }
        if row.is_multiple_of(2) {
            let (left, right) = (left / 2, right.div_ceil(2));
            for (plane, value) in [(1, colour.u), (2, colour.v)] {
                let start = offset[plane] + row / 2 * stride[1];
                self.data[start + left..start + right].fill(value);
            }
        }
    }

    /// Darkens the pixels of an ellipse to `part` of 256: a shadow.
    pub(crate) fn shadow(&mut self, x: f64, y: f64, radius: (f64, f64), part: u16) {
        let Layout { width, height, stride, .. } = self.layout;
        for (row, half) in ellipse_rows(y, radius) {
            if row < 0 || row >= height as i64 {
                continue;
            }
            let clip = |x: f64| x.round().clamp(0.0, width as f64) as usize;
            let (left, right) = (clip(x - half), clip(x + half));
            if left < right {
                for pixel in &mut self.data[row as usize * stride[0]..][left..right] {
                    *pixel = ((u16::from(*pixel) * part) >> 8) as u8;
                }
            }
        }
    }

    pub(crate) fn ellipse(&mut self, x: f64, y: f64, radius: (f64, f64), colour: Colour, shade: i32) {
        for (row, half) in ellipse_rows(y, radius) {
            self.span(row, x - half, x + half, colour, shade);
        }
    }

    /// Fills between two horizontal edges, each given by its centre and half its width.
    pub(crate) fn trapezium(
        &mut self,
        top: (f64, f64, f64),
        bottom: (f64, f64, f64),
        colour: Colour,
        shade: i32,
    ) {
        let ((x0, y0, half0), (x1, y1, half1)) = (top, bottom);
        for row in y0.round() as i64..=y1.round() as i64 {
            let part = ((row as f64 - y0) / (y1 - y0).max(1.0)).clamp(0.0, 1.0);
            let (x, half) = (x0 + part * (x1 - x0), half0 + part * (half1 - half0));
            self.span(row, x - half, x + half, colour, shade);
        }
    }

    pub(crate) fn rectangle(&mut self, left: f64, top: f64, right: f64, bottom: f64, colour: Colour) {
        for row in top.round() as i64..bottom.round() as i64 {
            self.span(row, left, right, colour, 0);
        }
    }

    /// Draws a text whose cells are `scale` pixels wide and high.
    pub(crate) fn text(&mut self, left: usize, top: usize, scale: usize, text: &str, colour: Colour) {
        use super::font::{HEIGHT, WIDTH, rows};
        for (n, c) in text.chars().enumerate() {
            let x = left + n * (WIDTH + 1) * scale;
            for (row, bits) in rows(c).into_iter().enumerate().take(HEIGHT) {
                for column in (0..WIDTH).filter(|column| bits >> (WIDTH - 1 - column) & 1 == 1) {
                    let (x, y) = ((x + column * scale) as f64, (top + row * scale) as f64);
                    self.rectangle(x, y, x + scale as f64, y + scale as f64, colour);
                }
            }
        }
    }
}

/// The rows of an ellipse, each with half its width.
fn ellipse_rows(y: f64, (rx, ry): (f64, f64)) -> impl Iterator<Item = (i64, f64)> {
    ((y - ry).round() as i64..=(y + ry).round() as i64).map(move |row| {
        let part = (row as f64 - y) / ry.max(0.5);
        (row, rx * (1.0 - part * part).max(0.0).sqrt())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_any_size_and_place_stay_inside_the_picture() {
        for (width, height) in [(16, 16), (17, 19), (64, 48)] {
            let layout = Layout::new(width, height);
            let mut data = vec![0; layout.size];
            let mut canvas = Canvas { layout, data: &mut data };
            let colour = Colour { y: 200, u: 100, v: 150 };
            for at in [-1e6, -20.0, -0.5, 0.0, 8.3, 15.9, 63.7, 1e6] {
                for size in [0.0, 0.4, 5.0, 1e3] {
                    canvas.ellipse(at, at.clamp(-50.0, 100.0), (size, size.min(90.0)), colour, 20);
                    canvas.shadow(at, at.clamp(-50.0, 100.0), (size, size.min(90.0)), 128);
                    canvas.trapezium((at, 0.0, size), (-at, 60.0, size), colour, -20);
                }
            }
            canvas.text(0, 0, 4, "12:34:56 #7", colour);
        }
    }
}
