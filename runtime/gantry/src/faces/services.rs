//! What plugins and the operator can ask about faces.

use super::album::{self, MOST};
use crate::records::{Busy, Desk, Records};
use crate::state::Door;
use gantry_core::Runtime;
use gantry_core::access::Role;
use gantry_core::config::{Analysis, Config};
use gantry_core::services::{Caller, Reply, ServiceError};
use gantry_store::StoreError;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// Whether faces are looked for at all, and who may see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) available: bool,
    pub(crate) read: Role,
}

impl Policy {
    /// What a configuration wants.
    pub(crate) fn of(config: &Config) -> Self {
        let looks = |analysis: &Analysis| analysis.enabled && analysis.faces.is_some();
        Self { available: config.analysis.values().any(looks), read: config.faces.read }
    }
}

/// The policy in force, which the configuration changes.
#[derive(Debug)]
pub(crate) struct Rules(Mutex<Policy>);

impl Default for Rules {
    fn default() -> Self {
        Self(Mutex::new(Policy { available: false, read: Role::Administrator }))
    }
}

impl Rules {
    /// From now on.
    pub(crate) fn set(&self, policy: Policy) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// Now.
    pub(crate) fn now(&self) -> Policy {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most faces that are deleted by their numbers at once.
const MOST_IDS: usize = 1000;

fn answer(
    records: Result<&Records, Busy>,
    read: impl FnOnce(&Records) -> Result<Value, StoreError>,
) -> Result<Value, ServiceError> {
    match records {
        Ok(records) => read(records).map_err(|error| ServiceError(error.to_string())),
        Err(Busy) => Err(busy()),
    }
}

fn busy() -> ServiceError {
    ServiceError("too many ask for faces: try again in a moment".to_owned())
}

/// Deletes faces and notes who had that done: also when it failed, for what was deleted before is gone.
pub(super) fn delete_noted(
    records: &Records,
    ids: Option<&[u64]>,
    mut said: Value,
) -> Result<Value, ServiceError> {
    let deleted = album::delete(records.store(), ids);
    said["deleted"] = json!(deleted.as_ref().map_or_else(|failed| failed.removed, |deleted| *deleted));
    if let Err(failed) = &deleted {
        said["error"] = json!(failed.error.to_string());
    }
    records.note("audit", said);
    deleted.map(|deleted| json!({ "deleted": deleted })).map_err(|failed| ServiceError(failed.to_string()))
}

/// Offers `faces.get`, `faces.list` and `faces.delete`.
pub(crate) fn offer(runtime: &Runtime, desk: &Arc<Desk>, door: &Arc<Door>, rules: &Arc<Rules>) {
    let services = &runtime.services;
    let (at, asked, policy) = (door.clone(), desk.clone(), rules.clone());
    let get = move |caller: &Caller, request: Value, reply: Reply| {
        let Some(id) = request["face_id"].as_u64() else {
            return reply(Err(ServiceError("faces.get: `face_id` is a whole number from 1".to_owned())));
        };
        let Policy { available, read } = policy.now();
        // Who may not see faces learns nothing of which there are.
        if !available || !at.who(caller, &request).0.may(read) {
            return reply(Ok(json!({ "face_id": id, "missing": "face" })));
        }
        asked.ask(move |records| reply(answer(records, |records| album::get(records, id))));
    };
    services.offer("faces.get", Arc::new(get));

    let (at, asked, policy) = (door.clone(), desk.clone(), rules.clone());
    let list = move |caller: &Caller, request: Value, reply: Reply| {
        let Policy { available, read } = policy.now();
        if !available || !at.who(caller, &request).0.may(read) {
            return reply(Ok(json!({ "available": false })));
        }
        let limit = match request.get("limit") {
            None | Some(Value::Null) => 50,
            Some(limit) => match limit.as_u64() {
                Some(limit) => usize::try_from(limit).unwrap_or(MOST),
                None => {
                    let message = "faces.list: `limit` is a whole number from 0";
                    return reply(Err(ServiceError(message.to_owned())));
                }
            },
        };
        asked.ask(move |records| reply(answer(records, |records| album::list(records, limit))));
    };
    services.offer("faces.list", Arc::new(list));

    let (at, asked) = (door.clone(), desk.clone());
    let delete = move |caller: &Caller, request: Value, reply: Reply| {
        let (who, _) = at.who(caller, &request);
        if !who.may(Role::Operator) {
            return reply(Err(ServiceError("faces.delete: it takes an operator: log in as one".to_owned())));
        }
        let ids = match (
            request.get("all"),
            request.get("face_ids").map(|ids| serde_json::from_value(ids.clone())),
        ) {
            (Some(Value::Bool(true)), None) => None,
            (None, Some(Ok::<Vec<u64>, _>(ids))) if ids.len() <= MOST_IDS => Some(ids),
            _ => {
                let message = format!(
                    "faces.delete: send {{\"face_ids\": [numbers]}}, at most {MOST_IDS}, or {{\"all\": true}}"
                );
                return reply(Err(ServiceError(message)));
            }
        };
        let said = json!({
            "type": "faces-deleted", "face_ids": ids, "user": who.user, "via": &*who.via, "address": who.address,
        });
        asked.ask(move |records| {
            reply(match records {
                Ok(records) => delete_noted(records, ids.as_deref(), said),
                Err(Busy) => Err(busy()),
            });
        });
    };
    services.offer("faces.delete", Arc::new(delete));
}
