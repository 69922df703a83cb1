//! How large people are in this picture, and how that grows from its top to its bottom.

use crate::Rect;
use std::collections::VecDeque;

/// The size of a standing person whose feet are at some height of the picture: configured, or learned from who walks by.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PersonSize {
    /// The height of somebody whose feet are at the upper edge of the picture, as a part of the picture's height.
    pub top: f32,
    /// The height of somebody whose feet are at the lower edge.
    pub bottom: f32,
    /// A person's width as a part of the picture's width, divided by the height as a part of the picture's height.
    pub aspect: f32,
}

impl PersonSize {
    /// Width and height of somebody whose feet are at `y`.
    pub(crate) fn at(&self, y: f32) -> (f32, f32) {
        let height = (self.top + (self.bottom - self.top) * y.clamp(0.0, 1.0)).clamp(0.03, 1.5);
        (height * self.aspect, height)
    }
}

/// How many people are remembered.
const MOST: usize = 240;
/// From how many on they are believed.
const LEAST: usize = 24;

/// Learns sizes.
#[derive(Debug, Default)]
pub(crate) struct Scale {
    seen: VecDeque<Rect>,
    unread: usize,
    size: Option<PersonSize>,
}

impl Scale {
    pub(crate) fn size(&self) -> Option<&PersonSize> {
        self.size.as_ref()
    }

    /// Takes somebody who stands alone and is seen whole. Who is where somebody was a moment ago tells nothing new.
    pub(crate) fn learn(&mut self, rect: Rect) {
        let (here, near) = (rect.centre(), 0.15 * rect.w.min(rect.h));
        let is_old = self.seen.iter().rev().take(24).any(|seen| {
            let there = seen.centre();
            (there.x - here.x).abs() < near && (there.y - here.y).abs() < near
        });
        if is_old {
            return;
        }
        if self.seen.len() == MOST {
            self.seen.pop_front();
        }
        self.seen.push_back(rect);
        self.unread += 1;
        if self.seen.len() >= LEAST && self.unread >= 12 {
            self.unread = 0;
            self.size = Some(fit(&self.seen));
        }
    }
}

fn median(mut values: Vec<f32>) -> Option<f32> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f32::total_cmp).1)
}

/// A line through the heights that a quarter of wrong ones does not bend (Theil and Sen).
fn fit(seen: &VecDeque<Rect>) -> PersonSize {
    let mut slopes = Vec::new();
    for (n, a) in seen.iter().enumerate() {
        for b in seen.iter().skip(n + 1).step_by(3) {
            let apart = b.bottom() - a.bottom();
            if apart.abs() > 0.08 {
                slopes.push((b.h - a.h) / apart);
            }
        }
    }
    // Too little difference in depth to tell a slope: the same size everywhere.
    let slope = if slopes.len() < 2 * LEAST { 0.0 } else { median(slopes).unwrap_or(0.0).clamp(0.0, 1.5) };
    let top = median(seen.iter().map(|r| r.h - slope * r.bottom()).collect()).unwrap_or(0.0);
    let aspect = median(seen.iter().map(|r| r.w / r.h.max(1e-3)).collect()).unwrap_or(0.4);
    PersonSize { top, bottom: top + slope, aspect: aspect.clamp(0.1, 1.5) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perspective_is_learned_although_every_fifth_is_a_pair() {
        let mut scale = Scale::default();
        for n in 0..200 {
            let foot = 0.3 + 0.65 * (n * 37 % 100) as f32 / 100.0;
            let (h, pair) = (0.1 + 0.3 * foot, if n % 5 == 0 { 2.0 } else { 1.0 });
            scale.learn(Rect::new((n * 13 % 90) as f32 / 100.0, foot - h, 0.3 * h * pair, h));
        }
        let (w, h) = scale.size().expect("enough were seen").at(0.9);
        assert!((h - 0.37).abs() < 0.02 && (w - 0.111).abs() < 0.02, "{w} {h}");
        let (_, h) = scale.size().expect("enough were seen").at(0.4);
        assert!((h - 0.22).abs() < 0.02, "{h}");
    }

    #[test]
    fn who_stands_still_teaches_nothing() {
        let mut scale = Scale::default();
        for _ in 0..1000 {
            scale.learn(Rect::new(0.5, 0.5, 0.1, 0.3));
        }
        assert!(scale.size().is_none());
    }
}
