//! Everything that is wrong with a camera's section and can be found without opening the camera.

use crate::pipeline_file::{Text, find_default, find_named};
use crate::{MediaError, Source, launch};
use gantry_core::config::{Camera, Finding};
use std::path::Path;
use std::time::Duration;

/// The pipeline files that a camera may run, with the names by which [`crate::v4l2::choose`] picks one.
pub(crate) fn texts(
    dir: &Path,
    source: &Source,
    camera: &Camera,
) -> Result<Vec<(&'static str, Text)>, MediaError> {
    match &camera.pipeline {
        Some(path) => Ok(vec![("", find_named(dir, path)?)]),
        None => source.pipelines().iter().map(|name| Ok((*name, find_default(dir, name)?))).collect(),
    }
}

pub(crate) fn check(dir: &Path, name: &str, camera: &Camera) -> Vec<Finding> {
    let at =
        |key: &str| if key.is_empty() { format!("cameras.{name}") } else { format!("cameras.{name}.{key}") };
    let mut findings = check_name(name).map(|m| Finding::new(at(""), m)).into_iter().collect::<Vec<_>>();
    for (key, value, low, high) in [
        ("width", camera.width, 16, 8192),
        ("height", camera.height, 16, 8192),
        ("fps", camera.fps, 1, 240),
        ("jpeg_quality", camera.jpeg_quality, 1, 100),
    ] {
        if !(low..=high).contains(&value) {
            findings.push(Finding::new(
                at(key),
                format!("{value} is outside {low} to {high}: choose one between"),
            ));
        }
    }
    let timeout = camera.stall_timeout;
    if timeout < Duration::from_millis(100) || timeout > Duration::from_secs(3600) {
        findings.push(Finding::new(
            at("stall_timeout"),
            format!("{timeout:?} is outside 100ms to 1h: choose one between"),
        ));
    }
    if let Err(error) = crate::init() {
        findings.push(Finding::new(at(""), error.to_string()));
        return findings;
    }
    // Sensors run the same camera from elsewhere.
    let sensors = camera.sensors.iter().enumerate().map(|(index, uri)| (format!("sensors[{index}]"), uri));
    for (key, uri) in std::iter::once(("source".to_owned(), &camera.source)).chain(sensors) {
        let found = check_source(dir, uri, camera);
        let found = found.into_iter().map(|(own, text)| {
            let key = if own.is_empty() { key.as_str() } else { own };
            Finding::new(at(key), text)
        });
        for finding in found {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    findings
}

/// What is wrong with one source of a camera: the key that it is about, empty for the source itself, and a sentence.
fn check_source(dir: &Path, uri: &str, camera: &Camera) -> Vec<(&'static str, String)> {
    let mut findings = Vec::new();
    let source = match Source::parse(uri) {
        Ok(source) => source,
        Err(error) => return vec![("", error.to_string())],
    };
    if let Source::File { path, .. } = &source {
        let problem = match std::fs::File::open(path).and_then(|file| file.metadata()) {
            Ok(meta) if meta.is_dir() => Some("it is a folder".to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        let message = |p| format!("{}: {p}: correct the path or its permissions", path.display());
        findings.extend(problem.map(|p| ("", message(p))));
    }
    let texts = match texts(dir, &source, camera) {
        Ok(texts) => texts,
        Err(error) => {
            findings.push(("pipeline", error.to_string()));
            return findings;
        }
    };
    for (_, text) in texts {
        let launched = text.parse().and_then(|file| {
            launch::launch(&file, &source, camera)
                .map(drop)
                .map_err(|problems| MediaError::Pipeline { file: text.file.clone(), problems })
        });
        match launched {
            Ok(()) => {}
            Err(MediaError::Pipeline { file, problems }) => {
                findings.extend(problems.iter().map(|p| ("pipeline", format!("{file}: {p}"))));
            }
            Err(error) => findings.push(("pipeline", error.to_string())),
        }
    }
    findings
}

/// A camera's name is a level of state keys and a part of stream names.
fn check_name(name: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_good = !name.is_empty() && name.len() <= 64 && name.chars().all(good);
    (!is_good).then(|| "a camera's name is made of letters, digits, - and _, at most 64: rename it".into())
}
