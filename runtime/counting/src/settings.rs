//! What `[counts]` says, understood.

use crate::day::Reset;
use gantry_core::config::{Counts, Finding};
use jiff::civil::Time;
use jiff::fmt::friendly::SpanParser;
use jiff::tz::TimeZone;
use std::time::Duration;

/// The most rolling sums.
const MAX_WINDOWS: usize = 12;
/// How far back the longest may reach.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// When days begin, and which rolling sums there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// When days begin.
    pub reset: Reset,
    /// The rolling sums: the name as configured (`5m`), and how far back it reaches, in whole seconds up to 24 h.
    pub windows: Vec<(String, Duration)>,
}

impl Settings {
    /// What the section says. Looks the time zone up on the machine; without `time_zone` it is the machine's
    /// own, or UTC where it has none.
    ///
    /// # Errors
    /// Everything that is wrong, with keys relative to `[counts]`.
    pub fn from_config(config: &Counts) -> Result<Self, Vec<Finding>> {
        let mut findings = Vec::new();
        let time = reset_time(&config.reset).unwrap_or_else(|message| {
            findings.push(Finding::new("reset", message));
            Time::midnight()
        });
        let zone = match &config.time_zone {
            None => TimeZone::system(),
            Some(name) => TimeZone::get(name).unwrap_or_else(|_| {
                let next = "write one like `Europe/Berlin`, or install the package tzdata";
                findings.push(Finding::new("time_zone", format!("`{name}` is no time zone here: {next}")));
                TimeZone::UTC
            }),
        };
        let windows = windows(&config.windows, &mut findings);
        if findings.is_empty() { Ok(Self { reset: Reset::new(time, zone), windows }) } else { Err(findings) }
    }

    /// How far back the longest window reaches, in seconds.
    pub(crate) fn longest(&self) -> i64 {
        self.windows.iter().map(|(_, length)| seconds(*length)).max().unwrap_or(0)
    }
}

/// A window's length. Longer ones than are allowed are taken as the longest.
pub(crate) fn seconds(length: Duration) -> i64 {
    i64::try_from(length.min(LONGEST).as_secs()).unwrap_or(0)
}

fn reset_time(text: &str) -> Result<Time, String> {
    let wrong = || format!("`{text}` is no time of day: write hours and minutes, such as \"03:00\"");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |part: &str| {
        let is_two_digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        if is_two_digits { part.parse::<i8>().ok() } else { None }
    };
    let (hour, minute) = (number(hour).ok_or_else(wrong)?, number(minute).ok_or_else(wrong)?);
    Time::new(hour, minute, 0, 0).map_err(|_| wrong())
}

fn windows(texts: &[String], findings: &mut Vec<Finding>) -> Vec<(String, Duration)> {
    if texts.len() > MAX_WINDOWS {
        let message =
            format!("there are {} windows, at most {MAX_WINDOWS} are summed: remove some", texts.len());
        findings.push(Finding::new("windows", message));
        return Vec::new();
    }
    let mut windows: Vec<(String, Duration)> = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        match window(text, &windows) {
            Ok(length) => windows.push((text.clone(), length)),
            Err(message) => findings.push(Finding::new(format!("windows[{i}]"), message)),
        }
    }
    windows
}

fn window(text: &str, others: &[(String, Duration)]) -> Result<Duration, String> {
    let length = SpanParser::new()
        .parse_unsigned_duration(text)
        .map_err(|_| format!("`{text}` is no length of time: write one like \"30s\", \"5m\" or \"1h\""))?;
    if length.is_zero() || length.subsec_nanos() != 0 {
        return Err(format!("`{text}` is not a number of whole seconds: write one like \"30s\""));
    }
    if length > LONGEST {
        return Err(format!("`{text}` is too long for a rolling sum: write \"24h\" or less"));
    }
    match others.iter().find(|(_, other)| *other == length) {
        Some((other, _)) => Err(format!("`{text}` is the same as `{other}`: remove one")),
        None => Ok(length),
    }
}
