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
        let budget = crate::http::budget(limits);
        let (now, mut out) = (Instant::now(), Vec::new());
        let session =
            Session::new(version, "socket1".into(), &Settings::default(), limits, budget, now, &mut out);
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
    assert_eq!(rig.text("40/admin,{}"), ["send 44/admin,{\"message\":\"Invalid namespace\"}", "rejected"]);
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
fn events_that_wait_for_their_attachments_are_bounded_together() {
    let limits = Limits { incomplete_bytes: 1000, message_bytes: 1024, ..Limits::default() };
    let budget = crate::http::budget(&limits);
    let rig = || {
        let (now, settings) = (Instant::now(), Settings::default());
        let mut out = Vec::new();
        let budget = budget.clone();
        let session = Session::new(Version::V3, "s".into(), &settings, &limits, budget, now, &mut out);
        Rig { session, now }
    };
    let (mut one, mut other) = (rig(), rig());
    let text = format!("452-[\"pic\",\"{}\"]", "x".repeat(600));
    assert!(one.text(&text).is_empty());
    assert_eq!(other.text(&text), ["rejected"], "the first one has it all");
    assert!(other.packet(Packet::Binary(Bytes::new())).is_empty(), "its attachments are skipped");
    assert!(other.packet(Packet::Binary(Bytes::new())).is_empty());
    drop(one);
    assert!(other.text(&text).is_empty(), "what was held is given back");
}

#[test]
fn an_event_does_not_wait_for_its_attachments_for_ever() {
    let limits = Limits { handshake_seconds: 1, ..Limits::default() };
    let (mut rig, _) = Rig::with(Version::V4, &limits);
    rig.text("40");
    rig.text("451-[\"pic\"]");
    assert!(rig.after(19).is_empty());
    assert_eq!(rig.after(1), ["rejected"]);
    assert!(rig.packet(Packet::Binary(Bytes::new())).is_empty(), "it comes too late and is skipped");
    assert_eq!(rig.text("42[\"x\"]"), ["event x  None 0"]);
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
