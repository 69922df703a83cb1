//! The thread that does all changes, one after the other.

mod shows;
mod writes;

use crate::control::{Job, Kept, Parts, Shared};
use crate::mapping::Mapping;
use crate::projection::Projection;
use crate::{Converter, Journal, Targets};
use gantry_core::Runtime;
use gantry_core::config::Observable;
use gantry_core::observable::Target;
use gantry_core::state::Watch;
use serde_json::Value;
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
}
