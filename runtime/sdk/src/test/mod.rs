//! Runs a plugin in a unit test through the real border, without loading a library.
//!
//! The test is the runtime: it decides what arrives and when, and reads what the plugin did. Everything happens on the
//! calling thread, time included ([`Host::advance`]).
//!
//! ```
//! # use gantry_plugin::{Error, Plugin, export_plugin};
//! # struct Echo(gantry_plugin::Host);
//! # #[derive(serde::Deserialize, schemars::JsonSchema)] struct Config {}
//! # impl Plugin for Echo {
//! #     type Config = Config;
//! #     fn create(host: gantry_plugin::Host, _: Config) -> Result<Self, Error> { host.subscribe("in")?; Ok(Self(host)) }
//! #     fn on_message(&mut self, _: &str, payload: &[u8]) { let _ = self.0.publish("out", payload); }
//! # }
//! # export_plugin!(Echo, "echo");
//! use gantry_plugin::test;
//!
//! # fn main() {
//! let mut host = test::Host::start(&gantry_plugin_v1, serde_json::json!({})).expect("it starts");
//! host.message("in", b"hello");
//! assert_eq!(host.published(), [("out".to_owned(), b"hello".to_vec())]);
//! # }
//! ```

mod table;

use crate::Finding;
use gantry_abi::{self as abi, OK, Slice, Status};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A frame's memory, alive until the last release.
struct Picture {
    stream: Vec<u8>,
    data: Vec<u8>,
}

/// What waits to be told to the plugin.
enum Event {
    State(String, Value, u64),
    Reply(u64, Result<Value, String>),
}

/// Answers a call of the plugin: JSON, or a sentence.
pub type Service = Box<dyn Fn(&Value) -> Result<Value, String> + Send>;
/// Answers calls that have blobs beside the request, also none.
pub type BlobService = Box<dyn Fn(&Value, &[Vec<u8>]) -> Result<Value, String> + Send>;

#[derive(Default)]
struct Record {
    logs: Vec<(u32, String)>,
    health: Option<(u32, String)>,
    published: Vec<(String, Vec<u8>)>,
    calls: Vec<(String, Value)>,
    subscriptions: Vec<String>,
    state_filters: Vec<String>,
    state: BTreeMap<String, (Value, u64)>,
    revision: u64,
    watched: BTreeMap<String, u32>,
    wakes: Vec<(u64, u64)>,
    now_ms: u64,
    metrics: Vec<(String, u32, f64)>,
    kept: usize,
    services: BTreeMap<String, Service>,
    blob_services: BTreeMap<String, BlobService>,
    events: VecDeque<Event>,
    ended: bool,
}

/// Shared with the table's functions, which may be called from any thread of the plugin.
struct Shared(Mutex<Record>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A runtime for one plugin instance, driven by a test.
pub struct Host {
    shared: &'static Shared,
    plugin: &'static abi::Plugin,
    instance: *mut c_void,
    sequence: u64,
    life: Life,
    panicked: bool,
}

/// How far an instance came: what is called at its end depends on it.
#[derive(Clone, Copy, PartialEq)]
enum Life {
    None,
    Created,
    Started,
}

impl Host {
    /// Creates and starts an instance with this configuration. The error is the plugin's own sentence.
    pub fn start(plugin: &'static abi::Plugin, config: Value) -> Result<Self, String> {
        Self::start_with(plugin, config, |_| {})
    }

    /// The same with state and services set up before the instance is created.
    pub fn start_with(
        plugin: &'static abi::Plugin,
        config: Value,
        prepare: impl FnOnce(&mut Self),
    ) -> Result<Self, String> {
        // A host table is promised to be valid for the rest of the process, so it is leaked, as the runtime does.
        let shared: &'static Shared = Box::leak(Box::new(Shared(Mutex::default())));
        let table: &'static abi::Host = Box::leak(Box::new(table::of(shared)));
        let instance = std::ptr::null_mut();
        let mut host = Self { shared, plugin, instance, sequence: 0, life: Life::None, panicked: false };
        prepare(&mut host);
        let json = config.to_string();
        if let Some(create) = plugin.create {
            let (id, json) = (Slice::new(b"test"), Slice::new(json.as_bytes()));
            // SAFETY: the table is leaked, the texts outlive the call, `instance` is ours.
            let status = unsafe { create(table, id, json, &raw mut host.instance) };
            host.settle(status)?;
        }
        host.life = Life::Created;
        if let Some(start) = plugin.start {
            // SAFETY: the instance was made above and nothing else runs.
            let status = unsafe { start(host.instance) };
            host.settle(status)?;
        }
        host.life = Life::Started;
        host.run();
        Ok(host)
    }

    /// All findings of the plugin about a configuration.
    #[must_use]
    pub fn validate(plugin: &'static abi::Plugin, config: &Value) -> Vec<Finding> {
        unsafe extern "C" fn take(ctx: *mut c_void, path: Slice, message: Slice) {
            // SAFETY: `ctx` is the `Vec` below, which outlives the call; the texts are borrowed for it.
            let (out, path, message) =
                unsafe { (&mut *ctx.cast::<Vec<Finding>>(), path.bytes(), message.bytes()) };
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            out.push(Finding { path: text(path), message: text(message) });
        }
        let mut out: Vec<Finding> = Vec::new();
        let json = config.to_string();
        if let Some(validate) = plugin.validate {
            // SAFETY: the sink is only called before `validate` returns.
            unsafe { validate(Slice::new(json.as_bytes()), Some(take), (&raw mut out).cast()) };
        }
        out
    }

    fn listens(&self) -> bool {
        self.life == Life::Started && !self.panicked
    }

    fn settle(&mut self, status: Status) -> Result<(), String> {
        if status == OK {
            return Ok(());
        }
        self.panicked |= status == abi::PANICKED;
        let said = self.health().map(|(_, message)| message);
        Err(said.unwrap_or_else(|| format!("status {status}")))
    }

    /// Tells the plugin what waits for it.
    fn run(&mut self) {
        // Before it has started nothing is told to an instance, after a panic neither.
        while self.listens() {
            let event = self.shared.lock().events.pop_front();
            let status = match event {
                None => return,
                Some(Event::State(key, value, revision)) => {
                    let json = value.to_string();
                    self.plugin.on_state.map_or(OK, |on_state| {
                        let (key, json) = (Slice::new(key.as_bytes()), Slice::new(json.as_bytes()));
                        // SAFETY: the instance is alive and nothing else runs; the texts outlive the call.
                        unsafe { on_state(self.instance, key, json, revision) }
                    })
                }
                Some(Event::Reply(token, reply)) => {
                    let (status, text) = match reply {
                        Ok(value) => (OK, value.to_string()),
                        Err(sentence) => (abi::ERROR, sentence),
                    };
                    self.plugin.on_reply.map_or(OK, |on_reply| {
                        // SAFETY: as above.
                        unsafe { on_reply(self.instance, token, status, Slice::new(text.as_bytes())) }
                    })
                }
            };
            let _ = self.settle(status);
        }
    }

    /// Gives the plugin a JPEG frame if it watches the stream. Returns whether it does.
    pub fn frame(&mut self, stream: &str, width: u32, height: u32, jpeg: &[u8]) -> bool {
        if !self.listens() || !self.shared.lock().watched.contains_key(stream) {
            return false;
        }
        self.sequence += 1;
        let picture = Arc::new(Picture { stream: stream.as_bytes().to_vec(), data: jpeg.to_vec() });
        let frame = abi::Frame {
            size: size_of::<abi::Frame>() as u32,
            format: abi::FORMAT_JPEG,
            width,
            height,
            stride: 0,
            reserved: 0,
            sequence: self.sequence,
            captured_unix_ns: 1_700_000_000_000_000_000 + self.sequence,
            captured_monotonic_ns: self.sequence,
            stream: Slice::new(&picture.stream),
            data: Slice::new(&picture.data),
            handle: Arc::as_ptr(&picture).cast_mut().cast(),
        };
        if let Some(on_frame) = self.plugin.on_frame {
            // SAFETY: the instance is alive and nothing else runs; `picture` outlives the call.
            let status = unsafe { on_frame(self.instance, &raw const frame) };
            let _ = self.settle(status);
        }
        self.run();
        true
    }

    /// Gives the plugin a message if it subscribed to the topic. Returns whether it did.
    pub fn message(&mut self, topic: &str, payload: &[u8]) -> bool {
        let wanted =
            self.listens() && self.shared.lock().subscriptions.iter().any(|f| table::matches(f, topic));
        if wanted && let Some(on_message) = self.plugin.on_message {
            // SAFETY: the instance is alive and nothing else runs; the slices outlive the call.
            let status =
                unsafe { on_message(self.instance, Slice::new(topic.as_bytes()), Slice::new(payload)) };
            let _ = self.settle(status);
        }
        self.run();
        wanted
    }

    /// Sets a state key and tells the plugin if it watches it.
    pub fn set_state(&mut self, key: &str, value: Value) {
        {
            let mut record = self.shared.lock();
            record.revision += 1;
            let revision = record.revision;
            record.state.insert(key.to_owned(), (value.clone(), revision));
            if record.state_filters.iter().any(|f| table::matches(f, key)) {
                record.events.push_back(Event::State(key.to_owned(), value, revision));
            }
        }
        self.run();
    }

    /// Offers a service that the plugin can call; the answer is given after the running entry has returned.
    pub fn offer(&mut self, name: &str, service: Service) {
        self.shared.lock().services.insert(name.to_owned(), service);
    }

    /// The same for a service that takes blobs.
    pub fn offer_with_blobs(&mut self, name: &str, service: BlobService) {
        self.shared.lock().blob_services.insert(name.to_owned(), service);
    }

    /// Lets time pass; wakes that are due are delivered in their order.
    pub fn advance(&mut self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let until = self.shared.lock().now_ms.saturating_add(by);
        loop {
            let token = {
                let mut record = self.shared.lock();
                let due = record.wakes.iter().enumerate().min_by_key(|(_, (at, _))| *at);
                match due {
                    Some((index, &(at, token))) if at <= until => {
                        record.wakes.remove(index);
                        record.now_ms = at;
                        token
                    }
                    _ => {
                        record.now_ms = until;
                        return;
                    }
                }
            };
            if self.listens()
                && let Some(on_wake) = self.plugin.on_wake
            {
                // SAFETY: the instance is alive and nothing else runs.
                let status = unsafe { on_wake(self.instance, token) };
                let _ = self.settle(status);
            }
            self.run();
        }
    }

    /// Tells the plugin what threads of its own have caused since: answers to calls.
    pub fn poll(&mut self) {
        self.run();
    }

    /// What was published, oldest first.
    #[must_use]
    pub fn published(&self) -> Vec<(String, Vec<u8>)> {
        self.shared.lock().published.clone()
    }

    /// The lines that were logged, with their `LOG_…` level, oldest first.
    #[must_use]
    pub fn logs(&self) -> Vec<(u32, String)> {
        self.shared.lock().logs.clone()
    }

    /// The last health report: `HEALTH_…` and sentence.
    #[must_use]
    pub fn health(&self) -> Option<(u32, String)> {
        self.shared.lock().health.clone()
    }

    /// The calls that were made, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<(String, Value)> {
        self.shared.lock().calls.clone()
    }

    /// The streams that are watched now, with the rate in frames per 1000 seconds (0: every frame).
    #[must_use]
    pub fn watched(&self) -> BTreeMap<String, u32> {
        self.shared.lock().watched.clone()
    }

    /// The value of a metric: the sum of a counter, the last value of a gauge or histogram.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.shared.lock().metrics.iter().find(|(n, ..)| n == name).map(|(_, _, value)| *value)
    }

    /// How many frames the plugin keeps now.
    #[must_use]
    pub fn kept_frames(&self) -> usize {
        self.shared.lock().kept
    }

    /// Whether an entry has panicked.
    #[must_use]
    pub fn panicked(&self) -> bool {
        self.panicked
    }

    /// Stops and destroys the instance, as the runtime would.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.listens()
            && let Some(stop) = self.plugin.stop
        {
            // SAFETY: the instance is alive and nothing else runs.
            unsafe { stop(self.instance) };
        }
        if self.life != Life::None
            && let Some(destroy) = self.plugin.destroy
        {
            // SAFETY: this is the one `destroy`.
            unsafe { destroy(self.instance) };
        }
        self.shared.lock().ended = true;
    }
}
