//! What observables act on: controls of cameras, recordings, snapshots and lights.

use crate::counts::Acts;
use crate::records::Records;
use gantry_control::{Control, Done, Targets};
use gantry_core::config::{self, Config};
use gantry_core::health::{Health, Level};
use gantry_core::observable::Target;
use gantry_core::state;
use gantry_media::{
    Cameras, ClosedWhy, ControlError, RecordEvent, RecordStatus, Recorder, Removed, Snapshots,
};
use gantry_outputs::Lights;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What the gateway acts on.
pub(crate) struct Outside {
    cameras: Arc<Cameras>,
    lights: Lights,
    recorder: Recorder,
    snapshots: Snapshots,
    records: Arc<Records>,
    configured: Mutex<BTreeMap<String, config::Camera>>,
    health: Arc<Health>,
    /// The lights that are reported as not working.
    reported: Mutex<Vec<String>>,
}

impl Outside {
    pub(crate) fn new(
        cameras: Arc<Cameras>,
        lights: Lights,
        recorder: Recorder,
        snapshots: Snapshots,
        records: Arc<Records>,
        health: Arc<Health>,
    ) -> Self {
        let (configured, reported) = Default::default();
        Self { cameras, lights, recorder, snapshots, records, configured, health, reported }
    }

    pub(crate) fn apply(&self, config: &Config, recordings: PathBuf, snapshots: PathBuf) {
        let wrong: BTreeMap<_, _> = self.lights.apply(&config.lights).into_iter().collect();
        for name in self.reported().drain(..).filter(|name| !wrong.contains_key(name)) {
            self.health.forget(&format!("light/{name}"));
        }
        for (name, error) in &wrong {
            if self.health.report(&format!("light/{name}"), Level::Degraded, error.to_string()) {
                tracing::warn!(light = name, "{error}");
            }
        }
        self.reported().extend(wrong.into_keys());
        self.recorder.configure(recordings, config.recording.clone());
        self.snapshots.configure(snapshots, config.snapshots.clone());
        *self.configured() = config.cameras.clone();
    }

    pub(crate) fn shutdown(&self, deadline: Instant) {
        if !self.recorder.shutdown(deadline) {
            tracing::warn!(
                "a recording was not finished in time: its file plays, and is finished at the next start"
            );
        }
    }

    fn configured(&self) -> MutexGuard<'_, BTreeMap<String, config::Camera>> {
        self.configured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reported(&self) -> MutexGuard<'_, Vec<String>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_camera(&self, camera: &str) -> Result<(), String> {
        if self.configured().contains_key(camera) {
            Ok(())
        } else {
            Err(format!("there is no camera `{camera}`: add [cameras.{camera}] to the configuration"))
        }
    }

    fn record(&self, camera: &str, wanted: &Value) -> Result<(), String> {
        let status = self.recorder.status(camera);
        let done = match (wanted.as_str(), status) {
            (Some("on"), RecordStatus::Off) => self.recorder.start(camera),
            (Some("on"), RecordStatus::Paused(_)) => self.recorder.resume(camera),
            (Some("pause"), RecordStatus::On(_) | RecordStatus::Off) => self.recorder.pause(camera),
            (Some("on"), RecordStatus::On(_)) | (Some("pause"), RecordStatus::Paused(_)) => Ok(()),
            (Some("off"), _) => {
                self.recorder.stop(camera);
                Ok(())
            }
            _ => return Err("Value must be one of off, on, pause".to_owned()),
        };
        done.map_err(|error| error.to_string())
    }

    fn snapshot(&self, camera: &str, done: Done) {
        let (records, name) = (self.records.clone(), camera.to_owned());
        self.snapshots.take(
            camera,
            Box::new(move |taken| {
                match taken {
                    Ok(taken) => {
                        let file = taken.path.display().to_string();
                        tracing::info!(camera = name, file, "a snapshot was taken");
                        records.note(
                            "snapshots",
                            json!({
                                "type": "snapshot", "camera": name, "file": file, "width": taken.width,
                                "height": taken.height, "bytes": taken.bytes,
                            }),
                        );
                    }
                    Err(error) => {
                        tracing::warn!(camera = name, %error, "no snapshot was taken");
                        records.note(
                            "events",
                            json!({"type": "snapshot-failed", "camera": name, "reason": error.to_string()}),
                        );
                    }
                }
                done();
            }),
        );
    }
}

impl Acts for Outside {
    fn snapshot(&self, camera: Option<&str>) {
        let camera = camera.map(str::to_owned).or_else(|| self.configured().keys().next().cloned());
        match camera {
            Some(camera) => self.snapshot(&camera, Box::new(|| {})),
            None => tracing::warn!(
                "a rule wants a snapshot, and there is no camera: add one to the configuration"
            ),
        }
    }
}

impl Targets for Outside {
    fn available(&self, target: &Target) -> Result<(), String> {
        match target {
            Target::Control { camera, control } => {
                self.cameras.supports(camera, control).map(|_| ()).map_err(|error| error.to_string())
            }
            Target::Record { camera } | Target::Snapshot { camera } => self.is_camera(camera),
            Target::Light { light } => self.lights.available(light).map_err(|error| error.to_string()),
        }
    }

    fn configured(&self, target: &Target) -> Option<Value> {
        let Target::Control { camera, control } = target else { return None };
        let cameras = self.configured();
        let camera = cameras.get(camera)?;
        match control.as_str() {
            "resolution" => Some(json!(format!("{}x{}", camera.width, camera.height))),
            "fps" => Some(json!(camera.fps)),
            "pictureQuality" => Some(json!(camera.jpeg_quality)),
            _ => None,
        }
    }

    fn act(&self, target: &Target, value: &Value, done: Done) -> Result<(), String> {
        match target {
            Target::Control { camera, control } => {
                self.cameras.set(camera, control, value).map_err(|error| match error {
                    ControlError::Value { expected, .. } => format!("Value must be {expected}"),
                    other => other.to_string(),
                })?;
            }
            Target::Record { camera } => self.record(camera, value)?,
            Target::Snapshot { camera } => {
                self.snapshot(camera, done);
                return Ok(());
            }
            Target::Light { light } => {
                self.lights.set(light, value == &Value::Bool(true)).map_err(|error| error.to_string())?;
            }
        }
        done();
        Ok(())
    }
}

/// Notes that a file had to go.
pub(crate) fn removed(removed: &Removed, kind: &str, records: &Records) {
    let (file, why) = (removed.file.display().to_string(), format!("{:?}", removed.why).to_lowercase());
    tracing::info!(file, why, "an old file was removed");
    records.note("events", json!({"type": kind, "file": file, "why": why}));
}

/// Notes what happened to a recording, and shows the observable that one which ended by itself is off.
pub(crate) fn recorded(
    event: &RecordEvent,
    observables: &state::State,
    control: Option<&Control>,
    records: &Records,
) {
    let ended = match event {
        RecordEvent::Started { camera, file } => {
            tracing::info!(camera, file = %file.display(), "recording");
            records.note(
                "events",
                json!({"type": "recording-started", "camera": camera, "file": file.display().to_string()}),
            );
            None
        }
        RecordEvent::Closed(closed) => {
            let by_itself = matches!(closed.why, ClosedWhy::DiskFull | ClosedWhy::Error(_));
            let (camera, file) = (&closed.camera, closed.file.display().to_string());
            if by_itself {
                tracing::error!(camera, file, "the recording is over: {}", closed.why);
            } else {
                tracing::info!(camera, file, "the recording is closed: {}", closed.why);
            }
            records.note(
                "recordings",
                json!({
                    "type": "recording", "camera": camera, "file": file, "start_unix_ms": closed.start_unix_ms,
                    "duration_ms": closed.duration_ms, "bytes": closed.bytes, "frames": closed.frames,
                    "dropped": closed.dropped, "why": closed.why.to_string(),
                }),
            );
            by_itself.then_some(camera)
        }
        RecordEvent::Failed { camera, reason } => {
            tracing::error!(camera, "the recording is over: {reason}");
            records.note("events", json!({"type": "recording-failed", "camera": camera, "reason": reason}));
            Some(camera)
        }
        RecordEvent::Removed(gone) => {
            removed(gone, "recording-removed", records);
            None
        }
    };
    let (Some(camera), Some(control)) = (ended, control) else { return };
    let target = Target::Record { camera: camera.clone() };
    for (key, observable) in observables.all_declared() {
        if observable.acts_on.iter().any(|text| text.parse().as_ref() == Ok(&target)) {
            control.report(&key, json!("off"));
        }
    }
}
