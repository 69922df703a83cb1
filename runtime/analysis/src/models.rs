//! Where detectors come from.

use gantry_core::config::{self, Analysis, Detector as Kind, FaceModel, PictureDetector};
use gantry_vision::{Detector, Motion, MotionSettings, PersonSize, Picker, PickerSettings};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The families of models that find people, and faces.
pub(crate) const PEOPLE: [&str; 3] = ["fastestdet", "yolox", "yolov8"];
pub(crate) const FACES: [&str; 1] = ["ultraface"];

/// Makes detectors. Errors are sentences that end in the next step.
pub(crate) trait Models: Send + Sync {
    /// What finds people in pictures whose width is `shape` times their height.
    fn people(&self, config: &Analysis, shape: f32) -> Result<Box<dyn Detector>, String>;
    /// What finds faces.
    fn faces(&self, config: &FaceModel, threads: u32) -> Result<Box<dyn Detector>, String>;
}

/// The detectors of `gantry-vision`, with models from files.
pub(crate) struct Files;

impl Models for Files {
    fn people(&self, config: &Analysis, shape: f32) -> Result<Box<dyn Detector>, String> {
        detector(config, shape)
    }

    fn faces(&self, config: &FaceModel, threads: u32) -> Result<Box<dyn Detector>, String> {
        // Faces that are less sure are not kept, but they tell that somebody's face is still there.
        let least_score = Some(0.5 * config.least_score);
        load(&config.model, &config.family, &FACES, Use { person: 0, least_score, threads })
    }
}

/// What finds people, as a section says, in pictures whose width is `shape` times their height. Loading a
/// model takes a moment.
///
/// # Errors
/// A sentence that ends in the next step: no model, one that cannot be loaded or is of another family.
pub fn detector(config: &Analysis, shape: f32) -> Result<Box<dyn Detector>, String> {
    match config.detector {
        Kind::Motion => Ok(Box::new(Motion::new(motion(&config.motion, shape)))),
        Kind::Onnx => {
            let model = config.model.as_deref();
            let model = model.ok_or("`detector = \"onnx\"` needs a model: set `model` to an ONNX file")?;
            let person = usize::try_from(config.person_class).unwrap_or(usize::MAX);
            let how = Use { person, least_score: None, threads: config.threads };
            load(model, &config.family, &PEOPLE, how)
        }
    }
}

/// What finds people in single pictures, as a section says. Loading a model takes a moment.
///
/// # Errors
/// As [`detector`].
pub(crate) fn picture_detector(config: &PictureDetector) -> Result<Box<dyn Detector>, String> {
    if let Some(message) = cannot_judge(config) {
        return Err(message.to_owned());
    }
    let model = config.model.as_deref().ok_or("there is no model: set `model` to an ONNX file")?;
    let person = usize::try_from(config.person_class).unwrap_or(usize::MAX);
    let how = Use { person, least_score: Some(config.least_score), threads: config.threads };
    load(model, &config.family, &PEOPLE, how)
}

/// Why this detector cannot look at single pictures.
pub(crate) fn cannot_judge(config: &PictureDetector) -> Option<&'static str> {
    let says = "`motion` sees what changes from one picture of a camera to the next, and can tell nothing of a single \
                one: use `detector = \"onnx\"` with a model";
    (config.detector == Kind::Motion).then_some(says)
}

/// What keeps the best face of everybody, as a section's `faces` says.
///
/// # Errors
/// As [`detector`].
pub fn face_picker(config: &FaceModel, threads: u32) -> Result<Picker, String> {
    Ok(Picker::new(Files.faces(config, threads)?, picker_settings(config)))
}

/// Which faces are kept.
pub(crate) fn picker_settings(config: &FaceModel) -> PickerSettings {
    PickerSettings {
        least_pixels: config.least_pixels,
        least_score: config.least_score,
        ..PickerSettings::default()
    }
}

/// How motion is looked for in pictures whose width is `shape` times their height.
fn motion(config: &config::Motion, shape: f32) -> MotionSettings {
    MotionSettings {
        threshold: config.threshold,
        least_area: config.least_area,
        // In pixels there, in parts of the picture here.
        person: config.person.map(|p| PersonSize { top: p.top, bottom: p.bottom, aspect: p.aspect / shape }),
        absorb_s: config.absorb.as_secs_f32(),
        shadows: config.shadows,
    }
}

/// How a model is used.
#[cfg_attr(not(feature = "onnx"), expect(dead_code, reason = "there is no engine to tell it to"))]
struct Use {
    person: usize,
    least_score: Option<f32>,
    threads: u32,
}

/// The sentence about a family that is none of these.
pub(crate) fn unknown_family(family: &str, known: &[&str]) -> Option<String> {
    let shown: Vec<_> = known.iter().map(|one| format!("`{one}`")).collect();
    let known = shown.join(", ");
    (!shown.contains(&format!("`{family}`")))
        .then(|| format!("no such model is of the family `{family}`: it can be {known}"))
}

#[cfg(feature = "onnx")]
fn load(path: &Path, family: &str, known: &[&str], how: Use) -> Result<Box<dyn Detector>, String> {
    use gantry_vision::{Onnx, OnnxSettings};
    if let Some(message) = unknown_family(family, known) {
        return Err(message);
    }
    let mut settings = OnnxSettings {
        family: family.parse()?,
        person_class: how.person,
        threads: how.threads.clamp(1, 16) as usize,
        ..OnnxSettings::default()
    };
    if let Some(least_score) = how.least_score.filter(|score| score.is_finite()) {
        settings.least_score = least_score;
    }
    Ok(Box::new(Onnx::load(path, settings).map_err(|e| e.to_string())?))
}

#[cfg(not(feature = "onnx"))]
fn load(path: &Path, _: &str, _: &[&str], _: Use) -> Result<Box<dyn Detector>, String> {
    Err(format!("{}: {NO_ENGINE}", path.display()))
}

/// Said of every model by a build that has no engine.
#[cfg(not(feature = "onnx"))]
pub(crate) const NO_ENGINE: &str = "this gantry was built without the feature `onnx` and runs no models: \
    install one that was built with it, or use `detector = \"motion\"`";

/// Runs something that may panic: engines are the work of others, and models of anybody.
///
/// # Errors
/// What it said when it panicked.
pub(crate) fn guarded<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    // Whatever was touched by what panicked is thrown away by the callers.
    catch_unwind(AssertUnwindSafe(act)).map_err(|payload| said(&*payload))
}

fn said(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_panic_said_is_kept() {
        assert_eq!(guarded(|| 1), Ok(1));
        assert_eq!(guarded(|| panic!("out of {}", "range")), Err::<(), _>("out of range".into()));
        assert_eq!(guarded(|| std::panic::panic_any(7)), Err::<(), _>("without a word".into()));
    }

    #[test]
    fn a_family_must_be_one_that_finds_what_is_looked_for() {
        assert_eq!(unknown_family("yolov8", &PEOPLE), None);
        assert_eq!(
            unknown_family("ultraface", &PEOPLE).unwrap(),
            "no such model is of the family `ultraface`: it can be `fastestdet`, `yolox`, `yolov8`"
        );
    }

    #[test]
    fn how_wide_people_are_is_told_in_pixels_and_used_in_parts_of_the_picture() {
        let person = Some(config::PersonSize { top: 0.2, bottom: 0.6, aspect: 0.4 });
        let settings = motion(&config::Motion { person, ..config::Motion::default() }, 16.0 / 9.0);
        assert!((settings.person.unwrap().aspect - 0.225).abs() < 1e-6);
    }
}
