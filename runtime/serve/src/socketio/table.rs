//! Who has a session, and who makes room when there are too many.
//!
//! A WebSocket session is bounded by its connection. A polling session costs its peer one request and us its memory until
//! it expires, so a peer may not keep others out with sessions that it only begins.

use super::client::Client;
use crate::lock;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Who has been silent for so long makes room for anybody: a client that polls is back after one round trip.
const SILENT: Duration = Duration::from_secs(5);
/// An address that has so many silent sessions more than the newcomer's makes room at once.
const UNFAIR: usize = 8;

/// The sessions by their ids.
#[derive(Default)]
pub(super) struct Table {
    clients: Mutex<HashMap<String, Arc<Client>>>,
}

/// Whether there is a place for one more session.
pub(super) enum Place {
    Free,
    /// When this one, which is out of the table already, has been ended.
    Of(Arc<Client>),
    None,
}

impl Table {
    pub(super) fn get(&self, sid: &str) -> Option<Arc<Client>> {
        lock(&self.clients).get(sid).cloned()
    }

    pub(super) fn insert(&self, client: &Arc<Client>) {
        lock(&self.clients).insert(client.sid.clone(), client.clone());
    }

    pub(super) fn remove(&self, client: &Client) {
        lock(&self.clients).remove(&client.sid);
    }

    pub(super) fn all(&self) -> Vec<Arc<Client>> {
        lock(&self.clients).values().cloned().collect()
    }

    /// Looks for a place for a newcomer from `peer` among `limit`.
    pub(super) fn place(&self, limit: usize, peer: IpAddr, now: Instant) -> Place {
        let mut clients = lock(&self.clients);
        if clients.len() < limit {
            return Place::Free;
        }
        let sessions = clients.values().map(|client| Silent {
            sid: &client.sid,
            network: network(client.peer().ip()),
            since: client.silent_since(),
            ended: client.ended().is_some(),
        });
        let Some(sid) = choose(sessions, network(peer), now).map(str::to_owned) else { return Place::None };
        clients.remove(&sid).map_or(Place::None, Place::Of)
    }
}

/// What decides whether a session makes room.
struct Silent<'a> {
    sid: &'a str,
    network: IpAddr,
    /// `None`: it is not silent.
    since: Option<Instant>,
    ended: bool,
}

/// The session that makes room: one that has ended; else of the network that has most silent ones the one that has been
/// silent longest.
fn choose<'a>(sessions: impl Iterator<Item = Silent<'a>>, newcomer: IpAddr, now: Instant) -> Option<&'a str> {
    // Per network: how many, and the one that has been silent longest.
    let mut networks: HashMap<IpAddr, (usize, Instant, &str)> = HashMap::new();
    for session in sessions {
        let Some(since) = session.since else { continue };
        if session.ended {
            return Some(session.sid);
        }
        let (count, oldest, sid) = networks.entry(session.network).or_insert((0, since, session.sid));
        *count += 1;
        if since < *oldest {
            (*oldest, *sid) = (since, session.sid);
        }
    }
    let own = networks.get(&newcomer).map_or(0, |(count, ..)| *count);
    let (count, since, sid) =
        networks.into_values().max_by_key(|(count, since, _)| (*count, std::cmp::Reverse(*since)))?;
    (count > own + UNFAIR || now >= since + SILENT).then_some(sid)
}

/// Whom an address belongs to: with IPv6 everybody has a whole network of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::{SILENT, Silent, choose, network};
    use std::net::IpAddr;
    use std::time::{Duration, Instant};

    const FLOOD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 66));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn silent(sid: &str, network: IpAddr, since: Instant) -> Silent<'_> {
        Silent { sid, network, since: Some(since), ended: false }
    }

    #[test]
    fn a_flood_makes_room_for_others_and_not_the_others_for_the_flood() {
        let start = Instant::now();
        let now = start + Duration::from_millis(100);
        let names: Vec<String> = (0..20).map(|i| format!("flood{i}")).collect();
        let all = || {
            let flood = names.iter().enumerate();
            let flood = flood.map(|(i, sid)| silent(sid, FLOOD, start + Duration::from_millis(i as u64 + 1)));
            flood.chain([silent("lone", OTHER, start)])
        };
        assert_eq!(choose(all(), OTHER, now), Some("flood0"), "the oldest of the flood");
        assert_eq!(choose(all(), FLOOD, now), None, "it has enough");
        assert_eq!(choose(all(), FLOOD, now + SILENT), Some("flood0"), "who is silent for long is nobody");
    }

    #[test]
    fn who_polls_keeps_its_place_and_who_has_ended_does_not() {
        let now = Instant::now();
        let busy = || Silent { since: None, ..silent("busy", FLOOD, now) };
        assert_eq!(choose([busy()].into_iter(), OTHER, now + SILENT), None);
        let ended = Silent { ended: true, ..silent("ended", OTHER, now) };
        assert_eq!(choose([busy(), silent("new", FLOOD, now), ended].into_iter(), OTHER, now), Some("ended"));
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
