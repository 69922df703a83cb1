//! The control board of a camera: what is wanted of it, and what its newest session can do about that. It outlives
//! sessions: whatever was set is set again on each new one before its first frame.

use crate::control::{self, Control, ControlError, ControlInfo, ControlKind};
use crate::late::Late;
use crate::tap::Tap;
use crate::{PipelineFile, Source, lock, suggest};
use gantry_core::config;
use gstreamer as gst;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

/// Told the camera's name when what it can do has changed.
pub(crate) type Listener = Arc<Mutex<Option<Arc<dyn Fn(&str) + Send + Sync>>>>;

/// Asks a session to set a control of its device to what is wanted.
pub(crate) type Ask = Arc<dyn Fn(&str) + Send + Sync>;

const FPS: &str = "fps";
const RESOLUTION: &str = "resolution";
const SENSOR: &str = "sensor";

/// What serves a control.
pub(crate) enum Bound {
    /// A property of an element of the newest session, which may be gone.
    Element { element: gst::glib::WeakRef<gst::Element>, control: Control, late: Option<Arc<Late>> },
    /// The device itself, through its control of this range or a property of its element; the session's thread is asked to
    /// set it, because a driver may take its time.
    Device { control: Control, range: Option<[i32; 2]>, ask: Ask },
    /// The frame rate, up to what the source was opened with; `follows` when it could be opened with another.
    Rate { tap: Weak<Tap>, opened: u32, follows: bool },
    /// A new session, when another size is wanted than this one has. `sizes` are those that the device offers; empty when
    /// it did not say.
    Rebuild { size: (u32, u32), sizes: Vec<String> },
    /// Not there yet: which of them it is follows when the camera is opened.
    Declared { control: Option<Control> },
}

/// What a camera can do.
#[derive(Default)]
pub(crate) struct Offer {
    pub(crate) controls: BTreeMap<String, Bound>,
    /// Controls that the pipeline file has and this device has not, and why.
    pub(crate) missing: BTreeMap<String, String>,
    /// The pipeline file, for messages.
    pub(crate) file: String,
}

/// What is to be done about a value that was set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Rebuild,
    /// The session is over; nothing was done.
    Closed,
}

pub(crate) struct Board {
    camera: String,
    listener: Listener,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// What is wanted, by control.
    desired: BTreeMap<String, Value>,
    offer: Offer,
    sensors: usize,
}

/// Whether a pipeline file is filled in with a part of the camera's section.
fn follows(file: &PipelineFile, placeholder: &str, source: &Source) -> bool {
    file.pipeline.contains(placeholder) || matches!(source, Source::Demo { .. })
}

/// Whether the size of a camera with this file is changed by a new session.
pub(crate) fn is_resized_by_rebuild(file: &PipelineFile, source: &Source) -> bool {
    !file.controls.contains_key(RESOLUTION) && follows(file, "{width}", source)
}

impl Offer {
    /// What a session of this file offers beside the file's own controls.
    pub(crate) fn of_session(
        file: &PipelineFile,
        source: &Source,
        tap: &Arc<Tap>,
        camera: &config::Camera,
        sizes: Vec<String>,
    ) -> Self {
        let mut offer = Self::default();
        let follows = follows(file, "{fps}", source);
        let rate = Bound::Rate { tap: Arc::downgrade(tap), opened: camera.fps, follows };
        offer.controls.insert(FPS.into(), rate);
        if is_resized_by_rebuild(file, source) {
            let size = (camera.width, camera.height);
            offer.controls.insert(RESOLUTION.into(), Bound::Rebuild { size, sizes });
        }
        offer
    }

    /// What can be expected of these files before any of them was opened.
    fn declared<'a>(source: &Source, files: impl Iterator<Item = (&'a str, &'a PipelineFile)>) -> Self {
        let mut offer = Self::default();
        offer.controls.insert(FPS.into(), Bound::Declared { control: None });
        for (name, file) in files {
            if is_resized_by_rebuild(file, source) {
                offer.controls.entry(RESOLUTION.into()).or_insert(Bound::Declared { control: None });
            }
            for (name, control) in &file.controls {
                let bound = Bound::Declared { control: Some(control.clone()) };
                offer.controls.entry(name.clone()).or_insert(bound);
            }
            offer.file = name.to_owned();
        }
        offer
    }

    /// The controls that are set on the device.
    pub(crate) fn on_device(&self) -> Vec<String> {
        let on_device = |(_, bound): &(&String, &Bound)| matches!(bound, Bound::Device { .. });
        self.controls.iter().filter(on_device).map(|(name, _)| name.clone()).collect()
    }

    fn infos(&self) -> BTreeMap<String, ControlInfo> {
        self.controls.iter().map(|(name, bound)| (name.clone(), bound.info(name))).collect()
    }
}

impl Bound {
    fn info(&self, name: &str) -> ControlInfo {
        let plain = |kind, range, choices| ControlInfo { kind, range, choices, device_range: None };
        match self {
            Self::Element { control, .. } => control.info(ControlKind::Live, None),
            Self::Device { control, range, .. } => control.info(ControlKind::Device, *range),
            Self::Rate { .. } => plain(ControlKind::Live, Some([1.0, 240.0]), Vec::new()),
            Self::Rebuild { sizes, .. } => plain(ControlKind::Rebuild, None, sizes.clone()),
            Self::Declared { control: Some(control) } if control.has_element() => {
                control.info(ControlKind::Live, None)
            }
            Self::Declared { control: Some(control) } => control.info(ControlKind::Device, None),
            Self::Declared { control: None } if name == FPS => {
                plain(ControlKind::Live, Some([1.0, 240.0]), Vec::new())
            }
            Self::Declared { control: None } => plain(ControlKind::Rebuild, None, Vec::new()),
        }
    }
}

/// A frame rate.
fn rate(value: &Value) -> Result<u32, String> {
    let whole = value.as_f64().filter(|n| n.fract() == 0.0 && (1.0..=240.0).contains(n));
    whole.map(|n| n as u32).ok_or_else(|| "a whole number between 1 and 240".into())
}

/// The place of a sensor.
fn sensor(value: &Value, sensors: usize) -> Result<usize, String> {
    let whole = value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0 && *n < sensors as f64);
    whole
        .map(|n| n as usize)
        .ok_or_else(|| format!("a whole number between 0 and {}", sensors.saturating_sub(1)))
}

impl Board {
    pub(crate) fn new(camera: &str, listener: Listener) -> Self {
        Self { camera: camera.to_owned(), listener, inner: Mutex::default() }
    }

    /// Tells the board of the camera's section and of the files that it may run.
    pub(crate) fn configure(&self, camera: &config::Camera, files: &[(String, PipelineFile)]) {
        let mut inner = lock(&self.inner);
        inner.sensors = camera.sensors.len();
        if let Ok(source) = Source::parse(&camera.source) {
            inner.offer = Offer::declared(&source, files.iter().map(|(name, file)| (name.as_str(), file)));
        }
    }

    /// Takes what a session can do, and sets on it what is wanted, but for the controls of its device, which are the
    /// session's to set. Something may have been wanted after the session began
    /// to open that only another session can do.
    pub(crate) fn open(&self, offer: Offer, is_live: impl Fn() -> bool) -> Outcome {
        let mut outcome = Outcome::Done;
        let has_changed = {
            let mut inner = lock(&self.inner);
            // Looked at under the lock: a session that hung is not to overrule the one that replaced it.
            if !is_live() {
                return Outcome::Closed;
            }
            let before = (inner.offer.infos(), std::mem::take(&mut inner.offer.missing));
            inner.offer = offer;
            for (name, value) in &inner.desired {
                let Some(bound) = inner.offer.controls.get(name) else { continue };
                match self.act(name, bound, value) {
                    Ok(Outcome::Rebuild) => outcome = Outcome::Rebuild,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(camera = %self.camera, control = name, %error, "a control is not as it was set");
                    }
                }
            }
            before.0 != inner.offer.infos() || before.1 != inner.offer.missing
        };
        if has_changed {
            self.tell();
        }
        outcome
    }

    /// Tells the listener that what the camera can do has changed.
    pub(crate) fn tell(&self) {
        let listener = lock(&self.listener).clone();
        if let Some(listener) = listener {
            listener(&self.camera);
        }
    }

    /// What is wanted of a control.
    pub(crate) fn desired(&self, control: &str) -> Option<Value> {
        lock(&self.inner).desired.get(control).cloned()
    }

    /// Sets a control, now and for sessions to come.
    pub(crate) fn set(&self, name: &str, value: &Value) -> Result<Outcome, ControlError> {
        let mut inner = lock(&self.inner);
        if name == SENSOR && inner.sensors > 0 {
            let is_news = inner.desired.get(name) != Some(value);
            sensor(value, inner.sensors).map_err(|expected| self.wrong(name, value, expected))?;
            inner.desired.insert(name.to_owned(), value.clone());
            return Ok(if is_news { Outcome::Rebuild } else { Outcome::Done });
        }
        let bound = inner.offer.controls.get(name).ok_or_else(|| self.unknown(name, &inner))?;
        let outcome = self.act(name, bound, value)?;
        inner.desired.insert(name.to_owned(), value.clone());
        // The device's thread looks up what is wanted, so it is asked when that is in place.
        if let Some(Bound::Device { ask, .. }) = inner.offer.controls.get(name) {
            ask(name);
        }
        Ok(outcome)
    }

    /// Makes a value happen where that is done here, and checks it in any case.
    fn act(&self, name: &str, bound: &Bound, value: &Value) -> Result<Outcome, ControlError> {
        let wrong = |expected| self.wrong(name, value, expected);
        match bound {
            Bound::Element { element, control, late } => {
                let setting = control.setting(value).map_err(wrong)?;
                let element = element.upgrade();
                if let (Some(element), Some(property)) = (element, &control.property) {
                    let done = match late {
                        Some(late) => {
                            control::check(&element, property, &setting).map(|()| late.want(setting))
                        }
                        None => control::write(&element, property, &setting),
                    };
                    done.map_err(|reason| ControlError::Element {
                        camera: self.camera.clone(),
                        control: name.to_owned(),
                        reason,
                    })?;
                }
            }
            Bound::Device { control, range: Some(range), .. } => {
                _ = control.device_value(*range, value).map_err(wrong)?;
            }
            Bound::Device { control, range: None, .. } => _ = control.setting(value).map_err(wrong)?,
            Bound::Rate { tap, opened, follows } => {
                let fps = rate(value).map_err(wrong)?;
                if fps > *opened && *follows {
                    return Ok(Outcome::Rebuild);
                }
                if let Some(tap) = tap.upgrade() {
                    tap.limit(fps);
                }
            }
            Bound::Rebuild { size, sizes } => {
                let wanted = control::size(value).map_err(wrong)?;
                if wanted != *size && !sizes.is_empty() && !sizes.iter().any(|size| value == size) {
                    return Err(wrong(format!("one of {}, which the camera offers", sizes.join(", "))));
                }
                return Ok(if wanted == *size { Outcome::Done } else { Outcome::Rebuild });
            }
            Bound::Declared { control: Some(control) } => {
                let choices =
                    control.v4l2.as_ref().filter(|v| !control.has_element() && !v.values.is_empty());
                match choices {
                    Some(_) => _ = control.device_value([i32::MIN, i32::MAX], value).map_err(wrong)?,
                    None => _ = control.setting(value).map_err(wrong)?,
                }
            }
            Bound::Declared { control: None } if name == FPS => _ = rate(value).map_err(wrong)?,
            Bound::Declared { control: None } => _ = control::size(value).map_err(wrong)?,
        }
        Ok(Outcome::Done)
    }

    /// What a control can do.
    pub(crate) fn info(&self, name: &str) -> Result<ControlInfo, ControlError> {
        let inner = lock(&self.inner);
        if name == SENSOR && inner.sensors > 0 {
            return Ok(Self::sensor_info(inner.sensors));
        }
        inner.offer.controls.get(name).map(|b| b.info(name)).ok_or_else(|| self.unknown(name, &inner))
    }

    /// All that can be controlled.
    pub(crate) fn infos(&self) -> BTreeMap<String, ControlInfo> {
        let inner = lock(&self.inner);
        let mut infos = inner.offer.infos();
        if inner.sensors > 0 {
            infos.insert(SENSOR.into(), Self::sensor_info(inner.sensors));
        }
        infos
    }

    fn sensor_info(sensors: usize) -> ControlInfo {
        let range = Some([0.0, sensors.saturating_sub(1) as f64]);
        ControlInfo { kind: ControlKind::Rebuild, range, choices: Vec::new(), device_range: None }
    }

    /// The camera's section with what is wanted of source and rate; that of the size follows when the file is known.
    pub(crate) fn overrule(&self, camera: &config::Camera) -> config::Camera {
        let inner = lock(&self.inner);
        let wanted = |name: &str| inner.desired.get(name);
        let mut camera = camera.clone();
        let chosen = wanted(SENSOR).and_then(|v| sensor(v, camera.sensors.len()).ok());
        if let Some(source) = chosen.and_then(|at| camera.sensors.get(at)) {
            camera.source = source.clone();
        }
        if let Some(fps) = wanted(FPS).and_then(|v| rate(v).ok()) {
            camera.fps = fps;
        }
        camera
    }

    /// The size that is wanted, when there is one.
    pub(crate) fn size(&self) -> Option<(u32, u32)> {
        self.desired(RESOLUTION).and_then(|value| control::size(&value).ok())
    }

    fn wrong(&self, control: &str, value: &Value, expected: String) -> ControlError {
        let mut value = value.to_string();
        if value.len() > 64 {
            value = "this".into();
        }
        ControlError::Value { camera: self.camera.clone(), control: control.to_owned(), value, expected }
    }

    fn unknown(&self, control: &str, inner: &Inner) -> ControlError {
        let why = match inner.offer.missing.get(control) {
            Some(why) => why.clone(),
            None if control == SENSOR => "it has one source only: list `sensors` in its section".into(),
            None => {
                let hint = suggest(control, inner.offer.controls.keys().map(String::as_str));
                let file = if inner.offer.file.is_empty() { "its pipeline file" } else { &inner.offer.file };
                format!(
                    "{file} binds nothing to it{hint}; bind it with [controls.{control}] if the pipeline can do it"
                )
            }
        };
        ControlError::NoControl { camera: self.camera.clone(), control: control.to_owned(), why }
    }
}
