//! Records on a gateway whose clock leaps: by hours, by years, to 1970, and back. (Linux takes no time before 1970.)

use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::lpr::address;
use gantry_tests::{http, root, until};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const CONFIG: &str = "[cameras.main]\nsource = \"demo:?people=0\"\n[plugins.lpr]\nbind = \"127.0.0.1:0\"\n\
                      time_zone = \"UTC\"\n";
const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

/// The clock of the gateways that are given it.
struct Clock(PathBuf);

impl Clock {
    /// It is right.
    fn new(dir: &Path) -> Self {
        let library = dir.join("clock.so");
        let source = root().join("tests/tests/records_clock.c");
        let status =
            Command::new("cc").args(["-O1", "-fPIC", "-shared", "-o"]).arg(&library).arg(source).status();
        assert!(status.expect("a C compiler").success());
        let clock = Self(dir.join("clock"));
        clock.leap_to(0);
        clock
    }

    /// Seconds by which it is off from now on.
    fn leap_to(&self, seconds: i64) {
        // Written in place: the gateway has it in its memory.
        let file = fs::OpenOptions::new().create(true).write(true).truncate(false).open(&self.0);
        std::os::unix::fs::FileExt::write_all_at(&file.expect("opened"), &seconds.to_ne_bytes(), 0)
            .expect("written");
    }

    fn given(&self, setup: Setup) -> Setup {
        let library = self.0.with_file_name("clock.so");
        setup
            .env("LD_PRELOAD", &library.display().to_string())
            .env("GANTRY_TEST_CLOCK", &self.0.display().to_string())
    }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("it is right").as_secs())
        .expect("small")
}

/// Sends as many detections as said; their ids.
fn send(gateway: &Gateway, sent: &mut u32, count: u32) -> Vec<String> {
    let at = address(gateway);
    let mut one = || {
        *sent += 1;
        let detection = json!({
            "type": "detection_result", "camera_id": 1, "checkpoint_id": 1, "timestamp": "2024-12-19T10:00:00Z", "n": *sent,
            "annotated_image": "/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==".repeat(8),
        });
        let answer = http::post(&at, "/api/detection", &detection);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["detection_id"].as_str().expect("an id").to_owned()
    };
    (0..count).map(|_| one()).collect()
}

fn call(gateway: &Gateway, service: &str, request: &Value) -> Value {
    let done = gateway.run(&["call", service, &request.to_string()]);
    assert!(done.status.success(), "{service}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn count(gateway: &Gateway, collection: &str) -> u64 {
    call(gateway, "records.count", &json!({ "collection": collection }))["count"].as_u64().expect("a number")
}

fn get(gateway: &Gateway, path: &str) -> Value {
    let (status, text) = http::get(&address(gateway), path);
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The ids of all records, the newest first, as `GET /api/records` gives them.
fn listed(gateway: &Gateway) -> Vec<String> {
    let page = get(gateway, "/api/records?limit=1000");
    let records = page["records"].as_array().expect("records");
    records.iter().map(|record| record["record_id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn whatever_the_clock_does_ids_rise_consumers_miss_nothing_and_answers_are_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::new(folder.path());
    let mut gateway = clock.given(Setup::with_config(CONFIG)).start_ready();
    let open = json!({ "consumer": "uplink", "collections": ["detections"] });
    call(&gateway, "records.open", &open);
    let (mut sent, mut ids) = (0, Vec::new());
    let mut given: Vec<String> = Vec::new();
    let in_1970 = 5 * HOUR - now();
    for (round, leap) in
        [0, 5 * HOUR, -5 * HOUR, 10 * YEAR, 0, in_1970, YEAR, -YEAR, 0].into_iter().enumerate()
    {
        clock.leap_to(leap);
        ids.extend(send(&gateway, &mut sent, 3));
        if round % 2 == 1 {
            // It comes up with a clock that is off, and what was given last and not acknowledged is given again.
            gateway.restart();
            call(&gateway, "records.open", &open);
            ids.extend(send(&gateway, &mut sent, 2));
        }
        let stated = get(&gateway, "/api/test")["timestamp"].as_str().expect("a time").to_owned();
        let year = 1970.0 + (now() + leap) as f64 / (365.2425 * 24.0 * HOUR as f64);
        let stated_year: f64 = stated[..4].parse().expect("a year");
        assert!((stated_year - year).abs() < 1.1, "it says {stated} in the year {year}");
        loop {
            let next = call(&gateway, "records.next", &json!({ "consumer": "uplink", "limit": 2 }));
            let batch = next["records"].as_array().expect("records");
            let Some(last) = batch.last() else { break };
            given.extend(batch.iter().map(|record| record["id"].as_str().expect("an id").to_owned()));
            call(&gateway, "records.ack", &json!({ "consumer": "uplink", "up_to": last["id"] }));
        }
        let waiting = call(&gateway, "records.waiting", &json!({ "consumer": "uplink" }));
        assert_eq!(waiting, json!({ "count": 0, "oldest_age_ms": null }), "{leap}");
        // What was acknowledged is on the disk with the next group.
        call(&gateway, "records.append", &json!({ "collection": "other", "data": {} }));
        until("all detections in the statistics", || {
            let data = get(&gateway, "/api/statistics")["data"].clone();
            assert!(data["today_detections"].as_u64() <= data["total_detections"].as_u64(), "{data}");
            (data["total_detections"] == sent).then_some(())
        });
        assert_eq!(gateway.admin("/readyz").0, 200);
    }
    assert_eq!(ids.len(), sent as usize);
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:#?}");
    assert_eq!(given, ids, "in the order of appending, each once");
    ids.reverse();
    assert_eq!(listed(&gateway), ids);
    // The same row again has its first id, whatever the clock said when it came.
    let mut again = 1;
    assert_eq!(send(&gateway, &mut again, 2), [ids[ids.len() - 2].clone(), ids[ids.len() - 3].clone()]);
}

#[test]
fn a_day_that_comes_back_has_its_detections() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::new(folder.path());
    let mut gateway = clock.given(Setup::with_config(CONFIG)).start_ready();
    // In the middle of a day, so that it does not end meanwhile.
    let noon = 12 * HOUR - now().rem_euclid(24 * HOUR);
    let mut sent = 0;
    let today = |gateway: &Gateway| get(gateway, "/api/statistics")["data"]["today_detections"].clone();
    clock.leap_to(noon);
    send(&gateway, &mut sent, 3);
    assert_eq!(today(&gateway), 3);
    clock.leap_to(noon + 10 * YEAR);
    assert_eq!(today(&gateway), 0);
    send(&gateway, &mut sent, 2);
    assert_eq!(today(&gateway), 2);
    clock.leap_to(noon);
    assert_eq!(today(&gateway), 3);
    send(&gateway, &mut sent, 1);
    assert_eq!(today(&gateway), 4);
    gateway.restart();
    until("today's detections to be counted again", || (today(&gateway) == 4).then_some(()));
    let cameras = get(&gateway, "/api/cameras");
    assert_eq!(cameras["cameras"][0]["status"], "online", "{cameras}");
}

#[test]
fn a_leap_of_ten_years_and_back_wipes_nothing_and_what_is_too_old_goes_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::new(folder.path());
    let config = CONFIG.to_owned() + "[records.collections.brief]\nmax_age = \"1s\"\n";
    let mut gateway = clock.given(Setup::with_config(&config)).start_ready();
    call(&gateway, "records.append", &json!({ "collection": "brief", "data": {} }));
    // With a clock that goes as it should.
    until("what is too old to go", || (count(&gateway, "brief") == 0).then_some(()));
    let mut sent = 0;
    let before = send(&gateway, &mut sent, 5);
    for leap in [10 * YEAR, 0, 10 * YEAR] {
        clock.leap_to(leap);
        // The store looks for what is to go after so many appends at the latest.
        send(&gateway, &mut sent, 150);
        gateway.restart();
        send(&gateway, &mut sent, 150);
    }
    clock.leap_to(0);
    gateway.restart();
    assert_eq!(count(&gateway, "detections"), u64::from(sent));
    let listed = listed(&gateway);
    assert!(before.iter().all(|id| listed.contains(id)));
    gateway.signal("TERM");
    assert!(gateway.wait().success());
}

#[test]
fn a_gateway_that_starts_in_1970_keeps_what_it_gets_when_it_is_told_the_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::new(folder.path());
    clock.leap_to(HOUR - now());
    let mut gateway = clock.given(Setup::with_config(CONFIG)).start_ready();
    let mut sent = 0;
    let mut ids = send(&gateway, &mut sent, 5);
    clock.leap_to(0);
    ids.extend(send(&gateway, &mut sent, 150));
    assert!(gateway.log().contains("the clock has leapt: for a day nothing is removed for its age"));
    gateway.restart();
    ids.extend(send(&gateway, &mut sent, 150));
    ids.reverse();
    assert_eq!(listed(&gateway), ids);
    let records = get(&gateway, "/api/records?limit=1000");
    let first = &records["records"][304];
    assert!(first["received_at"].as_str().is_some_and(|time| time.starts_with("1970-01-01T01")), "{first}");
}
