//! Cameras without faults: what they give, to whom, and what a change of the configuration touches.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use gantry_core::config;
use gantry_core::frames::Format;
use gantry_core::health::Level;
use gantry_media::{CameraState, Cameras, ControlKind};
use serde_json::json;
use std::time::Duration;
use support::{Rig, camera, demo, jpeg_size, make_recording};

#[test]
fn the_demo_camera_gives_jpeg_of_the_stated_size_only_while_somebody_watches() {
    let rig = Rig::new();
    let analysis = rig.watch("main/analysis", 0);
    rig.run(&[("main", demo())]);
    let grey = analysis.take(10).remove(9);
    assert_eq!((grey.format, grey.width, grey.height), (Format::Gray8 { stride: 320 }, 320, 240));
    assert_eq!(grey.data.len(), 320 * 240);
    assert_eq!(rig.status("main").frames_encoded, 0, "nobody watched");

    let watched = rig.watch("main/jpeg", 0);
    for frame in watched.take(5) {
        assert_eq!((frame.format, frame.width, frame.height), (Format::Jpeg, 320, 240));
        assert_eq!(jpeg_size(&frame.data), (320, 240));
        assert_eq!(&*frame.stream, "main/jpeg");
    }
    drop(watched);

    // What was under way when the watcher left is done when the next frames come.
    let last = analysis.received_so_far();
    analysis.until(|f| f.sequence > last + 1);
    let encoded = rig.status("main").frames_encoded;
    analysis.take(10);
    let status = rig.status("main");
    assert_eq!(status.frames_encoded, encoded, "nobody watches any more");
    assert!(status.frames_captured >= 20 && status.state == CameraState::Running, "{status:?}");
}

#[test]
fn a_frame_knows_its_number_and_when_it_was_captured() {
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    rig.run(&[("main", demo())]);
    let frames = frames.take(10);
    assert_eq!(frames[0].sequence, 1, "the first frame was not missed");
    for pair in frames.windows(2) {
        assert!(pair[1].sequence > pair[0].sequence);
        assert!(pair[1].captured_monotonic_ns > pair[0].captured_monotonic_ns);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let age =
        Duration::from_nanos(now.checked_sub(frames[9].captured_unix_ns).expect("captured in the past"));
    assert!(age < Duration::from_secs(30), "{age:?}");
}

#[test]
fn a_slow_watcher_costs_only_the_encodings_it_sees() {
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 10_000);
    rig.run(&[("main", demo())]);
    let frames = frames.take(10);
    // Ten frames at 10 Hz span 0.9 s less the tolerance of the pace, which is 26 frames of the camera, seen or left out.
    let span = frames[9].sequence - frames[0].sequence;
    assert!(span >= 25, "{span}");
    assert!(rig.status("main").frames_encoded <= 12, "{:?}", rig.status("main"));
}

#[test]
fn state_and_health_follow_the_source_and_not_the_watchers() {
    let rig = Rig::new();
    let connected = rig.follow("cameras/main/connected");
    let fps = rig.follow("cameras/main/fps");
    rig.run(&[("main", camera("demo:?seed=3"))]);
    connected.until(&json!(true));
    assert_eq!(fps.next(), json!(30));
    let get = |key: &str| rig.runtime.state.get(&format!("cameras/main/{key}")).unwrap().0;
    assert_eq!((get("width"), get("height")), (json!(320), json!(240)));
    let health = rig.health("main").unwrap();
    assert_eq!((health.level, health.message.as_str()), (Level::Ok, "30 fps"));
    assert_eq!(rig.cameras.controls("main")["brightness"].kind, ControlKind::Live);

    rig.run(&[]);
    connected.until(&json!(false));
    assert!(rig.cameras.status().is_empty());
    assert_eq!(rig.health("main"), None);
}

#[test]
fn a_change_of_one_camera_does_not_touch_the_other() {
    let rig = Rig::new();
    let (left, right) = (rig.watch("left/jpeg", 0), rig.watch("right/jpeg", 0));
    let connected = rig.follow("cameras/left/connected");
    rig.run(&[("left", demo()), ("right", demo())]);
    let before = left.next().sequence;
    assert_eq!(right.next().width, 320);

    let wider = config::Camera { width: 400, ..demo() };
    rig.run(&[("left", demo()), ("right", wider)]);
    let changed = right.until(|f| f.width == 400);
    assert_eq!(jpeg_size(&changed.data), (400, 240));
    assert!(changed.sequence > 1, "the numbers of a camera go on when it is changed");
    assert_eq!(rig.status("right").restarts, 0, "a change is no failure");
    let mut last = before;
    for frame in left.take(10) {
        assert!(frame.sequence > last);
        last = frame.sequence;
    }
    assert_eq!(connected.all(), [json!(false), json!(true)], "the other camera never went away");
}

#[test]
fn a_camera_that_is_removed_and_added_again_runs_again() {
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    for _ in 0..3 {
        rig.run(&[("main", demo())]);
        frames.until(|f| f.sequence == 1);
        rig.run(&[]);
    }
}

#[test]
fn a_changed_pipeline_file_is_taken_up_and_an_unchanged_one_is_not() {
    let rig = Rig::new();
    let text = |width: u32| {
        format!(
            "videotestsrc is-live=true ! video/x-raw,format=I420,width={width},height=240 ! identity name=capture \
             ! jpegenc name=gate ! appsink name=jpeg"
        )
    };
    let own = config::Camera { pipeline: Some(rig.pipeline("own", &text(64))), ..camera("test:") };
    let frames = rig.watch("main/jpeg", 0);
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", own.clone())]);
    frames.until(|f| f.width == 64);
    rig.run(&[("main", own.clone())]);
    frames.take(5);
    assert_eq!(connected.all(), [json!(false), json!(true)]);
    rig.pipeline("own", &text(128));
    rig.run(&[("main", own)]);
    frames.until(|f| f.width == 128);
}

#[test]
fn a_looping_recording_goes_on_past_its_end() {
    let rig = Rig::new();
    let path = rig.path("a recording.mkv");
    make_recording(&rig.path("made.mkv"), 20);
    std::fs::rename(rig.path("made.mkv"), &path).unwrap();
    let frames = rig.watch("main/jpeg", 0);
    let connected = rig.follow("cameras/main/connected");
    let uri = format!("file://{}?loop=true", path.display()).replace(' ', "%20");
    rig.run(&[("main", camera(uri))]);
    let last = frames.until(|f| f.sequence > 50);
    assert_eq!(jpeg_size(&last.data), (320, 240));
    assert_eq!(connected.all(), [json!(false), json!(true)]);
    assert_eq!(rig.status("main").restarts, 0);
}

#[test]
fn a_recording_that_does_not_loop_says_that_it_is_over() {
    let rig = Rig::new();
    let path = rig.path("short.mkv");
    make_recording(&path, 10);
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", camera(format!("file:{}", path.display())))]);
    connected.until(&json!(true));
    connected.until(&json!(false));
    let status = rig.status_when("main", |s| s.state == CameraState::Ended);
    assert!(status.reason.contains("loop=true"), "{status:?}");
    assert_eq!(status.restarts, 0);
    assert_eq!(rig.health("main").unwrap().level, Level::Degraded);
}

#[test]
fn recordings_in_h264_play_where_a_decoder_is_installed() {
    let assets = std::env::var_os("GANTRY_TEST_ASSETS").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        std::path::PathBuf::from,
    );
    let path = assets.join("video/two-faces-walking.mp4");
    gstreamer::init().unwrap();
    if gstreamer::ElementFactory::find("avdec_h264").is_none() || !path.exists() {
        eprintln!("SKIPPED: needs gstreamer1.0-libav and {}", path.display());
        return;
    }
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    let path = path.canonicalize().unwrap();
    rig.run(&[("main", camera(format!("file://{}?loop=true", path.display())))]);
    for frame in frames.take(5) {
        assert_eq!(jpeg_size(&frame.data), (320, 240));
    }
    assert_eq!(rig.runtime.state.get("cameras/main/fps").unwrap().0, json!(12));
}

#[test]
fn check_finds_everything_without_opening_the_camera() {
    let rig = Rig::new();
    let dir = rig.path("pipelines");
    let says = |name: &str, camera: &config::Camera| {
        let findings = Cameras::check(&dir, name, camera);
        findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for source in
        ["demo:", "test:", "rtsp://u:p@host/x", "v4l2:///dev/video77", "v4l2:///dev/video77?format=raw"]
    {
        assert_eq!(says("main", &camera(source)), "", "{source}");
    }
    let two = config::Camera { pipeline: Some("two-cameras".into()), ..camera("v4l2:///dev/video0") };
    assert_eq!(says("main", &two), "");

    let bad = config::Camera { source: "demmo:".into(), fps: 0, jpeg_quality: 101, width: 9000, ..demo() };
    let text = says("my cam", &bad);
    for expected in [
        "cameras.my cam: a camera's name",
        "cameras.my cam.source: unknown source `demmo:`, did you mean `demo`?",
        "cameras.my cam.fps: 0 is outside",
        "cameras.my cam.jpeg_quality: 101",
        "cameras.my cam.width: 9000",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let sensors = vec!["demo:".into(), "demmo:".into(), "file:///no/such/sensor.mp4".into()];
    let text = says("main", &config::Camera { sensors, ..demo() });
    for expected in
        ["cameras.main.sensors[1]: unknown source", "cameras.main.sensors[2]: /no/such/sensor.mp4"]
    {
        assert!(text.contains(expected) && text.lines().count() == 2, "{expected}\n{text}");
    }
    let gone = says("main", &camera("file:///no/such/file.mp4"));
    assert!(gone.contains("cameras.main.source: /no/such/file.mp4"), "{gone}");
    let none = says("main", &config::Camera { pipeline: Some("nowhere.toml".into()), ..demo() });
    assert!(none.contains("cameras.main.pipeline: there is no pipeline file `nowhere.toml`"), "{none}");

    let file = rig.pipeline("bad", "nosuchsrc ! jpegencc ! appsink name=jpeg");
    let text = says("main", &config::Camera { pipeline: Some(file), ..camera("test:") });
    assert!(text.contains("bad.toml") && text.contains("nosuchsrc") && text.contains("`jpegenc`"), "{text}");
    let file =
        rig.pipeline("names", "videotestsrc ! identity name=captur ! jpegenc name=gat ! appsink name=jpg");
    let text = says("main", &config::Camera { pipeline: Some(file), ..camera("test:") });
    for expected in ["`captur`", "`gat`", "`jpg`"] {
        assert!(text.contains(&format!("did you mean {expected}?")), "{text}");
    }
}

#[test]
fn credentials_of_a_camera_are_nowhere_to_be_seen() {
    let rig = Rig::new();
    let connected = rig.follow("cameras/main/connected");
    // Port 1 refuses at once.
    rig.run(&[("main", camera("rtsp://admin:s3cret@127.0.0.1:1/stream"))]);
    connected.until(&json!(false));
    let status = rig.status_when("main", |s| s.last_error.is_some());
    let shown = format!("{status:?} {:?}", rig.runtime.health.all());
    assert!(shown.contains("rtsp://***@127.0.0.1:1/stream") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn the_raw_picture_is_there_for_who_asks_and_encodes_nothing() {
    let rig = Rig::new();
    let raw = rig.watch("main/raw", 0);
    rig.run(&[("main", demo())]);
    for frame in raw.take(5) {
        assert_eq!((frame.format, frame.width, frame.height), (Format::I420 { stride: 320 }, 320, 240));
        assert_eq!(frame.data.len(), 320 * 240 * 3 / 2);
    }
    assert_eq!(rig.status("main").frames_encoded, 0, "nobody watched the JPEG pictures");
    let jpeg = rig.watch("main/jpeg", 0);
    jpeg.take(5);
    drop(raw);
    jpeg.take(5);
}

#[test]
fn streams_behind_one_gate_keep_their_own_rates() {
    let rig = Rig::new();
    let (raw, jpeg) = (rig.watch("main/raw", 0), rig.watch("main/jpeg", 10_000));
    rig.run(&[("main", demo())]);
    let slow = jpeg.take(10);
    let span = slow[9].sequence - slow[0].sequence;
    assert!(span >= 25, "{span}");
    let fast = raw.until(|f| f.sequence >= slow[9].sequence);
    assert!(fast.sequence <= slow[9].sequence + 1, "{} {}", fast.sequence, slow[9].sequence);
    assert!(rig.status("main").frames_encoded <= 12, "{:?}", rig.status("main"));
    assert_eq!(rig.status("main").frames_dropped, 0, "what was not wanted is not lost");
}
