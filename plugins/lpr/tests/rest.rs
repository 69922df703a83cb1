//! REST, the plain WebSocket, and what was before.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{Store, base64, detection, health, run, run_with, until};
use gantry_lpr::gantry_plugin_v1;
use gantry_plugin::abi::{HEALTH_OK, LOG_WARN};
use gantry_plugin::test::Host;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn everything_is_at_its_path_and_answers_as_the_protocol_says() {
    run(json!({}), |rig| {
        for path in ["/", "/websocket"] {
            let (status, about) = rig.get(path);
            assert_eq!((status, &about["success"]), (200, &json!(true)));
            assert!(about["endpoints"].is_object() && about["socketio"]["events"].is_array());
        }
        let (status, test) = rig.get("/api/test");
        assert_eq!(
            (status, &test["success"], &test["message"]),
            (200, &json!(true), &json!("Server is running"))
        );
        assert!(test["timestamp"].is_string());
        let (status, answer) =
            rig.post("/api/cameras/register", &json!({"camera_id": 1, "checkpoint_id": "c"}));
        assert_eq!((status, &answer["camera_id"], &answer["checkpoint_id"]), (200, &json!(1), &json!("c")));
        assert_eq!(answer["message"], "Camera registered successfully");
        let (status, answer) = rig.post("/api/detection", &detection());
        assert_eq!((status, &answer["message"]), (200, &json!("Detection data received")));
        assert_eq!(answer["detection_id"], rig.store().of("detections")[0].id);
        let (status, answer) = rig.post("/api/health", &health());
        assert_eq!((status, &answer["message"]), (200, &json!("Health data received")));
        assert_eq!(answer["health_id"], rig.store().of("health")[0].id);
        let hooks: Vec<_> = rig.store().appends.iter().map(|append| append["hook"].clone()).collect();
        assert!(hooks.contains(&json!("on_detection")) && hooks.contains(&json!("on_health")));
        assert_eq!(rig.http("HEAD", "/api/test", "", b"").0, 200);
    });
}

#[test]
fn cameras_in_the_field_post_everything_to_statistics() {
    run(json!({}), |rig| {
        let mut sent = detection();
        sent["aicamera_id"] = sent["camera_id"].take();
        sent.as_object_mut().unwrap().remove("camera_id");
        let (status, answer) = rig.post("/api/statistics", &sent);
        assert_eq!((status, &answer["message"]), (200, &json!("Detection data received")));
        assert_eq!(rig.store().of("detections")[0].data["camera_id"], "1");
        assert_eq!(rig.post("/api/statistics", &health()).1["message"], "Health data received");
        assert_eq!(rig.post("/api/statistics", &json!({"type": "test"})).1["message"], "Server is running");
        for (sent, message) in [
            (json!({}), "Missing required field: type"),
            (json!({"type": "?"}), "Unknown type: `?`; send detection_result or health_check"),
            (json!({"type": 1}), "Invalid field: type must be text"),
        ] {
            assert_eq!(
                rig.post("/api/statistics", &sent),
                (400, json!({"success": false, "message": message}))
            );
        }
    });
}

#[test]
fn every_error_has_its_status_and_its_form() {
    run(json!({"limits": {"message_bytes": 200_000}}), |rig| {
        let large = vec![b' '; 300_000];
        let deep = format!("{{\"a\":{}", "[".repeat(100_000)).into_bytes();
        let many = format!("{{\"a\":[{}0]}}", "0,".repeat(99_990));
        let cases: [(&str, &str, &str, &[u8], u16); 16] = [
            ("POST", "/api/detection", JSON, b"{}", 400),
            ("POST", "/api/detection", JSON, b"", 400),
            ("POST", "/api/detection", JSON, b"{", 400),
            ("POST", "/api/detection", JSON, b"[]", 400),
            ("POST", "/api/detection", JSON, b"\"\xff\"", 400),
            ("POST", "/api/detection", JSON, &deep, 400),
            ("POST", "/api/detection", JSON, many.as_bytes(), 400),
            ("POST", "/api/detection", "", b"{}", 415),
            ("POST", "/api/health", "Content-Type: text/plain\r\n", b"{}", 415),
            ("POST", "/api/detection", JSON, &large, 413),
            ("GET", "/nothing", "", b"", 404),
            ("POST", "/nothing", JSON, &large, 404),
            ("GET", "/api/detection", "", b"", 405),
            ("DELETE", "/api/statistics", "", b"", 405),
            ("TRACE", "/", "", b"", 405),
            ("GET", "/api/records?limit=x", "", b"", 400),
        ];
        for (method, path, head, body, expected) in cases {
            let (status, head, text) = rig.http(method, path, head, body);
            let answer: Value = serde_json::from_str(&text).expect(&text);
            assert_eq!(status, expected, "{method} {path}: {text}");
            assert!(answer["success"] == false && answer["message"].is_string(), "{text}");
            assert!(head.contains("content-type: application/json"));
            assert_eq!(head.contains("\r\nallow: "), expected == 405);
        }
        assert!(rig.store().appends.is_empty());
        assert_eq!(
            rig.http(
                "POST",
                "/api/health",
                "Content-Type: Application/JSON; charset=utf-8\r\n",
                health().to_string().as_bytes()
            )
            .0,
            200
        );
    });
}

#[test]
fn what_no_record_can_hold_is_too_large_and_a_picture_is_not() {
    run(json!({}), |rig| {
        let mut sent = detection();
        sent["vehicle_detections"] = vec![json!("something that is no picture at all"); 40_000].into();
        let (status, answer) = rig.post("/api/detection", &sent);
        assert_eq!((status, &answer["success"]), (413, &json!(false)));
        sent["vehicle_detections"] = json!([{ "picture": base64(&vec![3; 4 << 20]) }]);
        assert_eq!(rig.post("/api/detection", &sent).0, 200);
    });
}

#[test]
fn a_body_that_is_asked_for_first_is_refused_before_it_comes() {
    run(json!({}), |rig| {
        let mut stream = rig.connect();
        let head = format!(
            "POST /api/detection HTTP/1.1\r\nHost: x\r\n{JSON}Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
    });
}

#[test]
fn what_the_store_refuses_is_507_503_or_400_and_what_it_takes_200() {
    run(json!({}), |rig| {
        for (refusal, expected) in [("full", 507), ("busy", 503), ("bad", 400), ("?", 503)] {
            rig.store().refuses = Some(json!({"refused": refusal, "message": "because"}));
            for (path, body) in [
                ("/api/detection", detection()),
                ("/api/health", health()),
                ("/api/cameras/register", detection()),
            ] {
                let (status, answer) = rig.post(path, &body);
                assert_eq!((status, &answer["success"]), (expected, &json!(false)), "{path}");
            }
        }
        rig.store().refuses = Some(json!({"id": null}));
        assert_eq!(rig.post("/api/detection", &detection()).0, 503);
        rig.store().refuses = None;
        rig.store().broken = true;
        let (status, head, _) = rig.http("POST", "/api/detection", JSON, detection().to_string().as_bytes());
        assert!(status == 503 && head.contains("retry-after: 1"));
        assert_eq!(rig.get("/api/records").0, 503);
        rig.store().broken = false;
        assert_eq!(rig.post("/api/detection", &detection()).0, 200);
        until("they are counted", || rig.metric("refused_records") >= 14.0);
    });
}

#[test]
fn nobody_is_answered_before_the_store_and_more_than_may_be_on_its_way_is_told_to_come_again() {
    run(json!({"pending_bytes": 1_048_576}), |rig| {
        let mut large = detection();
        large["original_image"] = base64(&vec![1; 1_000_000]).into();
        rig.store().paused = true;
        std::thread::scope(|scope| {
            let first = scope.spawn(|| rig.post("/api/detection", &large));
            until("it is on its way", || rig.store().appends.len() == 1);
            let (status, answer) = rig.post("/api/detection", &detection());
            assert_eq!(status, 503);
            assert!(answer["message"].as_str().unwrap().starts_with("busy: try again"));
            let mut camera = rig.plain("/");
            let answer = camera.ask(&detection().to_string());
            assert!(answer["message"].as_str().unwrap().starts_with("busy: try again"));
            assert!(!first.is_finished(), "the store has not answered");
            rig.store().paused = false;
            assert_eq!(first.join().unwrap().0, 200);
        });
        assert_eq!(rig.post("/api/detection", &detection()).0, 200, "there is room again");
    });
}

#[test]
fn records_come_back_byte_for_byte_newest_first() {
    run(json!({}), |rig| {
        let mut first = detection();
        first["original_image"] = format!("data:image/jpeg;base64,{}", base64(&[5; 5000])).into();
        first["cropped_plates"] = (0..30).map(|i| base64(&vec![i; 100 + usize::from(i)])).collect();
        first["note"] = json!({"$blob": "annotated_image", "z": 1.0, "a": 10});
        let mut second = detection();
        (second["camera_id"], second["checkpoint_id"]) = (json!(1), json!("2"));
        let mut third = detection();
        third["camera_id"] = json!("other");
        let ids: Vec<Value> = [&first, &second, &third]
            .map(|sent| rig.post("/api/detection", sent).1["detection_id"].clone())
            .to_vec();
        let list = |query: &str| {
            let (status, mut list) = rig.get(&format!("/api/records{query}"));
            assert_eq!((status, &list["success"]), (200, &json!(true)));
            let Value::Array(records) = list["records"].take() else { panic!("no list") };
            assert_eq!(list["returned_count"], records.len());
            (records, list["total_count"].clone())
        };
        let (records, total) = list("");
        assert_eq!((records.len(), total), (3, json!(3)));
        assert_eq!(
            [&records[2]["detection_id"], &records[1]["detection_id"], &records[0]["detection_id"]],
            [&ids[0], &ids[1], &ids[2]]
        );
        let mut back = records[2].as_object().unwrap().clone();
        for ours in ["record_id", "detection_id", "received_at"] {
            assert!(back.shift_remove(ours).is_some());
        }
        assert_eq!(Value::Object(back).to_string(), first.to_string(), "order, numbers and pictures");
        let (records, total) = list("?camera_id=1&limit=1");
        assert_eq!((&records[0]["detection_id"], total), (&ids[1], json!(2)), "as text and as number");
        assert_eq!(list("?camera_id=1&checkpoint_id=2").0[0]["camera_id"], 1);
        assert_eq!(list("?camera_id=nobody"), (vec![], json!(0)));
        let (records, _) = list(&format!("?before={}", ids[1].as_str().unwrap()));
        assert_eq!((records.len(), &records[0]["detection_id"]), (1, &ids[0]));
        rig.store().page = Some(1);
        assert_eq!(list("").0.len(), 3, "a store that answers in parts is asked again");
    });
}

#[test]
fn a_list_of_large_records_ends_where_it_is_large_enough() {
    run(json!({}), |rig| {
        for i in 0..5 {
            let mut sent = detection();
            sent["camera_id"] = json!(i);
            sent["original_image"] = base64(&vec![i; 9 << 20]).into();
            assert_eq!(rig.post("/api/detection", &sent).0, 200);
        }
        let (_, list) = rig.get("/api/records");
        assert_eq!((&list["total_count"], &list["returned_count"]), (&json!(5), &json!(2)));
        let last = list["records"][1]["detection_id"].as_str().unwrap();
        assert_eq!(rig.get(&format!("/api/records?before={last}")).1["records"][0]["camera_id"], 2);
    });
}

#[test]
fn statistics_and_cameras_know_what_was_before_and_what_came_since() {
    let now = jiff::Timestamp::now().as_millisecond();
    let day = 86_400_000;
    let mut store = Store::default();
    let ids = |camera: Value| json!({"camera_id": camera, "checkpoint_id": "1", "status": "warning"});
    store.put("cameras", now - 3 * day, ids(json!("1")));
    store.put("cameras", now - 2 * day, ids(json!("9")));
    for age in [2 * day, 2 * day, 1] {
        store.put("detections", now - age, ids(json!("1")));
    }
    store.put("health", now - 2 * day, ids(json!("9")));
    store.page = Some(1);
    run_with(json!({"time_zone": "UTC"}), store, |rig| {
        let data = || rig.get("/api/statistics").1["data"].clone();
        let cameras = || rig.get("/api/cameras").1["cameras"].clone();
        until("everything is read", || cameras()[1]["health_status"] == "warning");
        assert_eq!(rig.post("/api/detection", &detection()).0, 200);
        assert_eq!(rig.post("/api/health", &health()).0, 200);
        let data = data();
        assert_eq!((&data["total_detections"], &data["total_health_checks"]), (&json!(4), &json!(2)));
        assert_eq!((&data["today_health_checks"], &data["total_cameras"]), (&json!(1), &json!(2)));
        assert!(data["today_detections"].as_u64().unwrap() <= 2);
        let (_, all) = rig.get("/api/cameras");
        assert_eq!((&all["success"], &all["total_cameras"]), (&json!(true), &json!(2)));
        let first = &all["cameras"][0];
        assert_eq!(
            (&first["detection_count"], &first["status"], &first["health_status"]),
            (&json!(4), &json!("online"), &json!("healthy"))
        );
        assert_eq!(all["cameras"][1]["status"], "offline");
        // Its record is not made again.
        assert_eq!(rig.store().of("cameras").len(), 2);
    });
}

#[test]
fn one_odd_time_does_not_disturb_and_a_camera_that_never_registered_is_remembered() {
    run(json!({}), |rig| {
        for time in [json!("yesterday"), json!(""), json!("2024-12-19T10:00:00"), json!(1e300)] {
            let mut sent = detection();
            sent["timestamp"] = time;
            assert_eq!(rig.post("/api/detection", &sent).0, 200);
        }
        let data = &rig.get("/api/statistics").1["data"];
        assert_eq!(
            (&data["total_detections"], &data["today_detections"], &data["active_cameras"]),
            (&json!(4), &json!(4), &json!(1))
        );
        assert_eq!((&data["connected_clients"], &data["server_status"]), (&json!(0), &json!("running")));
        until("a record is made of it", || rig.store().of("cameras").len() == 1);
        let kept: Vec<_> =
            rig.store().of("detections").into_iter().map(|record| record.data["timestamp"].clone()).collect();
        assert_eq!(
            kept,
            [json!("yesterday"), json!(""), json!("2024-12-19T10:00:00"), json!(1e300)],
            "as they were given"
        );
    });
}

#[test]
fn older_cameras_use_a_plain_websocket() {
    run(json!({}), |rig| {
        for path in ["/", "/websocket"] {
            let mut camera = rig.plain(path);
            let answer = camera.ask(&detection().to_string());
            assert_eq!(
                (&answer["status"], &answer["type"]),
                (&json!("success"), &json!("detection_response"))
            );
            assert!(answer["message"].is_string() && answer["data"]["detection_id"].is_string());
            let answer = camera.ask(&health().to_string());
            assert_eq!(
                (&answer["type"], &answer["data"]["camera_id"]),
                (&json!("health_response"), &json!("1"))
            );
            for (text, message) in [
                ("{}", "Missing required field: type"),
                (r#"{"type":"detection_result"}"#, "Missing required field: camera_id"),
                ("[]", "The data must be a JSON object"),
                (r#"{"type":"?"}"#, "Unknown type: `?`; send detection_result or health_check"),
            ] {
                assert_eq!(camera.ask(text), json!({"status": "error", "message": message}));
            }
            assert!(camera.ask("nonsense")["message"].as_str().unwrap().starts_with("Invalid JSON"));
            assert_eq!(camera.ask(r#"{"type":"ping","message":"m"}"#)["data"]["original_message"], "m");
            rig.store().refuses = Some(json!({"refused": "full", "message": "because"}));
            assert_eq!(camera.ask(&detection().to_string())["status"], "error");
            rig.store().refuses = None;
            assert_eq!(rig.get("/api/statistics").1["data"]["connected_clients"], 1);
            drop(camera);
            until("it is gone", || rig.get("/api/statistics").1["data"]["connected_clients"] == 0);
        }
    });
}

#[test]
fn messages_above_the_rate_are_told_so_and_the_connection_stays() {
    run(json!({"limits": {"messages_per_second": 1}}), |rig| {
        let mut camera = rig.plain("/");
        camera.ask(r#"{"type":"ping"}"#);
        let answers: Vec<Value> = (0..5).map(|_| camera.ask(r#"{"type":"ping"}"#)).collect();
        assert!(
            answers.iter().any(|answer| answer["message"] == "busy: try again (too many messages a second)")
        );
    });
}

#[test]
fn with_keys_nobody_sends_or_reads_without_one() {
    run(json!({"api_keys": {"1": "the-key-of-camera-one", "*": "the-key-of-everybody"}}), |rig| {
        for path in ["/", "/api/test", "/openapi.json"] {
            assert_eq!(rig.get(path).0, 200, "{path}");
        }
        for path in ["/api/records", "/api/cameras", "/api/statistics"] {
            assert_eq!(rig.get(path).0, 401, "{path}");
            assert_eq!(rig.http("GET", path, "X-API-Key: the-key-of-camera-one\r\n", b"").0, 200);
        }
        let mut other = detection();
        other["camera_id"] = json!(2);
        for (head, sent, expected) in [
            ("", detection(), 401),
            ("X-API-Key: guess\r\n", detection(), 401),
            ("Authorization: Bearer the-key-of-camera-one\r\n", detection(), 200),
            ("X-API-Key: the-key-of-camera-one\r\n", other.clone(), 403),
            ("X-API-Key: the-key-of-everybody\r\n", other.clone(), 200),
        ] {
            let (status, answer) = rig.post_with("/api/detection", head, &sent);
            assert_eq!((status, &answer["success"]), (expected, &json!(expected == 200)), "{head}");
        }
        let mut camera = rig.plain("/?api_key=the-key-of-camera-one");
        assert_eq!(camera.ask(&detection().to_string())["status"], "success");
        assert_eq!(camera.ask(&other.to_string())["status"], "error");
        assert_eq!(rig.plain("/").ask(&detection().to_string())["status"], "error");
    });
}

#[test]
fn keys_are_in_no_log_and_an_open_port_is_warned_about() {
    let host = run(json!({"api_keys": {"1": "the-key-of-camera-one"}}), |rig| {
        rig.plain("/?api_key=the-key-of-camera-one").ask("{}");
        rig.camera_with("&api_key=the-key-of-camera-one", "").ask("lpr_data", &json!({}));
    });
    assert!(host.logs().iter().all(|(_, line)| !line.contains("the-key")));
    let host = run(json!({"bind": "0.0.0.0:0"}), |_| {});
    let (level, text) = host.health().unwrap();
    assert!(
        level == HEALTH_OK && text.contains("whoever reaches it may send as any camera: set `api_keys`"),
        "{text}"
    );
    assert!(host.logs().iter().any(|(level, line)| *level == LOG_WARN && line.contains("api_keys")));
    let host = run(json!({}), |_| {});
    assert!(!host.health().unwrap().1.contains("api_keys"), "nobody else reaches it");
}

#[test]
fn pages_of_other_origins_may_connect_unless_a_list_says_which() {
    run(json!({"origins": ["https://dash.example"]}), |rig| {
        let (status, head, _) = rig.http("GET", "/api/test", "Origin: https://dash.example\r\n", b"");
        assert!(status == 200 && head.contains("access-control-allow-origin: https://dash.example"));
        let (status, _, text) = rig.http("GET", "/api/test", "Origin: https://evil.example\r\n", b"");
        assert!(status == 403 && text.contains("\"success\":false"));
        let asked =
            "Origin: https://dash.example\r\nAccess-Control-Request-Headers: content-type, x-api-key\r\n";
        let (status, head, _) = rig.http("OPTIONS", "/api/detection", asked, b"");
        assert!(status == 204 && head.contains("access-control-allow-headers: content-type, x-api-key"));
    });
}

#[test]
fn a_port_in_use_is_a_sentence_and_a_wrong_configuration_found_before() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let Err(error) = Host::start(&gantry_plugin_v1, json!({"bind": address})) else { panic!("it cannot") };
    assert!(error.contains("another program has this port"), "{error}");
    let findings = Host::validate(&gantry_plugin_v1, &json!({"api_keys": {"1": "short"}}));
    assert_eq!(findings[0].path, "api_keys.1");
    assert!(!findings[0].message.contains("short\""));
}

#[test]
fn a_slow_client_is_let_go_and_the_others_do_not_notice() {
    run(json!({"limits": {"handshake_seconds": 1}}), |rig| {
        let mut slow: Vec<_> = (0..20).map(|_| rig.connect()).collect();
        for stream in &mut slow {
            let head =
                format!("POST /api/detection HTTP/1.1\r\nHost: x\r\n{JSON}Content-Length: 5000000\r\n\r\n{{");
            stream.write_all(head.as_bytes()).unwrap();
        }
        assert_eq!(rig.post("/api/detection", &detection()).0, 200);
        for mut stream in slow {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"success\":false"), "{answer}");
        }
    });
}
