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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use worker::Worker;

pub(crate) use services::offer;

/// What strangers may make wait for the thread: things seen, and questions. What the thread itself has asked for is bounded
/// where it asks.
const WAITING: usize = 16_384;

/// Takes an answer, once.
pub(crate) type Reply = Box<dyn FnOnce(Result<Value, String>) + Send>;

/// What the thread is told.
pub(crate) enum Order {
    /// An analysis has seen something.
    Seen(Seen),
    /// The record with this ticket is on the disk, or never will be.
    Recorded(u64, Option<gantry_store::Uuid>),
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
    /// The configuration is another.
    Configure(Box<Config>),
    /// Writes down what is left, and ends.
    Stop(Sender<()>),
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
    /// Whether a rule of that name is in force.
    pub(crate) has_rule: Box<dyn Fn(&str) -> bool + Send>,
}

/// The thread `counts`.
pub(crate) struct Counts {
    orders: Sender<Order>,
    waiting: Arc<AtomicUsize>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Counts {
    /// Starts it with what was kept, for this configuration.
    pub(crate) fn start(parts: Parts, config: &Config) -> anyhow::Result<Self> {
        let (orders, received) = channel();
        let waiting = Arc::<AtomicUsize>::default();
        let mut worker = Worker::new(parts, orders.clone(), waiting.clone(), config);
        let thread =
            std::thread::Builder::new().name("counts".into()).spawn(move || worker.run(&received))?;
        Ok(Self { orders, waiting, thread: Mutex::new(Some(thread)) })
    }

    /// A way to tell the thread something. Never waits.
    pub(crate) fn post(&self) -> Post {
        Post { orders: self.orders.clone(), waiting: self.waiting.clone() }
    }

    /// Takes over another configuration.
    pub(crate) fn configure(&self, config: &Config) {
        let _ = self.orders.send(Order::Configure(Box::new(config.clone())));
    }

    /// Writes down what is left, and ends.
    pub(crate) fn stop(&self) {
        let (done, waiting) = channel();
        if self.orders.send(Order::Stop(done)).is_ok() {
            let _ = waiting.recv();
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
}

impl Post {
    /// What was seen.
    pub(crate) fn seen(&self, seen: Seen) {
        if let Err(Some(_)) = self.send(Order::Seen(seen)) {
            metrics::counter!("gantry_counts_lost_total").increment(1);
            tracing::error!(
                "counts are lost: the gateway does not keep up with what is seen: look at its load"
            );
        }
    }

    fn ask(&self, order: Order) {
        if let Err(Some(Order::Correct(_, reply) | Order::Read(reply) | Order::Hours(reply))) =
            self.send(order)
        {
            reply(Err("the counts are busy: try again in a moment".to_owned()));
        }
    }

    /// Gives back what finds no room; nothing when the thread has ended, and with it everything that waited.
    fn send(&self, order: Order) -> Result<(), Option<Order>> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Some(order));
        }
        self.orders.send(order).map_err(|error| Some(error.0))
    }
}
