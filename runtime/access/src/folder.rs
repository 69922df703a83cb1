//! The folder of this crate's files: nobody else can read it, and no crash leaves half a file.

use crate::AccessError;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};

/// What anybody but the owner could write with.
const OTHERS_WRITE: u32 = 0o022;

/// The folder; it exists.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// What tells one version of a file from the next without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    inode: u64,
    mode: u32,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Held while the users are edited.
pub(crate) struct Edit(#[expect(dead_code, reason = "open is what it has to be")] File);

impl Folder {
    /// Opens `access` in the state folder, and makes both when they are missing.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, AccessError> {
        let path = state_dir.join("access");
        fs::create_dir_all(state_dir).map_err(AccessError::io(state_dir, "make it"))?;
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {
                // Whoever made it for the gateway as root leaves it to the gateway.
                let (ours, parent) = (stat(&path)?, stat(state_dir)?);
                if ours.uid() != parent.uid() {
                    chown(&path, Some(parent.uid()), Some(parent.gid()))
                        .map_err(AccessError::io(&path, "give it to the owner of the state folder"))?;
                }
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => {
                let mode = stat(&path)?.mode();
                if mode & OTHERS_WRITE != 0 {
                    return Err(AccessError::Writable { path, mode: 0o700 });
                }
                if mode & 0o077 != 0 {
                    fs::set_permissions(&path, Permissions::from_mode(0o700))
                        .map_err(AccessError::io(&path, "make it private"))?;
                }
            }
            Err(e) => return Err(AccessError::io(&path, "make it")(e)),
        }
        Ok(Self { path })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What is in a file, or `None` when there is no such file. One that others can write, or that has more than `max`
    /// bytes, is refused.
    pub(crate) fn read(&self, name: &str, max: u64) -> Result<Option<String>, AccessError> {
        let path = self.file(name);
        let failed = |e| AccessError::io(&path, "read it")(e);
        // Looked at first: opening a pipe would wait for ever.
        match fs::metadata(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
            Ok(found) if !found.is_file() => {
                return Err(AccessError::Corrupt { path, reason: "this is no file".to_owned() });
            }
            Ok(_) => {}
        }
        let file = File::open(&path).map_err(failed)?;
        if file.metadata().map_err(failed)?.mode() & OTHERS_WRITE != 0 {
            return Err(AccessError::Writable { path, mode: 0o600 });
        }
        let mut bytes = Vec::new();
        file.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
        let corrupt = |reason: String| AccessError::Corrupt { path: path.clone(), reason };
        if bytes.len() as u64 > max {
            return Err(corrupt(format!("it has more than {max} bytes")));
        }
        String::from_utf8(bytes).map(Some).map_err(|_| corrupt("it is not text".to_owned()))
    }

    /// Replaces a file: after a crash there is the old one or the new one. On return it is on the disk.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), AccessError> {
        let (path, new) = (self.file(name), self.file(&format!("{name}.new")));
        match fs::remove_file(&new) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(AccessError::io(&new, "remove it")(e)),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(AccessError::io(&new, "make it"))?;
        self.give_to_owner(&file, &new)?;
        file.write_all(content).and_then(|()| file.sync_all()).map_err(AccessError::io(&new, "write it"))?;
        fs::rename(&new, &path).map_err(AccessError::io(&path, "replace it"))?;
        let folder = File::open(&self.path).map_err(AccessError::io(&self.path, "open it"))?;
        folder.sync_all().map_err(AccessError::io(&self.path, "write it to the disk"))
    }

    /// The version of a file; `None` when it cannot be seen.
    pub(crate) fn mark(&self, name: &str) -> Option<Mark> {
        let found = fs::metadata(self.file(name)).ok()?;
        Some(Mark {
            inode: found.ino(),
            mode: found.mode(),
            len: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// Waits until no other process edits.
    pub(crate) fn edit(&self) -> Result<Edit, AccessError> {
        let (file, path) = self.lock_file()?;
        file.lock().map_err(AccessError::io(&path, "lock it"))?;
        Ok(Edit(file))
    }

    /// The same without waiting.
    pub(crate) fn try_edit(&self) -> Result<Option<Edit>, AccessError> {
        let (file, path) = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Edit(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(AccessError::io(&path, "lock it")(e)),
        }
    }

    fn lock_file(&self) -> Result<(File, PathBuf), AccessError> {
        let path = self.file("users.lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(AccessError::io(&path, "open it"))?;
        self.give_to_owner(&file, &path)?;
        Ok((file, path))
    }

    /// A file that root made belongs to whom the folder belongs to: otherwise `sudo gantry user add` would lock the
    /// gateway out.
    fn give_to_owner(&self, file: &File, path: &Path) -> Result<(), AccessError> {
        let owner = stat(&self.path)?;
        let failed = |e| AccessError::io(path, "give it to the owner of its folder")(e);
        if file.metadata().map_err(failed)?.uid() != owner.uid() {
            fchown(file, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
        }
        Ok(())
    }
}

fn stat(path: &Path) -> Result<fs::Metadata, AccessError> {
    fs::metadata(path).map_err(AccessError::io(path, "look at it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn the_folder_and_its_files_are_private_and_nothing_is_left_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("state")).unwrap();
        folder.write("users.json", b"one").unwrap();
        folder.write("users.json", b"two").unwrap();
        drop(folder.edit().unwrap());
        let path = dir.path().join("state/access");
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("users.json")), 0o600);
        assert_eq!(mode(&path.join("users.lock")), 0o600);
        assert_eq!(folder.read("users.json", 3).unwrap().unwrap(), "two");
        let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["users.json", "users.lock"]);
    }

    #[test]
    fn what_a_crash_left_half_written_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        fs::write(folder.file("users.json.new"), "half and much longer").unwrap();
        assert!(folder.read("users.json", 100).unwrap().is_none());
        folder.write("users.json", b"whole").unwrap();
        assert_eq!(folder.read("users.json", 100).unwrap().unwrap(), "whole");
        assert_eq!(mode(&folder.file("users.json")), 0o600, "and not what the half one had");
    }

    #[test]
    fn an_open_folder_is_made_private_and_one_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Folder::open(dir.path()).unwrap();
        let path = dir.path().join("access");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Folder::open(dir.path()).unwrap();
        assert_eq!(mode(&path), 0o700);
        fs::set_permissions(&path, Permissions::from_mode(0o770)).unwrap();
        let error = Folder::open(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with(&format!("run `chmod 700 {}`", path.display())), "{error}");
    }

    #[test]
    fn a_file_that_others_can_write_is_refused_with_the_command_that_helps() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        folder.write("users.json", b"{}").unwrap();
        let path = folder.file("users.json");
        for bad in [0o620, 0o602] {
            fs::set_permissions(&path, Permissions::from_mode(bad)).unwrap();
            let error = folder.read("users.json", 100).unwrap_err().to_string();
            assert!(error.contains(&format!("run `chmod 600 {}`", path.display())), "{error}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(folder.read("users.json", 100).is_ok());
    }

    #[test]
    fn what_is_no_file_or_too_large_or_no_text_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        fs::create_dir(folder.file("a")).unwrap();
        folder.write("b", b"12345").unwrap();
        folder.write("c", b"\xff").unwrap();
        for (name, part) in
            [("a", "a: this is no file"), ("b", "b: it has more than 4"), ("c", "c: it is not text")]
        {
            let error = folder.read(name, 4).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(folder.read("d", 4).unwrap().is_none());
    }

    #[test]
    fn only_one_edits_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (Folder::open(dir.path()).unwrap(), Folder::open(dir.path()).unwrap());
        let edit = one.edit().unwrap();
        assert!(other.try_edit().unwrap().is_none());
        drop(edit);
        assert!(other.try_edit().unwrap().is_some());
    }

    #[test]
    fn what_root_makes_belongs_to_the_owner_of_the_state_folder() {
        let dir = tempfile::tempdir().unwrap();
        if chown(dir.path(), Some(12_345), Some(12_346)).is_err() {
            return; // Only root can be root.
        }
        let folder = Folder::open(dir.path()).unwrap();
        folder.write("users.json", b"{}").unwrap();
        drop(folder.edit().unwrap());
        for path in [folder.path.clone(), folder.file("users.json"), folder.file("users.lock")] {
            let found = fs::metadata(&path).unwrap();
            assert_eq!((found.uid(), found.gid()), (12_345, 12_346), "{}", path.display());
        }
    }

    #[test]
    fn a_file_in_the_way_of_the_folder_is_said() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("access"), "").unwrap();
        let error = Folder::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("move the file away"), "{error}");
    }
}
