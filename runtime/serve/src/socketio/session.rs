//! What a client's packets and the time do. No I/O: packets and a time in, effects out.

use super::engine::{Packet, Version};
use super::packet::{self, Event, RawValue};
use crate::limits::{Budget, Share};
use crate::{Limits, RateLimit};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The times of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long the line may be silent before somebody asks whether the other side is there: the server of version 4, the
    /// client of version 3.
    pub ping_interval: Duration,
    /// How long the answer may take.
    pub ping_timeout: Duration,
    /// How long a client may be connected without joining the namespace.
    pub connect_timeout: Duration,
    /// How long an upgrade to WebSocket may take.
    pub upgrade_timeout: Duration,
    /// Which headers of a client's first request are kept as long as the client: see [`Socket::header`](super::Socket::header).
    pub headers: &'static [&'static str],
}

impl Default for Settings {
    /// What the reference server has.
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            upgrade_timeout: Duration::from_secs(10),
            headers: &[],
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The client said so.
    ClientLeft,
    /// The connection went away.
    TransportClosed,
    /// The client did not show that it is there.
    PingTimeout,
    /// The client never joined the namespace.
    NeverJoined,
    /// The client did not take what must arrive.
    TooSlow,
    /// The client was neither polling nor posting when others needed its place.
    MadeRoom,
    /// The plugin ended it.
    ServerLeft,
    /// The server stops.
    Shutdown,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ClientLeft => "the client left",
            Self::TransportClosed => "the connection went away",
            Self::PingTimeout => "the client did not answer a ping",
            Self::NeverJoined => "the client did not join in time",
            Self::TooSlow => "the client did not take what must arrive",
            Self::MadeRoom => "it said nothing while others needed its place",
            Self::ServerLeft => "the server ended it",
            Self::Shutdown => "the server stops",
        })
    }
}

/// What has to be done.
#[derive(Debug)]
pub enum Effect {
    /// Send this Engine.IO text packet.
    Send(Bytes),
    /// The client is in: the answer has been sent.
    Joined {
        /// What it says about itself.
        auth: Option<Box<RawValue>>,
    },
    /// An event has come, whole.
    Event(Event),
    /// The client left the namespace; the session goes on.
    Left,
    /// A message was not taken.
    Rejected,
    /// End the session.
    End(Reason),
}

/// An event whose attachments are still to come.
struct Partial {
    /// `None` when it is not wanted: its attachments are only skipped.
    event: Option<Event>,
    missing: usize,
    bytes: usize,
    /// What it has taken of what all clients together may hold.
    share: Share,
    since: Instant,
}

impl Partial {
    /// Takes more, or gives up its event.
    fn hold(&mut self, bytes: usize, max_bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let fits = self.event.is_none() || (self.bytes <= max_bytes && self.share.take(bytes));
        if !fits {
            self.event = None;
            self.share.give_back();
        }
        fits
    }
}

/// The protocol state of one client.
pub struct Session {
    version: Version,
    settings: Settings,
    max_bytes: usize,
    /// How long an event may wait for its attachments.
    patience: Duration,
    budget: Arc<Budget>,
    socket_id: String,
    joined: bool,
    /// Since when the client is outside of the namespace.
    outside: Instant,
    /// When the last packet came.
    heard: Instant,
    /// Version 4: when a ping is due, or was sent.
    ping: Ping,
    messages: RateLimit,
    /// Pings and the like have a bucket of their own, or a flood of events would cost a client its heartbeat.
    controls: RateLimit,
    partial: Option<Partial>,
}

#[derive(Debug, Clone, Copy)]
enum Ping {
    Due(Instant),
    Sent(Instant),
}

impl Session {
    /// A session that begins now. Version 3 clients are in the namespace at once. `budget` is what events that wait for
    /// their attachments may hold, of all sessions together.
    #[must_use]
    pub(crate) fn new(
        version: Version,
        socket_id: String,
        settings: &Settings,
        limits: &Limits,
        budget: Arc<Budget>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> Self {
        let rate = RateLimit::new(limits.messages_per_second, now);
        let mut session = Self {
            version,
            settings: settings.clone(),
            max_bytes: limits.message_bytes,
            patience: crate::http::slow_body(limits),
            budget,
            socket_id,
            joined: false,
            outside: now,
            heard: now,
            ping: Ping::Due(now + settings.ping_interval),
            messages: rate.clone(),
            controls: rate,
            partial: None,
        };
        if version == Version::V3 {
            session.joined = true;
            out.push(Effect::Send(Bytes::from_static(b"40")));
            out.push(Effect::Joined { auth: None });
        }
        session
    }

    /// Whether the client is in the namespace.
    #[must_use]
    pub fn joined(&self) -> bool {
        self.joined
    }

    /// Takes a packet.
    pub fn packet(&mut self, packet: Packet<'_>, now: Instant, out: &mut Vec<Effect>) {
        self.heard = now;
        if let Ping::Sent(_) = self.ping {
            self.ping = Ping::Due(now + self.settings.ping_interval);
        }
        match packet {
            Packet::Message(text) => self.message(text, now, out),
            Packet::Binary(bytes) => self.attachment(bytes, out),
            Packet::Close => out.push(Effect::End(Reason::ClientLeft)),
            Packet::Ping(data) if self.controls.allows(now) => {
                out.push(Effect::Send(Bytes::from(format!("3{data}"))));
            }
            Packet::Pong(_) | Packet::Noop => {}
            Packet::Open | Packet::Upgrade | Packet::Ping(_) => out.push(Effect::Rejected),
        }
    }

    fn message(&mut self, text: &str, now: Instant, out: &mut Vec<Effect>) {
        if self.partial.take().is_some_and(|partial| partial.event.is_some()) {
            // Its attachments were to come first.
            out.push(Effect::Rejected);
        }
        let allowed = self.messages.allows(now);
        // A refused event is still looked at, or its attachments would be taken for another's.
        let packet = match packet::decode(text) {
            Ok(packet) => packet,
            Err(_) => return out.push(Effect::Rejected),
        };
        match packet {
            packet::Packet::Event { namespace, event, attachments } => {
                let wanted = allowed && self.joined && namespace == "/";
                if !wanted {
                    out.push(Effect::Rejected);
                }
                match (attachments, wanted) {
                    (0, true) => out.push(Effect::Event(event)),
                    (0, false) => {}
                    (missing, _) => {
                        let mut partial = self.partial(wanted.then_some(event), missing, now);
                        if !partial.hold(text.len(), self.max_bytes) {
                            out.push(Effect::Rejected);
                        }
                        self.partial = Some(partial);
                    }
                }
            }
            packet::Packet::Ack { attachments } => {
                // We never ask for one.
                out.push(Effect::Rejected);
                if attachments > 0 {
                    self.partial = Some(self.partial(None, attachments, now));
                }
            }
            _ if !allowed => out.push(Effect::Rejected),
            packet::Packet::Connect { namespace, auth } => self.connect(&namespace, auth, out),
            packet::Packet::Disconnect { namespace } if namespace == "/" && self.joined => {
                self.joined = false;
                self.outside = now;
                out.push(Effect::Left);
            }
            packet::Packet::Disconnect { .. } => out.push(Effect::Rejected),
        }
    }

    fn partial(&self, event: Option<Event>, missing: usize, now: Instant) -> Partial {
        Partial { event, missing, bytes: 0, share: Share::new(self.budget.clone()), since: now }
    }

    fn connect(&mut self, namespace: &str, auth: Option<Box<RawValue>>, out: &mut Vec<Effect>) {
        if namespace != "/" {
            let name = namespace.get(..namespace.floor_char_boundary(256)).unwrap_or_default();
            let why = match self.version {
                Version::V4 => format!(r#"44{name},{{"message":"Invalid namespace"}}"#),
                Version::V3 => format!(r#"44{name},"Invalid namespace""#),
            };
            out.push(Effect::Send(why.into()));
            out.push(Effect::Rejected);
        } else if self.joined {
            // Version 3 clients may ask for what they have.
            if self.version == Version::V4 {
                out.push(Effect::Rejected);
            }
        } else {
            self.joined = true;
            let reply = match self.version {
                Version::V4 => format!(r#"40{{"sid":"{}"}}"#, self.socket_id),
                Version::V3 => "40".to_owned(),
            };
            out.push(Effect::Send(reply.into()));
            out.push(Effect::Joined { auth });
        }
    }

    fn attachment(&mut self, bytes: Bytes, out: &mut Vec<Effect>) {
        let Some(mut partial) = self.partial.take() else { return out.push(Effect::Rejected) };
        partial.missing -= 1;
        if !partial.hold(bytes.len(), self.max_bytes) {
            out.push(Effect::Rejected);
        }
        if let Some(event) = &mut partial.event {
            // One that has to wait is copied: a small one may be a piece of a buffer that is many times its size.
            let waits = partial.missing > 0;
            event.attachments.push(if waits { Bytes::copy_from_slice(&bytes) } else { bytes });
        }
        if partial.missing > 0 {
            self.partial = Some(partial);
        } else if let Some(event) = partial.event {
            out.push(Effect::Event(event));
        }
    }

    /// Takes bytes that are no packet.
    pub fn malformed(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.heard = now;
        out.push(Effect::Rejected);
    }

    /// Looks at the clock. `pulse` is when the client last took bytes that had to wait for it, or gave some: one that reads
    /// or sends slowly cannot answer a ping that it has not come to yet, and is there nevertheless.
    pub fn tick(&mut self, now: Instant, pulse: Option<Instant>, out: &mut Vec<Effect>) {
        if !self.joined && now >= self.outside + self.settings.connect_timeout {
            return out.push(Effect::End(Reason::NeverJoined));
        }
        if let Some(partial) = &mut self.partial
            && now >= partial.since + self.patience
            && partial.event.take().is_some()
        {
            // Its attachments, should they come, are still skipped.
            partial.share.give_back();
            out.push(Effect::Rejected);
        }
        let Settings { ping_interval, ping_timeout, .. } = self.settings;
        let since = |at: Instant| pulse.map_or(at, |pulse| at.max(pulse));
        match (self.version, self.ping) {
            (Version::V3, _) if now >= since(self.heard) + ping_interval + ping_timeout => {
                out.push(Effect::End(Reason::PingTimeout));
            }
            (Version::V4, Ping::Due(due)) if now >= due => {
                self.ping = Ping::Sent(now);
                out.push(Effect::Send(Bytes::from_static(b"2")));
            }
            (Version::V4, Ping::Sent(sent)) if now >= since(sent) + ping_timeout => {
                out.push(Effect::End(Reason::PingTimeout));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
