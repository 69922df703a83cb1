//! Models whose file changes while they are used.

use crate::lock;
use crate::models::guarded;
use crate::retry::Stamp;
use gantry_vision::{Detection, Detector, Error, Frame, Track};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The file of a model that is used is looked at this often.
const LOOK: Duration = Duration::from_secs(10);

/// A detector in whose place another can be put. Who is followed is followed on.
#[derive(Clone)]
struct Swap(Arc<Mutex<Box<dyn Detector>>>);

impl Detector for Swap {
    fn detect(&mut self, frame: &Frame<'_>, t: f64) -> Result<Vec<Detection>, Error> {
        lock(&self.0).detect(frame, t)
    }

    fn learn(&mut self, tracks: &[Track]) {
        lock(&self.0).learn(tracks);
    }
}

/// The file of a model that is used.
pub(crate) struct ModelFile {
    path: PathBuf,
    /// Of what was loaded last, or tried.
    stamp: Stamp,
    next: Instant,
    detector: Swap,
    problem: Option<String>,
}

impl ModelFile {
    /// Keeps an eye on the file from which this was loaded, if it is from one; before that the file had this
    /// stamp. Gives what is to be used in place of the detector.
    pub(crate) fn of(
        file: Option<(PathBuf, Stamp)>,
        now: Instant,
        detector: Box<dyn Detector>,
    ) -> (Option<Self>, Box<dyn Detector>) {
        let Some((path, stamp)) = file else { return (None, detector) };
        let detector = Swap(Arc::new(Mutex::new(detector)));
        let file = Self { path, stamp, next: now + LOOK, detector: detector.clone(), problem: None };
        (Some(file), Box::new(detector))
    }

    /// Uses another model when the file is another one, every ten seconds at most. One that cannot be loaded
    /// leaves the one that is used, and is tried again.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        stamp: impl FnOnce(&Path) -> Stamp,
        make: impl FnOnce() -> Result<Box<dyn Detector>, String>,
    ) {
        if now < self.next {
            return;
        }
        self.next = now + LOOK;
        let found = stamp(&self.path);
        // One that is gone is about to be written, or is not needed any more.
        if found.is_none() || (found == self.stamp && self.problem.is_none()) {
            return;
        }
        self.stamp = found;
        match guarded(make).unwrap_or_else(|panic| Err(format!("loading it broke down ({panic})"))) {
            Ok(detector) => {
                *lock(&self.detector.0) = detector;
                self.problem = None;
                tracing::info!(model = %self.path.display(), "the model's file has changed: the new one is used");
            }
            Err(message) => {
                self.problem =
                    Some(format!("the model was changed, and the one before is used still: {message}"));
            }
        }
    }

    /// Why the model that is used is not the one in the file.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    struct Says(&'static str);

    impl Detector for Says {
        fn detect(&mut self, _: &Frame<'_>, _: f64) -> Result<Vec<Detection>, Error> {
            Err(Error::Inference { path: self.0.into(), reason: String::new() })
        }
    }

    fn model(name: &'static str) -> Result<Box<dyn Detector>, String> {
        Ok(Box::new(Says(name)))
    }

    fn used(detector: &mut Box<dyn Detector>) -> String {
        let frame = Frame::grey(&[0], 1, 1, 1).unwrap();
        detector.detect(&frame, 0.0).unwrap_err().to_string()
    }

    #[test]
    fn another_file_is_another_model_and_one_that_cannot_be_loaded_changes_nothing() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let stamp = |ino: u64| move |_: &Path| Some((SystemTime::UNIX_EPOCH, 10, ino));
        let never = || unreachable!("it need not be loaded");
        let first = Some(("m.onnx".into(), stamp(1)(Path::new(""))));
        let (file, mut detector) = ModelFile::of(first, begin, model("first").unwrap());
        let mut file = file.unwrap();
        file.look(at(9), stamp(2), never);
        file.look(at(10), stamp(1), never);
        file.look(at(19), stamp(2), never);
        file.look(at(20), |_| None, never);
        assert!(used(&mut detector).contains("first"));
        file.look(at(30), stamp(2), || Err("it is cut off: export it again".into()));
        let says = "the model was changed, and the one before is used still: it is cut off: export it again";
        assert_eq!(file.problem(), Some(says));
        assert!(used(&mut detector).contains("first"));
        file.look(at(39), stamp(3), never);
        file.look(at(40), stamp(2), || panic!("out of range"));
        assert!(file.problem().unwrap().ends_with("loading it broke down (out of range)"));
        file.look(at(50), stamp(2), || model("second"));
        assert_eq!(file.problem(), None);
        assert!(used(&mut detector).contains("second"));
        file.look(at(60), stamp(2), never);
    }
}
