use super::{Event, Face, NoFace, all_faces, error, face_image, frame, no_face_image, no_faces, stats};
use crate::clock::Clock;
use crate::counts::Stats;
use crate::integer::Integer;
use crate::request::Refusal;
use bytes::Bytes;
use gantry_serve::Segments;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 2026-11-21 11:00:00.007 in Berlin.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(START as u64)
}

const START: i64 = 1_795_255_200_007;

fn clock() -> Clock {
    Clock::of(Some("Europe/Berlin")).unwrap()
}

/// The text of one whole WebSocket frame.
fn text(segments: &Segments) -> String {
    let bytes = segments.to_bytes();
    let head = match bytes[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let payload = &bytes[head..];
    let length = match head {
        4 => u64::from(u16::from_be_bytes([bytes[2], bytes[3]])),
        10 => u64::from_be_bytes(bytes[2..10].try_into().unwrap()),
        _ => u64::from(bytes[1]),
    };
    assert_eq!((bytes[0], length), (0x81, payload.len() as u64), "a text frame that is not masked");
    String::from_utf8(payload.to_vec()).unwrap()
}

fn face(id: u64, picture: &'static str) -> Face {
    Face {
        id: Integer::from(id),
        filename: format!("face_{id}.jpg"),
        picture: Bytes::from_static(picture.as_bytes()),
    }
}

#[test]
fn a_frame_is_the_document_s_with_its_keys_in_order() {
    assert_eq!(
        text(&frame(b"\xff\xd8\xff\xe0", &clock(), now())),
        r#"{"type":"frame","data":"/9j/4A==","timestamp":"2026-11-21 11:00:00.007"}"#
    );
}

#[test]
fn stats_have_all_six_keys_in_order() {
    let all = Stats {
        count_in: 12,
        count_out: 9,
        face_count: 3,
        daily_event_count: 2,
        event_active: true,
        current_event_count_in: 5,
    };
    assert_eq!(
        text(&stats(&all, &clock(), now())),
        r#"{"type":"stats","data":{"count_in":12,"count_out":9,"face_count":3,"daily_event_count":2,"event_active":true,"current_event_count_in":5},"timestamp":"2026-11-21 11:00:00.007"}"#
    );
    let none = text(&stats(&Stats::default(), &clock(), now()));
    assert!(none.contains(r#""event_active":false,"current_event_count_in":0},"#), "{none}");
}

#[test]
fn events_are_the_document_s_in_local_time() {
    let later = START + 3 * 60_000;
    let started =
        json!({"event": "busy", "status": "started", "start_ms": START, "start": "x", "data": {"a": 1}});
    let ended = json!({"event": "busy", "status": "ended", "start_ms": START, "end_ms": later, "count_in": 14, "data": {}});
    let message = |payload: &Value| {
        let event = Event::read(payload.to_string().as_bytes()).expect("an event");
        text(&event.message(&clock(), now()).expect("it has times"))
    };
    assert_eq!(
        message(&started),
        r#"{"type":"event","data":{"status":"started","start_time":"11:00:00"},"timestamp":"2026-11-21 11:00:00.007"}"#
    );
    assert_eq!(
        message(&ended),
        r#"{"type":"event","data":{"status":"ended","start_time":"11:00:00","end_time":"11:03:00","count_in":14},"timestamp":"2026-11-21 11:00:00.007"}"#
    );
}

#[test]
fn what_is_no_event_is_none() {
    for payload in ["", "{}", "[]", r#"{"status":"paused","start_ms":1}"#, r#"{"status":"started"}"#] {
        assert_eq!(Event::read(payload.as_bytes()), None, "{payload}");
    }
    assert!(Event::Started { start_ms: i64::MAX }.message(&clock(), now()).is_none());
}

#[test]
fn a_face_s_picture_comes_with_its_keys_in_order_and_shares_its_memory() {
    assert_eq!(
        text(&face_image(&face(123, "/9j/"))),
        r#"{"type":"face_image","face_id":123,"image_data":"/9j/","filename":"face_123.jpg"}"#
    );
    let picture = Bytes::from(vec![b'A'; 40_000]);
    let large = Face { picture: picture.clone(), ..face(1, "") };
    for message in [face_image(&large), all_faces(&[large.clone(), large.clone()], 1 << 20)] {
        assert!(message.iter().any(|piece| piece.as_ptr() == picture.as_ptr()));
        let json: Value = serde_json::from_str(&text(&message)).unwrap();
        assert!(
            json["image_data"].as_str().or(json["faces"][1]["image_data"].as_str()).unwrap().len() == 40_000
        );
    }
}

#[test]
fn a_face_that_is_not_there_is_an_answer_with_its_id() {
    let big = Integer::from(u64::MAX);
    assert_eq!(
        text(&no_face_image(&big, NoFace::Unknown)),
        r#"{"type":"face_image","face_id":18446744073709551615,"error":"Face ID not found"}"#
    );
    assert_eq!(
        text(&no_face_image(&Integer::from(3), NoFace::FileGone)),
        r#"{"type":"face_image","face_id":3,"error":"Face image file not found"}"#
    );
}

#[test]
fn all_faces_are_in_their_order_and_those_beyond_the_budget_are_left_out() {
    let faces = [face(123, "/9j/"), face(122, "AAAA"), face(121, "BBBB")];
    assert_eq!(
        text(&all_faces(&faces[..2], 1000)),
        r#"{"type":"all_faces","faces":[{"face_id":123,"filename":"face_123.jpg","image_data":"/9j/"},{"face_id":122,"filename":"face_122.jpg","image_data":"AAAA"}]}"#
    );
    assert_eq!(text(&all_faces(&[], 1000)), r#"{"type":"all_faces","faces":[]}"#);
    let some: Value = serde_json::from_str(&text(&all_faces(&faces, 130))).unwrap();
    assert_eq!(some["faces"].as_array().map(Vec::len), Some(2));
    assert_eq!(text(&all_faces(&faces, 10)), r#"{"type":"all_faces","faces":[]}"#);
    assert_eq!(text(&no_faces()), r#"{"type":"all_faces","error":"Face data not available on server"}"#);
}

#[test]
fn errors_are_the_document_s() {
    assert_eq!(text(&error(Refusal::NotJson)), r#"{"error":"Invalid JSON message"}"#);
    assert_eq!(text(&error(Refusal::UnknownType)), r#"{"error":"Unknown request type"}"#);
    assert_eq!(text(&error(Refusal::NoNumber)), r#"{"error":"Invalid face_id or limit format"}"#);
    assert_eq!(text(&error(Refusal::Internal)), r#"{"error":"Internal server error processing request"}"#);
}

proptest! {
    #[test]
    fn a_frame_decodes_to_the_picture_whatever_its_length(jpeg in prop::collection::vec(any::<u8>(), 0..5000)) {
        let json: Value = serde_json::from_str(&text(&frame(&jpeg, &clock(), now()))).unwrap();
        let decoded = base64_simd::STANDARD.decode_to_vec(json["data"].as_str().unwrap()).unwrap();
        prop_assert_eq!(decoded, jpeg);
    }

    #[test]
    fn answers_are_json_whatever_a_file_is_called_and_never_longer_than_the_budget(
        names in prop::collection::vec("\\PC{0,12}", 0..8), budget in 0..600usize,
    ) {
        let faces: Vec<_> = names.iter().zip(1..).map(|(name, id)| {
            Face { filename: name.clone(), ..face(id, "AAAA") }
        }).collect();
        let text = text(&all_faces(&faces, budget));
        let json: Value = serde_json::from_str(&text).unwrap();
        prop_assert!(text.len() <= budget + 40);
        for (face, name) in json["faces"].as_array().unwrap().iter().zip(&names) {
            prop_assert_eq!(face["filename"].as_str(), Some(name.as_str()));
        }
    }
}
