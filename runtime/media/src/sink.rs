//! From an appsink to the frames hub, without a copy.

use crate::lock;
use crate::tap::{Moment, Tap};
use bytes::Bytes;
use gantry_core::frames::{Format, Frame, Stream};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// More frames than this between gate and sink are not followed.
const IN_FLIGHT: usize = 64;

/// The numbers of the frames that went through a gate and have not come out of the sink: what is overtaken was dropped.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<VecDeque<u64>>);

impl InFlight {
    pub(crate) fn entered(&self, sequence: u64) {
        let mut numbers = lock(&self.0);
        if numbers.len() == IN_FLIGHT {
            numbers.pop_front();
        }
        numbers.push_back(sequence);
    }

    /// Whether this frame went through and has not come out.
    pub(crate) fn has(&self, sequence: u64) -> bool {
        lock(&self.0).iter().rev().any(|n| *n == sequence)
    }

    /// How many frames were dropped before this one.
    fn left(&self, sequence: u64) -> u64 {
        let mut numbers = lock(&self.0);
        let mut overtaken = 0;
        while numbers.front().is_some_and(|n| *n <= sequence) {
            overtaken += u64::from(numbers.pop_front() != Some(sequence));
        }
        overtaken
    }
}

/// Makes a sink give its frames to a stream. What a sink must be set to for that is set here and not in pipeline files:
/// without `async=false` a shut gate would keep the pipeline from starting, with `sync=true` a late frame would wait.
pub(crate) fn attach(
    sink: &gst_app::AppSink,
    stream: Arc<Stream>,
    tap: Arc<Tap>,
    in_flight: Arc<InFlight>,
    problem: impl Fn(String) + Send + 'static,
) {
    sink.set_property("sync", false);
    sink.set_property("async", false);
    sink.set_property("enable-last-sample", false);
    sink.set_property("emit-signals", false);
    sink.set_max_buffers(1);
    sink.set_drop(true);
    let mut known: Option<(gst::Caps, Picture)> = None;
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if !tap.is_live() {
            return Ok(gst::FlowSuccess::Ok);
        }
        let picture = match (&known, sample.caps()) {
            (Some((caps, picture)), Some(now)) if caps.as_ptr() == now.as_ptr() => *picture,
            (_, caps) => match picture_of(caps) {
                Ok(picture) => {
                    known = caps.map(|c| (c.to_owned(), picture));
                    picture
                }
                Err(message) => {
                    problem(message);
                    return Err(gst::FlowError::NotNegotiated);
                }
            },
        };
        let Some(buffer) = sample.buffer_owned() else { return Ok(gst::FlowSuccess::Ok) };
        drop(sample);
        publish(&stream, &tap, &in_flight, picture, buffer);
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

fn publish(stream: &Stream, tap: &Tap, in_flight: &InFlight, picture: Picture, buffer: gst::Buffer) {
    let figures = tap.figures();
    let moment = tap.moment(buffer.pts());
    if let Some(moment) = moment {
        figures.dropped.add(in_flight.left(moment.sequence));
    }
    let moment = moment.unwrap_or_else(|| Moment::arrival(figures));
    let Ok(data) = buffer.into_mapped_buffer_readable() else {
        figures.dropped.add(1);
        return;
    };
    if picture.format == Format::Jpeg {
        figures.encoded.add(1);
        figures.size.store(u64::from(picture.width) << 32 | u64::from(picture.height), Ordering::Relaxed);
    }
    let frame = Frame {
        stream: stream.name(),
        format: picture.format,
        width: picture.width,
        height: picture.height,
        sequence: moment.sequence,
        captured_unix_ns: moment.unix_ns,
        captured_monotonic_ns: moment.monotonic_ns,
        data: Bytes::from_owner(data),
    };
    stream.publish(&Arc::new(frame));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Picture {
    format: Format,
    width: u32,
    height: u32,
}

/// What a sink's caps say of its pictures.
fn picture_of(caps: Option<&gst::CapsRef>) -> Result<Picture, String> {
    let structure =
        caps.and_then(|c| c.structure(0)).ok_or("frames without caps: put caps before the appsink")?;
    if structure.name() == "image/jpeg" {
        let side = |key| structure.get::<i32>(key).ok().and_then(|v| u32::try_from(v).ok());
        let (Some(width), Some(height)) = (side("width"), side("height")) else {
            return Err("JPEG pictures without a size: put jpegparse before the appsink".into());
        };
        return Ok(Picture { format: Format::Jpeg, width, height });
    }
    let unusable = || {
        format!(
            "a stream cannot give `{}`: put `video/x-raw,format=GRAY8`, `I420` or jpegenc before the appsink",
            structure.name()
        )
    };
    let info = caps.and_then(|c| gst_video::VideoInfo::from_caps(c).ok()).ok_or_else(unusable)?;
    let stride = info.stride().first().and_then(|s| u32::try_from(*s).ok()).ok_or_else(unusable)?;
    let format = match info.format() {
        gst_video::VideoFormat::Gray8 => Format::Gray8 { stride },
        gst_video::VideoFormat::I420 => {
            // Readers expect the chroma planes right behind, with half the stride.
            let luma = u64::from(stride) * u64::from(info.height());
            let plain = info.stride()[1..].iter().all(|s| u32::try_from(*s).is_ok_and(|s| s * 2 == stride))
                && info.offset().get(1).is_some_and(|o| *o as u64 == luma);
            if !plain {
                return Err(format!(
                    "I420 of width {} has padded planes: make the width a multiple of 8",
                    info.width()
                ));
            }
            Format::I420 { stride }
        }
        _ => return Err(unusable()),
    };
    Ok(Picture { format, width: info.width(), height: info.height() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_are_overtaken_were_dropped() {
        let in_flight = InFlight::default();
        for n in [1, 2, 3, 5] {
            in_flight.entered(n);
        }
        assert_eq!(in_flight.left(1), 0);
        assert_eq!(in_flight.left(3), 1);
        assert_eq!(in_flight.left(5), 0);
        assert_eq!(in_flight.left(9), 0);
    }

    #[test]
    fn pictures_are_read_from_caps() {
        gst::init().expect("GStreamer");
        let read = |text: &str| picture_of(Some(&text.parse::<gst::Caps>().expect("caps")));
        let jpeg = read("image/jpeg,width=640,height=480").expect("jpeg");
        assert_eq!(jpeg, Picture { format: Format::Jpeg, width: 640, height: 480 });
        let grey = read("video/x-raw,format=GRAY8,width=30,height=20").expect("grey");
        assert_eq!(grey.format, Format::Gray8 { stride: 32 });
        let i420 = read("video/x-raw,format=I420,width=64,height=48").expect("i420");
        assert_eq!(i420.format, Format::I420 { stride: 64 });
        for (text, says) in [
            ("video/x-raw,format=I420,width=18,height=48", "multiple of 8"),
            ("video/x-raw,format=RGB,width=64,height=48", "GRAY8"),
            ("audio/x-raw", "audio/x-raw"),
            ("image/jpeg", "without a size"),
        ] {
            let message = read(text).expect_err(text);
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}
