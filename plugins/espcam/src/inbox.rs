//! Between the thread that empties the socket and the one that works: datagrams that wait for their turn.
//!
//! The kernel has room for no more than a few hundred datagrams on most systems, and newer firmware sends 255 without waiting
//! for a reply. So one thread does nothing but take them out, and they wait here, where there is more room.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What a datagram costs beside its bytes.
const COST: usize = 64;
/// Memory of a batch that is kept for the next one, in bytes.
const KEPT: usize = 1 << 20;

/// Datagrams one after the other, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Who sent each, and where it ends.
    ends: Vec<(SocketAddr, usize)>,
    /// How many were taken out.
    taken: usize,
}

impl Batch {
    fn cost(&self) -> usize {
        self.bytes.len() + self.ends.len() * COST
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
        if self.bytes.capacity() > KEPT {
            *self = Self::default();
        }
        self.bytes.clear();
        self.ends.clear();
        self.taken = 0;
    }
}

/// What waits, up to so many bytes.
pub(crate) struct Inbox {
    waiting: Mutex<Batch>,
    most: usize,
    bell: Notify,
    dropped: AtomicU64,
}

impl Inbox {
    /// With room for datagrams that cost so much, each with some bytes more than it has.
    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: Mutex::default(), most, bell: Notify::new(), dropped: AtomicU64::new(0) }
    }

    fn waiting(&self) -> MutexGuard<'_, Batch> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a datagram wait. When there is no room it is dropped, as the kernel would have done.
    pub(crate) fn put(&self, from: SocketAddr, datagram: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.cost() + datagram.len() + COST > self.most {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.bytes.extend_from_slice(datagram);
        let end = waiting.bytes.len();
        waiting.ends.push((from, end));
        let is_first = waiting.ends.len() == 1;
        drop(waiting);
        if is_first {
            self.bell.notify_one();
        }
    }

    /// Waits until there is something in `batch`: what is in there already, or all that waits.
    pub(crate) async fn fill(&self, batch: &mut Batch) {
        if !batch.is_empty() {
            // Whoever else there is has a turn in between.
            return tokio::task::yield_now().await;
        }
        loop {
            batch.clear();
            std::mem::swap(&mut *self.waiting(), batch);
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
    use super::{Batch, COST, Inbox, KEPT};
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
        for n in 0..100 {
            inbox.put(from(n), &[]);
        }
        assert_eq!(all(&inbox).len(), 10 * (COST + 100) / COST);
    }

    #[test]
    fn a_batch_gives_back_the_memory_of_a_burst() {
        let mut batch = Batch { bytes: vec![0; KEPT + 1], ..Batch::default() };
        batch.clear();
        assert_eq!(batch.bytes.capacity(), 0);
        let mut batch = Batch { bytes: vec![0; 1000], ..Batch::default() };
        batch.clear();
        assert!(batch.bytes.capacity() >= 1000);
    }
}
