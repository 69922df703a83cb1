//! The whole plugin behind the real border, with a WebSocket client that sees every byte.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

use gantry_plugin::test::{Host, Service};
use gantry_robocar::gantry_plugin_v1;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(mut config: Value) -> (Host, String) {
    config["bind"] = json!("127.0.0.1:0");
    let host = Host::start_with(&gantry_plugin_v1, config, |host| {
        let announce: Service = Box::new(|_| Ok(json!({})));
        host.offer("endpoints.announce", announce);
        host.set_state("cameras/main/connected", json!(true));
        host.set_state("cameras/main/fps", json!(30));
    })
    .expect("it starts");
    let calls = host.calls();
    let (name, request) =
        calls.iter().find(|(name, _)| name == "endpoints.announce").expect("it says where it is");
    assert_eq!(name, "endpoints.announce");
    let url = request["endpoints"][0]["url"].as_str().expect("a URL").to_owned();
    (host, url)
}

struct Viewer(WebSocket<TcpStream>);

impl Viewer {
    /// A client that has joined; the first message is the greeting.
    fn new(url: &str, query: &str, auth: &str) -> Self {
        let url = format!("{}?EIO=4&transport=websocket{query}", url.replace("http:", "ws:"));
        let address = url["ws://".len()..].split('/').next().unwrap();
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut viewer = Self(tungstenite::client(url, stream).expect("a WebSocket").0);
        assert!(viewer.text().starts_with("0{"));
        viewer.say(&format!("40{auth}"));
        assert!(viewer.text().starts_with("40{\"sid\":"));
        let greeting = r#"42["status",{"message":"Connected to robocar sensor stream","connected":true}]"#;
        assert_eq!(viewer.text(), greeting, "it comes right after the CONNECT reply");
        viewer
    }

    fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    fn text(&mut self) -> String {
        self.0.read().expect("a message").into_text().expect("text").to_string()
    }

    /// The next event; its name and argument.
    fn event(&mut self) -> (String, Value) {
        let text = self.text();
        let at = text.find('[').expect("an event");
        let Ok(Value::Array(mut event)) = serde_json::from_str(&text[at..]) else { panic!("{text}") };
        let argument = event.pop().expect("an argument");
        (event[0].as_str().expect("a name").to_owned(), argument)
    }

    /// The next event that is wanted; others are read over.
    fn event_where(&mut self, wanted: impl Fn(&str, &Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let (name, value) = self.event();
            if wanted(&name, &value) {
                return value;
            }
            assert!(Instant::now() < end, "it never comes");
        }
    }
}

/// Gives the camera pictures until the watched-for thing happens.
fn film<T>(host: &mut Host, mut seen: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        host.frame("main/jpeg", 320, 180, b"\xff\xd8\xff\xe0picture");
        if let Some(seen) = seen() {
            return seen;
        }
        assert!(Instant::now() < end, "it never happens");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn viewers_get_sensor_data_and_then_status_with_each_tick() {
    let (mut host, url) = start(json!({"publish_rate": 50}));
    let mut viewer = Viewer::new(&url, "", "");
    let data = film(&mut host, || {
        let (name, data) = viewer.event();
        assert_eq!(name, "sensor_data");
        let (name, status) = viewer.event();
        assert_eq!(name, "status");
        assert_eq!(status["camera_connected"], true);
        assert_eq!(status["clients_connected"], 1, "the receiver included");
        assert!(status["timestamp"].as_f64() >= data["timestamp"].as_f64());
        (!data["camera"].is_null()).then_some(data)
    });
    assert_eq!(
        data["camera"],
        json!({"frame": "/9j/4HBpY3R1cmU=", "width": 320, "height": 180, "format": "jpeg"})
    );
    let mut second = Viewer::new(&url, "", "");
    second.event_where(|name, value| name == "status" && value["clients_connected"] == 2);
    drop(second);
    viewer.event_where(|name, value| name == "status" && value["clients_connected"] == 1);
}

#[test]
fn binary_frames_are_had_by_query_by_auth_and_by_event() {
    let (mut host, url) = start(json!({"publish_rate": 50}));
    let mut by_event = Viewer::new(&url, "", "");
    by_event.say("421[\"set_format\",{\"format\":\"binary\"}]");
    by_event.say("422[\"set_format\",{\"format\":\"bmp\"}]");
    let mut acks = Vec::new();
    while acks.len() < 2 {
        let text = by_event.text();
        if text.starts_with("43") {
            acks.push(text);
        }
    }
    assert_eq!(acks[0], r#"431[{"format":"binary"}]"#);
    assert!(acks[1].starts_with(r#"432[{"error":"send "#), "{}", acks[1]);
    let viewers = [by_event, Viewer::new(&url, "&binary=1", ""), Viewer::new(&url, "", r#"{"binary":true}"#)];
    for mut viewer in viewers {
        film(&mut host, || {
            let text = viewer.text();
            let sensor = text.strip_prefix("451-[\"sensor_data\",")?.strip_suffix(']')?;
            let data: Value = serde_json::from_str(sensor).unwrap();
            assert_eq!(data["camera"]["frame"], json!({"_placeholder": true, "num": 0}));
            assert_eq!(viewer.0.read().unwrap().into_data(), &b"\xff\xd8\xff\xe0picture"[..]);
            Some(())
        });
    }
}

#[test]
fn without_a_camera_there_is_only_status_and_when_it_is_back_so_is_the_stream() {
    let (mut host, url) = start(json!({"publish_rate": 100}));
    let mut viewer = Viewer::new(&url, "", "");
    film(&mut host, || (viewer.event().0 == "sensor_data").then_some(()));
    host.set_state("cameras/main/connected", json!(false));
    viewer.event_where(|name, value| name == "status" && value["camera_connected"] == false);
    for _ in 0..10 {
        let (name, value) = viewer.event();
        assert_eq!((name.as_str(), &value["camera_connected"]), ("status", &json!(false)));
    }
    host.set_state("cameras/main/connected", json!(true));
    film(&mut host, || {
        let (name, value) = viewer.event();
        (name == "sensor_data" && !value["camera"].is_null()).then_some(())
    });
}

#[test]
fn a_ping_is_answered_with_and_without_a_payload_and_acknowledged() {
    let (_host, url) = start(json!({}));
    let mut viewer = Viewer::new(&url, "", "");
    viewer.say("42[\"ping\"]");
    assert!(viewer.event_where(|name, _| name == "pong")["timestamp"].is_f64());
    viewer.say("4277[\"ping\",{\"any\":\"thing\"}]");
    assert!(viewer.event_where(|name, _| name == "pong")["timestamp"].is_f64());
    let mut text = viewer.text();
    while !text.starts_with("4377[{\"timestamp\":") {
        text = viewer.text();
    }
    viewer.say("42[\"unheard\",1]");
    viewer.say("42[\"ping\"]");
    viewer.event_where(|name, _| name == "pong");
}

#[test]
fn blocks_are_filled_from_state() {
    let (mut host, url) = start(json!({"publish_rate": 50, "blocks": {"lidar": "robot/lidar"}}));
    let mut viewer = Viewer::new(&url, "", "");
    assert!(viewer.event_where(|name, _| name == "sensor_data")["lidar"].is_null());
    assert_eq!(viewer.event_where(|name, _| name == "status")["lidar_connected"], false);
    host.set_state("robot/lidar", json!({"front": 1.5}));
    viewer.event_where(|name, value| name == "sensor_data" && value["lidar"] == json!({"front": 1.5}));
    viewer.event_where(|name, value| name == "status" && value["lidar_connected"] == true);
}

#[test]
fn the_camera_is_watched_only_while_somebody_looks() {
    let (mut host, url) = start(json!({"publish_rate": 10}));
    assert!(host.watched().is_empty());
    assert!(!host.frame("main/jpeg", 1, 1, b"x"));
    let mut viewer = Viewer::new(&url, "", "");
    viewer.event_where(|name, _| name == "status");
    assert_eq!(host.watched().get("main/jpeg"), Some(&20_000), "twice the publish rate");
    drop(viewer);
    let end = Instant::now() + PATIENCE;
    while !host.watched().is_empty() {
        assert!(Instant::now() < end, "it is watched for ever");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(host.kept_frames(), 0);
}

#[test]
fn stuck_viewers_never_keep_the_runtime_s_frames_from_the_others() {
    let (mut host, url) = start(json!({"publish_rate": 100}));
    let picture = vec![7; 400_000];
    // Each begins at another time and so is stuck in the middle of another frame.
    let mut stuck = Vec::new();
    for _ in 0..40 {
        stuck.push(Viewer::new(&url, "&binary=1", ""));
        for _ in 0..5 {
            host.frame("main/jpeg", 1, 1, &picture);
            std::thread::sleep(Duration::from_millis(4));
        }
    }
    assert!(host.kept_frames() < 32, "{} frames are kept", host.kept_frames());
    let mut quick = Viewer::new(&url, "", "");
    let seen = std::thread::spawn(move || {
        quick.event_where(|name, value| name == "sensor_data" && !value["camera"].is_null());
    });
    film(&mut host, || seen.is_finished().then_some(()));
    seen.join().unwrap();
}

#[test]
fn stopping_lets_go_of_the_port_and_closes_viewers() {
    let (host, url) = start(json!({}));
    let mut viewer = Viewer::new(&url, "", "");
    let reading = std::thread::spawn(move || {
        loop {
            match viewer.0.read() {
                Ok(Message::Close(frame)) => return frame.map(|frame| u16::from(frame.code)),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    host.stop();
    assert_eq!(reading.join().unwrap(), Some(1001));
    let address = url["http://".len()..].split('/').next().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_port_in_use_is_a_sentence_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let Err(error) = Host::start(&gantry_plugin_v1, json!({"bind": address})) else { panic!("it cannot") };
    assert!(error.contains(&address) && error.contains("another program has this port"), "{error}");
}

#[test]
fn viewers_under_another_name_are_refused_when_a_list_says_which() {
    let ask = |hosts: Value| {
        let (_host, url) = start(json!({ "hosts": hosts }));
        let address = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).map(str::to_owned)
    };
    assert_eq!(ask(json!(["gateway.local"])).as_deref(), Some("421"));
    assert_eq!(ask(json!(["127.0.0.1"])).as_deref(), Some("200"));
}

#[test]
fn the_configuration_is_checked_before_anything_starts() {
    let findings =
        Host::validate(&gantry_plugin_v1, &json!({"publish_rate": 1000, "limits": {"connections": 0}}));
    let paths: Vec<_> = findings.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(paths, ["publish_rate", "limits.connections"]);
    let findings = Host::validate(&gantry_plugin_v1, &json!({"limits": {"conections": 1}}));
    assert!(findings[0].message.contains("conections"), "{findings:?}");
}

#[test]
fn metrics_say_who_is_there_and_what_it_costs() {
    let (host, url) = start(json!({"publish_rate": 50}));
    let mut viewer = Viewer::new(&url, "", "");
    viewer.say("42");
    let end = Instant::now() + PATIENCE;
    let metric = |name| host.metric(name).unwrap_or_default();
    while metric("clients") != 1.0 || metric("sent_bytes") < 1000.0 || metric("rejected_messages") != 1.0 {
        assert!(Instant::now() < end, "they are never recorded");
        viewer.event();
    }
}

#[test]
fn a_camera_that_nobody_configured_is_said_and_one_that_is_away_is_not() {
    let (mut host, _) = start(json!({"camera": "front"}));
    let health = |host: &Host| host.health().expect("a report");
    let (level, text) = health(&host);
    assert_eq!(level, gantry_plugin::abi::HEALTH_DEGRADED);
    assert!(text.ends_with("there is no camera `front`: set `camera` to one of [cameras.NAME]"), "{text}");
    host.set_state("cameras/front/connected", json!(false));
    assert_eq!(health(&host).0, gantry_plugin::abi::HEALTH_OK);
    host.set_state("cameras/front/connected", Value::Null);
    assert_eq!(health(&host).0, gantry_plugin::abi::HEALTH_DEGRADED);
}
