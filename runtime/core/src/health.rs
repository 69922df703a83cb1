//! How every part of the gateway does, in its own words.

use crate::lock;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// How well a part works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It does its work.
    Ok,
    /// It works, but not as it should.
    Degraded,
    /// It does not do its work.
    Failed,
}

/// The last report of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How well it works.
    pub level: Level,
    /// A sentence that says what is the matter and, if something is, what to do.
    pub message: String,
}

/// The last report of every part, by name (`camera/main`, `plugin/robocar`, `config`).
#[derive(Default)]
pub struct Health {
    reports: Mutex<BTreeMap<String, Report>>,
}

impl Health {
    /// Replaces the report of a part. Returns whether its level or message changed, so that a change can be logged once.
    pub fn report(&self, part: &str, level: Level, message: impl Into<String>) -> bool {
        let report = Report { level, message: message.into() };
        let mut reports = lock(&self.reports);
        if reports.get(part) == Some(&report) {
            return false;
        }
        reports.insert(part.to_owned(), report);
        true
    }

    /// Forgets a part that is no longer configured.
    pub fn forget(&self, part: &str) {
        lock(&self.reports).remove(part);
    }

    /// All reports now.
    pub fn all(&self) -> BTreeMap<String, Report> {
        lock(&self.reports).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_is_worth_telling() {
        let health = Health::default();
        assert!(health.report("camera/main", Level::Failed, "no frame for 1 s"));
        assert!(!health.report("camera/main", Level::Failed, "no frame for 1 s"));
        assert!(health.report("camera/main", Level::Ok, "30 fps"));
        assert_eq!(health.all()["camera/main"].level, Level::Ok);
        health.forget("camera/main");
        assert!(health.all().is_empty());
    }
}
