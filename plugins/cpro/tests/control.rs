//! The protocol over WebSocket: the whole plugin behind the real border.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{Rig, run, run_with, until};
use gantry_plugin::abi;
use serde_json::{Value, json};
use tungstenite::Message;

/// A change that nobody connected has made.
fn change(rig: &Rig, values: Value) {
    let Value::Object(values) = values else { panic!("{values}") };
    rig.gateway().change(values);
}

#[test]
fn credentials_and_writes_sent_back_to_back_are_done_in_their_order() {
    run(json!({}), |rig| {
        let mut client = rig.client();
        client.say(json!({"brightness": 1}));
        client.say(json!({"username": "admin", "password": "pass"}));
        client.say(json!({"brightness": 75}));
        client.say(json!({"contrast": 60, "fps": 25}));
        client.say(json!({"get": ["contrast", "brightness"]}));
        // Three answers to three writes and two broadcasts, one to the login, one to the query.
        let heard: Vec<_> = (0..7).map(|_| client.hear()).collect();
        assert_eq!(heard[0], json!({"error": "Permission denied", "key": "brightness"}), "nothing before it");
        assert_eq!(heard[1]["authenticated"], true);
        assert!(heard[1]["permissions"].as_array().unwrap().contains(&json!("write:brightness")));
        let at = |message: Value| heard.iter().position(|heard| *heard == message).expect("it is heard");
        let first = at(json!({"brightness": 75, "info": ["brightness"]}));
        let second = at(json!({"contrast": 60, "fps": 25, "info": ["contrast", "fps"]}));
        assert!(first < at(json!({"brightness": 75})), "a broadcast comes after its confirmation");
        assert!(second < at(json!({"contrast": 60, "fps": 25})));
        assert!(first < second && second < at(json!({"contrast": 60, "brightness": 75})));
    });
}

#[test]
fn every_client_hears_of_a_change_and_the_writer_first_of_his_confirmation() {
    run(json!({}), |rig| {
        let (mut writer, mut reader) = (rig.operator(), rig.client());
        reader.hears_nothing();
        for value in 0..60 {
            writer.say(json!({"brightness": value}));
            let confirmed = json!({"brightness": value, "info": ["brightness"]});
            writer.hears(&[confirmed, json!({"brightness": value})]);
            reader.hears(&[json!({"brightness": value})]);
        }
        change(rig, json!({"fps": 15}));
        writer.hears(&[json!({"fps": 15})]);
        reader.hears(&[json!({"fps": 15})]);
    });
}

#[test]
fn a_batch_is_confirmed_once_and_what_is_refused_beside_it_is_told_key_by_key() {
    run(json!({}), |rig| {
        let mut client = rig.operator();
        client.say_text(r#"{"contrast":60,"volume":1,"brightness":150,"cam1-exists":0,"fps":10}"#);
        client.hears(&[
            json!({"contrast": 60, "fps": 10, "info": ["contrast", "fps"]}),
            json!({"error": "Unknown key", "key": "volume"}),
            json!({"error": "Invalid value", "key": "brightness", "message": "Value must be between 0 and 100"}),
            json!({"error": "Permission denied", "key": "cam1-exists"}),
            json!({"contrast": 60, "fps": 10}),
        ]);
    });
}

#[test]
fn nobody_hears_of_what_he_may_not_read() {
    run(json!({}), |rig| {
        let (mut anybody, mut operator) = (rig.client(), rig.operator());
        anybody.say(json!({"get": ["gain", "fps"]}));
        anybody.hears(&[json!({"fps": 30}), json!({"error": "Unknown key", "key": "gain"})]);
        change(rig, json!({"gain": 20}));
        change(rig, json!({"gain": 21, "fps": 5}));
        operator.hears(&[json!({"gain": 20}), json!({"gain": 21, "fps": 5})]);
        anybody.hears(&[json!({"fps": 5})]);
        anybody.say(json!({"username": "admin", "password": "pass"}));
        anybody.hear();
        change(rig, json!({"gain": 22}));
        anybody.hears(&[json!({"gain": 22})]);
        anybody.say(json!({"username": "guest", "password": "pass"}));
        anybody.hear();
        change(rig, json!({"gain": 23}));
        operator.hears(&[json!({"gain": 22}), json!({"gain": 23})]);
        anybody.hears_nothing();
    });
}

#[test]
fn a_failed_login_leaves_the_connection_anonymous_and_usable() {
    run(json!({}), |rig| {
        let mut client = rig.client();
        let failed = json!({"authenticated": false, "error": "Authentication failed"});
        for wrong in [
            json!({"username": "admin", "password": "no"}),
            json!({"username": "eager", "password": "pass"}),
            json!({"token": "invented"}),
            json!({"username": "admin"}),
            json!({"token": null}),
        ] {
            client.say(wrong);
            client.hears(std::slice::from_ref(&failed));
        }
        client.say(json!({"get": ["fps"]}));
        client.hears(&[json!({"fps": 30})]);
    });
}

#[test]
fn what_is_malformed_is_answered_and_the_connection_is_kept() {
    let host = run(json!({}), |rig| {
        let mut client = rig.operator();
        let deep = format!("{{\"a\":{}", "[".repeat(60_000));
        for text in ["", "{", "brightness", r#"{"fps":NaN}"#, &deep] {
            client.say_text(text);
            client.hears(&[json!({"error": "Invalid JSON"})]);
        }
        client.say_text("[1]");
        client.hears(&[json!({"error": "Invalid JSON", "message": "Send one JSON object"})]);
        let keys: serde_json::Map<_, _> = (0..10_000).map(|i| (format!("key{i}"), json!(i))).collect();
        client.say(Value::Object(keys));
        let why = json!({"error": "Invalid value", "message": "A message may have at most 65536 bytes"});
        client.hears(&[why]);
        client.0.send(Message::binary(&b"\xff\xfe"[..])).unwrap();
        client.hears(&[json!({"error": "Invalid JSON"})]);
        client.0.send(Message::binary(&b"{\"get\":\"fps\"}"[..])).unwrap();
        client.hears(&[json!({"fps": 30})]);
    });
    until("what was malformed is counted", || host.metric("rejected_messages") == Some(8.0));
}

#[test]
fn a_thousand_refusals_are_one_piece_that_no_queue_is_too_small_for() {
    run(json!({}), |rig| {
        let mut client = rig.client();
        let keys: serde_json::Map<_, _> = (0..1000).map(|i| (format!("k{i}"), json!(i))).collect();
        client.say(Value::Object(keys));
        for i in 0..1000 {
            assert_eq!(client.hear(), json!({"error": "Unknown key", "key": format!("k{i}")}));
        }
    });
}

#[test]
fn a_message_that_is_far_too_large_closes_its_connection_and_no_other() {
    run(json!({}), |rig| {
        let (mut large, mut other) = (rig.client(), rig.client());
        let _ = large.0.send(Message::text("x".repeat(2 << 20)));
        assert_eq!(large.closed(), Some(1009));
        other.say(json!({"get": "fps"}));
        other.hears(&[json!({"fps": 30})]);
    });
}

#[test]
fn above_the_rate_each_message_is_answered_with_that_and_the_connection_is_kept() {
    run(json!({"limits": {"messages_per_second": 5}}), |rig| {
        let mut client = rig.client();
        for _ in 0..40 {
            client.say(json!({"get": "fps"}));
        }
        let answers: Vec<_> = (0..40).map(|_| client.hear()).collect();
        let over = json!({"error": "Rate limit exceeded"});
        assert!(answers[..5].iter().all(|answer| *answer == json!({"fps": 30})), "{answers:?}");
        assert!(answers.contains(&over));
        until("the rate allows again", || {
            client.say(json!({"get": "fps"}));
            client.hear() == json!({"fps": 30})
        });
    });
}

#[test]
fn after_a_gap_everybody_gets_everything_that_he_may_read() {
    let host = run(json!({}), |rig| {
        let (mut anybody, mut operator) = (rig.client(), rig.operator());
        anybody.hears_nothing();
        change(rig, json!({"fps": 31}));
        anybody.hears(&[json!({"fps": 31})]);
        operator.hears(&[json!({"fps": 31})]);
        rig.gateway().lose = 2;
        change(rig, json!({"gain": 99}));
        change(rig, json!({"brightness": 98}));
        change(rig, json!({"fps": 33}));
        let all = json!({"brightness": 98, "contrast": 50, "fps": 33, "cam1-exists": 1});
        anybody.hears(std::slice::from_ref(&all));
        let mut more = all;
        more["gain"] = json!(99);
        operator.hears(&[more]);
        change(rig, json!({"fps": 34}));
        anybody.hears(&[json!({"fps": 34})]);
        operator.hears(&[json!({"fps": 34})]);
    });
    assert_eq!(host.metric("resyncs"), Some(1.0));
}

#[test]
fn reading_anew_after_a_gap_is_tried_until_it_succeeds_and_changes_go_on_meanwhile() {
    run(json!({}), |rig| {
        let mut client = rig.client();
        client.hears_nothing();
        change(rig, json!({"fps": 31}));
        client.hears(&[json!({"fps": 31})]);
        rig.gateway().unreadable = 1;
        rig.gateway().lose = 1;
        change(rig, json!({"brightness": 98}));
        change(rig, json!({"fps": 32}));
        let all = json!({"brightness": 98, "contrast": 50, "fps": 32, "cam1-exists": 1});
        client.hears(&[json!({"fps": 32}), all]);
    });
}

#[test]
fn a_service_that_fails_is_told_for_each_key() {
    run(json!({}), |rig| {
        let mut client = rig.client();
        rig.gateway().unreadable = 1;
        client.say(json!({"get": ["fps", "gain"]}));
        let told = |key| json!({"error": "Unavailable", "key": key, "message": "The gateway cannot answer now: try again"});
        client.hears(&[told("fps"), told("gain")]);
        client.say(json!({"get": "fps"}));
        client.hears(&[json!({"fps": 30})]);
    });
}

#[test]
fn who_is_logged_out_elsewhere_is_told_and_hears_only_what_is_public_from_then_on() {
    run(json!({}), |rig| {
        let (mut one, mut two) = (rig.operator(), rig.operator());
        let first = rig.gateway().tokens.keys().next().unwrap().clone();
        rig.gateway().tokens.remove(&first);
        rig.gateway().access_changed();
        one.hears(&[json!({"authenticated": false, "error": "Session ended"})]);
        change(rig, json!({"gain": 1}));
        two.hears(&[json!({"gain": 1})]);
        one.hears_nothing();
        one.say(json!({"fps": 1}));
        one.hears(&[json!({"error": "Permission denied", "key": "fps"})]);
    });
}

#[test]
fn a_session_that_a_message_began_ends_with_its_connection() {
    run(json!({}), |rig| {
        let mut client = rig.operator();
        assert_eq!(rig.gateway().tokens.len(), 1);
        client.0.close(None).unwrap();
        client.closed();
        until("the session ends", || rig.gateway().tokens.is_empty());
    });
}

#[test]
fn a_client_that_does_not_read_is_closed_and_costs_the_others_nothing() {
    let host = run(json!({"limits": {"queue_messages": 8, "queue_bytes": 4096}}), |rig| {
        let (_stuck, mut quick) = (rig.client(), rig.client());
        quick.hears_nothing();
        let long = "x".repeat(50_000);
        until("one of two is left", || {
            change(rig, json!({"brightness": long}));
            assert_eq!(quick.hear()["brightness"], long);
            let (_, status) = rig.json("GET", "/api/status", "", "");
            status["clients"] == 1
        });
    });
    drop(host);
}

#[test]
fn a_hundred_readers_hear_every_change_in_order_also_of_a_burst() {
    run(json!({}), |rig| {
        let mut readers: Vec<_> = (0..100).map(|_| rig.client()).collect();
        readers.iter_mut().for_each(common::Client::hears_nothing);
        for burst in 0..4 {
            for i in 0..300 {
                change(rig, json!({"fps": burst * 1000 + i}));
            }
            for reader in &mut readers {
                for i in 0..300 {
                    assert_eq!(reader.hear(), json!({"fps": burst * 1000 + i}));
                }
            }
        }
    });
}

#[test]
fn stopping_closes_every_client_in_words() {
    let mut client = None;
    let host = run(json!({}), |rig| {
        let mut one = rig.operator();
        one.hears_nothing();
        client = Some(one);
    });
    let reading = std::thread::spawn(move || client.unwrap().closed());
    host.stop();
    assert_eq!(reading.join().unwrap(), Some(1001));
}

#[test]
fn a_mapping_that_is_missing_is_said_until_it_is_there_and_then_everything_is_told() {
    let host = run_with(
        json!({}),
        |gateway| gateway.mapping_is_missing = true,
        |rig| {
            let mut client = rig.client();
            change(rig, json!({"fps": 1}));
            client.hears_nothing();
            rig.gateway().mapping_is_missing = false;
            let all = json!({"brightness": 50, "contrast": 50, "fps": 1, "cam1-exists": 1});
            until("everything is told", || client.hear() == all);
            change(rig, json!({"fps": 2}));
            client.hears(&[json!({"fps": 2})]);
        },
    );
    let (level, text) = host.health().unwrap();
    assert_eq!((level, text.starts_with("listening on 127.0.0.1:")), (abi::HEALTH_OK, true), "{text}");
}

#[test]
fn secrets_are_not_in_the_log() {
    let host = run(json!({}), |rig| {
        let mut client = rig.operator();
        client.say(json!({"token": "token 1/+"}));
        assert_eq!(client.hear()["authenticated"], true);
    });
    let logs = format!("{:?} {:?}", host.logs(), host.health());
    assert!(logs.contains("has come") && !logs.contains("pass") && !logs.contains("token 1"), "{logs}");
}
