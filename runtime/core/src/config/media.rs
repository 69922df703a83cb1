//! `[cameras.NAME]`, `[recording]` and `[snapshots]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// One camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Camera {
    /// Where pictures come from: `demo:`, `file:///path.mp4?loop=true`, `rtsp://…`, `v4l2:///dev/video0`, `libcamera:`.
    pub source: String,
    /// A pipeline file to use in place of the one that belongs to the kind of source.
    pub pipeline: Option<PathBuf>,
    /// Width of the pictures, in pixels.
    #[schemars(range(min = 16, max = 8192))]
    pub width: u32,
    /// Height of the pictures, in pixels.
    #[schemars(range(min = 16, max = 8192))]
    pub height: u32,
    /// Frames per second.
    #[schemars(range(min = 1, max = 240))]
    pub fps: u32,
    /// JPEG quality, 1 to 100. Without effect where the camera gives JPEG itself.
    #[schemars(range(min = 1, max = 100))]
    pub jpeg_quality: u32,
    /// More sources of the same camera, such as the sensors of a head: the control `sensor` chooses one of them by its place
    /// from 0. Empty: `source` is the only one.
    pub sensors: Vec<String>,
    /// A camera that gives no frame for this long is rebuilt, such as `1s` or `500ms`.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub stall_timeout: Duration,
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            source: "demo:".into(),
            pipeline: None,
            width: 640,
            height: 480,
            fps: 30,
            jpeg_quality: 80,
            sensors: Vec::new(),
            stall_timeout: Duration::from_secs(1),
        }
    }
}

/// Where recordings go, and how much of them is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    /// The folder; by default `recordings` in `state_dir`.
    pub dir: Option<PathBuf>,
    /// How pictures are kept: as the JPEG that viewers get, or as H.264.
    pub codec: Codec,
    /// A file that has lasted this long is closed and the next one begun.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub segment: Duration,
    /// The oldest recordings go when all of them have more bytes than this.
    pub max_bytes: u64,
    /// Recordings go when they are older than this.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// Recording stops rather than leave fewer bytes than this free on the disk.
    pub min_free_bytes: u64,
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            dir: None,
            codec: Codec::Mjpeg,
            segment: Duration::from_secs(600),
            max_bytes: 10_000_000_000,
            max_age: Duration::from_secs(30 * 24 * 3600),
            min_free_bytes: 500_000_000,
        }
    }
}

/// How recorded pictures are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// The JPEG pictures that viewers get, unchanged: no work, large files.
    #[default]
    Mjpeg,
    /// H.264: small files, and the work of encoding them.
    H264,
}

/// Where snapshots go, and how many of them are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Snapshots {
    /// The folder; by default `snapshots` in `state_dir`.
    pub dir: Option<PathBuf>,
    /// JPEG quality, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub jpeg_quality: u32,
    /// The oldest snapshots go when all of them have more bytes than this.
    pub max_bytes: u64,
    /// Snapshots go when they are older than this.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// A snapshot is refused rather than leave fewer bytes than this free on the disk.
    pub min_free_bytes: u64,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            dir: None,
            jpeg_quality: 97,
            max_bytes: 1_000_000_000,
            max_age: Duration::from_secs(90 * 24 * 3600),
            min_free_bytes: 500_000_000,
        }
    }
}
