//! Sessions over HTTP: the handshake, long-polling, WebSocket, and the upgrade from one to the other.

use super::Event;
use super::answer::{REPLY_PACKETS, allow_origin, bad, noop, refuse, reply, take};
use super::client::{Arrival, Auth, Client, OverWebSocket, Socket, Transport, open};
use super::engine::{Version, decode_binary, decode_payload, decode_text};
use super::message::{Outgoing, Volatile};
use super::request::Query;
use super::session::{Reason, Settings};
use crate::http::{self, Method, Request, Response, StatusCode, header};
use crate::websocket::{self, Failure, Incoming, Reader};
use crate::{Connection, Counters, Fanout, Limits, Origins, ReadHalf, WriteHalf, lock, pump};
use base64::Engine as _;
use bytes::Bytes;
use hyper::header::HeaderValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
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
    clients: Mutex<HashMap<String, Arc<Client>>>,
    stopping: AtomicBool,
}

impl Inner {
    pub(super) fn forget(&self, client: &Client) {
        lock(&self.clients).remove(&client.sid);
    }

    fn sweep(&self, now: Instant) {
        let clients: Vec<_> = lock(&self.clients).values().cloned().collect();
        for client in clients {
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
    inner: Arc<Inner>,
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
            clients: Mutex::new(HashMap::new()),
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
        let clients: Vec<_> = lock(&self.inner.clients).values().cloned().collect();
        clients.iter().for_each(|client| client.end(Reason::Shutdown));
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
        let Some(client) = lock(&self.inner.clients).get(sid).cloned() else {
            return bad(1, "Session ID unknown");
        };
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
        let full = lock(&self.inner.clients).len() >= self.inner.limits.connections;
        if full || self.inner.stopping.load(Relaxed) {
            self.inner.counters.add_refused_connections(u64::from(full));
            let why = if full { "too many sessions: try again later" } else { "the server stops" };
            return refuse(StatusCode::SERVICE_UNAVAILABLE, 3, why);
        }
        let (Some(sid), Some(socket_id)) = (random_id(), random_id()) else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, 3, "the system gives no random numbers");
        };
        // Version 3 clients go by the id of their session.
        let socket_id = if version == Version::V3 { sid.clone() } else { socket_id };
        let transport = if websocket { Transport::WebSocket } else { Transport::Polling };
        let arrival = Arrival { sid, socket_id, version, query, peer: connection.peer(), transport };
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
        lock(&self.inner.clients).insert(client.sid.clone(), client.clone());
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
                    client.counters.add_skipped_frames(missed);
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

    /// Tries a WebSocket for a client that polls.
    fn upgrade(&self, mut request: Request, client: Arc<Client>, connection: &Connection) -> Response {
        if client.transport() != Transport::Polling || client.ended().is_some() {
            return bad(3, "Bad request");
        }
        match websocket::upgrade(&mut request, connection, &self.inner.limits) {
            Err(response) => *response,
            Ok((response, upgrade)) => {
                let (server, connection) = (self.clone(), connection.clone());
                tokio::spawn(async move {
                    let wait = server.inner.settings.upgrade_timeout;
                    let probed = tokio::time::timeout(wait, async {
                        let (mut reader, mut writer) = upgrade.finish().await.ok()?;
                        probe(&client, &mut reader, &mut writer).await.then_some((reader, writer))
                    });
                    match probed.await {
                        Ok(Some((reader, writer))) => server.run(client, reader, writer, connection).await,
                        // It goes on polling.
                        _ => drop(client.switch(Transport::Upgrading, Transport::Polling)),
                    }
                });
                response
            }
        }
    }

    /// Carries a session over a WebSocket to its end.
    async fn run(
        &self,
        client: Arc<Client>,
        mut reader: Reader<ReadHalf>,
        mut writer: WriteHalf,
        connection: Connection,
    ) {
        reader.beat(client.outbox.pulse());
        let mut frames = self.inner.frames.subscribe();
        let feed = OverWebSocket(client.clone());
        let writing = tokio::spawn(async move {
            let client = &feed.0;
            if pump(&mut writer, &client.outbox, &mut frames, &feed, &client.counters).await.is_err() {
                client.end(Reason::TransportClosed);
            }
        });
        let mut reason = Reason::TransportClosed;
        loop {
            let next = tokio::select! {
                biased;
                next = reader.next(|control| client.send(Outgoing::Control(control))) => next,
                () = client.outbox.given_up() => break,
            };
            match next {
                Ok(Incoming::Text(text)) => client.receive(decode_text(&text, client.version)),
                Ok(Incoming::Binary(bytes)) => client.receive(decode_binary(bytes, client.version)),
                // The answer to it is queued by the next read.
                Ok(Incoming::Close) => reason = Reason::ClientLeft,
                Err(Failure::Gone) => break client.end(reason),
                Err(Failure::Broken(code, why)) => {
                    client.counters.add_rejected_messages(1);
                    break client.end_with(Reason::TransportClosed, Some(websocket::close(code, why)));
                }
            }
        }
        tokio::select! {
            _ = writing => {}
            () = client.outbox.given_up() => {}
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), reader.drain()).await;
        // Until here it counted as a connection.
        drop(connection);
    }
}

/// The dialogue before an upgrade. `true` once the client has changed over.
async fn probe(client: &Arc<Client>, reader: &mut Reader<ReadHalf>, writer: &mut WriteHalf) -> bool {
    loop {
        let mut replies = Vec::new();
        let next = reader.next(|control| replies.push(control)).await;
        match next {
            Ok(Incoming::Text(text)) if text.as_str() == "2probe" => {
                if !client.switch(Transport::Polling, Transport::Upgrading) {
                    return false;
                }
                replies.push(websocket::text(&Bytes::from_static(b"3probe")));
            }
            Ok(Incoming::Text(text)) if text.as_str() == "5" => {
                return client.switch(Transport::Upgrading, Transport::WebSocket);
            }
            Ok(_) => {}
            Err(_) => return false,
        }
        for segments in replies {
            if segments.write(writer, || {}).await.is_err() {
                return false;
            }
        }
    }
}

/// 120 random bits in 20 characters.
fn random_id() -> Option<String> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).ok()?;
    Some(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}
