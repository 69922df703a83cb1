//! Which detection is whom.

use super::matching::{EASE, LIMITS};
use super::{Sight, Track, group};
use crate::Detection;

/// What a tracker may assume. The defaults suit people who walk before a fixed camera at 5 to 30 frames a second.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackerSettings {
    /// From this score on a detection may begin a track; weaker ones only continue one.
    pub strong: f32,
    /// Detections below this are ignored.
    pub weak: f32,
    /// Seconds for which somebody must have been seen, and at least three times, to be believed.
    pub confirm_s: f64,
    /// Seconds for which somebody who is not seen is waited for.
    pub patience_s: f64,
    /// The same for who was last seen beside or behind somebody else who is still there.
    pub merged_patience_s: f64,
}

impl Default for TrackerSettings {
    fn default() -> Self {
        Self { strong: 0.5, weak: 0.1, confirm_s: 0.25, patience_s: 2.0, merged_patience_s: 6.0 }
    }
}

/// The most tracks that are followed at a time; more detections than that are no people.
const MOST: usize = 128;
/// A pause in the frames that is longer than this ends all tracks, in seconds.
const PAUSE: f64 = 5.0;
/// Follows people from frame to frame.
///
/// Matching is done in two stages as ByteTrack does it (strong detections first, then weak ones for who is left), by
/// intersection over union of *enlarged* boxes, so that small and fast people who do not overlap themselves from one
/// frame to the next are still matched. What one detection covers of several people, and what several detections show
/// of one, is sorted out between the two.
#[derive(Debug)]
pub struct Tracker {
    pub(super) settings: TrackerSettings,
    pub(super) tracks: Vec<Track>,
    last: Option<f64>,
    next: u64,
}

impl Default for Tracker {
    fn default() -> Self {
        Self::new(TrackerSettings::default())
    }
}

impl Tracker {
    /// One that follows nobody yet.
    #[must_use]
    pub fn new(settings: TrackerSettings) -> Self {
        Self { settings, tracks: Vec::new(), last: None, next: 1 }
    }

    /// Everybody who is followed now, believed or not, oldest first.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Takes the detections of the frame of second `t`. Frames that are not later than the one before are ignored.
    pub fn step(&mut self, detections: &[Detection], t: f64) -> &[Track] {
        let dt = self.last.map_or(0.0, |last| t - last);
        if !t.is_finite() || (self.last.is_some() && dt <= 0.0) {
            return &self.tracks;
        }
        self.last = Some(t);
        if dt > PAUSE {
            self.tracks.clear();
        }
        for track in &mut self.tracks {
            track.predict(dt as f32);
        }
        let usable = |least: f32, most: f32| {
            detections
                .iter()
                .filter(move |d| {
                    d.rect.is_sound() && d.rect.area() > 0.0 && d.score >= least && d.score < most
                })
                .copied()
                .collect::<Vec<_>>()
        };
        let mut strong = usable(self.settings.strong, f32::INFINITY);
        strong.truncate(MOST);
        let mut weak = usable(self.settings.weak, self.settings.strong);
        weak.truncate(MOST);
        self.update(&mut strong, &weak, t, dt as f32);
        self.drop_parts(dt as f32);
        self.bury(t);
        &self.tracks
    }

    fn update(&mut self, strong: &mut [Detection], weak: &[Detection], t: f64, dt: f32) {
        // Who is believed chooses first: what is new beside him may be a piece of him.
        let (old, new): (Vec<usize>, Vec<usize>) =
            (0..self.tracks.len()).partition(|n| self.tracks[*n].confirmed);
        let mut matched = self.matches(strong, old.into_iter(), (t, dt), (LIMITS.0, EASE.0));
        let mut taken = taken(&matched, strong.len());
        let (places, left): (Vec<usize>, Vec<Detection>) =
            strong.iter().copied().enumerate().filter(|(d, _)| !taken[*d]).unzip();
        for (track, found) in
            self.matches(&left, new.into_iter(), (t, dt), (LIMITS.0, EASE.0)).into_iter().enumerate()
        {
            if let Some(found) = found {
                matched[track] = Some(places[found]);
                taken[places[found]] = true;
            }
        }
        self.join_fragments(strong, &matched, &mut taken);
        let groups = self.groups(strong, &mut matched);
        // Weak detections continue who was seen a moment ago, and begin nobody.
        let left: Vec<usize> = (0..self.tracks.len())
            .filter(|n| matched[*n].is_none() && !groups.iter().any(|g| g.1.contains(n)))
            .collect();
        let second = self.matches(weak, left.iter().copied(), (t, dt), (LIMITS.1, EASE.1));
        for (n, track) in self.tracks.iter_mut().enumerate() {
            let found = matched[n].map(|d| &strong[d]).or(second[n].map(|d| &weak[d]));
            match found {
                Some(_) if groups.iter().any(|g| g.1.contains(&n)) => {}
                Some(found) => {
                    track.observe(found.rect, found.score, t);
                    track.strong_hits += u32::from(matched[n].is_some());
                }
                None => track.sight = Sight::Hidden,
            }
        }
        for (detection, members) in &groups {
            let mut members: Vec<&mut Track> = self
                .tracks
                .iter_mut()
                .enumerate()
                .filter(|(n, _)| members.contains(n))
                .map(|(_, m)| m)
                .collect();
            group::observe(&mut members, strong[*detection].rect, t);
        }
        for track in &mut self.tracks {
            track.frames += 1;
            if track.sight != Sight::Hidden {
                let how = (track.sight == Sight::Seen, track.detected.is_whole());
                track.walker.step(&track.rect(), t, how);
            }
            // Who is seen in fewer than half of the frames is noise, or the edge of something.
            let is_often = track.strong_hits >= 3 && 2 * track.strong_hits >= track.frames;
            track.confirmed |= is_often && t - track.since >= self.settings.confirm_s - 1e-6;
        }
        for (detection, taken) in strong.iter().zip(taken) {
            if !taken && self.tracks.len() < MOST && !self.is_part_of_somebody(detection) {
                let id = self.next;
                self.next += 1;
                self.tracks.push(Track::new(id, detection.rect, detection.score, detection.class, t));
            }
        }
    }

    /// Detections that nobody took and that are a missing part of somebody are joined to what that one took.
    fn join_fragments(&self, strong: &mut [Detection], matched: &[Option<usize>], taken: &mut [bool]) {
        for part in 0..strong.len() {
            if taken[part] {
                continue;
            }
            let whole = self.tracks.iter().zip(matched).find_map(|(track, m)| {
                let m = (*m)?;
                let (rect, seen) = (track.rect(), strong[m].rect);
                let joined = seen.union(&strong[part].rect);
                let fits = track.confirmed
                    && track.sight == Sight::Seen
                    && seen.area() < 0.8 * rect.area()
                    && strong[part].rect.inside(&rect.grown(0.15)) > 0.8
                    && joined.w < 1.25 * rect.w
                    && joined.h < 1.15 * rect.h;
                fits.then_some((m, joined))
            });
            if let Some((m, joined)) = whole {
                strong[m].rect = joined;
                taken[part] = true;
            }
        }
    }

    /// Which detections cover several believed tracks. Those who are behind one of nearly their own size stay hidden.
    fn groups(&self, strong: &[Detection], matched: &mut [Option<usize>]) -> Vec<(usize, Vec<usize>)> {
        let mut groups = Vec::new();
        for (d, detection) in strong.iter().enumerate() {
            let Some(owner) = matched.iter().position(|m| *m == Some(d)) else { continue };
            let members: Vec<usize> = (0..self.tracks.len())
                .filter(|n| {
                    let track = &self.tracks[*n];
                    track.confirmed
                        && (*n == owner || matched[*n].is_none())
                        && track.class == detection.class
                        && track.rect().inside(&detection.rect.grown(0.1)) > 0.5
                })
                .collect();
            let owner = &self.tracks[owner];
            if members.len() >= 2 && detection.rect.area() > 1.25 * owner.w * owner.h {
                groups.push((d, members));
            }
        }
        groups
    }

    /// Whether a detection lies over somebody who was seen in this frame: an arm, a bag, the same person found twice. Who
    /// is really behind somebody begins when he comes out.
    fn is_part_of_somebody(&self, detection: &Detection) -> bool {
        self.tracks.iter().any(|track| {
            let rect = track.rect();
            track.class == detection.class
                && track.sight == Sight::Seen
                && (detection.rect.inside(&rect) > 0.6 || rect.inside(&detection.rect) > 0.6)
        })
    }
}

fn taken(matched: &[Option<usize>], detections: usize) -> Vec<bool> {
    let mut taken = vec![false; detections];
    for detection in matched.iter().flatten() {
        taken[*detection] = true;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Rect};
    use proptest::prelude::*;

    fn person(x: f32, y: f32, w: f32, h: f32) -> Detection {
        Detection { rect: Rect::new(x - w / 2.0, y - h / 2.0, w, h), score: 0.9, class: Class::Person }
    }

    fn ids(tracker: &Tracker) -> Vec<u64> {
        tracker.tracks().iter().filter(|t| t.confirmed).map(|t| t.id).collect()
    }

    #[test]
    fn two_who_pass_each_other_as_one_silhouette_keep_their_numbers() {
        let mut tracker = Tracker::default();
        for n in 0..60 {
            let (a, b) = (0.2 + 0.01 * n as f32, 0.8 - 0.01 * n as f32);
            let (low, high) = (a.min(b), a.max(b));
            let detections = if high - low < 0.12 {
                vec![person((a + b) / 2.0, 0.5, high - low + 0.1, 0.4)]
            } else {
                vec![person(a, 0.5, 0.1, 0.4), person(b, 0.5, 0.1, 0.4)]
            };
            tracker.step(&detections, f64::from(n) / 10.0);
        }
        assert_eq!(ids(&tracker), [1, 2]);
        let [a, b] = tracker.tracks() else { panic!("{:?}", tracker.tracks()) };
        assert!(a.rect().centre().x > 0.7 && b.rect().centre().x < 0.3, "{a:?} {b:?}");
    }

    #[test]
    fn who_walks_behind_a_pillar_comes_out_with_the_same_number() {
        let mut tracker = Tracker::default();
        for n in 0..50 {
            let x = 0.1 + 0.016 * n as f32;
            let hidden = (0.4..0.55).contains(&x);
            tracker
                .step(&if hidden { vec![] } else { vec![person(x, 0.5, 0.06, 0.25)] }, f64::from(n) / 10.0);
        }
        assert_eq!(ids(&tracker), [1]);
    }

    #[test]
    fn a_weak_detection_continues_a_track_and_begins_none() {
        let mut tracker = Tracker::default();
        let weak = |x| Detection { score: 0.2, ..person(x, 0.5, 0.1, 0.3) };
        for n in 0..10 {
            tracker.step(&[weak(0.8)], f64::from(n) / 10.0);
        }
        assert!(tracker.tracks().is_empty());
        for n in 10..40 {
            let x = 0.2 + 0.01 * n as f32;
            let detection = if n < 20 { person(x, 0.5, 0.1, 0.3) } else { weak(x) };
            tracker.step(&[detection], f64::from(n) / 10.0);
        }
        assert_eq!(ids(&tracker), [1]);
        assert_eq!(tracker.tracks()[0].sight, Sight::Seen);
    }

    #[test]
    fn a_flash_is_not_believed_and_who_is_gone_is_forgotten() {
        let mut tracker = Tracker::default();
        tracker.step(&[person(0.5, 0.5, 0.1, 0.3)], 0.0);
        tracker.step(&[], 0.1);
        tracker.step(&[], 0.5);
        assert!(tracker.tracks().is_empty());
        for n in 10..20 {
            tracker.step(&[person(0.5, 0.5, 0.1, 0.3)], f64::from(n) / 10.0);
        }
        assert_eq!(ids(&tracker).len(), 1);
        tracker.step(&[], 6.0);
        assert!(tracker.tracks().is_empty());
    }

    #[test]
    fn who_is_found_in_fewer_than_half_of_the_frames_is_not_believed() {
        let mut tracker = Tracker::default();
        for n in 0..60 {
            let found = [person(0.5, 0.5, 0.1, 0.3)];
            tracker.step(if n % 3 == 0 { &found } else { &[] }, f64::from(n) / 10.0);
            assert!(ids(&tracker).is_empty());
        }
    }

    #[test]
    fn head_and_legs_that_come_apart_are_still_one() {
        let mut tracker = Tracker::default();
        for n in 0..40 {
            let x = 0.2 + 0.01 * n as f32;
            let whole = vec![person(x, 0.5, 0.1, 0.4)];
            let parts = vec![person(x, 0.36, 0.1, 0.12), person(x, 0.6, 0.1, 0.2)];
            tracker.step(if n > 20 && n % 2 == 0 { &parts } else { &whole }, f64::from(n) / 10.0);
        }
        assert_eq!(ids(&tracker), [1]);
    }

    #[test]
    fn two_people_who_are_near_each_other_are_matched_for_the_best_of_both() {
        let mut tracker = Tracker::default();
        for n in 0..30 {
            let shift = 0.012 * n as f32;
            // Given in another order every time.
            let mut people = vec![person(0.2 + shift, 0.5, 0.1, 0.3), person(0.29 + shift, 0.5, 0.1, 0.3)];
            people.rotate_left(n as usize % 2);
            tracker.step(&people, f64::from(n) / 10.0);
        }
        assert_eq!(ids(&tracker), [1, 2]);
        assert!(tracker.tracks()[0].rect().x < tracker.tracks()[1].rect().x);
    }

    type Box = (f32, f32, f32, f32, f32);

    fn boxes() -> impl Strategy<Value = Vec<Vec<Box>>> {
        let number = prop_oneof![8 => -0.2f32..1.2, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)];
        let one = (number.clone(), number.clone(), number.clone(), number.clone(), number);
        prop::collection::vec(prop::collection::vec(one, 0..8), 1..25)
    }

    proptest! {
        #[test]
        fn any_detections_give_sound_tracks_with_numbers_of_their_own_and_the_same_again(frames in boxes()) {
            let run = || {
                let mut tracker = Tracker::default();
                let mut seen = Vec::new();
                for (n, frame) in frames.iter().enumerate() {
                    let detections: Vec<Detection> = frame
                        .iter()
                        .map(|(x, y, w, h, score)| Detection {
                            rect: Rect::new(*x, *y, *w, *h), score: *score, class: Class::Person,
                        })
                        .collect();
                    tracker.step(&detections, n as f64 / 10.0);
                    seen.push(tracker.tracks().iter().map(|t| (t.id, t.rect(), t.confirmed)).collect::<Vec<_>>());
                }
                seen
            };
            let seen = run();
            for tracks in &seen {
                prop_assert!(tracks.windows(2).all(|pair| pair[0].0 < pair[1].0));
                prop_assert!(tracks.iter().all(|(_, rect, _)| rect.is_sound()));
            }
            prop_assert_eq!(seen, run());
        }
    }
}
