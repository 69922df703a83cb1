//! The LPR document's flows with real clients: its sender with its fallback, its curl lines, every field and every row.

use gantry_tests::client::{Client, Kind};
use gantry_tests::gateway::Setup;
use gantry_tests::lpr::{
    CONFIG, JSON, address, detection, get, health, ping, records, registration, row, sent, with, without,
};
use gantry_tests::{http, root, websocket};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The sender of the document (`tests/clients/lpr_sender.py`).
struct Sender {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
    log: Vec<String>,
}

impl Sender {
    fn start(url: &str, options: &Value) -> Self {
        let clients = root().join("tests/clients");
        let mut child = Command::new(clients.join(".venv/bin/python"))
            .arg(clients.join("lpr_sender.py"))
            .args([url, &options.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test clients: run `make test`, which installs them");
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, stdin, lines, log: Vec::new() }
    }

    fn begin(&mut self, event: &str, payload: &Value) {
        let stdin = self.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{}", json!({ event: payload })).expect("it runs");
    }

    /// The next line of it that is none of its log.
    fn answer(&mut self) -> Value {
        loop {
            let line = self.line();
            if line["log"].is_null() {
                return line;
            }
        }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        let line: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?} after {:?}", self.log));
        self.log.extend(line["log"].as_str().map(str::to_owned));
        line
    }

    fn send(&mut self, event: &str, payload: &Value) -> Value {
        self.begin(event, payload);
        self.answer()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// 8. Expected Data Flow, of the document, and 3. Fallback Strategy.
#[test]
fn the_document_s_sender_registers_reports_and_falls_back_as_it_is_written() {
    let mut gateway = Setup::with_config(CONFIG).start_ready();
    let url = || format!("http://{}", address(&gateway));

    // Socket.IO (primary).
    let mut sender = Sender::start(&url(), &json!({}));
    let answer = sender.send("camera_register", &registration());
    assert_eq!((&answer["via"], &answer["event"]), (&json!("socketio"), &json!("camera_register")));
    assert_eq!(
        row(&answer["answer"]),
        r#"{"success":true,"message":"Camera 1 registered successfully","camera_id":"1","checkpoint_id":"1","timestamp":"T"}"#
    );
    let answer = sender.send("lpr_data", &detection());
    assert_eq!(answer["event"], "lpr_response");
    assert_eq!(
        row(&answer["answer"]),
        r#"{"success":true,"message":"LPR data received successfully","detection_id":"ID","camera_id":"1","checkpoint_id":"1","timestamp":"T"}"#
    );
    let first = answer["answer"]["detection_id"].clone();
    let answer = sender.send("health_status", &health());
    assert_eq!(answer["event"], "health_response");
    assert_eq!(
        row(&answer["answer"]),
        r#"{"success":true,"message":"Health status received successfully","health_id":"ID","camera_id":"1","checkpoint_id":"1","timestamp":"T"}"#
    );
    let well = answer["answer"]["health_id"].clone();
    let answer = sender.send("ping", &ping());
    assert_eq!(answer["event"], "pong");
    assert_eq!(
        row(&answer["answer"]),
        r#"{"success":true,"message":"pong","original_message":"Hello from AI Camera","timestamp":"T"}"#
    );

    // REST API (fallback): where Socket.IO cannot be reached. What was sent already has its first id.
    let mut fallen = Sender::start(&url(), &json!({ "socketio_path": "elsewhere", "retry_interval": 0.1 }));
    let answer = fallen.send("camera_register", &registration());
    assert_eq!((&answer["via"], &answer["status"]), (&json!("rest"), &json!(200)), "{answer}");
    assert!(fallen.log[0].starts_with("Socket.IO failed"), "{:?}", fallen.log);
    assert_eq!(
        row(&answer["answer"]),
        r#"{"success":true,"message":"Camera registered successfully","camera_id":"1","checkpoint_id":"1","timestamp":"T"}"#
    );
    let answer = fallen.send("lpr_data", &detection());
    let expected =
        r#"{"success":true,"message":"Detection data received","detection_id":"ID","timestamp":"T"}"#;
    assert_eq!((answer["status"].as_u64(), &*row(&answer["answer"])), (Some(200), expected));
    assert_eq!(answer["answer"]["detection_id"], first);
    let answer = fallen.send("health_status", &health());
    let expected = r#"{"success":true,"message":"Health data received","health_id":"ID","timestamp":"T"}"#;
    assert_eq!((answer["status"].as_u64(), &*row(&answer["answer"])), (Some(200), expected));
    assert_eq!(answer["answer"]["health_id"], well);
    let answer = fallen.send("ping", &ping());
    assert_eq!(row(&answer["answer"]), r#"{"success":true,"message":"Server is running","timestamp":"T"}"#);

    // Everything is there as it was sent, once.
    assert_eq!(sent(&gateway, ""), [detection()]);
    assert_eq!(records(&gateway, "health"), [health()]);
    let data = get(&gateway, "/api/statistics")["data"].clone();
    assert_eq!((&data["total_detections"], &data["total_health_checks"]), (&json!(1), &json!(1)), "{data}");
    assert_eq!((&data["total_cameras"], &data["connected_clients"]), (&json!(1), &json!(1)), "{data}");

    // Both fail: it retries after a delay, and what it was to send arrives.
    let mut patient = Sender::start(&url(), &json!({ "retry_interval": 0.2, "max_retries": 1000 }));
    patient.send("camera_register", &registration());
    let port = address(&gateway).rsplit(':').next().expect("a port").to_owned();
    gateway.signal("KILL");
    gateway.wait();
    let later = with(detection(), &json!({ "timestamp": "2024-12-19T10:00:01Z" }));
    patient.begin("lpr_data", &later);
    while !patient.log.iter().any(|line| line.contains("attempt 1 failed")) {
        assert_ne!(patient.line()["log"], Value::Null, "nothing is answered while the gateway is off");
    }
    gateway.write_config(&CONFIG.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    gateway.restart();
    // By whichever came back first; and by Socket.IO from then on.
    let answer = patient.answer();
    assert_eq!(answer["answer"]["success"], true, "{answer}");
    let answer = patient.send("lpr_data", &later);
    assert_eq!((&answer["via"], &answer["event"]), (&json!("socketio"), &json!("lpr_response")), "{answer}");
    assert_eq!(sent(&gateway, ""), [later, detection()]);
}

/// 6. Testing Commands, of the document, as they are written there but for the address.
#[test]
fn the_document_s_curl_lines_work_as_they_are_written() {
    const LINES: [&str; 4] = [
        "curl -X GET http://100.95.46.128:8765/api/test",
        "curl -X GET http://100.95.46.128:8765/api/statistics",
        r#"curl -X POST http://100.95.46.128:8765/api/detection \
  -H "Content-Type: application/json" \
  -d '{"type":"detection_result","camera_id":"1","checkpoint_id":"1","timestamp":"2024-12-19T10:00:00Z","vehicles_count":1,"plates_count":1}'"#,
        r#"curl -X POST http://100.95.46.128:8765/api/health \
  -H "Content-Type: application/json" \
  -d '{"type":"health_check","camera_id":"1","checkpoint_id":"1","timestamp":"2024-12-19T10:00:00Z","component":"camera","status":"healthy","message":"Test"}'"#,
    ];
    let gateway = Setup::with_config(CONFIG).start_ready();
    let home = tempfile::tempdir().expect("a folder");
    fs::write(
        home.path().join(".curlrc"),
        "silent\nshow-error\nnoproxy = *\nwrite-out = \"\\n%{http_code}\"\n",
    )
    .expect("written");
    let curl = |line: &str| {
        let line = line.replace("100.95.46.128:8765", &address(&gateway));
        let done =
            Command::new("sh").args(["-c", &line]).env("CURL_HOME", home.path()).output().expect("sh runs");
        let text = String::from_utf8(done.stdout).expect("text");
        assert!(done.status.success(), "curl is needed: {text}{}", String::from_utf8_lossy(&done.stderr));
        let (body, status) = text.rsplit_once('\n').expect("a status");
        assert_eq!(status, "200", "{line}: {body}");
        serde_json::from_str::<Value>(body).expect("JSON")
    };
    assert_eq!(row(&curl(LINES[0])), r#"{"success":true,"message":"Server is running","timestamp":"T"}"#);
    let statistics = curl(LINES[1]);
    assert_eq!((&statistics["success"], &statistics["data"]["total_detections"]), (&json!(true), &json!(0)));
    let stored = curl(LINES[2]);
    assert_eq!(
        row(&stored),
        r#"{"success":true,"message":"Detection data received","detection_id":"ID","timestamp":"T"}"#
    );
    assert_eq!(
        row(&curl(LINES[3])),
        r#"{"success":true,"message":"Health data received","health_id":"ID","timestamp":"T"}"#
    );
    assert_eq!(curl(LINES[2])["detection_id"], stored["detection_id"], "the same line again");
    let data = curl(LINES[1])["data"].clone();
    let keys: Vec<_> = data.as_object().expect("an object").keys().map(String::as_str).collect();
    let all = [
        "total_detections",
        "today_detections",
        "total_health_checks",
        "today_health_checks",
        "total_cameras",
        "unique_cameras",
        "active_cameras",
        "connected_clients",
        "last_update",
        "server_status",
    ];
    assert_eq!(keys, all);
    let counts: Vec<_> = all[..8].iter().map(|key| data[key].as_u64().expect("a number")).collect();
    assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 0]);
    assert_eq!(data["server_status"], "running");
    // What was stored is what the line says, key by key.
    let line = LINES[2].split('\'').nth(1).expect("JSON");
    assert_eq!(sent(&gateway, "")[0].to_string(), line);
}

/// The first table of the protocol's chapter, for every client and transport.
#[test]
fn every_row_of_socket_io_holds_for_each_client_and_transport() {
    let gateway = Setup::with_config(CONFIG).start_ready();
    let url = format!("http://{}", address(&gateway));
    let join = |event: &str, said: &str| {
        let mut client = Client::connect(Kind::Node4, &url, &json!({}));
        client.named("#connect");
        client.emit(&[json!(event)]);
        assert_eq!(
            row(&client.named("status").args[0]),
            json!({ "message": said, "timestamp": "T" }).to_string()
        );
        client
    };
    let dashboard = join("join_dashboard", "Joined dashboard room");
    let watcher = join("join_health_room", "Joined health monitoring room");
    let mut n = 0;
    for (kind, transports) in [Kind::Node4, Kind::Node2, Kind::Python]
        .into_iter()
        .flat_map(|kind| [json!(["polling"]), json!(["websocket"])].map(|transports| (kind, transports)))
    {
        n += 1;
        let id = json!({ "camera_id": n, "checkpoint_id": "north" });
        let mut camera = Client::connect(kind, &url, &json!({ "transports": transports }));
        camera.named("#connect");
        // (what is sent, the event that answers, the answer)
        let rows = [
            ("camera_register", with(registration(), &id), "camera_register",
             format!(r#"{{"success":true,"message":"Camera {n} registered successfully","camera_id":{n},"checkpoint_id":"north","timestamp":"T"}}"#)),
            ("lpr_data", with(detection(), &id), "lpr_response",
             format!(r#"{{"success":true,"message":"LPR data received successfully","detection_id":"ID","camera_id":{n},"checkpoint_id":"north","timestamp":"T"}}"#)),
            ("health_status", with(health(), &id), "health_response",
             format!(r#"{{"success":true,"message":"Health status received successfully","health_id":"ID","camera_id":{n},"checkpoint_id":"north","timestamp":"T"}}"#)),
            ("ping", ping(), "pong",
             r#"{"success":true,"message":"pong","original_message":"Hello from AI Camera","timestamp":"T"}"#.to_owned()),
            ("camera_register", without(registration(), "checkpoint_id"), "error",
             r#"{"message":"camera_id and checkpoint_id are required"}"#.to_owned()),
            ("lpr_data", json!({}), "error", r#"{"message":"Missing required field: type"}"#.to_owned()),
            ("lpr_data", without(without(detection(), "camera_id"), "timestamp"), "error",
             r#"{"message":"Missing required field: camera_id"}"#.to_owned()),
            ("lpr_data", without(detection(), "checkpoint_id"), "error",
             r#"{"message":"Missing required field: checkpoint_id"}"#.to_owned()),
            ("lpr_data", without(detection(), "timestamp"), "error",
             r#"{"message":"Missing required field: timestamp"}"#.to_owned()),
            ("health_status", without(health(), "component"), "error",
             r#"{"message":"Missing required field: component"}"#.to_owned()),
            ("health_status", without(health(), "status"), "error",
             r#"{"message":"Missing required field: status"}"#.to_owned()),
            ("lpr_data", json!([1]), "error", r#"{"message":"The data must be a JSON object"}"#.to_owned()),
            ("lpr_data", json!("text"), "error", r#"{"message":"The data must be a JSON object"}"#.to_owned()),
        ];
        let mut ids = Vec::new();
        for (event, payload, answers, expected) in rows {
            // Nobody answers what nobody knows, and it closes nothing.
            camera.emit(&[json!("unheard_of"), payload.clone()]);
            camera.emit(&[json!(event), payload.clone()]);
            let answer = camera.next();
            assert_eq!(
                (&*answer.name, &*row(&answer.args[0])),
                (answers, &*expected),
                "{kind:?} {transports} {event}"
            );
            ids.extend(
                ["detection_id", "health_id"].into_iter().filter_map(|key| answer.args[0].get(key).cloned()),
            );
        }
        let told = json!({ "camera_id": n, "checkpoint_id": "north", "status": "online", "timestamp": "2024-12-19T10:00:00Z" });
        assert_eq!(dashboard.named("camera_status").args[0].to_string(), told.to_string());
        let told = json!({
            "detection_id": ids[0], "camera_id": n, "checkpoint_id": "north", "vehicles_count": 1, "plates_count": 1,
            "ocr_results": ["ABC1234"], "timestamp": "2024-12-19T10:00:00Z",
        });
        assert_eq!(dashboard.named("new_detection").args[0].to_string(), told.to_string());
        let told = json!({
            "health_id": ids[1], "camera_id": n, "checkpoint_id": "north", "component": "camera", "status": "healthy",
            "message": "Camera working normally", "timestamp": "2024-12-19T10:00:00Z",
        });
        let heard = watcher.next();
        assert_eq!((&*heard.name, heard.args[0].to_string()), ("health_update", told.to_string()));
        // With an acknowledgement.
        camera.emit_with_ack(&[json!("lpr_data"), with(detection(), &id)]);
        let mut both = [camera.next(), camera.next()];
        both.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!((&*both[0].name, &*both[1].name), ("#ack", "lpr_response"));
        assert!(
            both.iter().all(|event| event.args[0]["detection_id"] == ids[0]),
            "the same row has its first id"
        );
        camera.close();
    }
    let cameras = get(&gateway, "/api/cameras");
    let ids: Vec<_> =
        cameras["cameras"].as_array().expect("cameras").iter().map(|c| c["camera_id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6], "numbers stay numbers");
    assert_eq!(cameras["total_cameras"], 6);
    let first = &cameras["cameras"][0];
    assert_eq!(
        (&first["detection_count"], &first["health_status"], &first["status"]),
        (&json!(1), &json!("healthy"), &json!("online"))
    );
    assert!(first["registered_at"].is_string() && first["last_seen"].is_string());
}

/// The second table.
#[test]
fn every_row_of_rest_holds() {
    let gateway = Setup::with_config(CONFIG.to_owned().as_str()).start_ready();
    let at = address(&gateway);
    for path in ["/", "/websocket"] {
        let about = get(&gateway, path);
        assert!(about["endpoints"]["POST /api/detection"].is_string(), "{about}");
        assert!(about["socketio"]["events"].to_string().contains("lpr_data"), "{about}");
    }
    let stored =
        r#"{"success":true,"message":"Detection data received","detection_id":"ID","timestamp":"T"}"#;
    let well = r#"{"success":true,"message":"Health data received","health_id":"ID","timestamp":"T"}"#;
    let runs = r#"{"success":true,"message":"Server is running","timestamp":"T"}"#;
    for (path, body, expected) in [
        (
            "/api/cameras/register",
            json!({ "camera_id": 5, "checkpoint_id": "a", "timestamp": "now" }),
            r#"{"success":true,"message":"Camera registered successfully","camera_id":5,"checkpoint_id":"a","timestamp":"T"}"#,
        ),
        (
            "/api/cameras/register",
            registration(),
            r#"{"success":true,"message":"Camera registered successfully","camera_id":"1","checkpoint_id":"1","timestamp":"T"}"#,
        ),
        ("/api/detection", detection(), stored),
        ("/api/health", health(), well),
        ("/api/statistics", with(detection(), &json!({ "camera_id": 5 })), stored),
        ("/api/statistics", with(health(), &json!({ "camera_id": 5 })), well),
        ("/api/statistics", ping(), runs),
    ] {
        let answer = http::post(&at, path, &body);
        assert_eq!((answer.status, &*row(&answer.json())), (200, expected), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(20 << 20));
    for (method, path, headers, body, status) in [
        ("POST", "/api/detection", JSON, without(detection(), "timestamp").to_string(), 400),
        ("POST", "/api/health", JSON, without(health(), "component").to_string(), 400),
        ("POST", "/api/cameras/register", JSON, without(registration(), "camera_id").to_string(), 400),
        ("POST", "/api/statistics", JSON, with(detection(), &json!({ "type": "odd" })).to_string(), 400),
        ("POST", "/api/detection", JSON, "[1, 2]".to_owned(), 400),
        ("POST", "/api/detection", JSON, "{\"type\": ".to_owned(), 400),
        ("POST", "/api/detection", "Content-Type: text/plain\r\n", detection().to_string(), 415),
        ("POST", "/api/detection", "", detection().to_string(), 415),
        ("POST", "/api/detection", JSON, large, 413),
        ("GET", "/api/elsewhere", "", String::new(), 404),
        ("GET", "/api/detection", "", String::new(), 405),
        ("PUT", "/api/cameras", JSON, "{}".to_owned(), 405),
        ("DELETE", "/api/records", "", String::new(), 405),
        ("GET", "/api/records?limit=many", "", String::new(), 400),
    ] {
        let headers = format!("{headers}Content-Length: {}\r\n", body.len());
        let answer = http::send(&at, method, path, &headers, body.as_bytes());
        let told = answer.json();
        let keys: Vec<_> = told.as_object().expect("an object").keys().collect();
        assert_eq!(
            (answer.status, &told["success"], keys.len()),
            (status, &json!(false), 2),
            "{method} {path}: {told}"
        );
        assert!(told["message"].is_string(), "{told}");
    }
    let of = |query: &str| {
        let page = get(&gateway, &format!("/api/records?{query}"));
        assert!(page["success"] == true && page["timestamp"].is_string(), "{page}");
        (page["total_count"].clone(), page["returned_count"].clone())
    };
    assert_eq!(of(""), (json!(2), json!(2)));
    assert_eq!(of("limit=1"), (json!(2), json!(1)));
    assert_eq!(of("camera_id=5"), (json!(1), json!(1)), "a number is found by its text");
    assert_eq!(of("camera_id=1&checkpoint_id=1"), (json!(1), json!(1)));
    assert_eq!(of("camera_id=9"), (json!(0), json!(0)));
    assert_eq!(sent(&gateway, ""), [with(detection(), &json!({ "camera_id": 5 })), detection()]);
}

#[test]
fn older_cameras_speak_plain_websocket() {
    let gateway = Setup::with_config(CONFIG).start_ready();
    for (n, kind) in websocket::KINDS.into_iter().enumerate() {
        let mut camera = websocket::Client::connect(kind, &format!("ws://{}/", address(&gateway)));
        let id = json!({ "camera_id": n, "checkpoint_id": "1" });
        for (message, expected) in [
            (
                with(detection(), &id),
                format!(
                    r#"{{"status":"success","type":"detection_response","message":"LPR data received successfully","data":{{"detection_id":"ID","camera_id":{n},"checkpoint_id":"1","timestamp":"T"}}}}"#
                ),
            ),
            (
                with(health(), &id),
                format!(
                    r#"{{"status":"success","type":"health_response","message":"Health status received successfully","data":{{"health_id":"ID","camera_id":{n},"checkpoint_id":"1","timestamp":"T"}}}}"#
                ),
            ),
            (
                without(health(), "status"),
                r#"{"status":"error","message":"Missing required field: status"}"#.to_owned(),
            ),
            (json!({}), r#"{"status":"error","message":"Missing required field: type"}"#.to_owned()),
            (json!([]), r#"{"status":"error","message":"The data must be a JSON object"}"#.to_owned()),
        ] {
            let answer: Value = serde_json::from_str(&camera.ask(&message)).expect("JSON");
            assert_eq!(row(&answer), expected, "{kind:?}");
        }
        camera.send_text("no JSON at all");
        let answer = camera.next();
        assert!(answer["status"] == "error" && answer["message"].is_string(), "{answer}");
        let again: Value = serde_json::from_str(&camera.ask(&with(detection(), &id))).expect("JSON");
        let record = get(&gateway, &format!("/api/records?camera_id={n}"))["records"][0].clone();
        assert_eq!(again["data"]["detection_id"], record["record_id"], "it was there already");
    }
    assert_eq!(records(&gateway, "health").len(), 2);
}
