//! What a thread is in the middle of, and may not come back from.

use crate::lock;
use std::sync::Mutex;
use std::time::Instant;

/// From so many seconds on it is told, and again then. Not more often: each time is a line of the log.
const STEPS: [u64; 4] = [10, 60, 600, 3600];

/// What an analysis is doing, if it is something that may take for ever.
#[derive(Default)]
pub(crate) struct Doing(Mutex<Option<(&'static str, Instant)>>);

impl Doing {
    /// Something begins, such as `the detector`.
    pub(crate) fn begins(&self, what: &'static str, now: Instant) {
        *lock(&self.0) = Some((what, now));
    }

    /// It has ended.
    pub(crate) fn ends(&self) {
        *lock(&self.0) = None;
    }

    /// A sentence, when it takes too long, that ends in what else can be used.
    pub(crate) fn overdue(&self, now: Instant, instead: &str) -> Option<String> {
        let (what, since) = (*lock(&self.0))?;
        let seconds = now.saturating_duration_since(since).as_secs();
        let step = STEPS.into_iter().rfind(|step| seconds >= *step)?;
        Some(format!(
            "{what} has not returned for {step} s: use {instead}; if it never does, restart the gateway"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_does_not_return_is_told_in_steps() {
        let begin = Instant::now();
        let doing = Doing::default();
        let told = |seconds| {
            let text = doing.overdue(begin + Duration::from_secs(seconds), "another")?;
            let rest = text.strip_prefix("the detector has not returned for ")?;
            rest.split_once(" s: use").map(|(step, _)| step.to_owned())
        };
        assert_eq!(told(100), None);
        doing.begins("the detector", begin);
        let steps = [9, 10, 59, 60, 599, 600, 9999].map(told);
        let expected = ["", "10", "10", "60", "60", "600", "3600"];
        assert_eq!(steps.map(Option::unwrap_or_default), expected);
        doing.ends();
        assert_eq!(told(100), None);
    }
}
