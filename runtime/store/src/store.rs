//! The handle.

use crate::blobs::{Blobs, make_dir};
use crate::queue::{OnAppended, Queue, Reply};
use crate::record::Checked;
use crate::retention::Rules;
use crate::watch::Watchers;
use crate::writer::Writer;
use crate::{
    Appended, Clock, Consumer, ConsumerSettings, Draft, Keep, Opened, Reader, Settings, Stats, StoreError,
    Watch, consumer, lock, repair, reserve,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

struct Inner {
    queue: Arc<Queue>,
    watchers: Arc<Watchers>,
    reader: Reader,
    clock: Clock,
    opened: Opened,
    in_use: Mutex<BTreeSet<String>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The store. Cloning shares it; the last one that goes closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl Store {
    /// Opens the store in `dir`, which is made if it is not there, checks it, and repairs it if needed: see
    /// [`opened`](Self::opened). Blocks for as long as that takes.
    pub fn open(dir: &Path, settings: Settings) -> Result<Self, StoreError> {
        make_dir(dir)?;
        let free = || (settings.free_space)(dir).unwrap_or(u64::MAX);
        reserve::give(dir, free());
        let lock_file = lock_dir(dir)?;
        let blobs = Blobs::open(dir.join("blobs"))?;
        let (conn, opened) = repair::open(dir, &blobs, &settings)?;
        let reader = Reader::with(dir, &settings)?;
        reserve::keep(dir, free());
        let (queue, watchers) = (Arc::new(Queue::new(&settings)), Arc::new(Watchers::default()));
        let clock = settings.clock.clone();
        let mut writer = Writer::new(conn, dir.to_owned(), blobs, settings, watchers.clone())?;
        if !opened.was_clean {
            writer.distrust(opened.damaged.iter().map(|damage| damage.sha256));
        }
        let its_queue = queue.clone();
        let thread = std::thread::Builder::new()
            .name("records".into())
            .spawn(move || {
                // Also when it panics: everybody who waits gets an answer.
                let _ends = Abandon(&its_queue);
                writer.run(&its_queue);
                drop(lock_file);
            })
            .map_err(StoreError::io(dir))?;
        let thread = Mutex::new(Some(thread));
        let in_use = Mutex::default();
        Ok(Self(Arc::new(Inner { queue, watchers, reader, clock, opened, in_use, thread })))
    }

    /// What opening found.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.0.opened
    }

    /// Appends a record. Never waits for the disk, but checks the JSON and hashes the blobs on this thread.
    ///
    /// `reply` is called once: on the store's thread after the record and its blobs are on the disk, or when they could
    /// not be stored; on this thread when the draft is bad or the queue is full. It must not block.
    pub fn append(&self, draft: Draft, reply: OnAppended) {
        match Checked::new(draft) {
            Ok(checked) => self.0.queue.append(checked, Reply::new(reply)),
            Err(error) => Reply::new(reply).send(Err(error)),
        }
    }

    /// Appends a record and waits until it is on the disk.
    pub fn append_wait(&self, draft: Draft) -> Result<Appended, StoreError> {
        let (sender, receiver) = sync_channel(1);
        let reply = move |result| {
            let _ = sender.send(result);
        };
        self.append(draft, Box::new(reply));
        receiver.recv().map_err(|_| StoreError::Closed)?
    }

    /// Reading; it never waits for appends.
    #[must_use]
    pub fn read(&self) -> &Reader {
        &self.0.reader
    }

    /// What the store holds, with what waits to be stored.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        Ok(Stats { queue: self.0.queue.stats(), ..self.0.reader.stats()? })
    }

    /// Opens the consumer of this name; it goes on where it was. Waits for the disk.
    pub fn consumer(&self, name: &str, settings: ConsumerSettings) -> Result<Consumer, StoreError> {
        Consumer::open(self.clone(), name, settings)
    }

    /// Ends a consumer for good: its cursor and what it holds. Tells whether there was one.
    pub fn forget_consumer(&self, name: &str) -> Result<bool, StoreError> {
        let owner = name.to_owned();
        self.claim(name)?;
        let gone = self.ask(move |writer| consumer::forget(writer, &owner)).and_then(|gone| gone);
        self.release(name);
        gone
    }

    /// Calls `wake` after every group with records of these collections (empty: of any), on the store's thread: it must
    /// not block, and must not hold the store.
    #[must_use]
    pub fn on_append(&self, collections: BTreeSet<String>, wake: impl Fn() + Send + Sync + 'static) -> Watch {
        self.watch(collections, Arc::new(wake))
    }

    /// Changes what is kept. Deleting begins soon after.
    pub fn set_keep(&self, keep: Keep, collections: BTreeMap<String, Keep>) -> Result<(), StoreError> {
        let rules = Rules { default: keep, collections };
        self.0.queue.task(Box::new(move |writer| writer.rules = rules))
    }

    /// Deletes all that is not to be kept, and files that no record has, now; appends wait meanwhile. The store does this
    /// by itself in small steps.
    pub fn tidy(&self) -> Result<(), StoreError> {
        self.ask(|writer| while writer.tidy() {})
    }

    /// Waits until all acknowledgements given before are on the disk.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.ask(|_| ())
    }

    /// Takes nothing more, stores what waits and ends. Other handles answer [`StoreError::Closed`] from now on; their
    /// reading goes on.
    pub fn close(&self) {
        self.0.close();
    }

    /// Has the writer's thread do something, and waits for the result.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = sync_channel(1);
        self.0.queue.task(Box::new(move |writer| {
            let _ = sender.send(work(writer));
        }))?;
        receiver.recv().map_err(|_| StoreError::Closed)
    }

    pub(crate) fn ack(&self, name: &str, seq: i64) -> Result<(), StoreError> {
        self.0.queue.ack(name, seq)
    }

    pub(crate) fn watch(&self, collections: BTreeSet<String>, wake: Arc<dyn Fn() + Send + Sync>) -> Watch {
        self.0.watchers.add(collections, wake)
    }

    pub(crate) fn claim(&self, name: &str) -> Result<(), StoreError> {
        if lock(&self.0.in_use).insert(name.to_owned()) {
            return Ok(());
        }
        Err(StoreError::ConsumerInUse(name.to_owned()))
    }

    pub(crate) fn release(&self, name: &str) {
        lock(&self.0.in_use).remove(name);
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }
}

impl Inner {
    fn close(&self) {
        self.queue.close();
        let Some(thread) = lock(&self.thread).take() else { return };
        // The last handle may go in an answer, on the thread itself.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            tracing::error!("the record store's thread panicked: this is a bug, report it");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

struct Abandon<'a>(&'a Queue);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Makes sure that only one process writes here. The lock ends with the file.
fn lock_dir(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(&path)
        .map_err(StoreError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(StoreError::io(&path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Query;

    fn limit_pages(store: &Store, pages: u32) {
        let sql = format!("PRAGMA max_page_count = {pages}");
        store.ask(move |writer| writer.conn.query_row(&sql, [], |_| Ok(()))).unwrap().unwrap();
    }

    #[test]
    fn when_the_database_cannot_grow_appends_are_refused_and_taken_again_when_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { min_free: 0, keep: Keep::everything(), ..Settings::default() };
        let store = Store::open(dir.path(), settings).unwrap();
        let draft = |n: usize| Draft {
            collection: "a".into(),
            json: format!("\"{n}{}\"", "x".repeat(20_000)),
            blobs: vec![("image".into(), vec![n as u8; 20_000].into())],
            ..Draft::default()
        };
        store.append_wait(draft(0)).unwrap();
        // No page less than there are.
        limit_pages(&store, 1);
        for n in 1..4 {
            assert!(matches!(store.append_wait(draft(n)), Err(StoreError::Full { .. })));
        }
        assert_eq!(store.read().count(&Query::default()).unwrap(), 1);
        assert_eq!(store.stats().unwrap().files.count, 1);
        limit_pages(&store, 1 << 30);
        store.append_wait(draft(1)).unwrap();
        assert_eq!(store.read().count(&Query::default()).unwrap(), 2);
        assert_eq!(store.stats().unwrap().collections["a"].count, 2);
        let verified = store.read().verify(true).unwrap();
        assert_eq!((verified.records, verified.damaged), (2, 0));
    }
}
