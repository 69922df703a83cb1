//! Which face is whose.
//!
//! Boxes of people are not to be relied on: a motion detector joins two people into one box, cuts heads off, changes its
//! mind, and forgets who stands still. So a face is followed by its own place, and a person's box only joins what was
//! seen of a face before and after a time in which it was not seen.

use super::quality::Quality;
use super::{OwnedI420, PickerSettings};
use crate::{Detection, Point, Rect, Sight, Track};

/// How far a face may be from where it was, in its own sizes: at once, and more for each second.
const REACH: (f32, f32) = (0.8, 1.5);
/// The time after which it may be no farther away, in seconds.
const REACH_S: f32 = 1.5;
/// How much larger or smaller it may have become (the logarithm): at once, and more for each second.
const CHANGE: (f32, f32) = (0.6, 0.3);
/// For how long a face goes on as it went, in seconds.
const GOES_ON_S: f64 = 0.7;
/// A face that was not seen for so long may be the same as another one on the same person, in seconds.
const AWAY_S: f64 = 1.0;
/// How frontal a face must be to be kept.
const FRONTAL: f32 = 0.4;
/// How often somebody's face must have been seen frontally to be believed.
const SEEN_OFTEN: u32 = 3;
/// By which part a face must be better to be kept instead.
const BETTER: f32 = 0.01;

/// A picture of a face that may be given out.
#[derive(Debug)]
pub(super) struct Shot {
    pub(super) t: f64,
    pub(super) score: f32,
    pub(super) picture: OwnedI420,
}

/// Somebody's face.
#[derive(Debug)]
pub(super) struct Face {
    id: u64,
    /// The track of whose it is, or was when that was last known.
    pub(super) track: Option<u64>,
    pub(super) rect: Rect,
    /// In pictures per second.
    velocity: Point,
    /// When it was last seen.
    pub(super) seen: f64,
    /// When it was last looked for.
    pub(super) looked: f64,
    /// How often it was seen frontally; what looks away counts against it.
    frontal: u32,
    is_believed: bool,
    /// Faces that were seen at the same time as this one: other people's.
    apart: Vec<u64>,
    /// The best picture until now.
    pub(super) shot: Option<Shot>,
    /// When there first was a picture, and when there was a better one.
    first: f64,
    improved: f64,
    pub(super) is_given: bool,
}

impl Face {
    /// Where it should be at `t`.
    fn place(&self, t: f64) -> Point {
        let dt = (t - self.seen).clamp(0.0, GOES_ON_S) as f32;
        let centre = self.rect.centre();
        Point::new(centre.x + self.velocity.x * dt, centre.y + self.velocity.y * dt)
    }

    /// How unlikely it is that a detection is this face, or `None` when it cannot be.
    fn cost(&self, found: &Detection, tracks: &[Track], t: f64, patience_s: f64) -> Option<f32> {
        let unseen = t - self.seen;
        let (rect, dt) = (&found.rect, (unseen as f32).min(REACH_S));
        let change = (rect.h / self.rect.h.max(f32::MIN_POSITIVE)).ln().abs();
        if change.is_nan() || change > CHANGE.0 + CHANGE.1 * dt {
            return None;
        }
        let owner = self.track.and_then(|id| tracks.iter().find(|track| track.id == id));
        let is_on_owner = owner.is_some_and(|owner| is_on(owner, rect));
        let (from, to) = (self.place(t), rect.centre());
        let (w, h) = ((rect.w + self.rect.w) / 2.0, (rect.h + self.rect.h) / 2.0);
        let far = ((to.x - from.x) / w).hypot((to.y - from.y) / h) / (REACH.0 + REACH.1 * dt);
        // Who was not seen for a while, and is somewhere else now, is not who came to where he was.
        let is_elsewhere = unseen > AWAY_S && owner.is_some() && !is_on_owner;
        (far <= 1.0 && unseen <= patience_s && !is_elsewhere).then_some(far + 0.5 * change)
    }

    fn observe(&mut self, found: &Detection, tracks: &[Track], t: f64) {
        let dt = (t - self.seen) as f32;
        if dt > 0.0 {
            let (was, now) = (self.rect.centre(), found.rect.centre());
            let (vx, vy) = ((now.x - was.x) / dt, (now.y - was.y) / dt);
            let is_steady = dt <= GOES_ON_S as f32;
            self.velocity = if is_steady {
                Point::new((self.velocity.x + vx) / 2.0, (self.velocity.y + vy) / 2.0)
            } else {
                Point::default()
            };
        }
        self.rect = found.rect;
        self.seen = t;
        let mut owners = tracks.iter().filter(|track| is_on(track, &found.rect));
        let still = owners.clone().find(|track| Some(track.id) == self.track);
        // Of two boxes neither is known to be his.
        let only = owners.next().filter(|_| owners.next().is_none());
        let owner = still.or(only);
        if let Some(owner) = owner {
            self.track = Some(owner.id);
        }
    }

    /// Takes what was measured in the frame of `t`. `picture` is asked for when it is better than what there is.
    pub(super) fn judge(
        &mut self,
        quality: &Quality,
        found: &Detection,
        settings: &PickerSettings,
        t: f64,
        picture: impl FnOnce() -> Option<OwnedI420>,
    ) {
        if self.is_given || found.score < settings.least_score {
            return;
        }
        if quality.frontal < FRONTAL {
            self.frontal = self.frontal.saturating_sub(1);
            return;
        }
        self.frontal += 1;
        self.is_believed |= self.frontal >= SEEN_OFTEN;
        let best = self.shot.as_ref().map_or(0.0, |shot| shot.score * (1.0 + BETTER));
        if quality.pixels < settings.least_pixels as f32 || quality.score <= best {
            return;
        }
        if let Some(picture) = picture() {
            if self.shot.is_none() {
                self.first = t;
            }
            self.improved = t;
            self.shot = Some(Shot { t, score: quality.score, picture });
        }
    }

    /// Whether there is a picture that can be believed and will hardly be bettered.
    fn is_ready(&self, settings: &PickerSettings, t: f64) -> bool {
        let is_settled = t - self.improved >= settings.settle_s || t - self.first >= settings.longest_s;
        self.shot.is_some() && self.is_believed && is_settled
    }

    /// The picture, which is given out only once.
    pub(super) fn give(&mut self) -> Option<Shot> {
        if !self.is_believed {
            return None;
        }
        let shot = self.shot.take()?;
        self.is_given = true;
        Some(shot)
    }

    /// Becomes one with a later face of the same person.
    fn absorb(&mut self, other: Self) {
        let score = |shot: &Option<Shot>| shot.as_ref().map_or(0.0, |shot| shot.score);
        if score(&other.shot) > score(&self.shot) {
            self.shot = other.shot;
            self.improved = other.improved;
        }
        self.first = self.first.min(other.first);
        self.frontal += other.frontal;
        self.is_believed |= other.is_believed;
        self.is_given |= other.is_given;
        if self.is_given {
            self.shot = None;
        }
        self.apart.extend(other.apart);
        (self.track, self.rect, self.velocity) = (other.track, other.rect, other.velocity);
        (self.seen, self.looked) = (other.seen, other.looked);
    }
}

/// Whether a face can be that of somebody: in the upper half of the box, and smaller.
pub(super) fn is_on(track: &Track, face: &Rect) -> bool {
    let (rect, centre) = (track.rect(), face.centre());
    let around = rect.grown(0.1);
    let is_in = (around.x..=around.right()).contains(&centre.x)
        && (around.y..=rect.y + 0.55 * rect.h).contains(&centre.y);
    track.confirmed && track.sight != Sight::Hidden && is_in && face.h < 0.7 * rect.h
}

/// All faces that are followed.
#[derive(Debug, Default)]
pub(super) struct Faces {
    pub(super) list: Vec<Face>,
    next: u64,
}

impl Faces {
    /// Takes out who has gone at `t`, and who is to be given out.
    pub(super) fn leave(&mut self, tracks: &[Track], settings: &PickerSettings, t: f64) -> Vec<Face> {
        let is_gone = |face: &mut Face| {
            let is_followed = tracks.iter().any(|track| Some(track.id) == face.track);
            t - face.seen > settings.patience_s && !is_followed
        };
        self.list.extract_if(.., is_gone).collect()
    }

    /// Those whose picture is to be given out now.
    pub(super) fn ready(&mut self, settings: &PickerSettings, t: f64) -> impl Iterator<Item = &mut Face> {
        self.list.iter_mut().filter(move |face| face.is_ready(settings, t))
    }

    /// Tells whose face each detection is; those of nobody yet begin one when they are sure. Gives the index of the face
    /// of each detection.
    pub(super) fn assign(
        &mut self,
        found: &[Detection],
        tracks: &[Track],
        settings: &PickerSettings,
        t: f64,
    ) -> Vec<Option<usize>> {
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (d, detection) in found.iter().enumerate() {
            for (f, face) in self.list.iter().enumerate() {
                let cost = face.cost(detection, tracks, t, settings.patience_s);
                pairs.extend(cost.map(|cost| (cost, d, f)));
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut given: Vec<Option<usize>> = vec![None; found.len()];
        for (_, d, f) in pairs {
            if given[d].is_none() && !given.contains(&Some(f)) {
                given[d] = Some(f);
            }
        }
        for (slot, detection) in given.iter_mut().zip(found) {
            if slot.is_none() && detection.score >= settings.least_score && self.list.len() < settings.most {
                *slot = Some(self.list.len());
                self.begin(detection.rect, t);
            }
        }
        let now: Vec<(usize, u64)> = given.iter().flatten().map(|f| (*f, self.list[*f].id)).collect();
        for (f, detection) in given.iter().zip(found).filter_map(|(f, d)| Some(((*f)?, d))) {
            let face = &mut self.list[f];
            face.observe(detection, tracks, t);
            for (other, id) in &now {
                if *other != f && !face.apart.contains(id) {
                    face.apart.push(*id);
                }
            }
        }
        given
    }

    fn begin(&mut self, rect: Rect, t: f64) {
        self.next += 1;
        self.list.push(Face {
            id: self.next,
            track: None,
            rect,
            velocity: Point::default(),
            seen: t,
            looked: t,
            frontal: 0,
            is_believed: false,
            apart: Vec::new(),
            shot: None,
            first: f64::INFINITY,
            improved: 0.0,
            is_given: false,
        });
    }

    /// Makes one face of two on the same person that were never seen together, the older of which is seen no more.
    pub(super) fn join(&mut self, t: f64) {
        let mut newer = 0;
        while newer < self.list.len() {
            let face = &self.list[newer];
            let older = self.list[..newer].iter().position(|old| {
                let is_same = face.track.is_some() && old.track == face.track;
                let is_other = face.apart.contains(&old.id) || old.apart.contains(&face.id);
                is_same && !is_other && t - old.seen > AWAY_S && face.frontal >= 2
            });
            match older {
                Some(older) => {
                    let face = self.list.remove(newer);
                    self.list[older].absorb(face);
                }
                None => newer += 1,
            }
        }
        let ids: Vec<u64> = self.list.iter().map(|face| face.id).collect();
        for face in &mut self.list {
            face.apart.retain(|id| ids.contains(id));
        }
    }
}
