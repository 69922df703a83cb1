//! What a plugin answers when it cannot do what is asked.

use gantry_abi::{FULL, GONE, INVALID, Status, UNKNOWN};

/// A sentence that says what went wrong and what to do. Any error converts into it, so `?` works everywhere.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    pub(crate) fn check(status: Status, what: impl FnOnce() -> String) -> Result<(), Self> {
        let why = match status {
            0.. => return Ok(()),
            INVALID => "the runtime does not accept it",
            FULL => "a limit is reached, try again later",
            GONE => "this instance has ended",
            UNKNOWN => "there is nothing of that name",
            _ => "it failed, see the log",
        };
        Err(Self(format!("{}: {why}", what())))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

// `Error` is no `std::error::Error` itself, or this would collide with the reflexive `From`.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        Self(text)
    }
}
