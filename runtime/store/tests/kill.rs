//! SIGKILL at random points: every id that was answered is there, with its blobs.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::*;
use gantry_store::{Direction, Draft, Hash, Query, Settings, Store, Uuid};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const CHILD: &str = "GANTRY_STORE_TEST_CHILD";
const ROUNDS: u64 = 20;

fn child_draft(n: u64) -> Draft {
    let sizes = [100, 5_000, 40_000, 150_000];
    let size = sizes[n as usize % 4];
    // Every tenth picture is one that was there before.
    let seed = if n % 10 == 9 { n - 5 } else { n };
    let blobs = vec![("image".into(), picture(seed, size)), ("crop".into(), picture(n + 1_000_000, 50))];
    Draft { blobs, dedup_key: Some(n.to_string()), ..draft("detections", &format!("{{\"n\":{n}}}")) }
}

/// Runs in the child: four threads append, and each id is printed after its answer.
fn append_until_killed(dir: &Path, first: u64) {
    let keep = gantry_store::Keep::everything();
    let store = Store::open(dir, Settings { min_free: 0, keep, ..Settings::default() }).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in (first + thread..).step_by(4) {
                    let id = store.append_wait(child_draft(n)).unwrap().id;
                    // One write, so that a line is never torn by the other threads.
                    if std::io::stdout().write_all(format!("stored {n} {id}\n").as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

#[test]
fn whatever_was_answered_before_a_kill_is_there_afterwards_and_nothing_is_torn() {
    if let Ok(child) = std::env::var(CHILD) {
        let (first, dir) = child.split_once(' ').unwrap();
        return append_until_killed(Path::new(dir), first.parse().unwrap());
    }
    let fixture = Fixture::new();
    let mut answered: Vec<(u64, Uuid)> = Vec::new();
    let mut random = 42_u64;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "whatever_was_answered_before_a_kill_is_there_afterwards_and_nothing_is_torn"])
            .args(["--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{} {}", round * 1_000_000, fixture.path().display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let enough = (random >> 33) % 60;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut read = |answered: &mut Vec<(u64, Uuid)>, at_most: u64| {
            let mut seen = 0;
            while seen < at_most
                && let Some(Ok(line)) = lines.next()
            {
                // The test harness prints into the same pipe.
                let words: Vec<&str> = line.split(' ').skip_while(|w| !w.ends_with("stored")).collect();
                if let [_, n, id] = words[..] {
                    answered.push((n.parse().unwrap(), id.parse().unwrap()));
                    seen += 1;
                }
            }
        };
        // The number of answers is the random point; what the child does at that moment is not ours to choose.
        read(&mut answered, enough + 1);
        child.kill().unwrap();
        child.wait().unwrap();
        read(&mut answered, u64::MAX);

        let store = fixture.open();
        assert_eq!(store.opened().repaired, None, "round {round}");
        assert!(store.opened().damaged.is_empty(), "round {round}: {:?}", store.opened().damaged);
        let verified = store.read().verify(true).unwrap();
        assert_eq!(verified.damaged, 0, "round {round}: {verified:?}");
        store.tidy().unwrap();
        let files = store.stats().unwrap().files.count;
        assert_eq!(blob_files(&fixture.path()).len() as u64, files, "round {round}: no orphans are left");
        store.close();
    }
    let store = fixture.open();
    for (n, id) in &answered {
        let record =
            store.read().get(*id).unwrap().unwrap_or_else(|| panic!("{n} {id} was answered and is gone"));
        let draft = child_draft(*n);
        assert_eq!(record.json, draft.json);
        for ((_, content), blob) in draft.blobs.iter().zip(&record.blobs) {
            assert_eq!(blob.sha256, Hash::of(content), "{n}");
            assert_eq!(&store.read().blob(&blob.sha256).unwrap().unwrap(), content, "{n}");
        }
    }
    let mut query = Query { direction: Direction::Oldest, limit: 10_000, ..Query::default() };
    let (mut count, mut ids) = (0, BTreeSet::new());
    loop {
        let page = store.read().query(&query).unwrap();
        let Some(last) = page.last() else { break };
        query.after = Some(last.id);
        count += page.len();
        ids.extend(page.iter().map(|r| r.id));
    }
    assert!(answered.len() >= ROUNDS as usize && count >= answered.len() && ids.len() == count);
}
