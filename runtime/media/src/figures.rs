//! What is counted of one camera, over all of its sessions.

use crate::source::Source;
use metrics::{Counter, counter, describe_counter};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// One number, for the status and for the metrics.
pub(crate) struct Tally {
    own: AtomicU64,
    exported: Counter,
}

impl Tally {
    fn new(exported: Counter) -> Self {
        // So that the series is there, at 0, before anything happened.
        exported.increment(0);
        Self { own: AtomicU64::new(0), exported }
    }

    pub(crate) fn add(&self, n: u64) {
        if n > 0 {
            self.own.fetch_add(n, Ordering::Relaxed);
            self.exported.increment(n);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }
}

/// The figures of one camera. They outlive its sessions and changes of its section.
pub(crate) struct Figures {
    /// Frames that the source gave.
    pub(crate) captured: Tally,
    /// JPEG pictures made for watchers, or passed through to them.
    pub(crate) encoded: Tally,
    /// Frames that were lost: by the source, or because the encoder could not keep up.
    pub(crate) dropped: Tally,
    /// How often the pipeline was built anew after it failed.
    pub(crate) restarts: Tally,
    /// The number of the newest frame.
    pub(crate) sequence: AtomicU64,
    /// Width and height of the newest JPEG picture, as `width << 32 | height`; 0 before the first.
    pub(crate) size: AtomicU64,
}

impl Figures {
    pub(crate) fn new(camera: &str) -> Self {
        static DESCRIBED: Once = Once::new();
        DESCRIBED.call_once(|| {
            describe_counter!("gantry_camera_frames_captured_total", "Frames that the camera gave");
            describe_counter!(
                "gantry_camera_frames_encoded_total",
                "JPEG pictures made or passed through for watchers"
            );
            describe_counter!(
                "gantry_camera_frames_dropped_total",
                "Frames lost by the camera or because encoding could not keep up"
            );
            describe_counter!(
                "gantry_camera_restarts_total",
                "Pipelines built anew after the camera was lost"
            );
        });
        let name = camera.to_owned();
        Self {
            captured: Tally::new(counter!("gantry_camera_frames_captured_total", "camera" => name.clone())),
            encoded: Tally::new(counter!("gantry_camera_frames_encoded_total", "camera" => name.clone())),
            dropped: Tally::new(counter!("gantry_camera_frames_dropped_total", "camera" => name.clone())),
            restarts: Tally::new(counter!("gantry_camera_restarts_total", "camera" => name)),
            sequence: AtomicU64::new(0),
            size: AtomicU64::new(0),
        }
    }

    /// Width and height of the newest JPEG picture.
    pub(crate) fn size(&self) -> Option<(u32, u32)> {
        let size = self.size.load(Ordering::Relaxed);
        // The halves were put together from two u32.
        (size != 0).then_some(((size >> 32) as u32, size as u32))
    }
}

/// What is said of a camera when its session cannot be told from GStreamer's words.
pub(crate) fn with_advice(message: &str, source: &Source) -> String {
    format!("{}: {}", message.trim_end_matches(['.', '!', ' ']), source.advice())
}
