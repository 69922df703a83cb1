//! Forwards records to an upstream server of the plate-reading cameras' protocol, as the document's sender: over Socket.IO,
//! over REST when that is not there, and again when neither is.
//!
//! ```text
//!             ┌─ line: what next ─┐
//! records ─► queue ─► message ─► worker ─► socket ─► session ─► the upstream's Socket.IO
//!    ▲                            │ └────► rest ──────────────► the upstream's REST
//!    └────── acknowledged ◄───────┘ answer: taken, refused, not now
//! ```
//!
//! [`mod@line`], [`session`], [`packet`], [`answer`] and [`message`] are the protocol and its patience: text, times and answers
//! in, what to do and to say out, without a socket or a clock. `socket`, `rest` and `dial` put it on the network, `queue`
//! and `aside` before the store.
//!
//! - A record is acknowledged when the upstream has said that it has it, and not before. Acknowledgements are on the disk
//!   within some tenths of a second: what was answered in the last of them before a power cut is sent again, byte for byte,
//!   under the same `record_id`.
//! - One record is on its way at a time. The order is that of the records, and no answer can be taken for another one's.
//! - Socket.IO is spoken over WebSocket only. An upstream that has it by long-polling alone, or stands behind a proxy that
//!   lets no WebSocket through, is served by REST, which the document requires beside it: the same records with the same
//!   answers, one request each, where long-polling would need two and a second transport to go wrong.
//! - What the upstream says is that of a stranger: messages, heads, rates and times are bounded, redirects are not followed,
//!   and its words go into logs in one short line without the key.
//!
//! This crate is *not* where records are: the runtime keeps them, and the consumer's place among them.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod address;
pub mod answer;
mod aside;
mod config;
mod dial;
pub mod line;
pub mod message;
pub mod packet;
mod queue;
mod report;
mod rest;
pub mod session;
mod socket;
mod worker;

use dial::Dialer;
use gantry_plugin::calls::Calls;
use gantry_plugin::worker::Worker;
use gantry_plugin::{Error, Finding, Health, Host, Plugin};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

pub use config::{Config, Id, Secret, Start, Tls};

/// When an answer of the runtime counts as lost. A late one still counts: `records.next` has moved the consumer, and what is
/// begun again before it was answered would be moved on by it.
const LOST: Duration = Duration::from_secs(600);

/// An instance of the plugin.
pub struct Uplink {
    host: Host,
    config: Config,
    calls: Arc<Calls>,
    /// There are more records.
    more: Arc<Notify>,
    worker: Option<Worker>,
}

impl Plugin for Uplink {
    type Config = Config;

    fn validate(config: &Config) -> Vec<Finding> {
        config.check()
    }

    fn create(host: Host, config: Config) -> Result<Self, Error> {
        // Another uplink's word does no harm.
        host.subscribe(&format!("records/+/{}", queue::CONSUMER))?;
        Ok(Self { host, config, calls: Calls::new(host, LOST), more: Arc::default(), worker: None })
    }

    fn start(&mut self) -> Result<(), Error> {
        let dialer = Dialer::new(&self.config)?;
        if self.config.api_key.is_some() && !dialer.address.is_tls && !dialer.address.is_loopback() {
            gantry_plugin::warn!(
                self.host,
                "`api_key` goes over the network in the clear: use https in `url`"
            );
        }
        self.host.health(Health::Ok, &format!("connects to {}", dialer.address));
        let (host, config, calls) = (self.host, self.config.clone(), self.calls.clone());
        let parts = worker::Parts { host, config, calls, dialer, more: self.more.clone() };
        self.worker =
            Some(Worker::spawn(self.host, "lpr-uplink", move |stopping| worker::run(parts, stopping))?);
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }

    fn on_message(&mut self, _topic: &str, _payload: &[u8]) {
        self.more.notify_one();
    }

    fn on_reply(&mut self, token: u64, reply: Result<Value, Error>) {
        self.calls.reply(token, reply);
    }
}

gantry_plugin::export_plugin!(Uplink, "lpr-uplink");
