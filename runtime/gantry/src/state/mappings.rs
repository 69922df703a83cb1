//! From the mapping scripts to control's tables, and control's way back to their functions.

use gantry_control::{Control, Conversion, Converter, Direction, Item, Key, Mapping, Writers};
use gantry_core::health::{Health, Level};
use gantry_script::{Changed, ErrorKind, Right, ScriptError, Scripts, Settings};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What mappings are loaded, and the thread that runs their functions.
#[derive(Default)]
pub(crate) struct Mappings {
    scripts: OnceLock<Arc<Scripts>>,
    /// The newest of each name, and the one before: control goes on with that until it has taken over the newest.
    loaded: Mutex<BTreeMap<String, Vec<Arc<gantry_script::Mapping>>>>,
    health: OnceLock<Arc<Health>>,
    /// The rules in force.
    rules: Mutex<BTreeSet<String>>,
}

impl Mappings {
    /// Starts the script thread and gives every mapping that is good to `control`, now and whenever one changes.
    pub(crate) fn load(
        self: &Arc<Self>,
        settings: Settings,
        control: &Arc<Control>,
        health: Arc<Health>,
    ) -> std::io::Result<Scripts> {
        // Never set twice.
        let _ = self.health.set(health.clone());
        let (mappings, control) = (self.clone(), Arc::downgrade(control));
        Scripts::start(settings, move |changed| {
            let Some(control) = control.upgrade() else { return };
            mappings.changed(changed, &control, &health);
        })
    }

    /// From now on functions can be called.
    pub(crate) fn use_scripts(&self, scripts: &Arc<Scripts>) {
        // Never set twice.
        let _ = self.scripts.set(scripts.clone());
    }

    fn changed(&self, changed: Changed, control: &Control, health: &Health) {
        match changed {
            Changed::Mapping(mapping) => {
                tracing::info!(
                    script = mapping.file(),
                    keys = mapping.keys().len(),
                    "the mapping is in force"
                );
                let table = table_of(&mapping);
                health.forget(&format!("script/mappings/{}", mapping.name()));
                {
                    let mut loaded = self.loaded();
                    let generations = loaded.entry(mapping.name().to_owned()).or_default();
                    generations.insert(0, mapping);
                    generations.truncate(2);
                }
                control.map(table);
            }
            Changed::Rule(name) => {
                tracing::info!(rule = name, "the rule is in force");
                self.rules().insert(name);
            }
            Changed::Removed(name) => {
                tracing::info!(script = name, "the script is gone");
                health.forget(&format!("script/{name}"));
                if let Some(mapping) = name.strip_prefix("mappings/") {
                    self.loaded().remove(mapping);
                    control.unmap(mapping);
                }
                if let Some(rule) = name.strip_prefix("rules/") {
                    self.rules().remove(rule);
                    for hook in gantry_script::HOOKS {
                        health.forget(&format!("script/rules/{rule}/{}", hook.name));
                    }
                }
            }
            Changed::Problem(name, errors) => {
                let first = errors.lines().next().unwrap_or_default();
                health.report(&format!("script/{name}"), Level::Degraded, format!("not in force: {first}"));
                tracing::error!(
                    script = name,
                    "the script is not good, and what was in force stays:\n{errors}"
                );
            }
            Changed::Recovered(name) => health.forget(&format!("script/{name}")),
        }
    }

    /// Whether a rule of that name is in force.
    pub(crate) fn has_rule(&self, name: &str) -> bool {
        self.rules().contains(name)
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of a function that failed, once for each way in which it does: clients can make it fail as often as they like.
    fn failed(&self, mapping: &str, error: &ScriptError) {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default().to_owned();
        let part = format!("script/mappings/{mapping}");
        if self.health.get().is_some_and(|health| health.report(&part, Level::Degraded, first)) {
            tracing::error!(mapping, "a function of the mapping failed:\n{text}");
        }
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<Arc<gantry_script::Mapping>>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Converter for Mappings {
    fn convert(
        &self,
        mapping: &Mapping,
        direction: Direction,
        items: Vec<Item>,
    ) -> Vec<Result<Value, String>> {
        let count = items.len();
        let refuse = |why: &str| vec![Err(why.to_owned()); count];
        let loaded = self
            .loaded()
            .get(&mapping.name)
            .and_then(|all| all.iter().find(|one| one.generation() == mapping.generation).cloned());
        let (Some(scripts), Some(loaded)) = (self.scripts.get(), loaded) else {
            return refuse("The mapping is being loaded: try again");
        };
        let direction = match direction {
            Direction::Inward => gantry_script::Direction::In,
            Direction::Outward => gantry_script::Direction::Out,
        };
        let items = items
            .into_iter()
            .map(|item| gantry_script::Item { key: item.key, value: item.value, current: Some(item.current) })
            .collect();
        let (tell, told) = channel();
        scripts.convert(&loaded, direction, items, move |converted| {
            // Who asked waits for it.
            let _ = tell.send(converted);
        });
        let Ok(converted) = told.recv() else { return refuse("The scripts have ended") };
        converted
            .into_iter()
            .map(|one| {
                one.map_err(|error| {
                    if error.kind != ErrorKind::Refused {
                        self.failed(&mapping.name, &error);
                    }
                    error.for_client().to_owned()
                })
            })
            .collect()
    }
}

/// The script's table as control has it.
fn table_of(mapping: &gantry_script::Mapping) -> Mapping {
    let keys = mapping.keys().iter().map(|key| {
        let conversion = |function| if function { Conversion::Function } else { Conversion::Same };
        let checked = key.clone();
        let table = Key {
            observable: key.observable.clone(),
            read: match key.read {
                Right::AsObservable => None,
                Right::AtLeast(role) => Some(role),
                // Whatever an administrator may not even read need not be in a mapping; nobody else sees it.
                Right::Nobody => Some(gantry_core::access::Role::Administrator),
            },
            write: match key.write {
                Right::AsObservable => Writers::AsObservable,
                Right::AtLeast(role) => Writers::AtLeast(role),
                Right::Nobody => Writers::Nobody,
            },
            accepts: Some(Arc::new(move |value| checked.check(value).map(|_| ()))),
            outward: conversion(key.reads_by_function()),
            inward: conversion(key.writes_by_function()),
        };
        (key.name.clone(), table)
    });
    Mapping { name: mapping.name().to_owned(), generation: mapping.generation(), keys: keys.collect() }
}
