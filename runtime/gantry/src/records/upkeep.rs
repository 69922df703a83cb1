//! The thread that looks after the records' disk and clock: it says that room gets scarce before records are refused, and
//! has nothing removed for its age while the clock cannot be believed.

use super::ages::Ages;
use super::rules::Rules;
use crate::statefile::StateFile;
use gantry_core::health::{Health, Level};
use gantry_store::Store;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked.
const PERIOD: Duration = Duration::from_secs(1);
/// How long what is to be waited for may be in memory only.
const KEEP_EVERY: Duration = Duration::from_secs(600);
/// The part of the gateway of which is told how much room there is.
const PART: &str = "records/space";
/// Room is scarce when there is less than this above the floor, whatever the disk.
const SCARCE: u64 = 256 << 20;
/// What one small record may take: less is no room.
const LEAST: u64 = 64 << 10;

/// What is waited for is kept: a gateway that is started again has no steady clock of before.
#[derive(Serialize, Deserialize)]
pub(super) struct Waits {
    seconds: u64,
}

impl Waits {
    /// The file, and how long is to be waited as it says.
    pub(super) fn open(state_dir: &Path) -> (StateFile<Self>, Duration) {
        let (file, kept) = StateFile::open(state_dir, "clock", "the clock is believed");
        (file, kept.map_or(Duration::ZERO, |kept: Self| Duration::from_secs(kept.seconds)))
    }
}

/// What the thread works with.
pub(super) struct Upkeep {
    pub(super) folder: PathBuf,
    pub(super) floor: u64,
    pub(super) store: Store,
    pub(super) ages: Arc<Ages>,
    pub(super) rules: Arc<Rules>,
    pub(super) file: StateFile<Waits>,
    /// The wait that the file tells.
    pub(super) kept: Duration,
    pub(super) health: Arc<Health>,
    /// A record of the gateway's own was lost for want of room.
    pub(super) was_full: Arc<AtomicBool>,
    /// Room was scarce when it was looked at last.
    pub(super) is_scarce: bool,
}

/// The thread; dropped, it ends soon.
pub(super) struct Thread {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Thread {
    /// Has it end, and waits for that.
    pub(super) fn end(self) {
        drop(self.end);
        // One that panicked has ended as well.
        let _ = self.thread.join();
    }
}

impl Upkeep {
    /// Looks once and then every second, until it is ended.
    pub(super) fn start(mut self) -> std::io::Result<Thread> {
        let (end, ended) = channel();
        self.work();
        let thread = std::thread::Builder::new().name("records:upkeep".into()).spawn(move || {
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                self.work();
            }
        })?;
        Ok(Thread { end, thread })
    }

    fn work(&mut self) {
        self.look_at_clock();
        self.look_at_space();
    }

    fn look_at_clock(&mut self) {
        let wait = self.ages.wait();
        // What was said to the store before is done when the flush returns. When ages are in force again there is nothing to
        // release, and a leap that comes at this moment must not be.
        if self.rules.believe(&self.store, wait.is_none()) && wait.is_some() && self.store.flush().is_ok() {
            self.ages.release();
        }
        let wait = wait.unwrap_or_default();
        if wait.abs_diff(self.kept) >= KEEP_EVERY || (wait.is_zero() && !self.kept.is_zero()) {
            // On a full disk it is tried again with the next look.
            if self.file.save(&Waits { seconds: wait.as_secs() }).is_ok() {
                self.kept = wait;
            }
        }
    }

    fn look_at_space(&mut self) {
        let Ok(stat) = rustix::fs::statvfs(&self.folder) else { return };
        let (free, all) =
            (stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize));
        let level = room(free, all, self.floor, self.is_scarce);
        self.is_scarce = level.is_some();
        match level {
            None => {
                self.health.forget(PART);
                if self.was_full.swap(false, Ordering::AcqRel) {
                    self.health.forget("records");
                }
            }
            Some(level) => {
                let text = sentence(level, free, self.floor);
                let before = self.health.all().get(PART).map(|report| report.level);
                self.health.report(PART, level, &*text);
                // The store itself says in the log when it refuses.
                if before.is_none() && level == Level::Degraded {
                    tracing::warn!("{text}");
                }
            }
        }
    }
}

fn sentence(level: Level, free: u64, floor: u64) -> String {
    let (free, floor) = (free >> 20, floor >> 20);
    if level == Level::Failed {
        return format!(
            "the disk of the records is full ({free} MiB are free, {floor} must stay free), and records are refused: make room"
        );
    }
    format!(
        "the disk of the records gets full ({free} MiB are free), below {floor} MiB records are refused: make room"
    )
}

/// How much room there is: enough, little, or none. What was scarce is so until there is a quarter more, so that it is not
/// told again and again.
fn room(free: u64, all: u64, floor: u64, was_scarce: bool) -> Option<Level> {
    let above = free.saturating_sub(floor);
    // A twentieth of a small disk; of a large one as much as fills within hours.
    let scarce = (all / 20).min(SCARCE).max(floor.min(SCARCE)).max(LEAST);
    let scarce = if was_scarce { scarce + scarce / 4 } else { scarce };
    if above < LEAST {
        Some(Level::Failed)
    } else if above < scarce {
        Some(Level::Degraded)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scarce_room_is_told_before_there_is_none() {
        const MIB: u64 = 1 << 20;
        let large = |free: u64| room(free * MIB, 64 << 30, 256 * MIB, false);
        assert_eq!(large(600), None);
        assert_eq!(large(500), Some(Level::Degraded));
        assert_eq!((large(256), large(0)), (Some(Level::Failed), Some(Level::Failed)));
        let small = |free: u64| room(free * MIB, 32 * MIB, 4 * MIB, false);
        assert_eq!((small(9), small(7), small(4)), (None, Some(Level::Degraded), Some(Level::Failed)));
        let bare = |free: u64| room(free, 32 * MIB, 0, false);
        assert_eq!((bare(2 * MIB), bare(MIB), bare(100)), (None, Some(Level::Degraded), Some(Level::Failed)));
        assert_eq!(room(0, 0, 0, false), Some(Level::Failed));
        let again = |free: u64| room(free * MIB, 64 << 30, 256 * MIB, true);
        assert_eq!((again(575), again(576)), (Some(Level::Degraded), None));
    }
}
