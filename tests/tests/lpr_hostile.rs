//! What strangers send to the LPR plugin over HTTP: each is told why, memory stays within bounds, and the camera beside them
//! is served all the while.

use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::{PATIENCE, http};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

const CONFIG: &str = "[plugins.lpr]\nbind = \"127.0.0.1:0\"\n";
/// Of the whole gateway, unoptimised, at its worst moment, in MiB: what it may hold for all of them together is 64 MiB of
/// bodies that are not complete and 128 MiB that are being stored, and it begins with some tens.
const MOST_MIB: u64 = 400;

/// A camera that must not notice anything.
struct Camera<'a> {
    gateway: &'a Gateway,
    address: String,
    sent: u32,
}

impl<'a> Camera<'a> {
    fn new(gateway: &'a Gateway) -> Self {
        let url = gateway.url("lpr");
        let address = url.rsplit('/').next().unwrap_or_default().to_owned();
        Self { gateway, address, sent: 0 }
    }

    /// What it sends is kept.
    fn is_served(&mut self, after: &str) {
        self.sent += 1;
        let answer = http::post(&self.address, "/api/detection", &detection(self.sent));
        assert_eq!(answer.status, 200, "after {after}: {}", answer.body);
        assert!(answer.json()["detection_id"].is_string(), "after {after}: {}", answer.body);
    }

    /// All of it is there, and the gateway has never held more than it may.
    fn is_well(&self) {
        let plugin = self.gateway.plugin("lpr").expect("reported");
        assert_eq!((&plugin["state"], &plugin["restarts"]), (&json!("running"), &json!(0)));
        let (_, text) = http::get(&self.address, "/api/records?camera_id=witness&limit=1000");
        let records: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(records["records"].as_array().map(Vec::len), Some(self.sent as usize), "{text}");
        let peak = peak_mib(self.gateway.pid());
        assert!(peak < MOST_MIB, "{peak} MiB");
    }
}

fn detection(n: u32) -> Value {
    json!({
        "type": "detection_result", "camera_id": "witness", "checkpoint_id": 3, "timestamp": n,
        "ocr_results": [format!("AB {n} CD")], "annotated_image": "/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==".repeat(9),
    })
}

/// The most memory that a process ever had.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
}

/// A detection with more in it; `more` is JSON that begins with a comma.
fn with(more: &str) -> Vec<u8> {
    format!(r#"{{"type":"detection_result","camera_id":"h","checkpoint_id":1,"timestamp":"t"{more}}}"#).into()
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn bodies_that_are_bombs_or_no_json_are_refused_with_a_reason_and_the_camera_beside_them_is_served() {
    let gateway = Setup::with_config(CONFIG).start_ready();
    let mut camera = Camera::new(&gateway);
    let keys: String = (0..1_000_000).map(|n| format!(r#","{n}":0"#)).collect();
    let plates = vec![format!("\"{}\"", "QUJD".repeat(20)); 60_000].join(",");
    let utf16: Vec<u8> =
        String::from_utf8(with("")).expect("text").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bodies: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        (
            "arrays in arrays",
            with(&format!(r#","x":{}"#, "[".repeat(10 << 20))),
            400,
            "nested deeper than 64",
        ),
        (
            "objects in objects",
            with(&format!(r#","x":{}"#, r#"{"a":"#.repeat(2 << 20))),
            400,
            "nested deeper than 64",
        ),
        ("a million keys", with(&keys), 400, "more than 100000 values"),
        (
            "a list without an end",
            with(&format!(r#","x":[{}"#, "0,".repeat(5 << 20))),
            400,
            "more than 100000 values",
        ),
        ("one long number", with(&format!(r#","x":{}"#, "9".repeat(10 << 20))), 400, "Invalid JSON"),
        ("60,000 pictures", with(&format!(r#","cropped_plates":[{plates}]"#)), 413, "1,000,000 bytes"),
        ("a name of 10 MB", with(&format!(r#","{}":1"#, "n".repeat(10 << 20))), 413, "1,000,000 bytes"),
        ("nothing", Vec::new(), 400, "Invalid JSON"),
        ("zeros", vec![0; 10 << 20], 400, "Invalid JSON"),
        ("UTF-16", utf16, 400, "Invalid JSON"),
        (
            "Latin-1",
            with(r#","x":"?""#).iter().map(|b| if *b == b'?' { 0xe4 } else { *b }).collect(),
            400,
            "Invalid JSON",
        ),
        ("half a surrogate", with(r#","x":"\ud800""#), 400, "Invalid JSON"),
        ("two messages", [with(""), with("")].concat(), 400, "Invalid JSON"),
        ("too much", vec![b' '; (16 << 20) + 1], 413, "too large"),
    ];
    for (what, body, status, why) in &bodies {
        let length = format!("{JSON}Content-Length: {}\r\n", body.len());
        let answer = http::send(&camera.address, "POST", "/api/detection", &length, body);
        assert_eq!(answer.status, *status, "{what}: {}", answer.body);
        let told = answer.json();
        assert_eq!(told["success"], false, "{what}");
        assert!(told["message"].as_str().is_some_and(|message| message.contains(why)), "{what}: {told}");
        camera.is_served(what);
    }
    // What says nothing of its length, or that it is something else.
    let large = vec![b' '; (16 << 20) + 1];
    let chunk = [format!("{:x}\r\n", large.len()).as_bytes(), &large[..], b"\r\n0\r\n\r\n"].concat();
    let chunked = format!("{JSON}Transfer-Encoding: chunked\r\n");
    assert_eq!(http::send(&camera.address, "POST", "/api/detection", &chunked, &chunk).status, 413);
    for (headers, status) in [
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("", 415),
        ("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", 400),
    ] {
        let body: &[u8] = if status == 400 { b"\x1f\x8b\x08\0\0\0\0\0" } else { &large };
        let headers = format!("{headers}Content-Length: {}\r\n", body.len());
        assert_eq!(
            http::send(&camera.address, "POST", "/api/health", &headers, body).status,
            status,
            "{headers}"
        );
    }
    camera.is_well();
}

#[test]
fn what_is_large_and_may_be_is_kept_and_comes_back() {
    let gateway = Setup::with_config(CONFIG).start_ready();
    let mut camera = Camera::new(&gateway);
    let image = "QUJD".repeat(3 << 20);
    let body = with(&format!(r#","annotated_image":"{image}""#));
    let length = format!("{JSON}Content-Length: {}\r\n", body.len());
    let answer = http::send(&camera.address, "POST", "/api/detection", &length, &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    camera.is_served("a picture of 9 MB");
    let (_, text) = http::get(&camera.address, "/api/records?camera_id=h");
    let records: Value = serde_json::from_str(&text).expect("JSON");
    assert!(records["records"][0]["annotated_image"].as_str() == Some(&image));
    camera.is_well();
}

#[test]
fn connections_that_dribble_heads_and_bodies_hold_up_nobody_and_are_let_go() {
    let limits = "[plugins.lpr.limits]\nhandshake_seconds = 2\n";
    let gateway = Setup::with_config(&format!("{CONFIG}{limits}")).start_ready();
    let mut camera = Camera::new(&gateway);
    let head = format!("POST /api/detection HTTP/1.1\r\nHost: x\r\n{JSON}");
    let mut dribbling: Vec<(TcpStream, &[u8])> = (0..200)
        .map(|n| {
            let mut stream = TcpStream::connect(&camera.address).expect("a listener");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            if n % 2 == 0 {
                stream.write_all(format!("{head}Content-Length: 16000000\r\n\r\n").as_bytes()).expect("sent");
                return (stream, &br#"{"type":"detection_result","camera_id":"#[..]);
            }
            (stream, &b"POST /api/detection HTTP/1.1\r\nHost: x"[..])
        })
        .collect();
    for n in 0..30 {
        // Those that were let go already refuse it.
        dribbling.iter_mut().for_each(|(stream, text)| _ = stream.write_all(&text[n..=n]));
        camera.is_served("a byte of each");
    }
    for (mut stream, _) in dribbling {
        let mut answer = Vec::new();
        // It may be reset because it was still sending.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    camera.is_well();
}

#[test]
fn large_bodies_that_never_end_take_no_more_memory_than_all_together_may() {
    let limits = "[plugins.lpr.limits]\nhandshake_seconds = 10\n";
    let gateway = Setup::with_config(&format!("{CONFIG}{limits}")).start_ready();
    let mut camera = Camera::new(&gateway);
    let head = format!("POST /api/detection HTTP/1.1\r\nHost: x\r\n{JSON}Content-Length: 16000000\r\n\r\n");
    let most = vec![b'x'; 12 << 20];
    let waiting: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(&camera.address).expect("a listener");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            // Those for which there is no room may be closed meanwhile.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&most));
            stream
        })
        .collect();
    let mut refused = 0;
    for mut stream in waiting {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        refused += u32::from(answer.starts_with(b"HTTP/1.1 503"));
    }
    assert!(refused > 0, "all together they were too much");
    camera.is_served("them");
    camera.is_well();
}
