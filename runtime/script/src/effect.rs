//! What rules cause.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest line for the log, in characters.
const MAX_LOG_LINE: usize = 1024;

/// What a rule caused. Effects of a call are given out only when the whole call succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// An event of that name begins.
    BeginEvent {
        /// Its name, such as `busy`.
        name: String,
        /// What there is to tell about it.
        #[serde(default)]
        data: Value,
    },
    /// The event of that name ends.
    EndEvent {
        /// Its name.
        name: String,
        /// What there is to tell about it.
        #[serde(default)]
        data: Value,
    },
    /// A message for the bus.
    Emit {
        /// The topic.
        topic: String,
        /// The message.
        #[serde(default)]
        data: Value,
    },
    /// A new value of an observable.
    SetState {
        /// The observable.
        key: String,
        /// Its value.
        value: Value,
    },
    /// A picture is to be taken.
    Snapshot {
        /// The camera; without one the gateway's main camera.
        #[serde(default)]
        camera: Option<String>,
    },
    /// The record that the hook was asked about gets a tag.
    Tag {
        /// The tag, such as `visitor`.
        name: String,
    },
    /// Somebody should know of the record: a watch list has what is in it.
    Alert {
        /// Which alert, such as `watch-list`.
        name: String,
        /// What there is to tell about it.
        #[serde(default)]
        data: Value,
    },
    /// The record is not to be stored, and whoever sent it is to be told that all is well. One rule that says
    /// so is enough.
    Drop,
    /// Whether uplinks are to get the record. They do unless a rule says otherwise; one rule that says no is
    /// enough.
    Forward {
        /// What the rule said.
        forward: bool,
    },
    /// A line for the log. The script thread has logged it already.
    Log {
        /// How important it is.
        level: Level,
        /// The line.
        text: String,
    },
}

impl Effect {
    /// Whether it is about the record that a hook is asked about.
    pub(crate) fn is_about_a_record(&self) -> bool {
        matches!(self, Self::Tag { .. } | Self::Alert { .. } | Self::Drop | Self::Forward { .. })
    }
}

/// How important a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are the levels that everybody knows")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// Those that have a function `log::NAME`. `debug` is a word of the language, and a function without `log::`.
    pub(crate) const NAMED: [(&'static str, Self); 4] =
        [("trace", Self::Trace), ("info", Self::Info), ("warn", Self::Warn), ("error", Self::Error)];
}

/// Logs what a call said.
pub(crate) fn log_all(script: &str, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Log { level, text } = effect {
            match level {
                Level::Trace => tracing::trace!(script, "{text}"),
                Level::Debug => tracing::debug!(script, "{text}"),
                Level::Info => tracing::info!(script, "{text}"),
                Level::Warn => tracing::warn!(script, "{text}"),
                Level::Error => tracing::error!(script, "{text}"),
            }
        }
    }
}

/// A line for the log that is one line and no longer than it may be.
pub(crate) fn log_line(text: &str) -> String {
    text.chars().take(MAX_LOG_LINE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
