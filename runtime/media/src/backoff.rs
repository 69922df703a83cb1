//! How long to wait before a lost camera is tried again, and when a camera counts as lost. Pure: time is passed in.

use std::time::{Duration, Instant};

/// The first wait.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// A camera that ran this long was well: its next loss is a new one.
const WELL: Duration = Duration::from_secs(10);
/// A slow camera may take this many of its own frame times whatever the stall timeout.
const FRAME_TIMES: f64 = 2.5;

/// Waits that double while a camera keeps failing.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The camera was lost at `now`, after frames since `running_since` (or none): how long to wait.
    pub(crate) fn lost(&mut self, now: Instant, running_since: Option<Instant>) -> Duration {
        if running_since.is_some_and(|since| now.saturating_duration_since(since) >= WELL) {
            self.next = FIRST;
        }
        let wait = self.next;
        self.next = (self.next * 2).min(LONGEST);
        wait
    }
}

/// Looks whether frames come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watchdog {
    /// When the session began.
    pub(crate) opened: Instant,
    /// How long the first frame may take: cameras tune in, files are opened, networks connect.
    pub(crate) grace: Duration,
    /// The longest time between two frames.
    pub(crate) stall_timeout: Duration,
}

impl Watchdog {
    /// For how long there was no frame, when that is too long. `fps` is the rate that the source says it has.
    pub(crate) fn stalled(
        &self,
        now: Instant,
        last_frame: Option<Instant>,
        fps: Option<f64>,
    ) -> Option<Duration> {
        let (since, limit) = match last_frame {
            Some(frame) => {
                let own = fps.and_then(|fps| Duration::try_from_secs_f64(FRAME_TIMES / fps).ok());
                (frame, self.stall_timeout.max(own.unwrap_or_default()))
            }
            None => (self.opened, self.stall_timeout.max(self.grace)),
        };
        let silent = now.saturating_duration_since(since);
        (silent >= limit).then_some(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn waits_double_up_to_the_longest() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..9).map(|_| backoff.lost(now, None).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    }

    #[test]
    fn a_camera_that_ran_well_starts_over_and_one_that_flaps_does_not() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        backoff.lost(start, None);
        backoff.lost(start, None);
        assert_eq!(backoff.lost(start + MS(2_000), Some(start)), MS(2_000));
        assert_eq!(backoff.lost(start + MS(9_999), Some(start)), MS(4_000));
        assert_eq!(backoff.lost(start + MS(10_000), Some(start)), MS(500));
    }

    #[test]
    fn the_first_frame_has_a_grace_that_later_ones_have_not() {
        let opened = Instant::now();
        let dog = Watchdog { opened, grace: MS(5_000), stall_timeout: MS(1_000) };
        assert_eq!(dog.stalled(opened + MS(4_999), None, None), None);
        assert_eq!(dog.stalled(opened + MS(5_000), None, None), Some(MS(5_000)));
        let frame = Some(opened + MS(200));
        assert_eq!(dog.stalled(opened + MS(1_199), frame, Some(30.0)), None);
        assert_eq!(dog.stalled(opened + MS(1_200), frame, Some(30.0)), Some(MS(1_000)));
        let patient = Watchdog { stall_timeout: MS(20_000), ..dog };
        assert_eq!(patient.stalled(opened + MS(19_999), None, None), None);
    }

    #[test]
    fn a_camera_of_one_frame_in_two_seconds_does_not_stall_between_its_frames() {
        let opened = Instant::now();
        let dog = Watchdog { opened, grace: MS(5_000), stall_timeout: MS(1_000) };
        assert_eq!(dog.stalled(opened + MS(4_999), Some(opened), Some(0.5)), None);
        assert_eq!(dog.stalled(opened + MS(5_000), Some(opened), Some(0.5)), Some(MS(5_000)));
        assert_eq!(dog.stalled(opened + MS(1_000), Some(opened), None), Some(MS(1_000)));
    }
}
