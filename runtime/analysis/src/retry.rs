//! When something that failed is tried again. Pure: the time and what is known of files are arguments.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// What could not be loaded is tried again this often, whatever its file.
const AGAIN: Duration = Duration::from_secs(10);
/// Its file is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// The first and the longest wait after a panic.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// What ran this long was well: its next panic is a first one.
const WELL: Duration = Duration::from_secs(60);
/// So long after its last failure something is well again.
const CALM: Duration = Duration::from_secs(10);

/// By what a file is known to be another: when it was written, its bytes, its number. `None`: it cannot be read.
pub(crate) type Stamp = Option<(SystemTime, u64, u64)>;

/// The stamp of a file.
pub(crate) fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len(), meta.ino()))
}

/// What is known of something that is loaded and may break.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    failed: Option<Failed>,
    /// Panics in a row.
    panics: u32,
    began: Option<Instant>,
}

#[derive(Debug)]
struct Failed {
    message: String,
    again: Instant,
    file: Option<(PathBuf, Stamp)>,
}

impl Retry {
    /// Whether it is to be tried at `now`. Asks for the stamp of the file with which it failed.
    pub(crate) fn is_due(&self, now: Instant, stamp: impl FnOnce(&Path) -> Stamp) -> bool {
        self.failed.as_ref().is_none_or(|failed| {
            now >= failed.again || failed.file.as_ref().is_some_and(|(path, was)| stamp(path) != *was)
        })
    }

    /// It could not be loaded from this file, which had this stamp before.
    pub(crate) fn refused(&mut self, now: Instant, file: Option<(PathBuf, Stamp)>, message: String) {
        self.failed = Some(Failed { message, again: now + AGAIN, file });
    }

    /// It panicked.
    pub(crate) fn panicked(&mut self, now: Instant, file: Option<(PathBuf, Stamp)>, message: String) {
        if self.began.take().is_some_and(|began| now.saturating_duration_since(began) >= WELL) {
            self.panics = 0;
        }
        let wait = FIRST.saturating_mul(1 << self.panics.min(6)).min(LONGEST);
        self.panics = self.panics.saturating_add(1);
        self.failed = Some(Failed { message, again: now + wait, file });
    }

    /// It is loaded. After a panic that alone proves nothing, and the message stays.
    pub(crate) fn loaded(&mut self, now: Instant) {
        self.began = Some(now);
        if self.panics == 0 {
            self.failed = None;
        }
    }

    /// It has done its work once more.
    pub(crate) fn worked(&mut self) {
        self.failed = None;
    }

    /// What is the matter.
    pub(crate) fn message(&self) -> Option<&str> {
        self.failed.as_ref().map(|failed| failed.message.as_str())
    }

    /// When [`is_due`](Self::is_due) may say something else, after `now`.
    pub(crate) fn look(&self, now: Instant) -> Option<Instant> {
        let failed = self.failed.as_ref()?;
        Some(if failed.file.is_some() { failed.again.min(now + LOOK) } else { failed.again })
    }
}

/// Something that fails with some pictures and not with others: it is told until it went well for a while, or
/// the log would be full of it.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    last: Option<(Instant, String)>,
}

impl Trouble {
    /// It failed.
    pub(crate) fn happened(&mut self, now: Instant, message: String) {
        self.last = Some((now, message));
    }

    /// It went well.
    pub(crate) fn went_well(&mut self, now: Instant) {
        self.last.take_if(|(last, _)| now.saturating_duration_since(*last) >= CALM);
    }

    /// What is the matter.
    pub(crate) fn message(&self) -> Option<&str> {
        self.last.as_ref().map(|(_, message)| message.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Stamp {
        Some((SystemTime::UNIX_EPOCH + SECOND * u32::try_from(seconds).unwrap(), 10, 7))
    }

    #[test]
    fn what_cannot_be_loaded_is_tried_when_its_file_changes_or_after_ten_seconds() {
        let now = Instant::now();
        let mut retry = Retry::default();
        assert!(retry.is_due(now, |_| None) && retry.look(now).is_none());
        retry.refused(now, Some(("model".into(), at(1))), "it is broken".into());
        assert_eq!(retry.message(), Some("it is broken"));
        assert!(!retry.is_due(now + 9 * SECOND, |_| at(1)));
        assert!(retry.is_due(now + SECOND, |_| at(2)), "written anew");
        assert!(retry.is_due(now + SECOND, |_| None), "gone");
        assert!(retry.is_due(now + 10 * SECOND, |_| at(1)));
        assert_eq!(retry.look(now), Some(now + SECOND));
        assert_eq!(retry.look(now + 9 * SECOND + SECOND / 2), Some(now + 10 * SECOND));
        retry.loaded(now);
        assert_eq!(retry.message(), None);
    }

    #[test]
    fn what_panics_again_and_again_waits_longer_and_longer_until_it_was_well_for_long() {
        let mut now = Instant::now();
        let mut retry = Retry::default();
        let waits: Vec<u64> = (0..8)
            .map(|_| {
                retry.loaded(now);
                retry.panicked(now, None, "it panicked".into());
                let wait = retry.look(now).unwrap() - now;
                assert!(!retry.is_due(now + wait - SECOND / 2, |_| None));
                now += wait;
                assert!(retry.is_due(now, |_| None));
                wait.as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        retry.loaded(now);
        assert_eq!(retry.message(), Some("it panicked"), "until it has worked");
        retry.worked();
        assert_eq!(retry.message(), None);
        now += 100 * SECOND;
        retry.panicked(now, None, "it panicked".into());
        assert_eq!(retry.look(now), Some(now + SECOND));
    }

    #[test]
    fn trouble_with_single_pictures_is_told_until_it_was_calm_for_a_while() {
        let now = Instant::now();
        let mut trouble = Trouble::default();
        trouble.happened(now, "no".into());
        trouble.went_well(now + 5 * SECOND);
        assert_eq!(trouble.message(), Some("no"));
        trouble.went_well(now + 10 * SECOND);
        assert_eq!(trouble.message(), None);
    }
}
