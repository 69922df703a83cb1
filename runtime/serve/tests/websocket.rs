//! The session that plain WebSocket protocols share, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{closed, connect, say, text};
use gantry_serve::http::{Request, Response};
use gantry_serve::websocket::{self, Client, Handler, Message};
use gantry_serve::{Connection, Counters, Fanout, Feed, Limits, Listener, Segments, Service};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tungstenite::WebSocket;

struct AsIs;

impl Feed for AsIs {
    type Item = Segments;
    type Frame = Segments;
    fn message(&self, item: &Segments) -> Option<Segments> {
        Some(item.clone())
    }
    fn frame(&self, frame: &Segments, _: u64) -> Option<Segments> {
        Some(frame.clone())
    }
}

fn words(text: impl Into<bytes::Bytes>) -> Segments {
    websocket::text(&text.into())
}

/// Says back what it is told, later the later it gets: answers must keep their order nevertheless.
struct Slower(Client<Segments>, u64);

impl Handler for Slower {
    async fn message(&mut self, message: Message) {
        self.1 += 1;
        for _ in 0..20 / self.1 {
            tokio::task::yield_now().await;
        }
        match message {
            Message::Text(text) => self.0.send(words(text)),
            Message::Binary(_) => self.0.close(4000, "no bytes here"),
        }
    }

    fn above_rate(&mut self) {
        self.0.send(words("Rate limit exceeded"));
    }
}

struct Endpoint {
    limits: Limits,
    totals: Arc<Counters>,
    frames: Arc<Fanout<Segments>>,
    tell: mpsc::Sender<Client<Segments>>,
}

impl Service for Endpoint {
    async fn call(&self, mut request: Request, connection: Connection) -> Response {
        match websocket::upgrade(&mut request, &connection, &self.limits) {
            Err(response) => *response,
            Ok((response, upgrade)) => {
                let client = Client::new(&connection, &self.limits, &self.totals);
                self.tell.send(client.clone()).unwrap();
                let (frames, handler) = (self.frames.subscribe(), Slower(client.clone(), 0));
                tokio::spawn(websocket::session(upgrade, connection, client, frames, AsIs, handler));
                response
            }
        }
    }
}

struct Rig {
    address: SocketAddr,
    frames: Arc<Fanout<Segments>>,
    totals: Arc<Counters>,
    clients: mpsc::Receiver<Client<Segments>>,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Rig {
    fn new(limits: Limits) -> Self {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), None, &limits).unwrap();
        let (address, totals) = (listener.address(), listener.counters().clone());
        let frames = Arc::new(Fanout::default());
        let (tell, clients) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let endpoint = Endpoint { limits, totals: totals.clone(), frames: frames.clone(), tell };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let stop = async { drop(stopped.await) };
            runtime.block_on(listener.serve(Arc::new(endpoint), stop, Duration::from_secs(5))).unwrap()
        });
        Self { address, frames, totals, clients, stop, thread }
    }

    fn client(&self) -> (WebSocket<TcpStream>, Client<Segments>) {
        let url = format!("ws://{}/any", self.address);
        let socket = tungstenite::client(url, connect(self.address)).expect("a WebSocket").0;
        (socket, self.clients.recv_timeout(common::PATIENCE).unwrap())
    }
}

#[test]
fn answers_keep_the_order_of_their_questions_and_frames_come_between() {
    let rig = Rig::new(Limits::default());
    let (mut socket, client) = rig.client();
    for i in 0..20 {
        say(&mut socket, &format!("{i}"));
    }
    for i in 0..20 {
        assert_eq!(text(&mut socket), format!("{i}"));
    }
    rig.frames.publish(Arc::new(words("frame")));
    assert_eq!(text(&mut socket), "frame");
    assert_eq!(client.counters().received_messages(), 20);
}

#[test]
fn messages_above_the_rate_are_answered_in_the_protocols_words_and_the_connection_stays() {
    let rig = Rig::new(Limits { messages_per_second: 5, ..Limits::default() });
    let (mut socket, client) = rig.client();
    for _ in 0..30 {
        say(&mut socket, "x");
    }
    let answers: Vec<_> = (0..30).map(|_| text(&mut socket)).collect();
    let refused = answers.iter().filter(|answer| *answer == "Rate limit exceeded").count() as u64;
    assert!(refused > 0 && answers[..5].iter().all(|answer| answer == "x"), "{answers:?}");
    assert_eq!((client.counters().rejected_messages(), client.is_open()), (refused, true));
}

#[test]
fn a_client_is_closed_in_words_for_every_reason() {
    let rig = Rig::new(Limits { message_bytes: 1024, ..Limits::default() });
    let (mut socket, _client) = rig.client();
    socket.send(tungstenite::Message::binary(vec![1])).unwrap();
    assert_eq!(closed(&mut socket), Some(4000), "by the protocol");
    let (mut socket, _client) = rig.client();
    say(&mut socket, &"x".repeat(2000));
    assert_eq!(closed(&mut socket), Some(1009), "by a limit");
    let (mut socket, _client) = rig.client();
    socket.close(None).unwrap();
    closed(&mut socket);
    let (mut socket, _client) = rig.client();
    let reading = std::thread::spawn(move || closed(&mut socket));
    drop(rig.stop);
    assert_eq!(reading.join().unwrap(), Some(1001), "by the end");
    assert!(rig.thread.join().unwrap(), "it ends in time");
}

#[test]
fn a_client_that_does_not_take_what_must_arrive_is_closed() {
    let rig = Rig::new(Limits::default());
    let (mut socket, client) = rig.client();
    let large = words("x".repeat(500_000));
    let mut sent = 0;
    while client.is_open() {
        client.send(large.clone());
        sent += 1;
        assert!(sent < 1000, "it is never closed");
        std::thread::yield_now();
    }
    assert_eq!(rig.totals.overflowed_clients(), 1);
    closed(&mut socket);
}
