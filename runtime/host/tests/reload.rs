//! Applying a configuration touches what changed and nothing else.

mod common;

use common::{Bench, compile, faulty, section, sections, until};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn only_the_changed_section_restarts() {
    let bench = Bench::new();
    let heard = bench.hear("poked");
    let with = |variant: u32| {
        sections([
            ("a", section(&faulty(), &json!({ "variant": 1 }))),
            ("b", section(&faulty(), &json!({ "variant": variant }))),
        ])
    };
    bench.plugins.apply(&with(1));
    bench.wait_for("a", "running");
    bench.wait_for("b", "running");
    let thread = |id: &str| {
        let tasks = std::fs::read_dir("/proc/self/task").expect("tasks").flatten();
        let mut ids: Vec<_> = tasks
            .filter(|t| {
                std::fs::read_to_string(t.path().join("comm"))
                    .is_ok_and(|n| n.trim() == format!("plugin:{id}"))
            })
            .map(|t| t.file_name())
            .collect();
        ids.sort();
        ids
    };
    let (a, b) = (thread("a"), thread("b"));
    bench.plugins.apply(&with(2));
    until("b to be another", || thread("b").len() == 1 && thread("b") != b, || format!("{:?}", thread("b")));
    bench.wait_for("b", "running");
    assert_eq!(thread("a"), a);
    bench.say("poke", "x");
    until("both to answer", || heard.lock().expect("sound").len() == 2, String::new);
}

#[test]
fn a_new_library_file_replaces_the_old_one_on_reload() {
    let bench = Bench::new();
    let library = bench.dir.path().join("libdoor.so");
    let version = |v: &str| {
        let new = bench.dir.path().join("new.so");
        compile(
            "tests/fixtures/plugins/c/wrong.c",
            &["-DWRONG=NO_ENTRIES", &format!("-DVERSION=\"{v}\"")],
            &new,
        );
        std::fs::rename(&new, &library).expect("moved");
    };
    let wanted = sections([("door", section("door", &json!({})))]);
    let runs = |v: &str| {
        until(
            &format!("version {v}"),
            || bench.report("door").is_some_and(|r| r.version == v) && bench.state_of("door") == "running",
            || format!("{:?}", bench.report("door")),
        );
    };
    version("1.0.0");
    bench.plugins.apply(&wanted);
    runs("1.0.0");
    version("1.1.0");
    bench.plugins.apply(&wanted);
    runs("1.1.0");
    // And back: the old code is loaded again, not the newest of that name.
    version("1.0.0");
    bench.plugins.apply(&wanted);
    runs("1.0.0");
}

#[test]
fn a_disabled_or_removed_section_stops() {
    let bench = Bench::new();
    let mut plugin = section(&faulty(), &json!({}));
    bench.plugins.apply(&sections([("a", plugin.clone()), ("b", plugin.clone())]));
    bench.wait_for("a", "running");
    bench.wait_for("b", "running");
    plugin.enabled = false;
    bench.plugins.apply(&sections([("a", plugin)]));
    bench.wait_for("a", "none");
    bench.wait_for("b", "none");
    assert!(bench.runtime.health.all().is_empty(), "{:?}", bench.runtime.health.all());
}

#[test]
fn the_example_in_c_works() {
    let bench = Bench::new();
    let library = bench.dir.path().join("libgantry_example_c.so");
    compile("plugins/example-c/plugin.c", &["-O2"], &library);
    let heard = bench.hear("example-c/frames");
    let own = json!({});
    let plugin = gantry_core::config::Plugin {
        own: own.as_object().cloned().unwrap_or_default(),
        ..gantry_core::config::Plugin::default()
    };
    bench.plugins.apply(&sections([("example-c", plugin)]));
    bench.wait_for("example-c", "running");
    until(
        "it to watch",
        || bench.runtime.frames.stream("main/jpeg").demand().watchers == 1,
        || "no watcher".to_owned(),
    );
    bench.frame("main/jpeg");
    until("it to tell", || !heard.lock().expect("sound").is_empty(), String::new);
    assert_eq!(
        *heard.lock().expect("sound"),
        [("example-c/frames".to_owned(), r#"{"frames":1,"bytes":1000}"#.to_owned())]
    );
}

#[test]
fn a_reload_during_the_shutdown_starts_nothing() {
    let bench = Bench::new();
    let slow = section(&faulty(), &json!({ "dawdle_in": "stop", "dawdle_ms": 1000 }));
    let wanted = sections([("slow", slow), ("other", section(&faulty(), &json!({})))]);
    bench.plugins.apply(&wanted);
    bench.wait_for("slow", "running");
    std::thread::scope(|scope| {
        scope.spawn(|| bench.plugins.shutdown(Instant::now() + Duration::from_secs(20)));
        bench.wait_for("slow", "stopping");
        bench.plugins.apply(&wanted);
    });
    assert_eq!(bench.plugins.reports(), []);
}
