//! Rolling sums, exact in seconds.

use crate::Count;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The most seconds with crossings that are kept: 24 h, and an hour at each end for a clock that goes back.
const MAX_SECONDS: usize = 26 * 3600;

/// Crossings of one camera by the second. Each entry has the sum of all until then, so that the sum of a
/// window is one subtraction, however long it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<i64>", into = "Vec<i64>")]
pub(crate) struct Sums {
    seconds: VecDeque<Second>,
    /// The sum until before the first entry.
    before: Count,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Second {
    second: i64,
    until: Count,
}

impl Sums {
    /// The sums of these, in any order.
    pub(crate) fn of(seconds: impl IntoIterator<Item = (i64, Count)>) -> Self {
        let mut seconds: Vec<(i64, Count)> = seconds.into_iter().collect();
        seconds.sort_by_key(|(second, _)| *second);
        let mut sums = Self::default();
        for (second, count) in seconds {
            sums.add(second, count);
        }
        sums
    }

    /// Counts in this second of Unix time.
    pub(crate) fn add(&mut self, second: i64, count: Count) {
        let at = self.seconds.partition_point(|entry| entry.second < second);
        if self.seconds.get(at).is_none_or(|entry| entry.second != second) {
            let until = self.until(at);
            self.seconds.insert(at, Second { second, until });
        }
        self.seconds.iter_mut().skip(at).for_each(|entry| entry.until += count);
        if self.seconds.len() > MAX_SECONDS {
            self.forget(1);
        }
    }

    /// Who crossed after this second.
    pub(crate) fn after(&self, second: i64) -> Count {
        let until = self.until(self.seconds.partition_point(|entry| entry.second <= second));
        let all = self.until(self.seconds.len());
        Count { count_in: all.count_in - until.count_in, count_out: all.count_out - until.count_out }
    }

    /// Keeps what was after one second and not after another.
    pub(crate) fn keep(&mut self, after: i64, until: i64) {
        self.seconds.truncate(self.seconds.partition_point(|entry| entry.second <= until));
        self.forget(self.seconds.partition_point(|entry| entry.second <= after));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seconds.is_empty()
    }

    /// Each second with who crossed in it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, Count)> {
        self.seconds.iter().enumerate().map(|(at, entry)| {
            let before = self.until(at);
            let count = Count {
                count_in: entry.until.count_in - before.count_in,
                count_out: entry.until.count_out - before.count_out,
            };
            (entry.second, count)
        })
    }

    fn forget(&mut self, entries: usize) {
        self.before = self.until(entries);
        self.seconds.drain(..entries);
    }

    /// The sum until before the entry at this place.
    fn until(&self, at: usize) -> Count {
        at.checked_sub(1).and_then(|last| self.seconds.get(last)).map_or(self.before, |entry| entry.until)
    }
}

/// For a checkpoint: of each second how long after the one before it was, and who went in and out.
impl From<Sums> for Vec<i64> {
    fn from(sums: Sums) -> Self {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut last = 0;
        let mut numbers = Self::with_capacity(sums.seconds.len() * 3);
        for (second, count) in sums.iter() {
            numbers.extend([second.saturating_sub(last), whole(count.count_in), whole(count.count_out)]);
            last = second;
        }
        numbers
    }
}

impl From<Vec<i64>> for Sums {
    fn from(numbers: Vec<i64>) -> Self {
        let whole = |number: i64| u64::try_from(number).unwrap_or(0);
        let mut second = 0_i64;
        Self::of(numbers.chunks_exact(3).map(|entry| {
            second = second.saturating_add(entry[0]);
            (second, Count { count_in: whole(entry[1]), count_out: whole(entry[2]) })
        }))
    }
}
