//! V4L2 cameras and their faults, with a camera that is not there: a preloaded library answers for `/dev/fakevideo0`. Each
//! test runs itself again in a process with that library.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use gantry_core::frames::Format;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Rig, camera, jpeg_size, make};

const INSIDE: &str = "GANTRY_MEDIA_FAKE_CAMERA";

/// Runs this test again beside a fake camera with these faults. True inside; false outside, after it passed there or when
/// what it needs is not here.
fn beside_a_fake_camera(test: &str, faults: &[(&str, &str)]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let assets = std::env::var_os("GANTRY_TEST_ASSETS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let code = assets.join("bench/fakev4l2/fakev4l2.c");
    if !code.exists() {
        eprintln!("SKIPPED: {} is not here: set GANTRY_TEST_ASSETS", code.display());
        return false;
    }
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("fakev4l2.so");
    let compiled = Command::new("cc")
        .args(["-O1", "-w", "-fPIC", "-shared", "-o"])
        .args([&library, &code])
        .args(["-ldl", "-lpthread"])
        .status();
    if !compiled.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: the fake camera does not compile: install build-essential");
        return false;
    }
    let frames = dir.path().join("frames");
    let pictures = dir.path().join("frames_test");
    std::fs::create_dir(&pictures).unwrap();
    make(&format!(
        "videotestsrc num-buffers=8 pattern=ball ! video/x-raw,format=I420,width=320,height=240 ! jpegenc \
         ! multifilesink location={}/f%03d.jpg",
        pictures.display()
    ));
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .env("LD_PRELOAD", &library)
        .env("FAKEV4L2_DIR", &frames)
        .env("FAKEV4L2_SIZE", "test")
        .env("FAKEV4L2_RES", "320x240")
        .env("FAKEV4L2_FPS", "30")
        .envs(faults.iter().copied())
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

#[test]
fn a_camera_that_gives_jpeg_is_passed_through_as_it_is() {
    if !beside_a_fake_camera("a_camera_that_gives_jpeg_is_passed_through_as_it_is", &[]) {
        return;
    }
    let pictures = PathBuf::from(format!("{}_test", std::env::var("FAKEV4L2_DIR").unwrap()));
    let originals: Vec<_> =
        std::fs::read_dir(pictures).unwrap().map(|e| std::fs::read(e.unwrap().path()).unwrap()).collect();
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    let grey = rig.watch("main/analysis", 5_000);
    rig.run(&[("main", camera("v4l2:///dev/fakevideo0"))]);
    for frame in frames.take(20) {
        assert_eq!(jpeg_size(&frame.data), (320, 240));
        assert!(originals.iter().any(|original| original[..] == frame.data[..]), "the picture was made anew");
    }
    assert_eq!(grey.next().format, Format::Gray8 { stride: 320 });
}

#[test]
fn a_camera_can_be_asked_for_raw_pictures() {
    if !beside_a_fake_camera("a_camera_can_be_asked_for_raw_pictures", &[]) {
        return;
    }
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    // Also of another size than the camera has.
    let mut raw = camera("v4l2:///dev/fakevideo0?format=raw");
    (raw.width, raw.height) = (160, 120);
    rig.run(&[("main", raw)]);
    for frame in frames.take(5) {
        assert_eq!(jpeg_size(&frame.data), (160, 120));
    }
}

#[test]
fn a_camera_that_stalls_in_silence_is_opened_again() {
    let faults = [("FAKEV4L2_STALL_AFTER", "30"), ("FAKEV4L2_STALL_ONCE", "1")];
    if !beside_a_fake_camera("a_camera_that_stalls_in_silence_is_opened_again", &faults) {
        return;
    }
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", camera("v4l2:///dev/fakevideo0"))]);
    // A viewer that holds on to the last picture holds a buffer of the driver: the camera must come back all the same.
    let held = frames.take(20);
    for value in [true, false, true] {
        connected.until(&json!(value));
    }
    frames.until(|f| f.sequence > 60);
    assert!(rig.status("main").restarts >= 1);
    drop(held);
}

#[test]
fn a_camera_that_is_unplugged_and_plugged_in_again_comes_back() {
    let faults = [("FAKEV4L2_UNPLUG_AFTER", "30"), ("FAKEV4L2_REPLUG", "1")];
    if !beside_a_fake_camera("a_camera_that_is_unplugged_and_plugged_in_again_comes_back", &faults) {
        return;
    }
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", camera("v4l2:///dev/fakevideo0"))]);
    for value in [true, false, true] {
        connected.until(&json!(value));
    }
    frames.until(|f| f.sequence > 60);
}

#[test]
fn a_camera_that_stays_away_is_tried_again_and_again() {
    if !beside_a_fake_camera(
        "a_camera_that_stays_away_is_tried_again_and_again",
        &[("FAKEV4L2_UNPLUG_AFTER", "20")],
    ) {
        return;
    }
    let rig = Rig::new();
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", camera("v4l2:///dev/fakevideo0"))]);
    connected.until(&json!(true));
    connected.until(&json!(false));
    let status = rig.status_when("main", |s| s.restarts >= 2);
    assert!(status.reason.contains("/dev/fakevideo0"), "{status:?}");
    assert_eq!(connected.all(), Vec::<serde_json::Value>::new());
}
