//! Detectors of a section of the configuration.

use gantry_core::config::{Analysis, Detector as Kind, FaceModel};
use gantry_vision::{Detector, Motion, MotionSettings, PersonSize, Picker, PickerSettings};
use std::path::Path;

/// What finds people in pictures whose width is `shape` times their height.
pub(super) fn people(config: &Analysis, shape: f32) -> Result<Box<dyn Detector>, String> {
    match config.detector {
        Kind::Motion => {
            let motion = &config.motion;
            Ok(Box::new(Motion::new(MotionSettings {
                threshold: motion.threshold,
                least_area: motion.least_area,
                // In pixels there, in parts of the picture here.
                person: motion.person.map(|p| PersonSize {
                    top: p.top,
                    bottom: p.bottom,
                    aspect: p.aspect / shape,
                }),
                absorb_s: motion.absorb.as_secs_f32(),
                shadows: motion.shadows,
            })))
        }
        Kind::Onnx => {
            let model = config.model.as_deref().ok_or("`onnx` needs a model: name one with --model FILE")?;
            let known = ["fastestdet", "yolox", "yolov8"];
            let person = usize::try_from(config.person_class).unwrap_or(usize::MAX);
            load(model, &config.family, &known, person, None, config.threads)
        }
    }
}

/// What keeps the best face of everybody.
pub(super) fn faces(config: &FaceModel, threads: u32) -> Result<Picker, String> {
    // Faces that are less sure are not kept, but they tell that somebody's face is still there.
    let least = Some(0.5 * config.least_score).filter(|score| score.is_finite());
    let detector = load(&config.model, &config.family, &["ultraface"], 0, least, threads)?;
    let (least_pixels, least_score) = (config.least_pixels, config.least_score);
    Ok(Picker::new(detector, PickerSettings { least_pixels, least_score, ..PickerSettings::default() }))
}

#[cfg(feature = "onnx")]
fn load(
    path: &Path,
    family: &str,
    known: &[&str],
    person_class: usize,
    least_score: Option<f32>,
    threads: u32,
) -> Result<Box<dyn Detector>, String> {
    use gantry_vision::{Onnx, OnnxSettings};
    if !known.contains(&family) {
        let known = known.join(", ");
        return Err(format!("no such model is of the family `{family}`: take one of {known}"));
    }
    let mut settings = OnnxSettings {
        family: family.parse()?,
        person_class,
        threads: threads.clamp(1, 16) as usize,
        ..OnnxSettings::default()
    };
    settings.least_score = least_score.unwrap_or(settings.least_score);
    Ok(Box::new(Onnx::load(path, settings).map_err(|e| e.to_string())?))
}

#[cfg(not(feature = "onnx"))]
fn load(
    path: &Path,
    _: &str,
    _: &[&str],
    _: usize,
    _: Option<f32>,
    _: u32,
) -> Result<Box<dyn Detector>, String> {
    let path = path.display();
    Err(format!(
        "{path}: this gantry was built without the feature `onnx` and runs no models: use --detector motion"
    ))
}
