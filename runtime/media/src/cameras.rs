//! All cameras of the gateway.

use crate::board::Listener;
use crate::camera::Handle;
use crate::{CameraStatus, ControlError, ControlInfo, MediaError, check, lock, log, suggest};
use gantry_core::Runtime;
use gantry_core::config::{self, Finding};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long dropping [`Cameras`] waits for pipelines to end.
const DROP_WAIT: Duration = Duration::from_secs(2);

/// All cameras of the gateway. Dropping it ends them.
pub struct Cameras {
    runtime: Runtime,
    pipeline_dir: PathBuf,
    listener: Listener,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    running: BTreeMap<String, Handle>,
    /// Cameras that were removed and may still be closing.
    leaving: Vec<(String, Handle)>,
    is_shut: bool,
}

impl Cameras {
    /// Initialises GStreamer. Pipeline files are looked for in `pipeline_dir`, then among the built-in ones.
    ///
    /// # Errors
    ///
    /// When GStreamer does not start.
    pub fn new(runtime: Runtime, pipeline_dir: PathBuf) -> Result<Self, MediaError> {
        crate::init()?;
        log::adopt();
        Ok(Self { runtime, pipeline_dir, listener: Listener::default(), inner: Mutex::default() })
    }

    /// Starts, stops and rebuilds cameras so that exactly `wanted` run. A camera whose section and pipeline file did not
    /// change is not touched. Never waits for a camera: what goes wrong with one is in its health and its status.
    pub fn apply(&self, wanted: &BTreeMap<String, config::Camera>) {
        let changed = self.bring_about(wanted);
        // The listener may ask about cameras, so nothing is locked.
        let listener = lock(&self.listener).clone();
        if let Some(listener) = listener {
            changed.iter().for_each(|camera| listener(camera));
        }
    }

    /// The work of [`Cameras::apply`]; gives the cameras whose controls may be others now.
    fn bring_about(&self, wanted: &BTreeMap<String, config::Camera>) -> Vec<String> {
        let mut changed = Vec::new();
        let mut inner = lock(&self.inner);
        if inner.is_shut {
            return changed;
        }
        let inner = &mut *inner;
        inner.leaving.retain(|(_, handle)| !handle.is_done());
        let gone: Vec<String> =
            inner.running.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            if let Some(handle) = inner.running.remove(&name) {
                handle.stop();
                changed.push(name.clone());
                inner.leaving.push((name, handle));
            }
        }
        for (name, camera) in wanted {
            match inner.running.get_mut(name) {
                Some(handle) => {
                    if handle.configure(&self.pipeline_dir, camera) {
                        changed.push(name.clone());
                    }
                }
                None => {
                    // A camera of this name may still be closing: the new one waits for it, on its own thread.
                    let earlier = inner.leaving.iter().rposition(|(leaving, _)| leaving == name);
                    let earlier = earlier.map(|at| inner.leaving.swap_remove(at).1);
                    let (dir, listener) = (&self.pipeline_dir, self.listener.clone());
                    let handle = Handle::start(&self.runtime, dir, name, camera, listener, earlier);
                    inner.running.insert(name.clone(), handle);
                    changed.push(name.clone());
                }
            }
        }
        changed
    }

    /// Everything wrong with a camera that can be found without opening it: its source, its figures, its pipeline file and
    /// the elements that this needs. Each finding ends in the next step.
    #[must_use]
    pub fn check(pipeline_dir: &Path, name: &str, camera: &config::Camera) -> Vec<Finding> {
        check::check(pipeline_dir, name, camera)
    }

    /// What is wrong with the mixes among the cameras, whose sources name other cameras. [`Cameras::check`] sees only one.
    #[must_use]
    pub fn check_mixes(cameras: &BTreeMap<String, config::Camera>) -> Vec<Finding> {
        crate::mix::check(cameras)
    }

    /// How each camera does, by name.
    #[must_use]
    pub fn status(&self) -> Vec<CameraStatus> {
        lock(&self.inner).running.iter().map(|(name, handle)| handle.status(name)).collect()
    }

    /// Sets a control of a camera, such as `brightness`: at once, where its pipeline can do that while it runs, and on each
    /// of its sessions to come, until the camera is removed. A camera that is not connected takes what its pipeline file
    /// declares. Never waits for a camera: a device's own control is set by the camera's thread, and what only a new session
    /// can do begins one.
    ///
    /// # Errors
    ///
    /// When there is no such camera, it has no such control, or the control cannot have this value; then nothing changes.
    pub fn set(&self, camera: &str, control: &str, value: &serde_json::Value) -> Result<(), ControlError> {
        self.with(camera, |handle| handle.set(control, value))?
    }

    /// What a control of a camera can do: as its newest session found it, or as its pipeline file declares it before there
    /// was one.
    ///
    /// # Errors
    ///
    /// When there is no such camera, or it has no such control; the error says why.
    pub fn supports(&self, camera: &str, control: &str) -> Result<ControlInfo, ControlError> {
        self.with(camera, |handle| handle.board.info(control))?
    }

    /// All controls of a camera, by name. Empty for a camera that is not there.
    #[must_use]
    pub fn controls(&self, camera: &str) -> BTreeMap<String, ControlInfo> {
        self.with(camera, |handle| handle.board.infos()).unwrap_or_default()
    }

    /// Names who is told, with the camera's name, when what a camera supports may have changed: it was added, changed or
    /// removed, or a new session found something else. Called on any thread; must not block.
    pub fn on_controls(&self, callback: Box<dyn Fn(&str) + Send + Sync>) {
        *lock(&self.listener) = Some(callback.into());
    }

    fn with<T>(&self, camera: &str, act: impl FnOnce(&Handle) -> T) -> Result<T, ControlError> {
        let inner = lock(&self.inner);
        match inner.running.get(camera) {
            Some(handle) => Ok(act(handle)),
            None => Err(ControlError::NoCamera {
                camera: camera.to_owned(),
                hint: suggest(camera, inner.running.keys().map(String::as_str)),
            }),
        }
    }

    /// Ends all cameras, for good, and waits until `deadline` at most: a pipeline that hangs in a driver is left behind.
    pub fn shutdown(&self, deadline: Instant) {
        let mut leaving = {
            let mut inner = lock(&self.inner);
            inner.is_shut = true;
            let running = std::mem::take(&mut inner.running);
            let mut leaving = std::mem::take(&mut inner.leaving);
            leaving.extend(running);
            leaving
        };
        for (_, handle) in &leaving {
            handle.stop();
        }
        for (name, handle) in &mut leaving {
            if !handle.wait(deadline) {
                tracing::warn!(camera = %name, "the camera did not end in time and is left behind");
            }
        }
    }
}

impl Drop for Cameras {
    fn drop(&mut self) {
        self.shutdown(Instant::now() + DROP_WAIT);
    }
}
