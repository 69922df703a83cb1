//! A gateway in miniature behind the real border, and upstreams that are whatever a test wants.
#![allow(dead_code, reason = "each test file uses its own part")]

use gantry_lpr_uplink::gantry_plugin_v1;
use gantry_plugin::test::{BlobService, Host, Service};
use serde_json::{Value, json};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The store behind the services, and what the plugin has said.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) records: Vec<Value>,
    /// What was given and not acknowledged, and what was.
    given: usize,
    pub(crate) acknowledged: usize,
    pub(crate) refused: Vec<Value>,
    /// So many acknowledgements are not heard.
    pub(crate) deaf: usize,
    /// The services are broken.
    pub(crate) broken: bool,
    /// `state.write`, all of them together.
    pub(crate) state: serde_json::Map<String, Value>,
    pub(crate) health: Option<(u32, String)>,
    pub(crate) logs: Vec<(u32, String)>,
    pub(crate) stop: bool,
}

pub(crate) fn id(n: usize) -> String {
    format!("0190aaaa-0000-7000-8000-{n:012x}")
}

impl Store {
    /// Detections that only differ in their number.
    pub(crate) fn fill(&mut self, count: usize) {
        for n in self.records.len()..self.records.len() + count {
            self.put(
                "detections",
                json!({"type": "detection_result", "camera_id": 7, "checkpoint_id": "c",
                "timestamp": "t", "number": n}),
            );
        }
    }

    pub(crate) fn put(&mut self, collection: &str, data: Value) {
        let id = id(self.records.len());
        self.records
            .push(json!({"id": id, "collection": collection, "time_ms": 0, "data": data, "blobs": []}));
    }

    fn call(&mut self, name: &str, request: &Value) -> Result<Value, String> {
        if self.broken {
            return Err("the store is broken".to_owned());
        }
        Ok(match name {
            "gateway.info" => json!({"plugin": "up"}),
            "records.open" => json!({}),
            "records.rewind" => {
                self.given = self.acknowledged;
                json!({})
            }
            "records.next" => {
                let limit = usize::try_from(request["limit"].as_u64().unwrap()).unwrap();
                let next: Vec<_> = self.records[self.given..].iter().take(limit).cloned().collect();
                self.given += next.len();
                json!({ "records": next })
            }
            "records.ack" if self.deaf > 0 => {
                self.deaf -= 1;
                return Err("too many ask".to_owned());
            }
            "records.ack" => {
                let up_to = self.records.iter().position(|record| record["id"] == request["up_to"]).unwrap();
                assert!(up_to < self.given, "what was not given cannot be acknowledged");
                self.acknowledged = self.acknowledged.max(up_to + 1);
                json!({})
            }
            "records.waiting" => {
                json!({"count": self.records.len() - self.acknowledged, "oldest_age_ms": 5000})
            }
            "records.query" => {
                let found: Vec<_> =
                    self.records.iter().filter(|record| record["id"] == request["id"]).collect();
                json!({ "records": found })
            }
            "state.write" => {
                self.state.extend(request["values"].as_object().unwrap().clone());
                json!({})
            }
            _ => panic!("{name}"),
        })
    }
}

/// What a scenario holds.
pub(crate) struct Rig {
    store: Arc<Mutex<Store>>,
}

impl Rig {
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    /// Waits until the store is so.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut(&mut Store) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut store = self.store();
            if is_so(&mut store) {
                return;
            }
            assert!(Instant::now() < end, "{what}: {:?}, {} acknowledged", store.health, store.acknowledged);
            drop(store);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until its health says this.
    pub(crate) fn says(&self, words: &str) {
        self.until(words, |store| store.health.as_ref().is_some_and(|(_, said)| said.contains(words)));
    }
}

/// Runs a scenario against the plugin. The gateway's thread is this one; the plugin's own threads are the plugin's.
pub(crate) fn run(mut config: Value, scenario: impl FnOnce(&Rig) + Send) -> Arc<Mutex<Store>> {
    for (key, value) in
        [("retry_interval_s", 1), ("return_interval_s", 1), ("answer_timeout_s", 1), ("max_retries", 1)]
    {
        if config.get(key).is_none() {
            config[key] = value.into();
        }
    }
    let store = Arc::new(Mutex::new(Store::default()));
    let mut host = Host::start_with(&gantry_plugin_v1, config, |host| {
        for name in [
            "gateway.info",
            "records.open",
            "records.rewind",
            "records.next",
            "records.ack",
            "records.waiting",
            "records.query",
            "state.write",
        ] {
            let store = store.clone();
            let service: Service = Box::new(move |request| store.lock().unwrap().call(name, request));
            host.offer(name, service);
        }
        let refusing = store.clone();
        let append: BlobService = Box::new(move |request, _| {
            let mut store = refusing.lock().unwrap();
            store.refused.push(request.clone());
            Ok(json!({"id": id(999), "duplicate": false}))
        });
        host.offer_with_blobs("records.append", append);
    })
    .expect("it starts");
    let rig = Rig { store: store.clone() };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let acting = scope.spawn(|| {
            // Also when it panics.
            struct Done<'a>(&'a AtomicBool);
            impl Drop for Done<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Relaxed);
                }
            }
            let _done = Done(&done);
            scenario(&rig);
        });
        while !done.load(Relaxed) {
            host.poll();
            assert!(!host.panicked());
            let (health, logs) = (host.health(), host.logs());
            let mut store = store.lock().unwrap();
            (store.health, store.logs) = (health, logs);
            drop(store);
            std::thread::sleep(Duration::from_micros(300));
        }
        if let Err(panic) = acting.join() {
            std::panic::resume_unwind(panic);
        }
    });
    host.stop();
    store
}

/// A port that somebody listens on.
pub(crate) struct Door {
    listener: TcpListener,
}

impl Door {
    pub(crate) fn open() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> TcpStream {
        self.listener.set_nonblocking(true).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    return stream;
                }
                Err(_) => {
                    assert!(Instant::now() < end, "nobody comes");
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }

    /// Whether somebody waits.
    pub(crate) fn has_visitors(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        self.listener.accept().is_ok()
    }

    /// The next connection, which wants a WebSocket, as Socket.IO that is open.
    pub(crate) fn socket(&self) -> Peer {
        let mut peer = Peer(tungstenite::accept(self.accept()).expect("a WebSocket"));
        peer.say(
            r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#,
        );
        assert!(peer.hear().starts_with("40"));
        peer.say(r#"40{"sid":"b"}"#);
        peer
    }
}

/// The upstream's end of Socket.IO.
pub(crate) struct Peer(pub(crate) WebSocket<TcpStream>);

impl Peer {
    pub(crate) fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("it is open");
    }

    pub(crate) fn hear(&mut self) -> String {
        self.0.read().expect("a message").into_text().expect("text").to_string()
    }

    /// The next event: its acknowledgement id, name and argument.
    pub(crate) fn event(&mut self) -> (String, String, Value) {
        let text = self.hear();
        let at = text.find('[').unwrap_or_else(|| panic!("{text}"));
        let mut event: Vec<Value> = serde_json::from_str(&text[at..]).unwrap();
        let argument = event.pop().unwrap();
        (text[2..at].to_owned(), event[0].as_str().unwrap().to_owned(), argument)
    }

    /// Hears a registration and says yes.
    pub(crate) fn register(&mut self) {
        assert_eq!(self.event().1, "camera_register");
        self.say(r#"42["camera_register",{"success":true}]"#);
    }

    /// Waits for the end of the connection.
    pub(crate) fn end(&mut self) {
        while self.0.read().is_ok() {}
    }
}

/// A request of HTTP as it came: its head, and as much of its body as the head says.
pub(crate) fn request(stream: &mut impl std::io::Read) -> (String, String) {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).expect("a request"), 1, "{}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).expect("a body");
    (head, String::from_utf8(body).unwrap())
}

/// Answers a request and goes on.
pub(crate) fn answer(stream: &mut impl std::io::Write, status: &str, body: &str) {
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).expect("it listens");
}
