//! The table that a plugin exports.

use crate::{ByteSink, FindingSink, Frame, Host, Slice, Status};
use core::ffi::c_void;

/// What a plugin is: exported as the static [`SYMBOL`](crate::SYMBOL).
///
/// Every entry may be null. The runtime calls them in this order: `validate` (any time, without an instance), `create`,
/// `start`, then the `on_…` hooks, `stop`, `destroy`. After an entry returned [`PANICKED`](crate::PANICKED) only
/// `destroy` is called; after a `create` that failed or panicked, nothing. All calls of one instance come from one thread; `validate` may come from any.
#[repr(C)]
pub struct Plugin {
    /// [`MAGIC`](crate::MAGIC).
    pub magic: [u8; 8],
    /// `sizeof` this struct as the plugin knows it.
    pub size: u32,
    /// [`ABI_MAJOR`](crate::ABI_MAJOR) that the plugin was built for.
    pub abi_major: u32,
    /// [`ABI_MINOR`](crate::ABI_MINOR) that the plugin was built for.
    pub abi_minor: u32,
    /// The lowest minor version of the runtime that this plugin works with.
    pub needs_host_minor: u32,
    /// The plugin's name: `a-z`, `0-9`, `-`; not empty. Static.
    pub name: Slice,
    /// The plugin's own version. Static.
    pub version: Slice,
    /// Gives a JSON Schema of the plugin's configuration to `sink`, from any thread.
    pub config_schema: Option<unsafe extern "C" fn(sink: ByteSink, sink_ctx: *mut c_void) -> Status>,
    /// Looks at a configuration (a JSON object) without side effects and gives every finding to `sink`.
    /// Answers `OK` when there is none, `INVALID` when there are.
    pub validate:
        Option<unsafe extern "C" fn(config: Slice, sink: FindingSink, sink_ctx: *mut c_void) -> Status>,
    /// Makes an instance and writes it to `instance` (left null is allowed). `host` is valid for the rest of the
    /// process, also after `destroy`; `id` is the instance's name in the configuration. Opens nothing yet. On a
    /// failure the plugin frees what it made and reports the reason by `host->health`.
    pub create: Option<
        unsafe extern "C" fn(
            host: *const Host,
            id: Slice,
            config: Slice,
            instance: *mut *mut c_void,
        ) -> Status,
    >,
    /// Begins to work: binds sockets, starts threads, subscribes. After a failure `destroy` follows, without `stop`. Left out
    /// when the instance is not wanted any more by then.
    pub start: Option<unsafe extern "C" fn(instance: *mut c_void) -> Status>,
    /// Ends to work: says good-bye to clients, joins threads. Must return within 4 seconds. No event comes from here on, and
    /// asking for more answers `GONE`; publishing and logging still work.
    pub stop: Option<unsafe extern "C" fn(instance: *mut c_void) -> Status>,
    /// Frees the instance. No thread of the instance may run afterwards.
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// The newest frame of a watched stream. Older frames that were not taken in time are dropped.
    pub on_frame: Option<unsafe extern "C" fn(instance: *mut c_void, frame: *const Frame) -> Status>,
    /// A message on a subscribed topic.
    pub on_message:
        Option<unsafe extern "C" fn(instance: *mut c_void, topic: Slice, payload: Slice) -> Status>,
    /// A watched state key has a new value (JSON). Changes that were not taken in time are merged: the newest is seen.
    /// `revision` grows with every change of any key.
    pub on_state: Option<
        unsafe extern "C" fn(instance: *mut c_void, key: Slice, value: Slice, revision: u64) -> Status,
    >,
    /// The answer to a `call`. With `status` `OK` the payload is the service's JSON, otherwise a sentence.
    pub on_reply: Option<
        unsafe extern "C" fn(instance: *mut c_void, token: u64, status: Status, payload: Slice) -> Status,
    >,
    /// The time asked for by `wake_after` has passed.
    pub on_wake: Option<unsafe extern "C" fn(instance: *mut c_void, token: u64) -> Status>,
}

// SAFETY: the table is immutable after load and its pointers point to static data and code.
unsafe impl Sync for Plugin {}
