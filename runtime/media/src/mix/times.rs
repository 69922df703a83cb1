//! The times of a mix's pictures, which the compositor does not keep.

use crate::lock;
use crate::tap::monotonic_ns;
use gstreamer as gst;
use gstreamer::prelude::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// When the frames in the compositor were captured, by their number. It counts its pictures from 0, without gaps, which is
/// what it needs; behind it they have their own times again.
#[derive(Default)]
pub(crate) struct Times(Mutex<VecDeque<(u64, u64)>>);

impl Times {
    pub(crate) fn push(&self, number: u64, captured_ns: u64) {
        let mut times = lock(&self.0);
        if times.len() == 64 {
            times.pop_front();
        }
        times.push_back((number, captured_ns));
    }

    pub(crate) fn attach(self: &Arc<Self>, pad: &gst::Pad, compositor: &gst::Element, fps: u64) {
        let (times, compositor) = (self.clone(), compositor.downgrade());
        let last = Mutex::new(0);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let base = compositor.upgrade().and_then(|c| c.base_time()).map_or(0, gst::ClockTime::nseconds);
            let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else {
                return gst::PadProbeReturn::Ok;
            };
            let number = buffer.pts().map_or(0, |pts| (pts.nseconds() * fps + 500_000_000) / 1_000_000_000);
            let known = lock(&times.0).iter().find(|(n, _)| *n == number).map(|(_, ns)| *ns);
            let mut last = lock(&last);
            // Two pictures never have one time: by it they are told apart.
            *last = known.unwrap_or_else(monotonic_ns).saturating_sub(base).max(*last + 1);
            let buffer = buffer.make_mut();
            buffer.set_pts(gst::ClockTime::from_nseconds(*last));
            gst::PadProbeReturn::Ok
        });
    }
}
