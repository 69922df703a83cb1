//! What should have been counted, from a file.

use gantry_core::config::{Anchor, Line};
use gantry_vision::Direction;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::Path;

/// Lines of the truth are those of the command line when their ends are not farther apart than this.
const NEAR: f32 = 0.01;
/// The largest file, in bytes.
const LARGEST: u64 = 64 << 20;

/// A crossing that is expected.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) t_s: f64,
    pub(super) line: String,
    pub(super) direction: Direction,
}

/// What is expected of the lines that are counted.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Expected {
    /// `None` when nothing is known of crossings.
    pub(super) crossings: Option<Vec<Event>>,
    /// Unique faces, when that is known.
    pub(super) faces: Option<usize>,
}

/// A file of truth.
#[derive(Debug)]
pub(super) enum Truth {
    /// What `gantry count --json` prints.
    Printed(Vec<Event>),
    /// The entry of one recording.
    Entry(Entry),
}

/// One recording in a file of many.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    #[serde(default)]
    lines: std::collections::BTreeMap<String, TrueLine>,
    people: Option<u64>,
    faces: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct TrueLine {
    from: [f32; 2],
    to: [f32; 2],
    #[serde(default)]
    anchor: String,
    #[serde(default)]
    events: Vec<TrueEvent>,
}

#[derive(Debug, Deserialize)]
struct TrueEvent {
    t_s: f64,
    dir: Way,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    LeftToRight,
    RightToLeft,
    BottomToTop,
    TopToBottom,
    In,
    Out,
}

/// What `--json` prints.
#[derive(Deserialize)]
struct Printed {
    t_s: f64,
    line: String,
    direction: Direction,
}

impl Truth {
    /// Reads a file; of many recordings, the one that has the film's file name.
    pub(super) fn read(file: &Path, film: &Path) -> Result<Self, String> {
        let shown = file.display();
        let size =
            std::fs::metadata(file).map_err(|e| format!("--expect {shown}: {e}: correct its path"))?.len();
        if size > LARGEST {
            return Err(format!("--expect {shown} has more than {} MiB: cut it", LARGEST >> 20));
        }
        let text =
            std::fs::read_to_string(file).map_err(|e| format!("--expect {shown}: {e}: give a text file"))?;
        let name = film.file_name().unwrap_or(film.as_os_str()).to_string_lossy();
        Self::parse(&text, &name).map_err(|reason| format!("--expect {shown}: {reason}"))
    }

    fn parse(text: &str, film: &str) -> Result<Self, String> {
        // One line of ours is an object, too.
        match serde_json::from_str::<Map<String, Value>>(text) {
            Ok(all) if !all.contains_key("t_s") => entry(all, film).map(Self::Entry),
            _ => printed(text).map(Self::Printed),
        }
    }

    /// The lines that it knows, for when no others are given.
    pub(super) fn lines(&self) -> Vec<(String, Line)> {
        let Self::Entry(entry) = self else { return Vec::new() };
        let line = |line: &TrueLine| {
            let anchor = match line.anchor.as_str() {
                "foot" | "box_bottom" => Anchor::Foot,
                _ => Anchor::Centre,
            };
            Line { from: line.from, to: line.to, anchor, band: None }
        };
        entry.lines.iter().map(|(name, given)| (name.clone(), line(given))).collect()
    }

    /// What should be counted on these lines.
    pub(super) fn expected(self, lines: &[(String, Line)]) -> Result<Expected, String> {
        let known = || lines.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Printed(events) => {
                match events.iter().find(|event| lines.iter().all(|(name, _)| *name != event.line)) {
                    Some(event) => Err(format!(
                        "the truth has a line `{}`, and counted are {}: give --line {}=x1,y1,x2,y2",
                        event.line,
                        known(),
                        event.line
                    )),
                    None => Ok(Expected { crossings: Some(events), faces: None }),
                }
            }
            Self::Entry(entry) => {
                let faces = entry.faces;
                if entry.lines.is_empty() {
                    let crossings = (entry.people == Some(0)).then(Vec::new);
                    return Ok(Expected { crossings, faces });
                }
                let mut crossings = Vec::new();
                for (name, line) in lines {
                    let Some(truth) = entry.of(name, line) else {
                        let names: Vec<&str> = entry.lines.keys().map(String::as_str).collect();
                        return Err(format!(
                            "the truth has no line `{name}` and none at its place: it has {}: name or place it so",
                            names.join(", ")
                        ));
                    };
                    for event in &truth.events {
                        let direction = direction(name, line, event.dir)?;
                        crossings.push(Event { t_s: event.t_s, line: name.clone(), direction });
                    }
                }
                Ok(Expected { crossings: Some(crossings), faces })
            }
        }
    }
}

impl Entry {
    /// The line of this name, or else the one at this place, whichever way it goes.
    fn of(&self, name: &str, line: &Line) -> Option<&TrueLine> {
        let near = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) <= NEAR;
        let is_there = |truth: &&TrueLine| {
            (near(truth.from, line.from) && near(truth.to, line.to))
                || (near(truth.from, line.to) && near(truth.to, line.from))
        };
        self.lines.get(name).or_else(|| self.lines.values().find(is_there))
    }
}

fn entry(mut all: Map<String, Value>, film: &str) -> Result<Entry, String> {
    let Some(entry) = all.remove(film) else {
        let names: Vec<String> = all.keys().map(|name| format!("`{name}`")).take(20).collect();
        return Err(format!("it has no entry `{film}`: it has {}: name the recording so", names.join(", ")));
    };
    serde_json::from_value(entry).map_err(|e| format!("the entry `{film}` is wrong: {e}: correct it"))
}

fn printed(text: &str) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |e: serde_json::Error| {
            format!("line {}: {e}: give what `gantry count --json` prints, or an object by file names", n + 1)
        };
        let value: Value = serde_json::from_str(line).map_err(wrong)?;
        if value.get("zone").is_some() {
            continue;
        }
        let Printed { t_s, line, direction } = serde_json::from_value(value).map_err(wrong)?;
        events.push(Event { t_s, line, direction });
    }
    Ok(events)
}

/// Which way on this line somebody goes who goes so in the picture.
fn direction(name: &str, line: &Line, way: Way) -> Result<Direction, String> {
    let [dx, dy] = [line.to[0] - line.from[0], line.to[1] - line.from[1]];
    // The part of the walk that is towards the side to which one goes `in`.
    let towards = match way {
        Way::LeftToRight => dy,
        Way::RightToLeft => -dy,
        Way::BottomToTop => dx,
        Way::TopToBottom => -dx,
        Way::In => 1.0,
        Way::Out => -1.0,
    };
    gantry_analysis::line(name, line).map_err(|e| e.to_string())?;
    if towards.abs() < 1e-6 {
        let (way, from, to) = (format!("{way:?}"), line.from, line.to);
        return Err(format!(
            "nobody goes {way} over the line `{name}` from {from:?} to {to:?}, which goes along with him: correct the truth"
        ));
    }
    Ok(if towards > 0.0 { Direction::In } else { Direction::Out })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: &str = r#"{
        "gate.mp4": {"fps": 10, "lines": {
            "x80": {"from": [0.8, 0.0], "to": [0.8, 1.0], "anchor": "box_center",
                    "events": [{"t_s": 6.9, "dir": "left_to_right"}, {"t_s": 9.0, "dir": "right_to_left"}]},
            "y75": {"from": [0.0, 0.75], "to": [1.0, 0.75], "anchor": "foot",
                    "events": [{"t_s": 2.7, "dir": "bottom_to_top"}, {"t_s": 4.0, "dir": "top_to_bottom"}]}}},
        "bottles.mp4": {"people": 0, "note": "nobody"},
        "three.mp4": {"people": 3, "faces": 3}
    }"#;

    fn expected(text: &str, film: &str, lines: Option<&[&str]>) -> Result<Expected, String> {
        let truth = Truth::parse(text, film)?;
        let given = |text: &&str| {
            let given = super::super::place::line(text).expect(text);
            (given.name.unwrap_or_else(|| "line".into()), given.line)
        };
        let lines = lines.map_or_else(|| truth.lines(), |lines| lines.iter().map(given).collect());
        truth.expected(&lines)
    }

    fn told(expected: Expected) -> Vec<String> {
        let events = expected.crossings.expect("crossings are expected");
        events.iter().map(|e| format!("{} {} {:?}", e.t_s, e.line, e.direction)).collect()
    }

    #[test]
    fn the_entry_of_a_recording_has_its_own_lines() {
        let all = told(expected(MANY, "gate.mp4", None).expect("good"));
        assert_eq!(all, ["6.9 x80 In", "9 x80 Out", "2.7 y75 In", "4 y75 Out"]);
        let lines = Truth::parse(MANY, "gate.mp4").expect("good").lines();
        assert_eq!((lines[0].1.anchor, lines[1].1.anchor), (Anchor::Centre, Anchor::Foot));
    }

    #[test]
    fn what_is_in_follows_from_the_line_that_is_given() {
        let of = |line: &str| told(expected(MANY, "gate.mp4", Some(&[line])).expect("good"));
        assert_eq!(of("0.8,0,0.8,1"), ["6.9 line In", "9 line Out"]);
        assert_eq!(of("0.8,1,0.8,0"), ["6.9 line Out", "9 line In"]);
        assert_eq!(of("x80=0.7,1,0.75,0.1"), ["6.9 x80 Out", "9 x80 In"]);
        let error = expected(MANY, "gate.mp4", Some(&["door=0.4,0,0.4,1"])).expect_err("no such line");
        assert!(error.contains("no line `door`") && error.contains("x80, y75"), "{error}");
        let error = expected(MANY, "gate.mp4", Some(&["x80=0,0.5,1,0.5"])).expect_err("along the line");
        assert!(error.contains("LeftToRight"), "{error}");
    }

    #[test]
    fn where_there_is_nobody_nothing_is_expected_anywhere() {
        let expected = |film| expected(MANY, film, Some(&["0.1,0,0.1,1"])).expect("good");
        assert_eq!(expected("bottles.mp4"), Expected { crossings: Some(vec![]), faces: None });
        assert_eq!(expected("three.mp4"), Expected { crossings: None, faces: Some(3) });
    }

    #[test]
    fn what_was_printed_can_be_given_back() {
        let text = "{\"t_s\":6.9,\"line\":\"line\",\"direction\":\"in\",\"track\":3}\n\n\
                    {\"t_s\":7.0,\"zone\":\"hall\",\"people\":2}\n{\"t_s\":8.5,\"line\":\"line\",\"direction\":\"out\"}\n";
        let of = |text: &str| expected(text, "x", Some(&["0.5,0,0.5,1"]));
        assert_eq!(told(of(text).expect("good")), ["6.9 line In", "8.5 line Out"]);
        let single = text.lines().next().expect("a line");
        assert_eq!(told(of(single).expect("good")), ["6.9 line In"]);
        assert_eq!(told(of("").expect("good")), Vec::<String>::new());
        assert!(
            of(&text.replace("\"line\":\"line\"", "\"line\":\"door\""))
                .expect_err("unknown")
                .contains("--line door=")
        );
        assert!(of("nonsense").expect_err("no JSON").contains("line 1"));
        assert!(of("[1]").expect_err("no object").contains("line 1"));
        assert!(
            of("{\"t_s\":1,\"line\":\"line\",\"direction\":\"up\"}").expect_err("no way").contains("line 1")
        );
    }

    #[test]
    fn a_recording_without_an_entry_is_told_which_there_are() {
        let error = Truth::parse(MANY, "other.mp4").expect_err("no entry");
        assert!(error.contains("no entry `other.mp4`") && error.contains("`gate.mp4`"), "{error}");
        let wrong = MANY.replace("bottom_to_top", "upwards");
        assert!(
            Truth::parse(&wrong, "gate.mp4").expect_err("wrong").contains("the entry `gate.mp4` is wrong")
        );
    }
}
