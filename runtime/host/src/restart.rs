//! When an instance that failed is started again. Time is passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(600);
const MAX_FAULTS: usize = 5;

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Start it again after this long.
    RetryAfter(Duration),
    /// Leave it down until the configuration or the library changes, or the operator reloads.
    Down,
}

/// The record of one instance.
#[derive(Debug, Default)]
pub(crate) struct History {
    faults: VecDeque<Instant>,
    failures: u32,
}

impl History {
    /// It panicked or got stuck: code that does so five times in ten minutes is left down.
    pub(crate) fn fault(&mut self, now: Instant) -> Next {
        self.faults.push_back(now);
        while self.faults.front().is_some_and(|at| now.saturating_duration_since(*at) > WINDOW) {
            self.faults.pop_front();
        }
        if self.faults.len() >= MAX_FAULTS {
            return Next::Down;
        }
        Next::RetryAfter(delay(self.faults.len() as u32))
    }

    /// It could not start, such as for a port in use: that may pass by itself, so it is tried for ever.
    pub(crate) fn failure(&mut self) -> Next {
        self.failures = self.failures.saturating_add(1);
        Next::RetryAfter(delay(self.failures))
    }

    /// It started.
    pub(crate) fn started(&mut self) {
        self.failures = 0;
    }
}

fn delay(times: u32) -> Duration {
    FIRST.saturating_mul(1 << (times - 1).min(10)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_faults_in_ten_minutes_leave_it_down() {
        let (mut history, start) = (History::default(), Instant::now());
        let after = |s| start + Duration::from_secs(s);
        for (at, delay) in [(0, 1), (10, 2), (20, 4), (30, 8)] {
            assert_eq!(history.fault(after(at)), Next::RetryAfter(Duration::from_secs(delay)));
        }
        assert_eq!(history.fault(after(40)), Next::Down);
    }

    #[test]
    fn rare_faults_are_forgotten() {
        let (mut history, start) = (History::default(), Instant::now());
        for n in 0..50 {
            let next = history.fault(start + Duration::from_secs(n * 200));
            assert!(matches!(next, Next::RetryAfter(d) if d <= Duration::from_secs(8)), "{n}: {next:?}");
        }
    }

    #[test]
    fn a_failing_start_is_tried_for_ever_with_growing_delay() {
        let mut history = History::default();
        let delays: Vec<_> = (0..9)
            .map(|_| match history.failure() {
                Next::RetryAfter(delay) => delay.as_secs(),
                Next::Down => panic!("never down"),
            })
            .collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        history.started();
        assert_eq!(history.failure(), Next::RetryAfter(FIRST));
    }
}
