//! What rules are asked, and the events that they begin and end.

use super::{Worker, merge};
use crate::counts::effects::{Marks, Turn, carry_out};
use crate::counts::keeper::Letter;
use crate::counts::{Crowded, Order, Then};
use gantry_counting::BeginError;
use gantry_script::Done;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Questions that may wait for rules; beyond that the oldest are lost to them. Records that wait do not count: they have a
/// bound of their own, and whoever sends more is told to come again.
const QUESTIONS: usize = 256;
const RECORDS: usize = 1024;
/// How long a rule may be away, as a file is while an editor writes it anew, until its events end.
const AWAY: Duration = Duration::from_secs(60);
/// The most bytes of what rules tell with the end of an event.
const MAX_DATA: usize = 16 * 1024;

/// What rules are to be asked.
pub(super) struct Question {
    pub(super) hook: &'static str,
    event: Map<String, Value>,
    time_ms: i64,
    /// The number of the crossing that it is about, or of the next one.
    crossing: u64,
    /// Who waits for what they say of a record.
    then: Option<Then>,
}

/// What rules were asked.
pub(super) struct Asked {
    hook: &'static str,
    time_ms: i64,
    crossing: u64,
    then: Option<Then>,
}

impl Worker {
    /// Has rules decide. What they decide holds from the crossing of that number on.
    pub(super) fn ask_rules(&mut self, hook: &'static str, time_ms: i64, more: Value, crossing: u64) {
        self.put_question(hook, time_ms, more, crossing, None);
    }

    /// Has rules look at a record; `then` is told what they say, and nothing when they do not answer.
    pub(super) fn ask_about_record(&mut self, hook: &'static str, more: Value, then: Then) {
        let (time_ms, next) = (self.now(), self.ledger.next_crossing());
        self.put_question(hook, time_ms, more, next, Some(then));
    }

    fn put_question(
        &mut self,
        hook: &'static str,
        time_ms: i64,
        more: Value,
        crossing: u64,
        then: Option<Then>,
    ) {
        let is_record = |question: &Question| question.then.is_some();
        let records = self.questions.iter().filter(|question| is_record(question)).count();
        match then {
            Some(then) if records >= RECORDS => return then(Err(Crowded)),
            None if self.questions.len() - records >= QUESTIONS => {
                // They have not answered for minutes, and the health says so.
                let oldest = self.questions.iter().position(|question| !is_record(question));
                oldest.map(|oldest| self.questions.remove(oldest));
                metrics::counter!("gantry_rule_events_lost_total").increment(1);
            }
            _ => {}
        }
        let mut event = self.ledger.rule_event(time_ms);
        if let Value::Object(more) = more {
            event.extend(more);
        }
        self.questions.push_back(Question { hook, event, time_ms, crossing, then });
        self.ask_next();
    }

    /// One question at a time, so that each knows what came of the one before.
    fn ask_next(&mut self) {
        if self.asked.is_some() {
            return;
        }
        let Some(Question { hook, mut event, time_ms, crossing, then }) = self.questions.pop_front() else {
            return;
        };
        event.insert("events".to_owned(), json!(self.ledger.snapshot().events));
        let event = Value::Object(event);
        self.parts.tape.pass(hook, &event);
        self.asked = Some(Asked { hook, time_ms, crossing, then });
        let answer = Answer(Some(self.orders.clone()));
        self.parts.scripts.event(hook, event, move |done| answer.give(done));
    }

    pub(super) fn ruled(&mut self, done: Done) {
        let Some(mut asked) = self.asked.take() else { return };
        let mut marks = Marks::default();
        for (rule, outcome) in done {
            for turn in carry_out(&self.parts, asked.hook, &rule, outcome, &mut marks) {
                match turn {
                    Turn::Begin(name, data) => self.begin(&rule, &name, data, &asked),
                    Turn::End(name, data) => self.finish(&rule, &name, data, &asked),
                }
            }
        }
        if let Some(then) = asked.then.take() {
            then(Ok(marks));
        }
        self.ask_next();
    }

    /// Ends the events of rules that are gone: nobody else would.
    pub(super) fn end_orphans(&mut self) {
        let running = self.ledger.snapshot().events;
        let gone = |(name, rule): &(&String, &String)| {
            running.get(*name).is_some_and(|event| event.active) && !(self.parts.has_rule)(rule)
        };
        let orphans: BTreeMap<String, String> =
            self.keeper.owners.iter().filter(gone).map(|(name, rule)| (name.clone(), rule.clone())).collect();
        self.orphans.retain(|name, _| orphans.contains_key(name));
        for (name, rule) in orphans {
            let since = *self.orphans.entry(name.clone()).or_insert_with(Instant::now);
            if since.elapsed() >= AWAY {
                let asked = Asked {
                    hook: "on_tick",
                    time_ms: self.now(),
                    crossing: self.ledger.next_crossing(),
                    then: None,
                };
                self.finish(&rule, &name, json!({ "why": "its rule is gone" }), &asked);
            }
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
        tracing::info!(rule, event = name, "an event begins");
        self.tell_event(name, "event-started", started.start_ms, &started.message());
    }

    fn finish(&mut self, rule: &str, name: &str, data: Value, asked: &Asked) {
        let ended = self.ledger.end_event(name, asked.time_ms, Some(asked.crossing));
        let Some(mut ended) = ended else { return };
        self.keeper.owners.remove(name);
        let begun_with = ended.data.clone();
        merge(&mut ended.data, data);
        if ended.data.to_string().len() > MAX_DATA {
            tracing::warn!(
                rule,
                event = name,
                "what is told with its end has more than {MAX_DATA} bytes: tell less"
            );
            ended.data = begun_with;
        }
        tracing::info!(rule, event = name, count_in = ended.count_in, "an event ends");
        self.tell_event(name, "event-ended", ended.start_ms, &ended.message());
    }

    /// Keeps it, and then tells it. Its record is one letter of the checkpoint until the store has it.
    fn tell_event(&mut self, name: &str, kind: &str, start_ms: i64, message: &Value) {
        let mut data = json!({ "type": kind });
        merge(&mut data, message.clone());
        let dedup_key = Some(format!("{name}/{start_ms}/{kind}"));
        let letter = Letter { collection: "events".to_owned(), time_ms: self.now(), data, dedup_key };
        let number = self.keeper.post(letter);
        self.keeper.save(&self.ledger);
        self.deliver(number);
        self.tell_state();
        self.publish(&format!("events/{name}"), message);
    }
}

/// The answer of the rules, which comes also when it is lost: else they were never asked again.
struct Answer(Option<Sender<Order>>);

impl Answer {
    fn give(mut self, done: Done) {
        if let Some(orders) = self.0.take() {
            let _ = orders.send(Order::Ruled(done));
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(orders) = self.0.take() {
            let _ = orders.send(Order::Ruled(Vec::new()));
        }
    }
}

/// What a rule told beside an event; without anything an empty object.
fn object(data: Value) -> Value {
    if data.is_object() { data } else { Value::Object(Map::new()) }
}
