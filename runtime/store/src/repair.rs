//! Opening after anything: a database that is damaged is set aside, and what can be read of it goes into a new one.

use crate::blobs::{Blobs, INLINE, make_dir, sync_dir};
use crate::record::check_collection;
use crate::rows::{self, Place, Text, Totals, unsigned};
use crate::schema::{self, FILE, OpenError};
use crate::verify::{self, Damage, Verified};
use crate::{Hash, Settings, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The new database while it is being filled.
const RESCUE: &str = "records.rescue.db";

/// After an end that was not clean, the blobs of so many of the newest records are read and compared.
const LAST: i64 = 64;

/// How far the rescue jumps over what cannot be read, and how often.
const MAX_SKIP: i64 = 64;
const MAX_JUMPS: usize = 100_000;

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// The database was damaged: what was rescued, what was not, and where the old one is. Tell an operator.
    pub repaired: Option<String>,
    /// Blobs of the newest records that were damaged, looked for after an end that was not clean.
    pub damaged: Vec<Damage>,
    /// Whether the store was closed the last time.
    pub was_clean: bool,
}

/// Opens the database that is written; makes, checks or repairs it.
pub(crate) fn open(
    dir: &Path,
    blobs: &Blobs,
    settings: &Settings,
) -> Result<(Connection, Opened), StoreError> {
    let path = dir.join(FILE);
    finish_rescue(dir)?;
    create(&path)?;
    let mut opened = Opened::default();
    let conn = match schema::open_writer(&path) {
        Ok((conn, was_clean)) => {
            opened.was_clean = was_clean;
            conn
        }
        Err(OpenError::Other(error)) => return Err(error),
        Err(OpenError::Corrupt(why)) => {
            let told = rescue(dir, blobs, &why, (settings.clock)())?;
            tracing::error!("{told}");
            opened.repaired = Some(told);
            schema::open_writer(&path).map_err(OpenError::of_new)?.0
        }
    };
    if !opened.was_clean {
        let newest = "SELECT coalesce((SELECT seq FROM records ORDER BY seq DESC LIMIT 1 OFFSET ?1), 0)";
        let after: i64 = conn.query_row(newest, [LAST], |row| row.get(0))?;
        let mut verified = Verified::default();
        verify::check(&conn, blobs, after, LAST, true, &mut verified)?;
        for Damage { id, name, sha256, what, .. } in &verified.damages {
            tracing::error!(%id, name, %sha256, what, "a blob is damaged: restore it from a copy or send it again");
        }
        opened.damaged = verified.damages;
    }
    Ok((conn, opened))
}

/// An empty file is a new database; SQLite keeps its permissions, also for its log.
fn create(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path);
        made.map_err(StoreError::io(path))?.sync_all().map_err(StoreError::io(path))?;
        let dir = path.parent().unwrap_or(path);
        sync_dir(dir).map_err(StoreError::io(dir))?;
    }
    Ok(())
}

/// The names that belong to one database file.
fn with_log(dir: &Path, name: &str) -> [PathBuf; 3] {
    [dir.join(name), dir.join(format!("{name}-wal")), dir.join(format!("{name}-shm"))]
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(path)(error)),
        _ => Ok(()),
    }
}

/// A crash may have come while a rescue put its new database in place: finishes that. One that came earlier left the old
/// database where it was: the rescue begins anew.
fn finish_rescue(dir: &Path) -> Result<(), StoreError> {
    let ([old, old_wal, old_shm], [new, new_wal, new_shm]) = (with_log(dir, FILE), with_log(dir, RESCUE));
    if new.exists() && !old.exists() {
        // A log that is left beside it is the old database's: it would be replayed into the new one.
        remove(&old_wal)?;
        remove(&old_shm)?;
        fs::rename(&new, &old).map_err(StoreError::io(&new))?;
        sync_dir(dir).map_err(StoreError::io(dir))?;
    }
    [new, new_wal, new_shm].iter().try_for_each(|path| remove(path))
}

/// Fills a new database from a damaged one and swaps them. The old one is changed only by renaming, at the end.
fn rescue(dir: &Path, blobs: &Blobs, why: &str, now: i64) -> Result<String, StoreError> {
    let new = dir.join(RESCUE);
    create(&new)?;
    let mut conn = schema::open_writer(&new).map_err(OpenError::of_new)?.0;
    let mut rescue = Rescue { blobs, totals: Totals::default(), records: 0, skipped: 0, lost: 0 };
    if let Ok(old) = schema::open_corrupt(&dir.join(FILE)) {
        rescue.copy(&old, &mut conn)?;
    }
    let aside = free_name(dir, now);
    let moved = set_blobs_aside(dir, blobs, &conn, &aside)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    conn.close().map_err(|(_, error)| error)?;
    let (from, to) = (with_log(dir, FILE), with_log(dir, &format!("{aside}.db")));
    for (from, to) in from.iter().zip(&to).take(2).filter(|(from, _)| from.exists()) {
        fs::rename(from, to).map_err(StoreError::io(from))?;
    }
    finish_rescue(dir)?;
    let Rescue { records, skipped, lost, .. } = rescue;
    Ok(format!(
        "the records' database was damaged ({why}): {records} records were rescued, {skipped} places could not be read, \
         {lost} blobs are lost; the old database is {aside}.db, {moved} blobs without a record are in {aside}.blobs: \
         look at the disk, then delete or keep them"
    ))
}

fn free_name(dir: &Path, now: i64) -> String {
    let time =
        jiff::Timestamp::from_millisecond(now).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string();
    let names = (0_u32..).map(|n| match n {
        0 => format!("records.corrupt-{time}"),
        n => format!("records.corrupt-{time}-{n}"),
    });
    let mut free = names.filter(|name| !dir.join(format!("{name}.db")).exists());
    free.next().unwrap_or_else(|| "records.corrupt".into())
}

/// Blobs whose records are lost are not orphans to be deleted: somebody may want to look at them.
fn set_blobs_aside(dir: &Path, blobs: &Blobs, conn: &Connection, aside: &str) -> Result<usize, StoreError> {
    let folder = dir.join(format!("{aside}.blobs"));
    let mut moved = 0;
    let mut known = conn.prepare("SELECT 1 FROM blobs WHERE hash = ?1")?;
    for first in 0..=255 {
        for hash in blobs.list(first).map_err(StoreError::io(blobs.root()))? {
            if !known.exists([hash])? {
                make_dir(&folder)?;
                let path = blobs.path(&hash);
                fs::rename(&path, folder.join(hash.to_string())).map_err(StoreError::io(&path))?;
                moved += 1;
            }
        }
    }
    Ok(moved)
}

struct Rescue<'a> {
    blobs: &'a Blobs,
    totals: Totals,
    records: u64,
    skipped: u64,
    lost: u64,
}

impl Rescue<'_> {
    /// Copies what can be read. Fails only when the new database cannot be written.
    fn copy(&mut self, old: &Connection, new: &mut Connection) -> Result<(), StoreError> {
        let meta = |key: &str| format!("SELECT value FROM meta WHERE key = '{key}'");
        let end: i64 = old
            .query_row("SELECT max(seq) FROM records", [], |row| row.get(0))
            .or_else(|_| old.query_row(&meta("last_seq"), [], |row| row.get(0)))
            .unwrap_or(i64::MAX);
        let (mut last, mut last_id, mut skip) = (0, Uuid::nil(), 1);
        for _ in 0..MAX_JUMPS {
            let transaction = new.transaction()?;
            let (reached, is_end) = self.copy_some(old, &transaction, last, &mut last_id)?;
            transaction.commit()?;
            if is_end || reached >= end {
                last = reached;
                break;
            }
            skip = if reached > last { 1 } else { (skip * 2).min(MAX_SKIP) };
            self.skipped += 1;
            last = reached + skip;
        }
        let known = |key: &str| old.query_row(&meta(key), [], |row| row.get::<_, i64>(0)).unwrap_or(0);
        let seq = known("last_seq").max(last.min(end));
        let id = old.query_row(&meta("last_id"), [], |row| row.get(0)).map_or(last_id, Uuid::from_bytes);
        new.execute(
            "INSERT OR REPLACE INTO meta VALUES ('last_seq', ?1), ('last_id', ?2)",
            params![seq, id.max(last_id).as_bytes()],
        )?;
        self.totals.save(new)?;
        for (name, cursor) in crate::consumer::load(old).unwrap_or_default() {
            crate::consumer::save(new, &name, &cursor)?;
        }
        Ok(())
    }

    /// Copies records after `last` up to the end or the first place that cannot be read.
    fn copy_some(
        &mut self,
        old: &Connection,
        new: &Connection,
        mut last: i64,
        last_id: &mut Uuid,
    ) -> Result<(i64, bool), StoreError> {
        let sql =
            "SELECT seq, id, collection, time, stored, dedup, json FROM records WHERE seq > ?1 ORDER BY seq";
        let Ok(mut statement) = old.prepare(sql) else { return Ok((last, true)) };
        let Ok(mut rows) = statement.query([last]) else { return Ok((last, false)) };
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok((last, true)),
                Err(_) => return Ok((last, false)),
            };
            // A damaged tree may go backwards.
            match row.get(0) {
                Ok(seq) if seq > last => last = seq,
                _ => return Ok((last, false)),
            }
            let read = || -> rusqlite::Result<_> {
                let place = Place {
                    seq: last,
                    id: Uuid::from_bytes(row.get(1)?),
                    time: row.get(3)?,
                    stored: row.get(4)?,
                };
                Ok((
                    place,
                    row.get::<_, String>(2)?,
                    row.get::<_, Option<String>>(5)?,
                    row.get::<_, String>(6)?,
                ))
            };
            match read() {
                Ok((place, collection, dedup, json)) if is_plausible(&collection, &json) => {
                    let text = Text { collection: &collection, dedup: dedup.as_deref(), json: &json };
                    if self.copy_record(old, new, text, place)? {
                        self.records += 1;
                        *last_id = (*last_id).max(place.id);
                        continue;
                    }
                    self.skipped += 1;
                }
                _ => self.skipped += 1,
            }
        }
    }

    /// Whether it could be written beside the others.
    fn copy_record(
        &mut self,
        old: &Connection,
        new: &Connection,
        text: Text<'_>,
        place: Place,
    ) -> Result<bool, StoreError> {
        let blobs = self.find_blobs(old, place.seq);
        let bytes = text.json.len() as u64 + blobs.iter().map(|b| b.bytes).sum::<u64>();
        match rows::insert_record(new, &mut self.totals, text, bytes, place) {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                return Ok(false);
            }
            result => result?,
        }
        for (n, blob) in blobs.iter().enumerate() {
            let name = (&*blob.name, &blob.hash);
            rows::insert_blob(new, &mut self.totals, place.seq, n, name, blob.bytes, blob.data.as_deref())?;
        }
        Ok(true)
    }

    /// The blobs of a record, from the files or the old database. One that is lost stays in its record, so that
    /// [`Reader::verify`](crate::Reader::verify) tells of it.
    fn find_blobs(&mut self, old: &Connection, seq: i64) -> Vec<Found> {
        let sql = "SELECT name, hash FROM record_blobs WHERE seq = ?1 ORDER BY n";
        let names = old.prepare_cached(sql).and_then(|mut statement| {
            statement.query_map([seq], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()
        });
        let Ok(names): rusqlite::Result<Vec<(String, Hash)>> = names else {
            self.lost += 1;
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, hash) in names {
            let row: Option<(i64, Option<Vec<u8>>)> = old
                .prepare_cached("SELECT bytes, data FROM blobs WHERE hash = ?1")
                .and_then(|mut s| s.query_row([hash], |row| Ok((row.get(0)?, row.get(1)?))).optional())
                .ok()
                .flatten();
            let bytes = row.as_ref().map_or(0, |(bytes, _)| unsigned(*bytes));
            let data =
                row.and_then(|(_, data)| data).filter(|data| Hash::of(data) == hash && data.len() <= INLINE);
            let blob = match (data, self.blobs.size(&hash)) {
                (Some(data), _) => Found { name, hash, bytes: data.len() as u64, data: Some(data) },
                (None, Ok(Some(bytes))) => Found { name, hash, bytes, data: None },
                (None, _) => {
                    self.lost += 1;
                    Found { name, hash, bytes, data: None }
                }
            };
            found.push(blob);
        }
        found
    }
}

struct Found {
    name: String,
    hash: Hash,
    bytes: u64,
    data: Option<Vec<u8>>,
}

fn is_plausible(collection: &str, json: &str) -> bool {
    check_collection(collection).is_ok() && serde_json::from_str::<serde_json::Value>(json).is_ok()
}
