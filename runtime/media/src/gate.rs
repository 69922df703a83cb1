//! Gates: what keeps a stream from being encoded while nobody watches it, and no faster than the fastest watcher wants.

use crate::lock;
use crate::tap::{Tap, discard, monotonic_ns};
use gantry_core::frames::{Demand, Pace, Stream};
use gstreamer as gst;
use gstreamer::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// The gate of one stream. It belongs to the camera and not to a session, so that demand outlives a rebuild.
pub(crate) struct Gate {
    pub(crate) stream: Arc<Stream>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    open: AtomicBool,
    max_millihertz: AtomicU32,
    pace: Mutex<Pace>,
}

impl Gate {
    /// The gate of a stream: follows its demand until it is dropped.
    pub(crate) fn new(stream: Arc<Stream>) -> Self {
        let shared = Arc::<Shared>::default();
        let follower = shared.clone();
        stream.on_demand(Some(Box::new(move |demand| follower.follow(demand))));
        Self { stream, shared }
    }

    /// Puts the gate on the input of an element. `passed` is called with the number of each frame that goes through.
    pub(crate) fn attach(&self, pad: &gst::Pad, tap: Arc<Tap>, passed: impl Fn(u64) + Send + Sync + 'static) {
        let shared = self.shared.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if !shared.open.load(Ordering::Acquire) {
                return discard(info);
            }
            let moment = info.buffer().and_then(|b| tap.moment(b.pts()));
            let captured_ns = moment.map_or_else(monotonic_ns, |m| m.monotonic_ns);
            let rate = shared.max_millihertz.load(Ordering::Relaxed);
            if !lock(&shared.pace).wants(captured_ns, rate) {
                return discard(info);
            }
            if let Some(moment) = moment {
                passed(moment.sequence);
            }
            gst::PadProbeReturn::Ok
        });
    }
}

impl Shared {
    fn follow(&self, demand: Demand) {
        self.max_millihertz.store(demand.max_millihertz, Ordering::Relaxed);
        let open = demand.watchers > 0;
        if open && !self.open.load(Ordering::Relaxed) {
            // Who begins to watch gets the next frame, whatever the pace was before.
            *lock(&self.pace) = Pace::default();
        }
        self.open.store(open, Ordering::Release);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stream.on_demand(None);
    }
}
