//! What goes into the line and what comes out of it.

use std::time::Duration;

/// Times are since any fixed moment.
pub type Moment = Duration;

/// How the line behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The longest pause between two tries, and that between two rounds.
    pub retry_interval: Duration,
    /// Tries of a round after the first.
    pub max_retries: u32,
    /// How often Socket.IO is tried while REST is in use.
    pub return_interval: Duration,
    /// From 0 to 1: so much of a tenth is added to each pause, so that many gateways do not come back at the same moment.
    pub jitter: f64,
}

/// A way to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Socket.IO.
    SocketIo,
    /// REST.
    Rest,
}

/// How records go at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Over Socket.IO.
    SocketIo,
    /// Over REST.
    Rest,
    /// Not at all.
    Offline,
}

impl Mode {
    /// As it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SocketIo => "socketio",
            Self::Rest => "rest",
            Self::Offline => "offline",
        }
    }
}

/// The record that is to be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// Its id.
    pub id: &'a str,
    /// The camera that it is from, with its checkpoint.
    pub camera: &'a str,
    /// What it has as text.
    pub bytes: usize,
    /// Why it cannot be sent at all.
    pub unfit: Option<&'a str>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Open Socket.IO: [`opened`](super::Line::opened) or [`lost`](super::Line::lost).
    Connect,
    /// Ask for `/api/test`: [`tested`](super::Line::tested).
    Test,
    /// Register the head's camera: [`registered`](super::Line::registered).
    Register(Way),
    /// Send the head: [`answered`](super::Line::answered).
    Send(Way),
    /// Keep the head elsewhere, with this reason: [`set_aside`](super::Line::set_aside).
    SetAside(String),
    /// Nothing until this moment, or until something happens.
    Wait(Option<Moment>),
}

/// What is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    Test,
    Register(Way),
    Send(Way),
    Aside,
}

/// What the line knows about the record that it offers.
#[derive(Debug, Default)]
pub(super) struct Offer {
    pub(super) id: String,
    pub(super) camera: String,
    pub(super) refusals: u32,
    /// Why it was refused last.
    pub(super) reason: String,
    pub(super) cuts: u32,
    /// How often it was sent, on a way that had just been found good, and nothing came of it.
    pub(super) failures: u32,
    /// It is not for Socket.IO.
    pub(super) by_rest: bool,
}
