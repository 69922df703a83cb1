//! What all recordings share: settings, the files that are open, and the thread that tidies up.

use super::clip;
use super::folder::{Folder, FreeSpace, Limits, Removed, megabytes};
use super::{Closed, ClosedWhy, RecordError, RecordEvent};
use crate::lock;
use gantry_core::config;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// Limits are looked at this often while something is recorded, and at each end of a file.
const OFTEN: Duration = Duration::from_secs(5);
/// Limits are looked at this often in any case.
const SELDOM: Duration = Duration::from_secs(60);
/// One file takes at most this part of `max_bytes`, so that the oldest can leave while another is written.
const PARTS: u64 = 4;
/// But not so small a part that each frame would have a file of its own.
const LEAST_PART: u64 = 16 * 1024;

/// Takes what happens. Called on threads of the recorder; the recording waits for it.
pub type OnEvent = Arc<dyn Fn(RecordEvent) + Send + Sync>;

/// Settings as they are now.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) dir: PathBuf,
    pub(crate) recording: config::Recording,
}

impl Settings {
    pub(crate) fn folder(&self) -> Folder {
        Folder { dir: self.dir.clone(), extension: "mkv" }
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        (self.recording.max_bytes / PARTS).max(LEAST_PART)
    }

    /// How long a file may last; a setting of nothing would give each frame a file.
    pub(crate) fn segment(&self) -> Duration {
        self.recording.segment.max(Duration::from_secs(1))
    }

    fn limits(&self) -> Limits {
        Limits { max_bytes: self.recording.max_bytes, max_age: self.recording.max_age }
    }
}

enum Order {
    Look,
    LookNow,
    Stop,
}

pub(crate) struct Store {
    settings: Mutex<Arc<Settings>>,
    open: Mutex<HashSet<PathBuf>>,
    free: FreeSpace,
    on_event: OnEvent,
    orders: Mutex<Sender<Order>>,
}

impl Store {
    /// Starts the thread that finishes what a crash left, and then keeps to the limits.
    pub(crate) fn open(settings: Settings, free: FreeSpace, on_event: OnEvent) -> Arc<Self> {
        let (orders, received) = channel();
        let store = Arc::new(Self {
            settings: Mutex::new(Arc::new(settings)),
            open: Mutex::default(),
            free,
            on_event,
            orders: Mutex::new(orders),
        });
        let tidy = store.clone();
        let spawned =
            std::thread::Builder::new().name("recordings".into()).spawn(move || tidy.run(&received));
        if let Err(error) = spawned {
            tracing::error!(%error, "cannot start a thread, and old recordings stay: raise the limit of tasks");
        }
        store
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        lock(&self.settings).clone()
    }

    pub(crate) fn set(&self, settings: Settings) {
        *lock(&self.settings) = Arc::new(settings);
        self.poke_now();
    }

    /// A file is about to be created.
    pub(crate) fn opened(&self, path: &Path) {
        lock(&self.open).insert(path.to_path_buf());
    }

    /// A file is finished, or was not created.
    pub(crate) fn closed(&self, path: &Path) {
        lock(&self.open).remove(path);
    }

    pub(crate) fn tell(&self, event: RecordEvent) {
        (self.on_event)(event);
    }

    /// Whether the disk has the room that is to be left.
    pub(crate) fn has_room(&self) -> Result<(), RecordError> {
        let settings = self.settings();
        let least = settings.recording.min_free_bytes;
        let free = (self.free)(&settings.dir)
            .map_err(|e| RecordError::Folder { dir: settings.dir.clone(), source: e })?;
        if free < least {
            let (dir, free, least) = (settings.dir.clone(), megabytes(free), megabytes(least));
            return Err(RecordError::NoRoom { dir, free, least });
        }
        Ok(())
    }

    pub(crate) fn check_room(&self) -> Result<(), ClosedWhy> {
        match self.has_room() {
            Err(RecordError::NoRoom { .. }) => Err(ClosedWhy::DiskFull),
            // Who cannot say how much is free may still write.
            _ => Ok(()),
        }
    }

    pub(crate) fn poke(&self) {
        let _ = lock(&self.orders).send(Order::Look);
    }

    pub(crate) fn poke_now(&self) {
        let _ = lock(&self.orders).send(Order::LookNow);
    }

    pub(crate) fn stop(&self) {
        let _ = lock(&self.orders).send(Order::Stop);
    }

    fn run(&self, orders: &Receiver<Order>) {
        self.finish_what_a_crash_left();
        let mut looked: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if looked.is_none_or(|then| now.saturating_duration_since(then) >= OFTEN) {
                self.tidy();
                looked = Some(now);
            }
            match orders.recv_timeout(SELDOM) {
                Ok(Order::LookNow) => looked = None,
                Ok(Order::Look) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn tidy(&self) {
        let settings = self.settings();
        let open = lock(&self.open).clone();
        for Removed { file, why } in settings.folder().keep_to(settings.limits(), &open, SystemTime::now()) {
            tracing::debug!(file = %file.display(), ?why, "an old recording was removed");
            self.tell(RecordEvent::Removed(Removed { file, why }));
        }
    }

    fn finish_what_a_crash_left(&self) {
        let files = match self.settings().folder().files() {
            Ok(files) => files,
            Err(error) => {
                tracing::warn!(%error, "the recordings cannot be looked through");
                return;
            }
        };
        for entry in files {
            // A file is in the set before it is there, and is finished before it leaves the set.
            if lock(&self.open).contains(&entry.path) {
                continue;
            }
            match clip::repair(&entry.path) {
                Ok(None) => {}
                Ok(Some((start_unix_ms, outcome))) => {
                    let file = entry.path.clone();
                    tracing::warn!(file = %file.display(), frames = outcome.frames, "a recording was cut off, and is finished now");
                    let camera =
                        file.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
                    self.tell(RecordEvent::Closed(Closed {
                        camera: camera.unwrap_or_default(),
                        file,
                        start_unix_ms,
                        duration_ms: outcome.duration_ms,
                        bytes: outcome.bytes,
                        frames: outcome.frames,
                        dropped: 0,
                        why: ClosedWhy::Crash,
                    }));
                }
                Err(error) => {
                    let file = entry.path.display();
                    tracing::warn!(%file, %error, "a recording was cut off, and cannot be finished");
                }
            }
        }
    }
}
