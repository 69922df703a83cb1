//! Pictures that have come whole: on their way to the store, refused by it, or stored.

use super::looking::Looks;
use super::{ECHO, Effect, Key, Moment, Session};
use crate::datagram::{Data, Nack, data_reply, end_reply};
use crate::picture::{Outcome, Picture};
use crate::plan::Plan;
use crate::transfer::Transfer;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long the store may take. It answers always; this is for the case that it does not.
const PATIENCE: Duration = Duration::from_secs(30);
/// The least time between two attempts to store a picture: a device that repeats its packet at once must not make us ask
/// as often.
const RETRY: Duration = Duration::from_millis(500);
/// How long it is tried to store a picture whose device waits for nothing any more.
const GIVE_UP: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) enum Phase {
    Looking(u64),
    Storing(u64),
    Refused(Arc<Picture>, Duration),
    Stored,
}

/// A picture that has come whole, for as long as its device may still ask for it.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) plan: Plan,
    /// When it was asked for.
    pub(super) asked: Duration,
    /// Whether the device has asked whether it is done.
    pub(super) has_ended: bool,
    /// Tells it from other pictures of the same device.
    serial: u64,
    whole_since: Duration,
    heard: Duration,
    /// The last packet that came: what is said to be missing while the store refuses.
    last: u8,
    pub(super) phase: Phase,
    owed: Vec<(u8, u32)>,
    owes_end: bool,
    /// Its device has begun with another one: it is stored, but no longer answered for.
    is_superseded: bool,
}

impl Finished {
    /// Takes over what is owed for the transfer.
    pub(super) fn new(transfer: &mut Transfer, now: Duration, owes_end: bool) -> Self {
        let owed = std::mem::take(&mut transfer.owed);
        Self {
            plan: transfer.plan,
            asked: transfer.asked,
            has_ended: owes_end,
            serial: transfer.serial,
            whole_since: now,
            heard: now,
            last: owed.last().map_or(0, |(index, _)| *index),
            phase: Phase::Stored,
            owed,
            owes_end,
            is_superseded: false,
        }
    }

    /// Whether a request is that of this picture once more, repeated by the network.
    pub(super) fn is_echoed_by(&self, plan: Plan, now: Duration) -> bool {
        self.plan == plan && now < self.asked + ECHO
    }

    fn owe(&mut self, index: u8, length: u32) {
        if self.owed.iter().all(|(known, _)| *known != index) {
            self.owed.push((index, length));
        }
    }

    /// Answers everything that is owed.
    fn pay(&mut self, key: Key, answer: Result<(), Nack>, effects: &mut Vec<Effect>) {
        let mut send = |datagram| effects.push(Effect::Send { to: key.source, datagram });
        for (index, length) in std::mem::take(&mut self.owed) {
            send(data_reply(key.device, index, length, answer));
        }
        if std::mem::take(&mut self.owes_end) {
            let missing = answer.is_err().then_some(self.last);
            send(end_reply(key.device, missing));
        }
    }
}

/// An attempt to store a picture.
#[derive(Debug)]
struct Attempt {
    key: Key,
    picture: Arc<Picture>,
    since: Duration,
}

/// All pictures that have come whole.
#[derive(Debug, Default)]
pub(super) struct Stores {
    finished: HashMap<Key, Finished>,
    /// In the order in which they came, for the bound on how many are remembered.
    order: VecDeque<(Key, u64)>,
    attempts: HashMap<u64, Attempt>,
    /// Those that are looked at before.
    pub(super) looks: Looks,
    refused: usize,
    bytes: usize,
}

impl Stores {
    /// The picture that its device may still ask for.
    pub(super) fn finished(&mut self, key: &Key) -> Option<&mut Finished> {
        self.finished.get_mut(key).filter(|one| !one.is_superseded)
    }

    /// Bytes of the pictures that are not stored yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many pictures are not stored yet.
    pub(super) fn open(&self) -> usize {
        self.attempts.len() + self.looks.len() + self.refused
    }

    pub(super) fn is_empty(&self) -> bool {
        self.finished.is_empty() && self.attempts.is_empty() && self.looks.len() == 0
    }

    /// A device begins with another picture: what it would still be told of the one before, it would take for the new one.
    pub(super) fn begin_anew(&mut self, key: &Key, plan: Plan, now: Duration) {
        if self.finished.get(key).is_some_and(|one| !one.is_echoed_by(plan, now)) {
            self.supersede(key);
        }
    }

    /// Whatever its device says from now on is about another picture.
    pub(super) fn supersede(&mut self, key: &Key) {
        if let Some(finished) = self.finished.get_mut(key) {
            finished.is_superseded = true;
            finished.owed.clear();
            finished.owes_end = false;
        }
    }

    #[cfg(test)]
    pub(super) fn finished_len(&self) -> usize {
        self.finished.len()
    }

    /// The picture of a device, also when it has begun with another one since.
    pub(super) fn finished_or_superseded(&mut self, key: &Key) -> Option<&mut Finished> {
        self.finished.get_mut(key)
    }

    pub(super) fn attempt(&mut self, token: u64, key: Key, picture: Arc<Picture>, now: Moment) -> Effect {
        self.attempts.insert(token, Attempt { key, picture: picture.clone(), since: now.at });
        Effect::Store { token, picture }
    }

    /// Remembers no more than so many, the newest.
    fn forget_beyond(&mut self, most: usize) {
        while self.finished.len() > most
            && let Some((key, serial)) = self.order.pop_front()
        {
            match self.finished.get(&key).filter(|one| one.serial == serial) {
                Some(Finished { phase: Phase::Stored, .. }) => drop(self.finished.remove(&key)),
                // Those that hold a picture have a bound of their own, which is lower.
                Some(_) => self.order.push_back((key, serial)),
                None => {}
            }
        }
        if self.order.len() > 2 * self.finished.len() + 64 {
            let finished = &self.finished;
            self.order.retain(|(key, serial)| finished.get(key).is_some_and(|one| one.serial == *serial));
        }
    }
}

impl Session {
    pub(super) fn begin_store(
        &mut self,
        now: Moment,
        key: Key,
        mut finished: Finished,
        picture: Arc<Picture>,
        effects: &mut Vec<Effect>,
    ) {
        let serial = finished.serial;
        self.stores.bytes += picture.bytes.len();
        finished.phase = self.begin_look(now, key, picture, effects);
        let before = self.stores.finished.insert(key, finished);
        if let Some(Finished { phase: Phase::Refused(picture, _), .. }) = before {
            // Its device has given it up, and sent another one.
            self.give_up(&picture);
        }
        self.stores.order.push_back((key, serial));
        self.stores.forget_beyond(4 * self.config.limits.transfers);
    }

    fn give_up(&mut self, picture: &Picture) {
        self.stores.bytes -= picture.bytes.len();
        self.stores.refused -= 1;
        self.figures.aborted += 1;
    }

    /// A packet of a picture that has come whole.
    pub(super) fn data_of_finished(
        &mut self,
        now: Moment,
        key: &Key,
        data: &Data<'_>,
        effects: &mut Vec<Effect>,
    ) -> Option<Result<(), Nack>> {
        let Some(finished) = self.stores.finished(key) else { return Some(Err(Nack::Unknown)) };
        if !finished.plan.fits(data.index, data.bytes.len()) {
            return Some(Err(Nack::BadLength));
        }
        self.figures.repeated += 1;
        finished.heard = now.at;
        match &finished.phase {
            Phase::Stored => return Some(Ok(())),
            Phase::Looking(_) | Phase::Storing(_) => {}
            Phase::Refused(_, at) if now.at < *at + RETRY => return Some(Err(Nack::NotNow)),
            Phase::Refused(..) => self.retry(now, key, effects),
        }
        if let Some(finished) = self.stores.finished.get_mut(key) {
            finished.owe(data.index, data.length);
        }
        None
    }

    /// The device of a picture that has come whole asks whether it is done.
    pub(super) fn end_of_finished(
        &mut self,
        now: Moment,
        key: &Key,
        effects: &mut Vec<Effect>,
    ) -> Option<Vec<u8>> {
        let finished = self.stores.finished(key)?;
        (finished.heard, finished.has_ended) = (now.at, true);
        match &finished.phase {
            Phase::Stored => return Some(end_reply(key.device, [])),
            Phase::Looking(_) | Phase::Storing(_) => {}
            // It is as if its last packet had not come.
            Phase::Refused(_, at) if now.at < *at + RETRY => {
                return Some(end_reply(key.device, [finished.last]));
            }
            Phase::Refused(..) => self.retry(now, key, effects),
        }
        if let Some(finished) = self.stores.finished.get_mut(key) {
            finished.owes_end = true;
        }
        None
    }

    fn retry(&mut self, now: Moment, key: &Key, effects: &mut Vec<Effect>) {
        let Some(finished) = self.stores.finished.get_mut(key) else { return };
        self.serial += 1;
        let before = std::mem::replace(&mut finished.phase, Phase::Storing(self.serial));
        if let Phase::Refused(picture, _) = before {
            self.stores.refused -= 1;
            effects.push(self.stores.attempt(self.serial, *key, picture, now));
        } else {
            finished.phase = before;
        }
    }

    /// What became of a picture that was to be stored.
    pub fn stored(&mut self, now: Moment, token: u64, outcome: Outcome, effects: &mut Vec<Effect>) {
        // An answer to an attempt that was given up: the next one has the same key, and learns that it is there.
        let Some(Attempt { key, picture, .. }) = self.stores.attempts.remove(&token) else { return };
        let finished = self.stores.finished.get_mut(&key);
        let finished = finished.filter(|one| matches!(one.phase, Phase::Storing(by) if by == token));
        if let Outcome::Refused(_) = outcome {
            self.figures.store_refusals += 1;
            self.stores.refused += 1;
            match finished {
                Some(finished) => {
                    finished.pay(key, Err(Nack::NotNow), effects);
                    finished.phase = Phase::Refused(picture, now.at);
                }
                None => self.give_up(&picture),
            }
            return;
        }
        self.stores.bytes -= picture.bytes.len();
        if let Some(finished) = finished {
            finished.pay(key, Ok(()), effects);
            (finished.phase, finished.heard) = (Phase::Stored, now.at);
        }
        if let Outcome::Kept(record) = outcome {
            self.figures.completed += 1;
            self.figures.bytes += picture.bytes.len() as u64;
            effects.push(Effect::Publish { picture, record });
        } else {
            self.figures.dropped += 1;
        }
    }

    pub(super) fn tick_stores(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let late = |attempt: &Attempt| now.at >= attempt.since + PATIENCE;
        let late: Vec<_> =
            self.stores.attempts.iter().filter(|(_, one)| late(one)).map(|(&t, _)| t).collect();
        for token in late {
            self.stored(now, token, Outcome::Refused("it does not answer".into()), effects);
        }
        let (remember, idle_timeout) = (self.config.remember(), self.config.idle_timeout());
        let (mut over, mut again) = (Vec::new(), Vec::new());
        for (key, one) in &self.stores.finished {
            match one.phase {
                Phase::Looking(_) | Phase::Storing(_) => {}
                Phase::Stored if now.at >= one.heard + remember => over.push(*key),
                Phase::Stored => {}
                // Also when the device has given up: it may have been told already that every packet has come.
                Phase::Refused(..)
                    if now.at >= one.heard + idle_timeout && now.at >= one.whole_since + GIVE_UP =>
                {
                    over.push(*key);
                }
                Phase::Refused(_, at) if now.at >= at + 2 * RETRY => again.push(*key),
                Phase::Refused(..) => {}
            }
        }
        for key in over {
            if let Some(Finished { phase: Phase::Refused(picture, _), .. }) =
                self.stores.finished.remove(&key)
            {
                self.give_up(&picture);
            }
        }
        for key in again {
            self.retry(now, &key, effects);
        }
    }
}
