//! Snapshots: what is in the file, what it is called, and when there is none.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use gantry_core::config;
use gantry_core::frames::{Format, Frame, Hub};
use gantry_media::{Removed, RemovedWhy, Snapshot, SnapshotError, Snapshots};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use support::film::jpeg_with_number;
use support::{Rig, demo, jpeg_size};

const LIMIT: Duration = Duration::from_secs(40);
/// 2026-11-21 04:15:00.123 UTC.
const TIME_NS: u64 = 1_795_234_500_123_000_000;

struct Desk {
    snapshots: Snapshots,
    hub: Arc<Hub>,
    removed: Receiver<Removed>,
    free: Arc<AtomicU64>,
    dir: tempfile::TempDir,
}

impl Desk {
    fn new(settings: config::Snapshots) -> Self {
        Self::at(tempfile::tempdir().unwrap(), Arc::default(), settings)
    }

    fn at(dir: tempfile::TempDir, hub: Arc<Hub>, settings: config::Snapshots) -> Self {
        let (sender, removed) = channel();
        let sender = Mutex::new(sender);
        let free = Arc::new(AtomicU64::new(u64::MAX));
        let says = free.clone();
        let snapshots = Snapshots::with_free_space(
            hub.clone(),
            dir.path().join("snapshots"),
            settings,
            Arc::new(|camera: &str| camera == "usb"),
            Arc::new(move |removed| _ = sender.lock().unwrap().send(removed)),
            Arc::new(move |_: &Path| Ok(says.load(Ordering::Relaxed))),
        );
        Self { snapshots, hub, removed, free, dir }
    }

    fn take(&self, camera: &str) -> Receiver<Result<Snapshot, SnapshotError>> {
        let (sender, answer) = channel();
        self.snapshots.take(camera, Box::new(move |result| _ = sender.send(result)));
        answer
    }

    /// Gives frames until somebody has taken one: when the wish arrives on its thread is not known.
    fn give(&self, frame: &Frame, answer: &Receiver<Result<Snapshot, SnapshotError>>) -> Snapshot {
        let deadline = Instant::now() + LIMIT;
        let stream = self.hub.stream(&frame.stream);
        while Instant::now() < deadline {
            if stream.demand().watchers > 0 {
                stream.publish(&Arc::new(frame.clone()));
                return answer.recv_timeout(LIMIT).expect("an answer").expect("a snapshot");
            }
            std::thread::yield_now();
        }
        panic!("nobody wants the frame");
    }
}

/// A grey picture of one luminance.
fn raw(stream: &str, luminance: u8) -> Frame {
    let mut data = vec![luminance; 64 * 48];
    data.extend(vec![128; 64 * 48 / 2]);
    Frame {
        stream: stream.into(),
        format: Format::I420 { stride: 64 },
        width: 64,
        height: 48,
        sequence: 1,
        captured_unix_ns: TIME_NS,
        captured_monotonic_ns: 1,
        data: data.into(),
    }
}

#[test]
fn a_snapshot_is_the_next_frame_in_a_file_that_tells_its_time() {
    let desk = Desk::new(config::Snapshots::default());
    for (luminance, name) in [(60, "main-20261121T041500.123Z.jpg"), (180, "main-20261121T041500.123Z-1.jpg")]
    {
        let answer = desk.take("main");
        let taken = desk.give(&raw("main/raw", luminance), &answer);
        assert_eq!(taken.path, desk.dir.path().join("snapshots/main").join(name));
        assert_eq!((taken.width, taken.height, taken.captured_unix_ms), (64, 48, TIME_NS / 1_000_000));
        let jpeg = std::fs::read(&taken.path).unwrap();
        assert_eq!(jpeg_size(&jpeg), (64, 48));
        assert_eq!(jpeg.len() as u64, taken.bytes);
        let mean = support::film::luminance(&jpeg);
        assert!((mean - f64::from(luminance)).abs() < 1.5, "{mean} instead of {luminance}");
    }
    assert_eq!(desk.hub.stream("main/raw").demand().watchers, 0);
    assert_eq!(
        std::fs::read_dir(desk.dir.path().join("snapshots/main")).unwrap().count(),
        2,
        "no other file"
    );
}

#[test]
fn the_pictures_of_a_camera_that_makes_jpeg_are_kept_as_they_are() {
    let desk = Desk::new(config::Snapshots::default());
    let jpeg = jpeg_with_number(64, 48, 7);
    let frame = Frame { format: Format::Jpeg, data: jpeg.clone().into(), ..raw("usb/jpeg", 0) };
    let answer = desk.take("usb");
    let taken = desk.give(&frame, &answer);
    assert_eq!(std::fs::read(taken.path).unwrap(), jpeg);
}

#[test]
fn a_higher_quality_is_a_larger_file() {
    let rig = Rig::new();
    let sizes: Vec<u64> = [30, 97]
        .into_iter()
        .map(|jpeg_quality| {
            let settings = config::Snapshots { jpeg_quality, min_free_bytes: 0, ..Default::default() };
            let desk = Desk::at(tempfile::tempdir().unwrap(), rig.runtime.frames.clone(), settings);
            rig.run(&[("main", demo())]);
            let taken = desk.take("main").recv_timeout(LIMIT).unwrap().expect("a snapshot");
            assert_eq!(jpeg_size(&std::fs::read(taken.path).unwrap()), (320, 240));
            taken.bytes
        })
        .collect();
    assert!(sizes[0] * 2 < sizes[1], "{sizes:?}");
}

#[test]
fn more_than_four_wait_for_nobody() {
    let desk = Desk::new(config::Snapshots::default());
    let waiting: Vec<_> = (0..4).map(|n| desk.take(&format!("cam{n}"))).collect();
    let error = desk.take("cam4").recv_timeout(LIMIT).unwrap().expect_err("too many");
    assert!(matches!(error, SnapshotError::Busy) && error.to_string().contains("try again"), "{error}");
    let error = desk.take("../etc").recv_timeout(LIMIT).unwrap().expect_err("no camera");
    assert!(matches!(error, SnapshotError::Name(_)));
    drop(desk.snapshots);
    for answer in waiting {
        let error = answer.recv_timeout(LIMIT).unwrap().expect_err("it ended");
        assert!(matches!(error, SnapshotError::Ending), "{error}");
    }
}

#[test]
fn a_camera_that_gives_nothing_is_answered_for_after_a_while() {
    let desk = Desk::new(config::Snapshots::default());
    let error = desk.take("main").recv_timeout(LIMIT).unwrap().expect_err("no frame");
    assert_eq!(error.to_string(), "camera main gives no pictures: look at its status");
    assert_eq!(desk.hub.stream("main/raw").demand().watchers, 0);
}

#[test]
fn room_is_left_on_the_disk_and_old_snapshots_leave() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("snapshots/main");
    std::fs::create_dir_all(&folder).unwrap();
    let old = folder.join("main-20200101T000000.000Z.jpg");
    std::fs::write(&old, [1; 100]).unwrap();
    let age = Duration::from_secs(1000);
    let file = std::fs::File::options().write(true).open(&old).unwrap();
    file.set_modified(SystemTime::now() - age * 2).unwrap();
    let settings = config::Snapshots { max_age: age, max_bytes: 1000, ..config::Snapshots::default() };
    let desk = Desk::at(dir, Arc::default(), settings);
    let removed = desk.removed.recv_timeout(LIMIT).unwrap();
    assert_eq!(removed, Removed { file: old, why: RemovedWhy::Age });

    desk.free.store(100, Ordering::Relaxed);
    let error = desk.take("main").recv_timeout(LIMIT).unwrap().expect_err("no room");
    assert!(error.to_string().contains("snapshots.min_free_bytes"), "{error}");
    desk.free.store(u64::MAX, Ordering::Relaxed);
    let answer = desk.take("main");
    let first = desk.give(&raw("main/raw", 1), &answer);
    let answer = desk.take("main");
    let second = desk.give(&raw("main/raw", 2), &answer);
    assert!(first.bytes <= 1000 && first.bytes + second.bytes > 1000, "{first:?}");
    let removed = desk.removed.recv_timeout(LIMIT).unwrap();
    assert_eq!(removed, Removed { file: first.path, why: RemovedWhy::Quota });
    assert!(second.path.exists());
}
