//! The durable records of the gateway: what must not be lost.

mod command;
mod consumers;
mod desk;
mod services;

pub(crate) use command::{Command, command};
pub(crate) use desk::{Busy, Desk};
pub(crate) use services::offer;

use gantry_core::config::Config;
use gantry_core::health::{Health, Level};
use gantry_store::{Draft, Keep, Settings, Store, StoreError, Uuid};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the records are.
pub(crate) fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("records")
}

/// What is kept of which collection.
fn keeps(config: &Config) -> BTreeMap<String, Keep> {
    let faces = &config.faces;
    let faces = Keep {
        max_age: Some(faces.max_age),
        max_count: Some(faces.max_count),
        max_bytes: Some(faces.max_bytes),
    };
    let aged = |age| Keep { max_age: Some(age), ..Keep::default() };
    BTreeMap::from([
        ("faces".to_owned(), faces),
        ("counts".to_owned(), aged(config.counts.max_age)),
        ("hours".to_owned(), aged(config.counts.max_history)),
        ("days".to_owned(), aged(config.counts.max_history)),
    ])
}

/// How the store is opened for this configuration.
pub(crate) fn settings(config: &Config) -> Settings {
    Settings { collections: keeps(config), ..Settings::default() }
}

/// The store, and how it does.
pub(crate) struct Records {
    store: Store,
    health: Arc<Health>,
}

impl Records {
    /// Opens the store in `state_dir`, and repairs what a power cut left.
    pub(crate) fn open(config: &Config, health: Arc<Health>) -> Result<Self, StoreError> {
        let store = Store::open(&folder(&config.state_dir), settings(config))?;
        if let Some(repaired) = &store.opened().repaired {
            tracing::error!("the records were damaged: {repaired}");
        }
        for damage in &store.opened().damaged {
            tracing::error!("a record was damaged by the last end: {damage:?}");
        }
        Ok(Self { store, health })
    }

    /// Takes over what is to be kept from now on.
    pub(crate) fn apply(&self, config: &Config) {
        if let Err(error) = self.store.set_keep(Keep::default(), keeps(config)) {
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
        let (health, collection) = (self.health.clone(), draft.collection.clone());
        self.store.append(
            draft,
            Box::new(move |appended| match appended {
                Ok(appended) => {
                    health.forget("records");
                    done(Some(appended.id));
                }
                Err(error) => {
                    if health.report("records", Level::Failed, error.to_string()) {
                        tracing::error!(collection, "a record is lost: {error}");
                    }
                    done(None);
                }
            }),
        );
    }

    /// Writes what waits, and ends.
    pub(crate) fn close(&self) {
        self.store.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
