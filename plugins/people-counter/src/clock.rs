//! Times as the protocol writes them: local, and without saying which zone that is.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::SystemTime;

/// Writes times of one time zone.
#[derive(Debug, Clone)]
pub struct Clock(TimeZone);

impl Clock {
    /// That of an IANA name, or the machine's. The error is a sentence.
    pub fn of(name: Option<&str>) -> Result<Self, String> {
        let Some(name) = name else { return Ok(Self(TimeZone::system())) };
        let zone = TimeZone::get(name).map_err(|_| {
            format!("`{name}` is no time zone that this machine knows: write it as `Europe/Berlin`, or install tzdata")
        })?;
        Ok(Self(zone))
    }

    /// `YYYY-MM-DD HH:MM:SS.mmm`.
    #[must_use]
    pub fn stamp(&self, time: SystemTime) -> String {
        // A clock that is off by ten thousand years must not end a stream.
        let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
        time.to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
    }

    /// `HH:MM:SS` of a time in milliseconds since 1970. `None` for times that no calendar has.
    #[must_use]
    pub fn time(&self, unix_ms: i64) -> Option<String> {
        let time = Timestamp::from_millisecond(unix_ms).ok()?;
        Some(time.to_zoned(self.0.clone()).strftime("%H:%M:%S").to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn times_are_local_with_milliseconds_that_are_cut() {
        let at = |ms: u64| UNIX_EPOCH + Duration::from_micros(ms * 1000 + 999);
        let berlin = Clock::of(Some("Europe/Berlin")).unwrap();
        assert_eq!(berlin.stamp(at(1_795_255_200_007)), "2026-11-21 11:00:00.007");
        assert_eq!(berlin.stamp(at(1_784_541_600_000)), "2026-07-20 12:00:00.000", "in summer");
        assert_eq!(berlin.time(1_795_255_200_007).as_deref(), Some("11:00:00"));
        let utc = Clock::of(Some("UTC")).unwrap();
        assert_eq!(utc.stamp(at(1_795_255_200_120)), "2026-11-21 10:00:00.120");
        assert_eq!(utc.time(i64::MAX), None);
        assert_eq!(utc.time(0).as_deref(), Some("00:00:00"));
    }

    #[test]
    fn a_zone_that_does_not_exist_is_a_sentence_with_its_name() {
        let error = Clock::of(Some("Mars/Olympus")).unwrap_err();
        assert!(error.starts_with("`Mars/Olympus` is no time zone"), "{error}");
        assert!(Clock::of(None).is_ok());
    }
}
