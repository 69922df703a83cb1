//! One picture on its way: which of its packets are here, and whether they make a picture.

use crate::jpeg;
use crate::plan::Plan;
use std::time::Duration;

/// How often it is tried whether a picture is whole without its last packet: each try looks at all of it.
const MAX_LOOKS: u8 = 16;
/// What a packet costs beside its bytes.
pub(crate) const PART_COST: usize = 64;

/// What a packet has made of the transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something is missing.
    More,
    /// Nothing is missing, but some packets came before the request was repeated: they may be of another picture.
    Doubtful,
    /// Nothing is missing.
    Whole,
}

/// A picture on its way.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) plan: Plan,
    /// Tells it from other transfers of the same device.
    pub(crate) serial: u64,
    /// When it was asked for first.
    pub(crate) begun: Duration,
    /// When it was asked for last.
    pub(crate) asked: Duration,
    /// When the device was heard of last.
    pub(crate) heard: Duration,
    /// Acknowledgements that wait until doubts are settled: indices and lengths.
    pub(crate) owed: Vec<(u8, u32)>,
    parts: Vec<Option<Box<[u8]>>>,
    count: u8,
    bytes: usize,
    doubtful: Indices,
    looks_left: u8,
}

impl Transfer {
    pub(crate) fn new(plan: Plan, serial: u64, now: Duration) -> Self {
        Self {
            plan,
            serial,
            begun: now,
            asked: now,
            heard: now,
            owed: Vec::new(),
            parts: Vec::new(),
            count: 0,
            bytes: 0,
            doubtful: Indices::default(),
            looks_left: MAX_LOOKS,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the picture that are here.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory.
    pub(crate) fn cost(&self) -> usize {
        self.bytes + usize::from(self.count) * PART_COST
    }

    /// Bytes of a packet, if it is here.
    pub(crate) fn length(&self, index: u8) -> Option<usize> {
        self.parts.get(usize::from(index))?.as_ref().map(|part| part.len())
    }

    /// The same request has come again. If it is an echo of the network, what is here belongs to the picture; if the
    /// device has begun anew, it will send all of it.
    pub(crate) fn doubt(&mut self, now: Duration) {
        (self.asked, self.heard) = (now, now);
        for (index, part) in (0..self.plan.packets()).zip(&self.parts) {
            if part.is_some() {
                self.doubtful.insert(index);
            }
        }
    }

    /// Takes a packet that fits the plan. One that is here already is replaced: it is the same, or of a picture that the
    /// device began anew.
    pub(crate) fn put(&mut self, index: u8, bytes: &[u8]) -> Progress {
        let at = usize::from(index);
        if self.parts.len() <= at {
            self.parts.resize_with(at + 1, || None);
        }
        let known = self.parts[at].as_ref().map(|part| part.len());
        match &mut self.parts[at] {
            Some(part) if part.len() == bytes.len() => part.copy_from_slice(bytes),
            part => *part = Some(bytes.into()),
        }
        self.bytes = self.bytes - known.unwrap_or(0) + bytes.len();
        self.count += u8::from(known.is_none());
        let fresh = self.doubtful.remove(index) || known.is_none();
        // What is owed is owed because it was whole before.
        let is_whole = self.missing().next().is_none()
            || !self.owed.is_empty()
            || (fresh && self.lacks_only_the_last() && self.look_is_whole());
        match is_whole {
            false => Progress::More,
            true if self.doubtful.is_empty() => Progress::Whole,
            true => Progress::Doubtful,
        }
    }

    /// The acknowledgement of a packet waits.
    pub(crate) fn owe(&mut self, index: u8, length: u32) {
        if self.owed.iter().all(|(known, _)| *known != index) {
            self.owed.push((index, length));
        }
    }

    /// What is not here, and what may be of another picture.
    pub(crate) fn unsure(&self) -> impl Iterator<Item = u8> {
        (0..self.plan.needed())
            .filter(|index| self.length(*index).is_none() || self.doubtful.contains(*index))
    }

    fn missing(&self) -> impl Iterator<Item = u8> {
        (0..self.plan.needed()).filter(|index| self.length(*index).is_none())
    }

    /// Whether it is whole now that the device says it has sent everything.
    pub(crate) fn is_whole_at_end(&mut self) -> bool {
        self.doubtful.is_empty() && self.is_whole_at_last()
    }

    /// Whether it is whole now that nothing more will come.
    pub(crate) fn is_whole_at_last(&mut self) -> bool {
        self.missing().next().is_none() || (self.lacks_only_the_last() && self.look_has_both_ends())
    }

    /// Firmware that counts one packet too many never sends the last one. Without a known size, only the picture itself
    /// tells.
    fn lacks_only_the_last(&self) -> bool {
        let last = self.plan.packets() - 1;
        let ends = |part: &[u8]| part.last() == Some(&0xd9);
        !self.plan.knows_size()
            && last > 0
            && self.count == last
            && self.length(last).is_none()
            && self.parts.get(usize::from(last - 1)).is_some_and(|part| part.as_deref().is_some_and(ends))
    }

    /// Whether it is a well-formed picture that ends with the last byte that is here.
    fn look_is_whole(&mut self) -> bool {
        self.look(|bytes| jpeg::look(bytes).end == Some(bytes.len()))
    }

    fn look_has_both_ends(&mut self) -> bool {
        self.look(jpeg::has_both_ends)
    }

    fn look(&mut self, judge: impl FnOnce(&[u8]) -> bool) -> bool {
        let Some(left) = self.looks_left.checked_sub(1) else { return false };
        self.looks_left = left;
        let parts: Vec<&[u8]> = self.parts.iter().flatten().map(AsRef::as_ref).collect();
        judge(&parts.concat())
    }

    /// How many packets are here, and the bytes of all of them.
    pub(crate) fn into_bytes(self) -> (u8, Vec<u8>) {
        let mut all = Vec::with_capacity(self.bytes);
        // Each is freed when it is copied, so that the picture is in memory once and not twice.
        for part in self.parts.into_iter().flatten() {
            all.extend_from_slice(&part);
        }
        (self.count, all)
    }
}

/// A set of indices.
#[derive(Debug, Default)]
struct Indices([u64; 4]);

impl Indices {
    fn insert(&mut self, index: u8) {
        self.0[usize::from(index / 64)] |= 1 << (index % 64);
    }

    fn contains(&self, index: u8) -> bool {
        self.0[usize::from(index / 64)] & 1 << (index % 64) != 0
    }

    fn remove(&mut self, index: u8) -> bool {
        let had = self.contains(index);
        self.0[usize::from(index / 64)] &= !(1 << (index % 64));
        had
    }

    fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

#[cfg(test)]
mod tests {
    use super::{Progress, Transfer};
    use crate::datagram::Request;
    use crate::plan::Plan;
    use Progress::{Doubtful, More, Whole};
    use std::time::Duration;

    /// A well-formed picture of 12 bytes.
    const PICTURE: &[u8; 12] = b"\xff\xd8\xff\xda\0\x02pic\0\xff\xd9";

    fn transfer(packets: u8, largest: u32, size: &[u8]) -> Transfer {
        let plan = Plan::of(&Request { device: 1, packets, largest, size }, 1 << 20).unwrap();
        Transfer::new(plan, 1, Duration::ZERO)
    }

    #[test]
    fn packets_in_any_order_and_twice_make_the_picture() {
        let mut one = transfer(3, 13, &[]);
        assert_eq!(one.put(2, &PICTURE[10..]), More);
        assert_eq!(one.put(0, &PICTURE[..5]), More);
        assert_eq!(one.put(0, &PICTURE[..5]), More);
        assert_eq!((one.bytes(), one.unsure().collect::<Vec<_>>()), (7, vec![1]));
        assert_eq!(one.put(1, &PICTURE[5..10]), Whole);
        assert_eq!(one.into_bytes(), (3, PICTURE.to_vec()));
    }

    #[test]
    fn a_well_formed_picture_that_has_ended_needs_no_last_packet() {
        let mut one = transfer(3, 14, &[]);
        assert_eq!(one.put(0, &PICTURE[..6]), More);
        assert_eq!(one.put(1, &PICTURE[6..]), Whole);
        assert_eq!(one.into_bytes(), (2, PICTURE.to_vec()));
    }

    #[test]
    fn one_that_is_odd_and_may_have_ended_is_whole_when_nothing_more_comes() {
        let mut one = transfer(3, 14, &[]);
        assert_eq!(one.put(1, b"odd \xff\xd9"), More);
        assert!(!one.is_whole_at_last());
        assert_eq!(one.put(0, b"\xff\xd8very"), More);
        assert!(one.is_whole_at_end() && one.is_whole_at_last());
        assert_eq!(one.put(2, b"more"), Whole);
    }

    #[test]
    fn a_known_size_is_believed_and_not_the_picture() {
        let mut one = transfer(3, 14, &[15]);
        assert_eq!((one.put(0, &PICTURE[..6]), one.put(1, &PICTURE[6..])), (More, More));
        assert!(!one.is_whole_at_last());
        let mut exact = transfer(3, 14, &[12]);
        assert_eq!((exact.put(0, &PICTURE[..6]), exact.put(1, &PICTURE[6..])), (More, Whole));
    }

    #[test]
    fn after_a_repeated_request_it_is_whole_when_all_has_come_again() {
        let mut one = transfer(3, 13, &[]);
        one.put(0, b"other");
        one.put(1, b"other");
        one.doubt(Duration::ZERO);
        assert_eq!(one.put(2, &PICTURE[10..]), Doubtful);
        assert!(!one.is_whole_at_end() && one.is_whole_at_last());
        assert_eq!(one.unsure().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(one.put(0, &PICTURE[..5]), Doubtful);
        assert_eq!(one.put(1, &PICTURE[5..10]), Whole);
        assert_eq!(one.into_bytes().1, PICTURE);
    }

    #[test]
    fn looking_for_the_end_is_not_done_without_end() {
        let mut one = transfer(2, 12, &[]);
        one.put(0, b"no\xff\xd9");
        for _ in 0..100 {
            assert!(!one.is_whole_at_end());
        }
        assert_eq!(one.looks_left, 0);
        assert_eq!(one.put(1, b"more"), Whole);
    }

    #[test]
    fn all_255_packets_are_counted() {
        let mut one = transfer(255, 9, &[]);
        for index in (1..255).rev() {
            assert_eq!(one.put(index, b"x"), More);
        }
        assert_eq!(one.unsure().collect::<Vec<_>>(), [0]);
        assert_eq!(one.put(0, b"x"), Whole);
        assert_eq!(one.cost(), 255 * 65);
    }
}
