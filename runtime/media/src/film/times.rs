//! What time it is in a film: whatever a file says, time begins at 0 and goes forward.

/// What goes back by more than this has begun anew: a counter that wrapped, or two recordings in one file. In nanoseconds.
const ANEW: i64 = 1_000_000_000;
/// The step when nothing says how long a picture is shown: 25 a second.
const STEP: i64 = 40_000_000;
/// By so much time goes forward at least.
const LEAST: i64 = 1_000_000;

/// No file means a time that is farther than this from 0.
const FARTHEST: i64 = i64::MAX / 16;

/// Makes times that begin at 0 and always grow from those of a file, which may be missing, repeated, out of order, or begin
/// anew.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// What is added to the file's times.
    shift: i64,
    /// The last picture's own time, if it had one, and the time it got.
    last: Option<(Option<i64>, i64)>,
    /// From one picture to the next, as last seen.
    step: Option<i64>,
}

impl Times {
    /// The time of the next picture, in seconds, from its own time and from how long its stream says that each is shown.
    pub(super) fn next(&mut self, own_ns: Option<i64>, nominal_ns: Option<i64>) -> f64 {
        // So that no sum of them overflows: a film of ten years.
        let own_ns = own_ns.map(|own| own.clamp(-FARTHEST, FARTHEST));
        let step = nominal_ns.or(self.step).filter(|step| *step > 0).unwrap_or(STEP);
        let time = match (self.last, own_ns) {
            (None, own) => {
                self.shift = own.unwrap_or(0).saturating_neg();
                0
            }
            (Some((_, last)), None) => last + step,
            // Shown twice, or a file that has one time for all.
            (Some((Some(before), last)), Some(own)) if before == own => last + step,
            (Some((_, last)), Some(own)) => {
                let time = own.saturating_add(self.shift);
                if time > last {
                    if nominal_ns.is_none() {
                        self.step = Some((time - last).min(ANEW));
                    }
                    time.max(last + LEAST)
                } else if last - time < ANEW {
                    // Pictures out of order.
                    last + LEAST
                } else {
                    self.shift = (last + step).saturating_sub(own);
                    last + step
                }
            }
        };
        self.last = Some((own_ns, time));
        time as f64 / 1e9
    }
}

/// Chooses pictures so that there are at most so many in a second, as evenly as their times allow.
#[derive(Debug)]
pub(super) struct Thinner {
    interval_s: f64,
    due_s: f64,
    last_s: Option<f64>,
}

impl Thinner {
    pub(super) fn new(fps: f64) -> Self {
        let interval_s = if fps.is_finite() && fps > 0.0 { 1.0 / fps } else { 0.0 };
        Self { interval_s, due_s: f64::NEG_INFINITY, last_s: None }
    }

    pub(super) fn wants(&mut self, t_s: f64) -> bool {
        // A picture that is early by less than half the distance of pictures is nearer than the next one.
        let early = self.last_s.map_or(0.0, |last| (t_s - last) / 2.0).min(self.interval_s / 2.0);
        self.last_s = Some(t_s);
        if t_s + early < self.due_s {
            return false;
        }
        self.due_s += self.interval_s;
        if self.due_s <= t_s {
            // After a pause nothing is made up for.
            self.due_s = t_s + self.interval_s;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(own_ms: &[Option<i64>], nominal_ms: Option<i64>) -> Vec<i64> {
        let mut times = Times::default();
        let ns = |ms: i64| ms * 1_000_000;
        own_ms
            .iter()
            .map(|own| (times.next(own.map(ns), nominal_ms.map(ns)) * 1000.0).round() as i64)
            .collect()
    }

    #[test]
    fn time_begins_with_the_first_picture_and_keeps_the_pauses() {
        assert_eq!(times(&[Some(36_000_000), Some(36_000_040), Some(36_005_000)], None), [0, 40, 5000]);
    }

    #[test]
    fn what_has_no_time_follows_at_the_streams_rate() {
        assert_eq!(times(&[None, None, None], Some(100)), [0, 100, 200]);
        assert_eq!(times(&[Some(0), None, Some(200)], Some(100)), [0, 100, 200]);
        assert_eq!(times(&[None, None], None), [0, 40]);
        assert_eq!(times(&[Some(0), Some(50), None], None), [0, 50, 100]);
        assert_eq!(times(&[Some(7), Some(7), Some(7)], Some(100)), [0, 100, 200]);
    }

    #[test]
    fn a_counter_that_wraps_or_begins_anew_does_not_turn_time_back() {
        let own = [Some(95_443_600), Some(95_443_700), Some(0), Some(100), Some(200)];
        assert_eq!(times(&own, Some(100)), [0, 100, 200, 300, 400]);
    }

    #[test]
    fn pictures_out_of_order_do_not_shift_the_others() {
        assert_eq!(times(&[Some(0), Some(40), Some(30), Some(80)], Some(40)), [0, 40, 41, 80]);
    }

    #[test]
    fn the_most_absurd_times_make_time_grow() {
        let mut times = Times::default();
        let mut last = -1.0;
        for own in [i64::MAX, i64::MIN, 0, i64::MIN, i64::MAX / 2, -1, 5] {
            let t = times.next(Some(own), None);
            assert!(t > last, "{own}: {t} after {last}");
            last = t;
        }
    }

    fn chosen(fps: f64, times: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut thinner = Thinner::new(fps);
        times.filter(|t| thinner.wants(*t)).collect()
    }

    #[test]
    fn thinning_takes_the_nearest_pictures_and_never_too_many() {
        let all = |rate: f64, n: u32| (0..n).map(move |n| f64::from(n) / rate);
        assert_eq!(chosen(10.0, all(10.0, 100)).len(), 100);
        assert_eq!(chosen(10.0, all(9.99, 100)).len(), 100);
        assert_eq!(chosen(10.0, all(5.0, 50)).len(), 50);
        assert_eq!(chosen(10.0, all(30.0, 300)).len(), 100);
        assert_eq!(chosen(10.0, all(25.0, 250)).len(), 100);
        assert_eq!(chosen(12.5, all(25.0, 250)).len(), 125);
        let of_25 = chosen(10.0, all(25.0, 250));
        assert!(of_25.windows(2).all(|w| (0.07..0.13).contains(&(w[1] - w[0]))), "{of_25:?}");
    }

    #[test]
    fn after_a_pause_nothing_is_made_up_for() {
        let times = (0..30).map(|n| f64::from(n) / 30.0).chain((0..60).map(|n| 100.0 + f64::from(n) / 30.0));
        let chosen = chosen(10.0, times);
        assert_eq!(chosen.iter().filter(|t| **t >= 100.0).count(), 20, "{chosen:?}");
    }
}
