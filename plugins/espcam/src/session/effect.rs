//! What the session is told of time, and what it wants done.

use crate::picture::Picture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Time since the start, which never goes backwards.
    pub at: Duration,
    /// The time of day in ms since 1970, for records only: it may jump.
    pub unix_ms: i64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this datagram.
    Send {
        /// To whom.
        to: SocketAddr,
        /// The datagram.
        datagram: Vec<u8>,
    },
    /// Have this picture looked at, and tell [`Session::looked`] what was seen.
    Look {
        /// Tells this picture from others.
        token: u64,
        /// The picture.
        picture: Arc<Picture>,
    },
    /// Store this picture, and tell [`Session::stored`] what became of it.
    Store {
        /// Tells this attempt from others.
        token: u64,
        /// The picture.
        picture: Arc<Picture>,
    },
    /// Tell everybody that this picture was stored.
    Publish {
        /// The picture.
        picture: Arc<Picture>,
        /// The record's id.
        record: String,
    },
}
