//! Connected parts of a mask.

use super::background::{SAME, STRONG};

/// A row of set pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) y: usize,
    pub(super) from: usize,
    /// One beyond the last.
    pub(super) to: usize,
}

/// A connected part, in pixels.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) left: usize,
    pub(super) top: usize,
    /// One beyond the last column.
    pub(super) right: usize,
    /// One beyond the last row.
    pub(super) bottom: usize,
    pub(super) area: usize,
    /// How many of its pixels differ much.
    pub(super) strong: usize,
    pub(super) runs: Vec<Run>,
}

impl Blob {
    pub(super) fn width(&self) -> usize {
        self.right - self.left
    }

    pub(super) fn height(&self) -> usize {
        self.bottom - self.top
    }

    /// Takes another's pixels.
    pub(super) fn join(&mut self, other: Self) {
        self.left = self.left.min(other.left);
        self.top = self.top.min(other.top);
        self.right = self.right.max(other.right);
        self.bottom = self.bottom.max(other.bottom);
        self.area += other.area;
        self.strong += other.strong;
        self.runs.extend(other.runs);
    }
}

/// More runs than this are snow, in which nobody is to be found.
const MOST_RUNS: usize = 40_000;

/// The connected parts (neighbours across corners included) with at least `least` pixels, from top to bottom.
pub(super) fn find(mask: &[u8], width: usize, least: usize) -> Vec<Blob> {
    let mut runs: Vec<Run> = Vec::new();
    let mut parent: Vec<usize> = Vec::new();
    let mut above = 0..0;
    for (y, row) in mask.chunks_exact(width).enumerate() {
        let first = runs.len();
        let mut x = 0;
        while let Some(from) = row[x..].iter().position(|m| *m != SAME).map(|n| x + n) {
            let to = row[from..].iter().position(|m| *m == SAME).map_or(width, |n| from + n);
            let this = runs.len();
            runs.push(Run { y, from, to });
            parent.push(this);
            for other in above.clone() {
                let other_run = runs[other];
                if other_run.from <= to && other_run.to >= from {
                    let (a, b) = (root(&mut parent, other), root(&mut parent, this));
                    parent[a.max(b)] = a.min(b);
                }
            }
            x = to;
        }
        above = first..runs.len();
        if runs.len() > MOST_RUNS {
            return Vec::new();
        }
    }
    let mut blobs: Vec<Option<Blob>> = vec![None; runs.len()];
    for (n, run) in runs.iter().enumerate() {
        let pixels = &mask[run.y * width..][run.from..run.to];
        let part = Blob {
            left: run.from,
            top: run.y,
            right: run.to,
            bottom: run.y + 1,
            area: pixels.len(),
            strong: pixels.iter().filter(|m| **m == STRONG).count(),
            runs: vec![*run],
        };
        match &mut blobs[root(&mut parent, n)] {
            Some(blob) => blob.join(part),
            none => *none = Some(part),
        }
    }
    blobs.into_iter().flatten().filter(|blob| blob.area >= least).collect()
}

fn root(parent: &mut [usize], mut n: usize) -> usize {
    while parent[n] != n {
        parent[n] = parent[parent[n]];
        n = parent[n];
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_horseshoe_is_one_blob_and_what_is_in_it_another() {
        let picture = ["#.....#.", "#..#..#.", "#.....#.", "#######.", "........", "......##"];
        let mask: Vec<u8> = picture.iter().flat_map(|r| r.bytes().map(|b| u8::from(b == b'#'))).collect();
        let blobs = find(&mask, 8, 1);
        assert_eq!(blobs.iter().map(|b| b.area).collect::<Vec<_>>(), [13, 1, 2]);
        assert_eq!((blobs[0].left, blobs[0].top, blobs[0].right, blobs[0].bottom), (0, 0, 7, 4));
        assert_eq!(find(&mask, 8, 2).len(), 2);
    }
}
