//! The robocar camera stream: `sensor_data` and `status` at a fixed rate, over Socket.IO.
//!
//! [`session`] is the protocol and [`pace`] the rate, both without a socket; `server` puts them on the network.
//!
//! This crate is *not* a place where pictures are made or kept: frames come from the runtime and go to viewers as they
//! are, or as base64 that is made once per frame.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod config;
pub mod pace;
mod server;
pub mod session;

use gantry_plugin::{Error, Finding, Frame, Health, Host, Plugin, worker::Worker};
use gantry_serve::Listener;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

pub use config::Config;

/// The token of the one call that the plugin makes.
const ANNOUNCED: u64 = 1;

/// An instance of the plugin.
pub struct Robocar {
    host: Host,
    config: Config,
    inbox: Arc<server::Inbox>,
    worker: Option<Worker>,
    /// Where it listens, once it does.
    address: Option<SocketAddr>,
}

impl Robocar {
    /// Says how it does. A camera that is away is its own affair; one that nobody has configured is a slip of the pen.
    fn report(&self, camera_exists: bool) {
        let Some(address) = self.address else { return };
        if camera_exists {
            self.host.health(Health::Ok, &format!("listening on {address}"));
        } else {
            let camera = &self.config.camera;
            let text = format!(
                "listening on {address}, but there is no camera `{camera}`: set `camera` to one of [cameras.NAME]"
            );
            self.host.health(Health::Degraded, &text);
        }
    }
}

impl Plugin for Robocar {
    type Config = Config;

    fn validate(config: &Config) -> Vec<Finding> {
        config.check()
    }

    fn create(host: Host, config: Config) -> Result<Self, Error> {
        host.watch_state(&config.connected_key())?;
        host.watch_state(&config.fps_key())?;
        for key in config.blocks.values() {
            host.watch_state(key)?;
        }
        let inbox = Arc::new(server::Inbox::new(&config));
        Ok(Self { host, config, inbox, worker: None, address: None })
    }

    fn start(&mut self) -> Result<(), Error> {
        let listener = Listener::bind(self.config.bind, self.config.tls.as_ref(), &self.config.limits)?
            .only_for(&self.config.hosts);
        let address = listener.address();
        let (viewer, url) = (listener.url("http", "/"), listener.url("http", "/socket.io/"));
        let (host, config, inbox) = (self.host, self.config.clone(), self.inbox.clone());
        self.worker = Some(Worker::spawn(host, "robocar", move |stopping| {
            server::run(host, config, listener, inbox, stopping)
        })?);
        let endpoints = json!({"endpoints": [
            {"url": url, "protocol": "Socket.IO"},
            {"url": viewer, "protocol": "a page that shows the stream"},
        ]});
        if let Err(error) = self.host.call("endpoints.announce", &endpoints, ANNOUNCED) {
            // Nobody's stream depends on being shown in a list.
            gantry_plugin::debug!(self.host, "the endpoint is not announced: {error}");
        }
        self.address = Some(address);
        let known = self.host.state(&self.config.connected_key()).is_some_and(|value| !value.is_null());
        self.report(known);
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }

    fn on_frame(&mut self, frame: Frame) {
        self.inbox.frame(frame);
    }

    fn on_state(&mut self, key: &str, value: Value, _: u64) {
        self.inbox.state(&self.config, key, &value);
        if key == self.config.connected_key() {
            self.report(!value.is_null());
        }
    }
}

gantry_plugin::export_plugin!(Robocar, "robocar");
