//! How often somebody may try: exponential backoff per user and per address.
//!
//! An attempt counts as failed when it begins, and is uncounted when it succeeds: attempts at the same time are no way around.
//! Three tables, so that one cannot be flooded through another: users that exist (as many as there are), names that do not
//! exist (they fall into a fixed number of slots by a keyed hash, so that they look like users from outside, need no
//! eviction, and are not written down: people type passwords there), and addresses (when full, the least severe goes).

use crate::{AccessError, random};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// How many failures cost nothing but the attempt.
pub(crate) const FREE: u32 = 5;
/// The wait after the last free failure, in milliseconds; each further one doubles it.
const FIRST_WAIT: u64 = 1_000;
/// The longest wait, in milliseconds.
pub(crate) const LONGEST_WAIT: u64 = 15 * 60_000;
/// Failures are forgotten when none was added for this long, in milliseconds.
pub(crate) const QUIET: u64 = 60 * 60_000;
/// The most addresses.
const MAX_ADDRESSES: usize = 8192;
/// The slots for names that do not exist.
const SLOTS: u16 = 4096;

/// Failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Failures {
    count: u32,
    /// When the last attempt began.
    last: u64,
}

impl Failures {
    fn wait(self) -> u64 {
        match self.count.checked_sub(FREE) {
            None => 0,
            Some(beyond) => (FIRST_WAIT << beyond.min(20)).min(LONGEST_WAIT),
        }
    }

    fn is_quiet(self, now: u64) -> bool {
        now >= self.last.saturating_add(QUIET)
    }

    /// The rest of the wait. A clock that was set back starts the wait anew, and does not extend it by what it was wrong.
    fn left(&mut self, now: u64) -> u64 {
        self.last = self.last.min(now);
        if self.is_quiet(now) { 0 } else { (self.last + self.wait()).saturating_sub(now) }
    }
}

/// Who tries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Name<'a> {
    /// A user.
    Known(&'a str),
    /// Somebody who does not exist.
    Unknown(&'a str),
}

/// An attempt that was let through.
#[derive(Debug)]
pub(crate) struct Attempt {
    network: IpAddr,
    before: Option<Failures>,
    counted: Failures,
}

/// All failures.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Throttle {
    /// With it the slot of a name cannot be foretold.
    key: [u8; 16],
    users: BTreeMap<String, Failures>,
    slots: BTreeMap<u16, Failures>,
    addresses: BTreeMap<IpAddr, Failures>,
}

impl Throttle {
    pub(crate) fn new() -> Result<Self, AccessError> {
        Ok(Self {
            key: random()?,
            users: BTreeMap::new(),
            slots: BTreeMap::new(),
            addresses: BTreeMap::new(),
        })
    }

    /// How long this one has to wait; nothing is counted.
    pub(crate) fn wait(&mut self, name: Name, address: IpAddr, now: u64) -> Option<Duration> {
        let by_name = match name {
            Name::Known(name) => self.users.get_mut(name),
            Name::Unknown(name) => self.slots.get_mut(&slot(&self.key, name)),
        };
        let by_address = self.addresses.get_mut(&network(address));
        let longest = [by_name, by_address].into_iter().flatten().map(|f| f.left(now)).max().unwrap_or(0);
        (longest > 0).then(|| Duration::from_millis(longest))
    }

    /// Lets an attempt through and counts it, or tells how long to wait.
    pub(crate) fn admit(&mut self, name: Name, address: IpAddr, now: u64) -> Result<Attempt, Duration> {
        if let Some(wait) = self.wait(name, address, now) {
            return Err(wait);
        }
        match name {
            Name::Known(name) => count(&mut self.users, name.to_owned(), now),
            Name::Unknown(name) => count(&mut self.slots, slot(&self.key, name), now),
        };
        let network = network(address);
        self.make_room(&network, now);
        let before = count(&mut self.addresses, network, now);
        Ok(Attempt { network, before, counted: self.addresses[&network] })
    }

    /// The attempt succeeded: the user starts anew, the address is where it was before. (If it started anew too, somebody
    /// with an account could try everybody else's passwords without ever waiting.)
    pub(crate) fn succeeded(&mut self, user: &str, attempt: Attempt) {
        self.users.remove(user);
        let Some(now) = self.addresses.get_mut(&attempt.network) else { return };
        if *now != attempt.counted {
            // Others tried from there meanwhile.
            now.count = now.count.saturating_sub(1);
        } else if let Some(before) = attempt.before {
            *now = before;
        } else {
            self.addresses.remove(&attempt.network);
        }
    }

    /// Forgets the failures of a user, who was given a new password or removed.
    pub(crate) fn forget(&mut self, user: &str) {
        self.users.remove(user);
    }

    /// Drops what was quiet for long enough.
    pub(crate) fn sweep(&mut self, now: u64) {
        self.users.retain(|_, failures| !failures.is_quiet(now));
        self.slots.retain(|_, failures| !failures.is_quiet(now));
        self.addresses.retain(|_, failures| !failures.is_quiet(now));
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data")
    }

    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let fits = read.addresses.len() <= MAX_ADDRESSES && read.slots.keys().all(|slot| *slot < SLOTS);
        fits.then_some(read).ok_or_else(|| "it has more entries than this gateway makes".to_owned())
    }

    fn make_room(&mut self, network: &IpAddr, now: u64) {
        if self.addresses.len() < MAX_ADDRESSES || self.addresses.contains_key(network) {
            return;
        }
        self.addresses.retain(|_, failures| !failures.is_quiet(now));
        if self.addresses.len() < MAX_ADDRESSES {
            return;
        }
        let least = self.addresses.iter().min_by_key(|(_, failures)| (failures.count, failures.last));
        if let Some(network) = least.map(|(network, _)| *network) {
            self.addresses.remove(&network);
        }
    }
}

/// Counts an attempt, and tells how it was before.
fn count<K: Ord>(table: &mut BTreeMap<K, Failures>, key: K, now: u64) -> Option<Failures> {
    let before = table.get(&key).copied().filter(|failures| !failures.is_quiet(now));
    table.insert(key, Failures { count: before.map_or(0, |b| b.count).saturating_add(1), last: now });
    before
}

fn slot(key: &[u8; 16], name: &str) -> u16 {
    let digest = Sha256::new().chain_update(key).chain_update(name.as_bytes()).finalize();
    u16::from_be_bytes([digest[0], digest[1]]) % SLOTS
}

/// What counts as one address: in IPv6 a /64, as everybody has that many.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const START: u64 = 1_700_000_000_000;

    fn throttle() -> Throttle {
        Throttle::new().unwrap()
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n))
    }

    fn wait_s(result: &Result<Attempt, Duration>) -> u64 {
        result.as_ref().map_or_else(|wait| wait.as_millis().div_ceil(1000) as u64, |_| 0)
    }

    #[test]
    fn five_failures_are_free_then_the_waits_double_up_to_a_quarter_of_an_hour() {
        let mut throttle = throttle();
        let mut now = START;
        for _ in 0..FREE {
            throttle.admit(Name::Known("ann"), HERE, now).unwrap();
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            let wait = throttle.admit(Name::Known("ann"), HERE, now).unwrap_err();
            waits.push(wait.as_secs());
            now += wait.as_millis() as u64 - 1;
            assert_eq!(throttle.admit(Name::Known("ann"), HERE, now).unwrap_err(), Duration::from_millis(1));
            now += 1;
            throttle.admit(Name::Known("ann"), HERE, now).unwrap();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    }

    #[test]
    fn a_user_is_throttled_from_every_address_and_an_address_for_every_user() {
        let mut throttle = throttle();
        for n in 0..FREE {
            throttle.admit(Name::Known("ann"), address(n), START).unwrap();
        }
        assert!(throttle.admit(Name::Known("ann"), address(99), START).is_err());
        for user in ["b", "c", "d", "e", "f"] {
            throttle.admit(Name::Known(user), HERE, START).unwrap();
        }
        assert!(throttle.admit(Name::Known("g"), HERE, START).is_err());
        assert!(throttle.admit(Name::Known("g"), address(0), START).is_ok());
    }

    #[test]
    fn names_that_do_not_exist_are_throttled_like_users() {
        let mut throttle = throttle();
        for n in 0..FREE {
            throttle.admit(Name::Unknown("nobody"), address(n), START).unwrap();
        }
        let refused = throttle.admit(Name::Unknown("nobody"), address(99), START);
        assert_eq!(wait_s(&refused), 1);
        assert!(!String::from_utf8(throttle.to_json()).unwrap().contains("nobody"), "may be a password");
    }

    #[test]
    fn a_success_forgets_the_users_failures_but_not_the_addresss() {
        let mut throttle = throttle();
        for _ in 0..FREE - 1 {
            throttle.admit(Name::Known("ann"), HERE, START).unwrap();
        }
        let attempt = throttle.admit(Name::Known("ann"), HERE, START).unwrap();
        throttle.succeeded("ann", attempt);
        // One more is free for the address: the success itself did not count.
        throttle.admit(Name::Known("bob"), HERE, START).unwrap();
        assert_eq!(wait_s(&throttle.admit(Name::Known("bob"), HERE, START)), 1);
        for n in 0..FREE {
            throttle.admit(Name::Known("ann"), address(n), START).unwrap();
        }
    }

    #[test]
    fn successes_alone_never_throttle() {
        let mut throttle = throttle();
        for n in 0..100 {
            let attempt = throttle.admit(Name::Known("ann"), HERE, START + n).unwrap();
            throttle.succeeded("ann", attempt);
        }
        assert!(throttle.addresses.is_empty() && throttle.users.is_empty());
    }

    #[test]
    fn attempts_at_the_same_time_are_counted_before_they_end() {
        let mut throttle = throttle();
        let first = throttle.admit(Name::Known("ann"), HERE, START).unwrap();
        for _ in 1..FREE {
            throttle.admit(Name::Known("bob"), HERE, START + 1).unwrap();
        }
        assert!(throttle.admit(Name::Known("bob"), HERE, START + 2).is_err());
        throttle.succeeded("ann", first);
        assert!(throttle.admit(Name::Known("zoe"), HERE, START + 2).is_ok(), "the first is uncounted");
        assert!(throttle.admit(Name::Known("zoe"), HERE, START + 3).is_err());
    }

    #[test]
    fn failures_are_forgotten_after_a_quiet_hour_and_not_before() {
        let mut throttle = throttle();
        for _ in 0..FREE {
            throttle.admit(Name::Known("ann"), HERE, START).unwrap();
        }
        throttle.sweep(START + QUIET - 1);
        throttle.admit(Name::Known("ann"), HERE, START + QUIET - 1).unwrap();
        assert_eq!(wait_s(&throttle.admit(Name::Known("ann"), HERE, START + QUIET)), 2);
        let later = START + 2 * QUIET;
        for _ in 0..FREE {
            throttle.admit(Name::Known("ann"), HERE, later).unwrap();
        }
        throttle.sweep(later + QUIET);
        assert!(throttle.addresses.is_empty() && throttle.users.is_empty());
    }

    #[test]
    fn a_clock_that_was_set_back_starts_the_wait_anew_and_no_more() {
        let mut throttle = throttle();
        for _ in 0..FREE {
            throttle.admit(Name::Known("ann"), HERE, START).unwrap();
        }
        let set_back = START - 86_400_000;
        assert_eq!(wait_s(&throttle.admit(Name::Known("ann"), HERE, set_back)), 1);
        assert_eq!(wait_s(&throttle.admit(Name::Known("ann"), HERE, set_back + 999)), 1);
        assert!(throttle.admit(Name::Known("ann"), HERE, set_back + 1_000).is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_mapped_ipv4_is_itself() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8:1:2:3:4:5:6"), parse("2001:db8:1:2:ffff::1"));
        assert_ne!(parse("2001:db8:1:2::"), parse("2001:db8:1:3::"));
        assert_eq!(parse("::ffff:192.0.2.1"), HERE);
    }

    #[test]
    fn a_flood_of_names_and_addresses_evicts_neither_the_attacked_user_nor_the_attacker() {
        let mut throttle = throttle();
        for _ in 0..FREE {
            throttle.admit(Name::Known("ann"), HERE, START).unwrap();
        }
        for n in 0..MAX_ADDRESSES as u32 + 500 {
            let _counted = throttle.admit(Name::Unknown(&format!("x{n}")), address(n), START + 1);
        }
        assert_eq!(throttle.addresses.len(), MAX_ADDRESSES);
        assert!(throttle.slots.len() <= usize::from(SLOTS));
        assert!(throttle.admit(Name::Known("ann"), address(1_000_000), START + 2).is_err());
        assert!(throttle.admit(Name::Known("bob"), HERE, START + 2).is_err());
    }

    #[test]
    fn what_the_disk_has_cannot_be_more_than_we_would_keep() {
        assert!(Throttle::from_json("{}").is_err());
        let mut text = String::from_utf8(throttle().to_json()).unwrap();
        assert!(Throttle::from_json(&text).is_ok());
        text = text.replace("\"slots\":{}", "\"slots\":{\"9999\":{\"count\":1,\"last\":1}}");
        assert!(Throttle::from_json(&text).is_err());
    }

    proptest! {
        /// Whatever is tried, whenever, from wherever, with restarts and floods in between: wrong passwords are let through
        /// no faster than the schedule says, neither those of one user nor those of one address, and the longest wait is
        /// enough for the next one.
        #[test]
        fn never_more_attempts_than_the_schedule(
            steps in prop::collection::vec((0u64..200_000, 0u32..40, 0u8..10), 1..200),
        ) {
            let mut throttle = throttle();
            let mut now = START;
            let mut of_ann = None;
            let mut of_addresses = BTreeMap::new();
            for (pause, from, what) in steps {
                now += pause;
                match what {
                    0 => throttle = Throttle::from_json(&String::from_utf8(throttle.to_json()).unwrap()).unwrap(),
                    1 => throttle.sweep(now),
                    2 => for n in 0..50 {
                        if throttle.admit(Name::Unknown(&format!("{now}{n}")), address(n), now).is_ok() {
                            failed(of_addresses.entry(n).or_default(), now)?;
                        }
                    },
                    3 => if let Ok(attempt) = throttle.admit(Name::Known("bob"), address(from), now) {
                        throttle.succeeded("bob", attempt);
                    },
                    _ => if throttle.admit(Name::Known("ann"), address(from), now).is_ok() {
                        failed(&mut of_ann, now)?;
                        failed(of_addresses.entry(from).or_default(), now)?;
                    },
                }
            }
            prop_assert!(throttle.wait(Name::Known("ann"), address(1_000_000), now + LONGEST_WAIT).is_none());
        }
    }

    /// The schedule as the documents tell it: how many failures in a row, and when the last one was.
    fn failed(row: &mut Option<(u32, u64)>, now: u64) -> Result<(), TestCaseError> {
        let (failures, last) = row.filter(|(_, last)| now - last < QUIET).unwrap_or((0, 0));
        let wait_s = if failures < 5 { 0 } else { 2u64.pow((failures - 5).min(10)).min(900) };
        prop_assert!(now >= last + wait_s * 1000, "{} ms after {failures} failures", now - last);
        *row = Some((failures + 1, now));
        Ok(())
    }
}
