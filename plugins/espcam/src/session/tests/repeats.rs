//! New requests, echoes, and the next picture.

use super::*;

#[test]
fn a_new_request_replaces_an_unfinished_transfer() {
    let mut rig = Rig::new();
    rig.ask(7, 3, 13, &[]);
    rig.data(7, 0, b"other");
    rig.now += Duration::from_secs(6);
    rig.ask(7, 3, 13, &[]);
    assert_eq!(rig.end(7, 3), Some(vec![0, 1, 2]));
    rig.data(7, 2, &PICTURE[10..]);
    // Another cut at once.
    rig.ask(7, 2, 18, &[]);
    assert_eq!(rig.end(7, 2), Some(vec![0, 1]));
    rig.data(7, 0, &PICTURE[..10]);
    assert_eq!(rig.data(7, 1, &PICTURE[10..]), None);
    assert_eq!(rig.waiting[0].1.bytes, PICTURE);
    assert_eq!(rig.session.figures().aborted, 2);
    rig.forget();
}

#[test]
fn a_device_that_begins_anew_at_once_gets_no_mixed_picture() {
    for order in [[0, 1, 2], [2, 0, 1], [2, 1, 0]] {
        let mut rig = Rig::new();
        rig.ask(7, 3, 13, &[]);
        rig.data(7, 0, b"other");
        rig.data(7, 1, b"other");
        assert_eq!(rig.ask(7, 3, 13, &[]), 0);
        for index in order {
            let bytes = PICTURE.chunks(5).nth(index.into()).unwrap();
            let length = u32::try_from(bytes.len()).unwrap();
            rig.say(&Data { device: 7, index, length, bytes }.encode());
        }
        assert_eq!((rig.waiting.len(), &rig.waiting[0].1.bytes[..]), (1, &PICTURE[..]), "{order:?}");
        rig.forget();
    }
}

#[test]
fn an_echo_of_the_request_in_the_middle_loses_nothing() {
    let mut rig = Rig::new();
    rig.begin(7);
    assert_eq!(rig.ask(7, 3, 13, &[]), 0);
    // The device has gone on: it does not send again what was acknowledged.
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
    assert!(rig.waiting.is_empty(), "it may still begin anew");
    rig.pass(2200);
    assert_eq!(rig.waiting[0].1.bytes, PICTURE);
    assert_eq!(rig.keep(), [vec![1, 7, 2, 2, 0, 0, 0, 0, 2]]);
    rig.forget();
}

#[test]
fn an_echo_in_the_middle_of_a_picture_that_stops_one_short_loses_nothing() {
    let mut rig = Rig::new();
    rig.ask(7, 3, 14, &[]);
    assert_eq!(rig.data(7, 0, &PICTURE[..6]), Some(0));
    rig.ask(7, 3, 14, &[]);
    // And the network repeats the last packet too.
    assert_eq!((rig.data(7, 1, &PICTURE[6..]), rig.data(7, 1, &PICTURE[6..])), (None, None));
    assert!(rig.pass(2200).is_empty());
    assert_eq!(rig.keep(), [vec![1, 7, 2, 1, 0, 0, 0, 0, 6]]);
    rig.forget();
}

#[test]
fn an_echo_of_the_request_behind_the_picture_is_not_a_new_one_for_who_asks_for_its_end() {
    let mut rig = Rig::new();
    rig.begin(7);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
    assert_eq!(rig.ask(7, 3, 13, &[]), 0);
    assert_eq!(rig.end(7, 3), None);
    assert_eq!(rig.keep(), [vec![1, 7, 2, 2, 0, 0, 0, 0, 2], vec![1, 7, 3, 0]]);
    // But the next picture is, and none of it has come.
    assert_eq!(rig.ask(7, 3, 13, &[]), 0);
    assert_eq!(rig.end(7, 3), Some(vec![0, 1, 2]));
    rig.forget();
}

#[test]
fn the_next_picture_may_be_the_same_and_is_stored_too() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        rig.begin(7);
        assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
        assert_eq!(rig.keep(), [vec![1, 7, 2, 2, 0, 0, 0, 0, 2]]);
    }
    let keys: std::collections::BTreeSet<_> = rig.published.iter().map(|(_, picture)| &picture.key).collect();
    assert_eq!(keys.len(), 3);
    rig.forget();
}

#[test]
fn the_next_picture_may_begin_while_the_one_before_is_being_stored() {
    let mut rig = Rig::new();
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    rig.now += Duration::from_secs(6);
    rig.begin(7);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
    assert_eq!(rig.waiting.len(), 2);
    assert!(rig.keep().is_empty(), "what is owed is owed for the newer one");
    assert_eq!(rig.keep().len(), 1);
    assert_eq!(rig.session.figures().completed, 2);
    rig.forget();
}

#[test]
fn who_has_begun_anew_is_told_nothing_of_the_picture_before() {
    let mut rig = Rig::new();
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    rig.now += Duration::from_secs(3);
    rig.begin(7);
    // It would take the acknowledgement for that of its new last packet.
    assert!(rig.keep().is_empty());
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
    assert_eq!(rig.keep().len(), 1);
    rig.forget();
}

#[test]
fn a_picture_that_did_not_come_is_not_taken_for_the_one_before() {
    let mut rig = Rig::new();
    rig.begin(7);
    rig.data(7, 2, &PICTURE[10..]);
    rig.keep();
    rig.now += Duration::from_secs(3);
    rig.begin(7);
    // It fell silent, and comes back when its transfer is over, within the time that the one before is remembered.
    rig.pass(21_000);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), Some(2));
    assert_eq!(rig.end(7, 3), Some(vec![0, 1, 2]));
    rig.forget();
}
