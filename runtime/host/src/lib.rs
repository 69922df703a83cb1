//! Loads plugins, runs each instance on a thread of its own, and keeps what one of them does wrong from the others.
//!
//! [`Plugins`] is the whole interface: `apply` what the configuration wants, read `reports`, `shutdown`. Inside,
//! [`library`] turns a file into a checked table, `link` is what an instance's host functions reach, `inbox` is what
//! waits for it, `instance` is its thread, and `supervisor` decides who runs.
//!
//! This crate is *not* where plugins get their abilities: those are the frames, topics, state and services of
//! `gantry-core`, and it only carries them over the border.

mod config;
mod elf;
mod inbox;
mod instance;
mod kept;
mod kinds;
pub mod library;
mod link;
mod logging;
mod plugins;
mod report;
mod restart;
mod supervisor;
mod table;

pub use plugins::{Checked, Plugins, Settings};
pub use report::{Endpoint, Report, RunState};

/// Locks a mutex whose data stays consistent even if a holder panicked: every critical section is a few assignments.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
