//! What is kept, and deleting the rest in small steps.

use crate::consumer::Cursor;
use crate::rows::{self, Totals, unsigned};
use crate::{Hash, Usage};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is kept of a collection. Whatever limit is reached first, the oldest records go; `None` is no limit.
///
/// Records that a consumer with `hold` has not acknowledged stay beyond these limits, until the free space falls below
/// the floor: then what is beyond its limits goes, held or not. What is within its limits is never deleted to make
/// room; appends are refused instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Since appending, by the store's clock (the time that a record tells does not count). A record that was stored while
    /// that was wrong is as old as the next one of its collection that was not. Default 90 days.
    pub max_age: Option<Duration>,
    /// Records. Default 1,000,000.
    pub max_count: Option<u64>,
    /// JSON and blobs in bytes; a blob that several records share counts for each. Default 4 GiB.
    pub max_bytes: Option<u64>,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            max_age: Some(Duration::from_secs(90 * 24 * 3600)),
            max_count: Some(1_000_000),
            max_bytes: Some(4 << 30),
        }
    }
}

impl Keep {
    /// Everything, for ever.
    #[must_use]
    pub fn everything() -> Self {
        Self { max_age: None, max_count: None, max_bytes: None }
    }

    fn is_overfull(&self, usage: Usage) -> bool {
        let over = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value > limit);
        over(self.max_count, usage.count) || over(self.max_bytes, usage.bytes)
    }

    fn is_outlived(&self, stored: i64, now: i64) -> bool {
        let age = u128::from(unsigned(now.saturating_sub(stored)));
        self.max_age.is_some_and(|limit| age > limit.as_millis())
    }
}

/// The first of 2024: a clock that tells of an earlier time is one without a battery.
const EARLIEST: i64 = 1_704_067_200_000;
/// How far ahead a clock may have been that was right: a day, in milliseconds.
const AHEAD: i64 = 24 * 3600 * 1000;

/// Whether a record can have been stored then.
fn is_plausible(stored: i64, now: i64) -> bool {
    stored >= EARLIEST && stored <= now.saturating_add(AHEAD)
}

/// The place of the next record after the one at `seq` that was stored while the clock was right, and when that was. Many
/// thousands before it may be wrong, and this is asked often: it looks further and further, and then between. Where wrong and
/// right take turns it may be a later one: then a record goes later, never too early.
fn stored_after(
    conn: &Connection,
    collection: &str,
    seq: i64,
    now: i64,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let is_right = |(_, stored): &(i64, i64)| is_plausible(*stored, now);
    let mut first_from = conn.prepare_cached(
        "SELECT seq, stored FROM records WHERE collection = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1",
    )?;
    let mut first_from = |from: i64| first_from.query_row(params![collection, from], pair).optional();
    let (mut wrong, mut right) = (seq, None);
    for power in 0..62 {
        match first_from(seq.saturating_add(1 << power))? {
            Some(found) if is_right(&found) => {
                right = Some(found);
                break;
            }
            Some((at, _)) => wrong = at,
            None => {
                let newest =
                    "SELECT seq, stored FROM records WHERE collection = ?1 ORDER BY seq DESC LIMIT 1";
                right = conn.prepare_cached(newest)?.query_row([collection], pair).optional()?;
                break;
            }
        }
    }
    let Some(mut right) = right.filter(is_right) else { return Ok(None) };
    let mut until = right.0;
    while until - wrong > 1 {
        let middle = wrong + (until - wrong) / 2;
        match first_from(middle)? {
            Some(found) if found.0 < until && is_right(&found) => (right, until) = (found, middle),
            Some((at, _)) if at < until => wrong = at,
            _ => until = middle,
        }
    }
    Ok(Some(right))
}

/// The rules of all collections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) default: Keep,
    pub(crate) collections: BTreeMap<String, Keep>,
}

impl Rules {
    fn of(&self, collection: &str) -> &Keep {
        self.collections.get(collection).unwrap_or(&self.default)
    }
}

/// The moment that decides.
pub(crate) struct Moment<'a> {
    pub(crate) now: i64,
    /// The free space is below the floor.
    pub(crate) is_forced: bool,
    pub(crate) cursors: &'a BTreeMap<String, Cursor>,
}

/// Sequence numbers of records that are to go: at most `limit`, the oldest of each collection first.
pub(crate) fn due(
    conn: &Connection,
    totals: &Totals,
    rules: &Rules,
    moment: &Moment<'_>,
    limit: usize,
) -> rusqlite::Result<Vec<i64>> {
    let mut due = Vec::new();
    let mut oldest = conn.prepare_cached(
        "SELECT seq, bytes, stored FROM records WHERE collection = ?1 ORDER BY seq LIMIT ?2",
    )?;
    for (name, usage) in totals.collections.iter().filter(|(_, usage)| usage.count > 0) {
        let holders = moment.cursors.values().filter(|c| c.hold && c.wants(name));
        let held_after = if moment.is_forced { None } else { holders.map(|c| c.seq).min() };
        let (mut left, mut later): (_, Option<(i64, i64)>) = (*usage, None);
        let mut rows = oldest.query(params![name, (limit - due.len()) as i64])?;
        while let Some(row) = rows.next()? {
            let (seq, bytes, stored): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let keep = rules.of(name);
            if held_after.is_some_and(|cursor| seq > cursor) {
                break;
            }
            let age = if is_plausible(stored, moment.now) {
                Some(stored)
            } else if keep.max_age.is_none() {
                None
            } else {
                if later.is_none_or(|(at, _)| at <= seq) {
                    later = stored_after(conn, name, seq, moment.now)?;
                }
                later.map(|(_, stored)| stored)
            };
            if !keep.is_overfull(left) && !age.is_some_and(|stored| keep.is_outlived(stored, moment.now)) {
                break;
            }
            left.remove(unsigned(bytes));
            due.push(seq);
        }
    }
    Ok(due)
}

/// Deletes records in one transaction. Returns the blobs whose files nothing refers to any more.
pub(crate) fn delete(conn: &mut Connection, totals: &mut Totals, due: &[i64]) -> rusqlite::Result<Vec<Hash>> {
    let transaction = conn.transaction()?;
    let (mut after, mut orphans) = (totals.clone(), Vec::new());
    for seq in due {
        rows::delete(&transaction, &mut after, *seq, &mut orphans)?;
    }
    after.save(&transaction)?;
    transaction.commit()?;
    *totals = after;
    Ok(orphans)
}
