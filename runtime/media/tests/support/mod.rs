//! What the tests of cameras share: a runtime with cameras, and ways to wait for what they do. Tests wait for
//! frames and for changes of the state and not for time to pass, with a limit that only a broken camera reaches.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part, and a failed step is a failed test"
)]

pub mod pictures;

pub mod film;

use gantry_core::frames::{Frame, Watch};
use gantry_core::health::Report;
use gantry_core::{Runtime, config, state};
use gantry_media::{CameraStatus, Cameras};
use gstreamer::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything takes on a loaded machine.
const LIMIT: Duration = Duration::from_secs(40);

/// Cameras, their runtime, and a folder for pipeline files and recordings.
pub struct Rig {
    pub cameras: Cameras,
    pub runtime: Runtime,
    pub dir: TempDir,
}

impl Rig {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = Runtime::default();
        let cameras = Cameras::new(runtime.clone(), dir.path().join("pipelines")).unwrap();
        std::fs::create_dir(dir.path().join("pipelines")).unwrap();
        Self { cameras, runtime, dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a pipeline file whose one stream `jpeg` has the sink `jpeg`, and gives its name.
    pub fn pipeline(&self, name: &str, text: &str) -> PathBuf {
        let toml = format!("pipeline = '''{text}'''\n[streams.jpeg]\nsink = 'jpeg'\ngate = 'gate'\n");
        std::fs::write(self.dir.path().join("pipelines").join(format!("{name}.toml")), toml).unwrap();
        name.into()
    }

    pub fn run(&self, cameras: &[(&str, config::Camera)]) {
        let wanted: BTreeMap<_, _> =
            cameras.iter().map(|(name, camera)| ((*name).into(), camera.clone())).collect();
        self.cameras.apply(&wanted);
    }

    /// Watches a stream of cameras.
    pub fn watch(&self, stream: &str, max_millihertz: u32) -> Frames {
        let (sender, received) = channel();
        let sink = Arc::new(move |frame: &Arc<Frame>| _ = sender.send(frame.clone()));
        Frames { received, _watch: self.runtime.frames.stream(stream).watch(max_millihertz, sink) }
    }

    /// Follows a key of the state.
    pub fn follow(&self, key: &str) -> Values {
        let (sender, received) = channel();
        let sink = Arc::new(move |change: &state::Change| _ = sender.send(change.value.clone()));
        Values { received, _watch: self.runtime.state.watch(key, sink).unwrap() }
    }

    pub fn status(&self, name: &str) -> CameraStatus {
        self.cameras.status().into_iter().find(|s| s.name == name).unwrap()
    }

    /// The status once it is as wanted. There is nothing to wait on but the status itself, so this looks again and again.
    pub fn status_when(&self, name: &str, wanted: impl Fn(&CameraStatus) -> bool) -> CameraStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.status(name);
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "not what was waited for: {status:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn health(&self, name: &str) -> Option<Report> {
        self.runtime.health.all().remove(&format!("camera/{name}"))
    }
}

/// Frames of one stream.
pub struct Frames {
    received: Receiver<Arc<Frame>>,
    _watch: Watch,
}

impl Frames {
    pub fn next(&self) -> Arc<Frame> {
        self.received.recv_timeout(LIMIT).expect("a frame")
    }

    /// The number of the newest frame that came so far.
    pub fn received_so_far(&self) -> u64 {
        self.received.try_iter().last().map_or(0, |f| f.sequence)
    }

    pub fn take(&self, n: usize) -> Vec<Arc<Frame>> {
        (0..n).map(|_| self.next()).collect()
    }

    pub fn until(&self, mut wanted: impl FnMut(&Frame) -> bool) -> Arc<Frame> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            let frame = self.next();
            if wanted(&frame) {
                return frame;
            }
        }
        panic!("the frame that was waited for did not come");
    }
}

/// Values of one key.
pub struct Values {
    received: Receiver<Value>,
    _watch: state::Watch,
}

impl Values {
    pub fn next(&self) -> Value {
        self.received.recv_timeout(LIMIT).expect("a change")
    }

    pub fn until(&self, wanted: &Value) {
        while self.next() != *wanted {}
    }

    /// What came so far.
    pub fn all(&self) -> Vec<Value> {
        self.received.try_iter().collect()
    }
}

pub fn demo() -> config::Camera {
    config::Camera { width: 320, height: 240, ..config::Camera::default() }
}

pub fn camera(source: impl Into<String>) -> config::Camera {
    config::Camera { source: source.into(), ..demo() }
}

/// Runs a gst-launch text to its end.
pub fn make(text: &str) {
    gstreamer::init().unwrap();
    let pipeline = gstreamer::parse::launch(text).unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let limit = gstreamer::ClockTime::from_seconds(LIMIT.as_secs());
    let kinds = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(limit, &kinds).expect("it ends");
    if let gstreamer::MessageView::Error(error) = message.view() {
        panic!("{text}: {error:?}");
    }
    pipeline.set_state(gstreamer::State::Null).unwrap();
}

/// Makes a recording of `frames` JPEG pictures.
pub fn make_recording(path: &Path, frames: u32) {
    let path = path.display();
    make(&format!(
        "videotestsrc num-buffers={frames} ! video/x-raw,format=I420,width=160,height=120,framerate=30/1 \
         ! jpegenc ! matroskamux ! filesink location={path}"
    ));
}

/// Checks that these bytes are one whole JPEG picture and gives its size.
pub fn jpeg_size(data: &[u8]) -> (u32, u32) {
    assert!(data.starts_with(&[0xff, 0xd8]) && data.ends_with(&[0xff, 0xd9]), "not one whole JPEG picture");
    let mut at = 2;
    loop {
        let length = usize::from(u16::from_be_bytes([data[at + 2], data[at + 3]]));
        if (0xc0..=0xc2).contains(&data[at + 1]) {
            let side = |from: usize| u32::from(u16::from_be_bytes([data[from], data[from + 1]]));
            return (side(at + 7), side(at + 5));
        }
        at += 2 + length;
    }
}
