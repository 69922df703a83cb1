//! Gantry's users, passwords, sessions and login throttling.
//!
//! Two sides work on the same folder, `access` in the gateway's state folder. [`Users`] is the file of users: `gantry user …`
//! edits it, from another process and while the gateway runs. [`Access`] is what the running gateway knows: it lets
//! users in ([`Access::login`]), knows whose a token is ([`Access::who`]) and notices what was edited
//! ([`Access::reload_if_changed`]). [`Logins`] is the one thread on which passwords are checked.
//!
//! | file | has | written by |
//! | --- | --- | --- |
//! | `users.json` | names, roles, argon2id hashes | both sides, under `users.lock` |
//! | `sessions.json` | SHA-256 of tokens, whose they are, when they end | the gateway |
//! | `throttle.json` | failed logins | the gateway |
//!
//! All of it is synchronous, and the time is an argument: unix time in milliseconds. What this crate is *not*: it does
//! not know what a role may do (that is in the mappings and the observables), it speaks no protocol, reads no clock and
//! writes nowhere else.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod access;
mod error;
mod folder;
mod logins;
mod password;
mod sessions;
mod throttle;
mod users;

pub use access::{Access, Login, Session, Who};
pub use error::AccessError;
pub use logins::{Clock, Logins, Reply};
pub use password::Password;
pub use sessions::Token;
pub use users::{Initial, User, Users};

/// Locks a mutex whose data stays consistent even if a holder panicked (every critical section here is a few
/// assignments), so poisoning would only turn one failure into many.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Random bytes from the kernel.
fn random<const N: usize>() -> Result<[u8; N], AccessError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| AccessError::Random)?;
    Ok(bytes)
}
