//! What an analysis says of itself: health, state, log. Only when it is something else than before.

use crate::desk::{Desk, Kit};
use crate::section::Section;
use gantry_core::health::Level;
use serde_json::json;
use std::sync::atomic::Ordering::Relaxed;

/// The health part of a camera's analysis, and the key of its state.
pub(crate) fn part(camera: &str) -> String {
    format!("analysis/{camera}")
}

/// What was said last.
#[derive(Default)]
pub(crate) struct Voice {
    said: Option<Said>,
}

#[derive(PartialEq)]
struct Said {
    problems: Vec<String>,
    is_running: bool,
    detector: &'static str,
    fps: u32,
}

impl Voice {
    /// Says how it is.
    pub(crate) fn say(
        &mut self,
        kit: &Kit,
        desk: &Desk,
        section: &Section,
        is_running: bool,
        problems: Vec<String>,
    ) {
        let said = Said { problems, is_running, detector: section.detector(), fps: section.config.fps };
        if desk.is_muted() || self.said.as_ref() == Some(&said) {
            return;
        }
        let Said { problems, detector, fps, .. } = &said;
        let camera = &desk.camera;
        desk.is_running.store(is_running, Relaxed);
        let (level, message) = match (&problems[..], is_running) {
            ([], true) => (Level::Ok, format!("{detector}, up to {fps} pictures a second")),
            ([], false) => (Level::Ok, format!("waits for pictures of camera {camera}")),
            (problems, _) => (Level::Degraded, problems.join("; ")),
        };
        if kit.runtime.health.report(&part(camera), level, &*message) {
            match level {
                Level::Ok => tracing::info!(%camera, "analysis: {message}"),
                _ => tracing::warn!(%camera, "analysis: {message}"),
            }
        }
        // Whoever sees it run finds everything else in place.
        let value = json!({"detector": detector, "fps": fps, "running": is_running});
        if let Err(error) = kit.runtime.state.set(&part(camera), value) {
            tracing::warn!(%camera, %error, "the state of the analysis is not shown");
        }
        self.said = Some(said);
    }
}
