//! Pictures from ESP32-CAMs over UDP, of both generations of their firmware, stored durably before the device is told so.
//!
//! [`datagram`] is what goes over the wire, `plan` the arithmetic of a request, `transfer` one picture on its way, and
//! [`session`] all transfers of all devices; none of them knows a socket or a clock. `server` puts them on the network: one
//! thread does nothing but empty the socket into the `inbox`, the other does everything else.
//!
//! This crate is *not* where pictures are kept, or where it is decided what is done with them: it asks the runtime's store,
//! and the rules behind it. Here a picture is only until the store has answered.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod config;
pub mod datagram;
mod figures;
mod inbox;
pub mod jpeg;
mod kernel;
mod picture;
pub mod plan;
mod rate;
mod server;
pub mod session;
mod sight;
mod sockets;
mod transfer;

use gantry_plugin::worker::Worker;
use gantry_plugin::{Error, Finding, Health, Host, Plugin};
use inbox::Inbox;
use serde_json::{Value, json};
use sockets::Sockets;
use std::sync::Arc;
use tokio::sync::mpsc;

pub use config::{Config, Limits};
pub use figures::Figures;
pub use picture::{Outcome, Picture};

/// The token of the call that nobody waits for.
const ANNOUNCED: u64 = 1;
/// Tokens from here on are of pictures.
const FIRST: u64 = 16;

/// A call whose answer the worker waits for, with the session's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// A picture is looked at.
    Look(u64),
    /// A picture is stored.
    Store(u64),
}

impl Call {
    fn token(self) -> u64 {
        match self {
            Self::Look(token) => FIRST + 2 * token,
            Self::Store(token) => FIRST + 2 * token + 1,
        }
    }

    /// The call of this token; `None` for one that nobody waits for.
    fn of(token: u64) -> Option<Self> {
        let number = token.checked_sub(FIRST)?;
        Some(if number.is_multiple_of(2) { Self::Look(number / 2) } else { Self::Store(number / 2) })
    }
}

/// An instance of the plugin.
pub struct EspCam {
    host: Host,
    config: Config,
    /// To the worker. As many wait as there are open calls, which the runtime limits.
    answers: Option<mpsc::UnboundedSender<server::Answer>>,
    worker: Option<Worker>,
    /// Empties the socket.
    receiver: Option<Worker>,
}

impl Plugin for EspCam {
    type Config = Config;

    fn validate(config: &Config) -> Vec<Finding> {
        config.check()
    }

    fn create(host: Host, config: Config) -> Result<Self, Error> {
        Ok(Self { host, config, answers: None, worker: None, receiver: None })
    }

    fn start(&mut self) -> Result<(), Error> {
        let sockets = Sockets::open(&self.config).map_err(Error::new)?;
        let address = sockets.address()?;
        if let Some(trouble) = sockets.trouble() {
            gantry_plugin::info!(self.host, "{trouble}");
        }
        let (room, wanted) = (sockets.room(), self.config.receive_buffer);
        if room < wanted {
            let remedy = sockets.remedy();
            gantry_plugin::info!(
                self.host,
                "the system lets {room} bytes of datagrams wait, not {wanted}: {remedy}"
            );
        }
        gantry_plugin::debug!(self.host, "{} sockets share the port", sockets.count());
        let (send, answers) = mpsc::unbounded_channel();
        self.answers = Some(send);
        let (host, config) = (self.host, self.config.clone());
        let inbox = Arc::new(Inbox::new(config.limits.waiting_bytes));
        let (receiving, filled) = (sockets.share()?, inbox.clone());
        let parts = server::Parts { host, config, sockets, inbox, answers };
        self.host.health(Health::Ok, &format!("listening on {address}"));
        self.worker = Some(Worker::spawn(host, "espcam", move |stopping| server::run(parts, stopping))?);
        let receive = move |stopping| server::receive(host, receiving, filled, stopping);
        self.receiver = Some(Worker::spawn(host, "espcam:receive", receive)?);
        let endpoints = json!({"endpoints": [{"url": format!("udp://{address}"), "protocol": "ESP32-CAM picture upload"}]});
        if let Err(error) = self.host.call("endpoints.announce", &endpoints, ANNOUNCED) {
            // Nobody's pictures depend on being shown in a list.
            gantry_plugin::debug!(self.host, "the endpoint is not announced: {error}");
        }
        Ok(())
    }

    fn stop(&mut self) {
        for worker in [self.receiver.take(), self.worker.take()].into_iter().flatten() {
            worker.stop();
        }
    }

    fn on_reply(&mut self, token: u64, reply: Result<Value, Error>) {
        if let Some(call) = Call::of(token)
            && let Some(answers) = &self.answers
        {
            // A worker that has ended wants no answer.
            let _ = answers.send((call, reply.map_err(|error| error.to_string())));
        }
    }
}

gantry_plugin::export_plugin!(EspCam, "espcam");
