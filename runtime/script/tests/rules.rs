//! Rules: hooks, effects, `this`, `config`, replay, tests as data.

mod common;

use common::{Folder, Running, told};
use gantry_script::{Effect, ErrorKind, replay, test};
use serde_json::json;
use std::collections::BTreeMap;

const BUSY: &str = r#"
// Busy while more than config.n are inside.
const NAME = "busy";

fn on_count(event) {
    this.inside += event.entered;
    if this.inside > config.n && !this.busy {
        this.busy = true;
        begin(this.inside);
    } else if this.inside <= config.n && this.busy {
        this.busy = false;
        end_event(global::NAME);
    }
    if event.get("broken") ?? false { no_such_function(); }
}

fn begin(inside) {
    begin_event(global::NAME, #{ inside: inside, limit: config.n });
    set_state("light0", true);
}

#{ inside: 0, busy: false }
"#;

fn busy() -> Running {
    let folder = Folder::new(&[("rules/busy.rhai", BUSY)]);
    let mut settings = folder.settings();
    settings.rules.insert("busy".into(), json!({"n": 2}));
    Running::with(folder, settings)
}

#[test]
fn a_rule_acts_by_its_state_its_configuration_and_the_event() {
    let running = busy();
    assert_eq!(running.changed(), ["rule busy"]);
    assert_eq!(running.effects("on_count", json!({"entered": 2})), Ok(vec![]));
    let effects = running.effects("on_count", json!({"entered": 1})).expect("good");
    assert_eq!(
        effects,
        [
            Effect::BeginEvent { name: "busy".into(), data: json!({"inside": 3, "limit": 2}) },
            Effect::SetState { key: "light0".into(), value: json!(true) },
        ]
    );
    assert_eq!(running.states(), BTreeMap::from([("busy".into(), json!({"inside": 3, "busy": true}))]));
    let effects = running.effects("on_count", json!({"entered": -1})).expect("good");
    assert_eq!(effects, [Effect::EndEvent { name: "busy".into(), data: json!(null) }]);
    assert!(running.event("on_tick", json!({})).is_empty(), "it has no such hook");
    assert!(running.event("on_nothing", json!({})).is_empty());
}

#[test]
fn a_failed_call_changes_nothing() {
    let running = busy();
    let error = running.effects("on_count", json!({"entered": 9, "broken": true})).expect_err("broken");
    let text = told(&running.folder, &error);
    assert!(text.starts_with("rules/busy.rhai:14:39: there is no function `no_such_function"), "{text}");
    assert_eq!(running.states()["busy"], json!({"inside": 0, "busy": false}));
    assert_eq!(running.effects("on_count", json!({"entered": 1})), Ok(vec![]));
}

#[test]
fn state_survives_reload_and_restart_and_gets_what_is_new() {
    let running = busy();
    running.effects("on_count", json!({"entered": 2})).expect("good");
    running.folder.write("rules/busy.rhai", BUSY.replace("#{ inside: 0,", "#{ inside: 0, since: 7,"));
    running.scripts.reload();
    assert_eq!(running.changed(), ["rule busy", "rule busy"]);
    let states = running.states();
    assert_eq!(states["busy"], json!({"inside": 2, "busy": false, "since": 7}));

    let again = busy();
    again.scripts.restore(states.clone());
    assert_eq!(again.states(), states);
    assert_eq!(again.effects("on_count", json!({"entered": 1})).expect("good").len(), 2);
}

#[test]
fn state_from_before_a_restart_waits_for_its_rule() {
    let running = Running::new(&[]);
    running.scripts.restore(BTreeMap::from([("late".into(), json!({"n": 5}))]));
    running.folder.write("rules/late.rhai", "fn on_tick(event) { this.n += 1; }\n#{ n: 0 }");
    running.scripts.reload();
    assert_eq!(running.effects("on_tick", json!({})), Ok(vec![]));
    assert_eq!(running.states()["late"], json!({"n": 6}));
}

#[test]
fn config_changes_take_effect_and_cannot_be_made_by_the_rule() {
    let running = busy();
    let mut settings = running.folder.settings();
    settings.rules.insert("busy".into(), json!({"n": 0}));
    running.scripts.configure(settings);
    assert_eq!(running.effects("on_count", json!({"entered": 1})).expect("good").len(), 2);
    running.folder.write("rules/busy.rhai", "fn on_tick(event) { config.n = 5; }");
    running.scripts.reload();
    let outcome = running.effects("on_tick", json!({}));
    assert!(outcome.is_err(), "{outcome:?}");
}

#[test]
fn a_rule_that_has_nothing_to_do_is_not_called_until_its_configuration_gives_it_something() {
    let rule = "fn on_detection(event) { tag(\"seen\"); }\nif config.get(\"plates\") == () { false } else { #{ n: 1 } }";
    let running = Running::new(&[("rules/list.rhai", rule)]);
    let heard = || (running.scripts.listens("on_detection"), running.event("on_detection", json!({})).len());
    assert_eq!(heard(), (false, 0));
    let mut settings = running.folder.settings();
    settings.rules.insert("list".into(), json!({"plates": []}));
    running.scripts.configure(settings);
    assert_eq!(heard(), (true, 1));
    running.scripts.configure(running.folder.settings());
    assert_eq!(heard(), (false, 0));
    running.folder.write("rules/list.rhai", "fn on_detection(event) { }");
    running.scripts.reload();
    assert_eq!(heard(), (true, 1), "a saved file is enough");
    assert!(!running.scripts.listens("on_picture") && !running.scripts.listens("on_nothing"));
}

#[test]
fn config_is_everywhere_and_hides_no_variable_of_that_name() {
    let rule = "const LIMIT = config.n * 2;\nfn on_tick(event) { emit(\"a\", [global::LIMIT, own(7), inner(), [1].map(|x| x + \
                config.n)]); }\nfn own(config) { config }\nfn inner() { config.n }";
    let folder = Folder::new(&[("rules/r.rhai", rule)]);
    let mut settings = folder.settings();
    settings.rules.insert("r".into(), json!({"n": 4}));
    let running = Running::with(folder, settings);
    assert_eq!(
        running.effects("on_tick", json!({})),
        Ok(vec![Effect::Emit { topic: "a".into(), data: json!([8, 7, 4, [5]]) }])
    );
}

#[test]
fn one_broken_rule_does_not_keep_others_from_their_events() {
    let running = Running::new(&[
        ("rules/a.rhai", "fn on_tick(event) { event.missing }"),
        ("rules/b.rhai", "fn on_tick(event) { emit(\"b/tick\", event.n); }"),
    ]);
    let done = running.event("on_tick", json!({"n": 1}));
    assert_eq!(done[0].0, "a");
    assert!(done[0].1.as_ref().is_err_and(|e| e.kind == ErrorKind::Failed));
    assert_eq!(done[1].1, Ok(vec![Effect::Emit { topic: "b/tick".into(), data: json!(1) }]));
}

#[test]
fn misspelt_hooks_and_wrong_parameters_are_found_and_helpers_are_not() {
    for (text, says) in [
        ("fn on_cuont(event) {}", "rules/r.rhai:1:4: nothing calls `on_cuont`; did you mean `on_count`?"),
        ("fn onTick(event) {}", "rules/r.rhai:1:4: nothing calls `onTick`; did you mean `on_tick`?"),
        ("fn on_tick() {}", "rules/r.rhai:1:4: a hook takes one parameter: write `fn on_tick(event)`"),
        ("fn on_tick(a, b) {}", "a hook takes one parameter"),
        ("fn on_saturday(event) {}", "there is no hook `on_saturday`: it is one of on_count, on_tick"),
        ("fn helper(x) {}", "a rule without a hook never runs"),
        ("fn on_tick(event) {}\n7", "is what `this` is at first"),
        ("fn on_tick(event) {}\nfn on_tick(event) {}", "rules/r.rhai:2"),
    ] {
        let problems = Folder::new(&[("rules/r.rhai", text)]).problems().join("\n");
        assert!(problems.contains(says), "{text}: {problems}");
    }
    let good =
        "fn on_tick(event) { count(event); Fn(\"picture\").call(1); }\nfn count(event) {}\nfn picture(x) {}";
    assert_eq!(Folder::new(&[("rules/r.rhai", good)]).problems(), Vec::<String>::new());
}

#[test]
fn what_this_becomes_must_be_data() {
    let running = Running::new(&[("rules/r.rhai", "fn on_tick(event) { this.f = |x| x; }")]);
    let error = running.effects("on_tick", json!({})).expect_err("a function is no data");
    assert!(error.message.contains("`this` cannot be kept"), "{error}");
    assert_eq!(running.states()["r"], json!({}));
    running.folder.write("rules/r.rhai", "fn on_tick(event) { this = 5; }");
    running.scripts.reload();
    assert!(running.effects("on_tick", json!({})).is_err());
}

#[test]
fn this_cannot_grow_without_end() {
    let running = Running::new(&[(
        "rules/r.rhai",
        "fn on_tick(event) { for i in 0..500 { this[`${event.n}.${i}`] = 1; } }",
    )]);
    let errors =
        (0..20).filter_map(|n| running.effects("on_tick", json!({"n": n})).err()).collect::<Vec<_>>();
    assert_eq!(errors.len(), 12);
    assert!(errors.iter().all(|error| error.kind == ErrorKind::Limit), "{}", errors[0]);
    assert!(errors[0].message.contains("it has too many elements: forget what is old"), "{}", errors[0]);
    assert_eq!(running.states()["r"].as_object().map(serde_json::Map::len), Some(4000));
}

#[test]
fn a_rule_can_cause_only_so_much() {
    let running = Running::new(&[("rules/r.rhai", "fn on_tick(event) { for i in 0..100 { snapshot(); } }")]);
    let error = running.effects("on_tick", json!({})).expect_err("too much");
    assert!(error.message.contains("more than 64 effects"), "{error}");
    for body in ["emit(\"a/#\", 1)", "begin_event(\"\")", "set_state(\"a/+\", 1)", "emit(\"a\", |x| x)"] {
        running.folder.write("rules/r.rhai", format!("fn on_tick(event) {{ {body}; }}"));
        running.scripts.reload();
        let error = running.effects("on_tick", json!({})).expect_err(body);
        assert_eq!((error.line, error.column > 1), (1, true), "{body}: {error}");
    }
}

#[test]
fn a_recording_replays_exactly() {
    let folder = Folder::new(&[("rules/busy.rhai", BUSY)]);
    let mut settings = folder.settings();
    settings.rules.insert("busy".into(), json!({"n": 1}));
    let recording = "{\"hook\":\"on_count\",\"event\":{\"entered\":1}}\n\n\
                     {\"hook\":\"on_tick\",\"event\":{}}\n\
                     {\"hook\":\"on_count\",\"event\":{\"entered\":1}}\n\
                     {\"hook\":\"on_count\",\"event\":{\"wrong\":1}}\n\
                     {\"hook\":\"on_count\",\"event\":{\"entered\":-1}}\n";
    let play = || {
        let mut out = Vec::new();
        let lines = recording.lines().map(|line| Ok(line.to_owned()));
        replay(&settings, "busy", lines, |line| out.push(line)).expect("played");
        out
    };
    let out = play();
    assert_eq!(out, play());
    assert_eq!(
        out[0],
        "{\"line\":4,\"hook\":\"on_count\",\"effects\":[{\"effect\":\"begin_event\",\"name\":\"busy\",\"data\":\
         {\"inside\":2,\"limit\":1}},{\"effect\":\"set_state\",\"key\":\"light0\",\"value\":true}]}"
    );
    assert!(out[1].starts_with("{\"line\":5,\"hook\":\"on_count\",\"error\":"), "{}", out[1]);
    assert!(out[2].contains("end_event"), "{}", out[2]);
    assert_eq!(out.len(), 3);

    for (rule, line, says) in [
        ("bussy", "", "did you mean `busy`?"),
        ("busy", "nonsense", "recording:1:1: a line is {\"hook\", \"event\"}"),
        ("busy", "{\"hook\":\"on_x\",\"event\":1}", "there is no hook `on_x`"),
    ] {
        let lines = std::iter::once(Ok(line.to_owned()));
        let errors = replay(&settings, rule, lines, |_| {}).expect_err(says);
        assert!(errors[0].to_string().contains(says), "{}", errors[0]);
    }
}

#[test]
fn tests_as_data_hold_or_say_what_differs() {
    let folder = Folder::new(&[("rules/busy.rhai", BUSY)]);
    let case = |effects: &str| {
        format!(
            "[[case]]\nname = \"three\"\nconfig = {{ n = 2 }}\nstate = {{ inside = 2 }}\n\
             [[case.step]]\nhook = \"on_count\"\nevent = {{ entered = -1 }}\n\
             [[case.step]]\nhook = \"on_count\"\nevent = {{ entered = 2 }}\neffects = [{effects}]\n\
             [[case.step]]\nhook = \"on_count\"\nevent = {{}}\nfails = \"no property `entered`\"\n"
        )
    };
    let begin = "{ effect = \"begin_event\", name = \"busy\", data = { inside = 3, limit = 2 } }";
    let light = "{ effect = \"set_state\", key = \"light0\", value = true }";
    folder.write("rules/busy.test.toml", case(&format!("{begin}, {light}")));
    let mut settings = folder.settings();
    settings.rules.insert("busy".into(), json!({"n": 1}));
    let report = test::run(&settings);
    assert_eq!((report.passed, report.failed.as_slice()), (1, &[][..]));

    folder.write("rules/busy.test.toml", case(begin));
    let report = test::run(&settings);
    assert_eq!(report.passed, 0);
    assert!(
        report.failed[0].contains("busy.test.toml: \"three\": step 2: it caused ["),
        "{:?}",
        report.failed
    );

    folder.write("rules/other.test.toml", "");
    folder.write("mappings/bad.test.toml", "[[write]]\nkye = 1");
    let failed = test::run(&settings).failed.join("\n");
    assert!(failed.contains("there is no other.rhai beside it"), "{failed}");
    assert!(failed.contains("bad.test.toml: ") && failed.contains("kye"), "{failed}");
}
