//! From a path to a plugin's table: everything that can be checked is checked before any of its code runs.

use crate::elf::{self, ElfError};
use gantry_abi as abi;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest library, in bytes.
const MAX_LEN: u64 = 256 << 20;

/// Why a library is refused. Displays as a sentence that names the file and ends in the next step.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct LoadError {
    /// The file as the configuration names it.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a library.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It cannot be read.
    #[error("cannot be read ({0}): check its permissions, or name the right file with `library`")]
    Read(io::Error),
    /// It is no regular file.
    #[error("is no regular file: name the `.so` file itself")]
    NotAFile,
    /// It is too large to be a plugin.
    #[error("has {0} bytes, a plugin has at most {MAX_LEN}: name the right file")]
    TooLarge(u64),
    /// Somebody else could replace it.
    #[error("{0} can be written to by others, who could run code here: run `chmod go-w {0}`")]
    Writable(String),
    /// It is not the file that the configuration wants.
    #[error("its SHA-256 is {found}, the configuration wants {wanted}: restore the file, or change `sha256`")]
    Digest {
        /// The digest of the file.
        found: String,
        /// The digest in the configuration.
        wanted: String,
    },
    /// It is no library for this process.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// It exports no table.
    #[error(
        "is no Gantry plugin (it does not export `gantry_plugin_v1`): use `export_plugin!`, or the C header's `gantry_plugin_v1`"
    )]
    NoSymbol,
    /// It exports the table of another major version.
    #[error("built for plugin ABI {found}, this runtime speaks {}: {next}", abi::ABI_MAJOR)]
    OtherMajor {
        /// The version it was built for.
        found: String,
        /// What to do.
        next: &'static str,
    },
    /// Its table is no table.
    #[error(
        "its `gantry_plugin_v1` is not a plugin table ({0}): build it with gantry-plugin 1.x, or with the C header"
    )]
    BadTable(String),
    /// It wants functions that this runtime does not have.
    #[error(
        "needs plugin ABI {}.{needs}, this runtime speaks {}.{}: update the gateway, or build the plugin against an older gantry-plugin",
        abi::ABI_MAJOR,
        abi::ABI_MAJOR,
        abi::ABI_MINOR
    )]
    NewerMinor {
        /// The minor version that it needs.
        needs: u32,
    },
    /// The private copy cannot be made.
    #[error("cannot be copied to {} ({error}): make room, or check the permissions of `state_dir`", to.display())]
    Copy {
        /// Where the copy was to go.
        to: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The dynamic linker refuses it.
    #[error("the dynamic linker refuses it ({0}): install what is missing, or build it on this system")]
    Open(String),
}

/// A library that passed every check and is mapped for the rest of the process.
#[derive(Clone, Copy)]
pub struct Library {
    /// A copy of the table, so that nothing the plugin does to its own changes what was checked.
    pub(crate) table: &'static abi::Plugin,
    /// The plugin's name.
    pub name: &'static str,
    /// The plugin's version.
    pub version: &'static str,
}

/// A file read and checked, but not yet loaded.
pub(crate) struct Candidate {
    path: PathBuf,
    data: Vec<u8>,
    /// SHA-256 of the file, in hex.
    pub(crate) digest: String,
}

impl Candidate {
    /// Reads a file and checks all that can be checked without running its code.
    pub(crate) fn read(path: &Path, wanted_digest: Option<&str>) -> Result<Self, LoadError> {
        let refuse = |reason| LoadError { path: path.to_owned(), reason };
        let data = read(path).map_err(refuse)?;
        let digest: String = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
        if let Some(wanted) = wanted_digest
            && !wanted.eq_ignore_ascii_case(&digest)
        {
            return Err(refuse(Reason::Digest { found: digest, wanted: wanted.to_owned() }));
        }
        check_symbols(&data).map_err(refuse)?;
        Ok(Self { path: path.to_owned(), data, digest })
    }

    /// Copies it to `copies` under a name that tells its content and loads the copy: opening a path again would give the
    /// old code, and overwriting a mapped file would be a SIGBUS. It stays mapped for the rest of the process.
    pub(crate) fn load(self, copies: &Path) -> Result<Library, LoadError> {
        let refuse = |reason| LoadError { path: self.path.clone(), reason };
        let stem = self.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let copy = copies.join(format!("{stem}-{}.so", &self.digest[..12]));
        place(&copy, &self.data).map_err(|error| refuse(Reason::Copy { to: copy.clone(), error }))?;
        open(&copy).map_err(refuse)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Reason> {
    // Looked at first: opening a pipe would wait for somebody who writes to it.
    if !fs::metadata(path).map_err(Reason::Read)?.is_file() {
        return Err(Reason::NotAFile);
    }
    let file = fs::File::open(path).map_err(Reason::Read)?;
    let meta = file.metadata().map_err(Reason::Read)?;
    if !meta.is_file() {
        return Err(Reason::NotAFile);
    }
    if meta.len() > MAX_LEN {
        return Err(Reason::TooLarge(meta.len()));
    }
    if meta.mode() & 0o002 != 0 || (meta.mode() & 0o020 != 0 && meta.gid() != 0 && !own_group(meta.gid())) {
        return Err(Reason::Writable(path.display().to_string()));
    }
    // The folder of the name and, behind a symbolic link, that of the file itself.
    let target = fs::canonicalize(path).map_err(Reason::Read)?;
    for path in [path, &target] {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder_mode = fs::metadata(folder).map_err(Reason::Read)?.mode();
        // In a sticky folder (such as /tmp) others cannot replace a file that is not theirs.
        if folder_mode & 0o002 != 0 && folder_mode & 0o1000 == 0 {
            return Err(Reason::Writable(folder.display().to_string()));
        }
    }
    let mut data = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    io::Read::read_to_end(&mut io::Read::take(file, MAX_LEN + 1), &mut data).map_err(Reason::Read)?;
    Ok(data)
}

/// Whether a group is the one this process runs with: then its members could act as this process anyway.
fn own_group(gid: u32) -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.gid() == gid)
}

fn check_symbols(data: &[u8]) -> Result<(), Reason> {
    let symbols = elf::symbols(data, "gantry_plugin_v")?;
    if let Some((_, size)) = symbols.iter().find(|(name, _)| name == abi::SYMBOL) {
        // What the linker says of the table's size keeps us from reading beyond it.
        if *size < size_of::<abi::Plugin>() as u64 {
            let text = format!("{size} bytes, ABI 1.0 has {}", size_of::<abi::Plugin>());
            return Err(Reason::BadTable(text));
        }
        return Ok(());
    }
    match symbols.first() {
        None => Err(Reason::NoSymbol),
        Some((name, _)) => {
            let found = name.trim_start_matches("gantry_plugin_v").to_owned();
            let newer = found.parse::<u32>().is_ok_and(|major| major > abi::ABI_MAJOR);
            let next = if newer {
                "rebuild it with gantry-plugin 1.x, or update the gateway"
            } else {
                "rebuild it with gantry-plugin 1.x"
            };
            Err(Reason::OtherMajor { found, next })
        }
    }
}

fn place(copy: &Path, data: &[u8]) -> io::Result<()> {
    let folder = copy.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    if fs::read(copy).is_ok_and(|there| there == data) {
        return Ok(());
    }
    // Written beside and renamed: a half-written copy is never opened, and a mapped one never changed. Two instances of one
    // library may do this at the same time, so each has a file of its own.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let partial = copy.with_extension(format!("{}-{number}.part", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o500).open(&partial)?;
    let placed = io::Write::write_all(&mut file, data).and_then(|()| fs::rename(&partial, copy));
    if placed.is_err() {
        // A full disk is not to be filled with what did not fit.
        let _ = fs::remove_file(&partial);
    }
    placed
}

fn open(copy: &Path) -> Result<Library, Reason> {
    use libloading::os::unix::{Library as Handle, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: the file was checked to be a library for this machine that exports the table; running its constructors is
    // what loading a plugin means, and the operator named it in the configuration.
    let handle = unsafe { Handle::open(Some(copy), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|error| Reason::Open(error.source().map_or(error.to_string(), ToString::to_string)))?;
    // SAFETY: the symbol exists and is at least as large as the table; it is read as plain data below.
    let found = unsafe { handle.get::<*const abi::Plugin>(abi::SYMBOL) };
    let raw: *const abi::Plugin = *found.map_err(|_| Reason::NoSymbol)?;
    // Never unloaded: threads and thread-locals of the library may outlive every instance.
    std::mem::forget(handle);
    // SAFETY: `raw` points to static data of a library that stays mapped, at least as large as the table (its symbol says
    // so); nothing is promised of its alignment. All fields are plain data for which every bit pattern is valid, except the
    // entries, which are pointers that the linker has relocated or null.
    let table = unsafe { raw.read_unaligned() };
    check_table(Box::leak(Box::new(table)))
}

fn check_table(table: &'static abi::Plugin) -> Result<Library, Reason> {
    let bad = |text: String| Err(Reason::BadTable(text));
    if table.magic != abi::MAGIC {
        return bad("its magic is wrong".to_owned());
    }
    if table.abi_major != abi::ABI_MAJOR {
        let next = "rebuild it with gantry-plugin 1.x";
        return Err(Reason::OtherMajor { found: table.abi_major.to_string(), next });
    }
    if (table.size as usize) < size_of::<abi::Plugin>() {
        return bad(format!("it says {} bytes, ABI 1.0 has {}", table.size, size_of::<abi::Plugin>()));
    }
    if table.needs_host_minor > abi::ABI_MINOR {
        return Err(Reason::NewerMinor { needs: table.needs_host_minor });
    }
    let text = |slice: abi::Slice, what: &str| {
        if slice.len > 64 {
            return Err(Reason::BadTable(format!(
                "its {what} has {} bytes, at most 64 are allowed",
                slice.len
            )));
        }
        // SAFETY: static data of a mapped library, as its contract says.
        std::str::from_utf8(unsafe { slice.bytes() })
            .map_err(|_| Reason::BadTable(format!("its {what} is not UTF-8")))
    };
    let (name, version) = (text(table.name, "name")?, text(table.version, "version")?);
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return bad(format!("its name `{}` is not made of a-z, 0-9 and `-`", name.escape_debug()));
    }
    if version.chars().any(char::is_control) {
        return bad("its version has control characters".to_owned());
    }
    Ok(Library { table, name, version })
}
