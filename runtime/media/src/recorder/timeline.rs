//! From capture times to times in a file. Pure.

/// How long a frame is shown before anything is known of the rate.
const UNKNOWN_NS: u64 = 33_333_333;
/// Times in a file are told apart by at least this.
const LEAST_NS: u64 = 1_000_000;

/// The time of one file. Time goes on while a camera gives nothing, and stands still in a pause.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline {
    /// The capture time that is zero in the file.
    zero: Option<u64>,
    last: u64,
    /// How long a frame usually lasts.
    interval: Option<u64>,
    paused: bool,
}

impl Timeline {
    /// Where a frame belongs, in nanoseconds from the beginning of the file.
    pub(crate) fn place(&mut self, captured_ns: u64) -> u64 {
        let Some(zero) = self.zero else {
            self.zero = Some(captured_ns);
            self.paused = false;
            return 0;
        };
        if std::mem::take(&mut self.paused) {
            let at = self.duration();
            self.zero = Some(captured_ns.saturating_sub(at));
            self.last = at;
            return at;
        }
        let at = captured_ns.saturating_sub(zero).max(self.last + LEAST_NS);
        let step = at - self.last;
        // A gap says nothing about the rate.
        self.interval = Some(match self.interval {
            None => step,
            Some(usual) if step > usual * 4 => usual,
            Some(usual) => (usual * 7 + step) / 8,
        });
        self.last = at;
        at
    }

    /// Time stands still until the next frame.
    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// How long the file lasts now, in nanoseconds.
    pub(crate) fn duration(&self) -> u64 {
        self.zero.map_or(0, |_| self.last + self.interval.unwrap_or(UNKNOWN_NS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_pause_takes_no_time() {
        let mut time = Timeline::default();
        for n in 0..10 {
            assert_eq!(time.place((1_000 + n * 100) * MS), n * 100 * MS);
        }
        time.pause();
        assert_eq!(time.place(60_000 * MS), 1_000 * MS);
        assert_eq!(time.place(60_100 * MS), 1_100 * MS);
        assert_eq!(time.duration(), 1_200 * MS);
    }

    #[test]
    fn missing_frames_leave_a_gap_and_time_never_goes_back() {
        let mut time = Timeline::default();
        assert_eq!(time.place(500 * MS), 0);
        assert_eq!(time.place(600 * MS), 100 * MS);
        assert_eq!(time.place(5_600 * MS), 5_100 * MS);
        assert_eq!(time.duration(), 5_200 * MS);
        assert_eq!(time.place(100 * MS), 5_101 * MS);
    }

    #[test]
    fn a_pause_before_the_first_frame_is_nothing() {
        let mut time = Timeline::default();
        time.pause();
        assert_eq!([time.place(700 * MS), time.place(740 * MS)], [0, 40 * MS]);
    }
}
