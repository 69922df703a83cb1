//! Controls: what a camera is told shows in its pictures, at once and for good. Tests look at pictures until they are as
//! told, and say what they must not be meanwhile.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use gantry_core::config;
use gantry_media::{CameraState, ControlError, ControlKind};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use support::pictures::Picture;
use support::{Frames, Rig, camera, demo, jpeg_size};

impl Rig {
    /// The shipped file for the test picture, with another source in place of the ball.
    fn scene(&self, name: &str, source: &str) -> config::Camera {
        let shipped = include_str!("../../../pipelines/test.toml");
        let text = shipped.replace("videotestsrc name=source is-live=true pattern=ball", source);
        assert_ne!(text, shipped, "the shipped file has another source now");
        std::fs::write(self.path("pipelines").join(format!("{name}.toml")), text).unwrap();
        config::Camera { pipeline: Some(PathBuf::from(name)), ..camera("test:") }
    }

    fn set(&self, control: &str, value: impl Into<Value>) {
        self.cameras.set("main", control, &value.into()).unwrap();
    }
}

impl Frames {
    /// The first picture from now on that is as wanted.
    fn picture(&self, wanted: impl Fn(&Picture) -> bool) -> Picture {
        // A slow machine takes many frames to see a change, but not as many as this.
        for _ in 0..FRAMES {
            let picture = Picture::of(&self.next());
            if wanted(&picture) {
                return picture;
            }
        }
        let last = Picture::of(&self.next());
        let means = [0, 1, 2].map(|n| last.mean(n));
        panic!(
            "not the picture that was waited for: means {means:?}, variance {}, colour {}, sharpness {}",
            last.variance(0),
            last.colour(),
            last.sharpness()
        );
    }

    /// The mean difference between pictures that follow each other, once it is as wanted.
    fn unrest(&self, wanted: impl Fn(f64) -> bool) -> f64 {
        let mut last = Picture::of(&self.next());
        for _ in 0..FRAMES {
            let next = Picture::of(&self.next());
            let unrest = next.difference(&last);
            if wanted(unrest) {
                return unrest;
            }
            last = next;
        }
        panic!("the pictures are not as calm or as noisy as was waited for");
    }
}

/// Frames after which a change does not come any more.
const FRAMES: usize = 600;
const BARS: &str = "videotestsrc name=source is-live=true pattern=smpte75";

#[test]
fn brightness_shows_in_the_next_pictures_without_a_new_session() {
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", rig.scene("bars", BARS))]);
    let plain = frames.picture(|_| true).mean(0);
    assert!((60.0..200.0).contains(&plain), "{plain}");
    rig.set("brightness", 0);
    frames.picture(|p| p.mean(0) < 20.0);
    rig.set("brightness", 100);
    frames.picture(|p| p.mean(0) > 230.0);
    rig.set("brightness", 50);
    frames.picture(|p| (p.mean(0) - plain).abs() < 1.0);
    assert_eq!(connected.all(), [json!(false), json!(true)], "the session went on");
}

#[test]
fn contrast_saturation_and_sharpness_act_on_the_picture() {
    let rig = Rig::new();
    let frames = rig.watch("main/raw", 0);
    rig.run(&[("main", rig.scene("bars", BARS))]);
    let plain = frames.picture(|_| true);
    rig.set("contrast", 0);
    frames.picture(|p| p.variance(0) < 2.0);
    rig.set("contrast", 50);
    rig.set("saturation", 0);
    frames.picture(|p| p.variance(0) > 100.0 && p.colour() < 1.0);
    rig.set("saturation", 100);
    frames.picture(|p| p.colour() > plain.colour() * 1.3);
    rig.set("saturation", 50);
    rig.set("sharpness", 0);
    frames.picture(|p| p.sharpness() < plain.sharpness() * 0.7);
    rig.set("sharpness", 100);
    frames.picture(|p| p.sharpness() > plain.sharpness() * 1.5);
    rig.set("sharpness", 50);
    let again = frames.picture(|p| p.sharpness() == plain.sharpness());
    assert_eq!(again.colour(), plain.colour(), "all is as it was");
}

#[test]
fn gains_act_on_brightness_red_and_blue() {
    let rig = Rig::new();
    let frames = rig.watch("main/raw", 0);
    let grey = "videotestsrc name=source is-live=true pattern=solid-color foreground-color=0xff606060";
    rig.run(&[("main", rig.scene("grey", grey))]);
    let plain = frames.picture(|_| true);
    rig.set("gain", 75);
    frames.picture(|p| (p.mean(0) - 16.0) / (plain.mean(0) - 16.0) > 1.9);
    rig.set("gain", 50);
    rig.set("redGain", 100);
    let red = frames.picture(|p| p.mean(2) > 160.0);
    assert!(red.mean(1) < 128.0, "{}", red.mean(1));
    rig.set("redGain", 50);
    rig.set("blueGain", 0);
    frames.picture(|p| p.mean(1) < 110.0 && p.mean(2) < 140.0);
    rig.set("blueGain", 50);
    rig.set("whiteBalance", "tungsten");
    frames.picture(|p| p.mean(1) > 135.0 && p.mean(2) < 122.0);
    rig.set("whiteBalance", "manual");
    frames.picture(|p| [0, 1, 2].map(|n| p.mean(n)) == [0, 1, 2].map(|n| plain.mean(n)));
}

#[test]
fn automatic_exposure_brings_a_dark_scene_to_the_middle_and_white_balance_takes_its_colour() {
    let rig = Rig::new();
    let frames = rig.watch("main/raw", 0);
    let dark = "videotestsrc name=source is-live=true pattern=solid-color foreground-color=0xff382820";
    rig.run(&[("main", rig.scene("dark", dark))]);
    let plain = frames.picture(|_| true);
    assert!(plain.mean(0) < 60.0 && plain.mean(2) > 131.0, "{} {}", plain.mean(0), plain.mean(2));
    rig.set("exposure", "auto");
    frames.picture(|p| (105.0..130.0).contains(&p.mean(0)));
    rig.set("whiteBalance", true);
    frames.picture(|p| (p.mean(1) - 128.0).abs() < 2.0 && (p.mean(2) - 128.0).abs() < 2.0);
    rig.set("exposure", false);
    rig.set("whiteBalance", false);
    frames.picture(|p| (p.mean(0) - plain.mean(0)).abs() < 1.0);
}

#[test]
fn noise_suppression_calms_a_still_scene() {
    let rig = Rig::new();
    let frames = rig.watch("main/raw", 0);
    let noisy = "videotestsrc name=source is-live=true pattern=snow ! videobalance contrast=0.08";
    rig.run(&[("main", rig.scene("noisy", noisy))]);
    let plain = frames.unrest(|unrest| unrest > 2.0);
    rig.set("noiseSuppression", true);
    frames.unrest(|unrest| unrest < plain * 0.5);
    rig.set("noiseSuppression", false);
    frames.unrest(|unrest| unrest > plain * 0.9);
}

#[test]
fn the_resolution_changes_while_the_camera_runs() {
    let rig = Rig::new();
    let (jpeg, raw) = (rig.watch("main/jpeg", 0), rig.watch("main/raw", 0));
    let connected = rig.follow("cameras/main/connected");
    let width = rig.follow("cameras/main/width");
    rig.run(&[("main", demo())]);
    jpeg.until(|f| jpeg_size(&f.data) == (320, 240));
    for (value, size) in [("160x120", (160, 120)), ("640x480", (640, 480)), ("320x240", (320, 240))] {
        rig.set("resolution", value);
        jpeg.until(|f| jpeg_size(&f.data) == size);
        raw.until(|f| (f.width, f.height) == size && f.data.len() == (size.0 * size.1 * 3 / 2) as usize);
        width.until(&json!(size.0));
    }
    assert_eq!(connected.all(), [json!(false), json!(true)], "the session went on");
}

#[test]
fn the_rate_falls_at_once_and_rises_above_what_the_source_was_opened_with() {
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    let connected = rig.follow("cameras/main/connected");
    rig.run(&[("main", demo())]);
    frames.take(5);
    let interval = |pair: &[std::sync::Arc<gantry_core::frames::Frame>]| {
        pair[1].captured_monotonic_ns - pair[0].captured_monotonic_ns
    };
    rig.set("fps", 10);
    let mut last = frames.take(2);
    while interval(&last) < 90_000_000 {
        last = vec![last.remove(1), frames.next()];
    }
    let slow = frames.take(10);
    let span = slow[9].captured_monotonic_ns - slow[0].captured_monotonic_ns;
    assert!(span > 9 * 90_000_000, "{span}");
    rig.set("fps", 20);
    assert_eq!(
        connected.all(),
        [json!(false), json!(true)],
        "up to the source's own rate nothing is opened anew"
    );
    rig.set("fps", 100);
    connected.until(&json!(false));
    connected.until(&json!(true));
    // A loaded machine may not keep up, but now and then it does.
    let mut last = frames.take(2);
    while interval(&last) > 20_000_000 {
        last = vec![last.remove(1), frames.next()];
    }
    assert_eq!(rig.status("main").restarts, 0, "a wish is no failure");
}

#[test]
fn the_picture_quality_shows_in_the_size_of_the_picture() {
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    rig.run(&[("main", rig.scene("bars", BARS))]);
    let plain = frames.next().data.len();
    rig.set("pictureQuality", 5);
    frames.until(|f| f.data.len() * 3 < plain * 2);
    rig.set("pictureQuality", 98);
    frames.until(|f| f.data.len() > plain * 5 / 4);
}

#[test]
fn what_was_set_outlives_sessions_and_changes_of_the_section() {
    let rig = Rig::new();
    let frames = rig.watch("main/raw", 0);
    let ending = "videotestsrc name=source is-live=true num-buffers=20 pattern=smpte75";
    let ends = rig.scene("ending", ending);
    rig.run(&[("main", ends.clone())]);
    frames.picture(|p| p.mean(0) > 60.0);
    rig.set("brightness", 0);
    rig.set("resolution", "160x120");
    frames.picture(|p| p.mean(0) < 20.0 && p.width == 160);
    rig.status_when("main", |s| s.restarts >= 1 && s.state == CameraState::Running);
    for _ in 0..10 {
        let picture = Picture::of(&frames.next());
        assert!(picture.mean(0) < 20.0 && picture.width == 160, "{} {}", picture.mean(0), picture.width);
    }
    let before = frames.received_so_far();
    rig.run(&[("main", config::Camera { jpeg_quality: 50, ..ends })]);
    frames.until(|f| f.sequence > before + 30);
    let picture = Picture::of(&frames.next());
    assert!(picture.mean(0) < 20.0 && picture.width == 160);
}

#[test]
fn a_camera_that_is_not_there_takes_what_its_file_declares_for_later() {
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    // Port 1 refuses at once.
    rig.run(&[("main", camera("rtsp://127.0.0.1:1/stream"))]);
    rig.set("brightness", 0);
    rig.set("fps", 12);
    rig.set("resolution", "160x120");
    let error = rig.cameras.set("main", "brightness", &json!(101)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`brightness` of camera `main` cannot be 101: choose a number between 0 and 100"
    );
    rig.run(&[("main", rig.scene("bars", BARS))]);
    let first = frames.next();
    assert_eq!(jpeg_size(&first.data), (160, 120));
    assert!(Picture::of(&first).mean(0) < 20.0, "from the first picture on");
    assert_eq!(rig.runtime.state.get("cameras/main/fps").unwrap().0, json!(12));
}

#[test]
fn a_sensor_is_chosen_by_its_place() {
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    let sensors = vec!["demo:?seed=2".into(), "test:".into()];
    rig.run(&[("main", config::Camera { sensors, ..demo() })]);
    frames.take(2);
    assert_eq!(rig.status("main").source, "demo:");
    rig.set("sensor", 1);
    rig.status_when("main", |s| s.source == "test:" && s.state == CameraState::Running);
    rig.set("sensor", 0);
    rig.status_when("main", |s| s.source == "demo:?seed=2" && s.state == CameraState::Running);
    frames.take(2);
    for wrong in [json!(2), json!(-1), json!(0.5), json!("demo:")] {
        let error = rig.cameras.set("main", "sensor", &wrong).unwrap_err();
        assert!(error.to_string().ends_with("choose a whole number between 0 and 1"), "{error}");
    }
    let info = rig.cameras.supports("main", "sensor").unwrap();
    assert_eq!((info.kind, info.range), (ControlKind::Rebuild, Some([0.0, 1.0])));
    rig.run(&[("main", demo())]);
    assert!(rig.cameras.supports("main", "sensor").unwrap_err().to_string().contains("list `sensors`"));
}

#[test]
fn what_a_camera_cannot_do_is_answered_with_the_next_step() {
    let rig = Rig::new();
    rig.run(&[("main", demo())]);
    let error = |camera: &str, control: &str, value: Value| {
        let error = rig.cameras.set(camera, control, &value).unwrap_err();
        let same = rig.cameras.supports(camera, control);
        assert_eq!(same.is_err(), !matches!(error, ControlError::Value { .. }), "{error}");
        error.to_string()
    };
    assert_eq!(error("mian", "brightness", json!(1)), "there is no camera `mian`, did you mean `main`?");
    let unknown = error("main", "brightnes", json!(1));
    assert!(unknown.contains("did you mean `brightness`?") && unknown.contains("demo.toml"), "{unknown}");
    for (control, value, expected) in [
        ("brightness", json!("50"), "a number between 0 and 100"),
        ("fps", json!(0), "a whole number between 1 and 240"),
        ("fps", json!(12.5), "a whole number between 1 and 240"),
        ("resolution", json!("641x480"), "even numbers"),
        ("whiteBalance", json!("moonlight"), "daylight"),
        ("noiseSuppression", json!("on"), "one of false, true"),
    ] {
        let text = error("main", control, value);
        assert!(text.contains(expected), "{text}");
    }
    let info = rig.cameras.supports("main", "whiteBalance").unwrap();
    assert!(info.choices.contains(&"tungsten".to_owned()) && info.range.is_none(), "{info:?}");
    let info = rig.cameras.supports("main", "gain").unwrap();
    assert_eq!((info.kind, info.range, info.device_range), (ControlKind::Live, Some([0.0, 100.0]), None));
}

#[test]
fn two_cameras_are_controlled_on_their_own() {
    let rig = Rig::new();
    let (left, right) = (rig.watch("left/raw", 0), rig.watch("right/raw", 0));
    let bars = rig.scene("bars", BARS);
    rig.run(&[("left", bars.clone()), ("right", bars)]);
    let plain = right.picture(|_| true).mean(0);
    rig.cameras.set("left", "brightness", &json!(100)).unwrap();
    left.picture(|p| p.mean(0) > 230.0);
    let before = right.received_so_far();
    let later = right.until(|f| f.sequence > before + 3);
    assert_eq!(Picture::of(&later).mean(0), plain);
}

#[test]
fn who_asks_is_told_when_controls_come_and_go() {
    let rig = Rig::new();
    let (sender, told) = channel();
    rig.cameras.on_controls(Box::new(move |camera| _ = sender.send(camera.to_owned())));
    let limit = std::time::Duration::from_secs(40);
    let until = |wanted: &dyn Fn() -> bool| {
        while !wanted() {
            assert_eq!(told.recv_timeout(limit).unwrap(), "main");
        }
    };
    let has = |control: &str| rig.cameras.controls("main").contains_key(control);
    rig.run(&[("main", demo())]);
    until(&|| has("brightness"));
    let plain = "videotestsrc is-live=true ! video/x-raw,format=I420 ! identity name=capture ! jpegenc name=gate \
                 ! appsink name=jpeg";
    let own = config::Camera { pipeline: Some(rig.pipeline("plain", plain)), ..camera("test:") };
    rig.run(&[("main", own)]);
    until(&|| !has("brightness") && has("fps") && !has("resolution"));
    rig.run(&[]);
    until(&|| rig.cameras.controls("main").is_empty());
}

#[test]
fn an_element_that_corrects_nothing_passes_the_buffer_itself_on() {
    use gstreamer::prelude::*;
    // The crate registers its element when it starts.
    let _rig = Rig::new();
    let text = "videotestsrc num-buffers=3 ! video/x-raw,format=I420,width=64,height=48 ! identity name=before \
                ! gantrytone name=tone ! appsink name=out sync=false";
    let pipeline = gstreamer::parse::launch(text).unwrap().downcast::<gstreamer::Pipeline>().unwrap();
    let (sender, before) = channel();
    let pad = pipeline.by_name("before").unwrap().static_pad("src").unwrap();
    pad.add_probe(gstreamer::PadProbeType::BUFFER, move |_, info| {
        let memory = info.buffer().unwrap().peek_memory(0);
        let _ = sender.send((memory.as_ptr() as usize, memory.map_readable().unwrap().to_vec()));
        gstreamer::PadProbeReturn::Ok
    });
    let sink = pipeline.by_name("out").unwrap().downcast::<gstreamer_app::AppSink>().unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    for _ in 0..3 {
        let sample = sink.try_pull_sample(gstreamer::ClockTime::from_seconds(20)).unwrap();
        let memory = sample.buffer().unwrap().peek_memory(0);
        let (same, pixels) = before.recv().unwrap();
        assert_eq!(memory.as_ptr() as usize, same, "the memory itself");
        assert_eq!(memory.map_readable().unwrap().to_vec(), pixels);
    }
    pipeline.set_state(gstreamer::State::Null).unwrap();
}
