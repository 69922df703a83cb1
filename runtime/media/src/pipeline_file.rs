//! Pipeline files: what a camera's pipeline is made of, as an operator writes it.

use crate::{MediaError, suggest};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The files of `pipelines/`, so that the program works without the folder.
const BUILT_IN: [(&str, &str); 8] = [
    ("demo", include_str!("../../../pipelines/demo.toml")),
    ("file", include_str!("../../../pipelines/file.toml")),
    ("libcamera", include_str!("../../../pipelines/libcamera.toml")),
    ("rtsp", include_str!("../../../pipelines/rtsp.toml")),
    ("test", include_str!("../../../pipelines/test.toml")),
    ("two-cameras", include_str!("../../../pipelines/two-cameras.toml")),
    ("usb", include_str!("../../../pipelines/usb.toml")),
    ("usb-mjpeg", include_str!("../../../pipelines/usb-mjpeg.toml")),
];

/// The largest pipeline file, in bytes.
const MAX_FILE: u64 = 64 * 1024;

const KEYS: [&str; 7] = ["description", "pipeline", "capture", "numbered", "preroll", "controls", "streams"];
const CONTROL_KEYS: [&str; 4] = ["element", "property", "from", "to"];
const STREAM_KEYS: [&str; 2] = ["sink", "gate"];

/// One pipeline file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PipelineFile {
    /// A sentence for people.
    #[serde(default)]
    pub description: String,
    /// A gst-launch text with named elements and placeholders such as `{width}`. Lines that begin with `#` are comments.
    pub pipeline: String,
    /// The name of the element that every captured frame passes, before any gate. The watchdog looks there.
    #[serde(default = "capture")]
    pub capture: String,
    /// Whether the source numbers its frames in the buffers' offset, as v4l2src does: a gap is a frame that was lost.
    #[serde(default)]
    pub numbered: bool,
    /// Whether the clock starts only when the first frame is there: for recordings, which would otherwise begin with the
    /// frames that were due while the decoder started.
    #[serde(default)]
    pub preroll: bool,
    /// Observables by name, and the element property that each is bound to.
    #[serde(default)]
    pub controls: BTreeMap<String, Control>,
    /// What the pipeline gives, by name: stream `jpeg` of camera `main` is `main/jpeg` in the frames hub.
    pub streams: BTreeMap<String, StreamSpec>,
}

fn capture() -> String {
    "capture".into()
}

/// Binds an observable to a property of an element.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Control {
    /// The element's name.
    pub element: String,
    /// The property's name.
    pub property: String,
    /// The observable's range.
    #[serde(default = "percent")]
    pub from: [f64; 2],
    /// The property's range: `from[0]` becomes `to[0]`, `from[1]` becomes `to[1]`, linear between.
    #[serde(default = "percent")]
    pub to: [f64; 2],
}

fn percent() -> [f64; 2] {
    [0.0, 100.0]
}

impl Control {
    /// The property's value for a value of the observable, which is held within its range.
    #[must_use]
    pub fn map(&self, value: f64) -> f64 {
        let [low, high] = self.from;
        let part = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.to[0] + part * (self.to[1] - self.to[0])
    }
}

/// One stream that a pipeline gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StreamSpec {
    /// The name of its appsink.
    pub sink: String,
    /// The name of the element whose input is shut while nobody watches: the encoder, or the queue before it. Without
    /// one the stream always runs.
    #[serde(default)]
    pub gate: Option<String>,
}

/// A pipeline file's text and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// A path, or `built-in NAME.toml`.
    pub(crate) file: String,
    /// The text.
    pub(crate) toml: String,
}

/// The file `NAME.toml` of `dir`, else the built-in one.
pub(crate) fn find_default(dir: &Path, name: &str) -> Result<Text, MediaError> {
    let path = dir.join(format!("{name}.toml"));
    match read(&path)? {
        Some(text) => Ok(text),
        None => built_in(name).ok_or_else(|| not_found(name, &[path])),
    }
}

/// The file that a camera names: as a path, in `dir`, beside `dir`, with `.toml` added, or a built-in one.
pub(crate) fn find_named(dir: &Path, name: &Path) -> Result<Text, MediaError> {
    // A bare name is one of the folder's, and never something of that name that happens to lie elsewhere.
    let is_bare = name.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    let looked = if is_bare {
        vec![dir.join(name.with_extension("toml"))]
    } else if name.is_relative() {
        let beside = dir.parent().map(|parent| parent.join(name));
        [name.to_path_buf(), dir.join(name)].into_iter().chain(beside).collect()
    } else {
        vec![name.to_path_buf()]
    };
    for path in &looked {
        if let Some(text) = read(path)? {
            return Ok(text);
        }
    }
    let stem = name.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let plain = name.parent().is_none_or(|p| p.as_os_str().is_empty() || p == Path::new("pipelines"));
    match built_in(stem) {
        Some(text) if plain => Ok(text),
        _ => Err(not_found(&name.display().to_string(), &looked)),
    }
}

fn built_in(name: &str) -> Option<Text> {
    let (_, toml) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    Some(Text { file: format!("built-in {name}.toml"), toml: (*toml).to_owned() })
}

fn not_found(name: &str, looked: &[PathBuf]) -> MediaError {
    let looked = looked.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
    MediaError::NoPipelineFile { name: name.to_owned(), looked }
}

/// Reads a file; `None` when it is not there.
fn read(path: &Path) -> Result<Option<Text>, MediaError> {
    let fail = |source| MediaError::Unreadable { path: path.to_path_buf(), source };
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => return Ok(None),
        Ok(meta) if meta.len() > MAX_FILE => {
            return Err(fail(std::io::Error::other(format!("it has more than {MAX_FILE} bytes"))));
        }
        Ok(_) => {}
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(fail(e)),
    }
    let toml = std::fs::read_to_string(path).map_err(fail)?;
    Ok(Some(Text { file: path.display().to_string(), toml }))
}

impl Text {
    pub(crate) fn parse(&self) -> Result<PipelineFile, MediaError> {
        PipelineFile::parse(&self.toml)
            .map_err(|problems| MediaError::Pipeline { file: self.file.clone(), problems })
    }
}

impl PipelineFile {
    /// Reads a pipeline file; all that is wrong with its form is found at once. Whether its elements exist is found when
    /// it is launched.
    pub fn parse(toml: &str) -> Result<Self, Vec<String>> {
        let table: Table = toml::from_str(toml).map_err(|e| vec![format!("not TOML: {}", line(toml, &e))])?;
        let mut problems = Vec::new();
        check_keys("", &table, &KEYS, &mut problems);
        for (section, known) in [("controls", &CONTROL_KEYS[..]), ("streams", &STREAM_KEYS[..])] {
            for (name, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                if let Some(entry) = value.as_table() {
                    check_keys(&format!("{section}.{name}."), entry, known, &mut problems);
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let file: Self = toml::from_str(toml).map_err(|e| vec![line(toml, &e)])?;
        file.check_values(&mut problems);
        if problems.is_empty() { Ok(file) } else { Err(problems) }
    }

    fn check_values(&self, problems: &mut Vec<String>) {
        if self.streams.is_empty() {
            problems.push(
                "streams: there is none: add [streams.jpeg] with sink = \"the name of an appsink\"".into(),
            );
        }
        for (section, names) in [
            ("streams", self.streams.keys().collect::<Vec<_>>()),
            ("controls", self.controls.keys().collect()),
        ] {
            for name in names {
                let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
                if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
                    problems
                        .push(format!("{section}.{name}: a name is made of a-z, 0-9, - and _: rename it"));
                }
            }
        }
        for (name, control) in &self.controls {
            let finite = control.from.iter().chain(&control.to).all(|v| v.is_finite());
            if !finite || control.from[0] >= control.from[1] {
                problems.push(format!("controls.{name}.from: the lower end comes first: write [0, 100]"));
            }
        }
    }
}

fn check_keys(path: &str, table: &Table, known: &[&str], problems: &mut Vec<String>) {
    for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
        problems.push(format!("unknown key {path}{key}{}", suggest(key, known.iter().copied())));
    }
}

/// A TOML error on one line, with the line it is about.
fn line(toml: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    match error.span() {
        Some(span) => {
            let upto = toml.as_bytes().get(..span.start).unwrap_or_default();
            format!("line {}: {message}", 1 + upto.iter().filter(|b| **b == b'\n').count())
        }
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_files_are_good() {
        for (name, toml) in BUILT_IN {
            let file = PipelineFile::parse(toml).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert!(!file.description.is_empty(), "{name}");
            assert!(file.streams.contains_key("jpeg"), "{name}");
        }
    }

    #[test]
    fn all_unknown_keys_are_found_with_the_nearest_known_one() {
        let toml = r#"
            descripton = "x"
            pipeline = "a ! b"
            [controls.brightness]
            elemnt = "balance"
            property = "brightness"
            [streams.jpeg]
            sink = "s"
            gat = "g"
        "#;
        let problems = PipelineFile::parse(toml).expect_err("three typing errors").join("\n");
        for near in ["`description`", "`element`", "`gate`"] {
            assert!(problems.contains(near), "{problems}");
        }
        assert!(problems.contains("controls.brightness.elemnt"), "{problems}");
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_kind_is_named() {
        for (toml, says) in [
            ("pipeline = 3\n[streams.jpeg]\nsink='s'", "line 1"),
            ("pipeline = 'a'", "streams"),
            ("pipeline = 'a'\n[streams]", "[streams.jpeg]"),
            ("pipeline = 'a'\n[streams.jpeg]", "sink"),
            ("pipeline = 'a'\n[streams.'a/b']\nsink='s'", "rename"),
            ("x = ", "not TOML"),
        ] {
            let problems = PipelineFile::parse(toml).expect_err(toml).join("\n");
            assert!(problems.contains(says), "{toml}: {problems}");
        }
    }

    #[test]
    fn a_control_is_mapped_linearly_and_held_in_range() {
        let control =
            Control { element: "b".into(), property: "p".into(), from: [0.0, 100.0], to: [-1.0, 1.0] };
        assert_eq!([0.0, 50.0, 75.0, 200.0].map(|v| control.map(v)), [-1.0, 0.0, 0.5, 1.0]);
    }

    #[test]
    fn a_file_in_the_folder_wins_over_the_built_in_one() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(find_default(dir.path(), "demo").expect("built in").file, "built-in demo.toml");
        let path = dir.path().join("demo.toml");
        std::fs::write(&path, "description = 'mine'").expect("written");
        assert_eq!(find_default(dir.path(), "demo").expect("found").file, path.display().to_string());
        for name in ["demo", "demo.toml"] {
            assert_eq!(find_named(dir.path(), Path::new(name)).expect("found").toml, "description = 'mine'");
        }
        let error =
            find_named(dir.path(), Path::new("pipelines/none.toml")).expect_err("not there").to_string();
        assert!(error.contains("none.toml") && error.contains("looked at"), "{error}");
    }
}
