//! From a JPEG that anybody may have sent to pixels, within bounds.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The most pixels: those of a 4K picture. Decoding one of them takes nine bytes for each at most.
const MOST_PIXELS: usize = 3840 * 2160;
/// The longest side, in pixels.
const LONGEST_SIDE: usize = 8192;
/// The most scans of a progressive picture, each of which goes through all of it. Cameras make one, programs a dozen.
const MOST_SCANS: usize = 24;

/// A picture of three bytes a pixel, red first.
#[derive(Debug)]
pub(super) struct Rgb {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) data: Vec<u8>,
}

/// Why a picture cannot be decoded.
pub(super) fn broken(why: &dyn std::fmt::Display) -> String {
    format!("the picture is no JPEG that can be decoded: {why}: check the camera that made it")
}

/// Decodes a picture. Its size is looked at before anything is done that costs memory by it.
///
/// # Errors
/// A sentence: it is no JPEG, is broken, or too large.
pub(super) fn decode(jpeg: &[u8]) -> Result<Rgb, String> {
    // Without the decoder's `unsafe` ways, which are the default for its trusting users only.
    let options = DecoderOptions::new_safe()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_max_scans(MOST_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    decoder.decode_headers().map_err(|e| broken(&e))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| broken(&"it tells no size"))?;
    if width == 0 || height == 0 || width.max(height) > LONGEST_SIDE || width * height > MOST_PIXELS {
        return Err(format!(
            "the picture has {width}x{height} pixels, at most {MOST_PIXELS} are looked at: have it taken smaller"
        ));
    }
    let data = decoder.decode().map_err(|e| broken(&e))?;
    if data.len() != 3 * width * height {
        return Err(broken(&"its colours are of no known kind"));
    }
    Ok(Rgb { width, height, data })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A grey picture of 8x8 pixels of one tone, which says that it has `width` and `height` pixels.
    pub(in super::super) fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let (w, h) = (width.to_be_bytes(), height.to_be_bytes());
        let mut all = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
        all.extend([1; 64]);
        all.extend([0xff, 0xc0, 0, 11, 8, h[0], h[1], w[0], w[1], 1, 1, 0x11, 0]);
        // One code each, of one bit: no difference in tone, and the end of a block.
        for class in [0x00, 0x10] {
            all.extend([0xff, 0xc4, 0, 20, class, 1]);
            all.extend([0; 16]);
        }
        all.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        let blocks = usize::from(width.div_ceil(8)) * usize::from(height.div_ceil(8));
        all.extend(std::iter::repeat_n(0x00, (2 * blocks).div_ceil(8).min(4096)));
        all.extend([0xff, 0xd9]);
        all
    }

    #[test]
    fn grey_pictures_are_decoded_to_colours() {
        let picture = decode(&jpeg(24, 16)).unwrap();
        assert_eq!((picture.width, picture.height, picture.data.len()), (24, 16, 24 * 16 * 3));
        assert!(picture.data.iter().all(|level| *level == 128), "{:?}", &picture.data[..9]);
    }

    #[test]
    fn a_picture_that_says_to_be_huge_is_not_decoded() {
        for (width, height) in [(65_535, 65_535), (65_535, 8), (8, 65_535), (3840, 2161), (8193, 8)] {
            let error = decode(&jpeg(width, height)).unwrap_err();
            assert!(
                error.starts_with(&format!("the picture has {width}x{height} pixels, at most")),
                "{error}"
            );
        }
        assert!(decode(&jpeg(3840, 2160)).is_ok());
    }

    #[test]
    fn what_is_no_picture_is_told_in_words() {
        for bytes in [&b""[..], b"\xff\xd8", b"\xff\xd8\xff\xd9", b"hello", &jpeg(8, 8)[..60]] {
            let error = decode(bytes).unwrap_err();
            assert!(error.starts_with("the picture is no JPEG that can be decoded: "), "{error}");
            assert!(error.ends_with(": check the camera that made it"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn pictures_with_anything_changed_are_decoded_or_refused(
            at in 2..170_usize, to: u8, cut in 0..200_usize, other in 2..170_usize, also: u8
        ) {
            let mut bytes = jpeg(40, 24);
            let length = bytes.len();
            bytes[at.min(length - 1)] = to;
            bytes[other.min(length - 1)] = also;
            bytes.truncate(cut.max(length / 2));
            let seen = crate::models::guarded(|| decode(&bytes));
            if let Ok(Ok(picture)) = seen {
                prop_assert_eq!(picture.data.len(), 3 * picture.width * picture.height);
                prop_assert!(picture.width * picture.height <= MOST_PIXELS);
            }
        }
    }
}
