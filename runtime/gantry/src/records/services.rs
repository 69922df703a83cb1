//! What plugins can keep and ask of records: append, query, count, and durable consumers.

use super::consumers::{Consumers, Open, waiting};
use super::{Busy, Desk, Readers, Records};
use crate::counts::{Crowded, Marks, Post};
use bytes::Bytes;
use gantry_core::Runtime;
use gantry_core::services::{Caller, Reply, ServiceError};
use gantry_store::{Direction, Draft, FieldEquals, Order, Query, Record, StoreError, Uuid};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What the runtime itself keeps: plugins read it and do not write it.
const OWN: [&str; 9] =
    ["audit", "counts", "days", "events", "faces", "gateway", "hours", "recordings", "snapshots"];
/// The most records of one answer, and the most bytes of their JSON and blobs: no more than the store reads at once.
const MOST: usize = 1000;
const MOST_BYTES: u64 = 32 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Append {
    collection: String,
    #[serde(default)]
    time_ms: Option<i64>,
    data: Value,
    #[serde(default)]
    dedup_key: Option<String>,
    /// What the blobs are is part of the key.
    #[serde(default)]
    dedup_blobs: bool,
    /// The names of the blobs that come with it.
    #[serde(default)]
    blobs: Vec<String>,
    /// Which hook of the rules looks at it first.
    #[serde(default)]
    hook: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    path: Vec<String>,
    value: Value,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum End {
    #[default]
    Newest,
    Oldest,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum By {
    #[default]
    Appended,
    Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    collection: String,
    #[serde(default)]
    id: Option<Uuid>,
    #[serde(default)]
    from_ms: Option<i64>,
    #[serde(default)]
    to_ms: Option<i64>,
    #[serde(default)]
    fields: Vec<Field>,
    #[serde(default)]
    order: End,
    #[serde(default)]
    by: By,
    #[serde(default)]
    before: Option<Uuid>,
    #[serde(default)]
    after: Option<Uuid>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    blobs: bool,
}

impl Ask {
    fn query(self, limit: usize) -> Query {
        Query {
            collection: Some(self.collection),
            from: self.from_ms,
            until: self.to_ms,
            after: self.after,
            before: self.before,
            fields: self.fields.into_iter().map(|f| FieldEquals { path: f.path, value: f.value }).collect(),
            order: match self.by {
                By::Appended => Order::Appended,
                By::Time => Order::Time,
            },
            direction: match self.order {
                End::Newest => Direction::Newest,
                End::Oldest => Direction::Oldest,
            },
            limit,
            ..Query::default()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Next {
    consumer: String,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    blobs: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ack {
    consumer: String,
    up_to: Uuid,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    consumer: String,
}

pub(super) type Answer = Result<Value, ServiceError>;

fn read<T: serde::de::DeserializeOwned>(service: &str, request: Value) -> Result<T, ServiceError> {
    serde_path_to_error::deserialize(request).map_err(|error| {
        let path = error.path().to_string();
        ServiceError(format!("{service}: {path}: {}: correct the request", error.into_inner()))
    })
}

pub(super) fn failed(service: &str, error: &StoreError) -> ServiceError {
    ServiceError(format!("{service}: {error}"))
}

fn busy(service: &str) -> ServiceError {
    ServiceError(format!("{service}: too many ask: try again in a moment"))
}

/// Records as plugins get them, and whether there is no room for more of them.
fn told(records: &Records, found: &[Record], with_blobs: bool) -> Result<(Vec<Value>, bool), StoreError> {
    let (mut told, mut bytes) = (Vec::with_capacity(found.len()), 0);
    for record in found {
        let pictures: u64 = if with_blobs { record.blobs.iter().map(|blob| blob.bytes).sum() } else { 0 };
        bytes += record.json.len() as u64 + pictures;
        // One that is alone too large for an answer is told all the same, or nothing ever came after it.
        if bytes >= MOST_BYTES && !told.is_empty() {
            return Ok((told, true));
        }
        let mut blobs = Vec::new();
        for blob in &record.blobs {
            let mut shown = json!({ "name": blob.name, "bytes": blob.bytes });
            if with_blobs {
                match records.store().read().blob(&blob.sha256) {
                    Ok(Some(content)) => {
                        shown["data"] = json!(base64_simd::STANDARD.encode_to_string(&content));
                    }
                    // One that is lost is missing, and the rest of the record is not.
                    Ok(None) | Err(StoreError::Damaged { .. }) => {}
                    // What may be read the next time is not lost: nobody is to go on without it.
                    Err(error) => return Err(error),
                }
            }
            blobs.push(shown);
        }
        let data: Value = serde_json::from_str(&record.json).unwrap_or_default();
        told.push(json!({
            "id": record.id, "collection": record.collection, "time_ms": record.time, "stored_ms": record.stored,
            "data": data, "blobs": blobs,
        }));
    }
    Ok((told, false))
}

fn query(service: &str, records: &Records, ask: Ask) -> Answer {
    let failed = |error: StoreError| failed(service, &error);
    let limit = ask.limit.unwrap_or(50).min(MOST);
    let (with_blobs, id) = (ask.blobs, ask.id);
    let (found, more) = match id {
        Some(id) => {
            let found = records.store().read().get(id).map_err(failed)?;
            (found.into_iter().filter(|record| record.collection == ask.collection).collect(), false)
        }
        None => {
            let mut found = records.store().read().query(&ask.query(limit + 1)).map_err(failed)?;
            let more = found.len() > limit;
            found.truncate(limit);
            (found, more)
        }
    };
    let (told, is_cut) = told(records, &found, with_blobs).map_err(failed)?;
    Ok(json!({ "records": told, "more": more || is_cut }))
}

/// Writes down what rules said of it.
fn mark(data: &mut Value, marks: Marks) {
    let Value::Object(data) = data else { return };
    if !marks.tags.is_empty() {
        data.insert("tags".to_owned(), json!(marks.tags));
    }
    if !marks.alerts.is_empty() {
        data.insert("alerts".to_owned(), json!(marks.alerts));
    }
    if marks.kept_back {
        data.insert("forward".to_owned(), json!(false));
    }
}

/// Appends what a plugin sends, when the rules have looked at it. Does not wait.
fn append(records: &Arc<Records>, post: &Post, request: Value, blobs: Vec<Bytes>, reply: Reply) {
    let append: Append = match read("records.append", request) {
        Ok(append) => append,
        Err(error) => return reply(Err(error)),
    };
    let refused = |kind: &str, message: String| Ok(json!({ "refused": kind, "message": message }));
    let Append { collection, time_ms, mut data, dedup_key, dedup_blobs, blobs: names, hook } = append;
    if OWN.contains(&collection.as_str()) {
        let message = format!("`{collection}` is the runtime's own: use another collection");
        return reply(refused("bad", message));
    }
    if names.len() != blobs.len() {
        let message = format!("{} blobs have {} names: name each", blobs.len(), names.len());
        return reply(refused("bad", message));
    }
    let mut draft = Draft {
        collection,
        time: time_ms,
        blobs: names.into_iter().zip(blobs).collect(),
        dedup_key,
        dedup_blobs,
        ..Draft::default()
    };
    let answer = move |appended: Result<gantry_store::Appended, StoreError>| match appended {
        Ok(appended) => Ok(json!({ "id": appended.id, "duplicate": appended.is_duplicate })),
        Err(error @ StoreError::Full { .. }) => refused("full", error.to_string()),
        Err(error @ StoreError::BadDraft(_)) => refused("bad", error.to_string()),
        Err(error) => refused("busy", error.to_string()),
    };
    let Some(hook) = hook else {
        draft.json = data.to_string();
        return records.store().append(draft, Box::new(move |appended| reply(answer(appended))));
    };
    let Some(hook) = gantry_script::HOOKS.into_iter().find(|known| known.has_record && known.name == hook)
    else {
        return reply(refused("bad", format!("no hook `{hook}` looks at records: use on_detection")));
    };
    let pictures: Vec<Value> =
        draft.blobs.iter().map(|(name, content)| json!({ "name": name, "bytes": content.len() })).collect();
    let event = json!({ "collection": draft.collection, "data": data, "blobs": pictures });
    let records = records.clone();
    let then = move |looked: Result<Marks, Crowded>| {
        let Ok(marks) = looked else {
            let message = "too many records wait for the rules: send it again in a moment".to_owned();
            return reply(refused("busy", message));
        };
        if marks.dropped {
            return reply(Ok(json!({ "id": Uuid::now_v7(), "dropped": true })));
        }
        mark(&mut data, marks);
        draft.json = data.to_string();
        records.store().append(draft, Box::new(move |appended| reply(answer(appended))));
    };
    post.record(hook.name, event, Box::new(then));
}

/// Offers `records.…`.
pub(crate) fn offer(
    runtime: &Runtime,
    desk: &Arc<Desk>,
    records: &Arc<Records>,
    post: &Post,
    readers: &Arc<Readers>,
) {
    let services = &runtime.services;
    let (kept, post) = (records.clone(), post.clone());
    services.offer_with_blobs(
        "records.append",
        Arc::new(move |_: &Caller, request, blobs, reply| append(&kept, &post, request, blobs, reply)),
    );
    let (asked, readers) = (desk.clone(), readers.clone());
    let for_clients = move |caller: &Caller, request: Value, reply: Reply| {
        let allowed = readers.admit(caller, request).and_then(|request| read::<Ask>("records.read", request));
        match allowed {
            Err(error) => reply(Err(error)),
            Ok(ask) => asked.ask(move |records| {
                reply(match records {
                    Ok(records) => query("records.read", records, ask),
                    Err(Busy) => Err(busy("records.read")),
                });
            }),
        }
    };
    services.offer("records.read", Arc::new(for_clients));
    let consumers = Arc::new(Consumers::new(runtime.bus.clone()));
    // Everything else waits for the disk, so it goes to the desk.
    let at_desk = |name: &'static str, work: fn(&Consumers, &Records, &str, Value) -> Answer| {
        let (desk, consumers) = (desk.clone(), consumers.clone());
        let handler = move |caller: &Caller, request: Value, reply: Reply| {
            let (consumers, plugin) = (consumers.clone(), caller.plugin.clone());
            desk.ask(move |records| {
                reply(match records {
                    Ok(records) => work(&consumers, records, &plugin, request),
                    Err(Busy) => Err(busy(name)),
                });
            });
        };
        services.offer(name, Arc::new(handler));
    };
    at_desk("records.query", |_, records, _, request| {
        query("records.query", records, read("records.query", request)?)
    });
    at_desk("records.count", |_, records, _, request| {
        let ask: Ask = read("records.count", request)?;
        let count = records.store().read().count(&ask.query(0)).map_err(|e| failed("records.count", &e))?;
        Ok(json!({ "count": count }))
    });
    at_desk("records.open", |consumers, records, plugin, request| {
        consumers.open(records, plugin, read::<Open>("records.open", request)?)
    });
    at_desk("records.next", |consumers, records, plugin, request| {
        let next: Next = read("records.next", request)?;
        let consumer = consumers.get("records.next", plugin, &next.consumer)?;
        let limit = next.limit.unwrap_or(50).clamp(1, MOST);
        let found = consumer.next(limit).map_err(|e| failed("records.next", &e))?;
        let (told, _) = told(records, &found, next.blobs).map_err(|error| {
            consumer.put_back(found.len());
            failed("records.next", &error)
        })?;
        // What found no room comes again: nothing may be left out.
        consumer.put_back(found.len() - told.len());
        Ok(json!({ "records": told }))
    });
    at_desk("records.ack", |consumers, _, plugin, request| {
        let ack: Ack = read("records.ack", request)?;
        let consumer = consumers.get("records.ack", plugin, &ack.consumer)?;
        consumer.ack(ack.up_to).map_err(|e| failed("records.ack", &e))?;
        Ok(json!({}))
    });
    at_desk("records.rewind", |consumers, _, plugin, request| {
        let named: Named = read("records.rewind", request)?;
        consumers.get("records.rewind", plugin, &named.consumer)?.rewind();
        Ok(json!({}))
    });
    at_desk("records.waiting", |consumers, _, plugin, request| {
        let named: Named = read("records.waiting", request)?;
        let consumer = consumers.get("records.waiting", plugin, &named.consumer)?;
        waiting(&consumer).map_err(|e| failed("records.waiting", &e))
    });
}

#[cfg(test)]
mod tests;
