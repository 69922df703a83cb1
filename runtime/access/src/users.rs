//! The file of users, as `gantry user …` edits it.

use crate::folder::{Folder, Mark};
use crate::password::{self, Cost};
use crate::{AccessError, Password, random};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gantry_core::access::Role;
use gantry_core::spelling;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FILE: &str = "users.json";
/// The most users.
const MAX_USERS: usize = 1000;
/// The most bytes of the file: more than that many users have.
const MAX_BYTES: u64 = 1024 * 1024;

/// A user, without what is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// When the user was added, or the role or password changed.
    pub changed: Timestamp,
}

/// The user that the first start makes. The password is shown once, now.
#[derive(Debug)]
pub struct Initial {
    /// `admin`.
    pub name: String,
    /// Random.
    pub password: Password,
}

/// The users' file. Every call reads it anew, as other processes edit it too; edits wait for each other.
#[derive(Debug, Clone)]
pub struct Users {
    folder: Folder,
    cost: Cost,
}

/// One user in the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) role: Role,
    /// A PHC string.
    pub(crate) hash: String,
    /// Random, and new with every new password: sessions belong to it, and so end with the password and with the user, also
    /// when the gateway was not running then.
    pub(crate) stamp: String,
    changed: Timestamp,
}

/// All users by name.
pub(crate) type Directory = BTreeMap<String, Record>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    users: Directory,
}

impl Users {
    /// The users of the gateway with this state folder. Makes the folder `access` in it, for the owner only.
    ///
    /// # Errors
    /// The folder cannot be made, or others can write it.
    pub fn open(state_dir: &Path) -> Result<Self, AccessError> {
        Ok(Self { folder: Folder::open(state_dir)?, cost: Cost::OURS })
    }

    #[cfg(test)]
    pub(crate) fn cheap(state_dir: &Path) -> Self {
        Self { cost: Cost::LEAST, ..Self::open(state_dir).unwrap() }
    }

    /// Adds a user. `now` is unix time in milliseconds, here and below.
    ///
    /// # Errors
    /// The name, role or password cannot be one, the name is taken, or the file cannot be read or written.
    pub fn add(&self, name: &str, role: Role, password: &Password, now: u64) -> Result<(), AccessError> {
        check_name(name)?;
        check_role(name, role)?;
        let record = self.record(role, password, now)?;
        self.edit(|users| insert(users, name, record))
    }

    /// Gives a user another password. The user's sessions end.
    ///
    /// # Errors
    /// There is no such user, the password cannot be one, or the file cannot be read or written.
    pub fn set_password(&self, name: &str, password: &Password, now: u64) -> Result<(), AccessError> {
        let fresh = self.record(Role::Viewer, password, now)?;
        self.edit(|users| {
            let record = find(users, name)?;
            *record = Record { role: record.role, ..fresh };
            Ok(())
        })
    }

    /// Gives a user another role. The user's sessions go on with it.
    ///
    /// # Errors
    /// There is no such user, or it is the last administrator, or the file cannot be read or written.
    pub fn set_role(&self, name: &str, role: Role, now: u64) -> Result<(), AccessError> {
        check_role(name, role)?;
        self.edit(|users| {
            find(users, name)?;
            if role != Role::Administrator {
                check_not_last(users, name)?;
            }
            let record = find(users, name)?;
            (record.role, record.changed) = (role, timestamp(now));
            Ok(())
        })
    }

    /// Removes a user, and ends the user's sessions.
    ///
    /// # Errors
    /// There is no such user, or it is the last administrator, or the file cannot be read or written.
    pub fn remove(&self, name: &str) -> Result<(), AccessError> {
        self.edit(|users| {
            find(users, name)?;
            check_not_last(users, name)?;
            users.remove(name);
            Ok(())
        })
    }

    /// All users, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn list(&self) -> Result<Vec<User>, AccessError> {
        let users = self.read()?.into_iter();
        Ok(users.map(|(name, r)| User { name, role: r.role, changed: r.changed }).collect())
    }

    /// Makes the administrator `admin` with a random password when there is no user at all.
    ///
    /// # Errors
    /// The file cannot be read or written. One that is there and cannot be read is never replaced.
    pub fn first_start(&self, now: u64) -> Result<Option<Initial>, AccessError> {
        if !self.read()?.is_empty() {
            return Ok(None);
        }
        let initial = Initial { name: "admin".to_owned(), password: Password::random()? };
        let record = self.record(Role::Administrator, &initial.password, now)?;
        self.edit(|users| {
            if !users.is_empty() {
                return Ok(None);
            }
            insert(users, &initial.name, record)?;
            Ok(Some(initial))
        })
    }

    /// The file, for messages.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.file(FILE)
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn cost(&self) -> Cost {
        self.cost
    }

    pub(crate) fn mark(&self) -> Option<Mark> {
        self.folder.mark(FILE)
    }

    /// Everything in the file; nobody when there is none.
    pub(crate) fn read(&self) -> Result<Directory, AccessError> {
        let Some(text) = self.folder.read(FILE, MAX_BYTES)? else { return Ok(Directory::new()) };
        let corrupt = |reason: String| AccessError::Corrupt { path: self.path(), reason };
        let content: Content = serde_json::from_str(&text).map_err(|e| corrupt(e.to_string()))?;
        if content.version != 1 {
            return Err(corrupt(format!("it has version {}, this gateway reads 1", content.version)));
        }
        for (name, record) in &content.users {
            check_name(name)
                .and_then(|()| check_role(name, record.role))
                .map_err(|e| corrupt(e.to_string()))?;
        }
        if content.users.len() > MAX_USERS {
            return Err(corrupt(format!("it has more than {MAX_USERS} users")));
        }
        Ok(content.users)
    }

    /// Hashes a password anew with our cost, if nobody changed it meanwhile. Does not wait for others who edit.
    pub(crate) fn rehash(&self, name: &str, old: &str, password: &Password) -> Result<bool, AccessError> {
        let hash = self.cost.hash(password)?;
        let Some(_edit) = self.folder.try_edit()? else { return Ok(false) };
        let mut users = self.read()?;
        match users.get_mut(name).filter(|record| record.hash == old) {
            Some(record) => record.hash = hash,
            None => return Ok(false),
        }
        self.write(users).map(|()| true)
    }

    fn record(&self, role: Role, password: &Password, now: u64) -> Result<Record, AccessError> {
        password.check()?;
        let stamp = URL_SAFE_NO_PAD.encode(random::<16>()?);
        Ok(Record { role, hash: self.cost.hash(password)?, stamp, changed: timestamp(now) })
    }

    fn edit<T>(
        &self,
        change: impl FnOnce(&mut Directory) -> Result<T, AccessError>,
    ) -> Result<T, AccessError> {
        let _edit = self.folder.edit()?;
        let mut users = self.read()?;
        let value = change(&mut users)?;
        self.write(users).map(|()| value)
    }

    fn write(&self, users: Directory) -> Result<(), AccessError> {
        let mut text = serde_json::to_vec_pretty(&Content { version: 1, users }).expect("plain data");
        text.push(b'\n');
        self.folder.write(FILE, &text)
    }
}

/// Whether it can be the name of a user.
pub(crate) fn check_name(name: &str) -> Result<(), AccessError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_@".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(AccessError::Name { name: name.chars().take(80).collect() })
}

/// Whether passwords can be checked against the user's hash.
pub(crate) fn can_log_in(record: &Record) -> bool {
    password::is_usable(&record.hash)
}

fn check_role(name: &str, role: Role) -> Result<(), AccessError> {
    if role == Role::Anonymous { Err(AccessError::Role { name: name.to_owned() }) } else { Ok(()) }
}

fn insert(users: &mut Directory, name: &str, record: Record) -> Result<(), AccessError> {
    if users.contains_key(name) {
        return Err(AccessError::Exists { name: name.to_owned() });
    }
    if users.len() >= MAX_USERS {
        return Err(AccessError::TooMany { max: MAX_USERS });
    }
    users.insert(name.to_owned(), record);
    Ok(())
}

fn find<'a>(users: &'a mut Directory, name: &str) -> Result<&'a mut Record, AccessError> {
    if !users.contains_key(name) {
        let near = spelling::nearest(name, users.keys().map(String::as_str)).map(str::to_owned);
        return Err(AccessError::Unknown { name: name.chars().take(80).collect(), near });
    }
    Ok(users.get_mut(name).expect("looked at before"))
}

fn check_not_last(users: &Directory, name: &str) -> Result<(), AccessError> {
    let is_administrator = |record: &Record| record.role == Role::Administrator;
    let others = users.iter().any(|(other, record)| other != name && is_administrator(record));
    if others || !users.get(name).is_some_and(is_administrator) {
        return Ok(());
    }
    Err(AccessError::LastAdministrator { name: name.to_owned() })
}

fn timestamp(now: u64) -> Timestamp {
    i64::try_from(now).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
