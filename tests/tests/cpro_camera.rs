//! What is set over the C Pro state control is seen: in pictures, in files, and on the lights.

use gantry_tests::camera::Rtsp;
use gantry_tests::cpro;
use gantry_tests::eye::{Eye, Picture};
use gantry_tests::film::Film;
use gantry_tests::gateway::Gateway;
use gantry_tests::until;
use gantry_tests::websocket::Client;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Writes, and waits for the confirmation of all of it.
fn set(client: &mut Client, values: &Value) {
    client.send(values);
    let keys = values.as_object().expect("an object").len();
    client.find(&format!("the confirmation of {values}"), |message| {
        assert!(message["error"].is_null(), "{message}");
        message["info"].as_array().is_some_and(|info| info.len() == keys)
    });
}

/// One row of the table: a key, what is written, what is confirmed and read, and what is refused with which words.
struct Row(&'static str, Value, Value, Value, &'static str);

fn rows() -> Vec<Row> {
    let percent = |key| Row(key, json!(75), json!(75), json!(101), "Value must be between 0 and 100");
    let switch = |key| Row(key, json!(true), json!(true), json!("on"), "Value must be true or false");
    vec![
        switch("cam1-light"),
        switch("cam2-light"),
        Row("main-camera", json!(2), json!(2), json!(3), "Value must be between 1 and 2"),
        Row("cam1-sensor", json!(2), json!(2), json!(0), "Value must be between 1 and 16"),
        Row("cam2-sensor", json!(2), json!(2), json!(9), "Value must be"),
        Row("resolution", json!("160x120"), json!("160x120"), json!("large"), "Value must be"),
        Row("fps", json!(10), json!(10), json!(61), "Value must be between 5 and 60"),
        Row("pip-mode", json!("top-left"), json!("top-left"), json!("upside-down"), "Value must be"),
        percent("brightness"),
        percent("contrast"),
        percent("sharpness"),
        percent("saturation"),
        percent("gain"),
        percent("red-gain"),
        percent("blue-gain"),
        Row("auto-exposure", json!(true), json!(true), json!(1), "Value must be true, false or text"),
        Row("auto-exposure", json!("manual"), json!(false), json!("sometimes"), "Value must be"),
        Row("auto-exposure", json!("auto"), json!(true), json!([]), "Value must be"),
        Row("auto-white-balance", json!("daylight"), json!("daylight"), json!("moonlight"), "Value must be"),
        Row("auto-white-balance", json!(true), json!(true), json!(2), "Value must be true, false or text"),
        Row("auto-white-balance", json!(false), json!(false), json!({}), "Value must be"),
        switch("noise-supression"),
        Row(
            "record",
            json!(true),
            json!(true),
            json!("start"),
            "Value must be true, false, on, off, pause or pause_release",
        ),
        Row("record", json!("pause"), json!("pause"), json!(0), "Value must be"),
        Row("record", json!("pause_release"), json!(true), json!("pause_release"), "Recording is not paused"),
        Row("record", json!("off"), json!(false), json!("pause"), "Nothing is being recorded"),
        Row("jpeg-quality", json!(40), json!(40), json!(-1), "Value must be between 0 and 100"),
    ]
}

#[test]
fn every_key_of_the_document_is_set_and_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = cpro::start(&(cpro::two_cameras(folder.path()) + cpro::FAST));
    let mut client = cpro::logged_in(&gateway, "admin");
    let mut reader = cpro::anonymous(&gateway);
    for Row(key, written, told, wrong, why) in rows() {
        let confirmed = json!({ (key): told, "info": [key] });
        client.send(&json!({ (key): written }));
        let answer = client.find("an answer", |m| !m["info"].is_null() || !m["error"].is_null());
        assert_eq!(answer, confirmed, "{key} = {written}");
        reader.find(&format!("{key} to be told"), |m| *m == json!({ (key): told }));
        assert_eq!((client.get(key), reader.get(key)), (told.clone(), told.clone()), "{key}");
        client.send(&json!({ (key): wrong }));
        let refused = client.find("a refusal", |m| !m["error"].is_null() || !m["info"].is_null());
        assert_eq!(
            (&refused["error"], &refused["key"]),
            (&json!("Invalid value"), &json!(key)),
            "{wrong}: {refused}"
        );
        assert!(
            refused["message"].as_str().is_some_and(|m| m.starts_with(why)),
            "{key} = {wrong}: {refused}"
        );
        assert_eq!(client.get(key), told, "{key} after {wrong}");
    }
    // A button: it is pressed, and comes back by itself.
    client.send(&json!({ "snap": true }));
    client.find("the confirmation", |m| *m == json!({ "snap": true, "info": ["snap"] }));
    reader.find("the button to be pressed", |m| *m == json!({ "snap": true }));
    reader.find("the button to come back", |m| *m == json!({ "snap": false }));
    assert_eq!(reader.get("snap"), false);
    client.send(&json!({ "snap": 1 }));
    let refused = client.find("a refusal", |m| !m["error"].is_null());
    assert_eq!(
        refused,
        json!({ "error": "Invalid value", "key": "snap", "message": "Value must be true or false" })
    );
    // What the gateway sees itself is not for clients to say.
    for key in ["cam1-exists", "cam2-exists"] {
        assert_eq!(reader.get(key), true, "{key}");
        client.send(&json!({ (key): false }));
        let refused = client.find("a refusal", |m| !m["error"].is_null());
        assert_eq!((&refused["error"], &refused["key"]), (&json!("Permission denied"), &json!(key)));
    }
}

#[test]
fn lights_are_switched() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = cpro::start(&(cpro::one_camera() + &cpro::lights(folder.path())));
    let mut client = cpro::logged_in(&gateway, "admin");
    for (key, light) in [("cam1-light", "cam1"), ("cam2-light", "cam2")] {
        let file = folder.path().join("lights").join(light).join("brightness");
        let shines = |bright: &str| {
            until(&format!("{light} at {bright}"), || {
                // Written over what was there, as on the real file: what is left of that does not count.
                std::fs::read_to_string(&file).expect("a file").starts_with(bright).then_some(())
            });
        };
        set(&mut client, &json!({ (key): true }));
        shines("255");
        set(&mut client, &json!({ (key): false }));
        shines("0");
    }
}

#[test]
fn a_camera_exists_as_long_as_it_gives_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let camera = Rtsp::start(0);
    let port = camera.port();
    let uri = format!("source = \"rtsp://door:s3cret@127.0.0.1:{port}/door\"");
    let config = cpro::two_cameras(folder.path()).replacen(
        "source = \"test:\"\nsensors = [\"test:\", \"demo:?seed=2\"]",
        &uri,
        1,
    );
    assert!(config.contains(&uri));
    let gateway = cpro::start(&config);
    let mut reader = cpro::anonymous(&gateway);
    until("the second camera", || (reader.get("cam2-exists") == true).then_some(()));
    assert_eq!(reader.get("cam1-exists"), true);
    drop(camera);
    reader.find("the camera to be lost", |m| *m == json!({ "cam2-exists": false }));
    assert_eq!(reader.get("cam1-exists"), true);
    let _camera = Rtsp::start(port);
    reader.find("the camera to be back", |m| *m == json!({ "cam2-exists": true }));
}

/// The stream of the main camera, and a client that may set it.
fn watch(config: &str) -> (Gateway, Eye, Client) {
    let gateway = cpro::start(config);
    let (eye, client) = (Eye::open(&gateway), cpro::logged_in(&gateway, "admin"));
    (gateway, eye, client)
}

#[test]
fn the_quality_of_the_picture_is_what_was_set() {
    let (_gateway, eye, mut client) = watch(&(cpro::one_camera() + cpro::ROBOCAR));
    let normal = eye.picture();
    let bright = normal.luminance();
    assert!((60.0..200.0).contains(&bright), "{bright}");
    for (level, what) in [(0, 0.0..30.0), (100, 225.0..256.0), (50, bright - 15.0..bright + 15.0)] {
        set(&mut client, &json!({ "brightness": level }));
        eye.until(&format!("brightness {level}"), |picture| what.contains(&picture.luminance()));
    }
    let means = |picture: &Picture| picture.colour([0.0, 0.0, 1.0, 1.0]);
    let [red, green, blue] = means(&normal);
    let (contrast, colours, edges) = (normal.contrast(), normal.colourfulness(), normal.sharpness());
    // Each is set, seen, and taken back.
    type Seen<'a> = Box<dyn Fn(&Picture) -> bool + 'a>;
    let steps: Vec<(&str, u32, Seen)> = vec![
        ("contrast", 0, Box::new(|p| p.contrast() < contrast * 0.3)),
        ("contrast", 100, Box::new(|p| p.contrast() > contrast * 1.3)),
        ("saturation", 0, Box::new(|p| p.colourfulness() < 6.0)),
        ("saturation", 100, Box::new(|p| p.colourfulness() > colours * 1.4)),
        ("sharpness", 100, Box::new(|p| p.sharpness() > edges * 1.1)),
        ("sharpness", 0, Box::new(|p| p.sharpness() < edges * 0.9)),
        ("gain", 100, Box::new(|p| p.luminance() > bright * 1.2)),
        ("gain", 0, Box::new(|p| p.luminance() < bright * 0.8)),
        ("red-gain", 100, Box::new(|p| means(p)[0] - means(p)[1] > red - green + 15.0)),
        ("red-gain", 0, Box::new(|p| means(p)[0] - means(p)[1] < red - green - 15.0)),
        ("blue-gain", 100, Box::new(|p| means(p)[2] - means(p)[1] > blue - green + 15.0)),
        ("blue-gain", 0, Box::new(|p| means(p)[2] - means(p)[1] < blue - green - 15.0)),
    ];
    for (key, level, seen) in &steps {
        set(&mut client, &json!({ (*key): level }));
        eye.until(&format!("{key} {level}"), seen);
        set(&mut client, &json!({ (*key): 50 }));
        eye.until(&format!("{key} back from {level}"), |p| {
            (p.luminance() - bright).abs() < 15.0
                && (p.contrast() / contrast - 1.0).abs() < 0.2
                && (p.colourfulness() / colours - 1.0).abs() < 0.3
        });
    }
    set(&mut client, &json!({ "auto-white-balance": "tungsten" }));
    eye.until("the balance for a lamp", |p| {
        let [r, g, b] = means(p);
        r - g < red - green - 10.0 && b - g > blue - green + 10.0
    });
    set(&mut client, &json!({ "auto-white-balance": false }));
    eye.until("no balance", |p| (means(p)[0] - means(p)[1] - (red - green)).abs() < 8.0);
    set(&mut client, &json!({ "jpeg-quality": 100 }));
    eye.until("better pictures", |p| p.bytes > normal.bytes * 3 / 2);
    set(&mut client, &json!({ "jpeg-quality": 5 }));
    eye.until("worse pictures", |p| p.bytes < normal.bytes / 2);
}

#[test]
fn pictures_have_the_resolution_and_come_at_the_rate_that_was_set() {
    let (gateway, eye, mut client) = watch(&(cpro::one_camera() + cpro::ROBOCAR));
    assert_eq!((eye.picture().width, eye.picture().height), (320, 240));
    for (text, size) in [("640x480", (640, 480)), ("160x120", (160, 120)), ("320x240", (320, 240))] {
        set(&mut client, &json!({ "resolution": text }));
        eye.until(&format!("pictures of {text}"), |picture| (picture.width, picture.height) == size);
    }
    for fps in [5.0, 30.0, 10.0] {
        set(&mut client, &json!({ "fps": fps }));
        // The median of the gaps does not mind a busy machine, but a wrong rate is seen.
        until(&format!("{fps} pictures a second"), || {
            let times: Vec<f64> = (0..16).map(|_| eye.picture().at).collect();
            let mut gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            gaps.sort_by(f64::total_cmp);
            let median = gaps[gaps.len() / 2];
            (0.75..1.35).contains(&(median * fps)).then_some(())
        });
    }
    // The gateway was not restarted for it, nor the plugin.
    assert_eq!(gateway.plugin("cpro").expect("reported")["restarts"], 0);
}

#[test]
fn the_main_camera_and_the_picture_in_the_picture_are_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_gateway, eye, mut client) = watch(&cpro::two_cameras(folder.path()));
    // The first camera is a bright corridor, the second one a ball on black.
    let whole = [0.0, 0.0, 1.0, 1.0];
    let corners = [
        ("top-left", [0.05, 0.05, 0.22, 0.22]),
        ("top-right", [0.78, 0.05, 0.95, 0.22]),
        ("bottom-left", [0.05, 0.78, 0.22, 0.95]),
        ("bottom-right", [0.78, 0.78, 0.95, 0.95]),
    ];
    let corridor = eye.until("the corridor", |p| p.luminance_of(whole) > 60.0);
    let bright = corners.map(|(_, part)| corridor.luminance_of(part));
    set(&mut client, &json!({ "main-camera": 2 }));
    eye.until("the ball", |p| p.luminance_of(whole) < 40.0);
    // The ball moves, so that at most one of the other corners is not black.
    for (mode, corner) in corners {
        set(&mut client, &json!({ "pip-mode": mode }));
        eye.until(&format!("the corridor at {mode} of the ball"), |p| {
            let others =
                corners.iter().filter(|(other, part)| *other != mode && p.luminance_of(*part) < 40.0);
            p.luminance_of(corner) > 45.0 && others.count() >= 2
        });
    }
    set(&mut client, &json!({ "main-camera": 1 }));
    for ((mode, corner), bright) in corners.into_iter().zip(bright) {
        set(&mut client, &json!({ "pip-mode": mode }));
        eye.until(&format!("the ball at {mode} of the corridor"), |p| p.luminance_of(corner) < bright - 25.0);
    }
    set(&mut client, &json!({ "pip-mode": "off" }));
    eye.until("nothing but the corridor", |p| {
        corners.iter().zip(bright).all(|((_, part), bright)| (p.luminance_of(*part) - bright).abs() < 25.0)
    });
    // The other sensor of the first camera is a ball, too.
    set(&mut client, &json!({ "cam1-sensor": 2 }));
    eye.until("the other sensor", |p| p.luminance_of(whole) < 40.0);
    set(&mut client, &json!({ "cam1-sensor": 1 }));
    eye.until("the first sensor again", |p| p.luminance_of(whole) > 60.0);
}

/// The files of the main camera in a folder of the state folder, with this ending.
fn files(gateway: &Gateway, folder: &str, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(gateway.dir().join("state").join(folder).join("main")) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == ending));
    files.sort();
    files
}

/// What is on record in a collection.
fn records(gateway: &Gateway, collection: &str) -> Vec<Value> {
    let output = gateway.run(&["records", "export", collection]);
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON")["data"].clone())
        .collect()
}

/// Waits until the main camera has given so many more frames, and says how many it has given then.
fn after_frames(gateway: &Gateway, count: f64) -> f64 {
    let captured = || gateway.metric("gantry_camera_frames_captured_total", "main");
    let end = captured() + count;
    until("frames", || Some(captured()).filter(|now| *now >= end))
}

#[test]
fn a_recording_with_a_pause_has_what_was_before_and_after_it() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut client = cpro::logged_in(&gateway, "admin");
    let captured = || gateway.metric("gantry_camera_frames_captured_total", "main");
    let (mut least, mut most) = (0.0, 0.0);
    let mut part = |client: &mut Client, begin: Value, end: Value| {
        let before = captured();
        set(client, &json!({ "record": begin }));
        let from = captured();
        let to = after_frames(&gateway, 30.0);
        set(client, &json!({ "record": end }));
        least += to - from;
        most += captured() - before;
    };
    part(&mut client, json!(true), json!("pause"));
    after_frames(&gateway, 45.0);
    part(&mut client, json!("pause_release"), json!(false));
    gateway.wait_log("the recording is closed");
    let [file] = &files(&gateway, "recordings", "mkv")[..] else { panic!("one file") };
    let film = Film::play(file);
    assert!(film.is_whole, "{film:?}");
    let count = film.times.len() as f64;
    // Encoding begins with the recording, and a busy machine may lose a few.
    assert!((least * 0.7 - 5.0..=most + 5.0).contains(&count), "{count} frames, not {least} to {most}");
    // At 15 frames a second, without the pause.
    let (duration, recorded) = (film.duration(), most / 15.0);
    assert!((recorded * 0.6..recorded * 1.4).contains(&duration), "{duration} s, not {recorded} s");
    assert!(film.times.is_sorted(), "{:?}", film.times);
    let gap = film.times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    assert!(gap < 2.0, "the pause of three seconds is in it: {gap} s between two frames");
    let record = until("the recording to be on record", || records(&gateway, "recordings").pop());
    assert_eq!((&record["camera"], &record["file"]), (&json!("main"), &json!(file)), "{record}");
    assert_eq!(record["frames"], json!(film.times.len()), "{record}");
}

#[test]
fn a_power_cut_leaves_a_recording_that_plays_up_to_the_last_second() {
    let mut gateway = cpro::start(&cpro::one_camera());
    let mut client = cpro::logged_in(&gateway, "admin");
    set(&mut client, &json!({ "record": true }));
    gateway.wait_log("recording");
    after_frames(&gateway, 60.0);
    gateway.signal("KILL");
    let _ = gateway.wait();
    let [file] = &files(&gateway, "recordings", "mkv")[..] else { panic!("one file") };
    let film = Film::play(file);
    // Sixty frames and a few; what the last second had may be lost.
    assert!(film.times.len() >= 40, "{} frames of 60", film.times.len());
    assert!(film.duration() >= 2.5, "{} s of 4 s", film.duration());
    // The next start does not harm it, and does not go on with it.
    gateway.restart();
    cpro::wait_keys(&gateway);
    assert_eq!(cpro::anonymous(&gateway).get("record"), false);
    until("it to be whole", || {
        let again = Film::play(file);
        (again.is_whole && again.times.len() >= film.times.len()).then_some(())
    });
    assert_eq!(files(&gateway, "recordings", "mkv").len(), 1);
}

#[test]
fn a_snapshot_is_a_picture_with_its_time_in_its_name() {
    let gateway = cpro::start(&cpro::one_camera());
    let mut client = cpro::logged_in(&gateway, "admin");
    for count in 1..=3 {
        client.send(&json!({ "snap": true }));
        client.find("the confirmation", |m| *m == json!({ "snap": true, "info": ["snap"] }));
        client.find("the button to come back", |m| *m == json!({ "snap": false }));
        until("the picture", || (files(&gateway, "snapshots", "jpg").len() == count).then_some(()));
    }
    let on_record = until("the pictures to be on record", || {
        Some(records(&gateway, "snapshots")).filter(|all| all.len() == 3)
    });
    for file in files(&gateway, "snapshots", "jpg") {
        assert!(on_record.iter().any(|record| record["file"] == json!(file)), "{on_record:?}");
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        // main-20261121T041500.123Z
        let shape: String = name.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "main-00000000T000000.000Z", "{name}");
        let picture = Picture::decode(&std::fs::read(&file).expect("a file"));
        assert_eq!((picture.width, picture.height), (320, 240));
    }
}
