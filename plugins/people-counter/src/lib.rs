//! The people counter protocol: frames, statistics, events and faces as JSON over WebSocket.
//!
//! [`request`] and [`integer`] read what clients send, [`message`] writes what they are sent, [`faces`] is what is asked
//! of the runtime in between, [`counts`] where the statistics come from, and [`latest`] how a viewer is shown the newest
//! frame and the newest statistics; none of them knows a socket. `inbox`, `hub`, `talk` and `server` put them on the
//! network.
//!
//! This crate is *not* where people are counted, where it is decided what an event is, or where faces are kept: all of
//! that is the runtime's. Here nothing is kept but who is connected.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

pub mod clock;
mod config;
pub mod counts;
pub mod faces;
mod hub;
mod inbox;
pub mod integer;
pub mod latest;
pub mod message;
pub mod request;
mod server;
mod talk;

use clock::Clock;
use counts::Counts;
use gantry_plugin::calls::Calls;
use gantry_plugin::worker::Worker;
use gantry_plugin::{Error, Finding, Frame, Health, Host, Plugin};
use gantry_serve::Listener;
use inbox::{Events, Inbox};
use message::Event;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use config::Config;

/// How long an answer may take: it may have to read hundreds of pictures from a slow disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// The token of the call that nobody waits for.
const ANNOUNCED: u64 = 1;

/// An instance of the plugin.
pub struct PeopleCounter {
    host: Host,
    config: Config,
    clock: Clock,
    calls: Arc<Calls>,
    inbox: Arc<Inbox>,
    /// Until it starts.
    events: Option<Events>,
    worker: Option<Worker>,
    /// Where it listens, once it does.
    address: Option<SocketAddr>,
    said: Option<(Health, String)>,
}

impl PeopleCounter {
    /// Says how it does. A camera that is away is its own affair; one that nobody has configured is a slip of the pen.
    fn report(&mut self) {
        let Some(address) = self.address else { return };
        let Config { camera, lines, .. } = &self.config;
        let mut text = format!("listening on {address}");
        let known = self.inbox.known();
        let health = if !known.camera {
            text += &format!(", but there is no camera `{camera}`: set `camera` to one of [cameras.NAME]");
            Health::Degraded
        } else if !known.analysis {
            text += &format!("; nobody is counted, because there is no [analysis.{camera}]");
            Health::Ok
        } else if let Some(line) = known.uncounted.and_then(|line| lines.get(line)) {
            text += &format!(
                ", but nobody counts on a line `{line}`: set `lines` to names of [analysis.{camera}.lines]"
            );
            Health::Degraded
        } else {
            Health::Ok
        };
        let said = Some((health, text));
        if self.said != said {
            self.said = said;
            self.said.iter().for_each(|(health, text)| self.host.health(*health, text));
        }
    }
}

impl Plugin for PeopleCounter {
    type Config = Config;

    fn validate(config: &Config) -> Vec<Finding> {
        config.check()
    }

    fn create(host: Host, config: Config) -> Result<Self, Error> {
        let clock = Clock::of(config.time_zone.as_deref()).map_err(Error::new)?;
        for filter in Counts::filters(&config) {
            host.watch_state(&filter)?;
        }
        for key in [config.connected_key(), config.fps_key(), config.analysis_key()] {
            host.watch_state(&key)?;
        }
        host.subscribe(&config.event_topic())?;
        let (inbox, events) = Inbox::new(&config);
        let (calls, events) = (Calls::new(host, PATIENCE), Some(events));
        Ok(Self { host, config, clock, calls, inbox, events, worker: None, address: None, said: None })
    }

    fn start(&mut self) -> Result<(), Error> {
        let listener = Listener::bind(self.config.bind, self.config.tls.as_ref(), &self.config.limits)?
            .only_for(&self.config.hosts);
        let address = listener.address();
        let (socket, page) = (listener.url("ws", "/"), listener.url("http", "/"));
        let events = self.events.take().ok_or_else(|| Error::new("an instance starts once"))?;
        // What is watched is told after this. Who connects at once must not be shown the counts of nobody.
        for key in self.inbox.keys() {
            if let Some(value) = self.host.state(&key) {
                self.inbox.state(&key, &value);
            }
        }
        let parts = server::Parts {
            host: self.host,
            config: self.config.clone(),
            clock: self.clock.clone(),
            calls: self.calls.clone(),
            inbox: self.inbox.clone(),
            events,
            listener,
        };
        self.worker =
            Some(Worker::spawn(self.host, "people-counter", move |stopping| server::run(parts, stopping))?);
        let endpoints = json!({"endpoints": [
            {"url": socket, "protocol": "people counter"},
            {"url": page, "protocol": "a page that shows frames, counts, events and faces"},
        ]});
        if let Err(error) = self.host.call("endpoints.announce", &endpoints, ANNOUNCED) {
            // Nobody's counts depend on being shown in a list.
            gantry_plugin::debug!(self.host, "the endpoint is not announced: {error}");
        }
        self.address = Some(address);
        self.report();
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
        self.inbox.state(key, &value);
        self.report();
    }

    fn on_message(&mut self, topic: &str, payload: &[u8]) {
        match Event::read(payload) {
            Some(event) if self.inbox.event(event) => {}
            Some(_) => gantry_plugin::warn!(self.host, "too many messages on `{topic}`: this one is lost"),
            None => gantry_plugin::warn!(self.host, "a message on `{topic}` is not what was agreed"),
        }
    }

    fn on_reply(&mut self, token: u64, reply: Result<Value, Error>) {
        self.calls.reply(token, reply);
    }
}

gantry_plugin::export_plugin!(PeopleCounter, "people-counter");
