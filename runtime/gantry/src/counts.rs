//! The counts of the gateway: one thread takes what the cameras' analyses have seen, and nothing is told before it is kept.
//!
//! ```text
//! analysis ─► Seen ─► record (fsync) ─► ledger ─► state, bus ─► rules (on_count) ─► effects ─┐
//!                                         ▲                     rules (on_tick), 1 a second ──┤
//!                                         └── events begin and end ◄─────────────────────────┘
//! ```
//!
//! After a kill the ledger is the last checkpoint and the crossings that were recorded after it.

mod effects;
mod keeper;
mod services;
mod worker;

use crate::records::Records;
use crate::tape::Tape;
use gantry_analysis::Seen;
use gantry_control::Control;
use gantry_core::Runtime;
use gantry_core::config::Config;
use gantry_counting::CorrectionRecord;
use gantry_script::{Done, Scripts};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker::Worker;

pub(crate) use effects::Marks;
pub(crate) use services::offer;

/// What strangers may make wait for the thread: things seen, and questions. What the thread itself has asked for is bounded
/// where it asks.
const WAITING: usize = 4096;

/// So many records wait for rules that no more are taken: what a rule would drop or keep back must not pass unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowded;

/// Takes what rules say about a record, once.
pub(crate) type Then = Box<dyn FnOnce(Result<Marks, Crowded>) + Send>;

/// How long another configuration may take to be in force.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the counts rest after a breakdown, which may come again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes an answer, once.
pub(crate) type Reply = Box<dyn FnOnce(Result<Value, String>) + Send>;

/// What the thread is told.
pub(crate) enum Order {
    /// An analysis has seen something.
    Seen(Seen),
    /// The record with this ticket is on the disk, or never will be.
    Recorded(u64, Option<gantry_store::Uuid>),
    /// The store has the letter of this number.
    Delivered(u64),
    /// The record of a face is on the disk, or never will be.
    Face(FaceRecorded),
    /// Rules have answered.
    Ruled(Done),
    /// Somebody corrects a count.
    Correct(CorrectionRecord, Reply),
    /// Somebody wants to know the counts.
    Read(Reply),
    /// Somebody wants to know the sums of the hours that are no records yet.
    Hours(Reply),
    /// Rules are to look at a record that comes.
    Record(&'static str, Value, Then),
    /// The configuration is another; tells when it is in force.
    Configure(Box<Config>, Sender<()>),
    /// Writes down what is left, and ends.
    Stop(Sender<()>),
}

impl Order {
    /// Whether it comes from strangers, of whom a number may wait.
    fn is_asked(&self) -> bool {
        use Order::{Correct, Hours, Read, Record, Seen};
        matches!(self, Seen(_) | Correct(..) | Read(_) | Hours(_) | Record(..))
    }
}

/// A face that was kept, or was not.
pub(crate) struct FaceRecorded {
    face_id: u64,
    camera: String,
    track: u64,
    time_ms: i64,
    record: Option<gantry_store::Uuid>,
}

/// What rules can cause beside events.
pub(crate) trait Acts: Send + Sync {
    /// Takes a snapshot; without a name with the first camera of the configuration.
    fn snapshot(&self, camera: Option<&str>);
}

/// What the thread works with.
pub(crate) struct Parts {
    pub(crate) runtime: Runtime,
    pub(crate) records: Arc<Records>,
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) control: Arc<Control>,
    pub(crate) acts: Arc<dyn Acts>,
    pub(crate) tape: Arc<Tape>,
    /// Tells the time, Unix time in milliseconds.
    pub(crate) clock: Box<dyn Fn() -> i64 + Send + Sync>,
    /// Whether a rule of that name is in force.
    pub(crate) has_rule: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

/// The thread `counts`.
pub(crate) struct Counts {
    orders: Sender<Order>,
    waiting: Arc<AtomicUsize>,
    scripts: Arc<Scripts>,
    tape: Arc<Tape>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Counts {
    /// Starts it with what was kept, for this configuration.
    pub(crate) fn start(parts: Parts, config: &Config) -> anyhow::Result<Self> {
        let (orders, received) = channel();
        let waiting = Arc::<AtomicUsize>::default();
        let parts = Arc::new(parts);
        let (scripts, tape) = (parts.scripts.clone(), parts.tape.clone());
        let mut worker = Worker::new(parts.clone(), orders.clone(), waiting.clone(), config);
        let (again, strangers) = (orders.clone(), waiting.clone());
        let thread = std::thread::Builder::new().name("counts".into()).spawn(move || {
            while catch_unwind(AssertUnwindSafe(|| worker.run(&received))).is_err() {
                tracing::error!(
                    "the counts broke down and begin again with what was kept: tell Gantry's developers"
                );
                metrics::counter!("gantry_counts_restarts_total").increment(1);
                std::thread::sleep(PAUSE);
                let config = worker.config().clone();
                worker = Worker::new(parts.clone(), again.clone(), strangers.clone(), &config);
            }
        })?;
        Ok(Self { orders, waiting, scripts, tape, thread: Mutex::new(Some(thread)) })
    }

    /// A way to tell the thread something. Never waits.
    pub(crate) fn post(&self) -> Post {
        Post {
            orders: self.orders.clone(),
            waiting: self.waiting.clone(),
            scripts: self.scripts.clone(),
            tape: self.tape.clone(),
            lost: Arc::default(),
        }
    }

    /// Takes over another configuration, and waits for that: plugins that start next find all counts in place.
    pub(crate) fn configure(&self, config: &Config) {
        let (done, waiting) = channel();
        if self.orders.send(Order::Configure(Box::new(config.clone()), done)).is_ok() {
            // A disk that stands still must not hold up everything else.
            let _ = waiting.recv_timeout(PATIENCE);
        }
    }

    /// Writes down what is left, and ends; what is not written by `deadline` is made from the records at the next start.
    pub(crate) fn stop(&self, deadline: Instant) {
        let (done, waiting) = channel();
        let told = self.orders.send(Order::Stop(done)).is_ok();
        if told && waiting.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err() {
            return tracing::warn!("the counts were not written down in time: look at the disk of state_dir");
        }
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// Tells the thread something, from any thread, without waiting.
#[derive(Clone)]
pub(crate) struct Post {
    orders: Sender<Order>,
    waiting: Arc<AtomicUsize>,
    scripts: Arc<Scripts>,
    tape: Arc<Tape>,
    lost: Arc<AtomicUsize>,
}

impl Post {
    /// What was seen.
    pub(crate) fn seen(&self, seen: Seen) {
        if let Err(Some(_)) = self.send(Order::Seen(seen)) {
            metrics::counter!("gantry_counts_lost_total").increment(1);
            if self.lost.fetch_add(1, Ordering::Relaxed).is_multiple_of(1000) {
                tracing::error!(
                    "counts are lost: the gateway does not keep up with what is seen: look at its load"
                );
            }
        }
    }

    /// Has rules look at a record; where nobody would, it does not wait for its turn.
    pub(crate) fn record(&self, hook: &'static str, more: Value, then: Then) {
        if !self.scripts.listens(hook) && !self.tape.is_heard() {
            return then(Ok(Marks::default()));
        }
        if let Err(Some(Order::Record(_, _, then))) = self.send(Order::Record(hook, more, then)) {
            then(Err(Crowded));
        }
    }

    fn ask(&self, order: Order) {
        if let Err(Some(Order::Correct(_, reply) | Order::Read(reply) | Order::Hours(reply))) =
            self.send(order)
        {
            reply(Err("the counts are busy: try again in a moment".to_owned()));
        }
    }

    /// Gives back what finds no room, for somebody to answer; nothing of what is seen when the gateway ends.
    fn send(&self, order: Order) -> Result<(), Option<Order>> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Some(order));
        }
        self.orders.send(order).map_err(|error| match error.0 {
            Order::Seen(_) => None,
            asked => Some(asked),
        })
    }
}
