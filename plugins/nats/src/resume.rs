//! Which of the records that wait are in the stream already.
//!
//! The stream drops a message whose id it has seen within its duplicate window, which is minutes; a gateway that dies between
//! a publication and its acknowledgement may come back a week later. So before anything is published, the stream itself is
//! asked which of this gateway's ids it has, from those that wait on.
//!
//! Ids rise in the order of appending and are sent in that order, at most [`MOST`] at a time. So where messages of a gateway
//! are out of order (the server refused one and took the next), they are so by less than that: when `MOST` messages in the
//! stream are older than the first that waits, nothing that waits can be before them. Whose message is looked at does not
//! matter for being right, only for being quick: what is skipped has the very id that waits.

use crate::window::MOST;
use std::collections::BTreeSet;
use uuid::Uuid;

/// What is to be asked next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The first message of this gateway at this place in the stream or after it.
    Look(u64),
    /// Nothing: [`Scan::present`] is complete.
    Done,
}

/// A look back from the end of the stream.
#[derive(Debug)]
pub struct Scan {
    first: Uuid,
    /// The first place that the stream still has.
    floor: u64,
    /// What is being looked at: from here, before there.
    from: u64,
    until: u64,
    at: u64,
    stride: u64,
    before: BTreeSet<Uuid>,
    present: BTreeSet<Uuid>,
}

impl Scan {
    /// `first`: the first record that waits. `floor` and `last`: the first and the last place in the stream.
    #[must_use]
    pub fn new(first: Uuid, floor: u64, last: u64) -> Self {
        let floor = floor.max(1);
        let until = last.saturating_add(1).max(floor);
        let mut scan = Self {
            first,
            floor,
            from: until,
            until,
            at: until,
            stride: MOST as u64,
            before: BTreeSet::new(),
            present: BTreeSet::new(),
        };
        scan.reach_back();
        scan
    }

    /// Goes on before what has been looked at, in strides that grow.
    fn reach_back(&mut self) {
        self.until = self.from;
        self.from = self.from.saturating_sub(self.stride).max(self.floor);
        self.at = self.from;
        self.stride = self.stride.saturating_mul(4);
    }

    /// What to ask.
    #[must_use]
    pub fn step(&self) -> Step {
        if self.at < self.until { Step::Look(self.at) } else { Step::Done }
    }

    /// What was found: its place and its id, if it has one.
    pub fn found(&mut self, message: Option<(u64, Option<Uuid>)>) {
        match message {
            // A server that answers with an earlier place than was asked for must not have us ask for ever.
            Some((place, id)) if place < self.until => {
                self.at = place.max(self.at).saturating_add(1);
                match id {
                    Some(id) if id >= self.first => _ = self.present.insert(id),
                    Some(id) if self.before.len() < MOST => _ = self.before.insert(id),
                    _ => {}
                }
            }
            _ => self.at = self.until,
        }
        let is_enough = self.before.len() >= MOST || self.from <= self.floor;
        if self.at >= self.until && !is_enough {
            self.reach_back();
        }
    }

    /// The ids that the stream has, of the first that waits and later ones.
    #[must_use]
    pub fn present(self) -> BTreeSet<Uuid> {
        self.present
    }
}

#[cfg(test)]
mod tests {
    use super::{Scan, Step};
    use crate::window::MOST;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use uuid::Uuid;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    /// A stream of several gateways, `None`: another's message.
    fn scan(stream: &[Option<Uuid>], first: Uuid) -> (BTreeSet<Uuid>, usize) {
        let place = |index: usize| index as u64 + 1;
        let mut scan = Scan::new(first, 1, stream.len() as u64);
        let mut asked = 0;
        while let Step::Look(at) = scan.step() {
            asked += 1;
            let from = usize::try_from(at).unwrap() - 1;
            let found = (from..stream.len()).find(|index| stream[*index].is_some());
            scan.found(found.map(|index| (place(index), stream[index])));
        }
        (scan.present(), asked)
    }

    #[test]
    fn an_empty_stream_is_not_asked_much() {
        assert_eq!(scan(&[], id(1)), (BTreeSet::new(), 0));
        assert_eq!(scan(&[None, None], id(1)), (BTreeSet::new(), 1));
    }

    #[test]
    fn one_that_is_up_to_date_costs_few_questions() {
        let stream: Vec<_> = (1..100_000).map(|n| Some(id(n))).collect();
        let (present, asked) = scan(&stream, id(100_000));
        assert!(present.is_empty() && asked <= MOST, "{asked}");
        let rare: Vec<_> = (0..200_000u128).map(|n| (n % 1000 == 0).then(|| id(n))).collect();
        let (present, asked) = scan(&rare, id(199_000));
        assert_eq!((present, asked < 8 * MOST), (BTreeSet::from([id(199_000)]), true), "{asked}");
    }

    #[test]
    fn answers_that_make_no_sense_end_it_too() {
        let mut endless = Scan::new(id(1), 1, 5);
        for _ in 0..10 {
            endless.found(Some((0, None)));
        }
        assert_eq!(endless.step(), Step::Done);
    }

    proptest! {
        /// Whatever of a bounded window the server took, in whatever order what was missing came later.
        #[test]
        fn exactly_what_the_stream_has_is_found(
            records in 1..300usize,
            luck in prop::collection::vec((any::<u8>(), 0..4usize), 1..200),
            waiting in 0..2 * MOST,
        ) {
            let mut stream: Vec<Option<Uuid>> = Vec::new();
            let (mut acked, mut luck) = (0, luck.into_iter().cycle());
            let mut there = BTreeSet::new();
            while acked < records {
                // A round: the window is sent, and each of it taken or not; what was taken before is not sent.
                for n in acked..records.min(acked + MOST) {
                    let (is_taken, others) = luck.next().unwrap();
                    stream.extend(std::iter::repeat_n(None, others));
                    if is_taken > 60 && there.insert(n) {
                        stream.push(Some(id(n as u128)));
                    }
                }
                let before = acked;
                while there.contains(&acked) {
                    acked += 1;
                }
                if before == acked && there.insert(acked) {
                    stream.push(Some(id(acked as u128)));
                }
            }
            // The store may have forgotten the last acknowledgements.
            let first = records.saturating_sub(waiting);
            let (present, _) = scan(&stream, id(first as u128));
            let expected: BTreeSet<_> = (first..records).map(|n| id(n as u128)).collect();
            prop_assert_eq!(present, expected);
        }

        #[test]
        fn it_ends_whatever_the_server_answers(
            answers in prop::collection::vec(prop::option::of((any::<u64>(), any::<Option<u128>>())), 0..500),
            floor: u64, last: u64, first: u128,
        ) {
            let mut scan = Scan::new(id(first), floor, last);
            for answer in answers {
                if scan.step() == Step::Done { break; }
                let before = (scan.from, scan.at);
                scan.found(answer.map(|(place, n)| (place, n.map(id))));
                prop_assert!(scan.step() == Step::Done || scan.from < before.0 || scan.at > before.1);
            }
        }
    }
}
