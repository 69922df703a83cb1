//! What scripts cannot do, and what they can do too much of.

mod common;

use common::{Folder, Running, told};
use gantry_script::{Direction, ErrorKind, Level};
use serde_json::json;
use std::time::Duration;

/// The error of a rule whose hook has that body, and where it is.
fn failing(body: &str) -> (ErrorKind, String) {
    let rule = format!("fn on_tick(event) {{\n    {body}\n}}\nfn deeper(n) {{ deeper(n + 1) }}");
    let folder = Folder::new(&[("rules/r.rhai", &rule)]);
    let mut settings = folder.settings();
    settings.limits.max_operations = 100_000;
    let running = Running::with(folder, settings);
    match running.effects("on_tick", json!({})) {
        Ok(effects) => panic!("{body}: {effects:?}"),
        Err(error) => (error.kind, told(&running.folder, &error)),
    }
}

#[test]
fn every_limit_ends_the_call_and_says_where_it_was_passed() {
    let limits = [
        ("let n = 0; loop { n += 1; }", "rules/r.rhai:2:", "more than 100000 operations"),
        ("while true {}", "rules/r.rhai:2:", "more than 100000 operations"),
        ("deeper(0);", "rules/r.rhai:4:", "functions call each other more than 32 deep"),
        ("let s = \"ab\"; loop { s += s; }", "rules/r.rhai:2:", "longer than 16384 bytes"),
        ("let a = [1]; loop { a.push(1); a += a; }", "rules/r.rhai:2:", "more than 4096 elements"),
        ("let a = []; a.pad(1000000, 0);", "rules/r.rhai:2:", "more than 4096 elements"),
        ("let m = #{}; loop { m[`k${m.len()}`] = 1; }", "rules/r.rhai:2:", "more than 4096 elements"),
        ("let s = \"\"; s.pad(1000000, 'x');", "rules/r.rhai:2:", "longer than 16384 bytes"),
    ];
    for (body, place, says) in limits {
        let (kind, text) = failing(body);
        assert_eq!(kind, ErrorKind::Limit, "{body}: {text}");
        assert!(text.starts_with(place) && text.contains(says), "{body}: {text}");
        assert!(text.ends_with('^'), "{body}: {text}");
    }
}

#[test]
fn callbacks_of_native_functions_are_counted_too() {
    let (kind, text) =
        failing("let a = []; a.pad(4000, 1); a.map(|x| { let n = 0; for i in 0..200 { n += i; } n });");
    assert_eq!(kind, ErrorKind::Limit, "{text}");
    assert!(text.contains("more than 100000 operations"), "{text}");
}

#[test]
fn a_call_ends_at_its_deadline() {
    let folder = Folder::new(&[("rules/slow.rhai", "fn on_tick(event) {\n    loop { let x = 1; }\n}")]);
    let mut settings = folder.settings();
    settings.limits.deadline = Duration::from_millis(5);
    settings.limits.max_operations = u64::MAX;
    let running = Running::with(folder, settings);
    let error = running.effects("on_tick", json!({})).expect_err("an endless loop");
    assert_eq!(error.kind, ErrorKind::Limit);
    assert_eq!((error.line, error.message.contains("longer than 5ms")), (2, true), "{error}");
}

#[test]
fn what_a_script_must_not_have_is_not_there() {
    for (body, says) in [
        ("eval(\"1\");", "there is no `eval` here"),
        ("import \"x\" as x;", "there is no `import` here"),
        ("timestamp();", "there is no function `timestamp"),
        ("sleep(1);", "there is no function `sleep"),
        ("rand();", "there is no function `rand"),
        ("exit();", "there is no function `exit"),
        ("open_file(\"/etc/passwd\");", "there is no function `open_file"),
    ] {
        let rule = format!("fn on_tick(event) {{\n    {body}\n}}");
        let folder = Folder::new(&[("rules/r.rhai", &rule)]);
        let mut text = folder.problems().join("\n");
        if text.is_empty() {
            let running = Running::with(Folder::new(&[("rules/r.rhai", &rule)]), folder.settings());
            let running =
                Running::new(&[("rules/r.rhai", &rule)]).effects("on_tick", json!({})).map_err(|e| {
                    drop(running);
                    e.to_string()
                });
            text = running.expect_err(body);
        }
        assert!(text.contains(says) && text.contains("r.rhai:2:5"), "{body}: {text}");
    }
}

#[test]
fn names_that_do_not_exist_are_errors_when_the_script_is_loaded_or_used() {
    let folder = Folder::new(&[(
        "rules/r.rhai",
        "const LIMIT = 3;\nfn on_tick(event) {\n    if event.n > LIMIT { snapshot(); }\n}",
    )]);
    assert_eq!(
        folder.problems(),
        [
            "rules/r.rhai:3:18: functions see constants of the script by their full name: write `global::LIMIT`\n    \
          if event.n > LIMIT { snapshot(); }\n                 ^"
        ]
    );
    folder.write("rules/r.rhai", "fn on_tick(event) { let a = 1; b }");
    assert!(folder.problems()[0].contains("there is no variable `b`"), "{:?}", folder.problems());

    let (kind, text) = failing("event.nothing");
    assert_eq!(kind, ErrorKind::Failed);
    assert!(text.contains("rules/r.rhai:2:11: there is no property `nothing`"), "{text}");
    let (_, text) = failing("deper(1)");
    assert!(text.contains("did you mean `deeper`?"), "{text}");
}

#[test]
fn a_slow_key_fails_alone_and_the_others_go_on() {
    let text = "fn bad(v) { loop {} }\nfn good(v) { v + 1 }\n\
                #{ \"a\": #{ observable: \"a\", write_with: \"bad\" }, \"b\": #{ observable: \"b\", write_with: \"good\" } }";
    let running = Running::new(&[("mappings/m.rhai", text)]);
    let mapping = running.mapping();
    let done = running.convert(&mapping, Direction::In, &[("b", json!(1)), ("a", json!(1)), ("b", json!(2))]);
    assert_eq!(done[0], Ok(json!(2)));
    let error = done[1].as_ref().expect_err("an endless loop");
    assert_eq!((error.kind, error.line), (ErrorKind::Limit, 1), "{error}");
    assert_eq!(error.for_client(), "The gateway's script for this key failed: see its log");
    assert_eq!(done[2], Ok(json!(3)));
}

#[test]
fn shared_values_in_data_do_not_stop_the_engine() {
    // Captured variables are shared, and the engine panics where it finds one inside of data.
    let rule = "fn on_tick(event) {\n    let x = 1;\n    let f = |y| x + y;\n    let m = #{ a: [x], f: 1 };\n    \
                m.b = x;\n    this.m = m;\n    this.x = x;\n    this.s = f.call(2);\n}";
    let running = Running::new(&[("rules/r.rhai", rule)]);
    for _ in 0..2 {
        if let Err(error) = running.effects("on_tick", json!({})) {
            assert_eq!(error.kind, ErrorKind::Failed, "{error}");
        }
    }
    assert!(running.states().contains_key("r"), "the thread lives");
}

#[test]
fn logs_of_scripts_are_lines_and_bounded() {
    let rule = "fn on_tick(event) {\n    log::warn(\"a\\nb\");\n    debug(1);\n    print(event);\n    for i in 0..1000 { log::info(i); }\n}";
    let running = Running::new(&[("rules/r.rhai", rule)]);
    assert_eq!(running.folder.problems(), Vec::<String>::new());
    let effects = running.effects("on_tick", json!(7)).expect("good");
    assert_eq!(effects.len(), 64);
    assert_eq!(effects[0], gantry_script::Effect::Log { level: Level::Warn, text: "a b".into() });
    assert_eq!(effects[1], gantry_script::Effect::Log { level: Level::Debug, text: "3:5: 1".into() });
    assert_eq!(effects[2], gantry_script::Effect::Log { level: Level::Info, text: "7".into() });
}

#[test]
fn nothing_that_is_nested_deep_or_long_breaks_the_stack() {
    let deep = |open: &str, close: &str, inner: &str, times: usize| {
        format!("fn on_tick(event) {{ let x = {}{inner}{}; }}", open.repeat(times), close.repeat(times))
    };
    let n = 20_000;
    for (what, text) in [
        ("parentheses", deep("(", ")", "1", n)),
        ("arrays", deep("[", "]", "1", n)),
        ("maps", deep("#{a:", "}", "1", n)),
        ("blocks", deep("{", "}", "1", n)),
        ("ifs", deep("if true {", "}", "1", n)),
        ("else ifs", deep("if false { 1 } else ", "", "{ 1 }", n / 2)),
        ("not", deep("!", "", "true", n)),
        ("minus", deep("- ", "", "1", n)),
        ("closures", deep("|a| ", "", "1", n)),
        ("calls", deep("f(", ")", "1", n)),
        ("additions", deep("1 + ", "", "1", n * 3)),
        ("assignments", deep("y = ", "", "1", n)),
        ("powers", deep("2 ** ", "", "1", n * 2)),
        ("ands", deep("true && ", "", "true", n)),
        ("coalescing", deep("() ?? ", "", "1", n)),
        ("dots", deep("", ".a", "event", n)),
        ("indexes", deep("", "[0]", "event", n)),
        ("methods", deep("", ".f()", "event", n)),
        ("texts", deep("`${", "}`", "1", n)),
        ("comments", deep("/*", "*/", "1", n)),
        ("switches", deep("switch 1 { _ => ", "}", "1", n / 2)),
        ("loops", deep("loop {", "}", "1", n)),
        ("tries", format!("fn on_tick(event) {{ {}{} }}", "try {".repeat(n / 2), "} catch {}".repeat(n / 2))),
        ("statements", format!("fn on_tick(event) {{ {} }}", "1;".repeat(n))),
    ] {
        let running = Running::new(&[("rules/r.rhai", &text)]);
        let changed = running.changed();
        assert_eq!(changed.len(), 1, "{what}");
        if changed[0] == "rule r" {
            let _ = running.effects("on_tick", json!({}));
        }
    }
}

#[test]
fn the_deepest_calls_that_can_be_configured_fit_the_stack() {
    let nested = format!("{}deeper(n + 1){}", "(1 + ".repeat(5), ")".repeat(5));
    let rule = format!(
        "fn on_tick(event) {{ deeper(0) }}\nfn deeper(n) {{ if true {{ if true {{ return {nested}; }} }} }}"
    );
    let folder = Folder::new(&[("rules/r.rhai", &rule)]);
    assert_eq!(folder.problems(), Vec::<String>::new());
    let mut settings = folder.settings();
    settings.limits.max_call_levels = 64;
    let running = Running::with(folder, settings);
    let error = running.effects("on_tick", json!({})).expect_err("endless");
    assert!(error.message.contains("more than 64 deep"), "{error}");
}
