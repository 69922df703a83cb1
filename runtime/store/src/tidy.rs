//! What the writer does between groups: small steps, never a long stall.

use crate::retention::{self, Moment};
use crate::writer::Writer;

/// Under load, one step of retention may delete twice what was appended since the last one: it keeps up and catches up.
pub(crate) const STEP_AFTER: usize = 64;
const STEP: usize = 2 * STEP_AFTER;

/// Free pages of the database above which it shrinks, and by how many in one step.
const FREE_PAGES: i64 = 4096;

/// Does a little. Tells whether there is more to do.
type Step = fn(&mut Writer) -> rusqlite::Result<bool>;

impl Writer {
    /// One small step of retention, sweeping and shrinking. Tells whether there is more to do.
    pub(crate) fn tidy(&mut self) -> bool {
        self.since_step = 0;
        // On a full disk one of them may make the room that another needs: each is tried whatever became of the others, and
        // what deletes first of all. A reader may keep the log from being emptied for long: nothing to hurry for.
        let steps: [(_, Step); 4] = [
            ("deleting what is not to be kept", Self::expire),
            ("emptying the log", |writer| writer.empty_log().map(|_| false)),
            ("looking for files that no record has", Self::sweep_folder),
            ("shrinking the database", Self::shrink),
        ];
        let mut has_more = false;
        for (step, run) in steps {
            match run(self) {
                Ok(more) => {
                    self.stuck.remove(step);
                    has_more |= more;
                }
                Err(error) => {
                    let error = self.classify(error);
                    // Told once, however often it is tried.
                    if self.stuck.insert(step) {
                        tracing::warn!(step, %error, "cannot tidy the record store: it is tried again");
                    }
                }
            }
        }
        if !has_more {
            self.keep_reserve();
        }
        has_more
    }

    /// Deletes what is beyond its limits.
    fn expire(&mut self) -> rusqlite::Result<bool> {
        let now = (self.settings.clock)();
        let moment = Moment { now, is_forced: self.room() == 0, cursors: &self.cursors };
        let due = retention::due(&self.conn, &self.totals, &self.rules, &moment, STEP)?;
        if due.is_empty() {
            return Ok(false);
        }
        self.mark()?;
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

#[cfg(test)]
mod tests {
    use crate::writer::Writer;
    use crate::{Draft, Keep, Query, Settings, Store};
    use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    /// From now on, or no more: the log cannot be emptied, as on a disk where the database has no room to grow.
    fn let_log_be_stuck(store: &Store, stuck: bool) {
        let deny = |context: AuthContext<'_>| match context.action {
            AuthAction::Pragma { pragma_name: "wal_checkpoint", .. } => Authorization::Deny,
            _ => Authorization::Allow,
        };
        let set = move |writer: &mut Writer| {
            // What an earlier removal leaves when somebody still reads.
            writer.has_old_log = true;
            writer.conn.authorizer(stuck.then_some(deny))
        };
        store.ask(set).unwrap().unwrap();
    }

    #[test]
    fn what_is_beyond_its_limits_goes_also_while_the_log_cannot_be_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let free = Arc::new(AtomicU64::new(1 << 40));
        let space = free.clone();
        let free_space: crate::FreeSpace = Arc::new(move |_| Ok(space.load(SeqCst)));
        let settings = Settings { keep: Keep::everything(), free_space, ..Settings::default() };
        let store = Store::open(dir.path(), settings).unwrap();
        for n in 0..150_u32 {
            let blobs = vec![("image".into(), n.to_le_bytes().repeat(5000).into())];
            let draft = Draft { collection: "a".into(), json: n.to_string(), blobs, ..Draft::default() };
            store.append_wait(draft).unwrap();
        }
        let_log_be_stuck(&store, true);
        free.store(0, SeqCst);
        store.set_keep(Keep { max_count: Some(2), ..Keep::everything() }, BTreeMap::new()).unwrap();
        store.tidy().unwrap();
        assert_eq!(store.read().count(&Query::default()).unwrap(), 2);
        assert_eq!(store.stats().unwrap().files.count, 2);
        let state = |writer: &mut Writer| (writer.has_old_log, writer.stuck.clone());
        assert_eq!(store.ask(state).unwrap(), (true, ["emptying the log"].into()));
        let_log_be_stuck(&store, false);
        store.tidy().unwrap();
        assert_eq!(store.ask(state).unwrap(), (false, [].into()), "it is tried again");
    }
}
