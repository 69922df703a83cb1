//! Durable consumers.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::*;
use gantry_store::{Consumer, ConsumerSettings, Start, Store, StoreError, Uuid, Waiting};
use std::sync::mpsc::channel;
use std::time::Duration;

fn wanting(collections: &[&str]) -> ConsumerSettings {
    let collections = collections.iter().map(|&c| c.to_owned()).collect();
    ConsumerSettings { collections, ..ConsumerSettings::default() }
}

fn next(consumer: &Consumer, limit: usize) -> (String, Option<Uuid>) {
    let records = consumer.next(limit).unwrap();
    (jsons(&records).join(" "), records.last().map(|r| r.id))
}

fn fill(store: &Store, count: usize) {
    for n in 0..count {
        store.append_wait(draft(["a", "b", "c"][n % 3], &n.to_string())).unwrap();
    }
}

#[test]
fn batches_come_in_the_order_of_appending_and_only_of_what_is_wanted() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fill(&store, 9);
    let two = store.consumer("two", wanting(&["a", "c"])).unwrap();
    assert_eq!(next(&two, 4).0, "0 2 3 5");
    assert_eq!(next(&two, 4).0, "6 8");
    assert_eq!(next(&two, 4).0, "");
    fill(&store, 3);
    assert_eq!(next(&two, 4).0, "0 2");
    let all = store.consumer("all", wanting(&[])).unwrap();
    assert_eq!(next(&all, 100).0, "0 1 2 3 4 5 6 7 8 0 1 2");
    let settings = ConsumerSettings { start: Start::Next, ..wanting(&[]) };
    let new = store.consumer("new", settings).unwrap();
    assert_eq!(next(&new, 100).0, "");
    fill(&store, 1);
    assert_eq!(next(&new, 100).0, "0");
}

#[test]
fn what_was_not_acknowledged_comes_again_after_reopening() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fill(&store, 6);
    let consumer = store.consumer("uplink", wanting(&[])).unwrap();
    let (_, second) = next(&consumer, 2);
    next(&consumer, 2);
    consumer.ack(second.unwrap()).unwrap();
    store.flush().unwrap();
    // A crash, not a close.
    let crashed = fixture.crash();
    let again = crashed.open().consumer("uplink", wanting(&[])).unwrap();
    assert_eq!(next(&again, 100).0, "2 3 4 5");
    assert_eq!(next(&consumer, 100).0, "4 5");
    consumer.rewind();
    assert_eq!(next(&consumer, 100).0, "2 3 4 5");
    drop(consumer);
    store.close();
    let again =
        fixture.open().consumer("uplink", ConsumerSettings { start: Start::Next, ..wanting(&[]) }).unwrap();
    assert_eq!(next(&again, 100).0, "2 3 4 5", "a known consumer goes on where it was");
}

#[test]
fn only_what_was_given_can_be_acknowledged() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fill(&store, 3);
    let consumer = store.consumer("uplink", wanting(&[])).unwrap();
    let ids: Vec<Uuid> = consumer.next(2).unwrap().iter().map(|r| r.id).collect();
    let other = store.append_wait(draft("a", "3")).unwrap().id;
    assert!(matches!(consumer.ack(other), Err(StoreError::NotDelivered(id)) if id == other));
    consumer.ack(ids[1]).unwrap();
    consumer.ack(ids[0]).expect("an earlier one once more does nothing");
    assert_eq!(consumer.waiting().unwrap().count, 2);
}

#[test]
fn the_backlog_and_the_age_of_its_oldest_record_are_told() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let consumer = store.consumer("uplink", wanting(&["a", "b"])).unwrap();
    assert_eq!(consumer.waiting().unwrap(), Waiting::default());
    for name in ["c", "b", "a", "b"] {
        store.append_wait(draft(name, "1")).unwrap();
        fixture.advance(1000);
    }
    let waiting = |count, ms| Waiting { count, oldest: Some(Duration::from_millis(ms)) };
    assert_eq!(consumer.waiting().unwrap(), waiting(3, 3000));
    let (_, id) = next(&consumer, 1);
    assert_eq!(consumer.waiting().unwrap(), waiting(3, 3000), "given is not acknowledged");
    consumer.ack(id.unwrap()).unwrap();
    assert_eq!(consumer.waiting().unwrap(), waiting(2, 2000));
    fixture.advance(-100_000);
    assert_eq!(consumer.waiting().unwrap(), waiting(2, 0), "a clock that went back");
    store.flush().unwrap();
    let stats = store.stats().unwrap().consumers;
    assert_eq!((stats[0].name.as_str(), stats[0].waiting, stats[0].hold), ("uplink", 2, false));
}

#[test]
fn a_consumer_is_woken_for_its_collections_until_it_is_dropped() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let consumer = store.consumer("uplink", wanting(&["a"])).unwrap();
    let (sender, woken) = channel();
    consumer.on_append(move || sender.send(()).unwrap_or_default());
    store.append_wait(draft("b", "1")).unwrap();
    store.flush().unwrap();
    assert!(woken.try_recv().is_err());
    store.append_wait(draft("a", "1")).unwrap();
    woken.recv().unwrap();
    assert_eq!(next(&consumer, 10).0, "1", "what it is woken for is there");
    drop(consumer);
    store.append_wait(draft("a", "2")).unwrap();
    assert!(woken.recv().is_err(), "the callback is gone");
}

#[test]
fn one_name_is_one_consumer_at_a_time() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let first = store.consumer("uplink", wanting(&[])).unwrap();
    let in_use = |result: Result<Consumer, _>| matches!(result.err(), Some(StoreError::ConsumerInUse(_)));
    assert!(in_use(store.consumer("uplink", wanting(&[]))));
    assert!(matches!(store.forget_consumer("uplink"), Err(StoreError::ConsumerInUse(_))));
    drop(first);
    drop(store.consumer("uplink", wanting(&["a"])).unwrap());
    assert!(store.forget_consumer("uplink").unwrap());
    assert!(!store.forget_consumer("uplink").unwrap());
    assert!(matches!(store.consumer("a b", wanting(&[])).err(), Some(StoreError::BadConsumer(_))));
    assert!(matches!(store.consumer("x", wanting(&["a b"])).err(), Some(StoreError::BadQuery(_))));
    store.consumer("x", wanting(&[])).expect("a refused one does not occupy its name");
}

#[test]
fn what_is_put_back_comes_again_and_what_was_given_before_does_not() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fill(&store, 9);
    let consumer = store.consumer("one", wanting(&[])).unwrap();
    assert_eq!(next(&consumer, 3).0, "0 1 2");
    assert_eq!(next(&consumer, 4).0, "3 4 5 6");
    consumer.put_back(2);
    assert_eq!(next(&consumer, 9).0, "5 6 7 8");
    consumer.put_back(99);
    assert_eq!(next(&consumer, 1).0, "0", "all that is not acknowledged");
}
