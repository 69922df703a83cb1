//! A full disk: refused cleanly, never a false success, and over by itself.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::*;
use gantry_store::{Draft, Hash, Keep, Query, Settings, Store, StoreError};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;

const CHILD: &str = "GANTRY_STORE_TEST_TMPFS";

#[test]
fn below_the_floor_appends_are_refused_and_taken_again_when_there_is_space() {
    let mut fixture = Fixture::new();
    fixture.settings.min_free = 1_000_000;
    let store = fixture.open();
    store.append_wait(draft("a", "0")).unwrap();
    fixture.free.store(1_120_000, SeqCst);
    let answers = together(&store, vec![with_picture("a", 1, 150_000), with_picture("a", 2, 20_000)]);
    let Err(error @ StoreError::Full { free: 1_120_000, floor: 1_000_000 }) = &answers[0] else {
        panic!("{answers:?}")
    };
    assert!(error.to_string().contains("make room"), "{error}");
    assert!(answers[1].is_ok(), "what fits is taken: {answers:?}");
    fixture.free.store(999_999, SeqCst);
    assert!(matches!(store.append_wait(draft("a", "3")), Err(StoreError::Full { .. })));
    assert_eq!(store.read().count(&Query::collection("a")).unwrap(), 2, "reading goes on");
    fixture.free.store(1 << 30, SeqCst);
    store.append_wait(with_picture("a", 1, 150_000)).unwrap();
    assert_eq!(store.read().verify(true).unwrap().damaged, 0);
}

/// Fills a disk of 8 MiB to its last byte, with the floor at 0, and makes room again.
fn fill_up(dir: &Path) {
    let settings = Settings { min_free: 0, keep: Keep::everything(), ..Settings::default() };
    let store = Store::open(&dir.join("store"), settings.clone()).unwrap();
    let ballast = dir.join("ballast");
    let mut stored = Vec::new();
    for round in 0..6_u64 {
        std::fs::write(&ballast, vec![0; 1 << 20]).unwrap();
        // Large, inline and without blobs, so that files and database get full.
        let mut refused = 0;
        for n in 0..10_000_u64 {
            let len = [60_000, 10_000, 0][(n + round) as usize % 3];
            let seed = round * 100_000 + n;
            match store.append_wait(with_picture("a", seed, len)) {
                Ok(appended) => stored.push((appended.id, seed, len)),
                Err(StoreError::Full { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            if refused > 20 {
                break;
            }
        }
        assert!(refused > 20, "an 8 MiB disk was not filled");
        for (id, seed, len) in &stored {
            let record = store.read().get(*id).unwrap().expect("an answered record is there");
            let hash = Hash::of(&picture(*seed, *len));
            assert_eq!(record.blobs[0].sha256, hash);
            assert_eq!(store.read().blob(&hash).unwrap().unwrap(), picture(*seed, *len));
        }
        assert_eq!(
            store.read().count(&Query::default()).unwrap(),
            stored.len() as u64,
            "nothing but what was answered"
        );
        std::fs::remove_file(&ballast).unwrap();
        stored.push((
            store.append_wait(with_picture("a", 77 + round * 100_000 + 50_000, 1000)).unwrap().id,
            77 + round * 100_000 + 50_000,
            1000,
        ));
        // Room for the next round: retention works on a disk that was full.
        let half = stored.len() as u64 / 2;
        store.set_keep(Keep { max_count: Some(half), ..Keep::everything() }, Default::default()).unwrap();
        store.tidy().unwrap();
        stored.drain(..stored.len() - half as usize);
        store.set_keep(Keep::everything(), Default::default()).unwrap();
    }
    let before = store.read().count(&Query::default()).unwrap();
    store.close();
    drop(store);
    let store = Store::open(&dir.join("store"), settings).unwrap();
    assert_eq!(
        (store.opened().repaired.clone(), store.read().count(&Query::default()).unwrap()),
        (None, before)
    );
    assert_eq!(store.read().verify(true).unwrap().damaged, 0);
}

/// Opens a store that was closed on a disk with less and less room, and without what is kept for that.
fn open_in_little_room(dir: &Path) {
    let settings = Settings { min_free: 0, keep: Keep::everything(), ..Settings::default() };
    let (folder, ballast) = (dir.join("store"), dir.join("ballast"));
    for room in [64, 16, 4, 0] {
        let _ = std::fs::remove_file(&ballast);
        let store = Store::open(&folder, settings.clone()).unwrap();
        store.append_wait(Draft { dedup_key: Some("0".into()), ..draft("a", "0") }).unwrap();
        store.tidy().unwrap();
        store.close();
        drop(store);
        std::fs::remove_file(folder.join("reserve")).unwrap();
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        file.set_len(file.metadata().unwrap().len() - room * 1024).unwrap();
        let store = Store::open(&folder, settings.clone()).unwrap();
        assert!(store.opened().was_clean && store.opened().repaired.is_none());
        assert_eq!(store.read().count(&Query::default()).unwrap(), 1);
        let answer = store.append_wait(with_picture("a", 1, 60_000));
        assert!(matches!(answer, Err(StoreError::Full { .. })), "{answer:?}");
    }
    let _ = std::fs::remove_file(&ballast);
    let store = Store::open(&folder, settings).unwrap();
    store.append_wait(draft("a", "1")).unwrap();
    assert_eq!(store.read().count(&Query::default()).unwrap(), 2);
}

#[test]
fn a_disk_that_is_really_full_refuses_and_loses_nothing() {
    on_a_small_disk("a_disk_that_is_really_full_refuses_and_loses_nothing", fill_up);
}

#[test]
fn a_store_that_was_closed_opens_on_a_disk_that_has_no_room() {
    on_a_small_disk("a_store_that_was_closed_opens_on_a_disk_that_has_no_room", open_in_little_room);
}

fn on_a_small_disk(test: &str, run: impl FnOnce(&Path)) {
    if let Ok(dir) = std::env::var(CHILD) {
        return run(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=8m tmpfs \"$1\" || exit 42; shift; exec \"$@\"";
    let done = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, dir.path())
        .output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Ok(done) = &done {
        eprintln!("{}{}", text(&done.stdout), text(&done.stderr));
    }
    match done.map(|done| (done.status.code(), text(&done.stdout))) {
        Ok((Some(0), said)) => assert!(said.contains("1 passed"), "the test has another name: {said}"),
        // No such program or right here; the injected free space above and SQLite's own limit (`store.rs`) stay.
        Err(_) | Ok((Some(42 | 1), _)) if !can_mount() => {
            eprintln!("skipped: no small disk can be mounted here")
        }
        other => panic!("the child ended with {other:?}"),
    }
}

fn can_mount() -> bool {
    let script = "mount -t tmpfs tmpfs /mnt";
    let tried =
        Command::new("unshare").args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).status();
    tried.is_ok_and(|status| status.success())
}
