//! `gantry faces`: looks at and deletes faces, beside a running gateway or without one.

use super::{COLLECTION, Face, album, by_number};
use crate::config::Sources;
use crate::{operator, records};
use anyhow::{Context, bail};
use clap::Subcommand;
use gantry_core::config::Config;
use gantry_store::{Keep, Query, Reader, Record, Settings, Store};
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the newest faces.
    Ls {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// Print them as JSON, one a line
        #[arg(long)]
        json: bool,
    },
    /// Write the picture of a face to a file.
    Show {
        /// Its number
        id: u64,
        /// The file, which must not exist yet [default: face_ID.jpg here]
        out: Option<PathBuf>,
    },
    /// Delete faces for good: their pictures and what was noted of them.
    Rm {
        /// Their numbers
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<u64>,
        /// Every face
        #[arg(long)]
        all: bool,
    },
}

/// Does it.
pub(crate) fn command(sources: &Sources, command: &Command) -> anyhow::Result<ExitCode> {
    let merged = sources.load();
    if merged.findings.iter().any(|finding| finding.concerns("state_dir")) {
        crate::check::print(&merged.findings);
        return Ok(ExitCode::from(crate::cli::EXIT_CONFIG));
    }
    let state_dir = merged.config.state_dir.clone();
    match command {
        Command::Ls { limit, json } => list(&reader(&state_dir)?, *limit, *json),
        Command::Show { id, out } => show(&reader(&state_dir)?, *id, out.as_deref()),
        Command::Rm { ids, all } => remove(&merged.config, ids, *all),
    }
}

fn reader(state_dir: &Path) -> anyhow::Result<Reader> {
    let folder = records::folder(state_dir);
    if !folder.exists() {
        bail!(
            "there are no records in {}: name the gateway's state_dir, by --config or GANTRY_STATE_DIR",
            folder.display()
        );
    }
    Ok(Reader::open(&folder)?)
}

fn list(reader: &Reader, limit: usize, as_json: bool) -> anyhow::Result<ExitCode> {
    let found = reader.query(&Query { limit, ..Query::collection(COLLECTION) })?;
    let mut out = io::stdout().lock();
    for (record, face) in found.iter().filter_map(|record| Some((record, Face::of(record)?))) {
        let printed = if as_json {
            writeln!(out, "{}", json!(face))
        } else {
            let Face { face_id, camera, width, height, .. } = &face;
            writeln!(out, "{face_id:>8}  {}  {camera}  {width}x{height}", record.time_text())
        };
        match printed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            printed => printed.context("standard output")?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find(reader: &Reader, id: u64) -> anyhow::Result<Record> {
    let found = reader.query(&by_number(id))?.into_iter().next();
    found.with_context(|| format!("there is no face {id}: take a number that `gantry faces ls` shows"))
}

fn show(reader: &Reader, id: u64, out: Option<&Path>) -> anyhow::Result<ExitCode> {
    let record = find(reader, id)?;
    let blob = record.blobs.first().map(|blob| reader.blob(&blob.sha256));
    let Some(Ok(Some(picture))) = blob else {
        bail!("the picture of face {id} is gone: it was removed from the disk")
    };
    let default = PathBuf::from(format!("face_{id}.jpg"));
    let out = out.unwrap_or(&default);
    let written = std::fs::File::create_new(out).and_then(|mut file| file.write_all(&picture));
    written.with_context(|| format!("{} cannot be written: name a new file", out.display()))?;
    println!("{}", out.display());
    Ok(ExitCode::SUCCESS)
}

fn remove(config: &Config, ids: &[u64], all: bool) -> anyhow::Result<ExitCode> {
    let request = if all { json!({ "all": true }) } else { json!({ "face_ids": ids }) };
    let deleted = match operator::call(&config.state_dir, "faces.delete", &request)? {
        Some(answer) => answer["deleted"].as_u64().unwrap_or(0),
        None => remove_alone(&config.state_dir, ids, all)?,
    };
    println!("{} deleted", crate::check::count(usize::try_from(deleted).unwrap_or(usize::MAX), "face"));
    let missed = !all && deleted < ids.len() as u64;
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// No gateway runs: the store is ours, and the lock of the state folder keeps one from starting meanwhile.
fn remove_alone(state_dir: &Path, ids: &[u64], all: bool) -> anyhow::Result<u64> {
    // Without the folder there is nothing to delete, and none is made.
    reader(state_dir)?;
    let _lock = crate::statedir::StateDir::lock(state_dir)?;
    // What else goes, and whether the clock is believed, is the gateway's to say.
    let settings = Settings { keep: Keep::everything(), ..Settings::default() };
    let store = Store::open(&records::folder(state_dir), settings)?;
    let deleted = album::delete(&store, (!all).then_some(ids))?;
    store.close();
    Ok(deleted as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_store::Draft;
    use std::sync::Arc;

    #[test]
    fn deleting_faces_deletes_nothing_else_however_old_the_clock_says_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = records::folder(folder.path());
        let settings = Settings {
            keep: Keep::everything(),
            clock: Arc::new(|| 1_710_000_000_000),
            ..Settings::default()
        };
        let store = Store::open(&path, settings).expect("a store");
        for collection in [COLLECTION, "pictures", "counts"] {
            let draft = Draft { collection: collection.into(), json: "{}".into(), ..Draft::default() };
            store.append_wait(draft).expect("appended");
        }
        store.close();
        assert_eq!(remove_alone(folder.path(), &[], true).expect("removed"), 1);
        let reader = Reader::open(&path).expect("a reader");
        let left = |collection: &str| reader.count(&Query::collection(collection)).expect("counted");
        assert_eq!((left(COLLECTION), left("pictures"), left("counts")), (0, 1, 1));
    }
}
