//! What the writer does between groups: small steps, never a long stall.

use crate::retention::{self, Moment};
use crate::writer::Writer;

/// Under load, one step of retention may delete twice what was appended since the last one: it keeps up and catches up.
pub(crate) const STEP_AFTER: usize = 64;
const STEP: usize = 2 * STEP_AFTER;

/// Free pages of the database above which it shrinks, and by how many in one step.
const FREE_PAGES: i64 = 4096;

impl Writer {
    /// One small step of retention, sweeping and shrinking. Tells whether there is more to do.
    pub(crate) fn tidy(&mut self) -> bool {
        self.since_step = 0;
        match self.steps() {
            Ok(has_more) => has_more,
            Err(error) => {
                let error = self.classify(error);
                tracing::warn!(%error, "cannot tidy the record store: it is tried again");
                false
            }
        }
    }

    fn steps(&mut self) -> rusqlite::Result<bool> {
        // A reader may keep the log from being emptied for long: that is tried again later, and nothing to hurry for.
        self.empty_log()?;
        Ok(self.expire()? | self.sweep_folder()? | self.shrink()?)
    }

    /// Deletes what is beyond its limits.
    fn expire(&mut self) -> rusqlite::Result<bool> {
        let now = (self.settings.clock)();
        let moment = Moment { now, is_forced: self.room() == 0, cursors: &self.cursors };
        let due = retention::due(&self.conn, &self.totals, &self.rules, &moment, STEP)?;
        if due.is_empty() {
            return Ok(false);
        }
        let orphans = retention::delete(&mut self.conn, &mut self.totals, &due)?;
        for hash in &orphans {
            self.has_leftovers |= !self.blobs.remove(hash);
        }
        tracing::debug!(records = due.len(), files = orphans.len(), "deleted what is not to be kept");
        Ok(true)
    }

    /// Deletes the files in one folder that no record has: a crash came before their record, or after its removal.
    fn sweep_folder(&mut self) -> rusqlite::Result<bool> {
        let Some(folder) = self.sweep else { return Ok(false) };
        self.has_leftovers &= folder != 0;
        match self.blobs.list(folder) {
            Ok(hashes) => {
                for hash in hashes {
                    if !self.has_blob(&hash)? {
                        self.has_leftovers |= !self.blobs.remove(&hash);
                    }
                }
            }
            Err(error) => {
                self.has_leftovers = true;
                tracing::warn!(folder, %error, "cannot look for blobs that nothing refers to");
            }
        }
        self.sweep = folder.checked_add(1);
        Ok(self.sweep.is_some())
    }

    /// Gives free pages of the database back to the file system.
    fn shrink(&mut self) -> rusqlite::Result<bool> {
        let free: i64 = self.conn.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))?;
        if free <= FREE_PAGES {
            return Ok(false);
        }
        let mut statement = self.conn.prepare_cached("PRAGMA incremental_vacuum(256)")?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(true)
    }
}
