//! `[plugins.NAME]` and `[scripts]`: what others have written, and what it may cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

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

/// What a call of a script may cost. Above it the call ends with an error and has no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scripts {
    /// Operations of one call.
    pub max_operations: u64,
    /// The time of one call, such as `20ms`.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub deadline: Duration,
    /// How deep functions may call each other.
    #[schemars(range(min = 1, max = 64))]
    pub max_call_levels: u32,
    /// The longest text, in bytes.
    pub max_string_bytes: u32,
    /// The most elements of an array or map.
    pub max_elements: u32,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            max_operations: 50_000,
            deadline: Duration::from_millis(20),
            max_call_levels: 32,
            max_string_bytes: 16 * 1024,
            max_elements: 4096,
        }
    }
}
