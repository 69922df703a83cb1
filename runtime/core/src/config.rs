//! The types of `gantry.toml`. Reading, merging and checking it is the binary's work.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

mod access;
mod analysis;
mod media;
mod observable;
mod plugin;
mod records;

pub use access::{Access, Anonymous};
pub use analysis::{
    Analysis, Anchor, Counts, Detector, FaceModel, Faces, Line, Motion, PersonSize, PictureDetector, Zone,
};
pub use media::{Camera, Codec, Recording, Snapshots};
pub use observable::{Kind, Light, Observable};
pub use plugin::{Isolation, Plugin, Scripts};
pub use records::{Kept, Records};

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
    /// Where mappings and rules are looked for; by default `scripts` beside the folder of the configuration file.
    pub script_dir: Option<PathBuf>,
    /// Who may do what, and for how long.
    pub access: Access,
    /// The observables by name: typed values that clients read and write.
    pub state: BTreeMap<String, Observable>,
    /// The lights by name.
    pub lights: BTreeMap<String, Light>,
    /// Where recordings go, and how much of them is kept.
    pub recording: Recording,
    /// Where snapshots go, and how many of them are kept.
    pub snapshots: Snapshots,
    /// What a script may cost.
    pub scripts: Scripts,
    /// The cameras by name.
    pub cameras: BTreeMap<String, Camera>,
    /// What is looked for in the pictures of cameras, by the camera's name.
    pub analysis: BTreeMap<String, Analysis>,
    /// What looks at single pictures, by the name that plugins ask for.
    pub detectors: BTreeMap<String, PictureDetector>,
    /// How counts become days and sums.
    pub counts: Counts,
    /// What is kept of faces.
    pub faces: Faces,
    /// What is kept of everything else.
    pub records: Records,
    /// What rules are told, by the rule's name: each sees its own table as `config`. `enabled = false` turns a rule off.
    pub rules: BTreeMap<String, Map<String, Value>>,
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
            script_dir: None,
            access: Access::default(),
            state: BTreeMap::new(),
            lights: BTreeMap::new(),
            recording: Recording::default(),
            snapshots: Snapshots::default(),
            scripts: Scripts::default(),
            cameras: BTreeMap::new(),
            analysis: BTreeMap::new(),
            detectors: BTreeMap::new(),
            counts: Counts::default(),
            faces: Faces::default(),
            records: Records::default(),
            rules: BTreeMap::new(),
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
