//! The Socket.IO events, with a client that sees every byte.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{base64, detection, health, run, until};
use serde_json::{Value, json};
use tungstenite::Message;

#[test]
fn a_detection_is_answered_when_it_is_kept_and_told_to_the_dashboard() {
    run(json!({}), |rig| {
        let (mut dashboard, mut camera) = (rig.camera(), rig.camera());
        let (name, status) = dashboard.ask("join_dashboard", &json!({}));
        assert_eq!((name.as_str(), &status["message"]), ("status", &json!("Joined dashboard room")));
        assert!(status["timestamp"].is_string());
        let (name, answer) = camera.ask("lpr_data", &detection());
        assert_eq!(name, "lpr_response");
        let record = rig.store().of("detections").remove(0);
        assert_eq!(answer["detection_id"], record.id);
        let (camera_id, checkpoint_id) = (&answer["camera_id"], &answer["checkpoint_id"]);
        assert_eq!((camera_id, checkpoint_id, &answer["success"]), (&json!("1"), &json!("1"), &json!(true)));
        let names: Vec<_> = record.blobs.iter().map(|(name, bytes)| (name.as_str(), bytes.len())).collect();
        assert_eq!(names, [("annotated_image", 3000), ("cropped_plates.0", 100), ("cropped_plates.1", 101)]);
        assert!(!record.data.to_string().contains("BwcHBwcH"), "no base64 is stored");
        let (name, told) = dashboard.event();
        assert_eq!(name, "new_detection");
        let expected = json!({"detection_id": record.id, "camera_id": "1", "checkpoint_id": "1", "vehicles_count": 1,
            "plates_count": 1, "ocr_results": ["ABC1234"], "timestamp": "2024-12-19T10:00:00Z"});
        assert_eq!(told, expected);
    });
}

#[test]
fn registrations_and_health_are_answered_and_told_each_to_its_room() {
    run(json!({}), |rig| {
        let (mut dashboard, mut watcher, mut camera) = (rig.camera(), rig.camera(), rig.camera());
        dashboard.say("42[\"join_dashboard\"]");
        assert_eq!(dashboard.event().0, "status");
        assert_eq!(
            watcher.ask("join_health_room", &json!(null)).1["message"],
            "Joined health monitoring room"
        );
        let registration = json!({"camera_id": 7, "checkpoint_id": "c", "timestamp": "2024-12-19T10:00:00Z"});
        let (name, answer) = camera.ask("camera_register", &registration);
        assert_eq!(name, "camera_register");
        assert_eq!(answer["message"], "Camera 7 registered successfully");
        assert_eq!((&answer["camera_id"], &answer["checkpoint_id"]), (&json!(7), &json!("c")));
        let told = json!({"camera_id": 7, "checkpoint_id": "c", "status": "online", "timestamp": "2024-12-19T10:00:00Z"});
        assert_eq!(dashboard.event(), ("camera_status".to_owned(), told.clone()));
        let (name, answer) = camera.ask("health_status", &health());
        assert_eq!(
            (name.as_str(), &answer["message"]),
            ("health_response", &json!("Health status received successfully"))
        );
        assert_eq!(answer["health_id"], rig.store().of("health")[0].id);
        let (name, update) = watcher.event();
        assert_eq!(name, "health_update");
        assert_eq!((&update["component"], &update["status"]), (&json!("camera"), &json!("healthy")));
        // Who registers again is online again, and one record is enough.
        assert_eq!(camera.ask("camera_register", &registration).0, "camera_register");
        assert_eq!(dashboard.event(), ("camera_status".to_owned(), told));
        let cameras = rig.store().of("cameras");
        assert_eq!(cameras.iter().filter(|record| record.data["camera_id"] == 7).count(), 1);
    });
}

#[test]
fn errors_are_events_and_the_next_message_is_answered_as_ever() {
    run(json!({}), |rig| {
        let mut camera = rig.camera();
        for (name, payload, message) in [
            ("lpr_data", json!({}), "Missing required field: type"),
            ("lpr_data", json!({"type": "x", "camera_id": null}), "Missing required field: camera_id"),
            (
                "health_status",
                json!({"type": "x", "camera_id": 1, "checkpoint_id": 1, "timestamp": "t"}),
                "Missing required field: component",
            ),
            ("camera_register", json!({"camera_id": 1}), "camera_id and checkpoint_id are required"),
            ("lpr_data", json!([1]), "The data must be a JSON object"),
            ("lpr_data", json!("{}"), "The data must be a JSON object"),
            ("health_status", Value::Null, "The data must be a JSON object"),
        ] {
            assert_eq!(camera.ask(name, &payload), ("error".to_owned(), json!({ "message": message })));
        }
        camera.say("42[\"lpr_data\"]");
        assert_eq!(camera.event().0, "error");
        camera.emit("unheard", &json!(1));
        camera.say("42");
        camera.say("4 nonsense");
        let (name, pong) = camera.ask("ping", &json!({"type": "test", "message": "Hello", "timestamp": "t"}));
        assert_eq!(name, "pong");
        assert_eq!(
            (&pong["success"], &pong["message"], &pong["original_message"]),
            (&json!(true), &json!("pong"), &json!("Hello"))
        );
        assert!(rig.store().records.is_empty());
    });
}

#[test]
fn an_event_with_an_id_is_acknowledged_with_its_answer() {
    run(json!({}), |rig| {
        let mut camera = rig.camera();
        camera.say(&format!("4217{}", json!(["lpr_data", detection()])));
        let (_, answer) = camera.event();
        assert_eq!(camera.text(), format!("4317[{answer}]"));
        camera.say("4218[\"lpr_data\",{}]");
        assert_eq!(camera.event().0, "error");
        assert_eq!(camera.text(), r#"4318[{"success":false,"message":"Missing required field: type"}]"#);
        camera.say("4219[\"unheard\"]");
        assert_eq!(camera.text(), "4319[]");
    });
}

#[test]
fn nothing_that_is_not_kept_is_answered_with_success() {
    run(json!({}), |rig| {
        let mut camera = rig.camera();
        let (mut dashboard, sent) = (rig.camera(), detection());
        dashboard.ask("join_dashboard", &json!({}));
        for (refusal, says) in [("full", "no room"), ("busy", "busy: try again"), ("bad", "Not stored")] {
            rig.store().refuses = Some(json!({"refused": refusal, "message": "because"}));
            let (name, error) = camera.ask("lpr_data", &sent);
            let message = error["message"].as_str().unwrap();
            assert!(name == "error" && message.contains(says) && message.contains("because"), "{message}");
        }
        until("it is said", || {
            rig.store().health.clone().is_some_and(|(_, text)| text.contains("messages are refused"))
        });
        rig.store().broken = true;
        assert_eq!(camera.ask("lpr_data", &sent).0, "error");
        (rig.store().broken, rig.store().refuses) = (false, None);
        assert_eq!(camera.ask("lpr_data", &sent).0, "lpr_response");
        assert_eq!(dashboard.event().0, "new_detection", "only once");
        until("it is over", || rig.store().health.clone().is_some_and(|(_, text)| !text.contains("refused")));
    });
}

#[test]
fn a_burst_of_fifty_large_messages_is_kept_and_answered_in_order() {
    run(json!({}), |rig| {
        let mut camera = rig.camera();
        let image = base64(&vec![9; 750_000]);
        let sent = std::thread::scope(|scope| {
            let texts: Vec<String> = (0..50)
                .map(|i| {
                    json!(["lpr_data", {"type": "detection_result", "camera_id": i, "checkpoint_id": "1",
                    "timestamp": "2024-12-19 10:00:00", "original_image": image}])
                    .to_string()
                })
                .collect();
            let mut writer = tungstenite::WebSocket::from_raw_socket(
                camera.socket.get_ref().try_clone().unwrap(),
                tungstenite::protocol::Role::Client,
                None,
            );
            let writing = scope.spawn(move || {
                for text in texts {
                    writer.send(Message::text(format!("42{text}"))).unwrap();
                }
            });
            let answers: Vec<_> = (0..50).map(|_| camera.event()).collect();
            writing.join().unwrap();
            answers
        });
        for (i, (name, answer)) in sent.iter().enumerate() {
            assert_eq!((name.as_str(), &answer["camera_id"]), ("lpr_response", &json!(i)), "{answer}");
        }
        assert_eq!(rig.store().of("detections").len(), 50);
    });
}

#[test]
fn what_a_camera_has_to_tell_after_an_outage_is_answered_acknowledged_and_told() {
    run(json!({}), |rig| {
        let (mut dashboard, mut camera) = (rig.camera(), rig.camera());
        dashboard.ask("join_dashboard", &json!({}));
        rig.store().paused = true;
        for i in 0..700 {
            let sent =
                json!({"type": "detection_result", "camera_id": i, "checkpoint_id": 1, "timestamp": "t"});
            camera.say(&format!("42{i}{}", json!(["lpr_data", sent])));
        }
        until("all are on their way", || rig.store().appends.len() >= 700);
        rig.store().paused = false;
        for i in 0..700 {
            let (name, answer) = camera.event();
            assert_eq!((name.as_str(), &answer["camera_id"]), ("lpr_response", &json!(i)), "{answer}");
            assert!(camera.text().starts_with(&format!("43{i}[")));
            assert_eq!(dashboard.event().0, "new_detection");
        }
    });
}

#[test]
fn a_row_that_comes_again_on_whatever_way_has_its_first_id() {
    run(json!({}), |rig| {
        let mut camera = rig.camera();
        let (_, first) = camera.ask("lpr_data", &detection());
        let (_, again) = camera.ask("lpr_data", &detection());
        assert_eq!(first["detection_id"], again["detection_id"]);
        let mut other = detection();
        other["ocr_results"] = json!("[\"ABC1234\"]");
        assert_eq!(rig.post("/api/detection", &other).1["detection_id"], first["detection_id"]);
        assert_eq!(rig.get("/api/statistics").1["data"]["total_detections"], 1);
        other["ocr_results"] = json!(["ABC1235"]);
        assert_ne!(rig.post("/api/detection", &other).1["detection_id"], first["detection_id"]);
    });
}

#[test]
fn what_rules_drop_is_answered_and_neither_counted_nor_told() {
    run(json!({}), |rig| {
        rig.store().drops = Some(json!("1"));
        let (mut dashboard, mut camera) = (rig.camera(), rig.camera());
        dashboard.ask("join_dashboard", &json!({}));
        assert_eq!(camera.ask("lpr_data", &detection()).0, "lpr_response");
        let mut other = detection();
        other["camera_id"] = json!("2");
        camera.ask("lpr_data", &other);
        assert_eq!(dashboard.event().1["camera_id"], "2");
        assert_eq!(rig.get("/api/statistics").1["data"]["total_detections"], 1);
    });
}

#[test]
fn pictures_as_attachments_are_kept_as_such() {
    run(json!({}), |rig| {
        let mut camera = rig.camera();
        let mut message = detection();
        message["annotated_image"] = json!({"_placeholder": true, "num": 0});
        camera.say(&format!("451-{}", json!(["lpr_data", message])));
        camera.socket.send(Message::binary(vec![0xff, 0xd8, 0xff])).unwrap();
        assert_eq!(camera.event().0, "lpr_response");
        assert_eq!(
            rig.store().of("detections")[0].blobs[0],
            ("annotated_image".to_owned(), vec![0xff, 0xd8, 0xff])
        );
        let (_, list) = rig.get("/api/records");
        assert_eq!(list["records"][0]["annotated_image"], "/9j/", "{list}");
    });
}

#[test]
fn with_keys_a_camera_sends_only_as_itself() {
    let keys = json!({"api_keys": {"1": "the-key-of-camera-one", "2": "the-key-of-camera-two"}});
    run(keys, |rig| {
        let mut sent = detection();
        for (query, auth) in [
            ("&api_key=the-key-of-camera-one", ""),
            ("", r#"{"api_key":"the-key-of-camera-one"}"#),
            ("", r#"{"token":"the-key-of-camera-one"}"#),
        ] {
            let mut one = rig.camera_with(query, auth);
            sent["camera_id"] = json!(1);
            assert_eq!(one.ask("lpr_data", &sent).0, "lpr_response");
            sent["camera_id"] = json!(2);
            let (name, error) = one.ask("lpr_data", &sent);
            assert_eq!(
                (name.as_str(), &error["message"]),
                ("error", &json!("This key is that of another camera"))
            );
            assert_eq!(one.ask("join_dashboard", &json!({})).0, "status");
        }
        for auth in ["", r#"{"api_key":"guess"}"#, r#"{"api_key":7}"#] {
            let mut nobody = rig.camera_with("", auth);
            assert_eq!(nobody.ask("lpr_data", &sent).0, "error");
            assert_eq!(nobody.ask("join_dashboard", &json!({})).0, "error");
            assert_eq!(nobody.ask("ping", &json!({})).0, "pong");
        }
    });
}
