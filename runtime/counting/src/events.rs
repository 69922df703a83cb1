//! Events, begun and ended by rules.

use crate::{BeginError, CrossingRecord, Direction};
use gantry_core::topic;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The most events that are known, running or not.
pub(crate) const MAX_EVENTS: usize = 64;
/// The largest data of an event, in bytes of JSON.
pub(crate) const MAX_DATA: usize = 16 * 1024;
/// The longest name, in bytes.
pub(crate) const MAX_NAME: usize = 128;
/// How many crossings a rule may be late.
const RECENT: usize = 256;

/// An event began.
#[derive(Debug, Clone, PartialEq)]
pub struct EventStarted {
    /// Its name.
    pub event: String,
    /// When, Unix time in milliseconds.
    pub start_ms: i64,
    /// The same as local time, such as `2026-11-21T10:00:00+01:00`.
    pub start: String,
    /// What the rule gave with it.
    pub data: Value,
}

impl EventStarted {
    /// What is published of it.
    #[must_use]
    pub fn message(&self) -> Value {
        json!({
            "event": self.event,
            "status": "started",
            "start_ms": self.start_ms,
            "start": self.start,
            "data": self.data,
        })
    }
}

/// An event ended.
#[derive(Debug, Clone, PartialEq)]
pub struct EventEnded {
    /// Its name.
    pub event: String,
    /// When it began, Unix time in milliseconds.
    pub start_ms: i64,
    /// When it ended; not before it began, also when the clock went back.
    pub end_ms: i64,
    /// When it began, as local time.
    pub start: String,
    /// When it ended, as local time.
    pub end: String,
    /// Who went in during it, the crossing that caused it included.
    pub count_in: u64,
    /// What the rule gave with its beginning.
    pub data: Value,
}

impl EventEnded {
    /// What is published of it.
    #[must_use]
    pub fn message(&self) -> Value {
        json!({
            "event": self.event,
            "status": "ended",
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "start": self.start,
            "end": self.end,
            "count_in": self.count_in,
            "data": self.data,
        })
    }
}

/// An event that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) since_ms: i64,
    pub(crate) count_in: u64,
    pub(crate) data: Value,
}

impl Running {
    /// Whether it counts who goes in at this camera.
    fn counts(&self, camera: &str) -> bool {
        self.data.get("camera").and_then(Value::as_str).is_none_or(|wanted| wanted == camera)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    running: Option<Running>,
    /// Its place in the order in which events began and ended.
    touched: u64,
}

/// All events that are known, and the crossings that may still begin one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Events {
    known: BTreeMap<String, Known>,
    touches: u64,
    /// The number of the last crossing.
    crossings: u64,
    /// Numbers and cameras of the last who went in.
    recent: VecDeque<(u64, String)>,
}

impl Events {
    /// Counts a crossing in the events that run. Gives its number.
    pub(crate) fn cross(&mut self, crossing: &CrossingRecord) -> u64 {
        self.crossings = self.crossings.saturating_add(1);
        if crossing.direction == Direction::In {
            let camera = crossing.camera.as_str();
            let running = self.known.values_mut().filter_map(|known| known.running.as_mut());
            for event in running.filter(|event| event.counts(camera)) {
                event.count_in = event.count_in.saturating_add(1);
            }
            while self.recent.len() >= RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((self.crossings, camera.to_owned()));
        }
        self.crossings
    }

    /// Begins an event. Gives the name of one that had to be forgotten for it.
    pub(crate) fn begin(
        &mut self,
        name: &str,
        data: &Value,
        time_ms: i64,
        since_crossing: Option<u64>,
    ) -> Result<Option<String>, BeginError> {
        check(name, data)?;
        if self.running(name).is_some() {
            return Err(BeginError::Running(name.to_owned()));
        }
        let forgotten = if self.known.contains_key(name) || self.known.len() < MAX_EVENTS {
            None
        } else {
            Some(self.forget().ok_or_else(|| BeginError::TooMany { name: name.to_owned() })?)
        };
        let mut running = Running { since_ms: time_ms, count_in: 0, data: data.clone() };
        if let Some(first) = since_crossing {
            let since =
                self.recent.iter().filter(|(number, camera)| *number >= first && running.counts(camera));
            running.count_in = since.count() as u64;
        }
        self.touches = self.touches.saturating_add(1);
        self.known.insert(name.to_owned(), Known { running: Some(running), touched: self.touches });
        Ok(forgotten)
    }

    pub(crate) fn end(&mut self, name: &str, until_crossing: Option<u64>) -> Option<Running> {
        let known = self.known.get_mut(name)?;
        let mut running = known.running.take()?;
        if let Some(first) = until_crossing {
            let late =
                self.recent.iter().filter(|(number, camera)| *number >= first && running.counts(camera));
            running.count_in = running.count_in.saturating_sub(late.count() as u64);
        }
        self.touches = self.touches.saturating_add(1);
        known.touched = self.touches;
        Some(running)
    }

    /// The number that the next crossing will have.
    pub(crate) fn next_crossing(&self) -> u64 {
        self.crossings.saturating_add(1)
    }

    pub(crate) fn running(&self, name: &str) -> Option<&Running> {
        self.known.get(name)?.running.as_ref()
    }

    /// All that are known, and whether they run.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Option<&Running>)> {
        self.known.iter().map(|(name, known)| (name.as_str(), known.running.as_ref()))
    }

    /// Forgets the event that has rested for the longest time.
    fn forget(&mut self) -> Option<String> {
        let resting = self.known.iter().filter(|(_, known)| known.running.is_none());
        let name = resting.min_by_key(|(_, known)| known.touched)?.0.clone();
        self.known.remove(&name);
        Some(name)
    }
}

fn check(name: &str, data: &Value) -> Result<(), BeginError> {
    if name.len() > MAX_NAME || topic::check_name(name).is_err() {
        return Err(BeginError::Name(name.chars().take(MAX_NAME).collect()));
    }
    let len = data.to_string().len();
    if len > MAX_DATA { Err(BeginError::TooLarge { name: name.to_owned(), len }) } else { Ok(()) }
}
