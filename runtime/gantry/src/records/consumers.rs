//! Durable consumers of plugins: who goes on where after a restart.

use super::Records;
use super::services::{Answer, failed};
use crate::operator;
use bytes::Bytes;
use gantry_core::bus::Bus;
use gantry_core::services::ServiceError;
use gantry_store::{Consumer, ConsumerSettings, Start, StoreError};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The most consumers of one plugin.
const MOST_CONSUMERS: usize = 16;
/// The least time between two words that there is more, in milliseconds.
const WAKE_MS: u64 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    consumer: String,
    collections: BTreeSet<String>,
    #[serde(default)]
    start: Begin,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Begin {
    #[default]
    Oldest,
    Now,
}

/// The consumers that plugins have opened, by the plugin's and their own name. They stay open: an instance that is started
/// again goes on with its own.
pub(super) struct Consumers {
    open: Mutex<BTreeMap<(String, String), Arc<Consumer>>>,
    bus: Arc<Bus>,
    begin: Instant,
}

impl Consumers {
    pub(super) fn new(bus: Arc<Bus>) -> Self {
        Self { open: Mutex::default(), bus, begin: Instant::now() }
    }

    /// Tells on `records/PLUGIN/CONSUMER` that there is more, at most ten times a second: whoever listens looks once a second
    /// besides.
    fn wake(&self, plugin: &str, name: &str) -> impl Fn() + Send + Sync + 'static {
        let (bus, begin, told) = (self.bus.clone(), self.begin, AtomicU64::new(0));
        let (sender, topic): (Arc<str>, _) = ("records".into(), format!("records/{plugin}/{name}"));
        move || {
            let now = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(WAKE_MS);
            let due = |last: u64| (now >= last.saturating_add(WAKE_MS)).then_some(now);
            if told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok() {
                // A name that is none for a topic is never woken, and looks.
                let _ = bus.publish(&sender, &topic, Bytes::from_static(b"{}"));
            }
        }
    }

    pub(super) fn open(&self, records: &Records, plugin: &str, open: Open) -> Answer {
        let Open { consumer, collections, start } = open;
        let refuse = |message: String| ServiceError(format!("records.open: {message}"));
        let key = (plugin.to_owned(), consumer);
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // It is made anew, because it may want other collections than it did.
        all.remove(&key);
        if all.keys().filter(|(of, _)| *of == key.0).count() >= MOST_CONSUMERS {
            return Err(refuse(format!("there are {MOST_CONSUMERS} already: use one of them")));
        }
        let start = match start {
            Begin::Oldest => Start::Oldest,
            Begin::Now => Start::Next,
        };
        let settings = ConsumerSettings { collections, hold: true, start };
        // The operator is no plugin: no name of one has a dot.
        let owner = if key.0 == operator::CALLER { ".operator" } else { &key.0 };
        let name = format!("{owner}:{}", key.1);
        let consumer = records.store().consumer(&name, settings).map_err(|e| failed("records.open", &e))?;
        consumer.on_append(self.wake(&key.0, &key.1));
        let waiting = waiting(&consumer).map_err(|e| failed("records.open", &e))?;
        all.insert(key, Arc::new(consumer));
        Ok(waiting)
    }

    pub(super) fn get(&self, service: &str, plugin: &str, name: &str) -> Result<Arc<Consumer>, ServiceError> {
        let all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(&(plugin.to_owned(), name.to_owned())).cloned();
        found.ok_or_else(|| ServiceError(format!("{service}: `{name}` is not open: call records.open first")))
    }
}

pub(super) fn waiting(consumer: &Consumer) -> Result<Value, StoreError> {
    let waiting = consumer.waiting()?;
    let oldest = waiting.oldest.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    Ok(json!({ "count": waiting.count, "oldest_age_ms": oldest }))
}
