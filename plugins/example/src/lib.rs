//! The smallest useful plugin: tells, on the topic `example/frames`, how many frames it has seen.
#![forbid(unsafe_code)]

use gantry_plugin::{Error, Frame, Host, Plugin, export_plugin};

/// The keys of `[plugins.example]`.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The stream to watch, `CAMERA/STREAM`.
    stream: String,
    /// Tell every so many frames.
    every: std::num::NonZeroU64,
}

impl Default for Config {
    fn default() -> Self {
        Self { stream: "main/jpeg".into(), every: std::num::NonZeroU64::MIN.saturating_add(99) }
    }
}

/// Counts frames.
pub struct Example {
    host: Host,
    config: Config,
    seen: u64,
}

impl Plugin for Example {
    type Config = Config;

    fn create(host: Host, config: Config) -> Result<Self, Error> {
        host.watch_frames(&config.stream, Some(1.0))?;
        Ok(Self { host, config, seen: 0 })
    }

    fn on_frame(&mut self, _frame: Frame) {
        self.seen += 1;
        if self.seen.is_multiple_of(self.config.every.get()) {
            let _ = self.host.publish("example/frames", self.seen.to_string().as_bytes());
        }
    }
}

export_plugin!(Example, "example");
