//! What a run found, as the JSON object that `camload` prints.

use crate::options::{Options, Protocol};
use crate::process::Usage;
use crate::tally::Tally;
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole report. Slow clients are in `slow_frames`, `mb_per_s` and the server's cost, and in nothing else.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The name that was given to the run.
    pub label: String,
    /// The protocol.
    pub protocol: &'static str,
    /// Clients that were started, the slow ones included.
    pub clients: u32,
    /// Clients that read slowly.
    pub slow_clients: u32,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Clients that got through the handshake.
    pub connected: u64,
    /// Clients that ended before the run did.
    pub errors: u64,
    /// Why, and how many of them.
    pub error_text: BTreeMap<String, u64>,
    /// Seconds until all clients were connected.
    pub connect_all_s: f64,
    /// How long a handshake took.
    pub connect_ms: Spread,
    /// Frames that arrived at all the other clients.
    pub frames: u64,
    /// Frames per second and client.
    pub frames_per_s_per_client: f64,
    /// Frames of the client that got the fewest.
    pub frames_min_client: u64,
    /// Frames of the client that got the most.
    pub frames_max_client: u64,
    /// Frames that arrived at the slow clients.
    pub slow_frames: u64,
    /// Messages that are no frames.
    pub other_messages: u64,
    /// Frames without a time stamp.
    pub unstamped: u64,
    /// Payload that arrived, in 10⁶ bytes per second.
    pub mb_per_s: f64,
    /// From the time stamp to the arrival of the last byte.
    pub latency_ms: Spread,
    /// From one frame to the next of the same client.
    pub gap_ms: Spread,
    /// What it cost.
    pub server: Cost,
    /// CPU of `camload` itself, in percent of one core: near 100 the clients were the limit.
    pub client_cpu_pct: f64,
    /// CPU of everything else on the machine, in percent of one core: well above 5, compare with nothing.
    pub others_cpu_pct: f64,
}

/// What the run cost the server.
#[derive(Debug, Serialize)]
pub struct Cost {
    /// CPU seconds in user space.
    pub cpu_user_s: f64,
    /// CPU seconds in the kernel.
    pub cpu_sys_s: f64,
    /// Percent of one core.
    pub cpu_pct: f64,
    /// CPU microseconds for one frame to one client.
    pub cpu_us_per_frame_client: f64,
    /// Resident memory when the measurement began.
    pub rss_start_mb: f64,
    /// Resident memory when it ended.
    pub rss_end_mb: f64,
    /// The most resident memory since the process began.
    pub rss_peak_mb: f64,
    /// Context switches of all threads.
    pub ctx_switches_per_s: f64,
}

impl Cost {
    /// The cost of sending `frames` in `seconds`; memory is given at the start, at the end and at its peak.
    pub fn new(used: Usage, seconds: f64, frames: u64, [start, end, peak]: [f64; 3]) -> Self {
        let per_frame = if frames > 0 { used.seconds() / frames as f64 * 1e6 } else { 0.0 };
        Self {
            cpu_user_s: rounded(used.user),
            cpu_sys_s: rounded(used.system),
            cpu_pct: rounded(used.seconds() / seconds * 100.0),
            cpu_us_per_frame_client: rounded(per_frame),
            rss_start_mb: rounded(start),
            rss_end_mb: rounded(end),
            rss_peak_mb: rounded(peak),
            ctx_switches_per_s: rounded(used.switches / seconds),
        }
    }
}

/// How a set of times is spread, by nearest rank; `null` where nothing was measured.
#[derive(Debug, Default, Serialize)]
pub struct Spread {
    /// How many there are.
    pub n: usize,
    /// The median.
    pub p50: Option<f64>,
    /// Nine in ten are at most this.
    pub p90: Option<f64>,
    /// 99 in a hundred are at most this.
    pub p99: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

impl Spread {
    /// The spread of `times`, which may be in any order.
    pub fn of(mut times: Vec<f32>) -> Self {
        times.sort_by(f32::total_cmp);
        let last = times.len().saturating_sub(1) as f64;
        let rank =
            |part: f64| times.get((last * part).round() as usize).map(|&time| rounded(f64::from(time)));
        Self { n: times.len(), p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), max: rank(1.0) }
    }
}

/// What all clients got, summed up.
#[derive(Debug, Default)]
pub struct Sum {
    /// The clients that are not slow, together.
    pub fast: Tally,
    /// Frames of the client that got the fewest and of the one that got the most.
    pub range: Option<(u64, u64)>,
    /// Frames of the slow clients.
    pub slow_frames: u64,
    /// Bytes of all clients.
    pub bytes: u64,
}

impl Sum {
    /// Adds what one client got.
    pub fn add(&mut self, tally: Tally, slow: bool) {
        self.bytes += tally.bytes;
        if slow {
            self.slow_frames += tally.frames;
            return;
        }
        let (least, most) = self.range.unwrap_or((u64::MAX, 0));
        self.range = Some((least.min(tally.frames), most.max(tally.frames)));
        self.fast.frames += tally.frames;
        self.fast.other += tally.other;
        self.fast.unstamped += tally.unstamped;
        self.fast.latencies_ms.extend(tally.latencies_ms);
        self.fast.gaps_ms.extend(tally.gaps_ms);
    }
}

/// The name of a protocol, as on the command line.
pub fn name(options: &Options) -> &'static str {
    match options.protocol {
        Protocol::Ws => "ws",
        Protocol::Sio => "sio",
        Protocol::Mjpeg => "mjpeg",
        Protocol::Httpget => "httpget",
    }
}

/// Three digits after the point are enough for every figure here.
pub fn rounded(number: f64) -> f64 {
    // Adding zero makes the -0 of an empty sum a plain one.
    (number * 1e3).round() / 1e3 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_spread_is_by_nearest_rank() {
        let spread = Spread::of((0u8..=100).rev().map(f32::from).collect());
        assert_eq!(
            (spread.n, spread.p50, spread.p90, spread.p99, spread.max),
            (101, Some(50.0), Some(90.0), Some(99.0), Some(100.0))
        );
        let nothing = Spread::of(vec![]);
        assert_eq!((nothing.n, nothing.p50, nothing.max), (0, None, None));
    }

    #[test]
    fn slow_clients_do_not_enter_the_rate() {
        let mut sum = Sum::default();
        for (frames, slow) in [(10, false), (12, false), (1, true)] {
            let mut tally = Tally::default();
            for _ in 0..frames {
                tally.answer(100, Duration::ZERO);
            }
            sum.add(tally, slow);
        }
        assert_eq!((sum.fast.frames, sum.slow_frames, sum.bytes), (22, 1, 2300));
        assert_eq!(sum.range, Some((10, 12)));
    }
}
