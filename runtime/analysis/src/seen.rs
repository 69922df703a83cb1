//! What an analysis tells.

use bytes::Bytes;
use gantry_vision::Direction;
use std::sync::Arc;

/// Something that was seen by a camera. Times are of the picture, not of when it was looked at.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Somebody crossed a line.
    Crossing {
        /// The camera.
        camera: String,
        /// The line's name.
        line: String,
        /// Which way.
        direction: Direction,
        /// Who: a number that this camera gives nobody else while the gateway runs.
        track: u64,
        /// When, Unix time in milliseconds.
        unix_ms: i64,
    },
    /// Another number of people is in a zone.
    Occupancy {
        /// The camera.
        camera: String,
        /// The zone's name.
        zone: String,
        /// How many are inside now. 0, too, when the camera gives no pictures any more.
        people: u64,
        /// When, Unix time in milliseconds.
        unix_ms: i64,
    },
    /// The best face of somebody, once for each.
    Face {
        /// The camera.
        camera: String,
        /// Whose: the number of crossings.
        track: u64,
        /// When that picture was taken, Unix time in milliseconds.
        unix_ms: i64,
        /// How good it is, 0 to 1.
        score: f32,
        /// The picture of the face.
        jpeg: Bytes,
        /// Its width, in pixels.
        width: u32,
        /// Its height, in pixels.
        height: u32,
    },
}

/// Told of what is seen, on the analysis thread, in order for each camera. Must not block: the camera is not
/// looked at meanwhile.
pub type Sink = Arc<dyn Fn(Seen) + Send + Sync>;
