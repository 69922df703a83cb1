//! Finds people without a model: what moves before a fixed camera.
//!
//! Each frame is shrunk and smoothed, compared with a learned picture of the background ([`background`]) under the light of
//! the moment ([`light`]), freed of shadows ([`shadow`]) and of speckles ([`mask`]); what hangs together ([`blobs`]) is
//! joined or split into pieces of the size of a person ([`people`]), which is configured or learned ([`scale`]).

mod background;
mod blobs;
mod light;
mod mask;
mod people;
mod picture;
pub(crate) mod scale;
mod shadow;

pub use scale::PersonSize;

use crate::{Class, Detection, Detector, Error, Frame, Sight, Track};
use background::{Background, SAME};
use blobs::Blob;
use light::Light;
use people::View;
use picture::Shrinker;
use scale::Scale;

/// How motion is looked for. The defaults suit a fixed camera at 5 to 30 frames a second.
#[derive(Debug, Clone, PartialEq)]
pub struct MotionSettings {
    /// By how many grey levels somebody must differ from the background, 4 to 60.
    pub threshold: u8,
    /// The least area of somebody, as a part of the picture.
    pub least_area: f32,
    /// How large people are; `None` learns it.
    pub person: Option<PersonSize>,
    /// How long something new must stay as it is to become background, in seconds.
    pub absorb_s: f32,
    /// Whether shadows are told from people.
    pub shadows: bool,
}

impl Default for MotionSettings {
    fn default() -> Self {
        Self { threshold: 13, least_area: 0.0008, person: None, absorb_s: 40.0, shadows: true }
    }
}

/// When this part of the picture differs, the light or the view has changed and nobody is so large.
const UPHEAVAL: f32 = 0.7;
/// So many frames in a row of that.
const UPHEAVALS: u32 = 3;
/// The longest pause between frames that is learned from, in seconds.
const LONGEST_STEP: f64 = 1.0;
/// What is this part of a person's height, and not cut off by the picture's edge, is somebody.
const WHOLE: f32 = 0.45;
/// Who has gone so far, as a part of the picture, is a person to learn the size of people from.
const WALK: f32 = 0.2;
/// The score of what may be somebody, and of what may only be a part of somebody.
const SCORES: (f32, f32) = (0.9, 0.3);

/// The detector without a model. For pictures of one fixed camera.
pub struct Motion {
    settings: MotionSettings,
    picture: Shrinker,
    background: Option<Background>,
    light: Light,
    mask: Vec<u8>,
    scratch: Vec<u8>,
    scale: Scale,
    last: f64,
    upheavals: u32,
}

impl Motion {
    /// One that knows nothing yet. The first frame is taken for the background, and corrected within seconds.
    #[must_use]
    pub fn new(settings: MotionSettings) -> Self {
        let threshold = settings.threshold.clamp(4, 60);
        Self {
            settings: MotionSettings { threshold, ..settings },
            picture: Shrinker::default(),
            background: None,
            light: Light::SAME,
            mask: Vec::new(),
            scratch: Vec::new(),
            scale: Scale::default(),
            last: 0.0,
            upheavals: 0,
        }
    }

    /// How large people are: as configured, or as learned so far.
    #[must_use]
    pub fn person(&self) -> Option<PersonSize> {
        self.settings.person.or(self.scale.size().copied())
    }

    /// The mask of what differed in the last frame, with its width: one byte a pixel of the shrunk picture, 0 is background.
    #[must_use]
    pub fn mask(&self) -> (&[u8], usize) {
        (&self.mask, self.picture.width)
    }

    fn look(&mut self, frame: &Frame<'_>, t: f64) -> Vec<Detection> {
        let is_new = self.picture.take(frame);
        let dt = (t - self.last).clamp(0.0, LONGEST_STEP) as f32;
        self.last = t;
        let picture = &self.picture.pixels;
        self.mask.resize(picture.len(), SAME);
        let background = match &mut self.background {
            Some(background) if !is_new => background,
            other => {
                *other = Some(Background::new(picture));
                self.light = Light::SAME;
                self.mask.fill(SAME);
                return Vec::new();
            }
        };
        let (light, _) = Light::fit(picture, |at| background.level(at), self.light);
        self.light = light;
        let Self { settings, mask, .. } = self;
        background.step(picture, light, dt, settings.threshold, settings.absorb_s, mask);
        let width = self.picture.width;
        let other = mask.iter().filter(|m| **m != SAME).count();
        if other as f32 > UPHEAVAL * mask.len() as f32 {
            self.upheavals += 1;
            if self.upheavals >= UPHEAVALS {
                background.restart(picture);
                self.upheavals = 0;
            }
            return Vec::new();
        }
        self.upheavals = 0;
        if settings.shadows {
            shadow::clear(mask, picture, background, light, width);
        }
        mask::smooth(mask, width, &mut self.scratch);
        let size = settings.person.or(self.scale.size().copied());
        let view = View { width, height: self.picture.height, size: size.as_ref() };
        // Gaps of a person's clothes, by how large people in the middle of the picture are.
        let (w, h) =
            view.expected(view.height * 2 / 3).unwrap_or((0.1 * width as f32, 0.25 * view.height as f32));
        mask::close(mask, width, (0.12 * w).clamp(1.0, 6.0) as usize, (0.14 * h).clamp(2.0, 12.0) as usize);
        let least = ((settings.least_area * mask.len() as f32) as usize).max(12);
        let mut found = blobs::find(mask, width, (least / 3).max(8));
        let people = found.iter().filter(|blob| is_plausible(blob, view));
        if settings.shadows && people::cut_skirts(mask, width, people) {
            found = blobs::find(mask, width, (least / 3).max(8));
        }
        background.ghosts.fill(false);
        found.retain(|blob| {
            // A touch of what differs much, or it is noise or a shadow's edge.
            let is_ghost = is_ghost(blob, picture, background, width);
            if is_ghost {
                for run in &blob.runs {
                    background.ghosts[run.y * width..][run.from..run.to].fill(true);
                }
            }
            !is_ghost && blob.strong * 8 > blob.area
        });
        let people = people::join(found, view);
        let mut detections = Vec::new();
        for whole in people {
            for part in people::split(whole, view) {
                if part.area < least / 2 {
                    continue;
                }
                let rect = view.rect(&part);
                let is_whole = part.area >= least && is_plausible(&part, view);
                let score = if is_whole { SCORES.0 } else { SCORES.1 };
                detections.push(Detection { rect, score, class: Class::Person });
            }
        }
        detections
    }
}

impl Detector for Motion {
    fn detect(&mut self, frame: &Frame<'_>, t: f64) -> Result<Vec<Detection>, Error> {
        Ok(self.look(frame, t))
    }

    fn learn(&mut self, tracks: &[Track]) {
        // Only who has walked some way is surely a person, and not a bottle that somebody put there.
        let walkers = || tracks.iter().filter(|t| t.confirmed && t.sight == Sight::Seen);
        for track in walkers().filter(|t| t.travelled > WALK && t.detected.is_whole()) {
            let is_alone =
                walkers().all(|t| t.id == track.id || t.detected.common(&track.detected.grown(0.1)) <= 0.0);
            if is_alone {
                self.scale.learn(track.detected);
            }
        }
    }
}

/// Whether a blob is large enough for a person at its place.
fn is_plausible(blob: &Blob, view: View<'_>) -> bool {
    let is_cut = blob.left == 0 || blob.top == 0 || blob.right == view.width || blob.bottom == view.height;
    match view.expected(blob.bottom) {
        Some((w, h)) => {
            let (wide, high) = (blob.width() as f32 / w, blob.height() as f32 / h);
            if is_cut { high.max(wide) > 0.3 } else { high > WHOLE && wide > 0.3 }
        }
        // Nobody is as slim as the rim of a shadow.
        None => is_cut || (blob.height() * 5 > blob.width() * 4 && blob.width() * 8 > blob.height()),
    }
}

/// Whether the outline of a blob is in the background's picture and not in the frame: somebody or something went away.
fn is_ghost(blob: &Blob, picture: &[u8], background: &Background, width: usize) -> bool {
    let (mut now, mut before) = (0u32, 0u32);
    let last = width - 1;
    for run in &blob.runs {
        let row = run.y * width;
        for end in [run.from, run.to - 1] {
            let (left, right) = (row + end.saturating_sub(2), row + (end + 2).min(last));
            now += u32::from(picture[left].abs_diff(picture[right]));
            before += u32::from(background.level(left).abs_diff(background.level(right)));
        }
    }
    before > 2 * now
}
