//! The sockets: who is connected, and the tick that all of them get.

use crate::Config;
use crate::pace::{Next, Pace, watch_rate};
use crate::session::{Block, Format, GREETING, Picture, Request, Tick, View, pong};
use bytes::Bytes;
use gantry_plugin::worker::Stopping;
use gantry_plugin::{Frame, Health, Host, debug};
use gantry_serve::http::{self, Response, StatusCode};
use gantry_serve::socketio::{Event, Handler, RawValue, Reason, Server, Settings, Socket};
use gantry_serve::{Connection, Listener, Meters, Service};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// How long clients may take to leave when the plugin stops.
const DRAIN: Duration = Duration::from_secs(2);
/// How long the camera is watched after the last client has left: one that reloads its page is back before.
const LINGER: Duration = Duration::from_secs(2);
/// From this many kept frames on new ones are copied. The runtime lends 32 at most, and viewers that are stuck in the
/// middle of different frames must not keep new ones from the others.
const LENT_FRAMES: usize = 16;

/// What the plugin's thread hands to the worker.
pub(crate) struct Inbox {
    state: Mutex<State>,
    changed: Notify,
    /// Counts the frames that are kept.
    lent: Arc<()>,
}

struct State {
    picture: Option<Picture>,
    camera_connected: bool,
    camera_fps: Option<f64>,
    blocks: Vec<Block>,
}

/// A frame on loan from the runtime.
struct Lent {
    frame: Frame,
    _count: Arc<()>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl Inbox {
    pub(crate) fn new(config: &Config) -> Self {
        let blocks = config.blocks.keys();
        let blocks = blocks.map(|name| Block { name: name.clone(), json: "null".into() }).collect();
        let state = State { picture: None, camera_connected: false, camera_fps: None, blocks };
        Self { state: Mutex::new(state), changed: Notify::new(), lent: Arc::new(()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn frame(&self, frame: Frame) {
        let (width, height) = (frame.width(), frame.height());
        let jpeg = if Arc::strong_count(&self.lent) > LENT_FRAMES {
            Bytes::copy_from_slice(&frame)
        } else {
            Bytes::from_owner(Lent { frame, _count: self.lent.clone() })
        };
        self.picture(Picture { jpeg, width, height });
    }

    pub(crate) fn picture(&self, picture: Picture) {
        self.lock().picture = Some(picture);
        self.changed.notify_one();
    }

    pub(crate) fn state(&self, config: &Config, key: &str, value: &Value) {
        let mut state = self.lock();
        if key == config.connected_key() {
            state.camera_connected = value == &Value::Bool(true);
            if !state.camera_connected {
                // What was seen before must not be shown as new when it is back.
                state.picture = None;
            }
            self.changed.notify_one();
        } else if key == config.fps_key() {
            state.camera_fps = value.as_f64().filter(|fps| *fps > 0.0);
            self.changed.notify_one();
        }
        for ((_, wanted), block) in config.blocks.iter().zip(&mut state.blocks) {
            if key == wanted {
                block.json = value.to_string();
            }
        }
    }
}

/// Serves until the plugin stops.
pub(crate) async fn run(
    host: Host,
    config: Config,
    listener: Listener,
    inbox: Arc<Inbox>,
    mut stopping: Stopping,
) {
    let viewers = Viewers { host, inbox: inbox.clone() };
    let counters = listener.counters().clone();
    let server = Server::new(viewers, Settings::default(), &config.limits, &config.origins, &counters);
    let meters = Meters::new(&host, counters);
    tokio::spawn(measure(meters, server.clone()));
    let publishing = tokio::spawn(publish(host, config, server.clone(), inbox));
    let endpoint = Arc::new(Endpoint { server: server.clone() });
    let stop = async {
        tokio::select! {
            () = stopping.wait() => {}
            // It never returns, so this is a panic: the instance's, or viewers would look at a dead stream for ever.
            ended = publishing => if let Err(error) = ended && error.is_panic() {
                std::panic::resume_unwind(error.into_panic());
            },
        }
        server.shutdown();
    };
    if let Err(error) = listener.serve(endpoint, stop, DRAIN).await {
        host.health(Health::Failed, &format!("cannot accept connections: {error}"));
    }
}

async fn measure(meters: Meters, server: Server) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        meters.record(server.clients());
    }
}

/// Sends the tick, while there is somebody to send it to.
async fn publish(host: Host, config: Config, server: Server, inbox: Arc<Inbox>) {
    let stream = config.stream();
    loop {
        while server.clients() == 0 {
            inbox.changed.notified().await;
        }
        let mut pace = Pace::new(config.publish_rate, Instant::now());
        let mut watched = None;
        let mut alone_since = None;
        let mut pending = None;
        loop {
            let now = Instant::now();
            let clients = server.clients();
            let (connected, camera_fps) = {
                let mut state = inbox.lock();
                if let Some(picture) = state.picture.take() {
                    pace.picture(now);
                    pending = Some(picture);
                }
                (state.camera_connected, state.camera_fps)
            };
            if !connected {
                pace.forget();
                pending = None;
            }
            let rate = watch_rate(config.publish_rate, camera_fps);
            if watched != Some(rate) {
                watched = Some(rate);
                if let Err(error) = host.watch_frames(&stream, rate) {
                    host.health(Health::Degraded, &error.to_string());
                }
            }
            if clients > 0 {
                alone_since = None;
            } else if now.duration_since(*alone_since.get_or_insert(now)) > LINGER {
                break;
            }
            match pace.next(now) {
                Next::Send => {
                    let state = inbox.lock();
                    let view = View { camera_connected: connected, clients, blocks: &state.blocks };
                    let tick = Tick::new(&view, pending.take(), SystemTime::now());
                    drop(state);
                    server.publish(Arc::new(tick));
                }
                Next::Wait(until) => tokio::select! {
                    () = inbox.changed.notified() => {}
                    () = tokio::time::sleep_until(until.into()) => {}
                },
            }
        }
        host.unwatch_frames(&stream);
        inbox.lock().picture = None;
        server.clear();
    }
}

/// What is done about clients.
struct Viewers {
    host: Host,
    inbox: Arc<Inbox>,
}

impl Handler for Viewers {
    fn joined(&self, socket: &Socket, auth: Option<&RawValue>) {
        socket.set_format(Format::asked(socket.query(), auth) as u8);
        socket.emit("status", &GREETING);
        self.inbox.changed.notify_one();
        debug!(self.host, "client {} has come from {}", socket.id(), socket.peer());
    }

    fn event(&self, socket: &Socket, event: Event) {
        let answer = match Request::read(&event) {
            Request::Ping => {
                let pong = pong(SystemTime::now());
                socket.emit("pong", &pong);
                serde_json::to_value(pong).ok()
            }
            Request::Format(format) => {
                socket.set_format(format as u8);
                Some(json!({"format": format}))
            }
            Request::UnknownFormat => {
                socket.counters().add_rejected_messages(1);
                Some(json!({"error": "send {\"format\":\"base64\"} or {\"format\":\"binary\"}"}))
            }
            Request::Unknown => None,
        };
        if let Some(id) = event.ack {
            socket.ack(id, answer.as_ref());
        }
    }

    fn left(&self, socket: &Socket, reason: Reason) {
        let counters = socket.counters();
        debug!(
            self.host,
            "client {} has gone: {reason}; it got {} bytes and missed {} frames",
            socket.id(),
            counters.sent_bytes(),
            counters.skipped_frames()
        );
    }
}

/// What is at which path.
struct Endpoint {
    server: Server,
}

impl Service for Endpoint {
    async fn call(&self, request: http::Request, connection: Connection) -> Response {
        match request.uri().path() {
            path if Server::serves(path) => self.server.call(request, &connection).await,
            "/" => viewer(&request),
            _ => {
                http::json(StatusCode::NOT_FOUND, &json!({"error": "there are only / and /socket.io/ here"}))
            }
        }
    }
}

/// A page that shows the stream, for whoever opens the address in a browser. It loads nothing from elsewhere.
fn viewer(request: &http::Request) -> Response {
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return http::method_not_allowed("GET, HEAD");
    }
    http::response(StatusCode::OK, "text/html; charset=utf-8", include_str!("viewer.html"))
}
