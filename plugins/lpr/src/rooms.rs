//! Socket.IO clients: their events, answered in the order in which they came.

use crate::Config;
use crate::answer::pong;
use crate::clock::stamp;
use crate::desk::{Desk, Done};
use crate::key::{self, Grant, Keys};
use crate::record::Failure;
use crate::session::{self, Step};
use gantry_plugin::{Host, debug};
use gantry_serve::socketio::{Event, Handler, RawValue, Reason, Socket};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Answers of a client that are not out yet. One that sends more at once is told to try again.
const OPEN: usize = 4096;

/// An answer that takes its turn.
enum Turn {
    Said(&'static str, Value),
    Keeping(JoinHandle<Result<Done, Failure>>),
    Nothing,
}

struct Peer {
    grant: Grant,
    turns: mpsc::Sender<(Turn, Option<u64>)>,
}

/// All clients.
pub(crate) struct Rooms {
    host: Host,
    desk: Arc<Desk>,
    keys: Keys,
    peers: Mutex<HashMap<String, Peer>>,
}

/// What a client may say about itself when it joins.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    api_key: Option<String>,
    token: Option<String>,
}

impl Rooms {
    pub(crate) fn new(host: Host, config: &Config, desk: Arc<Desk>) -> Self {
        Self { host, desk, keys: Keys::new(&config.api_keys), peers: Mutex::default() }
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<String, Peer>> {
        // Nothing in here panics half-way through a change.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, socket: &Socket, event: &Event, grant: &Grant) -> Result<Turn, Failure> {
        let argument = event.args.first().map(|argument| argument.get());
        let now = || stamp(Timestamp::now());
        Ok(match session::event(&event.name, argument.map(str::as_bytes))? {
            Step::Keep(entry) => {
                let bytes = argument.map_or(0, str::len);
                let prepared = self.desk.prepare(entry, &event.attachments, bytes, grant)?;
                let desk = self.desk.clone();
                Turn::Keeping(tokio::spawn(async move { desk.keep(prepared).await }))
            }
            Step::Join(room) => {
                grant.reads().map_err(|denied| Failure::Denied(denied.message()))?;
                self.desk.room(room).join(socket);
                Turn::Said("status", session::joined(room, &now()))
            }
            Step::Ping(message) => Turn::Said("pong", pong(message, &now())),
            Step::Ignore => Turn::Nothing,
        })
    }
}

impl Handler for Rooms {
    fn joined(&self, socket: &Socket, auth: Option<&RawValue>) {
        let auth: Auth = auth.and_then(|auth| serde_json::from_str(auth.get()).ok()).unwrap_or_default();
        let shown = auth.api_key.or(auth.token);
        let elsewhere = || key::shown(|name| socket.header(name), |name| socket.query().get(name));
        let grant = self.keys.grant(shown.as_deref().or_else(elsewhere));
        let (turns, waiting) = mpsc::channel(OPEN);
        tokio::spawn(answer(socket.clone(), waiting));
        self.peers().insert(socket.id().to_owned(), Peer { grant, turns });
        debug!(self.host, "client {} has come from {}", socket.id(), socket.peer());
    }

    fn event(&self, socket: &Socket, event: Event) {
        let peer = self.peers().get(socket.id()).map(|peer| (peer.grant.clone(), peer.turns.clone()));
        let Some((grant, turns)) = peer else { return };
        let Ok(place) = turns.try_reserve() else {
            let busy = Failure::Busy("answer by answer".to_owned());
            return say(socket, &refusal(socket, &busy), event.ack);
        };
        let turn = self.turn(socket, &event, &grant).unwrap_or_else(|failure| {
            let (name, payload) = refusal(socket, &failure);
            Turn::Said(name, payload)
        });
        place.send((turn, event.ack));
    }

    fn left(&self, socket: &Socket, reason: Reason) {
        self.peers().remove(socket.id());
        for room in [crate::answer::Room::Dashboard, crate::answer::Room::Health] {
            self.desk.room(room).leave(socket);
        }
        debug!(self.host, "client {} has gone: {reason}", socket.id());
    }
}

/// Gives a client its answers, each when the ones before are out.
async fn answer(socket: Socket, mut waiting: mpsc::Receiver<(Turn, Option<u64>)>) {
    while let Some((turn, ack)) = waiting.recv().await {
        let said = match turn {
            Turn::Said(event, payload) => (event, payload),
            Turn::Nothing => {
                if let Some(id) = ack {
                    socket.ack(id, None::<&Value>);
                }
                continue;
            }
            Turn::Keeping(keeping) => match keeping.await {
                Ok(Ok(done)) => (done.receipt.event(), done.receipt.response(&done.id, &done.at)),
                Ok(Err(failure)) => refusal(&socket, &failure),
                // It panicked, or everything ends.
                Err(_) => refusal(&socket, &Failure::Busy("it was interrupted".to_owned())),
            },
        };
        say(&socket, &said, ack);
        // What has been said is written before there is more of it.
        tokio::task::yield_now().await;
    }
}

fn refusal(socket: &Socket, failure: &Failure) -> (&'static str, Value) {
    socket.counters().add_rejected_messages(1);
    ("error", json!({"message": failure.to_string()}))
}

fn say(socket: &Socket, (event, payload): &(&'static str, Value), ack: Option<u64>) {
    socket.emit(event, payload);
    let Some(id) = ack else { return };
    if *event == "error" {
        socket.ack(id, Some(&json!({"success": false, "message": payload["message"]})));
    } else {
        socket.ack(id, Some(payload));
    }
}
