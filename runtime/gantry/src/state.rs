//! The observables' side of the gateway: who may change what (`gantry-access`, `gantry-control`), how protocols name it
//! (`gantry-script`), what it acts on (cameras, recorder, snapshots, lights), and what is remembered of it.

mod journal;
mod kept;
mod mappings;
mod services;
mod targets;
mod upkeep;

use crate::clock::unix_ms;
use crate::config::script_dir;
use crate::records::Records;
use gantry_access::{Access, Initial, Logins, Users};
use gantry_control::{Control, Kept, Parts};
use gantry_core::Runtime;
use gantry_core::config::Config;
use gantry_media::{Cameras, Recorder, Snapshots};
use gantry_outputs::Lights;
use gantry_script::{Scripts, Settings};
use journal::Audit;
use kept::KeptState;
use mappings::Mappings;
use serde_json::Value;
pub(crate) use services::Door;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
pub(crate) use targets::Outside;
use upkeep::Upkeep;

/// Everything between a client that writes and what that acts on.
pub(crate) struct State {
    control: Arc<Control>,
    scripts: Arc<Scripts>,
    mappings: Arc<Mappings>,
    door: Arc<Door>,
    outside: Arc<Outside>,
    upkeep: Upkeep,
    /// The configuration's file, beside which scripts are looked for.
    file: PathBuf,
    script_settings: Mutex<Settings>,
    /// What is to be taken up again by the first configuration that is applied.
    saved: Mutex<BTreeMap<String, Kept>>,
}

impl State {
    /// Starts it, with nothing declared. The user that was made, when there was none.
    pub(crate) fn start(
        runtime: &Runtime,
        cameras: &Arc<Cameras>,
        records: &Arc<Records>,
        config: &Config,
        file: &Path,
    ) -> anyhow::Result<(Self, Option<Initial>)> {
        let users = Users::open(&config.state_dir)?;
        let initial = users.first_start(unix_ms())?;
        let access = Arc::new(Access::open(users, config.access.session_lifetime, unix_ms())?);
        let logins = Logins::start(access.clone(), Box::new(unix_ms))?;
        let audit = Arc::<Audit>::default();

        let observables = runtime.state.clone();
        let notes = records.clone();
        let late = Arc::<std::sync::OnceLock<std::sync::Weak<Control>>>::default();
        let reporter = late.clone();
        let on_recording = Arc::new(move |event| {
            let control = reporter.get().and_then(std::sync::Weak::upgrade);
            targets::recorded(&event, &observables, control.as_deref(), &notes);
        });
        let recordings = recording_dir(config);
        let recorder =
            Recorder::new(runtime.frames.clone(), recordings, config.recording.clone(), on_recording);
        let (looked_at, notes) = (cameras.clone(), records.clone());
        let snapshots = Snapshots::new(
            runtime.frames.clone(),
            snapshot_dir(config),
            config.snapshots.clone(),
            // A camera whose quality nobody can set makes its JPEG itself, and there is nothing better to be had.
            Arc::new(move |camera| looked_at.supports(camera, "pictureQuality").is_err()),
            Arc::new(move |removed| targets::removed(&removed, "snapshot-removed", &notes)),
        );
        let outside = Arc::new(Outside::new(
            cameras.clone(),
            Lights::new(),
            recorder,
            snapshots,
            records.clone(),
            runtime.health.clone(),
        ));

        let mappings = Arc::<Mappings>::default();
        let control = Arc::new(Control::start(Parts {
            runtime: runtime.clone(),
            targets: outside.clone(),
            converter: mappings.clone(),
            journal: audit.clone(),
        })?);
        // Never set twice.
        let _ = late.set(Arc::downgrade(&control));
        let settings = script_settings(config, file);
        let scripts = Arc::new(mappings.load(settings.clone(), &control, runtime.health.clone())?);
        mappings.use_scripts(&scripts);

        let door = Arc::new(Door::new(access, logins, audit));
        services::offer(runtime, &control, &door);
        let changed = Arc::downgrade(&control);
        cameras.on_controls(Box::new(move |_| {
            if let Some(control) = changed.upgrade() {
                control.refresh();
            }
        }));
        let kept = KeptState::open(&config.state_dir);
        let saved = kept.observables().clone();
        scripts.restore(kept.rules().clone());
        let upkeep = Upkeep::start(runtime, &control, &door, records, &scripts, kept)?;
        let state = Self {
            control,
            scripts,
            mappings,
            door,
            outside,
            upkeep,
            file: file.to_owned(),
            script_settings: Mutex::new(settings),
            saved: Mutex::new(saved),
        };
        Ok((state, initial))
    }

    /// Makes a configuration the one in force. What did not change is not touched.
    pub(crate) fn apply(&self, old: &Config, new: &Config) {
        self.outside.apply(new, recording_dir(new), snapshot_dir(new));
        self.door.set_anonymous(new.access.anonymous);
        self.door.access.set_lifetime(new.access.session_lifetime);
        if old.access.anonymous != new.access.anonymous {
            self.upkeep.tell_access_changed();
        }
        let settings = script_settings(new, &self.file);
        {
            let mut applied = self.script_settings.lock().unwrap_or_else(PoisonError::into_inner);
            if *applied != settings {
                applied.clone_from(&settings);
                self.scripts.configure(settings);
            }
        }
        // Also when the same is declared: what cameras are configured to may be another.
        let saved = std::mem::take(&mut *self.saved.lock().unwrap_or_else(PoisonError::into_inner));
        self.control.declare(new.state.clone(), saved);
        self.control.refresh();
        // Plugins that start next find their mappings and all values in place.
        self.control.settle();
    }

    /// Who knocks, for services of others.
    pub(crate) fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// The script thread.
    pub(crate) fn scripts(&self) -> &Arc<Scripts> {
        &self.scripts
    }

    /// Whether a rule of that name is in force.
    pub(crate) fn rule_check(&self) -> Box<dyn Fn(&str) -> bool + Send + Sync> {
        let mappings = self.mappings.clone();
        Box::new(move |name| mappings.has_rule(name))
    }

    /// All changes of observables.
    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// What takes snapshots.
    pub(crate) fn outside(&self) -> &Arc<Outside> {
        &self.outside
    }

    /// Has the folder of scripts looked at.
    pub(crate) fn look_at_scripts(&self) {
        self.scripts.poll();
    }

    /// Ends recordings and keeps what is to be kept. Blocks until `deadline` at most, apart from the disk.
    pub(crate) fn shutdown(&self, deadline: Instant) {
        self.outside.shutdown(deadline);
        self.control.stop();
        self.upkeep.stop();
    }
}

fn recording_dir(config: &Config) -> PathBuf {
    config.recording.dir.clone().unwrap_or_else(|| config.state_dir.join("recordings"))
}

fn snapshot_dir(config: &Config) -> PathBuf {
    config.snapshots.dir.clone().unwrap_or_else(|| config.state_dir.join("snapshots"))
}

pub(crate) fn script_settings(config: &Config, file: &Path) -> Settings {
    let rules = config.rules.iter().map(|(name, table)| (name.clone(), Value::Object(table.clone())));
    Settings { dir: script_dir(config, file), limits: config.scripts.clone(), rules: rules.collect() }
}
