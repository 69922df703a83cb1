//! `gantry run`: from the first check to the last good-bye.

use crate::admin::Admin;
use crate::cli::EXIT_CONFIG;
use crate::config::{Located, Sources};
use crate::log;
use crate::metrics::Metrics;
use crate::operator::Operator;
use crate::runtime::Gateway;
use crate::statedir::StateDir;
use crate::vitals::Vitals;
use crate::watch::Watch;
use crate::watchdog::Watchdog;
use crate::{check, systemd};
use anyhow::Context;
use gantry_core::config::Config;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the configuration file is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is looked at how every part does.
const FEEL: Duration = Duration::from_secs(1);
/// How often readiness is looked at while the gateway starts.
const SETTLE: Duration = Duration::from_millis(50);
/// When systemd and people are told that it is up, even if a plugin still starts.
const PATIENCE: Duration = Duration::from_secs(10);
/// A plugin's `validate` runs during a check, and one that hangs must not hold up every later reload.
const CHECK_TIME: Duration = Duration::from_secs(15);

/// Runs the gateway to its end.
pub(crate) fn run(sources: Sources) -> anyhow::Result<ExitCode> {
    let text = sources.read();
    let merged = sources.load();
    // A plugin whose library cannot be loaded is one plugin less: the camera and the others are worth starting for. (A
    // reload is stricter, because there what it would replace is known to work.)
    let spares = |_: &str, _: &gantry_core::config::Plugin| true;
    let (state_dir, findings) = if merged.findings.is_empty() {
        // Locked before the check, which copies libraries into it.
        let state_dir = StateDir::lock(&merged.config.state_dir)?;
        let findings = check::findings(&merged, &sources.file, &merged.config.state_dir, spares);
        (Some(state_dir), findings)
    } else {
        let folder = tempfile::Builder::new().prefix("gantry-check-").tempdir()?;
        (None, check::findings(&merged, &sources.file, folder.path(), spares))
    };
    let (Some(state_dir), true) = (state_dir, findings.is_empty()) else {
        check::print(&findings);
        return Ok(ExitCode::from(EXIT_CONFIG));
    };
    let config = merged.config;
    let log = log::Handle::install(&config.log);
    let (gateway, initial) = Gateway::new(&config, &sources.file, Metrics::install()?)?;
    let gateway = Arc::new(gateway);
    if let Some(initial) = initial {
        greet(&initial);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watch = Watch::new(&text.unwrap_or_default());
    let mut running = Running { sources, gateway, log, state_dir, watch, admin: None, operator: None };
    let done = runtime.block_on(running.run(config));
    if done.is_err() {
        // Nothing has stopped them yet, and what they have written is to be ended cleanly.
        running.gateway.shutdown();
    }
    // A plugin that hangs in `validate` has a thread that nobody waits for.
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

/// Says the password of the first user, once: it is kept nowhere, and never in the log.
fn greet(initial: &gantry_access::Initial) {
    let text = format!(
        "There were no users, so one was made: name `{}`, password `{}`. Note it: it is not shown again.\n\
         Change it with `gantry user passwd {}`.\n",
        initial.name,
        initial.password.reveal(),
        initial.name
    );
    let _ = std::io::stdout().write_all(text.as_bytes());
}

struct Running {
    sources: Sources,
    gateway: Arc<Gateway>,
    log: log::Handle,
    state_dir: StateDir,
    watch: Watch,
    admin: Option<Admin>,
    operator: Option<Operator>,
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

impl Running {
    async fn run(&mut self, config: Config) -> anyhow::Result<()> {
        let [mut term, mut int, mut hup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        let (term, int, hup) = (listen(&mut term)?, listen(&mut int)?, listen(&mut hup)?);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %self.sources.file.display(), "starting");

        // First what can fail, so that nothing has to be stopped again.
        self.admin = Some(Admin::bind(config.admin.bind, self.gateway.clone()).await?);
        let (services, tape) = (self.gateway.services(), self.gateway.tape());
        self.operator = Operator::open(&config.state_dir, services, tape);
        self.gateway.apply(config);
        if let Err(error) = self.announce() {
            // The camera is worth running for.
            tracing::error!("{error:#}: `gantry plugins` and the like do not find this gateway: make room");
        }

        let (mut look, mut settle, mut upkeep) = (every(LOOK), every(SETTLE), every(Duration::from_secs(5)));
        let (mut feel, mut vitals) = (every(FEEL), Vitals::new(Instant::now()));
        let mut dog = Watchdog::default();
        let feed_interval = systemd::feed_interval();
        let mut feed = every(feed_interval.unwrap_or(Duration::from_secs(3600)));
        let begin = Instant::now();
        let (mut told, mut status) = (false, String::new());
        let mut checking: Option<Checking> = None;
        loop {
            tokio::select! {
                _ = settle.tick(), if !told => {
                    if self.gateway.has_settled() || begin.elapsed() > PATIENCE {
                        told = true;
                        self.tell();
                    }
                }
                // One check at a time; whatever asks for the next one waits where it is.
                _ = look.tick(), if checking.is_none() => {
                    self.gateway.look_at_scripts();
                    if self.watch.look(&self.sources.file) {
                        checking = Some(self.check("the file has changed"));
                    }
                }
                _ = hup.recv(), if checking.is_none() => {
                    self.gateway.look_at_scripts();
                    checking = Some(self.check("SIGHUP"));
                }
                checked = finish(&mut checking) => {
                    checking = None;
                    self.reload(checked).await;
                    systemd::ready(&self.gateway.summary());
                }
                _ = feed.tick(), if feed_interval.is_some() => {
                    match self.gateway.hanging(&mut dog, Instant::now()) {
                        None => systemd::feed(),
                        Some(camera) => tracing::error!(
                            camera,
                            "counts as connected but gives no frames: the watchdog is left to restart the gateway"
                        ),
                    }
                }
                _ = feel.tick() => self.gateway.note_health(&mut vitals, Instant::now()),
                _ = upkeep.tick() => {
                    self.gateway.upkeep();
                    let now = self.gateway.summary();
                    if told && now != status {
                        systemd::status(&now);
                        status = now;
                    }
                }
                _ = term.recv() => break,
                _ = int.recv() => break,
            }
        }

        tracing::info!("stopping");
        systemd::stopping();
        self.state_dir.withdraw();
        self.operator = None;
        let gateway = self.gateway.clone();
        let end = tokio::task::spawn_blocking(move || gateway.shutdown());
        tokio::select! {
            _ = end => {}
            _ = term.recv() => tracing::warn!("a second signal: ending at once"),
            _ = int.recv() => tracing::warn!("a second signal: ending at once"),
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// Writes where the admin listener is.
    fn announce(&self) -> anyhow::Result<()> {
        let admin = self.admin.as_ref().context("the admin listener was bound just now")?;
        self.state_dir.announce(admin.address())
    }

    /// Says to systemd and to people that it is up, and where.
    fn tell(&self) {
        let config = self.gateway.config();
        systemd::ready(&self.gateway.summary());
        if self.log.is_json() {
            return;
        }
        let mut text = format!(
            "Gantry {} runs. SIGHUP or a saved configuration applies what changed; Ctrl-C ends it.\n",
            env!("CARGO_PKG_VERSION")
        );
        for camera in self.gateway.camera_status() {
            let Some(section) = config.cameras.get(&camera.name) else { continue };
            let (width, height, fps) = (section.width, section.height, section.fps);
            text += &format!("  camera {}: {} {width}x{height}, up to {fps} fps", camera.name, camera.source);
            if !camera.reason.is_empty() {
                text += &format!(": no frames: {}", camera.reason);
            }
            text.push('\n');
        }
        for report in self.gateway.reports() {
            if report.endpoints.is_empty() {
                text += &format!("  plugin {}: {}\n", report.id, report.health.message);
            }
            for endpoint in &report.endpoints {
                text += &format!("  plugin {}: {} on {}\n", report.id, endpoint.protocol, endpoint.url);
            }
        }
        if let Some(admin) = &self.admin {
            text +=
                &format!("  admin: http://{}/readyz (also /metrics, /plugins, /cameras)\n", admin.address());
        }
        // Nobody may be reading any more, as in `gantry run | head`: no reason to end.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    /// Reads the configuration anew and begins to check it, beside everything else: a plugin that hangs in `validate` must
    /// not hold up signals and the watchdog.
    fn check(&mut self, reason: &str) -> Checking {
        systemd::reloading();
        let text = self.sources.read();
        if let Ok(text) = &text {
            self.watch.handled(text);
        }
        tracing::info!(reason, "reloading the configuration");
        let (sources, before) = (self.sources.clone(), self.gateway.config());
        let task = tokio::task::spawn_blocking(move || {
            let merged = text.map_or_else(crate::config::Merged::broken, |text| sources.merge(&text));
            // A library that was refused before is no news; one that the change brings in is a reason not to apply it.
            let spares = |id: &str, plugin: &_| before.plugins.get(id) == Some(plugin);
            let findings = check::findings(&merged, &sources.file, &before.state_dir, spares);
            (merged.config, findings)
        });
        Checking { task, until: tokio::time::Instant::now() + CHECK_TIME }
    }

    /// Applies what was checked, or says why not and changes nothing.
    async fn reload(&mut self, checked: Result<(Config, Vec<Located>), String>) {
        match checked {
            Ok((config, findings)) if findings.is_empty() => self.apply(config).await,
            Ok((_, findings)) => {
                let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
                self.refuse(&lines.join("; "));
            }
            Err(why) => self.refuse(&why),
        }
    }

    fn refuse(&self, why: &str) {
        metrics::counter!("gantry_config_reloads_total", "result" => "refused").increment(1);
        if self.gateway.refuse(&format!("the file was not applied: {why}")) {
            tracing::error!("the configuration was not applied, the one before stays in force: {why}");
        }
    }

    /// Listens at another address. Where the old one is in the way of the new one (the same port on all interfaces), it
    /// is given up first, and taken again when the new one fails.
    async fn move_admin(&mut self, to: SocketAddr) -> anyhow::Result<()> {
        let from = self.admin.as_ref().map_or(to, Admin::address);
        let mut bound = Admin::bind(to, self.gateway.clone()).await;
        if bound.is_err() && from.port() == to.port() {
            if let Some(old) = self.admin.take() {
                old.close().await;
            }
            bound = Admin::bind(to, self.gateway.clone()).await;
            if bound.is_err() {
                self.admin = Some(Admin::bind(from, self.gateway.clone()).await?);
            }
        }
        self.admin = Some(bound?);
        Ok(())
    }

    async fn apply(&mut self, config: Config) {
        let before = self.gateway.config();
        if config.admin != before.admin {
            let moved = self.move_admin(config.admin.bind).await;
            if let Err(error) = self.announce() {
                tracing::error!("{error:#}");
            }
            if let Err(error) = moved {
                return self.refuse(&format!("{error:#}"));
            }
        }
        self.log.set_level(&config.log.level);
        for key in self.gateway.apply(config) {
            tracing::warn!(key, "takes effect when the gateway is started again");
        }
        metrics::counter!("gantry_config_reloads_total", "result" => "applied").increment(1);
        tracing::info!("the configuration is applied");
    }
}

/// A check that is under way.
struct Checking {
    task: JoinHandle<(Config, Vec<Located>)>,
    until: tokio::time::Instant,
}

/// Waits for a check to end; for ever when there is none.
async fn finish(checking: &mut Option<Checking>) -> Result<(Config, Vec<Located>), String> {
    let Some(Checking { task, until }) = checking else { return std::future::pending().await };
    match tokio::time::timeout_at(*until, task).await {
        Ok(Ok(checked)) => Ok(checked),
        Ok(Err(error)) => Err(format!("the check failed: {error}")),
        Err(_) => Err("a plugin's `validate` does not return: remove or repair the plugin".to_owned()),
    }
}

fn listen(signal: &mut std::io::Result<Signal>) -> anyhow::Result<&mut Signal> {
    signal.as_mut().map_err(|error| anyhow::anyhow!("signals cannot be handled: {error}"))
}
