//! What the operator is told, while it is counted and at the end.

use super::Recording;
use super::compare::compare;
use super::look::Outcome;
use super::plan::Plan;
use super::truth::Expected;
use crate::check::count;
use gantry_vision::{Direction, Event};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// How often progress is shown.
const OFTEN: Duration = Duration::from_millis(250);

/// A crossing as `--json` prints it.
#[derive(Serialize)]
struct Crossed<'a> {
    t_s: f64,
    line: &'a str,
    direction: Direction,
    track: u64,
}

/// A change of a zone as `--json` prints it.
#[derive(Serialize)]
struct Occupied<'a> {
    t_s: f64,
    zone: &'a str,
    people: usize,
}

pub(super) struct Report {
    film: String,
    json: bool,
    lines: Vec<String>,
    /// The longest name.
    width: usize,
    expected: Option<Expected>,
    tolerance_s: f64,
    /// When progress was last shown; `None` where it is never.
    shown: Option<Duration>,
    /// Whether a line of progress stands on the terminal.
    stands: bool,
    /// Nobody reads standard output any more.
    deaf: bool,
}

impl Report {
    pub(super) fn new(given: &Recording, plan: &Plan) -> Self {
        let lines: Vec<String> = plan.lines.iter().map(|line| line.name().to_owned()).collect();
        let names = lines.iter().map(String::as_str).chain(plan.zones.iter().map(gantry_vision::Zone::name));
        Self {
            film: gantry_media::redact(&given.film),
            json: given.json,
            width: names.map(|name| name.chars().count()).max().unwrap_or(0),
            lines,
            expected: plan.expected.clone(),
            tolerance_s: given.tolerance,
            shown: std::io::stderr().is_terminal().then_some(Duration::ZERO),
            stands: false,
            deaf: false,
        }
    }

    /// Whether nobody reads what is printed.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf
    }

    pub(super) fn event(&mut self, event: &Event) {
        let width = self.width;
        let text = match event {
            Event::Crossing(c) if self.json => to_json(&Crossed {
                t_s: rounded(c.t_s),
                line: &c.line,
                direction: c.direction,
                track: c.track,
            }),
            Event::Occupancy { t_s, zone, people } if self.json => {
                to_json(&Occupied { t_s: rounded(*t_s), zone, people: *people })
            }
            Event::Crossing(c) => {
                let way = way(c.direction);
                format!("{:>8.2} s  {:width$}  {way:3}  track {}", c.t_s, c.line, c.track)
            }
            Event::Occupancy { t_s, zone, people } => {
                format!("{t_s:>8.2} s  {zone:width$}  {people} inside")
            }
        };
        self.print(&text);
    }

    /// Shows how far it is, where somebody can see it.
    pub(super) fn progress(&mut self, t_s: f64, whole_s: Option<f64>, took: Duration) {
        let Some(shown) = self.shown.filter(|shown| took.saturating_sub(*shown) >= OFTEN) else { return };
        let _ = shown;
        self.shown = Some(took);
        let times = t_s / took.as_secs_f64().max(1e-3);
        let far = whole_s.map_or_else(
            || format!("{t_s:.0} s"),
            |whole| format!("{:3.0} %  {t_s:.0} s of {whole:.0} s", 100.0 * (t_s / whole).min(1.0)),
        );
        eprint!("\r\x1b[K{far}, {times:.0} times as fast as it plays");
        self.stands = true;
    }

    /// Something else that the operator should know.
    pub(super) fn note(&mut self, text: &str) {
        self.clear();
        eprintln!("gantry: {text}");
    }

    pub(super) fn summary(&mut self, outcome: &Outcome) {
        let took = outcome.took.as_secs_f64();
        let each_ms = 1e3 * outcome.looked.as_secs_f64() / outcome.pictures.max(1) as f64;
        let mut all = vec![format!(
            "{}: {:.1} s, {} looked at in {took:.1} s, {each_ms:.2} ms each",
            self.film,
            outcome.last_s,
            count(usize::try_from(outcome.pictures).unwrap_or(usize::MAX), "picture"),
        )];
        for line in &self.lines {
            let of = |way: Direction| {
                outcome.crossings.iter().filter(|c| c.line == *line && c.direction == way).count()
            };
            let (came, went) = (of(Direction::In), of(Direction::Out));
            all.push(format!("  {line:width$}  {came} in, {went} out", width = self.width));
        }
        for (zone, most) in &outcome.most {
            all.push(format!("  {zone:width$}  at most {most} inside", width = self.width));
        }
        if let Some(faces) = outcome.faces {
            all.push(format!("  {} of different people", count(faces, "face")));
        }
        self.clear();
        for text in all {
            if self.json {
                eprintln!("{text}");
            } else {
                self.print(&text);
            }
        }
    }

    /// Compares with what was expected and says every difference.
    pub(super) fn is_as_expected(&mut self, outcome: &Outcome) -> bool {
        let Some(Expected { crossings, faces }) = self.expected.take() else { return true };
        self.clear();
        let mut is_good = true;
        if let (Some(expected), Some(found)) = (faces, outcome.faces) {
            is_good = expected == found;
            eprintln!("gantry: {} found, {expected} expected", count(found, "face"));
        }
        let Some(expected) = crossings else {
            if faces.is_none() || outcome.faces.is_none() {
                eprintln!(
                    "gantry: the truth says nothing of what was counted: give --faces MODEL, or another truth"
                );
                return false;
            }
            return is_good;
        };
        let compared = compare(&expected, &outcome.crossings, self.tolerance_s);
        let within = self.tolerance_s;
        for e in &compared.missing {
            let way = way(e.direction);
            eprintln!("missing  {:>8.2} s  {}  {way}: nobody within {within} s", e.t_s, e.line);
        }
        for c in &compared.wrong {
            let way = way(c.direction);
            eprintln!("false    {:>8.2} s  {}  {way}, track {}: nobody should", c.t_s, c.line, c.track);
        }
        let (missing, wrong) = (compared.missing.len(), compared.wrong.len());
        eprintln!(
            "gantry: {} of {} found within {:.2} s, {missing} missing, {wrong} false",
            compared.found,
            count(expected.len(), "crossing"),
            compared.farthest_s
        );
        is_good && missing == 0 && wrong == 0
    }

    fn print(&mut self, text: &str) {
        self.clear();
        if writeln!(std::io::stdout().lock(), "{text}").is_err() {
            self.deaf = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.stands) {
            eprint!("\r\x1b[K");
        }
    }
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
    }
}

/// To milliseconds: what is finer says nothing.
fn rounded(t_s: f64) -> f64 {
    (t_s * 1000.0).round() / 1000.0
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text and numbers are JSON")
}
