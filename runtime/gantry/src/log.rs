//! The log: human on a terminal, JSON under systemd; its level can change while it is written.

mod human;

use gantry_core::config::{Log, LogFormat};
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// The installed log.
pub(crate) struct Handle {
    filter: reload::Handle<EnvFilter, Registry>,
    json: bool,
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether a level can be used. `EnvFilter` takes a mistyped level for the name of a module and logs nothing else, so a
/// word alone has to be a level here.
pub(crate) fn check_level(level: &str) -> Result<(), String> {
    let directives = || level.split(',').map(str::trim);
    let is_level = |word: &str| LEVELS.iter().any(|known| word.eq_ignore_ascii_case(known));
    if let Some(word) = directives().find(|one| !one.contains(['=', '[']) && !is_level(one)) {
        return Err(format!(
            "`{word}` is no level: write `error`, `warn`, `info`, `debug` or `trace`, and for a part of the gateway \
             `info,gantry_media=debug`"
        ));
    }
    EnvFilter::try_new(compact(level)).map(drop).map_err(|error| format!("`{level}` is no level: {error}"))
}

impl Handle {
    /// Installs the subscriber of the process.
    pub(crate) fn install(log: &Log) -> Self {
        let json = match log.format {
            LogFormat::Human => false,
            LogFormat::Json => true,
            LogFormat::Auto => under_systemd(),
        };
        let (filter, handle) = reload::Layer::new(filter(&log.level));
        let lines = fmt::layer().with_writer(std::io::stderr);
        let lines = if json {
            lines.json().flatten_event(true).boxed()
        } else {
            lines.with_ansi(std::io::stderr().is_terminal()).fmt_fields(human::Human).boxed()
        };
        tracing_subscriber::registry().with(filter).with(lines).init();
        Self { filter: handle, json }
    }

    /// Whether lines are JSON: then nobody reads along, and what is said to people at the start is left out.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Changes the level.
    pub(crate) fn set_level(&self, level: &str) {
        if let Err(error) = self.filter.reload(filter(level)) {
            tracing::error!(%error, "the log level cannot be changed: restart the gateway");
        }
    }
}

/// Spaces help people and confuse `EnvFilter`.
fn compact(level: &str) -> String {
    level.split_whitespace().collect()
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(compact(level)).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Whether standard error is the journal's: systemd tells its device and inode, so that a child that is redirected
/// elsewhere is not taken in by the variable alone.
fn under_systemd() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|stderr| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_taken_and_misspelt_levels_are_not() {
        for good in ["info", "WARN", "off", "info,gantry_media=debug", "warn, gantry_host=trace"] {
            assert_eq!(check_level(good), Ok(()), "{good}");
        }
        let error = check_level("infoo").expect_err("a misspelt level");
        assert!(error.starts_with("`infoo` is no level: write `error`"), "{error}");
        for bad in ["", "info,debgu", "info,gantry_media=lots"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }
}
