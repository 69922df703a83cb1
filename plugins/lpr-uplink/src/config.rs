//! The plugin's keys in `gantry.toml`.

use crate::address::Address;
use crate::line;
use crate::message::{COLLECTIONS, Origin};
use gantry_plugin::Finding;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// `[plugins.lpr-uplink]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The upstream's address, such as `http://upstream.example:8765`. Must be set.
    pub url: String,
    /// The key that the upstream wants, as `api_key` of Socket.IO's `auth` and as `X-API-Key`. Shown nowhere.
    pub api_key: Option<Secret>,
    /// What this gateway calls itself in what no camera has sent: text or a whole number; by default the machine's name.
    pub camera_id: Option<Id>,
    /// The same for `checkpoint_id`.
    pub checkpoint_id: Id,
    /// What is sent: `detections`, `health`, `events`, `gateway` (this gateway's own health), `counts` (who crosses lines).
    pub collections: Vec<String>,
    /// Where to begin when it is used for the first time: with the `oldest` record that is there, or with what comes from
    /// `now` on. Later it goes on where it was.
    pub start: Start,
    /// Seconds until a connection must be open.
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout_s: u32,
    /// Seconds until a record that was sent must be answered. The connection is closed when it is not.
    #[schemars(range(min = 1, max = 3600))]
    pub answer_timeout_s: u32,
    /// Seconds between two rounds of tries, and the longest time between two tries of a round.
    #[schemars(range(min = 1, max = 86_400))]
    pub retry_interval_s: u32,
    /// Tries of a round after the first; then the health is degraded until something is taken.
    #[schemars(range(min = 0, max = 1000))]
    pub max_retries: u32,
    /// Records that are read at once.
    #[schemars(range(min = 1, max = 1000))]
    pub batch: usize,
    /// Seconds after which Socket.IO is tried again while REST is in use.
    #[schemars(range(min = 1, max = 86_400))]
    pub return_interval_s: u32,
    /// How an https upstream is recognised.
    pub tls: Tls,
}

/// `[plugins.lpr-uplink.tls]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file with the certificates that vouch for the upstream, in place of those of the system.
    pub ca_file: Option<PathBuf>,
}

/// Where a new consumer begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the oldest record that is there.
    #[default]
    Oldest,
    /// With the next record.
    Now,
}

impl Start {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Oldest => "oldest",
            Self::Now => "now",
        }
    }
}

/// An id of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Id {
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

impl Id {
    fn value(&self) -> Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.clone().into(),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.trim().is_empty())
    }
}

/// What is shown nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// A text without it, should somebody have put it in there, also where the text was cut in the middle of it.
    pub(crate) fn keep_out_of(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        let mut text = text.replace(&self.0, "…");
        for (length, _) in self.0.char_indices().rev().filter(|(length, _)| *length > 0) {
            text = text.replace(&format!("{}…", &self.0[..length]), "…");
        }
        text
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            api_key: None,
            camera_id: None,
            checkpoint_id: Id::Text("gateway".to_owned()),
            collections: ["detections", "health", "events", "gateway"].map(str::to_owned).to_vec(),
            start: Start::Oldest,
            connect_timeout_s: 30,
            answer_timeout_s: 30,
            retry_interval_s: 60,
            max_retries: 5,
            batch: 50,
            return_interval_s: 120,
            tls: Tls::default(),
        }
    }
}

impl Config {
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_s.into())
    }

    pub(crate) fn answer_timeout(&self) -> Duration {
        Duration::from_secs(self.answer_timeout_s.into())
    }

    pub(crate) fn line(&self, jitter: f64) -> line::Settings {
        line::Settings {
            retry_interval: Duration::from_secs(self.retry_interval_s.into()),
            max_retries: self.max_retries,
            return_interval: Duration::from_secs(self.return_interval_s.into()),
            jitter,
        }
    }

    pub(crate) fn origin(&self, host_name: &str) -> Origin {
        let camera = self.camera_id.as_ref().map_or_else(|| host_name.into(), Id::value);
        Origin { camera, checkpoint: self.checkpoint_id.value() }
    }

    /// What the types cannot say.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find =
            |path: &str, message: String| findings.push(Finding { path: path.to_owned(), message });
        if let Err(message) = Address::read(&self.url) {
            find("url", message);
        }
        if self.api_key.as_ref().is_some_and(|key| {
            key.0.is_empty()
                || key.0.len() > 4096
                || !key.0.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        }) {
            find("api_key", "is no key: set printable ASCII characters, or leave it out".to_owned());
        }
        for (path, id) in
            [("camera_id", self.camera_id.as_ref()), ("checkpoint_id", Some(&self.checkpoint_id))]
        {
            if id.is_some_and(Id::is_empty) {
                find(path, "is empty: set a name or a number, or leave it out".to_owned());
            }
        }
        if self.collections.is_empty() {
            find("collections", format!("is empty: name some of {}", COLLECTIONS.join(", ")));
        }
        for (i, name) in self.collections.iter().enumerate() {
            if !COLLECTIONS.contains(&name.as_str()) {
                let message = format!("`{name}` cannot be sent: use {}", COLLECTIONS.join(", "));
                find(&format!("collections[{i}]"), message);
            }
        }
        for (path, value, least, most) in [
            ("connect_timeout_s", self.connect_timeout_s, 1, 3600),
            ("answer_timeout_s", self.answer_timeout_s, 1, 3600),
            ("retry_interval_s", self.retry_interval_s, 1, 86_400),
            ("max_retries", self.max_retries, 0, 1000),
            ("return_interval_s", self.return_interval_s, 1, 86_400),
            ("batch", u32::try_from(self.batch).unwrap_or(u32::MAX), 1, 1000),
        ] {
            if !(least..=most).contains(&value) {
                find(path, format!("is {value}: set it from {least} to {most}"));
            }
        }
        findings
    }
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "gateway".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use serde_json::json;

    fn read(json: &str) -> Config {
        serde_json::from_str(json).expect(json)
    }

    fn findings(json: &str) -> Vec<String> {
        read(json).check().into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn an_address_is_all_that_it_needs() {
        assert!(findings(r#"{"url":"http://192.0.2.1:8765"}"#).is_empty());
        assert_eq!(findings("{}"), ["url"]);
        let config = read("{}");
        let times = (config.connect_timeout_s, config.retry_interval_s, config.max_retries, config.batch);
        assert_eq!(times, (30, 60, 5, 50), "as the document has it");
    }

    #[test]
    fn everything_wrong_is_found_at_once() {
        let json = r#"{"url":"x","api_key":"a\nb","camera_id":"","checkpoint_id":" ","collections":["pictures","health"],
            "connect_timeout_s":0,"answer_timeout_s":0,"retry_interval_s":0,"max_retries":1001,"return_interval_s":0,"batch":0}"#;
        let paths = [
            "url",
            "api_key",
            "camera_id",
            "checkpoint_id",
            "collections[0]",
            "connect_timeout_s",
            "answer_timeout_s",
            "retry_interval_s",
            "max_retries",
            "return_interval_s",
            "batch",
        ];
        assert_eq!(findings(json), paths);
        assert_eq!(findings(r#"{"url":"http://a","collections":[]}"#), ["collections"]);
    }

    #[test]
    fn the_key_is_shown_nowhere() {
        let config = read(r#"{"url":"http://a","api_key":"very-secret"}"#);
        assert!(!format!("{config:?}").contains("secret"));
        let key = config.api_key.expect("a key");
        assert_eq!(key.keep_out_of("the key very-secret is wrong"), "the key … is wrong");
        assert_eq!(key.keep_out_of("a long story about very-secre…: check"), "a long story about …: check");
    }

    #[test]
    fn ids_are_texts_or_numbers() {
        let origin = read(r#"{"camera_id":7,"checkpoint_id":"gate"}"#).origin("host");
        assert_eq!((origin.camera, origin.checkpoint), (json!(7), json!("gate")));
        let origin = read("{}").origin("host");
        assert_eq!((origin.camera, origin.checkpoint), (json!("host"), json!("gateway")));
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<Config>(r#"{"uri":"x"}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"tls":{"ca":"x"}}"#).is_err());
    }
}
