//! What the tests share.

use gantry_core::config::Counts;
use gantry_counting::{CorrectionRecord, CrossingRecord, Direction, Ledger, Places, Settings, Turn};
use std::collections::BTreeMap;

pub(crate) const SECOND: i64 = 1000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

pub(crate) const NOON: &str = "2026-11-21T12:00:00+01:00";

pub(crate) fn noon() -> Ledger {
    ledger("03:00", "Europe/Berlin", at(NOON))
}

pub(crate) fn config(reset: &str, zone: &str, windows: &[&str]) -> Counts {
    Counts {
        reset: reset.into(),
        time_zone: Some(zone.into()),
        windows: windows.iter().map(|&window| window.into()).collect(),
        ..Counts::default()
    }
}

pub(crate) fn settings(reset: &str, zone: &str) -> Settings {
    Settings::from_config(&config(reset, zone, &["1m", "5m", "1h"])).expect("the settings are good")
}

/// A moment from its text, such as `2026-11-21T10:00:00+01:00`.
pub(crate) fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("the time is one").as_millisecond()
}

/// Lines `door` and `gate` and zone `hall` at `main`, line `door` at `yard`.
pub(crate) fn places() -> BTreeMap<String, Places> {
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    BTreeMap::from([
        ("main".to_owned(), Places { lines: set(&["door", "gate"]), zones: set(&["hall"]) }),
        ("yard".to_owned(), Places { lines: set(&["door"]), zones: set(&[]) }),
    ])
}

/// A ledger of these places at this moment.
pub(crate) fn ledger(reset: &str, zone: &str, now_ms: i64) -> Ledger {
    let mut ledger = Ledger::new(settings(reset, zone), now_ms);
    ledger.declare(places());
    ledger
}

pub(crate) fn crossing(camera: &str, line: &str, direction: Direction, time_ms: i64) -> CrossingRecord {
    CrossingRecord { camera: camera.into(), line: line.into(), direction, track: 7, time_ms }
}

/// Somebody goes in at `main/door`.
pub(crate) fn enter(ledger: &mut Ledger, time_ms: i64) -> u64 {
    ledger.crossing(&crossing("main", "door", Direction::In, time_ms)).number
}

pub(crate) fn correction(count_in: i64, count_out: i64, time_ms: i64) -> CorrectionRecord {
    let (camera, line, reason) = ("main".into(), "door".into(), "a dog".into());
    CorrectionRecord { camera, line, count_in, count_out, reason, time_ms }
}

/// The names of the days that began.
pub(crate) fn days(turns: &[Turn]) -> Vec<&str> {
    turns
        .iter()
        .filter_map(|turn| match turn {
            Turn::Day { day, .. } => Some(day.as_str()),
            Turn::Hour(_) => None,
        })
        .collect()
}

/// Start, in and out of the hours that were told, over all lines.
pub(crate) fn hours(turns: &[Turn]) -> Vec<(i64, u64, u64)> {
    turns
        .iter()
        .filter_map(|turn| match turn {
            Turn::Hour(hour) => Some((
                hour.start_ms,
                hour.lines.values().map(|count| count.count_in).sum(),
                hour.lines.values().map(|count| count.count_out).sum(),
            )),
            Turn::Day { .. } => None,
        })
        .collect()
}
