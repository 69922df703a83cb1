//! Rules that are asked about a record before it is stored.

mod common;

use common::{Folder, Running, told};
use gantry_script::{Effect, ErrorKind, HOOKS, Settings};
use serde_json::{Value, json};
use std::path::Path;

const ASKED: [&str; 3] = ["on_detection", "on_picture", "on_health"];

/// A rule with that body in every hook.
fn everywhere(body: &str) -> Running {
    let rule: String = HOOKS.iter().map(|hook| format!("fn {}(event) {{ {body} }}\n", hook.name)).collect();
    Running::new(&[("rules/r.rhai", &rule)])
}

#[test]
fn a_rule_says_what_becomes_of_the_record_that_it_is_asked_about() {
    let running = everywhere(
        "tag(\"visitor\"); alert(\"stolen\"); alert(\"stolen\", #{ plate: event.data.plate }); drop(); forward(false); \
         forward(true); emit(\"rules/seen\", event.blobs[0].bytes);",
    );
    let effects = [
        Effect::Tag { name: "visitor".into() },
        Effect::Alert { name: "stolen".into(), data: Value::Null },
        Effect::Alert { name: "stolen".into(), data: json!({"plate": "A1"}) },
        Effect::Drop,
        Effect::Forward { forward: false },
        Effect::Forward { forward: true },
        Effect::Emit { topic: "rules/seen".into(), data: json!(52_000) },
    ];
    let record = json!({"collection": "detections", "data": {"plate": "A1"}, "blobs": [{"name": "image", "bytes": 52_000}]});
    for hook in ASKED {
        assert_eq!(running.effects(hook, record.clone()).expect(hook), effects);
    }
    let shown: Vec<Value> = effects.iter().map(|effect| json!(effect)).collect();
    assert_eq!(shown[3..5], [json!({"effect": "drop"}), json!({"effect": "forward", "forward": false})]);
}

#[test]
fn where_there_is_no_record_nothing_can_be_said_about_it() {
    for body in ["tag(\"a\");", "alert(\"a\");", "alert(\"a\", #{});", "drop();", "forward(true);"] {
        let running = everywhere(body);
        for hook in HOOKS.map(|hook| hook.name) {
            match running.effects(hook, json!({})) {
                Ok(effects) => assert!(ASKED.contains(&hook) && effects.len() == 1, "{hook} {body}"),
                Err(error) => {
                    assert!(!ASKED.contains(&hook), "{hook}: {error}");
                    assert!(error.message.starts_with("there is no record in this hook: "), "{error}");
                    let is_there = (error.kind, error.line > 0, error.column > 1);
                    assert_eq!(is_there, (ErrorKind::Failed, true, true), "{error}");
                }
            }
        }
    }
    let problems = Folder::new(&[("rules/r.rhai", "drop();\nfn on_picture(event) {}")]).problems().join("\n");
    assert!(problems.contains("rules/r.rhai:1:1: only a hook of a rule can act"), "{problems}");
}

#[test]
fn tags_and_alerts_have_names_and_forward_takes_yes_or_no() {
    for body in ["tag(\"\")", "tag(\"a+\")", "alert(\"\\n\")", "forward(1)", "alert(\"a\", 5)", "drop(1)"] {
        let error = everywhere(&format!("{body};")).effects("on_health", json!({})).expect_err(body);
        assert!(error.line > 0, "{body}: {error}");
    }
}

/// A record with that many results, of four elements each.
fn large(results: usize) -> Value {
    let result = json!({"text": "ABC124", "confidence": 0.5, "box": 1});
    let data =
        json!({"camera_id": "gate", "note": "x".repeat(900_000), "ocr_results": vec![result; results]});
    json!({"time": 1, "collection": "detections", "data": data, "blobs": []})
}

#[test]
fn a_rule_is_given_records_as_large_as_plugins_send_them_and_uses_what_it_needs() {
    let rule = "fn on_detection(event) { if event.data.note.len() == 900_000 { tag(event.data.ocr_results[9000].text); } }\n\
                fn on_health(event) { let copy = event.data.ocr_results; copy.len() }";
    let running = Running::new(&[("rules/r.rhai", rule)]);
    let tags = running.effects("on_detection", large(16_000));
    assert_eq!(tags, Ok(vec![Effect::Tag { name: "ABC124".into() }]));
    let error = running.effects("on_health", large(16_000)).expect_err("a copy");
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
}

#[test]
fn what_is_too_large_for_rules_is_told_and_other_records_go_on() {
    let running =
        Running::new(&[("rules/r.rhai", "fn on_detection(event) {\n    this.n += 1;\n}\n#{ n: 0 }")]);
    let mut long = large(1);
    long["data"]["note"] = "x".repeat(1024 * 1024 + 1).into();
    let mut deep = json!(1);
    (0..40).for_each(|_| deep = json!([deep]));
    for (event, says) in [
        (large(20_000), "it has too many elements"),
        (long, "it is too long"),
        (json!({"data": deep}), "it is nested too deep"),
    ] {
        let error = running.effects("on_detection", event).expect_err(says);
        assert_eq!(error.kind, ErrorKind::Limit);
        let text = told(&running.folder, &error);
        let begin =
            format!("rules/r.rhai:1:4: the event is too large for rules: {says}; at most 65536 elements");
        assert!(text.starts_with(&begin) && text.contains("have its sender send less"), "{text}");
    }
    assert_eq!(running.effects("on_detection", large(1)), Ok(vec![]));
    assert_eq!(running.states()["r"], json!({"n": 1}));
}

fn watching(table: Value) -> Running {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let rule = std::fs::read_to_string(dir.join("rules/watch-list.rhai")).expect("the rule");
    let folder = Folder::new(&[("rules/watch-list.rhai", &rule)]);
    // With the usual limits of operations.
    let rules = [("watch-list".to_owned(), table)].into();
    let settings = Settings { rules, ..folder.settings() };
    Running::with(folder, settings)
}

#[test]
fn a_long_watch_list_is_within_what_a_script_may_cost() {
    let plates: Vec<String> = (0..1900).map(|n| format!("AB {n:04}")).collect();
    let patterns = (0..100).map(|n| format!("*Z{n:03}?"));
    let running = watching(json!({"plates": plates.into_iter().chain(patterns).collect::<Vec<_>>()}));
    assert_eq!(running.changed(), ["rule watch-list"]);
    let results: Vec<String> =
        (0..20).map(|n| format!("CD-{n:04}")).chain(["ab1899".into(), "Q Z099 X".into()]).collect();
    let effects =
        running.effects("on_detection", json!({"time": 1, "data": {"ocr_results": results}})).expect("good");
    let plates: Vec<&Value> = effects
        .iter()
        .filter_map(
            |effect| if let Effect::Alert { data, .. } = effect { Some(&data["listed"]) } else { None },
        )
        .collect();
    assert_eq!(plates, ["AB 1899", "*Z099?"]);
    let effects = running.effects("on_detection", json!({"data": {"ocr_results": []}}));
    assert_eq!(effects, Ok(vec![]));
}

#[test]
fn constants_are_made_once_and_with_the_rules_configuration() {
    let rule = "const LIST = make(config.n);\nconst TWICE = LIST.len() * 2;\n\
                fn make(n) { log::info(\"made\"); let list = []; list.pad(n, 1); list }\n\
                fn on_health(event) { tag(`${global::LIST.len()}/${global::TWICE}`); }";
    let folder = Folder::new(&[("rules/r.rhai", rule)]);
    let mut settings = folder.settings();
    settings.rules.insert("r".into(), json!({"n": 3}));
    let running = Running::with(folder, settings.clone());
    let tag = |name: &str| Ok(vec![Effect::Tag { name: name.into() }]);
    assert_eq!(
        running.effects("on_health", json!({})),
        tag("3/6"),
        "and nothing is written to the log again"
    );
    settings.rules.insert("r".into(), json!({"n": 4}));
    running.scripts.configure(settings);
    assert_eq!(running.effects("on_health", json!({})), tag("4/8"));
}
