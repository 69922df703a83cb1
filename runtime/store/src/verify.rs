//! Looking whether everything is there.

use crate::blobs::Blobs;
use crate::rows::unsigned;
use crate::{BlobReader, Hash, Reader, StoreError};
use rusqlite::{Connection, params};
use serde::Serialize;
use std::io;
use uuid::Uuid;

/// Damages that are told one by one.
const MAX_TOLD: usize = 1000;

/// Records that are looked at in one transaction.
const STEP: i64 = 500;

/// A blob that is not as it was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The record.
    #[serde(serialize_with = "as_text")]
    pub id: Uuid,
    /// Its collection.
    pub collection: String,
    /// The blob's name in the record.
    pub name: String,
    /// The blob.
    #[serde(serialize_with = "as_text")]
    pub sha256: Hash,
    /// What is wrong with it.
    pub what: String,
}

fn as_text<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// What [`Reader::verify`] saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Records looked at.
    pub records: u64,
    /// Blobs looked at, each as often as a record has it.
    pub blobs: u64,
    /// How many of them are damaged.
    pub damaged: u64,
    /// The first 1000 of those.
    pub damages: Vec<Damage>,
}

impl Reader {
    /// Looks at the database and at every blob: its presence and size, and with `deep` its content, which reads all of
    /// them. Takes as long as the disk needs; appending goes on meanwhile.
    pub fn verify(&self, deep: bool) -> Result<Verified, StoreError> {
        let verdict: String =
            self.read(|db| Ok(db.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))?))?;
        if verdict != "ok" {
            tracing::error!(
                verdict,
                "the records' database is damaged: restart, it is repaired at the start"
            );
            let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(rusqlite::Error::SqliteFailure(corrupt, Some(verdict)).into());
        }
        let (mut verified, mut after) = (Verified::default(), 0);
        loop {
            let last = self.read(|db| check(db, self.blobs(), after, STEP, deep, &mut verified))?;
            match last {
                Some(seq) => after = seq,
                None => return Ok(verified),
            }
        }
    }
}

/// Looks at the blobs of the records after `after`. Returns the last of those; `None` at the end.
pub(crate) fn check(
    db: &Connection,
    blobs: &Blobs,
    after: i64,
    limit: i64,
    deep: bool,
    verified: &mut Verified,
) -> Result<Option<i64>, StoreError> {
    let mut records = db.prepare_cached("SELECT seq FROM records WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let seqs: Vec<i64> =
        records.query_map(params![after, limit], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut of_record = db.prepare_cached(
        "SELECT id, collection, name, r.hash, b.bytes, b.data FROM record_blobs r
         JOIN records USING (seq) LEFT JOIN blobs b ON b.hash = r.hash WHERE seq = ?1 ORDER BY n",
    )?;
    for seq in &seqs {
        verified.records += 1;
        let mut rows = of_record.query([seq])?;
        while let Some(row) = rows.next()? {
            verified.blobs += 1;
            let (sha256, bytes, data): (Hash, Option<i64>, Option<Vec<u8>>) =
                (row.get(3)?, row.get(4)?, row.get(5)?);
            let Some(what) = damage(blobs, &sha256, bytes, data, deep)? else { continue };
            verified.damaged += 1;
            if verified.damages.len() < MAX_TOLD {
                let (id, collection, name) = (Uuid::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?);
                verified.damages.push(Damage { id, collection, name, sha256, what });
            }
        }
    }
    Ok(seqs.last().copied())
}

fn damage(
    blobs: &Blobs,
    hash: &Hash,
    bytes: Option<i64>,
    data: Option<Vec<u8>>,
    deep: bool,
) -> Result<Option<String>, StoreError> {
    let Some(bytes) = bytes else { return Ok(Some("its row is missing".into())) };
    let mut reader = match data {
        Some(data) => BlobReader::memory(*hash, data.into()),
        None => {
            let path = blobs.path(hash);
            let Some(file) = blobs.open_file(hash).map_err(StoreError::io(&path))? else {
                return Ok(Some("its file is missing".into()));
            };
            let len = file.metadata().map_err(StoreError::io(&path))?.len();
            if len != unsigned(bytes) {
                return Ok(Some(format!("its file has {len} bytes instead of {bytes}")));
            }
            BlobReader::file(*hash, file, len)
        }
    };
    if deep && let Err(error) = io::copy(&mut reader, &mut io::sink()) {
        return Ok(Some(match error.kind() {
            io::ErrorKind::InvalidData => "its content changed".into(),
            _ => error.to_string(),
        }));
    }
    Ok(None)
}
