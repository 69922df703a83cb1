//! The plugin border: what a Gantry plugin and the Gantry runtime may know of each other.
//!
//! A plugin is a shared library that exports one static table, [`Plugin`], under the name
//! [`SYMBOL`]. The runtime hands the plugin one table of functions, [`Host`]. Everything else
//! follows from these rules, which hold for every function here unless its comment says otherwise:
//!
//! - **Threads.** The runtime calls all entries of an instance on one thread that belongs to that
//!   instance, one at a time. Host functions may be called from any thread, never block, and never
//!   call back into the plugin (a sink passed to a host function is called before it returns).
//! - **Ownership.** A [`Slice`] is borrowed for the length of the call that carries it; the
//!   receiver copies what it keeps. No allocation crosses the border, nobody frees what the other
//!   side allocated. Frames are the one thing that outlives a call, by [`Host::frame_retain`].
//! - **Text** is UTF-8 without a terminating zero. **Values** are JSON text.
//! - **Growth.** Tables are size-prefixed and only ever grow at their end. A reader copies
//!   `min(size, its own size)` bytes and takes the rest as null. A field is never reused. A hook can
//!   be added, but none that is required.
//! - **Unwinding** never crosses. A plugin catches its own panics (the SDK does) and answers
//!   [`PANICKED`]; a panic that leaves an `extern "C"` function aborts the process, and no host
//!   can help that.
//!
//! This crate is *not* the way to write a plugin in Rust: that is `gantry-plugin`. The C header
//! `include/gantry_plugin.h` is generated from this file.
#![no_std]

mod frame;
mod host;
mod plugin;
mod types;

pub use frame::{FORMAT_GRAY8, FORMAT_I420, FORMAT_JPEG, Frame};
pub use host::Host;
pub use plugin::Plugin;
pub use types::{
    ByteSink, COUNTER, ERROR, FULL, FindingSink, GAUGE, GONE, HEALTH_DEGRADED, HEALTH_FAILED, HEALTH_OK,
    HISTOGRAM, INVALID, LOG_DEBUG, LOG_ERROR, LOG_INFO, LOG_TRACE, LOG_WARN, OK, PANICKED, Slice, Status,
    UNKNOWN,
};

/// What a table begins with, so that a symbol of the same name in some other library is not taken for one.
pub const MAGIC: [u8; 8] = *b"GANTRYPL";
/// The major version of this contract. Another major is another symbol and never loads.
pub const ABI_MAJOR: u32 = 1;
/// The minor version of this contract: it grows with every appended field.
pub const ABI_MINOR: u32 = 1;
/// The name of the exported table. The major version is part of it.
pub const SYMBOL: &str = "gantry_plugin_v1";
