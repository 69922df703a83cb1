//! The types of `gantry.toml`. Reading, merging and checking it is the binary's work.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Something wrong with a configuration, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The key, such as `cameras.main.fps`; empty for the whole.
    pub path: String,
    /// A sentence that ends in the next step.
    pub message: String,
}

impl Finding {
    /// A finding about the key at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the gateway keeps what must survive a restart.
    pub state_dir: PathBuf,
    /// Where plugin libraries are looked for that are not given by path; by default beside the `gantry` program.
    pub plugin_dir: Option<PathBuf>,
    /// Where pipeline files are looked for; by default `pipelines` beside the folder of the configuration file.
    pub pipeline_dir: Option<PathBuf>,
    /// What is logged, and how.
    pub log: Log,
    /// The listener for operators.
    pub admin: Admin,
    /// The cameras by name.
    pub cameras: BTreeMap<String, Camera>,
    /// The plugin instances by name.
    pub plugins: BTreeMap<String, Plugin>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "./var".into(),
            plugin_dir: None,
            pipeline_dir: None,
            log: Log::default(),
            admin: Admin::default(),
            cameras: BTreeMap::new(),
            plugins: BTreeMap::new(),
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level, or directives as of tracing's `EnvFilter`, such as `info,gantry_media=debug`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Auto }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `human` on a terminal, `json` under systemd, `human` elsewhere.
    #[default]
    Auto,
    /// For reading.
    Human,
    /// One JSON object a line.
    Json,
}

/// The listener for operators: `/healthz`, `/readyz`, `/metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port; port 0 takes a free one.
    #[schemars(with = "String")]
    pub bind: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 9600)) }
    }
}

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
            stall_timeout: Duration::from_secs(1),
        }
    }
}

/// One plugin instance: what the host needs to know, and beside it the plugin's own keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Plugin {
    /// Whether it runs.
    pub enabled: bool,
    /// The library: a path, or a name that stands for `lib<name>.so` in `plugin_dir`. By default `gantry_` and the
    /// instance's name.
    pub library: Option<String>,
    /// The SHA-256 of the library in hex; when given, no other file is loaded.
    #[schemars(regex(pattern = "^[0-9a-fA-F]{64}$"))]
    pub sha256: Option<String>,
    /// `none` runs the plugin in the gateway's process.
    pub isolation: Isolation,
    /// The plugin's own keys.
    #[serde(flatten)]
    pub own: Map<String, Value>,
}

impl Default for Plugin {
    fn default() -> Self {
        Self { enabled: true, library: None, sha256: None, isolation: Isolation::None, own: Map::new() }
    }
}

/// Where a plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// In the gateway's process, on a thread of its own.
    #[default]
    None,
    /// In a process of its own.
    Process,
}
