//! Whether pictures are looked at: told when it changes, and not with every picture before a detector that comes and goes.

use std::time::Duration;

/// How long no picture may have failed before it is believed that it is over.
const CALM: Duration = Duration::from_secs(10);

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A picture is stored without having been looked at, and none was for a while.
    Lost,
    /// They are looked at again.
    Back,
}

/// Whether pictures are looked at.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    /// When a picture was not looked at last, until it is over.
    failed: Option<Duration>,
}

impl Sight {
    /// A picture was looked at, or not.
    pub(crate) fn judge(&mut self, at: Duration, is_looked_at: bool) -> Option<Change> {
        let before = self.failed;
        if !is_looked_at {
            self.failed = Some(at);
            return before.is_none().then_some(Change::Lost);
        }
        if at < before? + CALM {
            return None;
        }
        self.failed = None;
        Some(Change::Back)
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Sight};
    use std::time::Duration;

    #[test]
    fn a_detector_that_comes_and_goes_is_told_of_once() {
        let mut sight = Sight::default();
        let mut judge = |second, looked| sight.judge(Duration::from_secs(second), looked);
        assert_eq!(judge(0, true), None);
        assert_eq!(judge(1, false), Some(Change::Lost));
        for second in 2..100 {
            assert_eq!(judge(second, second % 2 == 0), None, "second {second}");
        }
        assert_eq!((judge(108, true), judge(109, true), judge(110, true)), (None, Some(Change::Back), None));
        assert_eq!(judge(111, false), Some(Change::Lost));
    }
}
