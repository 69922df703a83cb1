//! How an analysis does, in figures.

use std::time::Duration;

/// How the analysis of one camera does.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisStatus {
    /// The camera.
    pub camera: String,
    /// What finds people: `motion` or `onnx`.
    pub detector: &'static str,
    /// The stream that it watches: `analysis` or `raw`.
    pub stream: &'static str,
    /// Whether pictures are looked at now.
    pub running: bool,
    /// Frames that were looked at since it began.
    pub frames: u64,
    /// Frames that it was given and did not look at, because a newer one came.
    pub skipped: u64,
    /// What the last frame took.
    pub last: Duration,
    /// What a frame takes on average.
    pub average: Duration,
    /// What all frames took.
    pub busy: Duration,
    /// People who are followed now.
    pub people: u64,
    /// Pictures that were annotated and encoded since it began.
    pub annotated: u64,
}
