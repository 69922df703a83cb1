//! How many records a second the store takes: `cargo run -p gantry-store --example ingest [DIR]`.
//!
//! Threads append and wait, as connections of an ingest server do. DIR is a folder on the disk to measure.
#![forbid(unsafe_code)]

use bytes::Bytes;
use gantry_store::{Draft, Keep, Settings, Store};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("gantry-ingest-{}", std::process::id()));
    let result = measure(&dir);
    std::fs::remove_dir_all(&dir)?;
    result
}

fn measure(dir: &Path) -> Result<(), Box<dyn Error>> {
    println!(
        "blob bytes, threads: records/s, ms p50, p99, flushes of the disk per record (of all processes)"
    );
    for (size, threads) in [(150_000, 8), (150_000, 1), (12_000, 8), (0, 8), (0, 64)] {
        let settings = Settings { keep: Keep::everything(), ..Settings::default() };
        let store = Store::open(&dir.join(format!("{size}-{threads}")), settings)?;
        let flushes = flushes();
        let start = Instant::now();
        let mut times = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|thread| {
                    let store = &store;
                    scope.spawn(move || append(store, size, thread, start))
                })
                .collect();
            workers.into_iter().flat_map(|w| w.join().unwrap_or_default()).collect::<Vec<_>>()
        });
        let seconds = start.elapsed().as_secs_f64();
        let flushes = self::flushes().saturating_sub(flushes) as f64 / times.len() as f64;
        times.sort_unstable();
        let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
        let rate = times.len() as f64 / seconds;
        println!("{size:>7} {threads:>3}: {rate:>7.0}/s {:>7.2} {:>7.2} {flushes:>6.2}", at(0.5), at(0.99));
    }
    Ok(())
}

fn append(store: &Store, size: usize, thread: usize, start: Instant) -> Vec<Duration> {
    let mut content = vec![thread as u8; size];
    let mut times = Vec::new();
    while start.elapsed() < TIME {
        // Another content each time, for a few bytes' work.
        for (byte, new) in content.iter_mut().zip((times.len() as u64).to_le_bytes()) {
            *byte = new;
        }
        let blobs = (size > 0).then(|| ("image".to_owned(), Bytes::copy_from_slice(&content)));
        let json = format!("{{\"plate\":\"B-GA {}\",\"camera\":{thread}}}", times.len());
        let draft = Draft {
            collection: "detections".into(),
            json,
            blobs: blobs.into_iter().collect(),
            ..Draft::default()
        };
        let begin = Instant::now();
        match store.append_wait(draft) {
            Ok(_) => times.push(begin.elapsed()),
            Err(error) => {
                eprintln!("{error}");
                return times;
            }
        }
    }
    times
}

/// Flush requests that the disks finished since booting.
fn flushes() -> u64 {
    let stats = std::fs::read_to_string("/proc/diskstats").unwrap_or_default();
    stats.lines().filter_map(|line| line.split_whitespace().nth(18)?.parse::<u64>().ok()).sum()
}
