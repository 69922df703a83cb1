//! This gateway in a fleet: its records on NATS JetStream, and requests over NATS.
//!
//! ```text
//! records.next ─► feed ─► message ─► publisher ─► JetStream ─► records.ack
//!                                        └ object (pictures)
//! gantry.GATEWAY.request.SERVICE ─► request ─► the runtime's services ─► the answer
//! ```
//!
//! [`subject`], [`message`], [`window`], [`resume`] and [`request`] say what goes where, what may be on its way, what the
//! stream has already and who may ask what; none of them knows a socket. `link`, `jetstream`, `object`, `publisher` and
//! `answerer` are the network.
//!
//! This crate is *not* a store: what cannot be published stays in the runtime's until it can. And it knows no rights: whoever
//! asks over NATS has those of the token that he shows.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod answerer;
pub mod backoff;
mod config;
mod feed;
mod jetstream;
mod link;
pub mod message;
mod object;
mod publisher;
pub mod request;
pub mod resume;
pub mod secret;
mod session;
mod status;
pub mod subject;
mod trouble;
pub mod window;

use gantry_plugin::calls::Calls;
use gantry_plugin::worker::Worker;
use gantry_plugin::{Error, Finding, Host, Plugin};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

pub use config::{Config, Limits, Pictures, Start, Tls};

/// When an answer of the runtime counts as lost. A late one still counts: `records.next` has moved the consumer.
const LOST: Duration = Duration::from_secs(600);
/// The token of the call that nobody waits for.
const ANNOUNCED: u64 = 1;

/// An instance of the plugin.
pub struct Nats {
    host: Host,
    config: Config,
    calls: Arc<Calls>,
    woken: Arc<Notify>,
    worker: Option<Worker>,
}

impl Plugin for Nats {
    type Config = Config;

    fn validate(config: &Config) -> Vec<Finding> {
        config.check()
    }

    fn create(host: Host, config: Config) -> Result<Self, Error> {
        host.subscribe(&format!("records/+/{}", feed::CONSUMER))?;
        let calls = Calls::new(host, LOST);
        Ok(Self { host, config, calls, woken: Arc::default(), worker: None })
    }

    fn start(&mut self) -> Result<(), Error> {
        if self.config.shows_secrets() {
            gantry_plugin::warn!(
                self.host,
                "the password or token for NATS goes over the network in the clear: use tls:// in `servers`, or set `tls`"
            );
        }
        let parts = session::Parts {
            host: self.host,
            config: self.config.clone(),
            gateway: self.config.gateway.clone().unwrap_or_else(machine),
            calls: self.calls.clone(),
            woken: self.woken.clone(),
        };
        let url = self.config.servers.first().cloned().unwrap_or_default();
        let protocol = format!("NATS, as {}.{}", self.config.prefix, parts.gateway);
        self.worker = Some(Worker::spawn(self.host, "nats", move |stopping| session::run(parts, stopping))?);
        let endpoints = json!({ "endpoints": [{ "url": url, "protocol": protocol }] });
        if let Err(error) = self.host.call("endpoints.announce", &endpoints, ANNOUNCED) {
            // Nothing depends on being shown in a list.
            gantry_plugin::debug!(self.host, "the endpoint is not announced: {error}");
        }
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }

    fn on_message(&mut self, _topic: &str, _payload: &[u8]) {
        self.woken.notify_one();
    }

    fn on_reply(&mut self, token: u64, reply: Result<Value, Error>) {
        self.calls.reply(token, reply);
    }
}

/// The name of this machine as that of the gateway.
fn machine() -> String {
    subject::token_of_host(&std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default())
}

gantry_plugin::export_plugin!(Nats, "nats");
