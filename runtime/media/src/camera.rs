//! One camera: the supervisor that opens sessions, looks at their frames, and replaces those that fail. It never waits for
//! a pipeline; everything that can hang is on the session's own thread.

use crate::backoff::{Backoff, Watchdog};
use crate::board::{Board, Listener, Outcome};
use crate::figures::Figures;
use crate::pipeline_file::Text;
use crate::session::{Event, Gates, Plan, Session};
use crate::{CameraState, CameraStatus, ControlError, PipelineFile, Source, check, lock, mix, redact};
use gantry_core::health::Level;
use gantry_core::{Runtime, config};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a session may take to close before the next one is opened beside it.
const CLOSING: Duration = Duration::from_secs(2);
/// With this many sessions that do not close, no other is opened: the driver hangs, and threads would pile up.
const MAX_HANGING: usize = 3;
/// How far back the measured rate looks.
const WINDOW: Duration = Duration::from_secs(2);
/// The longest wait before a mix looks for its cameras again.
const MIX_WAIT: Duration = Duration::from_secs(1);
/// After this many tries in a row a lost camera needs somebody.
const TRIES_BEFORE_ERROR: u32 = 4;

enum Order {
    Configure(config::Camera),
    /// Something is wanted that only a new session can do.
    Rebuild,
    Stop,
    Session(u64, Event),
}

/// What others see of a camera.
struct Public {
    source: String,
    state: CameraState,
    reason: String,
    last_error: Option<String>,
    fps: f64,
}

/// A camera, as [`crate::Cameras`] holds it.
pub(crate) struct Handle {
    orders: Sender<Order>,
    done: Receiver<()>,
    public: Arc<Mutex<Public>>,
    figures: Arc<Figures>,
    pub(crate) board: Arc<Board>,
    applied: (config::Camera, Vec<Text>),
}

/// The texts of the pipeline files of a camera, to see whether they changed.
fn texts(dir: &Path, camera: &config::Camera) -> Vec<Text> {
    let Ok(source) = Source::parse(&camera.source) else { return Vec::new() };
    check::texts(dir, &source, camera).into_iter().flatten().map(|(_, text)| text).collect()
}

/// What those files say, as far as they are good.
fn files(texts: &[Text], camera: &config::Camera) -> Vec<(String, PipelineFile)> {
    let source = Source::parse(&camera.source);
    let parse = |text: &Text| {
        let mut file = text.parse().ok()?;
        if let Ok(source) = &source {
            mix::narrow(&mut file, source);
        }
        Some((text.file.clone(), file))
    };
    texts.iter().filter_map(parse).collect()
}

impl Handle {
    pub(crate) fn start(
        runtime: &Runtime,
        dir: &Path,
        name: &str,
        camera: &config::Camera,
        listener: Listener,
        earlier: Option<Self>,
    ) -> Self {
        let (orders, received) = channel();
        let (over, done) = channel();
        let figures = Arc::new(Figures::new(name));
        let public = Arc::new(Mutex::new(Public {
            source: redact(&camera.source),
            state: CameraState::Starting,
            reason: String::new(),
            last_error: None,
            fps: 0.0,
        }));
        let applied = (camera.clone(), texts(dir, camera));
        let board = Arc::new(Board::new(name, listener));
        board.configure(camera, &files(&applied.1, camera));
        let supervisor = Supervisor {
            name: name.into(),
            part: format!("camera/{name}"),
            runtime: runtime.clone(),
            dir: dir.to_path_buf(),
            configured: camera.clone(),
            camera: camera.clone(),
            orders: orders.clone(),
            figures: figures.clone(),
            public: public.clone(),
            gates: Gates::default(),
            board: board.clone(),
            phase: Phase::Waiting { due: Instant::now() },
            generation: 0,
            closing: Vec::new(),
            backoff: Backoff::default(),
            tries: 0,
            looked: Instant::now(),
            samples: VecDeque::new(),
            shown: None,
        };
        let spawned = std::thread::Builder::new().name(format!("sup:{name}")).spawn(move || {
            // Held until this thread ends, however it does.
            let _over = over;
            if let Some(mut earlier) = earlier {
                earlier.wait(Instant::now() + CLOSING * 2);
            }
            supervisor.run(&received);
        });
        if let Err(error) = spawned {
            let message = format!("cannot start a thread: {error}: raise the limit of tasks");
            runtime.health.report(&format!("camera/{name}"), Level::Failed, message);
        }
        Self { orders, done, public, figures, board, applied }
    }

    /// Gives the camera its section; nothing happens when neither that nor its pipeline file changed. True when they did.
    pub(crate) fn configure(&mut self, dir: &Path, camera: &config::Camera) -> bool {
        let applied = (camera.clone(), texts(dir, camera));
        let has_changed = self.applied != applied;
        if has_changed {
            self.board.configure(camera, &files(&applied.1, camera));
            self.applied = applied;
            let _ = self.orders.send(Order::Configure(camera.clone()));
        }
        has_changed
    }

    /// Sets a control, now and for sessions to come.
    pub(crate) fn set(&self, control: &str, value: &Value) -> Result<(), ControlError> {
        let outcome = self.board.set(control, value)?;
        if control == "resolution" {
            // The size of the last picture is no longer that of the next.
            self.figures.size.store(0, std::sync::atomic::Ordering::Relaxed);
        }
        if outcome == Outcome::Rebuild {
            let _ = self.orders.send(Order::Rebuild);
        }
        Ok(())
    }

    pub(crate) fn stop(&self) {
        // A supervisor that is gone has stopped.
        let _ = self.orders.send(Order::Stop);
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.done.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected))
    }

    /// Waits until the camera is closed; false when it was not by then.
    pub(crate) fn wait(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        self.done.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
    }

    pub(crate) fn status(&self, name: &str) -> CameraStatus {
        let public = lock(&self.public);
        CameraStatus {
            name: name.to_owned(),
            source: public.source.clone(),
            state: public.state,
            reason: public.reason.clone(),
            frames_captured: self.figures.captured.get(),
            frames_encoded: self.figures.encoded.get(),
            frames_dropped: self.figures.dropped.get(),
            fps: public.fps,
            restarts: self.figures.restarts.get(),
            last_error: public.last_error.clone(),
        }
    }
}

enum Phase {
    /// A session is open; `running_since` is when its first frame came.
    Open { session: Session, watchdog: Watchdog, running_since: Option<Instant> },
    /// The next session is opened then, or when the last one let go of the device.
    Waiting { due: Instant },
    /// The recording is over.
    Ended,
    /// The camera was removed.
    Stopping { until: Instant },
}

struct Supervisor {
    name: Arc<str>,
    /// Its part in the health.
    part: String,
    runtime: Runtime,
    dir: PathBuf,
    /// Its section.
    configured: config::Camera,
    /// Its section with what is wanted of source and rate, as the newest session has it.
    camera: config::Camera,
    orders: Sender<Order>,
    figures: Arc<Figures>,
    public: Arc<Mutex<Public>>,
    gates: Gates,
    board: Arc<Board>,
    phase: Phase,
    /// The number of the newest session; events of others are late.
    generation: u64,
    /// Sessions that were told to close and have not said that they did, and since when.
    closing: Vec<(u64, Instant)>,
    backoff: Backoff,
    /// How often it was tried since frames last came.
    tries: u32,
    /// When the frames were last looked at.
    looked: Instant,
    samples: VecDeque<(Instant, u64)>,
    /// Width, height and rate as they are in the state.
    shown: Option<(u32, u32, f64)>,
}

impl Supervisor {
    fn run(mut self, received: &Receiver<Order>) {
        self.set("connected", json!(false));
        loop {
            let now = Instant::now();
            match &self.phase {
                Phase::Waiting { due } if self.opens_at(*due) <= now => self.open(now),
                Phase::Open { .. } => self.look(now),
                Phase::Stopping { until } if self.closing.is_empty() || *until <= now => return,
                _ => {}
            }
            match received.recv_timeout(self.patience(Instant::now())) {
                Ok(Order::Configure(camera)) => self.configure(camera),
                Ok(Order::Rebuild) => self.configure(self.configured.clone()),
                Ok(Order::Stop) => self.stop(),
                Ok(Order::Session(generation, event)) => self.hear(generation, event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// How long nothing needs to be looked at.
    fn patience(&self, now: Instant) -> Duration {
        match &self.phase {
            Phase::Open { watchdog, .. } => {
                (watchdog.stall_timeout / 4).clamp(Duration::from_millis(20), Duration::from_millis(250))
            }
            Phase::Waiting { due } => self.opens_at(*due).saturating_duration_since(now),
            Phase::Stopping { until } => until.saturating_duration_since(now),
            Phase::Ended => Duration::from_secs(3600),
        }
    }

    /// A device is free only when the last session let go of it; but one that hangs is not waited for.
    fn opens_at(&self, due: Instant) -> Instant {
        self.closing.iter().map(|(_, since)| *since + CLOSING).fold(due, Instant::max)
    }

    fn open(&mut self, now: Instant) {
        let hanging = self.closing.len();
        if hanging >= MAX_HANGING {
            let message =
                format!("{hanging} pipelines of this camera hang: unplug it, or restart the gateway");
            self.lost(now, &message);
            return;
        }
        if hanging > 0 {
            tracing::warn!(camera = %self.name, hanging, "a pipeline does not end and is left behind");
        }
        if self.tries > 0 {
            self.figures.restarts.add(1);
        } else {
            self.runtime.health.report(&self.part, Level::Degraded, "opening the camera");
        }
        self.camera = self.board.overrule(&self.configured);
        lock(&self.public).source = redact(&self.camera.source);
        self.generation += 1;
        let (generation, orders) = (self.generation, self.orders.clone());
        let report = Arc::new(move |event| _ = orders.send(Order::Session(generation, event)));
        let plan = Plan {
            name: self.name.clone(),
            camera: self.camera.clone(),
            pipeline_dir: self.dir.clone(),
            hub: self.runtime.frames.clone(),
            state: self.runtime.state.clone(),
            gates: self.gates.clone(),
            board: self.board.clone(),
            figures: self.figures.clone(),
        };
        self.samples.clear();
        match Session::open(plan, report) {
            Ok(session) => {
                let grace =
                    Source::parse(&self.camera.source).map_or(Duration::ZERO, |source| source.grace());
                let watchdog = Watchdog { opened: now, grace, stall_timeout: self.camera.stall_timeout };
                self.phase = Phase::Open { session, watchdog, running_since: None };
                lock(&self.public).state = CameraState::Starting;
            }
            Err(error) => {
                self.lost(now, &format!("cannot start a thread: {error}: raise the limit of tasks"))
            }
        }
    }

    fn hear(&mut self, generation: u64, event: Event) {
        if matches!(event, Event::Closed) {
            self.closing.retain(|(closing, _)| *closing != generation);
        }
        let now = Instant::now();
        let current = generation == self.generation;
        match (&mut self.phase, event) {
            (Phase::Open { running_since, .. }, Event::FirstFrame) if current => {
                *running_since = Some(now);
                self.came();
            }
            (Phase::Open { .. }, Event::Failed(reason)) if current => self.lost(now, &reason),
            (Phase::Open { .. }, Event::Closed) if current => {
                self.lost(now, "the pipeline's thread ended, which is a fault of the gateway: report it");
                self.closing.retain(|(closing, _)| *closing != generation);
            }
            (Phase::Open { .. }, Event::Ended) if current => self.ended(now),
            (Phase::Open { .. }, Event::Outdated) if current => self.configure(self.configured.clone()),
            _ => {}
        }
    }

    /// Looks at the frames of the open session.
    fn look(&mut self, now: Instant) {
        let was_asleep = now.saturating_duration_since(self.looked) > self.patience(now) * 2;
        self.looked = now;
        let Phase::Open { session, watchdog, running_since } = &self.phase else { return };
        // Who was kept from looking, by load or by a debugger, cannot blame the camera: its frames had to wait as well.
        if was_asleep {
            return;
        }
        if let Some(silent) = watchdog.stalled(now, session.last_frame(), session.nominal_fps()) {
            let advice = Source::parse(&self.camera.source).map_or("look at the camera", |s| s.advice());
            let message = format!("no frame for {:.1} s: {advice}", silent.as_secs_f64());
            self.lost(now, &message);
            return;
        }
        if running_since.is_none() {
            return;
        }
        if session.is_resting() {
            self.samples.clear();
            return;
        }
        self.samples.push_back((now, self.figures.captured.get()));
        while self.samples.get(1).is_some_and(|(then, _)| now.saturating_duration_since(*then) >= WINDOW) {
            self.samples.pop_front();
        }
        let Some((then, before)) = self.samples.front().copied() else { return };
        let span = now.saturating_duration_since(then).as_secs_f64();
        if span < 0.5 {
            return;
        }
        let fps = (self.figures.captured.get() - before) as f64 / span;
        lock(&self.public).fps = (fps * 10.0).round() / 10.0;
        let (width, height) = self.figures.size().unwrap_or_else(|| self.size());
        let Some((shown_width, shown_height, shown_fps)) = self.shown else { return };
        // What is within the grain of the measurement is no news.
        let is_news =
            span >= WINDOW.as_secs_f64() && (fps - shown_fps).abs() > (shown_fps * 0.1).max(1.01 / span);
        if is_news || (width, height) != (shown_width, shown_height) {
            self.show(width, height, if is_news { fps } else { shown_fps });
        }
    }

    /// The first frame of a session came.
    fn came(&mut self) {
        let Phase::Open { session, .. } = &self.phase else { return };
        let highest = f64::from(self.camera.fps);
        let fps = session.nominal_fps().map_or(highest, |fps| fps.min(highest));
        if self.tries > 0 {
            tracing::info!(camera = %self.name, tries = self.tries, "the camera is back");
        } else {
            tracing::info!(camera = %self.name, fps, "the camera runs");
        }
        self.tries = 0;
        {
            let mut public = lock(&self.public);
            public.state = CameraState::Running;
            public.reason.clear();
        }
        self.figures.size.store(0, std::sync::atomic::Ordering::Relaxed);
        let (width, height) = self.size();
        self.show(width, height, fps);
    }

    /// The size that pictures are to have.
    fn size(&self) -> (u32, u32) {
        self.board.size().unwrap_or((self.camera.width, self.camera.height))
    }

    /// Shows that the camera runs. Whoever sees it connected finds everything else in place.
    fn show(&mut self, width: u32, height: u32, fps: f64) {
        let fps = (fps * 10.0).round() / 10.0;
        self.shown = Some((width, height, fps));
        self.runtime.health.report(&self.part, Level::Ok, format!("{fps} fps"));
        self.set("width", json!(width));
        self.set("height", json!(height));
        // Whole numbers stay whole, as a reader would write them.
        self.set("fps", if fps.fract() == 0.0 { json!(fps as u64) } else { json!(fps) });
        self.set("connected", json!(true));
    }

    fn set(&self, key: &str, value: Value) {
        let key = format!("cameras/{}/{key}", self.name);
        if let Err(error) = self.runtime.state.set(&key, value) {
            tracing::warn!(camera = %self.name, %error, "the camera's state is not shown");
        }
    }

    /// Tells the open session to close; it is not waited for here. The caller says why, and then that the camera is not
    /// connected.
    fn close(&mut self, now: Instant) -> Option<Instant> {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        let Phase::Open { session, running_since, .. } = phase else { return None };
        session.close();
        self.closing.push((self.generation, now));
        lock(&self.public).fps = 0.0;
        self.shown = None;
        running_since
    }

    fn lost(&mut self, now: Instant, reason: &str) {
        let running_since = self.close(now);
        let mut wait = self.backoff.lost(now, running_since);
        if matches!(Source::parse(&self.camera.source), Ok(Source::Mix { .. })) {
            // It has no device that would need time, and its cameras may come back at any moment.
            wait = wait.min(MIX_WAIT);
        }
        self.phase = Phase::Waiting { due: now + wait };
        self.tries += 1;
        let message = format!("{reason}; retrying in {} s", wait.as_secs_f64());
        {
            let mut public = lock(&self.public);
            public.state = CameraState::Retrying;
            public.reason = reason.to_owned();
            public.last_error = Some(reason.to_owned());
        }
        self.runtime.health.report(&self.part, Level::Failed, message);
        self.set("connected", json!(false));
        match self.tries {
            1 => tracing::warn!(camera = %self.name, reason, "the camera is lost and is tried again"),
            TRIES_BEFORE_ERROR => tracing::error!(camera = %self.name, reason, "the camera stays lost"),
            tries => tracing::debug!(camera = %self.name, reason, tries, "the camera is still lost"),
        }
    }

    fn ended(&mut self, now: Instant) {
        if !matches!(Source::parse(&self.camera.source), Ok(Source::File { .. })) {
            self.lost(now, "the camera ended the stream: look at the camera");
            return;
        }
        self.close(now);
        self.phase = Phase::Ended;
        let reason = "the recording is over: add ?loop=true to its source to repeat it";
        tracing::info!(camera = %self.name, "the recording is over");
        {
            let mut public = lock(&self.public);
            public.state = CameraState::Ended;
            public.reason = reason.to_owned();
        }
        self.runtime.health.report(&self.part, Level::Degraded, reason);
        self.set("connected", json!(false));
    }

    fn configure(&mut self, camera: config::Camera) {
        if matches!(self.phase, Phase::Stopping { .. }) {
            return;
        }
        let now = Instant::now();
        self.close(now);
        {
            let mut public = lock(&self.public);
            public.state = CameraState::Starting;
            public.reason.clear();
        }
        self.set("connected", json!(false));
        self.configured = camera;
        self.backoff = Backoff::default();
        self.tries = 0;
        self.phase = Phase::Waiting { due: now };
    }

    fn stop(&mut self) {
        let now = Instant::now();
        self.close(now);
        self.phase = Phase::Stopping { until: now + CLOSING };
        lock(&self.public).state = CameraState::Stopping;
        self.runtime.health.forget(&self.part);
        lock(&self.gates).clear();
        // Also when it never ran: who asks for a removed camera is to see that it is not there.
        self.set("connected", json!(false));
    }
}
