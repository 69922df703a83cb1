//! What holds whatever happens.

use crate::common::{DAY, HOUR, SECOND, at, places, settings};
use gantry_counting::{Checkpoint, CorrectionRecord, CrossingRecord, Direction, FaceRecord, Ledger, Turn};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CAMERAS: [&str; 2] = ["main", "yard"];
/// `side` is never declared.
const LINES: [&str; 3] = ["door", "gate", "side"];

/// What happens, each some milliseconds after what was before.
#[derive(Debug, Clone)]
enum Step {
    Cross { camera: usize, line: usize, goes_in: bool, late_ms: i64 },
    Correct { camera: usize, line: usize, count_in: i64, count_out: i64 },
    Face,
    Begin { event: usize, of_camera: bool, ago: u64 },
    End { event: usize },
    Advance,
}

fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let pause = prop_oneof![
        8 => 0..20 * SECOND,
        4 => 0..20 * 60 * SECOND,
        1 => 0..10 * HOUR,
        1 => -HOUR..0,
        1 => Just(3 * DAY),
    ];
    let late = prop_oneof![8 => Just(0_i64), 2 => 0..2 * HOUR, 1 => 0..20 * HOUR];
    let step = prop_oneof![
        8 => (0..2_usize, 0..3_usize, any::<bool>(), late)
            .prop_map(|(camera, line, goes_in, late_ms)| Step::Cross { camera, line, goes_in, late_ms }),
        2 => (0..2_usize, 0..3_usize, -3..4_i64, -3..4_i64)
            .prop_map(|(camera, line, count_in, count_out)| Step::Correct { camera, line, count_in, count_out }),
        1 => Just(Step::Face),
        1 => (0..3_usize, any::<bool>(), 0..4_u64)
            .prop_map(|(event, of_camera, ago)| Step::Begin { event, of_camera, ago }),
        1 => (0..3_usize).prop_map(|event| Step::End { event }),
        3 => Just(Step::Advance),
    ];
    prop::collection::vec((pause, step), 0..120)
}

fn start() -> i64 {
    // An hour before the reset on the night in which Berlin's clocks go back.
    at("2026-10-25T02:00:00+02:00")
}

fn fresh() -> Ledger {
    let mut ledger = Ledger::new(settings("03:00", "Europe/Berlin"), start());
    ledger.declare(places());
    ledger
}

/// Lets a step happen as the gateway does. Gives what it would have stored.
fn live(ledger: &mut Ledger, step: &Step, now: i64, last: &mut u64, history: &mut History) -> Option<Value> {
    let name = |event: &usize| format!("event{event}");
    match step {
        Step::Cross { camera, line, goes_in, late_ms } => {
            let direction = if *goes_in { Direction::In } else { Direction::Out };
            let (camera, line) = (CAMERAS[*camera].into(), LINES[*line].into());
            let crossing = CrossingRecord { camera, line, direction, track: 1, time_ms: now - late_ms };
            *last = ledger.crossing(&crossing).number;
            Some(json!(crossing))
        }
        Step::Correct { camera, line, count_in, count_out } => {
            let correction = CorrectionRecord {
                camera: CAMERAS[*camera].into(),
                line: LINES[*line].into(),
                count_in: *count_in,
                count_out: *count_out,
                reason: String::new(),
                time_ms: now,
            };
            ledger.correct(&correction).ok().map(|_| json!(correction))
        }
        Step::Face => {
            let face_id = ledger.take_face_id();
            ledger.face(face_id, now);
            Some(json!(FaceRecord { face_id, camera: "main".into(), track: 1, time_ms: now }))
        }
        Step::Begin { event, of_camera, ago } => {
            let data = if *of_camera { json!({"camera": "yard"}) } else { Value::Null };
            let since_crossing = last.checked_sub(*ago);
            let _ = ledger.begin_event(&name(event), data, now, since_crossing);
            None
        }
        Step::End { event } => {
            ledger.end_event(&name(event), now, None);
            None
        }
        Step::Advance => {
            history.store(ledger.advance(now));
            None
        }
    }
}

/// What is stored of hours: the last one that is told.
#[derive(Debug, Clone, Default, PartialEq)]
struct History(BTreeMap<i64, BTreeMap<String, (u64, u64)>>);

impl History {
    fn store(&mut self, turns: Vec<Turn>) {
        for turn in turns {
            if let Turn::Hour(hour) = turn {
                let lines =
                    hour.lines.iter().map(|(name, count)| (name.clone(), (count.count_in, count.count_out)));
                self.0.insert(hour.start_ms, lines.collect());
            }
        }
    }
}

/// A clock that goes back now and then, but never to an hour before what it has shown.
fn tick(now: i64, pause: i64, latest: &mut i64) -> i64 {
    let now = (now + pause).max(*latest - HOUR + 1);
    *latest = now.max(*latest);
    now
}

/// Everything that can be seen of a ledger.
fn seen(ledger: &Ledger, now: i64) -> Value {
    json!({
        "view": ledger.snapshot(),
        "state": ledger.state(),
        "rules": ledger.rule_event(now),
        "face": ledger.next_face_id(),
        "hours": ledger.hours(),
    })
}

fn through_json(checkpoint: &Checkpoint) -> Checkpoint {
    serde_json::from_str(&serde_json::to_string(checkpoint).expect("it is JSON")).expect("it is a checkpoint")
}

proptest! {
    #[test]
    fn a_checkpoint_and_the_records_after_it_are_the_ledger_that_was_killed(
        steps in steps(),
        written in 0..120_usize,
        killed in 0..120_usize,
    ) {
        let (mut ledger, mut now, mut latest, mut last) = (fresh(), start(), start(), 0);
        let (mut history, mut checkpoint, mut records) = (History::default(), ledger.checkpoint(), Vec::new());
        for (n, (pause, step)) in steps.iter().take(killed).enumerate() {
            if n == written {
                checkpoint = ledger.checkpoint();
                records.clear();
            }
            now = tick(now, *pause, &mut latest);
            history.store(ledger.advance(now));
            records.extend(live(&mut ledger, step, now, &mut last, &mut history));
            if matches!(step, Step::Begin { .. } | Step::End { .. }) {
                checkpoint = ledger.checkpoint();
                records.clear();
            }
        }
        now = latest;
        history.store(ledger.advance(now));

        let mut again = Ledger::restore(settings("03:00", "Europe/Berlin"), through_json(&checkpoint));
        again.declare(places());
        let mut stored = history.clone();
        for record in &records {
            again.replay(record).expect("it was stored by us");
        }
        stored.store(again.advance(now));
        prop_assert_eq!(seen(&again, now), seen(&ledger, now));
        prop_assert_eq!(stored, history);
    }

    #[test]
    fn restoring_a_checkpoint_changes_nothing(steps in steps()) {
        let (mut kept, mut restored, mut now, mut latest) = (fresh(), fresh(), start(), start());
        let (mut last, mut history) = ([0, 0], [History::default(), History::default()]);
        for (pause, step) in &steps {
            now = tick(now, *pause, &mut latest);
            live(&mut kept, step, now, &mut last[0], &mut history[0]);
            live(&mut restored, step, now, &mut last[1], &mut history[1]);
            restored = Ledger::restore(settings("03:00", "Europe/Berlin"), through_json(&restored.checkpoint()));
            restored.declare(places());
        }
        prop_assert_eq!(seen(&restored, now), seen(&kept, now));
        prop_assert_eq!(&history[0], &history[1]);
    }

    #[test]
    fn totals_are_the_sum_of_what_happened_today_and_the_hours_add_up_to_them(steps in steps()) {
        let (mut ledger, mut now, mut latest) = (fresh(), start(), start());
        let (mut last, mut history) = (0, History::default());
        let mut records = Vec::new();
        for (pause, step) in &steps {
            now = tick(now, *pause, &mut latest);
            history.store(ledger.advance(now));
            records.extend(live(&mut ledger, step, now, &mut last, &mut history));
        }
        history.store(ledger.advance(now));
        let day = ledger.day().clone();
        let mut expected: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for record in &records {
            let time = record["time_ms"].as_i64().expect("a time");
            let kind = record["type"].as_str().expect("a type");
            if !day.contains(time) || !["crossing", "correction"].contains(&kind) {
                continue;
            }
            let name = format!("{}/{}", record["camera"].as_str().expect("text"), record["line"].as_str().expect("text"));
            let line = expected.entry(name).or_default();
            match record["direction"].as_str() {
                Some("in") => line.0 += 1,
                Some(_) => line.1 += 1,
                None => {
                    line.0 += record["count_in"].as_i64().expect("a number");
                    line.1 += record["count_out"].as_i64().expect("a number");
                }
            }
        }
        prop_assert!(expected.values().all(|line| line.0 >= 0 && line.1 >= 0));
        for camera in CAMERAS {
            for line in LINES {
                let counted = ledger.line(camera, line);
                let (count_in, count_out) = expected.get(&format!("{camera}/{line}")).copied().unwrap_or_default();
                prop_assert_eq!((counted.count_in, counted.count_out), (count_in as u64, count_out as u64));
            }
        }
        let view = ledger.snapshot();
        prop_assert_eq!(view.count_in, expected.values().map(|line| line.0 as u64).sum::<u64>());
        prop_assert_eq!(view.count_out, expected.values().map(|line| line.1 as u64).sum::<u64>());
        // The reset is on the hour here, so that no hour is of two days.
        for hour in ledger.hours() {
            history.store(vec![Turn::Hour(hour)]);
        }
        let today: Vec<(u64, u64)> =
            history.0.range(day.start_ms..day.end_ms).flat_map(|(_, lines)| lines.values().copied()).collect();
        prop_assert_eq!(today.iter().map(|line| line.0).sum::<u64>(), view.count_in);
        prop_assert_eq!(today.iter().map(|line| line.1).sum::<u64>(), view.count_out);
    }

    #[test]
    fn rolling_sums_are_those_of_a_recount(steps in steps()) {
        let (mut ledger, mut now, mut latest) = (fresh(), start(), start());
        let (mut last, mut history) = (0, History::default());
        let mut crossings = Vec::new();
        for (pause, step) in &steps {
            now = tick(now, *pause, &mut latest);
            let record = live(&mut ledger, step, now, &mut last, &mut history);
            crossings.extend(record.filter(|record| record["type"] == "crossing"));
            let event = ledger.rule_event(now);
            for (name, seconds) in [("1m", 60), ("5m", 300), ("1h", 3600)] {
                let recount = |camera: Option<&str>| {
                    let recent = crossings.iter().filter(|crossing| {
                        let second = crossing["time_ms"].as_i64().expect("a time").div_euclid(SECOND);
                        second > now.div_euclid(SECOND) - seconds
                            && camera.is_none_or(|camera| crossing["camera"] == camera)
                    });
                    let (ins, outs): (Vec<_>, Vec<_>) = recent.partition(|crossing| crossing["direction"] == "in");
                    json!({"count_in": ins.len(), "count_out": outs.len()})
                };
                prop_assert_eq!(&event["sums"][name], &recount(None), "{}", name);
                for camera in CAMERAS {
                    prop_assert_eq!(&event["cameras"][camera]["sums"][name], &recount(Some(camera)), "{}", name);
                }
            }
        }
    }

    #[test]
    fn whatever_is_stored_is_applied_or_refused(
        kind in prop::sample::select(&["crossing", "correction", "face", "event_started", "event_ended", "x"][..]),
        fields in prop::collection::btree_map(
            prop::sample::select(&["camera", "line", "direction", "time_ms", "count_in", "count_out", "event", "face_id",
                "data", "since_crossing", "track"][..]),
            prop_oneof![
                Just(json!("in")), Just(json!("main")), any::<i64>().prop_map(Value::from), any::<u64>().prop_map(Value::from),
                any::<f64>().prop_map(Value::from), Just(Value::Null), Just(json!([])),
            ],
            0..9,
        ),
    ) {
        let mut record = json!(fields);
        record["type"] = json!(kind);
        let mut ledger = fresh();
        let _ = ledger.replay(&record);
        ledger.advance(start() + HOUR);
        drop(seen(&ledger, start()));
    }
}
