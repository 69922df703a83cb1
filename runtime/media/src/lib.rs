//! Cameras: GStreamer pipelines that start from any source, feed the frames hub, and come back when they fail.
//!
//! [`Cameras`] keeps one supervisor per camera. A supervisor opens a *session* (one life of a pipeline) on a thread of
//! its own, looks at the frames that pass, and replaces a session that errors, ends or falls silent. What a pipeline is
//! made of is said in a [`PipelineFile`]; which one belongs to a camera follows from its [`Source`].
//!
//! Beside cameras there are [`Film`], which reads a recording as fast as the machine can, [`FilmWriter`], and [`Still`] for
//! single pictures.
//!
//! This crate does *not* read the configuration file, does not know who watches (the hub's demand is all it sees), and
//! touches no pixels except those of the [`demo`] scene and of pictures
//! that are corrected in software. It is the only crate that needs GStreamer.
#![forbid(unsafe_code)]

mod backoff;
mod binding;
mod board;
mod camera;
mod cameras;
mod check;
mod control;
pub mod demo;
mod error;
mod figures;
mod film;
mod film_writer;
mod gate;
mod late;
mod launch;
mod log;
mod messages;
mod mix;
mod packages;
mod picture;
mod pipeline_file;
mod recorder;
mod session;
mod sink;
mod snapshot;
mod source;
mod status;
mod still;
mod streams;
mod tap;
mod tone;
mod v4l2;

pub use cameras::Cameras;
pub use control::{Control, ControlError, ControlInfo, ControlKind, DeviceControl};
pub use error::MediaError;
pub use film::{Film, FilmFormat, FilmFrame, FilmStop, Wanted};
pub use film_writer::{FilmCodec, FilmWriter};
pub use pipeline_file::{PipelineFile, StreamSpec};
pub use recorder::{
    Closed, ClosedWhy, FreeSpace, OnEvent, Progress, RecordError, RecordEvent, RecordStatus, Recorder,
    Removed, RemovedWhy,
};
pub use snapshot::{OnRemoved, PassesJpeg, Reply, Snapshot, SnapshotError, Snapshots};
pub use source::{Source, SourceError, V4l2Format, redact};
pub use status::{CameraState, CameraStatus};
pub use still::{I420View, Still};

/// Starts GStreamer and makes this crate's own elements known.
fn init() -> Result<(), MediaError> {
    static TONE: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    gstreamer::init().map_err(|e| MediaError::Init(e.to_string()))?;
    let registered =
        TONE.get_or_init(|| tone::register().and_then(|()| mix::register()).map_err(|e| e.to_string()));
    registered.clone().map_err(MediaError::Init)
}

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
