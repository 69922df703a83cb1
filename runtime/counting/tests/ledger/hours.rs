//! Hours, as they are told.

use crate::common::{HOUR, MINUTE, NOON, at, correction, crossing, enter, hours, ledger, noon};
use gantry_counting::Direction;
use serde_json::json;

#[test]
fn an_hour_is_told_once_when_it_is_over_and_again_when_it_changed() {
    let mut ledger = noon();
    let noon = at(NOON);
    enter(&mut ledger, noon + MINUTE);
    assert_eq!(ledger.hours()[0].start_ms, noon);
    assert_eq!(hours(&ledger.advance(noon + HOUR - 1)), []);
    assert_eq!(hours(&ledger.advance(noon + HOUR)), [(noon, 1, 0)]);
    assert_eq!(hours(&ledger.advance(noon + 2 * HOUR)), [], "an hour without crossings is not told");
    enter(&mut ledger, noon + 2 * MINUTE);
    assert_eq!(hours(&ledger.advance(noon + 2 * HOUR)), [(noon, 2, 0)]);
    assert_eq!(hours(&ledger.advance(noon + 2 * HOUR)), []);
}

#[test]
fn hours_are_of_utc_where_zones_differ_by_half_an_hour() {
    let start = at("2026-11-21T12:10:00+05:30");
    let mut ledger = ledger("03:00", "Asia/Kolkata", start);
    enter(&mut ledger, start);
    assert_eq!(hours(&ledger.advance(start + HOUR)), [(at("2026-11-21T06:00:00Z"), 1, 0)]);
}

#[test]
fn an_hour_in_which_the_day_ends_is_told_with_both_of_its_parts() {
    // 03:00 in Kolkata is half past nine in the evening of UTC.
    let reset = at("2026-11-22T03:00:00+05:30");
    let mut ledger = ledger("03:00", "Asia/Kolkata", reset - 10 * MINUTE);
    enter(&mut ledger, reset - 10 * MINUTE);
    assert_eq!(hours(&ledger.advance(reset)), []);
    assert_eq!(ledger.hours().len(), 1, "it is of the history before it is told");
    enter(&mut ledger, reset + MINUTE);
    assert_eq!(ledger.snapshot().count_in, 1);
    assert_eq!(hours(&ledger.advance(reset + 30 * MINUTE)), [(reset - 30 * MINUTE, 2, 0)]);
}

#[test]
fn without_a_checkpoint_the_records_make_the_day_and_the_hour_in_which_it_began() {
    let reset = at("2026-11-22T03:00:00+05:30");
    let records = [reset - 31 * MINUTE, reset - MINUTE, reset + MINUTE];
    let mut ledger = ledger("03:00", "Asia/Kolkata", reset + HOUR);
    let since = ledger.since_ms();
    for time in records.into_iter().filter(|time| *time >= since) {
        ledger.replay(&json!(crossing("main", "door", Direction::In, time))).expect("it is good");
    }
    assert_eq!(ledger.snapshot().count_in, 1);
    assert_eq!(hours(&ledger.advance(reset + HOUR)), [(reset - 30 * MINUTE, 2, 0)]);
}

#[test]
fn what_a_correction_takes_away_goes_from_the_latest_hours() {
    let mut ledger = noon();
    let noon = at(NOON);
    for hour in [0, 1, 1, 2] {
        enter(&mut ledger, noon + hour * HOUR);
    }
    ledger.advance(noon + 3 * HOUR);
    ledger.correct(&correction(-2, 1, noon + 3 * HOUR)).expect("there are as many");
    let told = hours(&ledger.advance(noon + 4 * HOUR));
    assert_eq!(told, [(noon + HOUR, 1, 0), (noon + 2 * HOUR, 0, 0), (noon + 3 * HOUR, 0, 1)]);
}

#[test]
fn hours_of_a_day_that_is_forgotten_are_told_before() {
    let mut ledger = noon();
    enter(&mut ledger, at(NOON));
    // Two days pass by crossings alone, as in a replay.
    enter(&mut ledger, at(NOON) + 24 * HOUR);
    enter(&mut ledger, at(NOON) + 48 * HOUR);
    let told = hours(&ledger.advance(at(NOON) + 50 * HOUR));
    assert_eq!(
        told.iter().map(|hour| hour.0).collect::<Vec<_>>(),
        [at(NOON), at(NOON) + 24 * HOUR, at(NOON) + 48 * HOUR]
    );
}
