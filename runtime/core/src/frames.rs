//! The frames hub: where pictures go from a camera to whoever watches, without a copy.
//!
//! A [`Stream`] is named `CAMERA/STREAM`. The camera side publishes; the other side watches with a sink that is called
//! on the publishing thread and must only pass the frame on. A stream knows the [`Demand`] for it, so that a picture is
//! encoded only while somebody watches and no faster than the fastest watcher wants.

use crate::lock;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How the bytes of a frame are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One complete JPEG picture.
    Jpeg,
    /// One byte of luminance per pixel, rows of `stride` bytes.
    Gray8 {
        /// Bytes from one row to the next.
        stride: u32,
    },
    /// Planar YUV 4:2:0.
    I420 {
        /// Bytes from one row of the Y plane to the next.
        stride: u32,
    },
}

/// One picture of a stream.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The stream's name, `CAMERA/STREAM`.
    pub stream: Arc<str>,
    /// How to read `data`.
    pub format: Format,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Counts the frames of the stream from 1; a gap is a frame that was dropped.
    pub sequence: u64,
    /// When it was captured, in nanoseconds since the Unix epoch.
    pub captured_unix_ns: u64,
    /// When it was captured, on the monotonic clock, in nanoseconds.
    pub captured_monotonic_ns: u64,
    /// The picture: usually the camera's own buffer.
    pub data: Bytes,
}

/// What the watchers of a stream want, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// How many watch.
    pub watchers: usize,
    /// The highest rate any of them wants, in frames per 1000 seconds; 0 is every frame. Meaningless without watchers.
    pub max_millihertz: u32,
}

/// Called with each frame, on the thread that publishes. Must not block.
pub type FrameSink = Arc<dyn Fn(&Arc<Frame>) + Send + Sync>;
/// Called when the demand has changed. Must not block and not watch or unwatch.
pub type DemandSink = Box<dyn Fn(Demand) + Send + Sync>;

struct Watcher {
    id: u64,
    max_millihertz: u32,
    pace: Mutex<Pace>,
    sink: FrameSink,
}

/// Thins frames to a rate. Keeps to the ideal times rather than to the last frame, so that 20 of 30 frames a second are
/// 20 and not 15.
#[derive(Debug, Default)]
pub struct Pace {
    /// When the next frame is due, on the frames' own clock; `None` before the first.
    due_ns: Option<u64>,
}

impl Pace {
    /// Whether a frame captured at `now_ns` is wanted at this rate (0: always).
    pub fn wants(&mut self, now_ns: u64, max_millihertz: u32) -> bool {
        if max_millihertz == 0 {
            return true;
        }
        let period = 1_000_000_000_000 / u64::from(max_millihertz);
        match self.due_ns {
            // A frame that comes a little early is taken: cameras jitter, and waiting would cost a whole frame time.
            Some(due) if now_ns + period / 8 < due => false,
            Some(due) if now_ns < due + period => {
                self.due_ns = Some(due + period);
                true
            }
            _ => {
                self.due_ns = Some(now_ns + period);
                true
            }
        }
    }
}

/// One stream of a camera.
pub struct Stream {
    name: Arc<str>,
    watchers: Mutex<Arc<[Arc<Watcher>]>>,
    demand_sink: Mutex<Option<DemandSink>>,
    next_id: AtomicU64,
}

impl Stream {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            watchers: Mutex::new(Arc::new([])),
            demand_sink: Mutex::new(None),
            next_id: AtomicU64::new(1),
        }
    }

    /// The stream's name, to be shared by its frames.
    pub fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Gives a frame to every watcher whose rate wants it. Nothing is copied and nobody is waited for.
    pub fn publish(&self, frame: &Arc<Frame>) {
        let watchers = lock(&self.watchers).clone();
        for watcher in watchers.iter() {
            if lock(&watcher.pace).wants(frame.captured_monotonic_ns, watcher.max_millihertz) {
                (watcher.sink)(frame);
            }
        }
    }

    /// What is wanted of this stream now.
    pub fn demand(&self) -> Demand {
        Self::sum(&lock(&self.watchers))
    }

    /// Names who is told when the demand changes (one at a time: the camera's pipeline), and tells it at once.
    pub fn on_demand(&self, sink: Option<DemandSink>) {
        let mut slot = lock(&self.demand_sink);
        *slot = sink;
        if let Some(sink) = slot.as_ref() {
            sink(self.demand());
        }
    }

    fn sum(watchers: &[Arc<Watcher>]) -> Demand {
        let rates = || watchers.iter().map(|w| w.max_millihertz);
        let max_millihertz = if rates().any(|r| r == 0) { 0 } else { rates().max().unwrap_or(0) };
        Demand { watchers: watchers.len(), max_millihertz }
    }

    fn change(&self, edit: impl FnOnce(&mut Vec<Arc<Watcher>>)) {
        // The sink's lock is held over the edit, so that two changes reach it in the order they were made.
        let sink = lock(&self.demand_sink);
        let demand = {
            let mut watchers = lock(&self.watchers);
            let mut list = watchers.to_vec();
            edit(&mut list);
            *watchers = list.into();
            Self::sum(&watchers)
        };
        if let Some(sink) = sink.as_ref() {
            sink(demand);
        }
    }

    /// Watches this stream until the returned [`Watch`] is dropped. `max_millihertz` is in frames per 1000 seconds; 0 is
    /// every frame.
    pub fn watch(self: &Arc<Self>, max_millihertz: u32, sink: FrameSink) -> Watch {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let watcher = Arc::new(Watcher { id, max_millihertz, pace: Mutex::default(), sink });
        self.change(|list| list.push(watcher));
        Watch { stream: self.clone(), id }
    }
}

/// Watches a stream; dropping it ends that.
pub struct Watch {
    stream: Arc<Stream>,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stream.change(|list| list.retain(|w| w.id != self.id));
    }
}

/// All streams by name.
#[derive(Default)]
pub struct Hub {
    streams: Mutex<BTreeMap<String, Arc<Stream>>>,
}

impl Hub {
    /// The stream of that name. It exists from the first time that either side names it, so that watching a camera before
    /// it is there, or while it is being rebuilt, is nothing special.
    pub fn stream(&self, name: &str) -> Arc<Stream> {
        let mut streams = lock(&self.streams);
        if let Some(stream) = streams.get(name) {
            return stream.clone();
        }
        // Names come from plugins, too: what neither side holds any more is forgotten, or they would grow without end.
        streams.retain(|_, stream| Arc::strong_count(stream) > 1);
        let stream = Arc::new(Stream::new(name));
        streams.insert(name.to_owned(), stream.clone());
        stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn frame(stream: &Stream, sequence: u64, ms: u64) -> Arc<Frame> {
        Arc::new(Frame {
            stream: stream.name(),
            format: Format::Jpeg,
            width: 4,
            height: 2,
            sequence,
            captured_unix_ns: ms * 1_000_000,
            captured_monotonic_ns: ms * 1_000_000,
            data: Bytes::from_static(b"jpeg"),
        })
    }

    fn counter() -> (Arc<AtomicUsize>, FrameSink) {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = count.clone();
        (count, Arc::new(move |_| _ = seen.fetch_add(1, Ordering::Relaxed)))
    }

    #[test]
    fn watchers_share_the_frame_itself() {
        let hub = Hub::default();
        let stream = hub.stream("main/jpeg");
        let kept = Arc::new(Mutex::new(Vec::new()));
        let watches: Vec<_> = (0..3)
            .map(|_| {
                let kept = kept.clone();
                stream.watch(0, Arc::new(move |f| lock(&kept).push(f.clone())))
            })
            .collect();
        let frame = frame(&stream, 1, 0);
        stream.publish(&frame);
        assert_eq!(lock(&kept).len(), watches.len());
        assert!(lock(&kept).iter().all(|f| Arc::ptr_eq(f, &frame)));
    }

    #[test]
    fn streams_that_nobody_holds_are_forgotten() {
        let hub = Hub::default();
        let camera = hub.stream("main/jpeg");
        let (_, sink) = counter();
        let _watch = hub.stream("later/jpeg").watch(0, sink);
        for n in 0..1000 {
            hub.stream(&format!("never/{n}"));
        }
        assert!(lock(&hub.streams).len() <= 3);
        assert!(Arc::ptr_eq(&camera, &hub.stream("main/jpeg")));
        assert_eq!(hub.stream("later/jpeg").demand().watchers, 1);
    }

    #[test]
    fn demand_follows_the_watchers() {
        let hub = Hub::default();
        let stream = hub.stream("main/jpeg");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (_, sink) = counter();
        let first = stream.watch(10_000, sink.clone());
        let log = seen.clone();
        stream.on_demand(Some(Box::new(move |d| lock(&log).push((d.watchers, d.max_millihertz)))));
        let second = stream.watch(0, sink.clone());
        let third = stream.watch(30_000, sink);
        drop(second);
        drop(first);
        drop(third);
        assert_eq!(*lock(&seen), [(1, 10_000), (2, 0), (3, 0), (2, 30_000), (1, 30_000), (0, 0)]);
    }

    #[test]
    fn a_watcher_gets_no_more_than_the_rate_it_asked_for() {
        let hub = Hub::default();
        let stream = hub.stream("main/jpeg");
        let (all, sink_all) = counter();
        let (ten, sink_ten) = counter();
        let (twenty, sink_twenty) = counter();
        let _watches =
            [stream.watch(0, sink_all), stream.watch(10_000, sink_ten), stream.watch(20_000, sink_twenty)];
        for n in 0..300 {
            stream.publish(&frame(&stream, n + 1, n * 1000 / 30));
        }
        assert_eq!(all.load(Ordering::Relaxed), 300);
        assert!((99..=101).contains(&ten.load(Ordering::Relaxed)), "{ten:?}");
        assert!((198..=202).contains(&twenty.load(Ordering::Relaxed)), "{twenty:?}");
    }

    #[test]
    fn a_pause_of_the_camera_is_not_caught_up_with_a_burst() {
        let mut pace = Pace::default();
        assert!(pace.wants(0, 10_000));
        assert!(pace.wants(60_000_000_000, 10_000));
        assert!(!pace.wants(60_010_000_000, 10_000));
        assert!(!pace.wants(60_050_000_000, 10_000));
        assert!(pace.wants(60_100_000_000, 10_000));
    }
}
