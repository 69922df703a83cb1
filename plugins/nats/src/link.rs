//! The connection to a server.
//!
//! A connection that is lost is given up with all that was on its way, and a new one made: so nothing that was meant for
//! the old one turns up on the new one after it has been looked what the stream has.

use crate::config::Config;
use crate::secret::{self, Secret};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use std::time::Duration;
use tokio::sync::watch;

/// A peer that is gone without a word is noticed after two of these.
const PING: Duration = Duration::from_secs(15);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Requests that may wait for this plugin; more are dropped.
const WAITING: usize = 1024;

/// What the connection has told.
#[derive(Debug, Clone, Default)]
struct Told {
    end: Option<String>,
    error: Option<String>,
}

/// An open connection.
pub(crate) struct Link {
    pub(crate) client: Client,
    told: watch::Receiver<Told>,
}

impl Link {
    /// Connects to one of the servers.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) async fn open(config: &Config, name: &str) -> Result<Self, String> {
        let addresses = config.addresses()?;
        let options = options(config)?;
        let (tell, told) = watch::channel(Told::default());
        let on_event = move |event: Event| {
            tell.send_modify(|told| match event {
                Event::Disconnected | Event::Closed => {
                    _ = told.end.get_or_insert("the connection was lost".into())
                }
                Event::LameDuckMode => _ = told.end.get_or_insert("the server shuts down".into()),
                Event::ServerError(error) => told.error = Some(sentence(&error.to_string())),
                _ => {}
            });
            std::future::ready(())
        };
        let options = options
            .name(format!("gantry {name}"))
            .event_callback(on_event)
            .connection_timeout(HANDSHAKE)
            .ping_interval(PING)
            .subscription_capacity(WAITING)
            .ignore_discovered_servers()
            // It does not come back by itself, see above; the first attempts count as well.
            .max_reconnects(addresses.len());
        let servers = config.servers.join(", ");
        match options.connect(addresses).await {
            Ok(client) => Ok(Self { client, told }),
            Err(error) => {
                let why = error.to_string();
                let next = match error.kind() {
                    ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                        "correct user, password, token or credentials"
                    }
                    ConnectErrorKind::Tls => "correct `tls`",
                    ConnectErrorKind::Io if why.contains("certificate") => {
                        "set `tls.ca_file`, or correct the server's certificate"
                    }
                    _ => "start it, or correct `servers`",
                };
                Err(format!("cannot reach NATS at {servers} ({}): {next}", sentence(&why)))
            }
        }
    }

    /// Waits until the connection is lost, and says why.
    pub(crate) async fn lost(&self) -> String {
        let mut told = self.told.clone();
        match told.wait_for(|told| told.end.is_some()).await {
            Ok(told) => told.end.clone().unwrap_or_default(),
            Err(_) => "the connection has ended".to_owned(),
        }
    }

    /// What the server complained of last, as of missing permissions.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.told.borrow().error.clone()
    }
}

/// One line, without what could be taken for its end.
fn sentence(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    line.trim().trim_end_matches(['.', ':']).to_owned()
}

/// Reads what it takes to log in: at every attempt anew, so that renewed files are taken.
fn options(config: &Config) -> Result<ConnectOptions, String> {
    let mut options = ConnectOptions::new();
    if let Some(path) = &config.credentials_file {
        let wrong = |error| {
            let path = path.display();
            format!("{path} is no credentials file ({error}): use one that `nsc generate creds` made")
        };
        // The last line of such a file counts only with its end, which a secret is read without.
        let text = format!("{}\n", Secret::read(path)?.reveal());
        options = options.credentials(&text).map_err(wrong)?;
    }
    if let Some(path) = &config.nkey_seed_file {
        let seed = Secret::read(path)?.reveal().trim().to_owned();
        if !(seed.starts_with("SU") && seed.len() == 58 && seed.bytes().all(|b| b.is_ascii_alphanumeric())) {
            return Err(format!("{} has no seed of a user's NKey: it begins with SU", path.display()));
        }
        options = options.nkey(seed);
    }
    if let (Some(user), Some(path)) = (&config.user, &config.password_file) {
        options = options.user_and_password(user.clone(), Secret::read(path)?.reveal().to_owned());
    }
    if let Some(path) = &config.token_file {
        options = options.token(Secret::read(path)?.reveal().to_owned());
    }
    if let Some(tls) = &config.tls {
        options = options.require_tls(true);
        if let Some(path) = &tls.ca_file {
            options = options.add_root_certificates(path.clone());
        }
        if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
            secret::check(key)?;
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::{options, sentence};
    use crate::config::Config;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn wrong(key: &str, text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let config: Config =
            serde_json::from_value(serde_json::json!({ key: path, "password_file": path })).unwrap();
        let refused = options(&config).map(|_| ()).unwrap_err();
        assert!(!refused.contains(text), "{refused}");
        refused
    }

    #[test]
    fn files_with_something_else_in_them_are_refused_without_showing_it() {
        assert!(wrong("credentials_file", "s3cr3t").contains("nsc generate creds"));
        assert!(wrong("nkey_seed_file", "s3cr3t").contains("begins with SU"));
    }

    #[test]
    fn credentials_as_nsc_makes_them_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.creds");
        let text = "-----BEGIN NATS USER JWT-----\neyJ0eXAiOiJqd3QifQ.e30.c2ln\n------END NATS USER JWT------\n\n\
            ************************* IMPORTANT *************************\n\
            -----BEGIN USER NKEY SEED-----\nSUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY\n\
            ------END USER NKEY SEED------\n";
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let config: Config = serde_json::from_value(serde_json::json!({ "credentials_file": path })).unwrap();
        options(&config).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(options(&config).map(|_| ()).unwrap_err().contains("chmod o="));
    }

    #[test]
    fn what_a_server_says_stays_one_line() {
        assert_eq!(sentence("a\nb\u{1b}c. "), "a b c");
        assert!(sentence(&"x".repeat(1000)).len() <= 200);
    }
}
