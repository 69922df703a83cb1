//! The thread of one recording.

use super::clip::Clip;
use super::folder::megabytes;
use super::queue::{Next, Queue};
use super::store::Store;
use super::{ClosedWhy, RecordEvent};
use crate::lock;
use gantry_core::frames::{Frame, Watch};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What was written so long ago is brought to the disk.
const SYNC: Duration = Duration::from_secs(1);

/// What others see of a recording.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    pub(crate) file: Option<PathBuf>,
    pub(crate) since_unix_ms: u64,
    pub(crate) bytes: u64,
    pub(crate) duration: Duration,
    pub(crate) dropped: u64,
    pub(crate) is_over: bool,
}

/// What a recording and its thread share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) progress: Mutex<Progress>,
    /// What makes the camera encode for us; none in a pause.
    pub(crate) watch: Mutex<Option<Watch>>,
}

impl Shared {
    /// Nobody encodes for a recording that is over. The watch is dropped outside of its lock.
    pub(crate) fn unwatch(&self) {
        let watch = lock(&self.watch).take();
        drop(watch);
    }
}

/// Leaves nothing behind, however the thread ends.
struct Farewell(Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.queue.end();
        lock(&self.0.progress).is_over = true;
        self.0.unwatch();
    }
}

pub(crate) struct Writer {
    pub(crate) camera: String,
    pub(crate) store: Arc<Store>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clip: Option<Clip>,
    pub(crate) synced: Instant,
}

impl Writer {
    pub(crate) fn run(mut self) {
        let _farewell = Farewell(self.shared.clone());
        loop {
            let result = match self.shared.queue.next(SYNC) {
                Next::Frame(frame) => self.take(&frame),
                Next::Pause => {
                    if let Some(clip) = &mut self.clip {
                        clip.pause();
                    }
                    Ok(())
                }
                Next::Nothing => Ok(()),
                Next::End => {
                    self.close(ClosedWhy::Stopped);
                    return;
                }
            };
            if let Err(why) = result.and_then(|()| self.look(Instant::now())) {
                // From here on frames are for nobody; closing the file may take its time.
                self.shared.queue.end();
                self.shared.unwatch();
                // Who hears of the end may begin anew at once.
                lock(&self.shared.progress).is_over = true;
                tracing::error!(camera = %self.camera, reason = %why, "the recording stopped");
                self.close(why);
                return;
            }
        }
    }

    fn take(&mut self, frame: &Frame) -> Result<(), ClosedWhy> {
        let settings = self.store.settings();
        if let Some(clip) = &self.clip {
            if clip.size != (frame.width, frame.height) {
                self.close(ClosedWhy::SizeChanged);
            } else if clip.is_full(settings.segment(), settings.segment_bytes()) {
                self.close(ClosedWhy::Segment);
            }
        }
        if self.clip.is_none() {
            self.store.check_room()?;
            self.open(frame).map_err(|e| self.why(&e))?;
        }
        let Some(clip) = &mut self.clip else { return Ok(()) };
        let result = clip.append(frame);
        self.show();
        result.map_err(|e| self.why(&e))
    }

    fn open(&mut self, frame: &Frame) -> io::Result<()> {
        let settings = self.store.settings();
        let dropped = self.shared.queue.dropped();
        let mut reserved = Vec::new();
        let reserve = |path: &std::path::Path| {
            self.store.opened(path);
            reserved.push(path.to_path_buf());
        };
        let codec = settings.recording.codec;
        let created = Clip::create(&settings.folder(), &self.camera, codec, frame, dropped, reserve);
        // Names that another file had already are not ours.
        let kept = created.as_ref().ok().map(|clip| clip.path.clone());
        for path in reserved.iter().filter(|p| Some(*p) != kept.as_ref()) {
            self.store.closed(path);
        }
        let clip = created?;
        {
            let mut progress = lock(&self.shared.progress);
            progress.file = Some(clip.path.clone());
            progress.since_unix_ms = clip.start_unix_ns / 1_000_000;
        }
        self.store.tell(RecordEvent::Started { camera: self.camera.clone(), file: clip.path.clone() });
        self.clip = Some(clip);
        self.synced = Instant::now();
        Ok(())
    }

    /// Brings to the disk what is there, now and then, and looks whether the disk has room for more.
    fn look(&mut self, now: Instant) -> Result<(), ClosedWhy> {
        let Some(clip) = &self.clip else { return Ok(()) };
        if now.saturating_duration_since(self.synced) < SYNC {
            return Ok(());
        }
        clip.sync().map_err(|e| self.why(&e))?;
        // From the end and not from the beginning: a disk that takes a second for this is not to do nothing else.
        self.synced = Instant::now();
        self.store.check_room()?;
        self.store.poke();
        Ok(())
    }

    fn show(&self) {
        let Some(clip) = &self.clip else { return };
        let mut progress = lock(&self.shared.progress);
        progress.bytes = clip.bytes();
        progress.duration = clip.duration();
        progress.dropped = self.shared.queue.dropped() - clip.dropped_before;
    }

    fn why(&self, error: &io::Error) -> ClosedWhy {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ClosedWhy::DiskFull,
            _ => ClosedWhy::Error(error.to_string()),
        }
    }

    fn close(&mut self, why: ClosedWhy) {
        let Some(clip) = self.clip.take() else {
            if !matches!(why, ClosedWhy::Stopped) {
                let reason = why.to_string();
                self.store.tell(RecordEvent::Failed { camera: self.camera.clone(), reason });
            }
            return;
        };
        let dropped = self.shared.queue.dropped() - clip.dropped_before;
        let (file, start_unix_ms) = (clip.path.clone(), clip.start_unix_ns / 1_000_000);
        let (outcome, finished) = clip.finish();
        let why = match finished {
            Ok(()) => why,
            // What went wrong first is what matters.
            Err(error) if matches!(why, ClosedWhy::DiskFull | ClosedWhy::Error(_)) => {
                tracing::debug!(camera = %self.camera, %error, "and the file could not be finished");
                why
            }
            Err(error) => self.why(&error),
        };
        {
            let mut progress = lock(&self.shared.progress);
            *progress = Progress { is_over: progress.is_over, ..Progress::default() };
        }
        if dropped > 0 {
            let file = file.display();
            tracing::warn!(camera = %self.camera, %file, dropped, "the disk was too slow for some frames");
        }
        tracing::info!(camera = %self.camera, file = %file.display(), size = megabytes(outcome.bytes), %why, "recorded");
        self.store.tell(RecordEvent::Closed(super::Closed {
            camera: self.camera.clone(),
            file: file.clone(),
            start_unix_ms,
            duration_ms: outcome.duration_ms,
            bytes: outcome.bytes,
            frames: outcome.frames,
            dropped,
            why,
        }));
        self.store.closed(&file);
        self.store.poke_now();
    }
}
