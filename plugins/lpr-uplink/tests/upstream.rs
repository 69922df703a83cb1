//! The plugin and what upstreams do to it.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{Door, PATIENCE, answer, id, request, run};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

const YES: &str = r#"{"success":true}"#;

#[test]
fn records_go_one_after_the_other_and_are_acknowledged_when_they_were_answered() {
    let door = Door::open();
    let store = run(json!({"url": door.url(), "api_key": "very-secret-key"}), |rig| {
        rig.store().fill(3);
        let mut peer = door.socket();
        peer.register();
        for n in 0..3 {
            let (_, name, body) = peer.event();
            assert_eq!(
                (name.as_str(), &body["number"], &body["record_id"]),
                ("lpr_data", &json!(n), &json!(id(n)))
            );
            rig.until("what was answered to be acknowledged", |store| store.acknowledged == n);
            peer.say(&format!(r#"42["lpr_response",{YES}]"#));
        }
        rig.until("all of it", |store| store.acknowledged == 3);
        rig.says("over Socket.IO; nothing waits");
        rig.until("its state", |store| store.state.get("plugins/up/sent") == Some(&json!(3)));
        let store = rig.store();
        assert_eq!(
            Value::Object(store.state.clone()),
            json!({"plugins/up/mode": "socketio", "plugins/up/backlog": 0, "plugins/up/oldest_age_s": 5,
                "plugins/up/last_error": "", "plugins/up/sent": 3})
        );
    });
    let store = store.lock().unwrap();
    assert!(store.state.values().all(Value::is_null), "nothing is left of it: {:?}", store.state);
}

#[test]
fn what_is_on_its_way_when_it_stops_is_answered_first() {
    let door = Door::open();
    let peer = Arc::new(Mutex::new(None));
    let held = peer.clone();
    let store = run(json!({"url": door.url()}), |rig| {
        rig.store().fill(2);
        let mut peer = door.socket();
        peer.register();
        peer.event();
        // The answer comes when it is about to stop.
        let answering = std::thread::spawn(move || {
            peer.say(&format!(r#"42["lpr_response",{YES}]"#));
            peer.end();
        });
        *held.lock().unwrap() = Some(answering);
    });
    let answering = peer.lock().unwrap().take().expect("a thread");
    answering.join().expect("it said good-bye");
    assert_eq!(store.lock().unwrap().acknowledged, 1, "what was answered, and no more");
}

#[test]
fn an_acknowledgement_that_is_not_heard_is_said_again_also_when_nothing_comes_after_it() {
    let door = Door::open();
    run(json!({"url": door.url()}), |rig| {
        rig.store().fill(1);
        rig.store().deaf = 2;
        let mut peer = door.socket();
        peer.register();
        peer.event();
        peer.say(&format!(r#"42["lpr_response",{YES}]"#));
        rig.until("it to be heard", |store| store.acknowledged == 1);
        assert_eq!(rig.store().deaf, 0);
    });
}

#[test]
fn a_late_answer_is_nobodys_and_what_comes_again_is_the_same() {
    let door = Door::open();
    run(json!({"url": door.url()}), |rig| {
        rig.store().fill(2);
        let mut peer = door.socket();
        peer.register();
        let (_, _, first) = peer.event();
        // It is not answered, and the connection is closed: whatever is said there now, nobody hears it.
        peer.end();
        let mut peer = door.socket();
        // Also not on the next one, before anything was asked.
        peer.say(&format!(r#"42["lpr_response",{YES}]"#));
        peer.say(&format!("439[{YES}]"));
        peer.register();
        let (_, _, again) = peer.event();
        assert_eq!((first.to_string(), rig.store().acknowledged), (again.to_string(), 0));
        peer.say(&format!(r#"42["lpr_response",{YES}]"#));
        assert_eq!(peer.event().2["number"], 1);
    });
}

#[test]
fn rest_carries_what_socket_io_does_not_over_one_connection() {
    let door = Door::open();
    run(
        json!({"url": format!("{}/in", door.url()), "api_key": "very-secret-key", "return_interval_s": 3600}),
        |rig| {
            rig.store().fill(2);
            let (head, _) = request(&mut door.accept());
            assert!(head.starts_with("GET /in/socket.io/?EIO=4&transport=websocket HTTP/1.1"), "{head}");
            // The connection is gone: no Socket.IO.
            let mut rest = door.accept();
            let (head, _) = request(&mut rest);
            assert!(head.starts_with("GET /in/api/test HTTP/1.1"), "{head}");
            answer(&mut rest, "200 OK", YES);
            let (head, body) = request(&mut rest);
            assert!(head.starts_with("POST /in/api/cameras/register HTTP/1.1"), "{head}");
            assert!(head.to_lowercase().contains("x-api-key: very-secret-key"));
            assert!(body.starts_with(r#"{"camera_id":7,"checkpoint_id":"c","timestamp":""#), "{body}");
            answer(&mut rest, "404 Not Found", "");
            for (n, status) in [(0, "200 OK"), (1, "201 Created")] {
                let (head, body) = request(&mut rest);
                assert!(head.starts_with("POST /in/api/detection HTTP/1.1"), "{head}");
                let body: Value = serde_json::from_str(&body).unwrap();
                assert_eq!(body["number"], n);
                answer(&mut rest, status, YES);
            }
            rig.until("both", |store| store.acknowledged == 2);
            rig.says("over REST");
            // It closes what is kept open; the next record opens another one without a word about it.
            drop(rest);
            rig.store().fill(1);
            let mut rest = door.accept();
            request(&mut rest);
            answer(&mut rest, "200 OK", YES);
            rig.until("the third", |store| store.acknowledged == 3);
            assert_eq!(rig.store().state["plugins/up/last_error"], "");
        },
    );
}

#[test]
fn redirects_are_not_followed() {
    let (door, trap) = (Door::open(), Door::open());
    run(json!({"url": door.url(), "api_key": "very-secret-key"}), |rig| {
        let away = format!("HTTP/1.1 302 Found\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n", trap.url());
        for _ in 0..2 {
            let mut stream = door.accept();
            request(&mut stream);
            stream.write_all(away.as_bytes()).unwrap();
        }
        rig.says("a redirect: set `url` to where it leads");
        assert!(!trap.has_visitors());
    });
}

#[test]
fn a_key_that_the_upstream_repeats_is_not_repeated_by_us() {
    let door = Door::open();
    run(json!({"url": door.url(), "api_key": "very-secret-key"}), |rig| {
        request(&mut door.accept());
        let mut rest = door.accept();
        request(&mut rest);
        answer(&mut rest, "401 Unauthorized", r#"{"message":"very-secret-key is\nno key of ours"}"#);
        rig.says("answers 401: … is no key of ours: check `api_key`");
        assert!(rig.store().logs.iter().all(|(_, line)| !line.contains("secret")));
    });
}

#[test]
fn what_is_too_much_ends_the_connection_and_not_the_plugin() {
    let huge = "x".repeat((1 << 20) + 1);
    for kind in ["a large message", "a flood", "no packet", "a large head"] {
        let door = Door::open();
        run(json!({"url": door.url(), "max_retries": 100}), |rig| {
            if kind == "a large head" {
                let mut stream = door.accept();
                request(&mut stream);
                let _ = stream.write_all(format!("HTTP/1.1 101 X\r\nA: {huge}").as_bytes());
            } else {
                let mut peer = door.socket();
                match kind {
                    "a large message" => _ = peer.0.send(tungstenite::Message::text(huge.clone())),
                    "no packet" => peer.say("hello"),
                    _ => while peer.0.send(tungstenite::Message::text("6")).is_ok() {},
                }
                peer.end();
            }
            // It is tried by REST, or again: it lives.
            let _ = request(&mut door.accept());
            rig.until("an error", |store| {
                store.state.get("plugins/up/last_error").is_some_and(|error| error.as_str() != Some(""))
            });
        });
    }
}

#[test]
fn answers_over_rest_are_bounded_in_size_and_time() {
    let door = Door::open();
    run(json!({"url": door.url(), "return_interval_s": 3600, "max_retries": 100}), |rig| {
        for way in ["endless", "dripping", "silent", "half", "nonsense"] {
            // Socket.IO, which is not there.
            request(&mut door.accept());
            let mut rest = door.accept();
            request(&mut rest);
            match way {
                "endless" => {
                    let _ = rest.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
                    let mut sum = 0;
                    while rest.write_all(chunk.as_bytes()).is_ok() {
                        sum += chunk.len();
                        assert!(sum < 64 << 20, "it reads for ever");
                    }
                }
                "dripping" => {
                    let _ = rest.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
                    while rest.write_all(b" ").is_ok() {
                        std::thread::sleep(std::time::Duration::from_millis(5));
                    }
                }
                "silent" => assert_eq!(rest.read(&mut [0]).unwrap_or(0), 0, "it hangs up"),
                "half" => drop(rest.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")),
                _ => drop(rest.write_all(b"SSH-2.0-OpenSSH\r\n\r\n")),
            }
        }
        rig.until("errors", |store| store.state.get("plugins/up/mode") == Some(&json!("offline")));
    });
}

#[test]
fn a_store_that_is_ill_is_asked_again_and_nothing_is_left_out() {
    let door = Door::open();
    run(json!({"url": door.url(), "batch": 2}), |rig| {
        rig.store().fill(2);
        let mut peer = door.socket();
        peer.register();
        for n in 0..5 {
            assert_eq!(peer.event().2["number"], n);
            if n == 1 {
                rig.store().broken = true;
            }
            peer.say(&format!(r#"42["lpr_response",{YES}]"#));
            if n == 1 {
                rig.until("a word about it", |store| {
                    store.logs.iter().any(|(_, line)| line.contains("the records cannot be read"))
                });
                let mut store = rig.store();
                store.broken = false;
                store.fill(3);
            }
        }
        rig.until("all of it", |store| store.acknowledged == 5);
    });
}

#[test]
fn what_has_no_words_in_the_protocol_is_set_aside_at_once() {
    let door = Door::open();
    run(json!({"url": door.url()}), |rig| {
        rig.store().put("detections", json!([1]));
        rig.store().fill(1);
        let mut peer = door.socket();
        peer.register();
        assert_eq!(peer.event().2["number"], 1);
        peer.say(&format!(r#"42["lpr_response",{YES}]"#));
        rig.until("both", |store| store.acknowledged == 2);
        let refused = rig.store().refused[0].clone();
        assert_eq!(
            (&refused["collection"], &refused["dedup_key"]),
            (&json!("refused"), &json!(format!("up:{}", id(0))))
        );
        assert_eq!(
            (&refused["data"]["reason"], &refused["data"]["record"]),
            (&json!("it is no JSON object"), &json!([1]))
        );
    });
}

#[test]
fn an_upstream_over_https_is_recognised_by_the_given_certificates_only() {
    let door = Door::open();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (ca, other) = (dir.path().join("ca.pem"), dir.path().join("other.pem"));
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();
    let server =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![made.cert.der().clone()],
                rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into(),
            )
            .unwrap();
    let server = Arc::new(server);
    let secure = |door: &Door| {
        let stream = door.accept();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        rustls::StreamOwned::new(rustls::ServerConnection::new(server.clone()).unwrap(), stream)
    };
    let url = format!("https://localhost:{}", door.port());
    run(json!({"url": url, "tls": {"ca_file": ca}}), |rig| {
        rig.store().fill(1);
        let (head, _) = request(&mut secure(&door));
        assert!(head.starts_with("GET /socket.io/"), "{head}");
        let mut rest = secure(&door);
        for _ in 0..3 {
            request(&mut rest);
            answer(&mut rest, "200 OK", YES);
        }
        rig.until("it", |store| store.acknowledged == 1);
    });
    run(json!({"url": url, "tls": {"ca_file": other}}), |rig| {
        for _ in 0..2 {
            let mut stream = secure(&door);
            assert!(stream.read(&mut [0]).is_err(), "it does not say a word");
        }
        rig.says("certificate");
    });
}

#[test]
fn a_ca_file_that_is_none_is_said_so_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, "nothing").unwrap();
    let config = json!({"url": "https://localhost:1", "tls": {"ca_file": file}});
    let Err(error) = gantry_plugin::test::Host::start(&gantry_lpr_uplink::gantry_plugin_v1, config) else {
        panic!("it starts")
    };
    assert!(error.contains("tls.ca_file") && error.contains("there is no certificate in it"), "{error}");
}
