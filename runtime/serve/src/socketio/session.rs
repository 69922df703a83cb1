//! What a client's packets and the time do. No I/O: packets and a time in, effects out.

use super::engine::{Packet, Version};
use super::packet::{self, Event, RawValue};
use crate::{Limits, RateLimit};
use bytes::Bytes;
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
}

impl Default for Settings {
    /// What the reference server has.
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            upgrade_timeout: Duration::from_secs(10),
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
}

/// The protocol state of one client.
pub struct Session {
    version: Version,
    settings: Settings,
    max_bytes: usize,
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
    /// A session that begins now. Version 3 clients are in the namespace at once.
    #[must_use]
    pub fn new(
        version: Version,
        socket_id: String,
        settings: &Settings,
        limits: &Limits,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> Self {
        let rate = RateLimit::new(limits.messages_per_second, now);
        let mut session = Self {
            version,
            settings: settings.clone(),
            max_bytes: limits.message_bytes,
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
                        let bytes = text.len();
                        self.partial = Some(Partial { event: wanted.then_some(event), missing, bytes });
                    }
                }
            }
            packet::Packet::Ack { attachments } => {
                // We never ask for one.
                out.push(Effect::Rejected);
                if attachments > 0 {
                    self.partial = Some(Partial { event: None, missing: attachments, bytes: 0 });
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
        partial.bytes = partial.bytes.saturating_add(bytes.len());
        if partial.bytes > self.max_bytes && partial.event.take().is_some() {
            out.push(Effect::Rejected);
        }
        if let Some(event) = &mut partial.event {
            event.attachments.push(bytes);
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
mod tests {
    use super::{Effect, Reason, Session, Settings};
    use crate::Limits;
    use crate::socketio::Version;
    use crate::socketio::engine::{Packet, decode_text};
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    struct Rig {
        session: Session,
        now: Instant,
    }

    impl Rig {
        fn new(version: Version) -> (Self, Vec<String>) {
            let limits = Limits { message_bytes: 1024, messages_per_second: 5, ..Limits::default() };
            Self::with(version, &limits)
        }

        fn with(version: Version, limits: &Limits) -> (Self, Vec<String>) {
            let (now, mut out) = (Instant::now(), Vec::new());
            let session =
                Session::new(version, "socket1".into(), &Settings::default(), limits, now, &mut out);
            (Self { session, now }, told(&out))
        }

        fn joined() -> Self {
            let (mut rig, _) = Self::new(Version::V4);
            rig.text("40");
            rig
        }

        fn text(&mut self, text: &str) -> Vec<String> {
            self.packet(decode_text(text, Version::V4).expect("a packet"))
        }

        fn packet(&mut self, packet: Packet<'_>) -> Vec<String> {
            let mut out = Vec::new();
            self.session.packet(packet, self.now, &mut out);
            told(&out)
        }

        fn after(&mut self, seconds: u64) -> Vec<String> {
            self.now += Duration::from_secs(seconds);
            let mut out = Vec::new();
            self.session.tick(self.now, None, &mut out);
            told(&out)
        }
    }

    fn told(effects: &[Effect]) -> Vec<String> {
        let one = |effect: &Effect| match effect {
            Effect::Send(bytes) => format!("send {}", String::from_utf8_lossy(bytes)),
            Effect::Joined { auth } => format!("joined {}", auth.as_ref().map_or("", |a| a.get())),
            Effect::Event(e) => {
                let args: Vec<_> = e.args.iter().map(|a| a.get()).collect();
                format!("event {} {} {:?} {}", e.name, args.join(","), e.ack, e.attachments.len())
            }
            Effect::Left => "left".to_owned(),
            Effect::Rejected => "rejected".to_owned(),
            Effect::End(reason) => format!("end {reason:?}"),
        };
        effects.iter().map(one).collect()
    }

    #[test]
    fn a_version_4_client_joins_and_is_told_its_id_first() {
        let (mut rig, begin) = Rig::new(Version::V4);
        assert!(begin.is_empty());
        assert_eq!(rig.text("40{\"a\":1}"), ["send 40{\"sid\":\"socket1\"}", "joined {\"a\":1}"]);
        assert_eq!(rig.text("40"), ["rejected"], "it is in already");
        assert_eq!(rig.text("41"), ["left"]);
        assert_eq!(rig.text("40"), ["send 40{\"sid\":\"socket1\"}", "joined "]);
    }

    #[test]
    fn a_version_3_client_is_in_at_once_and_pings_itself() {
        let (mut rig, begin) = Rig::new(Version::V3);
        assert_eq!(begin, ["send 40", "joined "]);
        assert_eq!(rig.text("2"), ["send 3"]);
        assert_eq!(rig.text("2probe"), ["send 3probe"]);
        assert!(rig.after(44).is_empty());
        assert_eq!(rig.after(1), ["end PingTimeout"]);
    }

    #[test]
    fn other_namespaces_are_refused_and_the_session_goes_on() {
        let mut rig = Rig::joined();
        assert_eq!(
            rig.text("40/admin,{}"),
            ["send 44/admin,{\"message\":\"Invalid namespace\"}", "rejected"]
        );
        assert_eq!(rig.text("42/admin,[\"x\"]"), ["rejected"]);
        assert_eq!(rig.text("42[\"x\",1]"), ["event x 1 None 0"]);
        let (mut old, _) = Rig::new(Version::V3);
        assert_eq!(old.text("40/admin"), ["send 44/admin,\"Invalid namespace\"", "rejected"]);
    }

    #[test]
    fn attachments_complete_their_event() {
        let mut rig = Rig::joined();
        assert!(rig.text("452-7[\"pic\",{\"_placeholder\":true,\"num\":0}]").is_empty());
        assert!(rig.packet(Packet::Binary(Bytes::from_static(b"a"))).is_empty());
        let event = rig.packet(Packet::Binary(Bytes::from_static(b"b")));
        assert_eq!(event, ["event pic {\"_placeholder\":true,\"num\":0} Some(7) 2"]);
        assert_eq!(rig.packet(Packet::Binary(Bytes::new())), ["rejected"], "nobody waits for it");
    }

    #[test]
    fn attachments_that_are_too_large_or_never_come_cost_only_their_event() {
        let mut rig = Rig::joined();
        rig.text("452-[\"pic\"]");
        assert_eq!(rig.packet(Packet::Binary(vec![0; 2000].into())), ["rejected"]);
        assert!(rig.packet(Packet::Binary(Bytes::new())).is_empty());
        rig.text("451-[\"pic\"]");
        assert_eq!(rig.text("42[\"x\"]"), ["rejected", "event x  None 0"]);
    }

    #[test]
    fn events_above_the_rate_are_dropped_with_their_attachments() {
        let mut rig = Rig::joined();
        let taken = (0..20).filter(|_| rig.text("42[\"x\"]") != ["rejected"]).count();
        assert_eq!(taken, 4, "joining was one of five");
        assert_eq!(rig.text("451-[\"pic\"]"), ["rejected"]);
        assert!(rig.packet(Packet::Binary(Bytes::new())).is_empty());
        assert_eq!(rig.text("2"), ["send 3"], "a heartbeat is no event");
        rig.now += Duration::from_secs(1);
        assert_eq!(rig.text("42[\"x\"]"), ["event x  None 0"]);
    }

    #[test]
    fn a_silent_client_is_asked_and_then_ended() {
        let mut rig = Rig::joined();
        assert!(rig.after(24).is_empty());
        assert_eq!(rig.after(1), ["send 2"]);
        assert!(rig.after(19).is_empty());
        assert!(rig.text("3").is_empty());
        assert!(rig.after(24).is_empty());
        assert_eq!(rig.after(1), ["send 2"]);
        assert_eq!(rig.after(20), ["end PingTimeout"]);
    }

    #[test]
    fn a_client_that_reads_slowly_is_there() {
        let mut rig = Rig::joined();
        rig.after(25);
        rig.now += Duration::from_secs(100);
        let mut out = Vec::new();
        rig.session.tick(rig.now, Some(rig.now - Duration::from_secs(19)), &mut out);
        assert!(out.is_empty());
        rig.session.tick(rig.now, Some(rig.now - Duration::from_secs(20)), &mut out);
        assert_eq!(told(&out), ["end PingTimeout"]);
    }

    #[test]
    fn who_never_joins_is_ended() {
        let (mut rig, _) = Rig::new(Version::V4);
        assert_eq!(rig.after(25), ["send 2"]);
        rig.text("3");
        assert_eq!(rig.after(20), ["end NeverJoined"]);
    }

    #[test]
    fn events_before_joining_and_acknowledgements_are_not_taken() {
        let (mut rig, _) = Rig::new(Version::V4);
        assert_eq!(rig.text("42[\"x\"]"), ["rejected"]);
        assert_eq!(rig.text("431[]"), ["rejected"]);
        assert_eq!(rig.text("5"), ["rejected"]);
        assert_eq!(rig.text("1"), ["end ClientLeft"]);
        assert_eq!(Reason::ClientLeft.to_string(), "the client left");
    }

    proptest! {
        #[test]
        fn no_sequence_of_packets_panics(texts in prop::collection::vec("[0-6b][0-6]?[0-9-]{0,3}[\\[\\]\"a/,{}]{0,8}", 0..40), v3 in any::<bool>()) {
            let version = if v3 { Version::V3 } else { Version::V4 };
            let (mut rig, _) = Rig::with(version, &Limits::default());
            for text in &texts {
                rig.now += Duration::from_millis(700);
                if let Ok(packet) = decode_text(text, version) {
                    rig.packet(packet);
                }
                rig.after(0);
            }
        }
    }
}
