//! How the light of the whole picture differs from the background's: lamps, clouds and cameras that set their exposure.

/// `seen = gain × background + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Light {
    pub(super) gain: f32,
    pub(super) offset: f32,
}

/// What may differ and still be explained, in grey levels.
const CLOSE: f32 = 9.0;
/// How much brighter or darker a picture may be.
const GAINS: (f32, f32) = (0.3, 3.0);
/// Grey levels, squared, by which pixels must vary before a gain is believed rather than an offset.
const FLAT: f32 = 60.0;
/// How many pixels are looked at.
const SAMPLES: usize = 1500;

impl Light {
    pub(super) const SAME: Self = Self { gain: 1.0, offset: 0.0 };

    pub(super) fn apply(self, level: u8) -> u8 {
        (self.gain * f32::from(level) + self.offset).round().clamp(0.0, 255.0) as u8
    }

    fn off(self, (was, is): (f32, f32)) -> f32 {
        is - self.gain * was - self.offset
    }

    /// The light that explains most of the pixels, and which part of them it explains. `start` is the light of the frame
    /// before.
    pub(super) fn fit(picture: &[u8], level: impl Fn(usize) -> u8, start: Self) -> (Self, f32) {
        // An odd step does not fall into the rhythm of columns.
        let step = (picture.len() / SAMPLES).max(1) | 1;
        let pairs: Vec<(f32, f32)> = (0..picture.len())
            .step_by(step)
            .map(|at| (f32::from(level(at)), f32::from(picture[at])))
            // What is black or white may be anything beyond it.
            .filter(|(was, is)| (2.0..=253.0).contains(was) && (2.0..=253.0).contains(is))
            .collect();
        if pairs.len() < 50 {
            return (Self::SAME, if picture.is_empty() { 0.0 } else { 1.0 });
        }
        let median = |f: &dyn Fn(&(f32, f32)) -> f32| {
            let mut values: Vec<f32> = pairs.iter().map(f).collect();
            let middle = values.len() / 2;
            *values.select_nth_unstable_by(middle, f32::total_cmp).1
        };
        let starts = [
            Self::SAME,
            start,
            Self { gain: 1.0, offset: median(&|(was, is)| is - was) },
            Self { gain: median(&|(was, is)| is / was).clamp(GAINS.0, GAINS.1), offset: 0.0 },
        ];
        let share = |light: &Self| pairs.iter().filter(|p| light.off(**p).abs() < CLOSE).count();
        let mut best = Self::SAME;
        let mut most = 0;
        for light in starts {
            // The first of equals: the same light, if that will do.
            let explained = share(&light);
            if explained > most + pairs.len() / 50 {
                (best, most) = (light, explained);
            }
        }
        for _ in 0..2 {
            best = best.refined(&pairs);
        }
        (best, share(&best) as f32 / pairs.len() as f32)
    }

    /// The least squares of what this light explains.
    fn refined(self, pairs: &[(f32, f32)]) -> Self {
        let (mut n, mut x, mut y) = (0.0f32, 0.0f32, 0.0f32);
        let explained = || pairs.iter().filter(|p| self.off(**p).abs() < CLOSE);
        for (was, is) in explained() {
            n += 1.0;
            x += was;
            y += is;
        }
        if n < 20.0 {
            return self;
        }
        (x, y) = (x / n, y / n);
        let (mut xx, mut xy) = (0.0f32, 0.0f32);
        for (was, is) in explained() {
            xx += (was - x) * (was - x);
            xy += (was - x) * (is - y);
        }
        let gain = ((xy + n * FLAT) / (xx + n * FLAT)).clamp(GAINS.0, GAINS.1);
        Self { gain, offset: y - gain * x }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn textured(n: usize) -> Vec<u8> {
        (0..n).map(|n| 60 + (n * 37 % 120) as u8).collect()
    }

    #[test]
    fn a_darker_picture_is_explained_although_somebody_covers_a_quarter_of_it() {
        let background = textured(40_000);
        let mut picture: Vec<u8> = background.iter().map(|p| (f32::from(*p) * 0.7 + 5.0) as u8).collect();
        picture[..10_000].fill(30);
        let (light, share) = Light::fit(&picture, |at| background[at], Light::SAME);
        assert!((light.gain - 0.7).abs() < 0.03 && (light.offset - 5.0).abs() < 4.0, "{light:?}");
        assert!(share > 0.7, "{share}");
    }

    #[test]
    fn another_picture_is_not_explained() {
        let background = textured(40_000);
        let picture: Vec<u8> = (0..40_000usize).map(|n| (n * 7919 % 251) as u8).collect();
        assert!(Light::fit(&picture, |at| background[at], Light::SAME).1 < 0.4);
    }
}
