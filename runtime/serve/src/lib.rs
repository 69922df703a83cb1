//! What Gantry's network plugins share: one listener with TLS and limits, WebSocket and Socket.IO, and the fan-out that
//! brings a camera's frame to every viewer.
//!
//! ```text
//! Listener ─► http ─► Service (the plugin) ─► websocket::upgrade ─► Reader  ─► the protocol
//!                                        └─► socketio::Server     └► pump  ◄─ Outbox, Fanout
//! ```
//!
//! A protocol over plain WebSockets is a [`websocket::Handler`] for each client; [`websocket::session`] does the rest.
//!
//! The fan-out keeps three promises, whatever a peer does:
//! - a message is encoded once per representation and shared by all clients as refcounted bytes ([`Segments`]): a binary
//!   frame is the camera's own memory up to the socket;
//! - a client has at most one frame pending (the newest; what it missed is counted) beside a small queue of messages that
//!   must arrive, so that one that does not read costs two frames of memory and nothing to the others;
//! - whatever a peer can make us hold has a bound ([`Limits`]): connections, headers, bodies, messages, sessions, queues,
//!   and the time that a handshake takes.
//!
//! Everything runs on the current-thread tokio of a plugin's worker. The protocols (`socketio::engine`,
//! `socketio::packet`, `socketio::session`) take bytes and a time and give packets and effects; their tests need no
//! socket.
//!
//! This crate is *not* a web framework: it has no router, no middleware and no state of the plugin's.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod addresses;
mod check;
mod cors;
mod counters;
mod error;
mod fanout;
mod hosts;
pub mod http;
mod limits;
mod listener;
mod meters;
mod origin;
mod outbox;
mod segments;
pub mod socketio;
mod stream;
mod tls;
pub mod websocket;
mod writer;

pub use check::check;
pub use cors::Cors;
pub use counters::Counters;
pub use error::Error;
pub use fanout::{Fanout, Subscription};
pub use hosts::Hosts;
pub use limits::{Limits, RateLimit};
pub use listener::{Connection, Draining, Listener, Service};
pub use meters::Meters;
pub use origin::Origins;
pub use outbox::{Full, Outbox, Pulse, Weight};
pub use segments::{Builder as SegmentsBuilder, Segments};
pub use stream::{ReadHalf, Stream, WriteHalf};
pub use tls::Tls;
pub use writer::{Feed, pump};

/// Locks a mutex; a thread that panicked while holding it has left nothing half done in this crate.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
