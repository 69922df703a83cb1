//! The plugin's keys in `gantry.toml`.

use crate::clock::Clock;
use gantry_plugin::Finding;
use gantry_serve::{Hosts, Limits, Origins, Tls};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use std::time::Duration;

/// The plugin's keys in `gantry.toml`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port to listen on; port 0 takes a free one.
    #[schemars(with = "String")]
    pub bind: SocketAddr,
    /// The camera whose pictures are sent and whose people are counted.
    pub camera: String,
    /// Send pictures with the people, lines and counts drawn into them. Without an `[analysis.CAMERA]` they are sent as
    /// they are.
    pub annotate: bool,
    /// The most frames a second. A viewer that does not keep up gets fewer.
    #[schemars(range(min = 0.1, max = 240.0))]
    pub max_fps: f64,
    /// Milliseconds between two `stats`.
    #[schemars(range(min = 100, max = 60_000))]
    pub stats_interval_ms: u64,
    /// The lines that count, by their names in `[analysis.CAMERA.lines]`. Empty: all of the camera.
    pub lines: Vec<String>,
    /// Which event of the rules is the protocol's.
    pub event: String,
    /// The time zone of times, such as `Europe/Berlin`; by default the machine's.
    pub time_zone: Option<String>,
    /// Speak TLS, with these PEM files.
    pub tls: Option<Tls>,
    /// Names and addresses by which clients may call this server, such as `gateway.local`. Empty: any.
    pub hosts: Hosts,
    /// Web pages that may connect, such as `https://dash.example`; `*` stands for any text. Empty: all.
    pub origins: Origins,
    /// Bounds on what clients can cost. Unless said otherwise a message has at most 1,048,576 bytes here, and 256 of
    /// them with 16,777,216 bytes wait for a client. An answer with faces has half as many bytes at most.
    #[serde(deserialize_with = "limits")]
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([0, 0, 0, 0], 8765)),
            camera: "main".into(),
            annotate: true,
            max_fps: 30.0,
            stats_interval_ms: 500,
            lines: Vec::new(),
            event: "busy".into(),
            time_zone: None,
            tls: None,
            hosts: Hosts::default(),
            origins: Origins::default(),
            limits: Limits {
                message_bytes: MESSAGE_BYTES,
                queue_messages: QUEUE_MESSAGES,
                queue_bytes: QUEUE_BYTES,
                ..Limits::default()
            },
        }
    }
}

/// Requests are short. What is longer closes the connection.
const MESSAGE_BYTES: usize = 1 << 20;
/// Events are small and each one counts.
const QUEUE_MESSAGES: usize = 256;
/// Faces are not: fifty of them are two megabytes.
const QUEUE_BYTES: usize = 16 << 20;

/// What is not said about the limits is as this protocol wants it.
fn limits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limits, D::Error> {
    Limits::over(
        deserializer,
        &[
            ("message_bytes", MESSAGE_BYTES as u64),
            ("queue_messages", QUEUE_MESSAGES as u64),
            ("queue_bytes", QUEUE_BYTES as u64),
        ],
    )
}

/// Whether something can be one level of a state key.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.contains(['/', '+', '#'])
        && !name.chars().any(char::is_control)
}

impl Config {
    /// The stream to watch, when the camera is analysed or not.
    pub(crate) fn stream(&self, analysed: bool) -> String {
        format!("{}/{}", self.camera, if self.annotate && analysed { "annotated" } else { "jpeg" })
    }

    /// The state key that says whether the camera is there.
    pub(crate) fn connected_key(&self) -> String {
        format!("cameras/{}/connected", self.camera)
    }

    /// The state key of the camera's frame rate.
    pub(crate) fn fps_key(&self) -> String {
        format!("cameras/{}/fps", self.camera)
    }

    /// The state key that says whether and how the camera is analysed.
    pub(crate) fn analysis_key(&self) -> String {
        format!("analysis/{}", self.camera)
    }

    /// The topic on which the runtime tells when the event begins and ends.
    pub(crate) fn event_topic(&self) -> String {
        format!("events/{}", self.event)
    }

    /// The time between two `stats`.
    pub(crate) fn stats_interval(&self) -> Duration {
        Duration::from_millis(self.stats_interval_ms)
    }

    /// The most bytes of an answer with faces: one waits and there is still room for what is small.
    pub(crate) fn answer_bytes(&self) -> usize {
        self.limits.queue_bytes / 2
    }

    /// What the types cannot say.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |path: String, message: String| findings.push(Finding { path, message });
        if !is_name(&self.camera) {
            find(
                "camera".into(),
                format!("`{}` is no camera's name: use one of [cameras.NAME]", self.camera),
            );
        }
        if !(0.1..=240.0).contains(&self.max_fps) {
            find("max_fps".into(), format!("is {}: set it from 0.1 to 240 frames a second", self.max_fps));
        }
        if !(100..=60_000).contains(&self.stats_interval_ms) {
            let ms = self.stats_interval_ms;
            find("stats_interval_ms".into(), format!("is {ms}: set it from 100 to 60000 milliseconds"));
        }
        for (i, line) in self.lines.iter().enumerate() {
            if !is_name(line) {
                let message =
                    format!("`{line}` is no line's name: use one of [analysis.{}.lines]", self.camera);
                find(format!("lines[{i}]"), message);
            } else if self.lines[..i].contains(line) {
                find(format!("lines[{i}]"), format!("`{line}` is there twice: name each line once"));
            }
        }
        if !is_name(&self.event) {
            let event = &self.event;
            find("event".into(), format!("`{event}` is no event's name: use one that a rule begins"));
        }
        if let Err(message) = Clock::of(self.time_zone.as_deref()) {
            find("time_zone".into(), message);
        }
        findings.extend(gantry_serve::check(self.tls.as_ref(), &self.hosts, &self.origins, &self.limits));
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use gantry_serve::Limits;

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
        assert_eq!((config.bind.to_string().as_str(), config.stats_interval_ms), ("0.0.0.0:8765", 500));
    }

    #[test]
    fn the_picture_is_annotated_when_there_is_something_to_draw_and_it_is_wanted() {
        let config = read(r#"{"camera":"hall"}"#);
        assert_eq!(
            (config.stream(true).as_str(), config.stream(false).as_str()),
            ("hall/annotated", "hall/jpeg")
        );
        assert_eq!(read(r#"{"annotate":false}"#).stream(true), "main/jpeg");
    }

    #[test]
    fn limits_that_are_not_said_stay_those_of_this_protocol() {
        let limits = read(r#"{"limits":{"connections":3}}"#).limits;
        assert_eq!(limits, Limits { connections: 3, ..Config::default().limits });
        assert_eq!(
            (limits.message_bytes, limits.queue_messages, limits.queue_bytes),
            (1 << 20, 256, 16 << 20)
        );
    }

    #[test]
    fn everything_wrong_is_found_at_once() {
        let json = r##"{"camera":"a/b","max_fps":0,"stats_interval_ms":5,"lines":["door","x#","door"],"event":"",
            "time_zone":"Mars/Olympus","tls":{"certificate":"/no/a.pem","key":"/no/b.pem"},
            "origins":["dash.example"],"limits":{"connections":0}}"##;
        let paths = [
            "camera",
            "max_fps",
            "stats_interval_ms",
            "lines[1]",
            "lines[2]",
            "event",
            "time_zone",
            "tls",
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
