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

/// Writes a line. Control characters are escaped, so that a plugin cannot forge lines of others.
pub(crate) fn write(plugin: &str, level: u32, line: &str) {
    let cut = line.floor_char_boundary(MAX_LEN);
    let mut text = String::with_capacity(cut);
    for c in line[..cut].chars() {
        if c.is_control() && c != '\t' {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
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
    fn a_flood_of_lines_is_thinned_and_counted() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        let passed = (0..10_000).filter(|_| limit.pass(start).is_some()).count();
        assert_eq!(passed, 200);
        assert_eq!(limit.pass(start + Duration::from_secs(1)), Some(9800));
        assert_eq!(limit.pass(start + Duration::from_secs(1)), Some(0));
    }
}
