//! What cameras in the field send to the LPR receiver beside what its document says, and much of it at once.

use gantry_tests::client::{Client, Kind};
use gantry_tests::gateway::Setup;
use gantry_tests::lpr::{
    CONFIG, address, base64, detection, get, health, picture, records, registration, sent, with,
};
use gantry_tests::{http, until};
use serde_json::{Value, json};

/// What the document does not say and cameras do.
#[test]
fn what_cameras_in_the_field_send_is_taken_and_given_back_as_sent() {
    let gateway = Setup::with_config(CONFIG).start_ready();
    let at = address(&gateway);
    let post = |path: &str, body: &Value| {
        let answer = http::post(&at, path, body);
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        answer.json()
    };
    // Another name, JSON in texts, a float, pictures under each name and in each form; and back.
    let plain = base64(&picture(7, 3000));
    let lines: String =
        plain.as_bytes().chunks(76).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect();
    let odd = json!({
        "type": "detection_result", "aicamera_id": 12, "checkpoint_id": 7, "timestamp": "2024-12-19 17:00:00",
        "vehicles_count": 2, "plates_count": 2, "processing_time_ms": 151.75,
        "ocr_results": "[{\"text\": \"กข 1234\", \"confidence\": 0.91}, {\"text\": \"2กก 99\", \"confidence\": 0.5}]",
        "vehicle_detections": "[{\"bbox\": [1, 2, 3, 4]}]", "plate_detections": "[]",
        "annotated_image": format!("data:image/jpeg;base64,{plain}"), "original_image": lines,
        "cropped_plates": [plain.trim_end_matches('='), "not a picture", ""],
    });
    post("/api/statistics", &odd);
    let expected = with(
        odd.clone(),
        &json!({
            "camera_id": 12,
            "ocr_results": [{ "text": "กข 1234", "confidence": 0.91 }, { "text": "2กก 99", "confidence": 0.5 }],
            "vehicle_detections": [{ "bbox": [1, 2, 3, 4] }], "plate_detections": [],
        }),
    );
    assert_eq!(sent(&gateway, "camera_id=12"), [expected]);
    // In the record it is bytes, decoded once.
    let request = json!({ "collection": "detections", "blobs": true }).to_string();
    let found: Value =
        serde_json::from_slice(&gateway.run(&["call", "records.query", &request]).stdout).expect("JSON");
    let blobs = found["records"][0]["blobs"].as_array().expect("blobs").clone();
    assert_eq!(blobs.len(), 3, "{blobs:?}");
    assert!(
        blobs
            .iter()
            .all(|blob| gantry_tests::base64(blob["data"].as_str().expect("base64")) == picture(7, 3000))
    );
    // Health with its details in a text.
    let told = with(health(), &json!({ "details": "{\"cpu_usage\": 45.2}" }));
    post("/api/statistics", &told);
    assert_eq!(records(&gateway, "health")[0]["details"], json!({ "cpu_usage": 45.2 }));
    // Any time is kept as it is, and none disturbs the statistics.
    let times = [
        json!("2024-12-19T10:00:00"),
        json!("2024-12-19T17:00:00+07:00"),
        json!("2024-12-19 10:00:00"),
        json!("19/12/2567 10:00"),
        json!("yesterday"),
        json!(""),
        json!(1_734_602_400),
        json!(1_734_602_400.25),
    ];
    for time in &times {
        post("/api/detection", &with(detection(), &json!({ "timestamp": time })));
    }
    let kept: Vec<_> =
        sent(&gateway, "camera_id=1").iter().rev().map(|record| record["timestamp"].clone()).collect();
    assert_eq!(kept, times);
    let data = get(&gateway, "/api/statistics")["data"].clone();
    assert_eq!((&data["total_detections"], &data["today_detections"]), (&json!(9), &json!(9)), "{data}");
    // Without registering it is known, and after registering by REST it may use Socket.IO.
    let unregistered = get(&gateway, "/api/cameras");
    assert_eq!(
        (&unregistered["total_cameras"], &unregistered["cameras"][1]["camera_id"]),
        (&json!(2), &json!(12))
    );
    let id = json!({ "camera_id": "by-rest" });
    post("/api/cameras/register", &with(registration(), &id));
    let mut camera = Client::connect(Kind::Python, &format!("http://{at}"), &json!({}));
    camera.named("#connect");
    camera.emit(&[json!("lpr_data"), with(detection(), &id)]);
    let first = camera.named("lpr_response").args[0]["detection_id"].clone();
    // The answer was lost: the same row, by another way, with its fields in another order, has its first id.
    let mut turned: Vec<_> =
        with(detection(), &id).as_object().expect("an object").clone().into_iter().collect();
    turned.reverse();
    let turned = Value::Object(turned.into_iter().collect());
    assert_eq!(post("/api/detection", &turned)["detection_id"], first);
    assert_eq!(get(&gateway, "/api/records?camera_id=by-rest")["total_count"], 1);
    // Another picture is another row.
    let other = with(turned, &json!({ "annotated_image": base64(&picture(8, 20_000)) }));
    assert_ne!(post("/api/detection", &other)["detection_id"], first);
}

#[test]
fn a_burst_of_fifty_large_messages_after_an_outage_is_kept_once_and_in_order() {
    let mut gateway = Setup::with_config(CONFIG).start_ready();
    let port = address(&gateway).rsplit(':').next().expect("a port").to_owned();
    let url = format!("http://127.0.0.1:{port}");
    let mut camera = Client::connect(Kind::Python, &url, &json!({ "transports": ["websocket"] }));
    camera.named("#connect");
    gateway.write_config(&CONFIG.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    // The outage; the camera comes back by itself and has fifty messages with a JPEG of 555 kB, 740 kB in base64.
    gateway.restart();
    camera.named("#connect");
    let image = base64(&picture(1, 555_000));
    let message = |n: u32| {
        with(
            detection(),
            &json!({ "timestamp": format!("2024-12-19T10:00:{n:02}Z"), "n": n, "annotated_image": format!("{image}{n:04}") }),
        )
    };
    let mut send_all = || {
        (0..50).for_each(|n| camera.emit(&[json!("lpr_data"), message(n)]));
        let answers = (0..50).map(|_| camera.named("lpr_response").args[0]["detection_id"].clone());
        let mut ids: Vec<_> = answers.map(|id| id.as_str().expect("an id").to_owned()).collect();
        // This client tells of each answer on a thread of its own.
        ids.sort();
        ids
    };
    let ids = send_all();
    // The answers were lost, and it sends all of it again.
    assert_eq!(send_all(), ids);
    gateway.restart();
    let mut before = String::new();
    let mut n = 50;
    while n > 0 {
        let page = sent(&gateway, &format!("limit=10{before}"));
        assert!(!page.is_empty());
        for record in page {
            n -= 1;
            assert!(record == message(n), "message {n} is not as it was sent");
        }
        before = format!("&before={}", ids[n as usize]);
    }
    until("the statistics", || {
        (get(&gateway, "/api/statistics")["data"]["total_detections"] == 50).then_some(())
    });
}
