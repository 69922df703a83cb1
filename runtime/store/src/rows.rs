//! Writing and deleting the rows of one record.

use crate::record::Checked;
use crate::{Hash, Usage};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// How much there is, as it will be when the transaction commits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    pub(crate) collections: BTreeMap<String, Usage>,
    pub(crate) files: Usage,
    changed: BTreeSet<String>,
}

impl Totals {
    pub(crate) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let mut totals = Self::default();
        let mut statement = conn.prepare("SELECT name, count, bytes FROM usage")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let usage = Usage { count: unsigned(row.get(1)?), bytes: unsigned(row.get(2)?) };
            match row.get::<_, String>(0)? {
                name if name.is_empty() => totals.files = usage,
                name => {
                    totals.collections.insert(name, usage);
                }
            }
        }
        Ok(totals)
    }

    /// Writes what changed; to be done in the same transaction.
    pub(crate) fn save(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let mut put = conn.prepare_cached("INSERT OR REPLACE INTO usage VALUES (?1, ?2, ?3)")?;
        for name in std::mem::take(&mut self.changed) {
            let usage = if name.is_empty() { Some(&self.files) } else { self.collections.get(&name) };
            let Usage { count, bytes } = usage.copied().unwrap_or_default();
            put.execute(params![name, signed(count), signed(bytes)])?;
        }
        Ok(())
    }

    fn collection(&mut self, name: &str) -> &mut Usage {
        self.changed.insert(name.to_owned());
        self.collections.entry(name.to_owned()).or_default()
    }

    fn files(&mut self) -> &mut Usage {
        self.changed.insert(String::new());
        &mut self.files
    }
}

/// Where a record goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) seq: i64,
    pub(crate) id: Uuid,
    pub(crate) time: i64,
    pub(crate) stored: i64,
}

/// Writes a record with its blobs, whose files must be on the disk.
pub(crate) fn insert(
    conn: &Connection,
    totals: &mut Totals,
    checked: &Checked,
    place: Place,
) -> rusqlite::Result<()> {
    let Checked { draft, hashes, bytes } = checked;
    let text = Text { collection: &draft.collection, dedup: draft.dedup_key.as_deref(), json: &draft.json };
    insert_record(conn, totals, text, *bytes as u64, place)?;
    for (n, ((name, content), hash)) in draft.blobs.iter().zip(hashes).enumerate() {
        let data = (!checked.is_file(content)).then_some(&content[..]);
        insert_blob(conn, totals, place.seq, n, (name, hash), content.len() as u64, data)?;
    }
    Ok(())
}

/// What a record's row has beside its place.
pub(crate) struct Text<'a> {
    pub(crate) collection: &'a str,
    pub(crate) dedup: Option<&'a str>,
    pub(crate) json: &'a str,
}

/// Writes a record's own row. `bytes` counts its blobs as well.
pub(crate) fn insert_record(
    conn: &Connection,
    totals: &mut Totals,
    text: Text<'_>,
    bytes: u64,
    place: Place,
) -> rusqlite::Result<()> {
    let id = place.id.as_bytes();
    conn.prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(params![
        place.seq,
        id,
        text.collection,
        place.time,
        place.stored,
        signed(bytes),
        text.dedup,
        text.json,
    ])?;
    totals.collection(text.collection).add(bytes);
    Ok(())
}

/// Writes one blob's rows; one without `data` is a file. A row that is there takes the new bytes: a rescue may have found
/// none for it.
pub(crate) fn insert_blob(
    conn: &Connection,
    totals: &mut Totals,
    seq: i64,
    n: usize,
    (name, hash): (&str, &Hash),
    bytes: u64,
    data: Option<&[u8]>,
) -> rusqlite::Result<()> {
    let refs: i64 = conn
        .prepare_cached(
            "INSERT INTO blobs VALUES (?1, ?2, 1, ?3)
             ON CONFLICT (hash) DO UPDATE SET
                 refs = refs + 1, bytes = excluded.bytes, data = coalesce(excluded.data, data)
             RETURNING refs",
        )?
        .query_row(params![hash, signed(bytes), data], |row| row.get(0))?;
    if refs == 1 && data.is_none() {
        totals.files().add(bytes);
    }
    conn.prepare_cached("INSERT INTO record_blobs VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![seq, n as i64, name, hash])?;
    Ok(())
}

/// Deletes a record; adds the blobs whose files nothing refers to any more to `orphans`.
pub(crate) fn delete(
    conn: &Connection,
    totals: &mut Totals,
    seq: i64,
    orphans: &mut Vec<Hash>,
) -> rusqlite::Result<()> {
    let row: Option<(String, i64)> = conn
        .prepare_cached("DELETE FROM records WHERE seq = ?1 RETURNING collection, bytes")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((collection, bytes)) = row else { return Ok(()) };
    totals.collection(&collection).remove(unsigned(bytes));
    let hashes: Vec<Hash> = conn
        .prepare_cached("DELETE FROM record_blobs WHERE seq = ?1 RETURNING hash")?
        .query_map([seq], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for hash in hashes {
        let left: Option<(i64, i64, bool)> = conn
            .prepare_cached(
                "UPDATE blobs SET refs = refs - 1 WHERE hash = ?1 RETURNING refs, bytes, data IS NULL",
            )?
            .query_row([hash], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        if let Some((..=0, bytes, is_file)) = left {
            conn.prepare_cached("DELETE FROM blobs WHERE hash = ?1")?.execute([hash])?;
            if is_file {
                totals.files().remove(unsigned(bytes));
                orphans.push(hash);
            }
        }
    }
    Ok(())
}

/// SQLite's integers are signed; nothing here comes near their end.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
