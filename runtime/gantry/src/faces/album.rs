//! What is asked of the kept faces, answered from their records.

use super::{COLLECTION, Face, by_number};
use crate::records::Records;
use gantry_store::{Order, Query, Record, RemoveError, Store, StoreError, Uuid};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The most faces of one answer, and the most bytes of their pictures.
pub(super) const MOST: usize = 500;
const MOST_BYTES: usize = 16 << 20;
/// Records that are looked at together, for those whose picture is still there.
const PAGE: usize = 100;

/// The face with its picture, as plugins get it; `None` when its picture is gone.
fn whole(records: &Records, record: &Record, face: &Face) -> Result<Option<Value>, StoreError> {
    let Some(blob) = record.blobs.first() else { return Ok(None) };
    let picture = match records.store().read().blob(&blob.sha256) {
        Ok(Some(picture)) => picture,
        // Somebody has deleted the file, or the disk has lost it.
        Ok(None) | Err(StoreError::Damaged { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(json!({
        "face_id": face.face_id, "time_ms": face.time_ms, "filename": face.filename(),
        "image_data": base64_simd::STANDARD.encode_to_string(&picture),
    })))
}

/// One face.
pub(super) fn get(records: &Records, id: u64) -> Result<Value, StoreError> {
    let found = records.store().read().query(&by_number(id))?;
    let Some((record, face)) = found.first().and_then(|record| Some((record, Face::of(record)?))) else {
        return Ok(json!({ "face_id": id, "missing": "face" }));
    };
    Ok(whole(records, record, &face)?.unwrap_or_else(|| json!({ "face_id": id, "missing": "file" })))
}

/// The newest by the time they were seen.
pub(super) fn list(records: &Records, limit: usize) -> Result<Value, StoreError> {
    let (mut faces, mut bytes) = (Vec::new(), 0);
    let limit = limit.min(MOST);
    let mut query = Query { limit: PAGE, order: Order::Time, ..Query::collection(COLLECTION) };
    let mut looked_at = BTreeSet::new();
    'pages: while faces.len() < limit {
        let page = records.store().read().query(&query)?;
        // Several may have the last one's time, so the next page begins with it.
        let fresh: Vec<_> = page.iter().filter(|record| looked_at.insert(record.id)).collect();
        let Some(last) = fresh.last() else { break };
        query.until = Some(last.time.saturating_add(1));
        for (record, face) in fresh.into_iter().filter_map(|record| Some((record, Face::of(record)?))) {
            let Some(face) = whole(records, record, &face)? else { continue };
            bytes += face["image_data"].as_str().map_or(0, str::len);
            if faces.len() == limit || bytes > MOST_BYTES {
                break 'pages;
            }
            faces.push(face);
        }
    }
    Ok(json!({ "faces": faces }))
}

/// The records of these faces.
fn records_of(store: &Store, ids: &[u64]) -> Result<Vec<Uuid>, StoreError> {
    let mut found = Vec::new();
    for id in ids {
        found.extend(store.read().query(&by_number(*id))?.iter().map(|record| record.id));
    }
    Ok(found)
}

/// Deletes these faces, or all. How many there were.
pub(super) fn delete(store: &Store, ids: Option<&[u64]>) -> Result<usize, RemoveError> {
    match ids {
        Some(ids) => {
            let found = records_of(store, ids).map_err(|error| RemoveError { removed: 0, error })?;
            store.remove(&found)
        }
        None => store.remove_all(COLLECTION),
    }
}
