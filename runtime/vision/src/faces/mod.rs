//! The best face of everybody, once.
//!
//! ```text
//! Frame, Tracks ─► where to look ─► Detector ─► whose face ─► how good ─► the best until now ─► BestFace
//! ```
//!
//! A [`Picker`] is given each frame with its tracks. It looks for faces at the heads of people, and from time to time
//! everywhere, because large faces before the camera, and people who stand still, have no good box or none. A face is
//! followed on its own and belongs to the person on whom it is; whoever was seen frontally at least three times has his
//! best picture given out when there was no better one for some seconds, or when he has gone: once, as long as he is
//! followed or comes back at once. Who goes out of sight and comes back is somebody new: nobody is recognised here.
//!
//! It is bounded: [`PickerSettings::looks`] runs of the detector for a frame, [`PickerSettings::most`] faces, pictures of at
//! most [`PickerSettings::largest`] pixels each way.

#[cfg(test)]
mod drawing;
mod follow;
mod picture;
mod plan;
mod quality;
#[cfg(test)]
mod tests;

pub use picture::OwnedI420;

use crate::{Class, Detection, Detector, Error, Frame, Rect, Track};
use follow::{Face, Faces};
use plan::Plan;

/// How faces are looked for and chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct PickerSettings {
    /// The least height of a face that is kept, in pixels of the frame.
    pub least_pixels: u32,
    /// How sure the detector must be of a face that is kept, 0 to 1. What is a little weaker only continues a face.
    pub least_score: f32,
    /// How often the detector may run for one frame.
    pub looks: usize,
    /// How often the whole picture is looked at, for faces of nobody who is tracked, in seconds.
    pub whole_s: f64,
    /// A face is given out when for so many seconds there was no better one of the same person.
    pub settle_s: f64,
    /// A face is given out so many seconds after the first one of the person that could be kept, at the latest.
    pub longest_s: f64,
    /// For how long a face that is seen no more, of nobody who is tracked, is waited for, in seconds.
    pub patience_s: f64,
    /// The most faces that are followed at a time.
    pub most: usize,
    /// The widest and highest picture of a face, in pixels; larger ones are made smaller.
    pub largest: usize,
}

impl Default for PickerSettings {
    fn default() -> Self {
        Self {
            least_pixels: 24,
            least_score: 0.7,
            looks: 1,
            whole_s: 1.0,
            settle_s: 3.0,
            longest_s: 10.0,
            patience_s: 4.0,
            most: 32,
            largest: 512,
        }
    }
}

/// The best face of somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct BestFace {
    /// The track of the person, or 0 when the face was on nobody who was tracked.
    pub track: u64,
    /// When it was seen, in seconds.
    pub t: f64,
    /// How good it is, 0 to 1: large, sharp, frontal, whole, and surely a face.
    pub score: f32,
    /// The face, with some margin around it.
    pub picture: OwnedI420,
}

impl BestFace {
    fn of(mut face: Face) -> Option<Self> {
        Self::given(&mut face)
    }

    fn given(face: &mut Face) -> Option<Self> {
        let shot = face.give()?;
        Some(Self { track: face.track.unwrap_or(0), t: shot.t, score: shot.score, picture: shot.picture })
    }
}

/// What continues a face, as a part of the score that begins one.
const WEAK: f32 = 0.6;
/// Boxes that share this much (intersection over union), or one of which is in the other, are of one face.
const SAME: (f32, f32) = (0.35, 0.6);
/// The margin around a face in its picture, as a part of its size.
const MARGIN: f32 = 0.4;
/// For how long [`Picker::faces`] tells of a face after it was seen, in seconds: not all are looked at in every frame.
const SHOWN_S: f64 = 0.5;

/// Keeps the best face of everybody.
pub struct Picker {
    detector: Box<dyn Detector>,
    settings: PickerSettings,
    plan: Plan,
    faces: Faces,
    last: Option<f64>,
}

impl Picker {
    /// Looks with this detector, which is given pictures of changing sizes; what it finds that is no face is ignored.
    #[must_use]
    pub fn new(detector: Box<dyn Detector>, settings: PickerSettings) -> Self {
        Self { detector, settings, plan: Plan::default(), faces: Faces::default(), last: None }
    }

    /// Takes the frame of second `t` with everybody who is tracked in it, and gives out the faces that are ready. Frames
    /// that are not later than the one before are ignored.
    ///
    /// # Errors
    /// What the detector says; what was kept before is kept on, and the next frame may be tried.
    pub fn step(&mut self, frame: &Frame<'_>, tracks: &[Track], t: f64) -> Result<Vec<BestFace>, Error> {
        if !t.is_finite() || self.last.is_some_and(|last| t <= last) {
            return Ok(Vec::new());
        }
        let found = self.look(frame, tracks, t)?;
        self.last = Some(t);
        let Self { settings, faces, .. } = self;
        // First who is there: a face is not gone that is just seen again.
        let whose = faces.assign(&found, tracks, settings, t);
        for (face, detection) in whose.into_iter().zip(&found) {
            if let Some(face) = face.map(|n| &mut faces.list[n]) {
                let quality = quality::measure(frame, detection);
                face.judge(&quality, detection, settings, t, || {
                    picture(frame, &detection.rect, settings.largest)
                });
            }
        }
        faces.join(t);
        let mut given: Vec<BestFace> =
            faces.leave(tracks, settings, t).into_iter().filter_map(BestFace::of).collect();
        given.extend(faces.ready(settings, t).filter_map(BestFace::given));
        Ok(given)
    }

    /// Gives out what was kept and not given out yet: no more frames come.
    pub fn finish(&mut self) -> Vec<BestFace> {
        std::mem::take(&mut self.faces).list.into_iter().filter_map(BestFace::of).collect()
    }

    /// Where faces were seen lately, in parts of the picture.
    #[must_use]
    pub fn faces(&self) -> Vec<Rect> {
        let Some(last) = self.last else { return Vec::new() };
        self.faces.list.iter().filter(|face| last - face.seen <= SHOWN_S).map(|face| face.rect).collect()
    }

    /// The faces in the parts of the frame that are due, strongest first.
    fn look(&mut self, frame: &Frame<'_>, tracks: &[Track], t: f64) -> Result<Vec<Detection>, Error> {
        let mut found = Vec::new();
        for part in self.plan.parts(frame, tracks, &mut self.faces.list, &self.settings, t) {
            let Some(pixels) = part.of(frame) else { continue };
            for detection in self.detector.detect(&pixels, t)? {
                let is_sound = detection.rect.is_sound() && detection.rect.area() > 0.0;
                let is_face =
                    detection.class == Class::Face && detection.score >= WEAK * self.settings.least_score;
                if let Some(rect) = part.place(&detection.rect, frame).filter(|_| is_sound && is_face) {
                    found.push(Detection { rect, ..detection });
                }
            }
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut kept: Vec<Detection> = Vec::new();
        for detection in found {
            let is_new = kept
                .iter()
                .map(|k| (k.rect, detection.rect))
                .all(|(a, b)| a.iou(&b) < SAME.0 && a.inside(&b) < SAME.1 && b.inside(&a) < SAME.1);
            if is_new && kept.len() < self.settings.most {
                kept.push(detection);
            }
        }
        Ok(kept)
    }
}

/// A face with its margin.
fn picture(frame: &Frame<'_>, face: &Rect, largest: usize) -> Option<OwnedI420> {
    let rect = face.grown(MARGIN).clipped();
    let (width, height) = (frame.width() as f32, frame.height() as f32);
    let (x, y) = ((rect.x * width) as usize, (rect.y * height) as usize);
    let (w, h) = ((rect.w * width).ceil() as usize, (rect.h * height).ceil() as usize);
    OwnedI420::of(&frame.part(x, y, w.max(2), h.max(2))?, largest)
}
