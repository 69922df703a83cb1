//! A camera that shows other cameras: `mix:cam1,cam2`.
//!
//! A thread watches the `raw` streams of the cameras that are shown, and only while somebody watches the mix. It gives the
//! compositor one picture of each camera at a time, the newest or else a black one, and all with the same time. So the
//! compositor, which would wait for its slowest input, never has one to wait for; a camera that gives nothing stays as it
//! was last seen until it counts as lost, and is black from then on.

mod element;
pub(crate) mod layout;
mod times;

pub(crate) use element::{Mix, NAME, register};

use crate::session::{Event, Gates, Report};
use crate::tap::{Tap, monotonic_ns};
use crate::{PipelineFile, Source, lock, picture};
use bytes::Bytes;
use gantry_core::config::{Camera, Finding};
use gantry_core::frames::{Frame, Hub, Watch};
use gantry_core::state::State;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use layout::{Fresh, Pip, Place};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use times::Times;

/// A mix that nobody watches looks around this often, and whenever something changes.
const LOOK: Duration = Duration::from_millis(500);
/// With this many pictures waiting for the compositor, the next one is left out.
const MAX_WAITING: u64 = 2;
/// The side of the picture that stands for a camera that is not shown.
const BLACK: u32 = 16;

/// What is wrong with the mixes among all cameras: which cameras there are is known only there.
pub(crate) fn check(cameras: &BTreeMap<String, Camera>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, camera) in cameras {
        let Ok(Source::Mix { cameras: shown }) = Source::parse(&camera.source) else { continue };
        for other in shown {
            let problem = match cameras.get(&other) {
                None => format!(
                    "there is no camera `{other}`{}",
                    crate::suggest(&other, cameras.keys().filter(|n| *n != name).map(String::as_str))
                ),
                Some(_) if other == *name => format!("`{name}` would show itself: name other cameras"),
                Some(other_camera)
                    if matches!(Source::parse(&other_camera.source), Ok(Source::Mix { .. })) =>
                {
                    format!("`{other}` is a mix itself: name the cameras that it shows")
                }
                Some(_) => continue,
            };
            findings.push(Finding::new(format!("cameras.{name}.source"), problem));
        }
    }
    findings
}

/// Holds the choice of the main camera to the cameras that there are.
pub(crate) fn narrow(file: &mut PipelineFile, source: &Source) {
    let Source::Mix { cameras } = source else { return };
    let highest = cameras.len().saturating_sub(1) as f64;
    for control in file.controls.values_mut() {
        if control.element.as_deref() == Some(crate::launch::SOURCE)
            && control.property.as_deref() == Some("main")
        {
            (control.from, control.to) = ([0.0, highest], [0.0, highest]);
        }
    }
}

/// What a mix is made of.
pub(crate) struct Parts<'a> {
    pub(crate) pipeline: &'a gst::Pipeline,
    pub(crate) cameras: &'a [String],
    pub(crate) camera: &'a Camera,
    pub(crate) name: &'a str,
    pub(crate) hub: Arc<Hub>,
    pub(crate) state: Arc<State>,
    pub(crate) gates: Gates,
    pub(crate) tap: Arc<Tap>,
    pub(crate) report: Report,
}

/// Gives the compositor an input for each camera, and starts the thread that feeds them for as long as the tap lives.
pub(crate) fn attach(parts: Parts<'_>) -> Result<(), String> {
    let Parts { pipeline, cameras, camera, name, hub, state, gates, tap, report } = parts;
    let source = pipeline.by_name(crate::launch::SOURCE).and_then(|e| e.downcast::<Mix>().ok());
    let source = source.ok_or_else(|| format!("`mix:` needs `{NAME} name=source`"))?;
    let compositor =
        source.compositor().ok_or("there is no compositor: install gstreamer1.0-plugins-base")?;
    let black = black()?;
    let slots = Arc::new(Slots {
        newest: Mutex::new(Newest { slots: vec![Slot::default(); cameras.len()], count: 0 }),
        ready: Condvar::new(),
    });
    let mut inputs = Vec::new();
    for camera in cameras {
        let appsrc = gst_app::AppSrc::builder().format(gst::Format::Time).is_live(false).build();
        appsrc.set_max_bytes(0);
        source.add(&appsrc).map_err(|e| e.to_string())?;
        let pad = compositor.request_pad_simple("sink_%u").ok_or("the compositor takes no more cameras")?;
        pad.set_property_from_str("sizing-policy", "keep-aspect-ratio");
        let out = appsrc.static_pad("src").ok_or("appsrc has no output")?;
        out.link(&pad).map_err(|e| e.to_string())?;
        let key = format!("cameras/{camera}/connected");
        let wake = slots.clone();
        let connection = state.watch(&key, Arc::new(move |_| wake.wake())).map_err(|e| e.to_string())?;
        let stream = hub.stream(&format!("{camera}/raw"));
        inputs.push(Input {
            key,
            _connection: connection,
            stream,
            appsrc,
            pad,
            watch: None,
            size: None,
            place: None,
            is_known: false,
        });
    }
    let times = Arc::<Times>::default();
    let out = compositor.static_pad("src").ok_or("the compositor has no output")?;
    times.attach(&out, &compositor, u64::from(camera.fps.max(1)));
    let feeder = Feeder {
        source,
        inputs,
        slots,
        seen: 0,
        look: LOOK.min(camera.stall_timeout / 4),
        size: (camera.width, camera.height),
        fps: camera.fps.max(1),
        black,
        number: 0,
        last: None,
        times,
        state,
        gates,
        tap,
        report,
    };
    let thread = std::thread::Builder::new().name(format!("mix:{name}"));
    thread
        .spawn(move || feeder.run())
        .map_err(|e| format!("cannot start a thread: {e}: raise the limit of tasks"))?;
    Ok(())
}

/// The picture of a camera that gives none.
fn black() -> Result<(gst::Caps, Bytes), String> {
    let info = picture::info(gst_video::VideoFormat::I420, BLACK, BLACK)?;
    let luma = (BLACK * BLACK) as usize;
    let mut data = vec![128; info.size()];
    data[..luma].fill(16);
    Ok((info.to_caps().map_err(|e| e.to_string())?, data.into()))
}

/// One camera that may be shown.
struct Input {
    /// Where the state says whether it is there.
    key: String,
    _connection: gantry_core::state::Watch,
    stream: Arc<gantry_core::frames::Stream>,
    appsrc: gst_app::AppSrc,
    pad: gst::Pad,
    watch: Option<Watch>,
    /// Of what size the last picture was that the compositor got; within, `None` is the black one.
    size: Option<Option<(u32, u32)>>,
    place: Option<Place>,
    /// Whether the compositor was told of the place.
    is_known: bool,
}

/// The newest frames of the cameras.
struct Slots {
    newest: Mutex<Newest>,
    ready: Condvar,
}

struct Newest {
    slots: Vec<Slot>,
    /// Counts the frames that came, and what else is to be seen to, so that nothing comes unnoticed between looking and waiting.
    count: u64,
}

impl Slots {
    /// Makes the feeder look around.
    fn wake(&self) {
        lock(&self.newest).count += 1;
        self.ready.notify_one();
    }
}

#[derive(Clone, Default)]
struct Slot {
    frame: Option<Arc<Frame>>,
    is_fresh: bool,
}

struct Feeder {
    source: Mix,
    inputs: Vec<Input>,
    slots: Arc<Slots>,
    /// The count of frames when they were last looked at.
    seen: u64,
    /// How often the watchdog must hear of a mix that nobody watches.
    look: Duration,
    size: (u32, u32),
    fps: u32,
    black: (gst::Caps, Bytes),
    /// Pictures so far.
    number: u64,
    /// When the last picture was given, or somebody began to watch, and whether it was the latter.
    last: Option<(Instant, bool)>,
    times: Arc<Times>,
    state: Arc<State>,
    gates: Gates,
    tap: Arc<Tap>,
    report: Report,
}

impl Feeder {
    fn run(mut self) {
        let mut is_told = false;
        let mut gates_seen = 0;
        while self.tap.is_live() {
            // What changes from here on is not slept through.
            self.seen = lock(&self.slots.newest).count;
            gates_seen = self.listen(gates_seen);
            let connected: Vec<bool> = self.inputs.iter().map(|input| self.is_connected(input)).collect();
            let is_there = connected.contains(&true);
            if is_there {
                // A mix that nobody watches makes no pictures, and is there all the same.
                self.tap.beat();
                if !std::mem::replace(&mut is_told, true) {
                    (self.report)(Event::FirstFrame);
                }
            }
            let is_watched = is_there && lock(&self.gates).values().any(|g| g.stream.demand().watchers > 0);
            self.tap.rest(!is_watched);
            let (main, pip) = self.source.wanted();
            self.place(is_watched, main, pip);
            if !is_watched {
                self.last = None;
                // Before the gates are made, nothing tells of demand.
                self.wait(if gates_seen == 0 { Duration::from_millis(10) } else { self.look });
                continue;
            }
            let now = Instant::now();
            let (since, is_first) = *self.last.get_or_insert((now, true));
            let interval = Duration::from_secs(1) / self.fps;
            let due = layout::due(self.fresh(main), now.saturating_duration_since(since), is_first, interval);
            if !due.is_zero() {
                self.wait(due);
            } else if self.inputs.iter().any(|i| i.appsrc.current_level_buffers() >= MAX_WAITING) {
                self.wait(interval / 4);
            } else {
                self.last = Some((now, false));
                if !self.give(main, &connected) {
                    return;
                }
            }
        }
    }

    /// Hears of demand for the mix's streams, whose gates may be made after this thread has begun.
    fn listen(&self, before: usize) -> usize {
        let gates = lock(&self.gates);
        if gates.len() != before {
            for gate in gates.values() {
                let slots = self.slots.clone();
                gate.on_change(Arc::new(move || slots.wake()));
            }
        }
        gates.len()
    }

    fn is_connected(&self, input: &Input) -> bool {
        self.state.get(&input.key).is_some_and(|(value, _)| value == json!(true))
    }

    /// Waits for a frame that was not looked at yet.
    fn wait(&self, patience: Duration) {
        let newest = lock(&self.slots.newest);
        let waited = self.slots.ready.wait_timeout_while(newest, patience, |n| n.count == self.seen);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn fresh(&self, main: usize) -> Fresh {
        let newest = lock(&self.slots.newest);
        let main = newest.slots.get(main).is_some_and(|slot| slot.is_fresh);
        Fresh { main, any: newest.slots.iter().any(|slot| slot.is_fresh) }
    }

    /// Watches the cameras that are shown, and no other.
    fn place(&mut self, is_watched: bool, main: usize, pip: Pip) {
        let places = layout::places(self.size.0, self.size.1, self.inputs.len(), main, pip);
        for (index, (input, place)) in self.inputs.iter_mut().zip(places).enumerate() {
            if input.place != place {
                (input.place, input.is_known) = (place, false);
            }
            let is_shown = is_watched && place.is_some();
            if is_shown && input.watch.is_none() {
                let slots = self.slots.clone();
                let sink = Arc::new(move |frame: &Arc<Frame>| {
                    let mut newest = lock(&slots.newest);
                    newest.slots[index] = Slot { frame: Some(frame.clone()), is_fresh: true };
                    newest.count += 1;
                    slots.ready.notify_one();
                });
                input.watch = Some(input.stream.watch(self.fps * 1000, sink));
            } else if !is_shown && input.watch.take().is_some() {
                lock(&self.slots.newest).slots[index] = Slot::default();
            }
        }
    }

    /// Gives the compositor one picture of each camera. False when the pipeline is over.
    fn give(&mut self, main: usize, connected: &[bool]) -> bool {
        let frames: Vec<(Option<Arc<Frame>>, bool)> = lock(&self.slots.newest)
            .slots
            .iter_mut()
            .map(|slot| (slot.frame.clone(), std::mem::take(&mut slot.is_fresh)))
            .collect();
        let captured = frames.get(main).and_then(|(frame, is_fresh)| frame.as_ref().filter(|_| *is_fresh));
        self.times.push(self.number, captured.map_or_else(monotonic_ns, |f| f.captured_monotonic_ns));
        let at = |n: u64| {
            gst::ClockTime::from_nseconds((n * 1_000_000_000 + u64::from(self.fps) / 2) / u64::from(self.fps))
        };
        let (start, end) = (at(self.number), at(self.number + 1));
        self.number += 1;
        for ((input, (frame, _)), is_connected) in self.inputs.iter_mut().zip(frames).zip(connected) {
            let frame = frame.filter(|_| *is_connected && input.place.is_some());
            input.tell_place();
            let given = frame.and_then(|f| picture::raw(&f).ok());
            let size = given.as_ref().map(|(info, _)| (info.width(), info.height()));
            if input.size != Some(size) {
                let caps = given.as_ref().and_then(|(info, _)| info.to_caps().ok());
                input.appsrc.set_caps(Some(caps.as_ref().unwrap_or(&self.black.0)));
                input.size = Some(size);
            }
            let data = given.map_or_else(|| self.black.1.clone(), |(_, data)| data);
            let mut buffer = gst::Buffer::from_slice(data);
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(start);
                buffer.set_duration(end - start);
            }
            if input.appsrc.push_buffer(buffer).is_err() {
                return false;
            }
        }
        true
    }
}

impl Input {
    /// Tells the compositor where this camera is.
    fn tell_place(&mut self) {
        if std::mem::replace(&mut self.is_known, true) {
            return;
        }
        let Some(place) = self.place else {
            self.pad.set_property("alpha", 0.0);
            return;
        };
        self.pad.set_property("xpos", place.x);
        self.pad.set_property("ypos", place.y);
        self.pad.set_property("width", place.width);
        self.pad.set_property("height", place.height);
        self.pad.set_property("zorder", place.z);
        self.pad.set_property("alpha", 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_shows_cameras_that_there_are_and_neither_itself_nor_a_mix() {
        let camera = |source: &str| Camera { source: source.into(), ..Camera::default() };
        let cameras = BTreeMap::from([
            ("door".to_owned(), camera("demo:")),
            ("yard".to_owned(), camera("demo:?seed=2")),
            ("both".to_owned(), camera("mix:door,yard")),
            ("self".to_owned(), camera("mix:door,self")),
            ("wide".to_owned(), camera("mix:both,dor")),
        ]);
        let findings: Vec<String> = check(&cameras).iter().map(ToString::to_string).collect();
        assert_eq!(findings.len(), 3, "{findings:?}");
        for (finding, says) in
            findings.iter().zip(["`self` would show itself", "`both` is a mix", "did you mean `door`?"])
        {
            assert!(finding.contains(says), "{finding}");
        }
    }
}
