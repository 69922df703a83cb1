//! The threads that read records from the disk, so that no plugin waits for it.

use super::Records;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Questions that may wait; more are refused.
const WAITING: usize = 256;
/// One that reads for long must not hold up all others.
const THREADS: usize = 2;

type Question = Box<dyn FnOnce(Result<&Records, Busy>) + Send>;

/// Too many questions wait, or the gateway ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Busy;

/// The threads, until [`stop`](Self::stop).
pub(crate) struct Desk {
    questions: Mutex<Option<SyncSender<Question>>>,
    ended: Mutex<Receiver<()>>,
    ending: Arc<AtomicBool>,
}

impl Desk {
    pub(crate) fn start(records: &Arc<Records>) -> std::io::Result<Self> {
        let (questions, asked) = sync_channel::<Question>(WAITING);
        let asked = Arc::new(Mutex::new(asked));
        let ending = Arc::<AtomicBool>::default();
        let (end, ended) = channel();
        for n in 0..THREADS {
            let (records, asked, ending, end) = (records.clone(), asked.clone(), ending.clone(), end.clone());
            std::thread::Builder::new().name(format!("records:{n}")).spawn(move || {
                while let Some(question) = next(&asked) {
                    question(if ending.load(Ordering::Acquire) { Err(Busy) } else { Ok(&records) });
                }
                // Nobody may be waiting any more.
                let _ = end.send(());
            })?;
        }
        Ok(Self { questions: Mutex::new(Some(questions)), ended: Mutex::new(ended), ending })
    }

    /// Asks. Never waits; `question` is called once, on a thread of the desk, or at once when there is no room.
    pub(crate) fn ask(&self, question: impl FnOnce(Result<&Records, Busy>) + Send + 'static) {
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let question: Question = Box::new(question);
        let refused = match questions {
            Some(questions) => questions.try_send(question).err().map(|error| match error {
                std::sync::mpsc::TrySendError::Full(question)
                | std::sync::mpsc::TrySendError::Disconnected(question) => question,
            }),
            None => Some(question),
        };
        if let Some(question) = refused {
            question(Err(Busy));
        }
    }

    /// Refuses what waits, and ends; one that still reads at `deadline` is left behind.
    pub(crate) fn stop(&self, deadline: Instant) {
        self.ending.store(true, Ordering::Release);
        drop(self.questions.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..THREADS {
            let _ = ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

fn next(asked: &Mutex<Receiver<Question>>) -> Option<Question> {
    asked.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
