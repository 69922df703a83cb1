//! The best face of everybody: the model, and what may go wrong with it. Counting goes on without it.

use crate::desk::{Desk, Kit};
use crate::models::{guarded, picker_settings};
use crate::retry::{Retry, Trouble, stamp};
use crate::section::Section;
use crate::swap::ModelFile;
use crate::{I420, Seen};
use gantry_vision::{BestFace, Frame, Picker, Rect, Track};
use std::time::Instant;

/// Keeps faces, when there is a model.
#[derive(Default)]
pub(crate) struct Faces {
    picker: Option<Picker>,
    /// Where its model is from.
    file: Option<ModelFile>,
    pub(crate) retry: Retry,
    pub(crate) trouble: Trouble,
}

impl Faces {
    /// Forgets everything: another model is wanted, or none.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Loads the model, if one is wanted, there is none and it is time to try; loads it anew, if it is
    /// another now.
    pub(crate) fn prepare(&mut self, kit: &Kit, section: &Section) {
        let Some(config) = &section.config.faces else { return };
        let (now, threads) = ((kit.clock)(), section.config.threads);
        if self.picker.is_some() {
            if let Some(file) = &mut self.file {
                file.look(now, stamp, || kit.models.faces(config, threads));
            }
            return;
        }
        if !self.retry.is_due(now, stamp) {
            return;
        }
        let file = Some((config.model.clone(), stamp(&config.model)));
        let made = guarded(|| kit.models.faces(config, threads));
        let now = (kit.clock)();
        match made {
            Ok(Ok(detector)) => {
                let (file, detector) = ModelFile::of(file, now, detector);
                (self.picker, self.file) = (Some(Picker::new(detector, picker_settings(config))), file);
                self.retry.loaded(now);
            }
            Ok(Err(message)) => self.retry.refused(now, file, message),
            Err(panic) => self.retry.panicked(now, file, broken(&panic)),
        }
    }

    /// Looks for the faces of those who are followed, and gives out those that will not become better.
    pub(crate) fn look(&mut self, kit: &Kit, picture: &Frame<'_>, tracks: &[Track], t: f64) -> Vec<BestFace> {
        let Some(picker) = &mut self.picker else { return Vec::new() };
        let looked = guarded(|| picker.step(picture, tracks, t));
        let now = (kit.clock)();
        match looked {
            Ok(Ok(faces)) => {
                self.retry.worked();
                self.trouble.went_well(now);
                faces
            }
            Ok(Err(error)) => {
                self.trouble.happened(now, error.to_string());
                Vec::new()
            }
            Err(panic) => {
                (self.picker, self.file) = (None, None);
                self.retry.panicked(now, None, broken(&panic));
                Vec::new()
            }
        }
    }

    /// Gives out what was kept: nobody who is followed now is followed on.
    pub(crate) fn finish(&mut self) -> Vec<BestFace> {
        let Some(picker) = &mut self.picker else { return Vec::new() };
        guarded(|| picker.finish()).unwrap_or_default()
    }

    /// Tells of faces, as JPEG.
    pub(crate) fn tell(
        &mut self,
        kit: &Kit,
        desk: &Desk,
        section: &Section,
        faces: Vec<BestFace>,
        unix_ms: impl Fn(f64) -> i64,
    ) {
        let quality = section.config.faces.as_ref().map_or(90, |config| config.jpeg_quality.clamp(1, 100));
        let quality = u8::try_from(quality).unwrap_or(100);
        for BestFace { track, t, score, picture } in faces {
            let (width, height) = (picture.width(), picture.height());
            let view = I420 { planes: picture.planes(), width, height, strides: picture.strides() };
            let jpeg = guarded(|| kit.encoder.encode(&view, quality)).unwrap_or_else(Err);
            match (jpeg, u32::try_from(width), u32::try_from(height)) {
                (Ok(jpeg), Ok(width), Ok(height)) => {
                    let camera = desk.camera.clone();
                    let unix_ms = unix_ms(t);
                    desk.tell(&kit.sink, Seen::Face { camera, track, unix_ms, score, jpeg, width, height });
                }
                (Err(error), ..) => {
                    self.trouble.happened((kit.clock)(), format!("a face cannot be made JPEG: {error}"));
                }
                _ => {}
            }
        }
    }

    /// Where faces were seen lately.
    pub(crate) fn places(&self) -> Vec<Rect> {
        self.picker.as_ref().map(Picker::faces).unwrap_or_default()
    }

    /// What is the matter.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        let messages = self.retry.message().into_iter().chain(self.trouble.message());
        let stale = self.file.as_ref().and_then(ModelFile::problem);
        let stale = stale.map(|message| format!("faces: {message}"));
        messages.map(|message| format!("no faces: {message}")).chain(stale)
    }

    /// When the model may be tried again, after `now`.
    pub(crate) fn look_again(&self, now: Instant) -> Option<Instant> {
        self.retry.look(now).filter(|_| self.picker.is_none())
    }
}

fn broken(panic: &str) -> String {
    format!("the model of faces broke down ({panic}) and is started again: use another if it does not stop")
}
