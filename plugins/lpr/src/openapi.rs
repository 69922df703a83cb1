//! What this server says about itself.

use serde_json::{Map, Value, json};

/// The answer to `GET /`.
#[must_use]
pub fn about(now: &str) -> Value {
    json!({
        "success": true,
        "message": "LPR ingest server of Gantry",
        "version": env!("CARGO_PKG_VERSION"),
        "endpoints": {
            "GET /": "this",
            "GET /openapi.json": "the REST interface, described for programs",
            "GET /api/test": "whether the server is running",
            "GET /api/statistics": "counts of detections, health checks and cameras",
            "GET /api/cameras": "the cameras",
            "GET /api/records": "the newest detections: limit, camera_id, checkpoint_id, before",
            "POST /api/cameras/register": "register a camera",
            "POST /api/detection": "store a detection",
            "POST /api/health": "store a health check",
            "POST /api/statistics": "store a detection or a health check, by its type",
        },
        "socketio": {
            "path": "/socket.io/",
            "events": ["camera_register", "lpr_data", "health_status", "ping", "join_dashboard", "join_health_room"],
            "answers": ["camera_register", "lpr_response", "health_response", "pong", "status", "error"],
            "broadcasts": ["camera_status", "new_detection", "health_update"],
        },
        "websocket": {"path": "/", "types": ["detection_result", "health_check", "camera_register", "ping"]},
        "timestamp": now,
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn body(description: &str, schema: Value) -> Value {
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

/// An object whose keys are all there; it may have more.
fn all_of(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().map(|all| all.keys().collect()).unwrap_or_default();
    let required = json!(required);
    json!({"type": "object", "required": required, "properties": properties})
}

fn success(rest: Value) -> Value {
    let mut properties = json!({"success": {"const": true}});
    if let (Value::Object(properties), Value::Object(rest)) = (&mut properties, rest) {
        properties.extend(rest);
    }
    all_of(properties)
}

/// An operation with its errors.
fn operation(id: &str, summary: &str, reply: &str, stores: bool, keys: bool) -> Map<String, Value> {
    let mut responses = Map::new();
    responses.insert("200".into(), body("Done.", reference(reply)));
    let mut errors = vec![
        ("403", "A page that may not connect, or the key of another camera."),
        ("503", "Not now: try again."),
    ];
    if stores {
        errors.extend([
            ("400", "No JSON object, or a field is missing or wrong."),
            ("408", "The body did not come in time."),
            ("413", "The body is too large."),
            ("415", "The body is not application/json."),
            ("507", "There is no room: nothing was stored."),
        ]);
    }
    if id == "records" {
        errors.push(("400", "A parameter is wrong."));
    }
    if keys {
        errors.push(("401", "No key, or one that is not known."));
    }
    errors.sort_unstable();
    for (status, why) in errors {
        responses.insert(status.into(), body(why, reference("Error")));
    }
    let mut operation = Map::new();
    operation.insert("operationId".into(), id.into());
    operation.insert("summary".into(), summary.into());
    if stores {
        let name = match id {
            "register" => "Register",
            "detection" => "Detection",
            "health" => "Health",
            _ => "Any",
        };
        let media = json!({"schema": reference(name), "example": example(name)});
        let content = json!({"required": true, "content": {"application/json": media}});
        operation.insert("requestBody".into(), content);
    }
    if keys {
        operation.insert("security".into(), json!([{"key": []}, {"bearer": []}]));
    }
    operation.insert("responses".into(), responses.into());
    operation
}

/// What a camera may send.
fn example(name: &str) -> Value {
    let mut all = json!({"camera_id": "1", "checkpoint_id": "1", "timestamp": "2024-12-19T10:00:00Z"});
    let more = match name {
        "Register" => json!({}),
        "Health" => json!({
            "type": "health_check", "component": "camera", "status": "healthy", "message": "Camera working normally",
            "details": {"cpu_usage": 45.2, "memory_usage": 67.8, "disk_usage": 23.1},
        }),
        _ => json!({
            "type": "detection_result", "vehicles_count": 1, "plates_count": 1, "ocr_results": ["ABC1234"],
            "vehicle_detections": [{"bbox": [10, 20, 300, 200]}], "plate_detections": [{"bbox": [120, 160, 80, 24]}],
            "processing_time_ms": 150, "annotated_image": "/9j/2Q==", "cropped_plates": ["/9j/2Q=="],
        }),
    };
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

/// The description of the REST interface; `keys` says whether cameras have to show one.
#[must_use]
pub fn document(keys: bool) -> Value {
    let read = |id: &str, summary: &str, reply: &str, open: bool| json!({"get": operation(id, summary, reply, false, keys && !open)});
    let store =
        |id: &str, summary: &str, reply: &str| json!({"post": operation(id, summary, reply, true, keys)});
    let mut statistics =
        read("statistics", "Counts of detections, health checks and cameras", "Statistics", false);
    statistics["post"] = operation(
        "post_statistics",
        "Store a detection or a health check, by its type",
        "Stored",
        true,
        keys,
    )
    .into();
    let mut records = read("records", "The newest detections, as they were sent", "Records", false);
    records["get"]["parameters"] = parameters();
    let mut components = json!({"schemas": schemas()});
    if keys {
        components["securitySchemes"] = json!({
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        });
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gantry LPR ingest",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What plate-reading cameras send. A positive answer means that the record is on disk. The same \
                message again is answered with its first id.",
        },
        "paths": {
            "/": read("about", "What this server is", "About", true),
            "/websocket": read("about_websocket", "The same", "About", true),
            "/openapi.json": {"get": {"operationId": "openapi", "summary": "This", "responses": {
                "200": body("This.", json!({"type": "object", "required": ["openapi", "paths"]})),
                "403": body("A page that may not connect.", reference("Error")),
            }}},
            "/api/test": read("test", "Whether the server is running", "Running", true),
            "/api/statistics": statistics,
            "/api/records": records,
            "/api/cameras": read("cameras", "The cameras", "Cameras", false),
            "/api/cameras/register": store("register", "Register a camera", "Registered"),
            "/api/detection": store("detection", "Store a detection", "DetectionStored"),
            "/api/health": store("health", "Store a health check", "HealthStored"),
        },
        "components": components,
    })
}

fn parameters() -> Value {
    let text = json!({"type": "string"});
    json!([
        {"name": "limit", "in": "query", "description": "How many; 50 when not said, at most 1000. Fewer are returned when \
            they have more than 32 MiB.", "schema": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": ""}]}},
        {"name": "camera_id", "in": "query", "description": "Only of this camera.", "schema": text},
        {"name": "checkpoint_id", "in": "query", "description": "Only of this checkpoint.", "schema": text},
        {"name": "before", "in": "query", "description": "Only older ones than that with this detection_id.",
            "schema": {"type": "string", "pattern": "^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$"}},
    ])
}

/// What is sent: the fields that are looked at. All others are kept as they are.
fn sent(required: &[&str], properties: Value) -> Value {
    let id = json!({"anyOf": [{"type": "string", "minLength": 1}, {"type": "number"}]});
    let loose = json!({"type": ["string", "number", "null"]});
    let mut all = json!({"camera_id": loose, "aicamera_id": loose, "checkpoint_id": id});
    if let (Value::Object(all), Value::Object(more)) = (&mut all, properties) {
        all.extend(more);
    }
    let named = |name: &str| json!({"required": [name], "properties": {name: id}});
    json!({"type": "object", "required": required, "properties": all, "anyOf": [named("camera_id"), named("aicamera_id")]})
}

fn schemas() -> Value {
    let text = json!({"type": "string"});
    let some = json!({"type": "string", "minLength": 1});
    let time = json!({"type": "string", "format": "date-time"});
    let given = json!({"type": ["string", "number"]});
    let count = json!({"type": "integer", "minimum": 0});
    let id = json!({"type": ["string", "number"]});
    let uuid = json!({"type": "string", "minLength": 1});
    let common = ["type", "checkpoint_id", "timestamp"];
    let health = ["type", "checkpoint_id", "timestamp", "component", "status"];
    let detection = |kind: &Value| sent(&common, json!({"type": kind, "timestamp": given}));
    let health = |kind: &Value| {
        sent(&health, json!({"type": kind, "timestamp": given, "component": some, "status": some}))
    };
    let detection_stored = success(json!({"message": text, "detection_id": uuid, "timestamp": time}));
    let health_stored = success(json!({"message": text, "health_id": uuid, "timestamp": time}));
    let running = success(json!({"message": {"const": "Server is running"}, "timestamp": time}));
    let camera = all_of(json!({
        "camera_id": id, "checkpoint_id": id, "registered_at": time, "last_seen": time,
        "status": {"enum": ["online", "offline"]}, "detection_count": count, "health_status": text,
    }));
    json!({
        "Error": all_of(json!({"success": {"const": false}, "message": text})),
        "About": success(json!({"message": text, "version": text, "endpoints": {"type": "object"}, "timestamp": time})),
        "Running": running,
        "Register": sent(&["checkpoint_id"], json!({})),
        "Registered": success(json!({"message": text, "camera_id": id, "checkpoint_id": id, "timestamp": time})),
        "Detection": detection(&some),
        "DetectionStored": detection_stored,
        "Health": health(&some),
        "HealthStored": health_stored,
        "Any": {"anyOf": [
            detection(&json!({"const": "detection_result"})),
            health(&json!({"const": "health_check"})),
            {"type": "object", "required": ["type"], "properties": {"type": {"const": "test"}}},
        ]},
        "Stored": {"anyOf": [reference("DetectionStored"), reference("HealthStored"), reference("Running")]},
        "Statistics": success(json!({"data": all_of(json!({
            "total_detections": count, "today_detections": count, "total_health_checks": count,
            "today_health_checks": count, "total_cameras": count, "unique_cameras": count, "active_cameras": count,
            "connected_clients": count, "last_update": time, "server_status": {"const": "running"},
        }))})),
        "Records": success(json!({
            "records": {"type": "array", "items": {"type": "object"}}, "total_count": count, "returned_count": count,
            "timestamp": time,
        })),
        "Cameras": success(json!({"cameras": {"type": "array", "items": camera}, "total_cameras": count, "timestamp": time})),
    })
}

#[cfg(test)]
mod tests {
    use super::document;
    use serde_json::Value;

    fn references(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(all) => {
                out.extend(all.get("$ref").and_then(Value::as_str).map(str::to_owned));
                all.values().for_each(|value| references(value, out));
            }
            Value::Array(all) => all.iter().for_each(|value| references(value, out)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        for keys in [false, true] {
            let document = document(keys);
            let mut found = Vec::new();
            references(&document, &mut found);
            assert!(found.len() > 30);
            for reference in found {
                assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
            }
        }
    }

    #[test]
    fn keys_are_described_only_where_there_are_some() {
        assert!(document(false)["components"].get("securitySchemes").is_none());
        let with = document(true);
        assert!(with["paths"]["/api/detection"]["post"]["responses"].get("401").is_some());
        assert!(with["paths"]["/api/test"]["get"].get("security").is_none());
    }
}
