//! The gateway in a fleet: its records on a real NATS server, and requests over it.

use gantry_tests::cpro::PASSWORD;
use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::nats::{Client, Message, Server, as_base64, example, free_port};
use gantry_tests::{http, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Something that begins and ends like a JPEG, of several parts of an object.
fn picture() -> Vec<u8> {
    let noise = (0..300_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]);
    [0xff, 0xd8, 0xff, 0xe0].into_iter().chain(noise).chain([0xff, 0xd9]).collect()
}

fn seen_with_picture(n: u32) -> Value {
    let mut body = detection(n);
    body["annotated_image"] = json!(as_base64(&picture()));
    body
}

/// A gateway whose records come from plate-reading cameras.
fn config(url: &str, more: &str) -> String {
    format!(
        "[cameras.main]\nsource = \"demo:?people=0\"\n[plugins.lpr]\nbind = \"127.0.0.1:0\"\n\
         [plugins.nats]\nservers = [{url:?}]\ngateway = \"north-gate\"\n{more}"
    )
}

fn detection(n: u32) -> Value {
    json!({
        "type": "detection_result", "camera_id": n % 3, "checkpoint_id": 3,
        "timestamp": format!("2026-11-21T10:{:02}:{:02}.{:03}Z", n / 60_000 % 60, n / 1000 % 60, n % 1000),
        "vehicles_count": 1, "plates_count": 1, "ocr_results": [format!("AB {n} CD")],
    })
}

fn lpr(gateway: &Gateway) -> String {
    gateway.url("lpr").rsplit('/').next().unwrap_or_default().to_owned()
}

fn send(at: &str, body: &Value) {
    let answer = http::post(at, "/api/detection", body);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn call(gateway: &Gateway, service: &str, request: &Value) -> Value {
    let done = gateway.run(&["call", service, &request.to_string()]);
    assert!(done.status.success(), "{service} {request}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

/// The ids of a collection, as the gateway has them.
fn kept(gateway: &Gateway, collection: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let mut query = json!({ "collection": collection, "order": "oldest", "limit": 1000 });
        if let Some(last) = ids.last() {
            query["after"] = json!(last);
        }
        let found = call(gateway, "records.query", &query);
        let records = found["records"].as_array().expect("records");
        ids.extend(records.iter().map(|record| record["id"].as_str().expect("an id").to_owned()));
        if found["more"] == false {
            return ids;
        }
    }
}

fn ids(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.header("Nats-Msg-Id").expect("an id").to_owned()).collect()
}

/// Waits until nothing waits any more, and returns what the stream has of a collection.
fn drained(client: &mut Client, gateway: &Gateway, collection: &str) -> Vec<Message> {
    let expected = kept(gateway, collection);
    let subject = format!("gantry.*.{collection}.>");
    until("everything to be in the stream", || {
        let found = client.all("", "GANTRY", &subject);
        let last = found.last().and_then(|message| message.header("Nats-Msg-Id"));
        (last == expected.last().map(String::as_str)).then_some(found)
    })
}

fn wait_health(gateway: &Gateway, says: &str) {
    until(&format!("the health to say `{says}`"), || {
        gateway.plugin("nats")?.to_string().contains(says).then_some(())
    });
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("for its owner only");
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
    let at = lpr(&gateway);
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
    let at = lpr(&gateway);
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

/// Sends until the gateway is gone; the ids that were answered are returned.
fn send_until_gone(at: &str, first: u32, tell: &std::sync::mpsc::Sender<String>) {
    for n in first.. {
        let body = if n % 5 == 0 { seen_with_picture(n) } else { detection(n) };
        let body = body.to_string();
        let head = format!(
            "POST /api/detection HTTP/1.1\r\nHost: {at}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        let mut text = String::new();
        let told = TcpStream::connect(at)
            .and_then(|mut stream| {
                stream.write_all((head + &body).as_bytes())?;
                stream.read_to_string(&mut text)
            })
            .ok()
            .and_then(|_| text.split("\r\n\r\n").nth(1))
            .and_then(|body| serde_json::from_str::<Value>(body).ok());
        let Some(id) = told.as_ref().and_then(|told| told["detection_id"].as_str()) else { return };
        if tell.send(id.to_owned()).is_err() {
            return;
        }
    }
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
        let at = lpr(&gateway);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for sender in 0..3 {
                let (at, tell) = (at.clone(), tell.clone());
                scope.spawn(move || send_until_gone(&at, round * 6000 + sender * 2000, &tell));
            }
            drop(tell);
            // After another number of answers each time, while some are on their way to the stream.
            let enough = 1 + (round * 7919) % 41;
            answered.extend(told.iter().take(enough as usize));
            gateway.signal("KILL");
            answered.extend(told.iter());
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

/// A client of the gateway over NATS.
fn ask(client: &mut Client, service: &str, request: &Value) -> Value {
    client.call(&format!("gantry.north-gate.request.{service}"), request)
}

fn error(client: &mut Client, service: &str, request: &Value) -> String {
    let answer = ask(client, service, request);
    answer["error"].as_str().unwrap_or_else(|| panic!("{service} {request}: {answer}")).to_owned()
}

#[test]
fn requests_have_the_rights_of_the_token_that_they_show() {
    let server = Server::start("jetstream { store_dir: \"DIR/js\" }\nmax_payload: 8192\n", &[]);
    let more = "[state]\nlamp = { type = \"bool\" }\nlight0 = { type = \"bool\" }\n";
    let setup =
        Setup::with_config(&config(&server.url(), more)).user("olga", "operator").user("vera", "viewer");
    let gateway = setup.start_ready();
    let mut client = server.client();
    let subject = "gantry.north-gate.request.gateway.info";
    until("requests to be answered", || client.try_call(subject, &json!({})));
    let at = lpr(&gateway);
    (0..40).for_each(|n| send(&at, &detection(n)));

    let lamp = |token: Option<&str>| {
        let mut request = json!({ "values": { "lamp": true } });
        if let Some(token) = token {
            request["token"] = json!(token);
        }
        request
    };
    let write = json!({ "mapping": "cpro", "values": { "cam1-light": true } });
    let read = json!({ "collection": "detections", "limit": 2 });
    // Whoever shows no token, or one of nobody, may do what an anonymous client may.
    for token in [None, Some(""), Some("guessed")] {
        assert!(error(&mut client, "state.write", &lamp(token)).contains("lamp"));
        let (mut write, mut read) = (write.clone(), read.clone());
        if let Some(token) = token {
            (write["token"], read["token"]) = (json!(token), json!(token));
        }
        let refused = ask(&mut client, "mapping.write", &write);
        assert_eq!((&refused["accepted"], refused["rejected"].is_null()), (&json!({}), false), "{refused}");
        assert!(error(&mut client, "records.read", &read).contains("operator"));
    }
    let with = |mut request: Value, token: &Value| {
        request["token"] = token.clone();
        request
    };
    let login = |client: &mut Client, user: &str, password: &str| {
        ask(client, "access.login", &json!({ "username": user, "password": password }))
    };
    assert_eq!(login(&mut client, "olga", "wrong")["authenticated"], false);
    let vera = login(&mut client, "vera", PASSWORD)["token"].clone();
    assert!(error(&mut client, "state.write", &with(lamp(None), &vera)).contains("lamp"));
    let olga = login(&mut client, "olga", PASSWORD)["token"].clone();
    assert_eq!(ask(&mut client, "state.write", &with(lamp(None), &olga)), json!({}));
    let accepted = ask(&mut client, "mapping.write", &with(write, &olga));
    assert_eq!(accepted["rejected"], json!([]), "{accepted}");
    let found = ask(&mut client, "records.read", &with(read.clone(), &olga));
    assert_eq!((found["records"].as_array().map(Vec::len), &found["more"]), (Some(2), &json!(true)));
    let large = with(json!({ "collection": "detections", "limit": 40 }), &olga);
    assert!(error(&mut client, "records.read", &large).contains("ask for less"));
    ask(&mut client, "access.end", &json!({ "token": olga }));
    assert!(error(&mut client, "records.read", &with(read, &olga)).contains("log in again"));

    // What the plugin itself may do is nobody else's.
    for service in ["records.query", "records.append", "records.next", "endpoints.announce", "nothing"] {
        assert!(
            error(&mut client, service, &json!({ "collection": "detections" })).contains("not answered here")
        );
    }
    let nonsense = client.ask("gantry.north-gate.request.counts.read", b"[1]").json();
    assert!(nonsense["error"].as_str().is_some_and(|text| text.contains("JSON object")), "{nonsense}");

    // Nobody has the gateway write where he himself may not, and what has no way back is not done.
    for reply in ["gantry.north-gate.counts.main", "$JS.API.STREAM.PURGE.GANTRY", "site.lights", ""] {
        client.publish(subject, reply, &[], b"{}");
    }
    until("requests to be ignored", || {
        (gateway.metric("gantry_plugin_ignored_requests", "nats") >= 4.0).then_some(())
    });
    assert!(client.get("", "GANTRY", &json!({ "last_by_subj": "gantry.north-gate.counts.main" })).is_none());
    assert_eq!(drained(&mut client, &gateway, "detections").len(), 40);
}

#[test]
fn a_flood_is_refused_and_who_asks_afterwards_is_answered() {
    let server = Server::plain();
    let gateway = Setup::with_config(&config(&server.url(), "requests_per_second = 5\n")).start_ready();
    let mut client = server.client();
    let subject = "gantry.north-gate.request.gateway.info";
    until("requests to be answered", || client.try_call(subject, &json!({})));
    for _ in 0..400 {
        client.publish(subject, "_INBOX.flood", &[], b"{}");
    }
    until("most of it to be refused", || {
        (gateway.metric("gantry_plugin_refused_requests", "nats") >= 200.0).then_some(())
    });
    until("requests to be answered again", || {
        let answer = client.try_call(subject, &json!({}))?;
        (answer["name"] == "gantry").then_some(())
    });
}

#[test]
fn where_strangers_learn_nothing_they_learn_nothing_over_nats() {
    let server = Server::plain();
    let more = "[access]\nanonymous = \"none\"\n";
    let gateway = Setup::with_config(&config(&server.url(), more)).user("vera", "viewer").start_ready();
    let mut client = server.client();
    let subject = "gantry.north-gate.request.gateway.info";
    until("requests to be answered", || client.try_call(subject, &json!({})));
    let services = ["counts.read", "counts.history", "cameras.list"];
    for service in services {
        for request in [json!({}), json!({ "token": "guessed" })] {
            assert!(error(&mut client, service, &request).contains("log in"), "{service}");
        }
    }
    let vera = ask(&mut client, "access.login", &json!({ "username": "vera", "password": PASSWORD }));
    for service in services {
        let answer = ask(&mut client, service, &json!({ "token": vera["token"] }));
        assert!(answer["error"].is_null(), "{service}: {answer}");
    }
    // The gateway's own parts go on asking as they did.
    assert_eq!(call(&gateway, "cameras.list", &json!({}))["cameras"], json!(["main"]));
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
    let at = lpr(&gateway);
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
    let at = lpr(&gateway);
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

#[test]
fn servers_with_tls_and_logins_of_each_kind_are_reached() {
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let files = tempfile::tempdir().expect("a folder");
    let file = |name: &str| files.path().join(name).display().to_string();
    fs::write(file("ca.pem"), &certificate).expect("written");
    secret(&files.path().join("key.pem"), &key);
    secret(&files.path().join("password"), "hunter2-and-a-half\n");
    // A test vector of the nkeys themselves.
    secret(&files.path().join("seed"), "SUACH75SWCM5D2JMJM6EKLR2WDARVGZT4QC6LX3AGHSWOMVAKERABBBRWM\n");
    let creds = fs::read_to_string(gantry_tests::root().join("tests/fixtures/nats/north-gate.creds"))
        .expect("a file");
    secret(&files.path().join("creds"), &creds);
    let tls = format!("tls {{ cert_file: {:?}, key_file: {:?}, MORE }}\n", file("ca.pem"), file("key.pem"));
    let js = "jetstream { store_dir: \"DIR/js\" }\n";
    let operator =
        fs::read_to_string(gantry_tests::root().join("tests/fixtures/nats/operator.conf")).expect("a file");
    let ca = format!("tls = {{ ca_file = {:?} }}\n", file("ca.pem"));
    let mutual = format!(
        "tls = {{ ca_file = {0:?}, certificate = {0:?}, key = {1:?} }}\n",
        file("ca.pem"),
        file("key.pem")
    );
    let ways = [
        (
            format!(
                "{js}{}authorization {{ user: gw, password: \"hunter2-and-a-half\" }}\n",
                tls.replace(", MORE", "")
            ),
            format!("user = \"gw\"\npassword_file = {:?}\n{ca}", file("password")),
        ),
        (
            format!(
                "{js}{}authorization {{ token: \"hunter2-and-a-half\" }}\n",
                tls.replace("MORE", &format!("ca_file: {:?}, verify: true", file("ca.pem")))
            ),
            format!("token_file = {:?}\n{mutual}", file("password")),
        ),
        (
            format!(
                "{js}{}authorization {{ users: [ {{ nkey: UAFHG6FUD2UU4SDFVAFUL5LDFO2XM4WYM76UNXTPJYJK7EEMYRBHT2VE }} ] }}\n",
                tls.replace(", MORE", "")
            ),
            format!("nkey_seed_file = {:?}\n{ca}", file("seed")),
        ),
        (
            format!("{operator}{}", tls.replace(", MORE", "")),
            format!("credentials_file = {:?}\n{ca}", file("creds")),
        ),
    ];
    for (server, login) in ways {
        let server = Server::start(&server, &[]);
        let url = server.url().replace("nats://", "tls://");
        let gateway = Setup::with_config(&config(&url, &login)).start_ready();
        send(&lpr(&gateway), &detection(1));
        wait_health(&gateway, "connected to");
        until("something to be published", || {
            (gateway.metric("gantry_plugin_published", "nats") > 0.0).then_some(())
        });
    }
    // What is wrong is said, without any secret.
    let conf = format!(
        "{js}{}authorization {{ user: gw, password: \"something else\" }}\n",
        tls.replace(", MORE", "")
    );
    let server = Server::start(&conf, &[]);
    let url = server.url().replace("nats://", "tls://");
    let login = format!("user = \"gw\"\npassword_file = {:?}\n", file("password"));
    let gateway = Setup::with_config(&config(&url, &login)).start_ready();
    wait_health(&gateway, "tls.ca_file");
    gateway.write_config(&config(&url, &format!("{login}{ca}")));
    wait_health(&gateway, "correct user, password");
    fs::set_permissions(files.path().join("password"), fs::Permissions::from_mode(0o644))
        .expect("open to all");
    wait_health(&gateway, "chmod o=");
    assert!(!gateway.log().contains("hunter2"));
}

#[test]
fn a_leaf_beside_the_gateway_and_a_hub_work_with_the_shipped_files() {
    let leaf_port = free_port();
    let hub = example(
        "hub.conf",
        &[
            ("\"/var/lib/nats/hub\"", "\"DIR/js\""),
            ("\"0.0.0.0:4222\"", "\"127.0.0.1:PORT\""),
            ("\"0.0.0.0:7422\"", &format!("\"127.0.0.1:{leaf_port}\"")),
        ],
    );
    let passwords = [("OPERATOR_PASSWORD", "operator-secret"), ("NORTH_GATE_PASSWORD", "north-secret")];
    let mut hub = Server::start(&hub, &passwords);
    let leaf = example(
        "gateway-leaf.conf",
        &[("\"/var/lib/nats/north-gate\"", "\"DIR/js\""), ("\"127.0.0.1:4222\"", "\"127.0.0.1:PORT\"")],
    );
    let leaf = Server::start(
        &leaf,
        &[("HUB_URL", &format!("nats://north-gate:north-secret@127.0.0.1:{leaf_port}"))],
    );
    let shipped = example(
        "gantry.toml",
        &[(
            "gateway = \"north-gate\"\n\n",
            &format!("gateway = \"north-gate\"\nservers = [{:?}]\n\n", leaf.url()),
        )],
    );
    let gateway =
        Setup::with_config(&format!("{shipped}\n[plugins.lpr]\nbind = \"127.0.0.1:0\"\n")).start_ready();
    let at = lpr(&gateway);
    send(&at, &seen_with_picture(1));
    let login = json!({ "user": "operator", "pass": "operator-secret" });
    let connect = |hub: &Server| Client::connect(&hub.address(), &login);
    let mut client = connect(&hub);
    let kept_on_leaf = |gateway: &Gateway| {
        let mut client = leaf.client();
        ids(&drained(&mut client, gateway, "detections"))
    };
    assert_eq!(kept_on_leaf(&gateway), kept(&gateway, "detections"));
    for file in ["hub-stream.json", "hub-pictures.json"] {
        let stream: Value = serde_json::from_str(&example(file, &[])).expect("JSON");
        let name = stream["name"].as_str().expect("a name").to_owned();
        let made = client.jetstream("", &format!("STREAM.CREATE.{name}"), &stream);
        assert!(made["error"].is_null(), "{made}");
    }
    let arrived = |client: &mut Client, gateway: &Gateway| {
        let expected = kept(gateway, "detections");
        until("the hub to have everything", || {
            let found = ids(&client.all("", "FLEET", "gantry.north-gate.detections.>"));
            assert!(found.len() <= expected.len(), "{found:?}");
            (found == expected).then_some(())
        });
    };
    arrived(&mut client, &gateway);
    // Through the hub: requests, and pictures.
    assert_eq!(ask(&mut client, "gateway.info", &json!({}))["name"], "gantry");
    let told = client
        .get("", "FLEET", &json!({ "last_by_subj": "gantry.north-gate.detections.1" }))
        .expect("it")
        .json();
    let name = told["blobs"][0]["object"].as_str().expect("a name").to_owned();
    let mut beside = leaf.client();
    until("the hub to have the picture", || {
        let messages = |client: &mut Client| {
            let info = client.jetstream("", "STREAM.INFO.OBJ_gantry-north-gate", &json!({}));
            info["state"]["messages"].as_u64()
        };
        (messages(&mut client)? == messages(&mut beside)?).then_some(())
    });
    assert_eq!(client.object("", "gantry-north-gate", &name), picture());
    // The hub goes away, and comes back.
    drop(client);
    hub.kill();
    (10..40).for_each(|n| send(&at, &detection(n)));
    assert_eq!(kept_on_leaf(&gateway), kept(&gateway, "detections"));
    hub.restart();
    arrived(&mut connect(&hub), &gateway);
}

#[test]
fn a_central_cluster_works_with_the_shipped_file_and_lets_nobody_write_as_another() {
    let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let route = |n: usize| format!("nats://cluster:cluster-secret@127.0.0.1:{}", routes[n % 3]);
    let nodes: Vec<Server> = (0..3)
        .map(|n| {
            let node = example(
                "cluster-node.conf",
                &[
                    ("\"nats-1\"", &format!("\"nats-{}\"", n + 1)),
                    ("\"/var/lib/nats/nats-1\"", "\"DIR/js\""),
                    ("\"0.0.0.0:4222\"", "\"127.0.0.1:PORT\""),
                    ("\"0.0.0.0:6222\"", &format!("\"127.0.0.1:{}\"", routes[n])),
                ],
            );
            let secrets = [
                ("CLUSTER_PASSWORD", "cluster-secret"),
                ("OPERATOR_PASSWORD", "operator-secret"),
                ("NORTH_GATE_PASSWORD", "north-secret"),
                ("ROUTE_TO_2", &route(n + 1)),
                ("ROUTE_TO_3", &route(n + 2)),
            ];
            Server::start(&node, &secrets)
        })
        .collect();
    let files = tempfile::tempdir().expect("a folder");
    let password = files.path().join("password");
    secret(&password, "north-secret");
    let servers: Vec<String> = nodes.iter().map(Server::url).collect();
    let config = format!(
        "[cameras.main]\nsource = \"demo:?people=0\"\n[plugins.lpr]\nbind = \"127.0.0.1:0\"\n[plugins.nats]\n\
         servers = {servers:?}\ngateway = \"north-gate\"\nuser = \"north-gate\"\npassword_file = {:?}\n\
         limits = {{ replicas = 3 }}\n",
        password.display().to_string(),
    );
    let gateway = Setup::with_config(&config).start_ready();
    let at = lpr(&gateway);
    send(&at, &seen_with_picture(1));
    (2..30).for_each(|n| send(&at, &detection(n)));
    let mut operator =
        Client::connect(&nodes[0].address(), &json!({ "user": "operator", "pass": "operator-secret" }));
    let expected = kept(&gateway, "detections");
    // Before, nobody may be there who could answer.
    until("the cluster to have something", || {
        (gateway.metric("gantry_plugin_published", "nats") >= 1.0).then_some(())
    });
    until("the cluster to have everything", || {
        (ids(&operator.all("", "GANTRY", "gantry.north-gate.detections.>")) == expected).then_some(())
    });
    let info = operator.jetstream("", "STREAM.INFO.GANTRY", &json!({}));
    assert_eq!(info["config"]["num_replicas"], 3, "{info}");
    assert_eq!(ask(&mut operator, "gateway.info", &json!({}))["name"], "gantry");
    let told = operator.all("", "GANTRY", "gantry.north-gate.detections.1")[0].json();
    let name = told["blobs"][0]["object"].as_str().expect("a name").to_owned();
    assert_eq!(operator.object("", "gantry-north-gate", &name), picture());
    // The gateway's login is good for nothing else.
    let mut north =
        Client::connect(&nodes[1].address(), &json!({ "user": "north-gate", "pass": "north-secret" }));
    for subject in
        ["gantry.south-gate.counts.main", "$JS.API.STREAM.DELETE.GANTRY", "$O.gantry-south-gate.M.x"]
    {
        north.publish(subject, "", &[], b"{}");
    }
    // An answer to something allowed comes after the complaints.
    north.call("$JS.API.STREAM.INFO.GANTRY", &json!({}));
    assert_eq!(north.errors.len(), 3, "{:?}", north.errors);
    // And what others are answered is not its to read.
    for subject in ["_INBOX.>", "_INBOX_south-gate.>", ">"] {
        north.subscribe(subject);
    }
    assert_eq!(north.errors.len(), 6, "{:?}", north.errors);
}
