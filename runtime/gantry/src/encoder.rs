//! Lends the analyses what makes JPEG.

use bytes::Bytes;
use gantry_analysis::{Encode, I420};
use gantry_media::{I420View, Still};
use std::sync::{Mutex, PoisonError};

/// Encoders that nobody uses now, each with its quality. Beyond this many they are not kept.
const SPARE: usize = 8;

/// Encoders, as many as there are threads that encode at the same time.
#[derive(Default)]
pub(crate) struct Encoders(Mutex<Vec<(u8, Still)>>);

impl Encoders {
    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<(u8, Still)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Encode for Encoders {
    fn encode(&self, picture: &I420<'_>, quality: u8) -> Result<Bytes, String> {
        let taken = {
            let mut spare = self.spare();
            let fits = spare.iter().position(|(of, _)| *of == quality);
            fits.map(|n| spare.swap_remove(n))
        };
        let mut still = match taken {
            Some((_, still)) => still,
            None => Still::new(quality).map_err(|error| error.to_string())?,
        };
        let I420 { planes, width, height, strides } = *picture;
        let side = |pixels| u32::try_from(pixels).map_err(|_| "the picture is too large".to_owned());
        let view = I420View { planes, width: side(width)?, height: side(height)?, strides };
        let encoded = still.encode(&view);
        // One that failed is not used again.
        let jpeg = encoded.map_err(|error| error.to_string())?;
        let mut spare = self.spare();
        if spare.len() < SPARE {
            spare.push((quality, still));
        }
        Ok(jpeg)
    }
}
