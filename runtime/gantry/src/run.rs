//! `gantry run`: from the first check to the last good-bye.

use crate::admin::Admin;
use crate::cli::EXIT_CONFIG;
use crate::config::Sources;
use crate::log;
use crate::metrics::Metrics;
use crate::runtime::Gateway;
use crate::statedir::StateDir;
use crate::watch::Watch;
use crate::watchdog::Watchdog;
use crate::{check, systemd};
use anyhow::Context;
use gantry_core::config::Config;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the configuration file is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often readiness is looked at while the gateway starts.
const SETTLE: Duration = Duration::from_millis(50);
/// When systemd and people are told that it is up, even if a plugin still starts.
const PATIENCE: Duration = Duration::from_secs(10);
/// A plugin's `validate` runs during a check; one that hangs must not take the gateway with it.
const CHECK_TIME: Duration = Duration::from_secs(15);

/// Runs the gateway to its end.
pub(crate) fn run(sources: Sources) -> anyhow::Result<ExitCode> {
    let text = sources.read();
    let merged = sources.load();
    // Whatever is wrong with other sections, the state folder is where the file says, or where it would be by default.
    let findings = if merged.findings.is_empty() {
        check::findings(&merged, &sources.file, &merged.config.state_dir)
    } else {
        let folder = tempfile::Builder::new().prefix("gantry-check-").tempdir()?;
        check::findings(&merged, &sources.file, folder.path())
    };
    if !findings.is_empty() {
        check::print(&findings);
        return Ok(ExitCode::from(EXIT_CONFIG));
    }
    let config = merged.config;
    let state_dir = StateDir::lock(&config.state_dir)?;
    let log = log::Handle::install(&config.log);
    let gateway = Arc::new(Gateway::new(&config, &sources.file, Metrics::install()?)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watch = Watch::new(&text.unwrap_or_default());
    let mut running = Running { sources, gateway, log, state_dir, watch, admin: None };
    let done = runtime.block_on(running.run(config));
    // A plugin that hangs in `validate` has a thread that nobody waits for.
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

struct Running {
    sources: Sources,
    gateway: Arc<Gateway>,
    log: log::Handle,
    state_dir: StateDir,
    watch: Watch,
    admin: Option<Admin>,
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

        let bind = config.admin.bind;
        self.gateway.apply(config);
        self.admin = Some(Admin::bind(bind, self.gateway.clone()).await?);
        self.announce()?;

        let (mut look, mut settle, mut upkeep) = (every(LOOK), every(SETTLE), every(Duration::from_secs(5)));
        let mut dog = Watchdog::default();
        let feed_interval = systemd::feed_interval();
        let mut feed = every(feed_interval.unwrap_or(Duration::from_secs(3600)));
        let begin = Instant::now();
        let mut told = false;
        loop {
            tokio::select! {
                _ = settle.tick(), if !told => {
                    if self.gateway.has_settled() || begin.elapsed() > PATIENCE {
                        told = true;
                        self.tell();
                    }
                }
                _ = look.tick() => if self.watch.look(&self.sources.file) {
                    self.reload("the file has changed").await;
                },
                _ = hup.recv() => self.reload("SIGHUP").await,
                _ = feed.tick(), if feed_interval.is_some() => {
                    match self.gateway.hanging(&mut dog, Instant::now()) {
                        None => systemd::feed(),
                        Some(camera) => tracing::error!(
                            camera,
                            "counts as connected but gives no frames: the watchdog is left to restart the gateway"
                        ),
                    }
                }
                _ = upkeep.tick() => self.gateway.upkeep(),
                _ = term.recv() => break,
                _ = int.recv() => break,
            }
        }

        tracing::info!("stopping");
        systemd::stopping();
        self.state_dir.withdraw();
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
        systemd::ready(&format!("{} cameras, {} plugins", config.cameras.len(), config.plugins.len()));
        if self.log.is_json() {
            return;
        }
        println!("Gantry {} runs. SIGHUP or a saved configuration applies what changed; Ctrl-C ends it.", env!("CARGO_PKG_VERSION"));
        for camera in self.gateway.camera_status() {
            let Some(section) = config.cameras.get(&camera.name) else { continue };
            let (width, height, fps) = (section.width, section.height, section.fps);
            println!("  camera {}: {} {width}x{height}, up to {fps} fps", camera.name, camera.source);
        }
        for report in self.gateway.reports() {
            if report.endpoints.is_empty() {
                println!("  plugin {}: {}", report.id, report.health.message);
            }
            for endpoint in &report.endpoints {
                println!("  plugin {}: {} on {}", report.id, endpoint.protocol, endpoint.url);
            }
        }
        if let Some(admin) = &self.admin {
            println!("  admin: http://{}/readyz (also /metrics, /plugins, /cameras)", admin.address());
        }
    }

    /// Reads the configuration anew and applies the difference, or says why not and changes nothing.
    async fn reload(&mut self, reason: &str) {
        systemd::reloading();
        let text = self.sources.read();
        if let Ok(text) = &text {
            self.watch.handled(text);
        }
        tracing::info!(reason, "reloading the configuration");
        let (sources, state_dir) = (self.sources.clone(), self.gateway.config().state_dir);
        let checked = tokio::task::spawn_blocking(move || {
            let merged = text.map_or_else(crate::config::Merged::broken, |text| sources.merge(&text));
            let findings = check::findings(&merged, &sources.file, &state_dir);
            (merged.config, findings)
        });
        match tokio::time::timeout(CHECK_TIME, checked).await {
            Ok(Ok((config, findings))) if findings.is_empty() => self.apply(config).await,
            Ok(Ok((_, findings))) => {
                let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
                self.refuse(&lines.join("; "));
            }
            Ok(Err(error)) => self.refuse(&format!("the check failed: {error}")),
            Err(_) => self.refuse("a plugin's `validate` does not return: remove or repair the plugin"),
        }
        systemd::ready("running");
    }

    fn refuse(&self, why: &str) {
        metrics::counter!("gantry_config_reloads_total", "result" => "refused").increment(1);
        if self.gateway.refuse(&format!("the file was not applied: {why}")) {
            tracing::error!("the configuration was not applied, the one before stays in force: {why}");
        }
    }

    async fn apply(&mut self, config: Config) {
        let before = self.gateway.config();
        if config.admin != before.admin {
            match Admin::bind(config.admin.bind, self.gateway.clone()).await {
                Ok(admin) => self.admin = Some(admin),
                Err(error) => return self.refuse(&format!("{error:#}")),
            }
            if let Err(error) = self.announce() {
                tracing::error!("{error:#}");
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

fn listen(signal: &mut std::io::Result<Signal>) -> anyhow::Result<&mut Signal> {
    signal.as_mut().map_err(|error| anyhow::anyhow!("signals cannot be handled: {error}"))
}
