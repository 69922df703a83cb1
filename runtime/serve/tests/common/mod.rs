//! A server on a free port with a handler that tells the test what it is told, and small clients.
#![allow(dead_code, reason = "each test file uses its own part")]

use gantry_serve::http::{self, Request, Response, StatusCode};
use gantry_serve::socketio::{Event, Handler, RawValue, Reason, Server, Settings, Socket};
use gantry_serve::{Connection, Counters, Hosts, Limits, Listener, Origins, Service, Tls};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tungstenite::{Message as WsMessage, WebSocket};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) enum Told {
    Joined(Socket, Option<String>),
    Event(Socket, Event),
    Left(Reason),
}

struct Recorder(mpsc::Sender<Told>);

impl Handler for Recorder {
    fn joined(&self, socket: &Socket, auth: Option<&RawValue>) {
        socket.emit("greeting", &"hello");
        let _ = self.0.send(Told::Joined(socket.clone(), auth.map(|auth| auth.get().to_owned())));
    }

    fn event(&self, socket: &Socket, event: Event) {
        if let Some(id) = event.ack {
            socket.ack(id, Some(&event.attachments.len()));
        }
        let _ = self.0.send(Told::Event(socket.clone(), event));
    }

    fn left(&self, _: &Socket, reason: Reason) {
        let _ = self.0.send(Told::Left(reason));
    }
}

struct Endpoint(Server, Limits);

impl Service for Endpoint {
    async fn call(&self, request: Request, connection: Connection) -> Response {
        match request.uri().path() {
            path if Server::serves(path) => self.0.call(request, &connection).await,
            "/echo" => match http::read_body(request.into_body(), &self.1, &connection).await {
                Ok(body) => http::response(StatusCode::OK, "text/plain", body),
                Err(error) => http::json(error.status(), &"no"),
            },
            _ => http::json(StatusCode::NOT_FOUND, &"not here"),
        }
    }
}

pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) server: Server,
    pub(crate) counters: Arc<Counters>,
    told: mpsc::Receiver<Told>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<bool>>,
}

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) limits: Limits,
    pub(crate) settings: Settings,
    pub(crate) origins: Vec<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) tls: Option<Tls>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let Options { limits, settings, origins, hosts, tls } = options;
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(free, tls.as_ref(), &limits).expect("a free port");
        let listener = listener.only_for(&Hosts(hosts));
        let (address, counters) = (listener.address(), listener.counters().clone());
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (give, server) = mpsc::channel();
        let totals = counters.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::new(Recorder(tell), settings, &limits, &Origins(origins), &totals);
                give.send(server.clone()).unwrap();
                let endpoint = Arc::new(Endpoint(server.clone(), limits));
                let end = async {
                    let _ = stopped.await;
                    server.shutdown();
                };
                listener.serve(endpoint, end, Duration::from_secs(3)).await.unwrap()
            })
        });
        let server = server.recv().unwrap();
        Self { address, server, counters, told, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn told(&self) -> Told {
        self.told.recv_timeout(PATIENCE).expect("the handler is told")
    }

    pub(crate) fn joined(&self) -> Socket {
        match self.told() {
            Told::Joined(socket, _) => socket,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn left(&self) -> Reason {
        match self.told() {
            Told::Left(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn tells_nothing(&self) -> bool {
        self.told.try_recv().is_err()
    }

    /// Stops; whether everything ended in time.
    pub(crate) fn stop(&mut self) -> bool {
        drop(self.stop.take());
        self.thread.take().is_none_or(|thread| thread.join().expect("the server does not panic"))
    }

    /// Waits until `f` is true. For what no message tells.
    pub(crate) fn until(&self, what: &str, f: impl Fn() -> bool) {
        let end = std::time::Instant::now() + PATIENCE;
        while !f() {
            assert!(std::time::Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        write_request(&mut stream, method, path, headers, body);
        Answer::read(&mut stream)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send("POST", path, &[], body.as_ref())
    }

    pub(crate) fn websocket(&self, path: &str) -> WebSocket<TcpStream> {
        let url = format!("ws://{}{path}", self.address);
        tungstenite::client(url, self.connect()).expect("a WebSocket").0
    }

    /// A polling session that has joined; its path.
    pub(crate) fn polling(&self) -> String {
        let open = self.get("/socket.io/?EIO=4&transport=polling").text();
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", sid(&open));
        assert_eq!(self.post(&path, "40").text(), "ok");
        path
    }

    /// A WebSocket session that has joined, its greeting read.
    pub(crate) fn viewer(&self) -> WebSocket<TcpStream> {
        let mut socket = self.websocket("/socket.io/?EIO=4&transport=websocket");
        assert!(text(&mut socket).starts_with("0{"));
        say(&mut socket, "40");
        assert!(text(&mut socket).starts_with("40{\"sid\":"));
        assert_eq!(text(&mut socket), "42[\"greeting\",\"hello\"]");
        socket
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection from another address of this machine: Linux has all of 127.0.0.0/8.
pub(crate) fn connect_from(ip: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&address.into()).expect("the server listens");
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(crate) fn write_request(
    io: &mut impl Write,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    // The server may answer and close before it has read everything.
    let _ = io.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| io.write_all(body));
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn read(io: &mut impl Read) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            io.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        io.read_exact(&mut body).expect("the whole body");
        Self { status, headers, body }
    }

    pub(crate) fn text(self) -> String {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        String::from_utf8(self.body).unwrap()
    }

    /// The status and the `code` of an Engine.IO error.
    pub(crate) fn code(&self) -> (u16, i64) {
        let value: serde_json::Value = serde_json::from_slice(&self.body).expect("an error in JSON");
        (self.status, value["code"].as_i64().expect("a code"))
    }
}

pub(crate) fn sid(open: &str) -> String {
    let at = open.find("\"sid\":\"").expect("a sid") + 7;
    open[at..at + 20].to_owned()
}

pub(crate) fn say(socket: &mut WebSocket<TcpStream>, text: &str) {
    socket.send(WsMessage::text(text)).expect("it is open");
}

/// The next message as text; binary ones as `binary […]`.
pub(crate) fn text(socket: &mut WebSocket<TcpStream>) -> String {
    match socket.read().expect("a message") {
        WsMessage::Text(text) => text.to_string(),
        WsMessage::Binary(bytes) => format!("binary {:?}", &bytes[..]),
        other => panic!("{other:?}"),
    }
}

/// Reads to the end; the code of the close frame.
pub(crate) fn closed(socket: &mut WebSocket<TcpStream>) -> Option<u16> {
    let mut code = None;
    loop {
        match socket.read() {
            Ok(WsMessage::Close(frame)) => code = frame.map(|frame| frame.code.into()),
            Ok(_) => {}
            Err(_) => return code,
        }
    }
}
