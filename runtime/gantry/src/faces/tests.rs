#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

use super::*;
use crate::records::Records;
use gantry_core::config::Config;
use gantry_store::{Draft, Store};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn records(state_dir: &Path) -> Records {
    let config = Config { state_dir: state_dir.to_owned(), ..Config::default() };
    Records::open(&config, std::sync::Arc::default()).unwrap()
}

/// Keeps faces as the counts do.
fn keep(store: &Store, numbers: impl IntoIterator<Item = u64>) {
    for face_id in numbers {
        let face = Face { face_id, camera: "main".into(), track: 1, time_ms: 1_000, width: 8, height: 8 };
        let draft = Draft {
            collection: COLLECTION.into(),
            dedup_key: Some(face_id.to_string()),
            json: json!(face).to_string(),
            blobs: vec![(face.filename(), face_id.to_le_bytes().repeat(8).into())],
            blobs_as_files: true,
            ..Draft::default()
        };
        store.append_wait(draft).unwrap();
    }
}

fn audit(store: &Store) -> Value {
    store.flush().unwrap();
    let found = store.read().query(&Query::collection("audit")).unwrap();
    serde_json::from_str(&found.first().expect("an entry").json).unwrap()
}

fn only_picture(state_dir: &Path, store: &Store, face_id: u64) -> PathBuf {
    let record = &store.read().query(&by_number(face_id)).unwrap()[0];
    let hash = record.blobs[0].sha256.to_string();
    crate::records::folder(state_dir).join("blobs").join(&hash[..2]).join(&hash[2..])
}

#[test]
fn a_face_is_found_by_its_number_without_looking_at_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let records = records(dir.path());
    keep(records.store(), [1, 10, 7]);
    let found = |id| album::get(&records, id).unwrap();
    assert_eq!(found(10)["filename"], "face_10.jpg");
    assert_eq!(found(7)["face_id"], 7);
    assert_eq!(found(2), json!({ "face_id": 2, "missing": "face" }));
    assert!(by_number(1).fields.is_empty(), "there is no index for what is inside of a record");
}

#[test]
fn as_many_faces_as_may_be_named_are_deleted_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let records = records(dir.path());
    keep(records.store(), 1..=40);
    let named: Vec<u64> = (21..=1020).collect();
    assert_eq!(album::delete(records.store(), Some(&named)).unwrap(), 20);
    assert_eq!(records.store().read().count(&Query::collection(COLLECTION)).unwrap(), 20);
    records.note("audit", json!({}));
    assert_eq!(album::delete(records.store(), None).unwrap(), 20);
    assert_eq!(audit(records.store()), json!({}), "of other collections nothing goes");
}

#[test]
fn a_deletion_that_fails_half_way_is_noted_with_what_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let records = records(dir.path());
    let store = records.store();
    keep(store, 1..=3);
    // A folder in place of a picture: also root cannot unlink that.
    let stuck = only_picture(dir.path(), store, 2);
    std::fs::remove_file(&stuck).unwrap();
    std::fs::create_dir(&stuck).unwrap();
    let said = json!({ "type": "faces-deleted", "face_ids": [1, 2], "user": "olga" });
    let error = services::delete_noted(&records, Some(&[1, 2]), said.clone()).unwrap_err();
    assert!(error.0.contains("after the removal of 2 records"), "{error:?}");
    let noted = audit(store);
    assert_eq!((&noted["user"], &noted["deleted"]), (&json!("olga"), &json!(2)));
    assert!(noted["error"].as_str().is_some_and(|error| error.contains("check the disk")), "{noted}");
    assert_eq!(services::delete_noted(&records, None, said.clone()).unwrap(), json!({ "deleted": 1 }));
    let noted = audit(store);
    assert_eq!((&noted["deleted"], noted.get("error")), (&json!(1), None));
}
