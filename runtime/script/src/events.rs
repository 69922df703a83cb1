//! The events of a rule that is played and not run: what the running gateway would tell it of them.
//!
//! A recording has the events that ran when it was made, by what was configured then. A rule that is played with
//! another configuration begins and ends its events at other times, and must see those: else it would wait for the
//! end of an event that it never began.

use crate::effect::Effect;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The events of one rule, as it began and ended them.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Names that are the rule's: what is recorded of them does not count.
    own: BTreeSet<String>,
    /// Whether what an event says of others is kept for those after it, as in a test.
    adopt: bool,
    known: BTreeMap<String, Known>,
    /// The counts of the day, in and out, of the event before.
    day: u64,
}

#[derive(Debug, Default)]
struct Known {
    /// When it began, if it runs.
    since_ms: Option<i64>,
    /// Whose crossings it counts, if not all.
    camera: Option<String>,
    count_in: u64,
    today: u64,
}

impl Events {
    /// For a recording, of a rule that names its events by `own`. At first none of them runs.
    pub(crate) fn of_recording(own: BTreeSet<String>) -> Self {
        Self { own, ..Self::default() }
    }

    /// For steps of a test: what one says in `events` holds until the rule changes it, or another step does.
    pub(crate) fn of_test() -> Self {
        Self { adopt: true, ..Self::default() }
    }

    /// Puts the rule's events into an event that it is about to be given.
    pub(crate) fn show(&mut self, event: &mut Value) {
        let Some(event) = event.as_object_mut() else { return };
        self.new_day(event);
        for known in self.known.values_mut().filter(|known| known.since_ms.is_some()) {
            known.count_in += went_in(event, known.camera.as_deref());
        }
        let events = event.entry("events").or_insert_with(|| json!({}));
        let Some(events) = events.as_object_mut() else { return };
        events.retain(|name, _| !self.own.contains(name));
        if self.adopt {
            self.known.extend(events.iter().map(|(name, event)| (name.clone(), Known::read(event))));
        }
        let known = self.known.iter().map(|(name, known)| (name.clone(), known.shown()));
        events.extend(known);
    }

    /// Notes what the rule caused by an event.
    pub(crate) fn note(&mut self, event: &Value, effects: &[Effect]) {
        let time = event.get("time").and_then(Value::as_i64).unwrap_or_default();
        for effect in effects {
            match effect {
                Effect::BeginEvent { name, data } => {
                    self.own(name);
                    let known = self.known.entry(name.clone()).or_default();
                    if known.since_ms.is_none() {
                        let camera = data.get("camera").and_then(Value::as_str).map(str::to_owned);
                        let count_in = event.as_object().map_or(0, |event| went_in(event, camera.as_deref()));
                        let today = known.today + 1;
                        *known = Known { since_ms: Some(time), camera, count_in, today };
                    }
                }
                Effect::EndEvent { name, .. } => {
                    self.own(name);
                    if let Some(known) = self.known.get_mut(name) {
                        *known = Known { today: known.today, ..Known::default() };
                    }
                }
                _ => {}
            }
        }
    }

    fn own(&mut self, name: &str) {
        // In a test, what a step says holds always: that is what a rule meets after a crash.
        if !self.adopt {
            self.own.insert(name.to_owned());
        }
    }

    /// Nobody says when a day begins, but its counts then fall to nothing.
    fn new_day(&mut self, event: &Map<String, Value>) {
        let count = |key| event.get(key).and_then(Value::as_u64);
        if let (Some(count_in), Some(count_out)) = (count("count_in"), count("count_out")) {
            let day = count_in.saturating_add(count_out);
            if day < self.day && day <= 1 {
                self.known.values_mut().for_each(|known| known.today = 0);
            }
            self.day = day;
        }
    }
}

impl Known {
    fn read(event: &Value) -> Self {
        let number = |key| event.get(key).and_then(Value::as_u64).unwrap_or_default();
        let active = event.get("active").and_then(Value::as_bool).unwrap_or_default();
        let since_ms = event.get("since_ms").and_then(Value::as_i64).unwrap_or_default();
        Self {
            since_ms: active.then_some(since_ms),
            camera: None,
            count_in: number("count_in"),
            today: number("today"),
        }
    }

    fn shown(&self) -> Value {
        json!({
            "active": self.since_ms.is_some(),
            "since_ms": self.since_ms,
            "count_in": self.count_in,
            "today": self.today,
        })
    }
}

/// How many people an event says went in, at that camera or at any.
fn went_in(event: &Map<String, Value>, camera: Option<&str>) -> u64 {
    let is = |key, what| event.get(key).and_then(Value::as_str) == Some(what);
    let here = camera.is_none_or(|camera| is("camera", camera));
    u64::from(is("kind", "crossing") && is("direction", "in") && here)
}
