//! What strangers send to the C Pro state control: the gateway keeps its frames and its other clients.

use gantry_tests::cpro;
use gantry_tests::gateway::Gateway;
use gantry_tests::http;
use gantry_tests::raw::{Raw, head};
use gantry_tests::websocket::Client;
use serde_json::{Value, json};

/// A client that must not notice anything.
struct Witness<'a> {
    gateway: &'a Gateway,
    client: Client,
    level: u32,
}

impl<'a> Witness<'a> {
    fn new(gateway: &'a Gateway) -> Self {
        Self { gateway, client: cpro::logged_in(gateway, "admin"), level: 0 }
    }

    /// The camera goes on, and writes are confirmed.
    fn is_well(&mut self, after: &str) {
        let captured = || self.gateway.metric("gantry_camera_frames_captured_total", "main");
        let before = captured();
        self.level = (self.level + 1) % 100;
        let confirmed = json!({ "brightness": self.level, "info": ["brightness"] });
        self.client.send(&json!({ "brightness": self.level }));
        self.client.find(&format!("the confirmation after {after}"), |m| *m == confirmed);
        gantry_tests::until(&format!("frames after {after}"), || (captured() > before).then_some(()));
        let plugin = self.gateway.plugin("cpro").expect("reported");
        assert_eq!((&plugin["state"], &plugin["restarts"]), (&json!("running"), &json!(0)), "{after}");
    }
}

/// The same connection is asked for something right afterwards: it must not have been closed or poisoned.
fn still_answers(raw: &mut Raw, after: &str) {
    raw.send(r#"{"get":["contrast"]}"#);
    loop {
        match raw.text().as_str() {
            r#"{"contrast":50}"# => return,
            // What the witness writes.
            told if told.starts_with(r#"{"brightness":"#) => {}
            other => panic!("{other} after {after}"),
        }
    }
}

/// The first message that is no change of the witness's.
fn answer(raw: &mut Raw) -> Value {
    loop {
        let value: Value = serde_json::from_str(&raw.text()).expect("JSON");
        if value.get("brightness").is_none() {
            return value;
        }
    }
}

#[test]
fn messages_that_are_nothing_are_answered_and_hurt_nobody() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut witness = Witness::new(&gateway);
    let address = cpro::address(&gateway);
    let deep = format!("{{\"contrast\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let deep_objects = "{\"contrast\":".repeat(5_000) + &"}".repeat(5_000);
    for invalid in [
        "",
        " ",
        "{",
        "}",
        "[",
        "null",
        "true",
        "1",
        "\"brightness\"",
        "[]",
        "{\"contrast\":NaN}",
        "{\"contrast\":Infinity}",
        "{\"contrast\":-}",
        "{\"contrast\":1e999999}",
        "{'contrast':1}",
        "{\"contrast\":1}{\"contrast\":2}",
        "\u{0}",
        "\u{feff}{}",
        "{\"contrast\":\"\\ud800\"}",
        "{contrast:1}",
        "{\"contrast\":0x10}",
        "{\"contrast\":01}",
        &deep,
        &deep_objects,
    ] {
        let mut raw = Raw::connect(&address, "/api/v1");
        raw.send(invalid);
        let shown: String = invalid.chars().take(40).collect();
        assert_eq!(answer(&mut raw)["error"], "Invalid JSON", "{shown}");
        still_answers(&mut raw, &shown);
    }
    witness.is_well("invalid JSON");
}

#[test]
fn values_of_every_wrong_type_are_refused_for_every_key() {
    let gateway = cpro::start(&(cpro::one_camera() + cpro::FAST));
    let mut client = cpro::logged_in(&gateway, "admin");
    let keys = [
        "brightness",
        "fps",
        "resolution",
        "auto-exposure",
        "noise-supression",
        "record",
        "snap",
        "jpeg-quality",
    ];
    let wrong = [
        json!(null),
        json!([]),
        json!({}),
        json!([[1]]),
        json!({ "get": ["brightness"] }),
        json!(1e300),
        json!(-1e300),
        json!(0.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!("\u{0}"),
        json!("x".repeat(5000)),
        json!("75"),
        json!("'; drop table"),
    ];
    for key in keys {
        for value in &wrong {
            client.send(&json!({ (key): value }));
            let answer = client.find("an answer", |m| m["key"] == key || !m["info"].is_null());
            let shown: String = value.to_string().chars().take(40).collect();
            assert_eq!(answer["error"], "Invalid value", "{key} = {shown}: {answer}");
            assert!(answer["message"].as_str().is_some_and(|m| m.len() < 300), "{key} = {shown}: {answer}");
        }
    }
    for value in [json!(null), json!(7), json!({}), json!([1]), json!([null]), json!([["brightness"]])] {
        let answer: Value = serde_json::from_str(&client.ask(&json!({ "get": value }))).expect("JSON");
        assert!(answer["error"].is_string(), "{value}: {answer}");
    }
    for credentials in
        [json!({ "username": 1, "password": [] }), json!({ "token": {} }), json!({ "token": null })]
    {
        let answer: Value = serde_json::from_str(&client.ask(&credentials)).expect("JSON");
        assert_eq!(answer["authenticated"], false, "{credentials}");
    }
    assert_eq!(
        cpro::anonymous(&gateway).ask(&json!({ "get": ["brightness", "fps"] })),
        r#"{"brightness":50,"fps":15}"#
    );
}

#[test]
fn ten_thousand_keys_are_refused_at_once_or_one_by_one() {
    let limits = "[plugins.cpro.limits]\nmessage_bytes = 262144\n";
    let gateway = cpro::start(&(cpro::one_camera() + limits));
    let mut witness = Witness::new(&gateway);
    let address = cpro::address(&gateway);
    let mut raw = Raw::connect(&address, "/api/v1");
    let keys: Vec<String> = (0..10_000).map(|n| format!("\"k{n}\":{n}")).collect();
    raw.send(&format!("{{{}}}", keys.join(",")));
    let told = answer(&mut raw);
    assert!(told["error"].is_string(), "{told}");
    still_answers(&mut raw, "10,000 keys");
    let keys: Vec<String> = (0..10_000).map(|n| format!("k{n}")).collect();
    raw.send(&json!({ "get": keys }).to_string());
    let told = answer(&mut raw);
    assert!(told["error"].is_string(), "{told}");
    still_answers(&mut raw, "a get of 10,000 keys");
    // As many as are taken: each is answered.
    let keys: Vec<String> = (0..900).map(|n| format!("\"k{n}\":{n}")).collect();
    raw.send(&format!("{{{}}}", keys.join(",")));
    for n in 0..900 {
        let told = answer(&mut raw);
        assert_eq!(told, json!({ "error": "Unknown key", "key": format!("k{n}") }));
    }
    still_answers(&mut raw, "900 unknown keys");
    witness.is_well("10,000 keys");
}

#[test]
fn a_message_of_100_megabytes_is_not_taken_in() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut witness = Witness::new(&gateway);
    let address = cpro::address(&gateway);
    let before = gateway.resident();
    let megabyte = vec![b'['; 1 << 20];
    // In one frame, and in pieces of which each is small enough.
    for pieces in [false, true] {
        let mut raw = Raw::connect(&address, "/api/v1");
        let mut sent =
            if pieces { raw.write(&head(0x01, 1 << 20)) } else { raw.write(&head(0x81, 100 << 20)) };
        for _ in 0..100 {
            if sent.is_err() {
                break;
            }
            sent = raw.write(&megabyte);
            if pieces && sent.is_ok() {
                sent = raw.write(&head(0x00, 1 << 20));
            }
        }
        // 1009: the message is too big. The other side may have reset the connection before that could be read.
        let code = raw.closed();
        assert!(matches!(code, None | Some(1009)), "{code:?}");
        witness.is_well("100 MB");
    }
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "100 MB cost {grown} bytes");
    // A large login is refused as well.
    let length = format!("Content-Length: {}\r\n", 100 << 20);
    let refused = http::send(&address, "POST", "/api/login", &length, b"{");
    assert_eq!(refused.status, 413, "{refused:?}");
    witness.is_well("a large login");
}

#[test]
fn frames_that_no_client_sends_end_only_their_connection() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut witness = Witness::new(&gateway);
    let address = cpro::address(&gateway);
    for frame in [
        // Not masked; a reserved bit; an unknown opcode; a ping in pieces; a length of 2^63.
        &[0x81, 0x02, b'{', b'}'][..],
        &[0xf1, 0x80, 0, 0, 0, 0],
        &[0x83, 0x80, 0, 0, 0, 0],
        &[0x09, 0x80, 0, 0, 0, 0],
        &[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        // Text that is no UTF-8.
        &[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe],
        // The middle of a message that has no beginning.
        &[0x80, 0x82, 0, 0, 0, 0, b'{', b'}'],
    ] {
        let mut raw = Raw::connect(&address, "/api/v1");
        raw.write(frame).expect("sent");
        let _ = raw.closed();
    }
    // Binary that is no UTF-8 is a message like another.
    let mut raw = Raw::connect(&address, "/api/v1");
    raw.write(&[0x82, 0x82, 0, 0, 0, 0, 0xff, 0xfe]).expect("sent");
    assert_eq!(answer(&mut raw)["error"], "Invalid JSON");
    still_answers(&mut raw, "binary nonsense");
    // Whole pages of nothing, and clients that say nothing.
    let silent: Vec<_> =
        (0..50).map(|_| std::net::TcpStream::connect(&address).expect("a listener")).collect();
    for line in [
        "GET / HTTP/9.9\r\n\r\n",
        "\0\0\0\0",
        "GET /api/v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
    ] {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(&address).expect("a listener");
        stream.write_all(line.as_bytes()).expect("sent");
    }
    witness.is_well("odd frames");
    drop(silent);
    witness.is_well("silence");
}

#[test]
fn clients_that_do_not_read_cost_the_others_nothing() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut witness = Witness::new(&gateway);
    let address = cpro::address(&gateway);
    let before = gateway.resident();
    let mut deaf: Vec<_> = (0..50).map(|_| Raw::connect(&address, "/api/v1")).collect();
    let question = json!({ "get": ["brightness"] }).to_string();
    for raw in &mut deaf {
        raw.send_all(std::iter::repeat_n(question.as_str(), 2_000));
    }
    for round in 0..90 {
        witness.is_well(&format!("round {round} of the deaf"));
    }
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "50 clients that do not read cost {grown} bytes");
}
