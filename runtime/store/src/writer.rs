//! The thread that writes: groups of appends, cursors, and tidying between them.

use crate::blobs::{Batch, Blobs, INLINE};
use crate::consumer::Cursor;
use crate::error::{is_corrupt, is_no_space};
use crate::ids::Ids;
use crate::queue::{Gather, Pending, Queue, Reply};
use crate::record::Checked;
use crate::retention::Rules;
use crate::rows::{self, Place, Totals};
use crate::tidy::STEP_AFTER;
use crate::watch::Watchers;
use crate::{Appended, Hash, Settings, StoreError, reserve, schema};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often an idle store looks for records that are too old.
const TICK: Duration = Duration::from_secs(10);

/// How long a group may wait for those who were in the last one, at most.
const MAX_PAUSE: Duration = Duration::from_millis(2);

/// So many of the newest blobs that are files stay in memory, for those who read them as they come.
const READ_SOON: usize = 64;

/// What rows, indexes and logs of one record may take beside its JSON and blobs, roughly.
const OVERHEAD: u64 = 16 * 1024;

type Outcome = Result<Appended, StoreError>;

fn is_stored(outcome: &Option<Outcome>) -> bool {
    matches!(outcome, Some(Ok(Appended { is_duplicate: false, .. })))
}

/// What the thread owns.
pub(crate) struct Writer {
    pub(crate) conn: Connection,
    pub(crate) rules: Rules,
    pub(crate) cursors: BTreeMap<String, Cursor>,
    pub(crate) last_seq: i64,
    dir: PathBuf,
    pub(crate) blobs: Blobs,
    pub(crate) settings: Settings,
    ids: Ids,
    pub(crate) totals: Totals,
    watchers: Arc<Watchers>,
    /// Cursors that are to be written, again if it did not work.
    acks: BTreeMap<String, i64>,
    /// Blobs that were found damaged: the next append that has them writes them anew.
    suspects: BTreeSet<Hash>,
    /// The newest blobs that are files.
    newest: VecDeque<Hash>,
    /// The next of the 256 folders to be swept.
    pub(crate) sweep: Option<u8>,
    /// Files could not be deleted, or not be looked for: the next start sweeps again.
    pub(crate) has_leftovers: bool,
    /// The log still has what was removed.
    pub(crate) has_old_log: bool,
    /// Steps of tidying that failed the last time.
    pub(crate) stuck: BTreeSet<&'static str>,
    pub(crate) since_step: usize,
    /// The database says that it is in use. On a disk that was full at the start there was no room for that.
    is_marked: bool,
    is_full: bool,
    is_corrupt: bool,
}

impl Writer {
    pub(crate) fn new(
        conn: Connection,
        dir: PathBuf,
        blobs: Blobs,
        settings: Settings,
        watchers: Arc<Watchers>,
    ) -> Result<Self, StoreError> {
        let meta = |key: &str| format!("SELECT value FROM meta WHERE key = '{key}'");
        let last_seq = conn.query_row(&meta("last_seq"), [], |row| row.get(0)).optional()?.unwrap_or(0);
        let clean: Option<i64> = conn.query_row(&meta("clean"), [], |row| row.get(0)).optional()?;
        let last_id: Option<[u8; 16]> = conn.query_row(&meta("last_id"), [], |row| row.get(0)).optional()?;
        Ok(Self {
            rules: Rules { default: settings.keep.clone(), collections: settings.collections.clone() },
            cursors: crate::consumer::load(&conn)?,
            last_seq,
            ids: Ids::after(last_id.map(Uuid::from_bytes)),
            totals: Totals::load(&conn)?,
            conn,
            dir,
            blobs,
            settings,
            watchers,
            acks: BTreeMap::new(),
            suspects: BTreeSet::new(),
            newest: VecDeque::new(),
            sweep: None,
            has_leftovers: false,
            has_old_log: false,
            stuck: BTreeSet::new(),
            since_step: 0,
            is_marked: clean == Some(0),
            is_full: false,
            is_corrupt: false,
        })
    }

    /// After an end that was not clean: files may be left that no record has, and removed rows in the log; and these blobs
    /// are damaged.
    pub(crate) fn distrust(&mut self, damaged: impl IntoIterator<Item = Hash>) {
        self.suspects.extend(damaged);
        self.sweep = Some(0);
        self.has_old_log = true;
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self, queue: &Queue) {
        let mut patience = Duration::ZERO;
        let mut gather = None;
        loop {
            let work = queue.take(patience, gather);
            let begin = Instant::now();
            let (is_idle, is_last) = (work.is_empty(), work.is_last);
            let bytes = work.appends.iter().map(|p| p.checked.bytes).sum();
            let answers = self.group(work.appends, work.acks);
            // First the room, then the answers: whoever gets one may append again at once.
            let left = queue.done(answers.len(), bytes);
            // Whoever is answered now may append again at once: without a moment's wait two halves would take turns,
            // each paying for its own flush.
            let pause = (begin.elapsed() / 4).min(MAX_PAUSE);
            gather = Some(Gather { count: answers.len() + left, until: Instant::now() + pause });
            for (reply, outcome) in answers {
                reply.send(outcome);
            }
            self.forget_pages();
            for task in work.tasks {
                task(&mut self);
            }
            if is_last {
                return self.close();
            }
            let has_more = if is_idle || self.since_step >= STEP_AFTER { self.tidy() } else { true };
            patience = if has_more || !is_idle { Duration::ZERO } else { TICK };
        }
    }

    /// Stores appends in one transaction and says how each went.
    fn group(&mut self, appends: Vec<Pending>, acks: BTreeMap<String, i64>) -> Vec<(Reply, Outcome)> {
        self.acks.extend(acks);
        if appends.is_empty() && self.acks.is_empty() {
            return Vec::new();
        }
        let (drafts, replies): (Vec<Checked>, Vec<Reply>) =
            appends.into_iter().map(|p| (p.checked, p.reply)).unzip();
        // Refused ones count too: on a full disk tidying is what makes room, however many knock.
        self.since_step += drafts.len();
        let blobs = self.blobs.clone();
        let mut batch = blobs.batch();
        let mut room = self.room();
        let mut outcomes: Vec<Option<Outcome>> =
            drafts.iter().map(|draft| self.write_blobs(draft, &mut batch, &mut room).transpose()).collect();
        if let Err(error) = batch.sync() {
            let error = self.file_error(blobs.root().to_owned(), error);
            let has_files = |d: &Checked| d.draft.blobs.iter().any(|(_, content)| d.is_file(content));
            for (outcome, _) in outcomes.iter_mut().zip(&drafts).filter(|(o, d)| o.is_none() && has_files(d))
            {
                *outcome = Some(Err(error.clone()));
            }
        }
        let mut used = BTreeSet::new();
        match self.transaction(&drafts, &mut outcomes) {
            Ok(collections) => {
                let stored = outcomes.iter().zip(&drafts).filter(|(outcome, _)| is_stored(outcome));
                used.extend(stored.flat_map(|(_, draft)| draft.hashes.iter().copied()));
                self.suspects.retain(|hash| !batch.has(hash));
                self.watchers.wake(&collections);
            }
            Err(error) => {
                if !self.conn.is_autocommit() {
                    let _ = self.conn.execute_batch("ROLLBACK");
                }
                let error = self.classify(error);
                if !matches!(error, StoreError::Full { .. }) {
                    // A commit whose last flush failed may be found complete after a power loss: it keeps its files.
                    used.extend(drafts.iter().flat_map(|draft| draft.hashes.iter().copied()));
                    self.sweep = Some(0);
                }
                for outcome in &mut outcomes {
                    if !matches!(outcome, Some(Err(_)) | Some(Ok(Appended { is_duplicate: true, .. }))) {
                        *outcome = Some(Err(error.clone()));
                    }
                }
            }
        }
        self.newest.extend(batch.hashes());
        batch.discard_unused(&used);
        self.note_full(&outcomes);
        let lost = || Err(StoreError::Closed);
        replies.into_iter().zip(outcomes.into_iter().map(|o| o.unwrap_or_else(lost))).collect()
    }

    /// Blobs that are on the disk need no memory after a while.
    fn forget_pages(&mut self) {
        let many = self.newest.len().saturating_sub(READ_SOON);
        self.newest.drain(..many).for_each(|hash| self.blobs.forget_pages(&hash));
    }

    /// Writes the files of one append, unless it is a duplicate: then it is answered.
    fn write_blobs(
        &self,
        checked: &Checked,
        batch: &mut Batch<'_>,
        room: &mut u64,
    ) -> Result<Option<Appended>, StoreError> {
        if let Some(id) = self.duplicate(checked).map_err(|e| self.classify(e))? {
            return Ok(Some(Appended { id, is_duplicate: true }));
        }
        let need = checked.bytes as u64 + OVERHEAD;
        if need > *room {
            return Err(self.full());
        }
        let files = checked.draft.blobs.iter().zip(&checked.hashes).filter(|((_, c), _)| checked.is_file(c));
        for ((_, content), hash) in files {
            if batch.has(hash) {
                continue;
            }
            let path = self.blobs.path(hash);
            let has_row = self.has_blob(hash).map_err(|e| self.classify(e))?;
            // Another record has it, in the database.
            if has_row && content.len() <= INLINE {
                continue;
            }
            let is_whole = || self.blobs.size(hash).map(|size| size == Some(content.len() as u64));
            if has_row && is_whole().map_err(StoreError::io(&path))? && !self.suspects.contains(hash) {
                continue;
            }
            batch.write(*hash, content, has_row).map_err(|error| self.file_error(path, error))?;
        }
        *room -= need;
        Ok(None)
    }

    /// Writes the rows of all appends that have no outcome yet, and the cursors. Returns the collections that grew.
    fn transaction(
        &mut self,
        drafts: &[Checked],
        outcomes: &mut [Option<Outcome>],
    ) -> rusqlite::Result<BTreeSet<String>> {
        let mut grown = BTreeSet::new();
        if self.acks.is_empty() && outcomes.iter().all(Option::is_some) {
            return Ok(grown);
        }
        self.mark()?;
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut totals = self.totals.clone();
        let (mut seq, mut last_id) = (self.last_seq, None);
        let now = (self.settings.clock)();
        for (checked, outcome) in drafts.iter().zip(outcomes.iter_mut()).filter(|(_, o)| o.is_none()) {
            if let Some(id) = self.duplicate(checked)? {
                *outcome = Some(Ok(Appended { id, is_duplicate: true }));
                continue;
            }
            seq += 1;
            let id = self.ids.next(now);
            let place = Place { seq, id, time: checked.draft.time.unwrap_or(now), stored: now };
            let before = totals.clone();
            self.conn.prepare_cached("SAVEPOINT one")?.execute([])?;
            match rows::insert(&self.conn, &mut totals, checked, place) {
                Ok(()) => {
                    *outcome = Some(Ok(Appended { id, is_duplicate: false }));
                    last_id = Some(id);
                    grown.insert(checked.draft.collection.clone());
                }
                // Of some errors SQLite rolls back everything by itself: then all fail.
                Err(error) if self.conn.is_autocommit() => return Err(error),
                Err(error) => {
                    self.conn.prepare_cached("ROLLBACK TO one")?.execute([])?;
                    totals = before;
                    *outcome = Some(Err(self.classify(error)));
                }
            }
            self.conn.prepare_cached("RELEASE one")?.execute([])?;
        }
        for (name, seq) in &self.acks {
            self.conn
                .prepare_cached("UPDATE consumers SET seq = max(seq, ?2) WHERE name = ?1")?
                .execute(params![name, seq])?;
        }
        if let Some(id) = last_id {
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO meta VALUES ('last_seq', ?1), ('last_id', ?2)")?
                .execute(params![seq, id.as_bytes()])?;
        }
        totals.save(&self.conn)?;
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        self.last_seq = seq;
        self.totals = totals;
        for (name, seq) in std::mem::take(&mut self.acks) {
            if let Some(cursor) = self.cursors.get_mut(&name) {
                cursor.seq = cursor.seq.max(seq);
            }
        }
        Ok(grown)
    }

    /// Before anything is changed.
    pub(crate) fn mark(&mut self) -> rusqlite::Result<()> {
        if !self.is_marked {
            schema::mark_in_use(&self.conn)?;
            self.is_marked = true;
        }
        Ok(())
    }

    /// The id of an earlier record with the same key. Seen from inside a transaction, also of one in the same group.
    fn duplicate(&self, checked: &Checked) -> rusqlite::Result<Option<Uuid>> {
        let Some(key) = &checked.draft.dedup_key else { return Ok(None) };
        self.conn
            .prepare_cached("SELECT id FROM records WHERE collection = ?1 AND dedup = ?2")?
            .query_row(params![checked.draft.collection, key], |row| row.get(0).map(Uuid::from_bytes))
            .optional()
    }

    pub(crate) fn has_blob(&self, hash: &Hash) -> rusqlite::Result<bool> {
        self.conn.prepare_cached("SELECT 1 FROM blobs WHERE hash = ?1")?.exists([hash])
    }

    /// Bytes that may be written before the floor is reached.
    pub(crate) fn room(&self) -> u64 {
        self.free().saturating_sub(self.settings.min_free)
    }

    fn free(&self) -> u64 {
        (self.settings.free_space)(&self.dir).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell the free space of the record store: writing on");
            u64::MAX
        })
    }

    pub(crate) fn keep_reserve(&self) {
        reserve::keep(&self.dir, self.free());
    }

    fn full(&self) -> StoreError {
        StoreError::Full { free: self.free(), floor: self.settings.min_free }
    }

    fn file_error(&self, path: PathBuf, error: std::io::Error) -> StoreError {
        if is_no_space(&error) { self.full() } else { StoreError::io(&path)(error) }
    }

    /// SQLite tells a full disk as such when a write fails, but as an I/O error when its shared memory cannot grow.
    pub(crate) fn classify(&self, error: rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => self.full(),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if self.free() < 1 << 20 => self.full(),
            _ => error.into(),
        }
    }

    /// Tells the operator once when the disk gets full or the database bad, and once when it is over.
    fn note_full(&mut self, outcomes: &[Option<Outcome>]) {
        let is_full = |o: &Option<Outcome>| matches!(o, Some(Err(StoreError::Full { .. })));
        if !self.is_full && outcomes.iter().any(is_full) {
            self.is_full = true;
            let (free, floor) = (self.free(), self.settings.min_free);
            tracing::error!(free, floor, "the disk is full, records are refused: make room");
        } else if self.is_full && outcomes.iter().any(is_stored) && !outcomes.iter().any(is_full) {
            self.is_full = false;
            tracing::info!("there is space again, records are taken");
        }
        for outcome in outcomes {
            if let Some(Err(StoreError::Database(error))) = outcome
                && !self.is_corrupt
                && is_corrupt(error)
            {
                self.is_corrupt = true;
                tracing::error!(%error, "the records' database is damaged: restart, it is repaired at the start");
            }
        }
    }

    fn close(mut self) {
        self.group(Vec::new(), BTreeMap::new());
        if !self.is_corrupt && self.sweep.is_none() && !self.has_leftovers {
            let end = self
                .conn
                .execute("INSERT OR REPLACE INTO meta VALUES ('clean', 1)", [])
                .and_then(|_| self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
            if let Err(error) = end {
                tracing::warn!(%error, "cannot end the record store cleanly: it is checked at the next start");
            }
        }
    }
}
