//! The records of a gateway on a real NATS server, once and in order.

use gantry_tests::fleet::{
    call, config, detection, drained, ids, kept, picture, seen_with_picture, send, wait_health,
};
use gantry_tests::gateway::Setup;
use gantry_tests::lpr::{address, send_until_gone};
use gantry_tests::nats::{Client, Server};
use gantry_tests::{http, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

/// Every fifth has a picture.
fn body(n: u32) -> Value {
    if n.is_multiple_of(5) { seen_with_picture(n) } else { detection(n) }
}

#[test]
fn records_of_every_kind_arrive_under_their_subjects_with_their_pictures() {
    let server = Server::plain();
    let scripts = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(scripts.path().join("rules")).expect("a folder");
    let rule = "fn on_count(event) { if event.kind == \"crossing\" { begin_event(\"some body\"); end_event(\"some body\"); } }\n\
        fn on_detection(event) { if event.data.camera_id == 9 { forward(false); } }\n";
    fs::write(scripts.path().join("rules/all.rhai"), rule).expect("written");
    let config = format!(
        "script_dir = {:?}\n[records]\nhealth_interval = \"1s\"\n[cameras.main]\nsource = \"demo:?seed=10&people=30\"\nwidth = 320\nheight = 240\nfps = 15\n\
         [analysis.main]\nfps = 10\nlines.door = {{ from = [0.5, 0.0], to = [0.5, 1.0] }}\n\
         [plugins.lpr]\nbind = \"127.0.0.1:0\"\n\
         [plugins.nats]\nservers = [{:?}]\ngateway = \"north-gate\"\nprefix = \"site.fleet\"\n",
        scripts.path().display().to_string(),
        server.url(),
    );
    let gateway = Setup::with_config(&config).start_ready();
    let mut client = server.client();
    let at = address(&gateway);
    let mut kept_back = detection(3);
    kept_back["camera_id"] = json!(9);
    for body in [&seen_with_picture(2), &kept_back, &detection(4)] {
        send(&at, body);
    }
    let told = http::post(
        &at,
        "/api/health",
        &json!({
            "type": "health_check", "camera_id": "gate 7", "checkpoint_id": 3, "timestamp": "2026-11-21T10:00:00Z",
            "component": "lens", "status": "ok",
        }),
    );
    assert_eq!(told.status, 200, "{}", told.body);
    // Any plugin may keep pictures.
    let data = json!({ "type": "picture", "device": 200 });
    call(&gateway, "records.append", &json!({ "collection": "pictures", "data": data }));

    let first = |client: &mut Client, subject: &str| {
        let subject = format!("site.fleet.north-gate.{subject}");
        until(&subject, || client.get("", "GANTRY", &json!({ "next_by_subj": subject, "seq": 1 })))
    };
    let counted = first(&mut client, "counts.main");
    assert_eq!(counted.json()["data"]["type"], "crossing");
    assert_eq!(first(&mut client, "events.some%20body").json()["data"]["event"], "some body");
    assert_eq!(first(&mut client, "health.gate%207").json()["data"]["component"], "lens");
    assert_eq!(first(&mut client, "pictures.200").json()["data"], data);
    assert_eq!(first(&mut client, "gateway.gateway").json()["data"]["component"], "gateway");

    let seen = first(&mut client, "detections.2");
    let told = seen.json();
    assert_eq!(told["data"]["ocr_results"], json!(["AB 2 CD"]));
    assert_eq!((&told["gateway"], &told["collection"]), (&json!("north-gate"), &json!("detections")));
    assert_eq!(seen.header("Nats-Msg-Id"), told["id"].as_str());
    let blob = &told["blobs"][0];
    assert_eq!(blob["bucket"], "site-fleet-north-gate");
    let stored = client.object("", "site-fleet-north-gate", blob["object"].as_str().expect("its name"));
    assert_eq!(stored, picture());

    // What the rules keep back went nowhere, and held nothing up.
    first(&mut client, "detections.1");
    assert!(
        client.get("", "GANTRY", &json!({ "last_by_subj": "site.fleet.north-gate.detections.9" })).is_none()
    );
    // All of it in the order of appending.
    let all = ids(&client.all("", "GANTRY", "site.fleet.>"));
    assert!(all.is_sorted() && all.len() == all.iter().collect::<BTreeSet<_>>().len(), "{all:?}");
    until("the figures in the state", || {
        let state = call(&gateway, "gateway.info", &json!({}));
        (gateway.metric("gantry_plugin_published_total", "nats") >= all.len() as f64 && state.is_object())
            .then_some(())
    });
}

#[test]
fn a_server_that_comes_late_and_goes_again_gets_everything_once_and_in_order() {
    let mut server = Server::plain();
    server.kill();
    let gateway = Setup::with_config(&config(&server.url(), "")).start_ready();
    wait_health(&gateway, "cannot reach NATS");
    let at = address(&gateway);
    (0..150).for_each(|n| send(&at, &detection(n)));
    until("the backlog to be told", || {
        (gateway.metric("gantry_plugin_backlog", "nats") >= 150.0).then_some(())
    });
    server.restart();
    let mut client = server.client();
    assert_eq!(ids(&drained(&mut client, &gateway, "detections")), kept(&gateway, "detections"));
    wait_health(&gateway, "connected to");
    for round in 1..4 {
        // In the middle of a stream of them.
        let first = round * 1000;
        (first..first + 20).for_each(|n| send(&at, &detection(n)));
        server.kill();
        (first + 20..first + 60).for_each(|n| send(&at, &detection(n)));
        server.restart();
        (first + 60..first + 80).for_each(|n| send(&at, &detection(n)));
        let mut client = server.client();
        assert_eq!(ids(&drained(&mut client, &gateway, "detections")), kept(&gateway, "detections"));
    }
    until("nothing to wait", || (gateway.metric("gantry_plugin_backlog", "nats") == 0.0).then_some(()));
}

#[test]
fn twenty_five_kills_leave_every_record_in_the_stream_once_and_in_order_beyond_the_duplicate_window() {
    let server = Server::plain();
    // So short that the server itself remembers nothing over a restart of the gateway.
    let more = "limits = { duplicate_window_ms = 100 }\n";
    let mut gateway = Setup::with_config(&config(&server.url(), more)).start_ready();
    let mut client = server.client();
    let mut answered = Vec::new();
    for round in 0..25u32 {
        let at = address(&gateway);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for sender in 0..3 {
                let (at, tell) = (at.clone(), tell.clone());
                scope.spawn(move || send_until_gone(&at, round * 6000 + sender * 2000, body, &tell));
            }
            drop(tell);
            // After another number of answers each time, while some are on their way to the stream.
            let enough = 1 + (round * 7919) % 41;
            answered.extend(told.iter().take(enough as usize).map(|(_, id)| id));
            gateway.signal("KILL");
            answered.extend(told.iter().map(|(_, id)| id));
        });
        gateway.restart();
    }
    let messages = drained(&mut client, &gateway, "detections");
    assert_eq!(ids(&messages), kept(&gateway, "detections"));
    let published: BTreeSet<String> = ids(&messages).into_iter().collect();
    assert!(answered.len() > 100, "{}", answered.len());
    let missing: Vec<_> = answered.iter().filter(|id| !published.contains(*id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let pictures = messages.iter().filter(|message| message.json()["blobs"] != json!([]));
    assert!(pictures.clone().count() > 10);
    for message in pictures.take(40) {
        let name = message.json()["blobs"][0]["object"].as_str().expect("a name").to_owned();
        assert_eq!(client.object("", "gantry-north-gate", &name), picture());
    }
}

#[test]
fn what_does_not_fit_holds_nothing_up_and_is_not_lost() {
    let server = Server::start("jetstream { store_dir: \"DIR/js\" }\nmax_payload: 4096\n", &[]);
    let mut client = server.client();
    // A stream of somebody else's making is taken as it is.
    let mut stream = json!({ "name": "GANTRY", "subjects": ["gantry.*.detections.>"], "storage": "file", "max_msg_size": 300 });
    client.jetstream("", "STREAM.CREATE.GANTRY", &stream);
    let more = "collections = [\"detections\"]\n";
    let gateway = Setup::with_config(&config(&server.url(), more)).start_ready();
    let at = address(&gateway);
    send(&at, &detection(1));
    wait_health(&gateway, "max_msg_size");
    let refused = call(&gateway, "records.query", &json!({ "collection": "refused" }))["records"][0].clone();
    assert_eq!(refused["data"]["record"], json!(kept(&gateway, "detections")[0]));
    assert!(refused["data"]["reason"].as_str().is_some_and(|why| why.contains("max_payload")), "{refused}");
    // Once the stream takes more, what is too large even so is told without what it says, and where to ask.
    stream["max_msg_size"] = json!(-1);
    client.jetstream("", "STREAM.UPDATE.GANTRY", &stream);
    let mut large = detection(2);
    large["ocr_results"] = json!(vec!["AB 2 CD"; 1000]);
    send(&at, &large);
    send(&at, &detection(3));
    let messages = drained(&mut client, &gateway, "detections");
    assert_eq!(ids(&messages), kept(&gateway, "detections")[1..]);
    let told = messages[0].json();
    assert_eq!(
        (&told["data"], &told["truncated"]["ask"]),
        (&Value::Null, &json!("gantry.north-gate.request.records.read"))
    );
    assert_eq!(messages[1].json()["data"]["ocr_results"], json!(["AB 3 CD"]));
    assert_eq!(gateway.metric("gantry_plugin_truncated", "nats"), 1.0);
    assert_eq!(gateway.metric("gantry_plugin_refused_total", "nats"), 1.0);
}

#[test]
fn a_stream_that_takes_nothing_more_is_told_of_and_gets_all_when_it_does() {
    let server = Server::plain();
    let mut client = server.client();
    let mut stream = json!({ "name": "GANTRY", "subjects": ["gantry.*.detections.>"], "storage": "file", "max_msgs": 7,
        "discard": "new", "duplicate_window": 100_000_000 });
    client.jetstream("", "STREAM.CREATE.GANTRY", &stream);
    let gateway =
        Setup::with_config(&config(&server.url(), "collections = [\"detections\"]\n")).start_ready();
    let at = address(&gateway);
    (0..60).for_each(|n| send(&at, &detection(n)));
    wait_health(&gateway, "raise its limits");
    stream["max_msgs"] = json!(-1);
    client.jetstream("", "STREAM.UPDATE.GANTRY", &stream);
    // Each once; the order is disturbed where the stream has refused one and taken the next.
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let all_there = |client: &mut Client| {
        let expected = sorted(kept(&gateway, "detections"));
        until("everything to be in the stream", || {
            let found = sorted(ids(&client.all("", "GANTRY", "gantry.*.detections.>")));
            assert!(found.len() <= expected.len(), "{found:?}");
            (found == expected).then_some(())
        });
    };
    all_there(&mut client);
    wait_health(&gateway, "connected to");
    // One that takes something else is said to, and what to do about it.
    stream["subjects"] = json!(["gantry.*.counts.>"]);
    client.jetstream("", "STREAM.UPDATE.GANTRY", &stream);
    send(&at, &detection(100));
    wait_health(&gateway, "no stream takes the subjects");
    stream["subjects"] = json!(["gantry.*.detections.>"]);
    client.jetstream("", "STREAM.UPDATE.GANTRY", &stream);
    all_there(&mut client);
}
