//! A Socket.IO server: Engine.IO 3 and 4 under Socket.IO 4 and 5, by long-polling and WebSocket.
//!
//! It is our own, because what it does is the fan-out, and the fan-out is what this crate is for. socketioxide, which the
//! design names, costs a `String` per client and frame and then tungstenite's copy (45 and 41 µs per 50 KB frame and
//! client at 50 and 200 clients, where writing alone costs 27 and 22); its volatile slot holds one *event*, so that the
//! `status` of a tick would push out its `sensor_data`; the number of packets of a polling reply cannot be set, and binary
//! events to Engine.IO 3 polling clients come out malformed. Here a [`Message`] is encoded at most once for each of the
//! four wire forms, whatever the number of clients, and a volatile message holds as many packets as belong together.
//!
//! - [`engine`]: Engine.IO packets and polling payloads, both versions.
//! - [`packet`]: Socket.IO packets.
//! - [`session`]: what a client's packets and the time do. Takes packets and a time, gives effects.
//! - [`message`](Message): what is sent, in the form that a transport needs.
//! - [`Server`]: sessions, long-polling, WebSocket and the upgrade from one to the other, over HTTP requests.
//! - [`Socket`], [`Group`]: what a plugin holds of a client, and of many.
//!
//! Left out on purpose: namespaces other than `/`, JSONP polling, compression (a JPEG does not shrink), connection state
//! recovery, acknowledgements of what the server emits.

mod answer;
mod client;
pub mod engine;
mod group;
mod message;
pub mod packet;
mod request;
mod server;
pub mod session;
mod table;
mod upgrade;

pub use client::Socket;
pub use engine::Version;
pub use group::Group;
pub use message::{Message, Part, Volatile};
pub use packet::{Event, RawValue};
pub use request::Query;
pub use server::{Handler, Server};
pub use session::{Reason, Settings};
