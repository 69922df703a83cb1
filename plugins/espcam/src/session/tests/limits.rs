//! What devices can cost.

use super::*;

#[test]
fn memory_is_taken_by_data_and_not_by_requests() {
    let limits = Limits { bytes: 100_000, picture_bytes: 50_000, ..Limits::default() };
    let mut rig = Rig::with(limits);
    for device in 0..=255 {
        assert_eq!(rig.ask(device, 50, 1008, &[]), 0);
    }
    assert_eq!(rig.session.figures().held_bytes, 0);
    let mut kept = 0;
    for (device, index) in (0..=255).flat_map(|device| [(device, 0), (device, 1)]) {
        match rig.data(device, index, &[7; 1000]) {
            Some(0) => kept += 1,
            answer => assert_eq!(answer, Some(3)),
        }
    }
    assert_eq!(kept, 93, "of 1064 bytes each");
    assert!(rig.session.figures().held_bytes <= 100_000);
    rig.from = source(2);
    assert_eq!(rig.ask(1, 50, 1008, &[]), 1, "nobody new while memory is short");
    // Those that wait for memory do not keep it from each other.
    for _ in 0..6 {
        rig.pass(5000);
        rig.from = source(1);
        for device in 100..=255 {
            rig.data(device, 0, &[7; 1000]);
        }
    }
    rig.from = source(2);
    assert_eq!(rig.ask(1, 50, 1008, &[]), 0);
    rig.forget();
}

#[test]
fn a_picture_that_grows_beyond_what_pictures_may_have_ends_its_transfer() {
    let mut rig = Rig::with(Limits { picture_bytes: 1500, ..Limits::default() });
    assert_eq!(rig.ask(7, 2, 1008, &[]), 0);
    assert_eq!(rig.data(7, 0, &[7; 1000]), Some(0));
    assert_eq!(rig.data(7, 1, &[7; 501]), Some(2));
    assert_eq!(rig.session.figures().held_bytes, 0);
}

#[test]
fn ten_thousand_requests_of_nobody_take_no_memory_and_keep_nobody_out() {
    let mut rig = Rig::new();
    let mut answers = [0; 4];
    for number in 0..10_000_u16 {
        rig.from = source(number + 2);
        answers[usize::from(rig.ask(7, 255, 65_507, &[]))] += 1;
    }
    // 255 packets of 65,507 are more than a picture may have.
    assert_eq!(answers, [0, 0, 10_000, 0]);
    rig.from = source(1);
    rig.begin(7);
    for number in 0..10_000_u16 {
        rig.from = source(number + 2);
        let _ = rig.ask(7, 100, 1008, &[]);
        if number % 50 == 0 {
            rig.now += Duration::from_millis(100);
        }
        if number % 100 == 0 {
            // The device that was there before goes on.
            rig.from = source(1);
            assert_eq!(rig.data(7, 1, &PICTURE[5..10]), Some(0));
        }
    }
    let figures = rig.session.figures();
    assert!(figures.open_transfers <= 1024 && figures.held_bytes < 1000);
    assert!(rig.session.asked.len() < 4096);
    rig.from = source(1);
    assert_eq!(rig.data(7, 2, &PICTURE[10..]), None);
    assert_eq!(rig.keep().len(), 1);
    // And a device that comes now is let in: those that never sent anything make room.
    rig.pass(1000);
    rig.from = source(60_000);
    rig.begin(9);
    rig.forget();
}

#[test]
fn one_address_takes_a_part_of_the_transfers_and_of_the_rates() {
    let limits = Limits {
        transfers_per_address: 10,
        requests_per_second_per_address: 40,
        datagrams_per_second_per_address: 100,
        ..Limits::default()
    };
    let mut rig = Rig::with(limits);
    let codes: Vec<u8> = (0..60).map(|device| rig.ask(device, 3, 13, &[])).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 10);
    let before = rig.session.figures().limited;
    for _ in 0..100 {
        rig.say(&end(0, 3));
    }
    assert_eq!((before, rig.session.figures().limited), (0, 60));
    rig.from = source(2);
    rig.begin(7);
    rig.forget();
}

#[test]
fn tiny_pictures_without_end_are_remembered_within_a_bound() {
    let mut rig = Rig::with(Limits { transfers: 8, ..Limits::default() });
    for number in 0..500_u16 {
        rig.from = source(number);
        rig.now += Duration::from_millis(10);
        assert_eq!(rig.ask(7, 1, 20, &[]), 0);
        assert_eq!(rig.data(7, 0, PICTURE), None);
        rig.keep();
    }
    assert!(rig.session.stores.finished_len() <= 32);
    rig.forget();
}
