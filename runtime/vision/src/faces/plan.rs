//! Where to look for faces now.
//!
//! A detector of faces costs more than all else, so that it looks only so often. In a part of the picture it finds faces
//! that are too small for it in the whole one.

use super::PickerSettings;
use super::follow::{Face, is_on};
use crate::{Frame, Rect, Sight, Track};
use std::collections::BTreeMap;

/// Width and height of the smallest part that is looked at, in pixels: what a small detector looks at. In less it finds less,
/// because it would have to be enlarged.
const LEAST: (f32, f32) = (320.0, 240.0);
/// A part that is as much of the picture is all of it.
const NEARLY_ALL: f32 = 0.5;
/// The height of a part around a known face, in heights of the face.
const AROUND: f32 = 5.0;
/// Who is covered by a part that is this much higher than his own is not looked at again.
const COARSER: f32 = 1.6;
/// How often a face is looked at that is good enough or given out, in seconds.
const SELDOM_S: f64 = 1.0;
/// A face of this score is good enough.
const EXCELLENT: f32 = 0.85;
/// By how much longer one waits before looking at somebody again after each time without a face, and at most, in seconds.
const WAIT_S: (f64, f64) = (0.1, 0.5);
/// A face that was seen so lately is looked for where it was, in seconds.
const LATELY_S: f64 = 1.0;

/// A part of the picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Part {
    fn whole(frame: &Frame<'_>) -> Self {
        Self { x: 0, y: 0, width: frame.width(), height: frame.height() }
    }

    /// A part of the shape of what a detector sees, in the picture as far as possible, with this box (in parts of the
    /// picture) in it.
    fn around(rect: &Rect, frame: &Frame<'_>) -> Self {
        let (width, height) = (frame.width() as f32, frame.height() as f32);
        let (w, h) = (rect.w * width, rect.h * height);
        let h = h.max(LEAST.1).max(w * LEAST.1 / LEAST.0);
        let w = (h * LEAST.0 / LEAST.1).min(width);
        let h = h.min(height);
        if w.is_nan() || h.is_nan() || w * h >= NEARLY_ALL * width * height {
            return Self::whole(frame);
        }
        let centre = rect.centre();
        let place = |middle: f32, long: f32, all: f32| (middle * all - long / 2.0).clamp(0.0, all - long);
        let (x, y) = (place(centre.x, w, width), place(centre.y, h, height));
        Self { x: x as usize & !1, y: y as usize & !1, width: w as usize, height: h as usize }
    }

    /// The pixels.
    pub(super) fn of<'a>(&self, frame: &Frame<'a>) -> Option<Frame<'a>> {
        frame.part(self.x, self.y, self.width, self.height)
    }

    /// As a part of the picture.
    fn rect(&self, frame: &Frame<'_>) -> Rect {
        let (width, height) = (frame.width() as f32, frame.height() as f32);
        let (x, y) = (self.x as f32 / width, self.y as f32 / height);
        Rect::new(x, y, self.width as f32 / width, self.height as f32 / height)
    }

    /// From a box in the part to one in the picture; `None` for one that the part, and not the picture, cuts off.
    pub(super) fn place(&self, rect: &Rect, frame: &Frame<'_>) -> Option<Rect> {
        /// So near to the border is on it.
        const BORDER: f32 = 0.01;
        let part = self.rect(frame);
        let is_cut = (rect.x < BORDER && self.x > 0)
            || (rect.y < BORDER && self.y > 0)
            || (rect.right() > 1.0 - BORDER && self.x + self.width < frame.width())
            || (rect.bottom() > 1.0 - BORDER && self.y + self.height < frame.height());
        let (x, y) = (part.x + rect.x * part.w, part.y + rect.y * part.h);
        (!is_cut).then(|| Rect::new(x, y, rect.w * part.w, rect.h * part.h))
    }

    /// Whether what should be looked at as `own` is looked at well enough as this.
    fn covers(&self, own: &Self, core: &Rect, frame: &Frame<'_>) -> bool {
        core.clipped().inside(&self.rect(frame)) > 0.98 && self.height as f32 <= COARSER * own.height as f32
    }
}

/// Where somebody's face should be: in the upper part of his box, and a little above it.
fn upper(rect: &Rect, frame: &Frame<'_>) -> Rect {
    let across = rect.w * frame.width() as f32 / frame.height() as f32;
    let high = (1.2 * across).max(0.4 * rect.h).min(rect.h);
    Rect::new(rect.x - 0.2 * rect.w, rect.y - 0.1 * rect.h, 1.4 * rect.w, high + 0.1 * rect.h)
}

/// When somebody without a known face was looked at, and how often in vain.
#[derive(Debug, Clone, Copy)]
struct Search {
    looked: f64,
    vain: u32,
}

/// Remembers what was looked at.
#[derive(Debug, Default)]
pub(super) struct Plan {
    people: BTreeMap<u64, Search>,
    whole: Option<f64>,
}

/// Something to look at.
struct Target {
    looked: f64,
    core: Rect,
    part: Part,
    who: Who,
}

#[derive(Clone, Copy)]
enum Who {
    Face(usize),
    Person(u64),
}

impl Plan {
    /// The parts of this frame to look at, most urgent first.
    pub(super) fn parts(
        &mut self,
        frame: &Frame<'_>,
        tracks: &[Track],
        faces: &mut [Face],
        settings: &PickerSettings,
        t: f64,
    ) -> Vec<Part> {
        self.people.retain(|id, _| tracks.iter().any(|track| track.id == *id));
        let (mut parts, mut seen) = (Vec::new(), Vec::new());
        let most = settings.looks.max(1);
        if self.whole.is_none_or(|last| t - last >= settings.whole_s) {
            self.whole = Some(t);
            parts.push(Part::whole(frame));
        }
        let mut targets = self.targets(frame, tracks, faces, t);
        targets.sort_by(|a, b| a.looked.total_cmp(&b.looked));
        for target in targets {
            let is_covered =
                |parts: &[Part]| parts.iter().any(|part| part.covers(&target.part, &target.core, frame));
            if !is_covered(&parts) && parts.len() < most {
                parts.push(target.part);
            }
            if is_covered(&parts) || parts.contains(&target.part) {
                seen.push(target.who);
            }
        }
        for who in seen {
            match who {
                Who::Face(n) => faces[n].looked = t,
                Who::Person(id) => {
                    let search = self.people.entry(id).or_insert(Search { looked: t, vain: 0 });
                    search.looked = t;
                    search.vain = search.vain.saturating_add(1);
                }
            }
        }
        parts
    }

    /// All who are due.
    fn targets(&self, frame: &Frame<'_>, tracks: &[Track], faces: &[Face], t: f64) -> Vec<Target> {
        let mut targets = Vec::new();
        for (n, face) in faces.iter().enumerate() {
            let is_good = face.shot.as_ref().is_some_and(|shot| shot.score >= EXCELLENT);
            let is_lost = t - face.seen > LATELY_S;
            let owner = tracks.iter().find(|k| Some(k.id) == face.track && k.sight != Sight::Hidden);
            let core = match owner {
                Some(owner) if is_lost => upper(&owner.rect(), frame),
                _ => face.rect.grown(0.5),
            };
            let around = match owner {
                Some(_) if is_lost => core,
                _ => face.rect.grown((AROUND - 1.0) / 2.0),
            };
            let vain = face.looked - face.seen;
            let wait = match () {
                // Detectors fail now and then: at once again, and later less often.
                () if vain > 0.0 => (vain / 2.0).min(WAIT_S.1),
                () if face.is_given || is_good => SELDOM_S,
                () => 0.0,
            };
            if t - face.looked >= wait {
                let part = Part::around(&around, frame);
                targets.push(Target { looked: face.looked, core, part, who: Who::Face(n) });
            }
        }
        for track in tracks.iter().filter(|track| track.confirmed && track.sight != Sight::Hidden) {
            let has_face = faces.iter().any(|face| {
                face.track == Some(track.id) || (t - face.seen < LATELY_S && is_on(track, &face.rect))
            });
            let search = self.people.get(&track.id).copied();
            let search = search.unwrap_or(Search { looked: f64::NEG_INFINITY, vain: 0 });
            let wait = (WAIT_S.0 * f64::from(search.vain)).min(WAIT_S.1);
            if !has_face && t - search.looked >= wait {
                let core = upper(&track.rect(), frame);
                let part = Part::around(&core, frame);
                targets.push(Target { looked: search.looked, core, part, who: Who::Person(track.id) });
            }
        }
        targets
    }
}
