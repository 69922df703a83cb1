//! `gantry count` as an operator meets it: what it prints, what it answers, and whether it counts right. Footage of people is
//! not part of the project; where it is not there, those tests skip. The demo scene always is.

use gantry_tests::{assets, gateway};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// The lines of standard output as JSON, all of them.
    fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

fn count(film: &str, args: &[&str]) -> Ran {
    let mut command = Command::new(gateway::binary());
    command.arg("count").arg(film).args(args).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

fn asset(name: &str) -> Option<String> {
    assets::find(name).map(|path| path.display().to_string())
}

/// A clip, and the truth about all of them.
fn clip(name: &str) -> Option<(String, String)> {
    Some((asset(&format!("video/{name}"))?, asset("video/ground_truth.json")?))
}

/// The demo scene, whose walkers come and go as its timetable says.
const DEMO: &str = "demo:?seed=3&people=20";
const DEMO_ARGS: [&str; 6] = ["--line", "door=0.5,0,0.5,1", "--anchor", "foot", "--duration", "40"];

fn demo(args: &[&str]) -> Ran {
    count(DEMO, &[&DEMO_ARGS[..], args].concat())
}

fn assert_exact(name: &str, args: &[&str]) {
    let Some((film, truth)) = clip(name) else { return };
    let ran = count(&film, &[&["--expect", &truth], args].concat());
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains(" 0 missing, 0 false"), "{}", ran.err);
}

#[test]
fn six_who_come_one_by_one_are_counted_exactly() {
    assert_exact("one-by-one.mp4", &[]);
}

#[test]
fn who_comes_and_goes_through_a_gate_is_counted_exactly() {
    assert_exact("gate.mp4", &[]);
}

#[test]
fn who_turns_back_is_counted_exactly() {
    assert_exact("uturn.mp4", &[]);
}

#[test]
fn in_an_empty_room_nobody_is_counted() {
    assert_exact("empty.mp4", &[]);
}

#[test]
fn bottles_and_a_hand_are_nobody() {
    assert_exact("bottles.mp4", &["--line", "x80=0.8,0,0.8,1"]);
}

#[test]
fn a_model_counts_exactly() {
    let Some(model) = asset("models/fastestdet-352.onnx") else { return };
    // Who turns back is all in the first half; a model takes its time in an unoptimised build.
    assert_exact("empty.mp4", &["--model", &model, "--fps", "5"]);
    let Some((film, _)) = clip("uturn.mp4") else { return };
    let ran = count(
        &film,
        &["--model", &model, "--line", "0.8,0,0.8,1", "--json", "--fps", "5", "--duration", "9"],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let [crossing] = &ran.json()[..] else { panic!("{}", ran.out) };
    assert_eq!(crossing["direction"], "in");
    assert!((crossing["t_s"].as_f64().expect("a time") - 6.9).abs() < 1.0, "{crossing}");
}

#[test]
fn faces_of_different_people_are_counted() {
    let Some(model) = asset("models/ultraface-rfb-320.onnx") else { return };
    for name in ["three-faces.mp4", "two-faces-walking.mp4"] {
        let Some((film, truth)) = clip(name) else { return };
        let ran = count(&film, &["--faces", &model, "--expect", &truth]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.err.contains("faces found"), "{}", ran.err);
    }
}

#[test]
fn json_is_one_object_a_line_with_exactly_these_keys_and_nothing_else() {
    let ran = demo(&["--json", "--zone", "hall=0,0,0.5,0,0.5,1,0,1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let (mut crossings, mut zones, mut last) = (0, 0, 0.0);
    for (line, value) in ran.out.lines().zip(ran.json()) {
        let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        keys.sort_unstable();
        if value.get("zone").is_some() {
            assert_eq!(keys, ["people", "t_s", "zone"]);
            assert!(value["people"].is_u64() && value["zone"] == "hall");
            zones += 1;
        } else {
            assert_eq!(keys, ["direction", "line", "t_s", "track"]);
            assert!(value["track"].is_u64() && value["line"] == "door");
            assert!(["in", "out"].contains(&value["direction"].as_str().expect("text")));
            assert!(line.starts_with("{\"t_s\":"), "{line}");
            crossings += 1;
        }
        let t_s = value["t_s"].as_f64().expect("a number");
        assert!(t_s >= last - 2.0 && t_s < 40.0, "{t_s} after {last}");
        last = t_s;
    }
    assert!(crossings > 2 && zones > 2, "{}", ran.out);
    assert!(ran.err.contains("door"), "the summary goes elsewhere: {}", ran.err);
}

#[test]
fn people_read_times_lines_and_ways_and_a_summary() {
    let ran = demo(&[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let first = ran.out.lines().next().expect("a crossing");
    let words: Vec<&str> = first.split_whitespace().collect();
    assert!(matches!(words[..], [_, "s", "door", "in" | "out", "track", _]), "{first}");
    let last = ran.out.lines().last().expect("a summary");
    assert!(last.contains("door") && last.contains(" in, "), "{last}");
}

/// A file that has these lines.
fn truth(dir: &Path, lines: &[Value]) -> PathBuf {
    let path = dir.join("truth.jsonl");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn what_was_counted_once_is_expected_the_next_time_and_every_difference_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let all = demo(&["--json"]).json();
    let expect = |lines: &[Value]| {
        let file = truth(dir.path(), lines).display().to_string();
        demo(&["--expect", &file, "--tolerance", "0.5"])
    };
    let same = expect(&all);
    assert_eq!(same.code, Some(0), "{}", same.err);
    assert!(same.err.contains(&format!("{n} of {n} crossings found", n = all.len())), "{}", same.err);

    let fewer = expect(&all[1..]);
    assert_eq!(fewer.code, Some(1), "{}", fewer.err);
    assert!(fewer.err.contains("false ") && fewer.err.contains("0 missing, 1 false"), "{}", fewer.err);

    let more = [&all[..], &[json!({"t_s": 0.01, "line": "door", "direction": "out"})]].concat();
    let more = expect(&more);
    assert_eq!(more.code, Some(1), "{}", more.err);
    assert!(
        more.err.contains("missing      0.01 s  door  out") && more.err.contains("1 missing, 0 false"),
        "{}",
        more.err
    );

    let other = expect(&[json!({"t_s": 1.0, "line": "gate", "direction": "in"})]);
    assert_eq!(other.code, Some(78), "{}", other.err);
    assert!(other.err.contains("--line gate="), "{}", other.err);
}

#[test]
fn what_is_wrong_is_told_with_the_next_step() {
    let dir = tempfile::tempdir().expect("a folder");
    let no_model = dir.path().join("no.onnx").display().to_string();
    let broken = dir.path().join("broken.onnx");
    std::fs::write(&broken, "no model").expect("written");
    let broken = broken.display().to_string();
    let line = ["--line", "0.5,0,0.5,1"];
    for (film, args, code, says) in [
        ("/none/film.mp4", &line[..], 1, "there is no such file: correct its path"),
        (&broken, &line, 1, "cannot play"),
        ("rtps://camera/live", &line, 1, "did you mean `rtsp`"),
        (DEMO, &["--line", "0.5,0,0.5"], 2, "a line has 4 numbers and this has 3"),
        (DEMO, &["--line", "0.5,0,0.5,0"], 2, "two different points inside the picture"),
        (DEMO, &["--zone", "0,0,1,1"], 2, "3 corners or more"),
        (DEMO, &["--speed", "2"], 2, "`max`"),
        (DEMO, &["--fps", "0"], 2, "a number above 0"),
        (DEMO, &["--tolerance", "1"], 2, "--expect"),
        (DEMO, &[], 78, "there is nothing to count: give --line"),
        (DEMO, &["--line", "a=0.5,0,0.5,1", "--line", "a=0.4,0,0.4,1"], 78, "a name of its own"),
        (DEMO, &["--line", "0.5,0,0.5,1", "--detector", "onnx"], 78, "--model FILE"),
        (DEMO, &["--line", "0.5,0,0.5,1", "--model", &no_model], 78, "cannot load the model"),
        (DEMO, &["--line", "0.5,0,0.5,1", "--model", &broken], 78, "cannot load the model"),
        (DEMO, &["--line", "0.5,0,0.5,1", "--model", &broken, "--family", "yolo"], 78, "yolov8"),
        (DEMO, &["--line", "0.5,0,0.5,1", "--detector", "motion", "--model", &broken], 78, "no model"),
        (DEMO, &["--line", "0.5,0,0.5,1", "--faces", &no_model], 78, "cannot load the model"),
        (DEMO, &["--line", "0.5,0,0.5,1", "--expect", &no_model], 78, "correct its path"),
        (DEMO, &["--line", "0.5,0,0.5,1", "--expect", &broken], 78, "line 1"),
    ] {
        let ran = count(film, args);
        assert_eq!(ran.code, Some(code), "{film} {args:?}: {}", ran.err);
        assert!(ran.err.contains(says) && ran.out.is_empty(), "{film} {args:?}: {}", ran.err);
    }
}

#[test]
fn a_camera_of_the_configuration_lends_its_lines_and_flags_win() {
    let setup = gateway::Setup::with_config(
        "[cameras.main]\nsource = \"demo:\"\n[analysis.main]\nfps = 5\n[analysis.main.lines.door]\n\
         from = [0.5, 0.0]\nto = [0.5, 1.0]\nanchor = \"foot\"\n",
    );
    let run = |args: &[&str]| {
        let output = setup.run(&[&["count", DEMO, "--duration", "10"], args].concat());
        (output.status.code(), String::from_utf8(output.stdout).expect("text"), output.stderr)
    };
    let (code, out, _) = run(&["--camera", "main"]);
    assert!(code == Some(0) && out.contains("50 pictures") && out.contains("  door"), "{out}");
    let (_, out, _) = run(&["--camera", "main", "--line", "gate=0.4,0,0.4,1", "--fps", "3"]);
    assert!(out.contains("30 pictures") && out.contains("  gate") && !out.contains("  door"), "{out}");
    let (code, _, err) = run(&["--camera", "garden"]);
    assert_eq!(code, Some(78));
    assert!(String::from_utf8_lossy(&err).contains("no section [analysis.garden]"), "{err:?}");
}

#[test]
fn what_was_seen_can_be_watched() {
    let dir = tempfile::tempdir().expect("a folder");
    let film = dir.path().join("seen.mp4").display().to_string();
    let ran = demo(&["--duration", "4", "--fps", "5", "--annotate", &film]);
    assert!(ran.code == Some(2), "a flag that is given twice: {}", ran.err);
    let ran = count(DEMO, &["--line", "0.5,0,0.5,1", "--duration", "4", "--fps", "5", "--annotate", &film]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    // What it wrote is a recording that it can play itself, of the same length.
    let again = count(&film, &["--line", "0.5,0,0.5,1", "--fps", "5"]);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(again.out.contains("20 pictures"), "{}", again.out);

    let itself = count(&film, &["--line", "0.5,0,0.5,1", "--annotate", &film]);
    assert_eq!(itself.code, Some(78), "{}", itself.err);
    assert!(itself.err.contains("is the recording itself") && Path::new(&film).exists());
}

#[test]
fn help_shows_which_way_is_in() {
    let ran = count("--help", &[]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.contains("out <--- | ---> in") && ran.out.contains("Exit codes"), "{}", ran.out);
}
