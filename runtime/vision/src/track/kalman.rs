//! A Kalman filter of one coordinate that moves with nearly constant speed.

/// Where something is on one axis, how fast it goes, and how sure both are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) place: f32,
    /// Per second.
    pub(crate) speed: f32,
    /// Variances of place and speed, and what they share.
    cov: [f32; 3],
}

impl Axis {
    /// First seen at `place`, known to `sigma`, with a speed of 0 known to `speed_sigma`.
    pub(crate) fn new(place: f32, sigma: f32, speed_sigma: f32) -> Self {
        Self { place, speed: 0.0, cov: [sigma * sigma, 0.0, speed_sigma * speed_sigma] }
    }

    /// `dt` seconds later, when it may have been accelerated by about `acceleration` (per second squared).
    pub(crate) fn predict(&mut self, dt: f32, acceleration: f32) {
        let [p, c, v] = self.cov;
        let q = acceleration * acceleration;
        self.place += self.speed * dt;
        self.cov = [
            p + 2.0 * dt * c + dt * dt * v + q * dt.powi(4) / 4.0,
            c + dt * v + q * dt.powi(3) / 2.0,
            v + q * dt * dt,
        ];
    }

    /// It was seen at `place`, give or take `sigma`.
    pub(crate) fn observe(&mut self, place: f32, sigma: f32) {
        let [p, c, v] = self.cov;
        let sum = (p + sigma * sigma).max(f32::MIN_POSITIVE);
        let (gain, speed_gain) = (p / sum, c / sum);
        let off = place - self.place;
        self.place += gain * off;
        self.speed += speed_gain * off;
        self.cov = [(1.0 - gain) * p, (1.0 - gain) * c, (v - speed_gain * c).max(0.0)];
    }

    /// What is not seen is believed to slow down: who goes behind something often stays there.
    pub(crate) fn brake(&mut self, dt: f32, seconds: f32) {
        self.speed *= (-dt / seconds).exp();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_walk_is_learned_and_foretold() {
        let mut axis = Axis::new(0.0, 0.01, 0.5);
        for n in 1..=30 {
            axis.predict(0.1, 0.2);
            axis.observe(0.02 * n as f32, 0.01);
        }
        assert!((axis.speed - 0.2).abs() < 0.01, "{axis:?}");
        axis.predict(1.0, 0.2);
        assert!((axis.place - 0.8).abs() < 0.02, "{axis:?}");
    }

    #[test]
    fn one_wild_measurement_is_taken_with_care() {
        let mut axis = Axis::new(0.5, 0.01, 0.1);
        for _ in 0..30 {
            axis.predict(0.1, 0.05);
            axis.observe(0.5, 0.01);
        }
        axis.predict(0.1, 0.05);
        axis.observe(0.7, 0.01);
        assert!(axis.place < 0.6, "{axis:?}");
    }
}
