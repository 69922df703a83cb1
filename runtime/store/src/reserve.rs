//! A little room that is kept for opening the store on a disk that has none: the database needs some for its log and the
//! log's index, also to be read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

const FILE: &str = "reserve";
/// The index of the log is 32 KiB at first; the rest is for the first pages of the log and for whoever starts beside.
const BYTES: usize = 512 * 1024;

/// Has the room taken, when there is plenty. A failure costs nothing now.
pub(crate) fn keep(dir: &Path, free: u64) {
    if !is_kept(dir) && free >= 4 * BYTES as u64 {
        let _ = take(&dir.join(FILE));
    }
}

/// Whether it is taken.
pub(crate) fn is_kept(dir: &Path) -> bool {
    fs::metadata(dir.join(FILE)).is_ok_and(|meta| meta.len() == BYTES as u64)
}

fn take(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    // Written, and not only asked for: some file systems keep promises of room only for what was written.
    file.write_all(&vec![0; BYTES])?;
    file.sync_all()
}

/// Gives the room back, when less than it is free.
pub(crate) fn give(dir: &Path, free: u64) {
    if free < BYTES as u64 {
        let _ = fs::remove_file(dir.join(FILE));
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES, give, is_kept, keep};

    #[test]
    fn the_room_is_taken_when_there_is_plenty_and_given_back_when_there_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let is_there = || is_kept(dir.path());
        keep(dir.path(), BYTES as u64);
        assert!(!is_there(), "it would take what is needed");
        keep(dir.path(), 4 * BYTES as u64);
        assert!(is_there());
        give(dir.path(), BYTES as u64);
        assert!(is_there());
        give(dir.path(), BYTES as u64 - 1);
        assert!(!is_there());
    }
}
