//! Write a Gantry plugin in safe Rust.
//!
//! A plugin is a type that implements [`Plugin`] and a line that exports it; the crate is a `cdylib`:
//!
//! ```
//! use gantry_plugin::{Error, Frame, Host, Plugin, export_plugin};
//!
//! /// Counts frames and says so.
//! struct Counter { host: Host, seen: u64 }
//!
//! /// The plugin's own keys in `gantry.toml`.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Config { stream: String }
//!
//! impl Plugin for Counter {
//!     type Config = Config;
//!
//!     fn create(host: Host, config: Config) -> Result<Self, Error> {
//!         host.watch_frames(&config.stream, None)?;
//!         Ok(Self { host, seen: 0 })
//!     }
//!
//!     fn on_frame(&mut self, frame: Frame) {
//!         self.seen += 1;
//!         gantry_plugin::debug!(self.host, "frame {} has {} bytes", self.seen, frame.len());
//!     }
//! }
//!
//! export_plugin!(Counter, "counter");
//! ```
//!
//! All methods of an instance are called on one thread, one at a time, so they take `&mut self` and need no locks.
//! [`Host`] is the way back: it can be cloned and used from any thread and never blocks. A panic ends the instance, not
//! the gateway: it is destroyed and started anew. A plugin that serves sockets runs a tokio of its own, see
//! `worker::Worker` (feature `tokio`).
//!
//! [`test::Host`] runs a plugin in a unit test through the same border, without loading a library.
//!
//! This crate is *not* the runtime: it knows no sockets, no cameras and no files.

#[cfg(panic = "abort")]
compile_error!(
    "a Gantry plugin must unwind, so that a panic ends one instance and not the gateway: remove `panic = \"abort\"` from the profile"
);

#[cfg(feature = "tokio")]
pub mod calls;
mod config;
mod error;
mod export;
mod frame;
mod host;
mod panic;
mod plugin;
pub mod test;
#[cfg(feature = "tokio")]
pub mod worker;

pub use error::Error;
pub use frame::{Format, Frame};
pub use gantry_abi as abi;
pub use host::{Health, Host, Level, Metric};
pub use plugin::{Finding, Plugin};

#[doc(hidden)]
pub use export::table as __table;
