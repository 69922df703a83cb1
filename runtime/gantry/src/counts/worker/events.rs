//! What rules are asked, and the events that they begin and end.

use super::{Worker, merge, now};
use crate::counts::Order;
use crate::counts::effects::{Turn, carry_out};
use gantry_counting::BeginError;
use gantry_script::Done;
use serde_json::{Map, Value, json};

/// Questions that may wait for rules; beyond that the oldest are lost to them.
const QUESTIONS: usize = 4096;

/// What rules are to be asked.
pub(super) struct Question {
    pub(super) hook: &'static str,
    event: Map<String, Value>,
    time_ms: i64,
    /// The number of the crossing that it is about, or of the next one.
    crossing: u64,
}

/// What rules were asked.
pub(super) struct Asked {
    time_ms: i64,
    crossing: u64,
}

impl Worker {
    /// Has rules decide. What they decide holds from the crossing of that number on.
    pub(super) fn ask_rules(&mut self, hook: &'static str, time_ms: i64, more: Value, crossing: u64) {
        let mut event = self.ledger.rule_event(time_ms);
        if let Value::Object(more) = more {
            event.extend(more);
        }
        if self.questions.len() >= QUESTIONS {
            // They have not answered for minutes, and the health says so.
            self.questions.pop_front();
            metrics::counter!("gantry_rule_events_lost_total").increment(1);
        }
        self.questions.push_back(Question { hook, event, time_ms, crossing });
        self.ask_next();
    }

    /// One question at a time, so that each knows what came of the one before.
    fn ask_next(&mut self) {
        if self.asked.is_some() {
            return;
        }
        let Some(Question { hook, mut event, time_ms, crossing }) = self.questions.pop_front() else {
            return;
        };
        event.insert("events".to_owned(), json!(self.ledger.snapshot().events));
        let event = Value::Object(event);
        self.parts.tape.pass(hook, &event);
        self.asked = Some(Asked { time_ms, crossing });
        let orders = self.orders.clone();
        self.parts.scripts.event(hook, event, move |done| _ = orders.send(Order::Ruled(done)));
    }

    pub(super) fn ruled(&mut self, done: Done) {
        let Some(asked) = self.asked.take() else { return };
        for (rule, outcome) in done {
            for turn in carry_out(&self.parts, &rule, outcome) {
                match turn {
                    Turn::Begin(name, data) => self.begin(&rule, &name, data, &asked),
                    Turn::End(name, data) => self.finish(&rule, &name, data, &asked),
                }
            }
        }
        self.ask_next();
    }

    /// Ends the events of rules that are gone: nobody else would.
    pub(super) fn end_orphans(&mut self) {
        let running = self.ledger.snapshot().events;
        let gone = |(name, rule): &(&String, &String)| {
            running.get(*name).is_some_and(|event| event.active) && !(self.parts.has_rule)(rule)
        };
        let orphans: Vec<_> =
            self.keeper.owners.iter().filter(gone).map(|(name, rule)| (name.clone(), rule.clone())).collect();
        for (name, rule) in orphans {
            let asked = Asked { time_ms: now(), crossing: self.ledger.next_crossing() };
            self.finish(&rule, &name, json!({ "why": "its rule is gone" }), &asked);
        }
    }

    fn begin(&mut self, rule: &str, name: &str, data: Value, asked: &Asked) {
        let begun = self.ledger.begin_event(name, object(data), asked.time_ms, Some(asked.crossing));
        let started = match begun {
            Ok(started) => started,
            // Rules may say so as often as they like.
            Err(BeginError::Running(_)) => return,
            Err(error) => return tracing::warn!(rule, event = name, "the event does not begin: {error}"),
        };
        self.keeper.owners.insert(name.to_owned(), rule.to_owned());
        // No record tells of it in time, so it is kept before anybody hears of it.
        self.keeper.save(&self.ledger);
        tracing::info!(rule, event = name, "an event begins");
        self.tell_state();
        self.tell_event(name, "event-started", &started.message());
    }

    fn finish(&mut self, rule: &str, name: &str, data: Value, asked: &Asked) {
        let ended = self.ledger.end_event(name, asked.time_ms, Some(asked.crossing));
        let Some(mut ended) = ended else { return };
        self.keeper.owners.remove(name);
        merge(&mut ended.data, data);
        self.keeper.save(&self.ledger);
        tracing::info!(rule, event = name, count_in = ended.count_in, "an event ends");
        self.tell_state();
        self.tell_event(name, "event-ended", &ended.message());
    }

    fn tell_event(&self, name: &str, kind: &str, message: &Value) {
        let mut record = json!({ "type": kind });
        merge(&mut record, message.clone());
        self.parts.records.note("events", record);
        self.publish(&format!("events/{name}"), message);
    }
}

/// What a rule told beside an event; without anything an empty object.
fn object(data: Value) -> Value {
    if data.is_object() { data } else { Value::Object(Map::new()) }
}
