//! The plugin's keys in `gantry.toml`.

use crate::request::SERVICES;
use crate::subject::{is_prefix, is_token};
use async_nats::ServerAddr;
use gantry_plugin::Finding;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The plugin's keys in `gantry.toml`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The servers, `nats://HOST:PORT`, or `tls://HOST:PORT` for those that are only spoken to over TLS. One that answers is
    /// enough; of a cluster name all.
    pub servers: Vec<String>,
    /// The name of this gateway, one token of subjects: letters, digits, `-` and `_`. Each gateway of a fleet needs its own.
    /// By default the name of the machine.
    pub gateway: Option<String>,
    /// What all subjects of the fleet begin with.
    pub prefix: String,
    /// A file with a user's JWT and seed (`.creds`), as `nsc` makes them.
    pub credentials_file: Option<PathBuf>,
    /// A file with the seed of an NKey.
    pub nkey_seed_file: Option<PathBuf>,
    /// A user, whose password is in `password_file`.
    pub user: Option<String>,
    /// A file with the password of `user`.
    pub password_file: Option<PathBuf>,
    /// A file with a token.
    pub token_file: Option<PathBuf>,
    /// What TLS needs that is not the system's.
    pub tls: Option<Tls>,
    /// The JetStream domain in which the stream is, as that of a leaf node; by default that of the server.
    pub jetstream_domain: Option<String>,
    /// The stream that takes the records.
    pub stream: String,
    /// Make the stream, and the bucket for pictures, when they are missing. What is there is never changed.
    pub create_stream: bool,
    /// How the stream and the bucket are made.
    pub limits: Limits,
    /// Whose records are published.
    pub collections: Vec<String>,
    /// Where to begin the very first time.
    pub start: Start,
    /// Records that are read from the store at once.
    #[schemars(range(min = 1, max = 1000))]
    pub batch: usize,
    /// What becomes of pictures: `object` puts them into the JetStream object store, `reference` says where to ask for them,
    /// `none` only names them.
    pub pictures: Pictures,
    /// The object store for pictures; by default `PREFIX-GATEWAY`.
    pub bucket: Option<String>,
    /// Answer requests.
    pub requests: bool,
    /// Which requests are answered.
    pub services: Vec<String>,
    /// Requests that are answered in a second. More are refused.
    #[schemars(range(min = 1, max = 100_000))]
    pub requests_per_second: u32,
    /// What the subjects begin with to which answers may go: who asks chooses them, and this gateway may publish where he may not.
    pub reply_prefixes: Vec<String>,
    /// Where in the state the plugin's figures are. A second instance needs its own.
    pub state: String,
}

/// What TLS needs that is not the system's.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificates that servers are known by, PEM, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// This gateway's own certificate, PEM, when the servers want one.
    pub certificate: Option<PathBuf>,
    /// The key of `certificate`, PEM.
    pub key: Option<PathBuf>,
}

/// How the stream and the bucket are made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds for which messages and pictures are kept; 0: for ever.
    pub max_age_seconds: u64,
    /// Bytes of the stream, and as many of the bucket; 0: no bound. The oldest messages go first; a full bucket takes no more.
    pub max_bytes: u64,
    /// Milliseconds for which the stream itself drops messages that it has seen. What comes later is found by looking.
    #[schemars(range(min = 100))]
    pub duplicate_window_ms: u64,
    /// How many servers of a cluster keep each message.
    #[schemars(range(min = 1, max = 5))]
    pub replicas: u8,
}

/// Where to begin the very first time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the oldest record that there is.
    #[default]
    Oldest,
    /// With what comes from now on.
    Now,
}

/// What becomes of pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pictures {
    /// They are put into the object store.
    #[default]
    Object,
    /// The message says where to ask for them.
    Reference,
    /// They are only named.
    None,
}

impl Default for Config {
    fn default() -> Self {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        Self {
            servers: texts(&["nats://127.0.0.1:4222"]),
            gateway: None,
            prefix: "gantry".into(),
            credentials_file: None,
            nkey_seed_file: None,
            user: None,
            password_file: None,
            token_file: None,
            tls: None,
            jetstream_domain: None,
            stream: "GANTRY".into(),
            create_stream: true,
            limits: Limits::default(),
            collections: texts(&["counts", "events", "detections", "health", "pictures", "gateway"]),
            start: Start::Oldest,
            batch: 100,
            pictures: Pictures::Object,
            bucket: None,
            requests: true,
            services: SERVICES.iter().map(|service| service.name.to_owned()).collect(),
            requests_per_second: 100,
            reply_prefixes: texts(&["_INBOX"]),
            state: "plugins/nats".into(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_age_seconds: 30 * 86_400, max_bytes: 0, duplicate_window_ms: 120_000, replicas: 1 }
    }
}

impl Limits {
    /// How long messages are kept; nothing: for ever.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        (self.max_age_seconds > 0).then(|| Duration::from_secs(self.max_age_seconds))
    }
}

/// The collection of what cannot be published: publishing it would begin again and again.
pub(crate) const REFUSED: &str = "refused";

impl Config {
    /// The addresses of the servers.
    ///
    /// # Errors
    /// A sentence without anything of the address, which may have a secret in it.
    pub(crate) fn addresses(&self) -> Result<Vec<ServerAddr>, String> {
        self.servers.iter().map(|text| address(text)).collect()
    }

    /// Whether a secret can be read by whoever sees the network.
    pub(crate) fn shows_secrets(&self) -> bool {
        let far = |text: &String| {
            address(text).is_ok_and(|address| {
                let host = address.host().trim_matches(['[', ']']);
                let ip = host.parse::<IpAddr>();
                !address.tls_required() && host != "localhost" && !ip.is_ok_and(|ip| ip.is_loopback())
            })
        };
        let has_secret = self.password_file.is_some() || self.token_file.is_some();
        has_secret && self.tls.is_none() && self.servers.iter().any(far)
    }

    /// What the types cannot say.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |path: &str, message: String| {
            findings.push(Finding { path: path.to_owned(), message });
        };
        if self.servers.is_empty() {
            find("servers", "is empty: name a server, such as `nats://127.0.0.1:4222`".into());
        }
        for (n, text) in self.servers.iter().enumerate() {
            if let Err(message) = address(text) {
                find(&format!("servers[{n}]"), message);
            }
        }
        let token = "use letters, digits, `-` and `_`";
        let tokens = [
            ("gateway", self.gateway.as_deref()),
            ("stream", Some(&*self.stream)),
            ("bucket", self.bucket.as_deref()),
            ("jetstream_domain", self.jetstream_domain.as_deref()),
        ];
        for (path, text) in tokens {
            if text.is_some_and(|text| !is_token(text)) {
                find(path, format!("cannot be part of a subject: {token}, at most 64"));
            }
        }
        if !is_prefix(&self.prefix) {
            find("prefix", format!("cannot begin a subject: {token}, and dots between them"));
        }
        self.check_login(&mut find);
        for (n, name) in self.collections.iter().enumerate() {
            if name == REFUSED {
                let message = "is what this plugin could not publish: it stays here, so leave it out";
                find(&format!("collections[{n}]"), message.into());
            }
        }
        if self.collections.is_empty() {
            find("collections", "is empty: name what is to be published, such as \"counts\"".into());
        }
        for (n, name) in self.services.iter().enumerate() {
            if !SERVICES.iter().any(|service| service.name == name) {
                let all: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
                let message = format!("`{name}` is not for requests: there are {}", all.join(", "));
                find(&format!("services[{n}]"), message);
            }
        }
        for (n, text) in self.reply_prefixes.iter().enumerate() {
            if !is_prefix(text) {
                find(
                    &format!("reply_prefixes[{n}]"),
                    format!("cannot begin a subject: {token}, and dots between them"),
                );
            }
        }
        let mut within = |path: &str, value: u64, least: u64, most: u64| {
            if !(least..=most).contains(&value) {
                find(path, format!("is {value}: set it from {least} to {most}"));
            }
        };
        within("batch", self.batch as u64, 1, 1000);
        within("requests_per_second", self.requests_per_second.into(), 1, 100_000);
        within("limits.replicas", self.limits.replicas.into(), 1, 5);
        // JetStream counts nanoseconds in 63 bits.
        within("limits.max_age_seconds", self.limits.max_age_seconds, 0, 9_000_000_000);
        within("limits.max_bytes", self.limits.max_bytes, 0, i64::MAX as u64);
        let age = match self.limits.max_age_seconds {
            0 => 86_400_000,
            seconds => seconds.saturating_mul(1000),
        };
        within("limits.duplicate_window_ms", self.limits.duplicate_window_ms, 100, age);
        let good = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if !self.state.split('/').all(good) {
            find("state", "is no state key: write it as `plugins/nats`".into());
        }
        findings
    }

    fn check_login(&self, find: &mut dyn FnMut(&str, String)) {
        let ways = [
            ("credentials_file", self.credentials_file.is_some()),
            ("nkey_seed_file", self.nkey_seed_file.is_some()),
            ("user", self.user.is_some()),
            ("token_file", self.token_file.is_some()),
        ];
        let chosen: Vec<_> = ways.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| *key).collect();
        if let [first, second, ..] = chosen[..] {
            find(second, format!("does not go with `{first}`: set one of them"));
        }
        match (&self.user, &self.password_file) {
            (Some(_), None) => {
                find("password_file", "is missing: name the file with the user's password".into())
            }
            (None, Some(_)) => find("user", "is missing: name the user whose password that is".into()),
            _ => {}
        }
        if let Some(tls) = &self.tls
            && tls.certificate.is_some() != tls.key.is_some()
        {
            find("tls", "needs `certificate` and `key` together, or none of them".into());
        }
    }
}

fn address(text: &str) -> Result<ServerAddr, String> {
    let wrong = || "is no address: write it as `nats://HOST:4222` or `tls://HOST:4222`".to_owned();
    if !["nats://", "tls://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Err(wrong());
    }
    let address: ServerAddr = text.parse().map_err(|_| wrong())?;
    if address.host().is_empty() {
        return Err(wrong());
    }
    if address.has_user_pass() || address.password().is_some() {
        return Err(
            "has a secret in it, which would be shown: use `user` and `password_file`, or `token_file`"
                .into(),
        );
    }
    Ok(address)
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
        let json = r#"{"servers":["http://a","nats://"],"gateway":"a.b","prefix":"a.","stream":"A B","bucket":"*",
            "jetstream_domain":">","credentials_file":"a","user":"b","tls":{"key":"k"},"collections":["refused"],
            "services":["records.append"],"reply_prefixes":["_INBOX.>"],"batch":0,"requests_per_second":0,"state":"a//b",
            "limits":{"replicas":0,"duplicate_window_ms":1,"max_bytes":18446744073709551615}}"#;
        let paths = [
            "servers[0]",
            "servers[1]",
            "gateway",
            "stream",
            "bucket",
            "jetstream_domain",
            "prefix",
            "user",
            "password_file",
            "tls",
            "collections[0]",
            "services[0]",
            "reply_prefixes[0]",
            "batch",
            "requests_per_second",
            "limits.replicas",
            "limits.max_bytes",
            "limits.duplicate_window_ms",
            "state",
        ];
        assert_eq!(findings(json), paths);
        assert_eq!(findings(r#"{"limits":{"max_age_seconds":60,"duplicate_window_ms":60001}}"#).len(), 1);
        assert_eq!(findings(r#"{"servers":[],"collections":[]}"#), ["servers", "collections"]);
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        for server in ["nats://joe:s3cr3t@host", "nats://s3cr3t@host:1", "tls://:s3cr3t@host"] {
            let config: Config =
                serde_json::from_value(serde_json::json!({ "servers": [server] })).expect("a configuration");
            let found = config.check();
            assert!(found.len() == 1 && !found[0].message.contains("s3cr3t"), "{found:?}");
        }
    }

    #[test]
    fn a_secret_in_the_clear_is_known() {
        for (json, shows) in [
            (r#"{"servers":["nats://hub.example"],"user":"a","password_file":"b"}"#, true),
            (r#"{"servers":["nats://127.0.0.1:1","nats://192.0.2.1"],"token_file":"b"}"#, true),
            (
                r#"{"servers":["nats://127.0.0.1:1","nats://[::1]:2","nats://localhost"],"token_file":"b"}"#,
                false,
            ),
            (r#"{"servers":["tls://hub.example"],"token_file":"b"}"#, false),
            (r#"{"servers":["nats://hub.example"],"token_file":"b","tls":{}}"#, false),
            (r#"{"servers":["nats://hub.example"],"nkey_seed_file":"b"}"#, false),
        ] {
            let config: Config = serde_json::from_str(json).expect(json);
            assert_eq!(config.shows_secrets(), shows, "{json}");
        }
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<Config>(r#"{"server":[]}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"tls":{"ca":"a"}}"#).is_err());
    }
}
