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
/// The note while it is written, and between two runs.
const SPARE: &str = "run.json.new";

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

    /// Writes the note, so that nobody ever reads half of it; on a full disk, in the room of the one before.
    pub(crate) fn announce(&self, admin: SocketAddr) -> anyhow::Result<()> {
        let running =
            Running { pid: std::process::id(), admin, version: env!("CARGO_PKG_VERSION").to_owned() };
        let (note, fresh) = (self.path.join(NOTE), self.path.join(SPARE));
        let text = serde_json::to_string(&running).context("a note is plain data")? + "\n";
        let open = |path, is_new| OpenOptions::new().write(true).create(is_new).truncate(false).open(path);
        let written = open(&fresh, true).and_then(|mut file| replace(&mut file, &text));
        let written = written.and_then(|()| std::fs::rename(&fresh, &note));
        let in_place = |error: std::io::Error| {
            let _ = std::fs::remove_file(&fresh);
            open(&note, false).and_then(|mut note| replace(&mut note, &text)).map_err(|_| error)
        };
        written.or_else(in_place).with_context(|| format!("{} cannot be written", note.display()))
    }

    /// Removes the note at a clean end, and keeps its room for the next one: then the disk may be full.
    pub(crate) fn withdraw(&self) {
        let note = self.path.join(NOTE);
        if std::fs::rename(&note, self.path.join(SPARE)).is_err() {
            let _ = std::fs::remove_file(note);
        }
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
        assert!(!folder.path().join(NOTE).exists());
    }

    #[test]
    fn the_room_of_a_note_that_was_withdrawn_is_the_next_one_s() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().expect("a folder");
        let inode = || std::fs::metadata(folder.path().join(NOTE)).expect("a note").ino();
        let state = StateDir::lock(folder.path()).expect("locked");
        state.announce("127.0.0.1:9601".parse().expect("an address")).expect("written");
        let first = inode();
        state.withdraw();
        let admin: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        state.announce(admin).expect("written");
        assert_eq!((inode(), Running::read(folder.path()).expect("a note").admin), (first, admin));
    }
}
