//! The way back from a plugin to the runtime.

use crate::Error;
use gantry_abi::{self as abi, Slice};
use serde_json::Value;
use std::ffi::c_void;
use std::time::Duration;

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// An operator has to act.
    Error = abi::LOG_ERROR,
    /// Something is wrong that the plugin deals with itself.
    Warn = abi::LOG_WARN,
    /// Something happened that an operator wants to know.
    Info = abi::LOG_INFO,
    /// For the author of the plugin.
    Debug = abi::LOG_DEBUG,
    /// For the author of the plugin, per frame or message.
    Trace = abi::LOG_TRACE,
}

/// How an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Health {
    /// It does its work.
    Ok = abi::HEALTH_OK,
    /// It works, but not as it should.
    Degraded = abi::HEALTH_DEGRADED,
    /// It does not do its work.
    Failed = abi::HEALTH_FAILED,
}

/// What a plugin can ask of the runtime. Cheap to clone; every method may be called from any thread and none blocks.
///
/// After the instance has ended every method does nothing or answers an error.
#[derive(Clone, Copy)]
pub struct Host {
    table: &'static abi::Host,
}

impl Host {
    /// # Safety
    /// `table` must be a host table of this major version that stays valid and immutable for the rest of the process.
    pub(crate) unsafe fn from_raw(table: *const abi::Host) -> Self {
        // SAFETY: the caller vouches for it.
        Self { table: unsafe { &*table } }
    }

    /// Whether a line of that level would be written.
    #[must_use]
    pub fn log_enabled(&self, level: Level) -> bool {
        // SAFETY: the table is valid for the process, `ctx` is its own.
        unsafe { (self.table.log_enabled)(self.table.ctx, level as u32) == 1 }
    }

    /// Writes a line to the gateway's log. The macros [`error!`](crate::error), [`warn!`](crate::warn),
    /// [`info!`](crate::info), [`debug!`](crate::debug) and [`trace!`](crate::trace) format only when it will be written.
    pub fn log(&self, level: Level, message: &str) {
        // SAFETY: as above; the slice is borrowed for the call.
        unsafe { (self.table.log)(self.table.ctx, level as u32, Slice::new(message.as_bytes())) };
    }

    /// The value of a state key, or `None` when there is no such key.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<Value> {
        unsafe extern "C" fn take(ctx: *mut c_void, bytes: Slice) {
            // SAFETY: `ctx` is the `Option<Value>` below, which outlives the call, and the runtime borrows us `bytes`.
            let (out, bytes) = unsafe { (&mut *ctx.cast::<Option<Value>>(), bytes.bytes()) };
            *out = serde_json::from_slice(bytes).ok();
        }
        let mut out: Option<Value> = None;
        let key = Slice::new(key.as_bytes());
        // SAFETY: the sink is called before `state_get` returns, so `out` is alive.
        unsafe { (self.table.state_get)(self.table.ctx, key, Some(take), (&raw mut out).cast()) };
        out
    }

    /// Asks for [`on_state`](crate::Plugin::on_state) for every key that matches `filter` (`cameras/+/connected`,
    /// `robot/#`): at once for each that has a value, then at every change.
    pub fn watch_state(&self, filter: &str) -> Result<(), Error> {
        // SAFETY: as in `log`.
        let status = unsafe { (self.table.state_watch)(self.table.ctx, Slice::new(filter.as_bytes())) };
        Error::check(status, || format!("watching state `{filter}`"))
    }

    /// Puts a message on a topic, for whoever listens now. At most 64 KiB.
    pub fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), Error> {
        let (name, bytes) = (Slice::new(topic.as_bytes()), Slice::new(payload));
        // SAFETY: as in `log`.
        let status = unsafe { (self.table.publish)(self.table.ctx, name, bytes) };
        Error::check(status, || format!("publishing on `{topic}`"))
    }

    /// Asks for [`on_message`](crate::Plugin::on_message) for every topic that matches `filter`.
    pub fn subscribe(&self, filter: &str) -> Result<(), Error> {
        // SAFETY: as in `log`.
        let status = unsafe { (self.table.subscribe)(self.table.ctx, Slice::new(filter.as_bytes())) };
        Error::check(status, || format!("subscribing to `{filter}`"))
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, filter: &str) -> Result<(), Error> {
        // SAFETY: as in `log`.
        let status = unsafe { (self.table.unsubscribe)(self.table.ctx, Slice::new(filter.as_bytes())) };
        Error::check(status, || format!("unsubscribing from `{filter}`"))
    }

    /// Watches a stream (`CAMERA/STREAM`, such as `main/jpeg`), with at most `max_fps` frames a second. A stream that
    /// nobody watches is not encoded, so watch only while somebody looks. Watching again changes the rate.
    pub fn watch_frames(&self, stream: &str, max_fps: Option<f64>) -> Result<(), Error> {
        let rate = max_fps.map_or(0, |fps| (fps * 1000.0).round().clamp(1.0, f64::from(u32::MAX)) as u32);
        // SAFETY: as in `log`.
        let status = unsafe { (self.table.frames)(self.table.ctx, Slice::new(stream.as_bytes()), 1, rate) };
        Error::check(status, || format!("watching stream `{stream}`"))
    }

    /// Ends [`watch_frames`](Self::watch_frames).
    pub fn unwatch_frames(&self, stream: &str) {
        // SAFETY: as in `log`.
        unsafe { (self.table.frames)(self.table.ctx, Slice::new(stream.as_bytes()), 0, 0) };
    }

    /// Asks a service of the runtime. The answer comes to [`on_reply`](crate::Plugin::on_reply) with the same token.
    pub fn call(&self, service: &str, request: &Value, token: u64) -> Result<(), Error> {
        let text = request.to_string();
        let (name, bytes) = (Slice::new(service.as_bytes()), Slice::new(text.as_bytes()));
        // SAFETY: as in `log`.
        let status = unsafe { (self.table.call)(self.table.ctx, name, bytes, token) };
        Error::check(status, || format!("calling service `{service}`"))
    }

    /// The same with bytes beside the request, such as pictures: at most 16 of at most 32 MiB each; the request may have
    /// 1 MiB. They are copied before this returns.
    ///
    /// # Errors
    /// Also when the runtime is older than 1.1 of the border, or 64 MiB wait for answers already.
    pub fn call_with(
        &self,
        service: &str,
        request: &Value,
        blobs: &[&[u8]],
        token: u64,
    ) -> Result<(), Error> {
        if self.table.size
            < const { (std::mem::offset_of!(abi::Host, call_with) + size_of::<usize>()) as u32 }
        {
            return Err(Error::new(
                "this gateway is too old for calls with blobs: upgrade it to 0.1 or newer",
            ));
        }
        let text = request.to_string();
        let (name, bytes) = (Slice::new(service.as_bytes()), Slice::new(text.as_bytes()));
        let slices: Vec<Slice> = blobs.iter().map(|blob| Slice::new(blob)).collect();
        // SAFETY: as in `log`; the function is there, and `slices` is alive until it returns.
        let status = unsafe {
            (self.table.call_with)(self.table.ctx, name, bytes, slices.as_ptr(), slices.len(), token)
        };
        Error::check(status, || format!("calling service `{service}`"))
    }

    /// Asks for one [`on_wake`](crate::Plugin::on_wake) with this token after `delay`. `u64::MAX` is not a token.
    pub fn wake_after(&self, delay: Duration, token: u64) -> Result<(), Error> {
        let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        // SAFETY: as in `log`.
        let status = unsafe { (self.table.wake_after)(self.table.ctx, ms, token) };
        Error::check(status, || "asking for a wake".to_owned())
    }

    /// Reports how the instance does. The last report is shown by `gantry plugins` and decides `/readyz`.
    pub fn health(&self, health: Health, message: &str) {
        // SAFETY: as in `log`.
        unsafe { (self.table.health)(self.table.ctx, health as u32, Slice::new(message.as_bytes())) };
    }

    /// A metric that only grows, shown as `gantry_plugin_<name>_total` unless it ends so already. A metric that cannot be defined records nothing.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> Metric {
        self.metric(name, abi::COUNTER, help)
    }

    /// A metric that goes up and down, shown as `gantry_plugin_<name>`.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> Metric {
        self.metric(name, abi::GAUGE, help)
    }

    /// A distribution, shown as `gantry_plugin_<name>`.
    #[must_use]
    pub fn histogram(&self, name: &str, help: &str) -> Metric {
        self.metric(name, abi::HISTOGRAM, help)
    }

    fn metric(&self, name: &str, kind: u32, help: &str) -> Metric {
        let mut id = 0;
        let (name, help) = (Slice::new(name.as_bytes()), Slice::new(help.as_bytes()));
        // SAFETY: as in `log`; `id` is written before the call returns.
        let status = unsafe { (self.table.metric_define)(self.table.ctx, name, kind, help, &raw mut id) };
        Metric { host: *self, id: (status == abi::OK).then_some(id) }
    }

    pub(crate) fn retain(&self, frame: &abi::Frame) -> bool {
        // SAFETY: `frame` came from the runtime and is alive: borrowed for `on_frame`.
        unsafe { (self.table.frame_retain)(self.table.ctx, frame) == abi::OK }
    }

    pub(crate) fn release(&self, frame: &abi::Frame) {
        // SAFETY: `frame` was retained and this is its one release.
        unsafe { (self.table.frame_release)(self.table.ctx, frame) };
    }
}

/// A metric of this instance.
#[derive(Clone, Copy)]
pub struct Metric {
    host: Host,
    id: Option<u32>,
}

impl Metric {
    /// Adds to a counter, sets a gauge, samples a histogram.
    pub fn record(&self, value: f64) {
        if let Some(id) = self.id {
            // SAFETY: the table is valid for the process; `id` came from it.
            unsafe { (self.host.table.metric_record)(self.host.table.ctx, id, value) };
        }
    }
}

/// Writes a line at a level; formats only when it will be written.
#[macro_export]
macro_rules! log {
    ($level:expr, $host:expr, $($arg:tt)+) => {
        if $host.log_enabled($level) {
            $host.log($level, &::std::format!($($arg)+));
        }
    };
}
/// Writes a line when an operator has to act.
#[macro_export]
macro_rules! error { ($host:expr, $($arg:tt)+) => { $crate::log!($crate::Level::Error, $host, $($arg)+) }; }
/// Writes a line when something is wrong that the plugin deals with itself.
#[macro_export]
macro_rules! warn { ($host:expr, $($arg:tt)+) => { $crate::log!($crate::Level::Warn, $host, $($arg)+) }; }
/// Writes a line when something happened that an operator wants to know.
#[macro_export]
macro_rules! info { ($host:expr, $($arg:tt)+) => { $crate::log!($crate::Level::Info, $host, $($arg)+) }; }
/// Writes a line for the author of the plugin.
#[macro_export]
macro_rules! debug { ($host:expr, $($arg:tt)+) => { $crate::log!($crate::Level::Debug, $host, $($arg)+) }; }
/// Writes a line for the author of the plugin, per frame or message.
#[macro_export]
macro_rules! trace { ($host:expr, $($arg:tt)+) => { $crate::log!($crate::Level::Trace, $host, $($arg)+) }; }
