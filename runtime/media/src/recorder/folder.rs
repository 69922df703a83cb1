//! Where files of pictures go: their names, the room on the disk, and which of them have to leave.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Says how many bytes are free for us on the disk of a folder.
pub type FreeSpace = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// A file that was removed because there are limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub why: RemovedWhy,
}

/// Why a file was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovedWhy {
    /// It was older than `max_age`.
    Age,
    /// All files together had more than `max_bytes`, and it was the oldest.
    Quota,
}

/// What the file system says.
pub(crate) fn free_space() -> FreeSpace {
    Arc::new(|path| {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    })
}

/// A folder with a folder for each camera.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
    /// `mkv` or `jpg`.
    pub(crate) extension: &'static str,
}

/// How much of a folder is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    pub(crate) max_age: Duration,
}

impl Folder {
    /// Makes the folder of a camera.
    pub(crate) fn of(&self, camera: &str) -> io::Result<PathBuf> {
        let dir = self.dir.join(camera);
        DirBuilder::new().recursive(true).mode(0o750).create(&dir)?;
        Ok(dir)
    }

    /// A new name for something of this time, `CAMERA-20261121T041500.123Z.mkv`, or with `-1` and so on.
    pub(crate) fn names(&self, camera: &str, unix_ns: u64) -> impl Iterator<Item = PathBuf> {
        let stem = format!("{camera}-{}", stamp(unix_ns));
        let (dir, extension) = (self.dir.join(camera), self.extension);
        (0..1000).map(move |n| match n {
            0 => dir.join(format!("{stem}.{extension}")),
            n => dir.join(format!("{stem}-{n}.{extension}")),
        })
    }

    /// All files by age, the oldest first; only those that were named here.
    pub(crate) fn files(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let cameras = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(entries),
            other => other?,
        };
        for camera in cameras {
            let camera = camera?;
            if !camera.file_type()?.is_dir() {
                continue;
            }
            let prefix = format!("{}-", camera.file_name().to_string_lossy());
            for file in std::fs::read_dir(camera.path())? {
                let file = file?;
                let name = file.file_name();
                let name = name.to_string_lossy();
                let is_ours = name.strip_prefix(&prefix).is_some_and(|rest| {
                    rest.starts_with(|c: char| c.is_ascii_digit())
                        && rest.rsplit_once('.').is_some_and(|(_, e)| e == self.extension)
                });
                // What another has removed meanwhile is no problem.
                if let (true, Ok(meta)) = (is_ours, file.metadata())
                    && meta.is_file()
                {
                    let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    entries.push(Entry { path: file.path(), bytes: meta.len(), modified });
                }
            }
        }
        entries.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
        Ok(entries)
    }

    /// Removes what is too old or too much, the oldest first, and never what is `open`.
    pub(crate) fn keep_to(&self, limits: Limits, open: &HashSet<PathBuf>, now: SystemTime) -> Vec<Removed> {
        let entries = match self.files() {
            Ok(entries) => entries,
            Err(error) => {
                let dir = self.dir.display();
                tracing::warn!(%dir, %error, "the files cannot be looked through, and none is removed");
                return Vec::new();
            }
        };
        let mut bytes: u64 = entries.iter().map(|e| e.bytes).sum();
        let mut removed = Vec::new();
        for entry in entries.into_iter().filter(|e| !open.contains(&e.path)) {
            let age = now.duration_since(entry.modified).unwrap_or_default();
            let why = if age > limits.max_age {
                RemovedWhy::Age
            } else if bytes > limits.max_bytes {
                RemovedWhy::Quota
            } else {
                continue;
            };
            match std::fs::remove_file(&entry.path) {
                Ok(()) => {
                    bytes = bytes.saturating_sub(entry.bytes);
                    removed.push(Removed { file: entry.path, why });
                }
                Err(error) => {
                    let file = entry.path.display();
                    tracing::warn!(%file, %error, "the file should go, and cannot be removed");
                }
            }
        }
        removed
    }
}

/// A file of a [`Folder`].
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

/// Creates a file that was not there, readable for the gateway's group.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(path)
}

/// Brings a name to the disk, so that a power cut does not take a file that is whole.
pub(crate) fn sync_dir(path: &Path) {
    if let Some(dir) = path.parent()
        && let Err(error) = File::open(dir).and_then(|dir| dir.sync_all())
    {
        tracing::debug!(dir = %dir.display(), %error, "the folder is not synchronised");
    }
}

/// A time as it stands in file names: `20261121T041500.123Z`.
pub(crate) fn stamp(unix_ns: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(unix_ns)).unwrap_or_default();
    format!("{}.{:03}Z", time.strftime("%Y%m%dT%H%M%S"), time.subsec_millisecond())
}

/// Whether a camera's name can be a folder: the rule of the configuration, seen to once more where it matters.
pub(crate) fn is_safe(camera: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !camera.is_empty() && camera.len() <= 64 && camera.chars().all(good)
}

/// A number of bytes for people.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder { dir: dir.path().join("recordings"), extension: "mkv" };
        (dir, folder)
    }

    fn put(folder: &Folder, name: &str, bytes: usize, age: u64, now: SystemTime) -> PathBuf {
        let path = folder.of("main").expect("made").join(name);
        std::fs::write(&path, vec![0; bytes]).expect("written");
        let file = File::options().write(true).open(&path).expect("opened");
        file.set_modified(now - Duration::from_secs(age)).expect("set");
        path
    }

    #[test]
    fn times_in_names_are_utc_with_milliseconds() {
        assert_eq!(stamp(1_795_234_500_123_999_999), "20261121T041500.123Z");
    }

    #[test]
    fn the_oldest_go_first_and_only_what_is_ours() {
        let (_dir, folder) = folder();
        let now = SystemTime::now();
        let old = put(&folder, "main-20200101T000000.000Z.mkv", 10, 5000, now);
        let first = put(&folder, "main-20260101T000000.000Z.mkv", 100, 300, now);
        let second = put(&folder, "main-20260101T000001.000Z.mkv", 100, 200, now);
        let open = put(&folder, "main-20260101T000002.000Z.mkv", 100, 250, now);
        let foreign =
            [put(&folder, "holiday.mkv", 1000, 9000, now), put(&folder, "main-x.jpg", 9, 9000, now)];
        let limits = Limits { max_bytes: 200, max_age: Duration::from_secs(1000) };
        let removed = folder.keep_to(limits, &HashSet::from([open.clone()]), now);
        let expected = [(old, RemovedWhy::Age), (first, RemovedWhy::Quota)];
        assert_eq!(removed, expected.map(|(file, why)| Removed { file, why }));
        assert!(second.exists() && open.exists() && foreign.iter().all(|f| f.exists()));
    }

    #[test]
    fn an_open_file_stays_whatever_it_takes() {
        let (_dir, folder) = folder();
        let now = SystemTime::now();
        let open = put(&folder, "main-20260101T000002.000Z.mkv", 1000, 9999, now);
        let limits = Limits { max_bytes: 1, max_age: Duration::from_secs(1) };
        assert_eq!(folder.keep_to(limits, &HashSet::from([open.clone()]), now), []);
        assert!(open.exists());
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for bad in ["", ".", "..", "a/b", "../x", "a b", "ä", "a\0"] {
            assert!(!is_safe(bad), "{bad:?}");
        }
        assert!(is_safe("main-2_B"));
    }
}
