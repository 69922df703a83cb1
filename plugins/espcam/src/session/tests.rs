mod limits;
mod looking;
mod repeats;

use super::{Effect, Moment, Session};
use crate::datagram::{Data, Request, end};
use crate::picture::{Outcome, Picture};
use crate::{Config, Limits};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A well-formed picture of 12 bytes; in packets of 5 it has three, in packets of 6 two.
const PICTURE: &[u8; 12] = b"\xff\xd8\xff\xda\0\x02pic\0\xff\xd9";

/// A session, its clock, and the store in front of it.
struct Rig {
    session: Session,
    now: Duration,
    from: SocketAddr,
    looking: Vec<(u64, Arc<Picture>)>,
    waiting: Vec<(u64, Arc<Picture>)>,
    published: Vec<(String, Arc<Picture>)>,
}

impl Rig {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self::of(Config { limits, ..Config::default() })
    }

    fn of(config: Config) -> Self {
        let (from, now) = (source(1), Duration::from_secs(100));
        let (looking, waiting) = (Vec::new(), Vec::new());
        Self { session: Session::new(config), now, from, looking, waiting, published: Vec::new() }
    }

    fn moment(&self) -> Moment {
        Moment { at: self.now, unix_ms: 1_700_000_000_000 + i64::try_from(self.now.as_millis()).unwrap() }
    }

    fn take(&mut self, effects: Vec<Effect>) -> Vec<Vec<u8>> {
        let mut replies = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { datagram, .. } => replies.push(datagram),
                Effect::Look { token, picture } => self.looking.push((token, picture)),
                Effect::Store { token, picture } => self.waiting.push((token, picture)),
                Effect::Publish { picture, record } => self.published.push((record, picture)),
            }
        }
        replies
    }

    /// What is replied to a datagram at once.
    fn say(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut effects = Vec::new();
        self.session.datagram(self.moment(), self.from, datagram, &mut effects);
        self.take(effects)
    }

    /// The code in the reply to a request.
    fn ask(&mut self, device: u8, packets: u8, largest: u32, size: &[u8]) -> u8 {
        let replies = self.say(&Request { device, packets, largest, size }.encode());
        assert_eq!((replies.len(), replies[0][4]), (1, packets));
        replies[0][3]
    }

    /// The code in the reply to a data packet, if there is a reply.
    fn data(&mut self, device: u8, index: u8, bytes: &[u8]) -> Option<u8> {
        let length = u32::try_from(bytes.len()).unwrap();
        let replies = self.say(&Data { device, index, length, bytes }.encode());
        assert!(replies.len() <= 1);
        replies.first().map(|reply| {
            assert_eq!((&reply[..4], &reply[5..]), (&[1, device, 2, index][..], &length.to_be_bytes()[..]));
            reply[4]
        })
    }

    /// The missing packets in the reply to an end, if there is a reply.
    fn end(&mut self, device: u8, packets: u8) -> Option<Vec<u8>> {
        let replies = self.say(&end(device, packets));
        replies.first().map(|reply| {
            assert_eq!((&reply[..3], reply.len()), (&[1, device, 3][..], 4 + usize::from(reply[3])));
            reply[4..].to_vec()
        })
    }

    /// The store answers the attempt that waits longest.
    fn store(&mut self, outcome: Outcome) -> Vec<Vec<u8>> {
        let (token, _) = self.waiting.remove(0);
        let mut effects = Vec::new();
        self.session.stored(self.moment(), token, outcome, &mut effects);
        self.take(effects)
    }

    fn keep(&mut self) -> Vec<Vec<u8>> {
        self.store(Outcome::Kept("r".into()))
    }

    fn refuse(&mut self) -> Vec<Vec<u8>> {
        self.store(Outcome::Refused("full".into()))
    }

    fn pass(&mut self, ms: u64) -> Vec<Vec<u8>> {
        let mut replies = Vec::new();
        for _ in 0..ms / 100 {
            self.now += Duration::from_millis(100);
            let mut effects = Vec::new();
            self.session.tick(self.moment(), &mut effects);
            replies.extend(self.take(effects));
        }
        replies
    }

    /// Everything of the picture but its last packet.
    fn begin(&mut self, device: u8) {
        assert_eq!(self.ask(device, 3, 13, &[]), 0);
        assert_eq!(self.data(device, 0, &PICTURE[..5]), Some(0));
        assert_eq!(self.data(device, 1, &PICTURE[5..10]), Some(0));
    }

    /// Everything is forgotten in the end, whatever happened.
    fn forget(&mut self) {
        while !self.waiting.is_empty() {
            self.keep();
        }
        self.pass(200_000);
        let figures = self.session.figures();
        assert_eq!((figures.held_bytes, figures.open_transfers, self.session.is_idle()), (0, 0, true));
        assert!(self.session.per_address.is_empty());
    }
}

fn source(number: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 4000))
}

#[test]
fn the_last_packet_is_acknowledged_when_the_picture_is_stored_and_not_before() {
    let mut rig = Rig::new();
    rig.begin(7);
    assert!(rig.waiting.is_empty());
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
    assert_eq!(rig.waiting[0].1.bytes, PICTURE);
    // It is repeated meanwhile: one answer is owed, not two.
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
    assert!(rig.published.is_empty());
    assert_eq!(rig.keep(), [vec![1, 7, 2, 2, 0, 0, 0, 0, 2]]);
    assert_eq!((rig.published.len(), rig.published[0].0.as_str()), (1, "r"));
    rig.forget();
}

#[test]
fn the_record_knows_the_device_its_address_and_how_long_it_took() {
    let mut rig = Rig::new();
    rig.begin(7);
    rig.now += Duration::from_millis(1500);
    rig.data(7, 2, &PICTURE[10..]);
    let picture = rig.waiting[0].1.clone();
    assert_eq!((picture.device, picture.source, picture.packets), (7, rig.from, 3));
    assert_eq!((picture.duration_ms, picture.time_ms), (1500, 1_700_000_101_500));
}

#[test]
fn a_repeated_packet_is_acknowledged_and_nothing_is_stored_twice() {
    let mut rig = Rig::new();
    rig.begin(7);
    assert_eq!(rig.data(7, 0, &PICTURE[..5]), Some(0));
    rig.data(7, 2, &PICTURE[10..]);
    rig.keep();
    // The reply was lost; the firmware repeats it for as long as it likes.
    for _ in 0..20 {
        rig.pass(5500);
        assert_eq!(rig.data(7, 2, &PICTURE[10..]), Some(0));
        assert_eq!(rig.data(7, 0, &PICTURE[..5]), Some(0));
    }
    assert_eq!(rig.data(7, 2, b"longer"), Some(1), "which is none of that picture");
    assert!(rig.waiting.is_empty());
    assert_eq!(rig.session.figures().completed, 1);
    rig.pass(61_000);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), Some(2), "it is forgotten");
    rig.forget();
}

#[test]
fn newer_firmware_is_told_what_is_missing_and_that_it_is_done_when_it_is_stored() {
    let mut rig = Rig::new();
    assert_eq!(rig.ask(7, 3, 13, &[]), 0);
    rig.data(7, 1, &PICTURE[5..10]);
    assert_eq!(rig.end(7, 3), Some(vec![0, 2]));
    rig.data(7, 2, &PICTURE[10..]);
    assert_eq!(rig.end(7, 3), Some(vec![0]));
    assert_eq!(rig.data(7, 0, &PICTURE[..5]), None);
    assert_eq!((rig.end(7, 3), rig.end(7, 3)), (None, None));
    assert_eq!(rig.keep(), [vec![1, 7, 2, 0, 0, 0, 0, 0, 5], vec![1, 7, 3, 0]]);
    assert_eq!(rig.end(7, 3), Some(vec![]));
    rig.forget();
}

#[test]
fn at_most_28_missing_packets_are_listed() {
    let mut rig = Rig::new();
    assert_eq!(rig.ask(7, 255, 9, &[]), 0);
    rig.data(7, 3, b"x");
    let expected: Vec<u8> = (0..29).filter(|index| *index != 3).collect();
    assert_eq!(rig.end(7, 255), Some(expected));
}

#[test]
fn a_picture_of_255_packets_comes_in_any_order() {
    let mut rig = Rig::new();
    let mut bytes = PICTURE[..9].to_vec();
    bytes.resize(254 * 100 + 30, 1);
    bytes.extend(b"\xff\xd9");
    assert_eq!(rig.ask(7, 255, 108, &[0, 0, 0x63, 0x58]), 0, "{}", bytes.len());
    let parts: Vec<_> = (0..255).zip(bytes.chunks(100)).collect();
    for (index, part) in parts[1..].iter().rev() {
        assert_eq!(rig.data(7, *index, part), Some(0));
    }
    assert_eq!(rig.data(7, 0, parts[0].1), None);
    assert_eq!(rig.waiting[0].1.bytes, bytes);
}

#[test]
fn what_does_not_fit_or_belongs_to_nobody_is_not_acknowledged() {
    let mut rig = Rig::new();
    assert_eq!(rig.data(7, 0, b"x"), Some(2));
    assert_eq!(rig.end(7, 3), Some(vec![0, 1, 2]), "it is certainly not complete");
    rig.begin(7);
    assert_eq!(rig.data(7, 0, b"four"), Some(1));
    assert_eq!(rig.data(7, 2, b"longer"), Some(1));
    assert_eq!(rig.data(7, 3, b"x"), Some(1));
    assert_eq!(rig.say(b"\x01\x07\x02\x02\0\0\0\x03\xff\xd9"), [b"\x01\x07\x02\x02\x01\0\0\0\x03"]);
    assert_eq!(rig.data(8, 2, b"\xff\xd9"), Some(2), "another device");
    rig.from = source(2);
    assert_eq!(rig.data(7, 2, b"\xff\xd9"), Some(2), "another address");
    assert_eq!(rig.session.figures().malformed, 4);
    rig.from = source(1);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
}

#[test]
fn refusals_have_their_codes_and_change_nothing() {
    let mut rig = Rig::with(Limits { picture_bytes: 2000, transfers: 1, ..Limits::default() });
    rig.begin(7);
    assert_eq!(rig.ask(7, 0, 13, &[]), 3);
    assert_eq!(rig.ask(7, 1, 8, &[]), 3);
    assert_eq!(rig.ask(7, 3, 1008, &[]), 2);
    assert_eq!(rig.ask(7, 1, 13, &[9, 9]), 2);
    assert_eq!(rig.ask(8, 3, 13, &[]), 1);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None, "and the transfer goes on");
    assert_eq!(rig.ask(8, 3, 13, &[]), 1, "while it is stored too");
    rig.keep();
    assert_eq!(rig.ask(8, 3, 13, &[]), 0);
    let figures = rig.session.figures();
    assert_eq!((figures.refused, figures.malformed, figures.transfers), (6, 2, 2));
}

#[test]
fn a_size_is_echoed_as_it_was_sent() {
    let mut rig = Rig::new();
    let request = Request { device: 7, packets: 3, largest: 13, size: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 12] };
    assert_eq!(rig.say(&request.encode()), [request.reply(Ok(()))]);
    let strange = Request { size: &[99], ..request };
    assert_eq!(rig.say(&strange.encode())[0][3], 3);
}

#[test]
fn ignored_and_malformed_datagrams_are_counted_and_poison_nothing() {
    let mut rig = Rig::new();
    rig.begin(7);
    for datagram in [&[0, 7, 1, 1][..], &[1, 7, 0, 0], &[], &[1], &[9, 9, 9], &[1, 7, 9, 1]] {
        assert!(rig.say(datagram).is_empty());
    }
    let figures = rig.session.figures();
    assert_eq!((figures.datagrams, figures.malformed), (9, 4));
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
}

#[test]
fn while_the_store_refuses_the_last_packet_is_not_acknowledged_and_then_it_is() {
    let mut rig = Rig::new();
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    assert_eq!(rig.refuse(), [vec![1, 7, 2, 2, 3, 0, 0, 0, 2]]);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), Some(3), "the store is not asked as often as that");
    assert_eq!(rig.end(7, 3), Some(vec![2]), "as if it had not come");
    rig.now += Duration::from_secs(1);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
    assert_eq!(rig.refuse(), [vec![1, 7, 2, 2, 3, 0, 0, 0, 2]]);
    rig.now += Duration::from_secs(1);
    assert_eq!(rig.end(7, 3), None);
    let (first, second) = (rig.waiting[0].1.key.clone(), rig.keep());
    assert_eq!(second, [vec![1, 7, 3, 0]]);
    assert_eq!(first, rig.published[0].1.key, "which the store tells attempts by");
    assert_eq!((rig.session.figures().completed, rig.session.figures().store_refusals), (1, 2));
    rig.forget();
}

#[test]
fn a_store_that_does_not_answer_is_asked_again_and_its_late_answer_does_no_harm() {
    let mut rig = Rig::new();
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    let replies = rig.pass(32_000);
    assert_eq!(replies, [vec![1, 7, 2, 2, 3, 0, 0, 0, 2]]);
    assert_eq!(rig.waiting.len(), 2);
    assert_eq!(rig.waiting[0].1.key, rig.waiting[1].1.key);
    assert!(rig.keep().is_empty());
    assert_eq!(rig.session.figures().completed, 0);
    rig.keep();
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), Some(0));
    assert_eq!(rig.session.figures().completed, 1);
    rig.forget();
}

#[test]
fn a_picture_that_cannot_be_stored_is_given_up_after_a_minute_of_silence() {
    let mut rig = Rig::new();
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    for _ in 0..80 {
        if !rig.waiting.is_empty() {
            rig.refuse();
        }
        rig.pass(1000);
    }
    assert_eq!((rig.session.figures().aborted, rig.session.figures().held_bytes), (1, 0));
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), Some(2));
}

#[test]
fn a_picture_that_a_rule_drops_is_acknowledged_and_not_told() {
    let mut rig = Rig::new();
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    assert_eq!(rig.store(Outcome::Dropped), [vec![1, 7, 2, 2, 0, 0, 0, 0, 2]]);
    assert!(rig.published.is_empty());
    assert_eq!((rig.session.figures().completed, rig.session.figures().dropped), (0, 1));
    rig.forget();
}

#[test]
fn what_is_no_picture_is_not_acknowledged_and_not_stored() {
    let mut rig = Rig::new();
    rig.ask(7, 2, 13, &[]);
    rig.data(7, 0, b"hello");
    assert_eq!(rig.data(7, 1, b"you"), Some(2));
    assert_eq!(rig.end(7, 2), Some(vec![0, 1]));
    assert_eq!((rig.session.figures().aborted, rig.waiting.len()), (1, 0));
    rig.forget();
}

#[test]
fn firmware_that_stops_one_short_is_done_when_the_picture_has_ended() {
    let mut rig = Rig::new();
    rig.ask(7, 3, 14, &[]);
    assert_eq!(rig.data(7, 0, &PICTURE[..6]), Some(0));
    assert_eq!(rig.data(7, 1, &PICTURE[6..]), None);
    assert_eq!(rig.keep(), [vec![1, 7, 2, 1, 0, 0, 0, 0, 6]]);
    assert_eq!(rig.published[0].1.bytes, PICTURE);
    assert_eq!(rig.data(7, 2, b""), Some(0), "or sends an empty one all the same");
    // The same with a size.
    rig.ask(8, 3, 14, &[12]);
    rig.data(8, 0, &PICTURE[..6]);
    assert_eq!(rig.data(8, 1, &PICTURE[6..]), None);
    rig.keep();
    assert_eq!(rig.end(8, 3), Some(vec![]));
    rig.forget();
}

#[test]
fn firmware_that_stops_one_short_of_an_odd_picture_is_done_when_it_says_so_or_falls_silent() {
    let odd = b"\xff\xd8odd \xff\xd9";
    let mut rig = Rig::new();
    for device in [7, 8] {
        rig.ask(device, 3, 12, &[]);
        rig.data(device, 0, &odd[..4]);
        assert_eq!(rig.data(device, 1, &odd[4..]), Some(0));
    }
    assert_eq!(rig.end(7, 3), None);
    assert_eq!(rig.keep(), [vec![1, 7, 3, 0]]);
    rig.pass(19_000);
    assert!(rig.waiting.is_empty());
    rig.pass(2000);
    assert_eq!(rig.waiting[0].1.bytes, odd);
    // Nobody waits for an answer; it is tried until it works.
    assert!(rig.refuse().is_empty());
    rig.pass(1500);
    assert!(rig.keep().is_empty());
    assert_eq!((rig.session.figures().completed, rig.session.figures().aborted), (2, 0));
    rig.forget();
}

#[test]
fn a_transfer_that_falls_silent_is_over() {
    let mut rig = Rig::new();
    rig.begin(7);
    rig.pass(19_000);
    assert_eq!(rig.data(7, 1, &PICTURE[5..10]), Some(0), "every packet counts as a sign of life");
    rig.pass(19_000);
    assert_eq!(rig.session.figures().open_transfers, 1);
    rig.pass(1500);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), Some(2));
    assert_eq!((rig.session.figures().aborted, rig.session.figures().held_bytes), (1, 0));
}
