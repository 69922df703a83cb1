//! How long to wait before the next attempt.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(8);

/// Waits that double up to 8 s, each a little different, so that a fleet does not come back at once.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    random: RandomState,
}

impl Backoff {
    /// It went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(2u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let part = self.random.hash_one(self.failures) % 512;
        // From a half to the whole of it.
        whole / 2 + whole / 2 * u32::try_from(part).unwrap_or_default() / 512
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST, LONGEST};

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let mut waits: Vec<_> = (0..100).map(|_| backoff.wait()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST, "{:?}", waits[0]);
        assert!(
            waits.iter().all(|wait| *wait <= LONGEST)
                && waits.split_off(20).iter().all(|w| *w >= LONGEST / 2)
        );
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
