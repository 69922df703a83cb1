//! Cleaning a mask of pixels that differ.

use super::background::{OTHER, SAME};

/// Removes pixels that most of their neighbours do not agree with, and fills those that they do. `scratch` has the
/// mask's size.
pub(super) fn smooth(mask: &mut [u8], width: usize, scratch: &mut Vec<u8>) {
    scratch.clear();
    scratch.extend(mask.iter().map(|m| u8::from(*m != SAME)));
    let height = mask.len() / width;
    if width < 3 || height < 3 {
        return;
    }
    let mut columns = vec![0u8; width];
    for y in 0..height {
        let row = |y: usize| &scratch[y * width..(y + 1) * width];
        // Beyond the edges the picture goes on as it is there.
        let (above, here, below) = (row(y.saturating_sub(1)), row(y), row((y + 1).min(height - 1)));
        for (((sum, a), b), c) in columns.iter_mut().zip(above).zip(here).zip(below) {
            *sum = a + b + c;
        }
        let target = &mut mask[y * width..(y + 1) * width];
        for x in 0..width {
            let sum = columns[x.saturating_sub(1)] + columns[x] + columns[(x + 1).min(width - 1)];
            target[x] = if sum >= 5 { target[x].max(OTHER) } else { SAME };
        }
    }
}

/// Fills gaps of up to `across` pixels in rows and `down` pixels in columns, between pixels that are set.
pub(super) fn close(mask: &mut [u8], width: usize, across: usize, down: usize) {
    let height = mask.len() / width;
    let mut last = vec![usize::MAX; width];
    for y in 0..height {
        for x in 0..width {
            if mask[y * width + x] != SAME {
                let from = last[x];
                if from != usize::MAX && y - from > 1 && y - from <= down + 1 {
                    for gap in from + 1..y {
                        mask[gap * width + x] = OTHER;
                    }
                }
                last[x] = y;
            }
        }
    }
    for row in mask.chunks_exact_mut(width) {
        let mut last = usize::MAX;
        for x in 0..width {
            if row[x] != SAME {
                if last != usize::MAX && x - last > 1 && x - last <= across + 1 {
                    row[last + 1..x].fill(OTHER);
                }
                last = x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speckles_go_and_holes_are_filled() {
        let mut mask = vec![0; 100];
        mask[5] = 2;
        for y in 3..9 {
            for x in 3..9 {
                mask[y * 10 + x] = 2;
            }
        }
        mask[55] = 0;
        smooth(&mut mask, 10, &mut Vec::new());
        assert_eq!(mask[5], SAME);
        assert_eq!(mask[55], OTHER);
        assert_eq!(mask[44], 2);
    }

    #[test]
    fn small_gaps_are_closed_and_large_ones_are_not() {
        let mut mask = vec![0; 20 * 20];
        for x in [2, 5, 15] {
            mask[3 * 20 + x] = 1;
        }
        for y in [3, 8, 19] {
            mask[y * 20 + 2] = 1;
        }
        close(&mut mask, 20, 2, 4);
        assert_eq!(mask[60..80].iter().filter(|m| **m > 0).count(), 5);
        assert_eq!((0..20).filter(|y| mask[y * 20 + 2] > 0).count(), 7);
    }
}
