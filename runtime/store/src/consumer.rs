//! Durable consumers: what was not acknowledged comes again, in order.

use crate::record::check_collection;
use crate::rows::unsigned;
use crate::writer::Writer;
use crate::{Clock, Reader, Record, Store, StoreError, Watch, lock, reader};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// The most records that a consumer may have without acknowledging: [`Consumer::next`] gives nothing beyond.
const MAX_UNACKED: usize = 10_000;

/// The most collections of one consumer.
const MAX_COLLECTIONS: usize = 64;

/// Where a new consumer begins. One that is known goes on where it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that is there.
    #[default]
    Oldest,
    /// With the next record.
    Next,
}

/// How a consumer is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// What it wants; empty: all collections.
    pub collections: BTreeSet<String>,
    /// Whether retention keeps what it has not acknowledged; see [`Keep`](crate::Keep) for how long.
    pub hold: bool,
    /// Where it begins when it is new.
    pub start: Start,
}

/// What a consumer has not acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Records.
    pub count: u64,
    /// How long ago the oldest of them was appended, by the store's clock.
    pub oldest: Option<Duration>,
}

/// A consumer as the database has it.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    /// The last record it acknowledged.
    pub(crate) seq: i64,
    pub(crate) collections: BTreeSet<String>,
    pub(crate) hold: bool,
}

impl Cursor {
    pub(crate) fn wants(&self, collection: &str) -> bool {
        self.collections.is_empty() || self.collections.contains(collection)
    }
}

pub(crate) fn load(db: &Connection) -> rusqlite::Result<BTreeMap<String, Cursor>> {
    let mut statement = db.prepare_cached("SELECT name, seq, collections, hold FROM consumers")?;
    let rows = statement.query_map([], |row| {
        let collections: String = row.get(2)?;
        let collections = collections.split_whitespace().map(str::to_owned).collect();
        Ok((row.get(0)?, Cursor { seq: row.get(1)?, collections, hold: row.get(3)? }))
    })?;
    rows.collect()
}

pub(crate) fn save(db: &Connection, name: &str, cursor: &Cursor) -> rusqlite::Result<()> {
    let collections: Vec<&str> = cursor.collections.iter().map(String::as_str).collect();
    db.execute(
        "INSERT OR REPLACE INTO consumers VALUES (?1, ?2, ?3, ?4)",
        params![name, cursor.seq, collections.join(" "), cursor.hold],
    )?;
    Ok(())
}

/// How many records are after a place, and when the first of them was appended.
pub(crate) fn backlog(
    db: &Connection,
    seq: i64,
    collections: &BTreeSet<String>,
) -> rusqlite::Result<(u64, Option<i64>)> {
    let (mut count, mut first): (i64, Option<i64>) = (0, None);
    let mut add = |(n, seq): (i64, Option<i64>)| {
        count += n;
        first = [first, seq].into_iter().flatten().min();
    };
    let pair = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    if collections.is_empty() {
        let sql = "SELECT count(*), min(seq) FROM records WHERE seq > ?1";
        add(db.prepare_cached(sql)?.query_row([seq], pair)?);
    }
    for name in collections {
        let sql = "SELECT count(*), min(seq) FROM records WHERE collection = ?1 AND seq > ?2";
        add(db.prepare_cached(sql)?.query_row(params![name, seq], pair)?);
    }
    let stored = first
        .map(|seq| {
            db.prepare_cached("SELECT stored FROM records WHERE seq = ?1")?.query_row([seq], |row| row.get(0))
        })
        .transpose()?;
    Ok((unsigned(count), stored))
}

/// The next places after one, in order.
fn following(
    db: &Connection,
    seq: i64,
    collections: &BTreeSet<String>,
    limit: usize,
) -> rusqlite::Result<Vec<i64>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    if collections.is_empty() {
        let mut all = db.prepare_cached("SELECT seq FROM records WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        for seq in all.query_map(params![seq, limit], |row| row.get(0))? {
            found.push(seq?);
        }
    }
    // One short look into the index per collection; one statement for all would sort the whole backlog each time.
    for name in collections {
        let mut of_one = db.prepare_cached(
            "SELECT seq FROM records WHERE collection = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?;
        for seq in of_one.query_map(params![name, seq, limit], |row| row.get(0))? {
            found.push(seq?);
        }
    }
    found.sort_unstable();
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

#[derive(Debug)]
struct Position {
    acked: i64,
    acked_id: Uuid,
    /// What was given and not acknowledged, in order.
    given: VecDeque<(Uuid, i64)>,
}

/// Reads records in the order of appending, each at least once: what was not acknowledged before the end of the
/// process, or the last `acks` before a power loss, comes again. Dropping it keeps its cursor.
pub struct Consumer {
    store: Store,
    name: String,
    collections: BTreeSet<String>,
    clock: Clock,
    position: Mutex<Position>,
    watch: Mutex<Option<Watch>>,
}

impl Consumer {
    pub(crate) fn open(store: Store, name: &str, settings: ConsumerSettings) -> Result<Self, StoreError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        if !(1..=128).contains(&name.len()) || !name.bytes().all(good) {
            return Err(StoreError::BadConsumer(name.chars().take(128).collect()));
        }
        settings.collections.iter().try_for_each(|c| check_collection(c)).map_err(StoreError::BadQuery)?;
        if settings.collections.len() > MAX_COLLECTIONS {
            let message =
                format!("a consumer wants more than {MAX_COLLECTIONS} collections: name none for all");
            return Err(StoreError::BadQuery(message));
        }
        let (collections, owner) = (settings.collections.clone(), name.to_owned());
        store.claim(name)?;
        let opened = store.ask(move |writer| register(writer, &owner, settings)).and_then(|acked| acked);
        match opened {
            Ok(acked) => Ok(Self {
                clock: store.clock().clone(),
                store,
                name: name.to_owned(),
                collections,
                position: Mutex::new(Position { acked, acked_id: Uuid::nil(), given: VecDeque::new() }),
                watch: Mutex::default(),
            }),
            Err(error) => {
                store.release(name);
                Err(error)
            }
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next records, at most `limit`, without waiting for any. Blocks only for as long as the disk needs. Empty also
    /// when 10,000 records are not acknowledged.
    pub fn next(&self, limit: usize) -> Result<Vec<Record>, StoreError> {
        let mut position = lock(&self.position);
        let limit = limit.min(MAX_UNACKED - position.given.len());
        let last = position.given.back().map_or(position.acked, |(_, seq)| *seq);
        let records = self.reader().read(|db| {
            let seqs = following(db, last, &self.collections, limit)?;
            reader::records(db, &seqs)
        })?;
        position.given.extend(records.iter().map(|record| (record.id, record.seq)));
        Ok(records)
    }

    /// All records up to this one, which [`next`](Self::next) gave, are done with. Does not wait: it is on the disk with
    /// the next group. Acknowledging a second time does nothing.
    pub fn ack(&self, up_to: Uuid) -> Result<(), StoreError> {
        let mut position = lock(&self.position);
        if up_to <= position.acked_id {
            return Ok(());
        }
        let place = position.given.binary_search_by_key(&up_to, |(id, _)| *id);
        let Ok(place) = place else { return Err(StoreError::NotDelivered(up_to)) };
        let seq = position.given[place].1;
        self.store.ack(&self.name, seq)?;
        position.given.drain(..=place);
        (position.acked, position.acked_id) = (seq, up_to);
        Ok(())
    }

    /// Has [`next`](Self::next) begin again after the last record that was acknowledged.
    pub fn rewind(&self) {
        lock(&self.position).given.clear();
    }

    /// The last `count` records that [`next`](Self::next) gave are given again by the next call.
    pub fn put_back(&self, count: usize) {
        let given = &mut lock(&self.position).given;
        given.truncate(given.len().saturating_sub(count));
    }

    /// What is not acknowledged, given or not. Takes time that grows with the backlog.
    pub fn waiting(&self) -> Result<Waiting, StoreError> {
        let acked = lock(&self.position).acked;
        let (count, stored) = self.reader().read(|db| Ok(backlog(db, acked, &self.collections)?))?;
        let age = |stored: i64| Duration::from_millis(unsigned((self.clock)().saturating_sub(stored)));
        Ok(Waiting { count, oldest: stored.map(age) })
    }

    /// Calls `wake` after every group that has records for this consumer, on the store's thread: it must not block, and
    /// must not hold the store. What came before is not told: ask [`next`](Self::next) once after this.
    pub fn on_append(&self, wake: impl Fn() + Send + Sync + 'static) {
        let watch = self.store.watch(self.collections.clone(), Arc::new(wake));
        *lock(&self.watch) = Some(watch);
    }

    fn reader(&self) -> &Reader {
        self.store.read()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.store.release(&self.name);
    }
}

fn register(writer: &mut Writer, name: &str, settings: ConsumerSettings) -> Result<i64, StoreError> {
    let start = match settings.start {
        Start::Oldest => 0,
        Start::Next => writer.last_seq,
    };
    let seq = writer.cursors.get(name).map_or(start, |known| known.seq);
    let cursor = Cursor { seq, collections: settings.collections, hold: settings.hold };
    let saved = writer.mark().and_then(|()| save(&writer.conn, name, &cursor));
    saved.map_err(|error| writer.classify(error))?;
    writer.cursors.insert(name.to_owned(), cursor);
    Ok(seq)
}

/// Ends a consumer for good.
pub(crate) fn forget(writer: &mut Writer, name: &str) -> Result<bool, StoreError> {
    let gone =
        writer.mark().and_then(|()| writer.conn.execute("DELETE FROM consumers WHERE name = ?1", [name]));
    gone.map_err(|error| writer.classify(error))?;
    Ok(writer.cursors.remove(name).is_some())
}
