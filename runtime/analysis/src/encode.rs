//! Who makes JPEG.

use bytes::Bytes;

/// A borrowed picture of three planes, colour at half the size.
#[derive(Debug, Clone, Copy)]
pub struct I420<'a> {
    /// Y, U and V.
    pub planes: [&'a [u8]; 3],
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Bytes from row to row, of Y and of both colours.
    pub strides: [usize; 2],
}

/// Makes JPEG of pictures. Lent by whoever has an encoder; called on the threads of this crate, from several
/// at a time.
pub trait Encode: Send + Sync {
    /// The picture as JPEG in this quality, 1 to 100. May block for some milliseconds.
    ///
    /// # Errors
    /// A sentence about what failed and what to do.
    fn encode(&self, picture: &I420<'_>, quality: u8) -> Result<Bytes, String>;
}
