//! The thread that does all changes, one after the other.

use crate::batch::{Answer, Rejected};
use crate::control::{Job, Kept, Parts, Shared, no_mapping};
use crate::mapping::{Conversion, Direction, Item, Mapping};
use crate::projection::{Projection, Shown};
use crate::{Converter, Journal, Targets, Who};
use bytes::Bytes;
use gantry_core::Runtime;
use gantry_core::config::Observable;
use gantry_core::observable::Target;
use gantry_core::state::Watch;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

pub(crate) struct Worker {
    runtime: Runtime,
    targets: Arc<dyn Targets>,
    converter: Arc<dyn Converter>,
    journal: Arc<dyn Journal>,
    shared: Arc<Shared>,
    jobs: Sender<Job>,
    /// The sender of what is put on the bus.
    name: Arc<str>,
    observables: BTreeMap<String, Declared>,
    watches: Vec<Watch>,
}

/// An observable, and what it acts on.
struct Declared {
    observable: Arc<Observable>,
    targets: Vec<Target>,
    /// The value that it began with: when the configuration says another, that one holds.
    first: Value,
    /// Why it is missing, if it is.
    missing: Option<String>,
}

/// A write of one observable, on its way.
struct Change {
    /// What the client calls it.
    name: String,
    key: String,
    value: Value,
}

impl Worker {
    pub(crate) fn new(parts: Parts, shared: Arc<Shared>, jobs: Sender<Job>) -> Self {
        let Parts { runtime, targets, converter, journal } = parts;
        let name = "control".into();
        let (observables, watches) = (BTreeMap::new(), Vec::new());
        Self { runtime, targets, converter, journal, shared, jobs, name, observables, watches }
    }

    pub(crate) fn run(&mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            if matches!(job, Job::Stop) {
                return;
            }
            // A fault in one change must not end all others.
            if catch_unwind(AssertUnwindSafe(|| self.work(job))).is_err() {
                tracing::error!("a change failed with a fault of the gateway: please report it");
            }
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Declare(observables, kept) => self.declare(observables, &kept),
            Job::Map(mapping) => self.map(mapping),
            Job::Unmap(name) => _ = self.shared.projections().remove(&name),
            Job::Refresh => self.refresh(),
            Job::Followed(key) => self.followed(&key),
            Job::Report(key, value) => self.report(&key, value),
            Job::Done(key) => self.done(&key),
            Job::Write(who, values, reply) => {
                self.shared.taken();
                reply(Ok(self.write(&who, values)));
            }
            Job::WriteMapped(mapping, who, values, reply) => {
                self.shared.taken();
                let (answer, changed) = self.write_mapped(&mapping, &who, values);
                // The answer first: who asked hears of it before everybody does.
                reply(answer);
                self.tell(&changed);
            }
            Job::Settle(tell) => _ = tell.send(()),
            Job::Stop => {}
        }
    }

    fn declare(&mut self, observables: BTreeMap<String, Observable>, kept: &BTreeMap<String, Kept>) {
        let before = std::mem::take(&mut self.observables);
        self.watches.clear();
        let mut initial = BTreeMap::new();
        for (key, observable) in &observables {
            let targets: Vec<Target> =
                observable.acts_on.iter().filter_map(|target| target.parse().ok()).collect();
            let configured = || targets.iter().find_map(|target| self.targets.configured(target));
            let first = match &observable.default {
                Some(_) => observable.initial(),
                None => configured().unwrap_or_else(|| observable.initial()),
            };
            let value = match before.get(key) {
                Some(old) if old.first == first => self.runtime.state.get(key).map(|(value, _)| value),
                Some(_) => None,
                None => kept.get(key).filter(|kept| kept.first == first).map(|kept| kept.value.clone()),
            };
            let value =
                value.and_then(|value| observable.check(&value).ok()).unwrap_or_else(|| first.clone());
            initial.insert(key.clone(), value);
            let missing = targets.iter().find_map(|target| self.targets.available(target).err());
            let observable = Arc::new(observable.clone());
            self.observables.insert(key.clone(), Declared { observable, targets, first, missing });
        }
        self.runtime.state.declare(observables, |key| initial.get(key).cloned().unwrap_or_default());
        for (key, value) in &initial {
            self.force(key, value.clone());
        }
        let is_kept = |o: &Observable| o.persist && !o.momentary && o.follows.is_none();
        let kept = self.observables.iter().filter(|(_, declared)| is_kept(&declared.observable));
        *self.shared.firsts() = kept.map(|(key, d)| (key.clone(), d.first.clone())).collect();
        let mappings: Vec<_> = self.shared.projections().values().map(|p| p.mapping.clone()).collect();
        mappings.iter().for_each(|mapping| self.warn_of_unknown(mapping));
        self.act_on_everything(&initial);
        self.follow();
        self.refresh();
    }

    /// Brings what observables act on to where they stand.
    fn act_on_everything(&self, values: &BTreeMap<String, Value>) {
        for (key, declared) in self.observables.iter().filter(|(_, declared)| !declared.observable.momentary)
        {
            let Some(value) = values.get(key) else { continue };
            for target in &declared.targets {
                if matches!(target, Target::Record { .. } | Target::Snapshot { .. })
                    || self.targets.configured(target).as_ref() == Some(value)
                {
                    continue;
                }
                if let Err(why) = self.targets.act(target, value, Box::new(|| {})) {
                    tracing::debug!(observable = key, why, "it does not act yet");
                }
            }
        }
    }

    fn follow(&mut self) {
        for (key, declared) in &self.observables {
            let Some(source) = &declared.observable.follows else { continue };
            let (jobs, name) = (std::sync::Mutex::new(self.jobs.clone()), key.clone());
            let sink = Arc::new(move |_: &gantry_core::state::Change| {
                let jobs = jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                // It fails only after the end.
                let _ = jobs.send(Job::Followed(name.clone()));
            });
            match self.runtime.state.watch(source, sink) {
                Ok(watch) => self.watches.push(watch),
                Err(error) => tracing::error!(observable = key, %error, "it cannot follow `{source}`"),
            }
        }
    }

    fn map(&mut self, mapping: Mapping) {
        let name = mapping.name.clone();
        let mapping = Arc::new(mapping);
        self.warn_of_unknown(&mapping);
        let names: Vec<String> = mapping.keys.keys().cloned().collect();
        let looked = self.look(&mapping, &names);
        let changed = {
            let mut projections = self.shared.projections();
            let before = projections.remove(&name);
            let sequence = before.as_ref().map_or(0, |before| before.sequence);
            let mut projection = Projection::new(mapping, sequence);
            let old = before.map(|before| before.shown).unwrap_or_default();
            let changed = looked
                .iter()
                .filter(|(key, shown)| old.get(key).is_none_or(|old| old.value != shown.value))
                .map(|(key, _)| key.clone())
                .collect();
            projection.shown = looked.into_iter().collect();
            projections.insert(name.clone(), projection);
            changed
        };
        self.tell(&[(name, changed)]);
    }

    /// Warns of keys that stand for nothing, once there is a configuration.
    fn warn_of_unknown(&self, mapping: &Mapping) {
        for (key, of) in mapping.keys.iter().filter(|_| !self.observables.is_empty()) {
            if !self.observables.contains_key(&of.observable) {
                tracing::warn!(
                    mapping = mapping.name,
                    key,
                    observable = of.observable,
                    "there is no such observable: declare it in [state] of the configuration"
                );
            }
        }
    }

    /// What keys of a mapping show now.
    fn look(&self, mapping: &Mapping, names: &[String]) -> Vec<(String, Shown)> {
        Projection::look(mapping, names, &*self.converter, &|key| self.lookup(key))
    }

    fn lookup(&self, key: &str) -> Result<(Arc<Observable>, Value), String> {
        let declared = self.observables.get(key).ok_or_else(|| {
            format!("there is no observable `{key}`: declare it in [state] of the configuration")
        })?;
        if let Some(why) = &declared.missing {
            return Err(why.clone());
        }
        let value = self.runtime.state.get(key).map(|(value, _)| value);
        Ok((declared.observable.clone(), value.unwrap_or_else(|| declared.first.clone())))
    }

    /// Looks at what is available, and shows what has come, gone or changed.
    fn refresh(&mut self) {
        for declared in self.observables.values_mut() {
            declared.missing =
                declared.targets.iter().find_map(|target| self.targets.available(target).err());
        }
        for key in self.observables.keys().cloned().collect::<Vec<_>>() {
            self.take_over(&key);
        }
        let mappings: Vec<_> =
            self.shared.projections().values().map(|projection| projection.mapping.clone()).collect();
        let mut all = Vec::new();
        for mapping in mappings {
            let names: Vec<String> = mapping.keys.keys().cloned().collect();
            all.push((mapping.name.clone(), self.show(&mapping, &names)));
        }
        self.tell(&all);
    }

    /// Takes over the value that an observable follows. Returns whether that changed it.
    fn take_over(&self, key: &str) -> bool {
        let Some(declared) = self.observables.get(key) else { return false };
        let Some(source) = &declared.observable.follows else { return false };
        let value =
            self.runtime.state.get(source).and_then(|(value, _)| declared.observable.check(&value).ok());
        let value = value.unwrap_or_else(|| declared.first.clone());
        let before = self.runtime.state.get(key).map(|(value, _)| value);
        if before.as_ref() == Some(&value) {
            return false;
        }
        self.force(key, value);
        true
    }

    fn followed(&mut self, key: &str) {
        if self.take_over(key) {
            self.changed_elsewhere(key);
        }
    }

    fn report(&mut self, key: &str, value: Value) {
        let before = self.runtime.state.get(key).map(|(value, _)| value);
        if before.as_ref() != Some(&value) {
            self.force(key, value);
            self.changed_elsewhere(key);
        }
    }

    fn done(&mut self, key: &str) {
        if let Some(declared) = self.observables.get(key) {
            let first = declared.first.clone();
            self.report(key, first);
        }
    }

    /// Sets a value that is known to be right.
    fn force(&self, key: &str, value: Value) {
        if let Err(error) = self.runtime.state.set(key, value) {
            tracing::warn!(observable = key, %error, "its value is not kept");
        }
    }

    fn changed_elsewhere(&mut self, key: &str) {
        let keys = BTreeSet::from([key.to_owned()]);
        let all = self.show_all(&keys);
        self.tell(&all);
    }

    /// Brings all projections of these observables up to date. Returns the keys that were looked at, by mapping.
    fn show_all(&self, observables: &BTreeSet<String>) -> Vec<(String, Vec<String>)> {
        let affected: Vec<_> = {
            let projections = self.shared.projections();
            let all = projections.values();
            all.map(|p| (p.mapping.clone(), p.keys_of(observables))).filter(|(_, n)| !n.is_empty()).collect()
        };
        affected
            .into_iter()
            .map(|(mapping, names)| {
                self.show(&mapping, &names);
                (mapping.name.clone(), names)
            })
            .collect()
    }

    /// Brings keys of one projection up to date. Returns those that show something else now.
    fn show(&self, mapping: &Mapping, names: &[String]) -> Vec<String> {
        let looked = self.look(mapping, names);
        let mut projections = self.shared.projections();
        let Some(projection) = projections.get_mut(&mapping.name) else { return Vec::new() };
        let mut changed = Vec::new();
        for (name, shown) in looked {
            if projection.shown.get(&name).is_none_or(|old| old.value != shown.value) {
                changed.push(name.clone());
            }
            projection.shown.insert(name, shown);
        }
        changed
    }

    /// Tells the clients of each mapping what these keys are.
    fn tell(&self, changed: &[(String, Vec<String>)]) {
        for (mapping, names) in changed {
            let payload = {
                let mut projections = self.shared.projections();
                let Some(projection) = projections.get_mut(mapping) else { continue };
                let (mut values, mut read) = (Map::new(), Map::new());
                for name in names {
                    let Some(shown) = projection.shown.get(name) else { continue };
                    if let Ok(value) = &shown.value {
                        values.insert(name.clone(), value.clone());
                        read.insert(name.clone(), json!(shown.read));
                    }
                }
                if values.is_empty() {
                    continue;
                }
                projection.sequence += 1;
                json!({"sequence": projection.sequence, "values": values, "read": read}).to_string()
            };
            let topic = format!("mappings/{mapping}/changed");
            if let Err(error) = self.runtime.bus.publish(&self.name, &topic, Bytes::from(payload)) {
                // Its clients see a gap in the sequence with the next one, and read everything anew.
                tracing::warn!(mapping, %error, "a change is too large to be told at once");
            }
        }
    }

    /// A write of observables by their own names, all or nothing. Keys that nobody has declared are the word of whoever
    /// writes them.
    fn write(&mut self, who: &Who, values: Map<String, Value>) -> Answer {
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
    fn write_mapped(
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
