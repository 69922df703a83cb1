//! The durable records of the gateway: what must not be lost.

mod ages;
mod command;
mod consumers;
mod desk;
mod readers;
mod rules;
mod services;
mod upkeep;

pub(crate) use command::{Command, command};
pub(crate) use desk::{Busy, Desk};
pub(crate) use readers::Readers;
pub(crate) use services::offer;

use ages::Ages;
use gantry_core::config::Config;
use gantry_core::health::{Health, Level};
use gantry_store::{Draft, Keep, Query, Settings, Store, StoreError, Uuid};
use rules::Rules;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use upkeep::{Upkeep, Waits};

/// Where the records are.
pub(crate) fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("records")
}

/// What is said of a record that found no room.
const FULL: &str = "the disk of the record store is full: make room or keep fewer records";

/// Collections of which another section says how much is kept, and that section.
pub(crate) const SAID_ELSEWHERE: [(&str, &str); 4] =
    [("counts", "counts"), ("days", "counts"), ("faces", "faces"), ("hours", "counts")];

/// What is kept of every collection that is not named.
fn keep(config: &Config) -> Keep {
    let all = &config.records;
    Keep { max_age: Some(all.max_age), max_count: Some(all.max_count), max_bytes: Some(all.max_bytes) }
}

/// What is kept of which collection.
fn keeps(config: &Config) -> BTreeMap<String, Keep> {
    let (faces, all) = (&config.faces, keep(config));
    let faces = Keep {
        max_age: Some(faces.max_age),
        max_count: Some(faces.max_count),
        max_bytes: Some(faces.max_bytes),
    };
    let named = config.records.collections.iter().map(|(name, kept)| {
        let keep = Keep {
            max_age: kept.max_age.or(all.max_age),
            max_count: kept.max_count.or(all.max_count),
            max_bytes: kept.max_bytes.or(all.max_bytes),
        };
        (name.clone(), keep)
    });
    let aged = |age| Keep { max_age: Some(age), ..Keep::default() };
    let own = [
        ("faces".to_owned(), faces),
        ("counts".to_owned(), aged(config.counts.max_age)),
        ("hours".to_owned(), aged(config.counts.max_history)),
        ("days".to_owned(), aged(config.counts.max_history)),
    ];
    named.chain(own).collect()
}

/// How the store is opened for this configuration.
fn settings(config: &Config) -> Settings {
    Settings {
        min_free: config.records.min_free_bytes,
        keep: keep(config),
        collections: keeps(config),
        ..Settings::default()
    }
}

/// The store, and how it does.
pub(crate) struct Records {
    store: Store,
    health: Arc<Health>,
    rules: Arc<Rules>,
    /// A record of the gateway's own was lost for want of room.
    was_full: Arc<AtomicBool>,
    upkeep: Mutex<Option<upkeep::Thread>>,
}

impl Records {
    /// Opens the store in `state_dir`, and repairs what a power cut left.
    pub(crate) fn open(config: &Config, health: Arc<Health>) -> Result<Self, StoreError> {
        let (ages, folder) = (Arc::new(Ages::new()), folder(&config.state_dir));
        let (file, waited) = Waits::open(&config.state_dir);
        let rules = Arc::new(Rules::new(keep(config), keeps(config)));
        let (keep, collections) = rules.in_force();
        let clock = ages.clone();
        let clock: gantry_store::Clock = Arc::new(move || clock.now());
        let store = Store::open(&folder, Settings { clock, keep, collections, ..settings(config) })?;
        if let Some(repaired) = &store.opened().repaired {
            tracing::error!("the records were damaged: {repaired}");
        }
        for damage in &store.opened().damaged {
            tracing::error!("a record was damaged by the last end: {damage:?}");
        }
        let newest = store.read().query(&Query { limit: 1, ..Query::default() })?;
        ages.begin(newest.first().map(|record| record.stored), waited);
        let was_full = Arc::<AtomicBool>::default();
        let upkeep = Upkeep {
            folder: folder.clone(),
            floor: config.records.min_free_bytes,
            store: store.clone(),
            ages,
            rules: rules.clone(),
            file,
            kept: waited,
            health: health.clone(),
            was_full: was_full.clone(),
            is_scarce: false,
        };
        let upkeep =
            upkeep.start().map_err(|error| StoreError::Io { path: folder, source: Arc::new(error) })?;
        Ok(Self { store, health, rules, was_full, upkeep: Mutex::new(Some(upkeep)) })
    }

    /// Takes over what is to be kept from now on.
    pub(crate) fn apply(&self, config: &Config) {
        if let Err(error) = self.rules.set(&self.store, keep(config), keeps(config)) {
            tracing::error!("what is kept of records stays as it was: {error}");
        }
    }

    /// The store itself.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Appends a record of the gateway's own. Does not wait; one that is refused is told about in the log and the health.
    pub(crate) fn note(&self, collection: &'static str, record: Value) {
        let draft = Draft { collection: collection.to_owned(), json: record.to_string(), ..Draft::default() };
        self.append(draft, |_| {});
    }

    /// The same for a draft that somebody waits for: `done` gets the id on the store's thread, or nothing when the record
    /// was refused.
    pub(crate) fn append(&self, draft: Draft, done: impl FnOnce(Option<Uuid>) + Send + 'static) {
        let (health, was_full, collection) =
            (self.health.clone(), self.was_full.clone(), draft.collection.clone());
        self.store.append(
            draft,
            Box::new(move |appended| match appended {
                Ok(appended) => {
                    health.forget("records");
                    done(Some(appended.id));
                }
                Err(error) => {
                    let is_full = matches!(error, StoreError::Full { .. });
                    // Without how much is free, which is another number every time: it is told once.
                    let why = if is_full { FULL.to_owned() } else { error.to_string() };
                    if health.report("records", Level::Failed, &*why) {
                        tracing::error!(collection, "a record is lost: {why}");
                    }
                    // After the report: whoever takes this away forgets that.
                    if is_full {
                        was_full.store(true, Ordering::Release);
                    }
                    done(None);
                }
            }),
        );
    }

    /// Writes what waits, and ends.
    pub(crate) fn close(&self) {
        // It asks the store: first it, then the store.
        if let Some(upkeep) = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner).take() {
            upkeep.end();
        }
        self.store.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_collection_that_is_named_as_much_is_kept_as_it_says_and_of_the_others_as_of_all() {
        let text = "[records]\nmin_free_bytes = 7\nmax_count = 3\n\
                    [records.collections.pictures]\nmax_bytes = 9\nmax_age = \"1h\"\n\
                    [counts]\nmax_age = \"2h\"\n";
        let config: Config = toml::from_str(text).expect("a configuration");
        let Settings { min_free, keep, collections, .. } = settings(&config);
        assert_eq!((min_free, keep.max_count, keep.max_bytes), (7, Some(3), Some(4 << 30)));
        let hours = |n: u64| Some(std::time::Duration::from_secs(n * 3600));
        let pictures = Keep { max_age: hours(1), max_count: Some(3), max_bytes: Some(9) };
        assert_eq!(collections["pictures"], pictures);
        assert_eq!(collections["counts"].max_age, hours(2));
    }

    #[test]
    fn no_more_faces_are_kept_than_the_configuration_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config { state_dir: folder.path().to_owned(), ..Config::default() };
        let records = Records::open(&config, Arc::default()).expect("a store");
        let append = |collection: &str| {
            let json = "{}".to_owned();
            let draft = Draft { collection: collection.to_owned(), json, ..Draft::default() };
            records.store().append_wait(draft).expect("appended");
        };
        (0..5).for_each(|_| append("faces"));
        append("counts");
        let kept = |collection: &str| {
            records.store().read().count(&gantry_store::Query::collection(collection)).expect("counted")
        };
        records.store().tidy().expect("tidied");
        assert_eq!(kept("faces"), 5);
        config.faces.max_count = 2;
        records.apply(&config);
        records.store().tidy().expect("tidied");
        assert_eq!((kept("faces"), kept("counts")), (2, 1));
        config.faces.max_bytes = 0;
        records.apply(&config);
        records.store().tidy().expect("tidied");
        assert_eq!((kept("faces"), kept("counts")), (0, 1));
    }
}
