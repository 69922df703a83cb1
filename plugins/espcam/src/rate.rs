//! How much anybody may send, in a table that does not grow with the addresses that somebody invents.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

/// Addresses that fall on the same cell share it. Which do is random for each start.
const CELLS: usize = 4096;

/// A token bucket that holds one second's worth.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    last: Duration,
}

impl Bucket {
    fn full(per_second: u32) -> Self {
        Self { tokens: per_second.into(), last: Duration::ZERO }
    }

    fn take(&mut self, now: Duration, per_second: u32) -> bool {
        let passed = now.saturating_sub(self.last).as_secs_f64();
        self.last = self.last.max(now);
        self.tokens = (self.tokens + passed * f64::from(per_second)).min(per_second.into());
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

/// So many a second of one address, and of all together.
#[derive(Debug)]
pub(crate) struct Rate {
    each: u32,
    all: u32,
    hasher: RandomState,
    cells: Vec<Bucket>,
    total: Bucket,
}

impl Rate {
    pub(crate) fn new(each: u32, all: u32) -> Self {
        let cells = vec![Bucket::full(each); CELLS];
        Self { each, all, hasher: RandomState::new(), cells, total: Bucket::full(all) }
    }

    /// Whether one more of this address is within both.
    pub(crate) fn allows(&mut self, now: Duration, address: IpAddr) -> bool {
        let cell = self.hasher.hash_one(address) % CELLS as u64;
        let cell = &mut self.cells[usize::try_from(cell).expect("a remainder is below the number of cells")];
        // Its own first: what it sends beyond that must take nothing from the others.
        cell.take(now, self.each) && self.total.take(now, self.all)
    }
}

/// Whom an address belongs to: in IPv6 everybody has a /64 of them.
pub(crate) fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::{Rate, owner};
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[test]
    fn what_one_sends_too_much_takes_nothing_from_the_others() {
        let mut rate = Rate::new(10, 25);
        let now = Duration::from_secs(5);
        let mut taken = |last, count| (0..count).filter(|_| rate.allows(now, address(last))).count();
        assert_eq!(taken(1, 1000), 10);
        assert_eq!(taken(2, 10), 10);
        assert_eq!(taken(3, 10), 5, "and all together 25");
    }

    #[test]
    fn time_gives_it_back_and_time_that_goes_backwards_nothing() {
        let mut rate = Rate::new(10, 100);
        let mut taken = |ms| (0..50).filter(|_| rate.allows(Duration::from_millis(ms), address(1))).count();
        assert_eq!((taken(1000), taken(1500), taken(1000), taken(60_000)), (10, 5, 0, 10));
    }

    #[test]
    fn an_owner_of_addresses_is_a_network_in_ipv6() {
        let owner = |text: &str| owner(text.parse().unwrap()).to_string();
        assert_eq!(owner("10.1.2.3"), "10.1.2.3");
        assert_eq!(owner("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(owner("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
