//! Removing records for good: what was asked for is gone from the disk before it is answered.

use crate::record::check_collection;
use crate::schema::BUSY;
use crate::writer::Writer;
use crate::{Store, StoreError, retention};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A removal that failed. What was removed before stays so.
#[derive(Debug, Clone, thiserror::Error)]
#[error("after the removal of {removed} records: {error}")]
pub struct RemoveError {
    /// How many records are gone.
    pub removed: usize,
    /// Why it went no further; also when all are gone, but a picture or the log still has something of them.
    pub error: StoreError,
}

impl From<RemoveError> for StoreError {
    fn from(failed: RemoveError) -> Self {
        failed.error
    }
}

/// Records that one transaction removes: appends wait no longer than for these.
const STEP: usize = 256;

/// How long a removal waits for readers that look at the store as it was before, and how often it asks.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);

impl Store {
    /// Deletes these records for good, with the blobs that no other record has. Tells how many there were; one that is not
    /// there (any more) is no error. Consumers skip them, also those that hold; their deduplication keys are free again.
    ///
    /// When this returns, the deletion is on the disk: files are unlinked, rows are overwritten with zeros and the log is
    /// empty (see the crate's documentation for what that cannot reach). Only a reader that looks for longer than a second
    /// (such as [`verify`](crate::Reader::verify)) keeps the log until it is done. Blocks for as long as the disk needs.
    /// Appends go on between steps of 256 records.
    ///
    /// # Errors
    /// [`RemoveError`] tells how many were removed before it: ask again for the others.
    pub fn remove(&self, ids: &[Uuid]) -> Result<usize, RemoveError> {
        let mut removed = 0;
        for some in ids.chunks(STEP) {
            let some = some.to_vec();
            self.step(&mut removed, move |writer| writer.places(&some))?;
        }
        self.end(removed)
    }

    /// Deletes all records of a collection that were appended before this call, as [`remove`](Self::remove) does.
    ///
    /// # Errors
    /// As those of [`remove`](Self::remove).
    pub fn remove_all(&self, collection: &str) -> Result<usize, RemoveError> {
        let mut removed = 0;
        let nothing_yet = |error| RemoveError { removed: 0, error };
        check_collection(collection).map_err(StoreError::BadQuery).map_err(nothing_yet)?;
        let last = self.ask(|writer| writer.last_seq).map_err(nothing_yet)?;
        loop {
            let name = collection.to_owned();
            if self.step(&mut removed, move |writer| writer.first_of(&name, last))? == 0 {
                return self.end(removed);
            }
        }
    }

    /// Removes what is found, and counts it; also when a file of it could not be deleted. Tells how many that were.
    fn step(
        &self,
        removed: &mut usize,
        find: impl FnOnce(&Writer) -> rusqlite::Result<BTreeSet<i64>> + Send + 'static,
    ) -> Result<usize, RemoveError> {
        let (some, done) = match self.ask(|writer| writer.remove(find)) {
            Ok((some, done)) => (some, done),
            Err(error) => (0, Err(error)),
        };
        *removed += some;
        done.map(|()| some).map_err(|error| RemoveError { removed: *removed, error })
    }

    fn end(&self, removed: usize) -> Result<usize, RemoveError> {
        self.await_empty_log().map(|()| removed).map_err(|error| RemoveError { removed, error })
    }

    fn await_empty_log(&self) -> Result<(), StoreError> {
        let end = Instant::now() + PATIENCE;
        let empty = |writer: &mut Writer| writer.empty_log().map_err(|error| writer.classify(error));
        while !self.ask(empty).flatten()? {
            if Instant::now() >= end {
                tracing::debug!(
                    "a reader keeps what was removed in the log: it is emptied when that is done"
                );
                break;
            }
            // Not on the writer's thread: appends go on.
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Writer {
    /// Deletes rows first and files after: a crash between them leaves files that no record has, which the next start
    /// sweeps, and never a record without its blob. Tells how many records are gone, and whether all went well.
    fn remove(
        &mut self,
        find: impl FnOnce(&Self) -> rusqlite::Result<BTreeSet<i64>>,
    ) -> (usize, Result<(), StoreError>) {
        let deleted = find(self).and_then(|seqs| {
            let seqs: Vec<i64> = seqs.into_iter().collect();
            // Nothing to delete is nothing to write.
            let orphans = match &*seqs {
                [] => Vec::new(),
                seqs => {
                    self.mark()?;
                    retention::delete(&mut self.conn, &mut self.totals, seqs)?
                }
            };
            Ok((seqs.len(), orphans))
        });
        let (removed, orphans) = match deleted {
            Ok(deleted) => deleted,
            Err(error) => return (0, Err(self.classify(error))),
        };
        self.has_old_log |= removed > 0;
        let files = self.blobs.remove_now(&orphans);
        if files.is_err() {
            self.sweep = Some(0);
        }
        (removed, files)
    }

    fn places(&self, ids: &[Uuid]) -> rusqlite::Result<BTreeSet<i64>> {
        let mut place = self.conn.prepare_cached("SELECT seq FROM records WHERE id = ?1")?;
        let found = ids.iter().map(|id| place.query_row([id.as_bytes()], |row| row.get(0)).optional());
        found.filter_map(Result::transpose).collect()
    }

    fn first_of(&self, collection: &str, last: i64) -> rusqlite::Result<BTreeSet<i64>> {
        let sql = "SELECT seq FROM records WHERE collection = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";
        let mut first = self.conn.prepare_cached(sql)?;
        first.query_map(params![collection, last, STEP as i64], |row| row.get(0))?.collect()
    }

    /// Has the log forget what was removed: its pages go into the database, and its file is cut to nothing. Tells whether
    /// that is done; a reader that still needs the log prevents it.
    pub(crate) fn empty_log(&mut self) -> rusqlite::Result<bool> {
        if self.has_old_log {
            // Waiting here would keep appends waiting.
            self.conn.busy_timeout(Duration::ZERO)?;
            let is_busy = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
            self.conn.busy_timeout(BUSY)?;
            self.has_old_log = is_busy?;
        }
        Ok(!self.has_old_log)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Draft, Keep, Settings, Store};

    #[test]
    fn a_reader_that_looks_for_long_delays_the_emptying_of_the_log_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep::everything();
        let store = Store::open(dir.path(), Settings { min_free: 0, keep, ..Settings::default() }).unwrap();
        let append = |json: &str| {
            let draft = Draft { collection: "a".into(), json: json.into(), ..Draft::default() };
            store.append_wait(draft).unwrap().id
        };
        let log = || std::fs::metadata(dir.path().join("records.db-wal")).unwrap().len();
        let id = append("1");
        store
            .read()
            .read(|db| {
                let count = || db.query_row("SELECT count(*) FROM records", [], |row| row.get::<_, i64>(0));
                assert_eq!(count()?, 1);
                assert_eq!(store.remove(&[id])?, 1);
                append("2");
                append("3");
                assert_eq!(count()?, 1, "it still sees the store as it was");
                Ok(())
            })
            .unwrap();
        assert!(log() > 0);
        store.tidy().unwrap();
        assert_eq!(log(), 0);
    }
}
