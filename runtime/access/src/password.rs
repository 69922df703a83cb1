//! Passwords and their hashes.

use crate::{AccessError, random};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use zeroize::Zeroizing;

/// The fewest bytes of a new password.
pub(crate) const MIN: usize = 8;
/// The most bytes of a password.
pub(crate) const MAX: usize = 1024;

/// Letters and digits that nobody mistakes for another, 32 of them so that a byte gives one without bias.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What a hash may cost that somebody put into the file: a mistyped one must not take the gateway's memory.
const MOST: Cost = Cost { memory_kib: 256 * 1024, passes: 16, lanes: 16 };

/// A password. It is wiped from memory when dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// The password as its user typed it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// 20 random characters: 100 bits.
    pub(crate) fn random() -> Result<Self, AccessError> {
        let bytes = Zeroizing::new(random::<20>()?);
        Ok(Self::new(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()))
    }

    /// The text, to show it once to whoever it is for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it can become somebody's password.
    ///
    /// # Errors
    /// [`AccessError::PasswordTooShort`] below 8 bytes, [`AccessError::PasswordTooLong`] above 1,024.
    pub fn check(&self) -> Result<(), AccessError> {
        match self.0.len() {
            len @ 0..MIN => Err(AccessError::PasswordTooShort { len }),
            MIN..=MAX => Ok(()),
            len => Err(AccessError::PasswordTooLong { len }),
        }
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// What OWASP's Password Storage Cheat Sheet recommends for argon2id.
    pub(crate) const OURS: Self = Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
    /// For tests of what happens around the hash.
    #[cfg(test)]
    pub(crate) const LEAST: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };

    fn of(hash: &PasswordHash) -> Option<Self> {
        let params = Params::try_from(hash).ok()?;
        Some(Self { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() })
    }

    /// The hash of a password with a new salt, as a PHC string.
    pub(crate) fn hash(self, password: &Password) -> Result<String, AccessError> {
        let failed = |e: &dyn std::fmt::Display| AccessError::Hash { reason: e.to_string() };
        let params = Params::new(self.memory_kib, self.passes, self.lanes, None).map_err(|e| failed(&e))?;
        let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password(password.reveal().as_bytes())
            .map_err(|e| failed(&e))?;
        Ok(hash.to_string())
    }

    /// Whether a hash is worth replacing by one of this cost.
    pub(crate) fn exceeds(self, hash: &str) -> bool {
        usable(hash).is_some_and(|(_, cost)| cost.memory_kib < self.memory_kib || cost.passes < self.passes)
    }
}

/// A hash that passwords can be checked against: argon2id, complete, and of bearable cost.
fn usable(hash: &str) -> Option<(PasswordHash, Cost)> {
    let hash = PasswordHash::new(hash).ok()?;
    let cost = Cost::of(&hash)?;
    let complete = hash.algorithm.as_str() == "argon2id" && hash.salt.is_some() && hash.hash.is_some();
    let bearable =
        cost.memory_kib <= MOST.memory_kib && cost.passes <= MOST.passes && cost.lanes <= MOST.lanes;
    (complete && bearable).then_some((hash, cost))
}

pub(crate) fn is_usable(hash: &str) -> bool {
    usable(hash).is_some()
}

/// Whether it is that password, at the cost that the hash tells.
pub(crate) fn verify(password: &Password, hash: &str) -> bool {
    usable(hash).is_some_and(|(hash, _)| {
        Argon2::default().verify_password(password.reveal().as_bytes(), &hash).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[test]
    fn a_hash_is_argon2id_with_the_recommended_cost_and_fits_its_password_only() {
        let hash = Cost::OURS.hash(&password("correct horse")).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify(&password("correct horse"), &hash));
        assert!(!verify(&password("correct horsf"), &hash));
        assert!(!Cost::OURS.exceeds(&hash));
    }

    #[test]
    fn a_hash_of_another_cost_is_checked_at_its_own_cost_and_called_weak() {
        let weak = Cost { memory_kib: 16, passes: 3, lanes: 2 }.hash(&password("correct horse")).unwrap();
        assert!(verify(&password("correct horse"), &weak));
        assert!(Cost::OURS.exceeds(&weak));
    }

    #[test]
    fn hashes_that_are_no_hashes_or_cost_too_much_fit_nothing() {
        let good = Cost::LEAST.hash(&password("correct horse")).unwrap();
        assert!(is_usable(&good));
        for bad in [
            "",
            "correct horse",
            "$argon2id$v=19$m=8,t=1,p=1",
            &good.replace("argon2id", "argon2i"),
            &good.replace("m=8,", "m=4000000,"),
            &good.replace("t=1,", "t=100000,"),
        ] {
            assert!(!is_usable(bad), "{bad}");
            assert!(!verify(&password("correct horse"), bad));
        }
    }

    #[test]
    fn random_passwords_differ_and_have_no_characters_to_confuse() {
        let (one, other) = (Password::random().unwrap(), Password::random().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), 20);
        assert!(!one.reveal().contains(['0', 'o', 'O', '1', 'l', 'I']), "{}", one.reveal());
        one.check().unwrap();
    }

    #[test]
    fn short_and_long_passwords_are_refused_with_the_bound() {
        assert_eq!(
            password("1234567").check().unwrap_err().to_string(),
            "the password has 7 bytes: take one of at least 8"
        );
        password("12345678").check().unwrap();
        password(&"x".repeat(1024)).check().unwrap();
        let error = password(&"x".repeat(1025)).check().unwrap_err().to_string();
        assert!(error.ends_with("at most 1024"), "{error}");
    }

    #[test]
    fn debug_shows_no_password() {
        assert_eq!(format!("{:?}", password("correct horse")), "Password(…)");
    }
}
