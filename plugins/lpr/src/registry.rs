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
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    total: u64,
    today: u64,
}

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
    /// When the last record was made, or else when this began.
    updated: Option<Timestamp>,
    began: Timestamp,
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
            updated: None,
            began: now,
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
        if day != self.day {
            (self.day, self.detections.today, self.health.today) = (day, 0, 0);
        }
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
        self.turn_day(now);
        if new {
            self.updated = Some(now);
            if let Some(count) = self.count(receipt.kind) {
                count.total += 1;
                count.today += 1;
            }
        }
        let Some(known) = self.camera(&receipt.camera, &receipt.checkpoint, now) else { return false };
        known.last_seen = known.last_seen.max(now);
        if new && receipt.kind == Kind::Detection {
            known.detections += 1;
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
        });
        (known.camera, known.checkpoint) = (camera.clone(), checkpoint.clone());
        Some(known)
    }

    fn is_active(&self, camera: &Camera, now: Timestamp) -> bool {
        now.duration_since(camera.last_seen) < self.active
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
mod tests {
    use super::{Registry, name};
    use crate::answer::Receipt;
    use crate::clock::Days;
    use crate::message::{Entry, Kind, object};
    use jiff::{SignedDuration, Timestamp, ToSpan as _};
    use serde_json::{Value, json};

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn registry(max: usize) -> Registry {
        Registry::new(Days::of(Some("UTC")).unwrap(), max, SignedDuration::from_mins(5), now())
    }

    fn receipt(kind: Kind, camera: Value, time: &str) -> Receipt {
        let body = json!({"type": "x", "camera_id": camera, "checkpoint_id": "c", "timestamp": time, "component": "c",
            "status": "healthy"});
        Receipt::new(&Entry::new(kind, object(body.to_string().as_bytes()).unwrap()).unwrap())
    }

    #[test]
    fn what_is_kept_is_counted_once_whatever_time_it_says() {
        let mut registry = registry(10);
        for time in ["2024-12-19T10:00:00Z", "yesterday", ""] {
            registry.kept(&receipt(Kind::Detection, json!("1"), time), true, now());
        }
        registry.kept(&receipt(Kind::Detection, json!("1"), "t"), false, now());
        registry.kept(&receipt(Kind::Health, json!("1"), "t"), true, now());
        let statistics = registry.statistics(2, now());
        let expected = json!({"total_detections": 3, "today_detections": 3, "total_health_checks": 1,
            "today_health_checks": 1, "total_cameras": 1, "unique_cameras": 1, "active_cameras": 1,
            "connected_clients": 2, "last_update": "2026-11-21T10:00:00.000Z", "server_status": "running"});
        assert_eq!(statistics.to_string(), expected.to_string());
        let camera = &registry.cameras(now())[0];
        assert_eq!((&camera["detection_count"], &camera["health_status"]), (&json!(3), &json!("healthy")));
    }

    #[test]
    fn a_new_day_begins_with_nothing_and_a_silent_camera_is_offline() {
        let mut registry = registry(10);
        registry.kept(&receipt(Kind::Detection, json!(1), "t"), true, now());
        let later = now() + 15.hours();
        let statistics = registry.statistics(0, later);
        assert_eq!(
            (&statistics["total_detections"], &statistics["today_detections"]),
            (&json!(1), &json!(0))
        );
        assert_eq!(statistics["active_cameras"], 0);
        assert_eq!(registry.cameras(later)[0]["status"], "offline");
        registry.add_earlier(Kind::Detection, 10, 4, now(), later);
        assert_eq!(registry.statistics(0, later)["today_detections"], 0, "those were of the day before");
        registry.add_earlier(Kind::Health, 10, 4, later, later);
        assert_eq!(registry.statistics(0, later)["today_health_checks"], 4);
    }

    #[test]
    fn a_camera_that_sends_without_registering_is_to_be_recorded_once() {
        let mut registry = registry(10);
        assert!(registry.kept(&receipt(Kind::Detection, json!(1), "t"), true, now()));
        assert!(!registry.kept(&receipt(Kind::Health, json!(1), "t"), true, now()));
        registry.not_recorded(&json!(1), &json!("c"));
        assert!(registry.kept(&receipt(Kind::Detection, json!("1"), "t"), true, now()));
        assert!(!registry.kept(&receipt(Kind::Camera, json!(2), "t"), true, now()), "it is one itself");
    }

    #[test]
    fn what_was_before_is_added_to_what_came_meanwhile() {
        let mut registry = registry(10);
        registry.kept(&receipt(Kind::Health, json!("1"), "t"), true, now());
        let (early, earlier) = (now() - 48.hours(), now() - 24.hours());
        registry.updated_earlier(early);
        assert_eq!(registry.statistics(0, now())["last_update"], "2026-11-21T10:00:00.000Z");
        registry.recorded(&json!("1"), &json!("c"), early);
        registry.recorded(&json!("2"), &json!("c"), early);
        registry.add_camera(&name(&json!("1"), &json!("c")), 7, Some(earlier), Some("error"));
        registry.add_camera(&name(&json!("2"), &json!("c")), 1, Some(earlier), Some("warning"));
        let cameras = registry.cameras(now());
        assert_eq!(cameras[0]["registered_at"], "2026-11-19T10:00:00.000Z");
        assert_eq!(
            (&cameras[0]["last_seen"], &cameras[0]["health_status"]),
            (&json!("2026-11-21T10:00:00.000Z"), &json!("healthy"))
        );
        let second = json!({"camera_id": "2", "checkpoint_id": "c", "registered_at": "2026-11-19T10:00:00.000Z",
            "last_seen": "2026-11-20T10:00:00.000Z", "status": "offline", "detection_count": 1, "health_status": "warning"});
        assert_eq!(cameras[1].to_string(), second.to_string());
    }

    #[test]
    fn cameras_are_bounded_and_the_same_id_of_another_type_is_the_same_camera() {
        let mut registry = registry(2);
        for camera in [json!(1), json!("1"), json!(2), json!(3), json!("x".repeat(2000))] {
            registry.kept(&receipt(Kind::Detection, camera, "t"), true, now());
        }
        let statistics = registry.statistics(0, now());
        assert_eq!((&statistics["total_cameras"], &statistics["total_detections"]), (&json!(2), &json!(5)));
        assert_eq!(registry.cameras(now())[0]["camera_id"], "1", "as it wrote it last");
    }
}
