//! `[state.NAME]` and `[lights.NAME]`: what can be read and written, and what that acts on.

use crate::access::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// One observable: a typed value that clients read and write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observable {
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The least and the greatest value, of a number.
    pub range: Option<[f64; 2]>,
    /// The values that it can have, of an enum.
    pub choices: Option<Vec<String>>,
    /// Its value before anybody has written one. By default `false`, 0 or the least number of the range, an empty text,
    /// the first choice.
    pub default: Option<Value>,
    /// The unit of the value, for people: `%`, `Hz`, `px`.
    #[serde(default)]
    pub unit: String,
    /// Whether the value survives a restart.
    #[serde(default = "yes")]
    pub persist: bool,
    /// Who may read it.
    #[serde(default = "everybody")]
    pub read: Role,
    /// Who may write it.
    #[serde(default = "operators")]
    pub write: Role,
    /// Whether it falls back to its default when what it causes is done: a button, not a switch.
    #[serde(default)]
    pub momentary: bool,
    /// What a value acts on: `camera/NAME/CONTROL`, `light/NAME`.
    #[serde(default)]
    pub acts_on: Vec<String>,
    /// The state key whose value it shows, such as `cameras/main/connected`. Nobody can write it then.
    pub follows: Option<String>,
}

fn yes() -> bool {
    true
}

fn everybody() -> Role {
    Role::Anonymous
}

fn operators() -> Role {
    Role::Operator
}

/// What an observable's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// Text.
    String,
    /// One of `choices`.
    Enum,
}

/// One light.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Light {
    /// The Linux LED, by its name in `/sys/class/leds`, or the path of its folder.
    pub led: Option<String>,
    /// The GPIO chip, such as `/dev/gpiochip0`; the line is in `line`.
    pub gpio: Option<PathBuf>,
    /// The number of the line of the GPIO chip.
    pub line: Option<u32>,
    /// Whether the light is on while the line is low.
    pub active_low: bool,
}
