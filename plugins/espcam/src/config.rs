//! The plugin's section of `gantry.toml`.

use gantry_plugin::Finding;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::SocketAddr;
use std::time::Duration;

/// `[plugins.espcam]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen, UDP.
    pub bind: SocketAddr,
    /// Seconds of silence after which a transfer is over. Devices repeat what was not answered after 5 or 6.
    #[schemars(range(min = 1, max = 3600))]
    pub idle_timeout_seconds: u32,
    /// Seconds for which a picture that was stored is remembered, so that repeated packets of it are acknowledged and not
    /// taken for something new.
    #[schemars(range(min = 1, max = 3600))]
    pub remember_seconds: u32,
    /// The detector that looks at pictures before they are stored: one of the gateway's `[detectors]`. Without it nobody does.
    pub analysis: Option<String>,
    /// Milliseconds after which a picture is stored without having been looked at. Its device waits for an answer meanwhile,
    /// and repeats itself after 5 s.
    #[schemars(range(min = 50, max = 4000))]
    pub analysis_timeout_ms: u32,
    /// Bytes of datagrams that may wait for us in the kernel.
    #[schemars(range(min = 4096, max = 1_073_741_824))]
    pub receive_buffer: usize,
    /// Sockets that share the port, and `receive_buffer`. 0: as many as it takes, 64 at most, because the kernel gives each at
    /// most `net.core.rmem_max`.
    #[schemars(range(max = 64))]
    pub receive_sockets: usize,
    /// Bounds on what devices can cost.
    pub limits: Limits,
}

/// Bounds on what devices can cost.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Transfers at the same time. Requests beyond are refused: busy.
    #[schemars(range(min = 1, max = 65_536))]
    pub transfers: usize,
    /// Transfers at the same time of one address (IPv6: of one /64 network).
    #[schemars(range(min = 1, max = 65_536))]
    pub transfers_per_address: usize,
    /// Bytes of one picture. Requests for larger ones are refused: too large.
    #[schemars(range(min = 1024, max = 33_554_432))]
    pub picture_bytes: usize,
    /// Bytes of pictures in memory, of all transfers together and until they are stored. Packets beyond are not
    /// acknowledged; when three quarters are in use, new requests are refused: busy.
    #[schemars(range(min = 65_536))]
    pub bytes: usize,
    /// Pictures before the detector at the same time, and no more than 16 MiB of them. More are stored without having been
    /// looked at.
    #[schemars(range(min = 1, max = 16))]
    pub analyses: usize,
    /// Bytes of datagrams that have been received and are not done with. More are dropped.
    #[schemars(range(min = 65_536, max = 1_073_741_824))]
    pub waiting_bytes: usize,
    /// Requests a second of one address. More are refused: busy.
    #[schemars(range(min = 1))]
    pub requests_per_second_per_address: u32,
    /// Requests a second. More are refused: busy.
    #[schemars(range(min = 1))]
    pub requests_per_second: u32,
    /// Datagrams a second of one address. More are dropped.
    #[schemars(range(min = 1))]
    pub datagrams_per_second_per_address: u32,
    /// Datagrams a second. More are dropped.
    #[schemars(range(min = 1))]
    pub datagrams_per_second: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([0, 0, 0, 0], 44_444)),
            idle_timeout_seconds: 20,
            remember_seconds: 60,
            analysis: None,
            analysis_timeout_ms: 2000,
            // With 208 KiB for each socket, which is usual, these are 61 of them.
            receive_buffer: 12 << 20,
            receive_sockets: 0,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transfers: 1024,
            transfers_per_address: 512,
            picture_bytes: 8 << 20,
            bytes: 64 << 20,
            analyses: 16,
            waiting_bytes: 16 << 20,
            requests_per_second_per_address: 2000,
            requests_per_second: 4000,
            datagrams_per_second_per_address: 50_000,
            datagrams_per_second: 200_000,
        }
    }
}

/// The runtime takes no larger blob.
const MAX_PICTURE: usize = 32 << 20;

impl Config {
    /// [`idle_timeout_seconds`](Self::idle_timeout_seconds) as a time.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_seconds.into())
    }

    /// [`remember_seconds`](Self::remember_seconds) as a time.
    #[must_use]
    pub fn remember(&self) -> Duration {
        Duration::from_secs(self.remember_seconds.into())
    }

    /// [`analysis_timeout_ms`](Self::analysis_timeout_ms) as a time.
    #[must_use]
    pub fn analysis_timeout(&self) -> Duration {
        Duration::from_millis(self.analysis_timeout_ms.into())
    }

    /// What the types cannot say.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut within = |path: &str, value: usize, least: usize, most: usize| {
            if !(least..=most).contains(&value) {
                let message = if most == usize::MAX {
                    format!("is {value}: set {least} or more")
                } else {
                    format!("is {value}: set it from {least} to {most}")
                };
                findings.push(Finding { path: path.to_owned(), message });
            }
        };
        let number = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        within("idle_timeout_seconds", number(self.idle_timeout_seconds), 1, 3600);
        within("remember_seconds", number(self.remember_seconds), 1, 3600);
        within("receive_buffer", self.receive_buffer, 4096, 1 << 30);
        within("receive_sockets", self.receive_sockets, 0, 64);
        within("analysis_timeout_ms", number(self.analysis_timeout_ms), 50, 4000);
        let limits = &self.limits;
        within("limits.transfers", limits.transfers, 1, 65_536);
        within("limits.transfers_per_address", limits.transfers_per_address, 1, 65_536);
        within("limits.picture_bytes", limits.picture_bytes, 1024, MAX_PICTURE);
        within("limits.analyses", limits.analyses, 1, 16);
        within("limits.waiting_bytes", limits.waiting_bytes, 65_536, 1 << 30);
        // Requests are refused from three quarters on: one picture has to fit below.
        within("limits.bytes", limits.bytes, limits.picture_bytes.saturating_mul(2).max(65_536), usize::MAX);
        for (path, rate) in [
            ("limits.requests_per_second_per_address", limits.requests_per_second_per_address),
            ("limits.requests_per_second", limits.requests_per_second),
            ("limits.datagrams_per_second_per_address", limits.datagrams_per_second_per_address),
            ("limits.datagrams_per_second", limits.datagrams_per_second),
        ] {
            within(path, number(rate), 1, usize::MAX);
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use crate::sockets::MOST;

    fn findings(json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).expect(json);
        config.check().into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn an_empty_section_is_complete() {
        assert!(findings("{}").is_empty());
        assert_eq!(Config::default().bind.to_string(), "0.0.0.0:44444");
    }

    #[test]
    fn the_default_buffer_is_there_also_where_sockets_are_of_the_usual_size() {
        assert!(Config::default().receive_buffer.div_ceil(212_992) < MOST);
    }

    #[test]
    fn everything_wrong_is_found_at_once() {
        let json = r#"{"idle_timeout_seconds":0,"remember_seconds":4000,"receive_buffer":1,"receive_sockets":65,
            "analysis_timeout_ms":4001,"limits":{"transfers":0,"transfers_per_address":0,"picture_bytes":1,"bytes":100,
            "analyses":17,"waiting_bytes":1,"requests_per_second_per_address":0,"requests_per_second":0,
            "datagrams_per_second_per_address":0,"datagrams_per_second":0}}"#;
        assert_eq!(findings(json).len(), 15);
        for key in ["receive_sockets", "analysis_timeout_ms", "limits.analyses", "limits.waiting_bytes"] {
            assert!(findings(json).contains(&key.to_owned()), "{key}");
        }
        assert_eq!(findings(r#"{"limits":{"bytes":10000000}}"#), ["limits.bytes"], "two pictures of 8 MiB");
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<Config>(r#"{"prot":1}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"limits":{"transfer":1}}"#).is_err());
    }
}
