//! Events, and who is counted in them.

use crate::common::{HOUR, NOON, SECOND, at, crossing, enter, ledger, noon};
use gantry_counting::{BeginError, Direction};
use serde_json::{Value, json};

#[test]
fn an_event_counts_who_went_in_from_the_crossing_that_caused_it() {
    let mut ledger = noon();
    let now = at(NOON);
    enter(&mut ledger, now);
    let cause = enter(&mut ledger, now + 1);
    // Two more come until the rule has answered.
    enter(&mut ledger, now + 2);
    ledger.crossing(&crossing("main", "door", Direction::Out, now + 3));
    let started = ledger.begin_event("busy", json!({"n": 2}), now + 4, Some(cause)).expect("it begins");
    assert_eq!(
        started.message(),
        json!({
            "event": "busy", "status": "started", "start_ms": now + 4, "start": "2026-11-21T12:00:00+01:00",
            "data": {"n": 2},
        })
    );
    ledger.crossing(&crossing("yard", "door", Direction::In, now + 5));
    assert_eq!(ledger.snapshot().events["busy"].count_in, 3);
    let ended = ledger.end_event("busy", now + HOUR, None).expect("it runs");
    assert_eq!(
        ended.message(),
        json!({
            "event": "busy", "status": "ended", "start_ms": now + 4, "end_ms": now + HOUR,
            "start": "2026-11-21T12:00:00+01:00", "end": "2026-11-21T13:00:00+01:00", "count_in": 3, "data": {"n": 2},
        })
    );
    assert_eq!(ledger.end_event("busy", now + HOUR, None), None);
}

#[test]
fn without_a_crossing_an_event_counts_from_its_beginning() {
    let mut ledger = noon();
    enter(&mut ledger, at(NOON));
    ledger.begin_event("busy", Value::Null, at(NOON), None).expect("it begins");
    enter(&mut ledger, at(NOON));
    assert_eq!(ledger.end_event("busy", at(NOON), None).expect("it runs").count_in, 1);
}

#[test]
fn an_event_of_a_camera_counts_that_camera() {
    let mut ledger = noon();
    let cause = enter(&mut ledger, at(NOON));
    ledger.crossing(&crossing("yard", "door", Direction::In, at(NOON)));
    ledger.begin_event("busy", json!({"camera": "main"}), at(NOON), Some(cause)).expect("it begins");
    ledger.crossing(&crossing("yard", "door", Direction::In, at(NOON)));
    enter(&mut ledger, at(NOON));
    assert_eq!(ledger.end_event("busy", at(NOON), None).expect("it runs").count_in, 2);
}

#[test]
fn an_event_that_runs_does_not_begin_again() {
    let mut ledger = noon();
    ledger.begin_event("busy", json!(1), at(NOON), None).expect("it begins");
    let before = ledger.checkpoint();
    assert_eq!(ledger.begin_event("busy", json!(2), at(NOON), None), Err(BeginError::Running("busy".into())));
    assert_eq!(ledger.checkpoint(), before);
}

#[test]
fn an_event_runs_over_the_reset_and_its_count_goes_on() {
    let reset = at("2026-11-22T03:00:00+01:00");
    let mut ledger = ledger("03:00", "Europe/Berlin", reset - HOUR);
    let cause = enter(&mut ledger, reset - HOUR);
    ledger.begin_event("busy", Value::Null, reset - HOUR, Some(cause)).expect("it begins");
    assert_eq!(ledger.snapshot().events["busy"].today, 1);
    ledger.advance(reset);
    enter(&mut ledger, reset);
    let view = &ledger.snapshot().events["busy"];
    assert_eq!((view.active, view.count_in, view.today), (true, 2, 0));
    ledger.end_event("busy", reset + SECOND, None).expect("it runs");
    ledger.begin_event("busy", Value::Null, reset + SECOND, None).expect("it begins again");
    assert_eq!(ledger.snapshot().events["busy"].today, 1);
}

#[test]
fn an_event_that_ended_is_shown_at_rest() {
    let mut ledger = noon();
    ledger.begin_event("busy", Value::Null, at(NOON), None).expect("it begins");
    ledger.changed();
    ledger.end_event("busy", at(NOON), None).expect("it runs");
    assert_eq!(
        ledger.changed(),
        [
            ("events/busy/active".to_owned(), Some(json!(false))),
            ("events/busy/since_ms".to_owned(), Some(Value::Null)),
        ]
    );
}

#[test]
fn an_event_does_not_end_before_it_began_when_the_clock_goes_back() {
    let mut ledger = noon();
    ledger.begin_event("busy", Value::Null, at(NOON), None).expect("it begins");
    assert_eq!(ledger.end_event("busy", at(NOON) - HOUR, None).expect("it runs").end_ms, at(NOON));
}

#[test]
fn of_too_many_names_the_one_that_rested_longest_is_forgotten() {
    let mut ledger = noon();
    for n in 0..64 {
        ledger.begin_event(&format!("e{n:02}"), Value::Null, at(NOON), None).expect("it begins");
    }
    let full = ledger.begin_event("one-more", Value::Null, at(NOON), None).expect_err("64 run");
    assert_eq!(
        full.to_string(),
        "event `one-more`: 64 events run already: end one first, or use fewer names"
    );
    ledger.end_event("e07", at(NOON), None).expect("it runs");
    ledger.end_event("e03", at(NOON), None).expect("it runs");
    ledger.begin_event("one-more", Value::Null, at(NOON), None).expect("there is room");
    let view = ledger.snapshot();
    assert_eq!(view.events.len(), 64);
    assert!(!view.events.contains_key("e07") && view.events.contains_key("e03"));
    let today = ledger.state().into_iter().find(|(key, _)| key == "events/today");
    assert_eq!(today.expect("it is there").1, json!(65), "what is forgotten did begin today");
}

#[test]
fn a_name_that_is_none_and_data_without_end_are_refused() {
    let mut ledger = noon();
    let before = ledger.checkpoint();
    for bad in ["", "a+b", "#", "line\nbreak", &"x".repeat(129)] {
        assert!(
            matches!(ledger.begin_event(bad, Value::Null, at(NOON), None), Err(BeginError::Name(_))),
            "{bad}"
        );
    }
    let large =
        ledger.begin_event("busy", json!("x".repeat(20_000)), at(NOON), None).expect_err("it is too large");
    assert_eq!(
        large.to_string(),
        "event `busy`: its data has 20002 bytes, at most 16384 are kept: give less"
    );
    assert_eq!(ledger.checkpoint(), before);
}

#[test]
fn a_rule_that_is_very_late_counts_what_is_remembered() {
    let mut ledger = noon();
    for _ in 0..1000 {
        enter(&mut ledger, at(NOON));
    }
    ledger.begin_event("busy", Value::Null, at(NOON), Some(1)).expect("it begins");
    assert_eq!(ledger.snapshot().events["busy"].count_in, 256);
}

#[test]
fn the_crossing_because_of_which_an_event_ends_is_not_its_own() {
    let mut ledger = noon();
    let first = enter(&mut ledger, at(NOON));
    ledger.begin_event("busy", Value::Null, at(NOON), Some(first)).expect("it begins");
    enter(&mut ledger, at(NOON));
    let next = ledger.next_crossing();
    assert_eq!(enter(&mut ledger, at(NOON)), next);
    assert_eq!(ledger.end_event("busy", at(NOON), Some(next)).expect("it runs").count_in, 2);
}
