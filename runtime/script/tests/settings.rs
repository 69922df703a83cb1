//! `[rules.NAME]`: what is configured for rules, and what happens when that changes.

mod common;

use common::{Folder, Running};
use gantry_script::{Effect, Settings, check, replay, test};
use serde_json::{Value, json};

const COUNTER: &str = "if config.get(\"n\") == 0 { throw \"n must not be 0\"; }\n\
                       fn on_tick(event) { this.count += config.get(\"n\") ?? 1; emit(\"count\", [this.count, config]); }\n\
                       #{ count: 0 }";

fn tables(folder: &Folder, tables: &[(&str, Value)]) -> Settings {
    let mut settings = folder.settings();
    settings.rules = tables.iter().map(|(name, table)| ((*name).to_owned(), table.clone())).collect();
    settings
}

fn counted(count: i64, config: Value) -> Result<Vec<Effect>, gantry_script::ScriptError> {
    Ok(vec![Effect::Emit { topic: "count".into(), data: json!([count, config]) }])
}

#[test]
fn a_rule_that_is_turned_off_does_not_run_and_goes_on_where_it_was() {
    let running = Running::new(&[("rules/a.rhai", COUNTER)]);
    assert_eq!(running.changed(), ["rule a"]);
    assert_eq!(running.effects("on_tick", json!({})), counted(1, json!({})));

    running.scripts.configure(tables(&running.folder, &[("a", json!({"enabled": false, "n": 5}))]));
    assert_eq!(running.changed(), ["removed rules/a"]);
    assert!(running.event("on_tick", json!({})).is_empty());
    assert_eq!(running.states()["a"], json!({"count": 1}), "kept");
    running.folder.write("rules/a.rhai", COUNTER.replace("fn ", "fn  "));
    running.scripts.reload();
    assert_eq!(running.changed(), Vec::<String>::new(), "what is off is not loaded");

    running.scripts.configure(tables(&running.folder, &[("a", json!({"enabled": true, "n": 5}))]));
    assert_eq!(running.changed(), ["rule a"]);
    assert_eq!(
        running.effects("on_tick", json!({})),
        counted(6, json!({"n": 5})),
        "`enabled` is not the rule's"
    );
}

#[test]
fn a_rule_that_is_off_from_the_start_keeps_what_it_had_before_the_restart() {
    let folder = Folder::new(&[("rules/a.rhai", COUNTER)]);
    let off = tables(&folder, &[("a", json!({"enabled": false}))]);
    let running = Running::with(folder, off);
    assert_eq!(running.changed(), Vec::<String>::new());
    running.scripts.restore([("a".to_owned(), json!({"count": 7}))].into());
    assert_eq!(running.states()["a"], json!({"count": 7}));
    running.scripts.configure(running.folder.settings());
    assert_eq!(running.effects("on_tick", json!({})), counted(8, json!({})));
}

#[test]
fn another_table_reloads_that_rule_alone_and_keeps_its_this() {
    let mapping = "#{ \"a\": \"a\" }";
    let running = Running::new(&[
        ("mappings/m.rhai", mapping),
        ("rules/a.rhai", COUNTER),
        ("rules/b.rhai", "fn on_count(event) {}"),
    ]);
    running.changed();
    assert_eq!(running.effects("on_tick", json!({})), counted(1, json!({})));
    running.scripts.configure(tables(&running.folder, &[("a", json!({"n": 10}))]));
    assert_eq!(running.changed(), ["rule a"]);
    assert_eq!(running.effects("on_tick", json!({})), counted(11, json!({"n": 10})));
}

#[test]
fn a_table_that_the_rule_refuses_leaves_it_as_it_was() {
    let running = Running::new(&[("rules/a.rhai", COUNTER)]);
    running.changed();
    for (table, says) in [
        (json!({"n": 0}), "problem rules/a: rules/a.rhai:1:27: n must not be 0\n"),
        (
            json!({"enabled": "no"}),
            "problem rules/a: rules/a.rhai: `enabled` is \"no\" in the rule's table: write true",
        ),
    ] {
        running.scripts.configure(tables(&running.folder, &[("a", table)]));
        let changed = running.changed().join("\n");
        assert!(changed.starts_with(says), "{changed}");
        assert!(running.effects("on_tick", json!({})).is_ok());
    }
    running.scripts.configure(tables(&running.folder, &[("a", json!({"enabled": false}))]));
    assert_eq!(running.changed(), ["removed rules/a", "recovered rules/a"]);
}

#[test]
fn a_table_without_a_script_is_found_with_the_name_that_was_meant() {
    let folder = Folder::new(&[("rules/busy-period.rhai", COUNTER)]);
    let settings = tables(&folder, &[("bussy-period", json!({})), ("lonely", json!({"enabled": false}))]);
    let problems: Vec<_> = check(&settings).problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "[rules.bussy-period]: there is no rule of that name; did you mean `busy-period`?",
            "[rules.lonely]: there is no rule of that name; write scripts/rules/lonely.rhai, or remove the table",
        ]
    );

    let empty = Folder::new(&[]);
    assert_eq!(check(&tables(&empty, &[("busy-period", json!({}))])).problems.len(), 1);

    let running = Running::with(folder, settings);
    let changed = running.changed();
    assert_eq!(changed.len(), 3, "{changed:?}");
    assert!(changed[0].starts_with("problem rules/bussy-period: [rules.bussy-period]: "), "{changed:?}");
    running.scripts.reload();
    assert_eq!(running.changed(), Vec::<String>::new(), "said once");
    running.folder.write("rules/lonely.rhai", COUNTER);
    running.scripts.configure(tables(&running.folder, &[("lonely", json!({}))]));
    let mut changed = running.changed();
    changed.sort();
    assert_eq!(changed, ["recovered rules/bussy-period", "recovered rules/lonely", "rule lonely"]);
}

#[test]
fn a_script_in_an_editors_pause_is_not_one_that_is_missing() {
    let folder = Folder::new(&[("rules/a.rhai", COUNTER)]);
    let settings = tables(&folder, &[("a", json!({"n": 1}))]);
    let running = Running::with(folder, settings);
    running.changed();
    running.folder.remove("rules/a.rhai");
    running.scripts.reload();
    assert_eq!(running.changed(), Vec::<String>::new());
    running.scripts.reload();
    let changed = running.changed();
    assert_eq!(changed[0], "removed rules/a");
    assert!(changed[1].starts_with("problem rules/a: [rules.a]: there is no rule"), "{changed:?}");
}

#[test]
fn what_is_off_may_be_broken_and_can_be_tried_when_it_is_not() {
    let folder = Folder::new(&[("rules/a.rhai", "fn on_tick(event) {"), ("rules/b.rhai", COUNTER)]);
    let off = json!({"enabled": false, "n": 3});
    let settings = tables(&folder, &[("a", off.clone()), ("b", off)]);
    let checked = check(&settings);
    assert_eq!((checked.good, checked.problems), (vec!["rules/b".to_owned()], vec![]));
    assert_eq!(test::run(&settings).failed, Vec::<String>::new());
    let tick = || std::iter::once(Ok("{\"hook\":\"on_tick\",\"event\":{}}".to_owned()));
    let mut out = Vec::new();
    replay(&settings, "b", tick(), |line| out.push(line)).expect("played");
    assert!(out[0].contains("[3,{\"n\":3}]"), "{out:?}");
    let errors = replay(&settings, "a", tick(), |_| {}).expect_err("broken");
    assert!(errors[0].file.ends_with("rules/a.rhai") && errors[0].line == 1, "{errors:?}");
}
