//! The sockets: what is at which path.

use crate::Config;
use crate::api::Api;
use crate::clock::Days;
use crate::desk::Desk;
use crate::key::{self, Keys};
use crate::load::load;
use crate::registry::Registry;
use crate::rooms::Rooms;
use crate::talk::{AsIs, Talk};
use gantry_plugin::calls::Calls;
use gantry_plugin::worker::Stopping;
use gantry_plugin::{Health, Host};
use gantry_serve::http::{Method, Request, Response, StatusCode};
use gantry_serve::socketio::{self, Settings};
use gantry_serve::websocket::{self, Client};
use gantry_serve::{Connection, Counters, Fanout, Listener, Meters, Segments, Service};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long clients may take to leave when the plugin stops.
const DRAIN: Duration = Duration::from_secs(2);

/// What the worker is given when it starts.
pub(crate) struct Parts {
    pub(crate) host: Host,
    pub(crate) config: Config,
    pub(crate) days: Days,
    pub(crate) calls: Arc<Calls>,
    pub(crate) listener: Listener,
    pub(crate) listening: String,
}

/// Serves until the plugin stops.
pub(crate) async fn run(parts: Parts, mut stopping: Stopping) {
    let Parts { host, config, days, calls, listener, listening } = parts;
    let began = Timestamp::now();
    let active = SignedDuration::from_secs(config.active_seconds.into());
    let registry = Registry::new(days, config.max_cameras, active, began);
    let desk = Desk::new(host, calls, registry, config.pending_bytes, listening);
    let counters = listener.counters().clone();
    let rooms = Rooms::new(host, &config, desk.clone());
    let settings = Settings { headers: &key::HEADERS, ..Settings::default() };
    let sockets = socketio::Server::new(rooms, settings, &config.limits, &config.origins, &counters);
    let clients = Clients { sockets: sockets.clone(), plain: Arc::default() };
    tokio::spawn(load(host, desk.clone(), began));
    tokio::spawn(measure(Meters::new(&host, counters.clone()), clients.clone(), desk.clone()));
    let keys = Keys::new(&config.api_keys);
    let api = Api::new(desk.clone(), &config, clients.clone());
    let endpoint = Endpoint { config, desk, keys, api, clients, counters, frames: Fanout::default() };
    let stop = async {
        stopping.wait().await;
        sockets.shutdown();
    };
    if let Err(error) = listener.serve(Arc::new(endpoint), stop, DRAIN).await {
        host.health(Health::Failed, &format!("cannot accept connections: {error}"));
    }
}

async fn measure(meters: Meters, clients: Clients, desk: Arc<Desk>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        meters.record(clients.count());
        desk.calm(Instant::now());
    }
}

/// Who is connected, on whatever way.
#[derive(Clone)]
pub(crate) struct Clients {
    sockets: socketio::Server,
    plain: Arc<AtomicUsize>,
}

impl Clients {
    pub(crate) fn count(&self) -> usize {
        self.sockets.clients() + self.plain.load(Relaxed)
    }
}

struct Endpoint {
    config: Config,
    desk: Arc<Desk>,
    keys: Keys,
    api: Api,
    clients: Clients,
    counters: Arc<Counters>,
    /// There are no frames in this protocol; every client's writer looks at some.
    frames: Fanout<Segments>,
}

impl Service for Endpoint {
    async fn call(&self, request: Request, connection: Connection) -> Response {
        if socketio::Server::serves(request.uri().path()) {
            return self.clients.sockets.call(request, &connection).await;
        }
        let Some(cors) = self.config.origins.cors(request.headers()) else {
            return crate::api::refuse(
                StatusCode::FORBIDDEN,
                "This page may not connect: add its address to `origins`",
            );
        };
        let mut response = if request.method() == Method::OPTIONS {
            cors.preflight()
        } else if websocket::is_upgrade(&request) && matches!(request.uri().path(), "/" | "/websocket") {
            self.websocket(request, connection)
        } else {
            self.api.call(request, &connection).await
        };
        cors.mark(&mut response);
        response
    }
}

impl Endpoint {
    fn websocket(&self, mut request: Request, connection: Connection) -> Response {
        let limits = &self.config.limits;
        let query = socketio::Query::parse(request.uri().query());
        let shown = crate::api::shown_with(&request, |name| query.get(name));
        let grant = self.keys.grant(shown);
        let (response, upgrade) = match websocket::upgrade(&mut request, &connection, limits) {
            Ok(upgraded) => upgraded,
            Err(response) => return *response,
        };
        let client = Client::new(&connection, limits, &self.counters);
        let complaints = limits.queue_messages / 2;
        let talk =
            Talk::new(self.desk.clone(), grant, client.clone(), complaints, self.clients.plain.clone());
        tokio::spawn(websocket::session(upgrade, connection, client, self.frames.subscribe(), AsIs, talk));
        response
    }
}
