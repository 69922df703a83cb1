//! What a plugin does wrong costs itself and nobody else.

mod common;

use common::{Bench, compile, faulty, section, sections, until};
use gantry_core::health::Level;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A well-behaved neighbour that tells every frame it sees on `seen`.
fn neighbour() -> gantry_core::config::Plugin {
    section(&faulty(), &json!({ "stream": "main/jpeg" }))
}

#[test]
fn a_panic_in_any_hook_ends_the_instance_and_starts_a_new_one() {
    // The hooks that are called by themselves while it starts.
    for place in ["create", "start", "on_reply", "on_wake", "worker"] {
        let bench = Bench::new();
        bench.plugins.apply(&sections([
            ("bad", section(&faulty(), &json!({ "panic_in": place }))),
            ("good", neighbour()),
        ]));
        let restarts = || bench.report("bad").map_or(0, |r| r.restarts);
        until(
            &format!("a restart after a panic in {place}"),
            || restarts() >= 1,
            || format!("{:?}", bench.report("bad")),
        );
        bench.wait_for("good", "running");
    }
}

#[test]
fn a_panic_in_an_event_hook_does_the_same() {
    for place in ["on_frame", "on_message", "on_state"] {
        let bench = Bench::new();
        let heard = bench.hear("seen");
        let bad = section(&faulty(), &json!({ "panic_in": place, "stream": "side/jpeg" }));
        bench.plugins.apply(&sections([("bad", bad), ("good", neighbour())]));
        bench.wait_for("bad", "running");
        bench.wait_for("good", "running");
        match place {
            "on_frame" => drop(bench.frame("side/jpeg")),
            "on_message" => bench.say("poke", "x"),
            _ => drop(bench.runtime.state.set("poke", json!(1))),
        }
        bench.wait_for("bad", "backoff");
        let health = bench.report("bad").expect("reported").health;
        let expected = format!("panicked in {place}: told to panic (");
        assert!(health.message.starts_with(&expected) && health.level == Level::Failed, "{health:?}");
        assert!(health.message.ends_with("; starting again in 1 s"), "{health:?}");
        // The neighbour goes on as if nothing had happened.
        bench.frame("main/jpeg");
        until("the neighbour's frame", || !heard.lock().expect("sound").is_empty(), String::new);
        assert_eq!(bench.report("good").expect("reported").restarts, 0);
        until("a restart", || bench.report("bad").is_some_and(|r| r.restarts == 1), String::new);
    }
}

#[test]
fn a_panic_in_stop_or_drop_does_not_hinder_the_end() {
    for place in ["stop", "drop"] {
        let bench = Bench::new();
        bench.plugins.apply(&sections([("bad", section(&faulty(), &json!({ "panic_in": place })))]));
        bench.wait_for("bad", "running");
        bench.plugins.apply(&sections([]));
        bench.wait_for("bad", "none");
    }
}

#[test]
fn a_start_that_fails_is_tried_again_and_says_why() {
    let bench = Bench::new();
    bench.plugins.apply(&sections([("bad", section(&faulty(), &json!({ "fail_in": "start" })))]));
    bench.wait_for("bad", "backoff");
    let message = bench.report("bad").expect("reported").health.message;
    assert_eq!(message, "told to fail; starting again in 1 s");
    until("two restarts", || bench.report("bad").is_some_and(|r| r.restarts >= 2), String::new);
}

#[test]
fn a_plugin_that_hangs_is_reported_left_behind_and_replaced() {
    let bench = Bench::new();
    let heard = bench.hear("seen");
    let bad = section(&faulty(), &json!({ "hang_in": "on_message" }));
    bench.plugins.apply(&sections([("bad", bad), ("good", neighbour())]));
    bench.wait_for("bad", "running");
    bench.wait_for("good", "running");
    bench.say("poke", "x");
    bench.wait_for("bad", "backoff");
    let report = bench.report("bad").expect("reported");
    assert!(report.health.message.starts_with("has not returned from on_message for 5 s"), "{report:?}");
    assert_eq!(report.left_behind, 1);
    bench.frame("main/jpeg");
    until("the neighbour's frame", || !heard.lock().expect("sound").is_empty(), String::new);
    bench.wait_for("bad", "running");
}

#[test]
fn a_plugin_that_comes_back_late_ends_and_leaves_its_successor_alone() {
    let bench = Bench::new();
    let heard = bench.hear("poked");
    let bad = section(&faulty(), &json!({ "dawdle_in": "on_message", "dawdle_ms": 7000 }));
    bench.plugins.apply(&sections([("late", bad)]));
    bench.wait_for("late", "running");
    bench.say("poke", "first");
    bench.wait_for("late", "backoff");
    bench.wait_for("late", "running");
    // What the old one says when it comes back is not heard any more; threads of its are gone.
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("tasks");
        let name = |t: std::fs::DirEntry| std::fs::read_to_string(t.path().join("comm")).unwrap_or_default();
        tasks.flatten().filter(|t| t.path().exists()).map(name).filter(|n| n.trim() == "plugin:late").count()
    };
    until("the old thread to end", || threads() == 1, || threads().to_string());
    assert_eq!(*heard.lock().expect("sound"), []);
    assert_eq!(bench.state_of("late"), "running");
}

#[test]
fn a_plugin_that_hangs_in_stop_is_left_behind_in_time() {
    let bench = Bench::new();
    bench.plugins.apply(&sections([
        ("bad", section(&faulty(), &json!({ "hang_in": "stop" }))),
        ("good", neighbour()),
    ]));
    bench.wait_for("bad", "running");
    bench.wait_for("good", "running");
    let begin = Instant::now();
    bench.plugins.shutdown(begin + Duration::from_secs(2));
    // Not a measurement: without the deadline this would never return.
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_section_that_hangs_in_stop_is_replaced_all_the_same() {
    let bench = Bench::new();
    bench.plugins.apply(&sections([("bad", section(&faulty(), &json!({ "hang_in": "stop" })))]));
    bench.wait_for("bad", "running");
    bench.plugins.apply(&sections([("bad", section(&faulty(), &json!({ "variant": 1 })))]));
    until(
        "the successor",
        || bench.report("bad").is_some_and(|r| r.left_behind == 1 && r.health.message == "faulty as told"),
        || format!("{:?}", bench.report("bad")),
    );
}

#[test]
fn floods_are_bounded_and_others_are_served() {
    for flood in ["messages", "logs", "wakes", "calls", "state"] {
        let bench = Bench::new();
        let heard = bench.hear("seen");
        bench.runtime.services.offer("never.answers", Arc::new(|_, _, reply| std::mem::forget(reply)));
        let slow = section(&faulty(), &json!({ "dawdle_in": "on_wake", "dawdle_ms": 1000 }));
        let bad = section(&faulty(), &json!({ "flood": flood }));
        bench.plugins.apply(&sections([("bad", bad), ("good", neighbour()), ("slow", slow)]));
        for id in ["bad", "good", "slow"] {
            bench.wait_for(id, "running");
        }
        if flood == "messages" {
            until(
                "messages to be dropped",
                || bench.report("slow").is_some_and(|r| r.messages_dropped > 0),
                || format!("{:?}", bench.report("slow")),
            );
        }
        bench.frame("main/jpeg");
        until(
            &format!("a frame beside a flood of {flood}"),
            || !heard.lock().expect("sound").is_empty(),
            || format!("{:?}", bench.plugins.reports()),
        );
        assert_eq!(bench.state_of("bad"), "running", "{flood}");
    }
}

#[test]
fn kept_frames_are_limited_and_stay_readable() {
    let bench = Bench::new();
    let heard = bench.hear("seen");
    let keeper = section(&faulty(), &json!({ "stream": "main/jpeg", "keep_frames": true }));
    bench.plugins.apply(&sections([("keeper", keeper)]));
    bench.wait_for("keeper", "running");
    let mut frames = Vec::new();
    for n in 1..=32 {
        frames.push(Arc::downgrade(&bench.frame("main/jpeg")));
        until("the frame to be seen", || heard.lock().expect("sound").len() == n, String::new);
    }
    assert_eq!(bench.report("keeper").expect("reported").frames_kept, 32);
    // Beyond the limit frames are skipped, not kept; the plugin goes on.
    let beyond = Arc::downgrade(&bench.frame("main/jpeg"));
    until(
        "the frame beyond to be let go",
        || beyond.strong_count() == 0,
        || beyond.strong_count().to_string(),
    );
    assert_eq!(bench.state_of("keeper"), "running");
    assert!(frames.iter().all(|f| f.strong_count() == 1));
    // With the instance its frames go back.
    bench.plugins.apply(&sections([]));
    until("all frames to be let go", || frames.iter().all(|f| f.strong_count() == 0), String::new);
}

#[test]
fn wrong_arguments_are_answered_and_nothing_else_happens() {
    let bench = Bench::new();
    let library = bench.dir.path().join("librude.so");
    compile("tests/fixtures/plugins/c/rude.c", &[], &library);
    let heard = bench.hear("rude/answers");
    bench.plugins.apply(&sections([("rude", section("rude", &json!({})))]));
    bench.wait_for("rude", "running");
    let frame = bench.frame("main/jpeg");
    let answers = || heard.lock().expect("sound").iter().map(|(_, text)| text.clone()).collect::<Vec<_>>();
    until("the last answer", || answers().contains(&"release=0".to_owned()), || format!("{:?}", answers()));
    assert_eq!(
        answers(),
        [
            "log level=-2",
            "log utf8=-2",
            "state_get utf8=-2",
            "state_get no sink=-2",
            "state_get unknown=-5",
            "state_watch wildcard=-2",
            "publish empty=-2",
            "publish wildcard=-2",
            "subscribe utf8=-2",
            "unsubscribe unknown=-5",
            "frames watch=7=-2",
            "frames wildcard=-2",
            "retain null=-2",
            "release null=-2",
            "call not json=-2",
            "call unknown=-5",
            "metric name=-2",
            "metric kind=-2",
            "metric no id=-2",
            "metric unknown=-2",
            "health level=-2",
            "ctx null=-2",
            "extension=0",
            "release without retain=-2",
            "retain=0",
            "release=0",
        ]
    );
    bench.plugins.apply(&sections([]));
    bench.wait_for("rude", "none");
    assert_eq!(Arc::strong_count(&frame), 1);
}
