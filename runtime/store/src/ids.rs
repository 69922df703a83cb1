//! Record ids: UUIDv7 that never fall.

use uuid::{Builder, Uuid};

/// Bits beside the time: 12 of `rand_a` and 62 of `rand_b`, used as one counter that starts at random in each
/// millisecond (RFC 9562, section 6.2, method 2).
const COUNTER_BITS: u32 = 74;

/// Makes ids that rise, whatever the clock does.
#[derive(Debug)]
pub(crate) struct Ids {
    ms: u64,
    counter: u128,
}

impl Ids {
    /// Continues after `last`, the newest id of the store.
    pub(crate) fn after(last: Option<Uuid>) -> Self {
        let bits = last.map_or(0, |id| id.as_u128());
        let (rand_a, rand_b) = ((bits >> 64) & 0xfff, bits & ((1 << 62) - 1));
        Self { ms: (bits >> 80) as u64, counter: (rand_a << 62) | rand_b }
    }

    /// The next id at this time (Unix, milliseconds). A clock that stands or went back counts on in the millisecond
    /// of the last id.
    pub(crate) fn next(&mut self, now_ms: i64) -> Uuid {
        let now = u64::try_from(now_ms).unwrap_or(0).min((1 << 48) - 1);
        if now > self.ms {
            self.ms = now;
            // The highest bit stays free, so that a millisecond cannot run out.
            self.counter = random() & ((1 << (COUNTER_BITS - 1)) - 1);
        } else {
            self.counter += 1;
            if self.counter >> COUNTER_BITS != 0 {
                self.ms += 1;
                self.counter = 0;
            }
        }
        let (rand_a, rand_b) = (self.counter >> 62, self.counter & ((1 << 62) - 1));
        let bits = (u128::from(self.ms) << 80) | (rand_a << 64) | rand_b;
        // The builder sets the bits of version and variant, which the counter leaves out.
        Builder::from_u128(bits)
            .with_version(uuid::Version::SortRand)
            .with_variant(uuid::Variant::RFC4122)
            .into_uuid()
    }
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("Linux gives random numbers after booting");
    u128::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn ids_rise_whatever_the_clock_does(times: Vec<i64>) {
            let (mut ids, mut last) = (Ids::after(None), Uuid::nil());
            for time in times {
                let id = ids.next(time);
                proptest::prop_assert!(id > last, "{id} after {last}");
                proptest::prop_assert_eq!(id.get_version_num(), 7);
                last = id;
                ids = Ids::after(Some(last));
            }
        }
    }

    #[test]
    fn an_id_tells_the_time_it_was_made_at() {
        let id = Ids::after(None).next(1_700_000_000_123);
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_700_000_000, 123_000_000));
    }

    #[test]
    fn a_millisecond_that_is_used_up_moves_to_the_next() {
        let mut ids = Ids { ms: 5, counter: (1 << COUNTER_BITS) - 1 };
        let full = ids.next(3);
        assert!(ids.next(3) > full);
        assert_eq!(ids.ms, 6);
    }
}
