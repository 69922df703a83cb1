//! Recordings: what a camera gives as JPEG, kept in files that can be played at any time.
//!
//! A recording watches `CAMERA/jpeg` in the frames hub like a viewer does. So the camera's pipeline is not touched, a camera
//! that is rebuilt does not end its recording, and a picture that viewers get is not encoded a second time.

mod clip;
mod ebml;
pub(crate) mod folder;
pub(crate) mod h264;
mod matroska;
mod queue;
mod store;
mod timeline;
mod writer;

pub use folder::{FreeSpace, Removed, RemovedWhy};
pub use store::OnEvent;

use crate::lock;
use gantry_core::config::{self, Codec};
use gantry_core::frames::{Frame, Hub};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::{Settings, Store};
use writer::{Shared, Writer};

/// How long dropping a [`Recorder`] waits for files to be finished.
const DROP_WAIT: Duration = Duration::from_secs(3);

/// Why something is not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The name could leave the folder.
    #[error("`{0}` is no camera's name: use one from the configuration")]
    Name(String),
    /// Nothing is recorded that could be paused or resumed.
    #[error("camera {0} is not recorded: start the recording first")]
    Off(String),
    /// There is too little room on the disk.
    #[error(
        "{} has {free} free, and {least} are to be left: remove files, or lower recording.min_free_bytes",
        dir.display()
    )]
    NoRoom {
        /// The folder of recordings.
        dir: PathBuf,
        /// What is free.
        free: String,
        /// What is to be left.
        least: String,
    },
    /// The folder cannot be used.
    #[error("cannot record into {}: {source}: correct recording.dir, or its permissions", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What encodes H.264 is not installed.
    #[error("{0}")]
    NoEncoder(String),
    /// No thread could be started.
    #[error("cannot start a thread: {0}: raise the limit of tasks")]
    Thread(io::Error),
}

/// What happened to recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordEvent {
    /// A file was begun, with its first frame.
    Started {
        /// The camera.
        camera: String,
        /// The file.
        file: PathBuf,
    },
    /// A file was closed.
    Closed(Closed),
    /// A recording ended while it had no file.
    Failed {
        /// The camera.
        camera: String,
        /// A sentence.
        reason: String,
    },
    /// A file was removed because there are limits.
    Removed(Removed),
}

/// A file that was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The camera.
    pub camera: String,
    /// The file. It is gone if it has no frames.
    pub file: PathBuf,
    /// When its first frame was captured, in ms since the Unix epoch.
    pub start_unix_ms: u64,
    /// How long it plays, in ms; pauses are left out.
    pub duration_ms: u64,
    /// Its size.
    pub bytes: u64,
    /// Its frames.
    pub frames: u64,
    /// Frames that are missing because the disk, or the encoder, did not keep up.
    pub dropped: u64,
    /// Why it was closed. After [`ClosedWhy::Segment`] and [`ClosedWhy::SizeChanged`] the recording goes on.
    pub why: ClosedWhy,
}

/// Why a file was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClosedWhy {
    /// The recording was stopped.
    Stopped,
    /// It lasted as long as a file may; the next one was begun.
    Segment,
    /// The camera's pictures changed their size; the next file was begun.
    SizeChanged,
    /// The disk has no more room than is to be left; the recording is over.
    DiskFull,
    /// It could not be written; the recording is over.
    Error(String),
    /// The gateway was killed while it was written. It was finished now.
    Crash,
}

impl fmt::Display for ClosedWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("it was stopped"),
            Self::Segment => f.write_str("it was long enough, and the next file was begun"),
            Self::SizeChanged => f.write_str("the size of the pictures changed"),
            Self::DiskFull => {
                f.write_str("the disk is full: remove files, or lower recording.min_free_bytes")
            }
            Self::Error(error) => write!(f, "it cannot be written: {error}: look at the disk"),
            Self::Crash => f.write_str("the gateway was killed"),
        }
    }
}

/// Whether a camera is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordStatus {
    /// It is not.
    Off,
    /// It is.
    On(Progress),
    /// It is, and frames are left out until it is resumed.
    Paused(Progress),
}

/// The file that is being written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The file; `None` before the first frame.
    pub file: Option<PathBuf>,
    /// When its first frame was captured, in ms since the Unix epoch; 0 before that.
    pub since_unix_ms: u64,
    /// Its size so far.
    pub bytes: u64,
    /// How long it plays so far.
    pub duration: Duration,
    /// Frames that are missing because the disk, or the encoder, did not keep up.
    pub dropped: u64,
}

struct Recording {
    shared: Arc<Shared>,
    paused: bool,
    thread: std::thread::JoinHandle<()>,
}

impl Recording {
    fn is_over(&self) -> bool {
        lock(&self.shared.progress).is_over
    }
}

/// Records cameras. Its commands do not wait for a camera or for what is still to be written. Dropping it ends all
/// recordings and waits a little for their files.
pub struct Recorder {
    hub: Arc<Hub>,
    store: Arc<Store>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    running: BTreeMap<String, Recording>,
    /// Recordings that were stopped and may still be writing.
    leaving: Vec<Recording>,
}

impl Recorder {
    /// A recorder that writes into `dir`. Files that a crash left there are finished and told as [`ClosedWhy::Crash`], on
    /// a thread of its own, which then keeps to the limits.
    #[must_use]
    pub fn new(hub: Arc<Hub>, dir: PathBuf, recording: config::Recording, on_event: OnEvent) -> Self {
        Self::with_free_space(hub, dir, recording, on_event, folder::free_space())
    }

    /// As [`Recorder::new`], but `free` says how much room the disk has.
    #[must_use]
    pub fn with_free_space(
        hub: Arc<Hub>,
        dir: PathBuf,
        recording: config::Recording,
        on_event: OnEvent,
        free: FreeSpace,
    ) -> Self {
        let store = Store::open(Settings { dir, recording }, free, on_event);
        Self { hub, store, inner: Mutex::default() }
    }

    /// Changes the settings. Limits hold at once, the others from the next file on.
    pub fn configure(&self, dir: PathBuf, recording: config::Recording) {
        self.store.set(Settings { dir, recording });
    }

    /// Begins to record a camera, or goes on after a pause. The file is begun with the next frame, so that a camera which
    /// is away is recorded as soon as it is back.
    ///
    /// # Errors
    ///
    /// When there is too little room, the folder cannot be used, or H.264 is wanted and nothing here encodes it.
    pub fn start(&self, camera: &str) -> Result<(), RecordError> {
        if !folder::is_safe(camera) {
            return Err(RecordError::Name(camera.to_owned()));
        }
        let mut inner = lock(&self.inner);
        inner.leaving.retain(|r| !r.thread.is_finished());
        if let Some(recording) = inner.running.get_mut(camera).filter(|r| !r.is_over()) {
            self.go_on(camera, recording);
            return Ok(());
        }
        let settings = self.store.settings();
        let fail = |source| RecordError::Folder { dir: settings.dir.clone(), source };
        settings.folder().of(camera).map_err(fail)?;
        self.store.has_room()?;
        if settings.recording.codec == Codec::H264 {
            h264::find().map_err(RecordError::NoEncoder)?;
        }
        let shared = Arc::<Shared>::default();
        let writer = Writer {
            camera: camera.to_owned(),
            store: self.store.clone(),
            shared: shared.clone(),
            clip: None,
            synced: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("rec:{camera}"))
            .spawn(move || writer.run())
            .map_err(RecordError::Thread)?;
        let mut recording = Recording { shared, paused: true, thread };
        self.go_on(camera, &mut recording);
        if let Some(over) = inner.running.insert(camera.to_owned(), recording) {
            inner.leaving.push(over);
        }
        Ok(())
    }

    /// Takes frames from now on.
    fn go_on(&self, camera: &str, recording: &mut Recording) {
        if !std::mem::take(&mut recording.paused) {
            return;
        }
        recording.shared.queue.open();
        let shared = Arc::downgrade(&recording.shared);
        let sink = Arc::new(move |frame: &Arc<Frame>| {
            if let Some(shared) = shared.upgrade() {
                shared.queue.push(frame);
            }
        });
        let watch = self.hub.stream(&format!("{camera}/jpeg")).watch(0, sink);
        *lock(&recording.shared.watch) = Some(watch);
        // A thread that ended meanwhile has looked for the watch before it was there.
        if recording.is_over() {
            recording.shared.unwatch();
        }
    }

    /// Leaves frames out from now on; their time does not pass in the file. Whoever encodes only for this recording rests.
    ///
    /// # Errors
    ///
    /// When the camera is not recorded.
    pub fn pause(&self, camera: &str) -> Result<(), RecordError> {
        let mut inner = lock(&self.inner);
        let recording = running(&mut inner, camera)?;
        if !std::mem::replace(&mut recording.paused, true) {
            recording.shared.queue.pause();
            recording.shared.unwatch();
        }
        Ok(())
    }

    /// Goes on after a pause, in the same file.
    ///
    /// # Errors
    ///
    /// When the camera is not recorded.
    pub fn resume(&self, camera: &str) -> Result<(), RecordError> {
        let mut inner = lock(&self.inner);
        let recording = running(&mut inner, camera)?;
        self.go_on(camera, recording);
        Ok(())
    }

    /// Ends the recording of a camera, if there is one. Everything that came before is written; when that is done, the file
    /// is told as closed.
    pub fn stop(&self, camera: &str) {
        let mut inner = lock(&self.inner);
        if let Some(recording) = inner.running.remove(camera) {
            recording.shared.queue.end();
            recording.shared.unwatch();
            inner.leaving.push(recording);
        }
    }

    /// Whether a camera is recorded, and into what.
    #[must_use]
    pub fn status(&self, camera: &str) -> RecordStatus {
        let inner = lock(&self.inner);
        let Some(recording) = inner.running.get(camera) else { return RecordStatus::Off };
        let progress = lock(&recording.shared.progress).clone();
        if progress.is_over {
            return RecordStatus::Off;
        }
        let paused = recording.paused;
        let writer::Progress { file, since_unix_ms, bytes, duration, dropped, .. } = progress;
        let progress = Progress { file, since_unix_ms, bytes, duration, dropped };
        if paused { RecordStatus::Paused(progress) } else { RecordStatus::On(progress) }
    }

    /// Ends all recordings and waits for their files, until `deadline` at most. False when some were not finished by then.
    pub fn shutdown(&self, deadline: Instant) -> bool {
        let leaving = {
            let mut inner = lock(&self.inner);
            let running = std::mem::take(&mut inner.running);
            let mut leaving = std::mem::take(&mut inner.leaving);
            leaving.extend(running.into_values());
            leaving
        };
        for recording in &leaving {
            recording.shared.queue.end();
            recording.shared.unwatch();
        }
        let mut all = true;
        for recording in leaving {
            // There is no way to join with a limit; a disk takes milliseconds or hangs.
            while !recording.thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
            all &= recording.thread.is_finished();
        }
        all
    }
}

fn running<'a>(inner: &'a mut Inner, camera: &str) -> Result<&'a mut Recording, RecordError> {
    let running = inner.running.get_mut(camera).filter(|r| !r.is_over());
    running.ok_or_else(|| RecordError::Off(camera.to_owned()))
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.shutdown(Instant::now() + DROP_WAIT) {
            tracing::warn!("a recording was not finished in time; it is when the gateway starts again");
        }
        self.store.stop();
    }
}
