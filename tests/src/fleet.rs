//! A gateway of a fleet: what it has, and what of that is on a NATS server.

use crate::gateway::Gateway;
use crate::nats::{Client, Message, as_base64};
use crate::{http, until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Something that begins and ends like a JPEG, of several parts of an object.
#[must_use]
pub fn picture() -> Vec<u8> {
    let noise = (0..300_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]);
    [0xff, 0xd8, 0xff, 0xe0].into_iter().chain(noise).chain([0xff, 0xd9]).collect()
}

/// One with a picture.
#[must_use]
pub fn seen_with_picture(n: u32) -> Value {
    let mut body = detection(n);
    body["annotated_image"] = json!(as_base64(&picture()));
    body
}

/// A gateway whose records come from plate-reading cameras.
#[must_use]
pub fn config(url: &str, more: &str) -> String {
    format!(
        "[cameras.main]\nsource = \"demo:?people=0\"\n[plugins.lpr]\nbind = \"127.0.0.1:0\"\n\
         [plugins.nats]\nservers = [{url:?}]\ngateway = \"north-gate\"\n{more}"
    )
}

/// What a camera has seen.
#[must_use]
pub fn detection(n: u32) -> Value {
    json!({
        "type": "detection_result", "camera_id": n % 3, "checkpoint_id": 3,
        "timestamp": format!("2026-11-21T10:{:02}:{:02}.{:03}Z", n / 60_000 % 60, n / 1000 % 60, n % 1000),
        "vehicles_count": 1, "plates_count": 1, "ocr_results": [format!("AB {n} CD")],
    })
}

/// Has a camera send it, which is answered.
///
/// # Panics
/// When it is refused.
pub fn send(at: &str, body: &Value) {
    let answer = http::post(at, "/api/detection", body);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Asks the gateway as its operator.
///
/// # Panics
/// When it is refused.
pub fn call(gateway: &Gateway, service: &str, request: &Value) -> Value {
    let done = gateway.run(&["call", service, &request.to_string()]);
    assert!(done.status.success(), "{service} {request}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

/// The ids of a collection, as the gateway has them.
///
/// # Panics
/// When it does not say.
#[must_use]
pub fn kept(gateway: &Gateway, collection: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let mut query = json!({ "collection": collection, "order": "oldest", "limit": 1000 });
        if let Some(last) = ids.last() {
            query["after"] = json!(last);
        }
        let found = call(gateway, "records.query", &query);
        let records = found["records"].as_array().expect("records");
        ids.extend(records.iter().map(|record| record["id"].as_str().expect("an id").to_owned()));
        if found["more"] == false {
            return ids;
        }
    }
}

/// The ids under which records were published.
///
/// # Panics
/// When one has none.
#[must_use]
pub fn ids(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.header("Nats-Msg-Id").expect("an id").to_owned()).collect()
}

/// Waits until nothing waits any more, and returns what the stream has of a collection.
#[must_use]
pub fn drained(client: &mut Client, gateway: &Gateway, collection: &str) -> Vec<Message> {
    let expected = kept(gateway, collection);
    let subject = format!("gantry.*.{collection}.>");
    until("everything to be in the stream", || {
        let found = client.all("", "GANTRY", &subject);
        let last = found.last().and_then(|message| message.header("Nats-Msg-Id"));
        (last == expected.last().map(String::as_str)).then_some(found)
    })
}

/// Waits until the plugin's health says so.
pub fn wait_health(gateway: &Gateway, says: &str) {
    until(&format!("the health to say `{says}`"), || {
        gateway.plugin("nats")?.to_string().contains(says).then_some(())
    });
}

/// Writes a file that only its owner reads.
///
/// # Panics
/// When it cannot be written.
pub fn secret(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("for its owner only");
}

/// What the gateway answers to a request over NATS.
pub fn ask(client: &mut Client, service: &str, request: &Value) -> Value {
    client.call(&format!("gantry.north-gate.request.{service}"), request)
}
