//! What outlives a restart of the state: one small file, replaced as a whole, so that a power cut leaves the one before or
//! the one after.

use gantry_control::Kept;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FILE: &str = "state.json";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    observables: BTreeMap<String, Kept>,
}

/// The file, and what it holds.
pub(crate) struct KeptState {
    dir: PathBuf,
    saved: BTreeMap<String, Kept>,
}

impl KeptState {
    /// Reads the file. One that cannot be understood is set aside and told about, and the configured values hold.
    pub(crate) fn open(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let saved = match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<Content>(&bytes) {
                Ok(content) if content.version == VERSION => content.observables,
                broken => {
                    let why =
                        broken.map_or_else(|e| e.to_string(), |c| format!("its version is {}", c.version));
                    let aside = dir.join("state.json.broken");
                    // If it cannot be moved, the next save replaces it.
                    let _ = std::fs::rename(&path, &aside);
                    tracing::error!(
                        file = %aside.display(), why,
                        "the kept state cannot be read: the configured values hold; look at the file set aside"
                    );
                    BTreeMap::new()
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "the kept state cannot be read: check its rights");
                BTreeMap::new()
            }
        };
        Self { dir: dir.to_owned(), saved }
    }

    /// What was saved last.
    pub(crate) fn saved(&self) -> &BTreeMap<String, Kept> {
        &self.saved
    }

    /// Saves, if anything is other than before.
    pub(crate) fn save(&mut self, now: BTreeMap<String, Kept>) -> std::io::Result<()> {
        // Nothing is declared yet at the very start.
        if now == self.saved || now.is_empty() {
            return Ok(());
        }
        let content = Content { version: VERSION, observables: now };
        let (path, fresh) = (self.dir.join(FILE), self.dir.join("state.json.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
        serde_json::to_writer(&mut file, &content)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)?;
        File::open(&self.dir)?.sync_all()?;
        self.saved = content.observables;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(value: i32) -> BTreeMap<String, Kept> {
        BTreeMap::from([("brightness".to_owned(), Kept { value: json!(value), first: json!(50) })])
    }

    #[test]
    fn what_is_saved_is_there_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut kept = KeptState::open(folder.path());
        assert!(kept.saved().is_empty());
        kept.save(values(75)).expect("saved");
        kept.save(values(80)).expect("saved");
        assert_eq!(KeptState::open(folder.path()).saved(), &values(80));
        // A save that a power cut ended half-way is of no consequence.
        std::fs::write(folder.path().join("state.json.new"), "{\"vers").expect("written");
        assert_eq!(KeptState::open(folder.path()).saved(), &values(80));
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_set_aside() {
        for text in ["{", "[]", r#"{"version":2,"observables":{}}"#] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join(FILE), text).expect("written");
            let mut kept = KeptState::open(folder.path());
            assert!(kept.saved().is_empty(), "{text}");
            let aside = std::fs::read_to_string(folder.path().join("state.json.broken")).expect("set aside");
            assert_eq!(aside, text);
            kept.save(values(1)).expect("saved");
        }
    }
}
