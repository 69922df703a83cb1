//! The ledger as the gateway uses it.

mod common;
mod counts;
mod days;
mod events;
mod hours;
mod properties;
mod settings;
mod sums;
