//! A recording or a network camera, decoded.

use super::{FilmFormat, FilmFrame, FilmStop, Wanted};
use crate::messages::{error_text, missing_plugin};
use crate::packages::advice_for_element;
use crate::source::hide;
use crate::{MediaError, Source};
use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long one look for a picture takes, after which what the bus says is read.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// A recording that gives nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// A recording in which nothing moves for so long before its first picture never begins.
const IDLE: Duration = Duration::from_secs(2);
/// What is said of a recording that cannot be demuxed or decoded.
const BROKEN: &str = "is broken or was cut off: copy it again, or repair it with ffmpeg";
/// Pictures that are decoded ahead.
const AHEAD: u32 = 4;

/// A picture as it comes out of the decoder.
pub(super) struct Shot {
    sample: gst::Sample,
    pub(super) pts_ns: Option<i64>,
    pub(super) nominal_ns: Option<i64>,
}

pub(super) struct Player {
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
    source: Source,
    /// Without credentials.
    name: String,
    first: Option<gst::Sample>,
    has_begun: bool,
    told: Told,
    /// How long no picture may come; `None` is for ever.
    patience: Option<Duration>,
}

/// What the bus has said.
#[derive(Default)]
struct Told {
    missing_video: Option<String>,
    missing_audio: bool,
}

impl Player {
    pub(super) fn open(
        source: Source,
        name: String,
        wanted: Wanted,
        stop: &FilmStop,
    ) -> Result<Self, MediaError> {
        if let Source::File { path, .. } = &source {
            is_readable(path).map_err(|reason| MediaError::Film { source_name: name.clone(), reason })?;
        }
        let built = build(&source, wanted);
        let (pipeline, sink) =
            built.map_err(|reason| MediaError::Film { source_name: name.clone(), reason })?;
        let patience = match &source {
            Source::Rtsp { .. } => Some(source.grace()),
            // A recording may pause.
            _ => (!wanted.realtime).then_some(PATIENCE),
        };
        let told = Told::default();
        let mut player = Self { pipeline, sink, source, name, first: None, has_begun: false, told, patience };
        if player.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(player.failed());
        }
        player.first = player.pull(stop)?;
        if player.first.is_none() && !stop.is_set() {
            return Err(player.fail("it has no pictures: give a recording with video".into()));
        }
        Ok(player)
    }

    pub(super) fn duration_s(&self) -> Option<f64> {
        let duration = self.pipeline.query_duration::<gst::ClockTime>()?;
        Some(duration.nseconds() as f64 / 1e9).filter(|s| *s > 0.0)
    }

    /// Before the first picture was taken.
    pub(super) fn rate(&self) -> Option<f64> {
        rate(self.first.as_ref()?)
    }

    /// The next picture, or `None` at the end.
    pub(super) fn next(&mut self, stop: &FilmStop) -> Result<Option<Shot>, MediaError> {
        let sample = match self.first.take() {
            Some(sample) => Some(sample),
            None => self.pull(stop)?,
        };
        Ok(sample.filter(|_| !stop.is_set()).map(|sample| {
            let pts = sample.buffer().and_then(gst::BufferRef::pts);
            let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
            let running = pts.and_then(|pts| segment.and_then(|s| s.to_running_time(pts)).or(Some(pts)));
            Shot {
                pts_ns: running.and_then(|time| i64::try_from(time.nseconds()).ok()),
                nominal_ns: rate(&sample).map(|fps| (1e9 / fps) as i64),
                sample,
            }
        }))
    }

    /// The picture as it lies in memory; nothing is copied.
    pub(super) fn frame(&self, shot: &Shot, t_s: f64) -> Result<FilmFrame, MediaError> {
        let caps = shot.sample.caps();
        let info = caps.and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
        let buffer = shot.sample.buffer_owned();
        let (Some(info), Some(buffer)) = (info, buffer) else {
            return Err(self.fail("its decoder gives no pictures: convert the recording".into()));
        };
        let mut offsets = [0; 3];
        let mut strides = [0; 2];
        let mut set = |from: &[usize], stride: &[i32]| {
            for (to, from) in offsets.iter_mut().zip(from) {
                *to = *from;
            }
            for (to, from) in strides.iter_mut().zip(stride) {
                *to = usize::try_from(*from).unwrap_or(0);
            }
        };
        match buffer.meta::<gst_video::VideoMeta>() {
            Some(meta) => set(meta.offset(), meta.stride()),
            None => set(info.offset(), info.stride()),
        }
        let mapped = buffer.into_mapped_buffer_readable();
        let mapped = mapped.map_err(|_| self.fail("its pictures cannot be read: convert it".into()))?;
        Ok(FilmFrame {
            t_s,
            width: info.width(),
            height: info.height(),
            data: Bytes::from_owner(mapped),
            is_grey: info.format() == gst_video::VideoFormat::Gray8,
            offsets,
            strides,
        })
    }

    fn pull(&mut self, stop: &FilmStop) -> Result<Option<gst::Sample>, MediaError> {
        let begun = Instant::now();
        let mut moved = begun;
        while !stop.is_set() {
            if let Some(sample) = self.sink.try_pull_sample(LOOK) {
                self.has_begun = true;
                return Ok(Some(sample));
            }
            let is_eos = self.sink.is_eos();
            if let Some(error) = self.listen() {
                return Err(error);
            }
            if is_eos {
                break;
            }
            if self.has_begun || !self.is_idle() {
                moved = Instant::now();
            } else if moved.elapsed() > IDLE {
                return Err(self.fail(format!("it {BROKEN}")));
            }
            if let Some(patience) = self.patience.filter(|patience| begun.elapsed() > *patience) {
                let (s, advice) = (patience.as_secs(), self.source.advice());
                return Err(self.fail(format!("no picture came for {s} s: {advice}")));
            }
        }
        Ok(None)
    }

    /// Whether no thread of a recording does anything. decodebin loses the error of a demuxer that fails while it is being
    /// connected, and then nothing is told, ever.
    fn is_idle(&self) -> bool {
        let works = |element: gst::Element| {
            element.pads().iter().any(|pad| pad.task_state() == gst::TaskState::Started)
        };
        matches!(self.source, Source::File { .. })
            && !self.pipeline.iterate_recurse().into_iter().flatten().any(works)
    }

    /// Reads what the bus says, and gives the error if there is one.
    fn listen(&mut self) -> Option<MediaError> {
        let bus = self.pipeline.bus()?;
        while let Some(message) = bus.pop() {
            match message.view() {
                gst::MessageView::Element(element) => {
                    if let Some((structure, text)) =
                        element.structure().and_then(|s| Some((s, missing_plugin(s)?)))
                    {
                        let caps = structure.get::<gst::Caps>("detail").ok();
                        let media = caps.and_then(|caps| Some(caps.structure(0)?.name().to_string()));
                        if media.is_some_and(|media| media.starts_with("audio/")) {
                            self.told.missing_audio = true;
                        } else {
                            self.told.missing_video = Some(text);
                        }
                    }
                }
                gst::MessageView::Error(error) => {
                    let text = self.reason(error);
                    return Some(self.fail(text));
                }
                _ => {}
            }
        }
        None
    }

    fn reason(&self, error: &gst::message::Error) -> String {
        if let Some(missing) = &self.told.missing_video {
            return missing.clone();
        }
        let error_value = error.error();
        let message = error_value.message().trim_end_matches('.');
        let is_plugin = error_value.matches(gst::CoreError::MissingPlugin);
        if self.told.missing_audio || is_plugin {
            // Sound was found and left alone, and nothing else.
            return "it has no pictures: give a recording with video".into();
        }
        let is_stream = [gst::StreamError::TypeNotFound, gst::StreamError::WrongType]
            .into_iter()
            .any(|kind| error_value.matches(kind));
        let is_broken = [gst::StreamError::Demux, gst::StreamError::Decode, gst::StreamError::Failed]
            .into_iter()
            .any(|kind| error_value.matches(kind));
        match &self.source {
            Source::File { .. } if is_stream => {
                format!("it is no recording ({message}): give a file that a player plays")
            }
            Source::File { .. } if is_broken => {
                format!("{message}: it {BROKEN}")
            }
            source => error_text(error, source),
        }
    }

    /// Why it does not start.
    fn failed(&mut self) -> MediaError {
        self.listen().unwrap_or_else(|| {
            let advice = self.source.advice();
            self.fail(format!("it does not start: {advice}"))
        })
    }

    fn fail(&self, reason: String) -> MediaError {
        let reason = match &self.source {
            Source::Rtsp { uri } => hide(&reason, uri),
            _ => reason,
        };
        MediaError::Film { source_name: self.name.clone(), reason }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Pictures in a second, as the stream says.
fn rate(sample: &gst::Sample) -> Option<f64> {
    let rate = sample.caps()?.structure(0)?.get::<gst::Fraction>("framerate").ok()?;
    (rate.numer() > 0 && rate.denom() > 0).then(|| f64::from(rate.numer()) / f64::from(rate.denom()))
}

fn is_readable(path: &Path) -> Result<(), String> {
    let opened = std::fs::File::open(path).and_then(|file| file.metadata());
    match opened {
        Ok(metadata) if metadata.is_dir() => Err("it is a folder: give a file in it".into()),
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => {
            Err("it is empty: copy or record it again".into())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file: correct its path".into(),
            std::io::ErrorKind::PermissionDenied => "it may not be read: give yourself the right to".into(),
            _ => format!("{error}: look at the file and its disk"),
        }),
    }
}

fn build(source: &Source, wanted: Wanted) -> Result<(gst::Pipeline, gst_app::AppSink), String> {
    let head = match source {
        Source::Rtsp { .. } => {
            "rtspsrc name=source latency=200 protocols=tcp ! application/x-rtp,media=video"
        }
        _ => "filesrc name=source",
    };
    let size = match wanted.format {
        FilmFormat::Grey { width, height } => format!("format=GRAY8,width={width},height={height}"),
        FilmFormat::I420 { longest: None } => "format=I420".into(),
        // Ranges and square pixels: the scaler keeps the proportions by itself.
        FilmFormat::I420 { longest: Some(n) } => {
            format!("format=I420,width=[1,{n}],height=[1,{n}],pixel-aspect-ratio=1/1")
        }
    };
    let text = format!(
        "{head} ! decodebin caps=video/x-raw(ANY) expose-all-streams=false \
         ! videoflip video-direction=auto ! videoconvertscale add-borders=false ! video/x-raw,{size} \
         ! appsink name=sink max-buffers={AHEAD} drop=false sync={} qos=false",
        wanted.realtime && !matches!(source, Source::Rtsp { .. })
    );
    let mut context = gst::ParseContext::new();
    let parsed = gst::parse::launch_full(&text, Some(&mut context), gst::ParseFlags::FATAL_ERRORS);
    let pipeline = parsed.map_err(|error| match context.missing_elements().first() {
        Some(element) => format!("there is no element `{element}` here: {}", advice_for_element(element)),
        None => format!("{}: report it", error.message().trim_end_matches('.')),
    })?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "not a pipeline")?;
    let sink = pipeline.by_name("sink").and_then(|e| e.downcast().ok()).ok_or("no appsink")?;
    let element = pipeline.by_name("source").ok_or("no source")?;
    match source {
        Source::Rtsp { uri } => element.set_property("location", uri),
        Source::File { path, .. } => {
            let path = path.to_str().ok_or("the file's name is not UTF-8: rename it")?;
            element.set_property("location", path);
        }
        _ => {}
    }
    Ok((pipeline, sink))
}
