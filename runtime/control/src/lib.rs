//! Control: the one way by which observables change, whoever asks for it.
//!
//! ```text
//! client ─► plugin ─► mapping.write ┐                                   ┌─► targets: camera controls, recorder, lights
//! plugin ───────────► state.write   ├─► Control, on one thread ─► checks ┼─► state ─► watchers
//! rules, cameras ───► report        ┘   (rights, type, range)            ├─► journal: who changed what
//!                                                                        └─► bus: mappings/NAME/changed
//! ```
//!
//! An observable is a declared key of the runtime's state. A [`Mapping`] is how one protocol names and shapes observables;
//! for each mapping a *projection* holds what its clients see now. One thread does all changes, so that "checked, acted,
//! kept, told" is one step and every client sees the same order.
//!
//! This crate does *not* know cameras, lights, scripts or files: they come as [`Targets`], [`Converter`] and [`Journal`].
#![forbid(unsafe_code)]

mod batch;
mod control;
mod mapping;
mod projection;
mod worker;

pub use batch::{Answer, Rejected};
pub use control::{Control, Kept, Parts};
pub use mapping::{Accepts, Conversion, Converter, Direction, Item, Key, Mapping, Writers};

use gantry_core::access::Role;
use gantry_core::observable::Target;
use serde_json::Value;
use std::sync::Arc;

/// Who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The user, or nobody who has said who he is.
    pub user: Option<String>,
    /// What he may do; nothing without one.
    pub role: Option<Role>,
    /// What he came through: a plugin's name, `script`, `gateway`.
    pub via: Arc<str>,
    /// Where he connects from.
    pub address: Option<String>,
}

impl Who {
    /// A part of the runtime itself, which may do everything.
    #[must_use]
    pub fn part(name: &str) -> Self {
        Self { user: None, role: Some(Role::Administrator), via: name.into(), address: None }
    }

    /// Whether he may do what needs at least this role.
    #[must_use]
    pub fn may(&self, least: Role) -> bool {
        self.role.is_some_and(|role| role >= least)
    }
}

/// Told when something that was begun is done; a button falls back then.
pub type Done = Box<dyn FnOnce() + Send>;

/// What observables act on: the cameras, the recorders, the lights.
pub trait Targets: Send + Sync {
    /// Whether a target is there, else why not: a sentence that ends in the next step. Cheap.
    fn available(&self, target: &Target) -> Result<(), String>;

    /// The value that a target has by its own configuration, for observables without a default.
    fn configured(&self, target: &Target) -> Option<Value>;

    /// Acts. Returns soon; `done` is called when nothing of it is left to do. An error is a sentence for the client.
    fn act(&self, target: &Target, value: &Value, done: Done) -> Result<(), String>;
}

/// What is remembered of changes: who changed what.
pub trait Journal: Send + Sync {
    /// An observable was changed.
    fn changed(&self, who: &Who, key: &str, from: &Value, to: &Value);
}
