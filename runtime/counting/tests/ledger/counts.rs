//! What is counted, corrected and shown.

use crate::common::{
    HOUR, MINUTE, NOON, at, correction, crossing, enter, hours, ledger, noon, places, settings,
};
use gantry_counting::{Checkpoint, CorrectionError, Count, Direction, Ledger, Turn};
use serde_json::{Value, json};

fn state(ledger: &Ledger, key: &str) -> Option<Value> {
    ledger.state().into_iter().find(|(other, _)| other == key).map(|(_, value)| value)
}

#[test]
fn a_crossing_counts_at_its_line_its_camera_and_in_all() {
    let mut ledger = noon();
    let first = ledger.crossing(&crossing("main", "door", Direction::In, at(NOON)));
    assert_eq!((first.number, first.count_in, first.count_out, first.is_of_today), (1, 1, 0, true));
    ledger.crossing(&crossing("main", "gate", Direction::In, at(NOON)));
    ledger.crossing(&crossing("yard", "door", Direction::In, at(NOON)));
    let last = ledger.crossing(&crossing("main", "door", Direction::Out, at(NOON)));
    assert_eq!((last.number, last.count_in, last.count_out), (4, 1, 1));
    ledger.occupancy("main", "hall", 2);
    ledger.face(1, at(NOON));
    assert_eq!(
        json!(ledger.snapshot()),
        json!({
            "day": "2026-11-21", "since_ms": at("2026-11-21T03:00:00+01:00"), "count_in": 3, "count_out": 1, "faces": 1,
            "cameras": {
                "main": {
                    "count_in": 2, "count_out": 1,
                    "lines": {"door": {"count_in": 1, "count_out": 1}, "gate": {"count_in": 1, "count_out": 0}},
                    "zones": {"hall": 2},
                },
                "yard": {
                    "count_in": 1, "count_out": 0, "lines": {"door": {"count_in": 1, "count_out": 0}}, "zones": {},
                },
            },
            "events": {},
        })
    );
}

#[test]
fn what_is_configured_is_shown_with_0_from_the_start() {
    let ledger = noon();
    for key in
        ["in", "main/in", "main/lines/door/in", "main/lines/gate/out", "main/zones/hall", "yard/out", "faces"]
    {
        assert_eq!(state(&ledger, &format!("counts/{key}")), Some(json!(0)), "{key}");
    }
    assert_eq!(state(&ledger, "counts/day"), Some(json!("2026-11-21")));
    assert_eq!(state(&ledger, "events/today"), Some(json!(0)));
}

#[test]
fn the_counts_of_a_line_that_is_gone_stay_in_the_sums_and_come_back_with_it() {
    let mut ledger = noon();
    enter(&mut ledger, at(NOON));
    let mut fewer = places();
    fewer.get_mut("main").expect("it is there").lines.remove("door");
    ledger.declare(fewer);
    assert_eq!(state(&ledger, "counts/main/lines/door/in"), None);
    assert_eq!(state(&ledger, "counts/main/in"), Some(json!(1)));
    assert_eq!(state(&ledger, "counts/in"), Some(json!(1)));
    ledger.declare(places());
    assert_eq!(state(&ledger, "counts/main/lines/door/in"), Some(json!(1)));
}

#[test]
fn only_what_changed_is_told_and_what_is_gone_is_told_as_gone() {
    let mut ledger = noon();
    assert_eq!(ledger.changed().len(), ledger.state().len());
    assert_eq!(ledger.changed(), []);
    enter(&mut ledger, at(NOON));
    let keys: Vec<String> = ledger.changed().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["counts/in", "counts/main/in", "counts/main/lines/door/in"]);
    let mut fewer = places();
    fewer.remove("yard");
    ledger.declare(fewer);
    let gone = ledger.changed();
    assert_eq!(gone.len(), 4);
    assert!(gone.iter().all(|(key, value)| key.starts_with("counts/yard/") && value.is_none()), "{gone:?}");
}

#[test]
fn zones_have_the_people_of_now_and_none_when_nobody_looks() {
    let mut ledger = noon();
    assert!(ledger.occupancy("main", "hall", 3));
    assert!(!ledger.occupancy("main", "hall", 3));
    assert!(!ledger.occupancy("main", "cellar", 3), "it is not declared");
    assert_eq!(state(&ledger, "counts/main/zones/hall"), Some(json!(3)));
    assert_eq!(state(&ledger, "counts/main/zones/cellar"), None);
    ledger.vacate("main");
    assert_eq!(state(&ledger, "counts/main/zones/hall"), Some(json!(0)));
}

#[test]
fn a_correction_changes_the_counts_of_the_line() {
    let mut ledger = noon();
    enter(&mut ledger, at(NOON));
    enter(&mut ledger, at(NOON));
    let corrected = ledger.correct(&correction(-1, 3, at(NOON)));
    assert_eq!(corrected, Ok(Count { count_in: 1, count_out: 3 }));
    assert_eq!(ledger.line("main", "door"), Count { count_in: 1, count_out: 3 });
    assert_eq!(ledger.snapshot().count_out, 3);
}

#[test]
fn a_correction_is_refused_with_a_sentence_and_changes_nothing() {
    let mut ledger = noon();
    enter(&mut ledger, at(NOON));
    let unknown = gantry_counting::CorrectionRecord { line: "dor".into(), ..correction(1, 0, at(NOON)) };
    for (bad, sentence) in [
        (
            correction(-2, 5, at(NOON)),
            "only 1 went in at `main/door` today: take away that many or fewer, not 2",
        ),
        (
            correction(0, -1, at(NOON)),
            "only 0 went out at `main/door` today: take away that many or fewer, not 1",
        ),
        (
            correction(0, 0, at(NOON)),
            "the correction of `main/door` changes nothing: give count_in or count_out other than 0",
        ),
        (
            correction(1_000_001, 0, at(NOON)),
            "1000001 more at `main/door` cannot be meant: add at most 1000000 at once",
        ),
        (
            correction(i64::MAX, i64::MIN, at(NOON)),
            "9223372036854775807 more at `main/door` cannot be meant: add at most 1000000 at once",
        ),
        (
            correction(1, 0, at(NOON) - 24 * HOUR),
            "the correction of `main/door` is of another day than `2026-11-21`: correct today's counts",
        ),
        (unknown, "there is no line `dor` of camera `main`: use the names in [analysis.main.lines]"),
    ] {
        let refusal: CorrectionError = ledger.check_correction(&bad).expect_err("it is refused");
        assert_eq!(refusal.to_string(), sentence);
    }
    for bad in
        [correction(-2, 5, at(NOON)), correction(0, 0, at(NOON)), correction(1, 0, at(NOON) - 72 * HOUR)]
    {
        assert!(ledger.correct(&bad).is_err());
        ledger.replay(&json!(bad)).expect("it is well formed");
    }
    assert_eq!(ledger.line("main", "door"), Count { count_in: 1, count_out: 0 });
}

#[test]
fn a_correction_that_was_stored_before_the_reset_is_yesterdays_after_it() {
    let reset = at("2026-11-22T03:00:00+01:00");
    let mut ledger = ledger("03:00", "Europe/Berlin", reset - HOUR);
    enter(&mut ledger, reset - HOUR);
    enter(&mut ledger, reset - HOUR);
    let stored = correction(-1, 0, reset - 1);
    ledger.check_correction(&stored).expect("it is good");
    ledger.advance(reset);
    assert_eq!(ledger.correct(&stored), Ok(Count { count_in: 1, count_out: 0 }));
    assert_eq!(ledger.snapshot().count_in, 0);
    assert_eq!(hours(&ledger.advance(reset)), [(reset - HOUR, 1, 0)]);
}

#[test]
fn the_event_for_rules_is_that_of_the_contract() {
    let mut ledger = noon();
    let time = at("2026-11-21T10:15:02+01:00");
    ledger.advance(time);
    enter(&mut ledger, time);
    ledger.occupancy("main", "hall", 3);
    ledger.begin_event("busy", Value::Null, time, Some(1)).expect("it begins");
    let one = json!({"count_in": 1, "count_out": 0});
    let none = json!({"count_in": 0, "count_out": 0});
    let sums = json!({"1m": one, "5m": one, "1h": one});
    assert_eq!(
        Value::Object(ledger.rule_event(time)),
        json!({
            "time": time,
            "local": {
                "date": "2026-11-21", "time": "10:15:02", "hour": 10, "minute": 15, "second": 2, "weekday": 6,
            },
            "count_in": 1, "count_out": 0, "sums": sums,
            "cameras": {
                "main": {
                    "count_in": 1, "count_out": 0, "sums": sums, "lines": {"door": one, "gate": none},
                    "zones": {"hall": 3},
                },
                "yard": {
                    "count_in": 0, "count_out": 0, "sums": {"1m": none, "5m": none, "1h": none}, "lines": {"door": none},
                    "zones": {},
                },
            },
            "events": {"busy": {"active": true, "since_ms": time, "count_in": 1, "today": 1}},
        })
    );
}

#[test]
fn faces_have_increasing_numbers_that_a_restart_does_not_give_again() {
    let mut ledger = noon();
    assert_eq!((ledger.take_face_id(), ledger.take_face_id(), ledger.next_face_id()), (1, 2, 3));
    ledger.face(2, at(NOON));
    let mut again = Ledger::restore(settings("03:00", "Europe/Berlin"), ledger.checkpoint());
    assert_eq!(again.take_face_id(), 3);
    assert_eq!(again.snapshot().faces, 1);
    let stored = json!({"type": "face", "face_id": 9, "camera": "main", "track": 1, "time_ms": at(NOON)});
    again.replay(&stored).expect("it is good");
    assert_eq!((again.next_face_id(), again.snapshot().faces), (10, 2));
}

#[test]
fn a_face_that_is_known_from_elsewhere_takes_its_number_and_is_not_counted() {
    let mut ledger = noon();
    ledger.know_face(41);
    ledger.know_face(7);
    assert_eq!((ledger.take_face_id(), ledger.snapshot().faces), (42, 0));
}

#[test]
fn hours_of_today_are_known_after_they_were_told() {
    let mut ledger = noon();
    enter(&mut ledger, at(NOON));
    ledger.advance(at(NOON) + HOUR);
    enter(&mut ledger, at(NOON) + HOUR);
    let starts: Vec<i64> = ledger.hours().iter().map(|hour| hour.start_ms).collect();
    assert_eq!(starts, [at(NOON), at(NOON) + HOUR]);
}

#[test]
fn a_checkpoint_of_another_version_is_refused_with_a_sentence() {
    let mut stored = serde_json::to_value(noon().checkpoint()).expect("it is JSON");
    stored["version"] = json!(2);
    let refusal = serde_json::from_value::<Checkpoint>(stored).expect_err("it is refused").to_string();
    assert!(refusal.contains("the checkpoint is of version 2, this gateway reads 1: start"), "{refusal}");
}

#[test]
fn a_quiet_checkpoint_is_small() {
    let mut ledger = noon();
    for minute in 0..300 {
        enter(&mut ledger, at(NOON) + minute * MINUTE);
        ledger.advance(at(NOON) + minute * MINUTE);
    }
    let len = serde_json::to_string(&ledger.checkpoint()).expect("it is JSON").len();
    assert!(len < 10_000, "{len} bytes");
}

#[test]
fn stored_records_look_as_documented() {
    let stored = json!(crossing("main", "door", Direction::In, 5));
    assert_eq!(
        stored,
        json!({"type": "crossing", "camera": "main", "line": "door", "direction": "in", "track": 7, "time_ms": 5})
    );
    let stored = json!(correction(-2, 0, 5));
    assert_eq!(
        stored,
        json!({
            "type": "correction", "camera": "main", "line": "door", "count_in": -2, "count_out": 0, "reason": "a dog",
            "time_ms": 5,
        })
    );
}

#[test]
fn records_of_unknown_types_are_passed_over_and_malformed_ones_named() {
    let mut ledger = noon();
    let before = ledger.checkpoint();
    assert!(ledger.replay(&json!({"type": "weather", "rain": true})).expect("it is passed over").is_none());
    for (bad, sentence) in [
        (json!(7), "a stored record has no type: remove it or add one: 7"),
        (
            json!({"type": "crossing", "camera": "main"}),
            "a stored crossing is malformed (missing field `line`): correct or remove it: \
             {\"type\":\"crossing\",\"camera\":\"main\"}",
        ),
        (
            json!({"type": "face", "face_id": -3, "camera": "main", "time_ms": 1}),
            "a stored face is malformed (invalid value: integer `-3`, expected u64): correct or remove it: \
             {\"type\":\"face\",\"face_id\":-3,\"camera\":\"main\",\"time_ms\":1}",
        ),
    ] {
        assert_eq!(ledger.replay(&bad).expect_err("it is malformed").to_string(), sentence);
    }
    assert_eq!(ledger.checkpoint(), before);
}

#[test]
fn turns_are_told_hours_first() {
    let mut ledger = noon();
    enter(&mut ledger, at(NOON));
    let turns = ledger.advance(at(NOON) + 24 * HOUR);
    assert!(matches!(turns[..], [Turn::Hour(_), Turn::Day { .. }]), "{turns:?}");
}
