//! What the clients of mappings see, and how they hear of it.

use super::Worker;
use crate::mapping::Mapping;
use crate::projection::{Projection, Shown};
use bytes::Bytes;
use gantry_core::config::Observable;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Worker {
    /// What keys of a mapping show now.
    pub(super) fn look(&self, mapping: &Mapping, names: &[String]) -> Vec<(String, Shown)> {
        Projection::look(mapping, names, &*self.converter, &|key| self.lookup(key))
    }

    fn lookup(&self, key: &str) -> Option<(Arc<Observable>, Result<Value, String>)> {
        let declared = self.observables.get(key)?;
        let value = || self.runtime.state.get(key).map(|(value, _)| value);
        let value = match &declared.missing {
            Some(why) => Err(why.clone()),
            None => Ok(value().unwrap_or_else(|| declared.first.clone())),
        };
        Some((declared.observable.clone(), value))
    }

    /// Brings all projections of these observables up to date. Returns the keys that were looked at, by mapping.
    pub(super) fn show_all(&self, observables: &BTreeSet<String>) -> Vec<(String, Vec<String>)> {
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
    pub(super) fn show(&self, mapping: &Mapping, names: &[String]) -> Vec<String> {
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
    pub(super) fn tell(&self, changed: &[(String, Vec<String>)]) {
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
}
