//! The handle: asks the thread for changes, and answers reads from what is projected.

use crate::batch::{Answer, Rejected};
use crate::mapping::{Converter, Mapping};
use crate::projection::Projection;
use crate::worker::Worker;
use crate::{Journal, Targets, Who};
use gantry_core::Runtime;
use gantry_core::config::Observable;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// The most writes that wait. What comes beyond is refused: whoever writes faster than cameras can follow has to slow down.
const MAX_WAITING: usize = 1024;

/// Takes the answer to a write, once, from any thread.
pub(crate) type Reply = Box<dyn FnOnce(Result<Answer, String>) + Send>;

pub(crate) enum Job {
    /// These observables exist, with these values from before.
    Declare(BTreeMap<String, Observable>, BTreeMap<String, Kept>),
    Map(Mapping),
    Unmap(String),
    /// What is available may have changed.
    Refresh,
    /// The key that an observable follows has changed.
    Followed(String),
    /// A part of the runtime says what a value is.
    Report(String, Value),
    /// What a button began is done.
    Done(String),
    Write(Who, Map<String, Value>, Reply),
    WriteMapped(String, Who, Map<String, Value>, Reply),
    /// Tells when everything before it is done.
    Settle(Sender<()>),
    Stop,
}

/// What outlives a restart of an observable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Its value.
    pub value: Value,
    /// The value that the configuration gave it then: when that becomes another, it holds and this one is forgotten.
    pub first: Value,
}

/// What the handle and the thread share.
#[derive(Default)]
pub(crate) struct Shared {
    projections: Mutex<BTreeMap<String, Projection>>,
    waiting: AtomicUsize,
    /// What the configuration gives to those observables whose values are to be kept.
    firsts: Mutex<BTreeMap<String, Value>>,
}

impl Shared {
    pub(crate) fn projections(&self) -> MutexGuard<'_, BTreeMap<String, Projection>> {
        // What is changed under it is changed in one assignment.
        self.projections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn firsts(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.firsts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What control works with.
pub struct Parts {
    /// State and bus.
    pub runtime: Runtime,
    /// What observables act on.
    pub targets: Arc<dyn Targets>,
    /// The functions of mappings.
    pub converter: Arc<dyn Converter>,
    /// Who changed what.
    pub journal: Arc<dyn Journal>,
}

/// The one way by which observables change. Ends with [`stop`](Self::stop) or when dropped.
pub struct Control {
    runtime: Runtime,
    jobs: Sender<Job>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Control {
    /// Starts its thread.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(parts: Parts) -> std::io::Result<Self> {
        let (jobs, received) = channel();
        let shared = Arc::<Shared>::default();
        let runtime = parts.runtime.clone();
        let mut worker = Worker::new(parts, shared.clone(), jobs.clone());
        let thread =
            std::thread::Builder::new().name("control".into()).spawn(move || worker.run(&received))?;
        Ok(Self { runtime, jobs, shared, thread: Mutex::new(Some(thread)) })
    }

    fn tell(&self, job: Job) {
        // Nobody hears it after the end, and nothing can change any more then.
        let _ = self.jobs.send(job);
    }

    /// Makes these the observables, in place of those before. `kept` are the values from before a restart, for those that
    /// have none yet.
    pub fn declare(&self, observables: BTreeMap<String, Observable>, kept: BTreeMap<String, Kept>) {
        self.tell(Job::Declare(observables, kept));
    }

    /// What is to outlive a restart, as it is now.
    #[must_use]
    pub fn kept(&self) -> BTreeMap<String, Kept> {
        let firsts = self.shared.firsts().clone();
        let keep = |(key, first): (String, Value)| {
            let (value, _) = self.runtime.state.get(&key)?;
            Some((key, Kept { value, first }))
        };
        firsts.into_iter().filter_map(keep).collect()
    }

    /// Adds a mapping, or replaces the one of its name: clients go on with it at once.
    pub fn map(&self, mapping: Mapping) {
        self.tell(Job::Map(mapping));
    }

    /// Removes a mapping.
    pub fn unmap(&self, name: &str) {
        self.tell(Job::Unmap(name.to_owned()));
    }

    /// Looks again at what is available.
    pub fn refresh(&self) {
        self.tell(Job::Refresh);
    }

    /// Takes over what a part of the runtime says that an observable's value is; nothing is acted on.
    pub fn report(&self, key: &str, value: Value) {
        self.tell(Job::Report(key.to_owned(), value));
    }

    /// Writes observables, and other keys of the state. The reply comes from another thread.
    pub fn write(&self, who: Who, values: Map<String, Value>, reply: Reply) {
        self.queue(|reply| Job::Write(who, values, reply), reply);
    }

    /// Writes keys of a mapping. The reply comes from another thread.
    pub fn write_mapped(&self, mapping: &str, who: Who, values: Map<String, Value>, reply: Reply) {
        let mapping = mapping.to_owned();
        self.queue(|reply| Job::WriteMapped(mapping, who, values, reply), reply);
    }

    fn queue(&self, job: impl FnOnce(Reply) -> Job, reply: Reply) {
        if self.shared.waiting.fetch_add(1, Ordering::AcqRel) >= MAX_WAITING {
            self.shared.taken();
            return reply(Err(format!("{MAX_WAITING} writes wait already: write less often")));
        }
        self.tell(job(reply));
    }

    /// What keys of a mapping are now, for somebody; all that he may read without `keys`.
    ///
    /// # Errors
    ///
    /// When there is no such mapping.
    pub fn read_mapped(&self, mapping: &str, who: &Who, keys: Option<&[String]>) -> Result<Answer, String> {
        self.with(mapping, |projection| {
            let mut answer = Answer { sequence: projection.sequence, ..Answer::default() };
            let visible = |name: &str| projection.shown.get(name).filter(|shown| who.may(shown.read));
            let Some(keys) = keys else {
                let names = projection.shown.keys().filter_map(|name| Some((name, visible(name)?)));
                answer.values = names
                    .filter_map(|(name, shown)| Some((name.clone(), shown.value.as_ref().ok()?.clone())))
                    .collect();
                return answer;
            };
            for key in keys {
                match visible(key).map(|shown| &shown.value) {
                    Some(Ok(value)) => answer.values.push((key.clone(), value.clone())),
                    Some(Err(why)) => answer.rejected.push(Rejected::unknown(key, Some(why.clone()))),
                    // What somebody may not read looks as if it were not there.
                    None => answer.rejected.push(Rejected::unknown(key, None)),
                }
            }
            answer
        })
    }

    /// What somebody may do with each key of a mapping, as `mapping.describe` replies.
    ///
    /// # Errors
    ///
    /// When there is no such mapping.
    pub fn describe(&self, mapping: &str, who: &Who) -> Result<Value, String> {
        self.with(mapping, |projection| projection.describe(who))
    }

    fn with<T>(&self, mapping: &str, look: impl FnOnce(&Projection) -> T) -> Result<T, String> {
        let projections = self.shared.projections();
        match projections.get(mapping) {
            Some(projection) => Ok(look(projection)),
            None => Err(no_mapping(mapping, projections.keys())),
        }
    }

    /// Waits until everything that was asked for before is done.
    pub fn settle(&self) {
        let (tell, told) = channel();
        self.tell(Job::Settle(tell));
        // An error means that the thread has ended, and with it everything that could be waited for.
        let _ = told.recv();
    }

    /// Ends the thread, after what waits.
    pub fn stop(&self) {
        self.tell(Job::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn no_mapping<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<&str> = known.map(String::as_str).collect();
    if known.is_empty() {
        format!("there is no mapping `{name}`: put {name}.rhai into scripts/mappings")
    } else {
        format!("there is no mapping `{name}`: use one of {}, or add {name}.rhai", known.join(", "))
    }
}
