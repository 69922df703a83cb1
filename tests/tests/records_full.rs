//! Records on a disk that gets full, is full, and has room again: nothing that was answered well is lost, and the rest goes on.
//!
//! The gateway's state is on a disk of 32 MiB in memory. To mount it a test runs itself again in a namespace of its own; where
//! that is not allowed it says that it skips.

use gantry_tests::client::{Client, Kind};
use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::{http, people, until, websocket};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

const CHILD: &str = "GANTRY_TEST_SMALL_DISK";
const MIB: u64 = 1 << 20;

/// Runs a test where `disk` is a small one.
fn on_a_small_disk(test: &str, run: impl FnOnce(Disk)) {
    if let Some(dir) = std::env::var_os(CHILD) {
        return run(Disk(dir.into()));
    }
    let dir = tempfile::tempdir().expect("a folder");
    let script = "mount -t tmpfs -o size=32m tmpfs \"$1\" || exit 42; shift; exec \"$@\"";
    let done = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().expect("a path"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, dir.path())
        .output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Ok(done) = &done {
        eprintln!("{}{}", text(&done.stdout), text(&done.stderr));
    }
    match done.map(|done| (done.status.code(), text(&done.stdout))) {
        Ok((Some(0), said)) => assert!(said.contains("1 passed"), "the test has another name: {said}"),
        Err(_) | Ok((Some(42 | 1), _)) if !can_mount() => {
            eprintln!("SKIPPED: no small disk can be mounted here (unshare --user --mount)");
        }
        other => panic!("the test on a small disk ended with {other:?}"),
    }
}

fn can_mount() -> bool {
    let script = "mount -t tmpfs tmpfs /mnt";
    let tried =
        Command::new("unshare").args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).status();
    tried.is_ok_and(|status| status.success())
}

/// The small disk.
struct Disk(PathBuf);

impl Disk {
    /// Puts the state of a gateway on it, but for the copies of plugins, which are larger.
    fn take(&self, setup: &Setup) {
        let state = self.0.join("state");
        let plugins = setup.dir().join("plugins");
        for folder in [&state, &plugins] {
            fs::create_dir_all(folder).expect("a folder");
        }
        symlink(plugins, state.join("plugins")).expect("a link");
        symlink(&state, setup.dir().join("state")).expect("a link");
    }

    fn free(&self) -> u64 {
        let shown =
            Command::new("df").args(["--output=avail", "-B1"]).arg(&self.0).output().expect("df runs");
        let text = String::from_utf8(shown.stdout).expect("text");
        text.split_whitespace().last().and_then(|free| free.parse().ok()).expect("a number")
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Leaves as much room as said, or less.
    fn leave(&self, bytes: u64) {
        let mut filler = OpenOptions::new().append(true).create(true).open(self.filler()).expect("a filler");
        while let over @ 1.. = self.free().saturating_sub(bytes) {
            let piece = vec![0; usize::try_from(over.min(MIB)).expect("small")];
            // The gateway may take what there is before us.
            if filler.write_all(&piece).is_err() {
                break;
            }
        }
    }

    /// Takes what there is, to the last byte.
    fn fill(&self) {
        self.leave(0);
    }

    /// Makes room: only so much of it stays filled.
    fn make_room(&self, filled: u64) {
        File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.filler())
            .expect("a filler")
            .set_len(filled)
            .expect("shorter");
    }
}

fn address(gateway: &Gateway, plugin: &str) -> String {
    gateway.url(plugin).rsplit('/').next().unwrap_or_default().to_owned()
}

fn call(gateway: &Gateway, service: &str, request: &Value) -> Value {
    let done = gateway.run(&["call", service, &request.to_string()]);
    assert!(done.status.success(), "{service}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

/// A detection with a picture of so many bytes, which differs by `n`.
fn detection(n: u32, picture: usize) -> Value {
    use base64::Engine;
    let picture: Vec<u8> = (0..picture as u32).map(|i| (i.wrapping_mul(n | 1) >> 3) as u8).collect();
    json!({
        "type": "detection_result", "camera_id": 7, "checkpoint_id": "north", "timestamp": "2026-11-21 10:00:00", "n": n,
        "annotated_image": base64::engine::general_purpose::STANDARD.encode(picture),
    })
}

/// What is the matter with a part, as the admin listener tells.
fn note(gateway: &Gateway, part: &str) -> Option<String> {
    let (_, text) = gateway.admin("/readyz");
    text.lines().find_map(|line| line.strip_prefix(&format!("{part}: "))).map(str::to_owned)
}

fn counted(gateway: &Gateway) -> u64 {
    let counts = call(gateway, "counts.read", &json!({}));
    counts["count_in"].as_u64().expect("a number") + counts["count_out"].as_u64().expect("a number")
}

/// A device that uploads a picture of one packet.
struct Device(UdpSocket, u8);

impl Device {
    fn new(gateway: &Gateway, id: u8) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(address(gateway, "espcam")).expect("connected");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        Self(socket, id)
    }

    fn ask(&self, message: &[u8]) -> Vec<u8> {
        until("a reply to a datagram", || {
            self.0.send(message).expect("sent");
            let mut buffer = [0; 64];
            while let Ok(length) = self.0.recv(&mut buffer) {
                if buffer[1..3] == [self.1, message[2]] {
                    return Some(buffer[..length].to_vec());
                }
            }
            None
        })
    }

    fn picture(seed: u8) -> Vec<u8> {
        [vec![0xff, 0xd8], vec![seed; 900], vec![0xff, 0xd9]].concat()
    }

    /// Whether the whole picture is acknowledged, by the reply to its packet and by that to the end.
    fn upload(&self, seed: u8) -> (bool, bool) {
        let picture = Self::picture(seed);
        assert_eq!(self.ask(&[1, self.1, 1, 1, 0, 0, 4, 0])[3], 0, "the request is accepted");
        let length = u32::try_from(picture.len()).expect("small").to_be_bytes();
        let packet = self.ask(&[&[1, self.1, 2, 0][..], &length, &picture].concat());
        (packet[4] == 0, self.ask(&[1, self.1, 3, 1])[3] == 0)
    }
}

fn shown(gateway: &Gateway) -> BTreeMap<String, Value> {
    let at = address(gateway, "lpr");
    let (mut all, mut before) = (BTreeMap::new(), String::new());
    loop {
        let (status, text) = http::get(&at, &format!("/api/records?limit=1000{before}"));
        assert_eq!(status, 200, "{text}");
        let page: Value = serde_json::from_str(&text).expect("JSON");
        let records = page["records"].as_array().expect("records");
        let Some(last) = records.last() else { return all };
        before = format!("&before={}", last["record_id"].as_str().expect("an id"));
        for record in records {
            let id = record["record_id"].as_str().expect("an id").to_owned();
            assert!(all.insert(id, record.clone()).is_none(), "twice: {record}");
        }
    }
}

/// Everything that was answered well is there, with its picture, and nothing is there twice.
fn check(gateway: &Gateway, answered: &BTreeMap<String, Value>) {
    let kept = shown(gateway);
    for (id, sent) in answered {
        let record = kept.get(id).unwrap_or_else(|| panic!("{id} was answered and is gone"));
        for (key, value) in sent.as_object().expect("an object") {
            assert!(&record[key] == value, "{key} of {id}");
        }
    }
}

#[test]
fn every_way_in_says_that_there_is_no_room_and_takes_again_when_there_is() {
    on_a_small_disk("every_way_in_says_that_there_is_no_room_and_takes_again_when_there_is", |disk| {
        let config = people::config(people::BUSY)
            + people::LINE
            + "[records]\nmin_free_bytes = 4_194_304\n[plugins.lpr]\nbind = \"127.0.0.1:0\"\n\
               [plugins.espcam]\nbind = \"127.0.0.1:0\"\n[plugins.robocar]\nbind = \"127.0.0.1:0\"\n";
        let setup = Setup::with_config(&config);
        disk.take(&setup);
        let mut gateway = setup.start_ready();
        let at = address(&gateway, "lpr");
        let mut camera = Client::connect(Kind::Python, &format!("http://{at}"), &json!({}));
        camera.named("#connect");
        let mut older = websocket::Client::connect(websocket::Kind::Node, &format!("ws://{at}/"));
        let viewer = Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({}));
        let device = Device::new(&gateway, 9);
        let (mut n, mut answered) = (0, BTreeMap::new());
        let mut fresh = || {
            n += 1;
            detection(n, 100_000)
        };
        let rest = |sent: &Value| http::post(&at, "/api/detection", sent);
        for round in 0..2u8 {
            // There is room.
            let sent = fresh();
            let answer = rest(&sent);
            assert_eq!(answer.status, 200, "{answer:?}");
            answered.insert(answer.json()["detection_id"].as_str().expect("an id").to_owned(), sent);
            assert_eq!(device.upload(10 * round), (true, true));
            assert_eq!(note(&gateway, "records/space"), None);

            // It gets scarce, and that is said while everything is taken.
            disk.leave(6 * MIB);
            let said = until("scarce room to be told", || note(&gateway, "records/space"));
            assert!(said.contains("gets full") && said.contains("below 4 MiB"), "{said}");
            let sent = fresh();
            camera.emit(&[json!("lpr_data"), sent.clone()]);
            let id = camera.named("lpr_response").args[0]["detection_id"].clone();
            answered.insert(id.as_str().expect("an id").to_owned(), sent);

            // There is none: each way says so in its own words, and only what was taken is counted.
            disk.leave(if round == 0 { 3 * MIB } else { 0 });
            let refused = fresh();
            let answer = rest(&refused);
            assert_eq!((answer.status, &answer.json()["success"]), (507, &json!(false)), "{answer:?}");
            assert!(answer.body.contains("there is no room"), "{}", answer.body);
            camera.emit_with_ack(&[json!("lpr_data"), fresh()]);
            // This client tells of both on threads of their own.
            let mut both = [camera.next(), camera.next()];
            both.sort_by(|a, b| a.name.cmp(&b.name));
            let [ack, error] = both;
            assert!(error.name == "error" && error.line.contains("there is no room"), "{}", error.line);
            assert!(ack.name == "#ack" && ack.args[0]["success"] == false, "{}", ack.line);
            let told: Value = serde_json::from_str(&older.ask(&fresh())).expect("JSON");
            assert_eq!(told["status"], "error", "{told}");
            assert_eq!(device.upload(10 * round + 1), (false, false));
            let said = until("the full disk to be told", || {
                note(&gateway, "records/space").filter(|said| said.contains("is full"))
            });
            assert!(said.contains("make room"), "{said}");
            assert!(note(&gateway, "plugin/lpr").is_some_and(|said| said.contains("messages are refused")));
            let (status, text) = http::get(&at, "/api/statistics");
            let statistics: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!((status, &statistics["data"]["total_detections"]), (200, &json!(answered.len())));
            check(&gateway, &answered);

            // The rest goes on: pictures flow, people are counted, and that no record tells of them is said.
            let before = counted(&gateway);
            until("people to be counted", || (counted(&gateway) > before).then_some(()));
            let lost = until("lost records to be told", || note(&gateway, "records"));
            assert!(lost.contains("is full"), "{lost}");
            let now = viewer.status()["timestamp"].as_f64().expect("a time");
            viewer.find("a new picture", |event| {
                event.name == "sensor_data" && event.args[0]["timestamp"].as_f64() > Some(now)
            });
            assert!(gateway.log().contains("the disk is full, records are refused: make room"));

            if round == 1 {
                // A gateway that is started on a full disk runs, and what was answered is there.
                gateway.restart();
                until("the statistics", || (address(&gateway, "lpr") != at).then_some(()));
                check(&gateway, &answered);
                let answer = http::post(&address(&gateway, "lpr"), "/api/detection", &refused);
                assert_eq!(answer.status, 507);
                break;
            }

            // There is room again: all are taken without anybody doing anything.
            disk.make_room(0);
            until("a detection to be taken", || (rest(&refused).status == 200).then_some(()));
            let id = rest(&refused).json()["detection_id"].as_str().expect("an id").to_owned();
            answered.insert(id, refused);
            let id = until("another", || {
                let told: Value = serde_json::from_str(&older.ask(&detection(500, 10))).ok()?;
                told["data"]["detection_id"].as_str().map(str::to_owned)
            });
            answered.insert(id, detection(500, 10));
            // It asks whether its picture is there, as devices do.
            until("the picture to be acknowledged", || (device.ask(&[1, 9, 3, 1])[3] == 0).then_some(()));
            until("the trouble to be over", || {
                let parts = ["records", "records/space", "plugin/lpr"];
                parts.iter().all(|part| note(&gateway, part).is_none()).then_some(())
            });
        }
        disk.make_room(0);
        let at = address(&gateway, "lpr");
        let sent = fresh();
        let id = until("a detection to be taken", || {
            http::post(&at, "/api/detection", &sent).json()["detection_id"].as_str().map(str::to_owned)
        });
        answered.insert(id, sent);
        check(&gateway, &answered);
        let pictures = call(&gateway, "records.count", &json!({ "collection": "pictures" }));
        assert!(pictures["count"].as_u64() >= Some(3), "{pictures}");
    });
}

/// Sends until it is told to stop; what was answered well goes to `answered`.
fn send_until(stop: &AtomicBool, at: &str, first: u32, answered: &std::sync::mpsc::Sender<(String, Value)>) {
    for n in first.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Without a picture, with one in the database, and with one in a file.
        let sent = detection(n, [0, 6_000, 200_000, 40_000][n as usize % 4]);
        let body = sent.to_string();
        let head = format!(
            "POST /api/detection HTTP/1.1\r\nHost: {at}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut text = String::new();
        let told = TcpStream::connect(at).and_then(|mut stream| {
            stream.write_all((head + &body).as_bytes())?;
            stream.read_to_string(&mut text)
        });
        // It was killed.
        if told.is_err() || text.is_empty() {
            return;
        }
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        let told: Value = serde_json::from_str(body).expect("JSON");
        match head.split(' ').nth(1) {
            Some("200") => {
                let id = told["detection_id"].as_str().expect("an id").to_owned();
                answered.send((id, sent)).expect("somebody who collects");
            }
            // No room, or too many wait for it.
            Some("507" | "503") => assert_eq!(told["success"], false, "{told}"),
            _ => panic!("{head}"),
        }
    }
}

#[test]
fn a_disk_that_is_full_to_the_last_byte_at_any_moment_makes_no_false_success() {
    on_a_small_disk("a_disk_that_is_full_to_the_last_byte_at_any_moment_makes_no_false_success", |disk| {
        // Without a floor it is the disk itself that refuses: in a file, in the log, in the database.
        let config = "[records]\nmin_free_bytes = 0\nmax_bytes = 12_000_000\nhealth_interval = \"1s\"\n\
                      [cameras.main]\nsource = \"demo:?people=0\"\n[plugins.lpr]\nbind = \"127.0.0.1:0\"\n";
        let setup = Setup::with_config(config);
        disk.take(&setup);
        let mut gateway = setup.start_ready();
        let mut all = BTreeMap::new();
        for round in 0..6u32 {
            let at = address(&gateway, "lpr");
            let stop = AtomicBool::new(false);
            let (tell, told) = channel();
            std::thread::scope(|scope| {
                for sender in 0..3 {
                    let (at, tell, stop) = (at.clone(), tell.clone(), &stop);
                    scope.spawn(move || send_until(stop, &at, round * 30_000 + sender * 10_000, &tell));
                }
                drop(tell);
                for step in 0..8u32 {
                    // Step by step, and back again, while they send.
                    for room in (0..6).rev() {
                        disk.leave(room * 300_000 + u64::from(step) * 1000);
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    disk.fill();
                    disk.make_room(u64::from(step) * MIB);
                }
                if round % 2 == 0 {
                    disk.fill();
                }
                gateway.signal("KILL");
                stop.store(true, Ordering::Relaxed);
                all.extend(told.iter());
            });
            if round % 4 == 0 {
                disk.make_room(0);
            }
            gateway.restart();
            disk.make_room(0);
            // What is older than what is kept has gone.
            let kept = shown(&gateway);
            let oldest = kept.keys().next().expect("records");
            all.retain(|id, _| id >= oldest);
            check(&gateway, &all);
            until("a detection to be taken", || {
                let answer =
                    http::post(&address(&gateway, "lpr"), "/api/detection", &detection(900_000 + round, 100));
                (answer.status == 200).then_some(())
            });
        }
        assert!(all.len() > 50, "{}", all.len());
        gateway.signal("TERM");
        assert!(gateway.wait().success());
        assert!(Path::new(&disk.0).join("state/records").is_dir());
    });
}

#[test]
fn a_gateway_that_ended_well_on_a_disk_without_a_byte_free_starts_again_serves_and_recovers() {
    on_a_small_disk(
        "a_gateway_that_ended_well_on_a_disk_without_a_byte_free_starts_again_serves_and_recovers",
        |disk| {
            let config = "[records]\nmin_free_bytes = 4_194_304\n[cameras.main]\nsource = \"demo:?people=0\"\n\
                          [plugins.lpr]\nbind = \"127.0.0.1:0\"\n";
            let setup = Setup::with_config(config);
            disk.take(&setup);
            let mut gateway = setup.start_ready();
            let send = |gateway: &Gateway, n: u32| {
                http::post(&address(gateway, "lpr"), "/api/detection", &detection(n, 100_000))
            };
            let mut all = BTreeMap::new();
            for n in 0..4 {
                // Every second time it starts on a disk that has been full since.
                if n % 2 == 0 {
                    disk.make_room(0);
                    let id = until("a detection to be taken", || {
                        send(&gateway, n).json()["detection_id"].as_str().map(str::to_owned)
                    });
                    all.insert(id, detection(n, 100_000));
                }
                disk.fill();
                assert_eq!(send(&gateway, 100).status, 507);
                gateway.signal("TERM");
                assert!(gateway.wait().success());
                // What the end gave back is taken as well.
                disk.fill();
                gateway.restart();
                check(&gateway, &all);
                assert_eq!(send(&gateway, 100).status, 507);
            }
            disk.make_room(0);
            until("another to be taken", || (send(&gateway, 100).status == 200).then_some(()));
            check(&gateway, &all);
            gateway.signal("TERM");
            assert!(gateway.wait().success());
        },
    );
}
