//! HTTP beside the WebSocket, who may connect, and how it begins and ends.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{run, until};
use gantry_people_counter::gantry_plugin_v1;
use gantry_plugin::abi::{HEALTH_DEGRADED, HEALTH_OK};
use gantry_plugin::test::Host;
use serde_json::{Value, json};
use std::net::TcpStream;
use tungstenite::Message;

const UPGRADE: &str =
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn every_path_is_the_page_for_a_browser() {
    run(json!({}), |rig| {
        for path in ["/", "/index.html", "/any/path?x=1"] {
            let (status, head, body) = rig.http("GET", path, "");
            assert!(status == 200 && head.contains("text/html; charset=utf-8"), "{head}");
            assert!(body.contains("new WebSocket"), "{path}");
            for outside in ["http://", "https://", "src=", "@import", "<link", "url("] {
                assert!(!body.contains(outside), "{outside}");
            }
        }
        assert_eq!(rig.http("HEAD", "/", "").0, 200);
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let (status, head, body) = rig.http(method, "/", "");
            assert!(status == 405 && head.contains("allow: get, head"), "{method}: {head}");
            assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string());
        }
    });
}

#[test]
fn compression_is_refused_and_so_is_a_handshake_that_is_none() {
    run(json!({}), |rig| {
        let offered =
            UPGRADE.to_owned() + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        let mut stream = rig.connect();
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n{offered}\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101") && !head.contains("extensions"), "{head}");
        assert_eq!(rig.http("GET", "/", "Upgrade: websocket\r\n").0, 426);
        assert_eq!(rig.http("POST", "/", UPGRADE).0, 426);
    });
}

#[test]
fn pages_of_other_origins_may_connect_unless_a_list_says_which() {
    run(json!({}), |rig| assert_eq!(rig.http("GET", "/", "Origin: https://any.example\r\n").0, 200));
    run(json!({"origins": ["https://dash.example"]}), |rig| {
        assert_eq!(rig.http("GET", "/", "Origin: https://evil.example\r\n").0, 403);
        let evil = format!("{UPGRADE}Origin: https://evil.example\r\n");
        assert_eq!(rig.http("GET", "/", &evil).0, 403);
        assert_eq!(rig.http("GET", "/", "Origin: https://dash.example\r\n").0, 200);
        rig.client().ask("?");
    });
}

#[test]
fn one_connection_too_many_is_answered_503() {
    run(json!({"limits": {"connections": 2}}), |rig| {
        let _clients = [rig.client(), rig.client()];
        assert_eq!(rig.http("GET", "/", "").0, 503);
    });
}

#[test]
fn messages_above_the_rate_or_the_size_are_not_done() {
    let config =
        json!({"stats_interval_ms": 60_000, "limits": {"messages_per_second": 5, "message_bytes": 2048}});
    run(config, |rig| {
        let mut client = rig.client();
        (0..50).for_each(|_| client.say_text("{}"));
        for _ in 0..5 {
            assert_eq!(client.hear(), json!({"error": "Unknown request type"}));
        }
        until("the rest is counted", || rig.metric("rejected_messages") >= 50.0);
        let mut client = rig.client();
        client.say_text(&"x".repeat(4096));
        assert_eq!(client.closed(), Some(1009));
    });
}

#[test]
fn pings_are_answered() {
    run(json!({"stats_interval_ms": 60_000}), |rig| {
        let mut client = rig.client();
        client.0.send(Message::Ping(vec![1, 2].into())).unwrap();
        assert_eq!(client.0.read().unwrap(), Message::Pong(vec![1, 2].into()));
    });
}

#[test]
fn metrics_say_how_many_are_there() {
    run(json!({}), |rig| {
        let client = rig.client();
        until("it is counted", || rig.metric("clients") == 1.0);
        drop(client);
        until("it is seen that it has gone", || rig.metric("clients") == 0.0);
    });
}

#[test]
fn stopping_lets_go_of_the_port_and_closes_viewers() {
    let host = Host::start(&gantry_plugin_v1, json!({"bind": "127.0.0.1:0"})).unwrap();
    let calls = host.calls();
    let url = calls[0].1["endpoints"][0]["url"].as_str().unwrap().to_owned();
    let address = url.split('/').nth(2).unwrap().to_owned();
    let stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let (mut socket, _) = tungstenite::client(url, stream).unwrap();
    let reading = std::thread::spawn(move || {
        loop {
            match socket.read() {
                Ok(Message::Close(frame)) => return frame.map(|frame| u16::from(frame.code)),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    host.stop();
    assert_eq!(reading.join().unwrap(), Some(1001));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn the_configuration_is_checked_before_anything_starts() {
    let findings =
        Host::validate(&gantry_plugin_v1, &json!({"time_zone": "Nowhere", "limits": {"connections": 0}}));
    let paths: Vec<_> = findings.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(paths, ["time_zone", "limits.connections"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let Err(error) = Host::start(&gantry_plugin_v1, json!({"bind": address})) else { panic!("it cannot") };
    assert!(error.contains("another program has this port"), "{error}");
}

#[test]
fn what_is_configured_for_nobody_is_said() {
    let config = json!({"bind": "127.0.0.1:0", "camera": "hall", "lines": ["door", "gaet"]});
    let mut host = Host::start(&gantry_plugin_v1, config).unwrap();
    let health = |host: &Host| host.health().expect("a report");
    let (level, text) = health(&host);
    assert_eq!(level, HEALTH_DEGRADED);
    assert!(text.ends_with("there is no camera `hall`: set `camera` to one of [cameras.NAME]"), "{text}");
    host.set_state("cameras/hall/connected", json!(false));
    let (level, text) = health(&host);
    assert_eq!(level, HEALTH_OK);
    assert!(text.ends_with("; nobody is counted, because there is no [analysis.hall]"), "{text}");
    host.set_state("analysis/hall", json!({"running": true}));
    host.set_state("counts/hall/lines/door/in", json!(0));
    let (level, text) = health(&host);
    assert_eq!(level, HEALTH_DEGRADED);
    assert!(text.ends_with("a line `gaet`: set `lines` to names of [analysis.hall.lines]"), "{text}");
    host.set_state("counts/hall/lines/gaet/in", json!(0));
    let (level, text) = health(&host);
    assert!(
        level == HEALTH_OK && text.starts_with("listening on 127.0.0.1:") && !text.contains(','),
        "{text}"
    );
}
