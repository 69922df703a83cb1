//! What the camera sees when nobody is there, pixel by pixel.

use super::light::Light;

/// How quickly the picture of the background follows slow changes, in seconds.
const FOLLOW_S: f32 = 4.0;
/// How quickly a change that stays becomes background while the first picture is still being learned, in seconds.
const EARLY_S: f32 = 2.0;
/// For how long after the start that is so.
const EARLY_UNTIL_S: f32 = 6.0;
/// For how long the other known background must be seen to become the one.
const SWAP_S: f32 = 3.0;
/// How many times faster what looks like a hole in the background becomes background.
const GHOST_HASTE: u16 = 24;
/// Ages are counted in these parts of a second.
const TICKS: f32 = 128.0;
/// How many mean deviations a pixel may stray.
const DEVIATIONS: u32 = 4;
/// The widest threshold, in grey levels: no noise makes us blind.
const WIDEST: u32 = 48;

/// A pixel's other looks: one that it had before, and one that it may get.
#[derive(Debug, Clone, Copy, Default)]
struct Other {
    /// A background that was seen before and may come back: under who stood here for long, or a door's other state.
    former: u8,
    is_former_known: bool,
    former_age: u16,
    /// What may become background if it stays.
    candidate: u8,
    age: u16,
}

/// How each pixel differs from the background.
pub(super) const SAME: u8 = 0;
/// More than the noise explains.
pub(super) const OTHER: u8 = 1;
/// Twice as much.
pub(super) const STRONG: u8 = 2;

/// The background.
///
/// Each pixel has its mean and its mean deviation, in 256ths of a grey level. They follow what is background quickly and
/// what is not only with the light. What stays the same for long becomes background, and what was background before is
/// remembered: when who stood there goes on, no ghost of him is left.
pub(super) struct Background {
    mean: Vec<u16>,
    deviation: Vec<u16>,
    others: Vec<Other>,
    /// Where the last frame showed holes in the background rather than people.
    pub(super) ghosts: Vec<bool>,
    frames: u32,
    age_s: f32,
}

impl Background {
    pub(super) fn new(picture: &[u8]) -> Self {
        Self {
            mean: picture.iter().map(|p| u16::from(*p) << 8).collect(),
            deviation: vec![2 << 8; picture.len()],
            others: vec![Other::default(); picture.len()],
            ghosts: vec![false; picture.len()],
            frames: 1,
            age_s: 0.0,
        }
    }

    /// The light has changed beyond recognition: what is seen now is the background, until it is known better.
    pub(super) fn restart(&mut self, picture: &[u8]) {
        *self = Self::new(picture);
    }

    /// The grey level of a pixel.
    pub(super) fn level(&self, at: usize) -> u8 {
        (self.mean[at] >> 8) as u8
    }

    /// Says for each pixel of `picture` whether it differs, and learns from it what `dt` seconds teach.
    pub(super) fn step(
        &mut self,
        picture: &[u8],
        light: Light,
        dt: f32,
        threshold: u8,
        absorb_s: f32,
        mask: &mut [u8],
    ) {
        self.frames = self.frames.saturating_add(1);
        self.age_s += dt;
        let rate = (dt / FOLLOW_S).max(1.0 / self.frames.min(1000) as f32).min(0.2);
        let (alpha, base) = ((rate * 65536.0) as i32, u32::from(threshold) << 8);
        let (gain, offset) = ((light.gain * 4096.0) as i32, (light.offset * 256.0) as i32);
        for (((pixel, mean), deviation), mask) in
            picture.iter().zip(&mut self.mean).zip(&mut self.deviation).zip(mask.iter_mut())
        {
            let (now, before) = (i32::from(*pixel) << 8, i32::from(*mean));
            let expected = ((((before >> 2) * gain) >> 10) + offset).clamp(0, 255 << 8);
            let off = now.abs_diff(expected);
            let limit = (u32::from(*deviation) * DEVIATIONS).max(base).min((WIDEST << 8).max(base));
            let is_other = off > limit;
            *mask = u8::from(is_other) + u8::from(off > 2 * limit);
            let target = if is_other { expected } else { now };
            *mean = (before + (((target - before) * alpha) >> 16)).clamp(0, 65535) as u16;
            let known = i32::from(*deviation);
            let learned = known + (((off.min(16 << 8) as i32 - known) * alpha) >> 16);
            *deviation = if is_other { known } else { learned } as u16;
        }
        let ticks = (dt * TICKS).clamp(1.0, 1000.0) as u16;
        let needed =
            (if self.age_s < EARLY_UNTIL_S { EARLY_S.min(absorb_s) } else { absorb_s } * TICKS) as u16;
        for at in 0..mask.len() {
            if mask[at] != SAME {
                self.reconsider(at, picture[at], light, threshold, (ticks, needed), &mut mask[at]);
            }
        }
    }

    /// A pixel is not as the background is: is it as it was once, or will it stay?
    fn reconsider(
        &mut self,
        at: usize,
        pixel: u8,
        light: Light,
        threshold: u8,
        (ticks, needed): (u16, u16),
        mask: &mut u8,
    ) {
        let other = &mut self.others[at];
        if other.is_former_known && light.apply(other.former).abs_diff(pixel) <= threshold {
            *mask = SAME;
            other.former_age = other.former_age.saturating_add(ticks);
            if f32::from(other.former_age) > SWAP_S * TICKS {
                other.former = (self.mean[at] >> 8) as u8;
                other.former_age = 0;
                self.mean[at] = u16::from(pixel) << 8;
            }
            return;
        }
        other.former_age = other.former_age.saturating_sub(ticks);
        if other.candidate.abs_diff(pixel) <= threshold {
            let haste = if self.ghosts[at] { GHOST_HASTE } else { 1 };
            other.age = other.age.saturating_add(ticks.saturating_mul(haste));
            other.candidate = ((u16::from(other.candidate) * 7 + u16::from(pixel) + 4) / 8) as u8;
            if other.age >= needed {
                *other = Other {
                    former: (self.mean[at] >> 8) as u8,
                    is_former_known: true,
                    former_age: 0,
                    candidate: pixel,
                    age: 0,
                };
                self.mean[at] = u16::from(pixel) << 8;
                self.deviation[at] = 2 << 8;
                *mask = SAME;
            }
        } else {
            other.age = other.age.saturating_sub(ticks.saturating_mul(4));
            if other.age == 0 {
                other.candidate = pixel;
            }
        }
    }
}
