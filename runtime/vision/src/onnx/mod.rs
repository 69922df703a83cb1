//! Detectors that are ONNX models of the operator.
//!
//! The engine is rten: pure Rust, so that nothing has to be installed beside the gateway, on aarch64 neither.

mod family;
mod nms;
mod prepare;

pub use family::Family;

use crate::Rect;
use crate::motion::scale::Scale;
use crate::{Class, Detection, Detector, Error, Frame, Sight, Track};
use prepare::{Input, Prepared};
use rten::{Dimension, Model, NodeId, RunOptions, ThreadPool};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensorView, Tensor};
use std::path::Path;
use std::sync::Arc;

/// How a model is used.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxSettings {
    /// What kind of model it is: what it wants to see, and what its outputs mean.
    pub family: Family,
    /// Detections below this score are dropped. The tracker makes use of weak ones, so this is low.
    pub least_score: f32,
    /// Of two boxes that overlap by more than this (intersection over union), the weaker one is dropped.
    pub overlap: f32,
    /// Which of the model's classes is a person. 0 in the order of COCO. Without meaning for face models.
    pub person_class: usize,
    /// Width and height of the model's input where the model itself leaves that open.
    pub size: (usize, usize),
    /// Threads for one picture.
    pub threads: usize,
}

impl Default for OnnxSettings {
    fn default() -> Self {
        Self {
            family: Family::FastestDet,
            least_score: 0.15,
            overlap: 0.45,
            person_class: 0,
            size: (416, 416),
            threads: 1,
        }
    }
}

/// The widest and highest input of a model, in pixels.
const LARGEST: usize = 2048;
/// The largest model file, in bytes.
const LARGEST_FILE: u64 = 512 << 20;

/// A box that is this many times as high as a person is two of them, one before the other.
const GIANT: f32 = 1.6;
/// A box that is this part of a person's height is a head, or an upper half.
const DWARF: f32 = 0.5;
/// By how much such boxes are less believed: they may continue a track and begin none.
const DOUBT: (f32, f32) = (0.3, 0.5);
/// Who has gone so far, as a part of the picture, is a person to learn the size of people from.
const WALK: f32 = 0.1;
/// From this score on a box is surely that of a whole person.
const SURE: f32 = 0.6;

/// A detector that is a model.
pub struct Onnx {
    model: Model,
    settings: OnnxSettings,
    input: NodeId,
    outputs: Vec<NodeId>,
    size: (usize, usize),
    pool: Arc<ThreadPool>,
    prepared: Prepared,
    scale: Scale,
    path: String,
}

impl Onnx {
    /// Loads a model and tries it on an empty picture, which takes a moment and some tens of megabytes.
    ///
    /// # Errors
    /// [`Error::Model`] for a file that is no model or uses what the engine does not know; [`Error::Shape`] when inputs or
    /// outputs are not those of its family.
    pub fn load(path: &Path, settings: OnnxSettings) -> Result<Self, Error> {
        let name = path.display().to_string();
        let broken = |reason: String| Error::Model { path: name.clone(), reason };
        let file = std::fs::metadata(path).map_err(|e| broken(e.to_string()))?;
        if !file.is_file() || file.len() > LARGEST_FILE {
            return Err(broken(format!("it is no file of at most {} MiB", LARGEST_FILE >> 20)));
        }
        let data = std::fs::read(path).map_err(|e| broken(e.to_string()))?;
        let model = Model::load(data).map_err(|e| broken(e.to_string()))?;
        let other =
            |reason: String| Error::Shape { path: name.clone(), family: settings.family.name(), reason };
        let [input] = model.input_ids() else {
            return Err(other(format!("it has {} inputs instead of one", model.input_ids().len())));
        };
        let (input, shape) = (*input, model.input_shape(0).unwrap_or_default());
        let fixed = |n: usize, open: usize| match shape.get(n) {
            Some(Dimension::Fixed(size)) => *size,
            _ => open,
        };
        let size = (fixed(3, settings.size.0), fixed(2, settings.size.1));
        let is_picture = shape.is_empty() || (shape.len() == 4 && fixed(0, 1) == 1 && fixed(1, 3) == 3);
        let is_sane = |side: usize| (32..=LARGEST).contains(&side);
        if !is_picture || !is_sane(size.0) || !is_sane(size.1) {
            return Err(other(format!("its input is {shape:?} instead of [1, 3, height, width]")));
        }
        let outputs = model.output_ids().to_vec();
        let pool = Arc::new(ThreadPool::with_num_threads(settings.threads.clamp(1, 64)));
        let prepared = Prepared::new(size);
        let mut onnx = Self {
            model,
            settings,
            input,
            outputs,
            size,
            pool,
            prepared,
            scale: Scale::default(),
            path: name,
        };
        let grey = vec![114; size.0 * size.1];
        onnx.look(&Frame::grey(&grey, size.0, size.1, size.0)?)?;
        Ok(onnx)
    }

    /// Width and height of what the model looks at.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    fn look(&mut self, frame: &Frame<'_>) -> Result<Vec<Detection>, Error> {
        let (width, height) = self.size;
        let fit = self.prepared.take(frame, self.settings.family.input());
        let view = NdTensorView::from_data([1, 3, height, width], &self.prepared.values[..]);
        let options = RunOptions::default().with_thread_pool(Some(self.pool.clone()));
        let failed = |reason: String| Error::Inference { path: self.path.clone(), reason };
        let values = self
            .model
            .run(vec![(self.input, view.into())], &self.outputs, Some(options))
            .map_err(|e| failed(e.to_string()))?;
        let mut outputs = Vec::new();
        for value in values {
            let tensor: Tensor<f32> =
                value.try_into().map_err(|_| failed("an output is not of 32-bit floats".into()))?;
            outputs.push((tensor.shape().to_vec(), tensor.to_vec()));
        }
        let outputs: Vec<family::Output<'_>> =
            outputs.iter().map(|(shape, values)| family::Output { shape, values }).collect();
        let found = self.settings.family.read(&outputs, self.size, &self.settings).map_err(|reason| {
            Error::Shape { path: self.path.clone(), family: self.settings.family.name(), reason }
        })?;
        let placed = found.into_iter().map(|d| {
            let rect = fit.to_picture(&d.rect).clipped();
            Detection { rect, score: d.score * self.likely(d.class, &rect), ..d }
        });
        let sound = placed.filter(|d| d.rect.is_sound() && d.rect.area() > 0.0 && d.score.is_finite());
        Ok(nms::strongest(sound.collect(), self.settings.overlap))
    }
}

impl Onnx {
    /// By how much a box of this size is less believed at its place, once it is known how large people are there.
    fn likely(&self, class: Class, rect: &Rect) -> f32 {
        match self.scale.size() {
            Some(size) if class == Class::Person && rect.is_whole() => {
                let part = rect.h / size.at(rect.bottom()).1;
                if part > GIANT {
                    DOUBT.0
                } else if part < DWARF {
                    DOUBT.1
                } else {
                    1.0
                }
            }
            _ => 1.0,
        }
    }
}

impl Detector for Onnx {
    fn detect(&mut self, frame: &Frame<'_>, _: f64) -> Result<Vec<Detection>, Error> {
        self.look(frame)
    }

    fn learn(&mut self, tracks: &[Track]) {
        // Only who has walked some way alone and was surely seen tells how large people are.
        let seen = || tracks.iter().filter(|t| t.confirmed && t.sight == Sight::Seen);
        for track in seen().filter(|t| t.travelled > WALK && t.score > SURE && t.detected.is_whole()) {
            let around = track.detected.grown(0.1);
            if seen().all(|t| t.id == track.id || t.detected.common(&around) <= 0.0) {
                self.scale.learn(track.detected);
            }
        }
    }
}

/// What a family wants to see.
const fn input(is_bgr: bool, mean: f32, scale: f32, keeps_aspect: Option<bool>) -> Input {
    Input { is_bgr, mean, scale, keeps_aspect }
}
