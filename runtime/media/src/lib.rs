//! Cameras: GStreamer pipelines that start from any source, feed the frames hub, and come back when they fail.
//!
//! [`Cameras`] keeps one supervisor per camera. A supervisor opens a *session* (one life of a pipeline) on a thread of
//! its own, looks at the frames that pass, and replaces a session that errors, ends or falls silent. What a pipeline is
//! made of is said in a [`PipelineFile`]; which one belongs to a camera follows from its [`Source`].
//!
//! This crate does *not* read the configuration file, does not know who watches (the hub's demand is all it sees), and
//! touches no pixels except those of the [`demo`] scene. It is the only crate that needs GStreamer.
#![forbid(unsafe_code)]

mod backoff;
mod camera;
mod cameras;
mod check;
pub mod demo;
mod error;
mod figures;
mod gate;
mod launch;
mod log;
mod packages;
mod pipeline_file;
mod session;
mod sink;
mod source;
mod status;
mod tap;
mod v4l2;

pub use cameras::Cameras;
pub use error::MediaError;
pub use pipeline_file::{Control, PipelineFile, StreamSpec};
pub use source::{Source, SourceError, V4l2Format, redact};
pub use status::{CameraState, CameraStatus};

/// Locks a mutex whose data stays consistent even if a holder panicked: every critical section here is a few assignments.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// `, did you mean …?` when something known is near, else `: known are …`.
fn suggest<'a>(given: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match gantry_core::spelling::nearest(given, known.clone()) {
        Some(near) => format!(", did you mean `{near}`?"),
        None => format!(": known are {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}
