//! What the Rust peers share: their command line, and the message that every peer in every language sends.

use crate::tally::since_1970;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use serde::Serialize;
use std::time::Duration;

/// A server that sends one camera frame to everybody, at a fixed rate.
#[derive(Debug, Clone, Copy, Parser)]
pub struct Options {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// Frames per second.
    pub fps: f64,
    /// Bytes of a picture, before base64.
    pub size: usize,
}

impl Options {
    /// From one frame to the next.
    pub fn period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.fps.clamp(0.1, 1000.0))
    }

    /// The picture: the first bytes of a JPEG, then noise, which is as hard to compress as one.
    pub fn picture(&self) -> Vec<u8> {
        let mut picture = vec![0xff, 0xd8, 0xff, 0xfe];
        let mut noise = 12_345_u32;
        while picture.len() < self.size {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            picture.push(noise.to_be_bytes()[0]);
        }
        picture
    }
}

/// The message, for a server that serialises by itself.
#[derive(Debug, Serialize)]
pub struct SensorData {
    /// Seconds since 1970.
    pub timestamp: f64,
    /// The picture.
    pub camera: Camera,
}

/// The picture in [`SensorData`].
#[derive(Debug, Serialize)]
pub struct Camera {
    /// Base64.
    pub frame: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// `jpeg`.
    pub format: &'static str,
}

impl SensorData {
    /// A message made now. The picture is encoded anew for each one, as it would be for a camera.
    pub fn now(picture: &[u8]) -> Self {
        let camera = Camera { frame: STANDARD.encode(picture), width: 640, height: 480, format: "jpeg" };
        Self { timestamp: since_1970(), camera }
    }

    /// The message as text, put together by hand because base64 needs no escaping.
    pub fn to_text(&self) -> String {
        let Self { timestamp, camera: Camera { frame, width, height, format } } = self;
        format!(
            r#"{{"timestamp":{timestamp:.6},"camera":{{"frame":"{frame}","width":{width},"height":{height},"format":"{format}"}}}}"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_json_and_its_picture_has_the_size() -> Result<(), Box<dyn std::error::Error>> {
        let picture = Options { port: 1, fps: 30.0, size: 5000 }.picture();
        let message: serde_json::Value = serde_json::from_str(&SensorData::now(&picture).to_text())?;
        let frame = message["camera"]["frame"].as_str().ok_or("no frame")?;
        assert_eq!(STANDARD.decode(frame)?, picture);
        assert_eq!(picture.len(), 5000);
        assert!(message["timestamp"].as_f64().is_some_and(|time| time > 1.7e9));
        Ok(())
    }
}
