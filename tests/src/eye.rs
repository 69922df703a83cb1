//! Pictures as viewers get them, and what can be measured in them.

use crate::client::{Client, Kind};
use crate::gateway::Gateway;
use serde_json::{Value, json};

/// A decoded picture.
pub struct Picture {
    /// Its width in pixels.
    pub width: usize,
    /// Its height in pixels.
    pub height: usize,
    /// The size of the JPEG in bytes.
    pub bytes: usize,
    /// When it was sent, in seconds.
    pub at: f64,
    rgb: Vec<u8>,
}

impl Picture {
    /// Decodes all of a JPEG picture.
    ///
    /// # Panics
    /// When it is none, or not whole.
    #[must_use]
    pub fn decode(jpeg: &[u8]) -> Self {
        let mut decoder = zune_jpeg::JpegDecoder::new(zune_jpeg::zune_core::bytestream::ZCursor::new(jpeg));
        let rgb = decoder.decode().expect("a whole JPEG");
        let (width, height) = decoder.dimensions().expect("a size");
        Self { width, height, bytes: jpeg.len(), at: 0.0, rgb }
    }

    /// The mean of red, green and blue, from 0 to 255, in a part of the picture: its left, top, right and bottom as
    /// fractions.
    #[must_use]
    pub fn colour(&self, part: [f64; 4]) -> [f64; 3] {
        let at = |fraction: f64, size: usize| ((fraction * size as f64) as usize).min(size);
        let columns = at(part[0], self.width)..at(part[2], self.width);
        let (mut sums, mut count) = ([0_u64; 3], 0);
        for y in at(part[1], self.height)..at(part[3], self.height) {
            for x in columns.clone() {
                for (sum, value) in sums.iter_mut().zip(&self.rgb[3 * (y * self.width + x)..]) {
                    *sum += u64::from(*value);
                }
                count += 1;
            }
        }
        sums.map(|sum| sum as f64 / f64::from(count))
    }

    /// The mean luminance of a part, from 0 to 255.
    #[must_use]
    pub fn luminance_of(&self, part: [f64; 4]) -> f64 {
        luma(self.colour(part))
    }

    /// The mean luminance, from 0 to 255.
    #[must_use]
    pub fn luminance(&self) -> f64 {
        self.luminance_of([0.0, 0.0, 1.0, 1.0])
    }

    fn lumas(&self) -> impl Iterator<Item = f64> {
        self.rgb.chunks_exact(3).map(|pixel| luma([pixel[0], pixel[1], pixel[2]].map(f64::from)))
    }

    /// How far luminance lies from its mean.
    #[must_use]
    pub fn contrast(&self) -> f64 {
        let mean = self.luminance();
        let squares: f64 = self.lumas().map(|value| (value - mean).powi(2)).sum();
        (squares / (self.width * self.height) as f64).sqrt()
    }

    /// How far colours lie from grey.
    #[must_use]
    pub fn colourfulness(&self) -> f64 {
        let spread =
            |pixel: &[u8]| f64::from(pixel.iter().max().unwrap_or(&0) - pixel.iter().min().unwrap_or(&0));
        self.rgb.chunks_exact(3).map(spread).sum::<f64>() / (self.width * self.height) as f64
    }

    /// How much luminance changes from pixel to pixel.
    #[must_use]
    pub fn sharpness(&self) -> f64 {
        let lumas: Vec<f64> = self.lumas().collect();
        lumas.windows(2).map(|pair| (pair[0] - pair[1]).abs()).sum::<f64>() / lumas.len() as f64
    }
}

fn luma([red, green, blue]: [f64; 3]) -> f64 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// A viewer of the robocar stream.
pub struct Eye(Client);

impl Eye {
    /// Opens it.
    #[must_use]
    pub fn open(gateway: &Gateway) -> Self {
        Self(Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] })))
    }

    /// The next picture.
    ///
    /// # Panics
    /// When none comes.
    #[must_use]
    pub fn picture(&self) -> Picture {
        self.until("a picture", |_| true)
    }

    /// The first picture that `wanted` takes.
    ///
    /// # Panics
    /// When none comes.
    pub fn until(&self, what: &str, mut wanted: impl FnMut(&Picture) -> bool) -> Picture {
        let mut found = None;
        self.0.find(what, |event| {
            let data = &event.args.first().unwrap_or(&Value::Null);
            let Some(text) = data["camera"]["frame"].as_str() else { return false };
            let jpeg = crate::base64(text);
            let picture =
                Picture { at: data["timestamp"].as_f64().expect("a time"), ..Picture::decode(&jpeg) };
            let said = (data["camera"]["width"].as_u64(), data["camera"]["height"].as_u64());
            assert_eq!(said, (Some(picture.width as u64), Some(picture.height as u64)), "what is said of it");
            if !wanted(&picture) {
                return false;
            }
            found = Some(picture);
            true
        });
        found.expect("it was found")
    }
}
