//! What the counts tell: sums of hours and days to the store, state, messages, and how they are kept.

use super::Worker;
use crate::counts::Order;
use crate::counts::keeper::Letter;
use bytes::Bytes;
use gantry_core::health::Level;
use gantry_counting::Turn;
use gantry_store::Draft;
use serde_json::{Value, json};

impl Worker {
    /// Lets the time go on: hours end, and days.
    pub(super) fn advance(&mut self) {
        let ended = self.ledger.advance(self.now());
        if ended.is_empty() {
            return;
        }
        let (mut reset, first) = (None, self.keeper.next_letter());
        for turn in ended {
            match turn {
                Turn::Hour(hour) => self.post_sums("hours", hour.start_ms, json!(hour)),
                Turn::Day { ended, day } => {
                    let (name, count_in, count_out) = (&ended.day, ended.count_in, ended.count_out);
                    tracing::info!(day = name, count_in, count_out, "a day of counts is over");
                    self.post_sums("days", ended.start_ms, json!(ended));
                    reset = Some(day);
                }
            }
        }
        // The ledger does not tell them again: the checkpoint has them until the store does.
        self.keeper.save(&self.ledger);
        self.deliver(first);
        if let Some(day) = reset {
            self.tell_state();
            self.publish("counts/reset", &json!({ "day": day }));
        }
    }

    fn post_sums(&mut self, collection: &str, start_ms: i64, sums: Value) {
        let collection = collection.to_owned();
        self.keeper.post(Letter { collection, time_ms: start_ms, data: sums, dedup_key: None });
    }

    /// Gives the store the letters from this number on. What it refuses is tried again later.
    pub(super) fn deliver(&self, from: u64) {
        for (number, letter) in self.keeper.letters().filter(|(number, _)| *number >= from) {
            let draft = Draft {
                collection: letter.collection.clone(),
                time: Some(letter.time_ms),
                json: letter.data.to_string(),
                dedup_key: letter.dedup_key.clone(),
                ..Draft::default()
            };
            let orders = self.orders.clone();
            self.parts.records.append(draft, move |record| {
                if record.is_some() {
                    let _ = orders.send(Order::Delivered(number));
                }
            });
        }
    }

    /// Says whether what is counted is kept.
    pub(super) fn report(&self) {
        let health = &self.parts.runtime.health;
        match self.keeper.problem() {
            Some(problem) => _ = health.report("counts", Level::Degraded, problem),
            None => health.forget("counts"),
        }
    }

    pub(super) fn publish(&self, topic: &str, message: &Value) {
        // It is refused only if it were too large.
        let sent = self.parts.runtime.bus.publish(&self.name, topic, Bytes::from(message.to_string()));
        if let Err(error) = sent {
            tracing::warn!(topic, "a message of the counts is not sent: {error}");
        }
    }

    /// Tells what of the state has changed, in one step.
    pub(super) fn tell_state(&mut self) {
        let state = &self.parts.runtime.state;
        let mut changed = Vec::new();
        for (key, value) in self.ledger.changed() {
            match value {
                Some(value) => changed.push((key, value)),
                None => state.remove(&key),
            }
        }
        if changed.is_empty() {
            return;
        }
        let health = &self.parts.runtime.health;
        match state.set_all(changed) {
            Ok(_) => health.forget("counts/state"),
            Err(error) => {
                self.ledger.tell_again();
                let message = format!("the counts are not shown as state: {error}");
                if health.report("counts/state", Level::Degraded, message.clone()) {
                    tracing::error!("{message}");
                }
            }
        }
    }
}
