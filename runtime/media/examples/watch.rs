//! Watches a camera and prints what comes, once a second: `cargo run -p gantry-media --example watch -- URI [SECONDS] [FPS]`.
//!
//! `SECONDS` ends it after that time (default 10). `FPS` is the rate to ask for; 0 watches nothing, to see what an unwatched
//! camera costs. In the environment: `WATCH_SIZE=640x480`, `WATCH_PIPELINE=FILE`, and `WATCH_SAVE=FILE` for the last picture.

use gantry_core::{Runtime, config};
use gantry_media::Cameras;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let source = args.next().unwrap_or_else(|| "demo:".into());
    let seconds: u64 = args.next().map_or(Ok(10), |s| s.parse())?;
    let fps: u32 = args.next().map_or(Ok(1000), |s| s.parse())?;
    let size = std::env::var("WATCH_SIZE").unwrap_or_default();
    let mut camera = config::Camera { source, ..Default::default() };
    if let Some((width, height)) = size.split_once('x') {
        (camera.width, camera.height) = (width.parse()?, height.parse()?);
    }
    camera.pipeline = std::env::var_os("WATCH_PIPELINE").map(Into::into);
    let pipelines = std::env::current_dir()?.join("pipelines");
    for finding in Cameras::check(&pipelines, "main", &camera) {
        eprintln!("{finding}");
    }
    let runtime = Runtime::default();
    let cameras = Cameras::new(runtime.clone(), pipelines)?;
    let last = Arc::new(Mutex::new(None));
    let (slot, bytes) = (last.clone(), Arc::new(AtomicU64::new(0)));
    let counted = bytes.clone();
    let watch = (fps > 0).then(|| {
        let rate = if fps >= 1000 { 0 } else { fps * 1000 };
        runtime.frames.stream("main/jpeg").watch(
            rate,
            Arc::new(move |frame| {
                counted.fetch_add(frame.data.len() as u64, Ordering::Relaxed);
                let mut last = slot.lock().expect("no holder panics");
                if last.is_none() {
                    let ms = started.elapsed().as_millis();
                    println!("first frame after {ms} ms: {}x{}", frame.width, frame.height);
                }
                *last = Some(frame.clone());
            }),
        )
    });
    cameras.apply(&BTreeMap::from([("main".to_owned(), camera)]));
    let mut before = (0, 0);
    for _ in 0..seconds {
        std::thread::sleep(Duration::from_secs(1));
        let status = cameras.status().remove(0);
        let kb = bytes.swap(0, Ordering::Relaxed) / 1000;
        println!(
            "{:?} captured {}/s encoded {}/s dropped {} {kb} kB/s {} {}",
            status.state,
            status.frames_captured - before.0,
            status.frames_encoded - before.1,
            status.frames_dropped,
            status.reason,
            memory(),
        );
        before = (status.frames_captured, status.frames_encoded);
    }
    drop(watch);
    if let (Ok(path), Some(frame)) =
        (std::env::var("WATCH_SAVE"), last.lock().expect("no holder panics").take())
    {
        std::fs::write(path, &frame.data)?;
    }
    cameras.shutdown(Instant::now() + Duration::from_secs(3));
    Ok(())
}

/// Memory and processor time of this process, where the system tells.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rss = status
        .lines()
        .find(|l| l.starts_with("VmRSS:"))
        .map(|l| l.split_whitespace().skip(1).collect::<Vec<_>>().join(" "));
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: Vec<u64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse().ok())
        .collect();
    format!("rss {} cpu {} ms", rss.unwrap_or_default(), ticks.iter().sum::<u64>() * 10)
}
