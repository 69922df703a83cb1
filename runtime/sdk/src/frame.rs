//! A picture that a plugin may keep.

use crate::Host;
use gantry_abi as abi;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How the bytes of a frame are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One complete JPEG picture.
    Jpeg,
    /// One byte of luminance per pixel, rows of `stride` bytes.
    Gray8,
    /// Planar YUV 4:2:0; `stride` is that of the Y plane.
    I420,
    /// A format that this SDK does not know.
    Other(u32),
}

struct Retained {
    raw: abi::Frame,
    host: Host,
}

// SAFETY: the pointers in `raw` point to memory that nobody writes to and that lives until `release`, which may be called
// from any thread.
unsafe impl Send for Retained {}
// SAFETY: as above; sharing only reads.
unsafe impl Sync for Retained {}

impl Drop for Retained {
    fn drop(&mut self) {
        self.host.release(&self.raw);
    }
}

/// A frame of a stream: the camera's own memory, given back when the last clone is dropped.
///
/// It reads like its bytes (`&frame[..]`), and `bytes::Bytes::from_owner(frame)` makes shared bytes of it without a copy.
/// An instance can keep 32 frames; what comes then is skipped and counted.
#[derive(Clone)]
pub struct Frame(Arc<Retained>);

impl Frame {
    /// Keeps a borrowed frame, or `None` when the instance keeps too many already.
    ///
    /// # Safety
    /// `raw` must be the frame of a running `on_frame` from the runtime behind `host`.
    pub(crate) unsafe fn retain(host: Host, raw: &abi::Frame) -> Option<Self> {
        host.retain(raw).then(|| Self(Arc::new(Retained { raw: *raw, host })))
    }

    /// How to read the bytes.
    #[must_use]
    pub fn format(&self) -> Format {
        match self.0.raw.format {
            abi::FORMAT_JPEG => Format::Jpeg,
            abi::FORMAT_GRAY8 => Format::Gray8,
            abi::FORMAT_I420 => Format::I420,
            other => Format::Other(other),
        }
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.0.raw.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.0.raw.height
    }

    /// Bytes from one row to the next; 0 for compressed formats.
    #[must_use]
    pub fn stride(&self) -> u32 {
        self.0.raw.stride
    }

    /// Counts the frames of the stream from 1; a gap is a frame that was dropped.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.raw.sequence
    }

    /// When the picture was captured.
    #[must_use]
    pub fn captured(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0.raw.captured_unix_ns)
    }

    /// When the picture was captured, on CLOCK_MONOTONIC, in nanoseconds.
    #[must_use]
    pub fn captured_monotonic_ns(&self) -> u64 {
        self.0.raw.captured_monotonic_ns
    }

    /// The stream's name, `CAMERA/STREAM`.
    #[must_use]
    pub fn stream(&self) -> &str {
        // SAFETY: retained, so the memory is alive as long as `self`.
        std::str::from_utf8(unsafe { self.0.raw.stream.bytes() }).unwrap_or_default()
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: retained, so the memory is alive as long as `self`, and nobody writes to it.
        unsafe { self.0.raw.data.bytes() }
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("stream", &self.stream())
            .field("format", &self.format())
            .field("width", &self.width())
            .field("height", &self.height())
            .field("sequence", &self.sequence())
            .field("len", &self.len())
            .finish()
    }
}
