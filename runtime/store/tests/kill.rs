//! SIGKILL at random points: every id that was answered is there, with its blobs, and what was removed is not.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::*;
use gantry_store::{Direction, Draft, Hash, Keep, Query, Record, Settings, Store, Uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

const CHILD: &str = "GANTRY_STORE_TEST_CHILD";
const ROUNDS: u64 = 20;

/// In the child: the number to begin with, and the store.
fn as_child() -> Option<(u64, Store)> {
    let child = std::env::var(CHILD).ok()?;
    let (first, dir) = child.split_once(' ').unwrap();
    let settings = Settings { min_free: 0, keep: Keep::everything(), ..Settings::default() };
    Some((first.parse().unwrap(), Store::open(Path::new(dir), settings).unwrap()))
}

/// Whether anybody listens. One write, so that a line is never torn by the other threads.
fn say(line: &str) -> bool {
    std::io::stdout().write_all(format!("child says {line}\n").as_bytes()).is_ok()
}

/// Four threads, each with every fourth number, until nobody listens.
fn in_four_threads(first: u64, work: impl Fn(u64) -> bool + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let work = &work;
            scope.spawn(move || (first + thread..).step_by(4).all(work));
        }
    });
}

/// Runs the test of this name as a child, kills it after it has said `enough`, and gives all that it said.
fn kill_after(test: &str, first: u64, dir: &Path, enough: u64) -> Vec<Vec<String>> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{first} {}", dir.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    let mut read = |at_most: u64| {
        let mut seen = 0;
        while seen < at_most
            && let Some(Ok(line)) = lines.next()
        {
            // The test harness prints into the same pipe.
            if let Some((_, words)) = line.split_once("child says ") {
                said.push(words.split(' ').map(str::to_owned).collect());
                seen += 1;
            }
        }
        seen
    };
    // The number of lines is the random point; what the child does at that moment is not ours to choose.
    assert_eq!(read(enough), enough, "the child ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    read(u64::MAX);
    said
}

/// One test after the other: a child that is being started has the locks of all stores of this process for a moment.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// Opens what the kill left; it needs no repair, and no file is left without a record.
fn open_whole(fixture: &Fixture, round: u64) -> Store {
    let store = fixture.open();
    assert_eq!(store.opened().repaired, None, "round {round}");
    assert!(store.opened().damaged.is_empty(), "round {round}: {:?}", store.opened().damaged);
    let verified = store.read().verify(true).unwrap();
    assert_eq!(verified.damaged, 0, "round {round}: {verified:?}");
    store.tidy().unwrap();
    let files = store.stats().unwrap().files.count;
    assert_eq!(blob_files(&fixture.path()).len() as u64, files, "round {round}: no orphans are left");
    store
}

fn all(store: &Store) -> Vec<Record> {
    let mut query = Query { direction: Direction::Oldest, limit: 10_000, ..Query::default() };
    let mut records = Vec::new();
    loop {
        let page = store.read().query(&query).unwrap();
        let Some(last) = page.last() else { return records };
        query.after = Some(last.id);
        records.extend(page);
    }
}

fn assert_is(store: &Store, record: &Record, draft: &Draft) {
    assert_eq!(record.json, draft.json);
    for ((_, content), blob) in draft.blobs.iter().zip(&record.blobs) {
        assert_eq!(blob.sha256, Hash::of(content), "{}", draft.json);
        assert_eq!(&store.read().blob(&blob.sha256).unwrap().unwrap(), content, "{}", draft.json);
    }
}

fn child_draft(n: u64) -> Draft {
    let sizes = [100, 5_000, 40_000, 150_000];
    let size = sizes[n as usize % 4];
    // Every tenth picture is one that was there before.
    let seed = if n % 10 == 9 { n - 5 } else { n };
    let blobs = vec![("image".into(), picture(seed, size)), ("crop".into(), picture(n + 1_000_000, 50))];
    Draft { blobs, dedup_key: Some(n.to_string()), ..draft("detections", &format!("{{\"n\":{n}}}")) }
}

#[test]
fn whatever_was_answered_before_a_kill_is_there_afterwards_and_nothing_is_torn() {
    if let Some((first, store)) = as_child() {
        let append = |n| say(&format!("stored {n} {}", store.append_wait(child_draft(n)).unwrap().id));
        return in_four_threads(first, append);
    }
    let _alone = alone();
    let test = "whatever_was_answered_before_a_kill_is_there_afterwards_and_nothing_is_torn";
    let fixture = Fixture::new();
    let mut answered: Vec<(u64, Uuid)> = Vec::new();
    let mut random = Random(42);
    for round in 0..ROUNDS {
        let said = kill_after(test, round * 1_000_000, &fixture.path(), random.below(60) + 1);
        answered
            .extend(said.iter().map(|words| (words[1].parse().unwrap(), words[2].parse::<Uuid>().unwrap())));
        open_whole(&fixture, round).close();
    }
    let store = fixture.open();
    for (n, id) in &answered {
        let record =
            store.read().get(*id).unwrap().unwrap_or_else(|| panic!("{n} {id} was answered and is gone"));
        assert_is(&store, &record, &child_draft(*n));
    }
    let records = all(&store);
    let ids: BTreeSet<Uuid> = records.iter().map(|r| r.id).collect();
    assert!(
        answered.len() >= ROUNDS as usize && records.len() >= answered.len() && ids.len() == records.len()
    );
}

/// Pictures are shared by those who append at about the same time.
fn shared_draft(n: u64) -> Draft {
    let blobs = vec![("image".into(), picture(n / 6, 20_000)), ("crop".into(), picture(n / 3, 6_000))];
    Draft { blobs, dedup_key: Some(n.to_string()), ..draft("faces", &format!("{{\"n\":{n}}}")) }
}

#[test]
fn what_was_removed_before_a_kill_is_gone_and_nothing_else_is() {
    if let Some((first, store)) = as_child() {
        return in_four_threads(first, |n| {
            let id = store.append_wait(shared_draft(n)).unwrap().id;
            let is_told = say(&format!("stored {n} {id}"));
            // Thread by thread: two of three go again.
            if n / 4 % 3 == 0 {
                return is_told;
            }
            say(&format!("removing {n} {id}"));
            assert_eq!(store.remove(&[id]).unwrap(), 1);
            say(&format!("removed {n} {id}"))
        });
    }
    let _alone = alone();
    let test = "what_was_removed_before_a_kill_is_gone_and_nothing_else_is";
    let fixture = Fixture::new();
    let mut random = Random(7);
    let mut told: BTreeMap<(u64, Uuid), String> = BTreeMap::new();
    for round in 0..ROUNDS {
        for words in kill_after(test, round * 1_000_000, &fixture.path(), random.below(80) + 1) {
            let [last, n, id] = <[String; 3]>::try_from(words).unwrap();
            told.insert((n.parse().unwrap(), id.parse().unwrap()), last);
        }
        let store = open_whole(&fixture, round);
        let records: BTreeMap<Uuid, Record> = all(&store).into_iter().map(|r| (r.id, r)).collect();
        for ((n, id), last) in &told {
            match (last.as_str(), records.get(id)) {
                ("stored", record) => {
                    let record =
                        record.unwrap_or_else(|| panic!("round {round}: {n} is gone, nobody removed it"));
                    assert_is(&store, record, &shared_draft(*n));
                }
                ("removed", record) => assert_eq!(record, None, "round {round}: {n} was removed"),
                _ => {}
            }
        }
        let log = fixture.path().join("records.db-wal");
        assert_eq!(
            std::fs::metadata(log).unwrap().len(),
            0,
            "round {round}: what was removed is not in the log"
        );
        store.close();
    }
    let count = |what: &str| told.values().filter(|last| *last == what).count();
    assert!(count("stored") > 0 && count("removed") > 0);
}
