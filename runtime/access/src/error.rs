//! What goes wrong.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why something about users, sessions or their files was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The system refused to do something with a file.
    #[error("{}: cannot {doing}: {source}: {}", path.display(), hint(source, path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, such as `read it`.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Others could have put anything into the file or folder.
    #[error("{}: others than its owner can write it: look what is in it, then run `chmod {mode:o} {}`", path.display(),
            path.display())]
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// The mode that it should have.
        mode: u32,
    },
    /// The file is not what this crate writes.
    #[error("{}: {reason}: repair it or put a copy of it back; nobody can log in until then", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// The name cannot be a user's.
    #[error("`{}` cannot be the name of a user: take 1 to 64 of a-z A-Z 0-9 . _ - @", name.escape_debug())]
    Name {
        /// The name as given.
        name: String,
    },
    /// Nobody can be given this role.
    #[error(
        "`{name}` cannot be anonymous, as that is who has not logged in: take administrator, operator or viewer"
    )]
    Role {
        /// The user.
        name: String,
    },
    /// The password has fewer bytes than the minimum.
    #[error("the password has {len} bytes: take one of at least {}", crate::password::MIN)]
    PasswordTooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// The password has more bytes than the maximum.
    #[error("the password has {len} bytes: take one of at most {}", crate::password::MAX)]
    PasswordTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// There is nobody of that name.
    #[error("there is no user `{}`{}: `gantry user list` shows who there is", name.escape_debug(), meant(near.as_deref()))]
    Unknown {
        /// The name as given.
        name: String,
        /// Who was probably meant.
        near: Option<String>,
    },
    /// The name is taken.
    #[error("there is a user `{name}` already: `gantry user passwd {name}` gives a new password")]
    Exists {
        /// The name.
        name: String,
    },
    /// Nobody would be left who may do everything.
    #[error(
        "`{name}` is the only administrator: make another one first, with `gantry user add NAME --role administrator`"
    )]
    LastAdministrator {
        /// The user.
        name: String,
    },
    /// The file holds as many users as it may.
    #[error("there are {max} users already, no more fit: remove one first, with `gantry user remove NAME`")]
    TooMany {
        /// How many fit.
        max: usize,
    },
    /// A password could not be hashed.
    #[error("the password could not be hashed ({reason}): free some memory (20 MB are needed) and try again")]
    Hash {
        /// What the hash function said.
        reason: String,
    },
    /// The kernel gave no random bytes.
    #[error(
        "the system gives no random numbers: check that its kernel has the getrandom call, then try again"
    )]
    Random,
}

impl AccessError {
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, doing, source }
    }
}

fn hint(source: &io::Error, path: &Path) -> String {
    match source.kind() {
        ErrorKind::PermissionDenied => {
            "run this as the user that the gateway runs as, or give that user the folder with `chown`"
                .to_owned()
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "let `state_dir` be on a file system that can be written".to_owned(),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            format!("{} has to be a folder: move the file away", path.display())
        }
        _ => "check the disk and `state_dir`".to_owned(),
    }
}

fn meant(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}
