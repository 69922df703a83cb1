//! Pictures that are given, and what is answered. Time stands still unless a test moves it.

use super::decode::tests::jpeg;
use super::{Answer, Kit, Looked, Looks, part};
use crate::lock;
use bytes::Bytes;
use gantry_core::Runtime;
use gantry_core::config::{Config, PictureDetector};
use gantry_core::health::Level;
use gantry_vision::{Class, Detection, Detector, Error, Frame, Rect};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything takes; only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// Sees as many people as pixels across, as a model of that name does.
struct Sees(&'static str, Gate);

/// Where a detector waits before it looks, if it does.
#[derive(Clone, Default)]
struct Gate(Option<(Sender<()>, Opening)>);

type Opening = Arc<Mutex<Receiver<()>>>;

impl Gate {
    /// The gate, what tells that somebody stands before it, and what opens it.
    fn new() -> (Self, Receiver<()>, Sender<()>) {
        let ((came, comes), (open, opened)) = (channel(), channel());
        (Self(Some((came, Arc::new(Mutex::new(opened))))), comes, open)
    }

    fn pass(&self) {
        if let Some((came, opened)) = &self.0 {
            let _ = came.send(());
            let _ = lock(opened).recv();
        }
    }
}

impl Detector for Sees {
    fn detect(&mut self, frame: &Frame<'_>, _: f64) -> Result<Vec<Detection>, Error> {
        self.1.pass();
        match self.0 {
            "fails" => Err(Error::Inference { path: "m".into(), reason: "no".into() }),
            "panics" => panic!("out of range"),
            _ => {
                let one = |n| Detection {
                    rect: Rect::new(0.1, 0.1, 0.2, 0.5),
                    score: n as f32 / 1000.0,
                    class: Class::Person,
                };
                Ok((0..frame.width()).map(one).collect())
            }
        }
    }
}

struct Bench {
    runtime: Runtime,
    looks: Looks,
    clock: Arc<Mutex<Instant>>,
}

impl Bench {
    fn new(
        make: impl Fn(&PictureDetector) -> Result<Box<dyn Detector>, String> + Send + Sync + 'static,
    ) -> Self {
        let runtime = Runtime::default();
        let clock = Arc::new(Mutex::new(Instant::now()));
        let now = clock.clone();
        let kit =
            Kit { runtime: runtime.clone(), make: Box::new(make), clock: Box::new(move || *lock(&now)) };
        Self { runtime, looks: Looks::with(kit), clock }
    }

    fn with(gate: Gate) -> Self {
        let bench = Self::new(move |_| Ok(Box::new(Sees("good", gate.clone()))));
        bench.apply("m.onnx");
        bench
    }

    /// Configures the detector `door` with this model.
    fn apply(&self, model: &str) {
        let config = json!({"detectors": {"door": {"model": model}}});
        self.looks.apply(&serde_json::from_value(config).unwrap());
    }

    fn ask(&self, width: u16) -> Receiver<Result<Looked, String>> {
        let (tell, told) = channel();
        let answer: Answer = Box::new(move |looked| _ = tell.send(looked));
        self.looks.look("door", Bytes::from(jpeg(width, 8)), 10 * SECOND, answer);
        told
    }

    fn look(&self, width: u16) -> Result<Looked, String> {
        self.ask(width).recv_timeout(PATIENCE).expect("an answer")
    }

    fn pass(&self, time: Duration) {
        *lock(&self.clock) += time;
        let running = lock(&self.looks.inner);
        running.running.values().for_each(|handle| handle.queue.call());
    }

    fn until_health(&self, what: &str, is_so: impl Fn(Option<(Level, &str)>) -> bool) {
        let begun = Instant::now();
        loop {
            let all = self.runtime.health.all();
            let report = all.get(&part("door"));
            if is_so(report.map(|report| (report.level, report.message.as_str()))) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {report:?}");
            std::thread::yield_now();
        }
    }

    fn until_degraded(&self, says: &str) {
        self.until_health(says, |report| {
            report.is_some_and(|(level, message)| level == Level::Degraded && message.contains(says))
        });
    }

    fn until_ok(&self) {
        self.until_health("it is well", |report| report.is_some_and(|(level, _)| level == Level::Ok));
    }
}

/// A detector whose model's name says what it does.
fn by_name(section: &PictureDetector) -> Result<Box<dyn Detector>, String> {
    let said = |name| Ok(Box::new(Sees(name, Gate::default())) as Box<dyn Detector>);
    match section.model.as_deref().and_then(|path| path.to_str()) {
        Some("panics") => said("panics"),
        Some("fails") => said("fails"),
        Some("broken") => Err("the model is broken: export it again".into()),
        _ => said("good"),
    }
}

#[test]
fn a_picture_is_looked_at_and_the_surest_come_first() {
    let bench = Bench::new(by_name);
    bench.apply("good");
    let looked = bench.look(24).unwrap();
    assert_eq!((looked.objects.len(), looked.width, looked.height), (24, 24, 8));
    assert!(looked.objects.is_sorted_by(|a, b| a.score >= b.score));
    assert_eq!(bench.look(800).unwrap().objects.len(), 100, "not more than anybody wants to know");
    bench.until_ok();
    let status = &bench.looks.status()[0];
    assert_eq!((status.detector.as_str(), status.looked, status.waiting), ("door", 2, 0));
}

#[test]
fn a_detector_that_is_not_configured_is_told_with_the_one_that_may_be_meant() {
    let bench = Bench::new(by_name);
    bench.apply("good");
    let (tell, told) = channel();
    bench.looks.look("dorr", Bytes::new(), SECOND, Box::new(move |looked| _ = tell.send(looked)));
    let error = told.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!(
        error,
        "there is no detector `dorr`; did you mean `door`?: configure [detectors.dorr] with a model"
    );
    bench.looks.apply(&Config::default());
    assert!(bench.look(8).unwrap_err().starts_with("there is no detector `door`"));
    bench.until_health("it is forgotten", |report| report.is_none());
}

#[test]
fn what_is_no_picture_or_a_huge_one_is_the_fault_of_who_sent_it() {
    let bench = Bench::new(by_name);
    bench.apply("good");
    bench.until_ok();
    assert!(bench.look(65_535).unwrap_err().starts_with("the picture has 65535x8 pixels"));
    bench.until_ok();
    assert_eq!(bench.look(8).unwrap().objects.len(), 8);
    assert_eq!((bench.looks.status()[0].looked, bench.looks.status()[0].failed), (1, 1));
}

#[test]
fn when_too_many_wait_the_newest_is_refused_at_once() {
    let (gate, comes, open) = Gate::new();
    let bench = Bench::with(gate);
    let first = bench.ask(8);
    comes.recv_timeout(PATIENCE).unwrap();
    let waiting: Vec<_> = (0..16).map(|_| bench.ask(16)).collect();
    let error = bench.look(24).unwrap_err();
    assert_eq!(error, "16 pictures wait for the detector `door` already: send fewer");
    drop(open);
    assert_eq!(first.recv_timeout(PATIENCE).unwrap().unwrap().objects.len(), 8);
    for one in waiting {
        assert_eq!(one.recv_timeout(PATIENCE).unwrap().unwrap().objects.len(), 16);
    }
    assert_eq!(bench.looks.status()[0].refused, 1);
}

#[test]
fn who_waits_for_a_detector_that_hangs_is_answered_and_it_is_told() {
    let (gate, comes, open) = Gate::new();
    let bench = Bench::with(gate);
    let stuck = bench.ask(8);
    comes.recv_timeout(PATIENCE).unwrap();
    let behind = bench.ask(8);
    bench.pass(9 * SECOND);
    bench.looks.watch(*lock(&bench.clock));
    assert!(stuck.try_recv().is_err() && behind.try_recv().is_err(), "it is not late yet");
    bench.pass(SECOND);
    bench.looks.watch(*lock(&bench.clock));
    for answer in [stuck, behind] {
        let error = answer.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert_eq!(error, "the detector `door` did not get to it in time: send fewer");
    }
    bench.until_degraded("the detector has not returned for 10 s: use a smaller model");
    drop(open);
    bench.until_ok();
    assert_eq!(bench.look(8).unwrap().objects.len(), 8);
}

#[test]
fn another_section_takes_the_place_of_a_detector_that_hangs() {
    let (gate, comes, _open) = Gate::new();
    let bench = Bench::new(move |section| {
        let hangs = section.model.as_deref().is_some_and(|path| path.ends_with("hangs"));
        Ok(Box::new(Sees("good", if hangs { gate.clone() } else { Gate::default() })))
    });
    bench.apply("hangs");
    let _stuck = bench.ask(8);
    comes.recv_timeout(PATIENCE).unwrap();
    bench.pass(10 * SECOND);
    bench.looks.watch(*lock(&bench.clock));
    bench.until_degraded("has not returned");
    bench.apply("good");
    assert_eq!(bench.look(8).unwrap().objects.len(), 8);
    bench.until_ok();
}

#[test]
fn a_detector_that_cannot_be_loaded_says_so_and_is_tried_again() {
    let is_good = Arc::<AtomicUsize>::default();
    let good = is_good.clone();
    let bench = Bench::new(move |_| match good.load(SeqCst) {
        0 => Err("the model is broken: export it again".into()),
        _ => Ok(Box::new(Sees("good", Gate::default()))),
    });
    bench.apply("m.onnx");
    bench.until_degraded("the model is broken: export it again");
    assert_eq!(bench.look(8).unwrap_err(), "the model is broken: export it again");
    is_good.store(1, SeqCst);
    bench.pass(10 * SECOND);
    bench.until_ok();
    assert!(bench.look(8).is_ok());
}

#[test]
fn the_detector_before_is_used_until_the_new_one_is_good() {
    let bench = Bench::new(by_name);
    bench.apply("good");
    bench.until_ok();
    bench.apply("broken");
    bench.until_degraded("it was changed, and the one before is used still: the model is broken");
    assert!(bench.look(8).is_ok());
    bench.apply("better");
    bench.until_ok();
    assert!(bench.look(8).is_ok());
    bench.apply("broken");
    bench.until_degraded("used still");
    bench.apply("better");
    bench.until_ok();
}

#[test]
fn a_model_whose_file_changes_is_loaded_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    std::fs::write(&path, "good").unwrap();
    let made = Arc::<AtomicUsize>::default();
    let count = made.clone();
    let bench = Bench::new(move |section| {
        count.fetch_add(1, SeqCst);
        match std::fs::read_to_string(section.model.as_deref().unwrap()).unwrap().as_str() {
            "bad" => Err("it is bad".into()),
            _ => Ok(Box::new(Sees("good", Gate::default()))),
        }
    });
    bench.apply(path.to_str().unwrap());
    bench.until_ok();
    std::fs::write(&path, "bad").unwrap();
    bench.pass(SECOND);
    bench.until_degraded("the one before is used still: it is bad");
    assert!(bench.look(8).is_ok());
    std::fs::write(&path, "good again").unwrap();
    bench.pass(SECOND);
    bench.until_ok();
    assert_eq!(made.load(SeqCst), 3, "and not for every picture");
}

#[test]
fn a_detector_that_panics_or_fails_is_told_and_goes_on_later() {
    let bench = Bench::new(by_name);
    bench.apply("panics");
    let error = bench.look(8).unwrap_err();
    assert!(error.starts_with("the detector broke down (out of range) and is loaded again"), "{error}");
    bench.until_degraded("broke down");
    assert!(bench.look(8).unwrap_err().contains("broke down"), "not before a second has passed");
    bench.apply("fails");
    let error = bench.look(8).unwrap_err();
    assert!(error.contains("failed on a picture: no"), "{error}");
    bench.until_degraded("failed on a picture");
    bench.apply("good");
    assert!(bench.look(8).is_ok());
}

#[test]
fn who_waits_when_it_ends_is_told() {
    let (gate, comes, open) = Gate::new();
    let bench = Bench::with(gate);
    let answers = [bench.ask(8), bench.ask(8)];
    comes.recv_timeout(PATIENCE).unwrap();
    bench.looks.shutdown(Instant::now());
    for answer in answers {
        let error = answer.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert_eq!(error, "the detector `door` has ended: ask again");
    }
    assert!(bench.look(8).is_err());
    drop(open);
}
