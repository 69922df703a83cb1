//! Sessions over HTTP: the handshake, long-polling, WebSocket, and the upgrade from one to the other.

use super::Event;
use super::answer::{REPLY_PACKETS, allow_origin, bad, noop, refuse, reply, take};
use super::client::{Arrival, Auth, Client, Socket, Transport, open};
use super::engine::{Version, decode_payload};
use super::message::{Outgoing, Volatile};
use super::request::Query;
use super::session::{Reason, Settings};
use super::table::{Place, Table};
use crate::http::{self, Method, Request, Response, StatusCode, header};
use crate::{Connection, Counters, Fanout, Limits, Origins, websocket};
use base64::Engine as _;
use hyper::header::HeaderValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long a polling session that has ended waits for the poll that fetches its last words.
const LAST_POLL: Duration = Duration::from_secs(5);
/// How often the clock is looked at, at most.
const SWEEP: Duration = Duration::from_millis(250);

/// What a plugin does about its clients. Called on the plugin's worker; must not block. `left` may be called from inside
/// of a send of the plugin's own, when the client did not keep up: hold no lock over a send that `left` takes.
pub trait Handler: Send + Sync + 'static {
    /// A client has joined. What is sent here comes right after the answer to its CONNECT.
    fn joined(&self, socket: &Socket, auth: Auth<'_>) {
        let _ = (socket, auth);
    }

    /// A client has sent an event. An event with an id wants [`Socket::ack`], now or later.
    fn event(&self, socket: &Socket, event: Event);

    /// A client has left.
    fn left(&self, socket: &Socket, reason: Reason) {
        let _ = (socket, reason);
    }
}

pub(super) struct Inner {
    pub(super) handler: Box<dyn Handler>,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) counters: Arc<Counters>,
    pub(super) frames: Fanout<dyn Volatile>,
    /// How many clients are in the namespace.
    pub(super) joined: AtomicUsize,
    origins: Origins,
    clients: Table,
    stopping: AtomicBool,
}

impl Inner {
    pub(super) fn forget(&self, client: &Client) {
        self.clients.remove(client);
    }

    fn sweep(&self, now: Instant) {
        for client in self.clients.all() {
            match client.ended() {
                None => client.tick(now),
                Some(since) if now >= since + LAST_POLL => self.forget(&client),
                Some(_) => {}
            }
        }
    }
}

/// A Socket.IO endpoint at `/socket.io/`. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub(super) inner: Arc<Inner>,
}

impl Server {
    /// An endpoint. Must be called inside of a tokio runtime, where a task looks at the clock while the endpoint lives.
    #[must_use]
    pub fn new(
        handler: impl Handler,
        settings: Settings,
        limits: &Limits,
        origins: &Origins,
        counters: &Arc<Counters>,
    ) -> Self {
        let every = SWEEP.min(settings.ping_interval / 4).max(Duration::from_millis(5));
        let inner = Arc::new(Inner {
            handler: Box::new(handler),
            settings,
            limits: limits.clone(),
            counters: counters.clone(),
            frames: Fanout::default(),
            joined: AtomicUsize::new(0),
            origins: origins.clone(),
            clients: Table::default(),
            stopping: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&inner);
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(every);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                let Some(inner) = weak.upgrade() else { return };
                inner.sweep(Instant::now());
            }
        });
        Self { inner }
    }

    /// Whether a path is this endpoint's.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        matches!(path, "/socket.io/" | "/socket.io")
    }

    /// How many clients have joined.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.inner.joined.load(Relaxed)
    }

    /// Sends a frame to every client that has joined. Who has not taken the one before gets only this one.
    pub fn publish(&self, frame: Arc<dyn Volatile>) {
        self.inner.frames.publish(frame);
    }

    /// Lets go of the newest frame.
    pub fn clear(&self) {
        self.inner.frames.clear();
    }

    /// Ends every session in a way after which clients come back by themselves, and takes no new ones.
    pub fn shutdown(&self) {
        self.inner.stopping.store(true, Relaxed);
        self.inner.clients.all().iter().for_each(|client| client.end(Reason::Shutdown));
    }

    /// Answers a request for this endpoint.
    pub async fn call(&self, request: Request, connection: &Connection) -> Response {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let wanted_headers = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let allowed = self.inner.origins.allows(origin.as_ref().map(|o| o.to_str().unwrap_or("null")));
        let mut response = match (allowed, request.method()) {
            (false, _) => refuse(StatusCode::FORBIDDEN, 4, "Forbidden"),
            (true, &Method::OPTIONS) => {
                let mut response = Response::default();
                *response.status_mut() = StatusCode::NO_CONTENT;
                let headers = response.headers_mut();
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST"));
                headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
                if let Some(wanted) = wanted_headers {
                    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
                }
                response
            }
            (true, _) => self.route(request, connection).await,
        };
        if let (true, Some(origin)) = (allowed, origin) {
            allow_origin(response.headers_mut(), origin);
        }
        response
    }

    async fn route(&self, request: Request, connection: &Connection) -> Response {
        if Query::is_too_long(request.uri().query()) {
            return refuse(StatusCode::URI_TOO_LONG, 3, "the query is longer than 8 KiB or 64 values");
        }
        let query = Query::parse(request.uri().query());
        let upgrade = websocket::is_upgrade(&request);
        let websocket = match query.get("transport") {
            Some("websocket") => true,
            Some("polling") => false,
            _ => return bad(0, "Transport unknown"),
        };
        if websocket != upgrade {
            return bad(3, "Bad request");
        }
        if query.get("j").is_some() {
            return bad(3, "JSONP polling is not served here: use XHR polling or WebSocket");
        }
        let Some(sid) = query.get("sid") else {
            return self.handshake(request, query, websocket, connection);
        };
        let Some(client) = self.inner.clients.get(sid) else {
            return bad(1, "Session ID unknown");
        };
        let _visit = client.visit();
        match (websocket, request.method()) {
            (true, _) => self.upgrade(request, client, connection),
            (false, _) if client.transport() == Transport::WebSocket => bad(3, "Bad request"),
            (false, &Method::GET) => self.poll(&client).await,
            (false, &Method::POST) => self.post(request, &client, connection).await,
            _ => bad(2, "Bad handshake method"),
        }
    }

    /// A new session.
    fn handshake(
        &self,
        request: Request,
        query: Query,
        websocket: bool,
        connection: &Connection,
    ) -> Response {
        if request.method() != Method::GET {
            return bad(2, "Bad handshake method");
        }
        let version = match query.get("EIO") {
            Some("4") => Version::V4,
            // The third revision was the last one that could go without saying.
            Some("3") | None => Version::V3,
            Some(_) => return bad(5, "Unsupported protocol version"),
        };
        if self.inner.stopping.load(Relaxed) {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, 3, "the server stops");
        }
        match self.inner.clients.place(self.inner.limits.connections, connection.peer().ip(), Instant::now())
        {
            Place::Free => {}
            Place::Of(silent) => {
                self.inner.counters.add_evicted_sessions(1);
                silent.end(Reason::MadeRoom);
            }
            Place::None => {
                self.inner.counters.add_refused_connections(1);
                return refuse(StatusCode::SERVICE_UNAVAILABLE, 3, "too many sessions: try again later");
            }
        }
        let (Some(sid), Some(socket_id)) = (random_id(), random_id()) else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, 3, "the system gives no random numbers");
        };
        // Version 3 clients go by the id of their session.
        let socket_id = if version == Version::V3 { sid.clone() } else { socket_id };
        let transport = if websocket { Transport::WebSocket } else { Transport::Polling };
        let (peer, budget) = (connection.peer(), connection.budget());
        let said =
            |name: &&'static str| Some((*name, request.headers().get(*name)?.to_str().ok()?.to_owned()));
        let headers = self.inner.settings.headers.iter().filter_map(said).collect();
        let arrival = Arrival { sid, socket_id, version, query, headers, peer, transport, budget };
        if !websocket {
            let client = self.begin(arrival);
            return reply(&client, &[], &take(&client));
        }
        let mut request = request;
        match websocket::upgrade(&mut request, connection, &self.inner.limits) {
            Err(response) => *response,
            Ok((response, upgrade)) => {
                let (server, connection) = (self.clone(), connection.clone());
                tokio::spawn(async move {
                    let wait = server.inner.limits.handshake();
                    if let Ok(Ok((reader, writer))) = tokio::time::timeout(wait, upgrade.finish()).await {
                        let client = server.begin(arrival);
                        server.run(client, reader, writer, connection).await;
                    }
                });
                response
            }
        }
    }

    /// Makes a client and queues what it is told first.
    fn begin(&self, arrival: Arrival) -> Arc<Client> {
        let (client, effects) = Client::new(arrival, &self.inner);
        self.inner.clients.insert(&client);
        client.send(Outgoing::text(open(&client, &self.inner)));
        client.apply(effects);
        if self.inner.stopping.load(Relaxed) {
            client.end(Reason::Shutdown);
        }
        client
    }

    /// Answers a poll as soon as there is something to say. A newer poll takes the place of an older one: the older is
    /// that of a connection which the client has given up.
    async fn poll(&self, client: &Arc<Client>) -> Response {
        let turn = client.turn.fetch_add(1, Relaxed) + 1;
        client.kick.notify_waiters();
        let mut frames = self.inner.frames.subscribe_after(client.polled.load(Relaxed));
        loop {
            let mut kicked = std::pin::pin!(client.kick.notified());
            kicked.as_mut().enable();
            if client.turn.load(Relaxed) != turn {
                // What woke this one was meant for the one that waits now.
                client.outbox.wake();
                return noop(client.version);
            }
            let mut messages = take(client);
            let packets: usize = messages.iter().map(|message| message.packets()).sum();
            let mut frame = None;
            // Three packets are the most that a frame has: a text, an attachment, another text.
            if packets + 3 <= REPLY_PACKETS
                && let Some((newest, missed)) = frames.take()
            {
                client.polled.store(frames.seen(), Relaxed);
                if client.select(&*newest, frames.seen()).is_some() {
                    client.counters.add_skipped_frames(client.skipped(missed, frames.seen()));
                    frame = Some(newest);
                }
            }
            let frame = frame.as_deref().and_then(|frame| client.select(frame, frames.seen()));
            if !messages.is_empty() || frame.is_some() {
                messages.truncate(REPLY_PACKETS);
                return reply(client, frame.as_slice(), &messages);
            }
            if client.ended().is_some() {
                self.inner.forget(client);
                return noop(client.version);
            }
            if client.transport() != Transport::Polling {
                return noop(client.version);
            }
            tokio::select! {
                biased;
                () = client.outbox.changed() => {}
                () = frames.changed() => {}
                () = kicked => {}
            }
        }
    }

    /// Takes the packets of a client that polls.
    async fn post(&self, request: Request, client: &Arc<Client>, connection: &Connection) -> Response {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let binary =
            content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/octet-stream"));
        // A client that uploads slowly answers its ping after that.
        let beat = || client.outbox.pulse().beat();
        let body = match http::read_body_with(request.into_body(), &self.inner.limits, connection, beat).await
        {
            Ok(body) => body,
            Err(error) => return refuse(error.status(), 3, "the body is too large or did not come in time"),
        };
        for packet in decode_payload(&body, client.version, binary) {
            client.receive(packet);
        }
        let mut response = http::response(StatusCode::OK, "text/html", "ok");
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// 120 random bits in 20 characters.
fn random_id() -> Option<String> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).ok()?;
    Some(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}
