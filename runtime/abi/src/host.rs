//! The table that the runtime hands to an instance.

use crate::{ByteSink, Frame, Slice, Status};
use core::ffi::c_void;

/// What an instance can ask of the runtime.
///
/// Valid from `create` to the end of the process; after `destroy` every function but `frame_release` answers
/// [`GONE`](crate::GONE) (or 0, or null).
/// All functions may be called from any thread, do not block and do not call back later than they return. The first
/// argument is always [`Host::ctx`]. Reading only the first `size` bytes is the plugin's duty when it was built for a
/// newer minor version than `abi_minor`.
#[repr(C)]
pub struct Host {
    /// `sizeof` this struct as the runtime knows it.
    pub size: u32,
    /// [`ABI_MAJOR`](crate::ABI_MAJOR) of the runtime.
    pub abi_major: u32,
    /// [`ABI_MINOR`](crate::ABI_MINOR) of the runtime.
    pub abi_minor: u32,
    /// Always 0.
    pub reserved: u32,
    /// What every function takes first. Opaque.
    pub ctx: *mut c_void,
    /// 1 when a line of that level would be written, else 0. Ask before formatting what is costly.
    pub log_enabled: unsafe extern "C" fn(ctx: *mut c_void, level: u32) -> u32,
    /// Writes one line to the gateway's log, at most 4096 bytes of it. `INVALID` when the level is none of the five or the
    /// text is not UTF-8, `FULL` when the instance logs more than 20 lines a second for long: the line is counted only.
    pub log: unsafe extern "C" fn(ctx: *mut c_void, level: u32, message: Slice) -> Status,
    /// Gives the value of a state key (JSON) to `sink`. `UNKNOWN` when there is no such key.
    pub state_get:
        unsafe extern "C" fn(ctx: *mut c_void, key: Slice, sink: ByteSink, sink_ctx: *mut c_void) -> Status,
    /// Asks for `on_state` for every key that matches `filter` (MQTT form: `cameras/+/connected`, `robot/#`): once for
    /// each key that has a value now, then at every change. `FULL` beyond 64 filters.
    pub state_watch: unsafe extern "C" fn(ctx: *mut c_void, filter: Slice) -> Status,
    /// Puts a message on a topic. At most 64 KiB. Delivery is to whoever listens now; what must not be lost goes
    /// through a service.
    pub publish: unsafe extern "C" fn(ctx: *mut c_void, topic: Slice, payload: Slice) -> Status,
    /// Asks for `on_message` for every topic that matches `filter` (MQTT form). An instance does not get its own
    /// messages. Filters that overlap give a message once each. `FULL` beyond 64 filters. 256 messages are kept for an instance that is slow; what comes then is dropped and counted.
    pub subscribe: unsafe extern "C" fn(ctx: *mut c_void, filter: Slice) -> Status,
    /// Ends a subscription. `UNKNOWN` when there is none with exactly this filter.
    pub unsubscribe: unsafe extern "C" fn(ctx: *mut c_void, filter: Slice) -> Status,
    /// Watches a stream (`CAMERA/STREAM`, such as `main/jpeg`) when `watch` is 1, ends that when it is 0. While nobody
    /// watches a stream it is not encoded, so watch only while somebody looks. At most `max_millihertz` frames per 1000
    /// seconds are given, 0 for all. Watching again changes the rate. A stream that does not exist (yet) is no error:
    /// frames come when it does. Ending it answers `UNKNOWN` when it was not watched; a frame that is on its way then may
    /// still come. `FULL` beyond 64 streams.
    pub frames:
        unsafe extern "C" fn(ctx: *mut c_void, stream: Slice, watch: u32, max_millihertz: u32) -> Status,
    /// Keeps a frame's memory beyond `on_frame`. Every retain needs one release. `FULL` beyond 32 at once, `INVALID` when
    /// the frame is neither that of the running `on_frame` nor one that is kept.
    pub frame_retain: unsafe extern "C" fn(ctx: *mut c_void, frame: *const Frame) -> Status,
    /// Gives back what `frame_retain` took, from any thread, also after `destroy`. `INVALID` when it is not kept.
    pub frame_release: unsafe extern "C" fn(ctx: *mut c_void, frame: *const Frame) -> Status,
    /// Asks a service of the runtime (`service`, such as `state.write`) with a JSON request. The answer comes to
    /// `on_reply` with the same `token`; a call is open until that has returned. `UNKNOWN` when there is no such service,
    /// `FULL` beyond 1024 open calls, or when the requests and blobs of those that the service has not answered would have
    /// more than 64 MiB: try again when one of them has been. `INVALID` when the request has more than 256 KiB.
    pub call: unsafe extern "C" fn(ctx: *mut c_void, service: Slice, request: Slice, token: u64) -> Status,
    /// Asks for one `on_wake` with this `token` after `delay_ms` milliseconds. `FULL` beyond 1024 open wakes.
    pub wake_after: unsafe extern "C" fn(ctx: *mut c_void, delay_ms: u64, token: u64) -> Status,
    /// Defines a metric of this instance (`COUNTER`, `GAUGE`, `HISTOGRAM`) and writes its number to `id`. The name
    /// (`a-z`, `0-9`, `_`) appears as `gantry_plugin_<name>`, that of a counter as `gantry_plugin_<name>_total` unless it
    /// ends so already. The same name again gives the same number. `FULL` beyond 64, `INVALID` when the name has another
    /// kind already, in this plugin or another.
    pub metric_define:
        unsafe extern "C" fn(ctx: *mut c_void, name: Slice, kind: u32, help: Slice, id: *mut u32) -> Status,
    /// Records a value: adds to a counter, sets a gauge, samples a histogram.
    pub metric_record: unsafe extern "C" fn(ctx: *mut c_void, id: u32, value: f64) -> Status,
    /// Reports how the instance does (`HEALTH_…`) with a sentence, of which 1024 bytes are kept. The last report is shown by `gantry plugins`
    /// and decides `/readyz`.
    pub health: unsafe extern "C" fn(ctx: *mut c_void, level: u32, message: Slice) -> Status,
    /// A table of functions beyond this one, by name, or null. None exists in 1.0 and 1.1.
    pub get_extension: unsafe extern "C" fn(ctx: *mut c_void, name: Slice) -> *const c_void,
    /// Since 1.1. `call` with bytes beside the JSON, such as pictures, so that they need not be base64: `blobs` points to
    /// `blob_count` slices, which the runtime copies before this returns. `UNKNOWN` also when the service takes no blobs,
    /// `INVALID` when there are more than 16, one has more than 32 MiB, or the request more than 1 MiB, or when `blobs` is
    /// null or misaligned; `FULL` as of `call`.
    pub call_with: unsafe extern "C" fn(
        ctx: *mut c_void,
        service: Slice,
        request: Slice,
        blobs: *const Slice,
        blob_count: usize,
        token: u64,
    ) -> Status,
}

// SAFETY: the table is immutable, its functions may be called from any thread, and `ctx` is only passed on to them.
unsafe impl Sync for Host {}
// SAFETY: as above; nothing in the table belongs to a thread.
unsafe impl Send for Host {}
