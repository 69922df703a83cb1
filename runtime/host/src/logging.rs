//! Lines of plugins in the gateway's log: marked with the instance, on one line each, and not more than can be read.

use std::time::{Duration, Instant};

const BURST: f64 = 200.0;
const PER_SECOND: f64 = 20.0;
const MAX_LEN: usize = 4096;

/// Lets a burst of lines through and then a steady few.
#[derive(Debug)]
pub(crate) struct Limit {
    left: f64,
    at: Option<Instant>,
    suppressed: u64,
}

impl Default for Limit {
    fn default() -> Self {
        Self { left: BURST, at: None, suppressed: 0 }
    }
}

impl Limit {
    /// `None`: suppress this line. Otherwise write it, after saying how many were suppressed before it.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<u64> {
        let since = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.left = (self.left + since.as_secs_f64() * PER_SECOND).min(BURST);
        if self.left < 1.0 {
            self.suppressed += 1;
            return None;
        }
        self.left -= 1.0;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// Whether a line of a border level would be written.
pub(crate) fn enabled(level: u32) -> bool {
    match level {
        gantry_abi::LOG_ERROR => tracing::enabled!(target: "plugin", tracing::Level::ERROR),
        gantry_abi::LOG_WARN => tracing::enabled!(target: "plugin", tracing::Level::WARN),
        gantry_abi::LOG_INFO => tracing::enabled!(target: "plugin", tracing::Level::INFO),
        gantry_abi::LOG_DEBUG => tracing::enabled!(target: "plugin", tracing::Level::DEBUG),
        gantry_abi::LOG_TRACE => tracing::enabled!(target: "plugin", tracing::Level::TRACE),
        _ => false,
    }
}

/// At most `max` bytes of a text, with control characters escaped: no line of others can be forged, no terminal steered.
pub(crate) fn clean(text: &str, max: usize) -> String {
    let cut = text.floor_char_boundary(max);
    let mut out = String::with_capacity(cut);
    for c in text[..cut].chars() {
        if c.is_control() && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Writes a line.
pub(crate) fn write(plugin: &str, level: u32, line: &str) {
    let text = clean(line, MAX_LEN);
    match level {
        gantry_abi::LOG_ERROR => tracing::error!(target: "plugin", plugin, "{text}"),
        gantry_abi::LOG_WARN => tracing::warn!(target: "plugin", plugin, "{text}"),
        gantry_abi::LOG_INFO => tracing::info!(target: "plugin", plugin, "{text}"),
        gantry_abi::LOG_DEBUG => tracing::debug!(target: "plugin", plugin, "{text}"),
        _ => tracing::trace!(target: "plugin", plugin, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_long_texts_cut() {
        assert_eq!(clean("a\nb\x1b[2J\tc", 100), "a\\nb\\u{1b}[2J\tc");
        assert_eq!(clean("aä", 2), "a");
    }

    #[test]
    fn a_flood_of_lines_is_thinned_and_counted() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        let passed = (0..10_000).filter(|_| limit.pass(start).is_some()).count();
        assert_eq!(passed, 200);
        assert_eq!(limit.pass(start + Duration::from_secs(1)), Some(9800));
        assert_eq!(limit.pass(start + Duration::from_secs(1)), Some(0));
    }
}
