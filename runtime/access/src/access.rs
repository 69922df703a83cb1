//! The running gateway's side: who gets in, and who is who.

use crate::folder::Mark;
use crate::sessions::{self, Entry, Sessions, Token};
use crate::throttle::{Name, Throttle};
use crate::users::{self, Directory, Users};
use crate::{AccessError, Password, lock, password};
use gantry_core::access::Role;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::{debug, error, info, warn};

const SESSIONS: &str = "sessions.json";
const THROTTLE: &str = "throttle.json";
/// The most bytes of either file: more than the most sessions and the most addresses have.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The shortest time between two versions of the throttle on the disk, in milliseconds: a flood of logins must not wear out
/// the flash memory, and whoever can crash the gateway gains no more than this.
const THROTTLE_PAUSE: u64 = 5_000;

/// What became of a login.
#[derive(Debug, Clone)]
pub enum Login {
    /// Come in.
    Granted(Session),
    /// The name or the password is wrong (nobody is told which), or the token is nobody's, or it is too early.
    Refused {
        /// How long to wait until the next attempt can count, when it has to.
        retry_after: Option<Duration>,
    },
}

/// A user who is logged in.
#[derive(Debug, Clone)]
pub struct Session {
    /// What the client shows from now on.
    pub token: Token,
    /// The user's name.
    pub user: Arc<str>,
    /// What the user may do now; [`Access::who`] knows it later.
    pub role: Role,
    /// When the session ends, in unix time in milliseconds.
    pub expires: u64,
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The user's name.
    pub user: Arc<str>,
    /// What the user may do.
    pub role: Role,
}

/// Users, sessions and throttle of a running gateway. Shared by reference; the calls that only look never wait for a disk or
/// a password.
pub struct Access {
    users: Users,
    /// A hash that is checked where there is no user, so that this takes as long.
    nobody: String,
    state: Mutex<State>,
    /// Held while a password is hashed: one at a time, for its 19 MiB and so that the cameras keep a processor.
    hashing: Mutex<()>,
    /// Held while files are written, so that an older version never replaces a newer one.
    saving: Mutex<()>,
}

struct State {
    users: Directory,
    mark: Option<Mark>,
    /// The users' file cannot be read, so that nobody new is let in.
    broken: bool,
    sessions: Sessions,
    throttle: Throttle,
    lifetime: Duration,
    sessions_dirty: bool,
    throttle_dirty: bool,
    /// When the throttle was written last; it is not written more often than [`THROTTLE_PAUSE`].
    throttle_saved: u64,
    /// Saving failed, and it was said.
    save_failed: bool,
}

impl State {
    /// Ends the sessions that are over, or whose user or password is gone; tells whether there was one. Comes with every
    /// change of the users, so that whoever looks a session up need not ask again whether it still belongs to its user.
    fn sweep(&mut self, now: u64) -> bool {
        let users = &self.users;
        let belongs = |e: &Entry| users.get(&*e.user).is_some_and(|record| record.stamp == e.stamp);
        let ended = self.sessions.retain(|e| now < e.expires && belongs(e)) > 0;
        self.sessions_dirty |= ended;
        ended
    }

    fn who(&self, token: &str, now: u64) -> Option<(Who, u64)> {
        let entry = self.sessions.get(&sessions::key(token)?, now)?;
        let record = self.users.get(&*entry.user)?;
        Some((Who { user: entry.user.clone(), role: record.role }, entry.expires))
    }

    fn name<'a>(&self, name: &'a str) -> Name<'a> {
        if self.users.contains_key(name) { Name::Known(name) } else { Name::Unknown(name) }
    }
}

impl Access {
    /// Reads the files. A session that begins from now on lasts for `lifetime`. `now` is unix time in milliseconds, here
    /// and below.
    ///
    /// # Errors
    /// The users' file cannot be read: then nobody can be let in. Sessions and throttle that cannot be read are begun anew,
    /// with a warning.
    pub fn open(users: Users, lifetime: Duration, now: u64) -> Result<Self, AccessError> {
        let mark = users.mark();
        let directory = users.read()?;
        warn_of_hashes(&directory, &users);
        let nobody = users.cost().hash(&Password::random()?)?;
        let fresh = Throttle::new()?;
        let sessions = restore(&users, SESSIONS, Sessions::from_json).unwrap_or_default();
        let mut state = State {
            users: directory,
            mark,
            broken: false,
            sessions,
            throttle: restore(&users, THROTTLE, Throttle::from_json).unwrap_or(fresh),
            lifetime,
            sessions_dirty: false,
            throttle_dirty: false,
            throttle_saved: 0,
            save_failed: false,
        };
        state.sweep(now);
        Ok(Self {
            users,
            nobody,
            state: Mutex::new(state),
            hashing: Mutex::default(),
            saving: Mutex::default(),
        })
    }

    /// The users' file.
    #[must_use]
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// How long sessions last that begin from now on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        lock(&self.state).lifetime = lifetime;
    }

    /// Lets a user in who knows the password. Takes as long as hashing a password does (some 20 to 100 ms), and waits for
    /// others who do the same: [`Logins`](crate::Logins) is the thread for it. The session is on the disk when this returns.
    pub fn login(&self, name: &str, password: &Password, address: IpAddr, now: u64) -> Login {
        if !could_be(name, password) {
            return Login::Refused { retry_after: None };
        }
        let mut state = lock(&self.state);
        if state.broken {
            return Login::Refused { retry_after: None };
        }
        let record = state.users.get(name).cloned();
        let known = state.name(name);
        let attempt = match state.throttle.admit(known, address, now) {
            Ok(attempt) => attempt,
            Err(wait) => {
                debug!(%address, ?wait, "a login was refused unchecked");
                return Login::Refused { retry_after: Some(wait) };
            }
        };
        state.throttle_dirty = true;
        drop(state);

        let hashing = lock(&self.hashing);
        let usable = record.filter(users::can_log_in);
        let fits = password::verify(password, usable.as_ref().map_or(&self.nobody, |record| &record.hash));
        let Some(record) = usable.filter(|_| fits) else {
            drop(hashing);
            debug!(%address, "a login failed");
            let mut state = lock(&self.state);
            let known = state.name(name);
            let retry_after = state.throttle.wait(known, address, now);
            if let (Name::Known(user), Some(wait)) = (known, retry_after) {
                warn!(user, %address, wait_s = wait.as_secs(), "a wrong password once more: the next login has to wait");
            }
            return Login::Refused { retry_after };
        };
        if self.users.cost().exceeds(&record.hash)
            && let Err(e) = self.users.rehash(name, &record.hash, password)
        {
            warn!(user = name, error = %e, "the password's hash could not be made stronger");
        }
        drop(hashing);

        let token = match Token::random() {
            Ok(token) => token,
            Err(e) => {
                error!(error = %e, "nobody can log in");
                return Login::Refused { retry_after: None };
            }
        };
        let Some(session) = self.begin(name, &record.stamp, token, attempt, now) else {
            return Login::Refused { retry_after: None };
        };
        info!(user = name, role = %session.role, %address, "logged in");
        self.save(true, false);
        Login::Granted(session)
    }

    /// Lets a user in again who shows the token of a session. Not throttled: there are 2^256 tokens to guess from.
    pub fn resume(&self, token: &str, address: IpAddr, now: u64) -> Login {
        match lock(&self.state).who(token, now) {
            Some((Who { user, role }, expires)) => {
                debug!(user = &*user, %address, "resumed");
                Login::Granted(Session { token: Token::echo(token), user, role, expires })
            }
            None => Login::Refused { retry_after: None },
        }
    }

    /// Whose the token is, and what that user may do now. Cheap: one hash of 43 bytes and two look-ups.
    #[must_use]
    pub fn who(&self, token: &str, now: u64) -> Option<Who> {
        lock(&self.state).who(token, now).map(|(who, _)| who)
    }

    /// Ends the session of a token, on the disk as well; tells whose it was.
    pub fn end(&self, token: &str, now: u64) -> Option<Who> {
        let who = {
            let mut state = lock(&self.state);
            let (who, _) = state.who(token, now)?;
            state.sessions_dirty |= sessions::key(token).is_some_and(|key| state.sessions.remove(&key));
            who
        };
        self.save(true, false);
        Some(who)
    }

    /// Ends all sessions of a user, on the disk as well; tells how many these were.
    pub fn end_all_of(&self, user: &str) -> usize {
        let ended = {
            let mut state = lock(&self.state);
            let ended = state.sessions.retain(|entry| &*entry.user != user);
            state.sessions_dirty |= ended > 0;
            ended
        };
        if ended > 0 {
            self.save(true, false);
        }
        ended
    }

    /// How long a login would have to wait before it is even looked at; nothing is counted.
    #[must_use]
    pub fn wait(&self, name: &str, address: IpAddr, now: u64) -> Option<Duration> {
        let mut state = lock(&self.state);
        let name = state.name(name);
        state.throttle.wait(name, address, now)
    }

    /// To be called now and then, such as each second. Reads the users' file when it has changed: sessions of users who are
    /// gone or have another password end, other roles count at once. Ends expired sessions. Tells whether any session ended
    /// or anybody's role changed.
    ///
    /// While the file cannot be read nobody new is let in (one error says why), and those who are in stay.
    pub fn reload_if_changed(&self, now: u64) -> bool {
        let mark = self.users.mark();
        if lock(&self.state).mark == mark {
            return lock(&self.state).sweep(now);
        }
        let read = self.users.read();
        let mut state = lock(&self.state);
        state.mark = mark;
        let directory = match read {
            Ok(directory) => directory,
            Err(e) => {
                error!(error = %e, "nobody can log in: the users cannot be read");
                state.broken = true;
                return state.sweep(now);
            }
        };
        warn_of_hashes(&directory, &self.users);
        state.broken = false;
        let old = std::mem::replace(&mut state.users, directory);
        let mut changed = false;
        for (name, record) in &old {
            let new = state.users.get(name).map(|new| (new.role, new.stamp == record.stamp));
            if new.is_none_or(|(_, same)| !same) {
                // Whoever was locked out by others' attempts is let in by a new password.
                state.throttle.forget(name);
                state.throttle_dirty = true;
            }
            changed |= new.is_some_and(|(role, _)| role != record.role);
        }
        info!(users = state.users.len(), "users read anew");
        state.sweep(now) || changed
    }

    /// To be called now and then, such as each second: writes what has changed, the throttle every 5 s at most. One error
    /// says when that fails; it is tried again at the next call. Dropping writes the rest.
    pub fn save_if_dirty(&self, now: u64) {
        let mut state = lock(&self.state);
        let paused =
            (state.throttle_saved..state.throttle_saved.saturating_add(THROTTLE_PAUSE)).contains(&now);
        let throttle = state.throttle_dirty && !paused;
        if throttle {
            state.throttle.sweep(now);
            state.throttle_saved = now;
        }
        let sessions = state.sessions_dirty;
        drop(state);
        self.save(sessions, throttle);
    }

    /// Writes everything that has changed, at the end.
    pub fn save_all(&self) {
        let (sessions, throttle) = {
            let state = lock(&self.state);
            (state.sessions_dirty, state.throttle_dirty)
        };
        self.save(sessions, throttle);
    }

    /// Begins a session, unless the user or the password changed while it was checked.
    fn begin(
        &self,
        name: &str,
        stamp: &str,
        token: Token,
        attempt: crate::throttle::Attempt,
        now: u64,
    ) -> Option<Session> {
        let mut state = lock(&self.state);
        let role = state.users.get(name).filter(|record| record.stamp == stamp)?.role;
        state.throttle.succeeded(name, attempt);
        state.sweep(now);
        let lifetime = u64::try_from(state.lifetime.as_millis()).unwrap_or(u64::MAX);
        let expires = now.saturating_add(lifetime);
        let user: Arc<str> = name.into();
        let entry = Entry { user: user.clone(), stamp: stamp.to_owned(), created: now, expires };
        state.sessions.insert(sessions::key(token.reveal())?, entry);
        state.sessions_dirty = true;
        Some(Session { token, user, role, expires })
    }

    fn save(&self, sessions: bool, throttle: bool) {
        if !sessions && !throttle {
            return;
        }
        let _saving = lock(&self.saving);
        let (sessions, throttle) = {
            let mut state = lock(&self.state);
            state.sessions_dirty &= !sessions;
            state.throttle_dirty &= !throttle;
            (sessions.then(|| state.sessions.to_json()), throttle.then(|| state.throttle.to_json()))
        };
        let write = |name, content: Option<Vec<u8>>| match content {
            Some(content) => self.users.folder().write(name, &content).err(),
            None => None,
        };
        let failed = (write(SESSIONS, sessions), write(THROTTLE, throttle));
        let mut state = lock(&self.state);
        state.sessions_dirty |= failed.0.is_some();
        state.throttle_dirty |= failed.1.is_some();
        let failure = failed.0.or(failed.1);
        let said = std::mem::replace(&mut state.save_failed, failure.is_some());
        if let Some(e) = failure.filter(|_| !said) {
            error!(error = %e, "sessions end with the gateway: they cannot be saved");
        }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.save_all();
    }
}

/// Whether there can be a user of this name with this password; what cannot be needs no counting.
pub(crate) fn could_be(name: &str, password: &Password) -> bool {
    users::check_name(name).is_ok() && password.reveal().len() <= password::MAX
}

fn warn_of_hashes(directory: &Directory, users: &Users) {
    for (name, _) in directory.iter().filter(|(_, record)| !users::can_log_in(record)) {
        let file = users.path();
        warn!(user = name, file = %file.display(), "the hash of the password cannot be used: give a new one with \
            `gantry user passwd {name}`");
    }
}

fn restore<T>(users: &Users, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
    let read = users.folder().read(name, MAX_BYTES);
    let reason = match read.map(|text| text.map(|text| parse(&text))) {
        Ok(None) => return None,
        Ok(Some(Ok(value))) => return Some(value),
        Ok(Some(Err(reason))) => format!("{}: {reason}", users.folder().file(name).display()),
        Err(e) => e.to_string(),
    };
    warn!(reason, "begun anew, as what was saved cannot be used");
    None
}

#[cfg(test)]
mod tests;
