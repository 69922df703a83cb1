//! Strokes, boxes and labels of a size that suits the picture.

use super::canvas::{Canvas, Yuv};
use embedded_graphics::Drawable;
use embedded_graphics::geometry::Point as Pixel;
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X10, FONT_7X13, FONT_9X15, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::text::{Baseline, Text};

/// Letters have this part of the picture's shorter side.
const LETTERS: i32 = 36;
/// Strokes are twice this part of the picture's shorter side.
const STROKES: i32 = 480;
/// The largest enlargement of letters.
const LARGEST: i32 = 16;

const BLACK: Yuv = Yuv(16, 128, 128);
const WHITE: Yuv = Yuv(235, 128, 128);

/// Draws on a canvas.
pub(super) struct Pen<'c, 'p> {
    pub(super) canvas: &'c mut Canvas<'p>,
    pub(super) width: i32,
    pub(super) height: i32,
    /// How thick a line is, in pixels: even, so that lines on even places take no pixel's colour beside them.
    pub(super) stroke: i32,
    font: &'static MonoFont<'static>,
    scale: i32,
}

/// A box in pixels: left, top, right, bottom.
pub(super) type Box = [i32; 4];

impl<'c, 'p> Pen<'c, 'p> {
    pub(super) fn new(canvas: &'c mut Canvas<'p>) -> Self {
        // Of a picture that is larger only so much is drawn on, and no sum overflows.
        let side = |pixels: usize| i32::try_from(pixels.min(1 << 24)).unwrap_or(1 << 24);
        let (width, height) = (side(canvas.width()), side(canvas.height()));
        let short = width.min(height);
        let wanted = short / LETTERS;
        let fonts = [&FONT_6X10, &FONT_7X13, &FONT_9X15, &FONT_10X20];
        let (font, scale) = (1..=LARGEST)
            .flat_map(|scale| fonts.iter().map(move |font| (*font, scale)))
            .min_by_key(|(font, scale)| (wanted - tall(font) * scale).abs())
            .unwrap_or((&FONT_6X10, 1));
        let stroke = 2 * ((short + STROKES / 2) / STROKES).max(1);
        Self { canvas, width, height, stroke, font, scale }
    }

    /// The height of a line of text with its background, in pixels.
    pub(super) fn line(&self) -> i32 {
        even(tall(self.font) * self.scale + self.pad() * 2 + 1)
    }

    fn pad(&self) -> i32 {
        2 * self.scale
    }

    /// Width and height of a label of so many letters.
    pub(super) fn size(&self, text: &str) -> (i32, i32) {
        let letters = text.chars().take(self.most()).count();
        let letters = i32::try_from(letters).unwrap_or(i32::MAX);
        let wide = letters.saturating_mul(self.font.character_size.width.cast_signed() * self.scale);
        (even(wide + self.pad() * 2 + 1), self.line())
    }

    /// How many letters there is room for.
    fn most(&self) -> usize {
        usize::try_from(self.width / (self.font.character_size.width.cast_signed() * self.scale)).unwrap_or(0)
    }

    /// Text on a background, as near to this upper left corner as it fits into the picture.
    pub(super) fn label(&mut self, text: &str, x: i32, y: i32, ground: Yuv) {
        let (w, h) = self.size(text);
        let (x, y) = (even(x.clamp(0, (self.width - w).max(0))), even(y.clamp(0, (self.height - h).max(0))));
        self.canvas.fill(&(x..x + w), &(y..y + h), ground);
        let shown: String =
            text.chars().take(self.most()).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let ink = if ground.0 > 90 { BLACK } else { WHITE };
        let style = MonoTextStyle::new(self.font, ink);
        let mut letters = self.canvas.letters(x + self.pad(), y + self.pad(), self.scale);
        // Drawing into memory cannot fail.
        let _ = Text::with_baseline(&shown, Pixel::zero(), style, Baseline::Top).draw(&mut letters);
    }

    /// The outline of a box, inside of it; in dashes of this length when there is one.
    pub(super) fn outline(
        &mut self,
        [left, top, right, bottom]: Box,
        thick: i32,
        dash: Option<i32>,
        ink: Yuv,
    ) {
        let (long, gap) = dash.map_or((i32::MAX, 0), |dash| (dash.max(1), dash.max(1)));
        let sides = [
            (true, top, top.saturating_add(thick)),
            (true, bottom - thick, bottom),
            (false, left, left.saturating_add(thick)),
            (false, right - thick, right),
        ];
        for (is_flat, from, to) in sides {
            let (begin, end) = if is_flat { (left, right) } else { (top, bottom) };
            let mut at = begin;
            while at < end {
                let stop = at.saturating_add(long).min(end);
                if is_flat {
                    self.canvas.fill(&(at..stop), &(from..to), ink);
                } else {
                    self.canvas.fill(&(from..to), &(at..stop), ink);
                }
                at = stop.saturating_add(gap);
            }
        }
    }

    /// A straight line.
    pub(super) fn stroke(&mut self, (x0, y0): (f32, f32), (x1, y1): (f32, f32), ink: Yuv) {
        let (dx, dy) = (x1 - x0, y1 - y0);
        let half = self.stroke as f32 / 2.0 / dx.hypot(dy).max(f32::MIN_POSITIVE);
        let (nx, ny) = (-dy * half, dx * half);
        let corners = [(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)];
        self.canvas.fill_convex(&corners, ink);
    }
}

fn tall(font: &MonoFont<'_>) -> i32 {
    font.character_size.height.cast_signed()
}

/// Two by two pixels share a colour.
pub(super) fn even(v: i32) -> i32 {
    v & !1
}
