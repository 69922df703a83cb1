//! Gantry's Rhai engine: mappings, rules, reload, replay. The only crate that knows Rhai.
//!
//! Operators write two kinds of scripts. A *mapping* says which keys of a protocol stand for which
//! observables, and how values are converted where they differ. A *rule* decides what an event is and what
//! follows from it. [`Scripts`] owns the one thread on which they run, loads them anew when their files
//! change, and keeps the last good version of what is broken.
//!
//! This crate does *not* apply anything: a conversion gives a value and a rule gives [`Effect`]s, and whoever
//! asked for them checks rights and ranges of observables and acts. Scripts see no clock, file, network or
//! randomness: what they need is in the event, so that a recording replays exactly.
#![forbid(unsafe_code)]

mod actions;
mod convert;
mod docs;
mod effect;
mod engine;
mod error;
mod events;
mod explain;
mod load;
mod mapping;
mod offline;
mod program;
mod replay;
mod rest;
mod rule;
mod scripts;
mod session;
mod setup;
mod source;
mod table;
pub mod test;
mod text;
mod value;
mod worker;

pub use docs::{Generated, docs};
pub use effect::{Effect, Level};
pub use error::{ErrorKind, ScriptError};
pub use mapping::{Conversion, Key, Mapping, Right};
pub use offline::{Check, check};
pub use replay::{Recorded, call, replay};
pub use rule::{Field, HOOKS, Hook};
pub use scripts::{Changed, Conversions, Direction, Done, Item, Scripts, Settings};
