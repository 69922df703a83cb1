//! The plugin without a gateway: feeds it pictures of a given size at a given rate, for trying clients and for measuring.
//!
//! `cargo run --release -p gantry-robocar --example stream -- PORT FPS BYTES [RATE]`; RATE is the publish rate, by default
//! FPS. A line on standard input changes whether there is a camera: `lost` or `back`; its end ends the program.

use gantry_plugin::test::Host;
use gantry_robocar::gantry_plugin_v1;
use serde_json::json;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let number = |i: usize, default: f64| args.get(i).map_or(Ok(default), |arg| arg.parse::<f64>());
    let (port, fps, bytes) = (number(1, 3000.0)? as u16, number(2, 30.0)?, number(3, 50_000.0)? as usize);
    let rate = number(4, fps)?;
    let config =
        json!({"bind": format!("127.0.0.1:{port}"), "publish_rate": rate, "limits": {"connections": 4096}});
    let mut host = Host::start_with(&gantry_plugin_v1, config, |host| {
        host.set_state("cameras/main/connected", json!(true));
        host.set_state("cameras/main/fps", json!(fps));
    })?;
    println!("{}", host.health().map(|(_, message)| message).unwrap_or_default());
    let picture: Vec<u8> = [0xff, 0xd8, 0xff, 0xfe]
        .into_iter()
        .chain((0..).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8))
        .take(bytes)
        .collect();
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
    let mut due = Instant::now();
    loop {
        due += Duration::from_secs_f64(1.0 / fps);
        match lines.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(line) => host.set_state("cameras/main/connected", json!(line.trim() == "back")),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                host.frame("main/jpeg", 640, 480, &picture);
            }
        }
    }
}
