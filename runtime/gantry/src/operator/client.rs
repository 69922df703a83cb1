//! The other side of the door: asks the gateway that runs with a state folder.

use super::{PATIENCE, short};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The gateway gives up first, and says why.
const LONGER: Duration = PATIENCE.saturating_add(Duration::from_secs(5));

/// A connection, or `None` when no gateway runs with this folder.
pub(super) fn connect(state_dir: &Path) -> anyhow::Result<Option<UnixStream>> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    let stream = match File::open(state_dir) {
        Ok(dir) => UnixStream::connect(short(&dir)),
        Err(error) => Err(error),
    };
    match stream {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => Ok(None),
        Err(error) => Err(error).context(format!(
            "the gateway of {} cannot be asked: do it as the user that runs it",
            state_dir.display()
        )),
    }
}

/// Asks a service; `None` when no gateway runs with this folder.
pub(crate) fn call(state_dir: &Path, service: &str, request: &Value) -> anyhow::Result<Option<Value>> {
    let Some(mut stream) = connect(state_dir)? else { return Ok(None) };
    stream.set_read_timeout(Some(LONGER))?;
    stream.write_all(format!("{}\n", json!({ "call": service, "request": request })).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).context("the gateway does not answer: look at its log")?;
    let mut answer: Value = serde_json::from_str(&line).context("the gateway ended before it answered")?;
    if let Some(error) = answer["error"].as_str() {
        bail!("{error}");
    }
    Ok(Some(answer["reply"].take()))
}
