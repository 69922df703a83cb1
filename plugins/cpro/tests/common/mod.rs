//! A gateway in miniature behind the real border, and WebSocket and HTTP clients that see every message.
#![allow(dead_code, reason = "each test file uses its own part")]

use gantry_cpro::gantry_plugin_v1;
use gantry_plugin::test::{Host, Service};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A key, who may read it, who may write it (numbers of roles), and its value at the beginning.
const KEYS: [(&str, u8, u8, u8); 5] = [
    ("brightness", 0, 2, 50),
    ("contrast", 0, 2, 50),
    ("fps", 0, 2, 30),
    ("gain", 2, 2, 10),
    ("cam1-exists", 0, 9, 1),
];
const ROLES: [&str; 4] = ["anonymous", "viewer", "operator", "administrator"];

/// The runtime behind the services: a table of keys, users `admin` (operator) and `guest` (viewer).
#[derive(Default)]
pub(crate) struct Gateway {
    pub(crate) values: Map<String, Value>,
    pub(crate) sequence: u64,
    pub(crate) tokens: BTreeMap<String, u8>,
    pub(crate) mapping_is_missing: bool,
    /// The next readings fail.
    pub(crate) unreadable: u32,
    /// The next messages on the bus are lost.
    pub(crate) lose: u32,
    bus: VecDeque<(String, Value)>,
    logins: u32,
}

impl Gateway {
    fn role(&self, request: &Value) -> (u8, bool) {
        match request["token"].as_str() {
            None => (0, false),
            Some(token) => self.tokens.get(token).map_or((0, true), |role| (*role, false)),
        }
    }

    fn rights(key: &str) -> Option<(u8, u8)> {
        KEYS.iter().find(|(name, ..)| *name == key).map(|(_, read, write, _)| (*read, *write))
    }

    fn login(&mut self, request: &Value) -> Value {
        let role = match (request["username"].as_str(), request["password"].as_str()) {
            (Some("admin"), Some("pass")) => 2,
            (Some("guest"), Some("pass")) => 1,
            (Some("eager"), _) => return json!({"authenticated": false, "retry_after_s": 11.2}),
            _ => return json!({"authenticated": false}),
        };
        self.logins += 1;
        let token = format!("token {}/+", self.logins);
        self.tokens.insert(token.clone(), role);
        json!({"authenticated": true, "token": token, "user": request["username"], "role": ROLES[usize::from(role)]})
    }

    fn resume(&self, request: &Value) -> Value {
        match self.role(request) {
            (_, true) => json!({"authenticated": false}),
            (role, false) => json!({"authenticated": true, "token": request["token"], "user": "admin",
                "role": ROLES[usize::from(role)]}),
        }
    }

    fn describe(&self, request: &Value) -> Result<Value, String> {
        if self.mapping_is_missing {
            return Err("there is no mapping `cpro`: write scripts/mappings/cpro.rhai".into());
        }
        let (role, ended) = self.role(request);
        let mut keys = Map::new();
        let mut permissions = Vec::new();
        for (key, read, write, _) in &KEYS {
            keys.insert((*key).into(), json!({"read": role >= *read, "write": role >= *write}));
            let rights = [(*read, "read"), (*write, "write")];
            permissions.extend(
                rights.iter().filter(|(least, _)| role >= *least).map(|(_, what)| format!("{what}:{key}")),
            );
        }
        Ok(
            json!({"role": ROLES[usize::from(role)], "keys": keys, "permissions": permissions, "ended": ended}),
        )
    }

    fn write(&mut self, request: &Value) -> Value {
        let (role, ended) = self.role(request);
        let (mut accepted, mut rejected) = (Map::new(), Vec::new());
        for (key, value) in request["values"].as_object().unwrap() {
            let mut reject = |error: &str, message: Option<&str>| {
                rejected.push(json!({"error": error, "key": key, "message": message}));
            };
            match Self::rights(key) {
                None => reject("Unknown key", None),
                Some((_, write)) if role < write => reject("Permission denied", None),
                Some(_) => match value.as_i64() {
                    Some(0..=100) => drop(accepted.insert(key.clone(), value.clone())),
                    _ => reject("Invalid value", Some("Value must be between 0 and 100")),
                },
            }
        }
        if !accepted.is_empty() {
            self.change(accepted.clone());
        }
        json!({"sequence": self.sequence, "accepted": accepted, "rejected": rejected, "ended": ended})
    }

    fn read(&self, request: &Value) -> Value {
        let (role, ended) = self.role(request);
        let may = |key: &str| Self::rights(key).is_some_and(|(read, _)| role >= read);
        let all: Vec<_> = self.values.keys().filter(|key| may(key)).map(|key| json!(key)).collect();
        let (mut values, mut rejected) = (Map::new(), Vec::new());
        for key in request["keys"].as_array().unwrap_or(&all) {
            let key = key.as_str().unwrap();
            match self.values.get(key).filter(|_| may(key)) {
                Some(value) => drop(values.insert(key.to_owned(), value.clone())),
                None => rejected.push(json!({"error": "Unknown key", "key": key})),
            }
        }
        json!({"sequence": self.sequence, "values": values, "rejected": rejected, "ended": ended})
    }

    /// New values from wherever: the next message on the bus.
    pub(crate) fn change(&mut self, values: Map<String, Value>) {
        self.sequence += 1;
        self.values.extend(values.clone());
        if self.lose > 0 {
            self.lose -= 1;
            return;
        }
        let least =
            |key: &String| Self::rights(key).map(|(read, _)| (key.clone(), ROLES[usize::from(read)].into()));
        let read: Map<_, _> = values.keys().filter_map(least).collect();
        let change = json!({"sequence": self.sequence, "values": values, "read": read});
        self.bus.push_back(("mappings/cpro/changed".into(), change));
    }

    /// Users, roles or sessions have changed.
    pub(crate) fn access_changed(&mut self) {
        self.bus.push_back(("access/changed".into(), json!({})));
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

    pub(crate) fn client(&self) -> Client {
        self.client_at("/api/v1")
    }

    pub(crate) fn client_at(&self, path: &str) -> Client {
        let stream = self.connect();
        Client(tungstenite::client(format!("ws://{}{path}", self.address), stream).expect("a WebSocket").0)
    }

    /// A client that is `admin`.
    pub(crate) fn operator(&self) -> Client {
        let mut client = self.client();
        client.say(json!({"username": "admin", "password": "pass"}));
        assert_eq!(client.hear()["authenticated"], true);
        client
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// An HTTP request; the status, the head and the body.
    pub(crate) fn http(&self, method: &str, path: &str, head: &str, body: &str) -> (u16, String, String) {
        let mut stream = self.connect();
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n{body}"
        );
        // It may answer and close before it has read everything.
        let _ = stream.write_all(text.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    /// An HTTP request whose answer is JSON.
    pub(crate) fn json(&self, method: &str, path: &str, head: &str, body: &str) -> (u16, Value) {
        let (status, _, body) = self.http(method, path, head, body);
        (status, serde_json::from_str(&body).expect(&body))
    }
}

/// A WebSocket client.
pub(crate) struct Client(pub(crate) WebSocket<TcpStream>);

impl Client {
    pub(crate) fn say(&mut self, json: Value) {
        self.say_text(&json.to_string());
    }

    pub(crate) fn say_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("it is open");
    }

    /// The next message.
    pub(crate) fn hear(&mut self) -> Value {
        let text = self.0.read().expect("a message").into_text().expect("text");
        serde_json::from_str(&text).expect(&text)
    }

    /// The next messages.
    pub(crate) fn hears(&mut self, expected: &[Value]) {
        for (i, expected) in expected.iter().enumerate() {
            assert_eq!(&self.hear(), expected, "message {i}");
        }
    }

    /// That nothing has been sent: the next message is the answer to this question.
    pub(crate) fn hears_nothing(&mut self) {
        self.say_text("?");
        assert_eq!(self.hear(), json!({"error": "Invalid JSON"}));
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

/// The same with a gateway that is prepared before the plugin starts.
pub(crate) fn run_with(
    mut config: Value,
    prepare: impl FnOnce(&mut Gateway),
    scenario: impl FnOnce(&Rig) + Send,
) -> Host {
    config["bind"] = json!("127.0.0.1:0");
    let values = KEYS.iter().map(|(key, _, _, value)| ((*key).to_owned(), json!(value))).collect();
    let mut gateway = Gateway { values, ..Gateway::default() };
    prepare(&mut gateway);
    let gateway = Arc::new(Mutex::new(gateway));
    let mut host = Host::start_with(&gantry_plugin_v1, config, |host| {
        let mut offer = |name: &str, f: fn(&mut Gateway, &Value) -> Result<Value, String>| {
            let gateway = gateway.clone();
            let service: Service = Box::new(move |request| f(&mut gateway.lock().unwrap(), request));
            host.offer(name, service);
        };
        offer("endpoints.announce", |_, _| Ok(json!({})));
        offer("gateway.info", |_, _| Ok(json!({"name": "gantry", "version": "0.1.0", "uptime_s": 7})));
        offer("access.login", |gateway, request| Ok(gateway.login(request)));
        offer("access.resume", |gateway, request| Ok(gateway.resume(request)));
        offer("access.end", |gateway, request| {
            gateway.tokens.remove(request["token"].as_str().unwrap());
            Ok(json!({}))
        });
        offer("mapping.describe", |gateway, request| gateway.describe(request));
        offer("mapping.write", |gateway, request| Ok(gateway.write(request)));
        offer("mapping.read", |gateway, request| {
            let fails = gateway.unreadable > 0;
            gateway.unreadable = gateway.unreadable.saturating_sub(1);
            if fails { Err("the script thread is busy".into()) } else { Ok(gateway.read(request)) }
        });
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
            let bus = std::mem::take(&mut rig.gateway().bus);
            for (topic, message) in bus {
                assert!(host.message(&topic, message.to_string().as_bytes()), "{topic} is listened to");
            }
            host.poll();
            assert!(!host.panicked());
            std::thread::sleep(Duration::from_micros(300));
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
