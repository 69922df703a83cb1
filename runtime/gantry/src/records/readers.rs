//! Who may read records through a plugin that passes on what its clients ask.

use crate::faces;
use crate::state::Door;
use gantry_core::access::Role;
use gantry_core::services::{Caller, ServiceError};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// The right to read records.
pub(crate) struct Readers {
    door: Arc<Door>,
    faces: Arc<faces::Rules>,
    role: Mutex<Role>,
}

impl Readers {
    /// Nobody but administrators, until a configuration says more.
    pub(crate) fn new(door: Arc<Door>, faces: Arc<faces::Rules>) -> Self {
        Self { door, faces, role: Mutex::new(Role::Administrator) }
    }

    /// From now on.
    pub(crate) fn set(&self, role: Role) {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner) = role;
    }

    /// What it takes to read a collection: who may not see faces learns nothing of them here either, and the audit says who
    /// logs in from where.
    fn needed(&self, collection: &str) -> Role {
        let role = *self.role.lock().unwrap_or_else(PoisonError::into_inner);
        match collection {
            "audit" => Role::Administrator,
            "faces" => role.max(self.faces.now().read),
            _ => role,
        }
    }

    /// The request without whose it is, when he may.
    pub(super) fn admit(&self, caller: &Caller, mut request: Value) -> Result<Value, ServiceError> {
        let needed = self.needed(request["collection"].as_str().unwrap_or_default());
        let (who, ended) = self.door.who(caller, &request);
        if !who.may(needed) {
            let why = if ended { "this login has ended: log in again" } else { "log in as one" };
            return Err(ServiceError(format!("records.read: it takes the role `{needed}`: {why}")));
        }
        if let Value::Object(request) = &mut request {
            request.remove("token");
            request.remove("address");
        }
        Ok(request)
    }
}
