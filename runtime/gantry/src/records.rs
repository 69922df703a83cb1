//! The durable records of the gateway: what must not be lost.

mod command;

pub(crate) use command::{Command, command};

use gantry_core::health::{Health, Level};
use gantry_store::{Draft, Settings, Store, StoreError};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the records are.
fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("records")
}

/// The store, and how it does.
pub(crate) struct Records {
    store: Store,
    health: Arc<Health>,
}

impl Records {
    /// Opens the store in `state_dir`, and repairs what a power cut left.
    pub(crate) fn open(state_dir: &Path, health: Arc<Health>) -> Result<Self, StoreError> {
        let store = Store::open(&folder(state_dir), Settings::default())?;
        if let Some(repaired) = &store.opened().repaired {
            tracing::error!("the records were damaged: {repaired}");
        }
        for damage in &store.opened().damaged {
            tracing::error!("a record was damaged by the last end: {damage:?}");
        }
        Ok(Self { store, health })
    }

    /// Appends a record of the gateway's own. Does not wait; one that is refused is told about in the log and the health.
    pub(crate) fn note(&self, collection: &'static str, record: Value) {
        let health = self.health.clone();
        let draft = Draft { collection: collection.to_owned(), json: record.to_string(), ..Draft::default() };
        self.store.append(
            draft,
            Box::new(move |appended| match appended {
                Ok(_) => health.forget("records"),
                Err(error) => {
                    if health.report("records", Level::Failed, error.to_string()) {
                        tracing::error!(collection, "a record is lost: {error}");
                    }
                }
            }),
        );
    }

    /// Writes what waits, and ends.
    pub(crate) fn close(&self) {
        self.store.close();
    }
}
