//! What waits for the writer: bounded, and never blocking those who append.

use crate::record::Checked;
use crate::writer::Writer;
use crate::{Appended, QueueStats, Settings, StoreError, lock};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Called once with the answer to an append; see [`Store::append`](crate::Store::append) for where.
pub type OnAppended = Box<dyn FnOnce(Result<Appended, StoreError>) + Send>;

/// The most appends and bytes that share one transaction: a bound for how long one group takes.
const GROUP_RECORDS: usize = 256;
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// An answer that is certainly given: dropping it says that the store is closed.
pub(crate) struct Reply(Option<OnAppended>);

impl Reply {
    pub(crate) fn new(reply: OnAppended) -> Self {
        Self(Some(reply))
    }

    pub(crate) fn send(mut self, result: Result<Appended, StoreError>) {
        self.call(result);
    }

    fn call(&mut self, result: Result<Appended, StoreError>) {
        let Some(reply) = self.0.take() else { return };
        if catch_unwind(AssertUnwindSafe(|| reply(result))).is_err() {
            tracing::error!("the receiver of an append's answer panicked: this is a bug, report it");
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.call(Err(StoreError::Closed));
    }
}

/// An append that waits.
pub(crate) struct Pending {
    pub(crate) checked: Checked,
    pub(crate) reply: Reply,
}

/// Something else that only the writer's thread may do.
pub(crate) type Task = Box<dyn FnOnce(&mut Writer) + Send>;

#[derive(Default)]
struct State {
    appends: VecDeque<Pending>,
    /// Appends that wait or are being written, and their bytes.
    records: usize,
    bytes: usize,
    /// Cursors by consumer. One entry each, so it cannot grow with time.
    acks: BTreeMap<String, i64>,
    tasks: VecDeque<Task>,
    closed: bool,
}

/// So many appends may be worth a moment's wait.
pub(crate) struct Gather {
    pub(crate) count: usize,
    pub(crate) until: Instant,
}

/// What the writer does next.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) appends: Vec<Pending>,
    pub(crate) acks: BTreeMap<String, i64>,
    pub(crate) tasks: VecDeque<Task>,
    /// Nothing more will come.
    pub(crate) is_last: bool,
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.acks.is_empty() && self.tasks.is_empty()
    }
}

pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    max_records: usize,
    max_bytes: usize,
}

impl Queue {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            max_records: settings.queue_records,
            max_bytes: settings.queue_bytes,
        }
    }

    /// Adds an append, or answers it with a refusal.
    pub(crate) fn append(&self, checked: Checked, reply: Reply) {
        let refusal = {
            let mut state = lock(&self.state);
            let bytes = state.bytes.saturating_add(checked.bytes);
            if state.closed {
                StoreError::Closed
            } else if state.records >= self.max_records || (state.records > 0 && bytes > self.max_bytes) {
                StoreError::Busy { records: state.records, bytes: state.bytes }
            } else {
                state.records += 1;
                state.bytes = bytes;
                state.appends.push_back(Pending { checked, reply });
                self.wake.notify_one();
                return;
            }
        };
        reply.send(Err(refusal));
    }

    /// Moves a consumer's cursor.
    pub(crate) fn ack(&self, name: &str, seq: i64) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(StoreError::Closed);
        }
        let cursor = state.acks.entry(name.to_owned()).or_insert(seq);
        *cursor = seq.max(*cursor);
        self.wake.notify_one();
        Ok(())
    }

    /// Has something done by the writer. Whoever waits for it sees its sender dropped when the store closes first.
    pub(crate) fn task(&self, task: Task) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(StoreError::Closed);
        }
        state.tasks.push_back(task);
        self.wake.notify_one();
        Ok(())
    }

    /// Waits at most this long for work, and takes one group of it. With `gather`, waits a moment longer for more.
    pub(crate) fn take(&self, patience: Duration, gather: Option<Gather>) -> Work {
        let mut state = lock(&self.state);
        if let Some(Gather { count, until }) = gather {
            let pause = until.saturating_duration_since(Instant::now());
            let few = |s: &mut State| s.appends.len() < count && s.tasks.is_empty() && !s.closed;
            state = match self.wake.wait_timeout_while(state, pause, few) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        let idle =
            |s: &mut State| s.appends.is_empty() && s.acks.is_empty() && s.tasks.is_empty() && !s.closed;
        let mut state = match self.wake.wait_timeout_while(state, patience, idle) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        };
        let mut work = Work { acks: std::mem::take(&mut state.acks), ..Work::default() };
        work.tasks = std::mem::take(&mut state.tasks);
        let mut bytes = 0;
        while let Some(next) = state.appends.front() {
            bytes += next.checked.bytes;
            if !work.appends.is_empty() && (work.appends.len() >= GROUP_RECORDS || bytes > GROUP_BYTES) {
                break;
            }
            work.appends.extend(state.appends.pop_front());
        }
        work.is_last = state.closed && state.appends.is_empty();
        work
    }

    /// A group is ready to be answered: its room is free again. Tells how many appends wait.
    pub(crate) fn done(&self, records: usize, bytes: usize) -> usize {
        let mut state = lock(&self.state);
        state.records -= records;
        state.bytes -= bytes;
        state.appends.len()
    }

    /// Takes nothing more; what waits is still written.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.wake.notify_one();
    }

    /// Takes nothing more and refuses what waits.
    pub(crate) fn abandon(&self) {
        let (appends, tasks) = {
            let mut state = lock(&self.state);
            state.closed = true;
            (std::mem::take(&mut state.appends), std::mem::take(&mut state.tasks))
        };
        drop((appends, tasks));
    }

    pub(crate) fn stats(&self) -> QueueStats {
        let state = lock(&self.state);
        QueueStats { records: state.records, bytes: state.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Draft;
    use std::sync::Arc;

    fn append(queue: &Queue, bytes: usize, answers: &Arc<Mutex<Vec<StoreError>>>) {
        let json = format!("\"{}\"", "x".repeat(bytes - 2));
        let checked = Checked::new(Draft { collection: "c".into(), json, ..Draft::default() }).unwrap();
        let answers = answers.clone();
        queue.append(checked, Reply::new(Box::new(move |r| lock(&answers).push(r.unwrap_err()))));
    }

    #[test]
    fn a_queue_that_is_full_by_count_or_bytes_refuses_at_once_and_takes_again_when_a_group_is_done() {
        let queue = Queue::new(&Settings { queue_records: 3, queue_bytes: 1000, ..Settings::default() });
        let answers = Arc::default();
        append(&queue, 5000, &answers);
        assert!(lock(&answers).is_empty(), "alone it is taken, however large");
        append(&queue, 10, &answers);
        assert!(matches!(lock(&answers).pop(), Some(StoreError::Busy { records: 1, bytes: 5000 })));
        let work = queue.take(Duration::ZERO, None);
        append(&queue, 10, &answers);
        assert!(
            matches!(lock(&answers).pop(), Some(StoreError::Busy { .. })),
            "what is written still counts"
        );
        queue.done(work.appends.len(), 5000);
        for _ in 0..3 {
            append(&queue, 10, &answers);
        }
        assert!(lock(&answers).is_empty());
        append(&queue, 10, &answers);
        assert!(matches!(lock(&answers).pop(), Some(StoreError::Busy { records: 3, bytes: 30 })));
    }

    #[test]
    fn a_group_waits_for_those_who_were_in_the_last_one_but_not_when_something_else_is_to_do() {
        let queue = Queue::new(&Settings::default());
        let answers = Arc::default();
        let gather = || Some(Gather { count: 3, until: Instant::now() + Duration::from_secs(3600) });
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(Duration::ZERO, gather()).appends.len());
            (0..3).for_each(|_| append(&queue, 10, &answers));
            assert_eq!(taken.join().unwrap(), 3);
            let taken = scope.spawn(|| queue.take(Duration::ZERO, gather()).tasks.len());
            queue.task(Box::new(|_| ())).unwrap();
            assert_eq!(taken.join().unwrap(), 1);
        });
    }

    #[test]
    fn what_is_dropped_unanswered_is_answered_as_closed() {
        let queue = Queue::new(&Settings::default());
        let answers = Arc::default();
        append(&queue, 10, &answers);
        queue.abandon();
        append(&queue, 10, &answers);
        assert!(matches!(lock(&answers)[..], [StoreError::Closed, StoreError::Closed]));
    }
}
