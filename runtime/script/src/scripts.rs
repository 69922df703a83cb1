//! The handle by which the rest of the gateway uses scripts.

use crate::effect::Effect;
use crate::error::ScriptError;
use crate::mapping::Mapping;
use crate::rule::HOOKS;
use crate::worker::Worker;
use gantry_core::config;
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

/// Jobs that may wait for the script thread.
const MAX_JOBS: usize = 1024;
/// Deep scripts need it: the engine recurses, and unoptimised builds take a lot for each level.
pub(crate) const STACK: usize = 16 * 1024 * 1024;

/// Where scripts are, what they may cost, and what is configured for them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// The folder with `mappings`, `rules` and `lib`. A folder of those that is not there is the built-in one.
    pub dir: PathBuf,
    /// What a call may cost.
    pub limits: config::Scripts,
    /// For each rule by name, its table: what it sees as `config`, but for `enabled`. With `enabled = false`
    /// it does not run; what it had as `this` stays for when it runs again.
    pub rules: BTreeMap<String, Value>,
}

/// What has changed in the folder.
#[derive(Debug, Clone)]
pub enum Changed {
    /// A mapping is there, or is another one now.
    Mapping(Arc<Mapping>),
    /// A rule runs, or another version of it.
    Rule(String),
    /// A script is gone, by folder and name, such as `mappings/cpro`, or a rule is turned off.
    Removed(String),
    /// A script is not good; its last good version stays. Which one, and the errors as text of several lines.
    /// Also for a rule that is configured and not there.
    Problem(String, String),
    /// A script that was not good is good again.
    Recovered(String),
}

/// Which way a value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a client to the observable.
    In,
    /// From the observable to a client.
    Out,
}

/// One value to convert.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The key of the mapping.
    pub key: String,
    /// The client's value, or the observable's.
    pub value: Value,
    /// What the observable is now: for functions with two parameters.
    pub current: Option<Value>,
}

/// For each item its value or its error, in the order of the items.
pub type Conversions = Vec<Result<Value, ScriptError>>;
/// For each rule with the hook, what it caused or its error.
pub type Done = Vec<(String, Result<Vec<Effect>, ScriptError>)>;

type Reply<T> = Box<dyn FnOnce(T) + Send>;

enum Job {
    Poll(Option<Reply<()>>),
    Configure(Box<Settings>, Reply<()>),
    Convert(Arc<Mapping>, Direction, Vec<Item>, Reply<Conversions>),
    Event(&'static str, Value, Reply<Done>),
    States(Reply<BTreeMap<String, Value>>),
    Restore(BTreeMap<String, Value>),
}

/// The script thread. Dropping it ends the thread after the jobs that wait.
pub struct Scripts {
    jobs: OnceLock<SyncSender<Job>>,
    polling: Arc<AtomicBool>,
    listened: Arc<Listened>,
    thread: Option<JoinHandle<()>>,
}

/// Which hooks some rule has: a bit for each, in the order of [`HOOKS`].
#[derive(Default)]
struct Listened(AtomicU32);

impl Listened {
    fn note(&self, worker: &Worker) {
        let bits = HOOKS.iter().enumerate().map(|(n, hook)| u32::from(worker.listens(hook.name)) << n);
        self.0.store(bits.sum(), Ordering::Release);
    }
}

impl Scripts {
    /// Starts the thread and loads all scripts; `on_change` has been told of all of them when this returns.
    /// It is called on the script thread, and must not wait for anything that waits for scripts.
    pub fn start(settings: Settings, on_change: impl Fn(Changed) + Send + 'static) -> std::io::Result<Self> {
        let (jobs, todo) = sync_channel(MAX_JOBS);
        let polling = Arc::new(AtomicBool::new(false));
        let (ready, loaded) = channel();
        let listened = Arc::<Listened>::default();
        let (seen, noted) = (polling.clone(), listened.clone());
        let thread =
            std::thread::Builder::new().name("script".into()).stack_size(STACK).spawn(move || {
                let mut worker = Worker::new(settings, Box::new(on_change));
                worker.poll();
                noted.note(&worker);
                let _ = ready.send(());
                work(&mut worker, &todo, &seen, &noted);
            })?;
        let _ = loaded.recv();
        Ok(Self { jobs: OnceLock::from(jobs), polling, listened, thread: Some(thread) })
    }

    /// Has the folder looked at soon. Never waits; a look that is due already is enough.
    pub fn poll(&self) {
        if !self.polling.swap(true, Ordering::AcqRel) && self.send(Job::Poll(None)).is_err() {
            self.polling.store(false, Ordering::Release);
        }
    }

    /// Looks at the folder and waits until that is done.
    pub fn reload(&self) {
        self.wait(|reply| Job::Poll(Some(reply)));
    }

    /// Takes new settings, loads what they change, and waits until that is done. Where only the table of a
    /// rule changes, only that rule is loaded anew; it keeps its `this`.
    pub fn configure(&self, settings: Settings) {
        self.wait(|reply| Job::Configure(Box::new(settings), reply));
    }

    /// Converts values by the functions of a mapping, and checks them first on their way in (see
    /// [`Key::check`](crate::Key::check)). Never waits: `reply` is called on the script thread, or at once
    /// when too many jobs wait. Jobs are done in the order of the calls. A mapping that has been replaced
    /// converts as it did.
    pub fn convert(
        &self,
        mapping: &Arc<Mapping>,
        direction: Direction,
        items: Vec<Item>,
        reply: impl FnOnce(Conversions) + Send + 'static,
    ) {
        let job = Job::Convert(mapping.clone(), direction, items, Box::new(reply));
        if let Err(Job::Convert(mapping, _, items, reply)) = self.send(job) {
            reply(items.iter().map(|_| Err(ScriptError::busy(mapping.file()))).collect());
        }
    }

    /// Gives an event to all rules that have the hook, such as `on_count`. Never waits: `reply` is called on
    /// the script thread, or at once when too many jobs wait, with one error of kind
    /// [`Busy`](crate::ErrorKind::Busy) and no rule called. A hook that does not exist is nobody's.
    ///
    /// Whoever cannot afford to lose an event gives the next one when the reply to the one before has been
    /// applied: then it never waits behind itself, and what a rule reads of events that it began is never
    /// older than what it did.
    pub fn event(&self, hook: &str, event: Value, reply: impl FnOnce(Done) + Send + 'static) {
        let Some(hook) = crate::rule::hook(hook) else { return reply(Vec::new()) };
        if let Err(Job::Event(.., reply)) = self.send(Job::Event(hook, event, Box::new(reply))) {
            reply(vec![("rules".into(), Err(ScriptError::busy("scripts/rules")))]);
        }
    }

    /// Whether some rule has that hook: where none has, nobody needs to give the event.
    pub fn listens(&self, hook: &str) -> bool {
        let listened = self.listened.0.load(Ordering::Acquire);
        HOOKS.iter().position(|known| known.name == hook).is_some_and(|n| listened & (1 << n) != 0)
    }

    /// What every rule has as `this`, to be kept over a restart. Never waits: `reply` is called on the script
    /// thread. When too many jobs wait it is not called at all; the next call will do.
    pub fn states(&self, reply: impl FnOnce(BTreeMap<String, Value>) + Send + 'static) {
        let _ = self.send(Job::States(Box::new(reply)));
    }

    /// Gives rules the `this` that they had before a restart. Waits for room in the queue.
    pub fn restore(&self, states: BTreeMap<String, Value>) {
        if let Some(jobs) = self.jobs.get() {
            let _ = jobs.send(Job::Restore(states));
        }
    }

    fn send(&self, job: Job) -> Result<(), Job> {
        let Some(jobs) = self.jobs.get() else { return Err(job) };
        jobs.try_send(job).map_err(|e| match e {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }

    fn wait(&self, job: impl FnOnce(Reply<()>) -> Job) {
        let (done, waiting) = channel();
        let job = job(Box::new(move |()| {
            let _ = done.send(());
        }));
        if self.jobs.get().is_some_and(|jobs| jobs.send(job).is_ok()) {
            let _ = waiting.recv();
        }
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

fn work(worker: &mut Worker, todo: &Receiver<Job>, polling: &AtomicBool, listened: &Listened) {
    while let Ok(job) = todo.recv() {
        // A reply that panics is its caller's fault, and not the end of scripts for all others.
        if catch_unwind(AssertUnwindSafe(|| run(worker, job, polling, listened))).is_err() {
            tracing::error!("a reply of the script thread panicked: tell Gantry's developers");
        }
    }
}

fn run(worker: &mut Worker, job: Job, polling: &AtomicBool, listened: &Listened) {
    match job {
        Job::Poll(reply) => {
            if reply.is_none() {
                polling.store(false, Ordering::Release);
            }
            worker.poll();
            listened.note(worker);
            if let Some(reply) = reply {
                reply(());
            }
        }
        Job::Configure(settings, reply) => {
            worker.configure(*settings);
            listened.note(worker);
            reply(());
        }
        Job::Convert(mapping, direction, items, reply) => reply(worker.convert(&mapping, direction, &items)),
        Job::Event(hook, event, reply) => reply(worker.event(hook, &event)),
        Job::States(reply) => reply(worker.states()),
        Job::Restore(states) => worker.restore(states),
    }
}
