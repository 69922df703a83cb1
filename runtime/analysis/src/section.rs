//! What a camera's threads are told: its section, and what it means to `gantry-vision`.

use crate::places::Places;
use gantry_core::config::{Analysis, Camera, Detector};

/// The section of one camera, ready for its threads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Section {
    pub(crate) config: Analysis,
    /// Of the pictures that the camera is to give, in pixels.
    pub(crate) size: (u32, u32),
    /// Of annotated pictures.
    pub(crate) jpeg_quality: u8,
    pub(crate) places: Places,
}

impl Section {
    pub(crate) fn new(config: &Analysis, camera: &Camera) -> Self {
        let jpeg_quality = u8::try_from(camera.jpeg_quality.clamp(1, 100)).unwrap_or(100);
        let size = (camera.width, camera.height);
        Self { config: config.clone(), size, jpeg_quality, places: Places::of(config) }
    }

    /// The stream that can be looked at: grey, where that is enough.
    pub(crate) fn stream(&self) -> &'static str {
        match (self.config.detector, &self.config.faces) {
            (Detector::Motion, None) => "analysis",
            _ => "raw",
        }
    }

    /// Frames in 1000 seconds.
    pub(crate) fn millihertz(&self) -> u32 {
        self.config.fps.clamp(1, 60) * 1000
    }

    pub(crate) fn detector(&self) -> &'static str {
        match self.config.detector {
            Detector::Motion => "motion",
            Detector::Onnx => "onnx",
        }
    }

    /// Whether people are found alike, so that the detector can go on with what it has learned.
    pub(crate) fn finds_alike(&self, other: &Self) -> bool {
        let essence = |section: &Self| {
            let Analysis { detector, model, family, person_class, threads, motion, .. } =
                section.config.clone();
            match detector {
                Detector::Motion => Analysis { detector, motion, ..Analysis::default() },
                Detector::Onnx => {
                    Analysis { detector, model, family, person_class, threads, ..Analysis::default() }
                }
            }
        };
        essence(self) == essence(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_core::config::{self, FaceModel};

    fn faces() -> FaceModel {
        serde_json::from_value(serde_json::json!({"model": "faces.onnx"})).unwrap()
    }

    #[test]
    fn grey_is_enough_for_motion_and_colours_are_watched_only_for_models() {
        let stream = |config: Analysis| Section::new(&config, &Camera::default()).stream();
        assert_eq!(stream(Analysis::default()), "analysis");
        assert_eq!(stream(Analysis { detector: Detector::Onnx, ..Analysis::default() }), "raw");
        assert_eq!(stream(Analysis { faces: Some(faces()), ..Analysis::default() }), "raw");
    }

    #[test]
    fn the_detector_goes_on_when_what_changed_does_not_concern_it() {
        let old = Section::new(&Analysis::default(), &Camera::default());
        let is_alike = |config| Section::new(&config, &Camera::default()).finds_alike(&old);
        assert!(is_alike(Analysis { fps: 5, faces: Some(faces()), ..Analysis::default() }));
        assert!(
            is_alike(Analysis { family: "yolox".into(), ..Analysis::default() }),
            "a model's, of which there is none"
        );
        assert!(!is_alike(Analysis { detector: Detector::Onnx, ..Analysis::default() }));
        let motion = config::Motion { threshold: 20, ..config::Motion::default() };
        assert!(!is_alike(Analysis { motion, ..Analysis::default() }));
    }
}
