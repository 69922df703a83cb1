//! All transfers of all devices: datagrams and times in, replies and effects out. No I/O, no clock.
//!
//! A transfer is known by the device's id and its source address. As soon as its picture is whole it goes to the store, by way
//! of a detector if there is one, and from then on nothing of it is acknowledged before the store has it: the device's last
//! packet and its question whether it is done are answered when the picture is on the disk, or refused, so that the device
//! comes back. What was stored is remembered for a while, because devices repeat what they got no answer to.

mod effect;
mod looking;
mod storing;

use crate::Config;
use crate::datagram::{self, Data, Datagram, Nack, Refusal, Request, data_reply, end_reply};
use crate::figures::Figures;
use crate::picture::Picture;
use crate::plan::Plan;
use crate::rate::{Rate, owner};
use crate::transfer::{PART_COST, Progress, Transfer};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use storing::{Finished, Stores};

pub use effect::{Effect, Moment};

/// The same request within this time of the one before is taken for an echo of the network: devices wait 5 s and more.
const ECHO: Duration = Duration::from_secs(2);
/// How long a device that may have begun anew has for sending everything again.
const SETTLE: Duration = Duration::from_secs(2);
/// How long an accepted request may stay without data. A device whose reply was lost asks again before.
const EMPTY: Duration = Duration::from_secs(10);
/// From this age on such a request makes room for others when there is none.
const EVICTABLE: Duration = Duration::from_secs(1);
/// A transfer that takes longer is over, however often it gives a sign of life. 255 packets that are all sent a few times
/// take less.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Whose transfer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    device: u8,
    source: SocketAddr,
}

/// All transfers of all devices.
#[derive(Debug)]
pub struct Session {
    config: Config,
    transfers: HashMap<Key, Transfer>,
    /// How many transfers an address has.
    per_address: HashMap<IpAddr, usize>,
    /// Transfers in the order of their requests; those that have got data or are gone are skipped.
    asked: VecDeque<(Key, u64)>,
    stores: Stores,
    /// Bytes of all transfers that are open.
    bytes: usize,
    serial: u64,
    /// Makes the keys of pictures different from those of every other start.
    start: u64,
    datagram_rate: Rate,
    request_rate: Rate,
    figures: Figures,
}

impl Session {
    /// No transfers yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let limits = &config.limits;
        let datagrams = (limits.datagrams_per_second_per_address, limits.datagrams_per_second);
        let requests = (limits.requests_per_second_per_address, limits.requests_per_second);
        Self {
            transfers: HashMap::new(),
            per_address: HashMap::new(),
            asked: VecDeque::new(),
            stores: Stores::default(),
            bytes: 0,
            serial: 0,
            start: RandomState::new().hash_one(0),
            datagram_rate: Rate::new(datagrams.0, datagrams.1),
            request_rate: Rate::new(requests.0, requests.1),
            figures: Figures::default(),
            config,
        }
    }

    /// What was counted, and what is there now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let held_bytes = self.bytes + self.stores.bytes();
        Figures { open_transfers: self.transfers.len(), held_bytes, ..self.figures }
    }

    /// Whether there is nothing that [`tick`](Self::tick) could do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.transfers.is_empty() && self.stores.is_empty()
    }

    /// A datagram has come.
    pub fn datagram(&mut self, now: Moment, from: SocketAddr, bytes: &[u8], effects: &mut Vec<Effect>) {
        self.figures.datagrams += 1;
        if !self.datagram_rate.allows(now.at, owner(from.ip())) {
            self.figures.limited += 1;
            return;
        }
        let reply = match datagram::read(bytes) {
            Ok(Datagram::Ignored) => None,
            Ok(Datagram::Request(request)) => {
                let answer = self.request(now, from, &request);
                self.figures.malformed += u64::from(answer == Err(Refusal::Malformed));
                self.figures.refused += u64::from(answer.is_err());
                Some(request.reply(answer))
            }
            Ok(Datagram::Data(data)) => {
                let answer = self.data(now, from, &data, effects);
                self.figures.malformed += u64::from(answer == Some(Err(Nack::BadLength)));
                self.figures.put_off += u64::from(answer == Some(Err(Nack::NotNow)));
                answer.map(|answer| data_reply(data.device, data.index, data.length, answer))
            }
            Ok(Datagram::End { device, packets }) => {
                self.end(now, Key { device, source: from }, packets, effects)
            }
            Err(malformed) => {
                self.figures.malformed += 1;
                malformed.reply()
            }
        };
        effects.extend(reply.map(|datagram| Effect::Send { to: from, datagram }));
    }

    fn request(&mut self, now: Moment, from: SocketAddr, request: &Request<'_>) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let plan = Plan::of(request, limits.picture_bytes)?;
        let address = owner(from.ip());
        if !self.request_rate.allows(now.at, address) {
            return Err(Refusal::Busy);
        }
        let key = Key { device: request.device, source: from };
        if let Some(transfer) = self.transfers.get_mut(&key) {
            if transfer.plan == plan && now.at < transfer.asked + ECHO {
                transfer.doubt(now.at);
                self.figures.transfers += 1;
                return Ok(());
            }
            self.abort(&key);
        } else {
            let used = self.bytes + self.stores.bytes();
            let address_is_full =
                self.per_address.get(&address).is_some_and(|count| *count >= limits.transfers_per_address);
            let is_full = self.transfers.len() + self.stores.open() >= limits.transfers;
            if address_is_full || used >= limits.bytes / 4 * 3 || (is_full && !self.evict(now)) {
                return Err(Refusal::Busy);
            }
        }
        self.stores.begin_anew(&key, plan, now.at);
        self.serial += 1;
        self.transfers.insert(key, Transfer::new(plan, self.serial, now.at));
        *self.per_address.entry(address).or_default() += 1;
        self.asked.push_back((key, self.serial));
        if self.asked.len() > 2 * self.transfers.len() + 64 {
            let transfers = &self.transfers;
            self.asked.retain(|(key, serial)| is_empty(transfers, key, *serial));
        }
        self.figures.transfers += 1;
        Ok(())
    }

    /// Makes room: the oldest transfer that never got any data goes. Whether there was one.
    fn evict(&mut self, now: Moment) -> bool {
        while let Some(&(key, serial)) = self.asked.front() {
            if is_empty(&self.transfers, &key, serial) {
                let evictable = self.transfers.get(&key).is_some_and(|one| now.at >= one.asked + EVICTABLE);
                if !evictable {
                    return false;
                }
                self.abort(&key);
            }
            self.asked.pop_front();
            if self.transfers.len() + self.stores.open() < self.config.limits.transfers {
                return true;
            }
        }
        false
    }

    /// `None`: the answer comes later.
    fn data(
        &mut self,
        now: Moment,
        from: SocketAddr,
        data: &Data<'_>,
        effects: &mut Vec<Effect>,
    ) -> Option<Result<(), Nack>> {
        let key = Key { device: data.device, source: from };
        let length = data.bytes.len();
        if usize::try_from(data.length) != Ok(length) {
            return Some(Err(Nack::BadLength));
        }
        let Some(transfer) = self.transfers.get_mut(&key) else {
            return self.data_of_finished(now, &key, data, effects);
        };
        if !transfer.plan.fits(data.index, length) {
            return Some(Err(Nack::BadLength));
        }
        let limits = &self.config.limits;
        let known = transfer.length(data.index);
        self.figures.repeated += u64::from(known.is_some());
        if transfer.bytes() + length - known.unwrap_or(0) > limits.picture_bytes {
            self.abort(&key);
            return Some(Err(Nack::Unknown));
        }
        let (added, freed) = (length + PART_COST, known.map_or(0, |known| known + PART_COST));
        let (serial, more) = (transfer.serial, added.saturating_sub(freed));
        if more > 0 && !self.make_room(more, serial) {
            // It has not been heard, as far as its timeout is concerned: what waits for memory must not keep any.
            return Some(Err(Nack::NotNow));
        }
        let transfer = self.transfers.get_mut(&key)?;
        if transfer.is_empty() {
            self.stores.supersede(&key);
        }
        self.bytes = self.bytes + added - freed;
        transfer.heard = now.at;
        match transfer.put(data.index, data.bytes) {
            Progress::More => Some(Ok(())),
            Progress::Doubtful => {
                transfer.owe(data.index, data.length);
                None
            }
            Progress::Whole => {
                transfer.owe(data.index, data.length);
                self.complete(now, &key, false, effects).err().map(Err)
            }
        }
    }

    /// Sees to it that a transfer can have so many bytes more. The older one has them: if all that are in the middle waited
    /// for each other, none would ever be done.
    fn make_room(&mut self, bytes: usize, serial: u64) -> bool {
        let most = self.config.limits.bytes;
        while self.bytes + self.stores.bytes() + bytes > most {
            let holding = self.transfers.iter().filter(|(_, one)| one.serial > serial && !one.is_empty());
            let Some((youngest, _)) = holding.max_by_key(|(_, one)| one.serial) else { return false };
            self.abort(&youngest.clone());
        }
        true
    }

    /// `None`: the answer comes later, or there is none.
    fn end(&mut self, now: Moment, key: Key, packets: u8, effects: &mut Vec<Effect>) -> Option<Vec<u8>> {
        let echo = |one: &Transfer, last: &Finished| {
            one.is_empty() && !last.has_ended && last.is_echoed_by(one.plan, one.asked)
        };
        let (transfer, last) = (self.transfers.get_mut(&key), self.stores.finished(&key));
        match (transfer, last) {
            // An echo of its request came when the picture was whole: the question is about that picture, as devices
            // that ask it do so before they begin another.
            (Some(one), Some(last)) if echo(one, last) => {
                self.remove(&key);
                self.end_of_finished(now, &key, effects)
            }
            (Some(one), _) => {
                one.heard = now.at;
                if one.is_whole_at_end() {
                    // What is no picture is missing as a whole, as for a transfer that never was.
                    let failed = self.complete(now, &key, true, effects).err();
                    return failed.map(|_| end_reply(key.device, 0..packets));
                }
                Some(end_reply(key.device, one.unsure()))
            }
            (None, Some(_)) => self.end_of_finished(now, &key, effects),
            (None, None) => Some(end_reply(key.device, 0..packets)),
        }
    }

    /// A picture has come whole. What is owed for it comes later, unless it is none.
    fn complete(
        &mut self,
        now: Moment,
        key: &Key,
        owes_end: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Nack> {
        let mut transfer = self.remove(key).ok_or(Nack::Unknown)?;
        let finished = Finished::new(&mut transfer, now.at, owes_end);
        let (serial, begun) = (transfer.serial, transfer.begun);
        let (packets, bytes) = transfer.into_bytes();
        if !crate::jpeg::has_both_ends(&bytes) {
            self.figures.aborted += 1;
            return Err(Nack::Unknown);
        }
        let duration = now.at.saturating_sub(begun).as_millis();
        let picture = Picture {
            device: key.device,
            source: key.source,
            time_ms: now.unix_ms,
            duration_ms: u64::try_from(duration).unwrap_or(u64::MAX),
            packets,
            bytes,
            key: format!("espcam-{:016x}-{serial}", self.start),
            analysis: None,
        };
        self.begin_store(now, *key, finished, Arc::new(picture), effects);
        Ok(())
    }

    /// Time has passed. To be called a few times a second while there is anything.
    pub fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let idle_timeout = self.config.idle_timeout();
        let mut over = Vec::new();
        for (key, transfer) in &self.transfers {
            let timeout = match transfer.is_empty() {
                _ if !transfer.owed.is_empty() => SETTLE,
                true => idle_timeout.min(EMPTY),
                false => idle_timeout,
            };
            if now.at >= transfer.heard + timeout || now.at >= transfer.begun + LIFETIME {
                over.push(*key);
            }
        }
        for key in over {
            let Some(transfer) = self.transfers.get_mut(&key) else { continue };
            let owed = transfer.owed.clone();
            if !transfer.is_whole_at_last() {
                self.abort(&key);
            } else if let Err(nack) = self.complete(now, &key, false, effects) {
                let replies =
                    owed.into_iter().map(|(index, length)| data_reply(key.device, index, length, Err(nack)));
                effects.extend(replies.map(|datagram| Effect::Send { to: key.source, datagram }));
            }
        }
        self.tick_looks(now, effects);
        self.tick_stores(now, effects);
    }

    fn remove(&mut self, key: &Key) -> Option<Transfer> {
        let transfer = self.transfers.remove(key)?;
        self.bytes -= transfer.cost();
        let address = owner(key.source.ip());
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
        Some(transfer)
    }

    fn abort(&mut self, key: &Key) {
        self.figures.aborted += u64::from(self.remove(key).is_some());
    }
}

fn is_empty(transfers: &HashMap<Key, Transfer>, key: &Key, serial: u64) -> bool {
    transfers.get(key).is_some_and(|transfer| transfer.serial == serial && transfer.is_empty())
}

#[cfg(test)]
mod tests;
