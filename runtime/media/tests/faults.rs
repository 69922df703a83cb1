//! Cameras with faults: what is lost comes back, what hangs is left behind, and watchers need do nothing.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use gantry_core::config;
use gantry_core::health::Level;
use gantry_media::CameraState;
use serde_json::json;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use support::{Rig, camera, demo};

const FRAME: usize = 64 * 48 * 3 / 2;

/// A camera whose pictures the test sends itself, raw over a connection.
struct Puppet {
    listener: TcpListener,
    camera: config::Camera,
}

impl Puppet {
    fn new(rig: &Rig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = format!(
            "tcpclientsrc host=127.0.0.1 port={port} ! rawvideoparse format=i420 width=64 height=48 framerate=30/1 \
             ! identity name=capture ! jpegenc name=gate ! appsink name=jpeg"
        );
        let pipeline = Some(rig.pipeline("puppet", &text));
        Self { listener, camera: config::Camera { pipeline, ..camera("test:") } }
    }

    /// The camera's next connection.
    fn connected(&self) -> TcpStream {
        self.listener.accept().unwrap().0
    }
}

fn show(stream: &mut TcpStream, frames: usize) {
    stream.write_all(&vec![100; frames * FRAME]).unwrap();
}

#[test]
fn a_camera_that_falls_silent_is_rebuilt_while_its_watchers_stay() {
    let rig = Rig::new();
    let puppet = Puppet::new(&rig);
    let frames = rig.watch("main/jpeg", 0);
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", puppet.camera.clone())]);
    let mut first = puppet.connected();
    show(&mut first, 5);
    frames.next();
    connected.until(&json!(true));

    // Nothing more is sent, and the connection stays open: only the missing frames tell.
    connected.until(&json!(false));
    let health = rig.health("main").unwrap();
    assert_eq!(health.level, Level::Failed);
    assert!(health.message.starts_with("no frame for 1."), "{health:?}");
    assert!(health.message.ends_with("retrying in 0.5 s"), "{health:?}");
    let before = rig.status("main").frames_captured;

    let mut second = puppet.connected();
    show(&mut second, 5);
    connected.until(&json!(true));
    frames.until(|f| f.sequence > before);
    assert_eq!(rig.status("main").restarts, 1);
}

#[test]
fn a_camera_that_ends_its_stream_is_opened_again() {
    let rig = Rig::new();
    let puppet = Puppet::new(&rig);
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", puppet.camera.clone())]);
    for _ in 0..2 {
        let mut stream = puppet.connected();
        show(&mut stream, 5);
        connected.until(&json!(true));
        drop(stream);
        connected.until(&json!(false));
    }
    assert!(rig.status("main").last_error.is_some());
}

#[test]
fn a_pipeline_with_an_error_is_rebuilt_and_says_why() {
    let rig = Rig::new();
    let text = "videotestsrc is-live=true ! video/x-raw,width=64,height=48 ! identity name=capture \
                ! identity error-after=5 ! jpegenc name=gate ! appsink name=jpeg";
    let failing = config::Camera { pipeline: Some(rig.pipeline("failing", text)), ..camera("test:") };
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", failing)]);
    for value in [true, false, true, false] {
        connected.until(&json!(value));
    }
    let status = rig.status("main");
    assert!(status.restarts >= 1 && status.last_error.is_some(), "{status:?}");
}

#[test]
fn a_camera_that_cannot_be_opened_is_tried_again_and_says_what_to_do() {
    let rig = Rig::new();
    rig.run(&[("main", camera("v4l2:///dev/no-such-camera"))]);
    let status = rig.status_when("main", |s| s.restarts >= 1);
    assert!(status.last_error.unwrap().contains("its cable"), "{:?}", rig.status("main"));
    assert_eq!(rig.runtime.state.get("cameras/main/connected").unwrap().0, json!(false));
    // What was wrong may be put right: the next section runs at once, whatever the wait was.
    let frames = rig.watch("main/jpeg", 0);
    rig.run(&[("main", demo())]);
    frames.next();
}

#[test]
fn a_pipeline_that_hangs_is_left_behind_and_stops_nobody() {
    let rig = Rig::new();
    // The streaming thread sleeps for an hour, so that setting the pipeline to NULL never returns.
    let text = "videotestsrc is-live=true ! video/x-raw,width=64,height=48 ! identity name=capture \
                ! identity sleep-time=3600000000 ! jpegenc name=gate ! appsink name=jpeg";
    let hanging = config::Camera { pipeline: Some(rig.pipeline("hanging", text)), ..camera("test:") };
    let healthy = rig.watch("healthy/jpeg", 0);
    let connected = rig.follow("cameras/hanging/connected");
    rig.run(&[("hanging", hanging), ("healthy", demo())]);
    for value in [true, false, true, false] {
        connected.until(&json!(value));
    }
    healthy.take(3);
    // That this returns is the test.
    rig.cameras.shutdown(Instant::now() + Duration::from_secs(1));
}

#[test]
fn the_first_frame_has_longer_than_the_stall_timeout() {
    let rig = Rig::new();
    let puppet = Puppet::new(&rig);
    let hasty = config::Camera { stall_timeout: Duration::from_millis(200), ..puppet.camera.clone() };
    let connected = rig.follow("cameras/main/connected");
    let waited = rig.watch("clock/jpeg", 0);
    rig.run(&[("main", hasty), ("clock", demo())]);
    let mut stream = puppet.connected();
    // Half a second by another camera's frames.
    let start = waited.next().captured_monotonic_ns;
    waited.until(|f| f.captured_monotonic_ns > start + 500_000_000);
    assert_eq!(rig.status("main").state, CameraState::Starting);
    show(&mut stream, 5);
    connected.until(&json!(true));
    assert_eq!(rig.status("main").restarts, 0);
}

#[test]
fn a_control_is_set_at_once_though_the_pipeline_hangs() {
    let rig = Rig::new();
    // Behind `capture` nothing moves for an hour, and the session cannot be closed.
    let text = "videotestsrc is-live=true ! video/x-raw,format=I420,width=64,height=48 ! identity name=capture \
                ! identity sleep-time=3600000000 ! videobalance name=balance ! jpegenc name=gate ! appsink name=jpeg";
    let name = rig.pipeline("hanging", text);
    let path = rig.path("pipelines").join("hanging.toml");
    let control = "[controls.brightness]\nelement = 'balance'\nproperty = 'brightness'\nto = [-1.0, 1.0]\n";
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + control).unwrap();
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", config::Camera { pipeline: Some(name), ..camera("test:") })]);
    for value in [true, false, true] {
        connected.until(&json!(value));
        // That these return is the test.
        rig.cameras.set("main", "brightness", &json!(10)).unwrap();
        rig.cameras.set("main", "fps", &json!(20)).unwrap();
    }
    rig.cameras.shutdown(Instant::now() + Duration::from_secs(1));
}
