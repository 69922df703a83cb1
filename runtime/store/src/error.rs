//! What can go wrong.

use crate::Hash;
use rusqlite::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// Why the store refused or failed. Cloning is cheap: one failure may answer a whole group of appends.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The queue of appends is full. Nothing was stored.
    #[error("the record store is busy ({records} records, {bytes} bytes wait): send again a little later")]
    Busy {
        /// Appends that wait.
        records: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// The disk is full or below the floor. Nothing was stored; appending works again when there is space.
    #[error(
        "the disk of the record store is full ({free} bytes free, {floor} must stay free): make room or keep fewer \
         records"
    )]
    Full {
        /// Free bytes when it was looked at.
        free: u64,
        /// The configured floor in bytes.
        floor: u64,
    },
    /// The store was closed, or its thread ended, before the append was answered. Whether it was stored is unknown.
    #[error("the record store is closed: open it again")]
    Closed,
    /// A draft that cannot be a record.
    #[error("this cannot be a record: {0}")]
    BadDraft(String),
    /// A query that cannot be asked.
    #[error("this cannot be asked: {0}")]
    BadQuery(String),
    /// What is not the text of a SHA-256.
    #[error("`{0}` is no blob hash: give 64 hexadecimal digits")]
    BadHash(String),
    /// Two consumers of one name would share a cursor.
    #[error("consumer `{0}` is in use: end the other one or choose another name")]
    ConsumerInUse(String),
    /// A name that cannot be a consumer's.
    #[error("`{0}` cannot be the name of a consumer: use 1 to 128 of a-z, A-Z, 0-9, `.`, `_`, `:` and `-`")]
    BadConsumer(String),
    /// An acknowledgement of what this consumer did not get.
    #[error("record {0} was not given to this consumer: acknowledge only what `next` returned")]
    NotDelivered(Uuid),
    /// A blob is missing, cut short or changed on the disk.
    #[error("blob {hash} is damaged ({what}): restore blobs/{folder}/{name} from a copy or send the record again",
        folder = hash.folder(), name = hash.file())]
    Damaged {
        /// Which blob.
        hash: Hash,
        /// What is wrong with it.
        what: String,
    },
    /// Another process writes here.
    #[error("the record store {0} is in use by another process: stop that one first")]
    Locked(PathBuf),
    /// The store was written by a newer Gantry.
    #[error("the record store has format {found}, this program knows {known}: use a newer program")]
    Newer {
        /// The format on the disk.
        found: i64,
        /// The format of this program.
        known: i64,
    },
    /// The file system cannot do what a write-ahead log needs.
    #[error("the records' database {0} cannot have a write-ahead log: put it on a local file system")]
    NoLog(PathBuf),
    /// A database that was just made is damaged already.
    #[error("a new records' database is damaged ({0}): replace the disk")]
    BadDisk(String),
    /// The database failed.
    #[error("the records' database failed ({0}): check the disk and the log")]
    Database(#[source] Arc<rusqlite::Error>),
    /// A file or folder failed.
    #[error("{path}: {source}: check the disk and the permissions")]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

impl StoreError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source: Arc::new(source) }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

pub(crate) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
