//! `gantry records`: reads what was recorded, also beside a running gateway.

use crate::config::Sources;
use anyhow::{Context, bail};
use clap::Subcommand;
use gantry_store::{Direction, Query, Reader, Record, Uuid};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::process::ExitCode;

/// How many records are read at once.
const PAGE: usize = 1000;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the newest records of a collection: audit, events, recordings, snapshots …
    Ls {
        /// The collection
        collection: String,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// Print them as JSON, one a line
        #[arg(long)]
        json: bool,
    },
    /// Show one record.
    Show {
        /// The record's id
        id: String,
    },
    /// Print all records of a collection as JSON, one a line, the oldest first.
    Export {
        /// The collection
        collection: String,
    },
    /// Show how much there is of each collection.
    Stats {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Does it.
pub(crate) fn command(sources: &Sources, command: Command) -> anyhow::Result<ExitCode> {
    let merged = sources.load();
    if merged.findings.iter().any(|finding| finding.concerns("state_dir")) {
        crate::check::print(&merged.findings);
        return Ok(ExitCode::from(crate::cli::EXIT_CONFIG));
    }
    let folder = super::folder(&merged.config.state_dir);
    if !folder.exists() {
        let folder = folder.display();
        bail!(
            "there are no records in {folder}: name the gateway's state_dir, by --config or GANTRY_STATE_DIR"
        );
    }
    let reader = Reader::open(&folder)?;
    let mut out = io::stdout().lock();
    let printed = match command {
        Command::Ls { collection, limit, json } => {
            let records = reader.query(&Query { limit, ..Query::collection(collection) })?;
            records
                .iter()
                .try_for_each(|record| if json { whole(&mut out, record) } else { line(&mut out, record) })
        }
        Command::Show { id } => {
            let id: Uuid = id.parse().context("this is no id: take one that `gantry records ls` shows")?;
            let Some(record) = reader.get(id)? else {
                bail!("there is no record {id}: it may have been removed by age or space")
            };
            let text = serde_json::to_string_pretty(&record.to_value()).context("a record is JSON")?;
            writeln!(out, "{text}")
        }
        Command::Export { collection } => export(&reader, &collection, &mut out)?,
        Command::Stats { json } => {
            let stats = reader.stats()?;
            if json {
                writeln!(out, "{}", json!(stats))
            } else {
                stats.collections.iter().try_for_each(|(name, of)| {
                    writeln!(out, "{name:<14} {:>10} records {:>14} bytes", of.count, of.bytes)
                })
            }
        }
    };
    match printed {
        // Nobody reads any more, as in `gantry records export … | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed.context("standard output")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn whole(out: &mut impl Write, record: &Record) -> io::Result<()> {
    writeln!(out, "{}", record.to_value())
}

fn line(out: &mut impl Write, record: &Record) -> io::Result<()> {
    let data: Value = serde_json::from_str(&record.json).unwrap_or_default();
    writeln!(out, "{} {} {data}", record.time_text(), record.id)
}

fn export(reader: &Reader, collection: &str, out: &mut impl Write) -> anyhow::Result<io::Result<()>> {
    let mut query =
        Query { limit: PAGE, direction: Direction::Oldest, ..Query::collection(collection.to_owned()) };
    loop {
        let records = reader.query(&query)?;
        let Some(last) = records.last() else { return Ok(Ok(())) };
        query.after = Some(last.id);
        for record in &records {
            if let Err(error) = whole(out, record) {
                return Ok(Err(error));
            }
        }
    }
}
