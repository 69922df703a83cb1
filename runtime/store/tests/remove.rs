//! Removing: what goes, what stays, and that nothing of it is left.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::*;
use gantry_store::{
    Appended, Consumer, ConsumerSettings, Direction, Draft, Hash, Query, Record, RemoveError, Store,
    StoreError, Usage, Uuid,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn all(store: &Store) -> Vec<Record> {
    let query = Query { direction: Direction::Oldest, limit: 10_000, ..Query::default() };
    store.read().query(&query).unwrap()
}

fn file_of(dir: &Path, content: &[u8]) -> PathBuf {
    let hash = Hash::of(content).to_string();
    dir.join("blobs").join(&hash[..2]).join(&hash[2..])
}

/// Whether any file of the store has these bytes.
fn is_on_disk(dir: &Path, bytes: &[u8]) -> bool {
    let database = ["records.db", "records.db-wal"].map(|name| dir.join(name));
    let mut files = blob_files(dir).into_iter().chain(database);
    files.any(|file| fs::read(file).unwrap_or_default().windows(bytes.len()).any(|window| window == bytes))
}

#[test]
fn nothing_of_a_removed_record_is_on_the_disk_when_it_is_answered() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let dir = fixture.path();
    let long = |n: u64| format!("long-{n}-{}", "x".repeat(20_000));
    let mut records = Vec::new();
    for n in 0..20_u64 {
        // In a row, in pages of its own, in the database, in a file.
        let blobs = vec![("crop".into(), picture(n, 9_000)), ("image".into(), picture(n + 100, 40_000))];
        let json = format!(r#"{{"who":"short-{n}-","is":"{}"}}"#, long(n));
        let dedup_key = Some(format!("key-{n}-"));
        let id = store.append_wait(Draft { blobs, dedup_key, ..draft("faces", &json) }).unwrap().id;
        records.push((n, id));
    }
    let traces = |n: u64| {
        let (crop, image) = (picture(n, 9_000), picture(n + 100, 40_000));
        let texts = ["short", "long", "key"].map(|what| format!("{what}-{n}-").into_bytes());
        let blobs = [&crop[..64], &crop[8_900..], &image[..64], &image[39_900..]].map(<[u8]>::to_vec);
        texts.into_iter().chain(blobs).chain([Hash::of(&crop).as_bytes().to_vec()]).collect::<Vec<_>>()
    };
    assert!(traces(7).iter().all(|trace| is_on_disk(&dir, trace)), "the test finds what is there");
    let gone: Vec<Uuid> = records.iter().filter(|(n, _)| n % 3 == 1).map(|(_, id)| *id).collect();
    assert_eq!(store.remove(&gone).unwrap(), gone.len());
    for (n, id) in &records {
        let is_left = !gone.contains(id);
        assert!(traces(*n).iter().all(|trace| is_on_disk(&dir, trace) == is_left), "record {n}");
        assert_eq!(store.read().get(*id).unwrap().is_some(), is_left);
    }
    assert_eq!(store.remove_all("faces").unwrap(), 20 - gone.len());
    for (n, _) in &records {
        assert!(!traces(*n).iter().any(|trace| is_on_disk(&dir, trace)), "record {n}");
    }
    assert!(blob_files(&dir).is_empty());
}

#[test]
fn a_removal_counts_what_was_there_and_leaves_other_records_and_shared_pictures() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let keyed = |seed| Draft { dedup_key: Some("k".into()), ..with_picture("a", seed, 30_000) };
    let first = store.append_wait(keyed(1)).unwrap().id;
    let shares = store.append_wait(with_picture("b", 1, 30_000)).unwrap().id;
    let other = store.append_wait(with_picture("b", 2, 30_000)).unwrap().id;
    assert_eq!(store.remove(&[]).unwrap(), 0);
    assert_eq!(store.remove(&[first, Uuid::nil(), first]).unwrap(), 1);
    assert_eq!(store.remove(&[first]).unwrap(), 0, "it is gone already");
    assert_eq!(store.read().blob(&Hash::of(&picture(1, 30_000))).unwrap().unwrap(), picture(1, 30_000));
    let again = store.append_wait(keyed(3)).unwrap();
    assert!(!again.is_duplicate && again.id > other, "its key is free, its id is not used again");
    assert_eq!(store.remove(&[shares, other]).unwrap(), 2);
    assert_eq!(blob_files(&fixture.path()), [file_of(&fixture.path(), &picture(3, 30_000))]);
    let stats = store.stats().unwrap();
    assert_eq!(stats.files, Usage { count: 1, bytes: 30_000 });
    assert_eq!(stats.collections.keys().collect::<Vec<_>>(), ["a"]);
    assert!(matches!(
        store.remove_all("A b"),
        Err(RemoveError { removed: 0, error: StoreError::BadQuery(_) })
    ));
    store.close();
    assert!(matches!(store.remove(&[again.id]), Err(RemoveError { removed: 0, error: StoreError::Closed })));
}

#[test]
fn consumers_skip_what_was_removed_also_those_that_hold() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let ids: Vec<Uuid> = (0..6).map(|n| store.append_wait(draft("a", &n.to_string())).unwrap().id).collect();
    let settings = ConsumerSettings { hold: true, ..ConsumerSettings::default() };
    let consumer = store.consumer("uplink", settings).unwrap();
    assert_eq!(jsons(&consumer.next(2).unwrap()), ["0", "1"]);
    assert_eq!(store.remove(&[ids[1], ids[2], ids[4]]).unwrap(), 3);
    assert_eq!(consumer.waiting().unwrap().count, 3);
    assert_eq!(jsons(&consumer.next(10).unwrap()), ["3", "5"]);
    consumer.ack(ids[1]).expect("it was given, though it is gone");
    consumer.rewind();
    assert_eq!(jsons(&consumer.next(10).unwrap()), ["3", "5"]);
    store.remove_all("a").unwrap();
    store.append_wait(draft("a", "6")).unwrap();
    consumer.rewind();
    assert_eq!(jsons(&consumer.next(10).unwrap()), ["6"]);
}

#[test]
fn a_removal_during_appends_takes_only_what_was_named() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let removed = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u64)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    let mut removed = BTreeSet::new();
                    for n in 0..30 {
                        // All threads have the same pictures, at about the same time.
                        let id = store.append_wait(with_picture("a", n, 20_000)).unwrap().id;
                        if (n + thread) % 2 == 0 {
                            assert_eq!(store.remove(&[id]).unwrap(), 1);
                            removed.insert(id);
                        }
                    }
                    removed
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<BTreeSet<_>>()
    });
    let left = all(&store);
    assert_eq!((left.len(), removed.len()), (60, 60));
    assert!(left.iter().all(|record| !removed.contains(&record.id)));
    let verified = store.read().verify(true).unwrap();
    assert_eq!((verified.damaged, verified.blobs), (0, 60));
    assert_eq!(blob_files(&fixture.path()).len(), 30);
}

#[test]
fn all_of_a_collection_goes_in_steps_and_the_database_stays_whole() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for n in 0..3 {
        let answers = together(&store, (0..250).map(|i| with_picture("a", n * 250 + i, 60)).collect());
        assert!(answers.iter().all(Result::is_ok));
    }
    assert_eq!(store.remove_all("a").unwrap(), 750);
    assert_eq!(store.remove_all("a").unwrap(), 0);
    assert_eq!(jsons(&all(&store)), ["{}"; 3], "those of another collection");
    assert_eq!(store.read().verify(true).unwrap().damaged, 0);
}

#[test]
fn a_picture_that_cannot_be_deleted_is_an_error_and_goes_at_a_later_start() {
    let fixture = Fixture::new();
    let (store, dir) = (fixture.open(), fixture.path());
    let ids = [1, 2].map(|seed| store.append_wait(with_picture("a", seed, 30_000)).unwrap().id);
    // A folder in its place: also root cannot unlink that.
    let stuck = file_of(&dir, &picture(1, 30_000));
    fs::remove_file(&stuck).unwrap();
    fs::create_dir(&stuck).unwrap();
    let failed = store.remove(&ids).expect_err("a picture is still there");
    assert!(matches!(&failed.error, StoreError::Io { path, .. } if *path == stuck), "{failed}");
    assert_eq!(failed.removed, 2, "it tells how many are gone all the same");
    assert!(all(&store).is_empty(), "the records are gone");
    assert!(!file_of(&dir, &picture(2, 30_000)).exists(), "and so is the other picture");
    store.tidy().unwrap();
    store.close();
    fs::remove_dir(&stuck).unwrap();
    fs::write(&stuck, "picture").unwrap();
    let store = fixture.open();
    assert!(!store.opened().was_clean, "what is left is looked for again");
    store.tidy().unwrap();
    assert!(!stuck.exists());
    store.close();
    assert!(fixture.open().opened().was_clean);
}

#[test]
fn a_removal_that_fails_half_way_tells_how_many_are_gone() {
    let fixture = Fixture::new();
    let (store, dir) = (fixture.open(), fixture.path());
    let seeds: Vec<u64> = (0..600).collect();
    let answers = together(&store, seeds.iter().map(|seed| with_picture("a", *seed, 20_000)).collect());
    let ids: Vec<Uuid> = answers.into_iter().map(|answer| answer.unwrap().id).collect();
    // In the second step of three.
    let stuck = file_of(&dir, &picture(300, 20_000));
    fs::remove_file(&stuck).unwrap();
    fs::create_dir(&stuck).unwrap();
    let failed = store.remove(&ids).expect_err("a picture is still there");
    let left = store.read().count(&Query::collection("a")).unwrap();
    assert_eq!((failed.removed as u64 + left, failed.removed > 256 && left > 0), (600, true), "{failed}");
    assert!(failed.to_string().contains("check the disk"), "{failed}");
    assert_eq!(store.remove(&ids).unwrap() as u64, left, "asked again, the others go");
}

#[test]
fn a_crash_between_rows_and_files_leaves_no_file_and_no_row_behind() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let ids = [1, 2].map(|seed| store.append_wait(with_picture("a", seed, 30_000)).unwrap().id);
    let before = fixture.crash();
    store.remove(&ids[..1]).unwrap();
    // The rows as after the removal, the files as before it.
    let crashed = fixture.crash();
    let file = |of: &Fixture| file_of(&of.path(), &picture(1, 30_000));
    fs::copy(file(&before), file(&crashed)).unwrap();
    let store = crashed.open();
    store.tidy().unwrap();
    assert!(!file(&crashed).exists());
    assert_eq!(all(&store).iter().map(|record| record.id).collect::<Vec<_>>(), ids[1..]);
    assert_eq!(store.read().verify(true).unwrap().damaged, 0);
}

#[derive(Debug, Clone)]
enum Step {
    Append { collection: usize, pictures: Vec<u64>, key: Option<u8> },
    Remove(Vec<prop::sample::Index>),
    RemoveAll(usize),
    Consume(usize),
    Reopen,
}

const COLLECTIONS: [&str; 2] = ["a", "b"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pictures = prop::collection::vec(0..6_u64, 0..3);
    let append = (0..2_usize, pictures, prop::option::of(0..4_u8));
    let step = prop_oneof![
        6 => append.prop_map(|(collection, pictures, key)| Step::Append { collection, pictures, key }),
        3 => prop::collection::vec(any::<prop::sample::Index>(), 0..4).prop_map(Step::Remove),
        1 => (0..2_usize).prop_map(Step::RemoveAll),
        2 => (1..4_usize).prop_map(Step::Consume),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..30)
}

/// Even ones are in the database, odd ones are files.
fn content(picture_of: u64) -> bytes::Bytes {
    picture(picture_of, if picture_of.is_multiple_of(2) { 500 } else { 17_000 })
}

struct Entry {
    id: Uuid,
    collection: &'static str,
    key: Option<u8>,
    json: String,
    pictures: Vec<u64>,
}

fn check(dir: &Path, store: &Store, entries: &[Entry]) {
    let records = all(store);
    let expected: Vec<_> = entries.iter().map(|e| (e.id, e.collection, &*e.json)).collect();
    assert_eq!(records.iter().map(|r| (r.id, &*r.collection, &*r.json)).collect::<Vec<_>>(), expected);
    let (mut usage, mut files) = (BTreeMap::<&str, Usage>::new(), BTreeMap::new());
    for entry in entries {
        let contents: Vec<_> = entry.pictures.iter().map(|p| content(*p)).collect();
        let usage = usage.entry(entry.collection).or_default();
        usage.count += 1;
        usage.bytes += entry.json.len() as u64 + contents.iter().map(|c| c.len() as u64).sum::<u64>();
        files.extend(
            contents.iter().filter(|c| c.len() > 16 * 1024).map(|c| (file_of(dir, c), c.len() as u64)),
        );
    }
    let stats = store.stats().unwrap();
    let told = stats.collections.iter().map(|(name, s)| (&**name, Usage { count: s.count, bytes: s.bytes }));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), usage);
    assert_eq!(stats.files, Usage { count: files.len() as u64, bytes: files.values().sum() });
    assert_eq!(blob_files(dir).into_iter().collect::<BTreeSet<_>>(), files.into_keys().collect());
    let verified = store.read().verify(true).unwrap();
    assert_eq!(verified.damaged, 0, "{verified:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn appending_removing_consuming_and_reopening_do_what_a_list_would(steps in steps()) {
        let fixture = Fixture::new();
        let dir = fixture.path();
        let open = |store: &Store| -> Consumer { store.consumer("c", ConsumerSettings::default()).unwrap() };
        let mut store = fixture.open();
        let mut consumer = open(&store);
        let (mut entries, mut ids, mut cursor) = (Vec::<Entry>::new(), Vec::<Uuid>::new(), Uuid::nil());
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append { collection, pictures, key } => {
                    let (collection, json) = (COLLECTIONS[collection], n.to_string());
                    let blobs = pictures.iter().enumerate().map(|(i, p)| (i.to_string(), content(*p))).collect();
                    let dedup_key = key.map(|key| key.to_string());
                    let draft = Draft { blobs, dedup_key, ..draft(collection, &json) };
                    let Appended { id, is_duplicate } = store.append_wait(draft).unwrap();
                    let twin = entries.iter().find(|e| key.is_some() && (e.collection, e.key) == (collection, key));
                    prop_assert_eq!(is_duplicate.then_some(id), twin.map(|e| e.id));
                    if !is_duplicate {
                        entries.push(Entry { id, collection, key, json, pictures });
                        ids.push(id);
                    }
                }
                Step::Remove(picked) => {
                    // Also such as are gone already.
                    let picked: Vec<Uuid> =
                        picked.iter().filter(|_| !ids.is_empty()).map(|index| *index.get(&ids)).collect();
                    let before = entries.len();
                    entries.retain(|e| !picked.contains(&e.id));
                    prop_assert_eq!(store.remove(&picked).unwrap(), before - entries.len());
                }
                Step::RemoveAll(collection) => {
                    let before = entries.len();
                    entries.retain(|e| e.collection != COLLECTIONS[collection]);
                    prop_assert_eq!(store.remove_all(COLLECTIONS[collection]).unwrap(), before - entries.len());
                }
                Step::Consume(limit) => {
                    let given: Vec<Uuid> = consumer.next(limit).unwrap().iter().map(|r| r.id).collect();
                    let next = entries.iter().map(|e| e.id).filter(|id| *id > cursor).take(limit);
                    prop_assert_eq!(&given, &next.collect::<Vec<_>>());
                    if let Some(last) = given.last() {
                        consumer.ack(*last).unwrap();
                        cursor = *last;
                    }
                }
                Step::Reopen => {
                    drop(consumer);
                    store.close();
                    store = fixture.open();
                    prop_assert!(store.opened().was_clean);
                    consumer = open(&store);
                }
            }
            check(&dir, &store, &entries);
        }
        let crashed = fixture.crash();
        let store = crashed.open();
        store.tidy().unwrap();
        check(&crashed.path(), &store, &entries);
    }
}
