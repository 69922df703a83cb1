//! The smallest useful plugin: tells on the topic `example/frames` how many frames it has seen.
#![forbid(unsafe_code)]

use gantry_plugin::{Error, Frame, Host, Plugin, export_plugin};

/// The keys of `[plugins.example]`.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The stream to watch, `CAMERA/STREAM`.
    stream: String,
}

/// Counts frames.
pub struct Example(Host, u64);

impl Plugin for Example {
    type Config = Config;
    fn create(host: Host, config: Config) -> Result<Self, Error> {
        host.watch_frames(&config.stream, Some(1.0))?;
        Ok(Self(host, 0))
    }
    fn on_frame(&mut self, _frame: Frame) {
        self.1 += 1;
        let _ = self.0.publish("example/frames", self.1.to_string().as_bytes());
    }
}
export_plugin!(Example, "example");
