//! What is counted and how: from the flags, the configuration and the truth.

use super::Recording;
use super::place::names;
use super::truth::{Expected, Truth};
use crate::config::Sources;
use gantry_core::config::{Analysis, Detector, FaceModel, Line, Zone};
use gantry_vision::{Counter, Picker, TrackerSettings};
use std::path::Path;

/// What is counted.
pub(super) struct Plan {
    pub(super) config: Analysis,
    pub(super) lines: Vec<gantry_vision::Line>,
    pub(super) zones: Vec<gantry_vision::Zone>,
    /// Pictures a second, where that is said.
    pub(super) fps: Option<f64>,
    pub(super) expected: Option<Expected>,
    pub(super) picker: Option<Picker>,
}

/// `[analysis.CAMERA]` of the configuration, or all that is wrong with it.
pub(super) fn section(sources: &Sources, camera: &str) -> Result<Analysis, Vec<String>> {
    let merged = sources.load();
    let file = sources.file.display();
    let is_its = |text: &String| text.contains(&format!("analysis.{camera}"));
    let all: Vec<String> = merged.findings.iter().map(ToString::to_string).collect();
    let Some(section) = merged.config.analysis.get(camera) else {
        // A section with a finding is left out, and a file that cannot be read has none.
        if !all.is_empty() {
            return Err(all);
        }
        let known: Vec<&str> = merged.config.analysis.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        return Err(vec![format!(
            "{file} has no section [analysis.{camera}] (there is {known}): write it, or name another with --camera"
        )]);
    };
    let mut findings: Vec<String> = all.into_iter().filter(is_its).collect();
    let wrong = gantry_analysis::check(camera, section, &merged.config.cameras);
    findings.extend(wrong.iter().map(|finding| format!("{file}: {finding}")));
    if findings.is_empty() { Ok(section.clone()) } else { Err(findings) }
}

impl Plan {
    pub(super) fn new(given: &Recording, mut config: Analysis) -> Result<Self, String> {
        read_flags(given, &mut config)?;
        let truth =
            given.expect.as_deref().map(|file| Truth::read(file, Path::new(&given.film))).transpose()?;
        let mut lines: Vec<(String, Line)> = std::mem::take(&mut config.lines).into_iter().collect();
        if !given.lines.is_empty() {
            let names = names(given.lines.iter().map(|line| line.name.as_deref()), "line")?;
            lines = names.into_iter().zip(given.lines.iter().map(|line| line.line.clone())).collect();
        }
        if lines.is_empty() {
            lines = truth.as_ref().map(Truth::lines).unwrap_or_default();
        }
        let mut zones: Vec<_> = std::mem::take(&mut config.zones).into_iter().collect();
        if !given.zones.is_empty() {
            let names = names(given.zones.iter().map(|zone| zone.name.as_deref()), "zone")?;
            zones = names.into_iter().zip(given.zones.iter().map(|zone| zone.zone.clone())).collect();
        }
        if lines.is_empty() && zones.is_empty() && config.faces.is_none() {
            return Err("there is nothing to count: give --line x1,y1,x2,y2, --zone or --camera NAME".into());
        }
        if let Some(anchor) = given.anchor {
            lines.iter_mut().for_each(|(_, line)| line.anchor = anchor.into());
            zones.iter_mut().for_each(|(_, zone)| zone.anchor = anchor.into());
        }
        let expected = truth.map(|truth| truth.expected(&lines)).transpose()?;
        let picker = |faces| gantry_analysis::face_picker(faces, config.threads);
        let picker = config.faces.as_ref().map(picker).transpose()?;
        let fps = given.fps.or_else(|| given.camera.as_ref().map(|_| f64::from(config.fps)));
        let line =
            |(name, line): &(String, Line)| gantry_analysis::line(name, line).map_err(|e| e.to_string());
        let zone =
            |(name, zone): &(String, Zone)| gantry_analysis::zone(name, zone).map_err(|e| e.to_string());
        let plan = Self {
            lines: lines.iter().map(line).collect::<Result<_, _>>()?,
            zones: zones.iter().map(zone).collect::<Result<_, _>>()?,
            config,
            fps,
            expected,
            picker,
        };
        // Whatever is wrong with the model or the names is told before the recording is opened.
        plan.counter(1.0)?;
        Ok(plan)
    }

    /// What counts in pictures whose width is `shape` times their height.
    pub(super) fn counter(&self, shape: f32) -> Result<Counter, String> {
        let detector = gantry_analysis::detector(&self.config, shape)?;
        let (lines, zones) = (self.lines.clone(), self.zones.clone());
        Counter::new(detector, TrackerSettings::default(), lines, zones).map_err(|e| e.to_string())
    }
}

fn read_flags(given: &Recording, config: &mut Analysis) -> Result<(), String> {
    match (given.detector, &given.model) {
        (Some(detector), _) => config.detector = detector.into(),
        (None, Some(_)) => config.detector = Detector::Onnx,
        (None, None) => {}
    }
    if config.detector == Detector::Motion && (given.model.is_some() || given.family.is_some()) {
        return Err("`motion` has no model: leave --model and --family out, or give --detector onnx".into());
    }
    if let Some(model) = &given.model {
        config.model = Some(model.clone());
    }
    if config.detector == Detector::Onnx && config.model.is_none() {
        return Err("`onnx` needs a model: name one with --model FILE".into());
    }
    if let Some(family) = &given.family {
        config.family.clone_from(family);
    }
    if let Some(model) = &given.faces {
        let usual = serde_json::json!({"model": ""});
        let before = config.faces.take();
        let base = before.or_else(|| serde_json::from_value::<FaceModel>(usual).ok());
        config.faces = base.map(|face| FaceModel { model: model.clone(), ..face });
    }
    Ok(())
}
