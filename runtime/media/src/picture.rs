//! From frames of the hub back to buffers of GStreamer.

use crate::I420View;
use bytes::Bytes;
use gantry_core::frames::{Format, Frame};
use gstreamer as gst;
use gstreamer_video as gst_video;

/// How GStreamer lays out a raw picture.
pub(crate) fn info(
    format: gst_video::VideoFormat,
    width: u32,
    height: u32,
) -> Result<gst_video::VideoInfo, String> {
    gst_video::VideoInfo::builder(format, width, height)
        .fps(gst::Fraction::new(0, 1))
        .build()
        .map_err(|_| format!("no picture has {width}x{height}"))
}

/// A raw frame in GStreamer's layout. It is copied only when its rows are not where GStreamer has them, as for widths that
/// are no multiple of 8.
pub(crate) fn raw(frame: &Frame) -> Result<(gst_video::VideoInfo, Bytes), String> {
    let height = frame.height as usize;
    // Offset, stride and rows of each plane.
    let (format, planes) = match frame.format {
        Format::Jpeg => return Err("it is JPEG: watch its raw stream".into()),
        Format::Gray8 { stride } => (gst_video::VideoFormat::Gray8, vec![(0, stride as usize, height)]),
        Format::I420 { stride } => {
            let (luma, half, rows) = (stride as usize * height, stride as usize / 2, height.div_ceil(2));
            let planes =
                vec![(0, stride as usize, height), (luma, half, rows), (luma + half * rows, half, rows)];
            (gst_video::VideoFormat::I420, planes)
        }
    };
    let info = info(format, frame.width, frame.height)?;
    if planes.last().is_none_or(|(offset, stride, rows)| offset + stride * rows > frame.data.len()) {
        return Err("it has fewer bytes than its size needs: look at its pipeline file".into());
    }
    let theirs = info.offset().iter().zip(info.stride()).map(|(offset, stride)| (*offset, *stride as usize));
    if theirs.clone().eq(planes.iter().map(|(offset, stride, _)| (*offset, *stride)))
        && info.size() <= frame.data.len()
    {
        return Ok((info.clone(), frame.data.slice(..info.size())));
    }
    let mut data = vec![0; info.size()];
    for ((to, to_stride), (from, from_stride, rows)) in theirs.zip(planes) {
        let width = to_stride.min(from_stride);
        for row in 0..rows {
            let (to, from) = (to + row * to_stride, from + row * from_stride);
            data[to..to + width].copy_from_slice(&frame.data[from..from + width]);
        }
    }
    Ok((info, data.into()))
}

/// Copies a picture that somebody else holds into GStreamer's layout.
pub(crate) fn lay_out(view: &I420View<'_>) -> Result<(gst_video::VideoInfo, gst::Buffer), String> {
    let info = info(gst_video::VideoFormat::I420, view.width, view.height)?;
    let mut data = vec![0; info.size()];
    let (width, height) = (view.width as usize, view.height as usize);
    let sizes = [(width, height), (width.div_ceil(2), height.div_ceil(2))];
    for (n, plane) in view.planes.into_iter().enumerate() {
        let ((width, rows), from_stride) = (sizes[n.min(1)], view.strides[n.min(1)]);
        let (offset, to_stride) = (info.offset()[n], info.stride()[n] as usize);
        let needed = (rows - 1).saturating_mul(from_stride).saturating_add(width);
        if from_stride < width || plane.len() < needed {
            let (w, h, found) = (view.width, view.height, plane.len());
            return Err(format!(
                "plane {n} of a {w}x{h} picture needs {needed} bytes and has {found}: give whole pictures"
            ));
        }
        for row in 0..rows {
            let (to, from) = (offset + row * to_stride, row * from_stride);
            data[to..to + width].copy_from_slice(&plane[from..from + width]);
        }
    }
    Ok((info, gst::Buffer::from_mut_slice(data)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u32, height: u32, stride: u32, data: Vec<u8>) -> Frame {
        Frame {
            stream: "main/raw".into(),
            format: Format::I420 { stride },
            width,
            height,
            sequence: 1,
            captured_unix_ns: 0,
            captured_monotonic_ns: 0,
            data: data.into(),
        }
    }

    #[test]
    fn a_picture_in_gstreamers_layout_is_not_copied() {
        gst::init().expect("GStreamer");
        let frame = frame(64, 48, 64, vec![7; 64 * 72]);
        let (info, data) = raw(&frame).expect("a picture");
        assert_eq!((info.size(), data.as_ptr()), (64 * 72, frame.data.as_ptr()));
    }

    #[test]
    fn rows_without_gaps_are_put_where_gstreamer_has_them() {
        gst::init().expect("GStreamer");
        let mut data = vec![1; 18 * 6];
        data.extend(vec![2; 9 * 3]);
        data.extend(vec![3; 9 * 3]);
        let (info, made) = raw(&frame(18, 6, 18, data)).expect("a picture");
        assert_eq!(made.len(), info.size());
        for (plane, (width, rows)) in [(18, 6), (9, 3), (9, 3)].into_iter().enumerate() {
            for row in 0..rows {
                let from = info.offset()[plane] + row * info.stride()[plane] as usize;
                assert_eq!(
                    made[from..from + width],
                    vec![plane as u8 + 1; width],
                    "plane {plane}, row {row}"
                );
            }
        }
        assert!(raw(&frame(18, 6, 18, vec![0; 50])).is_err());
    }
}
