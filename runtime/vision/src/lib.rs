//! Gantry's eyes: from pictures of a fixed camera to people who cross lines and stand in zones.
//!
//! ```text
//! Frame ─► Detector ─► Detection ─► Tracker ─► Track ─► Line ─► Crossing
//!          Motion, Onnx                               └► Zone ─► occupancy      Counter is all of it
//! ```
//!
//! [`Picker`] keeps the best face of each person, and [`annotate`] draws what was seen into a picture.
//!
//! Everything is in normalised picture coordinates, and time is an argument in seconds: the same frames with the same times
//! give the same events. [`Line`] documents which side is `in`.
//!
//! It is *not* a place for threads, cameras, clocks, files (but models), configuration or what is kept of counts: the
//! runtime has those.
//!
//! # Detectors
//!
//! [`Motion`] needs no model: people are what differs from a learned background. It suits overhead and corridor views; who
//! stands still for longer than [`MotionSettings::absorb_s`] becomes part of the room, and an animal or a trolley counts as
//! well as a person. `Onnx` (feature `onnx`, on by default) runs a model that the operator supplies. Its engine is rten:
//! pure Rust, so there is nothing to install beside the gateway on arm64; FastestDet takes 16 ms on one x86-64 core where
//! ONNX Runtime, a 25 MB library of somebody else, takes 7 to 10; and it builds in about a minute of processor time, tract
//! in a quarter of an hour.
//!
//! # Why a tracker of our own
//!
//! The crates that there are wrap a whole pipeline (`similari`: Python bindings, threads, a geometry stack), are ports of
//! ByteTrack for detectors that give one box for each person, or are assignment solvers that bring `ndarray` or `num` for
//! sixty lines. None knows what a motion detector needs: one silhouette for several people, several pieces of one. Those
//! parts are most of [`Tracker`], and the rest (a Kalman filter per axis, the Hungarian method, ByteTrack's two stages) is
//! small and tested against brute force.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod counter;
mod detector;
mod draw;
mod error;
mod faces;
mod frame;
mod geometry;
mod line;
mod motion;
#[cfg(feature = "onnx")]
mod onnx;
mod track;
mod zone;

pub use counter::{Counter, Event};
pub use detector::{Class, Detection, Detector};
pub use draw::{Canvas, LineMark, Overlay, PersonMark, ZoneMark, annotate};
pub use error::Error;
pub use faces::{BestFace, OwnedI420, Picker, PickerSettings};
pub use frame::Frame;
pub use geometry::{Point, Rect};
pub use line::{Anchor, Crossing, Direction, Line};
pub use motion::{Motion, MotionSettings, PersonSize};
#[cfg(feature = "onnx")]
pub use onnx::{Family, Onnx, OnnxSettings};
pub use track::{Sight, Track, Tracker, TrackerSettings};
pub use zone::Zone;
