//! The sockets.

use crate::Config;
use crate::clock::Clock;
use crate::hub::Hub;
use crate::inbox::{Events, Inbox};
use crate::latest::View;
use crate::talk::{Desk, Talk, Turns};
use gantry_plugin::calls::Calls;
use gantry_plugin::worker::Stopping;
use gantry_plugin::{Health, Host, debug};
use gantry_serve::http::header::ORIGIN;
use gantry_serve::http::{self, Request, Response, StatusCode};
use gantry_serve::websocket::{self, Client};
use gantry_serve::{Connection, Counters, Listener, Meters, Service};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How long clients may take to leave when the plugin stops.
const DRAIN: Duration = Duration::from_secs(2);

/// What the worker is given when it starts.
pub(crate) struct Parts {
    pub(crate) host: Host,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) calls: Arc<Calls>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) events: Events,
    pub(crate) listener: Listener,
}

/// Serves until the plugin stops.
pub(crate) async fn run(parts: Parts, mut stopping: Stopping) {
    let Parts { host, config, clock, calls, inbox, events, listener } = parts;
    let hub = Hub::new(host, config.clone(), clock, inbox);
    let counters = listener.counters().clone();
    tokio::spawn(hub.clone().measure(Meters::new(&host, counters.clone())));
    let telling = tokio::spawn(hub.clone().tell(events));
    let showing = tokio::spawn(hub.clone().show());
    let desk = Desk::new(calls, config.answer_bytes());
    let endpoint = Endpoint { host, config, hub, desk, counters };
    let stop = async {
        // Neither task ever returns, so that would be a panic: the instance's, or viewers would look at a dead stream.
        let ended = tokio::select! {
            () = stopping.wait() => return,
            ended = telling => ended,
            ended = showing => ended,
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

/// What is at every path.
struct Endpoint {
    host: Host,
    config: Config,
    hub: Arc<Hub>,
    desk: Arc<Desk>,
    counters: Arc<Counters>,
}

impl Service for Endpoint {
    async fn call(&self, request: Request, connection: Connection) -> Response {
        let origin = request.headers().get(ORIGIN).map(|origin| origin.to_str().unwrap_or("null"));
        if !self.config.origins.allows(origin) {
            let why = json!({"error": "this page may not connect: add its address to `origins`"});
            return http::json(StatusCode::FORBIDDEN, &why);
        }
        if websocket::is_upgrade(&request) {
            return self.websocket(request, connection);
        }
        match request.method().as_str() {
            "GET" | "HEAD" => page(),
            _ => http::method_not_allowed("GET, HEAD"),
        }
    }
}

impl Endpoint {
    fn websocket(&self, mut request: Request, connection: Connection) -> Response {
        let limits = &self.config.limits;
        let (response, upgrade) = match websocket::upgrade(&mut request, &connection, limits) {
            Ok(upgraded) => upgraded,
            Err(response) => return *response,
        };
        let client = Client::new(&connection, limits, &self.counters);
        let turns = Turns::new();
        let (frames, viewer) = self.hub.board.join();
        let view = View { viewer, _ended: turns.writer() };
        let talk = Talk {
            host: self.host,
            hub: self.hub.clone(),
            desk: self.desk.clone(),
            number: self.hub.join(client.clone()),
            client: client.clone(),
            turns,
            draining: connection.draining(),
        };
        debug!(self.host, "client {} has come", client.peer());
        tokio::spawn(websocket::session(upgrade, connection, client, frames, view, talk));
        response
    }
}

/// A page that shows everything, for whoever opens the address in a browser. It loads nothing from elsewhere.
fn page() -> Response {
    http::response(StatusCode::OK, "text/html; charset=utf-8", include_str!("page.html"))
}
