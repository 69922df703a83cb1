//! When days begin, and what clocks do to them.

use crate::common::{DAY, HOUR, MINUTE, SECOND, at, config, correction, days, enter, ledger, settings};
use gantry_counting::{Day, Ledger, Settings, Turn};
use proptest::prelude::*;

fn day(reset: &str, zone: &str, time: &str) -> Day {
    settings(reset, zone).reset.day_of(at(time))
}

#[test]
fn a_day_is_named_by_the_local_date_on_which_it_began() {
    let before = day("03:00", "Europe/Berlin", "2026-11-22T02:59:59+01:00");
    assert_eq!(before.name, "2026-11-21");
    assert_eq!(before.start_ms, at("2026-11-21T03:00:00+01:00"));
    assert_eq!(before.end_ms, at("2026-11-22T03:00:00+01:00"));
    assert_eq!(day("03:00", "Europe/Berlin", "2026-11-22T03:00:00+01:00").name, "2026-11-22");
}

#[test]
fn a_reset_time_that_clocks_skip_is_when_they_go_on() {
    // Berlin, 2026-03-29: 02:00 is 03:00.
    let spring = day("02:30", "Europe/Berlin", "2026-03-29T12:00:00+02:00");
    assert_eq!(spring.start_ms, at("2026-03-29T03:30:00+02:00"));
    assert_eq!(day("02:30", "Europe/Berlin", "2026-03-29T01:59:59+01:00").name, "2026-03-28");
    assert_eq!(day("02:30", "Europe/Berlin", "2026-03-29T03:29:59+02:00").name, "2026-03-28");
    assert_eq!(spring.end_ms - spring.start_ms, 23 * HOUR);
    // Lord Howe, 2026-10-04: 02:00 is 02:30, half an hour only.
    let howe = day("02:15", "Australia/Lord_Howe", "2026-10-04T12:00:00+11:00");
    assert_eq!(howe.start_ms, at("2026-10-04T02:45:00+11:00"));
    assert_eq!(howe.end_ms - howe.start_ms, 23 * HOUR + 30 * MINUTE);
    // São Paulo, 2018-11-04: midnight is 01:00.
    let paulo = day("00:00", "America/Sao_Paulo", "2018-11-04T12:00:00-02:00");
    assert_eq!((paulo.name.as_str(), paulo.start_ms), ("2018-11-04", at("2018-11-04T01:00:00-02:00")));
}

#[test]
fn a_reset_time_that_clocks_show_twice_is_the_first() {
    // Berlin, 2026-10-25: 03:00 is 02:00 again.
    let autumn = day("02:30", "Europe/Berlin", "2026-10-25T12:00:00+01:00");
    assert_eq!(autumn.start_ms, at("2026-10-25T02:30:00+02:00"));
    assert_eq!(autumn.end_ms - autumn.start_ms, 25 * HOUR);
    // Lord Howe, 2026-04-05: 02:00 is 01:30 again.
    let howe = day("01:45", "Australia/Lord_Howe", "2026-04-05T12:00:00+10:30");
    assert_eq!(howe.start_ms, at("2026-04-05T01:45:00+11:00"));
    assert_eq!(howe.end_ms - howe.start_ms, 24 * HOUR + 30 * MINUTE);
}

#[test]
fn the_time_that_clocks_show_twice_resets_once() {
    let mut ledger = ledger("02:30", "Europe/Berlin", at("2026-10-24T12:00:00+02:00"));
    let (mut now, mut resets) = (at("2026-10-25T01:00:00+02:00"), Vec::new());
    while now < at("2026-10-25T06:00:00+01:00") {
        resets
            .extend(ledger.advance(now).iter().filter(|turn| matches!(turn, Turn::Day { .. })).map(|_| now));
        now += MINUTE;
    }
    assert_eq!(resets, [at("2026-10-25T02:30:00+02:00")]);
}

#[test]
fn when_clocks_go_back_over_midnight_the_day_that_began_goes_on() {
    // São Paulo, 2018-02-18: midnight is 23:00 of the 17th again.
    let again = day("23:30", "America/Sao_Paulo", "2018-02-17T23:10:00-03:00");
    assert_eq!(again.name, "2018-02-17");
    assert_eq!(again.start_ms, at("2018-02-17T23:30:00-02:00"));
}

#[test]
fn a_date_that_a_country_left_out_is_no_day() {
    // Samoa had no 2011-12-30.
    assert_eq!(day("03:00", "Pacific/Apia", "2011-12-31T02:00:00+14:00").name, "2011-12-29");
    let after = day("03:00", "Pacific/Apia", "2011-12-31T04:00:00+14:00");
    assert_eq!((after.name.as_str(), after.start_ms), ("2011-12-31", at("2011-12-31T03:00:00+14:00")));
}

#[test]
fn leap_days_and_ends_of_years_are_days() {
    assert_eq!(day("00:00", "UTC", "2028-02-29T23:59:59Z").name, "2028-02-29");
    assert_eq!(day("00:00", "UTC", "2028-03-01T00:00:00Z").name, "2028-03-01");
    assert_eq!(day("03:00", "Asia/Kathmandu", "2027-01-01T02:59:00+05:45").name, "2026-12-31");
}

#[test]
fn at_the_reset_counts_faces_and_events_of_the_day_are_0_and_the_day_is_told() {
    let mut ledger = ledger("03:00", "Europe/Berlin", at("2026-11-21T10:00:00+01:00"));
    enter(&mut ledger, at("2026-11-21T10:00:00+01:00"));
    ledger.face(1, at("2026-11-21T10:00:00+01:00"));
    ledger
        .begin_event("busy", serde_json::Value::Null, at("2026-11-21T10:00:00+01:00"), None)
        .expect("it begins");
    assert_eq!(days(&ledger.advance(at("2026-11-22T02:59:59+01:00"))), Vec::<&str>::new());
    let turns = ledger.advance(at("2026-11-22T03:00:00+01:00"));
    assert_eq!(days(&turns), ["2026-11-22"]);
    let Some(Turn::Day { ended, .. }) = turns.last() else { panic!("a day ended") };
    assert_eq!((ended.day.as_str(), ended.count_in, ended.faces, ended.events), ("2026-11-21", 1, 1, 1));
    assert_eq!(ended.lines["main/door"].count_in, 1);
    let view = ledger.snapshot();
    assert_eq!((view.day.as_str(), view.count_in, view.faces), ("2026-11-22", 0, 0));
    assert_eq!(view.since_ms, at("2026-11-22T03:00:00+01:00"));
    assert_eq!((view.events["busy"].active, view.events["busy"].today), (true, 0));
}

#[test]
fn a_leap_over_several_days_is_one_reset() {
    let start = at("2026-11-21T10:00:00+01:00");
    let mut ledger = ledger("03:00", "Europe/Berlin", start);
    enter(&mut ledger, start);
    assert_eq!(days(&ledger.advance(start + 5 * DAY)), ["2026-11-26"]);
    assert_eq!(days(&ledger.advance(start + 5 * DAY + SECOND)), Vec::<&str>::new());
}

#[test]
fn a_small_jump_back_over_the_reset_does_not_reset_again() {
    let reset = at("2026-11-22T03:00:00+01:00");
    let mut ledger = ledger("03:00", "Europe/Berlin", reset - HOUR);
    assert_eq!(days(&ledger.advance(reset + SECOND)), ["2026-11-22"]);
    enter(&mut ledger, reset + SECOND);
    assert_eq!(days(&ledger.advance(reset - HOUR + 1)), Vec::<&str>::new());
    assert_eq!(days(&ledger.advance(reset + 2 * SECOND)), Vec::<&str>::new());
    assert_eq!(ledger.snapshot().count_in, 1);
}

#[test]
fn a_jump_back_into_the_day_before_opens_it_again_with_its_counts() {
    let reset = at("2026-11-22T03:00:00+01:00");
    let mut ledger = ledger("03:00", "Europe/Berlin", reset - HOUR);
    enter(&mut ledger, reset - HOUR);
    ledger.advance(reset + HOUR);
    enter(&mut ledger, reset + HOUR);
    enter(&mut ledger, reset + HOUR);
    assert_eq!(days(&ledger.advance(reset - HOUR)), ["2026-11-21"]);
    assert_eq!(ledger.snapshot().count_in, 1);
    assert_eq!(days(&ledger.advance(reset)), ["2026-11-22"]);
    assert_eq!(ledger.snapshot().count_in, 2, "what was counted in the day that is open again");
}

#[test]
fn a_gateway_that_boots_in_1970_has_its_counts_as_soon_as_it_knows_the_time() {
    let noon = at("2026-11-21T12:00:00+01:00");
    let mut before = ledger("03:00", "Europe/Berlin", noon);
    enter(&mut before, noon);
    let mut ledger = Ledger::restore(settings("03:00", "Europe/Berlin"), before.checkpoint());
    assert_eq!(days(&ledger.advance(5 * SECOND)), ["1969-12-31"]);
    enter(&mut ledger, 6 * SECOND);
    assert_eq!(days(&ledger.advance(noon + HOUR)), ["2026-11-21"]);
    assert_eq!(ledger.snapshot().count_in, 1);
}

#[test]
fn a_clock_that_was_in_the_future_for_a_minute_costs_no_counts() {
    let noon = at("2026-11-21T12:00:00+01:00");
    let mut ledger = ledger("03:00", "Europe/Berlin", noon);
    enter(&mut ledger, noon);
    assert_eq!(days(&ledger.advance(at("2036-02-07T06:28:16Z"))), ["2036-02-07"]);
    assert_eq!(days(&ledger.advance(noon + MINUTE)), ["2026-11-21"]);
    assert_eq!(ledger.snapshot().count_in, 1);
}

#[test]
fn a_far_jump_back_to_a_day_that_nobody_remembers_begins_it() {
    let mut ledger = ledger("03:00", "Europe/Berlin", at("2036-02-07T12:00:00Z"));
    enter(&mut ledger, at("2036-02-07T12:00:00Z"));
    assert_eq!(days(&ledger.advance(at("2026-11-21T12:00:00Z"))), ["2026-11-21"]);
    assert_eq!(ledger.snapshot().count_in, 0);
}

#[test]
fn a_late_crossing_of_yesterday_is_yesterdays() {
    let reset = at("2026-11-22T03:00:00+01:00");
    let mut ledger = ledger("03:00", "Europe/Berlin", reset - HOUR);
    ledger.advance(reset);
    let late =
        ledger.crossing(&crate::common::crossing("main", "door", gantry_counting::Direction::In, reset - 1));
    assert!(!late.is_of_today);
    assert_eq!((late.count_in, ledger.snapshot().count_in), (0, 0));
    assert_eq!(crate::common::hours(&ledger.advance(reset + SECOND)), [(reset - HOUR, 1, 0)]);
}

#[test]
fn a_crossing_of_after_the_reset_begins_the_day_before_the_clock_is_told() {
    let reset = at("2026-11-22T03:00:00+01:00");
    let mut ledger = ledger("03:00", "Europe/Berlin", reset - HOUR);
    enter(&mut ledger, reset - 1);
    enter(&mut ledger, reset);
    assert_eq!(ledger.snapshot().count_in, 1);
    let turns = ledger.advance(reset + SECOND);
    assert_eq!(days(&turns), ["2026-11-22"]);
}

#[test]
fn another_reset_time_costs_no_counts_and_holds_from_the_next_reset_on() {
    let noon = at("2026-11-21T12:00:00+01:00");
    let mut ledger = ledger("03:00", "Europe/Berlin", noon);
    enter(&mut ledger, noon);
    ledger.configure(settings("13:00", "Europe/Berlin"), noon);
    assert_eq!((ledger.snapshot().count_in, ledger.day().name.as_str()), (1, "2026-11-21"));
    assert_eq!(ledger.day().end_ms, noon + HOUR);
    ledger.configure(settings("11:00", "Europe/Berlin"), noon);
    assert_eq!(days(&ledger.advance(noon + 22 * HOUR)), Vec::<&str>::new());
    assert_eq!(days(&ledger.advance(noon + 23 * HOUR)), ["2026-11-22"]);
}

#[test]
fn a_reset_time_that_was_changed_while_the_gateway_was_off_holds_for_the_open_day() {
    let noon = at("2026-11-21T12:00:00+01:00");
    let mut before = ledger("03:00", "Europe/Berlin", noon);
    enter(&mut before, noon);
    let mut ledger = Ledger::restore(settings("05:00", "Europe/Berlin"), before.checkpoint());
    assert_eq!(days(&ledger.advance(at("2026-11-22T04:00:00+01:00"))), Vec::<&str>::new());
    assert_eq!(ledger.snapshot().count_in, 1);
    assert_eq!(days(&ledger.advance(at("2026-11-22T05:00:00+01:00"))), ["2026-11-22"]);
}

#[test]
fn a_correction_of_yesterday_that_is_replayed_is_yesterdays() {
    let reset = at("2026-11-22T03:00:00+01:00");
    let mut ledger = ledger("03:00", "Europe/Berlin", reset - HOUR);
    enter(&mut ledger, reset - 2);
    ledger.advance(reset);
    enter(&mut ledger, reset);
    let stored = serde_json::to_value(correction(-1, 0, reset - 1)).expect("it is JSON");
    ledger.replay(&stored).expect("it is good");
    assert_eq!(ledger.snapshot().count_in, 1);
}

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Africa/Casablanca",
];

proptest! {
    #[test]
    fn every_moment_is_of_one_day_and_days_follow_each_other(
        zone in prop::sample::select(&ZONES[..]),
        (hour, minute) in (0..24_u8, 0..60_u8),
        time in -DAY..4_000_000_000_000_i64,
    ) {
        let reset = Settings::from_config(&config(&format!("{hour:02}:{minute:02}"), zone, &[])).expect("good").reset;
        let day = reset.day_of(time);
        prop_assert!(day.contains(time.max(0)), "{day:?}");
        let last = reset.day_of(day.end_ms - 1);
        prop_assert_eq!(&last, &day);
        let next = reset.day_of(day.end_ms);
        prop_assert_eq!(next.start_ms, day.end_ms);
        prop_assert!(next.name > day.name);
    }

    #[test]
    fn no_time_is_a_panic(times in prop::collection::vec(prop_oneof![any::<i64>(), 0..2 * DAY], 1..30)) {
        let mut ledger = ledger("03:00", "Australia/Lord_Howe", times[0]);
        for (n, &time) in times.iter().enumerate() {
            match n % 6 {
                0 => drop(ledger.advance(time)),
                1 => drop(enter(&mut ledger, time)),
                2 => drop(ledger.correct(&correction(time, time.wrapping_neg(), time))),
                3 => drop(ledger.begin_event("busy", serde_json::Value::Null, time, Some(1))),
                4 => drop(ledger.end_event("busy", time, None)),
                _ => ledger.face(time.unsigned_abs(), time),
            }
            drop((ledger.rule_event(time), ledger.changed(), ledger.local_text(time), ledger.hours()));
            ledger.configure(settings("02:15", "Australia/Lord_Howe"), time);
            ledger = Ledger::restore(settings("01:45", "Australia/Lord_Howe"), ledger.checkpoint());
        }
    }
}
