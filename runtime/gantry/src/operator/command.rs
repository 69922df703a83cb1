//! `gantry call` and `gantry record`.

use super::client::{call, connect};
use crate::config::Sources;
use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(crate) struct Recording {
    /// Which events: on_count, on_tick, … [default: all]
    #[arg(long, value_name = "HOOK", value_delimiter = ',')]
    hooks: Vec<String>,
    /// How long, such as 10m; without it until Ctrl-C
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<String>,
    /// The file to write, which must not exist yet; `-` is standard output
    #[arg(default_value = "-")]
    out: PathBuf,
}

fn nobody(state_dir: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "no gateway runs with state_dir {}: start one with `gantry run`, or name its --config",
        state_dir.display()
    )
}

/// Asks a service of the running gateway and prints its answer.
pub(crate) fn call_command(sources: &Sources, service: &str, request: &str) -> anyhow::Result<ExitCode> {
    let mut text = request.to_owned();
    if text == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text).context("standard input is not text")?;
    }
    let request: Value =
        serde_json::from_str(&text).context("the request is not JSON: write it as {\"key\": value}")?;
    let state_dir = sources.load().config.state_dir;
    let answer = call(&state_dir, service, &request)?.ok_or_else(|| nobody(&state_dir))?;
    match writeln!(std::io::stdout(), "{answer:#}") {
        // Nobody reads any more, as in `gantry call … | head`.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes down what rules are told, as `gantry script replay` plays it.
pub(crate) fn record_command(sources: &Sources, record: &Recording) -> anyhow::Result<ExitCode> {
    for hook in &record.hooks {
        let known = gantry_script::HOOKS.map(|hook| hook.name);
        if !known.contains(&hook.as_str()) {
            bail!("there is no hook `{hook}`: it is one of {}", known.join(", "));
        }
    }
    let duration = record.duration.as_deref().map(|text| {
        let parsed: Result<jiff::SignedDuration, _> = text.parse();
        let length = parsed.ok().and_then(|length| Duration::try_from(length).ok());
        length.with_context(|| format!("`{text}` is no time: write it as 30s, 10m or 2h"))
    });
    let until = duration.transpose()?.map(|length| Instant::now() + length);
    let state_dir = sources.load().config.state_dir;
    let mut stream = connect(&state_dir)?.ok_or_else(|| nobody(&state_dir))?;
    let mut out: Box<dyn Write> = if record.out.as_os_str() == "-" {
        Box::new(std::io::stdout().lock())
    } else {
        let shown = record.out.display().to_string();
        let file = OpenOptions::new().write(true).create_new(true).open(&record.out);
        Box::new(BufWriter::new(file.with_context(|| format!("{shown} cannot be made: name a new file"))?))
    };
    stream.write_all(format!("{}\n", json!({ "record": record.hooks })).as_bytes())?;
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    loop {
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            lines.get_ref().set_read_timeout(Some(left))?;
        }
        match lines.read_line(&mut line) {
            Ok(0) => break,
            // What came of the line so far stays, and the time is over.
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                break;
            }
            Err(error) => return Err(error).context("the gateway cannot be heard any more"),
            Ok(_) => {}
        }
        if let Some(error) =
            serde_json::from_str::<Value>(&line).ok().and_then(|v| v["error"].as_str().map(str::to_owned))
        {
            out.flush()?;
            bail!("{error}");
        }
        // Each line at once: who stops it with Ctrl-C has everything until then.
        let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            written => written.context("the recording cannot be written: make room, or name another file")?,
        }
        line.clear();
    }
    Ok(ExitCode::SUCCESS)
}
