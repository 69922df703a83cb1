//! Gantry's durable records: whatever arrives or happens and must not be lost, with its pictures.
//!
//! A record has a collection, an id (UUIDv7, rising in the order of appending), a time, JSON and blobs. [`Store::append`]
//! answers after the record *and* its blobs are on the disk. Appends that wait together share one transaction and one
//! flush of the disk (group commit), so that durability costs per group and not per record.
//!
//! ```text
//! records.db        SQLite, WAL, synchronous=FULL; blobs of up to 16 KiB are in it
//! blobs/ab/cdef…    larger blobs: files by SHA-256, shared by all records that have the same bytes
//! lock              held by the one process that writes
//! ```
//!
//! One thread owns the connection that writes; readers have connections of their own and never wait for it.
//!
//! **Why a group ends in `syncfs`.** A group of eight pictures of 150 KB costs 17 flushes of the disk when each file and
//! each folder is synced by itself, 5 to 11 when that happens in parallel, and 2 with one `syncfs` for all files and one
//! `fsync` for the database (counted on ext4 in `/proc/diskstats`; `cargo run -p gantry-store --example ingest` shows them
//! with the rate).
//! Pack files need as few, and less writing, but lose what plain files give: deleting, finding orphans and rescuing
//! pictures without the database. Blobs inside SQLite are written twice. `syncfs` also waits for what others wrote to that
//! file system, so that a group with one new file, and any group while much waits to be written, syncs just its own files.
//! Nor is a temporary name needed: a file counts only once a row refers to it, and the row is written after the file is
//! on the disk.
//!
//! **Deleted is gone.** [`Store::remove`] answers when files are unlinked, rows are overwritten with zeros and the log is
//! empty. What retention deletes is overwritten as well (`secure_delete`): small JSON costs nothing more, and what
//! fills pages of its own (blobs in the database, JSON of several KB) costs as much writing as appending it did (counted:
//! 387 MB for 12,800 blobs of 12 KB that took 374 MB to append; 54 MB without). Two things are not in our hands: when
//! SQLite moves a row because others beside it went, up to 4 KB of it may stay in the unused middle of its old page until
//! that page is used or freed; and flash keeps what was written before for a while. Larger blobs are files and not
//! concerned by the first; encrypt the disk where either matters.
//!
//! This crate is *not* a message broker (fleets use NATS JetStream), *not* a place for state or configuration, and not a
//! network service: the binary offers it to plugins as calls. It knows nothing about what the JSON means. It keeps no
//! copies: it guards against power loss and crashes, not against the loss of the disk.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod blobs;
mod consumer;
mod error;
mod hash;
mod ids;
mod query;
mod queue;
mod reader;
mod record;
mod remove;
mod repair;
mod reserve;
mod retention;
mod rows;
mod schema;
mod settings;
mod stats;
mod store;
mod tidy;
mod verify;
mod watch;
mod writer;

pub use blobs::BlobReader;
pub use consumer::{Consumer, ConsumerSettings, Start, Waiting};
pub use error::StoreError;
pub use hash::Hash;
pub use query::{Direction, FieldEquals, MAX_LIMIT, Order, Query};
pub use queue::OnAppended;
pub use reader::Reader;
pub use record::{Appended, BlobRef, Draft, MAX_BLOB, MAX_BLOBS, MAX_JSON, Record};
pub use remove::RemoveError;
pub use repair::Opened;
pub use retention::Keep;
pub use settings::{Clock, FreeSpace, Settings};
pub use stats::{CollectionStats, ConsumerStats, QueueStats, Stats, Usage};
pub use store::Store;
pub use uuid::Uuid;
pub use verify::{Damage, Verified};
pub use watch::Watch;

/// Locks a mutex whose data stays consistent even if a holder panicked (every critical section here is a few
/// assignments), so poisoning would only turn one failure into many.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
