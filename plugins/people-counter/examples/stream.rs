//! The plugin without a gateway: feeds it pictures of a given size at a given rate, and counts, events and faces that
//! somebody invented, for trying clients and for measuring.
//!
//! `cargo run --release -p gantry-people-counter --example stream -- PORT FPS BYTES`. A line on standard input is a thing
//! that happens: `lost` or `back` (the camera), `in`, `out`, `start`, `end`; its end ends the program.

use gantry_people_counter::gantry_plugin_v1;
use gantry_plugin::test::{Host, Service};
use serde_json::{Value, json};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many faces there are.
const FACES: u64 = 60;

fn face(id: u64, base64: &str) -> Value {
    json!({"face_id": id, "time_ms": 0, "filename": format!("face_{id}.jpg"), "image_data": base64})
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let number = |i: usize, default: f64| args.get(i).map_or(Ok(default), |arg| arg.parse::<f64>());
    let (port, fps, bytes) = (number(1, 8765.0)? as u16, number(2, 30.0)?, number(3, 50_000.0)? as usize);
    let picture: Vec<u8> = [0xff, 0xd8, 0xff, 0xfe]
        .into_iter()
        .chain((0..).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8))
        .take(bytes)
        .collect();
    let base64 = base64_simd::STANDARD.encode_to_string(&picture[..bytes.min(30_000)]);
    let config = json!({"bind": format!("127.0.0.1:{port}"), "max_fps": fps.clamp(0.1, 240.0), "time_zone": "UTC",
        "limits": {"connections": 4096}});
    let mut host = Host::start_with(&gantry_plugin_v1, config, |host| {
        let (one, all) = (base64.clone(), base64);
        let get: Service = Box::new(move |request| match request["face_id"].as_u64() {
            Some(id @ 1..=FACES) => Ok(face(id, &one)),
            id => Ok(json!({"face_id": id, "missing": "face"})),
        });
        let list: Service = Box::new(move |request| {
            let limit = request["limit"].as_u64().unwrap_or(0).min(FACES);
            Ok(json!({"faces": (0..limit).map(|i| face(FACES - i, &all)).collect::<Vec<_>>()}))
        });
        host.offer("faces.get", get);
        host.offer("faces.list", list);
        host.set_state("cameras/main/connected", json!(true));
        host.set_state("cameras/main/fps", json!(fps));
        host.set_state("counts/faces", json!(FACES));
    })?;
    println!("{}", host.health().map(|(_, message)| message).unwrap_or_default());
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
        // Without a terminal or a pipe there is nobody to end it but a signal.
        if std::env::var_os("GANTRY_STREAM_FOREVER").is_some() {
            std::thread::park();
        }
    });
    let (mut count_in, mut count_out, mut today, mut event) = (0_u64, 0_u64, 0_u64, None);
    let mut due = Instant::now();
    loop {
        due += Duration::from_secs_f64(1.0 / fps);
        match lines.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => drop(host.frame("main/jpeg", 640, 480, &picture)),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Ok(line) => match (line.trim(), event) {
                ("lost" | "back", _) => {
                    host.set_state("cameras/main/connected", json!(line.trim() == "back"))
                }
                ("in", _) => {
                    count_in += 1;
                    host.set_state("counts/main/in", json!(count_in));
                }
                ("out", _) => {
                    count_out += 1;
                    host.set_state("counts/main/out", json!(count_out));
                }
                ("start", None) => {
                    let start_ms = now_ms();
                    (event, today) = (Some((start_ms, count_in)), today + 1);
                    host.set_state("events/busy/today", json!(today));
                    host.set_state("events/busy/active", json!(true));
                    let started =
                        json!({"event": "busy", "status": "started", "start_ms": start_ms, "data": {}});
                    host.message("events/busy", started.to_string().as_bytes());
                }
                ("end", Some((start_ms, before))) => {
                    event = None;
                    host.set_state("events/busy/active", json!(false));
                    let ended = json!({"event": "busy", "status": "ended", "start_ms": start_ms,
                        "end_ms": now_ms(), "count_in": count_in - before, "data": {}});
                    host.message("events/busy", ended.to_string().as_bytes());
                }
                (other, _) => println!("`{other}` is nothing: lost, back, in, out, start or end"),
            },
        }
        host.poll();
    }
}
