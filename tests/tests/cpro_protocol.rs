//! The C Pro state control, message by message, as real clients see it.

use gantry_tests::cpro::{self, PASSWORD};
use gantry_tests::gateway::Setup;
use gantry_tests::raw::{Raw, head};
use gantry_tests::websocket::{Client, KINDS, Kind};
use gantry_tests::{http, until};
use serde_json::{Value, json};

/// Logs in with what the document's clients send; the answer is asserted.
fn operator(kind: Kind, url: &str) -> Client {
    let mut client = Client::connect(kind, url);
    let permissions = client.log_in("admin", PASSWORD);
    for permission in ["read:brightness", "write:brightness", "read:noise-supression", "write:record"] {
        assert!(
            permissions.contains(&json!(permission)),
            "{kind:?}: {permission} is missing in {permissions:?}"
        );
    }
    assert!(!permissions.contains(&json!("write:cam1-exists")), "{kind:?}: {permissions:?}");
    client
}

#[test]
fn nothing_is_sent_on_connect_and_who_has_no_name_reads_and_does_not_write() {
    let gateway = cpro::start(&cpro::one_camera());
    for kind in KINDS {
        for path in ["/api/v1", "/api", "/api/v1/", "/api?token="] {
            let mut client = Client::connect(kind, &format!("{}{path}", gateway.url("cpro")));
            // The first message is the answer to the first question.
            assert_eq!(
                client.ask(&json!({ "get": ["brightness"] })),
                r#"{"brightness":50}"#,
                "{kind:?} {path}"
            );
            let denied = r#"{"error":"Permission denied","key":"brightness","message":"Log in as operator"}"#;
            assert_eq!(client.ask(&json!({ "brightness": 75 })), denied, "{kind:?} {path}");
            assert_eq!(
                client.ask(&json!({ "get": ["brightness"] })),
                r#"{"brightness":50}"#,
                "{kind:?} {path}"
            );
            assert_eq!(client.close(1000), 1000, "{kind:?} {path}");
        }
    }
    let (status, _) = http::get(&cpro::address(&gateway), "/elsewhere");
    assert_eq!(status, 404);
}

#[test]
fn credentials_and_writes_that_come_back_to_back_are_handled_in_order() {
    let gateway = cpro::start(&cpro::one_camera());
    for (round, kind) in KINDS.into_iter().enumerate() {
        let (light, level) = (round == 0, 60 + round);
        let mut client = Client::connect(kind, &cpro::url(&gateway));
        client.send_all(&[
            json!({ "username": "admin", "password": PASSWORD }),
            json!({ "brightness": level }),
            json!({ "noise-supression": light }),
            json!({ "contrast": level }),
        ]);
        assert_eq!(client.next()["authenticated"], true, "{kind:?}");
        // What all are told comes after what the writer is told, and may come after more of that.
        let confirmations = [
            format!(r#"{{"brightness":{level},"info":["brightness"]}}"#),
            format!(r#"{{"noise-supression":{light},"info":["noise-supression"]}}"#),
            format!(r#"{{"contrast":{level},"info":["contrast"]}}"#),
        ];
        let told = [
            format!(r#"{{"brightness":{level}}}"#),
            format!(r#"{{"noise-supression":{light}}}"#),
            format!(r#"{{"contrast":{level}}}"#),
        ];
        let came: Vec<String> = (0..6).map(|_| client.text()).collect();
        let (confirmed, rest): (Vec<_>, Vec<_>) =
            came.iter().cloned().partition(|text| text.contains("info"));
        assert_eq!((confirmed, rest), (confirmations.to_vec(), told.to_vec()), "{kind:?}: {came:?}");
        for (confirmed, told) in confirmations.iter().zip(&told) {
            let at = |text| came.iter().position(|other| other == text);
            assert!(at(confirmed) < at(told), "{kind:?}: {came:?}");
        }
    }
}

#[test]
fn a_write_is_confirmed_to_its_writer_and_told_to_everybody_without_info() {
    let gateway = cpro::start(&cpro::one_camera());
    let url = cpro::url(&gateway);
    let mut readers =
        [cpro::anonymous(&gateway), Client::connect(Kind::Python, &url), operator(Kind::Node, &url)];
    for reader in &mut readers {
        // It is there.
        reader.send(&json!({ "get": ["contrast"] }));
        assert_eq!(reader.text(), r#"{"contrast":50}"#);
    }
    for kind in KINDS {
        let mut writer = operator(kind, &url);
        for level in [80, 20, 20] {
            let confirmed = format!(r#"{{"brightness":{level},"info":["brightness"]}}"#);
            assert_eq!(writer.ask(&json!({ "brightness": level })), confirmed, "{kind:?}");
            let told = format!(r#"{{"brightness":{level}}}"#);
            assert_eq!(writer.text(), told, "{kind:?}: the writer is told too");
            for reader in &readers {
                assert_eq!(reader.text(), told, "{kind:?}");
            }
        }
    }
}

#[test]
fn a_batch_is_one_confirmation_in_the_order_of_the_message() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut client = operator(Kind::Node, &cpro::url(&gateway));
    // The document's own example, as it is written there.
    let batch = r#"{"brightness":75,"contrast":60,"saturation":50,"sharpness":45}"#;
    client.send_text(batch);
    let confirmed = r#"{"brightness":75,"contrast":60,"saturation":50,"sharpness":45,"info":["brightness","contrast","saturation","sharpness"]}"#;
    assert_eq!(client.text(), confirmed);
    assert_eq!(client.next(), serde_json::from_str::<Value>(batch).expect("JSON"));
    // What is wrong in a batch is told key by key, and the rest of it holds.
    client.send_text(r#"{"gain":10,"nope":1,"contrast":"high","cam1-exists":false,"saturation":40}"#);
    assert_eq!(client.text(), r#"{"gain":10,"saturation":40,"info":["gain","saturation"]}"#);
    let mut rest = vec![client.next(), client.next(), client.next(), client.next()];
    let at = rest.iter().position(|m| m["error"].is_null()).expect("what all are told");
    assert_eq!(rest.remove(at), json!({ "gain": 10, "saturation": 40 }));
    assert_eq!(
        rest,
        [
            json!({ "error": "Unknown key", "key": "nope" }),
            json!({ "error": "Invalid value", "key": "contrast", "message": "Value must be a whole number" }),
            json!({ "error": "Permission denied", "key": "cam1-exists", "message": "This key can only be read" }),
        ]
    );
    // A batch of which nothing holds has no confirmation.
    client.send_text(r#"{"nope":1}"#);
    assert_eq!(client.text(), r#"{"error":"Unknown key","key":"nope"}"#);
    assert_eq!(client.get("saturation"), 40);
}

#[test]
fn a_query_is_answered_with_what_is_asked_for_after_the_writes_of_its_message() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut client = operator(Kind::Python, &cpro::url(&gateway));
    client.send(&json!({ "get": ["brightness", "contrast", "resolution", "record"] }));
    // The document's answer has the same keys and no more.
    assert_eq!(client.text(), r#"{"brightness":50,"contrast":50,"resolution":"320x240","record":false}"#);
    client.send_text(r#"{"get":["contrast","nope","brightness"],"brightness":33}"#);
    assert_eq!(client.text(), r#"{"brightness":33,"info":["brightness"]}"#);
    let mut rest = vec![client.text(), client.text(), client.text()];
    rest.sort();
    let answered = [
        r#"{"brightness":33}"#,
        r#"{"contrast":50,"brightness":33}"#,
        r#"{"error":"Unknown key","key":"nope"}"#,
    ];
    assert_eq!(rest, answered);
    assert_eq!(client.ask(&json!({ "get": [] })), "{}");
    // JSON in a binary message is read like text.
    client.send_binary("eyJnZXQiOlsiYnJpZ2h0bmVzcyJdfQ==");
    assert_eq!(client.text(), r#"{"brightness":33}"#);
}

#[test]
fn each_error_is_as_the_document_writes_it_and_ends_nothing() {
    let gateway = cpro::start(&cpro::one_camera());
    for kind in KINDS {
        let mut stranger = Client::connect(kind, &cpro::url(&gateway));
        let wrong = r#"{"authenticated":false,"error":"Authentication failed"}"#;
        assert_eq!(stranger.ask(&json!({ "username": "admin", "password": "wrong" })), wrong, "{kind:?}");
        assert_eq!(stranger.ask(&json!({ "token": "never-given" })), wrong, "{kind:?}");
        assert_eq!(stranger.ask(&json!({ "username": "admin" })), wrong, "{kind:?}");
        let denied = r#"{"error":"Permission denied","key":"record","message":"Log in as operator"}"#;
        assert_eq!(stranger.ask(&json!({ "record": true })), denied, "{kind:?}");

        let mut client = operator(kind, &cpro::url(&gateway));
        for (sent, answer) in [
            (
                r#"{"brightness":150}"#,
                r#"{"error":"Invalid value","key":"brightness","message":"Value must be between 0 and 100"}"#,
            ),
            (
                r#"{"fps":61}"#,
                r#"{"error":"Invalid value","key":"fps","message":"Value must be between 5 and 60"}"#,
            ),
            (
                r#"{"cam1-exists":false}"#,
                r#"{"error":"Permission denied","key":"cam1-exists","message":"This key can only be read"}"#,
            ),
            (r#"{"brightnes":50}"#, r#"{"error":"Unknown key","key":"brightnes"}"#),
            (r#"{"get":["brightnes"]}"#, r#"{"error":"Unknown key","key":"brightnes"}"#),
            (r#"{"brightness":}"#, r#"{"error":"Invalid JSON"}"#),
            ("brightness", r#"{"error":"Invalid JSON"}"#),
        ] {
            client.send_text(sent);
            assert_eq!(client.text(), answer, "{kind:?}");
        }
        // A failed login ends the one before it.
        assert_eq!(client.ask(&json!({ "username": "admin", "password": "wrong" })), wrong, "{kind:?}");
        assert_eq!(client.ask(&json!({ "record": true })), denied, "{kind:?}");
        client.log_in("admin", PASSWORD);
    }
}

#[test]
fn a_client_that_sends_too_fast_is_told_and_keeps_its_connection() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut fast = Raw::connect(&cpro::address(&gateway), "/api/v1");
    let (mut answered, mut told) = (0, 0);
    // Reads what there is up to the pong, and says whether the second question was among it.
    let mut drain = |fast: &mut Raw| {
        fast.write(&head(0x89, 0)).expect("sent");
        let mut second = false;
        loop {
            match fast.frame().expect("the connection is kept") {
                (0x8a, _) => return second,
                (_, text) => match String::from_utf8_lossy(&text).as_ref() {
                    r#"{"brightness":50}"# => answered += 1,
                    r#"{"error":"Rate limit exceeded"}"# => told += 1,
                    r#"{"contrast":50}"# => second = true,
                    other => panic!("{other}"),
                },
            }
        }
    };
    fast.send_all(std::iter::repeat_n(r#"{"get":["brightness"]}"#, 1000));
    drain(&mut fast);
    until("an answer within the rate", || {
        fast.send(r#"{"get":["contrast"]}"#);
        drain(&mut fast).then_some(())
    });
    // What does not read is not told each time; this one reads in the end.
    assert!(answered >= 100, "{answered} were answered, {told} refused");
    assert!(told > 0, "{answered} were answered, {told} refused");
    // Others have their own rate.
    assert_eq!(cpro::anonymous(&gateway).ask(&json!({ "get": ["brightness"] })), r#"{"brightness":50}"#);
}

#[test]
fn recording_is_told_as_the_document_writes_it() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut client = operator(Kind::Node, &cpro::url(&gateway));
    let mut reader = cpro::anonymous(&gateway);
    assert_eq!(reader.ask(&json!({ "get": ["record"] })), r#"{"record":false}"#);
    for (sent, told) in [
        (json!(true), "true"),
        (json!("pause"), r#""pause""#),
        (json!("pause_release"), "true"),
        (json!("on"), "true"),
        (json!("off"), "false"),
        (json!("on"), "true"),
        (json!("pause"), r#""pause""#),
        (json!(true), "true"),
        (json!(false), "false"),
        (json!(false), "false"),
    ] {
        let confirmed = format!(r#"{{"record":{told},"info":["record"]}}"#);
        assert_eq!(client.ask(&json!({ "record": sent })), confirmed, "{sent}");
        let told = format!(r#"{{"record":{told}}}"#);
        assert_eq!((client.text(), reader.text()), (told.clone(), told), "{sent}");
    }
    for wrong in [json!("pause"), json!("pause_release"), json!("start"), json!(1), Value::Null] {
        client.send(&json!({ "record": wrong }));
        let answer = client.next();
        assert_eq!(
            (&answer["error"], &answer["key"]),
            (&json!("Invalid value"), &json!("record")),
            "{answer}"
        );
        assert!(answer["message"].is_string(), "{answer}");
    }
    assert_eq!(client.get("record"), false);
}

#[test]
fn what_cannot_be_done_is_missing_and_not_pretended() {
    // There is one camera, and no light.
    let gateway = cpro::start(&cpro::one_camera());
    let mut client = operator(Kind::Node, &cpro::url(&gateway));
    for key in ["cam1-light", "cam2-light", "main-camera", "cam2-sensor", "pip-mode"] {
        client.send(&json!({ (key): true }));
        let answer = client.next();
        assert!(answer["error"].is_string() && answer["key"] == key && answer["info"].is_null(), "{answer}");
    }
    assert_eq!(client.get("cam1-exists"), true);
    assert_eq!(client.get("cam2-exists"), false);
}

#[test]
fn five_hundred_clients_hold_and_each_is_told() {
    let gateway = cpro::start(&cpro::one_camera());
    let address = cpro::address(&gateway);
    let mut readers: Vec<Raw> = (0..500).map(|_| Raw::connect(&address, "/api/v1")).collect();
    let mut client = operator(Kind::Node, &cpro::url(&gateway));
    for level in [81, 82, 83] {
        client.send(&json!({ "brightness": level }));
        for (n, reader) in readers.iter_mut().enumerate() {
            assert_eq!(reader.text(), format!(r#"{{"brightness":{level}}}"#), "reader {n}");
        }
    }
    until("all to be counted", || (gateway.metric("gantry_plugin_clients", "cpro") == 501.0).then_some(()));
    drop(readers);
    until("all to be gone", || (gateway.metric("gantry_plugin_clients", "cpro") == 1.0).then_some(()));
    assert_eq!(client.get("brightness"), 83);
}

#[test]
fn it_speaks_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(&certificate, pair.cert.pem()).expect("written");
    std::fs::write(&key, pair.signing_key.serialize_pem()).expect("written");
    let tls = format!("tls = {{ certificate = {certificate:?}, key = {key:?} }}\n");
    let setup = Setup::with_config(&(cpro::one_camera() + &tls)).user("admin", "administrator");
    let gateway = setup.start_ready();
    let url = cpro::url(&gateway);
    assert!(url.starts_with("wss://"), "{url}");
    for (kind, options) in
        [(Kind::Node, json!({ "ca": pair.cert.pem() })), (Kind::Python, json!({ "ca": certificate }))]
    {
        let mut client = Client::connect_with(kind, &url, &options);
        client.log_in("admin", PASSWORD);
        assert_eq!(client.ask(&json!({ "gain": 70 })), r#"{"gain":70,"info":["gain"]}"#, "{kind:?}");
    }
    // Who does not know the certificate does not connect.
    assert!(Client::attempt(Kind::Node, &url, &json!({})).is_err());
}
