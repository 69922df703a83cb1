//! The thread that reads faces from the disk, so that no plugin waits for it.

use super::{COLLECTION, Face, by_number};
use crate::records::Records;
use gantry_store::{Query, Record, StoreError};
use serde_json::{Value, json};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Questions that may wait; more are answered with an error.
const WAITING: usize = 64;
/// The most faces of one answer, and the most bytes of their pictures.
pub(super) const MOST: usize = 500;
const MOST_BYTES: usize = 16 << 20;
/// Records that are looked at together, for those whose picture is still there.
const PAGE: usize = 100;

/// Takes the answer, once, on the desk's thread.
pub(super) type Reply = Box<dyn FnOnce(Result<Value, String>) + Send>;

pub(super) enum Question {
    /// The picture of one face.
    Get(u64),
    /// The newest faces with their pictures.
    List(usize),
    /// These faces are to be deleted, or all of them.
    Delete(Option<Vec<u64>>),
}

/// The thread, until it is dropped.
pub(crate) struct Desk {
    questions: Mutex<Option<SyncSender<(Question, Reply)>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Desk {
    pub(crate) fn start(records: Arc<Records>) -> std::io::Result<Self> {
        let (questions, asked) = sync_channel(WAITING);
        let thread =
            std::thread::Builder::new().name("faces".into()).spawn(move || work(&records, &asked))?;
        Ok(Self { questions: Mutex::new(Some(questions)), thread: Mutex::new(Some(thread)) })
    }

    /// Asks. Never waits.
    pub(super) fn ask(&self, question: Question, reply: Reply) {
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = match &questions {
            Some(questions) => questions.try_send((question, reply)).map_err(|error| match error {
                std::sync::mpsc::TrySendError::Full(back)
                | std::sync::mpsc::TrySendError::Disconnected(back) => back,
            }),
            None => Err((question, reply)),
        };
        if let Err((_, reply)) = sent {
            reply(Err("too many ask for faces: try again in a moment".to_owned()));
        }
    }

    /// Answers what waits, and ends.
    pub(crate) fn stop(&self) {
        drop(self.questions.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

fn work(records: &Records, asked: &Receiver<(Question, Reply)>) {
    while let Ok((question, reply)) = asked.recv() {
        let answer = match question {
            Question::Get(id) => get(records, id),
            Question::List(limit) => list(records, limit),
            Question::Delete(ids) => delete(records, ids),
        };
        reply(answer.map_err(|error| error.to_string()));
    }
}

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

fn get(records: &Records, id: u64) -> Result<Value, StoreError> {
    let found = records.store().read().query(&by_number(id))?;
    let Some((record, face)) = found.first().and_then(|record| Some((record, Face::of(record)?))) else {
        return Ok(json!({ "face_id": id, "missing": "face" }));
    };
    Ok(whole(records, record, &face)?.unwrap_or_else(|| json!({ "face_id": id, "missing": "file" })))
}

/// The newest by the time they were seen, which is nearly the order in which they were kept: a face waits for a better one
/// for seconds, so a page holds whatever may come before its last.
fn list(records: &Records, limit: usize) -> Result<Value, StoreError> {
    let (mut faces, mut bytes) = (Vec::new(), 0);
    let limit = limit.min(MOST);
    let mut query = Query { limit: PAGE, ..Query::collection(COLLECTION) };
    'pages: while faces.len() < limit {
        let page = records.store().read().query(&query)?;
        let Some(last) = page.last() else { break };
        query.before = Some(last.id);
        let mut page: Vec<_> = page.iter().filter_map(|r| Some((r, Face::of(r)?))).collect();
        page.sort_by_key(|(_, face)| std::cmp::Reverse((face.time_ms, face.face_id)));
        for (record, face) in page {
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

fn delete(records: &Records, ids: Option<Vec<u64>>) -> Result<Value, StoreError> {
    let mut found = Vec::new();
    match ids {
        Some(ids) => {
            for id in ids {
                found.extend(records.store().read().query(&by_number(id))?.iter().map(|record| record.id));
            }
        }
        None => {
            let mut query = Query { limit: 10_000, ..Query::collection(COLLECTION) };
            loop {
                let page = records.store().read().query(&query)?;
                let Some(last) = page.last() else { break };
                query.before = Some(last.id);
                found.extend(page.iter().map(|record| record.id));
            }
        }
    }
    let deleted = records.store().remove(&found)?;
    Ok(json!({ "deleted": deleted }))
}
