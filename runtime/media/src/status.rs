//! How a camera does, for the console and the admin listener.

use serde::Serialize;

/// One camera now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Its source without credentials.
    pub source: String,
    /// What it does.
    pub state: CameraState,
    /// Why it does not run; empty while it does.
    pub reason: String,
    /// Frames that the source gave.
    pub frames_captured: u64,
    /// JPEG pictures made for watchers, or passed through to them.
    pub frames_encoded: u64,
    /// Frames lost by the source or because encoding could not keep up.
    pub frames_dropped: u64,
    /// Frames a second that the source gave over the last two seconds.
    pub fps: f64,
    /// How often its pipeline was built anew after it failed.
    pub restarts: u64,
    /// What went wrong last, if anything ever did.
    pub last_error: Option<String>,
}

/// What a camera does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CameraState {
    /// It is being opened and gave no frame yet.
    Starting,
    /// Frames come.
    Running,
    /// It failed and waits to be tried again.
    Retrying,
    /// Its recording is over, and does not loop.
    Ended,
    /// It is being closed.
    Stopping,
}
