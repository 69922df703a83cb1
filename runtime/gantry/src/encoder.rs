//! Lends the analyses what makes JPEG.

use bytes::Bytes;
use gantry_analysis::{Encode, I420};
use gantry_media::{I420View, Still};
use std::sync::{Mutex, PoisonError};

/// Encoders that are kept for later while nobody uses them.
const SPARE: usize = 8;

/// Encoders, as many as there are threads that encode at the same time.
#[derive(Default)]
pub(crate) struct Encoders(Mutex<Vec<Still>>);

impl Encoders {
    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Still>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Encode for Encoders {
    fn encode(&self, picture: &I420<'_>, quality: u8) -> Result<Bytes, String> {
        let taken = self.spare().pop();
        let mut still = match taken {
            Some(still) => still,
            None => Still::new(quality).map_err(|error| error.to_string())?,
        };
        still.set_quality(quality);
        let I420 { planes, width, height, strides } = *picture;
        let side = |pixels| u32::try_from(pixels).map_err(|_| "the picture is too large".to_owned());
        let view = I420View { planes, width: side(width)?, height: side(height)?, strides };
        let encoded = still.encode(&view);
        // One that failed is not used again.
        let jpeg = encoded.map_err(|error| error.to_string())?;
        let mut spare = self.spare();
        if spare.len() < SPARE {
            spare.push(still);
        }
        Ok(jpeg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_encoder_serves_any_number_of_qualities_one_after_another() {
        let noise: Vec<u8> = (0..64 * 64_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let grey = vec![128; 32 * 32];
        let picture = I420 { planes: [&noise, &grey, &grey], width: 64, height: 64, strides: [64, 32] };
        let encoders = Encoders::default();
        let sizes: Vec<usize> =
            (1..=12).map(|n| encoders.encode(&picture, n * 8).expect("it is encoded").len()).collect();
        assert!(
            sizes.is_sorted_by(|low, high| low < high),
            "each has the quality that was asked for: {sizes:?}"
        );
        assert_eq!(encoders.spare().len(), 1);
        let coarse = encoders.encode(&picture, 8).expect("it is encoded").len();
        assert_eq!(coarse, sizes[0]);
    }
}
