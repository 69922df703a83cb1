//! `gantry script`: works on the files of mappings and rules, without a running gateway.

use crate::check::count;
use crate::config::Sources;
use anyhow::Context;
use clap::Subcommand;
use gantry_script::{Recorded, ScriptError, Settings, call, check, docs, replay, test};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load every script, say everything that is wrong, and run the tests beside them (NAME.test.toml).
    Check,
    /// Give one event to a rule and print what it causes.
    Run {
        /// The rule's name: that of its file without .rhai
        rule: String,
        /// The hook, such as on_count
        hook: String,
        /// The event as JSON, or `-` to read it from standard input
        #[arg(default_value = "{}")]
        event: String,
    },
    /// Play a recording of events through a rule and print what each causes.
    Replay {
        /// The rule's name: that of its file without .rhai
        rule: String,
        /// The recording: lines of {"hook": …, "event": …}
        recording: PathBuf,
    },
    /// Write down what rules of the running gateway are told: the same as `gantry record`.
    Record(crate::operator::Recording),
    /// Print what scripts can use, or write the definitions that editors read.
    Docs {
        /// The folder to write to, such as scripts/api
        #[arg(long, value_name = "DIR")]
        write: Option<PathBuf>,
    },
}

/// Does it.
pub(crate) fn command(sources: &Sources, command: Command) -> anyhow::Result<ExitCode> {
    let settings = crate::state::script_settings(&sources.load().config, &sources.file);
    match command {
        Command::Check => Ok(check_all(&settings)),
        Command::Run { rule, hook, event } => {
            let mut text = event;
            if text == "-" {
                text.clear();
                std::io::stdin().read_to_string(&mut text).context("standard input is not text")?;
            }
            let event: serde_json::Value =
                serde_json::from_str(&text).context("the event is not JSON: write it as {\"key\": value}")?;
            let event = Recorded { hook, event };
            Ok(played(call(&settings, &rule, event, print)))
        }
        Command::Replay { rule, recording } => {
            let file = File::open(&recording).with_context(|| recording.display().to_string())?;
            Ok(played(replay(&settings, &rule, BufReader::new(file).lines(), print)))
        }
        Command::Record(record) => crate::operator::record_command(sources, &record),
        Command::Docs { write } => {
            for (name, text) in docs() {
                match &write {
                    Some(dir) => save(dir, &name, &text)?,
                    None if name.ends_with(".md") => print!("{text}"),
                    None => {}
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check_all(settings: &Settings) -> ExitCode {
    let checked = check(settings);
    for problem in &checked.problems {
        eprintln!("{problem}");
    }
    let report = test::run(settings);
    // Scripts that are not good have been told of already.
    let failed: Vec<_> = report
        .failed
        .iter()
        .filter(|text| !checked.problems.iter().any(|p| p.to_string() == **text))
        .collect();
    for failure in &failed {
        eprintln!("{failure}");
    }
    if checked.problems.is_empty() && failed.is_empty() {
        let good = count(checked.good.len(), "script");
        println!("{}: {good} good, {} passed", settings.dir.display(), count(report.passed, "test"));
        return ExitCode::SUCCESS;
    }
    let findings = count(checked.problems.len() + failed.len(), "finding");
    eprintln!("gantry: {findings} in {}", settings.dir.display());
    ExitCode::from(crate::cli::EXIT_CONFIG)
}

/// Nobody may be reading any more, as in `gantry script replay … | head`.
fn print(line: String) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn played(outcome: Result<(), Vec<ScriptError>>) -> ExitCode {
    let Err(errors) = outcome else { return ExitCode::SUCCESS };
    for error in errors {
        eprintln!("{error}");
    }
    ExitCode::FAILURE
}

fn save(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(dir.join(name), text))
        .with_context(|| format!("{} cannot be written", dir.join(name).display()))
}
