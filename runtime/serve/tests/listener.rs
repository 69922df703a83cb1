//! The listener: binding, TLS, limits, slow peers, draining.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{Answer, Options, Rig, connect, connect_from, write_request};
use gantry_serve::{Limits, Listener, Tls};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let first = Listener::bind(free, None, &Limits::default()).unwrap();
    let Err(error) = Listener::bind(first.address(), None, &Limits::default()) else { panic!() };
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on {}: another program", first.address())), "{text}");
    assert!(first.url("http", "/x").starts_with("http://127.0.0.1:"));
}

struct Pair {
    _dir: tempfile::TempDir,
    tls: Tls,
    certificate: rustls::pki_types::CertificateDer<'static>,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    Pair { _dir: dir, tls, certificate: made.cert.der().clone() }
}

fn tls_client(
    address: SocketAddr,
    pair: &Pair,
) -> rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pair.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    rustls::StreamOwned::new(connection, connect(address))
}

#[test]
fn tls_carries_requests_and_websockets() {
    let pair = pair();
    let rig = Rig::with(Options { tls: Some(pair.tls.clone()), ..Options::default() });
    let mut stream = tls_client(rig.address, &pair);
    write_request(&mut stream, "POST", "/echo", &[], &vec![b'x'; 200_000]);
    assert_eq!(Answer::read(&mut stream).body.len(), 200_000);
    let stream = tls_client(rig.address, &pair);
    let url = "wss://localhost/socket.io/?EIO=4&transport=websocket";
    let (mut ws, _) = tungstenite::client(url, stream).expect("a WebSocket under TLS");
    assert!(ws.read().unwrap().into_text().unwrap().starts_with("0{"));
    ws.send("40".into()).unwrap();
    assert!(ws.read().unwrap().into_text().unwrap().starts_with("40{"));
    assert!(ws.read().unwrap().into_text().unwrap().starts_with("42["));
    let large = gantry_serve::socketio::Message::event("large", &"x".repeat(500_000));
    rig.server.publish(Arc::new(large));
    assert_eq!(ws.read().unwrap().into_text().unwrap().len(), 500_000 + 14);
}

#[test]
fn who_does_not_speak_tls_is_counted_and_harms_nobody() {
    let pair = pair();
    let rig = Rig::with(Options { tls: Some(pair.tls.clone()), ..Options::default() });
    let mut plain = rig.connect();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    rig.until("it is counted", || rig.counters.failed_handshakes() == 1);
    let mut stream = tls_client(rig.address, &pair);
    write_request(&mut stream, "GET", "/none", &[], b"");
    assert_eq!(Answer::read(&mut stream).status, 404);
}

#[test]
fn tls_files_that_are_none_say_which_and_why() {
    let (one, other) = (pair(), pair());
    let error = |tls: &Tls| tls.load().expect_err("it is wrong").to_string();
    let missing = Tls { certificate: "/nowhere/cert.pem".into(), ..one.tls.clone() };
    assert!(error(&missing).starts_with("cannot read the certificate /nowhere/cert.pem: "));
    let empty = Tls { certificate: one.tls.key.clone(), ..one.tls.clone() };
    let text = error(&empty);
    assert!(
        text.starts_with("cannot read the certificate ") && text.contains("there is none in it"),
        "{text}"
    );
    let swapped = Tls { certificate: one.tls.key.clone(), key: one.tls.certificate.clone() };
    assert!(error(&swapped).contains("there is none in it"), "{}", error(&swapped));
    let mixed = Tls { certificate: one.tls.certificate.clone(), key: other.tls.key.clone() };
    assert!(error(&mixed).ends_with("make them a pair"), "{}", error(&mixed));
}

#[test]
fn connections_beyond_the_limit_are_answered_503_and_counted() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let rig = Rig::with(Options { limits, ..Options::default() });
    let mut first = rig.connect();
    write_request(&mut first, "GET", "/none", &[], b"");
    assert_eq!(Answer::read(&mut first).status, 404);
    let answer = rig.get("/none");
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(rig.counters.refused_connections(), 1);
    drop(first);
    rig.until("there is room again", || rig.get("/none").status == 404);
}

#[test]
fn connections_beyond_the_limit_of_one_address_are_answered_503_and_others_come_in() {
    let limits = Limits { connections_per_address: 1, ..Limits::default() };
    let rig = Rig::with(Options { limits, ..Options::default() });
    let ask = |stream: &mut std::net::TcpStream| {
        write_request(stream, "GET", "/none", &[], b"");
        Answer::read(stream)
    };
    let mut first = rig.connect();
    assert_eq!(ask(&mut first).status, 404);
    let answer = ask(&mut rig.connect());
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    assert!(String::from_utf8_lossy(&answer.body).contains("from your address"));
    assert_eq!(rig.counters.refused_connections(), 1);
    assert_eq!(ask(&mut connect_from([127, 0, 0, 2], rig.address)).status, 404);
    assert_eq!(ask(&mut first).status, 404, "who is in stays in");
    drop(first);
    rig.until("there is room again", || ask(&mut rig.connect()).status == 404);
}

#[test]
fn requests_for_a_name_that_is_not_listed_are_refused_also_those_for_a_websocket() {
    let rig = Rig::with(Options { hosts: vec!["gateway.local".into()], ..Options::default() });
    let ask = |head: &str| {
        let mut stream = rig.connect();
        stream.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
        Answer::read(&mut stream).status
    };
    assert_eq!(ask("GET /none HTTP/1.1\r\nHost: gateway.local:3000"), 404);
    assert_eq!(ask("GET /none HTTP/1.1\r\nHost: evil.example"), 421);
    assert_eq!(ask("GET /none HTTP/1.0"), 421, "one that does not say");
    assert_eq!(ask("GET http://evil.example/none HTTP/1.1\r\nHost: gateway.local"), 421);
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let socket = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1";
    assert_eq!(ask(&format!("{socket}\r\nHost: evil.example\r\n{upgrade}")), 421);
    assert_eq!(ask(&format!("{socket}\r\nHost: gateway.local\r\n{upgrade}")), 101);
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let limits = Limits { handshake_seconds: 1, ..Limits::default() };
    let rig = Rig::with(Options { limits, ..Options::default() });
    let mut slow = rig.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
    let mut rest = Vec::new();
    // The end of the stream is the server's doing: this side says nothing more and closes nothing.
    slow.read_to_end(&mut rest).expect("it ends before the test loses patience");
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let rig = Rig::new();
    let mut stream = rig.connect();
    write_request(&mut stream, "GET", "/none", &[("X", &"x".repeat(100_000))], b"");
    assert_eq!(Answer::read(&mut stream).status, 431);
}

#[test]
fn all_bodies_together_are_bounded() {
    let limits = Limits { incomplete_bytes: 65_536, ..Limits::default() };
    let rig = Rig::with(Options { limits, ..Options::default() });
    assert_eq!(rig.post("/echo", vec![0; 100_000]).status, 503);
    assert_eq!(rig.post("/echo", vec![0; 50_000]).status, 200, "what was held is given back");
}

#[test]
fn a_request_in_progress_is_answered_while_the_listener_drains() {
    let mut rig = Rig::new();
    let mut stream = rig.connect();
    let body = [b'x'; 10];
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    let mut interim = [0; 25];
    // The server asks for the body: so it has the request.
    stream.read_exact(&mut interim).unwrap();
    let client = std::thread::spawn(move || {
        std::thread::yield_now();
        stream.write_all(&body).unwrap();
        Answer::read(&mut stream).status
    });
    assert!(rig.stop(), "it ends in time");
    assert_eq!(client.join().unwrap(), 200);
    assert!(std::net::TcpStream::connect(rig.address).is_err(), "nobody listens any more");
}

/// Sends all of it before it looks at the answer, as many clients do.
fn send_and_read(rig: &Rig, head: &str, body: &[u8]) -> Answer {
    let mut stream = connect(rig.address);
    stream.write_all(format!("POST /echo HTTP/1.1\r\nHost: test\r\n{head}\r\n").as_bytes()).unwrap();
    stream.write_all(body).expect("it is read, wanted or not");
    Answer::read(&mut stream)
}

#[test]
fn who_sends_a_body_that_nobody_wants_to_its_end_sees_the_answer() {
    let limits = Limits { message_bytes: 4 << 20, connections: 2, ..Limits::default() };
    let narrow = Limits { incomplete_bytes: 1 << 20, ..limits.clone() };
    let rig = Rig::with(Options { limits, ..Options::default() });
    // More than sockets hold, so that it would fail if nobody read it.
    let large = vec![b'x'; 12 << 20];
    let length = |body: &[u8]| format!("Content-Length: {}\r\n", body.len());
    assert_eq!(send_and_read(&rig, &length(&large), &large).status, 413);
    let chunk = [format!("{:x}\r\n", large.len()).as_bytes(), &large[..], b"\r\n0\r\n\r\n"].concat();
    assert_eq!(send_and_read(&rig, "Transfer-Encoding: chunked\r\n", &chunk).status, 413);
    let narrow = Rig::with(Options { limits: narrow, ..Options::default() });
    let more_than_all_may = &large[..3 << 20];
    assert_eq!(send_and_read(&narrow, &length(more_than_all_may), more_than_all_may).status, 503);
    assert_eq!(send_and_read(&rig, &length(b"x"), b"x").status, 200, "and it serves on");
    let held: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(rig.address);
            write_request(&mut stream, "GET", "/nothing", &[], b"");
            assert_eq!(Answer::read(&mut stream).status, 404);
            stream
        })
        .collect();
    let small = &large[..256 << 10];
    assert_eq!(send_and_read(&rig, &length(small), small).status, 503, "it is one connection too many");
    // One that never sends the rest is answered as well.
    let mut slow = connect(rig.address);
    slow.write_all(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nx").unwrap();
    assert_eq!(Answer::read(&mut slow).status, 503);
    drop(held);
}

#[test]
fn who_asks_first_is_not_told_to_send_a_body_that_nobody_wants() {
    let limits = Limits { message_bytes: 1000, ..Limits::default() };
    let rig = Rig::with(Options { limits, ..Options::default() });
    let ask = |length: usize| {
        let mut stream = connect(rig.address);
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        Answer::read(&mut stream).status
    };
    assert_eq!((ask(1000), ask(1001)), (100, 413));
}

#[test]
fn a_body_without_an_end_that_nobody_wants_is_read_no_further_than_its_bound() {
    let limits = Limits { message_bytes: 1 << 20, ..Limits::default() };
    let rig = Rig::with(Options { limits, ..Options::default() });
    let mut stream = connect(rig.address);
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk = [&b"10000\r\n"[..], &vec![b'x'; 1 << 16], b"\r\n"].concat();
    // Four times what is allowed, and what sockets hold of it.
    let sent = (0..).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    assert!(sent >= 16 && sent << 16 < 64 << 20, "{sent} chunks");
}
