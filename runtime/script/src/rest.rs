//! Functions that cost too much rest, so that others get their turn.

use crate::error::{ErrorKind, ScriptError};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A function rests so many times as long as the call took that passed a limit: it can have a fifth of the thread.
const FACTOR: u32 = 4;

/// The functions of one program that rest, each with the error that it would give again.
#[derive(Debug, Default)]
pub(crate) struct Resting(HashMap<String, (Instant, ScriptError)>);

impl Resting {
    /// The error of a function that rests at that time.
    pub(crate) fn error(&mut self, function: &str, now: Instant) -> Option<ScriptError> {
        let (until, error) = self.0.get(function)?;
        if now < *until {
            return Some(error.clone());
        }
        self.0.remove(function);
        None
    }

    /// Notes how a call ended, and how long it took.
    pub(crate) fn note(&mut self, function: &str, error: &ScriptError, took: Duration, now: Instant) {
        if error.kind == ErrorKind::Limit
            && let Some(until) = now.checked_add(took * FACTOR)
        {
            self.0.insert(function.to_owned(), (until, error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_function_that_passed_a_limit_rests_and_not_for_ever() {
        let mut resting = Resting::default();
        let now = Instant::now();
        let ms = Duration::from_millis;
        let failed = ScriptError::whole("a.rhai", "wrong");
        let limit = ScriptError { kind: ErrorKind::Limit, ..failed.clone() };
        resting.note("wrong", &failed, ms(20), now);
        resting.note("slow", &limit, ms(20), now);
        assert_eq!(resting.error("wrong", now), None);
        assert_eq!(resting.error("other", now), None);
        assert_eq!(resting.error("slow", now + ms(79)), Some(limit));
        assert_eq!(resting.error("slow", now + ms(80)), None);
    }
}
