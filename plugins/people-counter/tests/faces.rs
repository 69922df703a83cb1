//! What is asked: faces, and everything that is no request.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{Rig, run, until};
use serde_json::{Value, json};
use tungstenite::Message;

/// Without statistics between the answers.
fn quiet() -> Value {
    json!({"stats_interval_ms": 60_000})
}

fn give_faces(rig: &Rig) {
    let mut gateway = rig.gateway();
    gateway.faces = [(1, Some("AAAA")), (2, None), (3, Some("CCCC")), (5, Some("EEEE")), (4, Some("DDDD"))]
        .map(|(id, picture)| (id, picture.map(str::to_owned)))
        .to_vec();
}

fn image(id: u64, base64: &str) -> Value {
    json!({"type": "face_image", "face_id": id, "image_data": base64, "filename": format!("face_{id}.jpg")})
}

fn no_image(id: u64, error: &str) -> Value {
    json!({"type": "face_image", "face_id": id, "error": error})
}

fn listed(id: u64, base64: &str) -> Value {
    json!({"face_id": id, "filename": format!("face_{id}.jpg"), "image_data": base64})
}

#[test]
fn a_face_is_had_by_its_id_however_that_is_written() {
    run(quiet(), |rig| {
        give_faces(rig);
        let mut client = rig.client();
        for id in ["3", "\"3\"", "\" 3 \"", "\"+3\"", "3.9", "\"0_3\"", "3e0"] {
            let answer = client.ask(&format!(r#"{{"type":"get_face","face_id":{id}}}"#));
            assert_eq!(answer, image(3, "CCCC"), "{id}");
        }
        assert_eq!(client.ask(r#"{"type":"get_face","face_id":true}"#), image(1, "AAAA"));
        client.say(&json!({"type": "get_face", "face_id": 3}));
        let order = r#"{"type":"face_image","face_id":3,"image_data":"CCCC","filename":"face_3.jpg"}"#;
        assert_eq!(client.hear_text(), order);
    });
}

#[test]
fn a_face_that_is_not_there_or_has_lost_its_file_is_said_to() {
    run(quiet(), |rig| {
        give_faces(rig);
        let mut client = rig.client();
        let ask = |id: &str| format!(r#"{{"type":"get_face","face_id":{id}}}"#);
        assert_eq!(client.ask(&ask("99")), no_image(99, "Face ID not found"));
        assert_eq!(client.ask(&ask("2")), no_image(2, "Face image file not found"));
        assert_eq!(client.ask(&ask("0")), no_image(0, "Face ID not found"));
        client.say_text(&ask("\"-1\""));
        let text = r#"{"type":"face_image","face_id":-1,"error":"Face ID not found"}"#;
        assert_eq!(client.hear_text(), text);
        client.say_text(&ask("123456789012345678901234567890"));
        let text =
            r#"{"type":"face_image","face_id":123456789012345678901234567890,"error":"Face ID not found"}"#;
        assert_eq!(client.hear_text(), text);
        assert_eq!(rig.metric("rejected_messages"), 0.0);
    });
}

#[test]
fn all_faces_come_newest_first_without_those_whose_file_is_gone() {
    run(quiet(), |rig| {
        give_faces(rig);
        let mut client = rig.client();
        let all = [listed(4, "DDDD"), listed(5, "EEEE"), listed(3, "CCCC"), listed(1, "AAAA")];
        for (limit, count) in [
            ("", 4),
            (r#","limit":null"#, 4),
            (r#","limit":50"#, 4),
            (r#","limit":"2""#, 2),
            (r#","limit":2.9"#, 2),
            (r#","limit":true"#, 1),
            (r#","limit":0"#, 0),
            (r#","limit":-4"#, 0),
            (r#","limit":1e30"#, 4),
        ] {
            let answer = client.ask(&format!(r#"{{"type":"get_all_faces"{limit}}}"#));
            assert_eq!(answer, json!({"type": "all_faces", "faces": all[..count]}), "{limit}");
        }
        let gateway = rig.gateway();
        let limits: Vec<_> = gateway.asked[1..].iter().map(|(_, request)| request["limit"].clone()).collect();
        assert_eq!(limits, [50, 50, 50, 2, 2, 1, 1, 1, 500]);
    });
}

#[test]
fn where_no_faces_are_looked_for_they_are_not_available() {
    run(quiet(), |rig| {
        let mut client = rig.client();
        let none = json!({"type": "all_faces", "error": "Face data not available on server"});
        assert_eq!(client.ask(r#"{"type":"get_all_faces"}"#), json!({"type": "all_faces", "faces": []}));
        rig.gateway().blind = true;
        assert_eq!(client.ask(r#"{"type":"get_all_faces"}"#), none);
        assert_eq!(client.ask(r#"{"type":"get_all_faces","limit":0}"#), none);
        assert_eq!(client.ask(r#"{"type":"get_face","face_id":1}"#), no_image(1, "Face ID not found"));
        rig.gateway().broken = true;
        assert_eq!(client.ask(r#"{"type":"get_all_faces"}"#), none);
        let internal = json!({"error": "Internal server error processing request"});
        assert_eq!(client.ask(r#"{"type":"get_face","face_id":1}"#), internal);
    });
}

#[test]
fn what_is_no_request_is_an_error_to_its_sender_only_and_is_counted() {
    run(quiet(), |rig| {
        give_faces(rig);
        let (mut client, mut other) = (rig.client(), rig.client());
        let not_json = "Invalid JSON message";
        let internal = "Internal server error processing request";
        let unknown = "Unknown request type";
        let no_number = "Invalid face_id or limit format";
        let cases = [
            ("", not_json),
            ("hello", not_json),
            ("{", not_json),
            (r#"{"type":"get_face","face_id":NaN}"#, not_json),
            ("[]", internal),
            ("3", internal),
            ("null", internal),
            (r#""get_face""#, internal),
            ("{}", unknown),
            (r#"{"type":"subscribe"}"#, unknown),
            (r#"{"type":3}"#, unknown),
            (r#"{"type":"get_face"}"#, no_number),
            (r#"{"type":"get_face","face_id":null}"#, no_number),
            (r#"{"type":"get_face","face_id":"three"}"#, no_number),
            (r#"{"type":"get_face","face_id":"3.5"}"#, no_number),
            (r#"{"type":"get_face","face_id":[3]}"#, internal),
            (r#"{"type":"get_face","face_id":{}}"#, internal),
            (r#"{"type":"get_all_faces","limit":"all"}"#, no_number),
            (r#"{"type":"get_all_faces","limit":[]}"#, internal),
        ];
        for (request, error) in cases {
            assert_eq!(client.ask(request), json!({"error": error}), "{request}");
        }
        assert_eq!(
            client.ask(r#"{"type":"get_face","face_id":3}"#),
            image(3, "CCCC"),
            "and nothing is poisoned"
        );
        assert_eq!(other.ask("?"), json!({"error": not_json}), "its own is the first that it hears");
        until("they are counted", || rig.metric("rejected_messages") == cases.len() as f64 + 1.0);
    });
}

#[test]
fn bytes_that_are_json_are_read_like_text() {
    run(quiet(), |rig| {
        give_faces(rig);
        let mut client = rig.client();
        client.0.send(Message::binary(&br#"{"type":"get_face","face_id":3}"#[..])).unwrap();
        assert_eq!(client.hear(), image(3, "CCCC"));
        client.0.send(Message::binary(&b"\xff\xd8\xff"[..])).unwrap();
        assert_eq!(client.hear(), json!({"error": "Invalid JSON message"}));
    });
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    run(quiet(), |rig| {
        give_faces(rig);
        let mut client = rig.client();
        for i in 0..30 {
            client
                .say_text(["?", r#"{"type":"get_all_faces"}"#, r#"{"type":"get_face","face_id":3}"#][i % 3]);
        }
        for i in 0..30 {
            let answer = client.hear();
            let expected = ["Invalid JSON message", "all_faces", "face_image"][i % 3];
            assert!(answer["type"] == expected || answer["error"] == expected, "{i}: {answer}");
        }
    });
}

#[test]
fn a_client_that_asks_and_does_not_read_holds_up_itself_alone_and_is_answered_when_it_reads() {
    const REQUESTS: usize = 40;
    run(json!({"stats_interval_ms": 100}), |rig| {
        rig.gateway().faces = (1..=50).map(|id| (id, Some("A".repeat(40_000)))).collect();
        let mut greedy = rig.client();
        for _ in 0..REQUESTS {
            greedy.say_text(r#"{"type":"get_all_faces"}"#);
        }
        let mut other = rig.client();
        let asked = |rig: &Rig| rig.gateway().asked.iter().filter(|(name, _)| name == "faces.list").count();
        until("the first are made", || asked(rig) >= 2);
        for _ in 0..10 {
            other.hear_type("stats");
            assert_eq!(other.ask(r#"{"type":"get_face","face_id":1}"#)["face_id"], 1);
        }
        assert!(asked(rig) < REQUESTS / 2, "{} answers of two megabytes were made for nobody", asked(rig));
        rig.message("events/busy", json!({"status": "started", "start_ms": 0}));
        for i in 0..REQUESTS {
            let answer = greedy.hear_type("all_faces");
            assert_eq!(answer["faces"].as_array().map(Vec::len), Some(50), "{i}");
        }
        assert_eq!(rig.metric("overflowed_clients"), 0.0);
    });
}

#[test]
fn a_client_that_goes_away_in_the_middle_of_its_answers_leaves_nothing_behind() {
    run(json!({"stats_interval_ms": 100}), |rig| {
        rig.gateway().faces = (1..=50).map(|id| (id, Some("A".repeat(40_000)))).collect();
        let mut greedy = rig.client();
        (0..40).for_each(|_| greedy.say_text(r#"{"type":"get_all_faces"}"#));
        until("it is there", || rig.metric("clients") == 1.0);
        let made = |rig: &Rig| rig.gateway().asked.len();
        let mut before = 0;
        // Until its connection takes no more, and the next request waits for its turn.
        until("no more answers are made", || {
            let before = std::mem::replace(&mut before, made(rig));
            rig.client().hear_type("stats");
            before > 0 && before == made(rig)
        });
        drop(greedy);
        until("it is seen that it has gone", || rig.metric("clients") == 0.0);
    });
}

#[test]
fn an_answer_never_has_more_bytes_than_half_of_what_may_wait() {
    let mut config = quiet();
    config["limits"] = json!({"queue_bytes": 200_000});
    run(config, |rig| {
        rig.gateway().faces = (1..=50).map(|id| (id, Some("A".repeat(20_000)))).collect();
        let mut client = rig.client();
        client.say(&json!({"type": "get_all_faces", "limit": 500}));
        let text = client.hear_text();
        assert!(text.len() <= 100_040, "{} bytes", text.len());
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["faces"].as_array().map(Vec::len), Some(4));
        assert_eq!(answer["faces"][0]["face_id"], 50, "the newest are those that come");
    });
}
