//! Measuring pictures.

use gantry_core::frames::{Format, Frame};
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;

/// A picture in three planes without padding.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub planes: [Vec<u8>; 3],
}

impl Picture {
    /// The picture of a frame, decoded when it is JPEG.
    pub fn of(frame: &Frame) -> Self {
        match frame.format {
            Format::Jpeg => Self::decode(&frame.data),
            Format::I420 { stride } => {
                let (width, height) = (frame.width as usize, frame.height as usize);
                assert_eq!(stride as usize, width);
                let (luma, chroma) = (width * height, width * height / 4);
                let part = |from: usize, n: usize| frame.data[from..from + n].to_vec();
                let planes = [part(0, luma), part(luma, chroma), part(luma + chroma, chroma)];
                Self { width, height, planes }
            }
            other => panic!("no picture to measure: {other:?}"),
        }
    }

    fn decode(jpeg: &[u8]) -> Self {
        gstreamer::init().unwrap();
        let text = "appsrc name=in caps=image/jpeg ! jpegdec ! videoconvert ! video/x-raw,format=I420 \
                    ! appsink name=out sync=false";
        let pipeline = gstreamer::parse::launch(text).unwrap().downcast::<gstreamer::Pipeline>().unwrap();
        let source = pipeline.by_name("in").unwrap().downcast::<gstreamer_app::AppSrc>().unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast::<gstreamer_app::AppSink>().unwrap();
        pipeline.set_state(gstreamer::State::Playing).unwrap();
        source.push_buffer(gstreamer::Buffer::from_slice(jpeg.to_vec())).unwrap();
        source.end_of_stream().unwrap();
        let sample = sink.try_pull_sample(gstreamer::ClockTime::from_seconds(20)).expect("a decoded picture");
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let frame =
            gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info).unwrap();
        let planes = [0, 1, 2].map(|n| {
            let (width, height) = (frame.comp_width(n) as usize, frame.comp_height(n) as usize);
            let (stride, data) = (frame.comp_stride(n) as usize, frame.plane_data(n).unwrap());
            (0..height).flat_map(|y| data[y * stride..][..width].to_vec()).collect()
        });
        pipeline.set_state(gstreamer::State::Null).unwrap();
        Self { width: info.width() as usize, height: info.height() as usize, planes }
    }

    /// The mean of a plane: 0 is luma, then U and V.
    pub fn mean(&self, plane: usize) -> f64 {
        let plane = &self.planes[plane];
        plane.iter().map(|p| f64::from(*p)).sum::<f64>() / plane.len() as f64
    }

    /// The variance of a plane.
    pub fn variance(&self, plane: usize) -> f64 {
        let mean = self.mean(plane);
        let plane = &self.planes[plane];
        plane.iter().map(|p| (f64::from(*p) - mean).powi(2)).sum::<f64>() / plane.len() as f64
    }

    /// How far the colours are from grey, on average.
    pub fn colour(&self) -> f64 {
        let far =
            |plane: &[u8]| plane.iter().map(|p| f64::from(p.abs_diff(128))).sum::<f64>() / plane.len() as f64;
        far(&self.planes[1]) + far(&self.planes[2])
    }

    /// The variance of the Laplacian of the luma.
    pub fn sharpness(&self) -> f64 {
        let (width, luma) = (self.width, &self.planes[0]);
        let at = |x: usize, y: usize| f64::from(luma[y * width + x]);
        let inner = (1..self.height - 1).flat_map(|y| (1..width - 1).map(move |x| (x, y)));
        let values: Vec<f64> = inner
            .map(|(x, y)| 4.0 * at(x, y) - at(x - 1, y) - at(x + 1, y) - at(x, y - 1) - at(x, y + 1))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64
    }

    /// The mean difference of the luma to another picture.
    pub fn difference(&self, other: &Self) -> f64 {
        let pairs = self.planes[0].iter().zip(&other.planes[0]);
        pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / self.planes[0].len() as f64
    }
}
