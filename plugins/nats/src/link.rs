//! The connection to a server.
//!
//! A connection that is lost is given up with all that was on its way, and a new one made. The client would come back by itself
//! at once, and write what waits in it after it has been looked what the stream has. It cannot: each client is let in once, see
//! [`Login::once`], and ends when it is not.

use crate::config::Config;
use crate::secret::{self, Secret};
use async_nats::{
    Auth, AuthError, Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr,
};
use nkeys::KeyPair;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// A peer that is gone without a word is noticed after two of these.
const PING: Duration = Duration::from_secs(15);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Requests that may wait for this plugin; more are dropped.
const WAITING: usize = 1024;
/// Messages that may wait for the network, each as large as the server takes them.
const UNSENT: usize = 64;

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
        let mut addresses = config.addresses()?;
        // A fleet spreads over its servers.
        let random = usize::from(RandomState::new().hash_one(0).to_le_bytes()[0]);
        let first = random % addresses.len().max(1);
        addresses.rotate_left(first);
        let mut last = Err("there is no server: name one in `servers`".to_owned());
        for address in addresses {
            last = Self::open_one(config, name, address).await;
            if last.is_ok() {
                break;
            }
        }
        last
    }

    async fn open_one(config: &Config, name: &str, address: ServerAddr) -> Result<Self, String> {
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
            .client_capacity(UNSENT)
            // What comes back to this gateway is nobody else's to read, see `cluster-node.conf`.
            .custom_inbox_prefix(inbox(name))
            .ignore_discovered_servers()
            // It gives up when it is not let in again.
            .max_reconnects(1);
        match options.connect(address).await {
            Ok(client) => Ok(Self { client, told }),
            Err(error) => Err(unreachable(config, &error)),
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

/// Why there is no connection to any of the servers.
fn unreachable(config: &Config, error: &ConnectError) -> String {
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
    format!("cannot reach NATS at {} ({}): {next}", config.servers.join(", "), sentence(&why))
}

/// What the subjects of answers to this gateway begin with.
fn inbox(gateway: &str) -> String {
    format!("_INBOX_{gateway}")
}

/// Who this gateway is to the server.
#[derive(Default)]
struct Login {
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    jwt: Option<String>,
    key: Option<KeyPair>,
}

impl Login {
    /// Logs in the first time that it is asked, and never again.
    fn once(self) -> ConnectOptions {
        let used = AtomicBool::new(false);
        ConnectOptions::with_auth_callback(move |nonce: Vec<u8>| {
            let auth = if used.swap(true, Ordering::AcqRel) {
                Err(AuthError::new("this connection has ended"))
            } else {
                self.answer(&nonce)
            };
            std::future::ready(auth)
        })
    }

    fn answer(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let mut auth = Auth::new();
        (auth.username, auth.password) = (self.user.clone(), self.password.clone());
        (auth.token, auth.jwt) = (self.token.clone(), self.jwt.clone());
        if let Some(key) = &self.key {
            auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
            // With a JWT, the key is in there.
            auth.nkey = self.jwt.is_none().then(|| key.public_key());
        }
        Ok(auth)
    }
}

/// What a credentials file has after a line with `BEGIN` and this.
fn section<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("---") && line.contains(begin))?;
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with("---"))
}

/// Reads what it takes to log in: at every attempt anew, so that renewed files are taken.
fn login(config: &Config) -> Result<Login, String> {
    let mut login = Login::default();
    if let Some(path) = &config.credentials_file {
        let secret = Secret::read(path)?;
        let jwt = section(secret.reveal(), "BEGIN NATS USER JWT").map(str::to_owned);
        let seed = section(secret.reveal(), "BEGIN USER NKEY SEED");
        (login.jwt, login.key) = (jwt, seed.and_then(|seed| KeyPair::from_seed(seed).ok()));
        if login.jwt.is_none() || login.key.is_none() {
            let path = path.display();
            return Err(format!("{path} is no credentials file: use one that `nsc generate creds` made"));
        }
    }
    if let Some(path) = &config.nkey_seed_file {
        let secret = Secret::read(path)?;
        let seed = secret.reveal().trim();
        let key = KeyPair::from_seed(seed).ok().filter(|_| seed.starts_with("SU"));
        login.key =
            Some(key.ok_or_else(|| {
                format!("{} has no seed of a user's NKey: it begins with SU", path.display())
            })?);
    }
    if let (Some(user), Some(path)) = (&config.user, &config.password_file) {
        (login.user, login.password) = (Some(user.clone()), Some(Secret::read(path)?.reveal().to_owned()));
    }
    if let Some(path) = &config.token_file {
        login.token = Some(Secret::read(path)?.reveal().to_owned());
    }
    Ok(login)
}

fn options(config: &Config) -> Result<ConnectOptions, String> {
    let mut options = login(config)?.once();
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
    use super::{Link, options, sentence};
    use crate::config::Config;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn greet(listener: &TcpListener) -> TcpStream {
        let (mut peer, _) = listener.accept().await.unwrap();
        let info = r#"INFO {"server_id":"a","server_name":"a","version":"2.9.10","go":"","host":"","port":1,"headers":true,"max_payload":1048576,"proto":1,"client_id":1}"#;
        peer.write_all(format!("{info}\r\n").as_bytes()).await.unwrap();
        peer
    }

    #[tokio::test]
    async fn a_connection_that_is_lost_does_not_come_back_with_what_waits_in_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let mut peer = greet(&listener).await;
            let mut said = Vec::new();
            while !said.ends_with(b"PING\r\n") {
                said.push(peer.read_u8().await.unwrap());
            }
            peer.write_all(b"PONG\r\n").await.unwrap();
            drop(peer);
            // The client tries, and says nothing.
            greet(&listener).await.read(&mut [0]).await.unwrap()
        });
        let config: Config = serde_json::from_value(serde_json::json!({ "servers": [url] })).unwrap();
        let link = Link::open(&config, "g").await.unwrap();
        link.client.publish("a", "b".into()).await.unwrap();
        link.lost().await;
        assert_eq!(server.await.unwrap(), 0, "bytes");
    }

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
