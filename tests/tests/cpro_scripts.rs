//! The mapping of the C Pro state control as operators edit it, while clients are connected.

use gantry_tests::cpro;
use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::root;
use gantry_tests::websocket::Client;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A copy of the scripts, in a folder of the test's own.
fn copy_of_the_scripts(dir: &Path) -> PathBuf {
    let copy = dir.join("scripts");
    for folder in ["mappings", "rules", "lib"] {
        let Ok(entries) = fs::read_dir(root().join("scripts").join(folder)) else { continue };
        fs::create_dir_all(copy.join(folder)).expect("a folder");
        for entry in entries.flatten() {
            fs::copy(entry.path(), copy.join(folder).join(entry.file_name())).expect("copied");
        }
    }
    copy
}

/// Replaces the mapping, as editors do: written beside and renamed.
fn save(scripts: &Path, text: &str) {
    let fresh = scripts.join("cpro.new");
    fs::write(&fresh, text).expect("written");
    fs::rename(fresh, scripts.join("mappings/cpro.rhai")).expect("moved");
}

fn start(scripts: &Path) -> (Gateway, String) {
    let state = "[state]\nzoom = { type = \"int\", range = [1, 9], default = 2 }\n";
    let gateway = cpro::start(&cpro::with_scripts(scripts).replace("[state]\n", state));
    (gateway, fs::read_to_string(scripts.join("mappings/cpro.rhai")).expect("the mapping"))
}

/// The answer to a get of one key, once it is no error.
fn wait_for(client: &mut Client, key: &str) -> Value {
    gantry_tests::until(&format!("{key} to be known"), || {
        client.send(&json!({ "get": [key] }));
        let answer = client.find("an answer", |m| m.get(key).is_some() || m["key"] == key);
        answer.get(key).cloned()
    })
}

/// The keys of the mapping with more of them.
fn with_keys(mapping: &str, functions: &str, keys: &str) -> String {
    let at = mapping.rfind("#{\n    // Camera control").expect("the table");
    let (before, table) = mapping.split_at(at);
    format!("{before}{functions}\n#{{\n{keys}{}", table.trim_start_matches("#{"))
}

#[test]
fn a_line_more_is_a_key_more_for_clients_that_are_connected() {
    let folder = tempfile::tempdir().expect("a folder");
    let scripts = copy_of_the_scripts(folder.path());
    let (gateway, mapping) = start(&scripts);
    let mut client = cpro::logged_in(&gateway, "admin");
    let mut reader = cpro::anonymous(&gateway);
    assert_eq!(client.ask(&json!({ "get": ["zoom"] })), r#"{"error":"Unknown key","key":"zoom"}"#);
    save(&scripts, &with_keys(&mapping, "", "    \"zoom\": \"zoom\",\n"));
    assert_eq!(wait_for(&mut client, "zoom"), 2);
    client.send(&json!({ "zoom": 3 }));
    client.find("the confirmation", |m| *m == json!({ "zoom": 3, "info": ["zoom"] }));
    reader.find("the change", |m| *m == json!({ "zoom": 3 }));
    // With functions, and less allowed than the observable would take.
    let functions = "fn double(value) { value * 2 }\nfn half(value) { value / 2 }";
    let key = "    \"zoom\": #{ observable: \"zoom\", type: \"int\", range: [1, 3], write_with: \"double\", read_with: \"half\" },\n";
    save(&scripts, &with_keys(&mapping, functions, key));
    gantry_tests::until("the new meaning", || (reader.get("zoom") == 1).then_some(()));
    client.send(&json!({ "zoom": 3 }));
    client.find("the confirmation", |m| *m == json!({ "zoom": 3, "info": ["zoom"] }));
    client.send(&json!({ "zoom": 4 }));
    let refused = client.find("the refusal", |m| m["key"] == "zoom");
    assert_eq!(refused["message"], "Value must be between 1 and 3");
    // And without it again.
    save(&scripts, &mapping);
    gantry_tests::until("the key to be gone", || {
        client.send(&json!({ "get": ["zoom"] }));
        let answer = client.find("an answer", |m| m.get("zoom").is_some() || m["key"] == "zoom");
        (answer["error"] == "Unknown key").then_some(())
    });
    assert_eq!(client.get("brightness"), 50);
}

#[test]
fn a_broken_edit_changes_nothing_and_says_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let scripts = copy_of_the_scripts(folder.path());
    let (gateway, mapping) = start(&scripts);
    let mut client = cpro::logged_in(&gateway, "admin");
    let last = mapping.lines().count();
    for (broken, place, told) in [
        // It does not compile.
        (mapping.clone() + "fn oops( {\n", format!("cpro.rhai:{}:", last + 1), "fn oops( {"),
        // The table names an observable that does not exist, or a function.
        (mapping.replace("\"gain\"", "\"gian\""), "cpro.rhai".into(), "gian"),
        (
            mapping.replace("write_with: \"record_in\"", "write_with: \"record_inn\""),
            "cpro.rhai".into(),
            "record_inn",
        ),
        (mapping.replace("write: \"nobody\"", "wirte: \"nobody\""), "cpro.rhai".into(), "wirte"),
        // It does not come to an end.
        (format!("loop {{ }}\n{mapping}"), "cpro.rhai:1:".into(), "loop { }"),
    ] {
        assert_ne!(broken, mapping);
        save(&scripts, &broken);
        gantry_tests::until(&format!("the log to speak of {told} at {place}"), || {
            let log = gateway.log();
            let at = log.find(&place)?;
            log[at..].contains(told).then_some(())
        });
        assert_eq!(client.get("brightness"), 50, "{told}");
        client.send(&json!({ "record": false }));
        client.find("the confirmation", |m| *m == json!({ "record": false, "info": ["record"] }));
    }
    // The line is shown, with a caret under the column.
    let log = gateway.log();
    let lines: Vec<_> = log.lines().collect();
    let at = lines.iter().position(|line| line.contains("fn oops( {")).expect("the line");
    let caret = lines[at + 1];
    assert!(caret.trim_start().starts_with('^'), "{caret}");
    // A good one after that is taken.
    save(&scripts, &with_keys(&mapping, "", "    \"zoom\": \"zoom\",\n"));
    assert_eq!(wait_for(&mut client, "zoom"), 2);
}

#[test]
fn a_function_that_is_out_of_hand_hurts_only_its_own_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let scripts = copy_of_the_scripts(folder.path());
    let (gateway, mapping) = start(&scripts);
    let functions = r#"
fn endless(value) { let x = 0; loop { x += 1; } }
fn deep(value) { deep(value) + 1 }
fn huge(value) { let text = "x"; loop { text += text; } }
fn full(value) { let list = []; loop { list.push(value); } }
fn wrong(value) { value.nothing.at_all }
"#;
    let names = ["endless", "deep", "huge", "full", "wrong"];
    let key = |name: &&str| format!("    \"{name}\": #{{ observable: \"zoom\", write_with: \"{name}\" }},\n");
    save(&scripts, &with_keys(&mapping, functions, &names.iter().map(key).collect::<String>()));
    let mut client = cpro::logged_in(&gateway, "admin");
    wait_for(&mut client, "wrong");

    // Somebody writes to them without a pause; the camera and the others do not notice.
    let mut hostile = cpro::logged_in(&gateway, "admin");
    let captured = || gateway.metric("gantry_camera_frames_captured_total", "main");
    for _ in 0..40 {
        // Another frame each time, so that nobody is above the rate of messages.
        let before = captured();
        gantry_tests::until("a frame", || (captured() > before).then_some(()));
        let batch: Value = names
            .map(|name| (name.to_owned(), json!(1)))
            .into_iter()
            .collect::<serde_json::Map<_, _>>()
            .into();
        hostile.send_all(&[batch.clone(), batch]);
        for _ in 0..2 * names.len() {
            let answer = hostile.find("an answer to each", |m| m["error"].is_string());
            assert_eq!(answer["error"], "Invalid value", "{answer}");
            assert!(names.contains(&answer["key"].as_str().unwrap_or_default()), "{answer}");
            assert!(!answer.to_string().contains("rhai"), "clients are not told of the inside: {answer}");
        }
        let level = json!({ "brightness": 70 });
        client.send(&level);
        client.find("the confirmation", |m| *m == json!({ "brightness": 70, "info": ["brightness"] }));
        assert_eq!(client.get("record"), false);
    }
    let camera = gateway.camera("main").expect("reported");
    assert_eq!(camera["restarts"], 0, "{camera}");
    assert_eq!(gateway.plugin("cpro").expect("reported")["restarts"], 0);
    // The operator is told which line it was, also where a limit ended it.
    gateway.wait_log("cpro.rhai:");
}

#[test]
fn scripts_are_checked_without_a_gateway() {
    let folder = tempfile::tempdir().expect("a folder");
    let scripts = copy_of_the_scripts(folder.path());
    let setup = Setup::with_config(&cpro::with_scripts(&scripts));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let good = setup.run(&["script", "check"]);
    assert!(good.status.success(), "{good:?}");
    assert!(text(&good.stdout).contains("passed"), "{good:?}");
    let mapping = fs::read_to_string(scripts.join("mappings/cpro.rhai")).expect("the mapping");
    // A test of its own says what became of it, and a mistake is shown where it is.
    save(&scripts, &mapping.replace("fn to_one(value) { value + 1 }", "fn to_one(value) { value + 2 }"));
    let failed = setup.run(&["script", "check"]);
    assert_eq!(failed.status.code(), Some(78), "{failed:?}");
    assert!(text(&failed.stderr).contains("main-camera"), "{failed:?}");
    save(&scripts, &mapping.replace("fn to_one(value) { value + 1 }", "fn to_one(value) { value +* 1 }"));
    let broken = setup.run(&["script", "check"]);
    assert_eq!(broken.status.code(), Some(78), "{broken:?}");
    let said = text(&broken.stderr);
    let line = 1 + mapping.lines().position(|line| line.starts_with("fn to_one")).expect("the function");
    assert!(said.contains(&format!("cpro.rhai:{line}:")), "{said}");
    assert!(said.lines().any(|line| line.trim() == "^"), "{said}");
    let docs = setup.run(&["script", "docs"]);
    assert!(docs.status.success() && text(&docs.stdout).contains("write_with"), "{docs:?}");
}
