//! Pipeline files: what a camera's pipeline is made of, as an operator writes it.

use crate::control::Control;
use crate::{MediaError, suggest};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The files of `pipelines/`, so that the program works without the folder.
const BUILT_IN: [(&str, &str); 9] = [
    ("demo", include_str!("../../../pipelines/demo.toml")),
    ("file", include_str!("../../../pipelines/file.toml")),
    ("libcamera", include_str!("../../../pipelines/libcamera.toml")),
    ("mix", include_str!("../../../pipelines/mix.toml")),
    ("rtsp", include_str!("../../../pipelines/rtsp.toml")),
    ("test", include_str!("../../../pipelines/test.toml")),
    ("two-cameras", include_str!("../../../pipelines/two-cameras.toml")),
    ("usb", include_str!("../../../pipelines/usb.toml")),
    ("usb-mjpeg", include_str!("../../../pipelines/usb-mjpeg.toml")),
];

/// The largest pipeline file, in bytes.
const MAX_FILE: u64 = 64 * 1024;

const KEYS: [&str; 7] = ["description", "pipeline", "capture", "numbered", "preroll", "controls", "streams"];
const CONTROL_KEYS: [&str; 7] = ["element", "property", "from", "to", "values", "text", "v4l2"];
const STREAM_KEYS: [&str; 2] = ["sink", "gate"];

/// The stream that is not the pipeline's.
const ANNOTATED: &str = "annotated";

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

/// One stream that a pipeline gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StreamSpec {
    /// The name of its appsink.
    pub sink: String,
    /// The elements whose inputs are shut while nobody watches, in the order that a frame meets them: the encoder, or the
    /// queue before it and the encoder when other streams pass that queue too. Without one the stream always runs.
    #[serde(default, deserialize_with = "one_or_many")]
    pub gate: Vec<String>,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "the name of an element, or a list of names")]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Names::deserialize(from)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
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
                let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
                if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
                    problems.push(format!(
                        "{section}.{name}: a name is made of letters, digits, - and _, at most 64: rename it"
                    ));
                }
            }
        }
        if self.streams.contains_key(ANNOTATED) {
            problems.push(format!(
                "streams.{ANNOTATED}: the runtime gives this stream itself, drawn by the camera's analysis: rename it"
            ));
        }
        // A gate decides for the streams that it is the outermost of, or follows what was decided: it cannot do both.
        for (name, stream) in &self.streams {
            for (depth, gate) in stream.gate.iter().enumerate() {
                let other = self.streams.iter().find(|(_, other)| {
                    other.gate.iter().position(|g| g == gate).is_some_and(|at| (at == 0) != (depth == 0))
                });
                if let (Some((other, _)), 0) = (other, depth) {
                    problems.push(format!(
                        "streams.{name}.gate: `{gate}` comes first here and later in streams.{other}: list the same first \
                         gate in both"
                    ));
                }
            }
        }
        for (name, control) in &self.controls {
            let finite = control.from.iter().chain(&control.to).all(|v| v.is_finite());
            if !finite || control.from[0] >= control.from[1] {
                problems.push(format!("controls.{name}.from: the lower end comes first: write [0, 100]"));
            }
            if matches!(name.as_str(), "fps" | "sensor") {
                problems.push(format!(
                    "controls.{name}: the runtime has it for every camera: remove the section"
                ));
            }
            if control.element.is_some() != control.property.is_some() {
                problems.push(format!("controls.{name}: `element` and `property` come together: give both"));
            }
            if control.element.is_none() && control.v4l2.is_none() {
                problems.push(format!(
                    "controls.{name}: it is bound to nothing: give `element` and `property`, or `v4l2`"
                ));
            }
            if control.text.is_some() && !control.values.is_empty() {
                problems.push(format!("controls.{name}: `text` and `values` exclude each other: remove one"));
            }
            let fields = ["{value}", "{width}", "{height}"];
            if control.text.as_ref().is_some_and(|text| !fields.iter().any(|field| text.contains(field))) {
                problems.push(format!(
                    "controls.{name}.text: the value is nowhere in it: write {{value}}, or {{width}} and {{height}}"
                ));
            }
            if control.values.values().any(|v| v.is_array() || v.is_table() || v.is_datetime()) {
                problems.push(format!(
                    "controls.{name}.values: a property has a number, a switch or a text: write one for each"
                ));
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
            (
                "pipeline = 'a'\n[streams.annotated]\nsink='s'",
                "streams.annotated: the runtime gives this stream itself",
            ),
        ] {
            let problems = PipelineFile::parse(toml).expect_err(toml).join("\n");
            assert!(problems.contains(says), "{toml}: {problems}");
        }
    }

    #[test]
    fn a_control_that_is_bound_to_nothing_or_in_two_ways_is_refused() {
        for (control, says) in [
            ("[controls.gain]", "bound to nothing"),
            ("[controls.gain]\nelement = 'e'", "come together"),
            ("[controls.gain]\nv4l2 = 'gain'\ntext = '{value}'\nvalues = { a = 1 }", "exclude each other"),
            ("[controls.gain]\nv4l2 = 'gain'\ntext = 'x'", "{value}"),
            ("[controls.gain]\nv4l2 = 'gain'\nvalues = { a = [1] }", "a number, a switch or a text"),
            ("[controls.gain]\nv4l2 = 3", "the name of a control"),
            ("[controls.fps]\nv4l2 = 'fps'", "remove the section"),
            ("[controls.'white balance']\nv4l2 = 'x'", "rename it"),
        ] {
            let toml = format!("pipeline = 'a'\n[streams.jpeg]\nsink = 's'\n{control}");
            let problems = PipelineFile::parse(&toml).expect_err(control).join("\n");
            assert!(problems.contains(says), "{control}: {problems}");
        }
    }

    #[test]
    fn a_gate_that_decides_for_one_stream_cannot_follow_for_another() {
        let toml = |first: &str, second: &str| {
            format!(
                "pipeline = 'a'\n[streams.jpeg]\nsink = 's'\ngate = {first}\n[streams.raw]\nsink = 'r'\ngate = {second}"
            )
        };
        for (first, second) in [("'e'", "['e', 'f']"), ("['q', 'e']", "['q', 'r']"), ("'e'", "'f'")] {
            PipelineFile::parse(&toml(first, second)).expect("good gates");
        }
        let problems = PipelineFile::parse(&toml("['q', 'e']", "'e'")).expect_err("two minds").join("\n");
        assert!(problems.contains("streams.raw.gate: `e` comes first here"), "{problems}");
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
