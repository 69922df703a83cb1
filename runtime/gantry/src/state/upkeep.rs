//! The thread that writes down what has changed: it waits for the disk, so that nobody else has to.

use super::journal::Audit;
use super::kept::KeptState;
use super::services::Door;
use crate::clock::unix_ms;
use crate::records::Records;
use bytes::Bytes;
use gantry_control::Control;
use gantry_core::Runtime;
use gantry_core::health::Level;
use gantry_script::Scripts;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long what has changed may be in memory only.
const PERIOD: Duration = Duration::from_millis(200);
/// The audit and what rules remember are written every so many periods.
const AUDIT: u32 = 5;

enum Wake {
    AccessChanged,
    Stop,
}

/// The thread. Ends with [`stop`](Self::stop).
pub(crate) struct Upkeep {
    wake: Sender<Wake>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Worker {
    runtime: Runtime,
    control: Arc<Control>,
    door: Arc<Door>,
    records: Arc<Records>,
    scripts: Arc<Scripts>,
    kept: KeptState,
    name: Arc<str>,
}

impl Upkeep {
    pub(crate) fn start(
        runtime: &Runtime,
        control: &Arc<Control>,
        door: &Arc<Door>,
        records: &Arc<Records>,
        scripts: &Arc<Scripts>,
        kept: KeptState,
    ) -> std::io::Result<Self> {
        let (wake, woken) = channel();
        let mut worker = Worker {
            runtime: runtime.clone(),
            control: control.clone(),
            door: door.clone(),
            records: records.clone(),
            scripts: scripts.clone(),
            kept,
            name: "upkeep".into(),
        };
        let thread = std::thread::Builder::new().name("upkeep".into()).spawn(move || {
            for period in 1.. {
                match woken.recv_timeout(PERIOD) {
                    Ok(Wake::AccessChanged) => worker.access_changed(),
                    Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {}
                }
                worker.work(period % AUDIT == 0);
            }
            worker.work(true);
            worker.last();
            worker.door.access.save_all();
        })?;
        Ok(Self { wake, thread: Mutex::new(Some(thread)) })
    }

    /// Has the plugins look again at what their clients may do.
    pub(crate) fn tell_access_changed(&self) {
        // It fails only after the end.
        let _ = self.wake.send(Wake::AccessChanged);
    }

    /// Writes down what is left, and ends.
    pub(crate) fn stop(&self) {
        let _ = self.wake.send(Wake::Stop);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn work(&mut self, with_audit: bool) {
        let kept = self.kept.save_observables(self.control.kept());
        let kept = kept.and_then(|()| if with_audit { self.kept.save_rules(&self.scripts) } else { Ok(()) });
        if let Err(error) = kept {
            let message = format!("the state cannot be kept: {error}: look at the disk of state_dir");
            if self.runtime.health.report("state", Level::Degraded, message.clone()) {
                tracing::error!("{message}");
            }
        } else if with_audit {
            // All of it was written: what is written less often is not well because the rest is.
            self.runtime.health.forget("state");
        }
        let now = unix_ms();
        self.door.access.save_if_dirty(now);
        if self.door.access.reload_if_changed(now) {
            self.access_changed();
        }
        if with_audit {
            self.audit(&self.door.audit);
        }
    }

    fn last(&mut self) {
        if let Err(error) = self.kept.save_rules_last(&self.scripts) {
            tracing::error!("what rules remember cannot be kept: {error}: look at the disk of state_dir");
        }
    }

    fn access_changed(&self) {
        // It is refused only if it were too large.
        let _ = self.runtime.bus.publish(&self.name, "access/changed", Bytes::from_static(b"{}"));
    }

    fn audit(&self, audit: &Audit) {
        for entry in audit.take() {
            self.records.note("audit", entry);
        }
    }
}
