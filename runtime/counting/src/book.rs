//! What was counted on one day.

use crate::day::{Day, within};
use crate::turn::DaySums;
use crate::{Count, CrossingRecord};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const HOUR_MS: i64 = 3_600_000;

/// Counts by camera and line.
pub(crate) type Lines = BTreeMap<String, BTreeMap<String, Count>>;

/// One day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) day: Day,
    /// By the start of the hour of UTC. An hour in which a day ends is in the books of both days.
    hours: BTreeMap<i64, Lines>,
    /// The sums of the hours.
    #[serde(skip)]
    lines: Lines,
    pub(crate) faces: u64,
    /// How often each event began; only of events that are still known.
    pub(crate) events: BTreeMap<String, u64>,
    /// How often any event began.
    pub(crate) begun: u64,
}

impl Book {
    pub(crate) fn new(day: Day) -> Self {
        Self {
            day,
            hours: BTreeMap::new(),
            lines: BTreeMap::new(),
            faces: 0,
            events: BTreeMap::new(),
            begun: 0,
        }
    }

    /// Sums the hours up again after reading them.
    pub(crate) fn restored(mut self) -> Self {
        self.lines.clear();
        for (camera, lines) in self.hours.values().flatten() {
            for (line, count) in lines {
                *entry(&mut self.lines, camera, line) += *count;
            }
        }
        self
    }

    /// Whether nothing was ever counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.hours.is_empty() && self.faces == 0 && self.begun == 0
    }

    pub(crate) fn cross(&mut self, crossing: &CrossingRecord) {
        self.add(&crossing.camera, &crossing.line, Count::of(crossing.direction), crossing.time_ms);
    }

    pub(crate) fn add(&mut self, camera: &str, line: &str, count: Count, time_ms: i64) {
        *entry(self.hours.entry(hour_of(time_ms)).or_default(), camera, line) += count;
        *entry(&mut self.lines, camera, line) += count;
    }

    /// Takes as much of it away as there is, from the latest hours first, and tells from which.
    pub(crate) fn take(&mut self, camera: &str, line: &str, mut count: Count) -> BTreeSet<i64> {
        let mut touched = BTreeSet::new();
        let total = self.lines.get_mut(camera).and_then(|lines| lines.get_mut(line));
        let hours = self.hours.iter_mut().rev();
        let of_line = hours.filter_map(|(hour, all)| Some((*hour, all.get_mut(camera)?.get_mut(line)?)));
        let Some(total) = total else { return touched };
        for (hour, counted) in of_line {
            let taken = Count {
                count_in: count.count_in.min(counted.count_in),
                count_out: count.count_out.min(counted.count_out),
            };
            if taken.is_zero() {
                continue;
            }
            for from in [&mut *counted, &mut *total, &mut count] {
                from.count_in = from.count_in.saturating_sub(taken.count_in);
                from.count_out = from.count_out.saturating_sub(taken.count_out);
            }
            touched.insert(hour);
        }
        touched
    }

    pub(crate) fn line(&self, camera: &str, line: &str) -> Option<Count> {
        self.lines.get(camera)?.get(line).copied()
    }

    /// The sum of all lines of a camera, also of those that are gone.
    pub(crate) fn camera(&self, camera: &str) -> Count {
        self.lines.get(camera).into_iter().flat_map(BTreeMap::values).copied().sum()
    }

    pub(crate) fn total(&self) -> Count {
        self.lines.values().flat_map(BTreeMap::values).copied().sum()
    }

    pub(crate) fn hour(&self, start_ms: i64) -> Option<&Lines> {
        self.hours.get(&start_ms)
    }

    pub(crate) fn hours(&self) -> impl Iterator<Item = i64> {
        self.hours.keys().copied()
    }

    pub(crate) fn sums(&self) -> DaySums {
        let Count { count_in, count_out } = self.total();
        DaySums {
            day: self.day.name.clone(),
            start_ms: self.day.start_ms,
            end_ms: self.day.end_ms,
            count_in,
            count_out,
            lines: joined([&self.lines]),
            faces: self.faces,
            events: self.begun,
        }
    }
}

/// The hour of UTC in which this is.
pub(crate) fn hour_of(time_ms: i64) -> i64 {
    let time_ms = within(time_ms);
    time_ms - time_ms % HOUR_MS
}

/// Sums by `CAMERA/LINE`.
pub(crate) fn joined<'a>(all: impl IntoIterator<Item = &'a Lines>) -> BTreeMap<String, Count> {
    let mut joined = BTreeMap::new();
    for (camera, lines) in all.into_iter().flatten() {
        for (line, count) in lines {
            *joined.entry(format!("{camera}/{line}")).or_insert_with(Count::default) += *count;
        }
    }
    joined
}

fn entry<'a>(lines: &'a mut Lines, camera: &str, line: &str) -> &'a mut Count {
    if !lines.get(camera).is_some_and(|of_camera| of_camera.contains_key(line)) {
        lines.entry(camera.to_owned()).or_default().insert(line.to_owned(), Count::default());
    }
    lines.get_mut(camera).and_then(|of_camera| of_camera.get_mut(line)).expect("it was just put there")
}
