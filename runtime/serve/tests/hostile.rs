//! Peers that want to harm the Socket.IO server or each other.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{Answer, Options, Rig, closed, connect_from, say, sid, text, write_request};
use gantry_serve::Limits;
use gantry_serve::socketio::{Message, Reason};
use std::sync::Arc;

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

#[test]
fn a_flood_of_sessions_from_one_address_does_not_keep_another_out() {
    let limits = Limits { connections: 12, ..Limits::default() };
    let rig = Rig::with(Options { limits, ..Options::default() });
    let path = "/socket.io/?EIO=3&transport=polling";
    // One connection for all: that sessions outlive it is what this is about.
    let mut flood = rig.connect();
    for _ in 0..12 {
        write_request(&mut flood, "GET", path, &[], b"");
        Answer::read(&mut flood).text();
        rig.joined();
    }
    write_request(&mut flood, "GET", path, &[], b"");
    assert_eq!(Answer::read(&mut flood).code(), (503, 3));
    let mut other = connect_from([127, 0, 0, 2], rig.address);
    write_request(&mut other, "GET", path, &[], b"");
    let open = Answer::read(&mut other).text();
    assert_eq!(rig.left(), Reason::MadeRoom);
    let newcomer = rig.joined();
    assert_eq!((newcomer.id().to_owned(), rig.server.clients()), (sid(&open), 12));
    assert_eq!((rig.counters.evicted_sessions(), rig.counters.refused_connections()), (1, 1));
}

#[test]
fn a_second_upgrade_does_not_end_the_first() {
    let rig = Rig::new();
    let path = rig.polling();
    let socket = rig.joined();
    rig.get(&path);
    let upgrade = path.replace("polling", "websocket");
    let (mut first, mut second) = (rig.websocket(&upgrade), rig.websocket(&upgrade));
    say(&mut first, "2probe");
    assert_eq!(text(&mut first), "3probe");
    say(&mut second, "2probe");
    assert_eq!(closed(&mut second), None, "it is let go");
    socket.emit("between", &1);
    say(&mut first, "5");
    assert_eq!(text(&mut first), "42[\"between\",1]");
    assert!(socket.is_joined());
}

#[test]
fn a_frame_that_comes_during_the_upgrade_is_not_lost() {
    let rig = Rig::new();
    let path = rig.polling();
    let socket = rig.joined();
    rig.get(&path);
    let mut ws = rig.websocket(&path.replace("polling", "websocket"));
    say(&mut ws, "2probe");
    assert_eq!(text(&mut ws), "3probe");
    for i in 0..3 {
        rig.server.publish(Arc::new(Message::text(format!("42[\"frame\",{i}]"))));
    }
    say(&mut ws, "5");
    assert_eq!(text(&mut ws), "42[\"frame\",2]");
    rig.until("what it missed is counted", || socket.counters().skipped_frames() == 2);
}

#[test]
fn a_stopping_server_does_not_wait_for_an_upgrade_that_never_ends() {
    let mut rig = Rig::new();
    let path = rig.polling();
    rig.joined();
    rig.get(&path);
    let mut ws = rig.websocket(&path.replace("polling", "websocket"));
    say(&mut ws, "2probe");
    assert_eq!(text(&mut ws), "3probe");
    assert!(rig.stop(), "it ends in time");
}

#[test]
fn a_query_that_nobody_needs_is_refused() {
    let rig = Rig::new();
    assert_eq!(rig.get(&format!("{POLLING}{}", "&a".repeat(100))).code(), (414, 3));
    assert_eq!(rig.get(&format!("{POLLING}&t={}", "a".repeat(9000))).code(), (414, 3));
}

#[test]
fn a_ping_that_would_have_to_be_sent_back_for_ever_is_not_taken() {
    let rig = Rig::new();
    let mut ws = rig.viewer();
    let socket = rig.joined();
    say(&mut ws, &format!("2{}", "x".repeat(100_000)));
    say(&mut ws, "421[\"x\"]");
    assert_eq!(text(&mut ws), "431[0]");
    assert_eq!(socket.counters().rejected_messages(), 1);
}
