//! Load for camera streams and for shared state: many clients of one server on loopback, what each of them got, and what
//! it cost the server.
//!
//! The programs are `camload` and, for [`state`], `stateload`. They speak just enough of each protocol to receive
//! ([`wire`]) and keep only the edges of a message ([`edge::Edge`]), so that hundreds of clients fit on one core and the
//! server stays the thing that is measured.
//!
//! This is not a protocol library and not a conformance test: it trusts the server to be correct and only counts.
//! [`peer`] is what the Rust servers beside it share: all of them send the same message.
#![forbid(unsafe_code)]

pub mod client;
pub mod edge;
pub mod options;
pub mod peer;
pub mod process;
pub mod report;
pub mod roster;
pub mod run;
pub mod serial;
pub mod stamp;
pub mod state;
pub mod tally;
pub mod wire;
