//! The state folder: made, locked against a second gateway, and with the note of how to reach this one.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folder, as long as this process has it. The lock ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// How a running gateway is reached: `run.json` in its state folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// The process.
    pub(crate) pid: u32,
    /// The address of the admin listener.
    pub(crate) admin: SocketAddr,
    /// The version of the gateway.
    pub(crate) version: String,
}

const NOTE: &str = "run.json";

impl StateDir {
    /// Makes the folder if it is missing, readable by its owner and group only, and locks it.
    pub(crate) fn lock(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        DirBuilder::new().recursive(true).mode(0o750).create(path).with_context(|| {
            format!(
                "state_dir {shown} cannot be made: name another in the configuration or by GANTRY_STATE_DIR"
            )
        })?;
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(&file)
            .with_context(|| {
                format!("state_dir {shown} is not writable: give its user the right to, or name another")
            })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                lock.read_to_string(&mut pid).unwrap_or_default();
                let pid = pid.trim();
                let who = if pid.is_empty() { String::new() } else { format!(" (pid {pid})") };
                bail!(
                    "state_dir {shown} is used by another gateway{who}: stop it, or give this one its own GANTRY_STATE_DIR"
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).context(format!("{} cannot be locked", file.display()));
            }
        }
        // Both in place: on a full disk there is no room for them but their own. Without them it runs all the same.
        let _ = replace(&mut lock, &format!("{}\n", std::process::id()));
        // What a gateway left behind that did not end by itself.
        if let Ok(mut note) = OpenOptions::new().write(true).open(path.join(NOTE)) {
            let _ = replace(&mut note, "\n");
        }
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    /// Writes the note, so that nobody ever reads half of it; on a full disk, in the place of the one before.
    pub(crate) fn announce(&self, admin: SocketAddr) -> anyhow::Result<()> {
        let running =
            Running { pid: std::process::id(), admin, version: env!("CARGO_PKG_VERSION").to_owned() };
        let (note, fresh) = (self.path.join(NOTE), self.path.join("run.json.new"));
        let text = serde_json::to_string(&running).context("a note is plain data")? + "\n";
        let written = std::fs::write(&fresh, &text).and_then(|()| std::fs::rename(&fresh, &note));
        let in_place = |error: std::io::Error| {
            let _ = std::fs::remove_file(&fresh);
            let kept =
                OpenOptions::new().write(true).open(&note).and_then(|mut note| replace(&mut note, &text));
            kept.map_err(|_| error)
        };
        written.or_else(in_place).with_context(|| format!("{} cannot be written", note.display()))
    }

    /// Removes the note at a clean end.
    pub(crate) fn withdraw(&self) {
        let _ = std::fs::remove_file(self.path.join(NOTE));
    }
}

/// Writes over what a file holds, in the room that it has.
fn replace(file: &mut File, text: &str) -> std::io::Result<()> {
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

impl Running {
    /// Reads the note of the gateway that uses a folder; `None` when there is none.
    pub(crate) fn read(state_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(state_dir.join(NOTE)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gateways_cannot_share_a_folder_and_the_second_is_told_who_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/var");
        let first = StateDir::lock(&path).expect("locked");
        let error = StateDir::lock(&path).expect_err("in use").to_string();
        assert!(error.contains(&format!("used by another gateway (pid {})", std::process::id())), "{error}");
        drop(first);
        StateDir::lock(&path).expect("free again");
    }

    #[test]
    fn the_note_is_there_while_the_gateway_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateDir::lock(folder.path()).expect("locked");
        assert_eq!(Running::read(folder.path()), None);
        let admin: SocketAddr = "127.0.0.1:9601".parse().expect("an address");
        state.announce(admin).expect("written");
        assert_eq!(Running::read(folder.path()).expect("a note").admin, admin);
        state.withdraw();
        assert_eq!(Running::read(folder.path()), None);
    }
}
