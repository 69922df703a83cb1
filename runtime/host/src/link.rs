//! What an instance's host functions reach: its own corner of the runtime, with its limits.
//!
//! A [`Link`] ends with its instance; the [`Context`] behind the host table never does, because threads that a plugin
//! left running may call at any time. An ended context answers `GONE`.

use crate::inbox::{Inbox, OpenBytes, OpenCall};
use crate::kept::Kept;
use crate::report::{Endpoint, level};
use crate::{kinds, lock, logging};
use bytes::Bytes;
use gantry_abi::{self as abi, FULL, GONE, INVALID, OK, Status, UNKNOWN};
use gantry_core::services::{Caller, ServiceError};
use gantry_core::{Runtime, bus, frames, health, state};
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const MAX_FILTERS: usize = 64;
const MAX_STREAMS: usize = 64;
const MAX_METRICS: usize = 64;
const MAX_CALLS: usize = 1024;
/// The most bytes of requests and blobs that wait for answers.
const MAX_OPEN_BYTES: usize = 64 << 20;
const MAX_ENDPOINTS: usize = 16;
/// The longest help of a metric, in bytes.
const MAX_HELP: usize = 256;
/// The longest wake, so that adding it to a time cannot overflow: a hundred years.
const MAX_WAKE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What `ctx` points to. Leaked: it is promised to be valid for the rest of the process.
pub(crate) struct Context {
    link: Mutex<Option<Arc<Link>>>,
    /// Outlives the instance: its threads may give frames back at any time.
    pub(crate) kept: Kept,
}

impl Context {
    pub(crate) fn leak(link: Arc<Link>) -> &'static Self {
        Box::leak(Box::new(Self { link: Mutex::new(Some(link)), kept: Kept::default() }))
    }

    /// The instance behind it, until it has ended.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        lock(&self.link).clone()
    }

    /// From now on every function answers `GONE`, and nothing comes to the instance any more.
    pub(crate) fn close(&self) {
        let link = lock(&self.link).take();
        if let Some(link) = link {
            link.let_go();
            // What still waits would keep pictures of the camera for as long as a thread hangs.
            link.inbox.stop();
            lock(&link.reported).closed = true;
        }
    }
}

/// Which entry the instance is in, and since when.
#[derive(Default)]
pub(crate) struct Activity(Mutex<Option<(&'static str, Instant)>>);

impl Activity {
    pub(crate) fn enter(&self, entry: &'static str) {
        *lock(&self.0) = Some((entry, Instant::now()));
    }

    pub(crate) fn leave(&self) {
        *lock(&self.0) = None;
    }

    /// The running entry and how long it has been running.
    pub(crate) fn now(&self) -> Option<(&'static str, Duration)> {
        // Both from under one lock: the start of one entry beside the name of the next would look stuck.
        let (entry, since) = (*lock(&self.0))?;
        Some((entry, since.elapsed()))
    }
}

enum Metric {
    Counter(metrics::Counter),
    Gauge(metrics::Gauge),
    Histogram(metrics::Histogram),
}

#[derive(Default)]
struct Held {
    ended: bool,
    streams: BTreeMap<String, frames::Watch>,
    subscriptions: BTreeMap<String, bus::Subscription>,
    state: BTreeMap<String, state::Watch>,
}

#[derive(Default)]
struct Reported {
    last: Option<health::Report>,
    /// The instance has ended: what its threads say now must not replace what the supervisor says of it.
    closed: bool,
}

/// An instance's corner of the runtime.
pub(crate) struct Link {
    pub(crate) id: Arc<str>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) activity: Activity,
    runtime: Runtime,
    held: Mutex<Held>,
    open_calls: Arc<AtomicUsize>,
    open_bytes: Arc<AtomicUsize>,
    metrics: Mutex<Vec<(String, u32, Metric)>>,
    endpoints: Mutex<Vec<Endpoint>>,
    reported: Mutex<Reported>,
    log_limit: Mutex<logging::Limit>,
}

impl Link {
    pub(crate) fn new(id: Arc<str>, runtime: Runtime) -> Arc<Self> {
        Arc::new(Self {
            id,
            inbox: Arc::default(),
            activity: Activity::default(),
            runtime,
            held: Mutex::default(),
            open_calls: Arc::default(),
            open_bytes: Arc::default(),
            metrics: Mutex::default(),
            endpoints: Mutex::default(),
            reported: Mutex::default(),
            log_limit: Mutex::default(),
        })
    }

    /// Ends every watch and subscription, for good.
    pub(crate) fn let_go(&self) {
        let mut held = lock(&self.held);
        let gone = std::mem::take(&mut *held);
        held.ended = true;
        drop(held);
        // Dropped outside of the lock: ending a watch takes the locks of streams and state.
        drop(gone);
        lock(&self.endpoints).clear();
    }

    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        lock(&self.endpoints).clone()
    }

    /// What the instance last said of itself.
    pub(crate) fn reported(&self) -> Option<health::Report> {
        lock(&self.reported).last.clone()
    }

    pub(crate) fn log(&self, level: u32, line: &str) -> Status {
        if !(abi::LOG_ERROR..=abi::LOG_TRACE).contains(&level) {
            return INVALID;
        }
        if !logging::enabled(level) {
            return OK;
        }
        let Some(suppressed) = lock(&self.log_limit).pass(Instant::now()) else { return FULL };
        if suppressed > 0 {
            logging::write(
                &self.id,
                abi::LOG_WARN,
                &format!("{suppressed} lines were suppressed: it logs too much"),
            );
        }
        logging::write(&self.id, level, line);
        OK
    }

    pub(crate) fn state_get(&self, key: &str) -> Option<String> {
        self.runtime.state.get(key).map(|(value, _)| value.to_string())
    }

    pub(crate) fn state_watch(&self, filter: &str) -> Status {
        let mut held = lock(&self.held);
        if held.ended {
            return GONE;
        }
        if held.state.contains_key(filter) {
            return OK;
        }
        if held.state.len() >= MAX_FILTERS {
            return FULL;
        }
        let inbox = self.inbox.clone();
        match self.runtime.state.watch(filter, Arc::new(move |change| inbox.state(change))) {
            Ok(watch) => {
                held.state.insert(filter.to_owned(), watch);
                OK
            }
            Err(_) => INVALID,
        }
    }

    pub(crate) fn publish(&self, topic: &str, payload: &[u8]) -> Status {
        if bus::is_reserved(topic) {
            return INVALID;
        }
        match self.runtime.bus.publish(&self.id, topic, Bytes::copy_from_slice(payload)) {
            Ok(_) => OK,
            Err(_) => INVALID,
        }
    }

    pub(crate) fn subscribe(&self, filter: &str) -> Status {
        let mut held = lock(&self.held);
        if held.ended {
            return GONE;
        }
        if held.subscriptions.contains_key(filter) {
            return OK;
        }
        if held.subscriptions.len() >= MAX_FILTERS {
            return FULL;
        }
        let inbox = self.inbox.clone();
        let sink: bus::MessageSink = Arc::new(move |message| inbox.message(message));
        match self.runtime.bus.subscribe(&self.id, filter, sink) {
            Ok(subscription) => {
                held.subscriptions.insert(filter.to_owned(), subscription);
                OK
            }
            Err(_) => INVALID,
        }
    }

    pub(crate) fn unsubscribe(&self, filter: &str) -> Status {
        let gone = lock(&self.held).subscriptions.remove(filter);
        if gone.is_some() { OK } else { UNKNOWN }
    }

    pub(crate) fn watch_frames(&self, stream: &str, max_millihertz: u32) -> Status {
        if gantry_core::topic::check_name(stream).is_err() {
            return INVALID;
        }
        let mut held = lock(&self.held);
        if held.ended {
            return GONE;
        }
        if held.streams.len() >= MAX_STREAMS && !held.streams.contains_key(stream) {
            return FULL;
        }
        let inbox = self.inbox.clone();
        let sink: frames::FrameSink = Arc::new(move |frame| inbox.frame(frame));
        let watch = self.runtime.frames.stream(stream).watch(max_millihertz, sink);
        // A watch that is replaced ends only now, so that the stream is never without one in between.
        let replaced = held.streams.insert(stream.to_owned(), watch);
        drop(held);
        drop(replaced);
        OK
    }

    pub(crate) fn unwatch_frames(&self, stream: &str) -> Status {
        let gone = lock(&self.held).streams.remove(stream);
        let known = gone.is_some();
        // Ended first, or the next frame would take the place of the one that is forgotten.
        drop(gone);
        self.inbox.forget_stream(stream);
        if known { OK } else { UNKNOWN }
    }

    /// `request` is JSON. The blobs are copied when it is known that there is room for them.
    pub(crate) fn call(&self, service: &str, request: &[u8], blobs: &[&[u8]], token: u64) -> Status {
        let bytes = request.len() + blobs.iter().map(|blob| blob.len()).sum::<usize>();
        let Ok(request) = serde_json::from_slice::<Value>(request) else { return INVALID };
        // The one service that the host itself answers: it is about the border.
        let own = service == "endpoints.announce" && blobs.is_empty();
        if !own && self.runtime.services.check(service, blobs.len()).is_err() {
            return UNKNOWN;
        }
        let Some(open_bytes) = OpenBytes::take(&self.open_bytes, bytes, MAX_OPEN_BYTES) else { return FULL };
        // Open until the plugin has been told: a service that answers at once must not fill memory with its answers.
        let Some(open) = OpenCall::take(&self.open_calls, MAX_CALLS) else { return FULL };
        let pending = Pending { inbox: self.inbox.clone(), token, open: Some(open) };
        let reply = move |answer: Result<Value, ServiceError>| {
            drop(open_bytes);
            pending.answer(answer.map_err(|error| error.to_string()));
        };
        if own {
            reply(self.announce(&request));
            return OK;
        }
        let blobs = blobs.iter().map(|blob| Bytes::copy_from_slice(blob)).collect();
        let caller = Caller { plugin: self.id.clone() };
        // It was there a moment ago; if not, the reply is dropped and the plugin told, as by a panic.
        let call = || _ = self.runtime.services.call(&caller, service, request, blobs, Box::new(reply));
        if catch_unwind(AssertUnwindSafe(call)).is_err() {
            tracing::error!(plugin = %self.id, service, "the service panicked");
        }
        OK
    }

    fn announce(&self, request: &Value) -> Result<Value, ServiceError> {
        let list = request.get("endpoints").cloned().unwrap_or_default();
        let list: Vec<Endpoint> = serde_json::from_value(list)
            .map_err(|error| ServiceError(format!("endpoints: {error}: send [{{\"url\", \"protocol\"}}]")))?;
        if list.len() > MAX_ENDPOINTS || list.iter().any(|e| !e.is_presentable()) {
            return Err(ServiceError(format!(
                "endpoints: at most {MAX_ENDPOINTS} of at most 512 bytes each, without control characters"
            )));
        }
        *lock(&self.endpoints) = list;
        Ok(Value::Null)
    }

    pub(crate) fn wake_after(&self, delay: Duration, token: u64) -> Status {
        if self.inbox.wake_at(Instant::now() + delay.min(MAX_WAKE), token) { OK } else { FULL }
    }

    pub(crate) fn metric_define(&self, name: &str, kind: u32, help: &str) -> Result<u32, Status> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
            return Err(INVALID);
        }
        // What only grows ends in `_total`, as Prometheus wants it.
        let ending = if kind == abi::COUNTER && !name.ends_with("_total") { "_total" } else { "" };
        let name = format!("{name}{ending}");
        let mut defined = lock(&self.metrics);
        if let Some(known) = defined.iter().position(|(n, ..)| *n == name) {
            return if defined[known].1 == kind { Ok(known as u32) } else { Err(INVALID) };
        }
        if defined.len() >= MAX_METRICS {
            return Err(FULL);
        }
        kinds::agree(&name, kind)?;
        let full = format!("gantry_plugin_{name}");
        let (plugin, help) = (self.id.to_string(), help[..help.floor_char_boundary(MAX_HELP)].to_owned());
        let metric = match kind {
            abi::COUNTER => {
                metrics::describe_counter!(full.clone(), help);
                Metric::Counter(metrics::counter!(full, "plugin" => plugin))
            }
            abi::GAUGE => {
                metrics::describe_gauge!(full.clone(), help);
                Metric::Gauge(metrics::gauge!(full, "plugin" => plugin))
            }
            abi::HISTOGRAM => {
                metrics::describe_histogram!(full.clone(), help);
                Metric::Histogram(metrics::histogram!(full, "plugin" => plugin))
            }
            _ => return Err(INVALID),
        };
        defined.push((name, kind, metric));
        Ok(defined.len() as u32 - 1)
    }

    pub(crate) fn metric_record(&self, id: u32, value: f64) -> Status {
        if !value.is_finite() {
            return INVALID;
        }
        match lock(&self.metrics).get(id as usize) {
            Some((.., Metric::Counter(counter))) if value >= 0.0 => counter.increment(value as u64),
            Some((.., Metric::Gauge(gauge))) => gauge.set(value),
            Some((.., Metric::Histogram(histogram))) => histogram.record(value),
            _ => return INVALID,
        }
        OK
    }

    pub(crate) fn health(&self, raw: u32, message: &str) -> Status {
        let Some(level) = level(raw) else { return INVALID };
        let message = logging::clean(message, 1024);
        let mut reported = lock(&self.reported);
        if reported.closed {
            return GONE;
        }
        reported.last = Some(health::Report { level, message: message.clone() });
        let changed = self.runtime.health.report(&format!("plugin/{}", self.id), level, message.clone());
        drop(reported);
        if changed {
            let line = format!("health is {level:?}: {message}");
            let log_level = if level == health::Level::Ok { abi::LOG_DEBUG } else { abi::LOG_WARN };
            self.log(log_level, &line);
        }
        OK
    }
}

/// A call on its way: answered once, also by a service that loses it.
struct Pending {
    inbox: Arc<Inbox>,
    token: u64,
    open: Option<OpenCall>,
}

impl Pending {
    fn answer(mut self, reply: Result<Value, String>) {
        self.tell(reply);
    }

    fn tell(&mut self, reply: Result<Value, String>) {
        if let Some(open) = self.open.take() {
            self.inbox.reply(self.token, reply, open);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.tell(Err("the service gave no answer: see the log of the gateway".to_owned()));
    }
}

#[cfg(test)]
mod tests;
