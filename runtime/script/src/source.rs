//! The files of the `scripts` folder, and the copies of those that Gantry ships.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest script, in bytes.
pub(crate) const MAX_FILE: u64 = 256 * 1024;
/// The most scripts of one kind.
const MAX_FILES: usize = 64;

/// The shipped scripts, so that the program works without the folder.
const BUILT_IN: [(Folder, &str, &str); 4] = [
    (Folder::Mappings, "cpro", include_str!("../../../scripts/mappings/cpro.rhai")),
    (Folder::Rules, "busy-period", include_str!("../../../scripts/rules/busy-period.rhai")),
    (Folder::Rules, "crowded", include_str!("../../../scripts/rules/crowded.rhai")),
    (Folder::Rules, "watch-list", include_str!("../../../scripts/rules/watch-list.rhai")),
];

/// What kind of script a file is, by the folder it lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Folder {
    /// Shared code.
    Lib,
    /// Keys of protocols.
    Mappings,
    /// Reactions to events.
    Rules,
}

impl Folder {
    pub(crate) const ALL: [Self; 3] = [Self::Lib, Self::Mappings, Self::Rules];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lib => "lib",
            Self::Mappings => "mappings",
            Self::Rules => "rules",
        }
    }
}

/// Which script: its folder, and its name without `.rhai`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) folder: Folder,
    pub(crate) name: String,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.folder.name(), self.name)
    }
}

/// A script's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// For messages: a path, or `built-in scripts/mappings/NAME.rhai`.
    pub(crate) file: Arc<str>,
    /// The text, or why there is none.
    pub(crate) text: Result<Arc<str>, String>,
}

/// All scripts at one moment.
pub(crate) type Sources = BTreeMap<Id, Source>;

/// Reads all scripts. A folder that is not there is the built-in one. An error is a folder that cannot be
/// read: nothing is known then, so nothing has changed.
pub(crate) fn read(dir: &Path) -> Result<Sources, String> {
    let mut sources = Sources::new();
    for folder in Folder::ALL {
        let path = dir.join(folder.name());
        match list(&path) {
            Ok(Some(files)) => {
                for file in files {
                    let Some(name) = file.file_stem().and_then(|stem| stem.to_str()) else { continue };
                    let text = read_text(&file).transpose();
                    if let Some(text) = text {
                        let text = good_name(name).and(text.map(Arc::from));
                        let source = Source { file: file.display().to_string().into(), text };
                        sources.insert(Id { folder, name: name.to_owned() }, source);
                    }
                }
            }
            Ok(None) => sources.extend(built_in(folder)),
            Err(e) => return Err(format!("{}: {e}: let the gateway's user read it", path.display())),
        }
    }
    Ok(sources)
}

fn built_in(folder: Folder) -> impl Iterator<Item = (Id, Source)> {
    BUILT_IN.iter().filter(move |(of, ..)| *of == folder).map(|(folder, name, text)| {
        let file = format!("built-in scripts/{}/{name}.rhai", folder.name()).into();
        (Id { folder: *folder, name: (*name).into() }, Source { file, text: Ok((*text).into()) })
    })
}

/// The scripts of a folder, sorted; `None` when there is no such folder.
fn list(dir: &Path) -> std::io::Result<Option<Vec<PathBuf>>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // What begins with a dot is an editor's.
        let hidden = path.file_name().and_then(|n| n.to_str()).is_none_or(|n| n.starts_with('.'));
        if !hidden && path.extension().is_some_and(|e| e == "rhai") {
            files.push(path);
        }
    }
    files.sort();
    if files.len() > MAX_FILES {
        let message = format!("there are {} scripts, at most {MAX_FILES} are read: remove some", files.len());
        return Err(std::io::Error::other(message));
    }
    Ok(Some(files))
}

/// Reads one file; `None` when it has just gone.
fn read_text(path: &Path) -> Result<Option<String>, String> {
    let look = || {
        // Opening a named pipe would wait for somebody to write into it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(std::io::Error::other("it is not a file: remove it"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match look() {
        Ok(bytes) if bytes.len() as u64 > MAX_FILE => {
            Err(format!("it has more than {} KiB: split it", MAX_FILE / 1024))
        }
        Ok(bytes) => match String::from_utf8(bytes) {
            // Some editors begin each file with a mark that is no part of the text.
            Ok(text) => Ok(Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))),
            Err(e) => {
                Err(format!("byte {} is not UTF-8: save the file as UTF-8", e.utf8_error().valid_up_to() + 1))
            }
        },
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("{e}: let the gateway's user read it")),
    }
}

fn good_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if !name.is_empty() && name.len() <= 64 && name.chars().all(good) {
        Ok(())
    } else {
        Err("a script's name is made of a-z, 0-9, - and _: rename the file".into())
    }
}
