//! Single pictures as JPEG.

use crate::{MediaError, picture};
use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::ops::RangeInclusive;

/// Encoding one picture takes milliseconds.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(5);
/// What libjpeg knows.
const QUALITIES: RangeInclusive<u8> = 1..=100;

/// A picture of three planes that somebody else holds, colour at half the size.
#[derive(Debug, Clone, Copy)]
pub struct I420View<'a> {
    /// Luminance and the two colours.
    pub planes: [&'a [u8]; 3],
    /// Pixels across; the colours have half of them, rounded up.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Bytes from row to row: of luminance, and of the colours.
    pub strides: [usize; 2],
}

/// Encodes pictures as JPEG, one after another, with one encoder that is kept: a few milliseconds each, and nothing between
/// them. The pictures may change their size.
pub struct Still {
    quality: u8,
    /// The size that it was set up for is remembered by the encoder. `None` after a failure, until the next picture.
    encoder: Option<Encoder>,
}

impl Still {
    /// An encoder of this quality, 1 to 100.
    ///
    /// # Errors
    /// [`MediaError::Init`] or [`MediaError::Still`] when GStreamer or its encoder is not there.
    pub fn new(quality: u8) -> Result<Self, MediaError> {
        crate::init()?;
        let quality = quality.clamp(*QUALITIES.start(), *QUALITIES.end());
        Ok(Self { quality, encoder: Some(Encoder::new(quality).map_err(MediaError::Still)?) })
    }

    /// Changes the quality, 1 to 100, from the next picture on.
    pub fn set_quality(&mut self, quality: u8) {
        self.quality = quality.clamp(*QUALITIES.start(), *QUALITIES.end());
        if let Some(encoder) = &self.encoder {
            encoder.set_quality(self.quality);
        }
    }

    /// The picture as JPEG. Waits for it.
    ///
    /// # Errors
    /// [`MediaError::Still`] when the picture has fewer bytes than its size needs, or the encoder fails; the next picture may
    /// be tried.
    pub fn encode(&mut self, view: &I420View<'_>) -> Result<Bytes, MediaError> {
        let (info, buffer) = picture::lay_out(view).map_err(MediaError::Still)?;
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => Encoder::new(self.quality).map_err(MediaError::Still)?,
        };
        let jpeg = encoder.encode(&info, buffer).map_err(MediaError::Still)?;
        // One that failed is not asked again.
        self.encoder = Some(encoder);
        Ok(jpeg)
    }
}

/// The pipeline of it.
pub(crate) struct Encoder {
    pipeline: gst::Pipeline,
    input: gst_app::AppSrc,
    jpegenc: gst::Element,
    output: gst_app::AppSink,
}

impl Encoder {
    /// One that waits for pictures. GStreamer must have been started.
    pub(crate) fn new(quality: u8) -> Result<Self, String> {
        let text = "appsrc name=input format=time ! jpegenc name=encoder ! appsink name=output sync=false";
        let pipeline = gst::parse::launch(text).map_err(|e| {
            let advice = crate::packages::advice_for_element("jpegenc");
            format!("{}: {advice}", e.message().trim_end_matches('.'))
        })?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "not a pipeline")?;
        let input = pipeline.by_name("input").and_then(|e| e.downcast().ok()).ok_or("no appsrc")?;
        let output = pipeline.by_name("output").and_then(|e| e.downcast().ok()).ok_or("no appsink")?;
        let jpegenc = pipeline.by_name("encoder").ok_or("no encoder")?;
        let encoder = Self { pipeline, input, jpegenc, output };
        encoder.set_quality(quality);
        encoder.pipeline.set_state(gst::State::Playing).map_err(|_| "jpegenc does not start: report it")?;
        Ok(encoder)
    }

    fn set_quality(&self, quality: u8) {
        self.jpegenc.set_property("quality", i32::from(quality));
    }

    /// Encodes one picture, which is laid out as `info` says. After an error it is of no more use.
    pub(crate) fn encode(
        &self,
        info: &gst_video::VideoInfo,
        mut buffer: gst::Buffer,
    ) -> Result<Bytes, String> {
        let caps = info.to_caps().map_err(|e| e.to_string())?;
        if self.input.caps().is_none_or(|set| set != caps) {
            self.input.set_caps(Some(&caps));
        }
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::ZERO);
        }
        self.input.push_buffer(buffer).map_err(|_| self.problem())?;
        let sample = self.output.try_pull_sample(PATIENCE).ok_or_else(|| self.problem())?;
        let buffer = sample.buffer_owned().ok_or("jpegenc gives nothing: report it")?;
        // What the bus says in passing is not kept.
        while self.pipeline.bus().is_some_and(|bus| bus.pop().is_some()) {}
        let mapped = buffer.into_mapped_buffer_readable().map_err(|_| "its memory cannot be read")?;
        Ok(Bytes::from_owner(mapped))
    }

    fn problem(&self) -> String {
        let error = self.pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
        match error.as_deref().map(gst::MessageRef::view) {
            Some(gst::MessageView::Error(error)) => format!("jpegenc fails: {}", error.error().message()),
            _ => "jpegenc gives nothing: report it".into(),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
