//! What is wrong with a section.

use crate::models::{FACES, Files, Models, PEOPLE, cannot_judge, guarded, picture_detector, unknown_family};
use crate::places;
use gantry_core::config::{Analysis, Camera, Detector, Finding, PictureDetector};
use gantry_core::spelling;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The most lines of a camera, and the most zones.
pub(crate) const MOST: usize = 32;
/// The longest name of a line or zone.
const MAX_NAME: usize = 40;
/// The most corners of a zone.
const MAX_CORNERS: usize = 64;

/// Everything that is wrong with the section `[analysis.NAME]` and can be found without opening a file. Paths
/// begin with `analysis.NAME`, as in `analysis.main.lines.door.from`; each finding ends in the next step.
#[must_use]
pub fn check(name: &str, analysis: &Analysis, cameras: &BTreeMap<String, Camera>) -> Vec<Finding> {
    let mut findings = Findings { section: format!("analysis.{name}"), list: Vec::new() };
    if !cameras.contains_key(name) {
        let near = spelling::nearest(name, cameras.keys().map(String::as_str));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        findings.add("", format!("there is no camera `{name}`{near}: name the section after a camera"));
    }
    findings.range("fps", analysis.fps, 1..=60);
    findings.range("threads", analysis.threads, 1..=16);
    findings.range("person_class", analysis.person_class, 0..=10_000);
    findings.motion(&analysis.motion);
    if analysis.detector == Detector::Onnx {
        findings.model("model", "family", &analysis.family, &PEOPLE);
        if analysis.model.is_none() {
            findings.add("model", "`detector = \"onnx\"` needs a model: name an ONNX file".into());
        }
    }
    if let Some(faces) = &analysis.faces {
        findings.model("faces.model", "faces.family", &faces.family, &FACES);
        findings.range("faces.least_pixels", faces.least_pixels, 8..=4096);
        findings.range("faces.least_score", faces.least_score, 0.0..=1.0);
        findings.range("faces.jpeg_quality", faces.jpeg_quality, 1..=100);
    }
    findings.places(analysis);
    findings.list
}

/// What is wrong with the models of the section: they are loaded and tried, which takes a moment and their
/// memory. A gateway runs in spite of it, without what they would find.
#[must_use]
pub fn check_models(name: &str, analysis: &Analysis) -> Vec<Finding> {
    let mut findings = Findings { section: format!("analysis.{name}"), list: Vec::new() };
    if !analysis.enabled {
        return findings.list;
    }
    // Without a name there is nothing to load, and `check` has said so.
    if analysis.detector == Detector::Onnx && analysis.model.is_some() {
        let made = guarded(|| Files.people(analysis, 1.0).map(drop));
        findings.list.extend(made.map_err(broken).flatten().err().map(|m| findings.at("model", m)));
    }
    if let Some(faces) = &analysis.faces {
        let made = guarded(|| Files.faces(faces, analysis.threads).map(drop));
        findings.list.extend(made.map_err(broken).flatten().err().map(|m| findings.at("faces.model", m)));
    }
    findings.list
}

/// Everything that is wrong with the section `[detectors.NAME]` and can be found without opening a file, as [`check`] does.
#[must_use]
pub fn check_detector(name: &str, detector: &PictureDetector) -> Vec<Finding> {
    let mut findings = Findings { section: format!("detectors.{name}"), list: Vec::new() };
    if let Some(message) = cannot_judge(detector) {
        findings.add("detector", message.to_owned());
        return findings.list;
    }
    findings.model("model", "family", &detector.family, &PEOPLE);
    if detector.model.is_none() {
        findings.add("model", "there is none: name an ONNX file".into());
    }
    findings.range("person_class", detector.person_class, 0..=10_000);
    findings.range("least_score", detector.least_score, 0.0..=1.0);
    findings.range("threads", detector.threads, 1..=16);
    findings.list
}

/// What is wrong with its model, which is loaded and tried, as [`check_models`] does.
#[must_use]
pub fn check_detector_model(name: &str, detector: &PictureDetector) -> Option<Finding> {
    detector.model.as_ref()?;
    let findings = Findings { section: format!("detectors.{name}"), list: Vec::new() };
    let made = guarded(|| picture_detector(detector).map(drop));
    made.map_err(broken).flatten().err().map(|message| findings.at("model", message))
}

fn broken(panic: String) -> String {
    format!("the model cannot be loaded ({panic}): export it again")
}

struct Findings {
    section: String,
    list: Vec<Finding>,
}

impl Findings {
    fn at(&self, key: &str, message: String) -> Finding {
        let path = if key.is_empty() { self.section.clone() } else { format!("{}.{key}", self.section) };
        Finding::new(path, message)
    }

    fn add(&mut self, key: &str, message: String) {
        self.list.push(self.at(key, message));
    }

    fn range<T: PartialOrd + Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        if !range.contains(&value) {
            let (low, high) = (range.start(), range.end());
            self.add(key, format!("{value} is outside {low} to {high}: choose one between"));
        }
    }

    fn model(&mut self, model: &str, key: &str, family: &str, known: &[&str]) {
        #[cfg(not(feature = "onnx"))]
        self.add(model, crate::models::NO_ENGINE.into());
        let _ = model;
        if let Some(mut message) = unknown_family(family, known) {
            if let Some(near) = spelling::nearest(family, known.iter().copied()) {
                message += &format!("; did you mean `{near}`?");
            }
            self.add(key, message);
        }
    }

    fn motion(&mut self, motion: &gantry_core::config::Motion) {
        self.range("motion.threshold", motion.threshold, 4..=60);
        self.range("motion.least_area", motion.least_area, 0.00001..=0.5);
        let absorb = motion.absorb;
        if absorb < Duration::from_secs(1) || absorb > Duration::from_secs(24 * 3600) {
            self.add("motion.absorb", format!("{absorb:?} is outside 1s to 24h: choose one between"));
        }
        if let Some(person) = motion.person {
            self.range("motion.person.top", person.top, 0.01..=2.0);
            self.range("motion.person.bottom", person.bottom, 0.01..=2.0);
            self.range("motion.person.aspect", person.aspect, 0.05..=5.0);
        }
    }

    fn places(&mut self, analysis: &Analysis) {
        for (key, count) in [("lines", analysis.lines.len()), ("zones", analysis.zones.len())] {
            if count > MOST {
                self.add(key, format!("there are {count}, at most {MOST} are looked at: remove some"));
            }
        }
        for (name, line) in &analysis.lines {
            let key = format!("lines.{name}");
            self.name(&key, name);
            let ends = [("from", line.from), ("to", line.to)];
            let are_inside = ends.map(|(end, at)| self.point(&format!("{key}.{end}"), at));
            if are_inside == [true, true] {
                let wrong = places::line(name, line).err();
                self.list.extend(wrong.map(|e| self.at(&key, e.to_string())));
            }
            if let Some(band) = line.band {
                self.range(&format!("{key}.band"), band, 0.0..=1.0);
            }
        }
        for (name, zone) in &analysis.zones {
            let key = format!("zones.{name}");
            self.name(&key, name);
            if analysis.lines.contains_key(name) {
                self.add(&key, format!("a line is named `{name}`, too: give one of them another name"));
            }
            let corners = zone.corners.len();
            if corners > MAX_CORNERS {
                let message = format!(
                    "there are {corners} corners, at most {MAX_CORNERS} are possible: leave some out"
                );
                self.add(&format!("{key}.corners"), message);
                continue;
            }
            let mut are_inside = true;
            for (n, at) in zone.corners.iter().enumerate() {
                are_inside &= self.point(&format!("{key}.corners[{n}]"), *at);
            }
            if are_inside {
                let wrong = places::zone(name, zone).err();
                self.list.extend(wrong.map(|e| self.at(&key, e.to_string())));
            }
        }
    }

    /// Names are levels of topics and state keys, and words of rules.
    fn name(&mut self, key: &str, name: &str) {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(good) {
            let message = format!("names are made of a to z, 0 to 9, - and _, at most {MAX_NAME}: rename it");
            self.add(key, message);
        }
    }

    fn point(&mut self, key: &str, [x, y]: [f32; 2]) -> bool {
        let is_inside = [x, y].iter().all(|v| (0.0..=1.0).contains(v));
        if !is_inside {
            let message = format!(
                "[{x}, {y}] is not in the picture: [0, 0] is its upper left corner, [1, 1] its lower right one"
            );
            self.add(key, message);
        }
        is_inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn cameras() -> BTreeMap<String, Camera> {
        BTreeMap::from([("main".to_owned(), Camera::default())])
    }

    fn found(section: Value) -> Vec<String> {
        let analysis: Analysis = serde_json::from_value(section).unwrap();
        check("main", &analysis, &cameras()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_section_has_no_findings() {
        let line = json!({"from": [0.5, 0.0], "to": [0.5, 1.0], "band": 0.2});
        let zone = json!({"corners": [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]});
        let section = json!({"lines": {"door": line}, "zones": {"hall_2-b": zone}});
        assert_eq!(found(section), Vec::<String>::new());
        assert_eq!(found(json!({})), Vec::<String>::new());
    }

    #[test]
    fn everything_wrong_is_found_at_once_and_says_where() {
        let section = json!({
            "fps": 0, "threads": 17, "person_class": 20_000,
            "motion": {"threshold": 2, "absorb": "1ms", "person": {"top": 0.2, "bottom": 9.0, "aspect": 0.4}},
            "lines": {
                "Door": {"from": [0.5, 0.0], "to": [0.5, 1.0]},
                "dot": {"from": [0.5, 0.5], "to": [0.5, 0.5]},
                "far": {"from": [0.5, -0.1], "to": [0.5, 7.0], "band": 2.0},
                "hall": {"from": [0.0, 0.5], "to": [1.0, 0.5]},
            },
            "zones": {
                "flat": {"corners": [[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]},
                "hall": {"corners": [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]},
                "out": {"corners": [[0.1, 0.1], [1.9, 0.1], [0.5, 0.9]]},
                "two": {"corners": [[0.1, 0.1], [0.2, 0.2]]},
            },
        });
        let paths: Vec<String> =
            found(section).iter().map(|f| f.split(": ").next().unwrap_or_default().to_owned()).collect();
        assert_eq!(
            paths,
            [
                "fps",
                "threads",
                "person_class",
                "motion.threshold",
                "motion.absorb",
                "motion.person.bottom",
                "lines.Door",
                "lines.dot",
                "lines.far.from",
                "lines.far.to",
                "lines.far.band",
                "zones.flat",
                "zones.hall",
                "zones.out.corners[1]",
                "zones.two",
            ]
            .map(|path| format!("analysis.main.{path}"))
        );
    }

    #[test]
    fn numbers_that_are_none_are_outside_of_everything() {
        let mut analysis = Analysis::default();
        let line = json!({"from": [0.5, 0.0], "to": [0.5, 1.0]});
        let mut line: gantry_core::config::Line = serde_json::from_value(line).unwrap();
        line.from[0] = f32::NAN;
        line.band = Some(f32::INFINITY);
        analysis.lines.insert("door".into(), line);
        analysis.motion.least_area = f32::NAN;
        let paths: Vec<String> = check("main", &analysis, &cameras()).into_iter().map(|f| f.path).collect();
        assert_eq!(
            paths,
            ["motion.least_area", "lines.door.from", "lines.door.band"].map(|p| format!("analysis.main.{p}"))
        );
    }

    #[test]
    fn a_section_of_no_camera_and_too_many_lines_and_corners_are_found() {
        let analysis = Analysis::default();
        let findings = check("mian", &analysis, &cameras());
        assert_eq!(
            findings[0].to_string(),
            "analysis.mian: there is no camera `mian`; did you mean `main`?: name the section after a camera"
        );
        let line = json!({"from": [0.5, 0.0], "to": [0.5, 1.0]});
        let lines: serde_json::Map<_, _> = (0..33).map(|n| (format!("l{n}"), line.clone())).collect();
        let corners: Vec<[f32; 2]> = (0..65).map(|n| [(n % 2) as f32, n as f32 / 65.0]).collect();
        let found = found(json!({"lines": lines, "zones": {"z": {"corners": corners}}}));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("analysis.main.lines: there are 33"), "{found:?}");
        assert!(found[1].starts_with("analysis.main.zones.z.corners: there are 65"), "{found:?}");
    }

    #[cfg(feature = "onnx")]
    #[test]
    fn what_looks_at_single_pictures_is_a_model_and_not_motion() {
        let found = |section: Value| -> Vec<String> {
            let detector: PictureDetector = serde_json::from_value(section).unwrap();
            check_detector("door", &detector).iter().map(ToString::to_string).collect()
        };
        assert_eq!(found(json!({"model": "m.onnx"})), Vec::<String>::new());
        let motion = found(json!({"detector": "motion"}));
        assert_eq!(motion.len(), 1);
        assert!(motion[0].starts_with("detectors.door.detector: `motion` sees what changes"), "{motion:?}");
        let wrong = found(json!({"family": "yolox8", "least_score": 1.5, "threads": 99}));
        let paths: Vec<_> = wrong.iter().map(|f| f.split(": ").next().unwrap()).collect();
        assert_eq!(
            paths,
            ["family", "model", "least_score", "threads"].map(|p| format!("detectors.door.{p}"))
        );
        assert!(wrong[0].contains("did you mean `yolov8`?") || wrong[0].contains("`yolox`?"), "{wrong:?}");
        let missing = PictureDetector { model: Some("/nowhere.onnx".into()), ..PictureDetector::default() };
        let finding = check_detector_model("door", &missing).unwrap();
        assert_eq!(finding.path, "detectors.door.model");
        assert!(finding.message.starts_with("cannot load the model /nowhere.onnx: "), "{finding}");
    }

    #[cfg(feature = "onnx")]
    #[test]
    fn models_need_a_file_and_a_family_that_finds_what_is_looked_for() {
        let faces = json!({"model": "f.onnx", "family": "ultrafaces", "least_score": 2.0});
        let found = found(json!({"detector": "onnx", "family": "ultraface", "faces": faces}));
        assert_eq!(
            found,
            [
                "analysis.main.family: no such model is of the family `ultraface`: it can be `fastestdet`, `yolox`, `yolov8`",
                "analysis.main.model: `detector = \"onnx\"` needs a model: name an ONNX file",
                "analysis.main.faces.family: no such model is of the family `ultrafaces`: it can be `ultraface`; did you mean `ultraface`?",
                "analysis.main.faces.least_score: 2 is outside 0 to 1: choose one between",
            ]
        );
    }

    #[cfg(feature = "onnx")]
    #[test]
    fn files_that_are_no_models_are_found_by_loading_them() {
        let dir = tempfile::tempdir().unwrap();
        let (garbage, missing) = (dir.path().join("garbage.onnx"), dir.path().join("missing.onnx"));
        std::fs::write(&garbage, b"no model").unwrap();
        let section = json!({"detector": "onnx", "model": garbage, "faces": {"model": missing}});
        let mut analysis: Analysis = serde_json::from_value(section).unwrap();
        let found = check_models("main", &analysis);
        assert_eq!(found.len(), 2, "{found:?}");
        for (finding, (path, file)) in
            found.iter().zip([("analysis.main.model", &garbage), ("analysis.main.faces.model", &missing)])
        {
            assert_eq!(finding.path, path);
            let begin = format!("cannot load the model {}: ", file.display());
            assert!(finding.message.starts_with(&begin), "{finding}");
        }
        analysis.enabled = false;
        assert!(check_models("main", &analysis).is_empty());
    }

    #[cfg(not(feature = "onnx"))]
    #[test]
    fn a_build_without_models_says_so() {
        let found = found(json!({"detector": "onnx", "model": "m.onnx", "faces": {"model": "f.onnx"}}));
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|f| f.contains("built without the feature `onnx`")), "{found:?}");
    }
}
