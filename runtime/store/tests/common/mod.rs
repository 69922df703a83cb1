//! What the tests share: a store in its own folder, with a clock and a free space that the test sets.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its part, and fails where it unwraps nothing"
)]

use bytes::Bytes;
use gantry_store::{Appended, Draft, Keep, Record, Settings, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};

pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) now: Arc<AtomicI64>,
    pub(crate) free: Arc<AtomicU64>,
    pub(crate) settings: Settings,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let (now, free) = (Arc::new(AtomicI64::new(1_750_000_000_000)), Arc::new(AtomicU64::new(1 << 40)));
        let (clock, space) = (now.clone(), free.clone());
        let settings = Settings {
            clock: Arc::new(move || clock.load(SeqCst)),
            free_space: Arc::new(move |_| Ok(space.load(SeqCst))),
            keep: Keep::everything(),
            ..Settings::default()
        };
        Self { dir: tempfile::tempdir().unwrap(), now, free, settings }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.path(), self.settings.clone()).unwrap()
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.now.fetch_add(ms, SeqCst);
    }

    /// A copy of the folder as a crash at this moment would leave it (but for what the kernel has not written, which
    /// the tests take away by themselves).
    pub(crate) fn crash(&self) -> Fixture {
        let copy = Fixture::new();
        copy.now.store(self.now.load(SeqCst), SeqCst);
        copy_dir(&self.path(), &copy.path());
        copy
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

pub(crate) fn draft(collection: &str, json: &str) -> Draft {
    Draft { collection: collection.into(), json: json.into(), ..Draft::default() }
}

/// `len` bytes that differ by `seed`.
pub(crate) fn picture(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) fn with_picture(collection: &str, seed: u64, len: usize) -> Draft {
    let json = format!("{{\"n\":{seed}}}");
    Draft { blobs: vec![("image".into(), picture(seed, len))], ..draft(collection, &json) }
}

pub(crate) type Answer = Result<Appended, StoreError>;

/// Appends and gives the answer later.
pub(crate) fn later(store: &Store, draft: Draft) -> Receiver<Answer> {
    let (sender, receiver) = channel();
    store.append(draft, Box::new(move |answer| sender.send(answer).unwrap_or_default()));
    receiver
}

/// Has several appends wait while the writer is busy, so that they come into one group; gives their answers.
pub(crate) fn together(store: &Store, drafts: Vec<Draft>) -> Vec<Answer> {
    let (entered, inside) = channel();
    let (leave, left) = channel::<()>();
    let left = std::sync::Mutex::new(left);
    let draft = draft("gate", "{}");
    store.append(
        draft,
        Box::new(move |answer| {
            answer.expect("stored");
            entered.send(()).unwrap();
            let _ = left.lock().unwrap().recv();
        }),
    );
    inside.recv().unwrap();
    let answers: Vec<_> = drafts.into_iter().map(|draft| later(store, draft)).collect();
    drop(leave);
    answers.into_iter().map(|answer| answer.recv().unwrap()).collect()
}

pub(crate) fn jsons(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| &*record.json).collect()
}

/// The files under `blobs`.
pub(crate) fn blob_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(dir.join("blobs")).unwrap() {
        files.extend(std::fs::read_dir(folder.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
    }
    files
}
