//! The robocar camera stream as its real clients see it.

use base64::Engine;
use gantry_tests::client::{Client, Kind};
use gantry_tests::gateway::Setup;
use gantry_tests::{assets, camera, until};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Every client in the field, by the transports it may use.
fn clients() -> Vec<(Kind, Value)> {
    vec![
        (Kind::Node4, json!({ "transports": ["websocket"] })),
        (Kind::Node4, json!({ "transports": ["polling"] })),
        (Kind::Node4, json!({})),
        (Kind::Node2, json!({ "transports": ["websocket"] })),
        (Kind::Node2, json!({ "transports": ["polling"] })),
        (Kind::Node2, json!({})),
        (Kind::Python, json!({ "transports": ["websocket"] })),
        (Kind::Python, json!({ "transports": ["polling"] })),
        (Kind::Python, json!({})),
    ]
}

/// The size of a JPEG picture, by decoding all of it.
fn decoded_size(jpeg: &[u8]) -> (usize, usize) {
    let mut decoder = zune_jpeg::JpegDecoder::new(zune_jpeg::zune_core::bytestream::ZCursor::new(jpeg));
    decoder.decode().expect("a whole JPEG");
    decoder.dimensions().expect("a size")
}

fn unbase64(text: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text.as_str().expect("text")).expect("base64")
}

/// The next `sensor_data` with a picture: decoded size, and what the event says of it.
fn picture(client: &Client) -> ((usize, usize), Value) {
    let event = client.find("a picture", |e| e.name == "sensor_data" && !e.args[0]["camera"].is_null());
    let camera = event.args[0]["camera"].clone();
    (decoded_size(&unbase64(&camera["frame"])), camera)
}

#[test]
fn every_client_gets_the_greeting_then_frames_and_status_in_order() {
    let gateway = Setup::default().start_ready();
    let url = gateway.url("robocar");
    for (kind, options) in clients() {
        let mut client = Client::connect(kind, &url, &options);
        let what = format!("{kind:?} {options}");
        eprintln!("{what}");
        let first = client.find("the first event of the server", |e| !e.name.starts_with('#'));
        let greeting = r#"[{"message":"Connected to robocar sensor stream","connected":true}]"#;
        assert_eq!(first.name, "status", "{what}");
        assert!(first.line.contains(greeting), "{what}: {}", first.line);

        let (size, camera) = picture(&client);
        assert_eq!(size, (640, 480), "{what}");
        assert_eq!((&camera["width"], &camera["height"]), (&json!(640), &json!(480)), "{what}");
        assert_eq!(camera["format"], "jpeg", "{what}");

        // Right after it comes its status; the keys of both are in the document's order.
        let data = client.find("a picture", |e| e.name == "sensor_data" && !e.args[0]["camera"].is_null());
        assert!(data.line.contains(r#""args":[{"timestamp":"#), "{what}: {:.80}", data.line);
        assert!(data.line.contains(r#","camera":{"frame":""#), "{what}: {:.80}", data.line);
        assert!(data.line.ends_with(r#"","width":640,"height":480,"format":"jpeg"}}]}"#), "{what}");
        let status = client.find("the tick's status", |e| !e.name.starts_with('#'));
        assert_eq!(status.name, "status", "{what}");
        let expected = r#","camera_connected":true,"clients_connected":1}]}"#;
        assert!(status.line.ends_with(expected), "{what}: {}", status.line);
        assert!(status.args[0]["timestamp"].as_f64() >= data.args[0]["timestamp"].as_f64(), "{what}");

        client.emit(&[json!("ping"), json!({})]);
        let pong = client.named("pong");
        assert!(pong.args[0]["timestamp"].as_f64().is_some_and(|t| t > 1.7e9), "{what}: {}", pong.line);
        client.emit(&[json!("ping")]);
        client.named("pong");
        client.emit(&[json!("nobody_knows_this"), json!([1, 2, 3])]);
        client.emit_with_ack(&[json!("ping"), json!({})]);
        client.find("an acknowledgement", |e| e.name == "#ack");
        client.close();
        until("it to be gone", || (gateway.metric("gantry_plugin_clients", "robocar") == 0.0).then_some(()));
    }
}

#[test]
fn ticks_come_at_the_publish_rate() {
    let gateway = Setup::default().env("GANTRY_PLUGINS__ROBOCAR__PUBLISH_RATE", "20").start_ready();
    let client =
        Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] }));
    let times: Vec<f64> = (0..60).filter_map(|_| client.status()["timestamp"].as_f64()).collect();
    let mut gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    // The median does not mind a busy machine, but a wrong rate or a drifting one is seen.
    let median = gaps[gaps.len() / 2];
    assert!((0.045..0.055).contains(&median), "median {median} s between ticks");
}

#[test]
fn clients_are_counted() {
    let gateway = Setup::default().start_ready();
    let url = gateway.url("robocar");
    let first = Client::connect(Kind::Node4, &url, &json!({ "transports": ["websocket"] }));
    let count = |n: u64| {
        first.find(&format!("{n} clients"), |e| e.args.first().is_some_and(|a| a["clients_connected"] == n));
    };
    count(1);
    let second = Client::connect(Kind::Node2, &url, &json!({}));
    count(2);
    let third = Client::connect(Kind::Node4, &url, &json!({ "transports": ["polling"] }));
    count(3);
    until("the metric to say so", || {
        (gateway.metric("gantry_plugin_clients", "robocar") == 3.0).then_some(())
    });
    second.close();
    count(2);
    third.close();
    count(1);
}

#[test]
fn nothing_is_encoded_while_nobody_watches() {
    let gateway = Setup::default().start_ready();
    let url = gateway.url("robocar");
    let encoded = || gateway.metric("gantry_camera_frames_encoded_total", "main");
    let captured = || gateway.metric("gantry_camera_frames_captured_total", "main");
    let before = captured();
    until("frames to be captured", || (captured() > before + 10.0).then_some(()));
    assert_eq!(encoded(), 0.0);
    let client = Client::connect(Kind::Node4, &url, &json!({}));
    picture(&client);
    client.close();
    until("the last watcher to be gone", || {
        (gateway.metric("gantry_plugin_clients", "robocar") == 0.0).then_some(())
    });
    // What was on its way when the client left may still come; then it stays quiet.
    let quiet = until("encoding to end", || {
        let (before, from) = (encoded(), captured());
        until("more frames to be captured", || (captured() > from + 10.0).then_some(()));
        (encoded() == before).then_some(before)
    });
    assert!(quiet > 0.0);
}

#[test]
fn binary_frames_are_attachments_on_request() {
    let gateway = Setup::default().start_ready();
    let url = gateway.url("robocar");
    for (kind, options) in [
        (Kind::Node4, json!({ "transports": ["websocket"], "auth": { "binary": true } })),
        (Kind::Node4, json!({ "transports": ["polling"], "query": { "binary": "1" } })),
        (Kind::Node2, json!({ "transports": ["websocket"], "query": { "binary": "1" } })),
        (Kind::Python, json!({ "transports": ["websocket"], "auth": { "binary": true } })),
    ] {
        let client = Client::connect(kind, &url, &options);
        let event = client.find("a binary picture", |e| {
            e.name == "sensor_data" && e.args[0]["camera"]["frame"]["$binary"].is_string()
        });
        let size = decoded_size(&unbase64(&event.args[0]["camera"]["frame"]["$binary"]));
        assert_eq!(size, (640, 480), "{kind:?} {options}");
        assert_eq!(event.args[0]["camera"]["format"], "jpeg");
        client.close();
    }
}

#[test]
fn sensor_blocks_come_from_state() {
    let gateway = Setup::with_config(
        r#"
        [cameras.main]
        source = "demo:"
        [plugins.robocar]
        bind = "127.0.0.1:0"
        blocks = { motion = "cameras/main/fps", lidar = "robot/lidar" }
        "#,
    )
    .start_ready();
    let client =
        Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] }));
    let data = client.find("a picture", |e| e.name == "sensor_data" && !e.args[0]["camera"].is_null());
    assert_eq!(data.args[0]["motion"], json!(30));
    assert_eq!(data.args[0].get("lidar"), Some(&Value::Null));
    let status = client.status();
    assert_eq!((&status["motion_connected"], &status["lidar_connected"]), (&json!(true), &json!(false)));
}

/// The client sees the camera go and come back, without being disconnected.
fn sees_the_camera_go_and_come_back(client: &Client) {
    client.find("the camera to be lost", |e| {
        assert!(!e.name.starts_with("#dis"), "disconnected: {}", e.line);
        e.args.first().is_some_and(|a| a["camera_connected"] == false)
    });
    // While there is no camera there is no sensor_data.
    let mut lost = 0;
    client.find("the camera to be back", |e| {
        assert!(!e.name.starts_with("#dis"), "disconnected: {}", e.line);
        let connected = e.args.first().map(|a| a["camera_connected"].clone());
        if connected == Some(json!(false)) {
            lost += 1;
            return false;
        }
        // It comes back with its first picture or with the first status that says so.
        connected == Some(json!(true)) || e.name == "sensor_data"
    });
    assert!(lost > 0);
    picture(client);
}

#[test]
fn a_camera_that_is_unplugged_comes_back_without_a_reconnect() {
    for fault in ["FAKEV4L2_UNPLUG_AFTER", "FAKEV4L2_STALL_AFTER"] {
        let mut setup = Setup::default().arg("--camera").arg("v4l2:///dev/fakevideo0");
        for (key, value) in camera::fake(setup.dir()) {
            setup = setup.env(&key, &value);
        }
        let once = if fault.contains("UNPLUG") { "FAKEV4L2_REPLUG" } else { "FAKEV4L2_STALL_ONCE" };
        let gateway = setup
            .env(fault, "90")
            .env(once, "1")
            .env("GANTRY_CAMERAS__MAIN__WIDTH", "320")
            .env("GANTRY_CAMERAS__MAIN__HEIGHT", "240")
            .start();
        let client =
            Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] }));
        assert_eq!(picture(&client).0, (320, 240), "{fault}");
        sees_the_camera_go_and_come_back(&client);
        assert!(gateway.metric("gantry_camera_restarts_total", "main") >= 1.0, "{fault}");
    }
}

#[test]
fn a_network_camera_is_lost_and_found_and_its_password_is_not_told() {
    let camera = camera::Rtsp::start(0);
    let port = camera.port();
    let uri = format!("rtsp://door:s3cret@127.0.0.1:{port}/door");
    let gateway = Setup::default().env("GANTRY_CAMERAS__MAIN__SOURCE", &uri).start();
    let client =
        Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] }));
    picture(&client);
    drop(camera);
    client.find("the camera to be lost", |e| {
        assert!(!e.name.starts_with("#dis"), "disconnected: {}", e.line);
        e.args.first().is_some_and(|a| a["camera_connected"] == false)
    });
    let _camera = camera::Rtsp::start(port);
    picture(&client);
    let told = gateway.log()
        + &gateway.admin("/cameras").1
        + &gateway.admin("/readyz").1
        + &gateway.admin("/metrics").1;
    assert!(!told.contains("s3cret"), "{told}");
}

#[test]
fn a_recording_is_a_camera() {
    let Some(video) = assets::find("video/bottles.mp4") else { return };
    let uri = format!("file://{}?loop=true", video.display());
    let gateway = Setup::default().arg("--camera").arg(&uri).start_ready();
    for (kind, options) in clients() {
        let client = Client::connect(kind, &gateway.url("robocar"), &options);
        let (size, camera) = picture(&client);
        assert_eq!(json!([size.0, size.1]), json!([camera["width"], camera["height"]]), "{kind:?} {options}");
        client.close();
    }
}

/// A WebSocket client that says hello and then never reads.
fn deaf(url: &str) -> TcpStream {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("a listener");
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut head = [0; 256];
    let n = stream.read(&mut head).expect("an answer");
    assert!(head[..n].starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head[..n]));
    // A masked text frame with `40`: connect to the namespace.
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'4', b'0']).expect("sent");
    stream
}

#[test]
fn viewers_that_do_not_read_cost_the_others_nothing_and_little_memory() {
    let gateway = Setup::default()
        .env("GANTRY_PLUGINS__ROBOCAR__PUBLISH_RATE", "60")
        .env("GANTRY_CAMERAS__MAIN__FPS", "60")
        .env("GANTRY_CAMERAS__MAIN__JPEG_QUALITY", "100")
        .start_ready();
    let url = gateway.url("robocar");
    let client = Client::connect(Kind::Node4, &url, &json!({ "transports": ["websocket"] }));
    let picture_size = picture(&client).1["frame"].as_str().expect("text").len() as u64;
    let before = gateway.resident();
    let stuck: Vec<_> = (0..20).map(|_| deaf(&url)).collect();
    client.find("all to be counted", |e| e.args.first().is_some_and(|a| a["clients_connected"] == 21));
    // Much more than sockets can hold is published before we look again.
    let published = gateway.metric("gantry_camera_frames_encoded_total", "main");
    until("frames to be published", || {
        (gateway.metric("gantry_camera_frames_encoded_total", "main") > published + 400.0).then_some(())
    });
    let grown = gateway.resident().saturating_sub(before);
    let allowed = 20 * (2 * picture_size + 65_536);
    assert!(grown < allowed, "20 stuck viewers cost {grown} bytes, pictures have {picture_size}");
    for _ in 0..100 {
        picture(&client);
    }
    drop(stuck);
    client.find("the stuck ones to be gone", |e| e.args.first().is_some_and(|a| a["clients_connected"] == 1));
}

#[test]
fn nonsense_is_answered_and_hurts_nobody() {
    let gateway = Setup::default().start_ready();
    let url = gateway.url("robocar");
    let address = url.trim_start_matches("http://").to_owned();
    let client = Client::connect(Kind::Node4, &url, &json!({ "transports": ["websocket"] }));
    picture(&client);
    let get = |path: &str| gantry_tests::http::get(&address, path);
    assert_eq!(get("/socket.io/?EIO=4&transport=carrier-pigeon").0, 400);
    assert_eq!(get("/socket.io/?EIO=9&transport=polling").0, 400);
    assert_eq!(get("/socket.io/?EIO=4&transport=polling&sid=never-given").0, 400);
    assert_eq!(get("/elsewhere").0, 404);
    for frame in [
        &[0x81, 0x82, 0, 0, 0, 0, b'9', b'9'][..],
        &[0x82, 0x81, 0, 0, 0, 0, 0xff],
        &[0x81, 0x85, 0, 0, 0, 0, b'4', b'5', b'9', b'9', b'-'],
        &[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        &[0xf1, 0x80, 1, 2, 3, 4],
    ] {
        let mut stream = deaf(&url);
        stream.write_all(frame).expect("sent");
    }
    let mut garbage = TcpStream::connect(&address).expect("a listener");
    garbage.write_all(&[0; 4096]).expect("sent");
    for _ in 0..10 {
        picture(&client);
    }
    assert_eq!(gateway.plugin("robocar").expect("reported")["restarts"], 0);
}

#[test]
fn a_browser_that_opens_the_address_is_shown_the_stream() {
    let gateway = Setup::default().start_ready();
    let url = gateway.url("robocar");
    let (status, page) = gantry_tests::http::get(url.trim_start_matches("http://"), "/");
    assert_eq!(status, 200);
    assert!(page.starts_with("<!doctype html>") && page.contains("socket.io/?EIO=4"), "{page}");
    // It must work on a network without the internet.
    assert!(!page.contains("https://") && !page.contains("//cdn"), "{page}");
}
