//! What senders are told about their messages, and others about them.

use crate::message::{Entry, Kind, id_text};
use serde_json::{Value, json};

/// Who hears of what others send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Registrations and detections.
    Dashboard,
    /// Health.
    Health,
}

/// What is remembered of a message while it is being kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// What it is about.
    pub kind: Kind,
    /// The camera.
    pub camera: Value,
    /// Its checkpoint.
    pub checkpoint: Value,
    /// What a health check says.
    pub status: Option<String>,
    notice: Value,
}

impl Receipt {
    /// Of a message.
    #[must_use]
    pub fn new(entry: &Entry) -> Self {
        let Entry { kind, camera, checkpoint, .. } = entry;
        let of = |field: &str| entry.or(field, Value::Null);
        let notice = match kind {
            Kind::Detection => json!({
                "camera_id": camera,
                "checkpoint_id": checkpoint,
                "vehicles_count": entry.or("vehicles_count", 0.into()),
                "plates_count": entry.or("plates_count", 0.into()),
                "ocr_results": entry.or("ocr_results", json!([])),
                "timestamp": of("timestamp"),
            }),
            Kind::Health => json!({
                "camera_id": camera,
                "checkpoint_id": checkpoint,
                "component": of("component"),
                "status": of("status"),
                "message": entry.or("message", "".into()),
                "timestamp": of("timestamp"),
            }),
            Kind::Camera => json!({
                "camera_id": camera,
                "checkpoint_id": checkpoint,
                "status": "online",
                "timestamp": of("timestamp"),
            }),
        };
        let status = (*kind == Kind::Health).then(|| of("status").as_str().map(str::to_owned)).flatten();
        Self { kind: *kind, camera: camera.clone(), checkpoint: checkpoint.clone(), status, notice }
    }

    /// What the others are told once it is kept: the room, the event, its argument.
    #[must_use]
    pub fn notice(mut self, id: &str, now: &str) -> (Room, &'static str, Value) {
        if self.notice["timestamp"].is_null() {
            self.notice["timestamp"] = now.into();
        }
        let (room, event, key) = match self.kind {
            Kind::Camera => return (Room::Dashboard, "camera_status", self.notice),
            Kind::Detection => (Room::Dashboard, "new_detection", "detection_id"),
            Kind::Health => (Room::Health, "health_update", "health_id"),
        };
        let mut notice = json!({ key: id });
        if let (Value::Object(notice), Value::Object(rest)) = (&mut notice, self.notice) {
            notice.extend(rest);
        }
        (room, event, notice)
    }

    /// The event that answers it on Socket.IO.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self.kind {
            Kind::Detection => "lpr_response",
            Kind::Health => "health_response",
            Kind::Camera => "camera_register",
        }
    }

    /// Its argument.
    #[must_use]
    pub fn response(&self, id: &str, now: &str) -> Value {
        let mut response = json!({ "success": true, "message": self.sentence() });
        self.name(&mut response, id);
        response["camera_id"] = self.camera.clone();
        response["checkpoint_id"] = self.checkpoint.clone();
        response["timestamp"] = now.into();
        response
    }

    /// The answer over REST.
    #[must_use]
    pub fn rest(&self, id: &str, now: &str) -> Value {
        let message = match self.kind {
            Kind::Detection => "Detection data received",
            Kind::Health => "Health data received",
            Kind::Camera => "Camera registered successfully",
        };
        let mut response = json!({ "success": true, "message": message });
        self.name(&mut response, id);
        if self.kind == Kind::Camera {
            response["camera_id"] = self.camera.clone();
            response["checkpoint_id"] = self.checkpoint.clone();
        }
        response["timestamp"] = now.into();
        response
    }

    /// The answer over a plain WebSocket.
    #[must_use]
    pub fn plain(&self, id: &str, now: &str) -> Value {
        let kind = match self.kind {
            Kind::Detection => "detection_response",
            Kind::Health => "health_response",
            Kind::Camera => "camera_register_response",
        };
        let mut data = json!({});
        self.name(&mut data, id);
        data["camera_id"] = self.camera.clone();
        data["checkpoint_id"] = self.checkpoint.clone();
        data["timestamp"] = now.into();
        json!({"status": "success", "type": kind, "message": self.sentence(), "data": data})
    }

    fn name(&self, answer: &mut Value, id: &str) {
        match self.kind {
            Kind::Detection => answer["detection_id"] = id.into(),
            Kind::Health => answer["health_id"] = id.into(),
            Kind::Camera => {}
        }
    }

    fn sentence(&self) -> String {
        match self.kind {
            Kind::Detection => "LPR data received successfully".to_owned(),
            Kind::Health => "Health status received successfully".to_owned(),
            Kind::Camera => format!("Camera {} registered successfully", id_text(&self.camera)),
        }
    }
}

/// The answer to `ping`.
#[must_use]
pub fn pong(message: Value, now: &str) -> Value {
    json!({"success": true, "message": "pong", "original_message": message, "timestamp": now})
}

/// The answer to `GET /api/test`.
#[must_use]
pub fn running(now: &str) -> Value {
    json!({"success": true, "message": "Server is running", "timestamp": now})
}

#[cfg(test)]
mod tests {
    use super::{Receipt, Room};
    use crate::message::{Entry, Kind, object};
    use serde_json::{Value, json};

    const NOW: &str = "2026-11-21T10:00:00.000Z";

    fn receipt(kind: Kind, value: Value) -> Receipt {
        Receipt::new(&Entry::new(kind, object(value.to_string().as_bytes()).unwrap()).unwrap())
    }

    #[test]
    fn a_registration_is_answered_and_told_as_the_protocol_says() {
        let receipt = receipt(Kind::Camera, json!({"camera_id": 1, "checkpoint_id": "c", "timestamp": "t"}));
        assert_eq!(receipt.event(), "camera_register");
        let response = json!({"success": true, "message": "Camera 1 registered successfully", "camera_id": 1,
            "checkpoint_id": "c", "timestamp": NOW});
        assert_eq!(receipt.response("id", NOW).to_string(), response.to_string());
        let rest = json!({"success": true, "message": "Camera registered successfully", "camera_id": 1,
            "checkpoint_id": "c", "timestamp": NOW});
        assert_eq!(receipt.rest("id", NOW).to_string(), rest.to_string());
        let told = json!({"camera_id": 1, "checkpoint_id": "c", "status": "online", "timestamp": "t"});
        assert_eq!(receipt.notice("id", NOW), (Room::Dashboard, "camera_status", told));
    }

    #[test]
    fn a_registration_without_a_time_is_told_with_ours() {
        let receipt = receipt(Kind::Camera, json!({"camera_id": 1, "checkpoint_id": "c"}));
        assert_eq!(receipt.notice("id", NOW).2["timestamp"], NOW);
    }

    #[test]
    fn a_detection_is_answered_and_told_as_the_protocol_says() {
        let sent = json!({"type": "detection_result", "camera_id": "1", "checkpoint_id": "2", "timestamp": "t",
            "vehicles_count": 3, "plates_count": 1, "ocr_results": ["ABC1234"], "annotated_image": "x"});
        let receipt = receipt(Kind::Detection, sent);
        assert_eq!(receipt.event(), "lpr_response");
        let response = json!({"success": true, "message": "LPR data received successfully", "detection_id": "id",
            "camera_id": "1", "checkpoint_id": "2", "timestamp": NOW});
        assert_eq!(receipt.response("id", NOW).to_string(), response.to_string());
        let rest = json!({"success": true, "message": "Detection data received", "detection_id": "id", "timestamp": NOW});
        assert_eq!(receipt.rest("id", NOW).to_string(), rest.to_string());
        let plain = json!({"status": "success", "type": "detection_response", "message": "LPR data received successfully",
            "data": {"detection_id": "id", "camera_id": "1", "checkpoint_id": "2", "timestamp": NOW}});
        assert_eq!(receipt.plain("id", NOW).to_string(), plain.to_string());
        let told = json!({"detection_id": "id", "camera_id": "1", "checkpoint_id": "2", "vehicles_count": 3,
            "plates_count": 1, "ocr_results": ["ABC1234"], "timestamp": "t"});
        let (room, event, notice) = receipt.notice("id", NOW);
        assert_eq!((room, event, notice.to_string()), (Room::Dashboard, "new_detection", told.to_string()));
    }

    #[test]
    fn health_is_answered_and_told_as_the_protocol_says() {
        let sent = json!({"type": "health_check", "camera_id": "1", "checkpoint_id": "2", "timestamp": "t",
            "component": "camera", "status": "healthy", "message": "well", "details": {"cpu_usage": 1}});
        let receipt = receipt(Kind::Health, sent);
        assert_eq!((receipt.event(), receipt.status.as_deref()), ("health_response", Some("healthy")));
        let response = json!({"success": true, "message": "Health status received successfully", "health_id": "id",
            "camera_id": "1", "checkpoint_id": "2", "timestamp": NOW});
        assert_eq!(receipt.response("id", NOW).to_string(), response.to_string());
        let rest =
            json!({"success": true, "message": "Health data received", "health_id": "id", "timestamp": NOW});
        assert_eq!(receipt.rest("id", NOW).to_string(), rest.to_string());
        assert_eq!(receipt.plain("id", NOW)["type"], "health_response");
        let told = json!({"health_id": "id", "camera_id": "1", "checkpoint_id": "2", "component": "camera",
            "status": "healthy", "message": "well", "timestamp": "t"});
        let (room, event, notice) = receipt.notice("id", NOW);
        assert_eq!((room, event, notice.to_string()), (Room::Health, "health_update", told.to_string()));
    }
}
