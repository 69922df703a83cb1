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
    let data = match &picture.padding {
        None => Bytes::from_owner(data),
        Some(padding) => Bytes::from(padding.remove(&data, &picture)),
    };
    let frame = Frame {
        stream: stream.name(),
        format: picture.format,
        width: picture.width,
        height: picture.height,
        sequence: moment.sequence,
        captured_unix_ns: moment.unix_ns,
        captured_monotonic_ns: moment.monotonic_ns,
        data,
    };
    stream.publish(&Arc::new(frame));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Picture {
    format: Format,
    width: u32,
    height: u32,
    padding: Option<Padding>,
}

/// Where the planes of an I420 picture are that GStreamer lays out with gaps, as it does for widths that are no multiple
/// of 8. Only such pictures are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Padding {
    offsets: [usize; 3],
    strides: [usize; 3],
}

impl Padding {
    /// The planes right behind each other, the chroma with half the stride of the luma.
    fn remove(&self, data: &[u8], picture: &Picture) -> Vec<u8> {
        let (width, height) = ((picture.width as usize).next_multiple_of(2), picture.height as usize);
        let mut out = Vec::with_capacity(width * height + width * height.next_multiple_of(2) / 2);
        for (plane, (width, height)) in
            [(width, height), (width / 2, height.div_ceil(2)), (width / 2, height.div_ceil(2))]
                .into_iter()
                .enumerate()
        {
            for y in 0..height {
                let from = self.offsets[plane] + y * self.strides[plane];
                // The caps say that it is all there; a source that gives less gets black.
                let row = data.get(from..from + width).unwrap_or_default();
                out.extend_from_slice(row);
                out.resize(out.len() + width - row.len(), 0);
            }
        }
        out
    }
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
        return Ok(Picture { format: Format::Jpeg, width, height, padding: None });
    }
    let unusable = || {
        format!(
            "a stream cannot give `{}`: put `video/x-raw,format=GRAY8`, `I420` or jpegenc before the appsink",
            structure.name()
        )
    };
    let info = caps.and_then(|c| gst_video::VideoInfo::from_caps(c).ok()).ok_or_else(unusable)?;
    let stride = info.stride().first().and_then(|s| u32::try_from(*s).ok()).ok_or_else(unusable)?;
    let mut padding = None;
    let format = match info.format() {
        gst_video::VideoFormat::Gray8 => Format::Gray8 { stride },
        gst_video::VideoFormat::I420 => {
            // Readers expect the chroma planes right behind, with half the stride.
            let (offsets, strides) = (info.offset(), info.stride());
            let plane = |n: usize| Some((*offsets.get(n)?, usize::try_from(*strides.get(n)?).ok()?));
            let (Some(y), Some(u), Some(v)) = (plane(0), plane(1), plane(2)) else { return Err(unusable()) };
            let luma = y.1 * info.height() as usize;
            let chroma = u.1 * (info.height() as usize).div_ceil(2);
            let is_plain = u.1 * 2 == y.1 && v.1 == u.1 && u.0 == luma && v.0 == luma + chroma;
            if !is_plain {
                padding = Some(Padding { offsets: [y.0, u.0, v.0], strides: [y.1, u.1, v.1] });
            }
            Format::I420 { stride: if is_plain { stride } else { info.width().next_multiple_of(2) } }
        }
        _ => return Err(unusable()),
    };
    Ok(Picture { format, width: info.width(), height: info.height(), padding })
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
        assert_eq!(jpeg, Picture { format: Format::Jpeg, width: 640, height: 480, padding: None });
        let grey = read("video/x-raw,format=GRAY8,width=30,height=20").expect("grey");
        assert_eq!(grey.format, Format::Gray8 { stride: 32 });
        let i420 = read("video/x-raw,format=I420,width=64,height=48").expect("i420");
        assert_eq!((i420.format, i420.padding), (Format::I420 { stride: 64 }, None));
        for (text, says) in [
            ("video/x-raw,format=RGB,width=64,height=48", "GRAY8"),
            ("audio/x-raw", "audio/x-raw"),
            ("image/jpeg", "without a size"),
        ] {
            let message = read(text).expect_err(text);
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn gaps_between_planes_are_closed() {
        gst::init().expect("GStreamer");
        for (width, height) in [(18u32, 6u32), (17, 5), (2, 2), (1, 1)] {
            let caps = format!("video/x-raw,format=I420,width={width},height={height}");
            let caps: gst::Caps = caps.parse().expect("caps");
            let picture = picture_of(Some(&caps)).expect("padded");
            let info = gst_video::VideoInfo::from_caps(&caps).expect("info");
            let mut data = vec![255; info.size()];
            let stride = width.next_multiple_of(2) as usize;
            let planes =
                [(stride, height), (stride / 2, height.div_ceil(2)), (stride / 2, height.div_ceil(2))];
            for (n, (width, height)) in planes.into_iter().enumerate() {
                for y in 0..height as usize {
                    let from = info.offset()[n] + y * info.stride()[n] as usize;
                    data[from..from + width].fill(n as u8);
                }
            }
            let padding = picture.padding.expect("gaps");
            assert_eq!(picture.format, Format::I420 { stride: stride as u32 });
            let sizes = planes.map(|(width, height)| width * height as usize);
            let expected: Vec<u8> = (0..3).flat_map(|n| vec![n as u8; sizes[n]]).collect();
            assert_eq!(padding.remove(&data, &picture), expected, "{width}x{height}");
        }
    }
}
