//! The C Pro state control: JSON messages over WebSocket that read and write the state of the gateway.
//!
//! [`message`] reads what clients send, [`session`] is the protocol of one client, [`ask`] what it asks the
//! runtime for, [`change`] what all are told; none of them knows a socket. `hub`, `server` and `api` put them on the network.
//!
//! This crate is *not* where state, users or rights are: the runtime's mapping decides what a key means and who may do
//! what with it. Here nothing is decided and nothing is kept but who is connected.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod api;
pub mod ask;
pub mod change;
mod config;
mod hub;
pub mod message;
pub mod role;
mod server;
pub mod session;

use gantry_plugin::calls::Calls;
use gantry_plugin::worker::Worker;
use gantry_plugin::{Error, Finding, Health, Host, Plugin};
use gantry_serve::Listener;
use gantry_serve::http::{self, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub use config::Config;

/// How long an answer may take. A login waits for others, each of which takes a tenth of a second or more on a small
/// machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// The token of the call that nobody waits for.
const ANNOUNCED: u64 = 1;
/// Where the runtime tells that users, roles or sessions have changed.
const ACCESS: &str = "access/changed";

/// An instance of the plugin.
pub struct Cpro {
    host: Host,
    config: Config,
    calls: Arc<Calls>,
    inbox: Arc<hub::Inbox>,
    /// Until it starts.
    changes: Option<mpsc::Receiver<change::Change>>,
    worker: Option<Worker>,
}

impl Plugin for Cpro {
    type Config = Config;

    fn validate(config: &Config) -> Vec<Finding> {
        config.check()
    }

    fn create(host: Host, config: Config) -> Result<Self, Error> {
        host.subscribe(&config.topic())?;
        host.subscribe(ACCESS)?;
        let (inbox, changes) = hub::Inbox::new();
        Ok(Self {
            host,
            config,
            calls: Calls::new(host, PATIENCE),
            inbox,
            changes: Some(changes),
            worker: None,
        })
    }

    fn start(&mut self) -> Result<(), Error> {
        let listener = Listener::bind(self.config.bind, self.config.tls.as_ref(), &self.config.limits)?
            .only_for(&self.config.hosts);
        let address = listener.address();
        let (api, page) = (listener.url("ws", "/api/v1"), listener.url("http", "/"));
        let changes = self.changes.take().ok_or_else(|| Error::new("an instance starts once"))?;
        let parts = server::Parts {
            host: self.host,
            config: self.config.clone(),
            calls: self.calls.clone(),
            inbox: self.inbox.clone(),
            changes,
            listener,
        };
        self.host.health(Health::Ok, &format!("listening on {address}"));
        self.worker = Some(Worker::spawn(self.host, "cpro", move |stopping| server::run(parts, stopping))?);
        let endpoints = json!({"endpoints": [
            {"url": api, "protocol": "C Pro state control"},
            {"url": page, "protocol": "a page that shows and sets the state"},
        ]});
        if let Err(error) = self.host.call("endpoints.announce", &endpoints, ANNOUNCED) {
            // Nobody's control depends on being shown in a list.
            gantry_plugin::debug!(self.host, "the endpoint is not announced: {error}");
        }
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }

    fn on_message(&mut self, topic: &str, payload: &[u8]) {
        if topic == ACCESS {
            self.inbox.access_changed();
        } else {
            // Encoded here, so that the worker has only to hand it out.
            match change::Change::read(payload) {
                Some(change) => self.inbox.change(change),
                None => gantry_plugin::warn!(self.host, "a message on `{topic}` is not what was agreed"),
            }
        }
    }

    fn on_reply(&mut self, token: u64, reply: Result<Value, Error>) {
        self.calls.reply(token, reply);
    }
}

/// A page that shows and sets the state, for whoever opens the address in a browser. It loads nothing from elsewhere.
fn page() -> Response {
    http::response(StatusCode::OK, "text/html; charset=utf-8", include_str!("page.html"))
}

gantry_plugin::export_plugin!(Cpro, "cpro");
