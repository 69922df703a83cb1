//! What of the counts outlives an end: a checkpoint of the ledger, and the records that came after it.

use crate::faces::{self, Face};
use crate::records::Records;
use crate::statefile::StateFile;
use gantry_core::config::Config;
use gantry_counting::{Checkpoint, Ledger, Settings};
use gantry_store::{Direction, Query, StoreError, Uuid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The collection of crossings and corrections.
pub(super) const COLLECTION: &str = "counts";
/// How long what can be had from records alone may be without a checkpoint. It bounds how much is read at a start.
const PERIOD: Duration = Duration::from_secs(60);
/// Records that are read at once.
const PAGE: usize = 5000;

#[derive(Serialize, Deserialize)]
struct Kept {
    ledger: Checkpoint,
    /// The last record of each collection that is in the ledger.
    counts_through: Option<Uuid>,
    faces_through: Option<Uuid>,
    owners: BTreeMap<String, String>,
}

/// The file, and how far it goes.
pub(super) struct Keeper {
    file: StateFile<Kept>,
    counts_through: Option<Uuid>,
    faces_through: Option<Uuid>,
    /// Which rule began the events that run, by the event.
    pub(super) owners: BTreeMap<String, String>,
    saved: Instant,
    dirty: bool,
    failed: bool,
}

impl Keeper {
    /// The file, and the ledger as it was at the last moment that was kept.
    pub(super) fn open(
        config: &Config,
        settings: Settings,
        records: &Records,
        now_ms: i64,
    ) -> (Self, Ledger) {
        let instead = "the counts of the day are made from its records";
        let (file, kept) = StateFile::<Kept>::open(&config.state_dir, "counts", instead);
        let known = kept.is_some();
        let mut keeper = Self {
            file,
            counts_through: None,
            faces_through: None,
            owners: BTreeMap::new(),
            saved: Instant::now(),
            dirty: false,
            failed: false,
        };
        let mut ledger = match kept {
            Some(kept) => {
                (keeper.counts_through, keeper.faces_through) = (kept.counts_through, kept.faces_through);
                keeper.owners = kept.owners;
                Ledger::restore(settings, kept.ledger)
            }
            None => Ledger::new(settings, now_ms),
        };
        let since = (!known).then(|| ledger.since_ms());
        let mut replay = |through: &mut Option<Uuid>, collection| match Self::replay(
            through,
            collection,
            &mut ledger,
            records,
            since,
        ) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, collection, "counted again what was recorded last"),
            Err(error) => {
                tracing::error!(
                    "the records of the day cannot be read, and its counts may be too low: {error}"
                );
            }
        };
        replay(&mut keeper.counts_through, COLLECTION);
        replay(&mut keeper.faces_through, faces::COLLECTION);
        if let Err(error) = Self::know_faces(&mut ledger, records) {
            tracing::error!("the kept faces cannot be read: {error}");
        }
        (keeper, ledger)
    }

    fn replay(
        through: &mut Option<Uuid>,
        collection: &str,
        ledger: &mut Ledger,
        records: &Records,
        since: Option<i64>,
    ) -> Result<usize, StoreError> {
        let mut query = Query {
            after: *through,
            from: since,
            direction: Direction::Oldest,
            limit: PAGE,
            ..Query::collection(collection)
        };
        let mut replayed = 0;
        loop {
            let page = records.store().read().query(&query)?;
            let Some(last) = page.last() else { return Ok(replayed) };
            (query.after, *through) = (Some(last.id), Some(last.id));
            for record in &page {
                let stored = serde_json::from_str(&record.json).unwrap_or_default();
                match ledger.replay(&stored) {
                    Ok(_) => replayed += 1,
                    Err(error) => tracing::warn!(id = %record.id, "a record is not counted: {error}"),
                }
            }
        }
    }

    /// Numbers of faces are given once, also when the checkpoint is lost.
    fn know_faces(ledger: &mut Ledger, records: &Records) -> Result<(), StoreError> {
        let newest = Query { limit: 1, ..Query::collection(faces::COLLECTION) };
        if let Some(face) = records.store().read().query(&newest)?.first().and_then(Face::of) {
            ledger.know_face(face.face_id);
        }
        Ok(())
    }

    /// The ledger has what this record tells.
    pub(super) fn counted(&mut self, record: Option<Uuid>) {
        self.counts_through = record.or(self.counts_through);
        self.dirty = true;
    }

    /// The ledger has this face.
    pub(super) fn face(&mut self, record: Option<Uuid>) {
        self.faces_through = record.or(self.faces_through);
        self.dirty = true;
    }

    /// Writes a checkpoint when one is due.
    pub(super) fn save_sometimes(&mut self, ledger: &Ledger) {
        if self.dirty && (self.saved.elapsed() >= PERIOD || self.failed) {
            self.save(ledger);
        }
    }

    /// Writes a checkpoint: for what no record tells. On the disk when this returns.
    pub(super) fn save(&mut self, ledger: &Ledger) {
        let kept = Kept {
            ledger: ledger.checkpoint(),
            counts_through: self.counts_through,
            faces_through: self.faces_through,
            owners: self.owners.clone(),
        };
        match self.file.save(&kept) {
            Ok(()) => (self.dirty, self.failed) = (false, false),
            Err(error) => {
                if !self.failed {
                    tracing::error!(
                        "the counts cannot be kept and are tried again: {error}: make room on the disk of state_dir"
                    );
                }
                (self.dirty, self.failed) = (true, true);
            }
        }
        self.saved = Instant::now();
    }
}
