//! Between the thread that empties the socket and the one that works: datagrams that wait for their turn.
//!
//! The kernel has room for no more than a few hundred datagrams on most systems, and newer firmware sends 255 without waiting
//! for a reply. So one thread does nothing but take them out, and they wait here, where there is more room.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Who sent a datagram, and where it ends.
type Entry = (SocketAddr, usize);

/// What a datagram costs beside its bytes: its entry, and as much again because the list of them grows ahead.
const COST: usize = 80;
const _: () = assert!(2 * size_of::<Entry>() <= COST);
/// Memory of a batch that is kept for the next one, and by how much more it grows at once, in bytes.
const KEPT: usize = 1 << 20;

/// Datagrams one after the other, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    ends: Vec<Entry>,
    /// How many were taken out.
    taken: usize,
}

impl Batch {
    fn cost(&self) -> usize {
        self.bytes.len() + self.ends.len() * COST
    }

    fn push(&mut self, from: SocketAddr, datagram: &[u8]) {
        if self.bytes.capacity() - self.bytes.len() < datagram.len() {
            // To double what is large would take twice of what may wait.
            self.bytes.reserve_exact(datagram.len().max(self.bytes.len().min(KEPT)));
        }
        self.bytes.extend_from_slice(datagram);
        self.ends.push((from, self.bytes.len()));
    }

    /// Whether all were taken out.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken == self.ends.len()
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Option<(SocketAddr, &[u8])> {
        let &(from, end) = self.ends.get(self.taken)?;
        let start = self.taken.checked_sub(1).map_or(0, |before| self.ends[before].1);
        self.taken += 1;
        Some((from, &self.bytes[start..end]))
    }

    fn clear(&mut self) {
        if self.bytes.capacity() > KEPT || self.ends.capacity() * size_of::<Entry>() > KEPT {
            *self = Self::default();
        }
        self.bytes.clear();
        self.ends.clear();
        self.taken = 0;
    }
}

#[derive(Default)]
struct Waiting {
    batch: Batch,
    /// What the batch costs that was given out last, and may still be worked on.
    out: usize,
}

/// What waits, up to so many bytes.
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    most: usize,
    bell: Notify,
    dropped: AtomicU64,
}

impl Inbox {
    /// With room for datagrams that cost so much, each with some bytes more than it has, together with those that are worked on.
    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: Mutex::default(), most, bell: Notify::new(), dropped: AtomicU64::new(0) }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a datagram wait. When there is no room it is dropped, as the kernel would have done.
    pub(crate) fn put(&self, from: SocketAddr, datagram: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.batch.cost() + waiting.out + datagram.len() + COST > self.most {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.batch.push(from, datagram);
        let is_first = waiting.batch.ends.len() == 1;
        drop(waiting);
        if is_first {
            self.bell.notify_one();
        }
    }

    /// Gives out all that waits.
    fn swap(&self, batch: &mut Batch) {
        let mut waiting = self.waiting();
        std::mem::swap(&mut waiting.batch, batch);
        waiting.out = batch.cost();
    }

    /// Waits until there is something in `batch`: what is in there already, or all that waits.
    pub(crate) async fn fill(&self, batch: &mut Batch) {
        if !batch.is_empty() {
            // Whoever else there is has a turn in between.
            return tokio::task::yield_now().await;
        }
        loop {
            batch.clear();
            self.swap(batch);
            if !batch.is_empty() {
                return;
            }
            self.bell.notified().await;
        }
    }

    /// How many found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, COST, Entry, Inbox, KEPT};
    use std::net::SocketAddr;

    fn from(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    /// All that is there, when something is.
    fn all(inbox: &Inbox) -> Vec<(u16, Vec<u8>)> {
        let mut batch = Batch::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(inbox.fill(&mut batch));
        let mut all = Vec::new();
        while let Some((from, bytes)) = batch.next() {
            all.push((from.port(), bytes.to_vec()));
        }
        assert!(batch.is_empty());
        all
    }

    #[test]
    fn datagrams_come_out_as_they_came_in() {
        let inbox = Inbox::new(10_000);
        let sent = [(1, b"one".to_vec()), (2, Vec::new()), (1, b"three".to_vec())];
        for (port, bytes) in &sent {
            inbox.put(from(*port), bytes);
        }
        assert_eq!(all(&inbox), sent);
        inbox.put(from(3), b"again");
        assert_eq!(all(&inbox), [(3, b"again".to_vec())]);
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted_also_when_it_is_empty() {
        let inbox = Inbox::new(10 * (COST + 100));
        for n in 0..20 {
            inbox.put(from(n), &[0; 100]);
        }
        assert_eq!((all(&inbox).len(), inbox.dropped()), (10, 10));
        let inbox = Inbox::new(10 * (COST + 100));
        for n in 0..100 {
            inbox.put(from(n), &[]);
        }
        assert_eq!(all(&inbox).len(), 10 * (COST + 100) / COST);
    }

    #[test]
    fn what_is_worked_on_takes_room_until_the_next_is_asked_for() {
        let (inbox, mut batch) = (Inbox::new(10 * (COST + 100)), Batch::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let put = || (0..20).for_each(|n| inbox.put(from(n), &[0; 100]));
        put();
        runtime.block_on(inbox.fill(&mut batch));
        put();
        assert_eq!((batch.ends.len(), inbox.dropped()), (10, 30));
        while batch.next().is_some() {}
        // There is nothing more, and so it waits for something.
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = inbox.fill(&mut batch) => {}
                () = async { put() } => {}
            }
        });
        assert_eq!((all(&inbox).len(), inbox.dropped()), (10, 40));
    }

    #[test]
    fn what_waits_takes_no_more_memory_than_it_may() {
        let most = 8 << 20;
        for bytes in [0, 10, 1460, 60_000] {
            let inbox = Inbox::new(most);
            while inbox.dropped() == 0 {
                inbox.put(from(1), &vec![0; bytes]);
            }
            let waiting = inbox.waiting();
            let entries = waiting.batch.ends.capacity() * size_of::<Entry>();
            assert!(waiting.batch.bytes.capacity() + entries <= most + KEPT, "of {bytes} bytes");
        }
    }

    #[test]
    fn a_batch_gives_back_the_memory_of_a_burst() {
        let many = KEPT / size_of::<Entry>() + 1;
        for batch in [
            Batch { bytes: vec![0; KEPT + 1], ..Batch::default() },
            Batch { ends: Vec::with_capacity(many), ..Batch::default() },
        ] {
            let mut batch = batch;
            batch.clear();
            assert_eq!((batch.bytes.capacity(), batch.ends.capacity()), (0, 0));
        }
        let mut batch = Batch { bytes: vec![0; 1000], ends: vec![(from(1), 1)], taken: 0 };
        batch.clear();
        assert!(batch.bytes.capacity() >= 1000 && batch.ends.capacity() > 0);
    }
}
