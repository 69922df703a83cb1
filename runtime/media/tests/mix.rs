//! Mixes: which camera is seen where, and what that costs the others. Each camera gives one luminance, so that a pixel
//! tells whose it is.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use gantry_core::config;
use gantry_core::frames::Frame;
use gantry_media::{CameraState, Cameras};
use serde_json::json;
use std::time::{Duration, Instant};
use support::{Frames, Rig, camera, demo};

const WIDTH: usize = 320;
const HEIGHT: usize = 240;
/// Luminance of the cameras, and of nothing.
const A: u8 = 71;
const B: u8 = 180;
const BLACK: u8 = 16;

/// A camera of one luminance, in a size of its own.
fn plain(rig: &Rig, name: &str, grey: u8, size: (u32, u32)) -> config::Camera {
    let (width, height) = size;
    let toml = format!(
        "pipeline = '''videotestsrc is-live=true pattern=solid-color foreground-color=0xff{grey:02x}{grey:02x}{grey:02x} \
         ! video/x-raw,format=I420,width={width},height={height},framerate=30/1 ! tee name=capture \
         capture. ! jpegenc name=encoder ! appsink name=jpeg   capture. ! appsink name=raw'''\n\
         [streams.jpeg]\nsink = 'jpeg'\ngate = 'encoder'\n[streams.raw]\nsink = 'raw'\ngate = 'raw'\n"
    );
    std::fs::write(rig.path("pipelines").join(format!("{name}.toml")), toml).unwrap();
    config::Camera { pipeline: Some(name.into()), ..camera("test:") }
}

/// Two cameras and their mix.
fn set_up(rig: &Rig) -> [(&'static str, config::Camera); 3] {
    let (a, b) = (plain(rig, "a", 64, (320, 240)), plain(rig, "b", 191, (160, 120)));
    [("a", a), ("b", b), ("mix", camera("mix:a,b"))]
}

/// The luminance around a place, given in parts of the picture.
fn at(frame: &Frame, x: f64, y: f64) -> u8 {
    assert_eq!((frame.width as usize, frame.height as usize), (WIDTH, HEIGHT));
    let (column, row) = ((x * WIDTH as f64) as usize, (y * HEIGHT as f64) as usize);
    frame.data[row * WIDTH + column]
}

fn is(found: u8, wanted: u8) -> bool {
    found.abs_diff(wanted) <= 2
}

const CENTRE: (f64, f64) = (0.5, 0.5);
const CORNERS: [(&str, f64, f64); 4] =
    [("top-left", 0.1, 0.1), ("top-right", 0.9, 0.1), ("bottom-left", 0.1, 0.9), ("bottom-right", 0.9, 0.9)];

/// Waits for a picture with these luminances, and says how many came before.
fn until(frames: &Frames, wanted: &[((f64, f64), u8)]) -> usize {
    let before = std::cell::Cell::new(0);
    frames.until(|frame| {
        before.set(before.get() + 1);
        wanted.iter().all(|((x, y), luminance)| is(at(frame, *x, *y), *luminance))
    });
    before.get()
}

fn watchers(rig: &Rig, stream: &str) -> usize {
    rig.runtime.frames.stream(stream).demand().watchers
}

/// There is nothing to wait on but the demand itself.
fn watchers_become(rig: &Rig, stream: &str, wanted: usize) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while watchers(rig, stream) != wanted {
        assert!(Instant::now() < deadline, "{stream} has {} watchers", watchers(rig, stream));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_main_camera_is_switched_and_the_other_is_shown_where_it_was_chosen() {
    let rig = Rig::new();
    let frames = rig.watch("mix/raw", 0);
    rig.run(&set_up(&rig));
    let set = |control: &str, value| rig.cameras.set("mix", control, &value).unwrap();
    until(&frames, &[(CENTRE, A), ((0.1, 0.1), A), ((0.9, 0.9), A)]);

    frames.received_so_far();
    set("cameraSwitch", json!(1));
    let before = until(&frames, &[(CENTRE, B), ((0.1, 0.1), B), ((0.9, 0.9), B)]);
    assert!(before <= 30, "it took {before} pictures");

    for (pip, x, y) in CORNERS {
        set("pip", json!(pip));
        let others = CORNERS.iter().filter(|(other, ..)| *other != pip).map(|(_, x, y)| ((*x, *y), B));
        let wanted: Vec<_> = others.chain([((x, y), A), (CENTRE, B)]).collect();
        until(&frames, &wanted);
    }
    set("cameraSwitch", json!(0));
    until(&frames, &[(CENTRE, A), ((0.9, 0.9), B)]);
    set("pip", json!("side-by-side"));
    // Both keep their shape, so that there is black above and below.
    until(&frames, &[((0.25, 0.5), A), ((0.75, 0.5), B), ((0.25, 0.02), BLACK), ((0.75, 0.98), BLACK)]);
    set("pip", json!("off"));
    until(&frames, &[((0.25, 0.5), A), ((0.75, 0.5), A), ((0.25, 0.02), A)]);
}

#[test]
fn what_a_mix_cannot_show_is_refused_and_changes_nothing() {
    let rig = Rig::new();
    rig.run(&set_up(&rig));
    for (control, value, says) in [
        ("cameraSwitch", json!(2), "a number between 0 and 1"),
        ("cameraSwitch", json!("a"), "a number between 0 and 1"),
        ("pip", json!("middle"), "one of bottom-left, bottom-right, off, side-by-side, top-left, top-right"),
        ("pip", json!(1), "one of"),
    ] {
        let error = rig.cameras.set("mix", control, &value).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let info = rig.cameras.supports("mix", "cameraSwitch").unwrap();
    assert_eq!(info.range, Some([0.0, 1.0]));
    assert!(rig.cameras.supports("a", "pip").is_err());
    assert_eq!(Cameras::check(&rig.path("pipelines"), "mix", &camera("mix:a,b")).len(), 0);
}

#[test]
fn a_mix_that_nobody_watches_costs_its_cameras_nothing_and_is_there() {
    let rig = Rig::new();
    let connected = rig.follow("cameras/mix/connected");
    rig.run(&set_up(&rig));
    connected.until(&json!(true));
    assert_eq!((watchers(&rig, "a/raw"), watchers(&rig, "b/raw")), (0, 0));
    assert_eq!(rig.status("mix").frames_captured, 0);

    let frames = rig.watch("mix/jpeg", 0);
    let frame = frames.next();
    assert_eq!(support::jpeg_size(&frame.data), (WIDTH as u32, HEIGHT as u32));
    assert_eq!((watchers(&rig, "a/raw"), watchers(&rig, "b/raw")), (1, 0), "only the main camera is asked");
    rig.cameras.set("mix", "pip", &json!("top-left")).unwrap();
    watchers_become(&rig, "b/raw", 1);
    rig.cameras.set("mix", "pip", &json!("off")).unwrap();
    watchers_become(&rig, "b/raw", 0);
    for pair in frames.take(10).windows(2) {
        assert!(pair[1].captured_monotonic_ns > pair[0].captured_monotonic_ns);
        assert!(pair[1].sequence > pair[0].sequence);
    }
    drop(frames);
    watchers_become(&rig, "a/raw", 0);
    assert_eq!(rig.status("mix").state, CameraState::Running);
    // Whoever comes back is served, however long nobody was there.
    let raw = rig.watch("mix/raw", 0);
    until(&raw, &[(CENTRE, A)]);
}

#[test]
fn a_camera_that_is_lost_is_black_and_stops_nobody() {
    let rig = Rig::new();
    let cameras = set_up(&rig);
    let frames = rig.watch("mix/raw", 0);
    rig.run(&cameras);
    for (control, value) in [("cameraSwitch", json!(1)), ("pip", json!("bottom-right"))] {
        rig.cameras.set("mix", control, &value).unwrap();
    }
    until(&frames, &[(CENTRE, B), ((0.9, 0.9), A)]);
    let [a, b, mix] = cameras;
    rig.run(&[a.clone(), mix.clone()]);
    until(&frames, &[(CENTRE, BLACK), ((0.9, 0.9), A)]);
    frames.take(10);
    rig.run(&[a, b, mix]);
    until(&frames, &[(CENTRE, B), ((0.9, 0.9), A)]);
}

#[test]
fn a_mix_without_any_camera_is_not_connected_and_comes_back_with_one() {
    let rig = Rig::new();
    let [a, b, (name, mix)] = set_up(&rig);
    let mix = (name, config::Camera { stall_timeout: Duration::from_millis(500), ..mix });
    let connected = rig.follow("cameras/mix/connected");
    let frames = rig.watch("mix/raw", 0);
    rig.run(&[a, b.clone(), mix.clone()]);
    connected.until(&json!(true));
    until(&frames, &[(CENTRE, A)]);
    rig.run(std::slice::from_ref(&mix));
    connected.until(&json!(false));
    let status = rig.status_when("mix", |s| s.last_error.is_some());
    assert!(status.last_error.unwrap().contains("look at the cameras that it shows"));
    rig.run(&[b, mix]);
    connected.until(&json!(true));
    until(&frames, &[(CENTRE, BLACK)]);
}

#[test]
fn two_demo_cameras_with_different_seeds_differ() {
    let rig = Rig::new();
    let frames = [rig.watch("one/raw", 0), rig.watch("two/raw", 0)];
    rig.run(&[("one", demo()), ("two", camera("demo:?seed=2"))]);
    let [one, two] = frames.map(|frames| frames.next());
    let differ = one.data.iter().zip(two.data.iter()).filter(|(a, b)| a.abs_diff(**b) > 8).count();
    assert!(differ > one.data.len() / 20, "{differ} of {} bytes differ", one.data.len());
}
