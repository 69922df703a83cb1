//! The same under TLS: `wss://` and `https://`.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::run;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use tungstenite::Message;

#[test]
fn tls_carries_the_login_and_the_connection() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Arc::new(client);
    let secure = |stream: TcpStream| {
        let name = "localhost".try_into().unwrap();
        rustls::StreamOwned::new(rustls::ClientConnection::new(client.clone(), name).unwrap(), stream)
    };
    run(json!({"tls": {"certificate": certificate, "key": key}}), |rig| {
        let body = r#"{"username":"admin","password":"pass"}"#;
        let mut https = secure(rig.connect());
        let request = format!(
            "POST /api/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        https.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = https.read_to_string(&mut answer);
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let token = serde_json::from_str::<Value>(body).expect(body)["token"].clone();

        let url = format!("wss://localhost{}/api/v1", &rig.address[rig.address.find(':').unwrap()..]);
        let (mut socket, _) = tungstenite::client(url, secure(rig.connect())).expect("a WebSocket under TLS");
        socket.send(Message::text(json!({"token": token, "fps": 9}).to_string())).unwrap();
        let mut hear =
            || -> Value { serde_json::from_str(&socket.read().unwrap().into_text().unwrap()).unwrap() };
        assert_eq!(hear()["authenticated"], true);
        assert_eq!(hear(), json!({"fps": 9, "info": ["fps"]}));
        assert_eq!(hear(), json!({"fps": 9}));
    });
}
