//! From blobs to people: joining what belongs to one and splitting what shows several.

use super::background::SAME;
use super::blobs::{Blob, Run};
use super::scale::PersonSize;
use crate::Rect;

/// A silhouette is split when it is this many times as wide as a person: with legs apart one is nearly twice as wide as
/// standing.
const WIDE: f32 = 1.75;
/// Or this many times as high.
const HIGH: f32 = 1.65;
/// The most people in a row of one silhouette.
const MOST: usize = 6;

/// The picture's size in pixels and the size of people, when it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) size: Option<&'a PersonSize>,
}

impl View<'_> {
    pub(super) fn rect(&self, blob: &Blob) -> Rect {
        let (w, h) = (self.width as f32, self.height as f32);
        Rect::between(
            blob.left as f32 / w,
            blob.top as f32 / h,
            blob.right as f32 / w,
            blob.bottom as f32 / h,
        )
    }

    /// The expected size in pixels of somebody whose feet are in this row.
    pub(super) fn expected(&self, foot: usize) -> Option<(f32, f32)> {
        let (w, h) = self.size?.at(foot as f32 / self.height as f32);
        Some((w * self.width as f32, h * self.height as f32))
    }
}

/// Columns of a silhouette that reach no higher than this part of it are at its feet: a shadow on the ground, or a toe.
const SKIRT: f32 = 0.35;
/// Lower than this, in pixels, a silhouette has no skirt that could be told from it.
const LEAST_HIGH: usize = 12;

/// Clears the columns of each blob that reach no higher than its feet, where a shadow lies that was not told from somebody
/// by its brightness. It joins people who walk beside each other, and draws the middle of one to the side. True when there
/// were some.
pub(super) fn cut_skirts<'a>(mask: &mut [u8], width: usize, blobs: impl Iterator<Item = &'a Blob>) -> bool {
    let mut any = false;
    for blob in blobs.filter(|blob| blob.height() >= LEAST_HIGH) {
        let low = blob.bottom - (SKIRT * blob.height() as f32) as usize;
        let mut tops = vec![blob.bottom; blob.width()];
        for run in &blob.runs {
            for top in &mut tops[run.from - blob.left..run.to - blob.left] {
                *top = run.y.min(*top);
            }
        }
        if tops.iter().all(|top| *top < low) || 4 * tops.iter().filter(|top| **top < low).count() < tops.len()
        {
            continue;
        }
        any = true;
        for run in &blob.runs {
            for x in (run.from..run.to).filter(|x| tops[x - blob.left] >= low) {
                mask[run.y * width + x] = SAME;
            }
        }
    }
    any
}

/// Joins blobs that lie above each other and are together no larger than a person.
pub(super) fn join(mut blobs: Vec<Blob>, view: View<'_>) -> Vec<Blob> {
    // From the lowest up: the feet tell how large the person is.
    blobs.sort_by_key(|blob| (std::cmp::Reverse(blob.bottom), blob.left));
    let mut joined: Vec<Blob> = Vec::new();
    for blob in blobs {
        let fits = joined.iter().position(|low| {
            let (w, h) = view.expected(low.bottom).unwrap_or_else(|| {
                let h = 0.5 * view.height as f32;
                (low.width().max(blob.width()) as f32, h)
            });
            let common = low.right.min(blob.right).saturating_sub(low.left.max(blob.left));
            let gap = low.top.saturating_sub(blob.bottom) as f32;
            let width = low.right.max(blob.right) - low.left.min(blob.left);
            let height = low.bottom.max(blob.bottom) - low.top.min(blob.top);
            let reach = if view.size.is_some() { 0.3 * h } else { 0.06 * view.height as f32 };
            2 * common >= low.width().min(blob.width())
                && gap <= reach
                && (height as f32) < 1.15 * h
                && (width as f32) < 1.4 * w
        });
        match fits {
            Some(n) => joined[n].join(blob),
            None => joined.push(blob),
        }
    }
    joined
}

/// Splits a blob that is too large for one person, at its slimmest places.
pub(super) fn split(blob: Blob, view: View<'_>) -> Vec<Blob> {
    let Some((w, h)) = view.expected(blob.bottom) else { return vec![blob] };
    let across = blob.width() as f32 / w;
    if across > WIDE {
        let parts = (across * 0.9).round().clamp(2.0, MOST as f32) as usize;
        let mut columns = vec![0u32; blob.width()];
        for run in &blob.runs {
            for column in &mut columns[run.from - blob.left..run.to - blob.left] {
                *column += 1;
            }
        }
        let cuts: Vec<usize> = cuts(&columns, parts).into_iter().map(|c| c + blob.left).collect();
        return cut(blob, &cuts, |run, at| {
            let left = (run.from < at).then(|| Run { to: run.to.min(at), ..run });
            let right = (run.to > at).then(|| Run { from: run.from.max(at), ..run });
            (left, right)
        });
    }
    if blob.height() as f32 / h > HIGH && blob.bottom < view.height {
        let mut rows = vec![0u32; blob.height()];
        for run in &blob.runs {
            rows[run.y - blob.top] += (run.to - run.from) as u32;
        }
        let cuts: Vec<usize> = cuts(&rows, 2).into_iter().map(|c| c + blob.top).collect();
        return cut(blob, &cuts, |run, at| if run.y < at { (Some(run), None) } else { (None, Some(run)) });
    }
    vec![blob]
}

/// Where to cut a profile into so many parts: where it is lowest, not far from equal parts.
fn cuts(profile: &[u32], parts: usize) -> Vec<usize> {
    let share = profile.len() as f32 / parts as f32;
    (1..parts)
        .map(|n| {
            let middle = share * n as f32;
            let (from, to) = ((middle - 0.3 * share) as usize, (middle + 0.3 * share) as usize);
            (from.max(1)..=to.min(profile.len() - 1))
                .min_by_key(|at| (profile[*at], (*at as f32 - middle).abs() as u32))
                .unwrap_or(middle as usize)
        })
        .collect()
}

fn cut(blob: Blob, cuts: &[usize], halves: impl Fn(Run, usize) -> (Option<Run>, Option<Run>)) -> Vec<Blob> {
    // Which pixels are strong is not known by run; the parts get their share.
    let share = blob.strong as f32 / blob.area.max(1) as f32;
    let (mut parts, mut rest) = (Vec::new(), blob.runs);
    for at in cuts {
        let (near, far): (Vec<_>, Vec<_>) = rest.into_iter().map(|run| halves(run, *at)).unzip();
        parts.push(near);
        rest = far.into_iter().flatten().collect();
    }
    parts.push(rest.into_iter().map(Some).collect());
    parts
        .into_iter()
        .filter_map(|runs| {
            runs.into_iter()
                .flatten()
                .map(|run| Blob {
                    left: run.from,
                    top: run.y,
                    right: run.to,
                    bottom: run.y + 1,
                    area: run.to - run.from,
                    strong: 0,
                    runs: vec![run],
                })
                .reduce(|mut a, b| {
                    a.join(b);
                    a
                })
        })
        .map(|part| Blob { strong: (part.area as f32 * share) as usize, ..part })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::blobs;

    fn blob(picture: &[&str]) -> Vec<Blob> {
        let mask: Vec<u8> =
            picture.iter().flat_map(|row| row.bytes().map(|b| 2 * u8::from(b == b'#'))).collect();
        blobs::find(&mask, picture[0].len(), 1)
    }

    const SIZE: PersonSize = PersonSize { top: 0.5, bottom: 0.5, aspect: 0.6 };

    #[test]
    fn two_side_by_side_are_split_between_them() {
        let picture = [
            "....................",
            "..##........##......",
            ".####......####.....",
            ".####......####.....",
            ".##############.....",
            ".####......####.....",
            ".####......####.....",
            ".####......####.....",
            "....................",
            "....................",
            "....................",
            "....................",
        ];
        let view = View { width: 20, height: 12, size: Some(&SIZE) };
        let found = blob(&picture);
        assert_eq!(found.len(), 1);
        let parts = split(found[0].clone(), view);
        assert_eq!(parts.len(), 2);
        assert!((5..12).contains(&parts[0].right) && parts[1].left == parts[0].right, "{parts:?}");
        assert_eq!(parts.iter().map(|p| p.area).sum::<usize>(), found[0].area);
        // Nothing is known of sizes: nothing is split.
        assert_eq!(split(found[0].clone(), View { size: None, ..view }).len(), 1);
    }

    #[test]
    fn head_and_legs_of_one_are_joined_and_two_people_are_not() {
        let picture = [
            "..##................",
            "..##................",
            "....................",
            "..##................",
            "..##................",
            "..##..........##....",
            "..............##....",
            "..............##....",
        ];
        let view =
            View { width: 20, height: 8, size: Some(&PersonSize { top: 0.7, bottom: 0.7, aspect: 0.2 }) };
        let joined = join(blob(&picture), view);
        assert_eq!(joined.len(), 2);
        assert!(joined.iter().any(|b| b.height() == 6 && b.width() == 2), "{joined:?}");
    }
}
