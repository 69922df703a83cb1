//! What the runtime knows while it runs: frames, state, messages, health, services, and the types of its configuration.
//!
//! Everything here is memory and logic. This crate does *no* I/O, starts no thread, reads no clock and knows neither
//! GStreamer nor plugins: `gantry-media` fills the [`frames::Hub`], `gantry-host` shows all of it to plugins, and the
//! binary wires them together.
#![forbid(unsafe_code)]

pub mod access;
pub mod bus;
pub mod config;
pub mod frames;
pub mod health;
pub mod observable;
pub mod schema;
pub mod services;
pub mod spelling;
pub mod state;
pub mod topic;

use std::sync::Arc;

/// The shared parts of one running gateway. Cloning it shares them.
#[derive(Clone, Default)]
pub struct Runtime {
    /// Frames on their way from cameras to whoever watches.
    pub frames: Arc<frames::Hub>,
    /// Named values with revisions.
    pub state: Arc<state::State>,
    /// Messages to whoever listens now.
    pub bus: Arc<bus::Bus>,
    /// What plugins can ask for by name.
    pub services: Arc<services::Services>,
    /// How every part does.
    pub health: Arc<health::Health>,
}

/// Locks a mutex whose data stays consistent even if a holder panicked (every critical section here is a few
/// assignments), so poisoning would only turn one failure into many.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
