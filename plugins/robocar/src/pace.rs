//! When ticks are sent. No clock: times in, times out.

use std::time::{Duration, Instant};

/// When ticks are sent.
///
/// They keep to a grid, so that their rate is exact in the long run, and missed ones are left out. When a new picture is
/// just about to come, a tick waits for it, half a period at most: a camera of the same rate would otherwise be sent now
/// twice, now not at all, as the two clocks drift past each other.
#[derive(Debug)]
pub struct Pace {
    period: Duration,
    due: Instant,
    fresh: bool,
    arrived: Option<Instant>,
    /// The mean time between pictures.
    interval: Option<Duration>,
}

/// What [`Pace::next`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Ask again at this time, or when a picture has come.
    Wait(Instant),
    /// Send the tick now.
    Send,
}

/// A tick waits no longer than this, however low the rate.
const PATIENCE: Duration = Duration::from_millis(100);

impl Pace {
    /// Ticks at `rate` Hz, the first one at once.
    #[must_use]
    pub fn new(rate: f64, now: Instant) -> Self {
        let period = Duration::from_secs_f64(1.0 / rate.clamp(0.1, 240.0));
        Self { period, due: now, fresh: false, arrived: None, interval: None }
    }

    /// A picture has come.
    pub fn picture(&mut self, now: Instant) {
        self.fresh = true;
        let gap = self.arrived.map(|before| now.saturating_duration_since(before));
        self.arrived = Some(now);
        self.interval = match (gap, self.interval) {
            (Some(gap), _) if gap > Duration::from_secs(2) => None,
            (Some(gap), Some(mean)) => Some((mean * 7 + gap) / 8),
            (gap, None) => gap,
            (None, mean) => mean,
        };
    }

    /// The camera is gone: nothing is worth waiting for.
    pub fn forget(&mut self) {
        (self.fresh, self.arrived, self.interval) = (false, None, None);
    }

    /// What to do now. `Send` counts as sent.
    pub fn next(&mut self, now: Instant) -> Next {
        if now < self.due {
            return Next::Wait(self.due);
        }
        if !self.fresh
            && let (Some(arrived), Some(interval)) = (self.arrived, self.interval)
        {
            let limit = self.due + PATIENCE.min(self.period / 2);
            let expected = arrived + interval;
            // One that is late by half its interval may as well not come at all.
            let until = limit.min(expected + interval / 2);
            if expected <= limit && now < until {
                return Next::Wait(until);
            }
        }
        self.fresh = false;
        self.due += self.period;
        if self.due <= now {
            let missed = now.duration_since(self.due).as_nanos() / self.period.as_nanos() + 1;
            self.due += self.period * u32::try_from(missed).unwrap_or(u32::MAX);
        }
        Next::Send
    }
}

/// The rate at which to watch a camera, or `None` for every picture. Twice the publish rate keeps the newest picture
/// younger than half a period, and encodes no more than that of a fast camera.
#[must_use]
pub fn watch_rate(publish_rate: f64, camera_fps: Option<f64>) -> Option<f64> {
    let enough = publish_rate * 2.0;
    // A limit near the camera's own rate would only drop pictures that come a little early.
    camera_fps.is_none_or(|fps| fps > enough * 1.2).then_some(enough)
}

#[cfg(test)]
mod tests {
    use super::{Next, Pace, watch_rate};
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    /// Runs a camera against the pace for some seconds and returns the times of the ticks, and which had a picture.
    fn drive(rate: f64, pictures: &[Duration], length: Duration) -> Vec<(Duration, bool)> {
        let start = Instant::now();
        let mut pace = Pace::new(rate, start);
        let (mut pictures, mut ticks, mut at, mut fresh) =
            (pictures.iter().peekable(), Vec::new(), start, false);
        while at < start + length {
            while pictures.next_if(|picture| start + **picture <= at).is_some() {
                pace.picture(at);
                fresh = true;
            }
            match pace.next(at) {
                Next::Send => ticks.push((at - start, std::mem::take(&mut fresh))),
                Next::Wait(until) => {
                    let picture = pictures.peek().map_or(until, |picture| start + **picture);
                    at = until.min(picture).max(at + Duration::from_micros(1));
                }
            }
        }
        ticks
    }

    /// A camera of this rate that begins late by `phase` (0 to 1 of its period) and is up to `jitter` off its beat.
    fn camera(fps: f64, phase: f64, jitter: f64, seconds: f64) -> Vec<Duration> {
        let mut noise = 12_345_u32;
        (0..(seconds * fps) as u32)
            .map(|i| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let off = (f64::from(noise >> 8) / f64::from(1 << 24) - 0.5) * 2.0 * jitter;
                Duration::from_secs_f64(((f64::from(i) + phase + 1.0) / fps + off).max(0.0))
            })
            .collect()
    }

    #[test]
    fn a_camera_of_the_same_rate_is_in_every_tick_whatever_its_phase() {
        for phase in 0..20 {
            let pictures = camera(30.0, f64::from(phase) / 20.0, 0.004, 20.0);
            let ticks = drive(30.0, &pictures, Duration::from_secs(20));
            assert!((598..=601).contains(&ticks.len()), "phase {phase}: {} ticks", ticks.len());
            let nulls = ticks.iter().skip(5).filter(|(_, fresh)| !fresh).count();
            assert!(nulls <= 2, "phase {phase}: {nulls} ticks without a picture");
        }
    }

    #[test]
    fn a_slow_camera_leaves_every_other_tick_without_a_picture_and_the_rate_alone() {
        let ticks = drive(10.0, &camera(5.0, 0.3, 0.005, 20.0), Duration::from_secs(20));
        assert!((198..=201).contains(&ticks.len()), "{} ticks", ticks.len());
        let with = ticks.iter().filter(|(_, fresh)| *fresh).count();
        assert!((97..=100).contains(&with), "{with} pictures");
    }

    #[test]
    fn a_fast_camera_never_delays_a_tick() {
        let ticks = drive(10.0, &camera(30.0, 0.5, 0.004, 10.0), Duration::from_secs(10));
        for (i, (at, _)) in ticks.iter().enumerate().skip(2) {
            let late = at.saturating_sub(Duration::from_millis(100) * i as u32);
            assert!(late < Duration::from_millis(1), "tick {i} is late by {late:?}");
        }
        assert!(ticks[2..].iter().all(|(_, fresh)| *fresh));
    }

    #[test]
    fn ticks_that_were_missed_are_left_out_and_the_grid_stays() {
        let start = Instant::now();
        let mut pace = Pace::new(10.0, start);
        assert_eq!(pace.next(start), Next::Send);
        let late = start + Duration::from_millis(1234);
        assert_eq!(pace.next(late), Next::Send);
        assert_eq!(pace.next(late), Next::Wait(start + Duration::from_millis(1300)));
    }

    #[test]
    fn a_camera_that_stalls_is_not_waited_for() {
        let start = Instant::now();
        let mut pace = Pace::new(10.0, start);
        for i in 0..10 {
            pace.picture(start + Duration::from_millis(100) * i);
        }
        let later = start + Duration::from_secs(5);
        assert_eq!(pace.next(later), Next::Send, "the last picture");
        let due = later + Duration::from_millis(100);
        assert_eq!(pace.next(due), Next::Send, "without one");
    }

    #[test]
    fn a_camera_is_watched_at_twice_the_rate_or_in_full() {
        assert_eq!(watch_rate(10.0, Some(30.0)), Some(20.0));
        assert_eq!(watch_rate(10.0, None), Some(20.0));
        assert_eq!(watch_rate(15.0, Some(30.0)), None);
        assert_eq!(watch_rate(30.0, Some(30.0)), None);
    }

    proptest! {
        #[test]
        fn the_rate_is_exact_whatever_the_camera_does(rate in 1.0..60.0f64, fps in 1.0..90.0f64, phase in 0.0..1.0f64) {
            let ticks = drive(rate, &camera(fps, phase, 0.2 / fps, 12.0), Duration::from_secs(10));
            let expected = 10.0 * rate;
            prop_assert!((ticks.len() as f64 - expected).abs() <= 2.0, "{} ticks at {rate} Hz", ticks.len());
        }
    }
}
