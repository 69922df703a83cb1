//! What an answer of records holds, and what it does not.

use super::*;
use gantry_core::config::Config;
use std::fs;

fn kept(folder: &std::path::Path, text: usize) -> (Records, Vec<Record>) {
    let config = Config { state_dir: folder.to_owned(), ..Config::default() };
    let records = Records::open(&config, Arc::default()).expect("a store");
    for n in 0..3_u8 {
        let blobs = vec![("image".to_owned(), vec![n; 20_000].into())];
        let json = json!({ "n": n, "text": "x".repeat(text) }).to_string();
        let draft = Draft { collection: "pictures".into(), json, blobs, ..Draft::default() };
        records.store().append_wait(draft).expect("appended");
    }
    let query = Query { direction: Direction::Oldest, ..Query::collection("pictures") };
    let found = records.store().read().query(&query).expect("found");
    (records, found)
}

#[test]
fn a_picture_that_is_lost_is_missing_and_one_that_cannot_be_read_now_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let (records, found) = kept(folder.path(), 0);
    let name = found[1].blobs[0].sha256.to_string();
    let path = folder.path().join("records/blobs").join(&name[..2]).join(&name[2..]);
    fs::remove_file(&path).expect("its file");
    let (told, _) = told(&records, &found, true).expect("the rest is told");
    let has_data: Vec<_> = told.iter().map(|record| record["blobs"][0]["data"].is_string()).collect();
    assert_eq!(has_data, [true, false, true]);
    // What reads as an error whoever asks.
    fs::create_dir(&path).expect("a folder in its place");
    assert!(matches!(super::told(&records, &found, true), Err(StoreError::Io { .. })));
    assert_eq!(super::told(&records, &found, false).expect("nobody wants pictures").0.len(), 3);
}

#[test]
fn an_answer_is_no_larger_than_it_may_be_with_its_json_and_with_its_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let (records, found) = kept(folder.path(), 1_000_000);
    let many: Vec<_> = found.iter().cycle().take(40).cloned().collect();
    let count = |found, with_blobs| {
        let (told, is_cut) = told(&records, found, with_blobs).expect("told");
        (told.len(), is_cut)
    };
    assert_eq!((count(&many, false), count(&many, true)), ((33, true), (32, true)));
    assert_eq!(count(&found, true), (3, false));
}
