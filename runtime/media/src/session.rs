//! One life of a pipeline, from building it to NULL, on a thread of its own: whatever hangs in a driver or a network
//! hangs there, and the camera's supervisor goes on.

use crate::board::{self, Board, Outcome};
use crate::demo::feed;
use crate::figures::with_advice;
use crate::gate::Gate;
use crate::messages::{error_text, missing_plugin};
use crate::source::hide;
use crate::tap::Tap;
use crate::{MediaError, PipelineFile, Source, binding, check, launch, lock, mix, streams, v4l2};
use gantry_core::{config, frames};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The gates of a camera by stream, which outlive its sessions.
pub(crate) type Gates = Arc<Mutex<BTreeMap<String, Gate>>>;
/// Takes what happens, from any thread.
pub(crate) type Report = Arc<dyn Fn(Event) + Send + Sync>;

/// What a session tells its supervisor.
#[derive(Debug)]
pub(crate) enum Event {
    /// The first frame was captured.
    FirstFrame,
    /// It cannot go on; a sentence that ends in the next step.
    Failed(String),
    /// The recording is over.
    Ended,
    /// Something is wanted since it began to open that only another session can do.
    Outdated,
    /// Nothing is left of it.
    Closed,
}

/// What a session is made of.
pub(crate) struct Plan {
    pub(crate) name: Arc<str>,
    pub(crate) camera: config::Camera,
    pub(crate) pipeline_dir: PathBuf,
    pub(crate) hub: Arc<frames::Hub>,
    pub(crate) state: Arc<gantry_core::state::State>,
    pub(crate) gates: Gates,
    pub(crate) board: Arc<Board>,
    pub(crate) figures: Arc<crate::figures::Figures>,
}

enum Command {
    /// The recording is at its end and is to start again.
    Rewind,
    /// The first frame waits: time can begin.
    Primed,
    /// A control of the device is to become what is wanted.
    Adjust(String),
    Close,
}

/// A session, as its supervisor holds it.
pub(crate) struct Session {
    /// Where its frames are seen.
    tap: Arc<Mutex<Option<Arc<Tap>>>>,
    closed: Arc<AtomicBool>,
    commands: Sender<Command>,
    stop_feed: feed::Stop,
}

impl Session {
    /// Begins a session. Returns at once; everything else is told through `report`.
    pub(crate) fn open(plan: Plan, report: Report) -> std::io::Result<Self> {
        let (commands, received) = channel();
        let session = Self {
            tap: Arc::default(),
            closed: Arc::default(),
            commands: commands.clone(),
            stop_feed: feed::Stop::default(),
        };
        let worker = Worker {
            slot: session.tap.clone(),
            closed: session.closed.clone(),
            stop_feed: session.stop_feed.clone(),
            commands,
            report,
            plan,
        };
        std::thread::Builder::new()
            .name(format!("cam:{}", worker.plan.name))
            .spawn(move || worker.run(&received))?;
        Ok(session)
    }

    /// When the newest frame came.
    pub(crate) fn last_frame(&self) -> Option<Instant> {
        lock(&self.tap).as_ref().and_then(|tap| tap.last_frame())
    }

    /// The rate that the source says it has, in frames a second.
    pub(crate) fn nominal_fps(&self) -> Option<f64> {
        lock(&self.tap).as_ref().and_then(|tap| tap.nominal_fps())
    }

    /// Whether it makes no frames because nobody wants any.
    pub(crate) fn is_resting(&self) -> bool {
        lock(&self.tap).as_ref().is_some_and(|tap| tap.is_resting())
    }

    /// Ends the session. From here on it counts and publishes nothing; [`Event::Closed`] follows when nothing is left.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(tap) = lock(&self.tap).as_ref() {
            tap.close();
        }
        self.stop_feed.stop();
        // The worker is gone only after it reported that it closed.
        let _ = self.commands.send(Command::Close);
    }
}

/// Tells that a session closed, however its thread ends.
struct Farewell(Report);

impl Drop for Farewell {
    fn drop(&mut self) {
        (self.0)(Event::Closed);
    }
}

struct Worker {
    plan: Plan,
    slot: Arc<Mutex<Option<Arc<Tap>>>>,
    closed: Arc<AtomicBool>,
    stop_feed: feed::Stop,
    commands: Sender<Command>,
    report: Report,
}

impl Worker {
    fn run(self, commands: &Receiver<Command>) {
        let _farewell = Farewell(self.report.clone());
        let running = match self.build() {
            Ok(running) => Some(running),
            Err(message) => {
                self.fail(&message);
                None
            }
        };
        if let Some(running) = &running
            && self.bind(running)
        {
            self.start(running);
        }
        while let Ok(command) = commands.recv() {
            match (command, &running) {
                (Command::Close, _) => break,
                (Command::Primed, Some(running)) => self.play(running),
                (Command::Adjust(control), Some(running)) => self.adjust(running, &control),
                (Command::Rewind, Some(running)) => {
                    // The last frame is shown as long as the others; this also holds back a recording of one frame.
                    let interval = Duration::from_secs_f64(1.0 / f64::from(self.plan.camera.fps.max(1)));
                    match commands.recv_timeout(interval) {
                        Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => break,
                        _ => self.rewind(running),
                    }
                }
                (_, None) => {}
            }
        }
        if let Some(running) = running {
            // This may hang in a driver; nobody waits for this thread for long.
            let _ = running.pipeline.set_state(gst::State::Null);
            if let Some(bus) = running.pipeline.bus() {
                bus.unset_sync_handler();
            }
        }
    }

    fn fail(&self, message: &str) {
        (self.report)(Event::Failed(hide(message, &self.plan.camera.source)));
    }

    fn start(&self, running: &Running) {
        if running.primed.is_some() {
            if running.pipeline.set_state(gst::State::Paused).is_err() {
                self.refused(running);
            }
        } else {
            self.play(running);
        }
    }

    fn play(&self, running: &Running) {
        if running.pipeline.set_state(gst::State::Playing).is_err() {
            self.refused(running);
        }
    }

    /// GStreamer tells why on the bus, and that came first; this is for the case that it did not.
    fn refused(&self, running: &Running) {
        self.fail(&with_advice("the camera cannot be opened", &running.source));
    }

    fn rewind(&self, running: &Running) {
        let Some(primed) = &running.primed else {
            // Without a place to wait for the first frame, time cannot be started anew.
            (self.report)(Event::Failed(
                "the recording cannot start again: set `preroll = true` in its file".into(),
            ));
            return;
        };
        primed.store(false, Ordering::Release);
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
        let sought = running.pipeline.set_state(gst::State::Paused).is_ok()
            && running.pipeline.seek_simple(flags, gst::ClockTime::ZERO).is_ok();
        if !sought {
            self.fail(
                "the recording cannot be wound back: convert it to a container that can, such as mp4 or mkv",
            );
        }
    }

    fn build(&self) -> Result<Running, String> {
        let plan = &self.plan;
        let source = Source::parse(&plan.camera.source).map_err(|e| e.to_string())?;
        let (file, label, camera) = self.choose_file(&source)?;
        tracing::debug!(camera = %plan.name, file = label, "opening");
        let pipeline = launch::launch(&file, &source, &camera)
            .map_err(|problems| MediaError::Pipeline { file: label.clone(), problems }.to_string())?;
        // One clock for all cameras, so that times can be compared; it is CLOCK_MONOTONIC.
        pipeline.use_clock(Some(&gst::SystemClock::obtain()));
        let tap = Arc::new(Tap::new(plan.figures.clone(), camera.fps, file.numbered));
        *lock(&self.slot) = Some(tap.clone());
        if self.closed.load(Ordering::Acquire) {
            return Err("closed while it was opened".into());
        }
        self.set_source(&source, &camera, &pipeline, &tap)?;
        let capture = pipeline.by_name(&file.capture).ok_or("the capture element is gone")?;
        let pad = launch::frames_pad(&capture).ok_or("the capture element has no pad")?;
        let report = self.report.clone();
        tap.attach(&pad, move || report(Event::FirstFrame));
        let primed = file.preroll.then(|| self.prime(&capture)).transpose()?;
        streams::attach(&plan.name, &file, &pipeline, &tap, &plan.hub, &plan.gates, &self.report)?;
        let running = Running { pipeline, source, primed, file, label, camera, tap };
        self.listen(&running);
        Ok(running)
    }

    /// The pipeline file to run, what it is called, and the camera's section for it. Of several files that a camera may
    /// run, the camera itself decides.
    fn choose_file(&self, source: &Source) -> Result<(PipelineFile, String, config::Camera), String> {
        let mut camera = self.plan.camera.clone();
        let texts = check::texts(&self.plan.pipeline_dir, source, &camera).map_err(|e| e.to_string())?;
        let mut files = Vec::new();
        for (name, text) in texts {
            files.push((name, text.parse().map_err(|e| e.to_string())?, text.file));
        }
        if let Some((width, height)) = self.plan.board.size()
            && files.iter().any(|(_, file, _)| board::is_resized_by_rebuild(file, source))
        {
            (camera.width, camera.height) = (width, height);
        }
        if let (Source::V4l2 { device, .. }, true) = (source, files.len() > 1) {
            let choice = v4l2::choose(device, &camera).map_err(|e| with_advice(&e, source))?;
            files.retain(|(name, ..)| *name == choice);
        }
        let (_, mut file, label) =
            files.into_iter().next().ok_or("there is no pipeline file for this source")?;
        mix::narrow(&mut file, source);
        Ok((file, label, camera))
    }

    /// Finds out what this session can do, and sets what is wanted of it. False when it cannot go on.
    fn bind(&self, running: &Running) -> bool {
        // Only a device that is open tells what it can do.
        if matches!(running.source, Source::V4l2 { .. })
            && running.pipeline.set_state(gst::State::Ready).is_err()
        {
            self.refused(running);
            return false;
        }
        let commands = self.commands.clone();
        let ask: board::Ask = Arc::new(move |control| _ = commands.send(Command::Adjust(control.to_owned())));
        let offer = binding::offer(running, &ask);
        let on_device = offer.on_device();
        match self.plan.board.open(offer, || !self.closed.load(Ordering::Acquire)) {
            Outcome::Closed => return false,
            Outcome::Rebuild => (self.report)(Event::Outdated),
            Outcome::Done => {}
        }
        for control in on_device {
            self.adjust(running, &control);
        }
        true
    }

    /// Sets a control of the device to what is wanted of it now. Blocks on the driver.
    fn adjust(&self, running: &Running, control: &str) {
        let Some(value) = self.plan.board.desired(control) else { return };
        if let Err(reason) = binding::adjust(running, control, &value) {
            tracing::warn!(camera = %self.plan.name, control, reason, "a control of the device is not set");
        }
    }

    fn set_source(
        &self,
        source: &Source,
        camera: &config::Camera,
        pipeline: &gst::Pipeline,
        tap: &Arc<Tap>,
    ) -> Result<(), String> {
        let element = || pipeline.by_name(launch::SOURCE);
        match source {
            Source::Demo { seed, people } => {
                let appsrc = element()
                    .and_then(|e| e.downcast::<gst_app::AppSrc>().ok())
                    .ok_or("`demo:` needs `appsrc name=source`")?;
                feed::attach(&appsrc, camera, *seed, *people, self.stop_feed.clone())
            }
            Source::Mix { cameras } => mix::attach(mix::Parts {
                pipeline,
                cameras,
                camera,
                name: &self.plan.name,
                hub: self.plan.hub.clone(),
                state: self.plan.state.clone(),
                gates: self.plan.gates.clone(),
                tap: tap.clone(),
                report: self.report.clone(),
            }),
            Source::Libcamera { camera: Some(name) } => {
                if let Some(element) = element().filter(|e| e.find_property("camera-name").is_some()) {
                    element.set_property_from_str("camera-name", name);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Tells when the first frame waits before the capture element. The flag says that it was told.
    fn prime(&self, capture: &gst::Element) -> Result<Arc<AtomicBool>, String> {
        let pad =
            capture.static_pad("sink").ok_or("preroll: the capture element has no input: use clocksync")?;
        let primed = Arc::new(AtomicBool::new(false));
        let (told, commands) = (primed.clone(), Mutex::new(self.commands.clone()));
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            if !told.swap(true, Ordering::AcqRel) {
                let _ = lock(&commands).send(Command::Primed);
            }
            gst::PadProbeReturn::Ok
        });
        Ok(primed)
    }

    /// Listens to the bus on the threads that post, so that none is needed to poll it.
    fn listen(&self, running: &Running) {
        let Some(bus) = running.pipeline.bus() else { return };
        let looping = matches!(running.source, Source::File { looping: true, .. });
        let (report, commands) = (self.report.clone(), Mutex::new(self.commands.clone()));
        let (source, uri, name) =
            (running.source.clone(), self.plan.camera.source.clone(), self.plan.name.clone());
        let missing = Mutex::new(None);
        let top = running.pipeline.downgrade();
        bus.set_sync_handler(move |_, message| {
            match message.view() {
                gst::MessageView::Error(error) => {
                    let text = lock(&missing).take().unwrap_or_else(|| error_text(error, &source));
                    let detail = error.debug().unwrap_or_default();
                    tracing::debug!(camera = %name, detail = %hide(&detail, &uri), "GStreamer reports an error");
                    report(Event::Failed(hide(&text, &uri)));
                }
                gst::MessageView::Eos(_) if message.src().is_some_and(|s| top.upgrade().is_some_and(|t| *s == t)) => {
                    if looping {
                        let _ = lock(&commands).send(Command::Rewind);
                    } else {
                        report(Event::Ended);
                    }
                }
                gst::MessageView::Element(element) => {
                    if let Some(text) = element.structure().and_then(missing_plugin) {
                        *lock(&missing) = Some(text);
                    }
                }
                _ => {}
            }
            gst::BusSyncReply::Drop
        });
    }
}

/// A pipeline that was built.
pub(crate) struct Running {
    pub(crate) pipeline: gst::Pipeline,
    pub(crate) source: Source,
    /// For pipelines that wait for their first frame before time begins: whether it is there.
    pub(crate) primed: Option<Arc<AtomicBool>>,
    pub(crate) file: PipelineFile,
    /// What the file is called.
    pub(crate) label: String,
    /// The camera's section, with what is wanted of it.
    pub(crate) camera: config::Camera,
    pub(crate) tap: Arc<Tap>,
}
