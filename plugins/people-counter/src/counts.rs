//! From the runtime's state keys to the numbers of `stats`.

use crate::Config;
use crate::integer::count;
use serde_json::Value;
use std::collections::BTreeMap;

/// The numbers of `stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Who went in today.
    pub count_in: u64,
    /// Who went out today.
    pub count_out: u64,
    /// Faces saved today.
    pub face_count: u64,
    /// Events that began today.
    pub daily_event_count: u64,
    /// Whether there is an event now.
    pub event_active: bool,
    /// Who went in since it began; 0 when there is none.
    pub current_event_count_in: u64,
}

/// What a state key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    In(usize),
    Out(usize),
    Faces,
    EventsToday,
    EventActive,
    EventIn,
}

/// Follows the state keys that the numbers come from.
#[derive(Debug)]
pub struct Counts {
    parts: BTreeMap<String, Part>,
    /// In and out, of each line or of the whole camera. `None`: nobody counts there.
    lines: Vec<[Option<u64>; 2]>,
    stats: Stats,
    event_in: u64,
}

impl Counts {
    /// Nobody has been counted yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let camera = format!("counts/{}", config.camera);
        let places = match config.lines.as_slice() {
            [] => vec![camera],
            lines => lines.iter().map(|line| format!("{camera}/lines/{line}")).collect(),
        };
        let event = format!("events/{}", config.event);
        let mut parts = BTreeMap::from([
            ("counts/faces".to_owned(), Part::Faces),
            (format!("{event}/today"), Part::EventsToday),
            (format!("{event}/active"), Part::EventActive),
            (format!("{event}/count_in"), Part::EventIn),
        ]);
        for (i, place) in places.iter().enumerate() {
            parts.insert(format!("{place}/in"), Part::In(i));
            parts.insert(format!("{place}/out"), Part::Out(i));
        }
        Self { parts, lines: vec![[None; 2]; places.len()], stats: Stats::default(), event_in: 0 }
    }

    /// The filters that bring all of its keys, and few more: an instance may have only so many.
    #[must_use]
    pub fn filters(config: &Config) -> Vec<String> {
        let camera = &config.camera;
        let lines = if config.lines.is_empty() { "" } else { "/lines/+" };
        vec![
            format!("counts/{camera}{lines}/in"),
            format!("counts/{camera}{lines}/out"),
            "counts/faces".to_owned(),
            format!("events/{}/+", config.event),
        ]
    }

    /// The keys that it follows.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    /// A key has a new value; `null`: it is gone. Keys that it does not follow are ignored.
    pub fn set(&mut self, key: &str, value: &Value) {
        let Some(part) = self.parts.get(key) else { return };
        let line = (!value.is_null()).then(|| count(value));
        match *part {
            Part::In(i) => self.lines[i][0] = line,
            Part::Out(i) => self.lines[i][1] = line,
            Part::Faces => self.stats.face_count = count(value),
            Part::EventsToday => self.stats.daily_event_count = count(value),
            Part::EventActive => self.stats.event_active = value == &Value::Bool(true),
            Part::EventIn => self.event_in = count(value),
        }
    }

    /// The numbers now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let sum = |way: usize| self.lines.iter().filter_map(|line| line[way]).fold(0, u64::saturating_add);
        Stats {
            count_in: sum(0),
            count_out: sum(1),
            current_event_count_in: if self.stats.event_active { self.event_in } else { 0 },
            ..self.stats
        }
    }

    /// The places in the order of the configuration on which nobody counts.
    pub fn uncounted(&self) -> impl Iterator<Item = usize> {
        self.lines.iter().enumerate().filter(|(_, line)| line[0].is_none()).map(|(i, _)| i)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Stats};
    use crate::Config;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn config(json: Value) -> Config {
        serde_json::from_value(json).unwrap()
    }

    fn after(config: &Config, keys: &[(&str, Value)]) -> Stats {
        let mut counts = Counts::new(config);
        keys.iter().for_each(|(key, value)| counts.set(key, value));
        counts.stats()
    }

    #[test]
    fn without_lines_it_is_the_camera_s_sum_that_counts() {
        let config = config(json!({}));
        let keys = [
            ("counts/main/in", json!(7)),
            ("counts/main/out", json!(5)),
            ("counts/main/lines/door/in", json!(100)),
            ("counts/in", json!(1000)),
            ("counts/second/in", json!(1000)),
            ("counts/faces", json!(3)),
            ("events/busy/today", json!(2)),
            ("events/today", json!(9)),
            ("events/crowded/active", json!(true)),
        ];
        let expected =
            Stats { count_in: 7, count_out: 5, face_count: 3, daily_event_count: 2, ..Stats::default() };
        assert_eq!(after(&config, &keys), expected);
    }

    #[test]
    fn with_lines_only_those_count_whether_or_not_they_exist() {
        let config = config(json!({"camera": "hall", "lines": ["door", "gate", "typo"], "event": "rush"}));
        let keys = [
            ("counts/hall/lines/door/in", json!(1)),
            ("counts/hall/lines/gate/in", json!(2)),
            ("counts/hall/lines/gate/out", json!(4)),
            ("counts/hall/lines/side/in", json!(100)),
            ("counts/hall/in", json!(103)),
            ("events/rush/active", json!(true)),
            ("events/rush/count_in", json!(6)),
        ];
        let expected = Stats {
            count_in: 3,
            count_out: 4,
            event_active: true,
            current_event_count_in: 6,
            ..Stats::default()
        };
        assert_eq!(after(&config, &keys), expected);
        let mut counts = Counts::new(&config);
        keys.iter().for_each(|(key, value)| counts.set(key, value));
        assert_eq!(counts.uncounted().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn an_event_s_count_is_shown_only_while_it_is_active() {
        let config = config(json!({}));
        let busy = [("events/busy/count_in", json!(4)), ("events/busy/active", json!(false))];
        assert_eq!(after(&config, &busy).current_event_count_in, 0);
    }

    #[test]
    fn what_is_gone_or_no_number_is_nothing() {
        let config = config(json!({}));
        for odd in [Value::Null, json!(-3), json!("7"), json!([7]), json!(1.5)] {
            let keys = [("counts/main/in", json!(7)), ("counts/main/in", odd.clone()), ("counts/faces", odd)];
            assert_eq!(after(&config, &keys), Stats::default());
        }
    }

    proptest! {
        #[test]
        fn the_filters_select_every_key_that_is_followed(lines in prop::collection::vec("[a-z]{1,5}", 0..4)) {
            let config = config(json!({"lines": lines}));
            let filters = Counts::filters(&config);
            let matches = |filter: &str, key: &str| {
                let (filter, key): (Vec<_>, Vec<_>) = (filter.split('/').collect(), key.split('/').collect());
                filter.len() == key.len() && filter.iter().zip(key).all(|(f, k)| *f == "+" || *f == k)
            };
            for key in Counts::new(&config).keys() {
                prop_assert!(filters.iter().any(|filter| matches(filter, key)), "{}", key);
            }
        }
    }
}
