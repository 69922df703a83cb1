//! From frames of the hub to pictures that can be looked at.

use gantry_core::frames::{Format, Frame};

/// Bytes of an I420 frame and where its planes are: the colours right behind, with half the stride.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) strides: [usize; 2],
    /// Bytes of the luminance and of each colour.
    sizes: [usize; 2],
}

impl Layout {
    /// Where the planes of a frame are.
    ///
    /// # Errors
    /// A sentence when it is none of that format, or has too few bytes.
    pub(crate) fn of(frame: &Frame) -> Result<Self, String> {
        let (stream, (width, height)) = (&frame.stream, (frame.width as usize, frame.height as usize));
        let Format::I420 { stride } = frame.format else {
            return Err(format!(
                "the stream `{stream}` gives {}: make it `video/x-raw,format=I420` in the pipeline file",
                name(frame.format)
            ));
        };
        let (stride, rows) = (stride as usize, height.div_ceil(2));
        let sizes = [stride.saturating_mul(height), (stride / 2).saturating_mul(rows)];
        let is_whole = width > 0
            && height > 0
            && stride >= width
            && stride / 2 >= width.div_ceil(2)
            && sizes[0].saturating_add(sizes[1].saturating_mul(2)) <= frame.data.len();
        if is_whole {
            Ok(Self { width, height, strides: [stride, stride / 2], sizes })
        } else {
            Err(too_few(frame))
        }
    }

    /// All bytes of the picture.
    pub(crate) fn bytes(&self) -> usize {
        self.sizes[0] + 2 * self.sizes[1]
    }

    /// The planes.
    pub(crate) fn planes<'a>(&self, data: &'a [u8]) -> [&'a [u8]; 3] {
        let (y, chroma) = data[..self.bytes()].split_at(self.sizes[0]);
        let (u, v) = chroma.split_at(self.sizes[1]);
        [y, u, v]
    }

    /// The planes, to be drawn on.
    pub(crate) fn planes_mut<'a>(&self, data: &'a mut [u8]) -> [&'a mut [u8]; 3] {
        let (y, chroma) = data[..self.bytes()].split_at_mut(self.sizes[0]);
        let (u, v) = chroma.split_at_mut(self.sizes[1]);
        [y, u, v]
    }
}

/// A frame as a picture.
///
/// # Errors
/// A sentence when it cannot be looked at.
pub(crate) fn view(frame: &Frame) -> Result<gantry_vision::Frame<'_>, String> {
    let picture = match frame.format {
        Format::Gray8 { stride } => gantry_vision::Frame::grey(
            &frame.data,
            frame.width as usize,
            frame.height as usize,
            stride as usize,
        ),
        Format::I420 { .. } => {
            let layout = Layout::of(frame)?;
            let planes = layout.planes(&frame.data);
            gantry_vision::Frame::i420(planes, layout.width, layout.height, layout.strides)
        }
        Format::Jpeg => {
            return Err(format!(
                "the stream `{}` gives JPEG: make it `video/x-raw,format=GRAY8` or `I420` in the pipeline file",
                frame.stream
            ));
        }
    };
    picture.map_err(|_| too_few(frame))
}

fn too_few(frame: &Frame) -> String {
    format!(
        "the stream `{}` gives {} bytes for {}x{} pixels: look at the caps before its appsink",
        frame.stream,
        frame.data.len(),
        frame.width,
        frame.height
    )
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Jpeg => "JPEG",
        Format::Gray8 { .. } => "GRAY8",
        Format::I420 { .. } => "I420",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn frame(format: Format, width: u32, height: u32, data: Vec<u8>) -> Frame {
        Frame {
            stream: "main/raw".into(),
            format,
            width,
            height,
            sequence: 1,
            captured_unix_ns: 0,
            captured_monotonic_ns: 0,
            data: Bytes::from(data),
        }
    }

    #[test]
    fn planes_are_where_the_camera_puts_them() {
        // 5x3 in rows of 6: 18 bytes of luminance, 3x2 of each colour.
        let data: Vec<u8> = [vec![1; 18], vec![2; 6], vec![3; 6]].concat();
        let layout = Layout::of(&frame(Format::I420 { stride: 6 }, 5, 3, data.clone())).unwrap();
        assert_eq!((layout.strides, layout.bytes()), ([6, 3], 30));
        for (n, plane) in layout.planes(&data).into_iter().enumerate() {
            assert!(plane.iter().all(|p| usize::from(*p) == n + 1), "{plane:?}");
        }
    }

    #[test]
    fn what_cannot_be_looked_at_is_told_with_the_stream_named() {
        let jpeg = view(&frame(Format::Jpeg, 4, 4, vec![0; 99])).unwrap_err();
        assert!(jpeg.starts_with("the stream `main/raw` gives JPEG: make it"), "{jpeg}");
        let few = view(&frame(Format::I420 { stride: 4 }, 4, 4, vec![0; 23])).unwrap_err();
        assert!(few.starts_with("the stream `main/raw` gives 23 bytes for 4x4 pixels"), "{few}");
        let grey = Layout::of(&frame(Format::Gray8 { stride: 4 }, 4, 4, vec![0; 99])).unwrap_err();
        assert!(grey.contains("gives GRAY8"), "{grey}");
    }

    proptest! {
        #[test]
        fn no_size_and_no_stride_reads_beyond_the_bytes(
            width: u32, height: u32, stride: u32, small in 0u32..9, len in 0usize..200, grey: bool
        ) {
            for (w, h, s) in [(width, height, stride), (small, small, small), (small, small, stride % 16)] {
                let format = if grey { Format::Gray8 { stride: s } } else { Format::I420 { stride: s } };
                let frame = frame(format, w, h, vec![0; len]);
                let _ = view(&frame);
                if let Ok(layout) = Layout::of(&frame) {
                    prop_assert!(layout.bytes() <= len);
                    prop_assert!(
                        gantry_vision::Frame::i420(layout.planes(&frame.data), layout.width, layout.height, layout.strides)
                            .is_ok()
                    );
                }
            }
        }
    }
}
