//! What is kept and what goes.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::*;
use gantry_store::{ConsumerSettings, Hash, Keep, Query, Store};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn keep(change: impl FnOnce(&mut Keep)) -> Keep {
    let mut keep = Keep::everything();
    change(&mut keep);
    keep
}

fn left(store: &Store, collection: &str) -> String {
    let query = Query { limit: 1000, ..Query::collection(collection) };
    jsons(&store.read().query(&query).unwrap()).join(" ")
}

#[test]
fn age_count_and_bytes_each_limit_their_collection_and_no_other() {
    let mut fixture = Fixture::new();
    for (name, keep) in [
        ("aged", keep(|k| k.max_age = Some(Duration::from_secs(60)))),
        ("counted", keep(|k| k.max_count = Some(2))),
        ("weighed", keep(|k| k.max_bytes = Some(2))),
    ] {
        fixture.settings.collections.insert(name.into(), keep);
    }
    let store = fixture.open();
    for n in 0..4 {
        for name in ["aged", "counted", "weighed", "other"] {
            // What a camera says about the time does not make a record old.
            let draft = gantry_store::Draft { time: Some(n), ..draft(name, &n.to_string()) };
            store.append_wait(draft).unwrap();
        }
        fixture.advance(20_001);
    }
    store.tidy().unwrap();
    assert_eq!(left(&store, "aged"), "3 2");
    assert_eq!(left(&store, "counted"), "3 2");
    assert_eq!(left(&store, "weighed"), "3 2");
    assert_eq!(left(&store, "other"), "3 2 1 0");
    store.set_keep(keep(|k| k.max_count = Some(1)), BTreeMap::new()).unwrap();
    store.tidy().unwrap();
    assert_eq!(left(&store, "other"), "3");
    assert_eq!(store.stats().unwrap().collections["other"].count, 1);
}

#[test]
fn blobs_go_with_the_last_record_that_has_them() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let (shared, small) = (picture(1, 30_000), picture(2, 30));
    for (collection, blobs) in [("a", vec![&shared, &small]), ("b", vec![&shared])] {
        let blobs = blobs.into_iter().enumerate().map(|(n, b)| (n.to_string(), b.clone())).collect();
        store.append_wait(gantry_store::Draft { blobs, ..draft(collection, "{}") }).unwrap();
    }
    let drop_all = |name: &str| {
        let rules = BTreeMap::from([(name.to_owned(), keep(|k| k.max_count = Some(0)))]);
        store.set_keep(Keep::everything(), rules).unwrap();
        store.tidy().unwrap();
    };
    drop_all("a");
    assert_eq!(store.read().blob(&Hash::of(&shared)).unwrap().unwrap(), shared);
    assert!(store.read().blob(&Hash::of(&small)).unwrap().is_none());
    let mut open = store.read().open_blob(&Hash::of(&shared)).unwrap().unwrap();
    drop_all("b");
    assert!(store.read().blob(&Hash::of(&shared)).unwrap().is_none());
    assert!(blob_files(&fixture.path()).is_empty());
    assert_eq!(store.stats().unwrap().files, gantry_store::Usage::default());
    std::io::copy(&mut open, &mut std::io::sink()).expect("who was reading it reads to the end");
    let again = gantry_store::Draft { blobs: vec![("x".into(), shared.clone())], ..draft("c", "{}") };
    store.append_wait(again).unwrap();
    assert_eq!(store.read().blob(&Hash::of(&shared)).unwrap().unwrap(), shared);
}

#[test]
fn what_a_holding_consumer_has_not_acknowledged_stays_until_space_forces() {
    let mut fixture = Fixture::new();
    fixture.settings.keep.max_count = Some(1);
    let store = fixture.open();
    let settings = ConsumerSettings {
        collections: ["held".to_owned()].into(),
        hold: true,
        ..ConsumerSettings::default()
    };
    let consumer = store.consumer("uplink", settings).unwrap();
    for n in 0..5 {
        store.append_wait(draft("held", &n.to_string())).unwrap();
        store.append_wait(draft("other", &n.to_string())).unwrap();
    }
    store.tidy().unwrap();
    assert_eq!((left(&store, "held"), left(&store, "other")), ("4 3 2 1 0".into(), "4".into()));
    let given = consumer.next(2).unwrap();
    consumer.ack(given[1].id).unwrap();
    store.flush().unwrap();
    store.tidy().unwrap();
    assert_eq!(left(&store, "held"), "4 3 2");
    fixture.free.store(0, SeqCst);
    store.tidy().unwrap();
    assert_eq!(left(&store, "held"), "4", "beyond its limit and no space; what is within the limit stays");
    fixture.free.store(1 << 40, SeqCst);
    drop(consumer);
    store.append_wait(draft("held", "5")).unwrap();
    store.tidy().unwrap();
    assert_eq!(left(&store, "held"), "5 4", "held also while the consumer is away");
    assert!(store.forget_consumer("uplink").unwrap());
    store.tidy().unwrap();
    assert_eq!(left(&store, "held"), "5");
}

#[test]
fn retention_keeps_pace_with_appending_without_being_asked() {
    let mut fixture = Fixture::new();
    fixture.settings.keep.max_count = Some(100);
    let store = fixture.open();
    for n in 0..20 {
        let answers = together(&store, (0..100).map(|i| with_picture("a", n * 100 + i, 64)).collect());
        assert!(answers.iter().all(Result::is_ok));
    }
    let count = store.read().count(&Query::collection("a")).unwrap();
    assert!(count <= 500, "{count} of 2000 are left before any idle moment was certain");
    store.tidy().unwrap();
    assert_eq!(store.read().count(&Query::collection("a")).unwrap(), 100);
    assert_eq!(store.read().verify(true).unwrap().damaged, 0);
}

#[test]
fn a_database_that_held_much_gives_its_pages_back() {
    let mut fixture = Fixture::new();
    fixture.settings.collections.insert("a".into(), keep(|k| k.max_count = Some(1)));
    let rules = std::mem::take(&mut fixture.settings.collections);
    let store = fixture.open();
    let long = format!("\"{}\"", "x".repeat(1_000_000));
    let answers = together(&store, (0..40).map(|_| draft("a", &long)).collect());
    assert!(answers.iter().all(Result::is_ok));
    store.set_keep(Keep::everything(), rules).unwrap();
    store.tidy().unwrap();
    store.close();
    let size = std::fs::metadata(fixture.path().join("records.db")).unwrap().len();
    assert!(size < 24 << 20, "{size} bytes after 40 MB came and went");
}
