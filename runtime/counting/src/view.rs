//! What is told of a ledger: to services, as state, to rules.

use crate::events::Running;
use crate::ledger::Ledger;
use crate::settings::seconds;
use crate::sums::Sums;
use crate::{Count, Places};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The counts of now, as the service `counts.read` gives them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// The day's name, such as `2026-11-21`.
    pub day: String,
    /// When it began, Unix time in milliseconds.
    pub since_ms: i64,
    /// Who went in today, at all lines.
    pub count_in: u64,
    /// Who went out today, at all lines.
    pub count_out: u64,
    /// Faces that were kept today.
    pub faces: u64,
    /// The cameras by name.
    pub cameras: BTreeMap<String, CameraView>,
    /// The events that ever began, by name.
    pub events: BTreeMap<String, EventView>,
}

/// The counts of a camera.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraView {
    /// Who went in today, at all of its lines.
    pub count_in: u64,
    /// Who went out today, at all of its lines.
    pub count_out: u64,
    /// The counts of each line.
    pub lines: BTreeMap<String, Count>,
    /// How many people are in each zone now.
    pub zones: BTreeMap<String, u64>,
}

/// What is known of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventView {
    /// Whether it runs.
    pub active: bool,
    /// Since when, Unix time in milliseconds.
    pub since_ms: Option<i64>,
    /// Who went in since then; 0 when it does not run.
    pub count_in: u64,
    /// How often it began today.
    pub today: u64,
}

impl Ledger {
    /// Everything that is counted now.
    #[must_use]
    pub fn snapshot(&self) -> View {
        let Count { count_in, count_out } = self.book.total();
        let cameras =
            self.places.iter().map(|(name, places)| (name.clone(), self.camera(name, places))).collect();
        View {
            day: self.book.day.name.clone(),
            since_ms: self.book.day.start_ms,
            count_in,
            count_out,
            faces: self.book.faces,
            cameras,
            events: self
                .events
                .iter()
                .map(|(name, running)| (name.to_owned(), self.event(name, running)))
                .collect(),
        }
    }

    /// All of it as state: keys and values.
    #[must_use]
    pub fn state(&self) -> Vec<(String, Value)> {
        let view = self.snapshot();
        let mut state = vec![
            ("counts/day".to_owned(), json!(view.day)),
            ("counts/in".to_owned(), json!(view.count_in)),
            ("counts/out".to_owned(), json!(view.count_out)),
            ("counts/faces".to_owned(), json!(view.faces)),
            ("events/today".to_owned(), json!(self.book.begun)),
        ];
        for (camera, counts) in view.cameras {
            let mut say =
                |key: String, value: u64| state.push((format!("counts/{camera}/{key}"), json!(value)));
            say("in".into(), counts.count_in);
            say("out".into(), counts.count_out);
            for (line, count) in counts.lines {
                say(format!("lines/{line}/in"), count.count_in);
                say(format!("lines/{line}/out"), count.count_out);
            }
            for (zone, people) in counts.zones {
                say(format!("zones/{zone}"), people);
            }
        }
        for (name, event) in view.events {
            let mut say = |key: &str, value: Value| state.push((format!("events/{name}/{key}"), value));
            say("active", json!(event.active));
            say("count_in", json!(event.count_in));
            say("today", json!(event.today));
            say("since_ms", json!(event.since_ms));
        }
        state
    }

    /// The state that is another than at the last call; `None` for keys that are gone. The first call gives all.
    pub fn changed(&mut self) -> Vec<(String, Option<Value>)> {
        let state: BTreeMap<String, Value> = self.state().into_iter().collect();
        let gone = self.told.keys().filter(|key| !state.contains_key(*key)).map(|key| (key.clone(), None));
        let other = state.iter().filter(|(key, value)| self.told.get(*key) != Some(value));
        let changes = gone.chain(other.map(|(key, value)| (key.clone(), Some(value.clone())))).collect();
        self.told = state;
        changes
    }

    /// What [`changed`](Self::changed) gave was not told: its next call gives all.
    pub fn tell_again(&mut self) {
        self.told.clear();
    }

    /// What every event for rules has: `time`, `local`, `count_in`, `count_out`, `sums`, `cameras`, `events`.
    #[must_use]
    pub fn rule_event(&self, now_ms: i64) -> Map<String, Value> {
        let view = self.snapshot();
        let local = self.settings.reset.local(now_ms);
        let nobody = Sums::default();
        let mut cameras = Map::new();
        for (name, camera) in &view.cameras {
            let sums = self.windows(self.sums.get(name).unwrap_or(&nobody), now_ms);
            let CameraView { count_in, count_out, lines, zones } = camera;
            cameras.insert(
                name.clone(),
                json!({"count_in": count_in, "count_out": count_out, "sums": sums, "lines": lines, "zones": zones}),
            );
        }
        let mut event = Map::new();
        event.insert("time".into(), json!(now_ms));
        event.insert(
            "local".into(),
            json!({
                "date": local.date().to_string(),
                "time": local.strftime("%H:%M:%S").to_string(),
                "hour": local.hour(),
                "minute": local.minute(),
                "second": local.second(),
                "weekday": local.weekday().to_monday_one_offset(),
            }),
        );
        event.insert("count_in".into(), json!(view.count_in));
        event.insert("count_out".into(), json!(view.count_out));
        event.insert("sums".into(), self.windows(&self.all, now_ms));
        event.insert("cameras".into(), Value::Object(cameras));
        event.insert("events".into(), json!(view.events));
        event
    }

    /// The sums of all windows.
    fn windows(&self, sums: &Sums, now_ms: i64) -> Value {
        let now = crate::day::within(now_ms) / 1000;
        let windows = &self.settings.windows;
        windows
            .iter()
            .map(|(name, length)| (name.clone(), json!(sums.after(now - seconds(*length)))))
            .collect()
    }

    fn camera(&self, name: &str, places: &Places) -> CameraView {
        let Count { count_in, count_out } = self.book.camera(name);
        let people = self.people.get(name);
        let people = |zone: &String| people.and_then(|zones| zones.get(zone)).copied().unwrap_or(0);
        CameraView {
            count_in,
            count_out,
            lines: places.lines.iter().map(|line| (line.clone(), self.line(name, line))).collect(),
            zones: places.zones.iter().map(|zone| (zone.clone(), people(zone))).collect(),
        }
    }

    fn event(&self, name: &str, running: Option<&Running>) -> EventView {
        EventView {
            active: running.is_some(),
            since_ms: running.map(|event| event.since_ms),
            count_in: running.map_or(0, |event| event.count_in),
            today: self.book.events.get(name).copied().unwrap_or(0),
        }
    }
}
