//! A gateway in miniature behind the real border, and clients that see every message.
#![allow(dead_code, reason = "each test file uses its own part")]

use gantry_people_counter::gantry_plugin_v1;
use gantry_plugin::test::{Host, Service};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The metrics that a scenario can look at.
const METRICS: [&str; 4] = ["clients", "rejected_messages", "skipped_frames", "overflowed_clients"];

/// What a scenario wants to happen on the gateway's thread.
enum Act {
    State(String, Value),
    Message(String, Value),
    Frame(String, Vec<u8>),
}

/// The runtime behind the services: faces by id, newest last; a face without a picture has lost its file.
#[derive(Default)]
pub(crate) struct Gateway {
    pub(crate) faces: Vec<(u64, Option<String>)>,
    /// No faces are looked for.
    pub(crate) blind: bool,
    /// The store cannot be read.
    pub(crate) broken: bool,
    /// Requests to services, oldest first.
    pub(crate) asked: Vec<(String, Value)>,
    /// How many streams are watched, as the plugin asked for them last.
    pub(crate) watched: Vec<(String, u32)>,
    pub(crate) kept_frames: usize,
    pub(crate) metrics: Vec<(&'static str, f64)>,
    acts: VecDeque<Act>,
}

impl Gateway {
    fn face((id, picture): &(u64, Option<String>)) -> Option<Value> {
        let base64 = picture.as_ref()?;
        Some(json!({"face_id": id, "time_ms": 1, "filename": format!("face_{id}.jpg"), "image_data": base64}))
    }

    fn get(&self, request: &Value) -> Value {
        let id = &request["face_id"];
        match self.faces.iter().find(|(known, _)| id == *known) {
            None => json!({"face_id": id, "missing": "face"}),
            Some(face) => Self::face(face).unwrap_or_else(|| json!({"face_id": id, "missing": "file"})),
        }
    }

    fn list(&self, request: &Value) -> Value {
        if self.blind {
            return json!({"available": false});
        }
        let limit = request["limit"].as_u64().unwrap() as usize;
        json!({"faces": self.faces.iter().rev().filter_map(Self::face).take(limit).collect::<Vec<_>>()})
    }
}

/// What a scenario holds.
pub(crate) struct Rig {
    gateway: Arc<Mutex<Gateway>>,
    pub(crate) address: String,
}

impl Rig {
    pub(crate) fn gateway(&self) -> MutexGuard<'_, Gateway> {
        self.gateway.lock().unwrap()
    }

    pub(crate) fn state(&self, key: &str, value: Value) {
        self.gateway().acts.push_back(Act::State(key.to_owned(), value));
    }

    pub(crate) fn message(&self, topic: &str, value: Value) {
        self.gateway().acts.push_back(Act::Message(topic.to_owned(), value));
    }

    /// The camera gives a picture to whoever watches.
    pub(crate) fn film(&self, stream: &str, jpeg: &[u8]) {
        self.gateway().acts.push_back(Act::Frame(stream.to_owned(), jpeg.to_vec()));
    }

    /// Waits until everything that was asked for has happened.
    pub(crate) fn settle(&self) {
        until("the gateway does what is asked", || self.gateway().acts.is_empty());
    }

    pub(crate) fn client(&self) -> Client {
        self.client_at("/")
    }

    pub(crate) fn client_at(&self, path: &str) -> Client {
        let stream = self.connect();
        Client(tungstenite::client(format!("ws://{}{path}", self.address), stream).expect("a WebSocket").0)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// An HTTP request; the status, the head and the body.
    pub(crate) fn http(&self, method: &str, path: &str, head: &str) -> (u16, String, String) {
        let mut stream = self.connect();
        let text = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n");
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.gateway().metrics.iter().find(|(known, _)| *known == name).expect("it is followed").1
    }
}

/// A WebSocket client.
pub(crate) struct Client(pub(crate) WebSocket<TcpStream>);

impl Client {
    pub(crate) fn say(&mut self, json: &Value) {
        self.say_text(&json.to_string());
    }

    pub(crate) fn say_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("it is open");
    }

    /// The next message as it came.
    pub(crate) fn hear_text(&mut self) -> String {
        self.0.read().expect("a message").into_text().expect("text").to_string()
    }

    /// The next message.
    pub(crate) fn hear(&mut self) -> Value {
        let text = self.hear_text();
        serde_json::from_str(&text).expect(&text)
    }

    /// The next message that is wanted; others are read over.
    pub(crate) fn hear_where(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let message = self.hear();
            if wanted(&message) {
                return message;
            }
            assert!(Instant::now() < end, "it never comes");
        }
    }

    pub(crate) fn hear_type(&mut self, kind: &str) -> Value {
        self.hear_where(|message| message["type"] == kind)
    }

    /// The answer to a request: the next message that is not pushed.
    pub(crate) fn ask(&mut self, request: &str) -> Value {
        self.say_text(request);
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> Value {
        let pushed = |kind: &Value| ["frame", "stats", "event"].iter().any(|pushed| kind == pushed);
        self.hear_where(|message| !pushed(&message["type"]))
    }

    /// Reads to the end; the code of the close frame.
    pub(crate) fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        loop {
            match self.0.read() {
                Ok(Message::Close(frame)) => code = frame.map(|frame| frame.code.into()),
                Ok(_) => {}
                Err(_) => return code,
            }
        }
    }
}

/// Runs a scenario against the plugin. The gateway's thread is this one; the plugin's own threads are the plugin's.
pub(crate) fn run(config: Value, scenario: impl FnOnce(&Rig) + Send) -> Host {
    run_with(config, |_| {}, scenario)
}

/// The same with a state that is there before the plugin starts.
pub(crate) fn run_with(
    mut config: Value,
    prepare: impl FnOnce(&mut Host),
    scenario: impl FnOnce(&Rig) + Send,
) -> Host {
    config["bind"] = json!("127.0.0.1:0");
    let gateway = Arc::new(Mutex::new(Gateway::default()));
    gateway.lock().unwrap().metrics = METRICS.map(|name| (name, 0.0)).to_vec();
    let mut host = Host::start_with(&gantry_plugin_v1, config, |host| {
        let mut offer = |name: &'static str, f: fn(&Gateway, &Value) -> Value| {
            let gateway = gateway.clone();
            let service: Service = Box::new(move |request| {
                let mut gateway = gateway.lock().unwrap();
                gateway.asked.push((name.to_owned(), request.clone()));
                if gateway.broken { Err("the store cannot be read".into()) } else { Ok(f(&gateway, request)) }
            });
            host.offer(name, service);
        };
        offer("endpoints.announce", |_, _| json!({}));
        offer("faces.get", Gateway::get);
        offer("faces.list", Gateway::list);
        host.set_state("cameras/main/connected", json!(true));
        host.set_state("cameras/main/fps", json!(30));
        prepare(host);
    })
    .expect("it starts");
    let calls = host.calls();
    let (_, announced) =
        calls.iter().find(|(name, _)| name == "endpoints.announce").expect("it says where it is");
    let url = announced["endpoints"][0]["url"].as_str().unwrap();
    let address = url.split('/').nth(2).expect(url).to_owned();
    let rig = Rig { gateway, address };
    std::thread::scope(|scope| {
        let acting = scope.spawn(|| scenario(&rig));
        while !acting.is_finished() {
            let act = rig.gateway().acts.front().map(|act| match act {
                Act::State(key, value) => Act::State(key.clone(), value.clone()),
                Act::Message(topic, value) => Act::Message(topic.clone(), value.clone()),
                Act::Frame(stream, jpeg) => Act::Frame(stream.clone(), jpeg.clone()),
            });
            match &act {
                Some(Act::State(key, value)) => host.set_state(key, value.clone()),
                Some(Act::Message(topic, value)) => {
                    assert!(host.message(topic, value.to_string().as_bytes()), "{topic} is listened to");
                }
                Some(Act::Frame(stream, jpeg)) => drop(host.frame(stream, 640, 480, jpeg)),
                None => {}
            }
            host.poll();
            assert!(!host.panicked());
            // Before the gateway is locked: a service is called with the host locked, and locks the gateway then.
            let (watched, kept_frames) = (host.watched().into_iter().collect(), host.kept_frames());
            let metrics = METRICS.map(|name| (name, host.metric(name).unwrap_or_default())).to_vec();
            let mut gateway = rig.gateway();
            (gateway.watched, gateway.kept_frames, gateway.metrics) = (watched, kept_frames, metrics);
            // Only now it has happened.
            if act.is_some() {
                gateway.acts.pop_front();
            }
            drop(gateway);
            if act.is_none() {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
        if let Err(panic) = acting.join() {
            std::panic::resume_unwind(panic);
        }
    });
    host
}

/// Waits until `f` is true. For what no message tells.
pub(crate) fn until(what: &str, mut f: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !f() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
