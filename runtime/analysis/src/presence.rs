//! Whether the camera gives what is watched. Pure: time is an argument.

use std::time::{Duration, Instant};

/// A camera that is connected and gives nothing on a stream for so long does not have it.
const MISSING: Duration = Duration::from_secs(10);
/// After a pause that is longer than this nobody is followed any more; the tracker says the same.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);

/// What is known of a stream.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    connected: Option<Instant>,
    watched: Option<Instant>,
    frame: Option<Instant>,
}

impl Presence {
    /// Whether the camera is connected.
    pub(crate) fn connected(&mut self, now: Instant, is_connected: bool) {
        self.connected = is_connected.then(|| self.connected.unwrap_or(now));
    }

    /// Another stream is watched from now on, or none.
    pub(crate) fn watches(&mut self, since: Option<Instant>) {
        (self.watched, self.frame) = (since, None);
    }

    /// A frame came.
    pub(crate) fn frame(&mut self, now: Instant) {
        self.frame = Some(now);
    }

    /// Whether frames come.
    pub(crate) fn flows(&self, now: Instant) -> bool {
        self.frame.is_some_and(|frame| now.saturating_duration_since(frame) < PAUSE)
    }

    /// Whether a frame ever came from this stream.
    pub(crate) fn was_there(&self) -> bool {
        self.frame.is_some()
    }

    /// Whether the camera is there and the stream is not.
    pub(crate) fn is_missing(&self, now: Instant) -> bool {
        self.missing_at().is_some_and(|at| now >= at)
    }

    fn missing_at(&self) -> Option<Instant> {
        let since = self.connected?.max(self.watched?);
        Some(since.max(self.frame.unwrap_or(since)) + MISSING)
    }

    /// When [`flows`](Self::flows) or [`is_missing`](Self::is_missing) may say something else, after `now`.
    pub(crate) fn look(&self, now: Instant) -> Option<Instant> {
        let pause = self.frame.map(|frame| frame + PAUSE);
        [pause, self.missing_at()].into_iter().flatten().filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_stream_is_missing_when_the_camera_is_connected_for_ten_seconds_without_a_frame_on_it() {
        let start = Instant::now();
        let mut presence = Presence::default();
        presence.watches(Some(start));
        assert!(!presence.is_missing(start + 99 * SECOND), "the camera itself is not there");
        let now = start + 99 * SECOND;
        presence.connected(now, true);
        presence.connected(now + 5 * SECOND, true);
        assert_eq!(presence.look(now), Some(now + 10 * SECOND));
        assert!(!presence.is_missing(now + 9 * SECOND) && presence.is_missing(now + 10 * SECOND));
        presence.frame(now + 11 * SECOND);
        assert!(!presence.is_missing(now + 11 * SECOND) && presence.was_there());
        assert!(presence.flows(now + 15 * SECOND) && !presence.flows(now + 16 * SECOND));
        assert_eq!(presence.look(now + 11 * SECOND), Some(now + 16 * SECOND));
        presence.connected(now + 12 * SECOND, false);
        assert!(!presence.is_missing(now + 99 * SECOND));
        presence.connected(now + 99 * SECOND, true);
        assert!(!presence.is_missing(now + 100 * SECOND), "it may take a moment to come back");
        presence.watches(None);
        assert!(!presence.is_missing(now + 999 * SECOND));
    }
}
