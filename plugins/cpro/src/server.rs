//! The sockets: who is at which path, and a WebSocket's messages.

use crate::api::Api;
use crate::change::Change;
use crate::hub::{Hub, Inbox, Peer};
use crate::message::Secret;
use crate::session::above_rate;
use crate::{Config, page};
use gantry_plugin::calls::Calls;
use gantry_plugin::worker::Stopping;
use gantry_plugin::{Health, Host, debug};
use gantry_serve::http::{self, Method, Request, Response, StatusCode};
use gantry_serve::socketio::Query;
use gantry_serve::websocket::{self, Client, Handler, Message};
use gantry_serve::{Connection, Counters, Fanout, Feed, Listener, Meters, Segments, Service};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long clients may take to leave when the plugin stops.
const DRAIN: Duration = Duration::from_secs(2);

/// What the worker is given when it starts.
pub(crate) struct Parts {
    pub(crate) host: Host,
    pub(crate) config: Config,
    pub(crate) calls: Arc<Calls>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) changes: mpsc::Receiver<Change>,
    pub(crate) listener: Listener,
}

/// Serves until the plugin stops.
pub(crate) async fn run(parts: Parts, mut stopping: Stopping) {
    let Parts { host, config, calls, inbox, changes, listener } = parts;
    let listening = format!("listening on {}", listener.address());
    let hub = Hub::new(host, calls, &config.mapping, listening, inbox);
    let counters = listener.counters().clone();
    tokio::spawn(hub.clone().measure(Meters::new(&host, counters.clone())));
    let reviewing = tokio::spawn(hub.clone().review());
    let publishing = tokio::spawn(hub.clone().publish(changes));
    let api = Api::new(hub.clone(), config.limits.clone());
    let endpoint = Endpoint { host, hub, api, config, counters, frames: Fanout::default() };
    let stop = async {
        // Neither task ever returns, so that would be a panic: the instance's, or clients would never hear of changes again.
        let ended = tokio::select! {
            () = stopping.wait() => return,
            ended = publishing => ended,
            ended = reviewing => ended,
        };
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    };
    if let Err(error) = listener.serve(Arc::new(endpoint), stop, DRAIN).await {
        host.health(Health::Failed, &format!("cannot accept connections: {error}"));
    }
}

/// What is at which path.
struct Endpoint {
    host: Host,
    hub: Arc<Hub>,
    api: Api,
    config: Config,
    counters: Arc<Counters>,
    /// There are no frames in this protocol; every client's writer looks at some.
    frames: Fanout<Segments>,
}

impl Service for Endpoint {
    async fn call(&self, request: Request, connection: Connection) -> Response {
        let Some(cors) = self.config.origins.cors(request.headers()) else {
            let why = json!({"error": "this page may not connect: add its address to `origins`"});
            return http::json(StatusCode::FORBIDDEN, &why);
        };
        let mut response = if request.method() == Method::OPTIONS {
            cors.preflight()
        } else {
            self.route(request, connection).await
        };
        cors.mark(&mut response);
        response
    }
}

impl Endpoint {
    async fn route(&self, request: Request, connection: Connection) -> Response {
        let reads = matches!(request.method().as_str(), "GET" | "HEAD");
        let path = request.uri().path();
        match path.strip_suffix('/').unwrap_or(path) {
            "/api/v1" | "/api" => self.websocket(request, connection).await,
            "/api/login" if request.method() == Method::POST => self.api.login(request, &connection).await,
            "/api/logout" if request.method() == Method::POST => self.api.logout(&request).await,
            "/api/login" | "/api/logout" => http::method_not_allowed("POST"),
            "/api/info" if reads => self.api.info(&request).await,
            "/api/status" if reads => self.api.status(),
            "" if reads => page(),
            "/api/info" | "/api/status" | "" => http::method_not_allowed("GET, HEAD"),
            _ => {
                let why =
                    "there are only /, /api/v1, /api, /api/login, /api/logout, /api/info and /api/status";
                http::json(StatusCode::NOT_FOUND, &json!({"error": why}))
            }
        }
    }

    async fn websocket(&self, mut request: Request, connection: Connection) -> Response {
        let limits = &self.config.limits;
        let (response, upgrade) = match websocket::upgrade(&mut request, &connection, limits) {
            Ok(upgraded) => upgraded,
            Err(response) => return *response,
        };
        self.hub.ready().await;
        let client = Client::new(&connection, limits, &self.counters);
        let talk = Talk {
            host: self.host,
            hub: self.hub.clone(),
            peer: self.hub.join(client.clone()),
            complaints: limits.queue_messages / 2,
        };
        let query = Query::parse(request.uri().query());
        if let Some(token) = query.get("token").filter(|token| !token.is_empty()) {
            // Before the 101, so that nothing which the client sends can be done without it.
            let token = Secret::new(token.to_owned());
            talk.peer.drive(&self.hub.calls, |session| session.connected_with(token)).await;
        }
        debug!(self.host, "client {} has come", client.peer());
        let frames = self.frames.subscribe();
        tokio::spawn(websocket::session(upgrade, connection, client, frames, AsIs, talk));
        response
    }
}

/// One client's messages.
struct Talk {
    host: Host,
    hub: Arc<Hub>,
    peer: Arc<Peer>,
    /// How many messages may wait for the client before it is not told of one more that was above the rate.
    complaints: usize,
}

impl Handler for Talk {
    async fn message(&mut self, message: Message) {
        let bytes = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        };
        self.peer.drive(&self.hub.calls, |session| session.message(bytes)).await;
    }

    fn above_rate(&mut self) {
        // Each is told, unless it does not read what it is told: complaints leave room for what must arrive.
        if self.peer.client.waiting() < self.complaints {
            self.peer.client.send(above_rate());
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.hub.leave(&self.peer);
        debug!(self.host, "client {} has gone", self.peer.client.peer());
    }
}

/// Everything here is made as it is sent.
struct AsIs;

impl Feed for AsIs {
    type Item = Segments;
    type Frame = Segments;

    fn message(&self, item: &Segments) -> Option<Segments> {
        Some(item.clone())
    }

    fn frame(&self, _: &Segments, _: u64) -> Option<Segments> {
        None
    }
}
