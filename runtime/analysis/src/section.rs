//! What a camera's threads are told: its section, and what it means to `gantry-vision`.

use gantry_core::config::{self, Analysis, Camera, Detector};
use gantry_vision::{Anchor, Error, Line, MotionSettings, PersonSize, Point, Zone};

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

/// How motion is looked for in pictures whose width is `shape` times their height.
pub(crate) fn motion(config: &config::Motion, shape: f32) -> MotionSettings {
    MotionSettings {
        threshold: config.threshold,
        least_area: config.least_area,
        // In pixels there, in parts of the picture here.
        person: config.person.map(|p| PersonSize { top: p.top, bottom: p.bottom, aspect: p.aspect / shape }),
        absorb_s: config.absorb.as_secs_f32(),
        shadows: config.shadows,
    }
}

/// Lines and zones.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Places {
    pub(crate) lines: Vec<Line>,
    pub(crate) zones: Vec<Zone>,
    /// What is wrong with those that are left out.
    pub(crate) problems: Vec<String>,
}

impl Places {
    fn of(config: &Analysis) -> Self {
        let mut places = Self::default();
        for (name, given) in config.lines.iter().take(crate::check::MOST) {
            match line(name, given) {
                Ok(line) => places.lines.push(line),
                Err(error) => places.problems.push(error.to_string()),
            }
        }
        for (name, given) in config.zones.iter().take(crate::check::MOST) {
            match zone(name, given) {
                Ok(_) if config.lines.contains_key(name) => {
                    places.problems.push(Error::Name { name: name.clone() }.to_string());
                }
                Ok(zone) => places.zones.push(zone),
                Err(error) => places.problems.push(error.to_string()),
            }
        }
        places
    }
}

/// A line of the configuration.
pub(crate) fn line(name: &str, given: &config::Line) -> Result<Line, Error> {
    let line = Line::new(name, point(given.from), point(given.to))?.with_anchor(anchor(given.anchor));
    Ok(match given.band {
        Some(band) => line.with_band(band),
        None => line,
    })
}

/// A zone of the configuration.
pub(crate) fn zone(name: &str, given: &config::Zone) -> Result<Zone, Error> {
    let corners = given.corners.iter().copied().map(point).collect();
    Ok(Zone::new(name, corners)?.with_anchor(anchor(given.anchor)))
}

fn point([x, y]: [f32; 2]) -> Point {
    Point::new(x, y)
}

fn anchor(anchor: config::Anchor) -> Anchor {
    match anchor {
        config::Anchor::Centre => Anchor::Centre,
        config::Anchor::Foot => Anchor::Foot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_core::config::FaceModel;

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

    #[test]
    fn how_wide_people_are_is_told_in_pixels_and_used_in_parts_of_the_picture() {
        let person = Some(config::PersonSize { top: 0.2, bottom: 0.6, aspect: 0.4 });
        let settings = motion(&config::Motion { person, ..config::Motion::default() }, 16.0 / 9.0);
        assert!((settings.person.unwrap().aspect - 0.225).abs() < 1e-6);
    }
}
