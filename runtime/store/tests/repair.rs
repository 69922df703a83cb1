//! After power loss and worse.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::*;
use gantry_store::{ConsumerSettings, Direction, Draft, Hash, Query, Store};
use std::fs;
use std::path::Path;

fn fill(store: &Store, count: u64) {
    for n in 0..count {
        let small = ("crop".to_owned(), picture(n + 1000, 200));
        let mut draft = with_picture("pictures", n, if n % 4 == 0 { 20_000 } else { 100 });
        draft.blobs.push(small);
        store.append_wait(draft).unwrap();
    }
}

fn all(store: &Store) -> Vec<gantry_store::Record> {
    let query = Query { direction: Direction::Oldest, limit: 10_000, ..Query::default() };
    store.read().query(&query).unwrap()
}

fn garble(path: &Path, from: u64, len: usize) {
    let mut bytes = fs::read(path).unwrap();
    let from = from as usize;
    let to = (from + len).min(bytes.len());
    bytes[from..to].copy_from_slice(&picture(99, to - from));
    fs::write(path, bytes).unwrap();
}

fn set_aside(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|n| n.starts_with("records.corrupt-")).collect();
    names.sort();
    names
}

#[test]
fn a_write_that_power_loss_cut_short_is_gone_and_all_before_it_is_there() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fill(&store, 10);
    let wal = fixture.path().join("records.db-wal");
    let before = fs::metadata(&wal).unwrap().len();
    // The next group fits behind: what of it reached the disk is cut or garbled at any place.
    fill(&store, 1);
    let after = fs::metadata(&wal).unwrap().len();
    assert!(after > before);
    for n in 0..12 {
        let crashed = fixture.crash();
        let wal = crashed.path().join("records.db-wal");
        let place = before + (after - before) * n / 12;
        if n % 2 == 0 {
            fs::File::options().write(true).open(&wal).unwrap().set_len(place).unwrap();
        } else {
            garble(&wal, place, 4096);
        }
        let store = crashed.open();
        assert_eq!((store.opened().repaired.clone(), store.opened().was_clean), (None, false));
        let records = all(&store);
        assert_eq!(records.len(), 10, "cut at {place} of {before}..{after}");
        assert_eq!(store.read().verify(true).unwrap().damaged, 0);
        store.tidy().unwrap();
        assert_eq!(blob_files(&crashed.path()).len(), 3, "the file of the lost record was swept");
        let id = store.append_wait(draft("events", "1")).unwrap().id;
        assert!(id > records[9].id);
    }
}

#[test]
fn files_that_a_crash_left_without_a_record_are_swept_and_others_stay() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fill(&store, 5);
    let crashed = fixture.crash();
    let orphan = Hash::of(b"orphan").to_string();
    fs::write(crashed.path().join("blobs").join(&orphan[..2]).join(&orphan[2..]), "or").unwrap();
    let strange = crashed.path().join("blobs/00/README");
    fs::write(&strange, "not ours").unwrap();
    let store = crashed.open();
    store.tidy().unwrap();
    assert!(strange.exists());
    fs::remove_file(strange).unwrap();
    assert_eq!(blob_files(&crashed.path()).len(), 2);
    assert_eq!(store.read().verify(true).unwrap().damaged, 0);
}

#[test]
fn damaged_blobs_are_told_at_the_start_and_by_verify_and_healed_by_the_same_picture() {
    let fixture = Fixture::new();
    fill(&fixture.open(), 9);
    let store = fixture.open();
    assert!(store.opened().was_clean && store.opened().damaged.is_empty());
    let hashes: Vec<Hash> = all(&store).iter().step_by(4).map(|r| r.blobs[0].sha256).collect();
    let crashed = fixture.crash();
    let path = |hash: &Hash| {
        let text = hash.to_string();
        crashed.path().join("blobs").join(&text[..2]).join(&text[2..])
    };
    fs::remove_file(path(&hashes[0])).unwrap();
    fs::File::options().write(true).open(path(&hashes[1])).unwrap().set_len(100).unwrap();
    garble(&path(&hashes[2]), 5000, 10);
    let store = crashed.open();
    let told = |damages: &[gantry_store::Damage]| {
        damages.iter().map(|d| format!("{}: {}", d.name, d.what)).collect::<Vec<_>>()
    };
    let expected = [
        "image: its file is missing",
        "image: its file has 100 bytes instead of 20000",
        "image: its content changed",
    ];
    assert_eq!(told(&store.opened().damaged), expected);
    let deep = store.read().verify(true).unwrap();
    assert_eq!(
        (told(&deep.damages), deep.damaged, deep.records, deep.blobs),
        (expected.map(String::from).to_vec(), 3, 9, 18)
    );
    assert_eq!(store.read().verify(false).unwrap().damaged, 2, "without reading all bytes");
    for hash in &hashes {
        let error = store.read().blob(hash).unwrap_err().to_string();
        assert!(error.contains(&hash.to_string()) && error.contains("is damaged"), "{error}");
    }
    for n in [0, 4, 8] {
        store.append_wait(with_picture("pictures", n, 20_000)).unwrap();
    }
    assert_eq!(store.read().verify(true).unwrap().damaged, 0);
}

#[test]
fn a_database_that_is_no_database_is_set_aside_with_its_pictures_and_appending_goes_on() {
    let fixture = Fixture::new();
    fill(&fixture.open(), 9);
    garble(&fixture.path().join("records.db"), 0, 8192);
    let store = fixture.open();
    let told = store.opened().repaired.clone().expect("told");
    assert!(told.contains("0 records were rescued") && told.contains("3 blobs without a record"), "{told}");
    let mut aside = set_aside(&fixture.path());
    aside.retain(|name| !name.ends_with("-wal"));
    assert_eq!(aside, ["records.corrupt-20250615T150640Z.blobs", "records.corrupt-20250615T150640Z.db"]);
    assert!(all(&store).is_empty() && blob_files(&fixture.path()).is_empty());
    store.append_wait(with_picture("pictures", 1, 20_000)).unwrap();
    store.close();
    let store = fixture.open();
    assert_eq!((store.opened().repaired.clone(), all(&store).len()), (None, 1));
}

#[test]
fn of_a_database_with_bad_pages_all_that_can_be_read_is_rescued() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fill(&store, 400);
    let consumer =
        store.consumer("uplink", ConsumerSettings { hold: true, ..ConsumerSettings::default() }).unwrap();
    let fifty = consumer.next(50).unwrap();
    consumer.ack(fifty[49].id).unwrap();
    let originals = all(&store);
    drop(consumer);
    store.close();
    let database = fixture.path().join("records.db");
    let pages = fs::metadata(&database).unwrap().len() / 4096;
    // A page of records or blobs costs those; the root of a tree may cost the whole tree, and there are few roots.
    let (mut noticed, mut mild, mut cursors) = (0, 0, 0);
    for round in 1..16 {
        let crashed = fixture.crash();
        let page = pages * round / 16;
        garble(&crashed.path().join("records.db"), page * 4096, 4096);
        let store = crashed.open();
        let Some(told) = store.opened().repaired.clone() else {
            assert_eq!(all(&store).len(), 400, "page {page} holds nothing but content of a blob");
            continue;
        };
        let records = all(&store);
        for record in &records {
            let original = originals.iter().find(|o| o.seq == record.seq).expect("was there");
            assert_eq!((record.id, &record.json, record.time), (original.id, &original.json, original.time));
        }
        let damaged = store.read().verify(true).unwrap().damaged;
        noticed += 1;
        mild += usize::from(records.len() >= 300 && damaged <= 100);
        assert!(told.contains(&format!("{} records were rescued", records.len())), "{told}");
        // A picture that was lost is whole again when it comes again, and never answered as stored without.
        let again = store.append_wait(with_picture("pictures", 1, 100)).unwrap().id;
        let again = store.read().get(again).unwrap().unwrap();
        assert_eq!(store.read().blob(&again.blobs[0].sha256).unwrap().unwrap(), picture(1, 100));
        let id = store.append_wait(draft("events", "1")).unwrap().id;
        assert!(id > originals[399].id, "ids go on");
        let totals = store.stats().unwrap().collections["pictures"].count;
        assert_eq!(totals, records.len() as u64 + 1);
        let consumer = store.consumer("uplink", ConsumerSettings::default()).unwrap();
        let next = consumer.next(1).unwrap();
        cursors += usize::from(next[0].seq > fifty[49].seq);
        assert_eq!(set_aside(&crashed.path()).iter().filter(|n| n.ends_with(".db")).count(), 1);
    }
    assert!(noticed >= 8 && mild * 3 >= noticed * 2, "{noticed} bad pages noticed, {mild} cost little");
    assert!(cursors + 2 >= noticed, "{cursors} of {noticed} cursors rescued");
}

#[test]
fn a_crash_in_a_rescue_is_finished_at_the_next_start() {
    let fixture = Fixture::new();
    fill(&fixture.open(), 9);
    let (database, rescue) = (fixture.path().join("records.db"), fixture.path().join("records.rescue.db"));
    // Before the swap: the half-made one is thrown away.
    fs::write(&rescue, "half").unwrap();
    let store = fixture.open();
    assert_eq!(all(&store).len(), 9);
    store.close();
    drop(store);
    // In the swap: the old one is aside, its log is not, and the new one is not in place.
    fs::rename(&database, &rescue).unwrap();
    fs::write(fixture.path().join("records.db-wal"), picture(3, 5000)).unwrap();
    assert_eq!(all(&fixture.open()).len(), 9);
    assert!(!rescue.exists());
}

#[test]
fn a_store_of_a_newer_program_is_refused_and_left_alone() {
    let fixture = Fixture::new();
    fill(&fixture.open(), 1);
    let database = fixture.path().join("records.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[60..64].copy_from_slice(&7_u32.to_be_bytes()); // `user_version` in SQLite's header
    fs::write(&database, &bytes).unwrap();
    let error = Store::open(&fixture.path(), fixture.settings.clone()).err().unwrap();
    assert!(error.to_string().contains("format 7"), "{error}");
    assert!(fs::read(&database).unwrap() == bytes, "it was changed");
}

#[test]
fn duplicates_are_known_after_a_rescue() {
    let fixture = Fixture::new();
    let keyed = || Draft { dedup_key: Some("k".into()), ..draft("a", "1") };
    let store = fixture.open();
    let first = store.append_wait(keyed()).unwrap().id;
    fill(&store, 50);
    store.close();
    drop(store);
    let database = fixture.path().join("records.db");
    // The last page is not the first record's.
    let size = fs::metadata(&database).unwrap().len();
    fs::File::options().write(true).open(&database).unwrap().set_len(size - 4096).unwrap();
    let store = fixture.open();
    assert!(store.opened().repaired.is_some());
    assert_eq!(store.append_wait(keyed()).unwrap(), gantry_store::Appended { id: first, is_duplicate: true });
}
