//! How many connections each address has.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

/// Counts connections by address. It knows only those that have one, so it is bounded by their number.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// The most of one address; 0 is no limit.
    most: usize,
    taken: Mutex<BTreeMap<IpAddr, usize>>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    addresses: Arc<Addresses>,
    who: IpAddr,
}

impl Addresses {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A place for one more connection of this address, or `None` when it has as many as it may.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let who = household(address);
        let mut taken = crate::lock(&self.taken);
        let count = taken.entry(who).or_default();
        // At the limit it is not zero, so that no empty entry stays.
        if self.most > 0 && *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), who })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = crate::lock(&self.addresses.taken);
        match taken.get_mut(&self.who) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.remove(&self.who);
            }
        }
    }
}

/// Whoever has one IPv6 address has the other 2^64 of its network as well.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_places_and_gives_them_back() {
        let addresses = Addresses::new(2);
        let first = addresses.take(ip("10.0.0.1")).unwrap();
        let second = addresses.take(ip("::ffff:10.0.0.1")).expect("the same address, written otherwise");
        assert!(addresses.take(ip("10.0.0.1")).is_none());
        let other = addresses.take(ip("10.0.0.2"));
        assert!(other.is_some());
        drop(first);
        assert!(addresses.take(ip("10.0.0.1")).is_some());
        drop((second, other));
        assert!(crate::lock(&addresses.taken).is_empty(), "nothing is remembered of who has gone");
    }

    #[test]
    fn a_network_of_one_ipv6_household_is_one_address() {
        let addresses = Addresses::new(1);
        let _place = addresses.take(ip("2001:db8:0:1::1")).unwrap();
        assert!(addresses.take(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(addresses.take(ip("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn zero_is_no_limit() {
        let addresses = Addresses::new(0);
        let places: Vec<_> = (0..1000).map_while(|_| addresses.take(ip("127.0.0.1"))).collect();
        assert_eq!(places.len(), 1000);
    }
}
