//! A gateway in miniature behind the real border, and clients that see every message.
#![allow(dead_code, reason = "each test file uses its own part")]

use gantry_lpr::gantry_plugin_v1;
use gantry_plugin::test::{BlobService, Host, Service};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A record of the store.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) collection: String,
    pub(crate) time_ms: i64,
    pub(crate) data: Value,
    pub(crate) key: String,
    pub(crate) blobs: Vec<(String, Vec<u8>)>,
}

/// The store behind the services.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) records: Vec<Record>,
    /// What `records.append` answers instead of storing.
    pub(crate) refuses: Option<Value>,
    /// The service is broken.
    pub(crate) broken: bool,
    /// Rules drop what has this `camera_id`.
    pub(crate) drops: Option<Value>,
    /// Requests of `records.append`, oldest first.
    pub(crate) appends: Vec<Value>,
    /// Answers wait.
    pub(crate) paused: bool,
    /// A query answers at most so many records.
    pub(crate) page: Option<usize>,
    pub(crate) metrics: Vec<(&'static str, f64)>,
    pub(crate) health: Option<(u32, String)>,
}

const METRICS: [&str; 5] =
    ["clients", "rejected_messages", "detections", "repeated_messages", "refused_records"];

impl Store {
    pub(crate) fn put(&mut self, collection: &str, time_ms: i64, data: Value) {
        let id = format!("0190aaaa-0000-7000-8000-{:012x}", self.records.len() + 1);
        let (collection, key) = (collection.to_owned(), id.clone());
        self.records.push(Record { id, collection, time_ms, data, key, blobs: Vec::new() });
    }

    pub(crate) fn of(&self, collection: &str) -> Vec<Record> {
        self.records.iter().filter(|record| record.collection == collection).cloned().collect()
    }

    fn append(&mut self, request: &Value, blobs: &[Vec<u8>]) -> Value {
        self.appends.push(request.clone());
        if let Some(refusal) = &self.refuses {
            return refusal.clone();
        }
        let key = request["dedup_key"].as_str().unwrap();
        let collection = request["collection"].as_str().unwrap();
        if let Some(known) = self.records.iter().find(|r| r.key == key && r.collection == collection) {
            return json!({"id": known.id, "duplicate": true});
        }
        let id = format!("0190aaaa-0000-7000-8000-{:012x}", self.records.len() + 1);
        if self.drops.as_ref() == Some(&request["data"]["camera_id"]) {
            return json!({"id": id, "dropped": true});
        }
        let names = request["blobs"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        let blobs: Vec<_> = names.zip(blobs.iter().cloned()).collect();
        assert_eq!(blobs.len(), request["blobs"].as_array().unwrap().len());
        self.records.push(Record {
            id: id.clone(),
            collection: collection.to_owned(),
            time_ms: request["time_ms"].as_i64().unwrap(),
            data: request["data"].clone(),
            key: key.to_owned(),
            blobs,
        });
        json!({"id": id, "duplicate": false})
    }

    fn select(&self, request: &Value) -> Vec<&Record> {
        let fits = |record: &&Record| {
            let fields = request["fields"].as_array().cloned().unwrap_or_default();
            let has = |field: &Value| record.data[field["path"][0].as_str().unwrap()] == field["value"];
            let time = |key: &str| request[key].as_i64();
            record.collection == request["collection"]
                && fields.iter().all(has)
                && time("from_ms").is_none_or(|from| record.time_ms >= from)
                && time("to_ms").is_none_or(|to| record.time_ms < to)
                && request["before"].as_str().is_none_or(|before| record.id.as_str() < before)
                && request["after"].as_str().is_none_or(|after| record.id.as_str() > after)
        };
        self.records.iter().filter(fits).collect()
    }

    fn query(&self, request: &Value) -> Value {
        let mut all = self.select(request);
        if request["order"] != "oldest" {
            all.reverse();
        }
        let limit = request["limit"].as_u64().unwrap_or(50) as usize;
        let limit = limit.min(self.page.unwrap_or(usize::MAX));
        let more = all.len() > limit;
        all.truncate(limit);
        let blob = |(name, bytes): &(String, Vec<u8>)| {
            let mut blob = json!({"name": name, "bytes": bytes.len()});
            if request["blobs"] == true {
                blob["data"] = base64(bytes).into();
            }
            blob
        };
        let one = |r: &Record| {
            let blobs: Vec<_> = r.blobs.iter().map(blob).collect();
            json!({"id": r.id, "time_ms": r.time_ms, "data": r.data, "blobs": blobs})
        };
        json!({"records": all.into_iter().map(one).collect::<Vec<_>>(), "more": more})
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

/// What a scenario holds.
pub(crate) struct Rig {
    store: Arc<Mutex<Store>>,
    pub(crate) address: String,
}

impl Rig {
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// An HTTP request; the status, the head and the body.
    pub(crate) fn http(&self, method: &str, path: &str, head: &str, body: &[u8]) -> (u16, String, String) {
        let mut stream = self.connect();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{head}\r\n",
            body.len()
        );
        stream.write_all(text.as_bytes()).unwrap();
        stream.write_all(body).expect("it takes what is sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it is not reset");
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.post_with(path, "", body)
    }

    pub(crate) fn post_with(&self, path: &str, head: &str, body: &Value) -> (u16, Value) {
        let head = format!("Content-Type: application/json\r\n{head}");
        let (status, _, text) = self.http("POST", path, &head, body.to_string().as_bytes());
        (status, serde_json::from_str(&text).expect(&text))
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, text) = self.http("GET", path, "", b"");
        (status, serde_json::from_str(&text).expect(&text))
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.store().metrics.iter().find(|(known, _)| *known == name).map_or(0.0, |(_, value)| *value)
    }

    pub(crate) fn plain(&self, path: &str) -> Plain {
        let url = format!("ws://{}{path}", self.address);
        Plain(tungstenite::client(url, self.connect()).expect("a WebSocket").0)
    }

    pub(crate) fn camera(&self) -> Camera {
        self.camera_with("", "")
    }

    /// A Socket.IO client that has joined.
    pub(crate) fn camera_with(&self, query: &str, auth: &str) -> Camera {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket{query}", self.address);
        let mut camera = Camera {
            socket: tungstenite::client(url, self.connect()).expect("a WebSocket").0,
            heard: VecDeque::new(),
        };
        assert!(camera.text().starts_with("0{"));
        camera.say(&format!("40{auth}"));
        assert!(camera.text().starts_with("40{\"sid\":"));
        camera
    }
}

/// A client of the plain WebSocket.
pub(crate) struct Plain(pub(crate) WebSocket<TcpStream>);

impl Plain {
    pub(crate) fn ask(&mut self, text: &str) -> Value {
        self.0.send(Message::text(text)).expect("it is open");
        self.hear()
    }

    pub(crate) fn hear(&mut self) -> Value {
        let text = self.0.read().expect("a message").into_text().expect("text").to_string();
        serde_json::from_str(&text).expect(&text)
    }
}

/// A Socket.IO client.
pub(crate) struct Camera {
    pub(crate) socket: WebSocket<TcpStream>,
    heard: VecDeque<String>,
}

impl Camera {
    pub(crate) fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("it is open");
    }

    pub(crate) fn emit(&mut self, name: &str, payload: &Value) {
        self.say(&format!("42{}", json!([name, payload])));
    }

    pub(crate) fn text(&mut self) -> String {
        loop {
            let text = self.socket.read().expect("a message").into_text().expect("text").to_string();
            if text == "2" {
                self.say("3");
            } else {
                return text;
            }
        }
    }

    /// The next event; its name and argument.
    pub(crate) fn event(&mut self) -> (String, Value) {
        let text = self.text();
        let event = text.strip_prefix("42").unwrap_or_else(|| panic!("{text}"));
        let mut event: Vec<Value> = serde_json::from_str(event).unwrap();
        let argument = event.pop().unwrap();
        (event[0].as_str().unwrap().to_owned(), argument)
    }

    /// Sends an event and hears the next one.
    pub(crate) fn ask(&mut self, name: &str, payload: &Value) -> (String, Value) {
        self.emit(name, payload);
        self.event()
    }
}

/// Runs a scenario against the plugin. The gateway's thread is this one; the plugin's own threads are the plugin's.
pub(crate) fn run(config: Value, scenario: impl FnOnce(&Rig) + Send) -> Host {
    run_with(config, Store::default(), scenario)
}

/// The same with records that are there before.
pub(crate) fn run_with(mut config: Value, store: Store, scenario: impl FnOnce(&Rig) + Send) -> Host {
    if config.get("bind").is_none() {
        config["bind"] = json!("127.0.0.1:0");
    }
    let store = Arc::new(Mutex::new(store));
    let mut host = Host::start_with(&gantry_plugin_v1, config, |host| {
        let announce: Service = Box::new(|_| Ok(json!({})));
        host.offer("endpoints.announce", announce);
        let appending = store.clone();
        let append: BlobService = Box::new(move |request, blobs| {
            let mut store = appending.lock().unwrap();
            if store.broken { Err("the store is broken".into()) } else { Ok(store.append(request, blobs)) }
        });
        host.offer_with_blobs("records.append", append);
        let mut offer = |name: &str, f: fn(&Store, &Value) -> Value| {
            let store = store.clone();
            let service: Service = Box::new(move |request| {
                let store = store.lock().unwrap();
                if store.broken { Err("the store is broken".into()) } else { Ok(f(&store, request)) }
            });
            host.offer(name, service);
        };
        offer("records.query", Store::query);
        offer("records.count", |store, request| json!({"count": store.select(request).len()}));
    })
    .expect("it starts");
    let calls = host.calls();
    let (_, announced) =
        calls.iter().find(|(name, _)| name == "endpoints.announce").expect("it says where it is");
    let url = announced["endpoints"][0]["url"].as_str().unwrap();
    let address = url.split('/').nth(2).expect(url).to_owned();
    let rig = Rig { store: store.clone(), address };
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
            if !store.lock().unwrap().paused {
                host.poll();
            }
            assert!(!host.panicked());
            let metrics = METRICS.map(|name| (name, host.metric(name).unwrap_or_default())).to_vec();
            let health = host.health();
            let mut store = store.lock().unwrap();
            (store.metrics, store.health) = (metrics, health);
            drop(store);
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

/// A detection as the document has it.
pub(crate) fn detection() -> Value {
    json!({"type": "detection_result", "camera_id": "1", "checkpoint_id": "1", "timestamp": "2024-12-19T10:00:00Z",
        "vehicles_count": 1, "plates_count": 1, "ocr_results": ["ABC1234"], "vehicle_detections": [{"bbox": [1, 2, 3, 4]}],
        "plate_detections": [], "processing_time_ms": 150.5, "annotated_image": base64(&[7; 3000]),
        "cropped_plates": [base64(&[1; 100]), base64(&[2; 101])]})
}

/// A health check as the document has it.
pub(crate) fn health() -> Value {
    json!({"type": "health_check", "camera_id": "1", "checkpoint_id": "1", "timestamp": "2024-12-19T10:00:00Z",
        "component": "camera", "status": "healthy", "message": "Camera working normally",
        "details": {"cpu_usage": 45.2, "memory_usage": 67.8, "disk_usage": 23.1}})
}
