//! Questions to the services of the runtime, and what they answer.

use crate::message::{Refusal, Secret};
use crate::role::Role;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::fmt;
use std::net::SocketAddr;

/// A question to a service of the runtime.
#[derive(Clone, PartialEq)]
pub struct Ask {
    /// The service's name.
    pub service: &'static str,
    /// What is asked; may hold a password or a token.
    pub request: Value,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ask({})", self.service)
    }
}

impl Ask {
    /// What somebody may do: the holder of `token`, or whoever comes without one.
    #[must_use]
    pub fn describe(mapping: &str, token: Option<&Secret>) -> Self {
        Self {
            service: "mapping.describe",
            request: json!({"mapping": mapping, "token": token.map(Secret::expose)}),
        }
    }

    /// The values of `keys`, or of all that `token` may read.
    #[must_use]
    pub fn read(mapping: &str, token: Option<&Secret>, keys: Option<&[String]>) -> Self {
        let request = json!({"mapping": mapping, "token": token.map(Secret::expose), "keys": keys});
        Self { service: "mapping.read", request }
    }

    /// New values from `peer`.
    #[must_use]
    pub fn write(
        mapping: &str,
        token: Option<&Secret>,
        peer: SocketAddr,
        values: Map<String, Value>,
    ) -> Self {
        let address = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let token = token.map(Secret::expose);
        let request = json!({"mapping": mapping, "token": token, "address": address, "values": values});
        Self { service: "mapping.write", request }
    }

    /// What the gateway is.
    #[must_use]
    pub fn gateway() -> Self {
        Self { service: "gateway.info", request: json!({}) }
    }

    /// Log in. `peer`'s address is what failures are counted against.
    #[must_use]
    pub fn login(username: &str, password: &Secret, peer: SocketAddr) -> Self {
        let address = peer.ip().to_canonical();
        let request = json!({"username": username, "password": password.expose(), "address": address});
        Self { service: "access.login", request }
    }

    /// Whether a token still holds.
    #[must_use]
    pub fn resume(token: &Secret, peer: SocketAddr) -> Self {
        let address = peer.ip().to_canonical();
        Self { service: "access.resume", request: json!({"token": token.expose(), "address": address}) }
    }

    /// The session behind a token is over.
    #[must_use]
    pub fn end(token: &Secret) -> Self {
        Self { service: "access.end", request: json!({"token": token.expose()}) }
    }
}

/// What `access.login` and `access.resume` answer.
#[derive(Deserialize)]
pub(crate) struct Login {
    pub(crate) authenticated: bool,
    pub(crate) token: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) role: Option<Role>,
    pub(crate) retry_after_s: Option<f64>,
}

/// What `mapping.describe` answers.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Rights {
    pub(crate) role: Option<Role>,
    pub(crate) keys: Map<String, Value>,
    pub(crate) permissions: Vec<Value>,
    pub(crate) ended: bool,
}

/// What `mapping.write` answers.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Written {
    pub(crate) accepted: Map<String, Value>,
    pub(crate) rejected: Vec<Refusal>,
    pub(crate) ended: bool,
}

/// What `mapping.read` answers.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Values {
    pub(crate) sequence: u64,
    pub(crate) values: Map<String, Value>,
    pub(crate) rejected: Vec<Refusal>,
    pub(crate) ended: bool,
}

/// What the runtime answers to a question: JSON of the service, or a sentence.
pub type Reply = Result<Value, String>;

/// A reply as its type. One that is not of its type is a fault of the runtime's, and no reason to panic.
pub(crate) fn typed<T: serde::de::DeserializeOwned>(reply: Reply) -> Result<T, String> {
    serde_json::from_value(reply?).map_err(|error| format!("the answer is not what was agreed: {error}"))
}
