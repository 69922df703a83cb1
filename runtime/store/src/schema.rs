//! The database: its tables, and how connections to it are opened.

use crate::StoreError;
use crate::error::is_corrupt;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use std::path::Path;
use std::time::Duration;

pub(crate) const FORMAT: i64 = 1;
pub(crate) const FILE: &str = "records.db";

/// `usage` has a row per collection, and one with an empty name for blobs that are files. An index on `collection` is
/// one on `(collection, seq)`, because SQLite ends every index entry with the row's number.
const TABLES: &str = "
BEGIN IMMEDIATE;
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE usage (name TEXT PRIMARY KEY, count INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE consumers (
    name TEXT PRIMARY KEY, seq INTEGER NOT NULL, collections TEXT NOT NULL, hold INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, collection TEXT NOT NULL, time INTEGER NOT NULL,
    stored INTEGER NOT NULL, bytes INTEGER NOT NULL, dedup TEXT, json TEXT NOT NULL
) STRICT;
CREATE INDEX records_collection ON records (collection);
CREATE INDEX records_time ON records (collection, time);
CREATE UNIQUE INDEX records_dedup ON records (collection, dedup) WHERE dedup IS NOT NULL;
CREATE TABLE blobs (hash BLOB NOT NULL UNIQUE, bytes INTEGER NOT NULL, refs INTEGER NOT NULL, data BLOB) STRICT;
CREATE TABLE record_blobs (
    seq INTEGER NOT NULL, n INTEGER NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (seq, n)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;
";

/// Databases up to this size are checked at every start; larger ones after a start that followed no clean end.
const QUICK: u64 = 64 * 1024 * 1024;

/// How long a connection waits for a lock.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// Why a database was not opened.
pub(crate) enum OpenError {
    /// It must be set aside.
    Corrupt(String),
    Other(StoreError),
}

impl OpenError {
    /// What it means for a database that was just made.
    pub(crate) fn of_new(self) -> StoreError {
        match self {
            Self::Corrupt(why) => StoreError::BadDisk(why),
            Self::Other(error) => error,
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        if is_corrupt(&error) { Self::Corrupt(error.to_string()) } else { Self::Other(error.into()) }
    }
}

/// Opens the connection that writes; makes the tables in a new database. Tells whether the last end was a clean one.
pub(crate) fn open_writer(path: &Path) -> Result<(Connection, bool), OpenError> {
    let conn = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    configure(&conn)?;
    // Until it is known to be good, closing it moves nothing from the log into it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // First of all, so that a newer program's database is left as it is.
    let format: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if format > FORMAT {
        return Err(OpenError::Other(StoreError::Newer { found: format, known: FORMAT }));
    }
    // It is for ever; saying it again writes, for which a full disk has no room.
    if format == 0 {
        conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::Other(StoreError::NoLog(path.to_owned())));
    }
    // Of what is deleted nothing stays in free places: rows move when others go, so this cannot be on for `remove` alone.
    // Of the log, 16 MiB stay after a burst; it is moved into the database every 1000 pages.
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA cache_size = -8192; PRAGMA journal_size_limit = 16777216;
         PRAGMA wal_autocheckpoint = 1000; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON;",
    )?;
    conn.set_prepared_statement_cache_capacity(64);
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (format, tables) {
        (0, 0) => conn.execute_batch(TABLES)?,
        (FORMAT, _) if is_complete(&conn)? => {}
        _ => return Err(OpenError::Corrupt("its tables are not all there".into())),
    }
    let clean: Option<i64> =
        conn.query_row("SELECT value FROM meta WHERE key = 'clean'", [], |row| row.get(0)).optional()?;
    let is_clean = tables == 0 || clean == Some(1);
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if !is_clean || size <= QUICK {
        let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(OpenError::Corrupt(verdict));
        }
    }
    // After a kill it says so already.
    if clean != Some(0) {
        match mark_in_use(&conn) {
            // What is there can be read; the writer says it before it changes anything.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {}
            marked => marked?,
        }
    }
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok((conn, is_clean))
}

/// Has the database say that it was not closed.
pub(crate) fn mark_in_use(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 0)", []).map(|_| ())
}

fn is_complete(conn: &Connection) -> rusqlite::Result<bool> {
    let names = "('meta', 'usage', 'consumers', 'records', 'blobs', 'record_blobs')";
    let sql = format!("SELECT count(*) = 6 FROM sqlite_schema WHERE type = 'table' AND name IN {names}");
    conn.query_row(&sql, [], |row| row.get(0))
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    configure(&conn)?;
    conn.set_prepared_statement_cache_capacity(16);
    Ok(conn)
}

/// Opens a corrupt database, to rescue what can be read.
pub(crate) fn open_corrupt(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    configure(&conn)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Else a file that is shorter than its header says could not be read at all.
    conn.execute_batch("PRAGMA writable_schema = ON;")?;
    Ok(conn)
}

fn flags(access: OpenFlags) -> OpenFlags {
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")
}
