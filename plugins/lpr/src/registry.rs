//! Which cameras there are, and the numbers of the statistics.

use crate::answer::Receipt;
use crate::clock::{Days, stamp};
use crate::message::{Kind, id_text};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A camera and its checkpoint, as text: the same camera may call itself `1` and `"1"`.
pub type Name = (String, String);

/// A camera's name.
#[must_use]
pub fn name(camera: &Value, checkpoint: &Value) -> Name {
    (id_text(camera), id_text(checkpoint))
}

#[derive(Debug)]
struct Camera {
    /// As it wrote its ids last.
    camera: Value,
    checkpoint: Value,
    registered_at: Timestamp,
    last_seen: Timestamp,
    detections: u64,
    health: Option<String>,
    /// There is a record of it.
    recorded: bool,
    /// Detections that were made after the mark.
    since: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    total: u64,
    today: u64,
}

/// Days of which it is known what they counted: one that a wrong clock interrupted goes on when the clock comes back.
const DAYS: usize = 8;

/// Everything that is known without asking the store.
#[derive(Debug)]
pub struct Registry {
    days: Days,
    max: usize,
    active: SignedDuration,
    cameras: BTreeMap<Name, Camera>,
    detections: Count,
    health: Count,
    /// The day of `today`.
    day: Date,
    /// What other days counted of detections and health, the last one last.
    other_days: Vec<(Date, u64, u64)>,
    /// When the last record was made, or else when this began.
    updated: Option<Timestamp>,
    began: Timestamp,
    mark: Mark,
    /// The newest time that a record has.
    latest: Timestamp,
}

/// What has a time that is so much later than now was recorded by a clock that was ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);
/// What times of records are told apart by.
const ONE: SignedDuration = SignedDuration::from_millis(1);

/// From here on everything is counted apart: how many there were before can be asked of the store, which forgets what is old.
#[derive(Debug, Default)]
struct Mark {
    at: Timestamp,
    day: Date,
    detections: Count,
    health: Count,
}

impl Registry {
    /// Knows nobody. Keeps at most `max` cameras; one that was heard within `active` is active.
    #[must_use]
    pub fn new(days: Days, max: usize, active: SignedDuration, now: Timestamp) -> Self {
        let (day, count) = (days.day(now), Count::default());
        Self {
            days,
            max,
            active,
            cameras: BTreeMap::new(),
            detections: count,
            health: count,
            day,
            other_days: Vec::new(),
            updated: None,
            began: now,
            mark: Mark { at: now, day, ..Mark::default() },
            latest: now,
        }
    }

    /// Counts apart from now on what is made.
    pub fn set_mark(&mut self, now: Timestamp) {
        self.turn_day(now);
        // Whatever a clock that was ahead has recorded was before.
        let is_ahead = self.latest.duration_since(now) > AHEAD;
        let after = self.latest.saturating_add(ONE).unwrap_or(now);
        let at = if is_ahead { after } else { now };
        self.mark = Mark { at, day: self.day, ..Mark::default() };
        self.cameras.values_mut().for_each(|camera| camera.since = 0);
    }

    /// A record has this time. Tells whether it is of a clock that was ahead of `now`.
    pub fn has_time(&mut self, at: Timestamp, now: Timestamp) -> bool {
        self.latest = self.latest.max(at);
        at.duration_since(now) > AHEAD
    }

    /// The moment of the mark.
    #[must_use]
    pub fn mark(&self) -> Timestamp {
        self.mark.at
    }

    /// The store has so many from before the mark, and so many of those of the mark's day. Tells whether that is less than was
    /// known: records were removed.
    pub fn recounted(&mut self, kind: Kind, total: u64, today: u64) -> bool {
        let since = match kind {
            Kind::Detection => self.mark.detections,
            Kind::Health => self.mark.health,
            Kind::Camera => return false,
        };
        let same_day = self.mark.day == self.day;
        let Some(count) = self.count(kind) else { return false };
        let is_less = total + since.total < count.total;
        count.total = total + since.total;
        if same_day {
            count.today = today + since.today;
        }
        is_less
    }

    /// The same of one camera's detections.
    pub fn recounted_camera(&mut self, name: &Name, detections: u64) {
        if let Some(known) = self.cameras.get_mut(name) {
            known.detections = detections + known.since;
        }
    }

    fn count(&mut self, kind: Kind) -> Option<&mut Count> {
        match kind {
            Kind::Detection => Some(&mut self.detections),
            Kind::Health => Some(&mut self.health),
            Kind::Camera => None,
        }
    }

    fn turn_day(&mut self, now: Timestamp) {
        let day = self.days.day(now);
        if day == self.day {
            return;
        }
        if self.other_days.len() == DAYS {
            self.other_days.remove(0);
        }
        self.other_days.push((self.day, self.detections.today, self.health.today));
        let known = self.other_days.iter().position(|(known, ..)| *known == day);
        let (_, detections, health) = known.map_or((day, 0, 0), |known| self.other_days.remove(known));
        (self.day, self.detections.today, self.health.today) = (day, detections, health);
    }

    /// When the day of `now` began.
    #[must_use]
    pub fn day_begin(&self, now: Timestamp) -> Timestamp {
        self.days.begin(now)
    }

    /// There was a record of a camera from before this instance.
    pub fn recorded(&mut self, camera: &Value, checkpoint: &Value, at: Timestamp) {
        if let Some(known) = self.camera(camera, checkpoint, at) {
            known.recorded = true;
            known.registered_at = known.registered_at.min(at);
        }
    }

    /// When the newest record from before this instance was made.
    pub fn updated_earlier(&mut self, at: Timestamp) {
        self.updated = self.updated.max(Some(at));
    }

    /// There were this many records from before this instance, so many of them on the day of `asked`.
    pub fn add_earlier(&mut self, kind: Kind, total: u64, today: u64, asked: Timestamp, now: Timestamp) {
        self.turn_day(now);
        let same_day = self.days.day(asked) == self.day;
        if let Some(count) = self.count(kind) {
            count.total += total;
            count.today += if same_day { today } else { 0 };
        }
    }

    /// The same of one camera; when it was last heard of and what it said about its health.
    pub fn add_camera(
        &mut self,
        name: &Name,
        detections: u64,
        seen: Option<Timestamp>,
        health: Option<&str>,
    ) {
        let Some(known) = self.cameras.get_mut(name) else { return };
        known.detections += detections;
        known.last_seen = known.last_seen.max(seen.unwrap_or(known.last_seen));
        // What it has said meanwhile is newer.
        known.health = known.health.take().or_else(|| health.map(str::to_owned));
    }

    /// The names of all cameras.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        self.cameras.keys().cloned().collect()
    }

    /// A message was kept (`new`), or was there before or not wanted. Answers whether a record of its camera is to be made.
    pub fn kept(&mut self, receipt: &Receipt, new: bool, now: Timestamp) -> bool {
        self.kept_of(receipt, new, now, now)
    }

    /// The same of a message whose record was made at `made`.
    pub fn kept_of(&mut self, receipt: &Receipt, new: bool, made: Timestamp, now: Timestamp) -> bool {
        self.turn_day(now);
        let is_after = new && made.as_millisecond() >= self.mark.at.as_millisecond();
        let is_of_its_day = is_after && self.days.day(made) == self.mark.day;
        let since = match receipt.kind {
            Kind::Detection => Some(&mut self.mark.detections),
            Kind::Health => Some(&mut self.mark.health),
            Kind::Camera => None,
        };
        if let Some(since) = since {
            since.total += u64::from(is_after);
            since.today += u64::from(is_of_its_day);
        }
        if new {
            self.latest = self.latest.max(made);
            self.updated = Some(now);
            if let Some(count) = self.count(receipt.kind) {
                count.total += 1;
                count.today += 1;
            }
        }
        let Some(known) = self.camera(&receipt.camera, &receipt.checkpoint, now) else { return false };
        // Also when the clock was ahead before.
        known.last_seen = now;
        if new && receipt.kind == Kind::Detection {
            known.detections += 1;
            known.since += u64::from(is_after);
        }
        if let Some(status) = &receipt.status {
            known.health = Some(status.chars().take(64).collect());
        }
        known.recorded |= receipt.kind == Kind::Camera;
        !std::mem::replace(&mut known.recorded, true)
    }

    /// That could not be done: try again with its next message.
    pub fn not_recorded(&mut self, camera: &Value, checkpoint: &Value) {
        if let Some(known) = self.cameras.get_mut(&name(camera, checkpoint)) {
            known.recorded = false;
        }
    }

    /// The ids of a camera as it wrote them last.
    #[must_use]
    pub fn ids(&self, name: &Name) -> Option<(Value, Value)> {
        self.cameras.get(name).map(|known| (known.camera.clone(), known.checkpoint.clone()))
    }

    fn camera(&mut self, camera: &Value, checkpoint: &Value, now: Timestamp) -> Option<&mut Camera> {
        let name = name(camera, checkpoint);
        // A list of names must not become somebody's memory.
        let fits = name.0.len() + name.1.len() <= 512;
        if !self.cameras.contains_key(&name) && (self.cameras.len() >= self.max || !fits) {
            return None;
        }
        let known = self.cameras.entry(name).or_insert_with(|| Camera {
            camera: Value::Null,
            checkpoint: Value::Null,
            registered_at: now,
            last_seen: now,
            detections: 0,
            health: None,
            recorded: false,
            since: 0,
        });
        (known.camera, known.checkpoint) = (camera.clone(), checkpoint.clone());
        Some(known)
    }

    fn is_active(&self, camera: &Camera, now: Timestamp) -> bool {
        // One that was heard of in the future was heard of by a clock that was ahead: nobody knows when.
        now.duration_since(camera.last_seen).abs() < self.active
    }

    /// The `data` of `GET /api/statistics`.
    #[must_use]
    pub fn statistics(&mut self, clients: usize, now: Timestamp) -> Value {
        self.turn_day(now);
        let unique: BTreeSet<_> = self.cameras.keys().map(|(camera, _)| camera).collect();
        json!({
            "total_detections": self.detections.total,
            "today_detections": self.detections.today,
            "total_health_checks": self.health.total,
            "today_health_checks": self.health.today,
            "total_cameras": self.cameras.len(),
            "unique_cameras": unique.len(),
            "active_cameras": self.cameras.values().filter(|camera| self.is_active(camera, now)).count(),
            "connected_clients": clients,
            "last_update": stamp(self.updated.unwrap_or(self.began)),
            "server_status": "running",
        })
    }

    /// The `cameras` of `GET /api/cameras`.
    #[must_use]
    pub fn cameras(&self, now: Timestamp) -> Vec<Value> {
        let row = |camera: &Camera| {
            json!({
                "camera_id": camera.camera,
                "checkpoint_id": camera.checkpoint,
                "registered_at": stamp(camera.registered_at),
                "last_seen": stamp(camera.last_seen),
                "status": if self.is_active(camera, now) { "online" } else { "offline" },
                "detection_count": camera.detections,
                "health_status": camera.health.as_deref().unwrap_or("unknown"),
            })
        };
        self.cameras.values().map(row).collect()
    }
}

#[cfg(test)]
mod tests;
