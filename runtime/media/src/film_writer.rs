//! Films written to a file.

use crate::packages::advice_for_element;
use crate::recorder::h264;
use crate::{I420View, MediaError, picture};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The most pictures that wait for the encoder.
const MAX_INSIDE: u64 = 8;
/// An encoder or a disk that does nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one look at the bus takes.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(20);
/// JPEG quality of films without H.264.
const JPEG_QUALITY: u32 = 85;
/// The least side of a film, in pixels.
const SMALLEST: u32 = 16;

/// How a film's pictures are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilmCodec {
    /// What every player plays.
    H264,
    /// JPEG pictures, because there is no H.264 encoder here. Larger, and browsers do not play it.
    Mjpeg,
}

impl FilmCodec {
    /// What to do for H.264, where a film is not encoded so.
    #[must_use]
    pub fn advice(self) -> Option<String> {
        (self == Self::Mjpeg).then(|| {
            let (free, gpl) = (advice_for_element("openh264enc"), advice_for_element("x264enc"));
            format!(
                "the film has JPEG pictures, because there is no H.264 encoder here: {free}, or for a better one {gpl}"
            )
        })
    }
}

/// Writes an .mp4 file, picture by picture. A film that is dropped without [`FilmWriter::finish`] is removed: without its
/// index, which is written last, nothing plays it.
pub struct FilmWriter {
    pipeline: gst::Pipeline,
    input: gst_app::AppSrc,
    path: PathBuf,
    /// As written: sides are even.
    size: (u32, u32),
    codec: FilmCodec,
    /// How long the last picture is shown; the others are shown until the next one.
    step: gst::ClockTime,
    last_ns: Option<u64>,
    finished: bool,
}

impl FilmWriter {
    /// Begins a film of pictures of this size; an odd last column or row is left out, which H.264 cannot have. `fps` is about
    /// how many pictures a second there will be. What is at `path` is replaced.
    ///
    /// # Errors
    /// [`MediaError::FilmWriter`] when the file cannot be made or the pictures not be encoded.
    pub fn create(path: &Path, width: u32, height: u32, fps: f64) -> Result<Self, MediaError> {
        crate::init()?;
        let codec = if h264::installed().is_some() { FilmCodec::H264 } else { FilmCodec::Mjpeg };
        Self::with_codec(path, (width, height), fps, codec)
    }

    /// As [`FilmWriter::create`], in this encoding.
    ///
    /// # Errors
    /// Also when there is no such encoder.
    pub fn with_codec(
        path: &Path,
        (width, height): (u32, u32),
        fps: f64,
        codec: FilmCodec,
    ) -> Result<Self, MediaError> {
        crate::init()?;
        let fail = |reason: String| MediaError::FilmWriter { path: path.to_owned(), reason };
        let size = (width & !1, height & !1);
        if size.0 < SMALLEST || size.1 < SMALLEST {
            let reason =
                format!("its pictures have {width}x{height} and need {SMALLEST}x{SMALLEST} at least");
            return Err(fail(format!("{reason}: make them larger")));
        }
        // Said here in better words than GStreamer has, and before anything is computed.
        std::fs::File::create(path)
            .map_err(|e| fail(format!("{e}: give a file in a folder that you may write to")))?;
        let fps = if fps.is_finite() { fps.clamp(0.1, 240.0) } else { 30.0 };
        let built = build(path, size, fps, codec);
        let (pipeline, input) = built.map_err(|reason| {
            let _ = std::fs::remove_file(path);
            fail(reason)
        })?;
        let step = gst::ClockTime::from_nseconds((1e9 / fps) as u64);
        let path = path.to_owned();
        let writer = Self { pipeline, input, path, size, codec, step, last_ns: None, finished: false };
        writer.pipeline.set_state(gst::State::Playing).map_err(|_| writer.problem())?;
        Ok(writer)
    }

    /// How it is encoded.
    #[must_use]
    pub fn codec(&self) -> FilmCodec {
        self.codec
    }

    /// Adds a picture that is shown from second `t_s` on, later than the one before. Waits while the encoder is behind.
    ///
    /// # Errors
    /// [`MediaError::FilmWriter`] when the picture has another size, or when encoding or writing failed: the film is then lost.
    pub fn push(&mut self, view: &I420View<'_>, t_s: f64) -> Result<(), MediaError> {
        let (width, height) = self.size;
        if (view.width & !1, view.height & !1) != self.size {
            let (w, h) = (view.width, view.height);
            return Err(
                self.fail(format!("a picture has {w}x{h} and the film {width}x{height}: keep one size"))
            );
        }
        let even = I420View { width, height, ..*view };
        let (_, mut buffer) = picture::lay_out(&even).map_err(|reason| self.fail(reason))?;
        let asked = Duration::try_from_secs_f64(t_s).map_or(0, |t| u64::try_from(t.as_nanos()).unwrap_or(0));
        let ns = self.last_ns.map_or(asked, |last| asked.max(last + 1_000_000));
        self.last_ns = Some(ns);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(ns));
            buffer.set_duration(self.step);
        }
        // Its own queue has no end, so that it cannot keep us waiting after an error.
        let begun = Instant::now();
        while self.input.current_level_buffers() >= MAX_INSIDE {
            if let Some(error) = self.listen(LOOK) {
                return Err(error);
            }
            if begun.elapsed() > PATIENCE {
                return Err(self.problem());
            }
        }
        self.input.push_buffer(buffer).map_err(|_| self.problem())?;
        Ok(())
    }

    /// Writes what is still to be written, and the file's index.
    ///
    /// # Errors
    /// [`MediaError::FilmWriter`] when that fails: the film is then lost.
    pub fn finish(mut self) -> Result<(), MediaError> {
        if self.last_ns.is_none() {
            return Err(self.fail("there was no picture: give it one at least".into()));
        }
        self.input.end_of_stream().map_err(|_| self.problem())?;
        let bus = self.pipeline.bus().ok_or_else(|| self.problem())?;
        let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
        let patience = gst::ClockTime::from_seconds(PATIENCE.as_secs());
        let message = bus.timed_pop_filtered(patience, &wanted).ok_or_else(|| self.problem())?;
        if let gst::MessageView::Error(error) = message.view() {
            return Err(self.fail(reason(error)));
        }
        self.finished = true;
        Ok(())
    }

    fn listen(&self, wait: gst::ClockTime) -> Option<MediaError> {
        let bus = self.pipeline.bus()?;
        // Whatever else is told would otherwise pile up.
        while bus.peek().is_some_and(|m| m.type_() != gst::MessageType::Error) {
            bus.pop();
        }
        let message = bus.timed_pop_filtered(wait, &[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(self.fail(reason(error))),
            _ => None,
        }
    }

    fn problem(&self) -> MediaError {
        let hangs = "the encoder or the disk hangs: look at the disk, or try another encoder";
        self.listen(gst::ClockTime::ZERO).unwrap_or_else(|| self.fail(hangs.into()))
    }

    fn fail(&self, reason: String) -> MediaError {
        MediaError::FilmWriter { path: self.path.clone(), reason }
    }
}

impl Drop for FilmWriter {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
        if !self.finished {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn reason(error: &gst::message::Error) -> String {
    let (error, element) = (error.error(), error.src().map_or_else(String::new, |s| s.name().to_string()));
    let message = error.message().trim_end_matches('.');
    if error.matches(gst::ResourceError::NoSpaceLeft) {
        return "the disk is full: make room, or give a file on another disk".into();
    }
    format!("{element}: {message}: look at the disk, or try another size")
}

fn build(
    path: &Path,
    (width, height): (u32, u32),
    fps: f64,
    codec: FilmCodec,
) -> Result<(gst::Pipeline, gst_app::AppSrc), String> {
    let encode = match codec {
        FilmCodec::H264 => format!("{} ! mp4mux", h264::elements(h264::find()?, width, height)),
        // mp4mux takes no JPEG; qtmux writes the same kind of file, in which it is allowed.
        FilmCodec::Mjpeg => format!("jpegenc quality={JPEG_QUALITY} ! qtmux"),
    };
    let text = format!("appsrc name=input format=time max-bytes=0 ! {encode} ! filesink name=file");
    let mut context = gst::ParseContext::new();
    let parsed = gst::parse::launch_full(&text, Some(&mut context), gst::ParseFlags::FATAL_ERRORS);
    let pipeline = parsed.map_err(|error| match context.missing_elements().first() {
        Some(element) => format!("there is no element `{element}` here: {}", advice_for_element(element)),
        None => format!("{}: report it", error.message().trim_end_matches('.')),
    })?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "not a pipeline")?;
    let input = pipeline.by_name("input").and_then(|e| e.downcast::<gst_app::AppSrc>().ok());
    let (input, file) = (input.ok_or("no appsrc")?, pipeline.by_name("file").ok_or("no filesink")?);
    file.set_property("location", path.to_str().ok_or("the file's name is not UTF-8: rename it")?);
    let mut caps = picture::info(gstreamer_video::VideoFormat::I420, width, height)?
        .to_caps()
        .map_err(|e| e.to_string())?;
    caps.make_mut().set("framerate", gst::Fraction::new((fps * 1000.0).round() as i32, 1000));
    input.set_caps(Some(&caps));
    Ok((pipeline, input))
}
