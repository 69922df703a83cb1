//! The threads that look: from frames of the hub to what the gateway counts.
//!
//! ```text
//! CAMERA/analysis ─┐                                                        ┌─► Seen: crossings, zones, faces
//!                  ├─► newest frame ─► thread `analysis:CAMERA` ────────────┤
//! CAMERA/raw ──────┘   (never a queue)  detect, track, cross, pick faces    └─► where people are ─┐
//! CAMERA/raw ────────► newest frame ─► thread `annotate:CAMERA`: copy, draw, encode ◄─────────────┘
//!                                       └─► CAMERA/annotated (JPEG), only while somebody watches it
//! ```
//!
//! A camera's section `[analysis.CAMERA]` is one thread `analysis:CAMERA` with a rate of its own: it takes
//! the newest frame and lets go what came meanwhile, so that a slow detector never slows the stream. What it
//! can look at in grey (`detector = "motion"` without faces) it watches on `CAMERA/analysis`, else on
//! `CAMERA/raw`. Models are loaded on that thread, and loaded anew when their file changes. What goes wrong
//! there (a model that is missing, is broken or has the wrong shape, an engine that panics or never returns,
//! a camera without the stream) is a sentence in the health part `analysis/CAMERA` and is tried again;
//! nothing of it reaches the camera or its other viewers. The thread `annotate:CAMERA` sleeps unless
//! `CAMERA/annotated` has watchers.
//!
//! Single pictures, such as those that devices send, are looked at by [`Looks`]: each section `[detectors.NAME]` is one
//! thread `look:NAME` with a short queue.
//!
//! [`detector`], [`face_picker`], [`line`] and [`zone`] make of a section what `gantry-vision` works with,
//! for whoever looks at recordings by the same section.
//!
//! It is *not* a place for computation on pixels (`gantry-vision`), for sums, days and records of what was
//! seen (the ledger of `gantry-counting`, and the binary), for GStreamer (the binary lends an [`Encode`]) or
//! for clients.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod analyses;
mod annotator;
mod check;
mod desk;
mod encode;
mod faces;
mod looks;
mod models;
mod people;
mod picture;
mod places;
mod presence;
mod retry;
mod section;
mod seen;
mod slot;
mod status;
mod swap;
#[cfg(test)]
mod tests;
mod voice;
mod watchdog;
mod worker;
mod zones;

pub use analyses::Analyses;
pub use check::{check, check_detector, check_detector_model, check_models};
pub use encode::{Encode, I420};
pub use gantry_vision::{Class, Detection, Direction};
pub use looks::{Answer, Looked, Looks, LooksStatus};
pub use models::{detector, face_picker};
pub use places::{line, zone};
pub use seen::{Seen, Sink};
pub use status::AnalysisStatus;

/// Locks a mutex whose data stays consistent even if a holder panicked: every critical section is a few
/// assignments.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
