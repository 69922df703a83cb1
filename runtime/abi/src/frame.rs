//! A picture on its way from the camera to a plugin.

use crate::Slice;
use core::ffi::c_void;

/// One complete JPEG picture.
pub const FORMAT_JPEG: u32 = 1;
/// One byte of luminance per pixel, rows of `stride` bytes.
pub const FORMAT_GRAY8: u32 = 2;
/// Planar YUV 4:2:0: `height` rows of `stride` bytes of Y, then U, then V without a gap, each with half as many rows of half
/// as many bytes. Width and height are even.
pub const FORMAT_I420: u32 = 3;

/// A frame of a stream.
///
/// The struct itself is borrowed for the length of `on_frame`. `data` and `stream` point into memory that lives until
/// the last [`Host::frame_release`](crate::Host::frame_release): copy the struct, retain it, and both stay valid.
/// Nobody writes to them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Frame {
    /// `sizeof` this struct as the runtime knows it.
    pub size: u32,
    /// One of the `FORMAT_…` numbers.
    pub format: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from one row to the next; 0 for compressed formats.
    pub stride: u32,
    /// Always 0.
    pub reserved: u32,
    /// Counts the frames of this stream from 1; a gap is a frame that was dropped.
    pub sequence: u64,
    /// When the picture was captured, in nanoseconds since the Unix epoch.
    pub captured_unix_ns: u64,
    /// When the picture was captured, on CLOCK_MONOTONIC, in nanoseconds.
    pub captured_monotonic_ns: u64,
    /// The stream's name, `CAMERA/STREAM`, such as `main/jpeg`.
    pub stream: Slice,
    /// The picture.
    pub data: Slice,
    /// What `frame_retain` and `frame_release` know the frame by: opaque, no address, never used for another frame of the
    /// same instance.
    pub handle: *mut c_void,
}
