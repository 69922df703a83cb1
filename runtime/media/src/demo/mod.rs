//! The demo camera: a corridor that the runtime draws, so that everything can be tried and tested without a camera.
//!
//! Walkers cross a doorway line, or turn back before it, on a fixed timetable that follows from the seed alone. Scene time
//! is the frame's number divided by the rate, so that a test can compute what each frame shows: the number is drawn into
//! the picture, beside the wall clock, and is [`Frame::sequence`](gantry_core::frames::Frame::sequence) while the camera
//! was not restarted. Numbers begin at 1; a number that is left out is a frame that the machine was too slow for.

pub(crate) mod draw;
pub(crate) mod feed;
mod font;
mod scene;
mod timetable;

pub use scene::Scene;
pub use timetable::{Crossing, Direction, LINE, Position, Timetable};

/// The timetable of `demo:` without a seed.
pub const DEFAULT_SEED: u64 = 1;
/// Groups of walkers per minute of `demo:` without a number.
pub const DEFAULT_PEOPLE: u32 = 10;
/// The most groups of walkers per minute.
pub const MAX_PEOPLE: u32 = 30;
