//! `[analysis.CAMERA]`, `[detectors.NAME]`, `[counts]`, `[faces]`: what is looked for in pictures, how it is counted, and what
//! is kept of faces.

use crate::access::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What is looked for in the pictures of one camera, by the camera's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Analysis {
    /// Whether it runs.
    pub enabled: bool,
    /// What finds people.
    pub detector: Detector,
    /// Pictures that are looked at in a second, at most.
    #[schemars(range(min = 1, max = 60))]
    pub fps: u32,
    /// The ONNX model that finds people, for `detector = "onnx"`.
    pub model: Option<PathBuf>,
    /// What kind of model it is: `fastestdet`, `yolox`, `yolov8`.
    pub family: String,
    /// Which of the model's classes is a person; 0 in the order of COCO.
    #[schemars(range(max = 10_000))]
    pub person_class: u32,
    /// Threads for one picture of the model.
    #[schemars(range(min = 1, max = 16))]
    pub threads: u32,
    /// How `detector = "motion"` looks.
    pub motion: Motion,
    /// The lines on which people are counted, by name.
    pub lines: BTreeMap<String, Line>,
    /// The zones in which people are counted, by name.
    pub zones: BTreeMap<String, Zone>,
    /// Looks for faces and keeps the best one of each person. Without it no face is looked for or kept.
    pub faces: Option<FaceModel>,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            enabled: true,
            detector: Detector::Motion,
            fps: 10,
            model: None,
            family: "fastestdet".into(),
            person_class: 0,
            threads: 1,
            motion: Motion::default(),
            lines: BTreeMap::new(),
            zones: BTreeMap::new(),
            faces: None,
        }
    }
}

/// What looks at single pictures, such as those that devices send, by the name that they ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PictureDetector {
    /// What finds people. Motion is nothing that one picture shows.
    pub detector: Detector,
    /// The ONNX model that finds people.
    pub model: Option<PathBuf>,
    /// What kind of model it is: `fastestdet`, `yolox`, `yolov8`.
    pub family: String,
    /// Which of the model's classes is a person; 0 in the order of COCO.
    #[schemars(range(max = 10_000))]
    pub person_class: u32,
    /// How sure the model must be, 0 to 1.
    pub least_score: f32,
    /// Threads for one picture of the model.
    #[schemars(range(min = 1, max = 16))]
    pub threads: u32,
}

impl Default for PictureDetector {
    fn default() -> Self {
        Self {
            detector: Detector::Onnx,
            model: None,
            family: "fastestdet".into(),
            person_class: 0,
            least_score: 0.4,
            threads: 1,
        }
    }
}

/// What finds people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Detector {
    /// What moves before a fixed camera; needs no model.
    #[default]
    Motion,
    /// A model of the operator.
    Onnx,
}

/// How motion is looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Motion {
    /// By how many grey levels somebody must differ from the background.
    #[schemars(range(min = 4, max = 60))]
    pub threshold: u8,
    /// The least area of somebody, as a part of the picture.
    pub least_area: f32,
    /// How large people are; without it that is learned.
    pub person: Option<PersonSize>,
    /// How long something new must stay as it is to become background.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub absorb: Duration,
    /// Whether shadows are told from people.
    pub shadows: bool,
}

impl Default for Motion {
    fn default() -> Self {
        Self {
            threshold: 13,
            least_area: 0.0008,
            person: None,
            absorb: Duration::from_secs(40),
            shadows: true,
        }
    }
}

/// How large people are, as parts of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonSize {
    /// Height of somebody whose feet are at the top of the picture, as a part of the picture's height.
    pub top: f32,
    /// Height of somebody whose feet are at the bottom.
    pub bottom: f32,
    /// Width divided by height, both in pixels.
    pub aspect: f32,
}

/// A counting line. Who goes from the right hand to the left hand of somebody who looks from `from` to `to` goes `in`: a line
/// from top to bottom counts who goes from left to right as `in`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The first end: [0, 0] is the upper left corner of the picture, [1, 1] the lower right one.
    pub from: [f32; 2],
    /// The second end.
    pub to: [f32; 2],
    /// Which point of a person's box counts.
    #[serde(default)]
    pub anchor: Anchor,
    /// How far past the line somebody must be, as a part of his own size.
    pub band: Option<f32>,
}

/// A zone whose people are counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Three corners or more, in the coordinates of lines.
    pub corners: Vec<[f32; 2]>,
    /// Which point of a person's box counts.
    #[serde(default)]
    pub anchor: Anchor,
}

/// Which point of a person's box counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Anchor {
    /// The middle.
    #[default]
    Centre,
    /// The middle of the lower side.
    Foot,
}

/// How faces are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaceModel {
    /// The ONNX model that finds faces.
    pub model: PathBuf,
    /// What kind of model it is: `ultraface`.
    #[serde(default = "ultraface")]
    pub family: String,
    /// The least height of a face that is worth keeping, in pixels of the camera's picture.
    #[serde(default = "least_pixels")]
    #[schemars(range(min = 8, max = 4096))]
    pub least_pixels: u32,
    /// How sure the model must be, 0 to 1.
    #[serde(default = "least_score")]
    pub least_score: f32,
    /// JPEG quality, 1 to 100.
    #[serde(default = "jpeg_quality")]
    #[schemars(range(min = 1, max = 100))]
    pub jpeg_quality: u32,
}

fn ultraface() -> String {
    "ultraface".into()
}

fn least_pixels() -> u32 {
    24
}

fn least_score() -> f32 {
    0.7
}

fn jpeg_quality() -> u32 {
    90
}

/// How counts become days and sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Counts {
    /// The local time at which a new day begins and the counts of the day are 0 again, such as `03:00`.
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub reset: String,
    /// The time zone of that, such as `Europe/Berlin`; by default the machine's.
    pub time_zone: Option<String>,
    /// How far back the rolling sums reach that rules see, such as `1m` or `1h`.
    pub windows: Vec<String>,
    /// How long single crossings are kept.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// How long the sums of each hour are kept.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub max_history: Duration,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            reset: "03:00".into(),
            time_zone: None,
            windows: ["1m", "5m", "10m", "15m", "30m", "1h"].map(String::from).to_vec(),
            max_age: Duration::from_secs(90 * 24 * 3600),
            max_history: Duration::from_secs(800 * 24 * 3600),
        }
    }
}

/// What is kept of faces. The oldest go first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Faces {
    /// Who may see them.
    pub read: Role,
    /// Faces go when they are older than this.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// The most faces.
    pub max_count: u64,
    /// The most bytes of all faces.
    pub max_bytes: u64,
}

impl Default for Faces {
    fn default() -> Self {
        Self {
            read: Role::Anonymous,
            max_age: Duration::from_secs(30 * 24 * 3600),
            max_count: 10_000,
            max_bytes: 1_000_000_000,
        }
    }
}
