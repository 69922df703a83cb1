//! Appending: what is answered is there, in order, once.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::*;
use gantry_store::{Direction, Draft, Hash, MAX_JSON, Query, Reader, Store, StoreError};
use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;

#[test]
fn a_record_is_read_back_as_it_was_appended_also_after_reopening() {
    let fixture = Fixture::new();
    let (small, large) = (picture(1, 100), picture(2, 150_000));
    let json = "{ \"plate\" : \"B-GA 42\",\"n\":1.0 }";
    let store = fixture.open();
    let id = store
        .append_wait(Draft {
            time: Some(1_600_000_000_123),
            blobs: vec![("image".into(), large.clone()), ("crop".into(), small.clone())],
            ..draft("detections", json)
        })
        .unwrap()
        .id;
    for round in 0..2 {
        let store = if round == 0 { store.clone() } else { fixture.open() };
        let record = store.read().get(id).unwrap().expect("is there");
        assert_eq!(
            (record.json.as_str(), record.time, record.stored),
            (json, 1_600_000_000_123, 1_750_000_000_000)
        );
        assert_eq!(record.time_text(), "2020-09-13T12:26:40.123Z");
        let blobs: Vec<_> = record.blobs.iter().map(|b| (b.name.as_str(), b.sha256, b.bytes)).collect();
        assert_eq!(blobs, [("image", Hash::of(&large), 150_000), ("crop", Hash::of(&small), 100)]);
        assert_eq!(store.read().blob(&Hash::of(&large)).unwrap().unwrap(), large);
        assert_eq!(store.read().blob(&Hash::of(&small)).unwrap().unwrap(), small);
        let mut streamed = Vec::new();
        let mut reader = store.read().open_blob(&Hash::of(&large)).unwrap().unwrap();
        reader.read_to_end(&mut streamed).unwrap();
        assert_eq!(streamed, large);
        assert_eq!(record.to_value()["data"]["plate"], "B-GA 42");
        store.close();
    }
}

#[test]
fn one_bad_append_in_a_group_does_not_fail_the_others() {
    let fixture = Fixture::new();
    let store = fixture.open();
    // The folder of this blob is a file: its append fails while writing, the others of its group do not.
    let bad = picture(7, 20_000);
    let folder = fixture.path().join("blobs").join(&Hash::of(&bad).to_string()[..2]);
    std::fs::remove_dir(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
    let good = |n| draft("events", &format!("{n}"));
    let bad = Draft { blobs: vec![("image".into(), bad)], ..draft("events", "2") };
    let answers = together(&store, vec![good(1), bad, good(3)]);
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::Io { .. })), "{answers:?}");
    let records = store.read().query(&Query::collection("events")).unwrap();
    assert_eq!(jsons(&records), ["3", "1"]);
}

#[test]
fn appends_that_wait_together_become_one_transaction() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let (sender, woken) = channel();
    let _watch =
        store.on_append(BTreeSet::from(["events".to_owned()]), move || sender.send(()).unwrap_or_default());
    let answers = together(&store, (0..100).map(|n| draft("events", &n.to_string())).collect());
    assert!(answers.iter().all(Result::is_ok));
    store.close();
    assert_eq!(woken.try_iter().count(), 1, "watchers are told once per transaction");
}

#[test]
fn ids_and_the_order_of_records_rise_although_the_clock_goes_back() {
    let fixture = Fixture::new();
    let mut ids = Vec::new();
    for jump in [0, -86_400_000, 5, -1_750_000_000_000] {
        fixture.advance(jump);
        let store = fixture.open();
        ids.extend((0..3).map(|n| store.append_wait(draft("events", &n.to_string())).unwrap().id));
        store.close();
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let query = Query { direction: Direction::Oldest, ..Query::collection("events") };
    let read: Vec<_> = fixture.open().read().query(&query).unwrap().iter().map(|r| r.id).collect();
    assert_eq!(read, ids);
}

#[test]
fn a_key_that_was_seen_is_answered_with_the_first_id_also_within_one_group() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let keyed =
        |collection: &str, json: &str| Draft { dedup_key: Some("k".into()), ..draft(collection, json) };
    let with_blob = Draft { blobs: vec![("image".into(), picture(9, 50_000))], ..keyed("detections", "2") };
    let answers = together(&store, vec![keyed("detections", "1"), with_blob.clone(), keyed("health", "3")]);
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().map(|a| a.is_duplicate).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(answers[0].id, answers[1].id);
    let again = store.append_wait(with_blob).unwrap();
    assert_eq!((again.id, again.is_duplicate), (answers[0].id, true));
    assert_eq!(store.read().count(&Query::collection("detections")).unwrap(), 1);
    assert_eq!(
        blob_files(&fixture.path()),
        Vec::<std::path::PathBuf>::new(),
        "what a duplicate brought is not kept"
    );
}

#[test]
fn where_the_blobs_are_part_of_the_key_other_bytes_or_names_are_another_record_and_their_order_is_none() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let append = |blobs: &[(&str, u64)]| {
        let blobs = blobs.iter().map(|(name, seed)| ((*name).to_owned(), picture(*seed, 50_000))).collect();
        let keyed = Draft { dedup_key: Some("k".into()), dedup_blobs: true, ..draft("detections", "1") };
        store.append_wait(Draft { blobs, ..keyed }).unwrap()
    };
    let first = append(&[("a", 1), ("b", 2)]);
    for same in [append(&[("a", 1), ("b", 2)]), append(&[("b", 2), ("a", 1)])] {
        assert_eq!((same.id, same.is_duplicate), (first.id, true));
    }
    for other in [&[("a", 1), ("b", 3)][..], &[("a", 2), ("b", 1)], &[("a", 1)], &[("a", 1), ("c", 2)], &[]] {
        assert!(!append(other).is_duplicate, "{other:?}");
        assert!(append(other).is_duplicate, "{other:?}");
    }
}

#[test]
fn records_with_the_same_bytes_share_one_file() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let same = || with_picture("pictures", 5, 60_000);
    assert!(together(&store, vec![same(), same()]).iter().all(Result::is_ok));
    store.append_wait(same()).unwrap();
    let files = blob_files(&fixture.path());
    assert_eq!(files.len(), 1);
    assert_eq!(store.stats().unwrap().files.count, 1);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for file in [files[0].clone(), fixture.path().join("records.db"), fixture.path().join("records.db-wal")] {
        assert_eq!(mode(&file) & !0o640, 0, "{}", file.display());
    }
    assert_eq!(mode(&fixture.path()) & !0o750, 0);
}

#[test]
fn drafts_that_cannot_be_records_are_refused_with_the_next_step() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let blob = |name: &str| (name.to_owned(), picture(1, 3));
    let blobs = |blobs| Draft { blobs, ..draft("events", "{}") };
    for (bad, hint) in [
        (draft("Events", "{}"), "use 1 to 64 of a-z"),
        (draft("", "{}"), "use 1 to 64 of a-z"),
        (draft("events", "{"), "correct it"),
        (draft("events", ""), "correct it"),
        (draft("events", &format!("\"{}\"", "x".repeat(MAX_JSON))), "send less"),
        (draft("events", &"[".repeat(100_000)), "correct it"),
        (Draft { time: Some(i64::MAX), ..draft("events", "{}") }, "milliseconds since 1970"),
        (Draft { dedup_key: Some(String::new()), ..draft("events", "{}") }, "1 to 256 bytes"),
        (blobs(vec![blob("a"), blob("a")]), "rename one"),
        (blobs(vec![blob("a\n")]), "rename it"),
        (blobs((0..17).map(|n| blob(&n.to_string())).collect()), "make two"),
    ] {
        let error = store.append_wait(bad).unwrap_err();
        assert!(matches!(error, StoreError::BadDraft(_)) && error.to_string().contains(hint), "{error}");
    }
    assert_eq!(store.read().count(&Query::default()).unwrap(), 0);
}

#[test]
fn a_full_queue_refuses_at_once_and_takes_again() {
    let mut fixture = Fixture::new();
    fixture.settings.queue_records = 2;
    let store = fixture.open();
    let answers = together(&store, vec![draft("events", "1"), draft("events", "2"), draft("events", "3")]);
    assert!(answers[..2].iter().all(Result::is_ok), "{answers:?}");
    assert!(matches!(answers[2], Err(StoreError::Busy { records: 2, .. })), "{answers:?}");
    store.append_wait(draft("events", "4")).unwrap();
}

#[test]
fn closing_stores_what_waits_and_refuses_what_comes() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let answers: Vec<_> = (0..50).map(|n| later(&store, with_picture("pictures", n, 20_000))).collect();
    store.close();
    assert!(answers.iter().all(|answer| answer.recv().unwrap().is_ok()));
    assert!(matches!(store.append_wait(draft("events", "1")), Err(StoreError::Closed)));
    assert_eq!(store.read().count(&Query::default()).unwrap(), 50, "reading goes on");
}

#[test]
fn the_last_handle_may_go_in_an_answer() {
    let fixture = Fixture::new();
    let (sender, done) = channel::<()>();
    let store = fixture.open();
    let last = store.clone();
    let draft = draft("events", "1");
    store.append(
        draft,
        Box::new(move |_| {
            drop(last);
            drop(sender);
        }),
    );
    drop(store);
    assert!(done.recv().is_err());
}

#[test]
fn an_answer_or_a_wake_that_panics_does_not_stop_the_store() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let _watch = store.on_append(BTreeSet::new(), || panic!("when woken"));
    store.append(draft("events", "1"), Box::new(|_| panic!("in an answer")));
    store.append_wait(draft("events", "2")).unwrap();
}

#[test]
fn a_second_writer_is_refused_and_a_reader_is_not() {
    let fixture = Fixture::new();
    let store = fixture.open();
    store.append_wait(draft("events", "1")).unwrap();
    let error = Store::open(&fixture.path(), fixture.settings.clone()).err().unwrap();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    let reader = Reader::open(&fixture.path()).unwrap();
    assert_eq!(reader.count(&Query::default()).unwrap(), 1);
    store.append_wait(draft("events", "2")).unwrap();
    assert_eq!(reader.count(&Query::default()).unwrap(), 2);
    store.close();
    assert_eq!(reader.count(&Query::default()).unwrap(), 2);
}

#[test]
fn stats_tell_what_is_there() {
    let fixture = Fixture::new();
    let store = fixture.open();
    store.append_wait(with_picture("pictures", 1, 20_000)).unwrap();
    fixture.advance(1000);
    store.append_wait(with_picture("pictures", 2, 100)).unwrap();
    fixture.free.store(12_345_678_900, SeqCst);
    let stats = store.stats().unwrap();
    let pictures = &stats.collections["pictures"];
    assert_eq!((pictures.count, pictures.bytes), (2, 20_100 + 14));
    assert_eq!(pictures.newest - pictures.oldest, 1000);
    assert_eq!((stats.files.count, stats.files.bytes, stats.free_bytes), (1, 20_000, 12_345_678_900));
    assert!(stats.database_bytes > 0);
    assert_eq!(stats.queue.records, 0);
}
