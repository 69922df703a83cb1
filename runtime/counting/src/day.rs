//! When days begin.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

/// The latest time that is believed, in the year 8307. Earlier than 1970 is none either: every time is taken
/// as the nearest one in between, so that no calendar ends under us.
const LATEST_MS: i64 = 200_000_000_000_000;

/// A day between two resets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// The local date on which it began, such as `2026-11-21`.
    pub name: String,
    /// When it began, Unix time in milliseconds.
    pub start_ms: i64,
    /// When the next one begins.
    pub end_ms: i64,
}

impl Day {
    /// Whether this moment is of this day.
    #[must_use]
    pub fn contains(&self, time_ms: i64) -> bool {
        (self.start_ms..self.end_ms).contains(&time_ms)
    }
}

/// The local time at which days begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Reset {
    time: Time,
    zone: TimeZone,
}

impl Reset {
    /// At this time in this zone.
    #[must_use]
    pub fn new(time: Time, zone: TimeZone) -> Self {
        Self { time, zone }
    }

    /// The day of a moment.
    #[must_use]
    pub fn day_of(&self, time_ms: i64) -> Day {
        let time_ms = within(time_ms);
        // Clocks that go back over midnight show the date of yesterday on a day that has begun; and once
        // (Samoa, 2011) a whole date was left out. So the search begins after every date that can have begun.
        let mut date = step(step(self.local(time_ms).date(), 1), 1);
        while self.begin(date) > time_ms {
            date = step(date, -1);
        }
        Day { name: date.to_string(), start_ms: self.begin(date), end_ms: self.begin(step(date, 1)) }
    }

    /// When the day of this date begins.
    fn begin(&self, date: Date) -> i64 {
        let local = date.to_datetime(self.time);
        let moment = self.zone.to_ambiguous_zoned(local).compatible();
        moment
            .expect("dates of the years 1969 to 8307 are moments in every zone")
            .timestamp()
            .as_millisecond()
    }

    /// The local time of a moment.
    pub(crate) fn local(&self, time_ms: i64) -> Zoned {
        let moment = Timestamp::from_millisecond(within(time_ms));
        moment.expect("it was put within the calendar").to_zoned(self.zone.clone())
    }

    /// A moment as local time with its distance from UTC, such as `2026-11-21T10:00:00+01:00`.
    pub(crate) fn text(&self, time_ms: i64) -> String {
        self.local(time_ms).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

/// The nearest time that is believed.
pub(crate) fn within(time_ms: i64) -> i64 {
    time_ms.clamp(0, LATEST_MS)
}

fn step(date: Date, days: i8) -> Date {
    let next = if days < 0 { date.yesterday() } else { date.tomorrow() };
    next.expect("the years 1969 to 8307 are not at the end of the calendar")
}
