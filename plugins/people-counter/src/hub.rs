//! Everybody who is connected, and what all of them are shown and told.

use crate::Config;
use crate::clock::Clock;
use crate::inbox::{Events, Inbox, Scene};
use crate::latest::Board;
use crate::message;
use crate::talk::Item;
use gantry_plugin::{Health, Host, debug};
use gantry_serve::Meters;
use gantry_serve::websocket::Client;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until};

/// How long the camera is watched after the last client has left: one that reloads its page is back before.
const LINGER: Duration = Duration::from_secs(2);

/// Everybody who is connected.
pub(crate) struct Hub {
    host: Host,
    config: Config,
    clock: Clock,
    inbox: Arc<Inbox>,
    pub(crate) board: Board,
    clients: Mutex<Clients>,
}

#[derive(Default)]
struct Clients {
    next: u64,
    all: BTreeMap<u64, Client<Item>>,
}

impl Hub {
    pub(crate) fn new(host: Host, config: Config, clock: Clock, inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self { host, config, clock, inbox, board: Board::default(), clients: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        // Nothing in here panics half-way through a change.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody new; the number is for [`leave`](Self::leave).
    pub(crate) fn join(&self, client: Client<Item>) -> u64 {
        let mut clients = self.lock();
        clients.next += 1;
        let number = clients.next;
        clients.all.insert(number, client);
        drop(clients);
        self.inbox.wake();
        number
    }

    /// Somebody has gone.
    pub(crate) fn leave(&self, number: u64) {
        self.lock().all.remove(&number);
        self.inbox.wake();
    }

    fn clients(&self) -> usize {
        self.lock().all.len()
    }

    pub(crate) async fn measure(self: Arc<Self>, meters: Meters) {
        let mut every = interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            meters.record(self.clients());
        }
    }

    /// Tells everybody of each event, for ever.
    pub(crate) async fn tell(self: Arc<Self>, mut events: Events) {
        while let Some(event) = events.recv().await {
            let Some(message) = event.message(&self.clock, SystemTime::now()) else {
                debug!(self.host, "an event has times that no calendar has");
                continue;
            };
            for client in self.lock().all.values() {
                client.send(Item::from(message.clone()));
            }
        }
    }

    /// Shows everybody frames and statistics, for ever. While nobody is there the camera is not watched.
    pub(crate) async fn show(self: Arc<Self>) {
        loop {
            while self.clients() == 0 {
                self.inbox.changed().await;
            }
            let mut watch = Watch { host: self.host, watched: None };
            self.show_while_watched(&mut watch).await;
            watch.end();
            drop(self.inbox.scene());
            self.board.clear();
        }
    }

    async fn show_while_watched(&self, watch: &mut Watch) {
        let period = self.config.stats_interval();
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut alone_since = None;
        loop {
            let Scene { stream, rate, away, frame } = self.inbox.scene();
            watch.set(stream, rate);
            let now = Instant::now();
            let leaves = if self.clients() > 0 {
                alone_since = None;
                now + LINGER
            } else {
                *alone_since.get_or_insert(now) + LINGER
            };
            if leaves <= now {
                return;
            }
            if away {
                self.board.no_frame();
            } else if let Some(frame) = frame
                && alone_since.is_none()
            {
                self.board.frame(message::frame(&frame, &self.clock, SystemTime::now()));
            }
            tokio::select! {
                () = self.inbox.changed() => {}
                _ = ticks.tick() => {
                    let stats = self.inbox.stats();
                    self.board.stats(message::stats(&stats, &self.clock, SystemTime::now()));
                }
                () = sleep_until(leaves), if alone_since.is_some() => {}
            }
        }
    }
}

/// The stream that is watched.
struct Watch {
    host: Host,
    watched: Option<(String, Option<f64>)>,
}

impl Watch {
    fn set(&mut self, stream: String, rate: Option<f64>) {
        let wanted = Some((stream, rate));
        if self.watched == wanted {
            return;
        }
        if self.watched.as_ref().map(|(stream, _)| stream) != wanted.as_ref().map(|(stream, _)| stream) {
            self.end();
        }
        self.watched = wanted;
        if let Some((stream, rate)) = &self.watched
            && let Err(error) = self.host.watch_frames(stream, *rate)
        {
            self.host.health(Health::Degraded, &error.to_string());
        }
    }

    fn end(&mut self) {
        if let Some((stream, _)) = self.watched.take() {
            self.host.unwatch_frames(&stream);
        }
    }
}
