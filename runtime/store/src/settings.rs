//! How a store is opened.

use crate::Keep;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time: Unix, in milliseconds. Called on the writer's thread and by consumers.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Tells how many bytes are free for this process on the disk of a folder.
pub type FreeSpace = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// How a store is opened. The defaults are for a gateway's own disk.
#[derive(Clone)]
pub struct Settings {
    /// Tells the time.
    pub clock: Clock,
    /// Tells the free space.
    pub free_space: FreeSpace,
    /// Below this many free bytes appends are refused. Deleting needs a little space too: with 0 a full disk may need
    /// an operator to make room first. Default 256 MiB.
    pub min_free: u64,
    /// The most appends that wait. Default 4096.
    pub queue_records: usize,
    /// The most bytes of JSON and blobs that wait; one append alone is always taken. Default 64 MiB.
    pub queue_bytes: usize,
    /// What is kept of collections that are not in `collections`.
    pub keep: Keep,
    /// What is kept, by collection.
    pub collections: BTreeMap<String, Keep>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Arc::new(now_ms),
            free_space: Arc::new(free_space),
            min_free: 256 * 1024 * 1024,
            queue_records: 4096,
            queue_bytes: 64 * 1024 * 1024,
            keep: Keep::default(),
            collections: BTreeMap::new(),
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn free_space(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
