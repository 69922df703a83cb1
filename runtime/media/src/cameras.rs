//! All cameras of the gateway.

use crate::camera::Handle;
use crate::{CameraStatus, Control, MediaError, check, lock, log};
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
        gstreamer::init().map_err(|e| MediaError::Init(e.to_string()))?;
        log::adopt();
        Ok(Self { runtime, pipeline_dir, inner: Mutex::default() })
    }

    /// Starts, stops and rebuilds cameras so that exactly `wanted` run. A camera whose section and pipeline file did not
    /// change is not touched. Never waits for a camera: what goes wrong with one is in its health and its status.
    pub fn apply(&self, wanted: &BTreeMap<String, config::Camera>) {
        let mut inner = lock(&self.inner);
        if inner.is_shut {
            return;
        }
        let inner = &mut *inner;
        inner.leaving.retain(|(_, handle)| !handle.is_done());
        let gone: Vec<String> =
            inner.running.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            if let Some(handle) = inner.running.remove(&name) {
                handle.stop();
                inner.leaving.push((name, handle));
            }
        }
        for (name, camera) in wanted {
            match inner.running.get_mut(name) {
                Some(handle) => handle.configure(&self.pipeline_dir, camera),
                None => {
                    // A camera of this name may still be closing: the new one waits for it, on its own thread.
                    let earlier = inner.leaving.iter().rposition(|(leaving, _)| leaving == name);
                    let earlier = earlier.map(|at| inner.leaving.swap_remove(at).1);
                    let handle = Handle::start(&self.runtime, &self.pipeline_dir, name, camera, earlier);
                    inner.running.insert(name.clone(), handle);
                }
            }
        }
    }

    /// Everything wrong with a camera that can be found without opening it: its source, its figures, its pipeline file and
    /// the elements that this needs. Each finding ends in the next step.
    #[must_use]
    pub fn check(pipeline_dir: &Path, name: &str, camera: &config::Camera) -> Vec<Finding> {
        check::check(pipeline_dir, name, camera)
    }

    /// How each camera does, by name.
    #[must_use]
    pub fn status(&self) -> Vec<CameraStatus> {
        lock(&self.inner).running.iter().map(|(name, handle)| handle.status(name)).collect()
    }

    /// What can be controlled of a camera, by the observable's name, as its pipeline file says. Empty for a camera that is
    /// not there or was never opened.
    #[must_use]
    pub fn controls(&self, name: &str) -> BTreeMap<String, Control> {
        lock(&self.inner).running.get(name).map(Handle::controls).unwrap_or_default()
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
