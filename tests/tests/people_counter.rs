//! The people counter through the built gateway, with the clients that people use.

use gantry_tests::browser::Browser;
use gantry_tests::eye::Picture;
use gantry_tests::gateway::Setup;
use gantry_tests::people::{self, BUSY, LINE, TIMETABLE, answer, next, stats, viewer};
use gantry_tests::until;
use gantry_tests::websocket::{KINDS, Kind};
use serde_json::{Value, json};
use std::fs;

/// A rule that begins an event with the second entry and ends it after three quiet seconds.
const RULE: &str = "[rules.busy-period]\nmore_than = 1\nwindow_s = 60\nquiet_s = 3\n";

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn is_timestamp(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00 00:00:00.000"
}

fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "00:00:00"
}

#[test]
fn every_client_gets_frames_and_statistics_and_nothing_else_unasked() {
    let gateway = Setup::with_config(&(people::config("demo:") + LINE)).start_ready();
    for kind in KINDS {
        let mut viewer = gantry_tests::websocket::Client::connect(
            kind,
            &format!("{}/any/path?token=none", people::url(&gateway).trim_end_matches('/')),
        );
        let frame = next(&viewer, "frame");
        assert_eq!(keys(&frame), ["type", "data", "timestamp"]);
        assert!(is_timestamp(&frame["timestamp"]), "{}", frame["timestamp"]);
        let jpeg = gantry_tests::base64(frame["data"].as_str().expect("text"));
        assert!(Picture::decode(&jpeg).luminance() > 0.0);
        let stats = next(&viewer, "stats");
        assert_eq!(keys(&stats), ["type", "data", "timestamp"]);
        let names = [
            "count_in",
            "count_out",
            "face_count",
            "daily_event_count",
            "event_active",
            "current_event_count_in",
        ];
        assert_eq!(keys(&stats["data"]), names);
        assert!(is_timestamp(&stats["timestamp"]));
        for _ in 0..30 {
            let pushed = viewer.next();
            assert!(matches!(pushed["type"].as_str(), Some("frame" | "stats")), "{pushed}");
        }
        // Without a model for faces.
        let face = answer(&mut viewer, &json!({ "type": "get_face", "face_id": 1 }));
        assert_eq!(face, json!({ "type": "face_image", "face_id": 1, "error": "Face ID not found" }));
        let faces = answer(&mut viewer, &json!({ "type": "get_all_faces", "limit": 5 }));
        assert_eq!(faces, json!({ "type": "all_faces", "error": "Face data not available on server" }));
        for (text, error) in [
            ("{", "Invalid JSON message"),
            ("[1]", "Internal server error processing request"),
            (r#"{"type":"get_nothing"}"#, "Unknown request type"),
            (r#"{"type":"get_face"}"#, "Invalid face_id or limit format"),
        ] {
            viewer.send_text(text);
            let answer = viewer.find("the error", |message| message["error"].is_string());
            assert_eq!(answer, json!({ "error": error }), "{text}");
        }
    }
}

/// The whole way: pictures, detector, tracker, line, ledger, rule, event, protocol; a kill in the middle of an event, and
/// what was before it is there after it.
#[test]
fn the_timetable_is_counted_exactly_and_survives_a_power_cut() {
    let mut gateway = Setup::with_config(&(people::config(BUSY) + LINE + RULE)).start_ready();
    let one = viewer(&gateway, Kind::Python);
    let (mut count_in, mut count_out, mut events) = (0, 0, Vec::new());
    let mut seen = json!(null);
    // From 6.7 s to quiet after 9.0, from 15.2 s to quiet after 16.3, and from 22.7 s on.
    while !(seen["daily_event_count"] == 3 && seen["current_event_count_in"] == 1) {
        let message = one.find("statistics and events", |m| m["type"] == "stats" || m["type"] == "event");
        if message["type"] == "event" {
            assert_eq!(keys(&message), ["type", "data", "timestamp"]);
            events.push(message["data"].clone());
            continue;
        }
        seen = message["data"].clone();
        let now = (seen["count_in"].as_u64().expect("in"), seen["count_out"].as_u64().expect("out"));
        // Everything that is counted is in the timetable, in its order.
        let prefixes = (0..=TIMETABLE.len()).map(|n| {
            let ins = TIMETABLE[..n].iter().filter(|(_, is_in)| *is_in).count() as u64;
            (ins, n as u64 - ins)
        });
        assert!(prefixes.into_iter().any(|prefix| prefix == now), "{seen}");
        assert!(now.0 >= count_in && now.1 >= count_out, "{seen} after {count_in} and {count_out}");
        (count_in, count_out) = now;
    }
    // The statistics may have known of the last one first.
    while events.len() < 5 {
        events.push(next(&one, "event")["data"].clone());
    }
    assert_eq!((count_in, count_out), (8, 1));
    assert_eq!(seen["event_active"], true);
    assert_eq!(events.len(), 5, "{events:?}");
    for (event, status) in events.iter().zip(["started", "ended", "started", "ended", "started"]) {
        assert_eq!(event["status"], status);
        assert!(is_time(&event["start_time"]), "{event}");
    }
    assert_eq!(keys(&events[0]), ["status", "start_time"]);
    assert_eq!(keys(&events[1]), ["status", "start_time", "end_time", "count_in"]);
    assert_eq!((&events[1]["count_in"], &events[3]["count_in"]), (&json!(2), &json!(2)));

    gateway.restart();
    gateway.wait_ready();
    let two = viewer(&gateway, Kind::Node);
    let first = stats(&two, "statistics after the restart", |_| true);
    assert_eq!((&first["count_in"], &first["count_out"]), (&json!(8), &json!(1)), "{first}");
    assert_eq!(first["daily_event_count"], 3);
    // The event goes on until it has been quiet for long enough, also over the restart.
    let ended = if first["event_active"] == true {
        assert_eq!(first["current_event_count_in"], 1);
        next(&two, "event")["data"]["count_in"].clone()
    } else {
        let told = gateway.run(&["records", "ls", "events", "--json", "--limit", "1"]);
        serde_json::from_slice::<Value>(&told.stdout).expect("a record")["data"]["count_in"].clone()
    };
    assert_eq!(ended, 1);
    stats(&two, "the end of the event", |stats| {
        stats["event_active"] == false && stats["current_event_count_in"] == 0
    });
}

/// What `counts.read` tells of both ways together.
fn counted(gateway: &gantry_tests::gateway::Gateway) -> u64 {
    let done = gateway.run(&["call", "counts.read"]);
    let view: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    ["count_in", "count_out"].iter().filter_map(|way| view[way].as_u64()).sum()
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_told_and_doubles_nothing() {
    let mut gateway = Setup::with_config(&(people::config(BUSY) + LINE + RULE)).start_ready();
    let mut before = 0;
    for round in 0..5 {
        let told = until("somebody to be counted", || Some(counted(&gateway)).filter(|now| *now > before));
        gateway.restart();
        gateway.wait_ready();
        before = counted(&gateway);
        assert!(before >= told, "round {round}: {before} after {told}");
        let stats = gateway.run(&["records", "stats", "--json"]);
        let stats: Value = serde_json::from_slice(&stats.stdout).expect("JSON");
        assert_eq!(stats["collections"]["counts"]["count"], before, "each crossing is one record");
    }
}

#[test]
fn the_operator_corrects_counts_and_asks_for_history() {
    let mut gateway = Setup::with_config(&(people::config("demo:?people=0") + LINE)).start_ready();
    let request = r#"{"camera":"main","line":"door","count_in":5,"count_out":2,"reason":"a school class"}"#;
    let done = gateway.run(&["call", "counts.correct", request]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let one = viewer(&gateway, Kind::Node);
    let corrected = |stats: &Value| stats["count_in"] == 5 && stats["count_out"] == 2;
    stats(&one, "the correction", corrected);
    for (request, says) in [
        (r#"{"camera":"main","line":"door","count_in":-6}"#, "only 5 went in"),
        (r#"{"camera":"main","line":"gate","count_in":1}"#, "gate"),
        (r#"{"camera":"main","line":"door","count_in":"many"}"#, "whole numbers"),
    ] {
        let done = gateway.run(&["call", "counts.correct", request]);
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && error.contains(says), "{request}: {error}");
    }
    let done = gateway.run(&["call", "counts.history", r#"{"line":"door"}"#]);
    let history: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let hours = history["hours"].as_array().expect("hours");
    let sum: u64 = hours.iter().filter_map(|hour| hour["lines"]["main/door"]["count_in"].as_u64()).sum();
    assert_eq!(sum, 5, "{history}");
    gateway.restart();
    gateway.wait_ready();
    stats(&viewer(&gateway, Kind::Node), "the correction after a power cut", corrected);
    let unknown = gateway.run(&["call", "counts.red"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean `counts.read`?"));
}

#[test]
fn a_rule_that_is_edited_while_its_event_runs_ends_that_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let scripts = folder.path().join("scripts");
    for part in ["rules", "mappings"] {
        let (from, to) = (gantry_tests::root().join("scripts").join(part), scripts.join(part));
        fs::create_dir_all(&to).expect("a folder");
        for entry in fs::read_dir(from).expect("scripts").flatten() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
    let rule = "[rules.busy-period]\nmore_than = 1\nwindow_s = 60\nquiet_s = 3600\n";
    let config = people::with_scripts(BUSY, &scripts) + LINE + rule;
    let gateway = Setup::with_config(&config).start_ready();
    let one = viewer(&gateway, Kind::Node);
    assert_eq!(next(&one, "event")["data"]["status"], "started");
    let file = scripts.join("rules/busy-period.rhai");
    let broken = fs::read_to_string(&file).expect("the rule") + "\nfn on_cuont(event) {\n";
    let good = broken.replace("\nfn on_cuont(event) {\n", "\n// Edited.\n");
    fs::write(&file, broken).expect("written");
    gateway.wait_log("the script is not good");
    assert!(stats(&one, "statistics", |_| true)["event_active"] == true);
    fs::write(&file, good).expect("written");
    gateway.wait_log("the rule is in force");
    // The same rule with another idea of quiet: the event that runs is not begun twice, and ends.
    gateway.write_config(&config.replace("quiet_s = 3600", "quiet_s = 1"));
    let ended = next(&one, "event");
    assert_eq!(ended["data"]["status"], "ended", "{ended}");
    assert!(ended["data"]["count_in"].as_u64().is_some_and(|n| n >= 1), "{ended}");
}

#[test]
fn what_rules_are_told_is_recorded_and_replayed_with_other_numbers() {
    let mut setup = Setup::with_config(&(people::config(BUSY) + LINE + RULE));
    setup.unset("GANTRY_PLUGINS__CPRO__BIND");
    let gateway = setup.start_ready();
    let file = gateway.dir().join("corridor.jsonl");
    let told = file.display().to_string();
    let done = gateway.run(&["record", "--for", "14s", &told]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let lines: Vec<Value> = fs::read_to_string(&file)
        .expect("a recording")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let crossings: Vec<_> = lines.iter().filter(|line| line["hook"] == "on_count").collect();
    assert!(crossings.len() >= 3 && lines.iter().any(|line| line["hook"] == "on_tick"), "{lines:?}");
    gateway.write_config(
        &(people::config(BUSY) + LINE + "[rules.busy-period]\nmore_than = 1\nwindow_s = 60\nquiet_s = 2\n"),
    );
    let play = || {
        let done = gateway.run(&["script", "replay", "busy-period", &told]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    };
    let played = play();
    assert!(played.contains("begin_event"), "{played}");
    assert_eq!(played, play());
    // What there is already is not written over.
    let again = gateway.run(&["record", "--for", "1s", &told]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("name a new file"));
}

#[test]
fn a_page_in_a_browser_shows_frames_statistics_and_events() {
    let rule = "[rules.busy-period]\nmore_than = 0\nwindow_s = 60\nquiet_s = 1\n";
    let gateway = Setup::with_config(&(people::config(BUSY) + LINE + rule)).start_ready();
    let url = people::url(&gateway);
    let mut browser = Browser::open(&format!(
        "<!doctype html><title>people</title><body><img id=frame><script>
        const seen = {{ frames: 0, stats: 0, events: [], faces: null, unknown: 0 }};
        const socket = new WebSocket({url:?});
        socket.onmessage = ({{ data }}) => {{
          const message = JSON.parse(data);
          if (message.type === 'frame') {{
            frame.src = 'data:image/jpeg;base64,' + message.data; seen.frames++;
          }} else if (message.type === 'stats') {{ seen.stats++; seen.last = message.data; }}
          else if (message.type === 'event') seen.events.push(message.data.status);
          else if (message.type === 'all_faces') seen.faces = message;
          else seen.unknown++;
        }};
        socket.onopen = () => socket.send(JSON.stringify({{ type: 'get_all_faces', limit: 50 }}));
        </script>"
    ));
    browser.wait("seen.frames > 5 && frame.naturalWidth === 320 && seen.stats > 2");
    browser.wait("seen.events.includes('started') && seen.events.includes('ended')");
    browser.wait("seen.faces !== null && seen.last.count_in >= 1");
    assert_eq!(browser.evaluate("seen.unknown"), 0);
}

#[test]
fn the_page_of_the_plugin_shows_frames_counts_events_and_faces() {
    let rule = "[rules.busy-period]\nmore_than = 0\nwindow_s = 60\nquiet_s = 1\n";
    let mut config = people::config(BUSY) + LINE + rule;
    // Faces are looked for, and in this corridor there are none.
    if let Some(model) = gantry_tests::assets::find("models/ultraface-rfb-320.onnx") {
        let model = model.display().to_string();
        config = config.replace("fps = 10\n", &format!("fps = 10\nfaces = {{ model = {model:?} }}\n"));
    }
    let gateway = Setup::with_config(&config).start_ready();
    let page = people::url(&gateway).replace("ws://", "http://");
    let mut browser =
        Browser::open(&format!("<!doctype html><title>a link</title><a href={page:?}>people</a>"));
    browser.evaluate("document.querySelector('a').click()");
    browser.wait("document.querySelector('#picture')?.naturalWidth === 320");
    browser.wait("Number(document.querySelector('#count_in').textContent) >= 1");
    browser.wait("document.querySelector('#events').children.length >= 2");
    browser.evaluate("document.querySelector('#all button').click()");
    let answered =
        "document.querySelector('#answer').textContent + document.querySelector('#gallery').textContent";
    browser.wait(&format!("({answered}).length > 0"));
}

#[test]
fn models_that_cannot_be_used_never_stop_the_stream() {
    let folder = tempfile::tempdir().expect("a folder");
    let garbage = folder.path().join("garbage.onnx");
    fs::write(&garbage, b"this is no model").expect("written");
    let missing = folder.path().join("missing.onnx");
    let onnx = |model: &std::path::Path| {
        let model = model.display().to_string();
        format!(
            "[analysis.main]\ndetector = \"onnx\"\nmodel = {model:?}\nlines.door = {{ from = [0.5, 0.0], to = [0.5, 1.0] }}\n"
        )
    };
    for (model, says) in [(&missing, "missing.onnx"), (&garbage, "garbage.onnx")] {
        let config = people::config("demo:") + &onnx(model);
        let setup = Setup::with_config(&config);
        let checked = setup.run(&["check"]);
        let told = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.code() == Some(78) && told.contains(says), "{told}");
        let gateway = setup.start_ready();
        let one = viewer(&gateway, Kind::Node);
        next(&one, "frame");
        until("the health to tell of the model", || {
            let (_, ready) = gateway.admin("/readyz");
            (ready.contains("analysis/main") && ready.contains(says)).then_some(())
        });
        next(&one, "frame");
    }
    if let Some(faces) = gantry_tests::assets::find("models/ultraface-rfb-320.onnx") {
        // A model of another kind.
        let gateway = Setup::with_config(&(people::config("demo:") + &onnx(&faces))).start_ready();
        let one = viewer(&gateway, Kind::Node);
        until("the health to tell of the model's shape", || {
            let (_, ready) = gateway.admin("/readyz");
            ready.contains("fastestdet").then_some(())
        });
        next(&one, "frame");
    }
}

#[test]
fn annotated_frames_have_the_line_drawn_in_and_plain_ones_have_not() {
    // The middle of an empty corridor is as grey as the rest of it.
    let empty = people::config("demo:?people=0") + LINE;
    let colour = |annotate: bool| {
        let config = format!("{empty}[plugins.people-counter.limits]\nconnections = 8\n")
            .replace("camera = \"main\"\n", &format!("camera = \"main\"\nannotate = {annotate}\n"));
        let gateway = Setup::with_config(&config).start_ready();
        let one = viewer(&gateway, Kind::Node);
        let frame = next(&one, "frame");
        let picture = Picture::decode(&gantry_tests::base64(frame["data"].as_str().expect("text")));
        picture.colour([0.49, 0.4, 0.51, 0.6])
    };
    let (plain, drawn) = (colour(false), colour(true));
    let apart: f64 = plain.iter().zip(drawn).map(|(a, b)| (a - b).abs()).sum();
    assert!(apart > 20.0, "{plain:?} and {drawn:?}");
}
