//! What can be told of an instance at any moment.

use gantry_core::health::{Level, Report as Health};
use serde::{Deserialize, Serialize};

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It is being loaded, created or started.
    Starting,
    /// It works.
    Running,
    /// It failed and is started again soon.
    Backoff,
    /// It failed too often: it stays down until its configuration or library changes, or a reload.
    Down,
    /// It is being stopped.
    Stopping,
    /// Its library cannot be loaded.
    Refused,
}

/// An address at which a plugin answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Such as `http://127.0.0.1:3000/socket.io/`.
    pub url: String,
    /// Such as `Socket.IO`.
    pub protocol: String,
}

impl Endpoint {
    /// Whether it is short enough to be shown and cannot steer the terminal that shows it.
    pub(crate) fn is_presentable(&self) -> bool {
        self.url.len() + self.protocol.len() <= 512
            && !self.url.chars().chain(self.protocol.chars()).any(char::is_control)
    }
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Its name in the configuration.
    pub id: String,
    /// The plugin's name; empty until it was loaded.
    pub name: String,
    /// The plugin's version; empty until it was loaded.
    pub version: String,
    /// The library, as the configuration names it.
    pub library: String,
    /// Where it is in its life.
    pub state: RunState,
    /// How often it was started again after a failure.
    pub restarts: u64,
    /// Threads that did not come back from an entry in time and were left behind.
    pub left_behind: u64,
    /// Its last report, or what the runtime has to say of it.
    pub health: Health,
    /// Where it answers.
    pub endpoints: Vec<Endpoint>,
    /// Messages that it was too slow to take.
    pub messages_dropped: u64,
    /// Frames that it was too slow to take.
    pub frames_dropped: u64,
    /// Frames that it keeps now.
    pub frames_kept: usize,
}

/// A level of the border as one of the core.
pub(crate) fn level(raw: u32) -> Option<Level> {
    match raw {
        gantry_abi::HEALTH_OK => Some(Level::Ok),
        gantry_abi::HEALTH_DEGRADED => Some(Level::Degraded),
        gantry_abi::HEALTH_FAILED => Some(Level::Failed),
        _ => None,
    }
}
