//! Whether what is too old may go: not on the word of a clock that has just leapt.
//!
//! A gateway whose clock has no battery starts in 1970 or years ahead, until the network tells it the time. What went for its
//! age meanwhile would be gone for nothing. So when the clock has leapt, nothing goes for its age for a day; how many records
//! and bytes are kept, and a disk that is full, are no matter of clocks and hold as ever.

use crate::clock::unix_ms;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a clock that has leapt must go on without another leap, until it is believed.
pub(super) const WAIT: Duration = Duration::from_secs(24 * 3600);
/// What a clock may be put right by without having leapt, in milliseconds: a change of summer time is none of UTC.
const LEAP_MS: u64 = 10 * 60 * 1000;
/// How long a gateway may have been off before its clock is one that may have leapt, in milliseconds.
const AWAY_MS: u64 = 24 * 3600 * 1000;

struct State {
    /// The clock, and the steady one, when they were looked at last.
    wall: i64,
    steady: Instant,
    /// Nothing goes for its age until then.
    waits: Option<Instant>,
    /// As `wall` and `steady` before the leap: until the store no longer asks for ages, its clock goes on as before.
    held: Option<(i64, Instant)>,
}

/// The store's clock.
pub(super) struct Ages(Mutex<State>);

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The clock of this machine, in milliseconds since 1970.
fn wall() -> i64 {
    i64::try_from(unix_ms()).unwrap_or(i64::MAX)
}

impl Ages {
    /// Until it is said otherwise, nothing goes for its age.
    pub(super) fn new() -> Self {
        let steady = Instant::now();
        Self(Mutex::new(State { wall: wall(), steady, waits: Some(steady + WAIT), held: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store has been opened: when its newest record was stored, and how long an earlier run still waited.
    pub(super) fn begin(&self, newest: Option<i64>, waited: Duration) {
        let mut state = self.state();
        let away = newest.is_some_and(|newest| state.wall.abs_diff(newest) > AWAY_MS);
        let wait = if away { WAIT } else { waited.min(WAIT) };
        state.waits = (!wait.is_zero()).then(|| state.steady + wait);
        if away {
            tracing::warn!(
                "the clock is more than a day off the newest record: for a day nothing is removed for its age"
            );
        }
    }

    /// The time for the store.
    pub(super) fn now(&self) -> i64 {
        let mut state = self.state();
        state.look(wall(), Instant::now())
    }

    /// How long nothing goes for its age; `None` when it may.
    pub(super) fn wait(&self) -> Option<Duration> {
        let mut state = self.state();
        state.look(wall(), Instant::now());
        let (until, steady) = (state.waits?, state.steady);
        if until <= steady {
            state.waits = None;
        }
        state.waits.map(|until| until.duration_since(steady))
    }

    /// The store asks for no ages now: it may have the clock as it is.
    pub(super) fn release(&self) {
        self.state().held = None;
    }
}

impl State {
    fn look(&mut self, wall: i64, steady: Instant) -> i64 {
        let since = |(from, at): (i64, Instant)| {
            from.saturating_add(milliseconds(steady.saturating_duration_since(at)))
        };
        if since((self.wall, self.steady)).abs_diff(wall) > LEAP_MS {
            if self.waits.is_none() {
                self.held = Some((self.wall, self.steady));
            }
            self.waits = Some(steady + WAIT);
            let leap_s = wall.saturating_sub(since((self.wall, self.steady))) / 1000;
            tracing::warn!(leap_s, "the clock has leapt: for a day nothing is removed for its age");
        }
        (self.wall, self.steady) = (wall, steady);
        self.held.map_or(wall, since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: i64 = 365 * 24 * 3600 * 1000;

    fn state(begin: Instant) -> State {
        State { wall: 1_700_000_000_000, steady: begin, waits: None, held: None }
    }

    #[test]
    fn a_clock_that_goes_as_it_should_is_the_store_s() {
        let begin = Instant::now();
        let mut state = state(begin);
        for second in 1..5_i64 {
            let steady = begin + Duration::from_secs(second.unsigned_abs());
            // It is put right by a minute.
            let wall = 1_700_000_000_000 + second * 1000 + 60_000;
            assert_eq!(state.look(wall, steady), wall);
        }
        assert!(state.waits.is_none());
    }

    #[test]
    fn a_leap_is_not_the_store_s_until_it_asks_for_no_ages() {
        for leap in [10 * YEAR, -60 * YEAR] {
            let begin = Instant::now();
            let mut state = state(begin);
            let second = |n: u64| begin + Duration::from_secs(n);
            assert_eq!(state.look(1_700_000_001_000 + leap, second(1)), 1_700_000_001_000);
            assert_eq!(state.look(1_700_000_002_000 + leap, second(2)), 1_700_000_002_000);
            assert_eq!(state.waits, Some(second(1) + WAIT));
            state.held = None;
            assert_eq!(state.look(1_700_000_003_000 + leap, second(3)), 1_700_000_003_000 + leap);
            // While it waits, the next leap is the store's at once.
            assert_eq!(state.look(1_700_000_004_000, second(4)), 1_700_000_004_000);
            assert_eq!(state.waits, Some(second(4) + WAIT), "it waits anew");
        }
    }

    #[test]
    fn after_a_day_without_a_leap_the_clock_is_believed() {
        let ages = Ages::new();
        assert!(ages.wait().is_some(), "until the store is open");
        ages.begin(None, Duration::ZERO);
        assert_eq!(ages.wait(), None);
        ages.begin(Some(wall() - YEAR), Duration::ZERO);
        assert!(ages.wait().is_some_and(|wait| wait > WAIT / 2));
        ages.begin(Some(wall() + YEAR), Duration::ZERO);
        assert!(ages.wait().is_some(), "the clock went back");
        ages.begin(Some(wall() - 1000), Duration::from_secs(3600));
        assert!(ages.wait().is_some_and(|wait| wait <= Duration::from_secs(3600)), "an earlier run waited");
        ages.state().waits = Some(Instant::now());
        assert_eq!(ages.wait(), None);
    }
}
