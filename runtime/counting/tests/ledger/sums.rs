//! Rolling sums.

use crate::common::{HOUR, MINUTE, NOON, SECOND, at, config, correction, crossing, enter, ledger, noon};
use gantry_counting::{Direction, Ledger, Settings};
use serde_json::{Value, json};

fn sums(ledger: &Ledger, now_ms: i64) -> Value {
    ledger.rule_event(now_ms)["sums"].clone()
}

#[test]
fn rolling_sums_are_exact_to_the_second() {
    let mut ledger = noon();
    let noon = at(NOON);
    enter(&mut ledger, noon + 999);
    ledger.crossing(&crossing("yard", "door", Direction::Out, noon + SECOND));
    let now = noon + 59 * SECOND;
    assert_eq!(sums(&ledger, now)["1m"], json!({"count_in": 1, "count_out": 1}));
    assert_eq!(sums(&ledger, now + SECOND)["1m"], json!({"count_in": 0, "count_out": 1}));
    assert_eq!(sums(&ledger, now + 2 * SECOND)["1m"], json!({"count_in": 0, "count_out": 0}));
    assert_eq!(sums(&ledger, now + 2 * SECOND)["1h"], json!({"count_in": 1, "count_out": 1}));
    let event = ledger.rule_event(now);
    assert_eq!(event["cameras"]["main"]["sums"]["5m"], json!({"count_in": 1, "count_out": 0}));
    assert_eq!(event["cameras"]["yard"]["sums"]["5m"], json!({"count_in": 0, "count_out": 1}));
}

#[test]
fn rolling_sums_go_on_over_the_reset_and_are_what_was_seen() {
    let reset = at("2026-11-22T03:00:00+01:00");
    let mut ledger = ledger("03:00", "Europe/Berlin", reset - MINUTE);
    enter(&mut ledger, reset - SECOND);
    ledger.correct(&correction(5, 0, reset - SECOND)).expect("it is good");
    ledger.advance(reset);
    assert_eq!(ledger.snapshot().count_in, 0);
    assert_eq!(sums(&ledger, reset)["1m"], json!({"count_in": 1, "count_out": 0}));
}

#[test]
fn a_clock_that_goes_back_a_little_keeps_what_was_just_seen_and_a_lot_forgets_it() {
    let mut ledger = noon();
    let noon = at(NOON);
    enter(&mut ledger, noon);
    ledger.advance(noon - 10 * SECOND);
    assert_eq!(sums(&ledger, noon - 10 * SECOND)["1m"], json!({"count_in": 1, "count_out": 0}));
    ledger.advance(noon - 2 * HOUR);
    assert_eq!(sums(&ledger, noon - 2 * HOUR)["1h"], json!({"count_in": 0, "count_out": 0}));
}

#[test]
fn a_day_of_a_crossing_each_second_stays_bounded_and_exact() {
    let settings = Settings::from_config(&config("03:00", "UTC", &["24h"])).expect("good");
    let start = at("2026-11-20T00:00:00Z");
    let mut ledger = Ledger::new(settings.clone(), start);
    for second in 0..100_000 {
        enter(&mut ledger, start + second * SECOND);
    }
    let now = start + 99_999 * SECOND;
    assert_eq!(sums(&ledger, now)["24h"]["count_in"], json!(86_400));
    ledger.advance(now);
    let text = serde_json::to_string(&ledger.checkpoint()).expect("it is JSON");
    assert!(text.len() < 800_000, "{} bytes", text.len());
    let again = Ledger::restore(settings, serde_json::from_str(&text).expect("it is a checkpoint"));
    assert_eq!(sums(&again, now)["24h"]["count_in"], json!(86_400));
}
