//! From the camera's JPEG pictures to H.264, by whatever encoder this machine has.

use crate::packages::advice_for_element;
use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use std::time::{Duration, Instant};

/// The encoders, the preferred one first, and how each is set up for a rate in bits a second.
const ENCODERS: [&str; 3] = ["v4l2h264enc", "x264enc", "openh264enc"];
/// The most pictures that the encoder holds before the camera's have to wait.
const MAX_INSIDE: u64 = 8;
/// An encoder that gives nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bits for each pixel and picture: enough for a camera that stands still.
const BITS_PER_PIXEL: f64 = 0.1;

/// What comes out: one picture.
pub(crate) struct Unit {
    /// Its time in the file, in nanoseconds.
    pub(crate) ns: u64,
    /// Whether it can be decoded without those before.
    pub(crate) key: bool,
    pub(crate) data: gst::MappedBuffer<gst::buffer::Readable>,
    /// What a decoder needs before the first picture.
    pub(crate) private: Option<gst::MappedBuffer<gst::buffer::Readable>>,
}

/// An encoder for one file.
pub(crate) struct Encoder {
    pipeline: gst::Pipeline,
    input: gst_app::AppSrc,
    output: gst_app::AppSink,
}

/// The encoder of this machine, or a sentence that says what to install.
pub(crate) fn find() -> Result<&'static str, String> {
    gst::init().map_err(|e| format!("cannot start GStreamer: {e}: install gstreamer1.0-plugins-base"))?;
    for element in ["jpegdec", "videoconvert", "h264parse"] {
        if gst::ElementFactory::find(element).is_none() {
            return Err(format!(
                "recording in H.264 needs the element `{element}`: {}",
                advice_for_element(element)
            ));
        }
    }
    installed().ok_or_else(|| {
        let (free, gpl) = (advice_for_element("openh264enc"), advice_for_element("x264enc"));
        format!("there is no H.264 encoder here: {free}, or for a better one {gpl}; or set codec = \"mjpeg\"")
    })
}

/// The encoder of this machine, if it has one and the parser that goes with each. GStreamer must have been started.
pub(crate) fn installed() -> Option<&'static str> {
    let is_there = |element: &&str| gst::ElementFactory::find(element).is_some();
    ENCODERS.into_iter().find(is_there).filter(|_| is_there(&"h264parse"))
}

/// The part of a pipeline that makes H.264, as files have it, of raw pictures.
pub(crate) fn elements(encoder: &str, width: u32, height: u32) -> String {
    let bits = (f64::from(width) * f64::from(height) * 30.0 * BITS_PER_PIXEL).max(200_000.0) as u64;
    // A key picture every second: what a crash leaves is worth more, and a player can jump.
    let encoder = match encoder {
        "v4l2h264enc" => format!(
            "video/x-raw,format={{I420,NV12}} ! v4l2h264enc extra-controls=\"controls,video_bitrate={bits},h264_i_frame_period=30\" \
             ! video/x-h264,profile=main"
        ),
        "x264enc" => format!(
            "video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=veryfast key-int-max=30 bitrate={}",
            bits / 1000
        ),
        _ => format!(
            "video/x-raw,format=I420 ! openh264enc complexity=low gop-size=30 rate-control=bitrate bitrate={bits}"
        ),
    };
    format!("videoconvert ! {encoder} ! h264parse ! video/x-h264,stream-format=avc,alignment=au")
}

fn text(encoder: &str, width: u32, height: u32) -> String {
    let elements = elements(encoder, width, height);
    format!(
        "appsrc name=input format=time ! jpegdec ! {elements} ! appsink name=output sync=false async=false"
    )
}

impl Encoder {
    pub(crate) fn new(width: u32, height: u32) -> Result<Self, String> {
        let pipeline = gst::parse::launch(&text(find()?, width, height))
            .map_err(|e| e.message().to_owned())?
            .downcast::<gst::Pipeline>()
            .map_err(|_| "not a pipeline")?;
        let input = pipeline.by_name("input").and_then(|e| e.downcast::<gst_app::AppSrc>().ok());
        let output = pipeline.by_name("output").and_then(|e| e.downcast::<gst_app::AppSink>().ok());
        let (input, output) = (input.ok_or("no appsrc")?, output.ok_or("no appsink")?);
        let side = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let caps = gst::Caps::builder("image/jpeg")
            .field("width", side(width))
            .field("height", side(height))
            .field("framerate", gst::Fraction::new(30, 1))
            .build();
        input.set_caps(Some(&caps));
        input.set_max_bytes(0);
        let encoder = Self { pipeline, input, output };
        encoder.pipeline.set_state(gst::State::Playing).map_err(|_| encoder.problem())?;
        Ok(encoder)
    }

    /// Gives it a picture and takes what is ready.
    pub(crate) fn push(&self, data: Bytes, ns: u64, mut take: impl FnMut(Unit)) -> Result<(), String> {
        let mut last = Instant::now();
        loop {
            // Its own queue has no end, so that it cannot keep us waiting in a place where nothing can be taken out.
            let must_wait = self.input.current_level_buffers() >= MAX_INSIDE;
            let wait = if must_wait { 20 } else { 0 };
            if let Some(sample) = self.output.try_pull_sample(gst::ClockTime::from_mseconds(wait)) {
                take(unit(&sample).ok_or("the encoder gives what cannot be read")?);
                last = Instant::now();
                continue;
            }
            if !must_wait {
                break;
            }
            if self.has_failed() || last.elapsed() > PATIENCE {
                return Err(self.problem());
            }
        }
        let mut buffer = gst::Buffer::from_slice(data);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::from_nseconds(ns));
        }
        self.input.push_buffer(buffer).map_err(|_| self.problem())?;
        Ok(())
    }

    /// Takes what is still inside.
    pub(crate) fn finish(self, mut take: impl FnMut(Unit)) -> Result<(), String> {
        self.input.end_of_stream().map_err(|_| self.problem())?;
        let mut last = Instant::now();
        while !self.output.is_eos() {
            if let Some(sample) = self.output.try_pull_sample(gst::ClockTime::from_mseconds(20)) {
                take(unit(&sample).ok_or("the encoder gives what cannot be read")?);
                last = Instant::now();
            } else if !self.output.is_eos() && (self.has_failed() || last.elapsed() > PATIENCE) {
                return Err(self.problem());
            }
        }
        Ok(())
    }

    fn has_failed(&self) -> bool {
        self.pipeline
            .bus()
            .is_some_and(|bus| bus.peek().is_some_and(|m| m.type_() == gst::MessageType::Error))
            || self.pipeline.bus().is_some_and(|bus| {
                // Whatever else is told would otherwise pile up before the error.
                bus.pop_filtered(&[gst::MessageType::StateChanged, gst::MessageType::StreamStatus]);
                false
            })
    }

    fn problem(&self) -> String {
        let error = self.pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
        match error.as_deref().map(gst::MessageRef::view) {
            Some(gst::MessageView::Error(error)) => format!("the encoder fails: {}", error.error().message()),
            _ => "the encoder hangs: set codec = \"mjpeg\", or use another encoder".into(),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn unit(sample: &gst::Sample) -> Option<Unit> {
    let private = sample.caps().and_then(|c| c.structure(0)?.get::<gst::Buffer>("codec_data").ok());
    let buffer = sample.buffer_owned()?;
    let ns = buffer.pts()?.nseconds();
    let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let data = buffer.into_mapped_buffer_readable().ok()?;
    Some(Unit { ns, key, data, private: private.and_then(|b| b.into_mapped_buffer_readable().ok()) })
}
