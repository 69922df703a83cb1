//! What there was before: the cameras and the counts, read from the records once; and counting again, because what is old is
//! removed from them.

use crate::desk::Desk;
use crate::message::Kind;
use crate::registry::Name;
use gantry_plugin::{Host, debug};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records of a page.
const PAGE: u64 = 1000;
/// How long between two attempts, at first and at last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// How long until the first count, and from one to the next at least: longer than a message can be on its way to the store,
/// so that each is counted once.
const RECOUNT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// How often each camera is counted again, which reads the records.
const RECOUNT_CAMERAS: Duration = Duration::from_secs(3600);
/// Of more, each is counted at the start only: each count looks at all records.
const FEW_CAMERAS: usize = 16;

/// Reads everything that was kept before `began`. What comes later is counted as it comes.
pub(crate) async fn load(host: Host, desk: Arc<Desk>, began: Timestamp) {
    let mut loading = Loading { host, desk, began, until: began };
    loading.look_ahead().await;
    for kind in [Kind::Detection, Kind::Health] {
        let (total, today) = loading.counts(kind, loading.until).await;
        loading.desk.registry().add_earlier(kind, total, today, began, Timestamp::now());
        if let Some(newest) = loading.newest(kind, &json!([])).await.as_ref().and_then(time) {
            loading.desk.registry().updated_earlier(newest);
        }
    }
    loading.cameras().await;
    let names = loading.desk.registry().names();
    for name in names {
        loading.camera(&name).await;
    }
    loading.recount().await;
}

struct Loading {
    host: Host,
    desk: Arc<Desk>,
    began: Timestamp,
    /// What was before has times before this. It is itself not among them.
    until: Timestamp,
}

impl Loading {
    /// Asks until there is an answer.
    async fn ask(&self, service: &str, request: Value) -> Value {
        let mut pause = PAUSES.0;
        loop {
            match self.desk.calls().ask(service, &request).await {
                Ok(reply) if reply.get("refused").is_none() => return reply,
                Ok(reply) => debug!(self.host, "`{service}` refuses: {}", reply["message"]),
                Err(error) => debug!(self.host, "the statistics wait: {error}"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Records of a clock that was ahead were before as well, whatever their times are.
    async fn look_ahead(&mut self) {
        let mut is_ahead = false;
        for kind in [Kind::Detection, Kind::Health] {
            let request =
                json!({"collection": kind.collection(), "order": "newest", "by": "time", "limit": 1});
            let newest = self.ask("records.query", request).await;
            if let Some(at) = newest["records"].get(0).and_then(time) {
                is_ahead |= self.desk.registry().has_time(at, Timestamp::now());
            }
        }
        if is_ahead {
            let mut registry = self.desk.registry();
            registry.set_mark(Timestamp::now());
            self.until = registry.mark();
        }
    }

    fn about(&self, kind: Kind, fields: &Value) -> Value {
        json!({"collection": kind.collection(), "to_ms": self.until.as_millisecond(), "fields": fields})
    }

    async fn newest(&self, kind: Kind, fields: &Value) -> Option<Value> {
        let mut request = self.about(kind, fields);
        request["limit"] = 1.into();
        let mut reply = self.ask("records.query", request).await;
        reply["records"].get_mut(0).map(Value::take)
    }

    /// Counts again whenever somebody has looked at the numbers.
    async fn recount(&self) {
        let (mut pause, mut cameras, mut removed) = (RECOUNT.0, Instant::now(), false);
        loop {
            tokio::time::sleep(pause).await;
            pause = RECOUNT.1;
            self.desk.looked().await;
            let mark = self.desk.registry().mark();
            for kind in [Kind::Detection, Kind::Health] {
                let (total, today) = self.counts(kind, mark).await;
                removed |= self.desk.registry().recounted(kind, total, today);
            }
            if removed && cameras.elapsed() >= RECOUNT_CAMERAS {
                (cameras, removed) = (Instant::now(), false);
                self.recount_cameras(mark).await;
            }
            self.desk.registry().set_mark(Timestamp::now());
        }
    }

    /// Counts each camera again; gives up when that takes too long, until the next time.
    async fn recount_cameras(&self, mark: Timestamp) {
        let names = self.desk.registry().names();
        if names.len() > FEW_CAMERAS {
            return;
        }
        for name in names {
            let Some(fields) = self.fields(&name) else { continue };
            let request = detections(&fields, mark);
            let reply = self.desk.calls().ask("records.count", &request).await;
            let Some(count) = reply.ok().and_then(|reply| reply["count"].as_u64()) else { return };
            self.desk.registry().recounted_camera(&name, count);
        }
    }

    async fn counts(&self, kind: Kind, until: Timestamp) -> (u64, u64) {
        let count = async |from: Option<i64>, until: i64| {
            let mut request = json!({"collection": kind.collection(), "to_ms": until});
            if let Some(from) = from {
                request["from_ms"] = from.into();
            }
            self.ask("records.count", request).await["count"].as_u64().unwrap_or(0)
        };
        let (begin, end) = {
            let registry = self.desk.registry();
            let begin = registry.day_begin(Timestamp::now());
            // No day has more than 25 hours.
            (begin, registry.day_begin(begin.saturating_add(30.hours()).unwrap_or(begin)))
        };
        let today = until.min(end).as_millisecond();
        (count(None, until.as_millisecond()).await, count(Some(begin.as_millisecond()), today).await)
    }

    async fn cameras(&self) {
        let mut after = Value::Null;
        loop {
            let mut request =
                json!({"collection": Kind::Camera.collection(), "order": "oldest", "limit": PAGE});
            if !after.is_null() {
                request["after"] = after.take();
            }
            let reply = self.ask("records.query", request).await;
            let Some(records) = reply["records"].as_array() else { return };
            for record in records {
                let (camera, checkpoint) = (&record["data"]["camera_id"], &record["data"]["checkpoint_id"]);
                if !camera.is_null() && !checkpoint.is_null() {
                    self.desk.registry().recorded(camera, checkpoint, time(record).unwrap_or(self.began));
                }
            }
            match records.last() {
                Some(last) if reply["more"] == true => after = last["id"].clone(),
                _ => return,
            }
        }
    }

    fn fields(&self, known: &Name) -> Option<Value> {
        let (camera, checkpoint) = self.desk.registry().ids(known)?;
        Some(json!([
            {"path": ["camera_id"], "value": camera},
            {"path": ["checkpoint_id"], "value": checkpoint},
        ]))
    }

    async fn camera(&self, known: &Name) {
        let Some(fields) = self.fields(known) else { return };
        let count = self.ask("records.count", detections(&fields, self.until)).await;
        let count = count["count"].as_u64().unwrap_or(0);
        let detection = self.newest(Kind::Detection, &fields).await;
        let health = self.newest(Kind::Health, &fields).await;
        let seen = detection.as_ref().and_then(time).max(health.as_ref().and_then(time));
        let status = health.as_ref().and_then(|record| record["data"]["status"].as_str());
        self.desk.registry().add_camera(known, count, seen, status);
    }
}

/// The question how many detections of a camera there are.
fn detections(fields: &Value, until: Timestamp) -> Value {
    json!({"collection": Kind::Detection.collection(), "to_ms": until.as_millisecond(), "fields": fields})
}

/// When a record was made.
fn time(record: &Value) -> Option<Timestamp> {
    Timestamp::from_millisecond(record["time_ms"].as_i64()?).ok()
}
