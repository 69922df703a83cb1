//! The place in a pipeline that every captured frame passes: numbers and times them, and shows that the camera lives.

use crate::figures::Figures;
use crate::lock;
use gstreamer as gst;
use gstreamer::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How many frames can be between the tap and a sink before their numbers are forgotten.
const REMEMBERED: usize = 64;
/// A time stamp further from now than this is not a capture time.
const PLAUSIBLE_NS: u64 = 5_000_000_000;
/// More lost frames than this at once are a source that counts anew.
const PLAUSIBLE_GAP: u64 = 1_000;

/// Which frame of the camera it is, and when it was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) sequence: u64,
    pub(crate) monotonic_ns: u64,
    pub(crate) unix_ns: u64,
}

impl Moment {
    /// Now, for the newest frame.
    pub(crate) fn arrival(figures: &Figures) -> Self {
        let monotonic_ns = monotonic_ns();
        let sequence = figures.sequence.load(Ordering::Relaxed);
        Self { sequence, monotonic_ns, unix_ns: unix_of(monotonic_ns, monotonic_ns) }
    }
}

/// CLOCK_MONOTONIC, which is also the clock of every pipeline here.
pub(crate) fn monotonic_ns() -> u64 {
    gst::SystemClock::obtain().time().nseconds()
}

fn unix_of(moment_ns: u64, now_ns: u64) -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    u64::try_from(unix).unwrap_or(u64::MAX).saturating_sub(now_ns.saturating_sub(moment_ns))
}

/// Lets a rate through, on average, whatever the jitter of the frames.
#[derive(Debug)]
struct Limit {
    per_second: f64,
    credit: f64,
    last_ns: Option<u64>,
}

impl Limit {
    fn new(fps: u32) -> Self {
        // A camera whose clock runs a little fast is not to lose a frame now and then for it.
        Self { per_second: f64::from(fps) * 1.02, credit: 2.0, last_ns: None }
    }

    fn lets(&mut self, now_ns: u64) -> bool {
        let passed = self.last_ns.replace(now_ns).map_or(0, |last| now_ns.saturating_sub(last));
        self.credit = (self.credit + passed as f64 * 1e-9 * self.per_second).min(2.0);
        let lets = self.credit >= 1.0;
        if lets {
            self.credit -= 1.0;
        }
        lets
    }
}

struct Inner {
    limit: Limit,
    last_offset: Option<u64>,
    moments: VecDeque<(u64, Moment)>,
}

/// One session's tap.
pub(crate) struct Tap {
    figures: Arc<Figures>,
    numbered: bool,
    /// Cleared when the session is over: an abandoned pipeline that wakes up again is not to be heard.
    live: AtomicBool,
    /// When the newest frame came, in nanoseconds after `opened`, plus 1; 0 before the first.
    last: AtomicU64,
    nominal_millihertz: AtomicU64,
    /// Set while a source makes no frames because nobody wants any.
    resting: AtomicBool,
    opened: Instant,
    inner: Mutex<Inner>,
}

impl Tap {
    pub(crate) fn new(figures: Arc<Figures>, fps: u32, numbered: bool) -> Self {
        let moments = VecDeque::with_capacity(REMEMBERED);
        let inner = Mutex::new(Inner { limit: Limit::new(fps), last_offset: None, moments });
        let (live, last, nominal_millihertz) = (AtomicBool::new(true), AtomicU64::new(0), AtomicU64::new(0));
        let resting = AtomicBool::new(false);
        Self { figures, numbered, live, last, nominal_millihertz, resting, opened: Instant::now(), inner }
    }

    pub(crate) fn close(&self) {
        self.live.store(false, Ordering::Release);
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Lets so many frames a second through, from the next frame on.
    pub(crate) fn limit(&self, fps: u32) {
        lock(&self.inner).limit = Limit::new(fps);
    }

    /// When the newest frame came.
    pub(crate) fn last_frame(&self) -> Option<Instant> {
        let last = self.last.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.opened + std::time::Duration::from_nanos(last))
    }

    /// Shows that the source lives while it makes no frames.
    pub(crate) fn beat(&self) {
        let since_opened = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
        self.last.store(since_opened + 1, Ordering::Release);
    }

    /// Says whether the source makes no frames because nobody wants any.
    pub(crate) fn rest(&self, resting: bool) {
        self.resting.store(resting, Ordering::Release);
    }

    pub(crate) fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Acquire)
    }

    /// The rate that the source says it has, in frames a second.
    pub(crate) fn nominal_fps(&self) -> Option<f64> {
        let millihertz = self.nominal_millihertz.load(Ordering::Relaxed);
        (millihertz > 0).then(|| millihertz as f64 / 1000.0)
    }

    /// Puts the tap on a pad. `first` is called with the first frame.
    pub(crate) fn attach(self: &Arc<Self>, pad: &gst::Pad, first: impl Fn() + Send + Sync + 'static) {
        let tap = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let Some(buffer) = info.buffer().filter(|_| tap.is_live()) else { return discard(info) };
            let since_opened = u64::try_from(tap.opened.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
            if tap.last.swap(since_opened + 1, Ordering::AcqRel) == 0 {
                tap.nominal_millihertz.store(rate_of(pad).unwrap_or(0), Ordering::Relaxed);
                first();
            }
            if tap.takes(buffer, capture_time(pad, buffer)) { gst::PadProbeReturn::Ok } else { discard(info) }
        });
    }

    /// Numbers a frame; false when the source gives more than the camera's rate and this one is too many.
    fn takes(&self, buffer: &gst::BufferRef, captured_ns: Option<u64>) -> bool {
        let now = monotonic_ns();
        let captured = captured_ns.filter(|c| now.abs_diff(*c) < PLAUSIBLE_NS).map_or(now, |c| c.min(now));
        let offset = Some(buffer.offset()).filter(|o| self.numbered && *o != u64::MAX);
        let mut inner = lock(&self.inner);
        let last_offset = std::mem::replace(&mut inner.last_offset, offset);
        let lost = match (last_offset, offset) {
            (Some(last), Some(this)) => this.saturating_sub(last + 1),
            _ => 0,
        };
        let lost = if lost > PLAUSIBLE_GAP { 0 } else { lost };
        self.figures.dropped.add(lost);
        if !inner.limit.lets(captured) {
            return false;
        }
        let sequence = self.figures.sequence.fetch_add(1 + lost, Ordering::Relaxed) + 1 + lost;
        self.figures.captured.add(1);
        if let Some(pts) = buffer.pts() {
            if inner.moments.len() == REMEMBERED {
                inner.moments.pop_front();
            }
            let moment = Moment { sequence, monotonic_ns: captured, unix_ns: unix_of(captured, now) };
            inner.moments.push_back((pts.nseconds(), moment));
        }
        true
    }

    /// Which captured frame a picture with this time stamp was made of.
    pub(crate) fn moment(&self, pts: Option<gst::ClockTime>) -> Option<Moment> {
        let pts = pts?.nseconds();
        lock(&self.inner).moments.iter().rev().find(|(known, _)| *known == pts).map(|(_, moment)| *moment)
    }
}

/// Ends a frame's way at a probe. (`Drop` would make GStreamer 1.22 complain about each: the binding has the buffer.)
pub(crate) fn discard(info: &mut gst::PadProbeInfo<'_>) -> gst::PadProbeReturn {
    info.flow_res = Ok(gst::FlowSuccess::Ok);
    gst::PadProbeReturn::Handled
}

/// The rate in a pad's caps, in frames per 1000 seconds; `None` when it is variable or not said.
fn rate_of(pad: &gst::Pad) -> Option<u64> {
    let rate = pad.current_caps()?.structure(0)?.get::<gst::Fraction>("framerate").ok()?;
    let (frames, seconds) = (u64::try_from(rate.numer()).ok()?, u64::try_from(rate.denom()).ok()?);
    (frames > 0 && seconds > 0).then(|| frames * 1000 / seconds)
}

/// When a frame was captured by its time stamp, on the pipeline's clock.
fn capture_time(pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<u64> {
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let running = segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(buffer.pts()?)?;
    let base = pad.parent_element()?.base_time()?;
    Some((base + running).nseconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(fps: u32, source_fps: u64, jitter_ms: u64) -> usize {
        let mut limit = Limit::new(fps);
        let frames = 0..source_fps * 10;
        frames
            .filter(|n| limit.lets(n * 1_000_000_000 / source_fps + (n % 3) * jitter_ms * 1_000_000))
            .count()
    }

    #[test]
    fn a_source_of_the_configured_rate_loses_nothing_to_jitter() {
        assert_eq!(passed(30, 30, 0), 300);
        assert_eq!(passed(30, 30, 9), 300);
        assert_eq!(passed(30, 10, 9), 100);
    }

    #[test]
    fn a_faster_source_is_thinned_to_the_configured_rate() {
        assert!((298..=309).contains(&passed(30, 60, 2)), "{}", passed(30, 60, 2));
        assert!((98..=104).contains(&passed(10, 30, 0)), "{}", passed(10, 30, 0));
    }
}
