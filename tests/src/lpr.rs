//! What cameras of the plate-reading protocol send, as its document writes it, and how what became of that is asked for.

use crate::gateway::Gateway;
use crate::http;
use serde_json::{Map, Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::Sender;

/// A gateway with a camera and the receiver on a free port.
pub const CONFIG: &str =
    "[cameras.main]\nsource = \"demo:?people=0\"\n[plugins.lpr]\nbind = \"127.0.0.1:0\"\n";
/// The header of a JSON body.
pub const JSON: &str = "Content-Type: application/json\r\n";

/// `HOST:PORT` of the receiver.
#[must_use]
pub fn address(gateway: &Gateway) -> String {
    gateway.url("lpr").rsplit('/').next().unwrap_or_default().to_owned()
}

/// Posts `detection(n)`, from `first` on, until the gateway is gone. What was answered goes to `answered`, with its id.
pub fn send_until_gone(at: &str, first: u32, detection: fn(u32) -> Value, answered: &Sender<(u32, String)>) {
    for n in first.. {
        let body = detection(n).to_string();
        let head = format!(
            "POST /api/detection HTTP/1.1\r\nHost: {at}\r\n{JSON}Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut text = String::new();
        let told = TcpStream::connect(at)
            .and_then(|mut stream| {
                stream.write_all((head + &body).as_bytes())?;
                stream.read_to_string(&mut text)
            })
            .ok()
            .and_then(|_| text.split("\r\n\r\n").nth(1))
            .and_then(|body| serde_json::from_str::<Value>(body).ok());
        let Some(id) = told.as_ref().and_then(|told| told["detection_id"].as_str()) else { return };
        if answered.send((n, id.to_owned())).is_err() {
            return;
        }
    }
}

/// Bytes as cameras write them.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A JPEG as far as anybody here looks, which differs by `n`.
#[must_use]
pub fn picture(n: u32, length: u32) -> Vec<u8> {
    let inner = (0..length).map(|i| (i.wrapping_mul(2 * n + 1) >> 3) as u8);
    [vec![0xff, 0xd8, 0xff], inner.collect(), vec![0xff, 0xd9]].concat()
}

/// The registration of the document.
#[must_use]
pub fn registration() -> Value {
    json!({ "camera_id": "1", "checkpoint_id": "1", "timestamp": "2024-12-19T10:00:00Z" })
}

/// Every field of the document.
#[must_use]
pub fn detection() -> Value {
    json!({
        "type": "detection_result",
        "camera_id": "1",
        "checkpoint_id": "1",
        "timestamp": "2024-12-19T10:00:00Z",
        "vehicles_count": 1,
        "plates_count": 1,
        "ocr_results": ["ABC1234"],
        "vehicle_detections": [{ "bbox": [10, 20, 300, 200], "class": "car", "confidence": 0.93 }],
        "plate_detections": [{ "bbox": [120, 160, 80, 24], "confidence": 0.88 }],
        "processing_time_ms": 150,
        "annotated_image": base64(&picture(1, 20_000)),
        "cropped_plates": [base64(&picture(2, 900)), base64(&picture(3, 901))],
    })
}

/// The health check of the document.
#[must_use]
pub fn health() -> Value {
    json!({
        "type": "health_check",
        "camera_id": "1",
        "checkpoint_id": "1",
        "timestamp": "2024-12-19T10:00:00Z",
        "component": "camera",
        "status": "healthy",
        "message": "Camera working normally",
        "details": { "cpu_usage": 45.2, "memory_usage": 67.8, "disk_usage": 23.1 },
    })
}

/// The test message of the document.
#[must_use]
pub fn ping() -> Value {
    json!({ "type": "test", "message": "Hello from AI Camera", "timestamp": "2024-12-19T10:00:00Z" })
}

/// With other values of some fields.
///
/// # Panics
/// When one of them is no object.
#[must_use]
pub fn with(mut value: Value, changes: &Value) -> Value {
    for (key, change) in changes.as_object().expect("an object") {
        value[key] = change.clone();
    }
    value
}

/// Without a field.
///
/// # Panics
/// When it is no object.
#[must_use]
pub fn without(mut value: Value, field: &str) -> Value {
    value.as_object_mut().expect("an object").remove(field);
    value
}

/// Whether it looks like an id of the server.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

/// An answer as text, with `T` for the server's time and `ID` for an id that it made: as rows of the protocol are written.
#[must_use]
pub fn row(answer: &Value) -> String {
    fn plain(value: &mut Value) {
        let Value::Object(all) = value else { return };
        for (key, value) in all {
            let text = value.as_str().unwrap_or_default();
            if key == "timestamp" && text.len() == "2026-11-21T10:00:00.000Z".len() && text.starts_with("20")
            {
                *value = json!("T");
            } else if matches!(&**key, "detection_id" | "health_id") && is_uuid(text) {
                *value = json!("ID");
            } else {
                plain(value);
            }
        }
    }
    let mut answer = answer.clone();
    plain(&mut answer);
    answer.to_string()
}

/// What a path answers.
///
/// # Panics
/// When that is not 200 with JSON.
#[must_use]
pub fn get(gateway: &Gateway, path: &str) -> Value {
    let (status, text) = http::get(&address(gateway), path);
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The newest detections as they were sent: without what the server says of them.
///
/// # Panics
/// When the answer is not as it should be.
#[must_use]
pub fn sent(gateway: &Gateway, query: &str) -> Vec<Value> {
    let page = get(gateway, &format!("/api/records?{query}"));
    let mut records = page["records"].as_array().expect("records").clone();
    assert_eq!(page["returned_count"], records.len());
    for record in &mut records {
        let Value::Object(record) = record else { panic!("{record}") };
        let own: Map<String, Value> = ["record_id", "detection_id", "received_at"]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), record.shift_remove(key)?)))
            .collect();
        assert_eq!(own.len(), 3, "{record:?}");
    }
    records
}

/// The data of all records of a collection, the oldest first.
///
/// # Panics
/// When they are not given.
#[must_use]
pub fn records(gateway: &Gateway, collection: &str) -> Vec<Value> {
    let request = json!({ "collection": collection, "order": "oldest", "limit": 1000 }).to_string();
    let done = gateway.run(&["call", "records.query", &request]);
    let found: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    found["records"].as_array().expect("records").iter().map(|record| record["data"].clone()).collect()
}
