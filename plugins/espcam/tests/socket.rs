//! The plugin behind the real border, and devices of both generations on real UDP sockets. The store's answers come when a
//! test lets them.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{Device, Firmware, picture};
use gantry_espcam::datagram::{Data, Request, end};
use gantry_espcam::gantry_plugin_v1;
use gantry_plugin::abi;
use gantry_plugin::test::{BlobService, Host};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// The store: what it keeps, and what it answers.
#[derive(Default)]
struct Store {
    kept: Vec<(Value, Vec<u8>)>,
    refuses: bool,
    drops: bool,
}

struct Rig {
    host: Host,
    store: Arc<Mutex<Store>>,
    address: String,
}

impl Rig {
    fn new() -> Self {
        Self::with(json!({}))
    }

    fn with(mut config: Value) -> Self {
        config["bind"] = json!("127.0.0.1:0");
        let store = Arc::new(Mutex::new(Store::default()));
        let shelf = store.clone();
        let append: BlobService = Box::new(move |request, blobs| {
            let mut store = shelf.lock().unwrap();
            if store.refuses {
                return Ok(json!({"refused": "full", "message": "the disk is full: make room"}));
            }
            let known = store.kept.iter().position(|(kept, _)| kept["dedup_key"] == request["dedup_key"]);
            if known.is_none() && !store.drops {
                store.kept.push((request.clone(), blobs[0].clone()));
            }
            Ok(
                json!({"id": format!("record-{}", store.kept.len()), "duplicate": known.is_some(), "dropped": store.drops}),
            )
        });
        let host = Host::start_with(&gantry_plugin_v1, config, |host| {
            host.offer_with_blobs("records.append", append);
            host.offer_with_blobs("pictures.look", Box::new(look));
            host.offer("endpoints.announce", Box::new(|_| Ok(json!({}))));
        })
        .expect("it starts");
        let announced = host.calls()[0].1["endpoints"][0]["url"].as_str().unwrap().to_owned();
        let address = announced.strip_prefix("udp://").expect("a UDP address").to_owned();
        Self { host, store, address }
    }

    fn socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(&self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Waits until something is so. The store's answers go their way only when `polling`.
    fn until(&mut self, polling: bool, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < end, "{what}");
            if polling {
                self.host.poll();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn kept(&self) -> usize {
        self.store.lock().unwrap().kept.len()
    }

    fn appends(&self) -> usize {
        self.host.calls().iter().filter(|(service, _)| service == "records.append").count()
    }
}

/// The detector `people` sees somebody in every picture; there is no other.
fn look(request: &Value, blobs: &[Vec<u8>]) -> Result<Value, String> {
    assert!(blobs.len() == 1 && request["within_ms"].is_u64(), "{request}");
    if request["detector"] != "people" {
        return Err(format!("there is no detector {}", request["detector"]));
    }
    let objects = json!([{"class": "person", "score": 0.9, "box": [0.1, 0.2, 0.3, 0.4]}]);
    Ok(json!({"objects": objects, "width": 640, "height": 480, "duration_ms": 12.5}))
}

fn hear(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).expect("a reply");
    buffer[..length].to_vec()
}

fn ask(socket: &UdpSocket, datagram: &[u8]) -> Vec<u8> {
    socket.send(datagram).unwrap();
    hear(socket)
}

/// Sends everything of a picture in three packets of 100 bytes but its last packet, which is returned.
fn begin(socket: &UdpSocket, device: u8, picture: &[u8]) -> Vec<u8> {
    let request = Request { device, packets: 3, largest: 108, size: &[] };
    assert_eq!(ask(socket, &request.encode()), [1, device, 1, 0, 3, 0, 0, 0, 108]);
    let packets: Vec<_> = (0..)
        .zip(picture.chunks(100))
        .map(|(index, bytes)| Data { device, index, length: bytes.len() as u32, bytes }.encode())
        .collect();
    for (index, packet) in (0..2).zip(&packets) {
        assert_eq!(ask(socket, packet), [1, device, 2, index, 0, 0, 0, 0, 100]);
    }
    packets[2].clone()
}

fn silent(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    let silent = socket.recv(&mut [0; 64]).is_err();
    socket.set_nonblocking(false).unwrap();
    silent
}

#[test]
fn the_last_packet_is_acknowledged_when_the_record_is_durable_and_the_picture_is_told_then() {
    let mut rig = Rig::new();
    let (socket, bytes) = (rig.socket(), picture(250, 1));
    let last = begin(&socket, 7, &bytes);
    socket.send(&last).unwrap();
    rig.until(false, "it is to be stored", |rig| rig.appends() == 1);
    // A slow store: the device asks again, and other datagrams are answered.
    socket.send(&last).unwrap();
    let other = rig.socket();
    assert_eq!(ask(&other, &end(9, 1)), [1, 9, 3, 1, 0]);
    assert!(silent(&socket) && rig.host.published().is_empty());
    rig.host.poll();
    assert_eq!(hear(&socket), [1, 7, 2, 2, 0, 0, 0, 0, 50]);
    assert_eq!(ask(&socket, &last), [1, 7, 2, 2, 0, 0, 0, 0, 50], "and again when it is repeated");
    let (record, kept) = rig.store.lock().unwrap().kept[0].clone();
    assert_eq!(kept, bytes);
    let data = &record["data"];
    assert_eq!((&record["collection"], &record["hook"]), (&json!("pictures"), &json!("on_picture")));
    assert_eq!((&data["device"], &data["bytes"], &data["packets"]), (&json!(7), &json!(250), &json!(3)));
    assert_eq!((&data["width"], &data["height"]), (&json!(640), &json!(480)));
    assert_eq!(data["source"], json!(socket.local_addr().unwrap().to_string()));
    rig.until(true, "others are told", |rig| !rig.host.published().is_empty());
    let (topic, message) = rig.host.published()[0].clone();
    let message: Value = serde_json::from_slice(&message).unwrap();
    assert_eq!(
        (topic.as_str(), &message["record"], &message["bytes"]),
        ("pictures/7", &json!("record-1"), &json!(250))
    );
    assert_eq!((rig.kept(), rig.appends()), (1, 1));
}

#[test]
fn a_refused_record_is_a_negative_reply_and_degraded_health_until_the_store_takes_it() {
    let mut rig = Rig::new();
    let (socket, bytes) = (rig.socket(), picture(250, 1));
    rig.store.lock().unwrap().refuses = true;
    let last = begin(&socket, 7, &bytes);
    socket.send(&last).unwrap();
    rig.until(false, "it is to be stored", |rig| rig.appends() == 1);
    rig.host.poll();
    assert_eq!(hear(&socket), [1, 7, 2, 2, 3, 0, 0, 0, 50]);
    let (health, text) = rig.host.health().unwrap();
    assert!(health == abi::HEALTH_DEGRADED && text.ends_with("the disk is full: make room"), "{text}");
    assert_eq!((rig.kept(), rig.host.published().len()), (0, 0));
    rig.store.lock().unwrap().refuses = false;
    // Newer firmware asks whether it is done.
    let end = Instant::now() + PATIENCE;
    loop {
        socket.send(&gantry_espcam::datagram::end(7, 3)).unwrap();
        // It comes when the store has been asked again, and that needs a poll.
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut reply = [0; 32];
        match socket.recv(&mut reply) {
            Ok(4) if reply[3] == 0 => break,
            Ok(length) => assert_eq!(reply[..length], [1, 7, 3, 1, 2], "as if the last one had not come"),
            Err(_) => rig.host.poll(),
        }
        assert!(Instant::now() < end, "it is never done");
    }
    assert_eq!(rig.kept(), 1);
    rig.until(true, "it is well again", |rig| rig.host.health().unwrap().0 == abi::HEALTH_OK);
}

#[test]
fn a_picture_is_looked_at_before_it_is_stored_and_stored_also_when_that_fails() {
    for (detector, analysis, people) in [
        (
            "people",
            json!({"detector": "people", "people": 1, "duration_ms": 12.5,
                "objects": [{"class": "person", "score": 0.9, "box": [0.1, 0.2, 0.3, 0.4]}]}),
            json!(1),
        ),
        ("cats", json!({"detector": "cats", "error": "there is no detector \"cats\""}), json!(null)),
    ] {
        let mut rig = Rig::with(json!({"analysis": detector}));
        let (socket, bytes) = (rig.socket(), picture(250, 1));
        let last = begin(&socket, 7, &bytes);
        socket.send(&last).unwrap();
        rig.until(true, "it is stored", |rig| rig.kept() == 1);
        rig.host.poll();
        assert_eq!(hear(&socket), [1, 7, 2, 2, 0, 0, 0, 0, 50]);
        let (record, kept) = rig.store.lock().unwrap().kept[0].clone();
        assert_eq!((&kept, &record["data"]["analysis"]), (&bytes, &analysis));
        // The device is told first.
        rig.until(true, "others are told", |rig| !rig.host.published().is_empty());
        let message: Value = serde_json::from_slice(&rig.host.published()[0].1).unwrap();
        assert_eq!((message.get("people"), &message["record"]), (Some(&people), &json!("record-1")));
        let figure = if people.is_null() { "unlooked_pictures" } else { "looked_pictures" };
        rig.until(true, "it is counted", |rig| rig.host.metric(figure) == Some(1.0));
    }
}

#[test]
fn a_gateway_without_a_store_acknowledges_no_picture() {
    let mut config = json!({});
    config["bind"] = json!("127.0.0.1:0");
    let host = Host::start(&gantry_plugin_v1, config).expect("it starts");
    let text = host.health().unwrap().1;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(text.strip_prefix("listening on ").unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let last = begin(&socket, 7, &picture(250, 1));
    assert_eq!(ask(&socket, &last)[4], 3);
}

#[test]
fn a_dropped_picture_is_acknowledged_and_not_told() {
    let mut rig = Rig::new();
    rig.store.lock().unwrap().drops = true;
    let socket = rig.socket();
    let last = begin(&socket, 7, &picture(250, 1));
    socket.send(&last).unwrap();
    rig.until(false, "it is to be stored", |rig| rig.appends() == 1);
    rig.host.poll();
    assert_eq!(hear(&socket), [1, 7, 2, 2, 0, 0, 0, 0, 50]);
    assert!(rig.host.published().is_empty() && rig.kept() == 0);
}

#[test]
fn what_is_malformed_is_counted_and_poisons_nothing() {
    let mut rig = Rig::new();
    let socket = rig.socket();
    let last = begin(&socket, 7, &picture(250, 1));
    for datagram in [&[][..], &[2, 7, 1, 1], &[1, 7, 9], &[1, 7, 3, 0], &[0, 1, 2], &[1, 7, 0, 0]] {
        socket.send(datagram).unwrap();
    }
    assert_eq!(ask(&socket, &[1, 7, 1, 4]), [1, 7, 1, 3, 4, 0, 0, 0, 0]);
    socket.send(&last).unwrap();
    rig.until(false, "it is stored", |rig| rig.kept() == 1);
    rig.host.poll();
    assert_eq!(hear(&socket)[..5], [1, 7, 2, 2, 0]);
    rig.until(true, "it is counted", |rig| rig.host.metric("completed_pictures") == Some(1.0));
    assert_eq!(rig.host.metric("malformed_datagrams"), Some(5.0));
    assert_eq!(rig.host.metric("datagrams"), Some(11.0));
    assert_eq!(rig.host.metric("picture_bytes"), Some(250.0));
    rig.until(true, "nothing is open", |rig| rig.host.metric("open_transfers") == Some(0.0));
}

/// Runs devices, each on a socket of its own, until all are done.
fn run_devices(rig: &mut Rig, mut devices: Vec<Device>, lost_percent: u64) {
    let sockets: Vec<_> = devices.iter().map(|_| rig.socket()).collect();
    sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
    // The devices' clock goes a hundred times as fast as ours: they wait for seconds.
    let (start, mut state, mut buffer) = (Instant::now(), 1_u64, [0; 2048]);
    let mut lost = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 100 < lost_percent
    };
    while !devices.iter().all(Device::is_done) {
        assert!(start.elapsed() < PATIENCE * 3, "somebody never gets done");
        for (device, socket) in devices.iter_mut().zip(&sockets) {
            let now = start.elapsed() * 100;
            let mut said = if device.due <= now { device.act(now) } else { Vec::new() };
            while let Ok(length) = socket.recv(&mut buffer) {
                if !lost() {
                    said.extend(device.hear(&buffer[..length], now));
                }
            }
            for datagram in said {
                if !lost() {
                    let _ = socket.send(&datagram);
                }
            }
        }
        rig.host.poll();
    }
}

#[test]
fn sixty_devices_of_both_generations_store_every_picture_exactly_once() {
    for lost_percent in [0, 5] {
        let mut rig = Rig::new();
        let devices: Vec<_> = (0..60_u8)
            .map(|number| {
                let firmware = Firmware {
                    newer: number % 2 == 0,
                    one_too_many: number % 3 == 0,
                    tells_size: number % 5 == 0,
                    largest: 1032,
                };
                // A third of them exact multiples.
                let bytes = 1024 * 8 + if number % 3 == 0 { 0 } else { usize::from(number) };
                Device::new(number, picture(bytes, number.into()), firmware, Duration::ZERO)
            })
            .collect();
        let sent: BTreeSet<Vec<u8>> = devices.iter().map(|device| device.picture.clone()).collect();
        run_devices(&mut rig, devices, lost_percent);
        let kept: Vec<_> = rig.store.lock().unwrap().kept.iter().map(|(_, bytes)| bytes.clone()).collect();
        assert_eq!((kept.len(), kept.iter().collect::<BTreeSet<_>>()), (60, sent.iter().collect()));
        rig.until(true, "all are told", |rig| rig.host.published().len() == 60);
    }
}

#[test]
fn ten_thousand_requests_of_nobody_keep_nobody_out() {
    let mut rig = Rig::with(json!({"limits": {"transfers": 64, "transfers_per_address": 32}}));
    let socket = rig.socket();
    let last = begin(&socket, 7, &picture(250, 1));
    let flood: Vec<_> = (0..40).map(|_| rig.socket()).collect();
    for round in 0..=249_u8 {
        for socket in &flood {
            socket.send(&Request { device: round, packets: 255, largest: 1460, size: &[] }.encode()).unwrap();
        }
        // It goes at the pace of the answers, or the system would drop what proves something.
        hear(&flood[0]);
    }
    socket.send(&last).unwrap();
    rig.until(false, "it is stored", |rig| rig.kept() == 1);
    rig.host.poll();
    assert_eq!(hear(&socket)[..5], [1, 7, 2, 2, 0]);
    rig.until(true, "it is counted", |rig| {
        rig.host.metric("refused_requests").is_some_and(|count| count > 100.0)
    });
    assert!(rig.host.metric("open_transfers").unwrap() <= 32.0);
}

#[test]
fn a_port_in_use_is_an_error_with_the_next_step() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let error = Host::start(&gantry_plugin_v1, json!({"bind": bind})).err().expect("it cannot start");
    assert!(
        error.starts_with(&format!("cannot listen on {bind} (UDP): ")) && error.ends_with("or change `bind`"),
        "{error}"
    );
}

#[test]
fn findings_name_the_key() {
    let findings = Host::validate(&gantry_plugin_v1, &json!({"limits": {"transfers": 0}}));
    assert_eq!(findings[0].path, "limits.transfers");
}
