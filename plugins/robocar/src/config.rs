//! The plugin's keys in `gantry.toml`.

use gantry_plugin::Finding;
use gantry_serve::{Hosts, Limits, Origins, Tls};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The plugin's keys in `gantry.toml`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port to listen on; port 0 takes a free one.
    #[schemars(with = "String")]
    pub bind: SocketAddr,
    /// The camera whose pictures are sent.
    pub camera: String,
    /// How often `sensor_data` and `status` are sent, in Hz.
    #[schemars(range(min = 0.1, max = 240.0))]
    pub publish_rate: f64,
    /// Speak TLS, with these PEM files.
    pub tls: Option<Tls>,
    /// Names and addresses, without a port, under which this may be asked, such as `gateway.local`; `*` stands for any text.
    /// Empty: all. A list keeps out web pages that have their own name lead here (DNS rebinding).
    pub hosts: Hosts,
    /// Web pages that may connect, such as `https://dash.example`; `*` stands for any text. Empty: all.
    pub origins: Origins,
    /// Bounds on what clients can cost.
    pub limits: Limits,
    /// More blocks beside `camera` in `sensor_data`: the block's name and the state key that fills it, such as
    /// `lidar = "robot/lidar"`. A key without a value is sent as `null`.
    pub blocks: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([0, 0, 0, 0], 3000)),
            camera: "main".into(),
            publish_rate: 10.0,
            tls: None,
            hosts: Hosts::default(),
            origins: Origins::default(),
            limits: Limits::default(),
            blocks: BTreeMap::new(),
        }
    }
}

/// Names that `sensor_data` and `status` have already.
const TAKEN: [&str; 5] = ["timestamp", "camera", "clients", "message", "connected"];

impl Config {
    /// The stream of the camera's pictures.
    pub(crate) fn stream(&self) -> String {
        format!("{}/jpeg", self.camera)
    }

    /// The state key that says whether the camera is there.
    pub(crate) fn connected_key(&self) -> String {
        format!("cameras/{}/connected", self.camera)
    }

    /// The state key of the camera's frame rate.
    pub(crate) fn fps_key(&self) -> String {
        format!("cameras/{}/fps", self.camera)
    }

    /// What the types cannot say.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |path: String, message: String| findings.push(Finding { path, message });
        if !(0.1..=240.0).contains(&self.publish_rate) {
            find("publish_rate".into(), format!("is {}: set it from 0.1 to 240 Hz", self.publish_rate));
        }
        if self.camera.is_empty() || self.camera.contains(['/', '+', '#']) {
            find(
                "camera".into(),
                format!("`{}` is no camera's name: use one of [cameras.NAME]", self.camera),
            );
        }
        for (name, key) in &self.blocks {
            let path = format!("blocks.{name}");
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if TAKEN.contains(&name.as_str()) {
                find(path, "is a name that the protocol uses itself: take another".into());
            } else if name.is_empty() || !name.chars().all(plain) {
                find(path, "is no name for a block: use letters, digits, `_` and `-`".into());
            } else if key.is_empty() || key.contains(['+', '#']) {
                find(path, format!("`{key}` is no state key: name one key, such as `robot/{name}`"));
            }
        }
        findings.extend(gantry_serve::check(self.tls.as_ref(), &self.hosts, &self.origins, &self.limits));
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    fn findings(json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).expect(json);
        config.check().into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn an_empty_section_is_complete() {
        assert!(findings("{}").is_empty());
    }

    #[test]
    fn everything_wrong_is_found_at_once() {
        let json = r#"{"publish_rate":0,"camera":"a/b","blocks":{"camera":"x","lidar":"robot/#","a b":"x"},
            "origins":["dash.example"],"hosts":["a:80"],"limits":{"connections":0}}"#;
        let paths = [
            "publish_rate",
            "camera",
            "blocks.a b",
            "blocks.camera",
            "blocks.lidar",
            "hosts[0]",
            "origins[0]",
            "limits.connections",
        ];
        assert_eq!(findings(json), paths);
        assert_eq!(findings(r#"{"tls":{"certificate":"/nowhere/a.pem","key":"/nowhere/b.pem"}}"#), ["tls"]);
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<Config>(r#"{"prot":1}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"tls":{"certificate":"a"}}"#).is_err());
    }
}
