//! Small files of the state folder that are replaced as a whole, so that a power cut leaves the one before or the one after.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Content<T> {
    version: u32,
    content: T,
}

/// One file `NAME.json`.
pub(crate) struct StateFile<T> {
    dir: PathBuf,
    name: &'static str,
    content: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> StateFile<T> {
    /// The file of that name in `dir`, and what it holds. One that cannot be understood is set aside and told about:
    /// `instead` says what holds then.
    pub(crate) fn open(dir: &Path, name: &'static str, instead: &str) -> (Self, Option<T>) {
        let file = Self { dir: dir.to_owned(), name, content: PhantomData };
        let path = file.path();
        let content = match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<Content<T>>(&bytes) {
                Ok(read) if read.version == VERSION => Some(read.content),
                broken => {
                    let why =
                        broken.map_or_else(|e| e.to_string(), |c| format!("its version is {}", c.version));
                    let aside = dir.join(format!("{name}.json.broken"));
                    // If it cannot be moved, the next save replaces it.
                    let _ = std::fs::rename(&path, &aside);
                    tracing::error!(
                        file = %aside.display(), why,
                        "{name}.json cannot be read: {instead}; look at the file set aside"
                    );
                    None
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "cannot be read: {instead}; check its rights");
                None
            }
        };
        (file, content)
    }

    fn path(&self) -> PathBuf {
        self.dir.join(format!("{}.json", self.name))
    }

    /// Replaces what it holds; on the disk when this returns.
    pub(crate) fn save(&self, content: &T) -> std::io::Result<()> {
        let fresh = self.dir.join(format!("{}.json.new", self.name));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
        let mut text = serde_json::to_vec(&Content { version: VERSION, content })?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&fresh, self.path())?;
        File::open(&self.dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> (StateFile<Vec<i32>>, Option<Vec<i32>>) {
        StateFile::open(dir, "state", "nothing holds")
    }

    #[test]
    fn what_is_saved_is_there_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, before) = open(folder.path());
        assert_eq!(before, None);
        file.save(&vec![75]).expect("saved");
        file.save(&vec![80]).expect("saved");
        assert_eq!(open(folder.path()).1, Some(vec![80]));
        // A save that a power cut ended half-way is of no consequence.
        std::fs::write(folder.path().join("state.json.new"), "{\"vers").expect("written");
        assert_eq!(open(folder.path()).1, Some(vec![80]));
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_set_aside() {
        for text in ["{", "[]", r#"{"version":2,"content":[]}"#, r#"{"version":1,"content":{}}"#] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("state.json"), text).expect("written");
            let (file, before) = open(folder.path());
            assert_eq!(before, None, "{text}");
            let aside = std::fs::read_to_string(folder.path().join("state.json.broken")).expect("set aside");
            assert_eq!(aside, text);
            file.save(&vec![1]).expect("saved");
        }
    }
}
