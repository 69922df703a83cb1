//! Snapshots: one picture in full quality, in a file with the time in its name.

use crate::recorder::Removed;
use crate::recorder::folder::{self, Folder, FreeSpace, Limits, megabytes};
use crate::{lock, picture, still};
use bytes::Bytes;
use gantry_core::config;
use gantry_core::frames::{Format, Frame, Hub, Watch};
use gstreamer as gst;
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// The most snapshots that wait at once.
const MAX_WAITING: usize = 4;
/// A camera that gives nothing for so long gives no snapshot.
const PATIENCE: Duration = Duration::from_secs(5);
/// Limits are looked at this often.
const SELDOM: Duration = Duration::from_secs(60);

/// A picture that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// When it was captured, in ms since the Unix epoch.
    pub captured_unix_ms: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Its size.
    pub bytes: u64,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The name could leave the folder.
    #[error("`{0}` is no camera's name: use one from the configuration")]
    Name(String),
    /// Too many are waiting.
    #[error("{MAX_WAITING} snapshots wait already: try again in a second")]
    Busy,
    /// The camera gave no frame.
    #[error("camera {0} gives no pictures: look at its status")]
    NoFrame(String),
    /// There is too little room on the disk.
    #[error(
        "{} has {free} free, and {least} are to be left: remove files, or lower snapshots.min_free_bytes",
        dir.display()
    )]
    NoRoom {
        /// The folder of snapshots.
        dir: PathBuf,
        /// What is free.
        free: String,
        /// What is to be left.
        least: String,
    },
    /// The picture cannot be encoded.
    #[error("the picture of camera {camera} cannot be encoded: {reason}")]
    Encoder {
        /// The camera.
        camera: String,
        /// What is wrong, and the next step.
        reason: String,
    },
    /// The file cannot be written.
    #[error("cannot write into {}: {source}: correct snapshots.dir, its permissions, or the disk", dir.display())]
    Write {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The gateway is ending.
    #[error("the gateway is ending: try again when it runs")]
    Ending,
}

/// Takes the picture, or why there is none. Called once, on the snapshots' thread.
pub type Reply = Box<dyn FnOnce(Result<Snapshot, SnapshotError>) + Send>;
/// Whether a camera gives JPEG of its own, so that nothing better can be had than what `CAMERA/jpeg` is.
pub type PassesJpeg = Arc<dyn Fn(&str) -> bool + Send + Sync>;
/// Takes what was removed because there are limits, on the snapshots' thread.
pub type OnRemoved = Arc<dyn Fn(Removed) + Send + Sync>;

enum Order {
    Take { camera: String, reply: Reply, waiting: Waiting },
    Frame(u64, Arc<Frame>),
    Configure(PathBuf, config::Snapshots),
    Stop,
}

/// A place among those that wait.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Takes snapshots. Dropping it answers those that wait with an error.
pub struct Snapshots {
    orders: Mutex<Sender<Order>>,
    waiting: Arc<AtomicUsize>,
}

impl Snapshots {
    /// Snapshots of the hub's cameras, written into `dir`.
    #[must_use]
    pub fn new(
        hub: Arc<Hub>,
        dir: PathBuf,
        settings: config::Snapshots,
        passes_jpeg: PassesJpeg,
        on_removed: OnRemoved,
    ) -> Self {
        Self::with_free_space(hub, dir, settings, passes_jpeg, on_removed, folder::free_space())
    }

    /// As [`Snapshots::new`], but `free` says how much room the disk has.
    #[must_use]
    pub fn with_free_space(
        hub: Arc<Hub>,
        dir: PathBuf,
        settings: config::Snapshots,
        passes_jpeg: PassesJpeg,
        on_removed: OnRemoved,
        free: FreeSpace,
    ) -> Self {
        let (orders, received) = channel();
        let folder = Folder { dir, extension: "jpg" };
        let sender = orders.clone();
        let worker = Worker {
            hub,
            folder,
            settings,
            passes_jpeg,
            on_removed,
            free,
            sender,
            pending: Vec::new(),
            last_id: 0,
        };
        let spawned =
            std::thread::Builder::new().name("snapshots".into()).spawn(move || worker.run(&received));
        if let Err(error) = spawned {
            tracing::error!(%error, "cannot start a thread, and there are no snapshots: raise the limit of tasks");
        }
        Self { orders: Mutex::new(orders), waiting: Arc::default() }
    }

    /// Writes the next frame of a camera and tells `reply` where it is. Returns at once.
    pub fn take(&self, camera: &str, reply: Reply) {
        if !folder::is_safe(camera) {
            return reply(Err(SnapshotError::Name(camera.to_owned())));
        }
        let place = Waiting(self.waiting.clone());
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= MAX_WAITING {
            return reply(Err(SnapshotError::Busy));
        }
        let order = Order::Take { camera: camera.to_owned(), reply, waiting: place };
        if let Err(std::sync::mpsc::SendError(Order::Take { reply, .. })) = lock(&self.orders).send(order) {
            reply(Err(SnapshotError::Ending));
        }
    }

    /// Changes the settings.
    pub fn configure(&self, dir: PathBuf, settings: config::Snapshots) {
        let _ = lock(&self.orders).send(Order::Configure(dir, settings));
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        let _ = lock(&self.orders).send(Order::Stop);
    }
}

/// One that waits for its frame.
struct Pending {
    id: u64,
    camera: String,
    deadline: Instant,
    reply: Reply,
    _watch: Watch,
    _waiting: Waiting,
}

struct Worker {
    hub: Arc<Hub>,
    folder: Folder,
    settings: config::Snapshots,
    passes_jpeg: PassesJpeg,
    on_removed: OnRemoved,
    free: FreeSpace,
    sender: Sender<Order>,
    pending: Vec<Pending>,
    last_id: u64,
}

impl Worker {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut tidied: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if tidied.is_none_or(|then| now.saturating_duration_since(then) >= SELDOM) {
                self.tidy();
                tidied = Some(now);
            }
            let due = self.pending.iter().map(|p| p.deadline.saturating_duration_since(now)).min();
            match orders.recv_timeout(due.unwrap_or(SELDOM).min(SELDOM)) {
                Ok(Order::Take { camera, reply, waiting }) => self.watch(camera, reply, waiting),
                Ok(Order::Frame(id, frame)) => {
                    let Some(at) = self.pending.iter().position(|p| p.id == id) else { continue };
                    let Pending { camera, reply, _watch, _waiting, .. } = self.pending.swap_remove(at);
                    // The camera need not make more of them while this one is encoded.
                    drop(_watch);
                    reply(self.write(&camera, &frame));
                    tidied = None;
                }
                Ok(Order::Configure(dir, settings)) => {
                    (self.folder.dir, self.settings) = (dir, settings);
                    tidied = None;
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            while let Some(at) = self.pending.iter().position(|p| p.deadline <= now) {
                let Pending { camera, reply, .. } = self.pending.swap_remove(at);
                reply(Err(SnapshotError::NoFrame(camera)));
            }
        }
        let rest = orders.try_iter().filter_map(|order| match order {
            Order::Take { reply, .. } => Some(reply),
            _ => None,
        });
        for reply in self.pending.drain(..).map(|p| p.reply).chain(rest) {
            reply(Err(SnapshotError::Ending));
        }
    }

    fn watch(&mut self, camera: String, reply: Reply, waiting: Waiting) {
        if let Err(error) = self.has_room(&camera) {
            return reply(Err(error));
        }
        self.last_id += 1;
        let stream = if (self.passes_jpeg)(&camera) { "jpeg" } else { "raw" };
        let (id, sender, first) = (self.last_id, Mutex::new(self.sender.clone()), AtomicUsize::new(0));
        let sink = Arc::new(move |frame: &Arc<Frame>| {
            if first.fetch_add(1, Ordering::AcqRel) == 0 {
                let _ = lock(&sender).send(Order::Frame(id, frame.clone()));
            }
        });
        let watch = self.hub.stream(&format!("{camera}/{stream}")).watch(0, sink);
        let deadline = Instant::now() + PATIENCE;
        self.pending.push(Pending { id, camera, deadline, reply, _watch: watch, _waiting: waiting });
    }

    fn has_room(&self, camera: &str) -> Result<(), SnapshotError> {
        let dir = self.folder.of(camera).map_err(|e| self.fail(e))?;
        let free = (self.free)(&dir).map_err(|e| self.fail(e))?;
        let least = self.settings.min_free_bytes;
        if free >= least {
            return Ok(());
        }
        let (dir, free, least) = (self.folder.dir.clone(), megabytes(free), megabytes(least));
        Err(SnapshotError::NoRoom { dir, free, least })
    }

    fn fail(&self, source: io::Error) -> SnapshotError {
        SnapshotError::Write { dir: self.folder.dir.clone(), source }
    }

    fn write(&self, camera: &str, frame: &Frame) -> Result<Snapshot, SnapshotError> {
        let jpeg = encode(frame, self.settings.jpeg_quality)
            .map_err(|reason| SnapshotError::Encoder { camera: camera.to_owned(), reason })?;
        let path = self.store(camera, frame.captured_unix_ns, &jpeg).map_err(|e| self.fail(e))?;
        Ok(Snapshot {
            path,
            captured_unix_ms: frame.captured_unix_ns / 1_000_000,
            width: frame.width,
            height: frame.height,
            bytes: jpeg.len() as u64,
        })
    }

    /// Writes beside the place and moves it there, so that nobody ever sees half a picture.
    fn store(&self, camera: &str, unix_ns: u64, jpeg: &[u8]) -> io::Result<PathBuf> {
        let dir = self.folder.of(camera)?;
        let temporary = dir.join(".snapshot.tmp");
        let written = write_new(&temporary, jpeg).and_then(|()| {
            for path in self.folder.names(camera, unix_ns) {
                // A link is made only where nothing is; renaming would replace what is there.
                match std::fs::hard_link(&temporary, &path) {
                    Ok(()) => {
                        folder::sync_dir(&path);
                        return Ok(path);
                    }
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                    // Some file systems have no links. Only this thread makes such names.
                    Err(_) if !path.exists() => return std::fs::rename(&temporary, &path).map(|()| path),
                    Err(_) => {}
                }
            }
            Err(io::Error::other("there are a thousand files of this time: correct the clock"))
        });
        let _ = std::fs::remove_file(&temporary);
        written
    }

    fn tidy(&self) {
        let limits = Limits { max_bytes: self.settings.max_bytes, max_age: self.settings.max_age };
        for removed in self.folder.keep_to(limits, &HashSet::new(), SystemTime::now()) {
            (self.on_removed)(removed);
        }
    }
}

fn write_new(path: &Path, data: &[u8]) -> io::Result<()> {
    // What a crash left here is not in the way.
    let _ = std::fs::remove_file(path);
    let mut file = folder::create_new(path)?;
    file.write_all(data)?;
    file.sync_data()
}

/// The picture as JPEG: as it is if the camera made it, else encoded in this quality.
fn encode(frame: &Frame, quality: u32) -> Result<Bytes, String> {
    if frame.format == Format::Jpeg {
        return Ok(frame.data.clone());
    }
    gst::init().map_err(|e| format!("cannot start GStreamer: {e}: install gstreamer1.0-plugins-good"))?;
    let (info, data) = picture::raw(frame)?;
    // Snapshots are rare: no encoder is kept for them.
    let quality = u8::try_from(quality.clamp(1, 100)).unwrap_or(100);
    still::Encoder::new(quality)?.encode(&info, gst::Buffer::from_slice(data))
}
