//! Questions.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::*;
use gantry_store::{Direction, Draft, FieldEquals, Order, Query, Store, StoreError};
use proptest::prelude::*;
use serde_json::{Value, json};

fn filled(fixture: &Fixture, records: &[(&str, i64, Value)]) -> Store {
    let store = fixture.open();
    let drafts = records.iter().map(|(collection, time, value)| Draft {
        time: Some(*time),
        ..draft(collection, &value.to_string())
    });
    for draft in drafts {
        store.append_wait(draft).unwrap();
    }
    store
}

#[test]
fn collection_time_and_direction_choose_records() {
    let fixture = Fixture::new();
    // Times are not in the order of appending: cameras send late.
    let store = filled(
        &fixture,
        &[("a", 30, json!(0)), ("b", 10, json!(1)), ("a", 10, json!(2)), ("a", 20, json!(3))],
    );
    let ask = |query: Query| jsons(&store.read().query(&query).unwrap()).join(" ");
    assert_eq!(ask(Query::default()), "3 2 1 0");
    let a = Query::collection("a");
    assert_eq!(ask(Query { direction: Direction::Oldest, ..a.clone() }), "0 2 3");
    assert_eq!(ask(Query { from: Some(10), until: Some(30), ..a.clone() }), "3 2");
    assert_eq!(ask(Query { from: Some(11), ..a.clone() }), "3 0");
    assert_eq!(ask(Query { limit: 2, ..a.clone() }), "3 2");
    assert_eq!(ask(Query { limit: 0, ..a.clone() }), "");
    assert_eq!(store.read().count(&Query { until: Some(20), limit: 1, ..Query::default() }).unwrap(), 2);
    assert!(matches!(store.read().query(&Query::collection("A b")), Err(StoreError::BadQuery(_))));
}

#[test]
fn the_newest_may_be_those_of_the_latest_time_instead_of_the_last_appended() {
    let fixture = Fixture::new();
    let times = [30, 10, 30, 20, 40].into_iter().enumerate();
    let records: Vec<_> = times.map(|(n, time)| ("a", time, json!(n))).chain([("b", 99, json!(9))]).collect();
    let store = filled(&fixture, &records);
    let ask = |query: Query| jsons(&store.read().query(&query).unwrap()).join(" ");
    let newest = Query { order: Order::Time, ..Query::collection("a") };
    let oldest = Query { direction: Direction::Oldest, ..newest.clone() };
    assert_eq!(ask(newest.clone()), "4 2 0 3 1", "of the same time, the last appended is the newest");
    assert_eq!(ask(oldest.clone()), "1 3 0 2 4");
    assert_eq!(ask(Query { limit: 2, ..newest.clone() }), "4 2");
    assert_eq!(ask(Query { until: Some(31), limit: 2, ..newest.clone() }), "2 0");
    assert_eq!(ask(Query { from: Some(20), limit: 1, ..oldest }), "3");
    assert_eq!(ask(Query { collection: None, limit: 2, ..newest }), "9 4");
}

#[test]
fn pages_follow_each_other_also_when_their_first_or_last_record_is_gone() {
    let mut fixture = Fixture::new();
    fixture
        .settings
        .collections
        .insert("x".into(), gantry_store::Keep { max_count: Some(0), ..gantry_store::Keep::everything() });
    let store = fixture.open();
    let ids: Vec<_> = ["a", "a", "x", "a", "a"]
        .iter()
        .enumerate()
        .map(|(n, c)| store.append_wait(draft(c, &n.to_string())).unwrap().id)
        .collect();
    store.tidy().unwrap();
    assert!(store.read().get(ids[2]).unwrap().is_none(), "the one in the middle is gone");
    let ask = |query: Query| jsons(&store.read().query(&query).unwrap()).join(" ");
    let oldest = Query { direction: Direction::Oldest, ..Query::default() };
    assert_eq!(ask(Query { after: Some(ids[2]), ..oldest.clone() }), "3 4");
    assert_eq!(ask(Query { before: Some(ids[2]), ..oldest.clone() }), "0 1");
    assert_eq!(ask(Query { after: Some(ids[0]), before: Some(ids[4]), ..oldest.clone() }), "1 3");
    assert_eq!(ask(Query { after: Some(ids[4]), ..oldest.clone() }), "");
    assert_eq!(ask(Query { before: Some(ids[0]), ..oldest }), "");
}

#[test]
fn a_field_equals_only_the_same_kind_of_value() {
    let fixture = Fixture::new();
    let values =
        [json!(1), json!(true), json!("1"), json!(1.0), json!(null), json!(false), json!(0), json!("")];
    let records: Vec<_> =
        values.iter().enumerate().map(|(n, v)| ("a", n as i64, json!({"x": {"a b": v}}))).collect();
    let store = filled(&fixture, &records);
    store.append_wait(draft("a", "{}")).unwrap();
    for (value, expected) in [
        (json!(1), vec![3, 0]),
        (json!(1.0), vec![3, 0]),
        (json!(true), vec![1]),
        (json!("1"), vec![2]),
        (json!(null), vec![4]),
        (json!(false), vec![5]),
        (json!(0), vec![6]),
        (json!(""), vec![7]),
        (json!(2), vec![]),
    ] {
        let field = FieldEquals { path: vec!["x".into(), "a b".into()], value: value.clone() };
        let query = Query { fields: vec![field], ..Query::collection("a") };
        let found: Vec<i64> = store.read().query(&query).unwrap().iter().map(|r| r.time).collect();
        assert_eq!(found, expected, "{value}");
        assert_eq!(store.read().count(&query).unwrap(), expected.len() as u64);
    }
    for (path, value) in [(vec![], json!(1)), (vec!["a\"b".into()], json!(1)), (vec!["a".into()], json!([1]))]
    {
        let query = Query { fields: vec![FieldEquals { path, value }], ..Query::default() };
        assert!(matches!(store.read().query(&query), Err(StoreError::BadQuery(_))), "{query:?}");
    }
}

#[test]
fn a_key_finds_its_record_and_no_other() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let keyed = |collection: &str, key: &str, json: &str| {
        let draft = Draft { dedup_key: Some(key.into()), ..draft(collection, json) };
        store.append_wait(draft).unwrap().id
    };
    let first = keyed("a", "1", "0");
    for (collection, key, json) in [("a", "10", "1"), ("b", "1", "2"), ("a", " 1", "3")] {
        keyed(collection, key, json);
    }
    store.append_wait(draft("a", "4")).unwrap();
    let by_key = |key: &str| Query { dedup: Some(key.into()), ..Query::collection("a") };
    let ask = |query: &Query| jsons(&store.read().query(query).unwrap()).join(" ");
    assert_eq!((ask(&by_key("1")), ask(&by_key("10"))), ("0".into(), "1".into()));
    assert_eq!((ask(&by_key("")), ask(&by_key("2"))), (String::new(), String::new()));
    assert_eq!(ask(&Query { after: Some(first), ..by_key("1") }), "", "all conditions hold at once");
    assert_eq!(store.read().count(&by_key("1")).unwrap(), 1);
    store.remove(&[first]).unwrap();
    assert_eq!(ask(&by_key("1")), "");
    let error = store.read().query(&Query { collection: None, ..by_key("1") }).unwrap_err();
    assert!(matches!(&error, StoreError::BadQuery(text) if text.contains("give the collection")), "{error}");
}

#[test]
fn an_answer_is_cut_at_its_bytes_and_the_rest_comes_with_the_next() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let long = format!("\"{}\"", "x".repeat(1_000_000));
    for _ in 0..40 {
        store.append_wait(draft("a", &long)).unwrap();
    }
    let mut query = Query { direction: Direction::Oldest, limit: 100, ..Query::collection("a") };
    let first = store.read().query(&query).unwrap();
    assert!((30..40).contains(&first.len()), "{}", first.len());
    query.after = first.last().map(|r| r.id);
    assert_eq!(store.read().query(&query).unwrap().len(), 40 - first.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Also with keys that strangers have made up, the answer is that of a look at every record.
    #[test]
    fn any_key_finds_what_was_appended_with_it(
        appended in prop::collection::vec(("[ab]", ".{1,8}"), 1..12), asked in ".{0,8}",
    ) {
        let fixture = Fixture::new();
        let store = fixture.open();
        let mut first = std::collections::BTreeMap::new();
        for (collection, key) in &appended {
            let draft = Draft { dedup_key: Some(key.clone()), ..draft(collection, "{}") };
            if let Ok(done) = store.append_wait(draft) {
                first.entry((collection.clone(), key.clone())).or_insert(done.id);
            }
        }
        for (collection, key) in appended.into_iter().chain([("a".to_owned(), asked)]) {
            let query = Query { dedup: Some(key.clone()), ..Query::collection(&*collection) };
            let found: Vec<_> = store.read().query(&query).unwrap().iter().map(|r| r.id).collect();
            let expected: Vec<_> = first.get(&(collection, key)).copied().into_iter().collect();
            prop_assert_eq!(found, expected);
        }
    }

    /// Keys and values are what strangers send.
    #[test]
    fn any_field_is_found_by_its_own_path_and_value_or_refused(
        keys in prop::collection::vec(".{0,12}", 1..4), text in ".{0,20}", number: i64,
    ) {
        thread_local!(static STORE: (Fixture, Store) = { let f = Fixture::new(); let s = f.open(); (f, s) });
        STORE.with(|(_, store)| {
            for value in [json!(text), json!(number)] {
                let nested = keys.iter().rev().fold(value.clone(), |inner, key| json!({ key: inner }));
                let id = store.append_wait(draft("a", &nested.to_string())).unwrap().id;
                let field = FieldEquals { path: keys.clone(), value };
                match store.read().query(&Query { fields: vec![field], limit: 10_000, ..Query::collection("a") }) {
                    Ok(found) => prop_assert!(found.iter().any(|r| r.id == id), "{nested}"),
                    Err(StoreError::BadQuery(_)) => {
                        prop_assert!(keys.iter().any(|k| k.contains(['"', '\\', '\0'])), "{keys:?}");
                    }
                    Err(error) => prop_assert!(false, "{error}"),
                }
            }
            Ok(())
        })?;
    }
}
