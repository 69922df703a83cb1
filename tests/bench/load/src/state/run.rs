//! One run: connect everybody, write, measure, wait for the last update, add up.

use super::client;
use super::journal::{Follower, Journal};
use super::options::Options;
use super::report::{Cost, Received, Report};
use crate::process::{Measured, Meter};
use crate::report::{Spread, rounded};
use crate::roster::{Roster, lock};
use crate::run::CONNECT_LIMIT;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Updates that have not arrived so long after the last write are lost.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// What the clients of a run share.
#[derive(Debug)]
pub struct Run {
    /// The command line.
    pub options: Options,
    /// The key as it stands in a message, quotes included.
    pub(super) key: Vec<u8>,
    pub(super) roster: Roster,
    journal: Mutex<Journal>,
    /// The number of the first write that counts; none does before it is known.
    counts_from: AtomicUsize,
    /// Updates that have arrived at the readers, all readers together.
    arrived: AtomicU64,
    writing: AtomicBool,
    stop: watch::Sender<bool>,
}

/// A write that a client has learned of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// How long after it was sent.
    pub(super) after: Duration,
    /// Whether it was sent while it was measured.
    pub(super) counts: bool,
}

/// What the writer was answered.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) confirms_ms: Vec<f32>,
    pub(super) refused: u64,
    pub(super) refused_text: Option<String>,
}

impl Run {
    /// A run that has not begun.
    pub fn new(options: Options) -> Self {
        Self {
            key: format!("\"{}\"", options.key).into_bytes(),
            options,
            roster: Roster::default(),
            journal: Mutex::default(),
            counts_from: AtomicUsize::new(usize::MAX),
            arrived: AtomicU64::new(0),
            writing: AtomicBool::new(true),
            stop: watch::Sender::new(false),
        }
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing.load(Relaxed)
    }

    /// The message of a write that is sent now.
    pub(super) fn next_write(&self) -> String {
        let value = lock(&self.journal).note_write(Instant::now());
        format!("{{\"{}\":{value}}}", self.options.key)
    }

    /// What it means that `value` has just arrived at a client; `None` when no write explains it.
    pub(super) fn see(&self, follower: &mut Follower, value: usize) -> Option<Seen> {
        let journal = lock(&self.journal);
        let number = follower.see(value, &journal)?;
        let after = journal.time(number)?.elapsed();
        Some(Seen { after, counts: number >= self.counts_from.load(Relaxed) })
    }

    /// Notes that an update that counts has arrived at a reader.
    pub(super) fn note_arrival(&self) {
        self.arrived.fetch_add(1, Relaxed);
    }

    /// Runs to the end and reports. Takes the connection time, `warmup` + `seconds`, and what the last updates take.
    pub async fn measure(self: Arc<Self>) -> Report {
        let options = &self.options;
        let begun = Instant::now();
        let readers = self.start_readers().await;
        self.roster.wait_for(options.readers.into(), begun + CONNECT_LIMIT).await;
        let writer = tokio::spawn(Arc::clone(&self).run_writer());
        self.roster.wait_for(u64::from(options.readers) + 1, begun + 2 * CONNECT_LIMIT).await;
        sleep(Duration::from_secs_f64(options.warmup)).await;

        let first = lock(&self.journal).len();
        self.counts_from.store(first, Relaxed);
        let meter = Meter::start(&options.pids);
        sleep(Duration::from_secs_f64(options.seconds)).await;
        self.writing.store(false, Relaxed);
        let measured = meter.stop();
        let updates = lock(&self.journal).len() - first;

        self.wait_for_arrivals(updates as u64 * u64::from(options.readers)).await;
        self.stop.send_replace(true);
        let mut sum = Received::default();
        for reader in readers {
            sum.add(reader.await.unwrap_or_default());
        }
        self.report(updates, sum, writer.await.unwrap_or_default(), &measured)
    }

    /// Starts the readers one after the other.
    async fn start_readers(self: &Arc<Self>) -> Vec<JoinHandle<Received>> {
        let mut readers = Vec::new();
        for _ in 0..self.options.readers {
            readers.push(tokio::spawn(Arc::clone(self).run_reader()));
            sleep(Duration::from_millis(self.options.stagger_ms)).await;
        }
        readers
    }

    async fn run_reader(self: Arc<Self>) -> Received {
        let mut received = Received::default();
        self.until_stopped(client::read(&self, &mut received)).await;
        received
    }

    async fn run_writer(self: Arc<Self>) -> Answers {
        let mut answers = Answers::default();
        self.until_stopped(client::write(&self, &mut answers)).await;
        answers
    }

    async fn until_stopped(&self, client: impl Future<Output = Result<(), String>>) {
        let mut stop = self.stop.subscribe();
        let ended = tokio::select! {
            ended = client => ended,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        };
        if let Err(reason) = ended {
            self.roster.note_failure(reason);
        }
    }

    async fn wait_for_arrivals(&self, expected: u64) {
        let deadline = Instant::now() + LAST_WAIT;
        while self.arrived.load(Relaxed) < expected && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn report(&self, updates: usize, sum: Received, answers: Answers, measured: &Measured) -> Report {
        let options = &self.options;
        Report {
            label: options.label.clone(),
            readers: options.readers,
            writes: options.writes,
            seconds: rounded(measured.seconds),
            connected: self.roster.connected(),
            errors: self.roster.failed(),
            error_text: self.roster.failures(),
            updates,
            updates_per_s: rounded(updates as f64 / measured.seconds),
            received: sum.updates,
            lost: (updates as u64 * u64::from(options.readers)).saturating_sub(sum.updates),
            strange: sum.strange,
            refused: answers.refused,
            refused_text: answers.refused_text,
            message_bytes: rounded(sum.bytes as f64 / sum.messages.max(1) as f64),
            latency_ms: Spread::of(sum.latencies_ms),
            confirm_ms: Spread::of(answers.confirms_ms),
            server: Cost::new(measured, updates, sum.updates),
            client_cpu_pct: rounded(measured.own_pct),
            others_cpu_pct: rounded(measured.others_pct),
        }
    }
}
