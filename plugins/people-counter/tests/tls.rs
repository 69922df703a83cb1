//! The same under TLS: `wss://`.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::run;
use serde_json::{Value, json};
use std::sync::Arc;
use tungstenite::Message;

#[test]
fn tls_carries_frames_and_answers() {
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
    run(json!({"tls": {"certificate": certificate, "key": key}}), |rig| {
        rig.gateway().faces = vec![(1, Some("A".repeat(40_000)))];
        let name = "localhost".try_into().unwrap();
        let session = rustls::ClientConnection::new(client.clone(), name).unwrap();
        let url = format!("wss://localhost{}/", &rig.address[rig.address.find(':').unwrap()..]);
        let stream = rustls::StreamOwned::new(session, rig.connect());
        let (mut socket, _) = tungstenite::client(url, stream).expect("a WebSocket under TLS");
        socket.send(Message::text(r#"{"type":"get_face","face_id":1}"#)).unwrap();
        let (mut frame, mut face) = (false, false);
        while !frame || !face {
            rig.film("main/jpeg", &[7; 100_000]);
            let text = socket.read().unwrap().into_text().unwrap();
            let message: Value = serde_json::from_str(&text).unwrap();
            frame |= message["type"] == "frame";
            face |=
                message["type"] == "face_image" && message["image_data"].as_str().unwrap().len() == 40_000;
        }
    });
}
