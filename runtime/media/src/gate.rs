//! Gates: what keeps a stream from being made while nobody watches it, and no faster than the fastest watcher wants.
//!
//! The way to a stream may lead through several gates, and several streams may share one. Whether a frame is wanted for a
//! stream is decided once, at the outermost gate of its way; that gate passes what any of its streams wants. Gates further
//! in pass only the frames that were wanted for theirs.

use crate::lock;
use crate::sink::InFlight;
use crate::tap::{Tap, discard, monotonic_ns};
use gantry_core::frames::{Demand, Pace, Stream};
use gstreamer as gst;
use gstreamer::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// The demand for one stream. It belongs to the camera and not to a session, so that demand outlives a rebuild.
pub(crate) struct Gate {
    pub(crate) stream: Arc<Stream>,
    shared: Arc<Shared>,
}

/// Told that the demand has changed. Must not block.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Shared {
    open: AtomicBool,
    max_millihertz: AtomicU32,
    pace: Mutex<Pace>,
    wake: Mutex<Option<Wake>>,
}

/// One stream's frames on their way through the gates of a session.
#[derive(Clone)]
pub(crate) struct Way {
    shared: Arc<Shared>,
    /// The frames that were wanted and have not come out of the stream's sink.
    pub(crate) in_flight: Arc<InFlight>,
}

impl Gate {
    /// The gate of a stream: follows its demand until it is dropped.
    pub(crate) fn new(stream: Arc<Stream>) -> Self {
        let shared = Arc::<Shared>::default();
        let follower = shared.clone();
        stream.on_demand(Some(Box::new(move |demand| follower.follow(demand))));
        Self { stream, shared }
    }

    /// Names who is told when the demand changes: a source that rests without it.
    pub(crate) fn on_change(&self, wake: Wake) {
        *lock(&self.shared.wake) = Some(wake);
    }

    /// The way of this stream's frames through a session.
    pub(crate) fn way(&self) -> Way {
        Way { shared: self.shared.clone(), in_flight: Arc::default() }
    }
}

/// Makes the input of an element the outermost gate of these streams: decides for each frame who wants it.
pub(crate) fn attach_outer(pad: &gst::Pad, tap: Arc<Tap>, ways: Vec<Way>) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if !ways.iter().any(|way| way.shared.open.load(Ordering::Acquire)) {
            return discard(info);
        }
        let moment = info.buffer().and_then(|b| tap.moment(b.pts()));
        let captured_ns = moment.map_or_else(monotonic_ns, |m| m.monotonic_ns);
        let mut is_wanted = false;
        for way in &ways {
            if way.shared.wants(captured_ns) {
                is_wanted = true;
                if let Some(moment) = moment {
                    way.in_flight.entered(moment.sequence);
                }
            }
        }
        if is_wanted { gst::PadProbeReturn::Ok } else { discard(info) }
    });
}

/// Makes the input of an element an inner gate of these streams.
pub(crate) fn attach_inner(pad: &gst::Pad, tap: Arc<Tap>, ways: Vec<Way>) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let moment = info.buffer().and_then(|b| tap.moment(b.pts()));
        let is_wanted = match moment {
            Some(moment) => ways.iter().any(|way| way.in_flight.has(moment.sequence)),
            // An element gave it a time of its own: nobody can tell which frame it was.
            None => ways.iter().any(|way| way.shared.open.load(Ordering::Acquire)),
        };
        if is_wanted { gst::PadProbeReturn::Ok } else { discard(info) }
    });
}

impl Shared {
    fn wants(&self, captured_ns: u64) -> bool {
        self.open.load(Ordering::Acquire)
            && lock(&self.pace).wants(captured_ns, self.max_millihertz.load(Ordering::Relaxed))
    }

    fn follow(&self, demand: Demand) {
        self.max_millihertz.store(demand.max_millihertz, Ordering::Relaxed);
        let open = demand.watchers > 0;
        if open && !self.open.load(Ordering::Relaxed) {
            // Who begins to watch gets the next frame, whatever the pace was before.
            *lock(&self.pace) = Pace::default();
        }
        self.open.store(open, Ordering::Release);
        if let Some(wake) = lock(&self.wake).as_ref() {
            wake();
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stream.on_demand(None);
    }
}
