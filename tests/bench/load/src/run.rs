//! One run: connect everybody, warm up, measure, add up.

use crate::client;
use crate::options::Options;
use crate::process::{Measured, Meter};
use crate::report::{self, Cost, Report, Spread, Sum, rounded};
use crate::roster::Roster;
use crate::serial::Serial;
use crate::tally::Tally;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Clients that have not connected after this are left out.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// What the clients of a run share.
#[derive(Debug)]
pub struct Run {
    /// The command line.
    pub options: Options,
    /// The body of a request.
    pub body: Vec<u8>,
    /// Who is connected.
    pub roster: Roster,
    /// The numbers of requests.
    pub serial: Serial,
    measuring: AtomicBool,
    stop: watch::Sender<bool>,
}

impl Run {
    /// A run that has not begun. `body` is what `httpget` sends.
    pub fn new(options: Options, body: Vec<u8>) -> Self {
        Self {
            options,
            body,
            roster: Roster::default(),
            serial: Serial::default(),
            measuring: AtomicBool::new(false),
            stop: watch::Sender::new(false),
        }
    }

    /// Whether what arrives now counts.
    pub fn is_measuring(&self) -> bool {
        self.measuring.load(Relaxed)
    }

    /// Runs to the end and reports. Takes the connection time and `warmup` + `seconds`.
    pub async fn measure(self: Arc<Self>) -> Report {
        let options = &self.options;
        let begun = Instant::now();
        let clients = self.start_clients().await;
        self.roster.wait_for(options.clients.into(), begun + CONNECT_LIMIT).await;
        let connect_all = begun.elapsed();
        sleep(Duration::from_secs_f64(options.warmup)).await;

        let meter = Meter::start(&options.pids);
        self.measuring.store(true, Relaxed);
        sleep(Duration::from_secs_f64(options.seconds)).await;
        self.measuring.store(false, Relaxed);
        let measured = meter.stop();

        self.stop.send_replace(true);
        let mut sum = Sum::default();
        for (slow, handle) in clients {
            if let Ok(tally) = handle.await {
                sum.add(tally, slow);
            }
        }
        self.report(sum, connect_all, measured)
    }

    /// Starts the clients one after the other, the slow ones first.
    async fn start_clients(self: &Arc<Self>) -> Vec<(bool, JoinHandle<Tally>)> {
        let mut clients = Vec::new();
        for index in 0..self.options.clients {
            let slow = index < self.options.slow;
            clients.push((slow, tokio::spawn(Arc::clone(self).run_client(slow))));
            sleep(Duration::from_millis(self.options.stagger_ms)).await;
        }
        clients
    }

    async fn run_client(self: Arc<Self>, slow: bool) -> Tally {
        let mut tally = Tally::default();
        let mut stop = self.stop.subscribe();
        let ended = tokio::select! {
            ended = client::receive(&self, &mut tally, slow) => ended,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        };
        if let Err(reason) = ended {
            self.roster.note_failure(reason);
        }
        tally
    }

    fn report(&self, sum: Sum, connect_all: Duration, measured: Measured) -> Report {
        let seconds = measured.seconds;
        let options = &self.options;
        let fast_clients = f64::from(options.clients.saturating_sub(options.slow).max(1));
        let (fewest, most) = sum.range.unwrap_or_default();
        Report {
            label: options.label.clone(),
            protocol: report::name(options),
            clients: options.clients,
            slow_clients: options.slow,
            seconds: rounded(seconds),
            connected: self.roster.connected(),
            errors: self.roster.failed(),
            error_text: self.roster.failures(),
            connect_all_s: rounded(connect_all.as_secs_f64()),
            connect_ms: Spread::of(self.roster.connect_ms()),
            frames: sum.fast.frames,
            frames_per_s_per_client: rounded(sum.fast.frames as f64 / seconds / fast_clients),
            frames_min_client: fewest,
            frames_max_client: most,
            slow_frames: sum.slow_frames,
            other_messages: sum.fast.other,
            unstamped: sum.fast.unstamped,
            mb_per_s: rounded(sum.bytes as f64 / seconds / 1e6),
            latency_ms: Spread::of(sum.fast.latencies_ms),
            gap_ms: Spread::of(sum.fast.gaps_ms),
            server: Cost::new(measured.server, seconds, sum.fast.frames, measured.rss_mb),
            client_cpu_pct: rounded(measured.own_pct),
            others_cpu_pct: rounded(measured.others_pct),
        }
    }
}
