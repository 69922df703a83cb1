//! The interface of this crate: all plugins of the gateway.

use crate::library::{Candidate, LoadError};
use crate::link::{Context, Link};
use crate::report::{Report, RunState};
use crate::supervisor::{Command, Supervisor};
use crate::{config as section, lock};
use gantry_core::Runtime;
use gantry_core::config::{self, Finding, Isolation};
use gantry_core::health::{Level, Report as Health};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) const ISOLATION: &str =
    "isolation `process` is not available yet: leave the key out, or write `isolation = \"none\"`";

/// Where the host finds and keeps libraries.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Private copies of libraries go to `plugins` in here.
    pub state_dir: PathBuf,
    /// Where libraries are looked for that are not given by path.
    pub plugin_dir: PathBuf,
}

impl Settings {
    /// The file behind an instance: a path when the configuration gives one, else `lib<name>.so` in `plugin_dir`.
    #[must_use]
    pub fn library_path(&self, id: &str, plugin: &config::Plugin) -> PathBuf {
        match &plugin.library {
            Some(library) if library.contains('/') => Path::new(library).to_owned(),
            Some(library) => self.plugin_dir.join(format!("lib{library}.so")),
            None => self.plugin_dir.join(format!("libgantry_{}.so", id.replace('-', "_"))),
        }
    }
}

/// What is wrong with a plugin's section.
#[derive(Debug, Default)]
pub struct Checked {
    /// Why its library cannot be loaded.
    pub refusal: Option<LoadError>,
    /// What is wrong with its keys; paths are relative to the section.
    pub findings: Vec<Finding>,
}

/// What the supervisor shows of an instance.
pub(crate) struct Snapshot {
    pub(crate) state: RunState,
    pub(crate) why: Option<String>,
    pub(crate) library: String,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) restarts: u64,
    pub(crate) left_behind: u64,
    pub(crate) run: Option<(Arc<Link>, &'static Context)>,
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) snapshots: Mutex<BTreeMap<String, Snapshot>>,
}

/// All plugins of the gateway. Dropping it without [`shutdown`](Self::shutdown) leaves them running.
pub struct Plugins {
    commands: Sender<Command>,
    shared: Arc<Shared>,
}

impl Plugins {
    /// A host without any plugin yet.
    #[must_use]
    pub fn new(runtime: Runtime, settings: Settings) -> Self {
        metrics::describe_counter!(
            "gantry_plugin_restarts_total",
            "Times that an instance was started again"
        );
        let (commands, inbox) = channel();
        let shared = Arc::new(Shared::default());
        let supervisor = Supervisor::new(runtime, settings, shared.clone(), commands.clone());
        std::thread::Builder::new()
            .name("plugins".to_owned())
            .spawn(move || supervisor.run(&inbox))
            .expect("a process that cannot start its first threads cannot run");
        Self { commands, shared }
    }

    /// Makes exactly the enabled ones of `wanted` run. An instance whose section and library did not change is not touched;
    /// one that is down or refused is tried again. Returns at once.
    pub fn apply(&self, wanted: &BTreeMap<String, config::Plugin>) {
        // The supervisor ends only at shutdown, after which there is nothing to apply.
        let _ = self.commands.send(Command::Apply(wanted.clone()));
    }

    /// Everything wrong with a plugin's section and its library. Loads the library and runs its `validate`, but makes no
    /// instance.
    #[must_use]
    pub fn check(settings: &Settings, id: &str, plugin: &config::Plugin) -> Checked {
        let mut checked = Checked::default();
        if !plugin.enabled {
            return checked;
        }
        let findings = &mut checked.findings;
        if plugin.isolation == Isolation::Process {
            findings.push(Finding::new("isolation", ISOLATION));
        }
        let path = settings.library_path(id, plugin);
        let loaded: Result<_, LoadError> = Candidate::read(&path, plugin.sha256.as_deref())
            .and_then(|candidate| candidate.load(&settings.state_dir.join("plugins")));
        match loaded {
            Err(error) => checked.refusal = Some(error),
            Ok(library) => {
                let mut own = plugin.own.clone();
                if let Some(schema) = section::schema(&library) {
                    findings.extend(gantry_core::schema::unknown_keys(&schema, &mut own));
                }
                findings.extend(section::validate(&library, &own));
            }
        }
        checked
    }

    /// All configured and enabled instances, by name.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        let snapshots = lock(&self.shared.snapshots);
        snapshots.iter().map(|(id, snapshot)| report(id, snapshot)).collect()
    }

    /// Stops all instances at once and waits for them, until `deadline` at the longest; those that hang are left behind.
    pub fn shutdown(&self, deadline: Instant) {
        let (done, wait) = channel();
        if self.commands.send(Command::Shutdown(deadline, done)).is_ok() {
            let patience = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(500);
            let _ = wait.recv_timeout(patience);
        }
    }
}

fn report(id: &str, snapshot: &Snapshot) -> Report {
    let live = snapshot.run.as_ref();
    let reported = live.and_then(|(link, _)| link.reported());
    let health = match (&snapshot.why, reported) {
        (Some(why), _) => Health { level: Level::Failed, message: why.clone() },
        (None, Some(reported)) => reported,
        (None, None) => Health { level: Level::Degraded, message: "starting".to_owned() },
    };
    let dropped = live.map(|(link, _)| link.inbox.dropped()).unwrap_or_default();
    Report {
        id: id.to_owned(),
        name: snapshot.name.to_owned(),
        version: snapshot.version.to_owned(),
        library: snapshot.library.clone(),
        state: snapshot.state,
        restarts: snapshot.restarts,
        left_behind: snapshot.left_behind,
        health,
        endpoints: live.map(|(link, _)| link.endpoints()).unwrap_or_default(),
        messages_dropped: dropped.messages,
        frames_dropped: dropped.frames,
        frames_kept: live.map_or(0, |(_, context)| context.kept.len()),
    }
}
