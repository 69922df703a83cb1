//! What of the counts outlives an end: a checkpoint of the ledger, and the records that came after it.

use crate::faces::{self, Face};
use crate::records::Records;
use crate::statefile::StateFile;
use gantry_core::config::Config;
use gantry_counting::{Checkpoint, Ledger, Settings};
use gantry_store::{Direction, Query, StoreError, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The collection of crossings and corrections.
pub(super) const COLLECTION: &str = "counts";
/// How long what can be had from records alone may be without a checkpoint. It bounds how much is read at a start.
const PERIOD: Duration = Duration::from_secs(60);
/// Records that are read at once.
const PAGE: usize = 5000;
/// Numbers of faces that are set aside at once: a number is never given twice, whatever is deleted and whenever it ends.
const FACES_AHEAD: u64 = 64;
/// The most letters that wait for a store that refuses them; then the oldest go.
const MOST_LETTERS: usize = 2000;

/// A record that is to be, told by the checkpoint until the store has it: a sum of an hour or a day, or an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) collection: String,
    pub(super) time_ms: i64,
    pub(super) data: Value,
    /// What makes a repetition harmless; without it the last one counts.
    pub(super) dedup_key: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    ledger: Checkpoint,
    /// The last record of each collection that is in the ledger.
    counts_through: Option<Uuid>,
    faces_through: Option<Uuid>,
    owners: BTreeMap<String, String>,
    letters: BTreeMap<u64, Letter>,
    faces_below: u64,
}

/// The file, and how far it goes.
pub(super) struct Keeper {
    file: StateFile<Kept>,
    counts_through: Option<Uuid>,
    faces_through: Option<Uuid>,
    /// Which rule began the events that run, by the event.
    pub(super) owners: BTreeMap<String, String>,
    /// By number, in their order.
    letters: BTreeMap<u64, Letter>,
    /// Numbers of faces below this may have been given.
    faces_below: u64,
    saved: Instant,
    dirty: bool,
    /// There is something in the ledger that no record tells.
    unrecorded: bool,
    failed: bool,
    /// The records could not be read: a checkpoint would make that loss final.
    unread: bool,
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
        let mut keeper = Self {
            file,
            counts_through: None,
            faces_through: None,
            owners: BTreeMap::new(),
            letters: BTreeMap::new(),
            faces_below: 1,
            saved: Instant::now(),
            dirty: false,
            unrecorded: false,
            failed: false,
            unread: false,
        };
        let known = kept.is_some();
        let mut ledger = match kept {
            Some(kept) => {
                (keeper.counts_through, keeper.faces_through) = (kept.counts_through, kept.faces_through);
                (keeper.owners, keeper.letters) = (kept.owners, kept.letters);
                keeper.faces_below = kept.faces_below;
                Ledger::restore(settings, kept.ledger)
            }
            None => Ledger::new(settings, now_ms),
        };
        let since = (!known).then(|| ledger.since_ms());
        let read = Self::replay(&mut keeper.counts_through, COLLECTION, &mut ledger, records, since)
            .and_then(|()| {
                Self::replay(&mut keeper.faces_through, faces::COLLECTION, &mut ledger, records, since)
            })
            .and_then(|()| Self::newest_face(records));
        match read {
            Ok(newest) => ledger.know_face(newest.unwrap_or(0).max(keeper.faces_below - 1)),
            Err(error) => {
                keeper.unread = true;
                tracing::error!(
                    "the records of the day cannot be read, and its counts are too low until they can at a later start: \
                     {error}"
                );
            }
        }
        (keeper, ledger)
    }

    /// Counts what was recorded after the checkpoint; without one, what is of `since` and later.
    fn replay(
        through: &mut Option<Uuid>,
        collection: &str,
        ledger: &mut Ledger,
        records: &Records,
        since: Option<i64>,
    ) -> Result<(), StoreError> {
        let mut query = Query {
            after: *through,
            from: since,
            direction: Direction::Oldest,
            limit: PAGE,
            ..Query::collection(collection)
        };
        let mut count = 0;
        loop {
            let page = records.store().read().query(&query)?;
            let Some(last) = page.last() else { break };
            (query.after, *through) = (Some(last.id), Some(last.id));
            for record in &page {
                let stored = serde_json::from_str(&record.json).unwrap_or_default();
                match ledger.replay(&stored) {
                    Ok(_) => count += 1,
                    Err(error) => tracing::warn!(id = %record.id, "a record is not counted: {error}"),
                }
            }
        }
        if count > 0 {
            tracing::info!(count, collection, "counted again what was recorded last");
        }
        if through.is_none() {
            // What is older than today is not to be looked at again.
            let newest = Query { limit: 1, ..Query::collection(collection) };
            *through = records.store().read().query(&newest)?.first().map(|record| record.id);
        }
        Ok(())
    }

    fn newest_face(records: &Records) -> Result<Option<u64>, StoreError> {
        let newest = Query { limit: 1, ..Query::collection(faces::COLLECTION) };
        let found = records.store().read().query(&newest)?;
        Ok(found.first().and_then(Face::of).map(|face| face.face_id))
    }

    /// The ledger has what this record tells; without one, what no record tells.
    pub(super) fn counted(&mut self, record: Option<Uuid>) {
        self.counts_through = record.or(self.counts_through);
        self.dirty = true;
        self.unrecorded |= record.is_none();
    }

    /// The ledger has this face.
    pub(super) fn face(&mut self, record: Uuid) {
        self.faces_through = Some(record);
        self.dirty = true;
    }

    /// A face gets this number. Returns when it is kept that it may have been given.
    pub(super) fn gives_face(&mut self, id: u64, ledger: &Ledger) {
        if id >= self.faces_below {
            self.faces_below = id.saturating_add(FACES_AHEAD);
            self.save(ledger);
        }
    }

    /// The number that the next letter gets.
    pub(super) fn next_letter(&self) -> u64 {
        self.letters.last_key_value().map_or(1, |(number, _)| number + 1)
    }

    /// A record that is to be; kept with the next checkpoint. Its number.
    pub(super) fn post(&mut self, letter: Letter) -> u64 {
        if self.letters.len() >= MOST_LETTERS {
            self.letters.pop_first();
        }
        let number = self.next_letter();
        self.letters.insert(number, letter);
        number
    }

    /// The store has it.
    pub(super) fn delivered(&mut self, number: u64) {
        self.dirty |= self.letters.remove(&number).is_some();
    }

    /// What the store does not have yet.
    pub(super) fn letters(&self) -> impl Iterator<Item = (u64, &Letter)> {
        self.letters.iter().map(|(number, letter)| (*number, letter))
    }

    /// Writes a checkpoint when one is due.
    pub(super) fn save_sometimes(&mut self, ledger: &Ledger) {
        if self.dirty && (self.saved.elapsed() >= PERIOD || self.unrecorded || self.failed) {
            self.save(ledger);
        }
    }

    /// The last checkpoint: numbers that were set aside and not given can be given later.
    pub(super) fn save_last(&mut self, ledger: &Ledger) {
        self.faces_below = ledger.next_face_id();
        self.save(ledger);
    }

    /// Writes a checkpoint: for what no record tells. On the disk when this returns, unless [`problem`](Self::problem) says
    /// why not.
    pub(super) fn save(&mut self, ledger: &Ledger) {
        if self.unread {
            return;
        }
        let kept = Kept {
            ledger: ledger.checkpoint(),
            counts_through: self.counts_through,
            faces_through: self.faces_through,
            owners: self.owners.clone(),
            letters: self.letters.clone(),
            faces_below: self.faces_below,
        };
        let saved = self.file.save(&kept);
        if let (Err(error), false) = (&saved, self.failed) {
            tracing::error!(
                "the counts cannot be kept and are tried again: {error}: make room on the disk of state_dir"
            );
        }
        self.failed = saved.is_err();
        (self.dirty, self.unrecorded) = (self.failed, self.failed && self.unrecorded);
        self.saved = Instant::now();
    }

    /// Why what is counted may be lost to a power cut.
    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.unread {
            return Some(
                "the records of the day could not be read: look at the disk of state_dir and start again",
            );
        }
        self.failed.then_some("the counts cannot be kept: make room on the disk of state_dir")
    }
}
