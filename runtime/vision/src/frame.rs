//! A borrowed picture.

use crate::Error;

/// The pixels of a frame and how they are stored.
#[derive(Debug, Clone, Copy)]
enum Pixels<'a> {
    Grey,
    I420 { chroma: [&'a [u8]; 2], stride: usize },
    Rgb,
}

/// A picture that somebody else holds: grey, I420 or RGB.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    width: usize,
    height: usize,
    stride: usize,
    /// Luminance, or all of an RGB picture.
    data: &'a [u8],
    pixels: Pixels<'a>,
}

fn check(
    plane: &'static str,
    data: &[u8],
    size: (usize, usize),
    row: usize,
    rows: usize,
    stride: usize,
) -> Result<(), Error> {
    let (width, height) = size;
    // The last row need not be padded.
    let needed = rows.saturating_sub(1).saturating_mul(stride).saturating_add(row);
    if width == 0 || height == 0 || stride < row || data.len() < needed {
        let needed = needed.max(rows.saturating_mul(row)).max(1);
        return Err(Error::Picture { width, height, plane, needed, found: data.len() });
    }
    Ok(())
}

impl<'a> Frame<'a> {
    /// A grey picture of one byte a pixel, `stride` bytes from row to row.
    ///
    /// # Errors
    /// [`Error::Picture`] when the bytes do not suffice.
    pub fn grey(data: &'a [u8], width: usize, height: usize, stride: usize) -> Result<Self, Error> {
        check("grey", data, (width, height), width, height, stride)?;
        Ok(Self { width, height, stride, data, pixels: Pixels::Grey })
    }

    /// A picture of three planes, colour at half the size; strides of luminance and of the colours.
    ///
    /// # Errors
    /// [`Error::Picture`] when the bytes of a plane do not suffice.
    pub fn i420(
        planes: [&'a [u8]; 3],
        width: usize,
        height: usize,
        strides: [usize; 2],
    ) -> Result<Self, Error> {
        let size = (width, height);
        check("Y", planes[0], size, width, height, strides[0])?;
        let (w, h) = (width.div_ceil(2), height.div_ceil(2));
        check("U", planes[1], size, w, h, strides[1])?;
        check("V", planes[2], size, w, h, strides[1])?;
        let pixels = Pixels::I420 { chroma: [planes[1], planes[2]], stride: strides[1] };
        Ok(Self { width, height, stride: strides[0], data: planes[0], pixels })
    }

    /// A picture of three bytes a pixel, red first.
    ///
    /// # Errors
    /// [`Error::Picture`] when the bytes do not suffice.
    pub fn rgb(data: &'a [u8], width: usize, height: usize, stride: usize) -> Result<Self, Error> {
        check("RGB", data, (width, height), width.saturating_mul(3), height, stride)?;
        Ok(Self { width, height, stride, data, pixels: Pixels::Rgb })
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

    /// A part of the picture: the pixels from (`x`, `y`) on, both rounded down to even numbers, as far as there are any. What
    /// begins outside is `None`.
    pub(crate) fn part(&self, x: usize, y: usize, width: usize, height: usize) -> Option<Self> {
        let (x, y) = (x & !1, y & !1);
        let (width, height) =
            (width.min(self.width.checked_sub(x)?), height.min(self.height.checked_sub(y)?));
        if width == 0 || height == 0 {
            return None;
        }
        let (bytes, pixels) = match self.pixels {
            Pixels::Grey => (1, Pixels::Grey),
            Pixels::Rgb => (3, Pixels::Rgb),
            Pixels::I420 { chroma, stride } => {
                let chroma = chroma.map(|plane| &plane[y / 2 * stride + x / 2..]);
                (1, Pixels::I420 { chroma, stride })
            }
        };
        let data = &self.data[y * self.stride + x * bytes..];
        Some(Self { width, height, stride: self.stride, data, pixels })
    }

    /// Luminance and colour of a pixel of the picture, in the limited range of BT.601 where it is made of RGB.
    pub(crate) fn yuv(&self, x: usize, y: usize) -> [u8; 3] {
        let at = y * self.stride;
        match self.pixels {
            Pixels::Grey => [self.data[at + x], 128, 128],
            Pixels::I420 { chroma: [u, v], stride } => {
                let colour = y / 2 * stride + x / 2;
                [self.data[at + x], u[colour], v[colour]]
            }
            Pixels::Rgb => {
                let [r, g, b] = [0, 1, 2].map(|c| i32::from(self.data[at + 3 * x + c]));
                let weigh = |[wr, wg, wb]: [i32; 3], base: i32| {
                    (base + ((wr * r + wg * g + wb * b + 128) >> 8)).clamp(0, 255) as u8
                };
                [weigh([66, 129, 25], 16), weigh([-38, -74, 112], 128), weigh([112, -94, -18], 128)]
            }
        }
    }

    /// The luminance of a row; what is RGB is converted into `scratch`.
    pub(crate) fn luma_row<'s>(&'s self, row: usize, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        let start = row * self.stride;
        if !matches!(self.pixels, Pixels::Rgb) {
            return &self.data[start..start + self.width];
        }
        let rgb = &self.data[start..start + 3 * self.width];
        scratch.clear();
        scratch.extend(
            rgb.chunks_exact(3)
                .map(|p| ((u32::from(p[0]) * 77 + u32::from(p[1]) * 150 + u32::from(p[2]) * 29) >> 8) as u8),
        );
        scratch
    }

    /// The red, green and blue (0 to 255) of a row's pixels.
    #[cfg(feature = "onnx")]
    pub(crate) fn colour_row(&self, row: usize, into: &mut Vec<[f32; 3]>) {
        into.clear();
        let at = row * self.stride;
        match self.pixels {
            Pixels::Grey => into.extend(self.data[at..at + self.width].iter().map(|p| [f32::from(*p); 3])),
            Pixels::Rgb => into.extend(
                self.data[at..at + 3 * self.width]
                    .chunks_exact(3)
                    .map(|p| [0, 1, 2].map(|c| f32::from(p[c]))),
            ),
            Pixels::I420 { chroma, stride } => {
                let [u, v] = chroma.map(|plane| &plane[row / 2 * stride..][..self.width.div_ceil(2)]);
                into.extend(self.data[at..at + self.width].iter().enumerate().map(|(x, y)| {
                    let (u, v) = (f32::from(u[x / 2]) - 128.0, f32::from(v[x / 2]) - 128.0);
                    // BT.601, limited range: what cameras and decoders of this size give.
                    let luma = 1.164 * (f32::from(*y) - 16.0);
                    [luma + 1.596 * v, luma - 0.392 * u - 0.813 * v, luma + 2.017 * u]
                        .map(|c| c.clamp(0.0, 255.0))
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_bytes_are_told_in_words_and_the_last_row_needs_no_padding() {
        assert!(Frame::grey(&[0; 8 + 5], 5, 2, 8).is_ok());
        let error = Frame::grey(&[0; 12], 5, 2, 8).unwrap_err().to_string();
        assert_eq!(error, "a 5x2 picture needs 13 bytes in its grey plane and has 12: give whole frames");
        assert!(Frame::grey(&[0; 100], 10, 2, 5).is_err());
        assert!(Frame::grey(&[], 0, 0, 0).is_err());
        assert!(Frame::rgb(&[0; 100], usize::MAX, 2, usize::MAX).is_err());
        assert!(Frame::i420([&[0; 9], &[0; 4], &[0; 3]], 3, 3, [3, 2]).is_err());
        assert!(Frame::i420([&[0; 9], &[0; 4], &[0; 4]], 3, 3, [3, 2]).is_ok());
    }

    #[test]
    fn a_part_is_the_same_pixels_and_ends_with_the_picture() {
        let luma: Vec<u8> = (0..7 * 5).collect();
        let (u, v): (Vec<u8>, Vec<u8>) =
            ((0..12).map(|n| 100 + n).collect(), (0..12).map(|n| 200 + n).collect());
        let frame = Frame::i420([&luma, &u, &v], 7, 5, [7, 4]).unwrap();
        let part = frame.part(3, 2, 100, 100).unwrap();
        assert_eq!((part.width(), part.height()), (5, 3));
        assert_eq!((part.yuv(0, 0), part.yuv(4, 2)), (frame.yuv(2, 2), frame.yuv(6, 4)));
        assert_eq!(frame.yuv(6, 4), [34, 111, 211]);
        assert!(frame.part(8, 0, 1, 1).is_none() && frame.part(0, 0, 0, 1).is_none());
        let red = Frame::rgb(&[255, 0, 0, 255, 0, 0], 2, 1, 6).unwrap();
        assert_eq!(red.part(0, 0, 2, 1).unwrap().yuv(1, 0), [82, 90, 240]);
    }

    #[test]
    fn grey_of_every_kind_is_the_same_grey() {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let rgb = Frame::rgb(&[80; 12], 2, 2, 6).unwrap();
        let grey = Frame::grey(&[80; 4], 2, 2, 2).unwrap();
        assert_eq!(rgb.luma_row(1, &mut one), grey.luma_row(1, &mut other));
    }
}
