//! The LPR uplink through the built gateway: to a second gateway, and to a python-socketio server in all weathers.

use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::lpr::{address, send_until_gone};
use gantry_tests::nats::free_port;
use gantry_tests::upstream::Upstream;
use gantry_tests::{http, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// No camera: what is sent comes from outside.
const LPR: &str = "[plugins.lpr]\nbind = \"127.0.0.1:0\"\n";

fn with_uplink(url: &str, more: &str) -> String {
    format!(
        "{LPR}[plugins.lpr-uplink]\nurl = \"{url}\"\ncollections = [\"detections\", \"health\"]\n\
         retry_interval_s = 1\nreturn_interval_s = 1\n{more}\n"
    )
}

/// Base64 of some bytes that are no others'.
fn picture(n: u32) -> String {
    (0..40).map(|i| format!("{:04}", (n + i) % 10_000)).collect()
}

fn detection(n: u32) -> Value {
    json!({
        "type": "detection_result", "camera_id": 7, "checkpoint_id": "gate",
        "timestamp": format!("2026-11-21T10:{:02}:{:02}.{:03}Z", n / 60_000 % 60, n / 1000 % 60, n % 1000),
        "vehicles_count": 1, "plates_count": 1, "ocr_results": [format!("AB {n} CD")], "number": n,
        "confidence": 0.123_456_789_012_345_67, "annotated_image": picture(n), "cropped_plates": [picture(n + 1), "short"],
    })
}

fn health(n: u32) -> Value {
    json!({
        "type": "health_check", "camera_id": "8", "checkpoint_id": "gate", "timestamp": format!("check {n}"),
        "component": "lens", "status": "healthy", "message": "well", "details": {"cpu_usage": 45.2},
    })
}

/// Sends a detection to a gateway; its id there.
fn put(at: &str, detection: &Value) -> String {
    let answer = http::post(at, "/api/detection", detection);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["detection_id"].as_str().expect("an id").to_owned()
}

fn put_all(at: &str, numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| put(at, &detection(n))).collect()
}

/// All detections of a gateway, oldest first.
fn detections(at: &str) -> Vec<Value> {
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let (status, text) = http::get(at, &format!("/api/records?limit=500{before}"));
        assert_eq!(status, 200, "{text}");
        let mut page: Value = serde_json::from_str(&text).expect("JSON");
        let Value::Array(records) = page["records"].take() else { panic!("{page}") };
        let Some(last) = records.last() else { break };
        before = format!("&before={}", last["detection_id"].as_str().expect("an id"));
        all.extend(records);
    }
    all.reverse();
    all
}

/// The state of the uplink, in a sentence.
fn message(gateway: &Gateway) -> String {
    let health = gateway.plugin("lpr-uplink").unwrap_or_default()["health"].take();
    let text = |key: &str| health[key].as_str().unwrap_or_default().to_owned();
    format!("{}: {}", text("level"), text("message"))
}

fn says(gateway: &Gateway, words: &str) {
    let mut last = String::new();
    until(&format!("the uplink to say `{words}`"), || {
        last = message(gateway);
        last.contains(words).then_some(())
    });
}

/// Waits until a metric is so large.
fn reaches(gateway: &Gateway, name: &str, least: f64) {
    until(name, || (gateway.metric(&format!("gantry_plugin_{name}"), "lpr-uplink") >= least).then_some(()));
}

/// A body as a camera sent it, without what gateways add.
fn as_sent(record: &Value) -> Value {
    let mut record = record.clone();
    if let Some(object) = record.as_object_mut() {
        for added in ["record_id", "detection_id", "received_at", "tags", "alerts"] {
            object.shift_remove(added);
        }
    }
    record
}

#[test]
fn a_gateway_sends_to_another_what_its_cameras_have_sent_with_pictures_and_in_order() {
    let b = Setup::with_config(LPR).start_ready();
    let a = Setup::with_config(&with_uplink(&format!("http://{}", address(&b)), "")).start_ready();
    let (at, to) = (address(&a), address(&b));
    let ids = put_all(&at, 0..60);
    for n in 0..3 {
        assert_eq!(http::post(&at, "/api/health", &health(n)).status, 200);
    }
    let there = until("all detections at the second gateway", || {
        let there = detections(&to);
        (there.len() >= 60).then_some(there)
    });
    assert_eq!(there.len(), 60);
    for (n, record) in there.iter().enumerate() {
        assert_eq!(record["record_id"], ids[n], "the id of the first gateway, in its order");
        assert_ne!(record["detection_id"], ids[n], "which has one of its own as well");
        let sent = detection(u32::try_from(n).expect("few"));
        assert_eq!(as_sent(record).to_string(), sent.to_string(), "byte for byte, pictures and all");
    }
    until("the health checks", || {
        let (_, text) = http::get(&to, "/api/statistics");
        let statistics: Value = serde_json::from_str(&text).ok()?;
        (statistics["data"]["total_health_checks"] == 3).then_some(())
    });
    let (_, text) = http::get(&to, "/api/cameras");
    let cameras: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(cameras["cameras"].as_array().map(Vec::len), Some(2), "each camera has registered: {text}");
    says(&a, "over Socket.IO; nothing waits");
    reaches(&a, "sent_records_total", 63.0);
    reaches(&a, "socketio", 1.0);
}

#[test]
fn records_that_rules_keep_back_are_not_sent_and_tags_go_along() {
    let mut upstream = Upstream::start();
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("rules")).expect("a folder");
    let rule = r#"
        fn on_detection(event) {
            if event.data.number % 2 == 1 { forward(false); }
            if event.data.number == 4 { tag("four"); }
        }
    "#;
    std::fs::write(dir.path().join("rules/keep.rhai"), rule).expect("written");
    let config = format!("script_dir = {:?}\n{}", dir.path(), with_uplink(&upstream.url(), ""));
    let a = Setup::with_config(&config).start_ready();
    let ids = put_all(&address(&a), 0..10);
    let even: Vec<_> = ids.iter().step_by(2).cloned().collect();
    upstream.until("the even ones", |upstream| upstream.has(&even));
    reaches(&a, "skipped_records_total", 5.0);
    // What comes after them has come alone.
    let last = put(&address(&a), &detection(10));
    upstream.until("the last", |upstream| upstream.has(std::slice::from_ref(&last)));
    assert_eq!(upstream.first_arrivals(), [even, vec![last]].concat());
    assert_eq!(upstream.kept[2].body["tags"], json!(["four"]));
}

#[test]
fn what_people_did_and_how_the_gateway_does_is_sent_in_the_words_of_the_protocol() {
    let mut upstream = Upstream::start();
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("rules")).expect("a folder");
    let rule = r#"fn on_detection(event) { begin_event("crowd", #{ why: "a bus" }); }"#;
    std::fs::write(dir.path().join("rules/crowd.rhai"), rule).expect("written");
    let config = format!(
        "script_dir = {:?}\n[records]\nhealth_interval = \"1s\"\n{LPR}[plugins.lpr-uplink]\nurl = \"{}\"\n\
         camera_id = 70\ncheckpoint_id = \"north\"\n",
        dir.path(),
        upstream.url()
    );
    let a = Setup::with_config(&config).start_ready();
    put(&address(&a), &detection(0));
    let find = |upstream: &Upstream, kind: &str| {
        upstream.kept.iter().find(|kept| kept.body["type"] == kind).map(|kept| kept.body.clone())
    };
    upstream.until("an event and health", |upstream| {
        find(upstream, "people_event").is_some() && find(upstream, "health_check").is_some()
    });
    let event = find(&upstream, "people_event").expect("an event");
    assert_eq!((&event["camera_id"], &event["checkpoint_id"]), (&json!(70), &json!("north")));
    assert_eq!((&event["event"]["event"], &event["event"]["status"]), (&json!("crowd"), &json!("started")));
    assert_eq!(event["event"]["data"]["why"], "a bus");
    assert_eq!((&event["vehicles_count"], &event["ocr_results"]), (&json!(0), &json!([])));
    let health = find(&upstream, "health_check").expect("health");
    assert_eq!((&health["camera_id"], &health["component"]), (&json!(70), &json!("gateway")), "{health}");
    assert!(health["status"].is_string() && health["details"].is_object(), "{health}");
    assert!(health["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{health}");
}

#[test]
fn a_picture_that_is_too_large_for_the_upstreams_socket_io_goes_over_rest() {
    let mut upstream = Upstream::start();
    let a = Setup::with_config(&with_uplink(&upstream.url(), "")).start_ready();
    let mut large = detection(1);
    // python-socketio takes a million bytes, and says so in its greeting.
    large["annotated_image"] = picture(1).repeat(9000).into();
    let ids = [put(&address(&a), &detection(0)), put(&address(&a), &large), put(&address(&a), &detection(2))];
    upstream.until("all of them", |upstream| upstream.has(&ids));
    let ways: Vec<_> = upstream.kept.iter().map(|kept| kept.way.as_str()).collect();
    assert_eq!(ways, ["socketio", "rest", "socketio"]);
    assert_eq!(upstream.kept[1].body["annotated_image"], large["annotated_image"]);
    says(&a, "ok: sends to");
}

#[test]
fn through_all_weathers_everything_arrives_in_order_and_once_by_id() {
    let mut upstream = Upstream::start();
    let more = "answer_timeout_s = 60\nconnect_timeout_s = 5\nmax_retries = 1\n";
    let a = Setup::with_config(&with_uplink(&upstream.url(), more)).start_ready();
    let at = address(&a);
    let mut ids = put_all(&at, 0..20);
    upstream.until("the first", |upstream| upstream.has(&ids));
    assert!(upstream.kept.iter().all(|kept| kept.way == "socketio"));
    says(&a, "ok: sends to");
    // What is kept is not yet answered, and what is not answered is sent again.
    reaches(&a, "sent_records_total", 20.0);

    // Down for more than a round: degraded, and not given up.
    upstream.be(&Upstream::mode("down"));
    ids.extend(put_all(&at, 20..40));
    says(&a, "degraded: ");
    says(&a, "20 records wait");
    reaches(&a, "failed_tries_total", 2.0);
    reaches(&a, "backlog_records", 20.0);
    // 500 to everything is no better.
    upstream.be(&Upstream::mode("errors"));
    says(&a, "answers 500");
    // REST alone.
    upstream.be(&Upstream::mode("rest"));
    upstream.until("what waited", |upstream| upstream.has(&ids));
    assert!(upstream.kept[20..].iter().all(|kept| kept.way == "rest"));
    says(&a, "ok: sends to");
    says(&a, "over REST, for want of Socket.IO");
    reaches(&a, "sent_records_total", 40.0);
    // And back.
    upstream.be(&Upstream::mode("well"));
    says(&a, "over Socket.IO");
    ids.extend(put_all(&at, 40..50));
    upstream.until("what came after", |upstream| upstream.has(&ids));
    assert_eq!(upstream.kept.len(), 50, "in these weathers nothing is sent twice");
    assert!(upstream.kept[40..].iter().all(|kept| kept.way == "socketio"));
    reaches(&a, "sent_records_total", 50.0);

    // Connections end with messages on their way, kept or not; and answers come too late.
    upstream.be(&Upstream::mode("resets"));
    ids.extend(put_all(&at, 50..58));
    upstream.until("what was reset", |upstream| upstream.has(&ids));
    reaches(&a, "sent_records_total", 58.0);
    // With less patience than those take.
    let connections =
        |upstream: &Upstream| upstream.told.iter().filter(|(name, _)| name == "#connect").count();
    let before = connections(&upstream);
    a.write_config(&with_uplink(&upstream.url(), &more.replace("60", "1")));
    upstream.until("the new connection", |upstream| connections(upstream) > before);
    upstream.be(&json!({"mode": "slow", "seconds": 1.3}));
    ids.extend(put_all(&at, 58..61));
    upstream.until("what was slow", |upstream| upstream.has(&ids));
    upstream.be(&Upstream::mode("well"));
    says(&a, "nothing waits");
    assert_eq!(upstream.first_arrivals(), ids, "in order, each of them, and nothing else");
    for kept in &upstream.kept {
        let first = upstream.kept.iter().find(|other| other.id() == kept.id()).expect("itself");
        assert_eq!(first.body.to_string(), kept.body.to_string(), "what comes again is the same");
    }
}

#[test]
fn what_the_upstream_refuses_is_kept_elsewhere_and_holds_up_nothing() {
    let mut upstream = Upstream::start();
    upstream.be(&json!({"refuse": "AB 1 CD"}));
    let a = Setup::with_config(&with_uplink(&upstream.url(), "max_retries = 1\n")).start_ready();
    let ids = put_all(&address(&a), 0..3);
    upstream.until("what is behind it", |upstream| upstream.has(&ids[2..]));
    assert_eq!(upstream.first_arrivals(), [ids[0].clone(), ids[2].clone()]);
    says(&a, "degraded: sends to");
    says(&a, "the upstream refused 1 record");
    reaches(&a, "set_aside_records_total", 1.0);
    let output = a.run(&["records", "export", "refused"]);
    let refused: Value = serde_json::from_slice(&output.stdout).expect("one record");
    let data = &refused["data"];
    assert_eq!((&data["record_id"], &data["collection"]), (&json!(ids[1]), &json!("detections")));
    assert_eq!(data["record"]["number"], 1);
    let reason = data["reason"].as_str().expect("a reason");
    assert!(reason.contains("Missing required field: good manners"), "{reason}");
    assert_eq!(refused["blobs"].as_array().map(Vec::len), Some(2), "with its pictures");
}

#[test]
fn an_upstream_that_acknowledges_in_place_of_answering_and_wants_a_key_is_served() {
    let mut upstream = Upstream::start();
    upstream.be(&json!({"acks": true}));
    let key = "the-key-of-this-gateway";
    let more = format!("api_key = \"{key}\"\nanswer_timeout_s = 5\n");
    let a = Setup::with_config(&with_uplink(&upstream.url(), &more)).start_ready();
    let ids = put_all(&address(&a), 0..10);
    upstream.until("all of them", |upstream| upstream.has(&ids));
    assert_eq!((upstream.first_arrivals(), upstream.kept.len()), (ids, 10));
    let (_, connected) = upstream.told.iter().find(|(name, _)| name == "#connect").expect("a connection");
    assert_eq!((&connected["auth"]["api_key"], &connected["header"]), (&json!(key), &json!(key)));
    upstream.be(&Upstream::mode("down"));
    says(&a, "cannot be reached");
    assert!(!a.log().contains(key) && !message(&a).contains(key));
    let registered = upstream.told.iter().filter(|(name, _)| name == "register").count();
    assert_eq!(registered, 1, "a camera registers once");
}

#[test]
fn an_upstream_without_rest_is_served() {
    let mut upstream = Upstream::start();
    upstream.be(&Upstream::mode("socket"));
    let a = Setup::with_config(&with_uplink(&upstream.url(), "")).start_ready();
    let ids = put_all(&address(&a), 0..5);
    upstream.until("all of them", |upstream| upstream.has(&ids));
    says(&a, "over Socket.IO; nothing waits");
}

/// A number that looks like chance and is the same each time.
fn chance(round: u32, below: u32) -> u32 {
    round.wrapping_mul(2_654_435_761) % 1_000_003 % below
}

/// Kills of the gateway that sends.
const ROUNDS: u32 = 50;

#[test]
fn fifty_kills_while_it_takes_in_and_sends_lose_nothing() {
    let mut upstream = Upstream::start();
    let mut a = Setup::with_config(&with_uplink(&upstream.url(), "")).start_ready();
    let mut answered = Vec::new();
    for round in 0..ROUNDS {
        let at = address(&a);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for sender in 0..2 {
                let (at, tell) = (at.clone(), tell.clone());
                scope.spawn(move || send_until_gone(&at, round * 2000 + sender * 1000, detection, &tell));
            }
            drop(tell);
            // After another number of answers each time: the sender is where it happens to be.
            answered.extend(told.iter().take(1 + chance(round, 29) as usize).map(|(_, id)| id));
            if round % 3 == 2 {
                // And of what has arrived, which is another moment.
                let more = upstream.kept.len() + 1 + chance(round, 7) as usize;
                upstream.until("some to arrive", |upstream| upstream.kept.len() >= more);
            }
            a.signal("KILL");
            answered.extend(told.iter().map(|(_, id)| id));
        });
        a.restart();
    }
    upstream.until("all that was answered", |upstream| upstream.has(&answered));
    let mine: Vec<_> =
        detections(&address(&a)).into_iter().map(|record| record["detection_id"].clone()).collect();
    upstream
        .until("what was kept without an answer", |upstream| upstream.first_arrivals().len() >= mine.len());
    let order = upstream.first_arrivals();
    let mut sorted = order.clone();
    sorted.sort();
    assert_eq!(order, sorted, "ids grow, and they came in their order");
    assert_eq!(json!(mine), json!(order), "what the gateway has, and nothing else");
    assert!(answered.len() > 100, "{}", answered.len());
    let twice = upstream.kept.len() - order.len();
    assert!(
        twice <= ROUNDS as usize * 80,
        "{twice} came again: acknowledgements are a tenth of a second apart"
    );
}

#[test]
fn kills_of_either_gateway_leave_each_record_at_the_second_once() {
    // The second one has the same port after a restart.
    let port = free_port();
    let mut b = Setup::with_config(&format!("[plugins.lpr]\nbind = \"127.0.0.1:{port}\"\n")).start_ready();
    let to = format!("127.0.0.1:{port}");
    let mut a = Setup::with_config(&with_uplink(&format!("http://{to}"), "")).start_ready();
    let mut answered = Vec::new();
    for round in 0..12 {
        let at = address(&a);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| send_until_gone(&at, round * 1000, detection, &tell));
            answered.extend(told.iter().take(1 + chance(round, 31) as usize).map(|(_, id)| id));
            if round % 2 == 0 {
                b.signal("KILL");
                answered.extend(told.iter().take(1 + chance(round, 11) as usize).map(|(_, id)| id));
            }
            a.signal("KILL");
            drop(told);
        });
        a.restart();
        if round % 2 == 0 {
            b.restart();
        }
    }
    let here = detections(&address(&a)).len();
    let there = until("all that was answered, and what was kept without an answer", || {
        let there = detections(&to);
        (there.len() >= here).then_some(there)
    });
    let ids: Vec<_> =
        there.iter().map(|record| record["record_id"].as_str().unwrap_or_default().to_owned()).collect();
    let once: BTreeSet<_> = ids.iter().cloned().collect();
    assert_eq!(once.len(), ids.len(), "each once");
    assert!(ids.is_sorted(), "in order");
    assert_eq!(ids.len(), here);
    assert!(answered.iter().all(|id| once.contains(id)), "what was answered is among it");
}
