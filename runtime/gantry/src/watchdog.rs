//! Whether the gateway makes progress, so that systemd's watchdog is fed or starved.
//!
//! Starving it kills the process, so it answers one question only: would a restart help? A camera that is unplugged is
//! being retried, and a new process could do no better: it is fed. A camera that the gateway holds for connected while no
//! frame of it arrives is another matter: its supervisor should have torn the pipeline down after `stall_timeout` and has
//! not, so something hangs inside the process, and a restart is what helps. A main loop that hangs feeds nothing at all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How a camera does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Camera<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Whether its supervisor holds it for working.
    pub(crate) connected: bool,
    /// The frames captured so far.
    pub(crate) frames: u64,
    /// After how long without a frame its supervisor has to act.
    pub(crate) stall_timeout: Duration,
}

/// A supervisor may be late by this much: tearing a pipeline down takes a moment on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Remembers when each camera last made progress.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    progress: BTreeMap<String, (u64, Instant)>,
}

impl Watchdog {
    /// The first camera that hangs; while there is none, the watchdog is fed.
    pub(crate) fn hanging(&mut self, now: Instant, cameras: &[Camera<'_>]) -> Option<String> {
        self.progress.retain(|name, _| cameras.iter().any(|camera| camera.name == name));
        let mut hanging = None;
        for camera in cameras {
            let (frames, since) = self.progress.entry(camera.name.to_owned()).or_insert((camera.frames, now));
            if !camera.connected || *frames != camera.frames {
                (*frames, *since) = (camera.frames, now);
            } else if now.duration_since(*since) > camera.stall_timeout + PATIENCE {
                hanging.get_or_insert_with(|| camera.name.to_owned());
            }
        }
        hanging
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(name: &str, connected: bool, frames: u64) -> Camera<'_> {
        Camera { name, connected, frames, stall_timeout: Duration::from_secs(1) }
    }

    #[test]
    fn a_gateway_without_cameras_and_one_with_frames_make_progress() {
        let (mut dog, start) = (Watchdog::default(), Instant::now());
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            assert_eq!(dog.hanging(now, &[]), None);
            assert_eq!(dog.hanging(now, &[camera("main", true, second * 30)]), None);
        }
    }

    #[test]
    fn an_unplugged_camera_does_not_kill_the_gateway() {
        let (mut dog, start) = (Watchdog::default(), Instant::now());
        for second in 0..3600 {
            assert_eq!(dog.hanging(start + Duration::from_secs(second), &[camera("main", false, 7)]), None);
        }
    }

    #[test]
    fn a_camera_that_counts_as_connected_without_frames_does() {
        let (mut dog, start) = (Watchdog::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let look = |dog: &mut Watchdog, seconds, frames| {
            dog.hanging(at(seconds), &[camera("door", true, seconds), camera("main", true, frames)])
        };
        assert_eq!(look(&mut dog, 0, 7), None);
        assert_eq!(look(&mut dog, 6, 7), None);
        assert_eq!(look(&mut dog, 7, 7), Some("main".to_owned()));
        assert_eq!(look(&mut dog, 8, 8), None, "a frame ends it");
    }

    #[test]
    fn a_camera_has_its_time_anew_after_it_comes_back() {
        let (mut dog, start) = (Watchdog::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(dog.hanging(at(0), &[camera("main", false, 7)]), None);
        assert_eq!(dog.hanging(at(100), &[camera("main", false, 7)]), None);
        assert_eq!(dog.hanging(at(101), &[camera("main", true, 7)]), None);
        assert_eq!(dog.hanging(at(200), &[]), None, "and one that is removed is forgotten");
        assert_eq!(dog.hanging(at(300), &[camera("main", true, 7)]), None);
    }
}
