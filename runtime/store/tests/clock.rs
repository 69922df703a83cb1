//! A clock that leaps: ids rise, nothing is left out, and what is removed for its age is what the clock says.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::*;
use gantry_store::{ConsumerSettings, Direction, Keep, Order, Query, Start};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const YEAR: i64 = 365 * 24 * 3600 * 1000;

#[test]
fn ids_rise_and_consumers_and_pages_miss_nothing_whatever_the_clock_does_also_over_restarts() {
    let fixture = Fixture::new();
    let right = fixture.now.load(SeqCst);
    let mut ids = Vec::new();
    let mut given = Vec::new();
    for (round, leap) in
        [0, 3_600_000, -3_600_000, 10 * YEAR, 0, -right, i64::MAX - right, 0].into_iter().enumerate()
    {
        let store = fixture.open();
        let settings =
            ConsumerSettings { collections: BTreeSet::from(["a".into()]), hold: true, start: Start::Oldest };
        let consumer = store.consumer("uplink", settings).unwrap();
        fixture.now.store(right + leap, SeqCst);
        for n in 0..5 {
            ids.push(store.append_wait(draft("a", &format!("{}", round * 10 + n))).unwrap().id);
        }
        let batch = consumer.next(3).unwrap();
        consumer.ack(batch.last().unwrap().id).unwrap();
        given.extend(batch.iter().map(|record| record.id));
        assert!(consumer.waiting().unwrap().oldest.is_some());
        if round == 7 {
            given.extend(consumer.next(100).unwrap().iter().map(|record| record.id));
        }
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert_eq!(given, ids);
    let store = fixture.open();
    let mut query = Query { direction: Direction::Oldest, limit: 7, ..Query::collection("a") };
    let mut paged = Vec::new();
    loop {
        let page = store.read().query(&query).unwrap();
        let Some(last) = page.last() else { break };
        query.after = Some(last.id);
        paged.extend(page.iter().map(|record| record.id));
    }
    assert_eq!(paged, ids, "in the order of appending");
    // By time it is another order, with the same records.
    let by_time = Query { order: Order::Time, limit: 100, ..Query::collection("a") };
    let times: Vec<_> = store.read().query(&by_time).unwrap().iter().map(|record| record.time).collect();
    assert!(times.is_sorted_by(|a, b| a >= b) && times.len() == ids.len(), "{times:?}");
}

#[test]
fn a_clock_that_goes_back_removes_nothing_early_and_one_that_goes_on_removes_in_the_order_of_appending() {
    let mut fixture = Fixture::new();
    fixture.settings.keep = Keep { max_age: Some(Duration::from_secs(60)), ..Keep::everything() };
    let store = fixture.open();
    let texts = || {
        let query = Query { direction: Direction::Oldest, ..Query::collection("a") };
        let found = store.read().query(&query).unwrap();
        found.iter().map(|record| record.json.clone()).collect::<Vec<_>>()
    };
    store.append_wait(draft("a", "1")).unwrap();
    fixture.advance(-10 * YEAR);
    store.append_wait(draft("a", "2")).unwrap();
    store.tidy().unwrap();
    assert_eq!(texts(), ["1", "2"], "they are of no age");
    fixture.advance(10 * YEAR);
    store.append_wait(draft("a", "3")).unwrap();
    store.tidy().unwrap();
    // What was stored by a clock that was ten years back is as old as what came next.
    assert_eq!(texts(), ["1", "2", "3"]);
    fixture.advance(61_000);
    store.tidy().unwrap();
    assert!(texts().is_empty());
}

#[test]
fn what_was_stored_while_the_clock_was_wrong_is_as_old_as_what_came_next() {
    let mut fixture = Fixture::new();
    fixture.settings.keep = Keep { max_age: Some(Duration::from_secs(60)), ..Keep::everything() };
    let store = fixture.open();
    let count = || store.read().count(&Query::collection("a")).unwrap();
    let tidied = || {
        store.tidy().unwrap();
        count()
    };
    let right = fixture.now.load(SeqCst);
    let at = |ms: i64, how_many: u64| {
        fixture.now.store(ms, SeqCst);
        for _ in 0..how_many {
            store.append_wait(draft("a", "{}")).unwrap();
            // Another's places are between them.
            store.append_wait(draft("b", "{}")).unwrap();
        }
    };
    // 1970, and ten years ahead: more of both than one step removes.
    at(0, 200);
    at(right + 10 * YEAR, 200);
    fixture.now.store(right, SeqCst);
    assert_eq!(tidied(), 400, "nothing came since: nobody knows how old they are");
    fixture.advance(3_600_000);
    assert_eq!(tidied(), 400);
    at(right + 3_600_000, 1);
    fixture.advance(60_000);
    assert_eq!(tidied(), 401, "they are as old as the one that is right");
    at(right + 3_660_000, 1);
    fixture.advance(1);
    assert_eq!(tidied(), 1);
    // By a day a clock may be off and is believed.
    at(right + 3_720_000 + YEAR / 365, 1);
    fixture.now.store(right + 3_720_001, SeqCst);
    assert_eq!(tidied(), 1);
    fixture.advance(YEAR / 365 + 60_000);
    assert_eq!(tidied(), 0);
}

#[test]
fn how_much_is_kept_by_count_is_no_matter_of_clocks() {
    let mut fixture = Fixture::new();
    fixture.settings.keep = Keep { max_count: Some(2), ..Keep::everything() };
    let store = fixture.open();
    for (n, leap) in [0, 10 * YEAR, -20 * YEAR, 10 * YEAR].into_iter().enumerate() {
        fixture.advance(leap);
        store.append_wait(draft("a", &n.to_string())).unwrap();
        store.tidy().unwrap();
    }
    assert_eq!(jsons(&store.read().query(&Query::collection("a")).unwrap()), ["3", "2"]);
}
