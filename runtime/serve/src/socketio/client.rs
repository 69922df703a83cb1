//! One client: its session, its queue, and the transport that carries them now.

use super::engine::Packet;
use super::message::{Form, Message, Outgoing, Volatile};
use super::packet::RawValue;
use super::request::Query;
use super::server::Inner;
use super::session::{Effect, Reason, Session};
use super::{Event, Version};
use crate::limits::Budget;
use crate::{Counters, Feed, Full, Outbox, Segments, lock, websocket};
use bytes::Bytes;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;
use tokio::sync::Notify;

/// `joined_at` of a client that is not in the namespace.
const OUTSIDE: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    /// Still polling, while a WebSocket is being tried.
    Upgrading,
    WebSocket,
}

pub(super) struct Client {
    pub(super) sid: String,
    pub(super) version: Version,
    pub(super) outbox: Outbox<Outgoing>,
    pub(super) counters: Counters,
    /// Tells a waiting poll that something about the transport has changed.
    pub(super) kick: Notify,
    /// Which poll may answer: a newer one replaces an older one.
    pub(super) turn: AtomicU64,
    /// The last frame of the fan-out that a poll has carried.
    pub(super) polled: AtomicU64,
    socket_id: String,
    query: Query,
    /// What its first request said besides, of the headers that the settings name.
    headers: Vec<(&'static str, String)>,
    peer: SocketAddr,
    session: Mutex<Session>,
    transport: Mutex<Transport>,
    /// How many frames had been published when the client joined: it gets those after.
    joined_at: AtomicU64,
    format: AtomicU8,
    /// How many requests of it are being answered, and when the last one was.
    requests: Mutex<(usize, Instant)>,
    ended: AtomicBool,
    ended_at: Mutex<Option<Instant>>,
    server: Weak<Inner>,
}

/// What is known of a client when it comes.
pub(super) struct Arrival {
    pub(super) sid: String,
    pub(super) socket_id: String,
    pub(super) version: Version,
    pub(super) query: Query,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) peer: SocketAddr,
    pub(super) transport: Transport,
    pub(super) budget: Arc<Budget>,
}

/// A request that is being answered.
pub(super) struct Visit(Arc<Client>);

impl Drop for Visit {
    fn drop(&mut self) {
        let mut requests = lock(&self.0.requests);
        *requests = (requests.0 - 1, Instant::now());
    }
}

impl Client {
    /// A client whose session has begun; what that does is to be [`apply`](Self::apply)-ed once it can be found.
    pub(super) fn new(arrival: Arrival, inner: &Arc<Inner>) -> (Arc<Self>, Vec<Effect>) {
        let Arrival { sid, socket_id, version, query, headers, peer, transport, budget } = arrival;
        let mut effects = Vec::new();
        let session = Session::new(
            version,
            socket_id.clone(),
            &inner.settings,
            &inner.limits,
            budget,
            Instant::now(),
            &mut effects,
        );
        let client = Arc::new(Self {
            sid,
            version,
            outbox: Outbox::new(&inner.limits),
            counters: Counters::of(&inner.counters),
            kick: Notify::new(),
            turn: AtomicU64::new(0),
            polled: AtomicU64::new(inner.frames.published()),
            socket_id,
            query,
            headers,
            peer,
            session: Mutex::new(session),
            transport: Mutex::new(transport),
            joined_at: AtomicU64::new(OUTSIDE),
            format: AtomicU8::new(0),
            requests: Mutex::new((0, Instant::now())),
            ended: AtomicBool::new(false),
            ended_at: Mutex::new(None),
            server: Arc::downgrade(inner),
        });
        (client, effects)
    }

    pub(super) fn transport(&self) -> Transport {
        *lock(&self.transport)
    }

    /// Changes the transport when it is `from` now.
    pub(super) fn switch(&self, from: Transport, to: Transport) -> bool {
        let mut transport = lock(&self.transport);
        let changes = *transport == from;
        if changes {
            *transport = to;
        }
        drop(transport);
        self.kick.notify_waiters();
        changes
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// To be kept while a request of the client is being answered.
    pub(super) fn visit(self: &Arc<Self>) -> Visit {
        lock(&self.requests).0 += 1;
        Visit(self.clone())
    }

    /// Since when a client that polls has not been asking or telling anything; `None` when it is, or has a WebSocket.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        let (requests, since) = *lock(&self.requests);
        (requests == 0 && self.transport() == Transport::Polling).then_some(since)
    }

    /// How many of `missed` frames came after the client had joined, when it now gets the one of `sequence`.
    pub(super) fn skipped(&self, missed: u64, sequence: u64) -> u64 {
        missed.min(sequence.saturating_sub(self.joined_at.load(Relaxed).saturating_add(1)))
    }

    pub(super) fn ended(&self) -> Option<Instant> {
        *lock(&self.ended_at)
    }

    fn joined(&self) -> bool {
        self.joined_at.load(Relaxed) != OUTSIDE
    }

    /// The form of a frame for this client, unless it came before the client did.
    pub(super) fn select<'a>(&self, frame: &'a dyn Volatile, sequence: u64) -> Option<&'a Message> {
        let joined_at = self.joined_at.load(Relaxed);
        (joined_at != OUTSIDE && sequence > joined_at).then(|| frame.message(self.format.load(Relaxed)))
    }

    /// Takes a packet, or bytes that are none.
    pub(super) fn receive(self: &Arc<Self>, packet: Result<Packet<'_>, super::engine::Malformed>) {
        if !matches!(packet, Ok(Packet::Ping(_) | Packet::Pong(_) | Packet::Noop)) {
            self.counters.add_received_messages(1);
        }
        self.step(|session, now, out| match packet {
            Ok(packet) => session.packet(packet, now, out),
            Err(_) => session.malformed(now, out),
        });
    }

    /// Looks at the clock.
    pub(super) fn tick(self: &Arc<Self>, now: Instant) {
        self.step(|session, _, out| session.tick(now, self.outbox.pulse().last(), out));
    }

    fn step(self: &Arc<Self>, f: impl FnOnce(&mut Session, Instant, &mut Vec<Effect>)) {
        if self.ended.load(Relaxed) {
            return;
        }
        let mut effects = Vec::new();
        // The plugin is called after the lock is given back, because it may send and end.
        f(&mut lock(&self.session), Instant::now(), &mut effects);
        self.apply(effects);
    }

    pub(super) fn apply(self: &Arc<Self>, effects: Vec<Effect>) {
        let Some(server) = self.server.upgrade() else { return };
        for effect in effects {
            if self.ended.load(Relaxed) {
                return;
            }
            match effect {
                Effect::Send(packet) => self.send(Outgoing::text(packet)),
                Effect::Joined { auth } => {
                    self.joined_at.store(server.frames.published(), Relaxed);
                    server.joined.fetch_add(1, Relaxed);
                    server.handler.joined(&Socket(self.clone()), auth.as_deref());
                }
                Effect::Event(event) => self.event(&server, event),
                Effect::Left => self.leave(&server, Reason::ClientLeft),
                Effect::Rejected => self.counters.add_rejected_messages(1),
                Effect::End(reason) => self.end(reason),
            }
        }
    }

    fn event(self: &Arc<Self>, server: &Inner, event: Event) {
        server.handler.event(&Socket(self.clone()), event);
    }

    fn leave(self: &Arc<Self>, server: &Inner, reason: Reason) {
        if self.joined_at.swap(OUTSIDE, Relaxed) != OUTSIDE {
            server.joined.fetch_sub(1, Relaxed);
            server.handler.left(&Socket(self.clone()), reason);
        }
    }

    /// Queues what must arrive. A client that does not take it is ended.
    pub(super) fn send(self: &Arc<Self>, item: Outgoing) {
        if self.outbox.push(item) == Err(Full::Overflowed) {
            self.counters.add_overflowed_clients(1);
            self.outbox.clear();
            self.end(Reason::TooSlow);
        }
    }

    /// Ends the session, with the words that the transport has for it.
    pub(super) fn end(self: &Arc<Self>, reason: Reason) {
        let frame = match reason {
            // The peer began it, and what it is owed is in the queue already.
            Reason::ClientLeft | Reason::TransportClosed => None,
            Reason::Shutdown => Some(websocket::close(1001, "the server stops")),
            Reason::TooSlow => Some(websocket::close(1008, "too slow for what must arrive")),
            _ => Some(websocket::close(1000, "")),
        };
        self.end_with(reason, frame);
    }

    pub(super) fn end_with(self: &Arc<Self>, reason: Reason, frame: Option<Segments>) {
        if self.ended.swap(true, Relaxed) {
            return;
        }
        *lock(&self.ended_at) = Some(Instant::now());
        let was_joined = self.joined();
        if let Some(server) = self.server.upgrade() {
            self.leave(&server, reason);
            if self.transport() == Transport::WebSocket {
                server.forget(self);
            }
        }
        let mut last = Vec::new();
        if reason == Reason::ServerLeft && was_joined {
            // After this packet a client does not come back by itself, so it is for the plugin's own decision only.
            last.push(Outgoing::text("41"));
        }
        match self.transport() {
            Transport::WebSocket => last.extend(frame.map(Outgoing::Control)),
            Transport::Polling | Transport::Upgrading => last.push(Outgoing::text("1")),
        }
        self.outbox.close(last);
        self.kick.notify_waiters();
    }
}

/// How a client's writer makes bytes for its WebSocket.
pub(super) struct OverWebSocket(pub(super) Arc<Client>);

impl Feed for OverWebSocket {
    type Item = Outgoing;
    type Frame = dyn Volatile;

    fn message(&self, item: &Outgoing) -> Option<Segments> {
        Some(match item {
            Outgoing::Message(message) => message.encoded(Form::WebSocket(self.0.version)).clone(),
            Outgoing::Control(segments) => segments.clone(),
        })
    }

    fn frame(&self, frame: &dyn Volatile, sequence: u64) -> Option<Segments> {
        let message = self.0.select(frame, sequence)?;
        Some(message.encoded(Form::WebSocket(self.0.version)).clone())
    }
}

/// A client in the namespace. Cheap to clone; sending to one that is gone does nothing.
#[derive(Clone)]
pub struct Socket(pub(super) Arc<Client>);

impl Socket {
    /// The id that the client knows itself by. Not guessable.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.socket_id
    }

    /// The address that the connection came from.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// The query of its first request.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.0.query
    }

    /// A header of its first request, of those that [`Settings::headers`](super::Settings::headers) names.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.0.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The Engine.IO revision that it speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Whether it is still there.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.0.joined()
    }

    /// What it has cost so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Sends an event with one argument that must arrive.
    pub fn emit(&self, name: &str, payload: &impl Serialize) {
        self.send(&Arc::new(Message::event(name, payload)));
    }

    /// Sends a message that must arrive, and that others may get as well.
    pub fn send(&self, message: &Arc<Message>) {
        if self.is_joined() {
            self.0.send(Outgoing::Message(message.clone()));
        }
    }

    /// Answers an event that came with this acknowledgement id.
    pub fn ack(&self, id: u64, value: Option<&impl Serialize>) {
        if self.is_joined() {
            self.0.send(Outgoing::text(super::packet::ack(id, value)));
        }
    }

    /// Which format of the frames it gets, see [`Volatile::message`].
    pub fn set_format(&self, format: u8) {
        self.0.format.store(format, Relaxed);
    }

    /// See [`set_format`](Self::set_format).
    #[must_use]
    pub fn format(&self) -> u8 {
        self.0.format.load(Relaxed)
    }

    /// Ends it for good: the client does not come back by itself.
    pub fn disconnect(&self) {
        self.0.end(Reason::ServerLeft);
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("id", &self.0.socket_id).field("peer", &self.0.peer).finish()
    }
}

/// What a client says when it joins, for the handler's signature.
pub(super) type Auth<'a> = Option<&'a RawValue>;

/// The packet that begins a session, as text.
pub(super) fn open(client: &Client, inner: &Inner) -> Bytes {
    let upgrade = client.transport() == Transport::Polling;
    let settings = &inner.settings;
    super::engine::open(
        &client.sid,
        upgrade,
        client.version,
        settings.ping_interval.as_millis(),
        settings.ping_timeout.as_millis(),
        inner.limits.message_bytes,
    )
    .into()
}
