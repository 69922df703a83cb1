//! Files with secrets.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// More is no secret.
const MOST_BYTES: u64 = 64 * 1024;
/// Read, write or anything, by anybody.
const OTHERS: u32 = 0o007;

/// A secret. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// What a file has in it, without the line breaks at its end.
    ///
    /// # Errors
    /// A sentence, without anything of the secret.
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut file = open(path)?;
        let mut text = String::new();
        let read = Read::by_ref(&mut file).take(MOST_BYTES + 1).read_to_string(&mut text);
        read.map_err(|error| cannot(path, &error))?;
        if text.len() as u64 > MOST_BYTES {
            return Err(format!("{} is too large for a secret: name another file", path.display()));
        }
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(format!("{} is empty: write the secret into it", path.display()));
        }
        Ok(Self(secret.to_owned()))
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Whether a file is there, and nobody else can read it.
///
/// # Errors
/// A sentence.
pub fn check(path: &Path) -> Result<(), String> {
    open(path).map(|_| ())
}

fn open(path: &Path) -> Result<File, String> {
    let file = File::open(path).map_err(|error| cannot(path, &error))?;
    let mode = file.metadata().map_err(|error| cannot(path, &error))?.mode();
    if mode & OTHERS != 0 {
        let path = path.display();
        return Err(format!(
            "everybody on this machine can reach {path}: `chmod o= {path}`, and change the secret"
        ));
    }
    Ok(file)
}

fn cannot(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}: correct the path, or who may read it", path.display())
}

#[cfg(test)]
mod tests {
    use super::{Secret, check};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_read_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        fs::write(&path, "s3cr3t \n\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let secret = Secret::read(&path).unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("s3cr3t ", "Secret(…)"));
    }

    #[test]
    fn a_file_that_others_can_read_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        fs::write(&path, "s3cr3t").unwrap();
        for mode in [0o644, 0o604, 0o602, 0o661] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refused = Secret::read(&path).unwrap_err();
            assert!(refused.contains("chmod o=") && !refused.contains("s3cr3t"), "{refused}");
            assert!(check(&path).is_err());
        }
    }

    #[test]
    fn what_is_not_there_empty_or_endless_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        assert!(Secret::read(&path).unwrap_err().contains("correct the path"));
        for (text, says) in [(String::from("\n"), "empty"), ("x".repeat(70_000), "too large")] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert!(Secret::read(&path).unwrap_err().contains(says));
        }
    }
}
