//! Plate-reading cameras through the built gateway: Socket.IO, REST, and what a power cut leaves.

use gantry_tests::client::{Client, Kind};
use gantry_tests::gateway::Setup;
use gantry_tests::lpr::{CONFIG, address, send_until_gone};
use gantry_tests::{http, until};
use serde_json::{Value, json};

fn detection(n: u32) -> Value {
    json!({
        "type": "detection_result", "camera_id": 7, "checkpoint_id": 3,
        "timestamp": format!("2026-11-21T10:00:{:02}.{:03}Z", n / 1000 % 60, n % 1000),
        "vehicles_count": 1, "plates_count": 1, "ocr_results": [format!("AB {n} CD")],
        "annotated_image": "/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==",
    })
}

#[test]
fn cameras_of_each_client_register_report_and_are_answered() {
    let gateway = Setup::with_config(CONFIG).start_ready();
    let url = gateway.url("lpr").replace("ws://", "http://");
    let mut dashboard = Client::connect(Kind::Node4, &url, &json!({}));
    dashboard.named("#connect");
    dashboard.emit(&[json!("join_dashboard"), json!({})]);
    assert_eq!(dashboard.named("status").args[0]["message"], "Joined dashboard room");
    for (n, kind) in [Kind::Node4, Kind::Node2, Kind::Python].into_iter().enumerate() {
        let mut camera = Client::connect(kind, &url, &json!({}));
        camera.named("#connect");
        let who = json!({ "camera_id": 7, "checkpoint_id": 3, "timestamp": "2026-11-21T10:00:00Z" });
        camera.emit(&[json!("camera_register"), who]);
        let registered = camera.named("camera_register");
        assert_eq!(registered.args[0]["message"], "Camera 7 registered successfully", "{}", registered.line);
        assert_eq!(dashboard.named("camera_status").args[0]["status"], "online");
        camera.emit(&[json!("lpr_data"), detection(n as u32)]);
        let answered = camera.named("lpr_response").args[0].clone();
        assert_eq!(answered["message"], "LPR data received successfully", "{answered}");
        let told = dashboard.named("new_detection").args[0].clone();
        assert_eq!(told["detection_id"], answered["detection_id"]);
        camera.emit(&[json!("health_status"), json!({
            "type": "health_check", "camera_id": 7, "checkpoint_id": 3, "timestamp": "2026-11-21T10:00:00Z",
            "component": "lens", "status": "ok",
        })]);
        assert_eq!(camera.named("health_response").args[0]["success"], true);
        camera.emit(&[json!("lpr_data"), json!({ "type": "detection_result" })]);
        assert_eq!(camera.named("error").args[0]["message"], "Missing required field: camera_id");
    }
}

#[test]
fn what_was_answered_is_there_after_a_kill_as_it_was_sent() {
    let mut gateway = Setup::with_config(CONFIG).start_ready();
    let mut answered: Vec<Value> = Vec::new();
    for round in 0..5 {
        let at = address(&gateway);
        for n in 0..20 {
            let answer = http::post(&at, "/api/detection", &detection(round * 100 + n));
            assert_eq!(answer.status, 200);
            answered.push(answer.json()["detection_id"].clone());
        }
        gateway.restart();
        gateway.wait_ready();
    }
    let at = address(&gateway);
    let (status, text) = http::get(&at, "/api/records?limit=1000");
    assert_eq!(status, 200, "{text}");
    let records: Value = serde_json::from_str(&text).expect("JSON");
    let all = records["records"].to_string();
    for id in &answered {
        assert!(all.contains(id.as_str().expect("an id")), "{id} was answered and is gone");
    }
    assert!(all.contains("/9j/4AAQSkZJRgABAQAAAQABAAD/2Q=="), "the picture is given back as it was sent");
    // The same row again is stored once and answered with its first id.
    let again = http::post(&at, "/api/detection", &detection(0));
    assert_eq!(again.json()["detection_id"], answered[0]);
    let (_, text) = http::get(&at, "/api/statistics");
    let statistics: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(statistics["data"]["total_detections"], 100, "{statistics}");
}

#[test]
fn fifty_kills_in_a_stream_of_uploads_lose_nothing_that_was_answered() {
    let mut gateway = Setup::with_config(CONFIG).start_ready();
    let mut answered = Vec::new();
    for round in 0..50u32 {
        let at = address(&gateway);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for sender in 0..4 {
                let (at, tell) = (at.clone(), tell.clone());
                scope.spawn(move || send_until_gone(&at, round * 4000 + sender * 1000, detection, &tell));
            }
            drop(tell);
            // After another number of answers each time, while the next ones are on their way.
            let enough = 1 + (round * 7919) % 23;
            answered.extend(told.iter().take(enough as usize));
            gateway.signal("KILL");
            answered.extend(told.iter());
        });
        gateway.restart();
        gateway.wait_ready();
    }
    let at = address(&gateway);
    let mut kept = std::collections::BTreeMap::new();
    let mut before = String::new();
    loop {
        let (status, text) = http::get(&at, &format!("/api/records?limit=500{before}"));
        assert_eq!(status, 200, "{text}");
        let page: Value = serde_json::from_str(&text).expect("JSON");
        let records = page["records"].as_array().expect("records");
        let Some(last) = records.last() else { break };
        before = format!("&before={}", last["record_id"].as_str().expect("an id"));
        for record in records {
            let id = record["detection_id"].as_str().unwrap_or_default().to_owned();
            assert!(kept.insert(id, record.clone()).is_none(), "twice: {record}");
        }
    }
    assert!(answered.len() > 200, "{}", answered.len());
    for (n, id) in &answered {
        let record = kept.get(id).unwrap_or_else(|| panic!("{id} was answered and is gone"));
        for (key, value) in detection(*n).as_object().expect("an object") {
            assert_eq!(&record[key], value, "{key} of {id}");
        }
    }
}

#[test]
fn nonsense_is_refused_in_the_protocol_s_words() {
    let gateway = Setup::with_config(CONFIG).start_ready();
    let at = address(&gateway);
    let json = "Content-Type: application/json\r\n";
    for (method, path, headers, body, status) in [
        ("POST", "/api/detection", json, "{", 400),
        ("POST", "/api/detection", json, "{}", 400),
        ("POST", "/api/detection", "Content-Type: text/plain\r\n", "{}", 415),
        ("POST", "/api/nothing", json, "{}", 404),
        ("DELETE", "/api/records", "", "", 405),
    ] {
        let headers = format!("{headers}Content-Length: {}\r\n", body.len());
        let answer = http::send(&at, method, path, &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{method} {path}");
        let told = answer.json();
        assert!(told["success"] == false && told["message"].is_string(), "{told}");
    }
    until("the gateway to be well", || {
        let (status, _) = http::get(&at, "/api/test");
        (status == 200).then_some(())
    });
}
