//! Who is logged in: tokens, of which only a hash is kept.

use crate::{AccessError, random};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The most sessions of one user; a further one ends the oldest.
pub(crate) const MAX_OF_USER: usize = 64;
/// The most sessions of all; a further one ends the oldest.
pub(crate) const MAX: usize = 4096;
/// The length of a token: 32 bytes in base64url.
const TOKEN_LEN: usize = 43;

/// What a client shows to be known again: 256 random bits. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    pub(crate) fn random() -> Result<Self, AccessError> {
        let bytes = Zeroizing::new(random::<32>()?);
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))))
    }

    pub(crate) fn echo(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The text, for the client whose it is.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// SHA-256 of a token. Tokens are random, so it needs no salt and may be fast.
pub(crate) type Key = [u8; 32];

/// The key of what may be a token.
pub(crate) fn key(token: &str) -> Option<Key> {
    (token.len() == TOKEN_LEN).then(|| Sha256::digest(token.as_bytes()).into())
}

/// One session.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) user: Arc<str>,
    /// The stamp of the user's password at the login.
    pub(crate) stamp: String,
    /// Unix time in milliseconds, as `expires`.
    pub(crate) created: u64,
    pub(crate) expires: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    token_sha256: String,
    user: String,
    stamp: String,
    created: u64,
    expires: u64,
}

/// All sessions.
#[derive(Default)]
pub(crate) struct Sessions {
    by_key: HashMap<Key, Entry>,
}

impl Sessions {
    /// The session that has not expired.
    pub(crate) fn get(&self, key: &Key, now: u64) -> Option<&Entry> {
        self.by_key.get(key).filter(|entry| now < entry.expires)
    }

    /// Adds one, and ends the oldest where there are too many.
    pub(crate) fn insert(&mut self, key: Key, entry: Entry) {
        let of_user = self.by_key.values().filter(|e| e.user == entry.user).count();
        if of_user >= MAX_OF_USER {
            self.end_oldest(|e| e.user == entry.user);
        }
        if self.by_key.len() >= MAX {
            self.end_oldest(|_| true);
        }
        self.by_key.insert(key, entry);
    }

    pub(crate) fn remove(&mut self, key: &Key) -> bool {
        self.by_key.remove(key).is_some()
    }

    /// Ends those that are not wanted any more; tells how many these were.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&Entry) -> bool) -> usize {
        let before = self.by_key.len();
        self.by_key.retain(|_, entry| wanted(entry));
        before - self.by_key.len()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    fn end_oldest(&mut self, among: impl Fn(&Entry) -> bool) {
        let candidates = self.by_key.iter().filter(|(_, entry)| among(entry));
        let oldest = candidates.min_by_key(|(_, entry)| entry.created).map(|(key, _)| *key);
        if let Some(key) = oldest {
            self.by_key.remove(&key);
        }
    }

    /// What goes to the disk.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let stored = self.by_key.iter().map(|(key, entry)| Stored {
            token_sha256: URL_SAFE_NO_PAD.encode(key),
            user: entry.user.to_string(),
            stamp: entry.stamp.clone(),
            created: entry.created,
            expires: entry.expires,
        });
        serde_json::to_vec(&stored.collect::<Vec<_>>()).expect("plain data")
    }

    /// What came from the disk, or why it cannot be.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let stored: Vec<Stored> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut sessions = Self::default();
        for one in stored {
            let key = URL_SAFE_NO_PAD.decode(&one.token_sha256).ok().and_then(|bytes| bytes.try_into().ok());
            let key = key.ok_or_else(|| format!("`{}` is no SHA-256 in base64url", one.token_sha256))?;
            let Stored { user, stamp, created, expires, .. } = one;
            sessions.insert(key, Entry { user: user.into(), stamp, created, expires });
        }
        Ok(sessions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(user: &str, created: u64) -> Entry {
        Entry { user: user.into(), stamp: "s".to_owned(), created, expires: created + 100_000 }
    }

    fn number(n: u64) -> Key {
        Sha256::digest(n.to_be_bytes()).into()
    }

    #[test]
    fn a_session_more_than_a_user_may_have_ends_the_users_oldest() {
        let mut sessions = Sessions::default();
        sessions.insert(number(1000), entry("bob", 0));
        for n in 0..=MAX_OF_USER as u64 {
            sessions.insert(number(n), entry("ann", n + 1));
        }
        assert_eq!(sessions.len(), MAX_OF_USER + 1);
        assert!(sessions.get(&number(0), 2).is_none());
        assert!(sessions.get(&number(1), 2).is_some());
        assert!(sessions.get(&number(1000), 2).is_some(), "another user's is older and stays");
    }

    #[test]
    fn a_session_more_than_there_may_be_ends_the_oldest() {
        let mut sessions = Sessions::default();
        for n in 0..=MAX as u64 {
            sessions.insert(number(n), entry(&format!("u{}", n / 50), n));
        }
        assert_eq!(sessions.len(), MAX);
        assert!(sessions.get(&number(0), 0).is_none());
        assert!(sessions.get(&number(MAX as u64), 0).is_some());
    }

    #[test]
    fn the_disk_has_all_but_the_token() {
        let token = Token::random().unwrap();
        let mut sessions = Sessions::default();
        sessions.insert(key(token.reveal()).unwrap(), entry("ann", 7));
        let text = String::from_utf8(sessions.to_json()).unwrap();
        assert!(!text.contains(token.reveal()));
        let back = Sessions::from_json(&text).unwrap();
        let entry = back.get(&key(token.reveal()).unwrap(), 8).unwrap();
        assert_eq!((&*entry.user, entry.created, entry.expires), ("ann", 7, 100_007));
        assert!(Sessions::from_json("[{]").is_err());
        assert!(Sessions::from_json(&text.replace("\"token_sha256\":\"", "\"token_sha256\":\"x")).is_err());
    }

    #[test]
    fn tokens_are_long_and_random_and_debug_hides_them() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.reveal().len(), TOKEN_LEN);
        assert_eq!(format!("{one:?}"), "Token(…)");
        assert!(key("short").is_none());
    }
}
