//! Where detectors come from.

use crate::section;
use gantry_core::config::{Analysis, Detector as Kind, FaceModel};
use gantry_vision::{Detector, Motion};
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
        match config.detector {
            Kind::Motion => Ok(Box::new(Motion::new(section::motion(&config.motion, shape)))),
            Kind::Onnx => {
                let model = config.model.as_deref();
                let model =
                    model.ok_or("`detector = \"onnx\"` needs a model: set `model` to an ONNX file")?;
                let person = usize::try_from(config.person_class).unwrap_or(usize::MAX);
                load(
                    model,
                    &config.family,
                    &PEOPLE,
                    Use { person, least_score: None, threads: config.threads },
                )
            }
        }
    }

    fn faces(&self, config: &FaceModel, threads: u32) -> Result<Box<dyn Detector>, String> {
        // Faces that are less sure are not kept, but they tell that somebody's face is still there.
        let least_score = Some(0.5 * config.least_score);
        load(&config.model, &config.family, &FACES, Use { person: 0, least_score, threads })
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
}
