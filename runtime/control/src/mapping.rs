//! How a protocol names and shapes observables.

use gantry_core::access::Role;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether a client may send a value; an error is a sentence for it.
pub type Accepts = Arc<dyn Fn(&Value) -> Result<(), String> + Send + Sync>;

/// The keys of one protocol.
#[derive(Clone)]
pub struct Mapping {
    /// Its name: `cpro`.
    pub name: String,
    /// Grows with every load of the script; conversions are asked for by it.
    pub generation: u64,
    /// The keys by the protocol's name for them.
    pub keys: BTreeMap<String, Key>,
}

/// One key of a protocol.
#[derive(Clone)]
pub struct Key {
    /// The observable that it stands for.
    pub observable: String,
    /// Who may read it, if that is fewer than may read the observable.
    pub read: Option<Role>,
    /// Who may write it, if that is fewer than may write the observable.
    pub write: Writers,
    /// What a client may send, before any conversion, if that is less than the observable takes.
    pub accepts: Option<Accepts>,
    /// From the observable's value to the protocol's.
    pub outward: Conversion,
    /// From the protocol's value to the observable's.
    pub inward: Conversion,
}

impl Key {
    /// A key that is an observable under another name.
    #[must_use]
    pub fn of(observable: &str) -> Self {
        Self {
            observable: observable.to_owned(),
            read: None,
            write: Writers::AsObservable,
            accepts: None,
            outward: Conversion::Same,
            inward: Conversion::Same,
        }
    }
}

/// Who may write a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// Whoever may write the observable.
    AsObservable,
    /// This role and those above it, if they may write the observable.
    AtLeast(Role),
    /// Nobody.
    Nobody,
}

/// How a value becomes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// It stays as it is, and no script runs.
    Same,
    /// A function of the mapping's script makes it.
    Function,
}

/// Which way a value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a client to an observable.
    Inward,
    /// From an observable to the clients.
    Outward,
}

/// A value to convert.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The protocol's key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// What the observable is now.
    pub current: Value,
}

/// Runs the functions of mappings. Blocks for as long as scripts may take.
pub trait Converter: Send + Sync {
    /// The converted values in the same order; an error is a sentence for the client.
    fn convert(
        &self,
        mapping: &Mapping,
        direction: Direction,
        items: Vec<Item>,
    ) -> Vec<Result<Value, String>>;
}
