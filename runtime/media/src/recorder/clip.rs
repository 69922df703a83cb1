//! One file of a recording, from its first frame to its end.

use super::ebml::Track;
use super::folder::{self, Folder};
use super::h264::{Encoder, Unit};
use super::matroska::Movie;
use super::timeline::Timeline;
use gantry_core::config::Codec;
use gantry_core::frames::Frame;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a file has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) duration_ms: u64,
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
}

/// A file that is being written.
pub(crate) struct Clip {
    pub(crate) path: PathBuf,
    pub(crate) start_unix_ns: u64,
    /// Width and height of all of its frames.
    pub(crate) size: (u32, u32),
    pub(crate) dropped_before: u64,
    timeline: Timeline,
    output: Output,
    encoder: Option<Encoder>,
}

/// The file; an encoder has to give its first picture before the file can have a beginning.
enum Output {
    Waiting(File),
    Begun(Movie),
    /// What is said of a file when nothing could be kept of it.
    Lost,
}

impl Clip {
    /// Creates the file for a recording that begins with `frame`. `reserve` is told each name before it is tried.
    pub(crate) fn create(
        folder: &Folder,
        camera: &str,
        codec: Codec,
        frame: &Frame,
        dropped_before: u64,
        mut reserve: impl FnMut(&Path),
    ) -> io::Result<Self> {
        folder.of(camera)?;
        let size = (frame.width, frame.height);
        let encoder = match codec {
            Codec::Mjpeg => None,
            Codec::H264 => Some(Encoder::new(size.0, size.1).map_err(io::Error::other)?),
        };
        for path in folder.names(camera, frame.captured_unix_ns) {
            reserve(&path);
            let file = match folder::create_new(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other?,
            };
            let start_unix_ns = frame.captured_unix_ns;
            let timeline = Timeline::default();
            let output = Output::Waiting(file);
            let mut clip = Self { path, start_unix_ns, size, dropped_before, timeline, output, encoder };
            if clip.encoder.is_none() {
                clip.begin("V_MJPEG", &[])?;
            }
            folder::sync_dir(&clip.path);
            return Ok(clip);
        }
        Err(io::Error::other("there are a thousand files of this time: correct the clock"))
    }

    fn begin(&mut self, codec: &'static str, private: &[u8]) -> io::Result<()> {
        let (width, height) = self.size;
        let track = Track { codec, private, width, height };
        if let Output::Waiting(file) = &self.output {
            let movie = Movie::create(file.try_clone()?, track, self.start_unix_ns)?;
            self.output = Output::Begun(movie);
        }
        Ok(())
    }

    /// Whether the next frame belongs into the next file, by the time that this one lasts.
    pub(crate) fn is_full(&self, segment: Duration, max_bytes: u64) -> bool {
        u128::from(self.timeline.duration()) >= segment.as_nanos() || self.bytes() >= max_bytes
    }

    pub(crate) fn append(&mut self, frame: &Frame) -> io::Result<()> {
        let before = self.timeline.clone();
        let ns = self.timeline.place(frame.captured_monotonic_ns);
        let result = self.write_at(frame, ns);
        if result.is_err() {
            // What could not be written does not make the file longer.
            self.timeline = before;
        }
        result
    }

    fn write_at(&mut self, frame: &Frame, ns: u64) -> io::Result<()> {
        if let Some(encoder) = &self.encoder {
            let mut units = Vec::new();
            encoder.push(frame.data.clone(), ns, |unit| units.push(unit)).map_err(io::Error::other)?;
            return units.into_iter().try_for_each(|unit| self.write(&unit));
        }
        match &mut self.output {
            Output::Begun(movie) => movie.append(milliseconds(ns), true, &frame.data),
            _ => Ok(()),
        }
    }

    fn write(&mut self, unit: &Unit) -> io::Result<()> {
        if let (Output::Waiting(_), Some(private)) = (&self.output, &unit.private) {
            self.begin("V_MPEG4/ISO/AVC", private)?;
        }
        match &mut self.output {
            Output::Begun(movie) => movie.append(milliseconds(unit.ns), unit.key, &unit.data),
            _ => Err(io::Error::other("the encoder does not say what its pictures are: use another one")),
        }
    }

    pub(crate) fn pause(&mut self) {
        self.timeline.pause();
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        match &self.output {
            Output::Begun(movie) => movie.sync(),
            _ => Ok(()),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match &self.output {
            Output::Begun(movie) => movie.bytes(),
            _ => 0,
        }
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.timeline.duration())
    }

    /// Ends the file. It is as whole as it can be even when this fails.
    pub(crate) fn finish(mut self) -> (Outcome, io::Result<()>) {
        let mut result = Ok(());
        if let Some(encoder) = self.encoder.take() {
            let mut units = Vec::new();
            result = encoder.finish(|unit| units.push(unit)).map_err(io::Error::other);
            let written = units.into_iter().try_for_each(|unit| self.write(&unit));
            result = result.and(written);
        }
        let duration_ms = milliseconds(self.timeline.duration());
        match std::mem::replace(&mut self.output, Output::Lost) {
            Output::Begun(movie) => {
                let (frames, bytes) = (movie.frames(), movie.bytes());
                let finished = movie.finish(duration_ms);
                let bytes = *finished.as_ref().unwrap_or(&bytes);
                (Outcome { duration_ms, bytes, frames }, result.and(finished.map(drop)))
            }
            _ => {
                // Nothing came out of the encoder: an empty file helps nobody.
                let removed = std::fs::remove_file(&self.path);
                (Outcome { duration_ms: 0, bytes: 0, frames: 0 }, result.and(removed))
            }
        }
    }
}

fn milliseconds(ns: u64) -> u64 {
    (ns + 500_000) / 1_000_000
}

/// Finishes a file that a crash left: when it began, in ms since the epoch, and what it has come to. `None` when there is
/// nothing to do.
pub(crate) fn repair(path: &Path) -> io::Result<Option<(u64, Outcome)>> {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() == 0 {
        std::fs::remove_file(path)?;
        return Ok(Some((0, Outcome { duration_ms: 0, bytes: 0, frames: 0 })));
    }
    let modified = file.metadata()?.modified();
    let Some(movie) = Movie::reopen(file.try_clone()?)? else { return Ok(None) };
    let (start, frames, duration_ms) = (movie.start_unix_ms(), movie.frames(), movie.likely_duration_ms());
    if frames == 0 {
        std::fs::remove_file(path)?;
        return Ok(Some((start, Outcome { duration_ms: 0, bytes: 0, frames: 0 })));
    }
    let bytes = movie.finish(duration_ms)?;
    // It is as old as its last picture and not as its repair.
    if let Ok(modified) = modified {
        let _ = file.set_modified(modified);
    }
    Ok(Some((start, Outcome { duration_ms, bytes, frames })))
}
