//! What plugins and the operator can ask about counts.

use super::{Order, Post};
use crate::clock::unix_ms;
use crate::records::{Busy, Desk, Records};
use crate::state::Door;
use gantry_core::Runtime;
use gantry_core::access::Role;
use gantry_core::services::{Caller, Reply, ServiceError};
use gantry_counting::CorrectionRecord;
use gantry_store::{Direction, Query};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most hours of one answer: two months.
const MOST_HOURS: usize = 1500;
/// The longest reason of a correction, in characters.
const MAX_REASON: usize = 200;

/// Offers `counts.read`, `counts.history` and `counts.correct`.
pub(crate) fn offer(
    runtime: &Runtime,
    post: &Post,
    desk: &Arc<Desk>,
    records: &Arc<Records>,
    door: &Arc<Door>,
) {
    let services = &runtime.services;
    let (asked, at) = (post.clone(), door.clone());
    let read = move |caller: &Caller, request: Value, reply: Reply| {
        if let Err(error) = admit(&at, "counts.read", caller, &request) {
            return reply(Err(error));
        }
        asked.ask(Order::Read(Box::new(|answer| reply(answer.map_err(ServiceError)))));
    };
    services.offer("counts.read", Arc::new(read));

    let (asked, desk, at) = (post.clone(), desk.clone(), door.clone());
    let history = move |caller: &Caller, request: Value, reply: Reply| {
        if let Err(error) = admit(&at, "counts.history", caller, &request) {
            return reply(Err(error));
        }
        let desk = desk.clone();
        // The hours of today are the ledger's; those before are records.
        let with_today = move |today: Result<Value, String>| match today {
            Ok(today) => desk.ask(move |records| {
                let busy =
                    |Busy| ServiceError("counts.history: too many ask: try again in a moment".to_owned());
                let told = records.map_err(busy);
                reply(told.and_then(|records| past(records, &request, &today).map_err(ServiceError)));
            }),
            Err(message) => reply(Err(ServiceError(message))),
        };
        asked.ask(Order::Hours(Box::new(with_today)));
    };
    services.offer("counts.history", Arc::new(history));

    let (asked, at, kept) = (post.clone(), door.clone(), records.clone());
    let correct = move |caller: &Caller, request: Value, reply: Reply| {
        let (who, _) = at.who(caller, &request);
        if !who.may(Role::Operator) {
            let message = "counts.correct: it takes an operator: log in as one";
            return reply(Err(ServiceError(message.to_owned())));
        }
        let text = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |key: &str| match request.get(key) {
            None => Some(0),
            Some(value) => value.as_i64().filter(|n| n.unsigned_abs() <= 1_000_000),
        };
        let (Some(count_in), Some(count_out)) = (number("count_in"), number("count_out")) else {
            let message =
                "counts.correct: `count_in` and `count_out` are whole numbers to add, at most a million";
            return reply(Err(ServiceError(message.to_owned())));
        };
        let record = CorrectionRecord {
            camera: text("camera"),
            line: text("line"),
            count_in,
            count_out,
            reason: text("reason").chars().take(MAX_REASON).collect(),
            time_ms: unix_ms().cast_signed(),
        };
        let mut said = json!(record);
        said["user"] = json!(who.user);
        said["via"] = json!(&*who.via);
        said["address"] = json!(who.address);
        let kept = kept.clone();
        let done = move |answer: Result<Value, String>| {
            if answer.is_ok() {
                kept.note("audit", said);
            }
            reply(answer.map_err(ServiceError));
        };
        asked.ask(Order::Correct(record, Box::new(done)));
    };
    services.offer("counts.correct", Arc::new(correct));
}

/// Lets in who may see what is public. A request that shows no token at all is the plugin's own.
fn admit(door: &Door, service: &str, caller: &Caller, request: &Value) -> Result<(), ServiceError> {
    if request.get("token").is_none() || door.who(caller, request).0.may(Role::Anonymous) {
        return Ok(());
    }
    Err(ServiceError(format!("{service}: strangers learn nothing here: log in first")))
}

/// The sums of the hours that were asked for, the oldest first.
fn past(records: &Records, request: &Value, now: &Value) -> Result<Value, String> {
    let time = |key: &str| match request.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_i64()
            .map(Some)
            .ok_or_else(|| format!("counts.history: `{key}` is Unix time in milliseconds")),
    };
    let (from, until) = (time("from_ms")?, time("to_ms")?);
    let query =
        Query { from, until, direction: Direction::Newest, limit: MOST_HOURS, ..Query::collection("hours") };
    let found = records.store().read().query(&query).map_err(|error| error.to_string())?;
    // An hour may be told again, and the last word counts.
    let kept = found.iter().rev().filter_map(|record| serde_json::from_str::<Value>(&record.json).ok());
    let running = now.as_array().cloned().unwrap_or_default();
    let start = |hour: &Value| hour["start_ms"].as_i64().unwrap_or_default();
    let hours: BTreeMap<i64, Value> = kept.chain(running).map(|hour| (start(&hour), hour)).collect();
    let within = |hour: &Value| {
        let start = start(hour);
        from.is_none_or(|from| start >= from) && until.is_none_or(|until| start < until)
    };
    let wanted = |key: &str| request.get(key).and_then(Value::as_str);
    let (camera, line) = (wanted("camera"), wanted("line"));
    let narrowed = |hour: Value| {
        let lines: Map<String, Value> = match &hour["lines"] {
            Value::Object(lines) => lines
                .iter()
                .filter(|(name, _)| {
                    let (of, name) = name.split_once('/').unwrap_or_default();
                    camera.is_none_or(|camera| camera == of) && line.is_none_or(|line| line == name)
                })
                .map(|(name, sums)| (name.clone(), sums.clone()))
                .collect(),
            _ => Map::new(),
        };
        json!({ "start_ms": hour["start_ms"], "lines": lines })
    };
    let hours: Vec<Value> = hours.into_values().filter(within).map(narrowed).collect();
    Ok(json!({ "hours": hours }))
}
