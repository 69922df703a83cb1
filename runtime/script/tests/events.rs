//! Rules and the events that they begin: hot reload, and recordings that are played with another configuration.

mod common;

use common::{Folder, Running};
use gantry_script::{Effect, Recorded, Settings, call, replay};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

const BUSY: &str = include_str!("../../../scripts/rules/busy-period.rhai");

fn shipped(rule: &str, table: Value) -> Settings {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let mut settings = Settings { dir, rules: [(rule.to_owned(), table)].into(), ..Settings::default() };
    settings.limits.deadline = std::time::Duration::from_secs(20);
    settings
}

/// A crossing, or without a direction a tick, while `busy` ran or not when it was recorded.
fn line(time: i64, direction: Option<&str>, busy: bool) -> String {
    let mut event = json!({
        "time": time, "count_in": 0, "count_out": 0, "cameras": {},
        "local": {"date": "2026-11-21", "time": "10:15:02"},
        "events": {
            "busy": {"active": busy, "since_ms": busy.then_some(1), "count_in": 99, "today": 9},
            "other": {"active": true, "since_ms": 7, "count_in": 5, "today": 1},
        },
    });
    let Some(direction) = direction else { return json!({"hook": "on_tick", "event": event}).to_string() };
    let what =
        json!({"kind": "crossing", "camera": "main", "line": "door", "direction": direction, "track": 1});
    event.as_object_mut().expect("a map").extend(what.as_object().expect("a map").clone());
    json!({"hook": "on_count", "event": event}).to_string()
}

fn played(settings: &Settings, rule: &str, lines: &[String]) -> Vec<Value> {
    let mut out = Vec::new();
    replay(settings, rule, lines.iter().cloned().map(Ok), |line| out.push(line)).expect("played");
    let mut again = Vec::new();
    replay(settings, rule, lines.iter().cloned().map(Ok), |line| again.push(line)).expect("played");
    assert_eq!(out, again, "a recording gives the same, always");
    out.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_recording_of_one_configuration_tunes_another() {
    // While it was recorded, `busy` ran all the time.
    let mut lines: Vec<String> = [1000, 2000, 3000, 4000].map(|time| line(time, Some("in"), true)).into();
    lines.extend((5..15).map(|s| line(s * 1000, None, true)));
    for (more_than, begins, ends) in [(1, Some(2), Some(10)), (3, Some(4), Some(10)), (4, None, None)] {
        let settings = shipped("busy-period", json!({"more_than": more_than, "quiet_s": 6}));
        let out = played(&settings, "busy-period", &lines);
        let at = |what: &str| {
            let found: Vec<_> = out.iter().filter(|line| line["effects"][0]["effect"] == what).collect();
            assert!(
                found.len() <= 1 && found.iter().all(|line| line["at"] == "2026-11-21 10:15:02"),
                "{out:?}"
            );
            found.first().and_then(|line| line["line"].as_u64())
        };
        assert_eq!((at("begin_event"), at("end_event")), (begins, ends), "{more_than}: {out:?}");
    }
}

/// Tells what it sees of events, and begins and ends one by the direction.
const WITNESS: &str = r#"
fn on_count(event) {
    emit("seen", event.events);
    if event.direction == "in" { begin_event("busy", #{ camera: "main" }); } else { end_event("busy"); }
}
fn on_tick(event) { emit("seen", event.events); }
"#;

#[test]
fn its_own_events_are_what_the_rule_made_of_them_and_others_are_as_recorded() {
    let folder = Folder::new(&[("rules/r.rhai", WITNESS)]);
    let lines = [
        line(1000, None, true),
        line(2000, Some("in"), true),
        line(3000, Some("in"), false),
        line(4000, Some("out"), false),
        line(5000, None, true),
        line(6000, Some("in"), true),
        line(7000, None, true),
    ];
    let out = played(&folder.settings(), "r", &lines);
    let other = json!({"active": true, "since_ms": 7, "count_in": 5, "today": 1});
    let event = |active: bool, since: Option<i64>, count_in: u64, today: u64| json!({"active": active, "since_ms": since, "count_in": count_in, "today": today});
    let seen: Vec<_> = out.iter().map(|line| &line["effects"][0]["data"]).collect();
    assert_eq!(seen[0], &json!({"other": other}), "it has not begun any");
    let busy: Vec<_> = seen[2..].iter().map(|seen| seen["busy"].clone()).collect();
    assert_eq!(
        busy,
        [
            event(true, Some(2000), 2, 1),
            event(true, Some(2000), 2, 1),
            event(false, None, 0, 1),
            event(false, None, 0, 1),
            event(true, Some(6000), 1, 2),
        ]
    );
    assert!(seen.iter().all(|seen| seen["other"] == other), "{seen:?}");
}

#[test]
fn names_in_variables_and_in_the_configuration_are_the_rules_too() {
    let rule = "const NAME = config.get(\"event\") ?? \"busy\";\nfn on_tick(event) { emit(\"seen\", event.events.keys()); \
                if false { begin_event(global::NAME); } }";
    let folder = Folder::new(&[("rules/r.rhai", rule)]);
    let mut settings = folder.settings();
    let lines = [line(1000, None, true)];
    assert_eq!(played(&settings, "r", &lines)[0]["effects"][0]["data"], json!(["other"]));
    settings.rules.insert("r".into(), json!({"event": "other"}));
    assert_eq!(played(&settings, "r", &lines)[0]["effects"][0]["data"], json!([]));
}

#[test]
fn a_new_day_begins_when_the_counts_fall_to_nothing() {
    let folder = Folder::new(&[("rules/r.rhai", WITNESS)]);
    let at = |time, direction, count_in: u64| {
        let mut line: Value = serde_json::from_str(&line(time, direction, false)).expect("JSON");
        line["event"]["count_in"] = count_in.into();
        line.to_string()
    };
    let lines = [at(1, Some("in"), 8), at(2, None, 7), at(3, None, 0), at(4, None, 0)];
    let today = |out: &[Value], line: usize| out[line]["effects"][0]["data"]["busy"]["today"].clone();
    let out = played(&folder.settings(), "r", &lines);
    assert_eq!((today(&out, 1), today(&out, 2), today(&out, 3)), (json!(1), json!(0), json!(0)));
}

#[test]
fn a_single_event_is_given_as_it_is() {
    let settings = shipped("busy-period", json!({"quiet_s": 5}));
    let mut recorded: Recorded = serde_json::from_str(&line(9000, None, true)).expect("an event");
    let mut out = Vec::new();
    call(&settings, "busy-period", recorded.clone(), |line| out.push(line)).expect("called");
    assert!(out[0].contains("\"end_event\""), "it began long ago: {out:?}");
    // What nobody says of events is that there are none.
    recorded.event = json!({"time": 9000});
    call(&settings, "busy-period", recorded.clone(), |line| panic!("{line}")).expect("called");
    recorded.hook = "on_tic".into();
    let errors = call(&settings, "busy-period", recorded, |_| {}).expect_err("no such hook");
    assert!(errors[0].message.contains("did you mean `on_tick`?"), "{errors:?}");
}

#[test]
fn rules_that_are_asked_about_records_see_their_events_too() {
    let rule = "fn on_detection(event) { if !(event.events.get(\"car\")?.active ?? false) { begin_event(\"car\"); } }";
    let folder = Folder::new(&[("rules/r.rhai", rule)]);
    let at = |time: i64| json!({"hook": "on_detection", "event": {"time": time, "data": {}}}).to_string();
    let out = played(&folder.settings(), "r", &[at(1000), at(2000)]);
    assert_eq!((out.len(), &out[0]["line"]), (1, &json!(1)), "{out:?}");
}

fn event(line: &str) -> Value {
    serde_json::from_str::<Recorded>(line).expect("an event").event
}

#[test]
fn a_rule_that_is_replaced_while_its_event_runs_does_not_begin_it_again_and_ends_it_its_own_way() {
    let folder = Folder::new(&[("rules/busy-period.rhai", BUSY)]);
    let mut settings = folder.settings();
    settings.rules.insert("busy-period".into(), json!({"more_than": 1, "quiet_s": 60}));
    let running = Running::with(folder, settings.clone());
    let count = |time, busy| running.effects("on_count", event(&line(time, Some("in"), busy))).expect("good");
    let tick = |time, busy| running.effects("on_tick", event(&line(time, None, busy))).expect("good");
    assert_eq!(count(10_000, false), []);
    assert!(matches!(count(11_000, false).as_slice(), [Effect::BeginEvent { name, .. }] if name == "busy"));

    // Another script, and then another configuration.
    running
        .folder
        .write("rules/busy-period.rhai", BUSY.replace("quiet_s: global::QUIET_S", "by: \"the new one\""));
    running.scripts.reload();
    assert_eq!(running.changed(), ["rule busy-period", "rule busy-period"]);
    assert_eq!(count(12_000, true), []);
    assert_eq!(tick(62_000, true), []);
    settings.rules.insert("busy-period".into(), json!({"more_than": 0, "quiet_s": 55}));
    running.scripts.configure(settings);
    assert_eq!(running.changed(), ["rule busy-period"]);
    assert_eq!(tick(66_000, true), []);
    let data = json!({"last_ms": 12_000, "by": "the new one"});
    assert_eq!(tick(67_000, true), [Effect::EndEvent { name: "busy".into(), data }]);
    assert_eq!(tick(68_000, false), []);
}

/// A gateway with that many cameras, each with ten lines and ten zones.
fn large(cameras: usize, people: u64) -> Value {
    let count = || json!({"count_in": 123, "count_out": 456});
    let sums: serde_json::Map<_, _> = ["1m", "5m", "10m", "15m", "30m", "1h"]
        .iter()
        .map(|window| ((*window).to_owned(), count()))
        .collect();
    let ten = |name: &str, value: Value| -> Value {
        (0..10).map(|n| (format!("{name}{n}"), value.clone())).collect::<serde_json::Map<_, _>>().into()
    };
    let camera = json!({"count_in": 1, "count_out": 2, "sums": sums, "lines": ten("line", count()), "zones": ten("zone", people.into())});
    let cameras: serde_json::Map<_, _> =
        (0..cameras).map(|n| (format!("camera{n}"), camera.clone())).collect();
    json!({"time": 1000, "count_in": 1, "count_out": 2, "sums": sums, "cameras": cameras, "events": {}})
}

#[test]
fn events_of_large_gateways_are_within_what_a_rule_may_hold() {
    for rule in ["busy-period", "crowded"] {
        let recorded = Recorded { hook: "on_tick".into(), event: large(20, 50) };
        let settings = shipped(rule, if rule == "crowded" { json!({"hold_s": 0}) } else { json!({}) });
        let mut out = Vec::new();
        call(&settings, rule, recorded, |line| out.push(line)).expect("called");
        assert_eq!(out.len(), usize::from(rule == "crowded"), "{out:?}");
        assert!(out.iter().all(|line| line.contains("begin_event")), "{out:?}");
    }
}

#[test]
fn an_event_may_be_larger_than_what_a_rule_may_hold_but_what_it_copies_may_not() {
    let rule = "fn on_tick(event) { emit(\"seen\", event.cameras.camera3.zones.zone3 + event.cameras[`camera${100}`].count_in); }\n\
                fn on_count(event) { let all = event.cameras; all.len() }";
    let running = Running::new(&[("rules/r.rhai", rule)]);
    let seen = running.effects("on_tick", large(120, 4));
    assert_eq!(seen, Ok(vec![Effect::Emit { topic: "seen".into(), data: json!(5) }]));
    let error = running.effects("on_count", large(120, 4)).expect_err("a copy");
    assert!(
        error.message.contains("more than 4096 elements: keep fewer, or raise scripts.max_elements"),
        "{error}"
    );
}

/// Which lines began and ended an event.
fn turns(settings: &Settings, rule: &str, recording: Vec<String>) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let note = |line: String| {
        let line: Value = serde_json::from_str(&line).expect("JSON");
        for effect in line["effects"].as_array().expect("no error") {
            found.push((
                line["line"].as_u64().expect("a line"),
                effect["effect"].as_str().expect("one").to_owned(),
            ));
        }
    };
    replay(settings, rule, recording.into_iter().map(Ok), note).expect("played");
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// Against the sentence itself: it begins by the crossing with which more than N came within the window
    /// since the last end.
    #[test]
    fn busy_periods_are_exact(
        gaps in prop::collection::vec(1_u32..40_000, 1..60),
        more_than in 0_usize..4,
        window_s in 1_i64..60,
        quiet_s in 1_i64..40,
    ) {
        let mut time = 1_000_000;
        let times: Vec<i64> = gaps.iter().map(|gap| { time += i64::from(*gap); time }).collect();
        let mut lines: Vec<(i64, String)> = times.iter().map(|time| (*time, line(*time, Some("in"), false))).collect();
        let ticks = (1_000..=time / 1000 + 60).map(|s| (s * 1000, line(s * 1000, None, true)));
        lines.extend(ticks);
        lines.sort();
        let recording: Vec<String> = lines.iter().map(|(_, line)| line.clone()).collect();

        let (mut expected, mut since_end, mut running) = (Vec::new(), Vec::<i64>::new(), false);
        for (number, (now, line)) in lines.iter().enumerate() {
            if running && now - since_end.last().expect("it began") >= quiet_s * 1000 {
                expected.push((number as u64 + 1, "end_event"));
                running = false;
                since_end.clear();
            }
            if line.contains("on_count") {
                since_end.push(*now);
                let within = since_end.iter().filter(|time| now - **time < window_s * 1000).count();
                if !running && within > more_than {
                    expected.push((number as u64 + 1, "begin_event"));
                    running = true;
                }
            }
        }
        let table = json!({"more_than": more_than, "window_s": window_s, "quiet_s": quiet_s});
        let found = turns(&shipped("busy-period", table), "busy-period", recording);
        let found: Vec<_> = found.iter().map(|(line, effect)| (*line, effect.as_str())).collect();
        prop_assert_eq!(found, expected);
    }

    /// The same of one zone: what its occupancy was for so long decides, whatever comes then.
    #[test]
    fn crowded_zones_are_exact(
        steps in prop::collection::vec((1_i64..15_000, 0_i64..6, any::<bool>()), 1..80),
        people in 1_i64..5,
        hold_s in 1_i64..20,
    ) {
        let (mut now, mut inside, mut recording) = (1_000_000, 0, Vec::new());
        let (mut over, mut since, mut running, mut expected) = (false, 0, false, Vec::new());
        for (gap, seen, is_tick) in steps {
            now += gap;
            if over != running && now - since >= hold_s * 1000 {
                running = over;
                expected.push((recording.len() as u64 + 1, if over { "begin_event" } else { "end_event" }));
            }
            let mut event = json!({"time": now});
            if is_tick {
                event["cameras"] = json!({"main": {"zones": {"hall": inside}}});
            } else {
                inside = seen;
                event["kind"] = "occupancy".into();
                (event["camera"], event["zone"], event["people"]) = ("main".into(), "hall".into(), seen.into());
                if over != (inside >= people) {
                    (over, since) = (!over, now);
                }
            }
            let hook = if is_tick { "on_tick" } else { "on_count" };
            recording.push(json!({"hook": hook, "event": event}).to_string());
        }
        let settings = shipped("crowded", json!({"people": people, "hold_s": hold_s}));
        let found = turns(&settings, "crowded", recording);
        let found: Vec<_> = found.iter().map(|(line, effect)| (*line, effect.as_str())).collect();
        prop_assert_eq!(found, expected);
    }
}
