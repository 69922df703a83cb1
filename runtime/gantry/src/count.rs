//! `gantry count`: counts a recording as fast as the machine can, so that an operator can tune on his own footage.

mod annotated;
mod compare;
mod interrupt;
mod look;
mod place;
mod plan;
mod report;
mod truth;

use crate::cli::EXIT_CONFIG;
use crate::config::Sources;
use clap::{Args, ValueEnum};
use gantry_core::config::{Anchor, Detector};
use look::Failure;
use place::{GivenLine, GivenZone};
use plan::Plan;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

/// Which way is `in`, and what else an operator has to know; at the end of `gantry count --help`.
pub(crate) const HELP: &str = "\
Which way is `in`: people who go in come from the right hand, and go to the left hand, of
whoever walks along the line from (x1,y1) to (x2,y2), as seen in the picture. A line from top to
bottom counts who goes from left to right as `in`; a line from left to right counts who goes up
in the picture as `in`. To swap the two, swap the points.

  (0,0) ---------------------- (1,0)        (0,0) ---------------------- (1,0)
    |          (x1,y1)           |            |             in             |
    |             |              |            |              ^             |
    |    out <--- | ---> in      |            | (x1,y1) ----------> (x2,y2)|
    |             v              |            |              v             |
    |          (x2,y2)           |            |             out            |
  (0,1) ---------------------- (1,1)        (0,1) ---------------------- (1,1)
    --line door=0.5,0.1,0.5,0.9               --line door=0.1,0.5,0.9,0.5

With --json each crossing is one object a line, and so is each change of a zone; nothing else is
printed there. Times are seconds from the first picture.
  {\"t_s\":6.9,\"line\":\"door\",\"direction\":\"in\",\"track\":3}
  {\"t_s\":7.1,\"zone\":\"hall\",\"people\":2}

--expect FILE compares with the truth: either such lines (`track` and zones are left alone), or
one object with an entry for each recording's file name, whose lines are counted when no --line
is given, and in which `dir` is left_to_right, right_to_left, bottom_to_top, top_to_bottom, in or
out:
  {\"gate.mp4\": {\"lines\": {\"door\": {\"from\": [0.8,0], \"to\": [0.8,1],
                \"events\": [{\"t_s\": 6.9, \"dir\": \"left_to_right\"}]}}, \"faces\": 2},
   \"night.mp4\": {\"people\": 0}}

Exit codes: 0 counted, and as expected; 1 other than expected, or the recording cannot be played;
2 wrong usage; 78 the configuration, a model or the truth is wrong.";

#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Recording {
    /// The recording: a file of any kind that GStreamer plays, rtsp://…, or demo:
    #[arg(value_name = "FILE|URI")]
    film: String,
    /// A counting line, as [NAME=]x1,y1,x2,y2 in parts of the picture; may be repeated. `gantry count --help` shows which way
    /// is `in`
    #[arg(long = "line", value_name = "[NAME=]X1,Y1,X2,Y2", value_parser = place::line, allow_hyphen_values = true)]
    lines: Vec<GivenLine>,
    /// A zone whose people are counted, as [NAME=]x1,y1,x2,y2,x3,y3,… in parts of the picture; may be repeated
    #[arg(long = "zone", value_name = "[NAME=]X1,Y1,…", value_parser = place::zone, allow_hyphen_values = true)]
    zones: Vec<GivenZone>,
    /// What finds people [default: motion; onnx with --model]
    #[arg(long, value_enum)]
    detector: Option<DetectorName>,
    /// The ONNX model that finds people
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// What kind of model it is: fastestdet, yolox, yolov8 [default: fastestdet]
    #[arg(long)]
    family: Option<String>,
    /// The ONNX model that finds faces (ultraface); people whose face was seen well are counted, too
    #[arg(long, value_name = "MODEL")]
    faces: Option<PathBuf>,
    /// Which point of a person's box counts, on all lines and in all zones [default: centre]
    #[arg(long, value_enum)]
    anchor: Option<AnchorName>,
    /// Takes detector, models, rate, lines and zones from [analysis.NAME] of the configuration; other flags win over it
    #[arg(long, value_name = "NAME")]
    camera: Option<String>,
    /// Pictures that are looked at in each second of the recording, at most [default: every one, second, third, … so that it
    /// is about 10; or that of --camera]
    #[arg(long, value_parser = positive)]
    fps: Option<f64>,
    /// `max`: as fast as the machine can; `1`: as fast as it plays
    #[arg(long, value_parser = speed, default_value = "max")]
    speed: Speed,
    /// Ends after so many seconds of the recording [default: its end; 60 for demo:]
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    duration: Option<f64>,
    /// Prints one JSON object for each crossing, and nothing else, on standard output
    #[arg(long)]
    json: bool,
    /// Compares with the truth in this file, and exits 1 when something is missing or false
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// How far a crossing may be from the expected one, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = positive, default_value_t = 1.0, requires = "expect")]
    tolerance: f64,
    /// Writes the pictures that were looked at, with what was seen in them
    #[arg(long, value_name = "OUT.mp4")]
    annotate: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DetectorName {
    Motion,
    Onnx,
}

impl From<DetectorName> for Detector {
    fn from(name: DetectorName) -> Self {
        match name {
            DetectorName::Motion => Self::Motion,
            DetectorName::Onnx => Self::Onnx,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AnchorName {
    #[value(alias = "center")]
    Centre,
    Foot,
}

impl From<AnchorName> for Anchor {
    fn from(name: AnchorName) -> Self {
        match name {
            AnchorName::Centre => Self::Centre,
            AnchorName::Foot => Self::Foot,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speed {
    Max,
    Real,
}

fn speed(text: &str) -> Result<Speed, String> {
    match text {
        "max" => Ok(Speed::Max),
        "1" | "1.0" => Ok(Speed::Real),
        _ => Err("write `max` for as fast as the machine can, or `1` for as fast as it plays".into()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|n: &f64| n.is_finite() && *n > 0.0)
        .ok_or_else(|| "write a number above 0".into())
}

/// Does it. `sources` finds the configuration, which is read only when it is needed.
pub(crate) fn command(
    given: Recording,
    sources: impl FnOnce() -> anyhow::Result<Sources>,
) -> anyhow::Result<ExitCode> {
    let config = match &given.camera {
        Some(camera) => match plan::section(&sources()?, camera) {
            Ok(section) => section,
            Err(findings) => return Ok(refuse(&findings)),
        },
        None => gantry_core::config::Analysis::default(),
    };
    let plan = match Plan::new(&given, config) {
        Ok(plan) => plan,
        Err(finding) => return Ok(refuse(&[finding])),
    };
    let mut report = Report::new(&given, &plan);
    let (outcome, failure) = match look::look(&given, plan, &mut report) {
        Ok(looked) => looked,
        Err(Failure::Setup(finding)) => return Ok(refuse(&[finding])),
        Err(Failure::Film(error)) => return Err(error),
    };
    // What was counted until a failure is told all the same.
    report.summary(&outcome);
    if let Some(error) = failure {
        return Err(error);
    }
    Ok(if report.is_as_expected(&outcome) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn refuse(findings: &[String]) -> ExitCode {
    for finding in findings {
        eprintln!("gantry: {finding}");
    }
    ExitCode::from(EXIT_CONFIG)
}
