//! Recordings: what is in the files, whatever happens while they are written. Frames are published by the tests, with
//! their number inside the JPEG, so that each one can be told in the file.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use gantry_core::config::{self, Codec};
use gantry_core::frames::{Format, Frame, Hub, Stream};
use gantry_media::{
    Closed, ClosedWhy, Progress, RecordError, RecordEvent, RecordStatus, Recorder, Removed, RemovedWhy,
};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use support::film::{Film, jpeg_with_number, number_of};
use support::{Rig, camera, demo};

/// Longer than anything takes on a loaded machine.
const LIMIT: Duration = Duration::from_secs(40);
/// 2026-11-21 04:15:00.123 UTC.
const BEGIN_MS: u64 = 1_795_234_500_123;
/// From one frame to the next.
const STEP_MS: u64 = 40;

/// A camera that gives a frame whenever the test says so.
struct Camera {
    stream: Arc<Stream>,
    sequence: u64,
    now_ms: u64,
    size: (u32, u32),
}

impl Camera {
    fn new(hub: &Hub, name: &str) -> Self {
        Self { stream: hub.stream(&format!("{name}/jpeg")), sequence: 0, now_ms: 0, size: (64, 48) }
    }

    /// Gives `n` frames and waits until they were taken: a test is faster than a disk.
    fn give(&mut self, n: u64) {
        for _ in 0..n {
            let frame = self.frame();
            self.stream.publish(&frame);
            let deadline = Instant::now() + LIMIT;
            while Arc::strong_count(&frame) > 1 {
                assert!(Instant::now() < deadline, "the frame is not taken");
                std::thread::yield_now();
            }
        }
    }

    fn frame(&mut self) -> Arc<Frame> {
        self.sequence += 1;
        self.now_ms += STEP_MS;
        let (width, height) = self.size;
        Arc::new(Frame {
            stream: self.stream.name(),
            format: Format::Jpeg,
            width,
            height,
            sequence: self.sequence,
            captured_unix_ns: (BEGIN_MS - STEP_MS + self.now_ms) * 1_000_000,
            captured_monotonic_ns: (777_000 + self.now_ms) * 1_000_000,
            data: jpeg_with_number(width, height, self.sequence).into(),
        })
    }
}

struct Desk {
    recorder: Recorder,
    hub: Arc<Hub>,
    events: Receiver<RecordEvent>,
    free: Arc<AtomicU64>,
    dir: tempfile::TempDir,
}

impl Desk {
    fn new(settings: config::Recording) -> Self {
        Self::at(tempfile::tempdir().unwrap(), settings)
    }

    fn at(dir: tempfile::TempDir, settings: config::Recording) -> Self {
        let hub = Arc::<Hub>::default();
        let (sender, events) = channel();
        let sender = Mutex::new(sender);
        let on_event = Arc::new(move |event| _ = sender.lock().unwrap().send(event));
        let free = Arc::new(AtomicU64::new(u64::MAX));
        let says = free.clone();
        let free_space = Arc::new(move |_: &Path| Ok(says.load(Ordering::Relaxed)));
        let folder = dir.path().join("recordings");
        let recorder = Recorder::with_free_space(hub.clone(), folder, settings, on_event, free_space);
        Self { recorder, hub, events, free, dir }
    }

    fn next(&self) -> RecordEvent {
        self.events.recv_timeout(LIMIT).expect("an event")
    }

    fn started(&self) -> PathBuf {
        match self.next() {
            RecordEvent::Started { file, camera } if camera == "main" => file,
            other => panic!("{other:?}"),
        }
    }

    fn closed(&self) -> Closed {
        match self.next() {
            RecordEvent::Closed(closed) => closed,
            other => panic!("{other:?}"),
        }
    }

    fn progress(&self) -> Progress {
        match self.recorder.status("main") {
            RecordStatus::On(progress) | RecordStatus::Paused(progress) => progress,
            RecordStatus::Off => panic!("it is off"),
        }
    }

    fn watchers(&self) -> usize {
        self.hub.stream("main/jpeg").demand().watchers
    }
}

fn numbers(film: &Film) -> Vec<u64> {
    film.pictures.iter().map(|(_, data)| number_of(data)).collect()
}

#[test]
fn a_recording_has_every_frame_and_the_right_duration_and_can_be_jumped_in() {
    let desk = Desk::new(config::Recording::default());
    assert_eq!(desk.recorder.status("main"), RecordStatus::Off);
    desk.recorder.start("main").unwrap();
    desk.recorder.start("main").unwrap();
    let mut camera = Camera::new(&desk.hub, "main");
    camera.give(100);
    let file = desk.started();
    assert_eq!(file, desk.dir.path().join("recordings/main/main-20261121T041500.123Z.mkv"));
    let mode = file.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & !0o640, 0, "{mode:o}");
    let progress = desk.progress();
    assert_eq!((progress.file.as_ref(), progress.since_unix_ms), (Some(&file), BEGIN_MS));
    assert_eq!((progress.duration.as_millis(), progress.dropped), (4000, 0));
    assert_eq!(progress.bytes, file.metadata().unwrap().len());

    let playable = Film::read(&file);
    assert_eq!(numbers(&playable), (1..=100).collect::<Vec<_>>(), "it plays while it is written");

    desk.recorder.stop("main");
    assert_eq!(desk.recorder.status("main"), RecordStatus::Off);
    let bytes = desk.closed();
    let expected = Closed {
        camera: "main".into(),
        file: file.clone(),
        start_unix_ms: BEGIN_MS,
        duration_ms: 4000,
        bytes: file.metadata().unwrap().len(),
        frames: 100,
        dropped: 0,
        why: ClosedWhy::Stopped,
    };
    assert_eq!(bytes, expected);
    let film = Film::read(&file);
    assert_eq!(film.duration_ms, Some(4000));
    assert_eq!(numbers(&film), (1..=100).collect::<Vec<_>>());
    assert!(film.pictures.iter().enumerate().all(|(n, (ms, _))| *ms == n as u64 * STEP_MS));
    assert_eq!(Film::decoded(&file), 100);
    let landed = Film::first_after_seek(&file, 2_500);
    assert!((1_500..=2_500).contains(&landed), "{landed}: a jump goes to the cluster before");
    assert_eq!(desk.watchers(), 0);
}

#[test]
fn a_pause_leaves_out_its_frames_and_its_time_and_asks_the_camera_for_nothing() {
    let desk = Desk::new(config::Recording::default());
    let mut camera = Camera::new(&desk.hub, "main");
    assert!(matches!(desk.recorder.pause("main"), Err(RecordError::Off(_))));
    desk.recorder.start("main").unwrap();
    camera.give(25);
    desk.recorder.pause("main").unwrap();
    assert!(matches!(desk.recorder.status("main"), RecordStatus::Paused(_)));
    assert_eq!(desk.watchers(), 0);
    camera.give(1000);
    desk.recorder.resume("main").unwrap();
    camera.give(25);
    desk.recorder.stop("main");
    let file = desk.started();
    assert_eq!(desk.closed().duration_ms, 2000);
    let film = Film::read(&file);
    assert_eq!(film.duration_ms, Some(2000));
    assert_eq!(numbers(&film), (1..=25).chain(1026..=1050).collect::<Vec<_>>());
    assert!(film.pictures.windows(2).all(|p| p[1].0 - p[0].0 == STEP_MS), "time stood still");
}

#[test]
fn frames_that_the_camera_did_not_give_are_a_gap_and_not_a_shorter_film() {
    let desk = Desk::new(config::Recording::default());
    let mut camera = Camera::new(&desk.hub, "main");
    desk.recorder.start("main").unwrap();
    camera.give(25);
    camera.now_ms += 30_000;
    camera.give(25);
    desk.recorder.stop("main");
    let file = desk.started();
    assert_eq!(desk.closed().duration_ms, 32_000);
    assert_eq!(Film::read(&file).duration_ms, Some(32_000));
}

#[test]
fn the_next_file_is_begun_without_losing_a_frame() {
    let settings = config::Recording { segment: Duration::from_secs(1), ..config::Recording::default() };
    let desk = Desk::new(settings);
    let mut camera = Camera::new(&desk.hub, "main");
    desk.recorder.start("main").unwrap();
    camera.give(90);
    desk.recorder.stop("main");
    let mut all = Vec::new();
    for n in 0..4 {
        let file = desk.started();
        let closed = desk.closed();
        let (frames, why) = if n < 3 { (25, ClosedWhy::Segment) } else { (15, ClosedWhy::Stopped) };
        assert_eq!((closed.frames, closed.duration_ms, closed.why), (frames, frames * STEP_MS, why));
        assert_eq!(closed.start_unix_ms, BEGIN_MS + n * 1000);
        let film = Film::read(&file);
        assert_eq!(film.pictures[0].0, 0, "each file begins at zero");
        all.extend(numbers(&film));
    }
    assert_eq!(all, (1..=90).collect::<Vec<_>>());
}

#[test]
fn pictures_of_another_size_go_into_another_file() {
    let desk = Desk::new(config::Recording::default());
    let mut camera = Camera::new(&desk.hub, "main");
    desk.recorder.start("main").unwrap();
    camera.give(10);
    camera.size = (96, 64);
    camera.give(10);
    desk.recorder.stop("main");
    let (first, closed) = (desk.started(), desk.closed());
    assert_eq!((closed.file, closed.why, closed.frames), (first.clone(), ClosedWhy::SizeChanged, 10));
    let (second, closed) = (desk.started(), desk.closed());
    assert_eq!((closed.file, closed.why, closed.frames), (second.clone(), ClosedWhy::Stopped, 10));
    assert_eq!([Film::read(&first).size, Film::read(&second).size], [(64, 48), (96, 64)]);
}

#[test]
fn a_camera_that_is_built_anew_goes_on_in_the_same_file() {
    let rig = Rig::new();
    let frames = rig.watch("main/jpeg", 0);
    let connected = rig.follow("cameras/main/connected");
    let (sender, events) = channel();
    let sender = Mutex::new(sender);
    let recorder = Recorder::new(
        rig.runtime.frames.clone(),
        rig.path("recordings"),
        config::Recording { min_free_bytes: 0, ..config::Recording::default() },
        Arc::new(move |event| _ = sender.lock().unwrap().send(event)),
    );
    recorder.start("main").unwrap();
    rig.run(&[("main", demo())]);
    frames.take(20);
    connected.until(&serde_json::json!(true));
    rig.run(&[("main", camera("demo:?seed=2"))]);
    connected.until(&serde_json::json!(true));
    frames.received_so_far();
    let first = frames.next().sequence;
    frames.until(|f| f.sequence > first + 20);
    recorder.stop("main");
    let seen: Vec<_> = (0..2).map(|_| events.recv_timeout(LIMIT).unwrap()).collect();
    let [RecordEvent::Started { file, .. }, RecordEvent::Closed(closed)] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!((&closed.file, &closed.why), (file, &ClosedWhy::Stopped));
    assert!(closed.frames >= 40, "{closed:?}");
    assert_eq!(Film::decoded(file), closed.frames);
}

#[test]
fn two_recordings_of_one_time_do_not_overwrite_each_other() {
    let desk = Desk::new(config::Recording::default());
    for name in ["main-20261121T041500.123Z.mkv", "main-20261121T041500.123Z-1.mkv"] {
        let mut camera = Camera::new(&desk.hub, "main");
        desk.recorder.start("main").unwrap();
        camera.give(5);
        desk.recorder.stop("main");
        assert!(desk.started().ends_with(name));
        assert_eq!(desk.closed().frames, 5);
    }
}

#[test]
fn a_recording_without_frames_leaves_nothing_behind() {
    let desk = Desk::new(config::Recording::default());
    desk.recorder.start("main").unwrap();
    assert_eq!(desk.progress(), Progress::default());
    desk.recorder.stop("main");
    assert!(desk.recorder.shutdown(Instant::now() + LIMIT));
    assert_eq!(desk.events.try_iter().count(), 0);
    assert_eq!(std::fs::read_dir(desk.dir.path().join("recordings/main")).unwrap().count(), 0);
    assert!(matches!(desk.recorder.start("../etc"), Err(RecordError::Name(_))));
}

#[test]
fn the_oldest_recordings_leave_when_there_are_too_many_bytes_and_the_open_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let old = |name: &str, bytes: usize, age: u64| {
        std::fs::create_dir_all(dir.path().join("recordings/other")).unwrap();
        let path = dir.path().join("recordings/other").join(name);
        std::fs::write(&path, vec![1; bytes]).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        path
    };
    let aged = old("other-20200101T000000.000Z.mkv", 10, 5_000);
    let first = old("other-20260101T000000.000Z.mkv", 60_000, 300);
    let second = old("other-20260101T000001.000Z.mkv", 60_000, 200);
    let settings = config::Recording {
        max_bytes: 150_000,
        max_age: Duration::from_secs(1_000),
        ..config::Recording::default()
    };
    let desk = Desk::at(dir, settings);
    assert_eq!(desk.next(), RecordEvent::Removed(Removed { file: aged, why: RemovedWhy::Age }));
    let mut camera = Camera::new(&desk.hub, "main");
    desk.recorder.start("main").unwrap();
    let mut seen = Vec::new();
    while seen.iter().filter(|e| matches!(e, RecordEvent::Closed(_))).count() < 6 {
        camera.give(10);
        seen.extend(desk.events.try_iter());
    }
    desk.recorder.stop("main");
    assert!(desk.recorder.shutdown(Instant::now() + LIMIT));
    for file in [&first, &second] {
        let expected = removed(file, RemovedWhy::Quota);
        while !seen.contains(&expected) {
            seen.push(desk.next());
        }
        assert!(!file.exists());
    }
    for event in &seen {
        if let RecordEvent::Closed(closed) = event {
            assert!(closed.bytes < 150_000 / 4 + 10_000, "no file takes more than its part: {closed:?}");
        }
    }
    let bytes: u64 = ["main", "other"]
        .iter()
        .flat_map(|camera| std::fs::read_dir(desk.dir.path().join("recordings").join(camera)).unwrap())
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= 150_000 + 50_000, "{bytes}");
}

fn removed(file: &Path, why: RemovedWhy) -> RecordEvent {
    RecordEvent::Removed(Removed { file: file.to_path_buf(), why })
}

#[test]
fn a_disk_with_too_little_room_refuses_a_recording_and_ends_one() {
    let settings = config::Recording { min_free_bytes: 500_000_000, ..config::Recording::default() };
    let desk = Desk::new(settings);
    desk.free.store(499_999_999, Ordering::Relaxed);
    let error = desk.recorder.start("main").unwrap_err().to_string();
    assert!(error.contains("500.0 MB free, and 500.0 MB are to be left"), "{error}");
    assert!(error.contains("recording.min_free_bytes"), "{error}");

    desk.free.store(u64::MAX, Ordering::Relaxed);
    desk.recorder.start("main").unwrap();
    let mut camera = Camera::new(&desk.hub, "main");
    camera.give(50);
    desk.free.store(1_000, Ordering::Relaxed);
    let file = desk.started();
    let closed = desk.closed();
    assert_eq!((closed.why, closed.frames), (ClosedWhy::DiskFull, 50));
    assert_eq!(Film::read(&file).duration_ms, Some(2000), "it ended well");
    assert_eq!(desk.watchers(), 0, "nobody encodes for it any more");
    assert!(desk.recorder.shutdown(Instant::now() + LIMIT));
    assert_eq!(desk.recorder.status("main"), RecordStatus::Off);
    desk.free.store(u64::MAX, Ordering::Relaxed);
    desk.recorder.start("main").unwrap();
    camera.give(1);
    desk.started();
}

#[test]
fn a_folder_that_cannot_be_written_ends_the_recording_with_a_reason() {
    let settings = config::Recording { segment: Duration::from_secs(1), ..config::Recording::default() };
    let desk = Desk::new(settings);
    let mut camera = Camera::new(&desk.hub, "main");
    desk.recorder.start("main").unwrap();
    camera.give(25);
    let folder = desk.started().parent().unwrap().to_path_buf();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    camera.give(1);
    assert_eq!(desk.closed().why, ClosedWhy::Segment);
    let RecordEvent::Failed { camera, reason } = desk.next() else { panic!("it goes on") };
    assert_eq!(camera, "main");
    assert!(reason.contains("look at the disk"), "{reason}");
    assert!(matches!(desk.recorder.start("main"), Err(RecordError::Folder { .. })));
}

#[test]
fn h264_is_recorded_where_an_encoder_is_installed() {
    let settings = config::Recording {
        codec: Codec::H264,
        segment: Duration::from_secs(2),
        ..config::Recording::default()
    };
    let desk = Desk::new(settings);
    let mut camera = Camera::new(&desk.hub, "main");
    camera.size = (320, 240);
    match desk.recorder.start("main") {
        Ok(()) => {}
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("install gstreamer1.0-plugins-bad"), "{text}");
            eprintln!("SKIPPED: {text}");
            return;
        }
    }
    camera.give(80);
    desk.recorder.stop("main");
    for frames in [50, 30] {
        let (file, closed) = (desk.started(), desk.closed());
        assert_eq!((closed.frames, closed.duration_ms), (frames, frames * STEP_MS));
        let film = Film::read(&file);
        assert_eq!((film.kind.as_str(), film.size), ("video/x-h264", (320, 240)));
        assert_eq!(film.duration_ms, Some(frames * STEP_MS));
        assert!(film.pictures.iter().enumerate().all(|(n, (ms, _))| *ms == n as u64 * STEP_MS));
        if gstreamer::ElementFactory::find("avdec_h264").is_some()
            || gstreamer::ElementFactory::find("openh264dec").is_some()
        {
            assert_eq!(Film::decoded(&file), frames);
        }
    }
}

/// What the next test kills. It says how far it came as soon as that is in the file.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn the_child_that_records_until_it_is_killed() {
    let Some(dir) = std::env::var_os("GANTRY_TEST_RECORDINGS") else { return };
    let hub = Arc::<Hub>::default();
    let settings = config::Recording { min_free_bytes: 0, ..config::Recording::default() };
    let recorder = Recorder::new(hub.clone(), dir.into(), settings, Arc::new(|_| {}));
    recorder.start("main").unwrap();
    let mut camera = Camera::new(&hub, "main");
    let parent = std::os::unix::process::parent_id();
    // Without its parent it ends by itself.
    while std::os::unix::process::parent_id() == parent {
        camera.give(1);
        let RecordStatus::On(progress) = recorder.status("main") else { panic!("it is off") };
        println!("recorded {}", progress.duration.as_millis() / u128::from(STEP_MS));
    }
}

#[test]
fn a_gateway_that_is_killed_leaves_a_film_up_to_its_last_moment() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("recordings");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child_that_records_until_it_is_killed", "--ignored", "--nocapture"])
        .env("GANTRY_TEST_RECORDINGS", &folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = 0;
    for line in lines.map_while(Result::ok) {
        if let Some(number) = line.rsplit_once("recorded ").and_then(|(_, n)| n.parse::<u64>().ok()) {
            told = number;
        }
        if told > 200 {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(told > 200, "it recorded {told}");
    let camera = std::fs::read_dir(folder.join("main")).unwrap();
    let file = camera.map(|f| f.unwrap().path()).next().expect("a recording");
    let left = numbers(&Film::read(&file));
    assert!(left.len() as u64 >= told, "{} of {told}", left.len());
    assert_eq!(left, (1..=left.len() as u64).collect::<Vec<_>>());

    let desk = Desk::at(dir, config::Recording::default());
    let closed = desk.closed();
    assert_eq!((closed.why, closed.camera.as_str(), &closed.file), (ClosedWhy::Crash, "main", &file));
    assert_eq!((closed.start_unix_ms, closed.frames), (BEGIN_MS, left.len() as u64));
    let film = Film::read(&file);
    assert_eq!(film.duration_ms, Some(left.len() as u64 * STEP_MS));
    assert_eq!(numbers(&film), left);
    drop(desk.recorder);
}
