//! Reading: connections of their own, which never wait for the writer.

use crate::blobs::Blobs;
use crate::rows::unsigned;
use crate::schema::{self, FILE};
use crate::{
    BlobReader, BlobRef, CollectionStats, ConsumerStats, FreeSpace, Hash, MAX_BLOB, Query, QueueStats,
    Record, Settings, Stats, StoreError, lock,
};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params_from_iter};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// Idle connections that are kept.
const POOL: usize = 4;

/// The most JSON of one answer, in bytes.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

struct Inner {
    dir: PathBuf,
    blobs: Blobs,
    idle: Mutex<Vec<Connection>>,
    free_space: FreeSpace,
}

/// Reads a store, from any thread and also from another process while the gateway writes. Cloning shares it.
///
/// Every method blocks for as long as the disk needs.
#[derive(Clone)]
pub struct Reader(Arc<Inner>);

impl Reader {
    /// Opens the store in `dir` for reading; it must be there.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::with(dir, &Settings::default())
    }

    pub(crate) fn with(dir: &Path, settings: &Settings) -> Result<Self, StoreError> {
        let blobs = Blobs::at(dir.join("blobs"));
        let free_space = settings.free_space.clone();
        let inner = Inner { dir: dir.to_owned(), blobs, idle: Mutex::default(), free_space };
        let reader = Self(Arc::new(inner));
        let found: i64 = reader.read(|db| Ok(db.query_row("PRAGMA user_version", [], |row| row.get(0))?))?;
        if found != schema::FORMAT {
            return Err(StoreError::Newer { found, known: schema::FORMAT });
        }
        Ok(reader)
    }

    /// Has `ask` see one moment of the store.
    pub(crate) fn read<T>(
        &self,
        ask: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = lock(&self.0.idle).pop();
        let mut conn = match idle {
            Some(conn) => conn,
            None => schema::open_reader(&self.0.dir.join(FILE))?,
        };
        let result = {
            let transaction = conn.transaction()?;
            ask(&transaction)?
        };
        let mut idle = lock(&self.0.idle);
        if idle.len() < POOL {
            idle.push(conn);
        }
        Ok(result)
    }

    /// The record of this id.
    pub fn get(&self, id: Uuid) -> Result<Option<Record>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT seq, id, collection, time, stored, json FROM records WHERE id = ?1",
            )?;
            let record = statement.query_row([id.as_bytes()], record).optional()?;
            record.map(|record| with_blobs(db, record)).transpose()
        })
    }

    /// The records that match.
    pub fn query(&self, query: &Query) -> Result<Vec<Record>, StoreError> {
        let (sql, values) = query.select()?;
        self.read(|db| {
            let mut statement = db.prepare_cached(&sql)?;
            collect(db, statement.query(params_from_iter(values))?)
        })
    }

    /// How many records match, whatever the limit says.
    pub fn count(&self, query: &Query) -> Result<u64, StoreError> {
        let (condition, values) = query.condition()?;
        self.read(|db| {
            let sql = format!("SELECT count(*) FROM records WHERE {condition}");
            let count = db.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?;
            Ok(unsigned(count))
        })
    }

    /// The whole blob; `None` when no record has it. Its hash is checked.
    pub fn blob(&self, hash: &Hash) -> Result<Option<Bytes>, StoreError> {
        let Some(mut reader) = self.open_blob(hash)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(reader.len()).unwrap_or(0).min(MAX_BLOB));
        match reader.read_to_end(&mut bytes) {
            Ok(_) => Ok(Some(bytes.into())),
            Err(error) => match error.downcast::<StoreError>() {
                Ok(damaged) => Err(damaged),
                Err(error) => Err(StoreError::io(&self.0.blobs.path(hash))(error)),
            },
        }
    }

    /// Reads a blob piece by piece; `None` when no record has it.
    pub fn open_blob(&self, hash: &Hash) -> Result<Option<BlobReader>, StoreError> {
        type Found = Option<(i64, Option<Vec<u8>>)>;
        let find = || -> Result<Found, StoreError> {
            self.read(|db| {
                let mut statement = db.prepare_cached("SELECT bytes, data FROM blobs WHERE hash = ?1")?;
                Ok(statement.query_row([hash], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
            })
        };
        match find()? {
            None => Ok(None),
            Some((_, Some(data))) => Ok(Some(BlobReader::memory(*hash, data.into()))),
            Some((bytes, None)) => {
                let path = self.0.blobs.path(hash);
                match self.0.blobs.open_file(hash).map_err(StoreError::io(&path))? {
                    Some(file) => Ok(Some(BlobReader::file(*hash, file, unsigned(bytes)))),
                    // Retention may have deleted it between the two looks.
                    None if find()?.is_none() => Ok(None),
                    None => Err(StoreError::Damaged { hash: *hash, what: "its file is missing".into() }),
                }
            }
        }
    }

    /// What the store holds. Counts of consumers take time that grows with their backlog.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let (collections, consumers, files) = self.read(|db| {
            let totals = crate::rows::Totals::load(db)?;
            let mut collections = BTreeMap::new();
            for (name, usage) in totals.collections.iter().filter(|(_, usage)| usage.count > 0) {
                let time = |order: &str| {
                    let sql = format!(
                        "SELECT time FROM records WHERE collection = ?1 ORDER BY seq {order} LIMIT 1"
                    );
                    db.prepare_cached(&sql)?.query_row([name], |row| row.get(0))
                };
                let (oldest, newest) = (time("ASC")?, time("DESC")?);
                let stats = CollectionStats { count: usage.count, bytes: usage.bytes, oldest, newest };
                collections.insert(name.clone(), stats);
            }
            let mut consumers = Vec::new();
            for (name, cursor) in crate::consumer::load(db)? {
                let waiting = crate::consumer::backlog(db, cursor.seq, &cursor.collections)?.0;
                consumers.push(ConsumerStats { name, hold: cursor.hold, waiting });
            }
            Ok((collections, consumers, totals.files))
        })?;
        let size = |name: &str| std::fs::metadata(self.0.dir.join(name)).map_or(0, |meta| meta.len());
        Ok(Stats {
            collections,
            consumers,
            files,
            database_bytes: size(FILE) + size("records.db-wal"),
            free_bytes: (self.0.free_space)(&self.0.dir).map_err(StoreError::io(&self.0.dir))?,
            queue: QueueStats::default(),
        })
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        seq: row.get(0)?,
        id: Uuid::from_bytes(row.get(1)?),
        collection: row.get(2)?,
        time: row.get(3)?,
        stored: row.get(4)?,
        json: row.get(5)?,
        blobs: Vec::new(),
    })
}

fn with_blobs(db: &Connection, mut record: Record) -> Result<Record, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT name, hash, coalesce((SELECT bytes FROM blobs b WHERE b.hash = r.hash), 0)
         FROM record_blobs r WHERE seq = ?1 ORDER BY n",
    )?;
    let rows = statement.query_map([record.seq], |row| {
        Ok(BlobRef { name: row.get(0)?, sha256: row.get(1)?, bytes: unsigned(row.get(2)?) })
    })?;
    record.blobs = rows.collect::<rusqlite::Result<_>>()?;
    Ok(record)
}

fn collect(db: &Connection, mut rows: rusqlite::Rows<'_>) -> Result<Vec<Record>, StoreError> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()?
        && bytes < MAX_ANSWER
    {
        let record = with_blobs(db, record(row)?)?;
        bytes += record.json.len();
        records.push(record);
    }
    Ok(records)
}

/// The records at these places, as many as one answer may hold.
pub(crate) fn records(db: &Connection, seqs: &[i64]) -> Result<Vec<Record>, StoreError> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    let mut statement =
        db.prepare_cached("SELECT seq, id, collection, time, stored, json FROM records WHERE seq = ?1")?;
    for seq in seqs {
        let record = with_blobs(db, statement.query_row([seq], record)?)?;
        bytes += record.json.len();
        records.push(record);
        if bytes >= MAX_ANSWER {
            break;
        }
    }
    Ok(records)
}
