//! A picture that is drawn on.

use crate::{Error, Frame};
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Size};
use embedded_graphics::pixelcolor::PixelColor;
use embedded_graphics::primitives::Rectangle;
use std::convert::Infallible;
use std::ops::Range;

/// Luminance and the two colours, in the limited range of BT.601.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Yuv(pub(super) u8, pub(super) u8, pub(super) u8);

impl PixelColor for Yuv {
    type Raw = ();
}

/// An I420 picture of somebody else that is drawn on in place.
#[derive(Debug)]
pub struct Canvas<'a> {
    planes: [&'a mut [u8]; 3],
    width: usize,
    height: usize,
    strides: [usize; 2],
}

impl<'a> Canvas<'a> {
    /// A picture of three planes, colour at half the size; strides of luminance and of the colours.
    ///
    /// # Errors
    /// [`Error::Picture`] when the bytes of a plane do not suffice.
    pub fn i420(
        planes: [&'a mut [u8]; 3],
        width: usize,
        height: usize,
        strides: [usize; 2],
    ) -> Result<Self, Error> {
        let [y, u, v] = &planes;
        Frame::i420([y, u, v], width, height, strides)?;
        Ok(Self { planes, width, height, strides })
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

    /// What of a span of pixels lies on a side of the picture.
    fn clip(span: &Range<i32>, side: usize) -> Range<usize> {
        let at = |v: i32| usize::try_from(v).unwrap_or(0).min(side);
        at(span.start)..at(span.end)
    }

    /// Fills what of a rectangle is in the picture. Two by two pixels share a colour: that of a pixel beside it changes where
    /// the rectangle begins or ends at odd numbers.
    pub(super) fn fill(&mut self, across: &Range<i32>, down: &Range<i32>, colour: Yuv) {
        let (across, down) = (Self::clip(across, self.width), Self::clip(down, self.height));
        if across.is_empty() || down.is_empty() {
            return;
        }
        let Yuv(y, u, v) = colour;
        for row in down.clone() {
            self.planes[0][row * self.strides[0]..][across.clone()].fill(y);
        }
        let half = |range: &Range<usize>| range.start / 2..(range.end - 1) / 2 + 1;
        for (plane, value) in self.planes[1..].iter_mut().zip([u, v]) {
            for row in half(&down) {
                plane[row * self.strides[1]..][half(&across)].fill(value);
            }
        }
    }

    /// Fills what of a convex polygon (in pixels) is in the picture; corners that are no numbers fill nothing.
    pub(super) fn fill_convex(&mut self, corners: &[(f32, f32)], colour: Yuv) {
        if corners.iter().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
            return;
        }
        let limit = |v: f32| v.clamp(0.0, self.height as f32) as i32;
        let top = corners.iter().map(|c| c.1).fold(f32::INFINITY, f32::min);
        let bottom = corners.iter().map(|c| c.1).fold(f32::NEG_INFINITY, f32::max);
        for row in limit(top.floor())..limit(bottom.ceil()) {
            // A row is what its middle is, but no edge is so flat that a row is missed.
            let y = (row as f32 + 0.5).clamp(top, bottom);
            let (mut left, mut right) = (f32::INFINITY, f32::NEG_INFINITY);
            for (a, b) in corners.iter().zip(corners.iter().cycle().skip(1)) {
                let (low, high) = (a.1.min(b.1), a.1.max(b.1));
                if y < low || y > high {
                    continue;
                }
                let part = if high > low { (y - a.1) / (b.1 - a.1) } else { 0.0 };
                let x = a.0 + part * (b.0 - a.0);
                left = left.min(x);
                right = right.max(x);
                if high <= low {
                    left = left.min(b.0);
                    right = right.max(b.0);
                }
            }
            if left <= right {
                // Float to integer casts saturate; clipping does the rest.
                let from = left.round() as i32;
                self.fill(
                    &(from..(right.round() as i32).max(from.saturating_add(1))),
                    &(row..row + 1),
                    colour,
                );
            }
        }
    }

    /// Fills pixels with luminance alone: letters keep the colour of what they stand on.
    fn fill_luma(&mut self, across: &Range<i32>, down: &Range<i32>, luma: u8) {
        let (across, down) = (Self::clip(across, self.width), Self::clip(down, self.height));
        for row in down {
            self.planes[0][row * self.strides[0]..][across.clone()].fill(luma);
        }
    }

    /// A place for letters: what is drawn there is enlarged, and moved to (`x`, `y`).
    pub(super) fn letters(&mut self, x: i32, y: i32, scale: i32) -> Letters<'_, 'a> {
        Letters { canvas: self, x, y, scale }
    }
}

/// Draws each pixel as a square. Letters have no colour of their own, only luminance.
pub(super) struct Letters<'c, 'p> {
    canvas: &'c mut Canvas<'p>,
    x: i32,
    y: i32,
    scale: i32,
}

impl OriginDimensions for Letters<'_, '_> {
    fn size(&self) -> Size {
        let long = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        Size::new(long(self.canvas.width), long(self.canvas.height))
    }
}

impl DrawTarget for Letters<'_, '_> {
    type Color = Yuv;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Yuv>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(place, Yuv(luma, ..)) in pixels {
            let (across, down) = (self.span(self.x, place.x, 1), self.span(self.y, place.y, 1));
            self.canvas.fill_luma(&across, &down, luma);
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, Yuv(luma, ..): Yuv) -> Result<(), Infallible> {
        let across = self.span(self.x, area.top_left.x, area.size.width);
        let down = self.span(self.y, area.top_left.y, area.size.height);
        self.canvas.fill_luma(&across, &down, luma);
        Ok(())
    }
}

impl Letters<'_, '_> {
    /// Where a span of pixels comes to lie.
    fn span(&self, from: i32, at: i32, long: u32) -> Range<i32> {
        let long = i32::try_from(long).unwrap_or(i32::MAX);
        let start = from.saturating_add(at.saturating_mul(self.scale));
        start..start.saturating_add(long.saturating_mul(self.scale))
    }
}
