//! The parts of a running gateway, and the one way to change what they do: [`Gateway::apply`]. Starting is applying to
//! nothing.

use crate::admin::Facts;
use crate::check::count;
use crate::clock::unix_ms;
use crate::config::{pipeline_dir, plugin_dir};
use crate::counts::{self, Counts};
use crate::encoder::Encoders;
use crate::faces;
use crate::metrics::Metrics;
use crate::readiness::{self, Problem};
use crate::records::{self, Desk, Records};
use crate::state::State;
use crate::tape::Tape;
use crate::vitals::{self, Vitals};
use crate::watchdog;
use gantry_access::Initial;
use gantry_analysis::{Analyses, Looks};
use gantry_core::Runtime;
use gantry_core::access::Role;
use gantry_core::config::Config;
use gantry_core::health::Level;
use gantry_core::services::ServiceError;
use gantry_host::{Plugins, Report, RunState, Settings};
use gantry_media::{CameraStatus, Cameras};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When each has ended, one after the other: plugins have said good-bye, analyses are done with their picture, counts are
/// written down. The whole end takes 5 s at most.
const PLUGINS_END: Duration = Duration::from_millis(3000);
const ANALYSES_END: Duration = Duration::from_millis(3600);
const COUNTS_END: Duration = Duration::from_millis(4200);
const ALL_ENDS: Duration = Duration::from_millis(4800);

/// Everything that runs. Shared with the admin listener.
pub(crate) struct Gateway {
    runtime: Runtime,
    cameras: Arc<Cameras>,
    state: State,
    records: Arc<Records>,
    analyses: Analyses,
    looks: Arc<Looks>,
    counts: Counts,
    desk: Arc<Desk>,
    face_policy: Arc<faces::Rules>,
    readers: Arc<records::Readers>,
    tape: Arc<Tape>,
    plugins: Plugins,
    metrics: Metrics,
    applied: Mutex<Config>,
}

impl Gateway {
    /// The parts, with nothing in them yet. The folders are those of `config` and hold for the life of the process.
    /// Also the user that was made, when there was none.
    pub(crate) fn new(
        config: &Config,
        file: &Path,
        metrics: Metrics,
    ) -> anyhow::Result<(Self, Option<Initial>)> {
        let runtime = Runtime::default();
        let records = Arc::new(Records::open(config, runtime.health.clone())?);
        let cameras = Arc::new(Cameras::new(runtime.clone(), pipeline_dir(config, file))?);
        let (state, initial) = State::start(&runtime, &cameras, &records, config, file)?;
        let tape = Arc::<Tape>::default();
        let parts = counts::Parts {
            runtime: runtime.clone(),
            records: records.clone(),
            scripts: state.scripts().clone(),
            control: state.control().clone(),
            acts: state.outside().clone(),
            tape: tape.clone(),
            clock: Box::new(|| unix_ms().cast_signed()),
            has_rule: state.rule_check(),
        };
        let desk = Arc::new(Desk::start(&records)?);
        let counts = Counts::start(parts, config)?;
        counts::offer(&runtime, &counts.post(), &desk, &records, state.door());
        let post = counts.post();
        let analyses =
            Analyses::new(runtime.clone(), Arc::<Encoders>::default(), Arc::new(move |seen| post.seen(seen)));
        let looks = Arc::new(Looks::new(runtime.clone()));
        crate::looks::offer(&runtime, &looks);
        let face_policy = Arc::<faces::Rules>::default();
        faces::offer(&runtime, &desk, state.door(), &face_policy);
        let readers = Arc::new(records::Readers::new(state.door().clone(), face_policy.clone()));
        records::offer(&runtime, &desk, &records, &counts.post(), &readers);
        let settings = Settings { state_dir: config.state_dir.clone(), plugin_dir: plugin_dir(config) };
        let plugins = Plugins::new(runtime.clone(), settings);
        let gateway = Self {
            runtime,
            cameras,
            state,
            records,
            analyses,
            looks,
            counts,
            desk,
            face_policy,
            readers,
            tape,
            plugins,
            metrics,
            applied: Mutex::default(),
        };
        Ok((gateway, initial))
    }

    fn applied(&self) -> MutexGuard<'_, Config> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a configuration without findings the one in force. What did not change is not touched. Returns at once, with
    /// the keys whose change needs a new process.
    pub(crate) fn apply(&self, new: Config) -> Vec<&'static str> {
        self.records.apply(&new);
        self.cameras.apply(&new.cameras);
        self.state.apply(&self.config(), &new);
        self.counts.configure(&new);
        self.face_policy.set(faces::Policy::of(&new));
        self.readers.set(new.records.read);
        self.analyses.apply(&new);
        self.looks.apply(&new);
        self.plugins.apply(&new.plugins);
        let names: Vec<&String> = new.cameras.keys().collect();
        let names = json!({ "cameras": names });
        let door = self.state.door().clone();
        self.runtime.services.offer_sync("cameras.list", move |caller, request| {
            // A request that shows no token at all is the plugin's own.
            if request.get("token").is_none() || door.who(caller, &request).0.may(Role::Anonymous) {
                return Ok(names.clone());
            }
            let message = "cameras.list: strangers learn nothing here: log in first";
            Err(ServiceError(message.to_owned()))
        });
        self.runtime.health.forget("config");
        let old = std::mem::replace(&mut *self.applied(), new);
        let new = self.applied();
        let fixed = [
            ("state_dir", old.state_dir == new.state_dir),
            ("plugin_dir", old.plugin_dir == new.plugin_dir),
            ("pipeline_dir", old.pipeline_dir == new.pipeline_dir),
            ("log.format", old.log.format == new.log.format),
            ("records.min_free_bytes", old.records.min_free_bytes == new.records.min_free_bytes),
        ];
        fixed.into_iter().filter(|(_, same)| !same).map(|(key, _)| key).collect()
    }

    /// Notes that the file on disk is not the one in force. Returns whether that is news.
    pub(crate) fn refuse(&self, why: &str) -> bool {
        self.runtime.health.report("config", Level::Degraded, why)
    }

    /// What is applied now.
    pub(crate) fn config(&self) -> Config {
        self.applied().clone()
    }

    /// The plugins' reports.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.plugins.reports()
    }

    /// Whether nothing is on its way up any more: each plugin runs or has failed, and each camera gives frames or has said
    /// why it does not.
    pub(crate) fn has_settled(&self) -> bool {
        let reports = self.plugins.reports();
        let health = self.runtime.health.all();
        let config = self.applied();
        let failed =
            |name: &str| health.get(&format!("camera/{name}")).is_some_and(|r| r.level == Level::Failed);
        let wanted = config.plugins.values().filter(|plugin| plugin.enabled).count();
        reports.len() == wanted
            && reports.iter().all(|report| report.state != RunState::Starting)
            && config.cameras.keys().all(|name| self.connected(name) || failed(name))
    }

    /// How it does, in one line.
    pub(crate) fn summary(&self) -> String {
        let problems: Vec<_> = self.problems().iter().map(Problem::to_string).collect();
        if !problems.is_empty() {
            return format!("not ready: {}", problems.join("; "));
        }
        let config = self.applied();
        let plugins = config.plugins.values().filter(|plugin| plugin.enabled).count();
        format!("running {} and {}", count(config.cameras.len(), "camera"), count(plugins, "plugin"))
    }

    /// The camera that hangs, if one does: then a restart of the process would help.
    pub(crate) fn hanging(&self, dog: &mut watchdog::Watchdog, now: Instant) -> Option<String> {
        let status = self.cameras.status();
        let config = self.applied();
        let looked_at: Vec<_> = status
            .iter()
            .filter_map(|camera| {
                Some(watchdog::Camera {
                    name: &camera.name,
                    connected: self.connected(&camera.name),
                    frames: camera.frames_captured,
                    stall_timeout: config.cameras.get(&camera.name)?.stall_timeout,
                })
            })
            .collect();
        dog.hanging(now, &looked_at)
    }

    fn connected(&self, camera: &str) -> bool {
        let state = self.runtime.state.get(&format!("cameras/{camera}/connected"));
        state.is_some_and(|(value, _)| value == Value::Bool(true))
    }

    /// Writes down how every part does, when that is due.
    pub(crate) fn note_health(&self, vitals: &mut Vitals, now: Instant) {
        let mut parts = self.runtime.health.all();
        for Problem { part, message } in self.problems() {
            parts.insert(part, gantry_core::health::Report { level: Level::Failed, message });
        }
        for report in self.plugins.reports() {
            let health = gantry_core::health::Report {
                level: report.health.level,
                message: report.health.message.clone(),
            };
            parts.entry(format!("plugin/{}", report.id)).or_insert(health);
        }
        // What cannot be kept cannot be said there either.
        parts.remove("records");
        let (interval, state_dir) = {
            let config = self.applied();
            (config.records.health_interval, config.state_dir.clone())
        };
        for record in vitals.look(now, interval, &parts, || vitals::Machine::read(&state_dir)) {
            let component = record["component"].as_str().unwrap_or_default().to_owned();
            let (json, lost) = (record.to_string(), vitals.lost());
            let draft = gantry_store::Draft { collection: "gateway".to_owned(), json, ..Default::default() };
            self.records.append(draft, move |kept| {
                if kept.is_none() {
                    lost.add(component);
                }
            });
        }
    }

    /// Lets the metrics sort what they have collected.
    pub(crate) fn upkeep(&self) {
        self.metrics.upkeep();
        self.analyses.look(Instant::now());
        self.looks.watch(Instant::now());
    }

    /// The cameras as they are.
    pub(crate) fn camera_status(&self) -> Vec<CameraStatus> {
        self.cameras.status()
    }

    /// What the operator's door leads to.
    pub(crate) fn services(&self) -> Arc<gantry_core::services::Services> {
        self.runtime.services.clone()
    }

    /// What rules are told.
    pub(crate) fn tape(&self) -> Arc<Tape> {
        self.tape.clone()
    }

    /// Has the folder of scripts looked at.
    pub(crate) fn look_at_scripts(&self) {
        self.state.look_at_scripts();
    }

    /// Ends everything in time. Blocks.
    pub(crate) fn shutdown(&self) {
        let begin = Instant::now();
        self.plugins.shutdown(begin + PLUGINS_END);
        self.analyses.shutdown(begin + ANALYSES_END);
        self.looks.shutdown(begin + ANALYSES_END);
        self.counts.stop(begin + COUNTS_END);
        self.desk.stop(begin + COUNTS_END);
        self.state.shutdown(begin + ALL_ENDS);
        self.records.close();
        self.cameras.shutdown(begin + ALL_ENDS);
    }
}

impl Facts for Gateway {
    fn problems(&self) -> Vec<Problem> {
        let health = self.runtime.health.all();
        let of = |part: String| health.get(&part).map(|report| (report.level, report.message.clone()));
        let cameras: Vec<_> = self
            .applied()
            .cameras
            .keys()
            .map(|name| readiness::Camera {
                name: name.clone(),
                connected: self.connected(name),
                health: of(format!("camera/{name}")),
            })
            .collect();
        let reports: BTreeMap<_, _> = self.plugins.reports().into_iter().map(|r| (r.id.clone(), r)).collect();
        let plugins: Vec<_> = self
            .applied()
            .plugins
            .iter()
            .filter(|(_, plugin)| plugin.enabled)
            .map(|(id, _)| match reports.get(id) {
                Some(report) => readiness::Plugin {
                    id: id.clone(),
                    state: json!(report.state).as_str().unwrap_or_default().to_owned(),
                    health: Some((report.health.level, report.health.message.clone())),
                },
                None => readiness::Plugin { id: id.clone(), state: "starting".to_owned(), health: None },
            })
            .collect();
        readiness::problems(&cameras, &plugins)
    }

    fn notes(&self) -> Vec<Problem> {
        let told: BTreeSet<String> = self.problems().into_iter().map(|problem| problem.part).collect();
        let all = self.runtime.health.all().into_iter();
        let others = all.filter(|(part, report)| report.level != Level::Ok && !told.contains(part));
        others.map(|(part, report)| Problem { part, message: report.message }).collect()
    }

    fn metrics(&self) -> String {
        for status in self.analyses.status() {
            crate::metrics::analysis(&status);
        }
        self.looks.status().iter().for_each(crate::looks::measure);
        self.metrics.render()
    }

    fn plugins(&self) -> Value {
        json!({ "plugins": self.plugins.reports() })
    }

    fn cameras(&self) -> Value {
        let mut cameras = json!(self.cameras.status());
        for status in self.analyses.status() {
            let camera =
                cameras.as_array_mut().and_then(|all| all.iter_mut().find(|c| c["name"] == status.camera));
            if let Some(camera) = camera {
                camera["analysis"] = json!({
                    "detector": status.detector, "stream": status.stream, "running": status.running,
                    "frames": status.frames, "skipped": status.skipped, "people": status.people,
                    "last_ms": status.last.as_secs_f64() * 1e3, "average_ms": status.average.as_secs_f64() * 1e3,
                });
            }
        }
        json!({ "cameras": cameras })
    }
}
