//! Writes: checked, acted on, kept, and answered.

use super::{Declared, Worker};
use crate::Who;
use crate::batch::{Answer, Rejected};
use crate::control::{Job, no_mapping};
use crate::mapping::{Conversion, Direction, Item, Mapping};
use crate::projection::Projection;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A write of one observable, on its way.
struct Change {
    /// What the client calls it.
    name: String,
    key: String,
    value: Value,
}

impl Worker {
    /// A write of observables by their own names, all or nothing. Keys that nobody has declared are the word of whoever
    /// writes them.
    pub(super) fn write(&mut self, who: &Who, values: Map<String, Value>) -> Answer {
        let mut answer = Answer::default();
        let (mut changes, mut words) = (Vec::new(), Vec::new());
        for (key, value) in values {
            let Some(declared) = self.observables.get(&key) else {
                words.push((key, value));
                continue;
            };
            if declared.observable.follows.is_some() || !who.may(declared.observable.write) {
                answer.rejected.push(Rejected::denied(&key, None));
            } else if let Some(why) = &declared.missing {
                answer.rejected.push(Rejected::unknown(&key, Some(why.clone())));
            } else if let Err(invalid) = declared.observable.check(&value) {
                answer.rejected.push(Rejected::invalid(&key, invalid.0));
            } else {
                changes.push(Change { name: key.clone(), key, value });
            }
        }
        // First what can be refused without having acted.
        if answer.rejected.is_empty()
            && let Err(error) = self.runtime.state.set_all(words.clone())
        {
            let key = words.first().map(|(key, _)| key.clone()).unwrap_or_default();
            answer.rejected.push(Rejected::invalid(&key, error.to_string()));
        }
        if !answer.rejected.is_empty() {
            return answer;
        }
        answer.values = words;
        let done = self.apply(who, changes, &mut answer.rejected);
        let keys: BTreeSet<String> = done.iter().map(|change| change.key.clone()).collect();
        answer.values.extend(done.into_iter().map(|change| (change.name, change.value)));
        let all = self.show_all(&keys);
        self.tell(&all);
        answer
    }

    /// A write of a mapping's keys: the answer, and what to tell afterwards.
    #[allow(clippy::type_complexity, reason = "an answer, and the keys to tell about by mapping")]
    pub(super) fn write_mapped(
        &mut self,
        name: &str,
        who: &Who,
        values: Map<String, Value>,
    ) -> (Result<Answer, String>, Vec<(String, Vec<String>)>) {
        let (mapping, checked) = {
            let projections = self.shared.projections();
            let Some(projection) = projections.get(name) else {
                return (Err(no_mapping(name, projections.keys())), Vec::new());
            };
            let check = |(key, value)| check(projection, who, key, value);
            (projection.mapping.clone(), values.into_iter().map(check).collect::<Vec<_>>())
        };
        let asked: Vec<String> = checked
            .iter()
            .map(|one| match one {
                Ok((key, _)) => key.clone(),
                Err(rejected) => rejected.key.clone(),
            })
            .collect();
        let mut rejected = Vec::new();
        let changes = self.inward(&mapping, checked, &mut rejected);
        let done = self.apply(who, changes, &mut rejected);
        let keys: BTreeSet<String> = done.iter().map(|change| change.key.clone()).collect();
        let mut all = self.show_all(&keys);
        let mut answer = Answer::default();
        {
            let projections = self.shared.projections();
            if let Some(projection) = projections.get(name) {
                answer.sequence = projection.sequence;
                for change in &done {
                    if let Some(Ok(value)) = projection.shown.get(&change.name).map(|shown| &shown.value) {
                        answer.values.push((change.name.clone(), value.clone()));
                    }
                }
            }
        }
        // Everybody hears of a batch in the writer's order.
        if let Some((_, names)) = all.iter_mut().find(|(mapping, _)| mapping == name) {
            names.sort_by_key(|name| asked.iter().position(|key| key == name).unwrap_or(usize::MAX));
        }
        rejected.sort_by_key(|r: &Rejected| asked.iter().position(|key| *key == r.key).unwrap_or(usize::MAX));
        answer.rejected = rejected;
        (Ok(answer), all)
    }

    /// From a protocol's values to those of observables.
    fn inward(
        &self,
        mapping: &Mapping,
        checked: Vec<Result<(String, Value), Rejected>>,
        rejected: &mut Vec<Rejected>,
    ) -> Vec<Change> {
        let (mut changes, mut items, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for one in checked {
            let (name, value) = match one {
                Ok(good) => good,
                Err(bad) => {
                    rejected.push(bad);
                    continue;
                }
            };
            let Some(key) = mapping.keys.get(&name) else { continue };
            if key.inward == Conversion::Function {
                let current = self.runtime.state.get(&key.observable).map(|(value, _)| value);
                let current = current.unwrap_or_default();
                places.push(changes.len());
                items.push(Item { key: name.clone(), value: value.clone(), current });
            }
            changes.push(Some(Change { name, key: key.observable.clone(), value }));
        }
        if !items.is_empty() {
            let converted = self.converter.convert(mapping, Direction::Inward, items);
            for (place, value) in places.into_iter().zip(converted) {
                let Some(mut change) = changes[place].take() else { continue };
                match value {
                    Ok(value) => {
                        change.value = value;
                        changes[place] = Some(change);
                    }
                    Err(message) => rejected.push(Rejected::invalid(&change.name, message)),
                }
            }
        }
        changes.into_iter().flatten().collect()
    }

    /// Checks values against their observables, acts, and keeps what has been accepted as one batch. Returns that.
    fn apply(&self, who: &Who, changes: Vec<Change>, rejected: &mut Vec<Rejected>) -> Vec<Change> {
        let mut done: Vec<Change> = Vec::new();
        for mut change in changes {
            let Some(declared) = self.observables.get(&change.key) else { continue };
            let acted =
                declared.observable.check(&change.value).map_err(|invalid| invalid.0).and_then(|value| {
                    change.value = value;
                    self.act(declared, &change)
                });
            match acted {
                Ok(()) => done.push(change),
                Err(message) => rejected.push(Rejected::invalid(&change.name, message)),
            }
        }
        for change in &done {
            let before = self.runtime.state.get(&change.key).map(|(value, _)| value).unwrap_or_default();
            if before != change.value {
                self.journal.changed(who, &change.key, &before, &change.value);
            }
        }
        let batch = done.iter().map(|change| (change.key.clone(), change.value.clone())).collect();
        if let Err(error) = self.runtime.state.set_all(batch) {
            // Checked above, so this is the limit of keys; nothing was kept.
            for change in done.drain(..) {
                rejected.push(Rejected::invalid(&change.name, error.to_string()));
            }
        }
        done
    }

    fn act(&self, declared: &Declared, change: &Change) -> Result<(), String> {
        let is_button = declared.observable.momentary;
        if is_button && change.value == declared.first {
            return Ok(());
        }
        if is_button && declared.targets.is_empty() {
            let _ = self.jobs.send(Job::Done(change.key.clone()));
        }
        for target in &declared.targets {
            let (jobs, key) = (self.jobs.clone(), change.key.clone());
            let done: crate::Done = Box::new(move || {
                if is_button {
                    // It fails only after the end.
                    let _ = jobs.send(Job::Done(key));
                }
            });
            self.targets.act(target, &change.value, done)?;
        }
        Ok(())
    }
}

/// Whether a client may write a key, and whether the value is one that the key takes.
fn check(
    projection: &Projection,
    who: &Who,
    name: String,
    value: Value,
) -> Result<(String, Value), Rejected> {
    let (Some(shown), Some(key)) = (projection.shown.get(&name), projection.mapping.keys.get(&name)) else {
        return Err(Rejected::unknown(&name, None));
    };
    if let Err(why) = &shown.value {
        return Err(Rejected::unknown(&name, who.may(shown.read).then(|| why.clone())));
    }
    match shown.write {
        None => Err(Rejected::denied(&name, Some("This key can only be read".to_owned()))),
        Some(least) if !who.may(least) => {
            let who = if who.user.is_none() { "Log in as" } else { "This needs the role" };
            Err(Rejected::denied(&name, Some(format!("{who} {least}"))))
        }
        Some(_) => match key.accepts.as_ref().map_or(Ok(()), |accepts| accepts(&value)) {
            Ok(()) => Ok((name, value)),
            Err(message) => Err(Rejected::invalid(&name, message)),
        },
    }
}
