//! What finds people in a picture.

use crate::{Error, Frame, Rect, Track};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A whole person, or what is seen of one.
    Person,
    /// A face.
    Face,
}

/// Something that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Where.
    pub rect: Rect,
    /// How sure, 0 to 1. What is weak goes on with a track and begins none.
    pub score: f32,
    /// What.
    pub class: Class,
}

/// Finds people in pictures of one camera, one after another.
pub trait Detector: Send {
    /// What is in this frame, which was taken at `t` seconds on a clock that only goes forward.
    ///
    /// # Errors
    /// When the detector itself fails, which is not the picture's fault; the next frame may be tried.
    fn detect(&mut self, frame: &Frame<'_>, t: f64) -> Result<Vec<Detection>, Error>;

    /// What became of the detections of the last frame. A detector may learn from it how people look here.
    fn learn(&mut self, tracks: &[Track]) {
        let _ = tracks;
    }
}
