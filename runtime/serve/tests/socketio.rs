//! The Socket.IO server over real sockets, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use bytes::Bytes;
use common::{Answer, Options, Rig, Told, closed, say, sid, text, write_request};
use gantry_serve::Limits;
use gantry_serve::socketio::{Group, Message, Part, Reason, Settings};
use std::sync::Arc;
use std::time::Duration;
use tungstenite::protocol::frame::{CloseFrame, coding::CloseCode};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

#[test]
fn a_bad_handshake_is_answered_as_the_reference_server_does() {
    let rig = Rig::new();
    assert_eq!(rig.get("/socket.io/?EIO=4&transport=pigeon").code(), (400, 0));
    assert_eq!(rig.get("/socket.io/").code(), (400, 0));
    assert_eq!(rig.get(&format!("{POLLING}&sid=none")).code(), (400, 1));
    assert_eq!(rig.post(POLLING, "x").code(), (400, 2));
    assert_eq!(rig.get("/socket.io/?EIO=4&transport=websocket").code(), (400, 3));
    assert_eq!(rig.get("/socket.io/?EIO=5&transport=polling").code(), (400, 5));
    assert_eq!(rig.get("/socket.io/?EIO=3&transport=polling&j=0").code(), (400, 3));
    assert_eq!(rig.get("/elsewhere").status, 404);
    assert_eq!(rig.get("/socket.io?EIO=4&transport=polling").status, 200, "the slash may be missing");
}

#[test]
fn a_polling_client_joins_is_greeted_and_gets_its_acknowledgement() {
    let rig = Rig::new();
    let open = rig.get(POLLING).text();
    let value: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
    assert_eq!(open.chars().next(), Some('0'));
    assert_eq!(value["upgrades"], serde_json::json!(["websocket"]));
    assert_eq!(value["pingInterval"], 25_000);
    assert_eq!(value["pingTimeout"], 20_000);
    assert_eq!(value["maxPayload"], 16 << 20);
    let path = format!("{POLLING}&sid={}", sid(&open));
    rig.post(&path, "40{\"token\":1}");
    let Told::Joined(socket, auth) = rig.told() else { panic!() };
    assert_eq!(auth.as_deref(), Some("{\"token\":1}"));
    let reply = rig.get(&path).text();
    assert_eq!(reply, format!("40{{\"sid\":\"{}\"}}\x1e42[\"greeting\",\"hello\"]", socket.id()));
    rig.post(&path, "427[\"x\"]\x1e42[\"y\",{\"a\":1}]");
    assert_eq!(rig.get(&path).text(), "437[0]");
    assert!(matches!(rig.told(), Told::Event(_, event) if event.name == "x"));
    assert!(matches!(rig.told(), Told::Event(_, event) if event.args[0].get() == "{\"a\":1}"));
    rig.post(&path, "1");
    assert_eq!(rig.left(), Reason::ClientLeft);
}

#[test]
fn headers_of_the_first_request_are_kept_when_the_plugin_asks_for_them() {
    let settings = Settings { headers: &["x-api-key"], ..Settings::default() };
    let rig = Rig::with(Options { settings, ..Options::default() });
    let shown = [("X-API-Key", "a key"), ("Cookie", "nobody's business")];
    let open = rig.send("GET", POLLING, &shown, b"").text();
    rig.send("POST", &format!("{POLLING}&sid={}", sid(&open)), &[("X-API-Key", "another")], b"40").text();
    let socket = rig.joined();
    assert_eq!((socket.header("X-Api-Key"), socket.header("cookie")), (Some("a key"), None));
}

#[test]
fn a_version_3_client_is_joined_and_greeted_at_once() {
    let rig = Rig::new();
    let open = rig.get("/socket.io/?EIO=3&transport=polling").text();
    let id = sid(&open);
    assert!(open.ends_with("2:4022:42[\"greeting\",\"hello\"]"), "{open}");
    assert!(!open.contains("maxPayload"));
    let socket = rig.joined();
    assert_eq!(socket.id(), id);
    let path = format!("/socket.io/?EIO=3&transport=polling&sid={id}");
    rig.post(&path, "1:2");
    assert_eq!(rig.get(&path).text(), "1:3");
    socket.emit("é", &"€");
    assert_eq!(rig.get(&path).text(), "11:42[\"é\",\"€\"]");
    let bytes = [("Content-Type", "application/octet-stream")];
    rig.send("POST", &path, &bytes, b"\x00\x01\x04\xff451-[\"pic\",{}]\x01\x03\xff\x04ab").text();
    assert!(matches!(rig.told(), Told::Event(_, event) if event.attachments == [&b"ab"[..]]));
    rig.post(&path, "14:451-[\"pic\",{}]6:b4YWI=");
    assert!(matches!(rig.told(), Told::Event(_, event) if event.attachments == [&b"ab"[..]]));
    // A length that lies is rejected, and the session goes on.
    rig.post(&path, "99:42[\"x\"]");
    assert_eq!(socket.counters().rejected_messages(), 1);
    assert!(socket.is_joined());
}

#[test]
fn a_polling_reply_carries_sixteen_packets_at_most() {
    let rig = Rig::new();
    let path = rig.polling();
    let socket = rig.joined();
    for i in 0..38 {
        socket.emit("n", &i);
    }
    let counts: Vec<_> = (0..3).map(|_| rig.get(&path).text().split('\x1e').count()).collect();
    assert_eq!(counts, [16, 16, 8], "with the answer to CONNECT and the greeting");
}

#[test]
fn a_polling_client_gets_the_newest_frame_and_all_of_it() {
    let rig = Rig::new();
    let path = rig.polling();
    let socket = rig.joined();
    rig.get(&path);
    for i in 0..5 {
        let parts = [format!("42[\"sensor_data\",{i}]"), format!("42[\"status\",{i}]")];
        rig.server.publish(Arc::new(Message::new(parts.map(|part| Part::Text(part.into())).into())));
    }
    socket.emit("first", &1);
    assert_eq!(rig.get(&path).text(), "42[\"first\",1]\x1e42[\"sensor_data\",4]\x1e42[\"status\",4]");
    assert_eq!(socket.counters().skipped_frames(), 4);
}

/// A poll that the server waits with: it has taken the place of another one.
fn waiting_poll(rig: &Rig, path: &str) -> std::thread::JoinHandle<Answer> {
    let poll = || {
        let (mut stream, path) = (rig.connect(), path.to_owned());
        std::thread::spawn(move || {
            write_request(&mut stream, "GET", &path, &[], b"");
            Answer::read(&mut stream)
        })
    };
    // Which of them the server sees first is the network's choice.
    let (a, b) = (poll(), poll());
    rig.until("one poll is replaced", || a.is_finished() || b.is_finished());
    let (done, waiting) = if a.is_finished() { (a, b) } else { (b, a) };
    assert_eq!(done.join().unwrap().text(), "6");
    waiting
}

#[test]
fn a_newer_poll_takes_the_place_of_an_older_one() {
    let rig = Rig::new();
    let path = rig.polling();
    let socket = rig.joined();
    rig.get(&path);
    let poll = waiting_poll(&rig, &path);
    socket.emit("n", &1);
    assert_eq!(poll.join().unwrap().text(), "42[\"n\",1]");
}

#[test]
fn a_session_changes_from_polling_to_websocket_without_losing_a_message() {
    let rig = Rig::new();
    let path = rig.polling();
    let socket = rig.joined();
    rig.get(&path);
    let poll = waiting_poll(&rig, &path);
    let mut ws = rig.websocket(&path.replace("polling", "websocket"));
    say(&mut ws, "2probe");
    assert_eq!(text(&mut ws), "3probe");
    assert_eq!(poll.join().unwrap().text(), "6", "the poll is let go");
    socket.emit("between", &1);
    say(&mut ws, "5");
    assert_eq!(text(&mut ws), "42[\"between\",1]");
    rig.server.publish(Arc::new(Message::text("42[\"frame\"]")));
    assert_eq!(text(&mut ws), "42[\"frame\"]");
    assert_eq!(rig.get(&path).code(), (400, 3), "it does not poll any more");
    ws.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).unwrap();
    assert_eq!(closed(&mut ws), Some(1000), "the close is answered");
    assert_eq!(rig.left(), Reason::ClientLeft);
    assert_eq!(rig.get(&path).code(), (400, 1));
}

#[test]
fn an_upgrade_that_fails_leaves_the_session_polling() {
    let rig = Rig::new();
    let path = rig.polling();
    let socket = rig.joined();
    rig.get(&path);
    let mut ws = rig.websocket(&path.replace("polling", "websocket"));
    say(&mut ws, "2probe");
    assert_eq!(text(&mut ws), "3probe");
    drop(ws);
    socket.emit("n", &1);
    let mut reply = rig.get(&path).text();
    while reply == "6" {
        reply = rig.get(&path).text();
    }
    assert_eq!(reply, "42[\"n\",1]");
    assert!(socket.is_joined());
}

#[test]
fn a_binary_event_arrives_whole_and_is_acknowledged() {
    let rig = Rig::new();
    let mut ws = rig.viewer();
    rig.joined();
    say(&mut ws, "451-9[\"pic\",{\"_placeholder\":true,\"num\":0}]");
    ws.send(tungstenite::Message::binary(vec![1, 2, 3])).unwrap();
    assert_eq!(text(&mut ws), "439[1]");
    let Told::Event(_, event) = rig.told() else { panic!() };
    assert_eq!(event.attachments, [Bytes::from_static(&[1, 2, 3])]);
}

#[test]
fn messages_above_the_rate_are_dropped_and_counted_and_the_connection_stays() {
    let limits = Limits { messages_per_second: 20, ..Limits::default() };
    let rig = Rig::with(Options { limits, ..Options::default() });
    let mut ws = rig.viewer();
    let socket = rig.joined();
    for i in 0..200 {
        say(&mut ws, &format!("42[\"n\",{i}]"));
    }
    rig.until("all are counted", || rig.counters.received_messages() == 201);
    let rejected = socket.counters().rejected_messages();
    // At least as many as come in a burst; more, where the machine was slow.
    assert!((100..=181).contains(&rejected), "{rejected} rejected");
    socket.emit("still", &"here");
    assert_eq!(text(&mut ws), "42[\"still\",\"here\"]");
}

#[test]
fn malformed_messages_are_counted_and_the_connection_stays() {
    let rig = Rig::new();
    let mut ws = rig.viewer();
    let socket = rig.joined();
    for wrong in ["", "9", "4", "42", "42{", "45[", "42[\"a\"", "b!!", "449", "42[1]", "é"] {
        say(&mut ws, wrong);
    }
    ws.send(tungstenite::Message::binary(vec![9])).unwrap();
    say(&mut ws, "423[\"x\"]");
    assert_eq!(text(&mut ws), "433[0]");
    assert_eq!(socket.counters().rejected_messages(), 12);
    assert!(matches!(rig.told(), Told::Event(_, event) if event.name == "x"));
}

#[test]
fn a_client_that_does_not_take_what_must_arrive_is_closed_and_the_others_are_not() {
    let rig = Rig::new();
    let mut slow = rig.viewer();
    let slow_socket = rig.joined();
    let mut quick = rig.viewer();
    let quick_socket = rig.joined();
    let group = Group::default();
    assert!(group.join(&slow_socket) && group.join(&quick_socket) && !group.join(&quick_socket));
    let large = Arc::new(Message::event("large", &"x".repeat(300_000)));
    let mut sent = 0;
    // Only the slow one stops reading; how much the kernel takes for it is the kernel's choice.
    while slow_socket.is_joined() {
        group.send(&large);
        sent += 1;
        assert!(text(&mut quick).len() > 300_000);
        assert!(sent < 1000, "it is never closed");
    }
    assert_eq!(rig.left(), Reason::TooSlow);
    assert_eq!(rig.counters.overflowed_clients(), 1);
    assert_eq!(group.len(), 1);
    quick_socket.emit("still", &1);
    assert_eq!(text(&mut quick), "42[\"still\",1]");
    closed(&mut slow);
}

#[test]
fn a_viewer_that_does_not_read_skips_frames_and_holds_two() {
    let rig = Rig::new();
    let mut ws = rig.viewer();
    let socket = rig.joined();
    let frame = |i: usize| {
        let text = format!("42[\"frame\",\"{i:04}{}\"]", "x".repeat(100_000));
        Arc::new(Message::text(text))
    };
    let mut alive: Vec<std::sync::Weak<Message>> = Vec::new();
    for i in 0..300 {
        let frame = frame(i);
        alive.push(Arc::downgrade(&frame));
        rig.server.publish(frame);
        alive.retain(|frame| frame.strong_count() > 0);
        assert!(alive.len() <= 2, "{} frames are alive", alive.len());
        std::thread::yield_now();
    }
    let mut got = Vec::new();
    while got.last() != Some(&299) {
        got.push(text(&mut ws)[12..16].parse::<u64>().unwrap());
    }
    assert!(got.is_sorted(), "{got:?}");
    assert_eq!(got.len() as u64 + socket.counters().skipped_frames(), 300, "every frame came or was counted");
}

#[test]
fn web_pages_are_let_in_by_their_origin() {
    let rig = Rig::with(Options { origins: vec!["https://*.example".into()], ..Options::default() });
    let from = |method, origin| rig.send(method, POLLING, &[("Origin", origin)], b"");
    assert_eq!(from("GET", "https://evil.test").code(), (403, 4));
    let answer = from("GET", "https://dash.example");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://dash.example");
    assert_eq!(answer.headers["access-control-allow-credentials"], "true");
    assert_eq!(rig.get(POLLING).status, 200, "what is no web page has no origin");
    let headers = [("Origin", "https://dash.example"), ("Access-Control-Request-Headers", "x-token")];
    let preflight = rig.send("OPTIONS", POLLING, &headers, b"");
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-headers"], "x-token");
    let handshake = [
        ("Origin", "https://evil.test"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let path = "/socket.io/?EIO=4&transport=websocket";
    assert_eq!(rig.send("GET", path, &handshake, b"").code(), (403, 4));
    assert_eq!(rig.send("GET", path, &handshake[1..], b"").status, 101);
}

#[test]
fn a_body_that_is_too_large_is_refused_and_the_session_stays() {
    let limits = Limits { message_bytes: 2000, ..Limits::default() };
    let rig = Rig::with(Options { limits, ..Options::default() });
    let path = rig.polling();
    let socket = rig.joined();
    assert_eq!(rig.post(&path, "4".repeat(3000)).status, 413);
    assert!(socket.is_joined());
    let mut ws = rig.viewer();
    rig.joined();
    say(&mut ws, &"4".repeat(3000));
    assert_eq!(closed(&mut ws), Some(1009));
}

#[test]
fn more_sessions_than_the_limit_are_refused_in_words() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let rig = Rig::with(Options { limits, ..Options::default() });
    let _one = rig.viewer();
    let _two = rig.viewer();
    let answer = rig.get(POLLING);
    assert_eq!(answer.status, 503);
    assert!(String::from_utf8_lossy(&answer.body).contains("too many connections"));
    assert_eq!(rig.counters.refused_connections(), 1);
}

#[test]
fn a_session_without_a_transport_expires() {
    let settings = Settings {
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(50),
        ..Settings::default()
    };
    let rig = Rig::with(Options { settings, ..Options::default() });
    let _path = rig.polling();
    rig.joined();
    assert_eq!(rig.left(), Reason::PingTimeout);
    let mut ws = rig.viewer();
    rig.joined();
    // It reads and says nothing.
    assert_eq!(text(&mut ws), "2");
    assert_eq!(rig.left(), Reason::PingTimeout);
    assert_eq!(closed(&mut ws), Some(1000));
}

#[test]
fn a_client_that_answers_pings_stays() {
    let settings = Settings { ping_interval: Duration::from_millis(20), ..Settings::default() };
    let rig = Rig::with(Options { settings, ..Options::default() });
    let mut ws = rig.viewer();
    let socket = rig.joined();
    for _ in 0..5 {
        assert_eq!(text(&mut ws), "2");
        say(&mut ws, "3");
    }
    assert!(socket.is_joined());
}

#[test]
fn a_disconnect_by_the_plugin_is_told_to_the_client() {
    let rig = Rig::new();
    let mut ws = rig.viewer();
    rig.joined().disconnect();
    assert_eq!(text(&mut ws), "41");
    assert_eq!(closed(&mut ws), Some(1000));
    assert_eq!(rig.left(), Reason::ServerLeft);
    let path = rig.polling();
    let socket = rig.joined();
    rig.get(&path);
    socket.disconnect();
    assert_eq!(rig.get(&path).text(), "41\x1e1", "the last words wait for the next poll");
}

#[test]
fn a_stopping_server_closes_so_that_clients_come_back_by_themselves() {
    let mut rig = Rig::new();
    let mut ws = rig.viewer();
    rig.joined();
    let path = rig.polling();
    rig.joined();
    rig.get(&path);
    let poll = waiting_poll(&rig, &path);
    let ws = std::thread::spawn(move || closed(&mut ws));
    assert!(rig.stop(), "everything ends in time");
    assert_eq!(ws.join().unwrap(), Some(1001));
    assert_eq!(poll.join().unwrap().text(), "1");
    assert_eq!((rig.left(), rig.left()), (Reason::Shutdown, Reason::Shutdown));
}

#[test]
fn leaving_and_joining_again_is_possible_on_one_connection() {
    let rig = Rig::new();
    let mut ws = rig.viewer();
    rig.joined();
    say(&mut ws, "41");
    assert_eq!(rig.left(), Reason::ClientLeft);
    assert_eq!(rig.server.clients(), 0);
    rig.server.publish(Arc::new(Message::text("42[\"not for it\"]")));
    say(&mut ws, "40");
    assert!(text(&mut ws).starts_with("40{"));
    assert_eq!(text(&mut ws), "42[\"greeting\",\"hello\"]");
    assert_eq!(rig.server.clients(), 1);
}
