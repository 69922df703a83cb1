//! Times as the protocol writes them, and the local day.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// `2024-12-19T10:00:00.000Z`: how this server writes a time.
#[must_use]
pub fn stamp(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// The same of a time in milliseconds since 1970; one that no calendar has is written as 1970.
#[must_use]
pub fn stamp_ms(unix_ms: i64) -> String {
    stamp(Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Knows when a day begins.
#[derive(Debug, Clone)]
pub struct Days(TimeZone);

impl Days {
    /// Those of a time zone with an IANA name, or the machine's. The error is a sentence.
    pub fn of(name: Option<&str>) -> Result<Self, String> {
        let Some(name) = name else { return Ok(Self(TimeZone::system())) };
        let zone = TimeZone::get(name).map_err(|_| {
            format!("`{name}` is no time zone that this machine knows: write it as `Asia/Bangkok`, or install tzdata")
        })?;
        Ok(Self(zone))
    }

    /// The day of a time.
    #[must_use]
    pub fn day(&self, time: Timestamp) -> Date {
        time.to_zoned(self.0.clone()).date()
    }

    /// When the day of a time began.
    #[must_use]
    pub fn begin(&self, time: Timestamp) -> Timestamp {
        let begin = time.to_zoned(self.0.clone()).start_of_day();
        // Within hours of the end of the calendar there is no such thing.
        begin.map_or_else(|_| time.checked_sub(24.hours()).unwrap_or(time), |begin| begin.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::{Days, stamp, stamp_ms};
    use jiff::Timestamp;

    #[test]
    fn times_are_utc_with_milliseconds() {
        let time: Timestamp = "2026-07-01T00:30:00.1239+02:00".parse().unwrap();
        assert_eq!(stamp(time), "2026-06-30T22:30:00.123Z");
        assert_eq!(stamp_ms(1_734_602_400_000), "2024-12-19T10:00:00.000Z");
        assert_eq!(stamp_ms(i64::MAX), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_day_is_that_of_the_place() {
        let days = Days::of(Some("Asia/Bangkok")).unwrap();
        let time: Timestamp = "2026-06-30T22:30:00Z".parse().unwrap();
        assert_eq!(days.day(time).to_string(), "2026-07-01");
        assert_eq!(stamp(days.begin(time)), "2026-06-30T17:00:00.000Z");
        assert!(days.begin(Timestamp::MIN) <= Timestamp::MIN);
        assert!(Days::of(Some("Mars/Olympus")).unwrap_err().starts_with("`Mars/Olympus` is no time zone"));
        assert!(Days::of(None).is_ok());
    }
}
