//! V4L2 cameras and their faults, with a camera that is not there: a preloaded library answers for `/dev/fakevideo0`. Each
//! test runs itself again in a process with that library.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use gantry_core::config;
use gantry_core::frames::Format;
use gantry_media::ControlKind;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Rig, camera, jpeg_size, make};

/// Among the faults: the camera has controls, and what is set is written down.
const HAS_CONTROLS: (&str, &str) = ("FAKEV4L2_HAS_CONTROLS", "1");
const INSIDE: &str = "GANTRY_MEDIA_FAKE_CAMERA";

/// Runs this test again beside a fake camera with these faults. True inside; false outside, after it passed there or when
/// what it needs is not here.
fn beside_a_fake_camera(test: &str, faults: &[(&str, &str)]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/fakev4l2.c");
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
    let has_controls = faults.contains(&HAS_CONTROLS);
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .env("LD_PRELOAD", &library)
        .env("FAKEV4L2_DIR", &frames)
        .env("FAKEV4L2_SIZE", "test")
        .env("FAKEV4L2_RES", "320x240")
        .env("FAKEV4L2_FPS", "30")
        .envs(faults.iter().copied())
        .envs(has_controls.then(|| ("FAKEV4L2_CONTROLS", dir.path().join("set"))))
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

/// What the driver was told, line by line, once it was told as many things. There is nothing to wait on but the file.
fn told(lines: usize) -> Vec<String> {
    let path = std::env::var_os("FAKEV4L2_CONTROLS").unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(40);
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.ends_with('\n') && text.lines().count() >= lines {
            return text.lines().map(Into::into).collect();
        }
        assert!(std::time::Instant::now() < deadline, "{lines} lines were waited for: {text}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_camera_with_controls_of_its_own_is_told_and_what_it_lacks_is_named() {
    if !beside_a_fake_camera(
        "a_camera_with_controls_of_its_own_is_told_and_what_it_lacks_is_named",
        &[HAS_CONTROLS],
    ) {
        return;
    }
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    let set = |control: &str, value| rig.cameras.set("main", control, &value);
    rig.run(&[("main", camera("v4l2:///dev/fakevideo0"))]);
    frames.take(2);
    let info = rig.cameras.supports("main", "gain").unwrap();
    assert_eq!((info.kind, info.device_range), (ControlKind::Device, Some([0, 255])));
    set("brightness", json!(75)).unwrap();
    assert_eq!(told(1), ["brightness=32"]);
    set("gain", json!(100)).unwrap();
    set("whiteBalance", json!("manual")).unwrap();
    assert_eq!(told(3), ["brightness=32", "gain=255", "white_balance_automatic=0"]);
    for (control, says) in [
        (
            "sharpness",
            "the device has no `sharpness` (it has: brightness, contrast, gain, white_balance_automatic)",
        ),
        ("noiseSuppression", "binds nothing to it"),
        ("pictureQuality", "binds nothing to it"),
    ] {
        let error = set(control, json!(50)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let error = set("whiteBalance", json!("tungsten")).unwrap_err().to_string();
    assert!(error.contains("one of auto, false, manual, true"), "{error}");

    // What was set is set again on the next session.
    rig.run(&[("main", config::Camera { jpeg_quality: 60, ..camera("v4l2:///dev/fakevideo0") })]);
    let mut again = told(6).split_off(3);
    again.sort();
    assert_eq!(again, ["brightness=32", "gain=255", "white_balance_automatic=0"]);
}

#[test]
fn what_a_camera_of_raw_pictures_lacks_is_done_in_software() {
    if !beside_a_fake_camera("what_a_camera_of_raw_pictures_lacks_is_done_in_software", &[HAS_CONTROLS]) {
        return;
    }
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    rig.run(&[("main", camera("v4l2:///dev/fakevideo0?format=raw"))]);
    frames.take(2);
    let kind = |control: &str| rig.cameras.supports("main", control).unwrap().kind;
    assert_eq!((kind("brightness"), kind("saturation")), (ControlKind::Device, ControlKind::Live));
    rig.cameras.set("main", "saturation", &json!(0)).unwrap();
    rig.cameras.set("main", "contrast", &json!(100)).unwrap();
    assert_eq!(told(1), ["contrast=95"]);
    rig.cameras.set("main", "resolution", &json!("160x120")).unwrap();
    frames.until(|f| jpeg_size(&f.data) == (160, 120));
}

#[test]
fn a_size_that_a_camera_of_jpeg_pictures_does_not_offer_is_refused() {
    if !beside_a_fake_camera("a_size_that_a_camera_of_jpeg_pictures_does_not_offer_is_refused", &[]) {
        return;
    }
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    let raw = rig.watch("main/raw", 0);
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", camera("v4l2:///dev/fakevideo0?format=mjpeg"))]);
    frames.take(2);
    assert_eq!(raw.next().format, Format::I420 { stride: 320 });
    let info = rig.cameras.supports("main", "resolution").unwrap();
    assert_eq!((info.kind, &info.choices[..]), (ControlKind::Rebuild, &["320x240".to_owned()][..]));
    let error = rig.cameras.set("main", "resolution", &json!("640x480")).unwrap_err().to_string();
    assert!(error.contains("choose one of 320x240, which the camera offers"), "{error}");
    rig.cameras.set("main", "resolution", &json!("320x240")).unwrap();
    assert!(rig.cameras.supports("main", "brightness").is_err(), "this device has no controls");
    frames.take(5);
    assert_eq!(connected.all(), [json!(false), json!(true)], "the session went on");
}

#[test]
fn a_menu_of_the_device_is_bound_in_the_operators_own_file() {
    if !beside_a_fake_camera("a_menu_of_the_device_is_bound_in_the_operators_own_file", &[HAS_CONTROLS]) {
        return;
    }
    let rig = Rig::new();
    // As the README of the pipelines tells it.
    let readme = include_str!("../../../pipelines/README.md");
    let exposure = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let text = format!("{}\n{exposure}", include_str!("../../../pipelines/usb-mjpeg.toml"));
    std::fs::write(rig.path("pipelines").join("usb-mjpeg.toml"), text).unwrap();
    let frames = rig.watch("main/jpeg", 0);
    rig.run(&[("main", camera("v4l2:///dev/fakevideo0"))]);
    frames.take(2);
    assert_eq!(rig.cameras.supports("main", "exposure").unwrap().kind, ControlKind::Device);
    rig.cameras.set("main", "exposure", &json!("manual")).unwrap();
    assert_eq!(told(1), ["auto_exposure=1"]);
    rig.cameras.set("main", "exposure", &json!(true)).unwrap();
    assert_eq!(told(2)[1], "auto_exposure=3");
}
