//! The plugin's keys in `gantry.toml`.

use gantry_plugin::Finding;
use gantry_serve::{Hosts, Limits, Origins, Tls};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;

/// The plugin's keys in `gantry.toml`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port to listen on; port 0 takes a free one.
    #[schemars(with = "String")]
    pub bind: SocketAddr,
    /// The mapping that says which key stands for which state: `scripts/mappings/NAME.rhai`.
    pub mapping: String,
    /// Speak TLS, with these PEM files.
    pub tls: Option<Tls>,
    /// Names and addresses, without a port, under which this may be asked, such as `gateway.local`; `*` stands for any text.
    /// Empty: all. A list keeps out web pages that have their own name lead here (DNS rebinding).
    pub hosts: Hosts,
    /// Web pages that may connect, such as `https://dash.example`; `*` stands for any text. Empty: all.
    pub origins: Origins,
    /// Bounds on what clients can cost. Unless said otherwise a message has at most 1,048,576 bytes here, and 256 of them
    /// wait for a client.
    #[serde(deserialize_with = "limits")]
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([0, 0, 0, 0], 80)),
            mapping: "cpro".into(),
            tls: None,
            hosts: Hosts::default(),
            origins: Origins::default(),
            limits: Limits { message_bytes: MESSAGE_BYTES, queue_messages: QUEUE, ..Limits::default() },
        }
    }
}

/// What is longer closes the connection; what is shorter and still too long is answered with an error.
const MESSAGE_BYTES: usize = 16 * crate::message::MAX_BYTES;
/// Broadcasts are small and each one counts: more of them than large messages may wait for a client.
const QUEUE: usize = 256;

/// What is not said about the limits is as this protocol wants it, and not as one that carries pictures.
fn limits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limits, D::Error> {
    Limits::over(deserializer, &[("message_bytes", MESSAGE_BYTES as u64), ("queue_messages", QUEUE as u64)])
}

impl Config {
    /// The topic on which the runtime tells what has changed.
    pub(crate) fn topic(&self) -> String {
        format!("mappings/{}/changed", self.mapping)
    }

    /// What the types cannot say.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |path: String, message: String| findings.push(Finding { path, message });
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.mapping.is_empty() || self.mapping.len() > 64 || !self.mapping.chars().all(plain) {
            let name = &self.mapping;
            find(
                "mapping".into(),
                format!(
                    "`{name}` is no mapping's name: use that of a file in scripts/mappings, without `.rhai`"
                ),
            );
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
        assert_eq!((config.bind.port(), config.topic().as_str()), (80, "mappings/cpro/changed"));
    }

    #[test]
    fn limits_that_are_not_said_stay_those_of_this_protocol() {
        let limits = read(r#"{"limits":{"connections":3}}"#).limits;
        assert_eq!((limits.connections, limits.message_bytes, limits.queue_messages), (3, 1 << 20, 256));
        assert_eq!(limits, gantry_serve::Limits { connections: 3, ..Config::default().limits });
    }

    #[test]
    fn everything_wrong_is_found_at_once() {
        let json = r#"{"mapping":"a/b","origins":["dash.example"],"hosts":["http://a"],
            "limits":{"connections":0},"tls":{"certificate":"/no/a.pem","key":"/no/b.pem"}}"#;
        let paths = ["mapping", "tls", "hosts[0]", "origins[0]", "limits.connections"];
        assert_eq!(findings(json), paths);
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<Config>(r#"{"prot":1}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"limits":{"conections":1}}"#).is_err());
    }
}
