//! One run: connect everybody, warm up, measure, add up.

use crate::client;
use crate::options::Options;
use crate::process::{self, Usage};
use crate::report::{self, Cost, Report, Spread, Sum, rounded};
use crate::tally::{Tally, milliseconds};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Clients that have not connected after this are left out.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// What the clients of a run share.
#[derive(Debug)]
pub struct Run {
    /// The command line.
    pub options: Options,
    /// The body of a request.
    pub body: Vec<u8>,
    measuring: AtomicBool,
    connected: AtomicU64,
    failed: AtomicU64,
    failures: Mutex<BTreeMap<String, u64>>,
    connect_ms: Mutex<Vec<f32>>,
    stop: watch::Sender<bool>,
}

impl Run {
    /// A run that has not begun. `body` is what `httpget` sends.
    pub fn new(options: Options, body: Vec<u8>) -> Self {
        Self {
            options,
            body,
            measuring: AtomicBool::new(false),
            connected: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failures: Mutex::default(),
            connect_ms: Mutex::default(),
            stop: watch::Sender::new(false),
        }
    }

    /// Whether what arrives now counts.
    pub fn is_measuring(&self) -> bool {
        self.measuring.load(Relaxed)
    }

    /// Notes that a client got through the handshake that it began at `since`.
    pub fn note_connected(&self, since: Instant) {
        lock(&self.connect_ms).push(milliseconds(since.elapsed()));
        self.connected.fetch_add(1, Relaxed);
    }

    fn note_failure(&self, reason: String) {
        *lock(&self.failures).entry(reason).or_default() += 1;
        self.failed.fetch_add(1, Relaxed);
    }

    /// Runs to the end and reports. Takes the connection time and `warmup` + `seconds`.
    pub async fn measure(self: Arc<Self>) -> Report {
        let options = &self.options;
        let begun = Instant::now();
        let clients = self.start_clients().await;
        self.wait_until_connected(begun + CONNECT_LIMIT).await;
        let connect_all = begun.elapsed();
        sleep(Duration::from_secs_f64(options.warmup)).await;

        let own = [std::process::id()];
        let rss_start = process::resident_mb(&options.pids);
        let (server, client) = (Usage::of(&options.pids), Usage::of(&own));
        let busy = process::machine_busy_seconds();
        let begun = Instant::now();
        self.measuring.store(true, Relaxed);
        sleep(Duration::from_secs_f64(options.seconds)).await;
        self.measuring.store(false, Relaxed);
        let seconds = begun.elapsed().as_secs_f64();
        let (server, client) = (Usage::of(&options.pids) - server, Usage::of(&own) - client);
        let others = process::machine_busy_seconds() - busy - server.seconds() - client.seconds();
        let rss = [rss_start, process::resident_mb(&options.pids), process::peak_mb(&options.pids)];

        self.stop.send_replace(true);
        let mut sum = Sum::default();
        for (slow, handle) in clients {
            if let Ok(tally) = handle.await {
                sum.add(tally, slow);
            }
        }
        let cost = Cost::new(server, seconds, sum.fast.frames, rss);
        self.report(sum, seconds, connect_all, cost, [client.seconds(), others.max(0.0)])
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
            self.note_failure(reason);
        }
        tally
    }

    async fn wait_until_connected(&self, deadline: Instant) {
        let everybody = u64::from(self.options.clients);
        while self.connected.load(Relaxed) + self.failed.load(Relaxed) < everybody
            && Instant::now() < deadline
        {
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn report(
        &self,
        sum: Sum,
        seconds: f64,
        connect_all: Duration,
        server: Cost,
        [client, others]: [f64; 2],
    ) -> Report {
        let options = &self.options;
        let fast_clients = f64::from(options.clients.saturating_sub(options.slow).max(1));
        let (fewest, most) = sum.range.unwrap_or_default();
        Report {
            label: options.label.clone(),
            protocol: report::name(options),
            clients: options.clients,
            slow_clients: options.slow,
            seconds: rounded(seconds),
            connected: self.connected.load(Relaxed),
            errors: self.failed.load(Relaxed),
            error_text: lock(&self.failures).clone(),
            connect_all_s: rounded(connect_all.as_secs_f64()),
            connect_ms: Spread::of(lock(&self.connect_ms).clone()),
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
            server,
            client_cpu_pct: rounded(client / seconds * 100.0),
            others_cpu_pct: rounded(others / seconds * 100.0),
        }
    }
}

/// A poisoned lock still holds good counts: the panic itself is reported by the task.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
