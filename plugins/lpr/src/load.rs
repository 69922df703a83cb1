//! What there was before: the cameras and the counts, read from the records once.

use crate::desk::Desk;
use crate::message::Kind;
use crate::registry::Name;
use gantry_plugin::{Host, debug};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Records of a page.
const PAGE: u64 = 1000;
/// How long between two attempts, at first and at last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Reads everything that was kept before `began`. What comes later is counted as it comes.
pub(crate) async fn load(host: Host, desk: Arc<Desk>, began: Timestamp) {
    let loading = Loading { host, desk, began };
    for kind in [Kind::Detection, Kind::Health] {
        let (total, today) = loading.counts(kind).await;
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
}

struct Loading {
    host: Host,
    desk: Arc<Desk>,
    began: Timestamp,
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

    fn until(&self) -> i64 {
        // It is itself not among them.
        self.began.as_millisecond()
    }

    fn about(&self, kind: Kind, fields: &Value) -> Value {
        json!({"collection": kind.collection(), "to_ms": self.until(), "fields": fields})
    }

    async fn newest(&self, kind: Kind, fields: &Value) -> Option<Value> {
        let mut request = self.about(kind, fields);
        request["limit"] = 1.into();
        let mut reply = self.ask("records.query", request).await;
        reply["records"].get_mut(0).map(Value::take)
    }

    async fn counts(&self, kind: Kind) -> (u64, u64) {
        let count = async |from: Option<i64>| {
            let mut request = json!({"collection": kind.collection(), "to_ms": self.until()});
            if let Some(from) = from {
                request["from_ms"] = from.into();
            }
            self.ask("records.count", request).await["count"].as_u64().unwrap_or(0)
        };
        let midnight = self.desk.registry().day_begin(self.began).as_millisecond();
        (count(None).await, count(Some(midnight)).await)
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

    async fn camera(&self, known: &Name) {
        let ids = self.desk.registry().ids(known);
        let Some((camera, checkpoint)) = ids else { return };
        let fields = json!([
            {"path": ["camera_id"], "value": camera},
            {"path": ["checkpoint_id"], "value": checkpoint},
        ]);
        let request =
            |kind: Kind| json!({"collection": kind.collection(), "to_ms": self.until(), "fields": fields});
        let count = self.ask("records.count", request(Kind::Detection)).await["count"].as_u64().unwrap_or(0);
        let detection = self.newest(Kind::Detection, &fields).await;
        let health = self.newest(Kind::Health, &fields).await;
        let seen = detection.as_ref().and_then(time).max(health.as_ref().and_then(time));
        let status = health.as_ref().and_then(|record| record["data"]["status"].as_str());
        self.desk.registry().add_camera(known, count, seen, status);
    }
}

/// When a record was made.
fn time(record: &Value) -> Option<Timestamp> {
    Timestamp::from_millisecond(record["time_ms"].as_i64()?).ok()
}
