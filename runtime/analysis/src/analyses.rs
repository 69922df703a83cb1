//! All analyses of the gateway.

use crate::annotator::{Annotator, stream_of};
use crate::desk::{Desk, Kit};
use crate::models::{Files, guarded};
use crate::section::Section;
use crate::voice::part;
use crate::worker::Worker;
use crate::{AnalysisStatus, Encode, Sink, lock};
use gantry_core::Runtime;
use gantry_core::config::Config;
use gantry_core::frames::Stream;
use gantry_core::health::Level;
use gantry_core::state::Watch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long an analysis that is taken away may take to end.
const END_WAIT: Duration = Duration::from_secs(2);

/// All analyses of the gateway. Dropping it ends them.
pub struct Analyses {
    kit: Arc<Kit>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    running: BTreeMap<String, Handle>,
    /// Sections that cannot run, and say so in their health.
    refused: BTreeSet<String>,
    is_shut: bool,
}

impl Analyses {
    /// None yet. Faces and annotated pictures are made JPEG by `encoder`; what is seen is told to `sink`.
    #[must_use]
    pub fn new(runtime: Runtime, encoder: Arc<dyn Encode>, sink: Sink) -> Self {
        Self::with(Kit { runtime, encoder, sink, models: Box::new(Files), clock: Box::new(Instant::now) })
    }

    pub(crate) fn with(kit: Kit) -> Self {
        Self { kit: Arc::new(kit), inner: Mutex::default() }
    }

    /// Starts, changes and ends analyses so that exactly those of this configuration run. What did not change
    /// is not touched; other lines and zones, or another rate, leave the detector what it has learned. Waits
    /// for those that end until they are done with their frame, two seconds at most.
    pub fn apply(&self, config: &Config) {
        let mut inner = lock(&self.inner);
        if inner.is_shut {
            return;
        }
        let enabled = || config.analysis.iter().filter(|(_, section)| section.enabled);
        let mut wanted: BTreeMap<&String, Section> = enabled()
            .filter_map(|(name, section)| Some((name, Section::new(section, config.cameras.get(name)?))))
            .collect();
        let leaving: Vec<String> =
            inner.running.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        let leaving: Vec<Handle> = leaving.iter().filter_map(|name| inner.running.remove(name)).collect();
        self.end(leaving, true, Instant::now() + END_WAIT);
        let refused: BTreeSet<String> =
            enabled().map(|(name, _)| name.clone()).filter(|name| !wanted.contains_key(name)).collect();
        for name in inner.refused.difference(&refused) {
            self.kit.runtime.health.forget(&part(name));
        }
        for name in &refused {
            let message = format!(
                "there is no camera {name}: name the section after one, or give it `enabled = false`"
            );
            self.kit.runtime.health.report(&part(name), Level::Failed, message);
        }
        inner.refused = refused;
        while let Some((name, section)) = wanted.pop_first() {
            match inner.running.get(name) {
                Some(handle) => handle.desk.configure(section),
                None => {
                    let handle = Handle::start(&self.kit, name, section);
                    inner.running.insert(name.clone(), handle);
                }
            }
        }
    }

    /// How each analysis does, by camera.
    #[must_use]
    pub fn status(&self) -> Vec<AnalysisStatus> {
        lock(&self.inner).running.values().map(|handle| handle.desk.status()).collect()
    }

    /// Looks whether a thread hangs in a detector or a model: it says nothing of itself then, so its health
    /// is degraded and its state says that it does not run. To be called every few seconds; cheap.
    pub fn look(&self, now: Instant) {
        lock(&self.inner).running.values().for_each(|handle| handle.desk.look(&self.kit, now));
    }

    /// Ends all analyses, for good, and waits until `deadline` at most: one that hangs in a model is left behind.
    pub fn shutdown(&self, deadline: Instant) {
        let mut inner = lock(&self.inner);
        inner.is_shut = true;
        let running = std::mem::take(&mut inner.running);
        self.end(running.into_values().collect(), false, deadline);
    }

    fn end(&self, leaving: Vec<Handle>, are_removed: bool, deadline: Instant) {
        for handle in &leaving {
            handle.desk.is_removed.store(are_removed, Relaxed);
            handle.annotated.on_demand(None);
            handle.desk.slots.iter().for_each(|slot| slot.end());
        }
        for handle in leaving {
            let camera = &handle.desk.camera;
            if !handle.wait(deadline) {
                handle.desk.mute();
                tracing::warn!(%camera, "the analysis did not end in time and is left behind");
            }
            self.kit.runtime.state.remove(&part(camera));
            self.kit.runtime.health.forget(&part(camera));
        }
    }

    /// Makes all threads look around, as when time has passed.
    #[cfg(test)]
    pub(crate) fn call(&self) {
        lock(&self.inner).running.values().for_each(|handle| handle.desk.call());
    }
}

impl Drop for Analyses {
    fn drop(&mut self) {
        self.shutdown(Instant::now() + END_WAIT);
    }
}

/// The threads of one camera.
struct Handle {
    desk: Arc<Desk>,
    /// The stream of annotated pictures, whose demand is heard of.
    annotated: Arc<Stream>,
    /// Each hangs up when its thread has ended.
    threads: Vec<Receiver<()>>,
    _camera: Option<Watch>,
}

impl Handle {
    fn start(kit: &Arc<Kit>, camera: &str, section: Section) -> Self {
        let desk = Arc::new(Desk::new(camera, section));
        let (worker, annotator) =
            (Worker::new(kit.clone(), desk.clone()), Annotator::new(kit.clone(), desk.clone()));
        let threads = [
            spawn(kit, camera, format!("analysis:{camera}"), move || worker.run()),
            spawn(kit, camera, format!("annotate:{camera}"), move || annotator.run()),
        ];
        let called = desk.clone();
        let watch = kit.runtime.state.watch(&format!("cameras/{camera}/+"), Arc::new(move |_| called.call()));
        let annotated = kit.runtime.frames.stream(&stream_of(camera));
        let slot = desk.slots[1].clone();
        annotated.on_demand(Some(Box::new(move |_| slot.call())));
        Self { desk, annotated, threads: threads.into_iter().flatten().collect(), _camera: watch.ok() }
    }

    /// Waits for the threads; whether they have ended.
    fn wait(&self, deadline: Instant) -> bool {
        self.threads.iter().all(|thread| {
            let patience = deadline.saturating_duration_since(Instant::now());
            matches!(thread.recv_timeout(patience), Err(RecvTimeoutError::Disconnected))
        })
    }
}

/// Starts a thread; what comes back hangs up when it has ended.
fn spawn(
    kit: &Arc<Kit>,
    camera: &str,
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> Option<Receiver<()>> {
    let (alive, ended) = channel();
    let (failed, camera) = (kit.clone(), camera.to_owned());
    let fail = move |message: String| {
        tracing::error!(%camera, "analysis: {message}");
        failed.runtime.health.report(&part(&camera), Level::Failed, message);
    };
    let broken = fail.clone();
    let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
        let _alive = alive;
        if let Err(panic) = guarded(run) {
            broken(format!("the thread {name} broke down ({panic}): restart the gateway and report it"));
        }
    });
    if let Err(error) = thread {
        fail(format!("cannot start a thread: {error}: raise the limit of tasks"));
        return None;
    }
    Some(ended)
}
