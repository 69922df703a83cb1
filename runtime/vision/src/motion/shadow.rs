//! Telling a shadow from somebody: a shadow darkens what is there, and what is there stays recognisable.

use super::background::{Background, SAME};
use super::light::Light;

/// How dark a shadow may be, as seen by expected brightness.
const DARKEST: f32 = 0.45;
/// How dark it may be where nothing is to be recognised.
const DARKEST_PLAIN: f32 = 0.72;
/// How much brighter a reflection may be.
const BRIGHTEST: f32 = 1.18;
/// How much the ratio may vary around a pixel, as a part of its mean, besides the camera's noise.
const STEADY: f32 = 0.05;
/// The camera's noise, and what its compression does, in grey levels.
const NOISE: f32 = 2.5;
/// How many times as much a background must vary to be recognisable.
const KNOWN: f32 = 2.0;

/// A pixel that is a shadow, while others are looked at.
const SHADOW: u8 = 3;

/// Clears the pixels of a mask that are shadows or reflections.
pub(super) fn clear(mask: &mut [u8], picture: &[u8], background: &Background, light: Light, width: usize) {
    let height = mask.len() / width;
    if width < 5 || height < 5 {
        return;
    }
    let table: Vec<f32> = (0..=255).map(|level| f32::from(light.apply(level)).max(1.0)).collect();
    let mut shadows = Vec::new();
    for y in 2..height - 2 {
        for x in 2..width - 2 {
            let at = y * width + x;
            if mask[at] == SAME {
                continue;
            }
            let ratio = |at: usize| f32::from(picture[at]) / table[usize::from(background.level(at))];
            let here = ratio(at);
            if !(DARKEST..=BRIGHTEST).contains(&here) {
                continue;
            }
            let (mut sum, mut squares, mut level, mut levels) = (0.0, 0.0, 0.0, 0.0);
            for row in (at - 2 * width..=at + 2 * width).step_by(width) {
                for near in row - 2..=row + 2 {
                    let (r, l) = (ratio(near), table[usize::from(background.level(near))]);
                    sum += r;
                    squares += r * r;
                    level += l;
                    levels += l * l;
                }
            }

            let (sum, level) = (sum / 25.0, level / 25.0);
            let spread = |mean: f32, squares: f32| (squares / 25.0 - mean * mean).max(0.0).sqrt() / mean;
            let allowed = STEADY + NOISE / level;
            let is_steady = spread(sum, squares) < allowed;
            let is_known = spread(level, levels) > KNOWN * allowed;
            if is_steady && (is_known || here > DARKEST_PLAIN) {
                shadows.push(at);
            }
        }
    }
    for at in shadows {
        mask[at] = SHADOW;
    }
    // At its rim a shadow is not steady. What remains there has little around it that is somebody.
    let is_rim = |mask: &[u8], at: usize| {
        let (mut shadows, mut others) = (0, 0);
        for row in (at - 2 * width..=at + 2 * width).step_by(width) {
            for near in &mask[row - 2..=row + 2] {
                shadows += usize::from(*near == SHADOW);
                others += usize::from(*near != SHADOW && *near != SAME);
            }
        }
        shadows >= 5 && others <= 10
    };
    let mut rims = Vec::new();
    for y in 2..height - 2 {
        for at in y * width + 2..(y + 1) * width - 2 {
            if mask[at] != SAME && mask[at] != SHADOW {
                let ratio = f32::from(picture[at]) / table[usize::from(background.level(at))];
                if (DARKEST_PLAIN..=BRIGHTEST).contains(&ratio) && is_rim(mask, at) {
                    rims.push(at);
                }
            }
        }
    }
    for at in rims {
        mask[at] = SAME;
    }
    for mask in mask.iter_mut().filter(|m| **m == SHADOW) {
        *mask = SAME;
    }
}
