//! The plugin's keys in `gantry.toml`.

use crate::clock::Days;
use crate::key::{self, ApiKey};
use gantry_plugin::Finding;
use gantry_serve::{Hosts, Limits, Origins, Tls};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The plugin's keys in `gantry.toml`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port to listen on; port 0 takes a free one.
    #[schemars(with = "String")]
    pub bind: SocketAddr,
    /// The key that each camera has to show, by its `camera_id`: 16 characters or more, or `sha256:` and the hash of the
    /// key. `"*"` is a key for every camera. Without any, whoever reaches the port may send as any camera.
    pub api_keys: BTreeMap<String, ApiKey>,
    /// Cameras (with their checkpoints) that `/api/cameras` and the statistics know of. What others send is kept as well.
    #[schemars(range(min = 1, max = 65_536))]
    pub max_cameras: usize,
    /// Seconds after which a camera that says nothing is `offline`.
    #[schemars(range(min = 1, max = 604_800))]
    pub active_seconds: u32,
    /// The time zone whose days `today_…` counts, such as `Asia/Bangkok`; by default the machine's.
    pub time_zone: Option<String>,
    /// Bytes of messages that are being stored. What is more is answered `busy: try again` or 503.
    #[schemars(range(min = 1_048_576))]
    pub pending_bytes: usize,
    /// Speak TLS, with these PEM files.
    pub tls: Option<Tls>,
    /// Names and addresses, without a port, under which this may be asked, such as `gateway.local`; `*` stands for any text.
    /// Empty: all. A list keeps out web pages that have their own name lead here (DNS rebinding).
    pub hosts: Hosts,
    /// Web pages that may connect, such as `https://dash.example`; `*` stands for any text. Empty: all.
    pub origins: Origins,
    /// Bounds on what clients can cost. Unless said otherwise a connection may send 1000 messages a second here, and 4096 of
    /// them wait for a client.
    #[serde(deserialize_with = "limits")]
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([0, 0, 0, 0], 8765)),
            api_keys: BTreeMap::new(),
            max_cameras: 4096,
            active_seconds: 300,
            time_zone: None,
            pending_bytes: 128 << 20,
            tls: None,
            hosts: Hosts::default(),
            origins: Origins::default(),
            limits: Limits { queue_messages: QUEUE, messages_per_second: RATE, ..Limits::default() },
        }
    }
}

/// What was sent at once is answered at once, and told to dashboards: that is not slow of them.
const QUEUE: usize = 4096;
/// A camera that was cut off has much to tell, and what is dropped here it has to tell again.
const RATE: u32 = 1000;

/// What is not said about the limits is as this protocol wants it.
fn limits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limits, D::Error> {
    Limits::over(deserializer, &[("queue_messages", QUEUE as u64), ("messages_per_second", RATE.into())])
}

impl Config {
    /// Whether anybody may send as any camera, and others than this machine can reach it.
    pub(crate) fn is_open(&self) -> bool {
        self.api_keys.is_empty() && !self.bind.ip().is_loopback()
    }

    /// What the types cannot say.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let mut findings = key::check(&self.api_keys);
        let mut find =
            |path: &str, message: String| findings.push(Finding { path: path.to_owned(), message });
        if !(1..=65_536).contains(&self.max_cameras) {
            find("max_cameras", format!("is {}: set it from 1 to 65536", self.max_cameras));
        }
        if !(1..=604_800).contains(&self.active_seconds) {
            find("active_seconds", format!("is {}: set it from 1 to 604800 seconds", self.active_seconds));
        }
        if self.pending_bytes < 1 << 20 {
            find("pending_bytes", format!("is {}: set 1048576 or more", self.pending_bytes));
        }
        if let Err(message) = Days::of(self.time_zone.as_deref()) {
            find("time_zone", message);
        }
        findings.extend(gantry_serve::check(self.tls.as_ref(), &self.hosts, &self.origins, &self.limits));
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    fn read(json: &str) -> Config {
        serde_json::from_str(json).expect(json)
    }

    fn findings(json: &str) -> Vec<String> {
        read(json).check().into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn an_empty_section_is_complete() {
        assert!(findings("{}").is_empty());
        let config = read("{}");
        assert_eq!((config.bind.port(), config.limits.message_bytes), (8765, 16 << 20));
        let limits = read(r#"{"limits":{"connections":3}}"#).limits;
        assert_eq!((limits.queue_messages, limits.messages_per_second), (4096, 1000));
        assert_eq!(limits, gantry_serve::Limits { connections: 3, ..config.limits });
    }

    #[test]
    fn only_a_port_that_others_reach_needs_keys() {
        assert!(read("{}").is_open());
        assert!(!read(r#"{"bind":"127.0.0.1:1"}"#).is_open() && !read(r#"{"bind":"[::1]:1"}"#).is_open());
        assert!(!read(r#"{"api_keys":{"1":"0123456789abcdef"}}"#).is_open());
    }

    #[test]
    fn everything_wrong_is_found_at_once() {
        let json = r#"{"api_keys":{"1":"x"},"max_cameras":0,"active_seconds":0,"pending_bytes":1,"time_zone":"Mars/Olympus",
            "hosts":["a:80"],"origins":["dash.example"],"limits":{"connections":0}}"#;
        let paths = [
            "api_keys.1",
            "max_cameras",
            "active_seconds",
            "pending_bytes",
            "time_zone",
            "hosts[0]",
            "origins[0]",
            "limits.connections",
        ];
        assert_eq!(findings(json), paths);
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<Config>(r#"{"prot":1}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"limits":{"conections":1}}"#).is_err());
    }
}
