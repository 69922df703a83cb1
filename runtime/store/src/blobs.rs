//! Blobs as files by content hash.

use crate::{Hash, StoreError};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Cursor, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

/// Blobs of up to this many bytes are in the database: a group of them needs no flush beside the database's own.
/// Larger ones would be written twice there, and would make its check at every start slow.
pub(crate) const INLINE: usize = 16 * 1024;

/// With more than this waiting to be written by all processes, `syncfs` could wait long for what others wrote.
const MAX_DIRTY: u64 = 48 * 1024 * 1024;

/// Threads that sync files when `syncfs` does not.
const SYNCERS: usize = 8;

/// The folder of the blobs.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    root: PathBuf,
    /// Whether `syncfs` tells write errors, which it does since Linux 5.8.
    can_syncfs: bool,
}

impl Blobs {
    /// Makes the folders, all of them at once: so no append has to sync their parent.
    pub(crate) fn open(root: PathBuf) -> Result<Self, StoreError> {
        make_dir(&root)?;
        let mut is_new = false;
        for first in 0..=255_u8 {
            let dir = root.join(format!("{first:02x}"));
            if !dir.is_dir() {
                make_dir(&dir)?;
                is_new = true;
            }
        }
        if is_new {
            sync_dir(&root).map_err(StoreError::io(&root))?;
        }
        let can_syncfs = kernel() >= (5, 8);
        Ok(Self { root, can_syncfs })
    }

    /// The same folder for reading.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root, can_syncfs: false }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, hash: &Hash) -> PathBuf {
        self.root.join(hash.folder()).join(hash.file())
    }

    /// The size of a blob's file, if there is one.
    pub(crate) fn size(&self, hash: &Hash) -> io::Result<Option<u64>> {
        match fs::metadata(self.path(hash)) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn open_file(&self, hash: &Hash) -> io::Result<Option<File>> {
        match File::open(self.path(hash)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has the kernel forget what it holds of a blob in memory, so that pictures which nobody may ever read again push nothing
    /// else out, and the next ones get the same memory. Reading it later is reading from the disk.
    pub(crate) fn forget_pages(&self, hash: &Hash) {
        // It may be gone meanwhile; and what is not forgotten only takes memory that the kernel takes back when it must.
        if let Ok(Some(file)) = self.open_file(hash) {
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        }
    }

    /// Deletes a blob's file. Tells whether it is gone; one that cannot be deleted is found again by the next sweep.
    pub(crate) fn remove(&self, hash: &Hash) -> bool {
        let path = self.path(hash);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "cannot delete a blob that nothing refers to");
                false
            }
            _ => true,
        }
    }

    /// Deletes files, as many of them as it can, and returns when that is on the disk.
    pub(crate) fn remove_now(&self, hashes: &[Hash]) -> Result<(), StoreError> {
        let (mut folders, mut result) = (BTreeSet::new(), Ok(()));
        for path in hashes.iter().map(|hash| self.path(hash)) {
            folders.extend(path.parent().map(Path::to_owned));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    result = result.and(Err(StoreError::io(&path)(error)));
                }
                _ => {}
            }
        }
        let folders: Vec<PathBuf> = folders.into_iter().collect();
        sync_all(&folders).map_err(StoreError::io(&self.root)).and(result)
    }

    /// The blobs in one of the 256 folders; files that are none are left alone.
    pub(crate) fn list(&self, folder: u8) -> io::Result<Vec<Hash>> {
        let name = format!("{folder:02x}");
        let mut hashes = Vec::new();
        for entry in fs::read_dir(self.root.join(&name))? {
            let file = entry?.file_name();
            hashes.extend(file.to_str().and_then(|rest| Hash::from_str(&format!("{name}{rest}")).ok()));
        }
        Ok(hashes)
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { blobs: self, written: Vec::new(), folders: BTreeSet::new() }
    }
}

/// The new files of one group: written one by one, made durable together.
pub(crate) struct Batch<'a> {
    blobs: &'a Blobs,
    /// What was written, and whether a row refers to it already (its file was damaged).
    written: Vec<(Hash, bool)>,
    folders: BTreeSet<PathBuf>,
}

impl Batch<'_> {
    pub(crate) fn has(&self, hash: &Hash) -> bool {
        self.written.iter().any(|(h, _)| h == hash)
    }

    /// Writes a file. On an error nothing is left of it.
    pub(crate) fn write(&mut self, hash: Hash, bytes: &[u8], has_row: bool) -> io::Result<()> {
        let path = self.blobs.path(&hash);
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(&path)
            .and_then(|mut file| file.write_all(bytes));
        if let Err(error) = written {
            self.blobs.remove(&hash);
            return Err(error);
        }
        self.written.push((hash, has_row));
        self.folders.extend(path.parent().map(Path::to_owned));
        Ok(())
    }

    /// What was written.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = Hash> {
        self.written.iter().map(|(hash, _)| *hash)
    }

    /// Returns when all files are on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if self.blobs.can_syncfs && self.written.len() > 1 && dirty() <= MAX_DIRTY {
            return Ok(rustix::fs::syncfs(File::open(&self.blobs.root)?)?);
        }
        let mut paths: Vec<PathBuf> = self.written.iter().map(|(hash, _)| self.blobs.path(hash)).collect();
        paths.extend(self.folders.iter().cloned());
        sync_all(&paths)
    }

    /// Deletes the files that no record got.
    pub(crate) fn discard_unused(self, used: &BTreeSet<Hash>) {
        for (hash, has_row) in &self.written {
            if !has_row && !used.contains(hash) {
                self.blobs.remove(hash);
            }
        }
    }
}

pub(crate) fn make_dir(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o750).create(path).map_err(StoreError::io(path))
}

pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Bytes of all files that wait to be written.
fn dirty() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        info.lines().find_map(|line| line.strip_prefix("Dirty:")?.trim().strip_suffix(" kB")?.parse().ok());
    kib.map_or(u64::MAX, |kib: u64| kib * 1024)
}

/// Syncs files and folders, many of them at once: the file system then joins some of their flushes. A descriptor that is
/// opened now still gets the errors of writing before.
fn sync_all(paths: &[PathBuf]) -> io::Result<()> {
    let sync = |some: &[PathBuf]| some.iter().try_for_each(|path| File::open(path)?.sync_all());
    if paths.len() <= 2 {
        return sync(paths);
    }
    thread::scope(|scope| {
        let chunks = paths.chunks(paths.len().div_ceil(SYNCERS));
        let spawn =
            |some| thread::Builder::new().name("records-sync".into()).spawn_scoped(scope, move || sync(some));
        let workers = chunks.map(spawn).collect::<io::Result<Vec<_>>>()?;
        let join = |worker: thread::ScopedJoinHandle<'_, io::Result<()>>| {
            worker.join().unwrap_or_else(|_| Err(io::Error::other("syncing panicked")))
        };
        workers.into_iter().try_for_each(join)
    })
}

fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[derive(Debug)]
enum Source {
    Memory(Cursor<Bytes>),
    File(File),
}

/// Reads one blob from its beginning to its end, and ends in an error of kind `InvalidData` when the bytes were not
/// those that were stored. A blob that is deleted meanwhile is still read to its end.
#[derive(Debug)]
pub struct BlobReader {
    source: Source,
    hash: Hash,
    len: u64,
    read: u64,
    hasher: Option<Sha256>,
}

impl BlobReader {
    pub(crate) fn memory(hash: Hash, bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self { source: Source::Memory(Cursor::new(bytes)), hash, len, read: 0, hasher: Some(Sha256::new()) }
    }

    pub(crate) fn file(hash: Hash, file: File, len: u64) -> Self {
        Self { source: Source::File(file), hash, len, read: 0, hasher: Some(Sha256::new()) }
    }

    /// The size in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let n = match &mut self.source {
            Source::Memory(bytes) => bytes.read(buffer)?,
            Source::File(file) => file.read(buffer)?,
        };
        self.read += n as u64;
        if n > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..n]);
            }
            if self.read > self.len {
                return Err(damaged(&self.hash, &format!("it is longer than {} bytes", self.len)));
            }
        } else if self.read < self.len {
            return Err(damaged(&self.hash, &format!("{} of {} bytes are there", self.read, self.len)));
        } else if let Some(hasher) = self.hasher.take()
            && Hash::finish(hasher) != self.hash
        {
            return Err(damaged(&self.hash, "its content changed"));
        }
        Ok(n)
    }
}

fn damaged(hash: &Hash, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, StoreError::Damaged { hash: *hash, what: what.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_sync_leave_the_same_files_and_what_nobody_used_goes() {
        for can_syncfs in [true, false] {
            for count in [1_u8, 3] {
                let dir = tempfile::tempdir().unwrap();
                let blobs = Blobs { can_syncfs, ..Blobs::open(dir.path().join("blobs")).unwrap() };
                let mut batch = blobs.batch();
                let hashes: Vec<Hash> = (0..count).map(|n| Hash::of(&[n])).collect();
                for (n, hash) in hashes.iter().enumerate() {
                    batch.write(*hash, &[n as u8], false).unwrap();
                }
                batch.sync().unwrap();
                batch.discard_unused(&BTreeSet::from([hashes[0]]));
                assert_eq!(fs::read(blobs.path(&hashes[0])).unwrap(), [0]);
                assert!(hashes[1..].iter().all(|h| blobs.size(h).unwrap().is_none()));
            }
        }
    }

    #[test]
    fn a_blob_that_changed_on_the_disk_is_read_with_an_error_at_its_end() {
        let hash = Hash::of(b"plate");
        let read = |bytes: &'static [u8]| {
            let mut reader = BlobReader::memory(hash, Bytes::from_static(bytes));
            reader.len = 5;
            reader.read_to_end(&mut Vec::new()).map_err(|e| e.to_string())
        };
        assert_eq!(read(b"plate"), Ok(5));
        assert!(read(b"plaXe").unwrap_err().contains("its content changed"));
        assert!(read(b"pla").unwrap_err().contains("3 of 5 bytes are there"));
        assert!(read(b"plates").unwrap_err().contains("longer than 5"));
    }
}
