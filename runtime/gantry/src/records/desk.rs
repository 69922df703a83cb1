//! The threads that read records from the disk, so that no plugin waits for it.

use super::Records;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

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
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Desk {
    pub(crate) fn start(records: &Arc<Records>) -> std::io::Result<Self> {
        let (questions, asked) = sync_channel::<Question>(WAITING);
        let asked = Arc::new(Mutex::new(asked));
        let mut threads = Vec::new();
        for n in 0..THREADS {
            let (records, asked) = (records.clone(), asked.clone());
            let builder = std::thread::Builder::new().name(format!("records:{n}"));
            threads.push(builder.spawn(move || {
                while let Some(question) = next(&asked) {
                    question(Ok(&records));
                }
            })?);
        }
        Ok(Self { questions: Mutex::new(Some(questions)), threads: Mutex::new(threads) })
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

    /// Answers what waits, and ends.
    pub(crate) fn stop(&self) {
        drop(self.questions.lock().unwrap_or_else(PoisonError::into_inner).take());
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
    }
}

fn next(asked: &Mutex<Receiver<Question>>) -> Option<Question> {
    asked.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
