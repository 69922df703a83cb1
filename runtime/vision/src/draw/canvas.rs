//! A picture that is drawn on.

use crate::{Error, Frame};

/// An I420 picture of somebody else that is drawn on in place.
#[derive(Debug)]
pub struct Canvas<'a> {
    planes: [&'a mut [u8]; 3],
    width: usize,
    height: usize,
    strides: [usize; 2],
}

impl<'a> Canvas<'a> {
    /// A picture of three planes, colour at half the size; strides of luminance and of the colours.
    ///
    /// # Errors
    /// [`Error::Picture`] when the bytes of a plane do not suffice.
    pub fn i420(
        planes: [&'a mut [u8]; 3],
        width: usize,
        height: usize,
        strides: [usize; 2],
    ) -> Result<Self, Error> {
        let [y, u, v] = &planes;
        Frame::i420([y, u, v], width, height, strides)?;
        Ok(Self { planes, width, height, strides })
    }
}
