//! The threads, from frames that are published here to what they tell. Time stands still unless a test moves it.

mod annotating;
mod changing;
mod failing;
mod files;
mod seeing;

use crate::desk::Kit;
use crate::models::Models;
use crate::{Analyses, Encode, I420, Seen, lock};
use bytes::Bytes;
use gantry_core::Runtime;
use gantry_core::config::{Analysis, Config, FaceModel};
use gantry_core::frames::{Format, Frame};
use gantry_core::health::{Level, Report};
use gantry_vision::{Class, Detection, Detector, Error, Point, Rect, Track};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything takes; only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// The Unix time of second 0 of the frames' clock.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// Frames are so far apart.
const FRAME_MS: u64 = 100;

/// A grey frame, number `n` of a stream of 10 a second.
pub(crate) fn grey(stream: &str, n: u64, width: u32, height: u32, tone: u8) -> Arc<Frame> {
    frame(stream, n, (width, height), vec![tone; (width * height) as usize])
}

/// A frame of these grey or I420 bytes.
fn frame(stream: &str, n: u64, (width, height): (u32, u32), data: impl Into<Bytes>) -> Arc<Frame> {
    let data = data.into();
    let format = if data.len() == (width * height) as usize {
        Format::Gray8 { stride: width }
    } else {
        Format::I420 { stride: width }
    };
    Arc::new(Frame {
        stream: stream.into(),
        format,
        width,
        height,
        sequence: n,
        captured_unix_ns: (EPOCH_MS + n * FRAME_MS) * 1_000_000,
        captured_monotonic_ns: n * FRAME_MS * 1_000_000,
        data,
    })
}

/// The bytes of an I420 picture without colours.
fn i420((width, height): (u32, u32), tone: u8) -> Vec<u8> {
    let luma = (width * height) as usize;
    [vec![tone; luma], vec![128; luma / 2]].concat()
}

/// Finds what it is told to find at each time.
struct Script<F>(F);

impl<F: FnMut(f64) -> Vec<Detection> + Send> Detector for Script<F> {
    fn detect(&mut self, _: &gantry_vision::Frame<'_>, t: f64) -> Result<Vec<Detection>, Error> {
        Ok((self.0)(t))
    }
}

fn script(find: impl FnMut(f64) -> Vec<Detection> + Send + 'static) -> Result<Box<dyn Detector>, String> {
    Ok(Box::new(Script(find)))
}

fn nobody() -> Result<Box<dyn Detector>, String> {
    script(|_| Vec::new())
}

/// Somebody in the middle of the picture's height.
fn person(x: f64) -> Detection {
    let rect = Rect::around(Point::new(x as f32, 0.5), 0.1, 0.3);
    Detection { rect, score: 0.9, class: Class::Person }
}

/// Tells when it looks.
struct Announced {
    inner: Box<dyn Detector>,
    looks: Sender<f64>,
}

impl Detector for Announced {
    fn detect(&mut self, frame: &gantry_vision::Frame<'_>, t: f64) -> Result<Vec<Detection>, Error> {
        let _ = self.looks.send(t);
        self.inner.detect(frame, t)
    }

    fn learn(&mut self, tracks: &[Track]) {
        self.inner.learn(tracks);
    }
}

type Make<T> = Box<dyn Fn(&T) -> Result<Box<dyn Detector>, String> + Send + Sync>;

struct Fakes {
    people: Make<Analysis>,
    faces: Make<FaceModel>,
    looks: Sender<f64>,
    made: Arc<AtomicUsize>,
    shapes: Arc<Mutex<Vec<f32>>>,
}

impl Models for Fakes {
    fn people(&self, config: &Analysis, shape: f32) -> Result<Box<dyn Detector>, String> {
        lock(&self.shapes).push(shape);
        self.made.fetch_add(1, SeqCst);
        Ok(Box::new(Announced { inner: (self.people)(config)?, looks: self.looks.clone() }))
    }

    fn faces(&self, config: &FaceModel, _: u32) -> Result<Box<dyn Detector>, String> {
        (self.faces)(config)
    }
}

/// Leaves pictures as they are, behind a byte that is the quality.
struct Plain;

impl Encode for Plain {
    fn encode(&self, picture: &I420<'_>, quality: u8) -> Result<Bytes, String> {
        let rows = |plane: usize, width: usize, height: usize, stride: usize| {
            picture.planes[plane].chunks(stride).take(height).flat_map(move |row| row[..width].to_vec())
        };
        let (half, chroma) = ((picture.width.div_ceil(2), picture.height.div_ceil(2)), picture.strides[1]);
        let luma = rows(0, picture.width, picture.height, picture.strides[0]);
        let colours = [1, 2].into_iter().flat_map(|plane| rows(plane, half.0, half.1, chroma));
        Ok(std::iter::once(quality).chain(luma).chain(colours).collect())
    }
}

/// Analyses of the camera `main`, and everything around them.
struct Bench {
    runtime: Runtime,
    analyses: Analyses,
    config: Config,
    seen: Receiver<Seen>,
    looks: Receiver<f64>,
    /// How many detectors of people were made, or tried to.
    made: Arc<AtomicUsize>,
    /// For pictures of which shape.
    shapes: Arc<Mutex<Vec<f32>>>,
    clock: Arc<Mutex<Instant>>,
    /// The next frame.
    next: u64,
}

impl Bench {
    /// With detectors that are made so.
    fn new(people: impl Fn(&Analysis) -> Result<Box<dyn Detector>, String> + Send + Sync + 'static) -> Self {
        Self::with_faces(people, |_| nobody())
    }

    fn with_faces(
        people: impl Fn(&Analysis) -> Result<Box<dyn Detector>, String> + Send + Sync + 'static,
        faces: impl Fn(&FaceModel) -> Result<Box<dyn Detector>, String> + Send + Sync + 'static,
    ) -> Self {
        let (looks, looked) = channel();
        let made = Arc::<AtomicUsize>::default();
        let shapes = Arc::<Mutex<Vec<f32>>>::default();
        let fakes = Fakes {
            people: Box::new(people),
            faces: Box::new(faces),
            looks,
            made: made.clone(),
            shapes: shapes.clone(),
        };
        Self { shapes, ..Self::with_models(Box::new(fakes), looked, made) }
    }

    fn with_models(models: Box<dyn Models>, looks: Receiver<f64>, made: Arc<AtomicUsize>) -> Self {
        let runtime = Runtime::default();
        let clock = Arc::new(Mutex::new(Instant::now()));
        let (tell, seen) = channel();
        let now = clock.clone();
        let analyses = Analyses::with(Kit {
            runtime: runtime.clone(),
            encoder: Arc::new(Plain),
            sink: Arc::new(move |seen| _ = tell.send(seen)),
            models,
            clock: Box::new(move || *lock(&now)),
        });
        let config = serde_json::from_value(json!({"cameras": {"main": {}}})).unwrap();
        Self { runtime, analyses, config, seen, looks, made, shapes: Arc::default(), clock, next: 0 }
    }

    /// Applies this section, and waits until its stream is watched.
    fn apply(&mut self, section: Value) {
        let section: Analysis = serde_json::from_value(section).unwrap();
        let stream = match crate::section::Section::new(&section, &self.config.cameras["main"]).stream() {
            "raw" => "main/raw",
            _ => "main/analysis",
        };
        let watchers = usize::from(section.enabled);
        self.config.analysis.insert("main".into(), section);
        self.analyses.apply(&self.config);
        self.until_watched(stream, watchers);
    }

    /// Waits until a stream has so many watchers.
    fn until_watched(&self, stream: &str, watchers: usize) {
        let (tell, told) = channel();
        let stream = self.runtime.frames.stream(stream);
        stream.on_demand(Some(Box::new(move |demand| _ = tell.send(demand.watchers))));
        while told.recv_timeout(PATIENCE).expect("a change of demand") != watchers {}
        stream.on_demand(None);
    }

    /// Publishes a frame, and waits until it is looked at: all of the frame before is done then.
    fn publish(&mut self, frame: &Arc<Frame>) {
        self.next = frame.sequence + 1;
        self.runtime.frames.stream(&frame.stream).publish(frame);
        self.looks.recv_timeout(PATIENCE).expect("the frame is looked at");
    }

    /// Publishes grey frames until this second.
    fn run_to(&mut self, t: f64) {
        while self.next * FRAME_MS <= (t * 1000.0).round() as u64 {
            self.publish(&grey("main/analysis", self.next, 32, 24, 128));
        }
    }

    /// Publishes grey frames until something is so.
    fn run_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..100 {
            if is_so(self) {
                return;
            }
            self.publish(&grey("main/analysis", self.next, 32, 24, 128));
        }
        panic!("not within 100 frames: {what}: {:?}", self.report());
    }

    /// Waits until something is so that no channel tells.
    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", self.report());
            std::thread::yield_now();
        }
    }

    /// Time goes on, and the threads notice.
    fn wait(&self, time: Duration) {
        *lock(&self.clock) += time;
        self.analyses.call();
    }

    fn next_seen(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("something is seen")
    }

    /// Everything that was told, when all is over.
    fn all_seen(&self) -> Vec<Seen> {
        self.analyses.shutdown(Instant::now() + PATIENCE);
        self.seen.try_iter().collect()
    }

    fn report(&self) -> Option<Report> {
        self.runtime.health.all().get("analysis/main").cloned()
    }

    fn is_ok(&self) -> bool {
        self.report().is_some_and(|report| report.level == Level::Ok)
    }

    /// Whether it is degraded with a message that contains this.
    fn is_degraded(&self, says: &str) -> bool {
        self.report().is_some_and(|report| report.level == Level::Degraded && report.message.contains(says))
    }

    /// What the state says of the analysis.
    fn state(&self) -> Option<Value> {
        self.runtime.state.get("analysis/main").map(|(value, _)| value)
    }
}

/// A section with a line down the middle.
fn with_door() -> Value {
    json!({"lines": {"door": {"from": [0.5, 0.0], "to": [0.5, 1.0]}}})
}

/// Who crossed which line, in which direction, and at which second of the frames' clock.
fn crossings(seen: &[Seen]) -> Vec<(String, gantry_vision::Direction, u64, f64)> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Crossing { camera, line, direction, track, unix_ms } => {
                assert_eq!(camera, "main");
                let t = (unix_ms - i64::try_from(EPOCH_MS).unwrap()) as f64 / 1000.0;
                Some((line.clone(), *direction, *track, t))
            }
            _ => None,
        })
        .collect()
}
