//! Pictures of ESP32-CAMs before a detector, through the built gateway. Those that need a real model and footage of people skip
//! where they are not.

use gantry_tests::espcam::{Address, Device, Firmware, NEWER, picture, records};
use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::{assets, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const CAMERA: &str = "[cameras.main]\nsource = \"demo:?people=0\"\n";
const ESPCAM: &str = "[plugins.espcam]\nbind = \"127.0.0.1:0\"\nanalysis = \"people\"\n";
const FIRMWARE: Firmware = Firmware { largest: 1460, ..NEWER };

fn config(model: &Path) -> String {
    format!("{CAMERA}[detectors.people]\nmodel = {:?}\n{ESPCAM}", model.display().to_string())
}

fn model() -> Option<PathBuf> {
    assets::find("models/fastestdet-352.onnx")
}

/// JPEGs out of GStreamer, by this source.
fn jpegs(source: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new("gst-launch-1.0")
        .arg("-q")
        .args(source.split(' '))
        .args("! videoconvert ! video/x-raw,format=I420 ! jpegenc ! multifilesink".split(' '))
        .arg(format!("location={}/%d.jpg", folder.path().display()))
        .output()
        .expect("gst-launch-1.0: run `make test`, which installs it");
    assert!(output.status.success(), "{output:?}");
    folder
}

/// A picture of the film with somebody in it, and one without.
fn pictures() -> Option<(Vec<u8>, Vec<u8>)> {
    let film = assets::find("video/gate.mp4")?;
    let folder = jpegs(&format!("filesrc location={} ! decodebin", film.display()));
    // Ten a second: somebody is there from 2.2 s to 7.7 s, and nobody from 14.9 s to 18.8 s.
    let picture = |n: u32| std::fs::read(folder.path().join(format!("{n}.jpg"))).expect("a picture");
    Some((picture(50), picture(168)))
}

/// A picture of one colour.
fn plain(pattern: &str) -> Vec<u8> {
    let folder =
        jpegs(&format!("videotestsrc num-buffers=1 pattern={pattern} ! video/x-raw,width=64,height=64"));
    std::fs::read(folder.path().join("0.jpg")).expect("a picture")
}

fn upload(gateway: &Gateway, id: u8, picture: &[u8]) {
    let mut device = Device::new(&Address::of(gateway), id, FIRMWARE);
    // Patient enough for a detector that takes its time.
    device.wait = std::time::Duration::from_secs(4);
    device.upload(picture);
}

/// Sends a picture again and again until a detector has looked at it: it may not be loaded yet, or the machine is busy.
/// The record.
fn upload_until_looked_at(gateway: &Gateway, id: u8, picture: &[u8]) -> (Value, Vec<u8>) {
    until("a picture to be looked at", || {
        upload(gateway, id, picture);
        records(gateway).pop().filter(|(data, _)| data["analysis"]["people"].is_u64())
    })
}

/// The analysis of the newest picture.
fn analysis(gateway: &Gateway) -> Value {
    records(gateway).last().expect("a picture").0["analysis"].clone()
}

/// How a detector does, when that is not well.
fn note(gateway: &Gateway) -> Option<String> {
    let (_, text) = gateway.admin("/readyz");
    text.contains("detector/people").then_some(text)
}

#[test]
fn people_in_a_picture_are_in_its_record_and_a_rule_can_tag_by_them() {
    let (Some(model), Some((somebody, nobody))) = (model(), pictures()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("rules")).expect("a folder");
    let rule = "fn on_picture(event) {
        let seen = event.data.get(\"analysis\");
        if seen != () && (seen.get(\"people\") ?? 0) > 0 { tag(\"people\"); }
    }\n";
    std::fs::write(folder.path().join("rules/door.rhai"), rule).expect("written");
    let scripts = folder.path().display().to_string();
    let gateway = Setup::with_config(&format!("script_dir = {scripts:?}\n{}", config(&model))).start_ready();
    let (without, first) = upload_until_looked_at(&gateway, 1, &nobody);
    let (with, second) = upload_until_looked_at(&gateway, 2, &somebody);
    assert_eq!((&without["analysis"]["people"], &without["tags"]), (&json!(0), &json!(null)), "{without}");
    assert_eq!((&with["analysis"]["people"], &with["tags"]), (&json!(1), &json!(["people"])), "{with}");
    assert_eq!(with["analysis"]["detector"], "people");
    let object = &with["analysis"]["objects"][0];
    assert_eq!(object["class"], "person");
    assert!(object["score"].as_f64().is_some_and(|score| score > 0.4), "{object}");
    let rect = object["box"].as_array().expect("a box");
    assert!(
        rect.len() == 4 && rect.iter().all(|v| v.as_f64().is_some_and(|v| (0.0..=1.0).contains(&v))),
        "{object}"
    );
    assert!(with["analysis"]["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0));
    // Both are as they were sent.
    assert!((first, second) == (nobody, somebody));
    until("it to be counted", || {
        (gateway.metric("gantry_looks_total", "result=\"looked\"") >= 2.0).then_some(())
    });
}

#[test]
fn a_broken_model_costs_no_picture_and_a_good_one_in_its_place_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("people.onnx");
    std::fs::write(&path, b"no model").expect("written");
    let gateway = Setup::with_config(&config(&path)).start_ready();
    until("it to be told", || note(&gateway));
    let sent = picture(20_000, 1);
    upload(&gateway, 1, &sent);
    let error = analysis(&gateway)["error"].as_str().expect("an error").to_owned();
    assert!(error.contains("cannot load the model") && error.contains("people.onnx"), "{error}");
    assert_eq!(records(&gateway)[0].1, sent);
    let Some(model) = model() else { return };
    std::fs::copy(model, &path).expect("copied");
    until("the good one to be used", || note(&gateway).is_none().then_some(()));
    assert_eq!(upload_until_looked_at(&gateway, 1, &plain("black")).0["analysis"]["people"], 0);
}

#[test]
fn pictures_go_on_being_stored_while_a_detector_hangs_and_another_takes_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hangs.onnx");
    std::fs::write(&path, onnx::hangs_in_the_light()).expect("written");
    let (dark, light) = (plain("black"), plain("white"));
    let with = |model: &Path| format!("{}analysis_timeout_ms = 300\n", config(model));
    let gateway = Setup::with_config(&with(&path)).start_ready();
    assert_eq!(upload_until_looked_at(&gateway, 1, &dark).0["analysis"]["people"], 0);
    let before = records(&gateway).len();
    upload(&gateway, 2, &light);
    let error = analysis(&gateway)["error"].as_str().expect("an error").to_owned();
    // Whoever notices first, the plugin or the runtime.
    assert!(error.starts_with("too late: ") || error.contains("did not get to it in time"), "{error}");
    for id in 3..30 {
        upload(&gateway, id, &dark);
    }
    assert!(analysis(&gateway)["error"].is_string(), "{}", analysis(&gateway));
    assert_eq!(records(&gateway).len(), before + 28);
    until("it to be told", || note(&gateway).filter(|text| text.contains("has not returned for 10 s")));
    // The operator puts another one there.
    let other = folder.path().join("other.onnx");
    std::fs::write(&other, onnx::sees_nobody()).expect("written");
    gateway.write_config(&with(&other));
    assert_eq!(upload_until_looked_at(&gateway, 40, &light).0["analysis"]["people"], 0);
    until("nothing more to be told", || note(&gateway).is_none().then_some(()));
}

#[test]
fn two_hundred_pictures_at_once_are_all_stored_though_few_can_be_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("nobody.onnx");
    std::fs::write(&path, onnx::sees_nobody()).expect("written");
    let gateway = Setup::with_config(&config(&path)).start_ready();
    let (address, jpeg) = (Address::of(&gateway), plain("black"));
    upload_until_looked_at(&gateway, 1, &jpeg);
    let before = records(&gateway).len();
    std::thread::scope(|scope| {
        for id in 0..200_u8 {
            let (address, jpeg) = (&address, &jpeg);
            scope.spawn(move || Device::new(address, id, FIRMWARE).upload(jpeg));
        }
    });
    let all = records(&gateway);
    assert_eq!(all.len(), before + 200);
    let is_told = |data: &Value| data["analysis"]["people"] == 0 || data["analysis"]["error"].is_string();
    assert!(all.iter().all(|(data, _)| is_told(data)), "{:?}", all.last());
    // And it goes on as before.
    assert_eq!(upload_until_looked_at(&gateway, 1, &jpeg).0["analysis"]["people"], 0);
}

#[test]
fn a_detector_that_cannot_judge_a_single_picture_or_is_not_there_is_found_by_the_check() {
    let finding = |config: &str| {
        let output = Setup::with_config(config).run(&["check"]);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("text")
    };
    let motion = finding(&format!("{CAMERA}[detectors.people]\ndetector = \"motion\"\n{ESPCAM}"));
    assert!(motion.contains("can tell nothing of a single one: use `detector = \"onnx\"`"), "{motion}");
    let missing = finding(&format!("{CAMERA}{ESPCAM}"));
    assert!(missing.contains("there is no detector `people`"), "{missing}");
    let garbage = tempfile::NamedTempFile::new().expect("a file");
    let broken = finding(&config(garbage.path()));
    assert!(broken.contains("detectors.people.model: cannot load the model"), "{broken}");
}

/// Models that are made here, of the family `fastestdet`, in the encoding of ONNX: protocol buffers.
mod onnx {
    /// A field that holds bytes.
    fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
        [number(u64::from(field << 3 | 2)), number(content.len() as u64), content.to_vec()].concat()
    }

    /// A field that holds a number.
    fn value(field: u8, value: u64) -> Vec<u8> {
        [number(u64::from(field) << 3), number(value)].concat()
    }

    fn number(mut value: u64) -> Vec<u8> {
        let mut all = Vec::new();
        while value >= 0x80 {
            all.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        all.push(value as u8);
        all
    }

    const FLOAT: u64 = 1;
    const INT64: u64 = 7;
    const BOOL: u64 = 9;

    /// A named tensor of a shape, as an input or output.
    fn named(name: &str, kind: u64, shape: &[u64]) -> Vec<u8> {
        let dims: Vec<u8> = shape.iter().flat_map(|side| bytes(1, &value(1, *side))).collect();
        let tensor = [value(1, kind), bytes(2, &dims)].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
    }

    /// A constant tensor of floats.
    fn constant(name: &str, shape: &[u64], values: &[f32]) -> Vec<u8> {
        let dims: Vec<u8> = shape.iter().flat_map(|side| value(1, *side)).collect();
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        [dims, value(2, FLOAT), bytes(8, name.as_bytes()), bytes(9, &raw)].concat()
    }

    fn node(kind: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
        let inputs: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input.as_bytes())).collect();
        let attributes: Vec<u8> = attributes.iter().flat_map(|attribute| bytes(5, attribute)).collect();
        [
            inputs,
            bytes(2, output.as_bytes()),
            bytes(3, output.as_bytes()),
            bytes(4, kind.as_bytes()),
            attributes,
        ]
        .concat()
    }

    fn model(parts: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let graph: Vec<u8> = parts.iter().flat_map(|(field, content)| bytes(*field, content)).collect();
        let opset = bytes(8, &[bytes(1, b""), value(2, 13)].concat());
        [value(1, 8), opset, bytes(7, &graph)].concat()
    }

    /// One cell in which nothing is.
    fn nothing() -> (u8, Vec<u8>) {
        (5, constant("nothing", &[1, 6, 1, 1], &[0.0; 6]))
    }

    /// How bright the brightest spot of the picture is.
    fn brightest() -> (u8, Vec<u8>) {
        let scalar = [bytes(1, b"keepdims"), value(3, 0), value(20, 2)].concat();
        (1, node("ReduceMax", &["x"], "brightest", &[scalar]))
    }

    const INPUT: &[u64] = &[1, 3, 32, 32];
    const OUTPUT: &[u64] = &[1, 6, 1, 1];

    /// Finds nobody, at once.
    pub(super) fn sees_nobody() -> Vec<u8> {
        model(&[
            brightest(),
            (1, node("Mul", &["nothing", "brightest"], "y", &[])),
            (2, b"nobody".to_vec()),
            nothing(),
            (11, named("x", FLOAT, INPUT)),
            (12, named("y", FLOAT, OUTPUT)),
        ])
    }

    /// Finds nobody, and never returns from a picture with something white in it.
    pub(super) fn hangs_in_the_light() -> Vec<u8> {
        let body: Vec<u8> = [
            (1, node("Identity", &["again"], "once_more", &[])),
            (1, node("Identity", &["before"], "after", &[])),
            (2, b"body".to_vec()),
            (11, named("n", INT64, &[])),
            (11, named("again", BOOL, &[])),
            (11, named("before", FLOAT, OUTPUT)),
            (12, named("once_more", BOOL, &[])),
            (12, named("after", FLOAT, OUTPUT)),
        ]
        .iter()
        .flat_map(|(field, content)| bytes(*field, content))
        .collect();
        let body = [bytes(1, b"body"), bytes(6, &body), value(20, 5)].concat();
        model(&[
            brightest(),
            (1, node("Greater", &["brightest", "white"], "is_light", &[])),
            (1, node("Loop", &["", "is_light", "nothing"], "y", &[body])),
            (2, b"hangs".to_vec()),
            nothing(),
            (5, constant("white", &[], &[0.8])),
            (11, named("x", FLOAT, INPUT)),
            (12, named("y", FLOAT, OUTPUT)),
        ])
    }
}
