//! Pictures from ESP32-CAMs over UDP, of both generations of their firmware, stored durably before the device is told so.
//!
//! [`datagram`] is what goes over the wire, `plan` the arithmetic of a request, `transfer` one picture on its way, and
//! [`session`] all transfers of all devices; none of them knows a socket or a clock. `server` puts them on the network.
//!
//! This crate is *not* where pictures are kept, or where it is decided what is done with them: it asks the runtime's store,
//! and the rules behind it. Here a picture is only until the store has answered.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod config;
pub mod datagram;
mod figures;
pub mod jpeg;
mod picture;
pub mod plan;
mod rate;
mod server;
pub mod session;
mod transfer;

use gantry_plugin::worker::Worker;
use gantry_plugin::{Error, Finding, Health, Host, Plugin};
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub use config::{Config, Limits};
pub use figures::Figures;
pub use picture::{Outcome, Picture};

/// The token of the call that nobody waits for.
const ANNOUNCED: u64 = 1;
/// Tokens from here on are attempts to store a picture.
const FIRST_ATTEMPT: u64 = 16;

/// An instance of the plugin.
pub struct EspCam {
    host: Host,
    config: Config,
    /// To the worker. As many wait as there are open calls, which the runtime limits.
    answers: Option<mpsc::UnboundedSender<(u64, Outcome)>>,
    worker: Option<Worker>,
}

impl Plugin for EspCam {
    type Config = Config;

    fn validate(config: &Config) -> Vec<Finding> {
        config.check()
    }

    fn create(host: Host, config: Config) -> Result<Self, Error> {
        Ok(Self { host, config, answers: None, worker: None })
    }

    fn start(&mut self) -> Result<(), Error> {
        let bind = self.config.bind;
        let (socket, room) = server::open(&self.config).map_err(|error| {
            Error::new(format!("cannot listen on {bind} (UDP): {error}: stop what uses it, or change `bind`"))
        })?;
        let address = socket.local_addr()?;
        if room < self.config.receive_buffer {
            gantry_plugin::info!(
                self.host,
                "the system lets {room} bytes of datagrams wait, not the {} of `receive_buffer`: raise net.core.rmem_max",
                self.config.receive_buffer
            );
        }
        let (send, answers) = mpsc::unbounded_channel();
        self.answers = Some(send);
        let (host, config) = (self.host, self.config.clone());
        let parts = server::Parts { host, config, socket, answers, first_token: FIRST_ATTEMPT };
        self.host.health(Health::Ok, &format!("listening on {address}"));
        self.worker = Some(Worker::spawn(self.host, "espcam", move |stopping| server::run(parts, stopping))?);
        let endpoints = json!({"endpoints": [{"url": format!("udp://{address}"), "protocol": "ESP32-CAM picture upload"}]});
        if let Err(error) = self.host.call("endpoints.announce", &endpoints, ANNOUNCED) {
            // Nobody's pictures depend on being shown in a list.
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
        if token >= FIRST_ATTEMPT
            && let Some(answers) = &self.answers
        {
            // A worker that has ended wants no answer.
            let _ = answers.send((token, Outcome::of(reply.map_err(|error| error.to_string()))));
        }
    }
}

gantry_plugin::export_plugin!(EspCam, "espcam");
