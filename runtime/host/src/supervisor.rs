//! Decides who runs: one thread that owns all instances, starts and stops them, and gives up on those that hang.

use crate::instance::{self, Birth, Ended, Progress};
use crate::library::{Candidate, Library};
use crate::link::{Context, Link};
use crate::lock;
use crate::plugins::{Settings, Shared, Snapshot};
use crate::report::RunState;
use crate::restart::{History, Next};
use gantry_core::Runtime;
use gantry_core::config::{self, Isolation};
use gantry_core::health::Level;
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How long an entry may take before it counts as stuck. Loading, `create` and `start` may read large files.
const STUCK_AFTER: Duration = Duration::from_secs(5);
const STUCK_STARTING: Duration = Duration::from_secs(30);
/// How long `stop` may take; the border promises plugins four seconds.
const STOP_TIME: Duration = Duration::from_millis(4500);
/// How often running instances are looked at.
const TICK: Duration = Duration::from_millis(200);

/// What the supervisor is told.
pub(crate) enum Command {
    /// Make exactly these run.
    Apply(BTreeMap<String, config::Plugin>),
    /// News from the thread of an instance.
    Progress(String, u64, Progress),
    /// The thread of an instance has ended.
    Ended(String, u64, Ended),
    /// Stop all, tell when done or when the time is up, and end.
    Shutdown(Instant, Sender<()>),
}

/// A thread that runs an instance.
struct Run {
    generation: u64,
    link: Arc<Link>,
    context: &'static Context,
    abandoned: Arc<AtomicBool>,
}

enum Phase {
    Starting(Run),
    Running(Run),
    Stopping(Run, Instant),
    Waiting(Instant, String),
    Down(String),
    Refused(String),
    /// Nothing to run: the section is to be removed.
    Idle,
}

struct Slot {
    config: config::Plugin,
    /// What to do once it has stopped: run with this configuration, or be removed.
    then: Option<config::Plugin>,
    digest: String,
    library: Option<Library>,
    phase: Phase,
    history: History,
    restarts: u64,
    left_behind: u64,
}

pub(crate) struct Supervisor {
    runtime: Runtime,
    settings: Settings,
    shared: Arc<Shared>,
    commands: Sender<Command>,
    slots: BTreeMap<String, Slot>,
    generation: u64,
    shutdown: Option<(Instant, Sender<()>)>,
}

impl Supervisor {
    pub(crate) fn new(
        runtime: Runtime,
        settings: Settings,
        shared: Arc<Shared>,
        commands: Sender<Command>,
    ) -> Self {
        Self { runtime, settings, shared, commands, slots: BTreeMap::new(), generation: 0, shutdown: None }
    }

    pub(crate) fn run(mut self, inbox: &Receiver<Command>) {
        loop {
            match inbox.recv_timeout(self.wait()) {
                // A reload that comes during the shutdown must not start anything again.
                Ok(Command::Apply(wanted)) if self.shutdown.is_none() => self.apply(wanted),
                Ok(Command::Apply(_)) => {}
                Ok(Command::Progress(id, generation, progress)) => self.progress(&id, generation, progress),
                Ok(Command::Ended(id, generation, ended)) => self.ended(&id, generation, ended),
                Ok(Command::Shutdown(deadline, done)) => {
                    self.shutdown = Some((deadline, done));
                    self.apply(BTreeMap::new());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tick(Instant::now());
            self.show();
            if self.finish() {
                return;
            }
        }
    }

    fn wait(&self) -> Duration {
        let alive = |slot: &Slot| !matches!(slot.phase, Phase::Down(_) | Phase::Refused(_) | Phase::Idle);
        if self.shutdown.is_some() || self.slots.values().any(alive) {
            TICK
        } else {
            Duration::from_secs(3600)
        }
    }

    fn finish(&mut self) -> bool {
        let now = Instant::now();
        let Some((deadline, done)) = &self.shutdown else { return false };
        if !self.slots.is_empty() && now < *deadline {
            return false;
        }
        for (id, slot) in &self.slots {
            tracing::error!(plugin = %id, "did not stop in time and is left behind");
            if let Phase::Stopping(run, _) | Phase::Running(run) | Phase::Starting(run) = &slot.phase {
                abandon(run);
            }
        }
        let _ = done.send(());
        true
    }

    fn apply(&mut self, wanted: BTreeMap<String, config::Plugin>) {
        let wanted: BTreeMap<_, _> = wanted.into_iter().filter(|(_, plugin)| plugin.enabled).collect();
        let known: Vec<String> = self.slots.keys().cloned().collect();
        for id in known.iter().filter(|id| !wanted.contains_key(*id)) {
            self.replace(id, None);
        }
        for (id, plugin) in wanted {
            let Some(slot) = self.slots.get_mut(&id) else {
                self.slots.insert(id.clone(), Slot::new(plugin.clone()));
                self.start(&id, plugin);
                continue;
            };
            let works = matches!(slot.phase, Phase::Starting(_) | Phase::Running(_));
            let same_file = || {
                let path = self.settings.library_path(&id, &plugin);
                // A file that is not readable just now is no reason to stop what runs.
                Candidate::read(&path, None).map_or(true, |candidate| candidate.digest == slot.digest)
            };
            if works && slot.config == plugin && same_file() {
                continue;
            }
            slot.history = History::default();
            self.replace(&id, Some(plugin));
        }
    }

    /// Stops what runs; then starts it anew with `next`, or removes it.
    fn replace(&mut self, id: &str, next: Option<config::Plugin>) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.then = next;
        match std::mem::replace(&mut slot.phase, Phase::Idle) {
            Phase::Starting(run) | Phase::Running(run) => {
                tracing::info!(plugin = %id, restart = slot.then.is_some(), "stopping");
                run.link.inbox.stop();
                slot.phase = Phase::Stopping(run, Instant::now() + STOP_TIME);
            }
            stopping @ Phase::Stopping(..) => slot.phase = stopping,
            Phase::Waiting(..) | Phase::Down(_) | Phase::Refused(_) | Phase::Idle => self.follow(id),
        }
    }

    /// Does what was to follow the stop.
    fn follow(&mut self, id: &str) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        match slot.then.take() {
            Some(next) => self.start(id, next),
            None => {
                self.slots.remove(id);
                self.runtime.health.forget(&format!("plugin/{id}"));
            }
        }
    }

    fn start(&mut self, id: &str, plugin: config::Plugin) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.config = plugin;
        slot.library = None;
        // There from the first start on, so that a rate can be told of it.
        restarts(id).increment(0);
        let path = self.settings.library_path(id, &slot.config);
        if slot.config.isolation == Isolation::Process {
            return self.refuse(id, crate::plugins::ISOLATION.to_owned());
        }
        let candidate = match Candidate::read(&path, slot.config.sha256.as_deref()) {
            Ok(candidate) => candidate,
            Err(error) => return self.refuse(id, error.to_string()),
        };
        slot.digest.clone_from(&candidate.digest);
        self.generation += 1;
        let generation = self.generation;
        let link = Link::new(id.into(), self.runtime.clone());
        let context = Context::leak(link.clone());
        let abandoned = Arc::new(AtomicBool::new(false));
        let birth = Birth {
            candidate,
            copies: self.settings.state_dir.join("plugins"),
            config: Value::Object(slot.config.own.clone()).to_string(),
            link: link.clone(),
            context,
            abandoned: abandoned.clone(),
        };
        let (commands, name) = (self.commands.clone(), id.to_owned());
        let body = move || {
            let progress = |p| _ = commands.send(Command::Progress(name.clone(), generation, p));
            // Entries cannot unwind to here; a panic of the host's own must not leave a thread that nobody misses.
            let life = AssertUnwindSafe(|| instance::live(birth, progress));
            let ended = catch_unwind(life)
                .unwrap_or_else(|_| Ended::Panicked("the runtime panicked while it ran it".to_owned()));
            context.close();
            // The supervisor may be gone already, at the end of the process.
            let _ = commands.send(Command::Ended(name.clone(), generation, ended));
        };
        self.runtime.health.report(&format!("plugin/{id}"), Level::Failed, "starting");
        let spawned = std::thread::Builder::new().name(format!("plugin:{id}")).spawn(body);
        slot.phase = Phase::Starting(Run { generation, link, context, abandoned });
        if let Err(error) = spawned {
            context.close();
            let next = slot.history.failure();
            self.retry(id, next, format!("no thread for it ({error})"));
        }
    }

    fn refuse(&mut self, id: &str, why: String) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        tracing::error!(plugin = %id, "{why}");
        self.runtime.health.report(&format!("plugin/{id}"), Level::Failed, why.clone());
        slot.phase = Phase::Refused(why);
    }

    /// The run of this generation, if it is still the current one.
    fn current(&self, id: &str, generation: u64) -> bool {
        matches!(self.slots.get(id).map(|slot| &slot.phase),
            Some(Phase::Starting(run) | Phase::Running(run) | Phase::Stopping(run, _)) if run.generation == generation)
    }

    fn progress(&mut self, id: &str, generation: u64, progress: Progress) {
        if !self.current(id, generation) {
            return;
        }
        let Some(slot) = self.slots.get_mut(id) else { return };
        match progress {
            Progress::Loaded(library) => slot.library = Some(library),
            Progress::Running => {
                slot.history.started();
                let (name, version) = slot.library.map_or(("", ""), |l| (l.name, l.version));
                tracing::info!(plugin = %id, name, version, "running");
                match std::mem::replace(&mut slot.phase, Phase::Idle) {
                    Phase::Starting(run) => {
                        // What it said of itself while it started stands; silence means that it does its work.
                        if run.link.reported().is_none_or(|report| report.level == Level::Failed) {
                            run.link.health(gantry_abi::HEALTH_OK, "running");
                        }
                        slot.phase = Phase::Running(run);
                    }
                    other => slot.phase = other,
                }
            }
        }
    }

    fn ended(&mut self, id: &str, generation: u64, ended: Ended) {
        if !self.current(id, generation) {
            tracing::info!(plugin = %id, "an instance that was left behind has ended");
            return;
        }
        let Some(slot) = self.slots.get_mut(id) else { return };
        if matches!(slot.phase, Phase::Stopping(..)) {
            if let Ended::Panicked(why) = ended {
                tracing::warn!(plugin = %id, "{why}");
            }
            return self.follow(id);
        }
        match ended {
            Ended::Stopped => self.follow(id),
            Ended::Refused(why) => self.refuse(id, why),
            Ended::Failed(why) => {
                let next = slot.history.failure();
                self.retry(id, next, why);
            }
            Ended::Panicked(why) => {
                let next = slot.history.fault(Instant::now());
                self.retry(id, next, why);
            }
        }
    }

    fn retry(&mut self, id: &str, next: Next, why: String) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let why = match next {
            Next::RetryAfter(delay) => {
                let why = format!("{why}; starting again in {} s", delay.as_secs());
                tracing::warn!(plugin = %id, "{why}");
                slot.phase = Phase::Waiting(Instant::now() + delay, why.clone());
                why
            }
            Next::Down => {
                let why =
                    format!("{why}; failed five times in ten minutes and stays down: repair it, then reload");
                tracing::error!(plugin = %id, "{why}");
                slot.phase = Phase::Down(why.clone());
                why
            }
        };
        self.runtime.health.report(&format!("plugin/{id}"), Level::Failed, why);
    }

    /// Looks for what time has brought: retries that are due, entries that hang.
    fn tick(&mut self, now: Instant) {
        enum Due {
            Retry,
            Overdue,
            Stuck(&'static str, Duration),
        }
        let mut due = Vec::new();
        for (id, slot) in &self.slots {
            match &slot.phase {
                Phase::Waiting(until, _) if now >= *until => due.push((id.clone(), Due::Retry)),
                Phase::Stopping(_, deadline) if now >= *deadline => due.push((id.clone(), Due::Overdue)),
                Phase::Starting(run) | Phase::Running(run) => {
                    if let Some((entry, took)) = run.link.activity.now()
                        && took > if entry.starts_with("on_") { STUCK_AFTER } else { STUCK_STARTING }
                    {
                        due.push((id.clone(), Due::Stuck(entry, took)));
                    }
                }
                _ => {}
            }
        }
        for (id, what) in due {
            match what {
                Due::Retry => self.start_again(&id),
                Due::Overdue => {
                    // It may hang anywhere: the stop is seen only between two entries.
                    let entry = self.slots.get(&id).and_then(Slot::entry).unwrap_or("its last entry");
                    tracing::error!(plugin = %id, "did not return from {entry} in time and is left behind");
                    self.leave_behind(&id);
                    self.follow(&id);
                }
                Due::Stuck(entry, took) => {
                    self.leave_behind(&id);
                    let Some(slot) = self.slots.get_mut(&id) else { continue };
                    let next = slot.history.fault(now);
                    let why =
                        format!("has not returned from {entry} for {} s and is left behind", took.as_secs());
                    self.retry(&id, next, why);
                }
            }
        }
    }

    fn start_again(&mut self, id: &str) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.restarts += 1;
        restarts(id).increment(1);
        let config = slot.config.clone();
        self.start(id, config);
    }

    fn leave_behind(&mut self, id: &str) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if let Phase::Starting(run) | Phase::Running(run) | Phase::Stopping(run, _) = &slot.phase {
            abandon(run);
            slot.left_behind += 1;
        }
        slot.phase = Phase::Idle;
    }

    /// Puts what others may ask for where they can read it.
    fn show(&self) {
        let snapshots = self.slots.iter().map(|(id, slot)| (id.clone(), slot.snapshot(&self.settings, id)));
        *lock(&self.shared.snapshots) = snapshots.collect();
    }
}

/// How often an instance was started again, for `/metrics`.
fn restarts(id: &str) -> metrics::Counter {
    metrics::counter!("gantry_plugin_restarts_total", "plugin" => id.to_owned())
}

/// Gives a thread up that may never return. If it does, it stops and destroys its instance on its own.
fn abandon(run: &Run) {
    run.abandoned.store(true, Ordering::Release);
    run.context.close();
    run.link.inbox.stop();
}

impl Slot {
    fn new(config: config::Plugin) -> Self {
        Self {
            config,
            then: None,
            digest: String::new(),
            library: None,
            phase: Phase::Idle,
            history: History::default(),
            restarts: 0,
            left_behind: 0,
        }
    }

    /// The entry that its thread is in.
    fn entry(&self) -> Option<&'static str> {
        match &self.phase {
            Phase::Starting(run) | Phase::Running(run) | Phase::Stopping(run, _) => {
                run.link.activity.now().map(|(entry, _)| entry)
            }
            _ => None,
        }
    }

    fn snapshot(&self, settings: &Settings, id: &str) -> Snapshot {
        let (state, run, why) = match &self.phase {
            Phase::Starting(run) => (RunState::Starting, Some(run), None),
            Phase::Running(run) => (RunState::Running, Some(run), None),
            Phase::Stopping(run, _) => (RunState::Stopping, Some(run), None),
            Phase::Waiting(_, why) => (RunState::Backoff, None, Some(why.clone())),
            Phase::Down(why) => (RunState::Down, None, Some(why.clone())),
            Phase::Refused(why) => (RunState::Refused, None, Some(why.clone())),
            Phase::Idle => (RunState::Stopping, None, None),
        };
        Snapshot {
            state,
            why,
            library: settings.library_path(id, &self.config).display().to_string(),
            name: self.library.map_or("", |l| l.name),
            version: self.library.map_or("", |l| l.version),
            restarts: self.restarts,
            left_behind: self.left_behind,
            run: run.map(|run| (run.link.clone(), run.context)),
        }
    }
}
