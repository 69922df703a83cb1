//! LPR ingest: plate-reading cameras over Socket.IO, REST and plain WebSocket, on one port.
//!
//! ```text
//! Socket.IO ─► session ─┐                                        ┌─► the sender's answer
//! WebSocket ─► session ─┼─► message ─► record ─► records.append ─┼─► registry (statistics, cameras)
//! REST      ─► api ─────┘              └ picture                 └─► dashboard and health rooms
//! ```
//!
//! [`session`], [`message`], [`record`], [`picture`], [`answer`] and [`registry`] are the protocol: JSON in, what to do and
//! to say out, without a socket. `desk`, `server`, `api` and `load` put them on the network and before the store.
//!
//! This crate is *not* where records are: the runtime keeps them, and nobody is told of a success before the runtime has
//! answered with an id.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

pub mod answer;
mod api;
pub mod clock;
mod config;
mod desk;
pub mod json;
pub mod key;
mod listing;
mod load;
pub mod message;
pub mod openapi;
pub mod record;
pub mod registry;
mod rooms;
mod server;
pub mod session;
mod talk;

use clock::Days;
use gantry_plugin::calls::Calls;
use gantry_plugin::worker::Worker;
use gantry_plugin::{Error, Finding, Health, Host, Plugin};
use gantry_serve::Listener;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub use config::Config;
pub use gantry_lpr_protocol::picture;

/// How long an answer may take. Senders of this protocol give up after thirty seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// The token of the call that nobody waits for.
const ANNOUNCED: u64 = 1;

/// An instance of the plugin.
pub struct Lpr {
    host: Host,
    config: Config,
    days: Days,
    calls: Arc<Calls>,
    worker: Option<Worker>,
}

impl Plugin for Lpr {
    type Config = Config;

    fn validate(config: &Config) -> Vec<Finding> {
        config.check()
    }

    fn create(host: Host, config: Config) -> Result<Self, Error> {
        let days = Days::of(config.time_zone.as_deref()).map_err(Error::new)?;
        Ok(Self { host, config, days, calls: Calls::new(host, PATIENCE), worker: None })
    }

    fn start(&mut self) -> Result<(), Error> {
        let listener = Listener::bind(self.config.bind, self.config.tls.as_ref(), &self.config.limits)?
            .only_for(&self.config.hosts);
        let mut listening = format!("listening on {}", listener.address());
        if self.config.is_open() {
            listening += "; whoever reaches it may send as any camera: set `api_keys`";
            gantry_plugin::warn!(self.host, "{listening}");
        }
        let endpoints = json!({"endpoints": [
            {"url": listener.url("http", "/"), "protocol": "LPR ingest (REST, /openapi.json)"},
            {"url": listener.url("http", "/socket.io/"), "protocol": "LPR ingest (Socket.IO)"},
            {"url": listener.url("ws", "/"), "protocol": "LPR ingest (WebSocket)"},
        ]});
        self.host.health(Health::Ok, &listening);
        let parts = server::Parts {
            host: self.host,
            config: self.config.clone(),
            days: self.days.clone(),
            calls: self.calls.clone(),
            listener,
            listening,
        };
        self.worker = Some(Worker::spawn(self.host, "lpr", move |stopping| server::run(parts, stopping))?);
        if let Err(error) = self.host.call("endpoints.announce", &endpoints, ANNOUNCED) {
            // Nobody's records depend on being shown in a list.
            gantry_plugin::debug!(self.host, "the endpoint is not announced: {error}");
        }
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }

    fn on_reply(&mut self, token: u64, reply: Result<Value, Error>) {
        self.calls.reply(token, reply);
    }
}

gantry_plugin::export_plugin!(Lpr, "lpr");
