//! Where messages of all ways in come together: kept, counted, and told to others, in this order.

use crate::answer::{Receipt, Room};
use crate::clock::stamp;
use crate::json;
use crate::key::Grant;
use crate::message::{Entry, Kind};
use crate::record::{APPEND, Failure, Kept, Record, kept};
use crate::registry::Registry;
use bytes::Bytes;
use gantry_plugin::calls::Calls;
use gantry_plugin::{Health, Host, Metric, debug};
use gantry_serve::socketio::{Group, Message};
use jiff::Timestamp;
use serde_json::Map;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Bytes beside calls that wait for an answer, in KiB. The border takes 64 MiB.
const ON_THE_BORDER: u32 = 48 << 10;
/// What a call takes of it at least: the border takes 1024 calls.
const LEAST: u32 = 64;
/// A trouble that no message has met for so long is over: whoever was refused may have gone.
const FADES: Duration = Duration::from_secs(60);
/// What a value in memory costs beside its text.
const VALUE_BYTES: usize = 160;

/// A message that only has to be kept.
pub(crate) struct Prepared {
    receipt: Receipt,
    record: Record,
    made: Timestamp,
    /// Its share of what may be on its way to the store.
    _share: OwnedSemaphorePermit,
}

/// A message that was kept.
pub(crate) struct Done {
    pub(crate) receipt: Receipt,
    pub(crate) id: String,
    pub(crate) at: String,
}

struct Meters {
    detections: Metric,
    health: Metric,
    known: Metric,
    refused: Metric,
}

/// See the module.
pub(crate) struct Desk {
    host: Host,
    calls: Arc<Calls>,
    registry: Mutex<Registry>,
    pending: Arc<Semaphore>,
    /// All of `pending`, in KiB.
    most: u32,
    border: Semaphore,
    dashboard: Group,
    health: Group,
    meters: Meters,
    listening: String,
    trouble: Mutex<Trouble>,
    /// Somebody has looked at the numbers.
    looked: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes >> 10).unwrap_or(u32::MAX).saturating_add(1)
}

impl Desk {
    pub(crate) fn new(
        host: Host,
        calls: Arc<Calls>,
        registry: Registry,
        pending_bytes: usize,
        listening: String,
    ) -> Arc<Self> {
        let meters = Meters {
            detections: host.counter("detections", "Detections stored"),
            health: host.counter("health_checks", "Health checks stored"),
            known: host
                .counter("repeated_messages", "Messages that were stored before or not wanted by rules"),
            refused: host.counter("refused_records", "Messages that could not be stored; their senders know"),
        };
        let most = kib(pending_bytes);
        Arc::new(Self {
            host,
            calls,
            registry: Mutex::new(registry),
            pending: Arc::new(Semaphore::new(most as usize)),
            most,
            border: Semaphore::new(ON_THE_BORDER as usize),
            dashboard: Group::default(),
            health: Group::default(),
            meters,
            listening,
            trouble: Mutex::default(),
            looked: Notify::new(),
        })
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        lock(&self.registry)
    }

    /// Somebody looks at the numbers: they are to be right.
    pub(crate) fn look(&self) {
        self.looked.notify_one();
    }

    /// Waits until somebody has looked.
    pub(crate) async fn looked(&self) {
        self.looked.notified().await;
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(crate) fn room(&self, room: Room) -> &Group {
        match room {
            Room::Dashboard => &self.dashboard,
            Room::Health => &self.health,
        }
    }

    /// Makes a record of a message with `bytes` of text, unless the sender may not or too many are on their way.
    pub(crate) fn prepare(
        &self,
        entry: Entry,
        attachments: &[Bytes],
        bytes: usize,
        grant: &Grant,
    ) -> Result<Prepared, Failure> {
        grant.sends_as(&entry.camera).map_err(|denied| Failure::Denied(denied.message()))?;
        let attached: usize = attachments.iter().map(Bytes::len).sum();
        let costs = bytes + attached + json::values(&entry.body) * VALUE_BYTES;
        // One that alone is more than may be there is taken when there is no other.
        let share = self.pending.clone().try_acquire_many_owned(kib(costs).min(self.most));
        let share = share.map_err(|_| {
            self.meters.refused.record(1.0);
            Failure::Busy("too much is being stored".to_owned())
        })?;
        let receipt = Receipt::new(&entry);
        let made = Timestamp::now();
        let record = Record::new(entry, attachments, made.as_millisecond())?;
        Ok(Prepared { receipt, record, made, _share: share })
    }

    /// Keeps it. Whoever asks again after a failure gets the first id, should it have been kept all the same.
    pub(crate) async fn keep(self: &Arc<Self>, prepared: Prepared) -> Result<Done, Failure> {
        let Prepared { receipt, record, made, _share } = prepared;
        let kept = match self.append(&record).await {
            Ok(kept) => kept,
            Err(failure) => {
                self.meters.refused.record(1.0);
                return Err(failure);
            }
        };
        drop(record);
        let now = Timestamp::now();
        self.count(&receipt, &kept);
        let record_camera = self.registry().kept_of(&receipt, !kept.known, made, now);
        if record_camera {
            let (desk, receipt) = (self.clone(), receipt.clone());
            tokio::spawn(async move { desk.record_camera(&receipt).await });
        }
        let at = stamp(now);
        if !kept.known || receipt.kind == Kind::Camera {
            let (room, event, notice) = receipt.clone().notice(&kept.id, &at);
            let room = self.room(room);
            if !room.is_empty() {
                room.send(&Arc::new(Message::event(event, &notice)));
            }
        }
        Ok(Done { receipt, id: kept.id, at })
    }

    fn count(&self, receipt: &Receipt, kept: &Kept) {
        match receipt.kind {
            _ if kept.known => self.meters.known.record(1.0),
            Kind::Detection => self.meters.detections.record(1.0),
            Kind::Health => self.meters.health.record(1.0),
            Kind::Camera => {}
        }
    }

    async fn append(&self, record: &Record) -> Result<Kept, Failure> {
        let room = kib(record.bytes()).clamp(LEAST, ON_THE_BORDER);
        // It is never closed.
        let _room = self.border.acquire_many(room).await.ok();
        let blobs: Vec<&[u8]> = record.blobs.iter().map(|blob| &blob.bytes[..]).collect();
        let kept = kept(self.calls.ask_with(APPEND, &record.request, &blobs).await);
        match &kept {
            Ok(_) => self.report(|trouble| trouble.is_over()),
            Err(failure @ (Failure::Full(_) | Failure::Busy(_))) => {
                self.report(|trouble| trouble.is(failure.to_string(), Instant::now()));
            }
            Err(_) => {}
        }
        kept
    }

    /// A camera that sends without registering is to be known after a restart as well. Nobody was promised that, so a
    /// failure waits for its next message.
    async fn record_camera(&self, receipt: &Receipt) {
        let mut body = Map::new();
        body.insert("camera_id".to_owned(), receipt.camera.clone());
        body.insert("checkpoint_id".to_owned(), receipt.checkpoint.clone());
        let record = Entry::new(Kind::Camera, body)
            .and_then(|entry| Record::new(entry, &[], Timestamp::now().as_millisecond()));
        let Ok(record) = record else { return };
        if let Err(failure) = self.append(&record).await {
            debug!(self.host, "a camera was not recorded: {failure}");
            self.registry().not_recorded(&receipt.camera, &receipt.checkpoint);
        }
    }

    /// To be called every second or so: what nobody has run into for a while is no trouble any more.
    pub(crate) fn calm(&self, now: Instant) {
        self.report(|trouble| trouble.fades(now));
    }

    /// Says how it does, when that has changed.
    fn report(&self, note: impl FnOnce(&mut Trouble) -> bool) {
        let mut trouble = lock(&self.trouble);
        if !note(&mut trouble) {
            return;
        }
        let last = trouble.0.as_ref().map(|(why, _)| why.clone());
        drop(trouble);
        match last {
            None => self.host.health(Health::Ok, &self.listening),
            Some(why) => {
                let text = format!("{}, but messages are refused: {why}", self.listening);
                self.host.health(Health::Degraded, &text);
            }
        }
    }
}

/// Why messages are refused, and when the last one was. What changes it tells whether there is something new to say.
#[derive(Default)]
struct Trouble(Option<(String, Instant)>);

impl Trouble {
    fn is(&mut self, why: String, now: Instant) -> bool {
        let is_new = self.0.as_ref().is_none_or(|(known, _)| *known != why);
        self.0 = Some((why, now));
        is_new
    }

    fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }

    fn fades(&mut self, now: Instant) -> bool {
        let is_old = self.0.as_ref().is_some_and(|(_, last)| now.saturating_duration_since(*last) >= FADES);
        is_old && self.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_over_when_a_message_is_kept_or_none_was_refused_for_a_minute() {
        let begin = Instant::now();
        let mut trouble = Trouble::default();
        let second = |n| begin + Duration::from_secs(n);
        assert!(!trouble.fades(second(100)), "there is none");
        assert!(trouble.is("no room".to_owned(), begin));
        assert!(!trouble.is("no room".to_owned(), second(30)), "it is said once");
        assert!(!trouble.fades(second(60)) && !trouble.fades(second(89)));
        assert!(trouble.fades(second(90)) && !trouble.fades(second(91)));
        assert!(trouble.is("no room".to_owned(), second(92)) && trouble.is("busy".to_owned(), second(93)));
        assert!(trouble.is_over() && !trouble.is_over());
    }
}
