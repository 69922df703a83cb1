//! Rules over what LPR cameras send, keys, and the OpenAPI document held against the server.

use gantry_tests::client::{Client, Kind};
use gantry_tests::gateway::Setup;
use gantry_tests::lpr::{CONFIG, address, base64, detection, get, is_uuid, picture, sent, with};
use gantry_tests::{http, root, until};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

#[test]
fn rules_tag_raise_alerts_drop_and_keep_back_and_an_edit_takes_effect_while_it_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules");
    fs::create_dir_all(&rules).expect("a folder");
    fs::copy(root().join("scripts/rules/watch-list.rhai"), rules.join("watch-list.rhai")).expect("copied");
    let gate = "fn on_detection(event) {
        if event.data.checkpoint_id == \"staff\" { drop(); }
        if event.data.checkpoint_id == \"private\" { tag(\"private\"); forward(false); }
    }\n";
    fs::write(rules.join("gate.rhai"), gate).expect("written");
    let config = format!(
        "script_dir = {:?}\n{CONFIG}[rules.watch-list]\nplates = [\"กข-1234\", \"XY 77*\"]\nmin_confidence = 0.6\n",
        folder.path().display().to_string()
    );
    let gateway = Setup::with_config(&config).start_ready();
    let url = format!("http://{}", address(&gateway));
    let mut dashboard = Client::connect(Kind::Node4, &url, &json!({}));
    dashboard.named("#connect");
    dashboard.emit(&[json!("join_dashboard")]);
    dashboard.named("status");
    let mut camera = Client::connect(Kind::Python, &url, &json!({}));
    camera.named("#connect");
    let mut n = 0;
    let mut send = |checkpoint: &str, plates: Value| {
        n += 1;
        let changes = json!({ "checkpoint_id": checkpoint, "ocr_results": plates, "n": n, "annotated_image": base64(&picture(n, 2000)) });
        let message = with(detection(), &changes);
        camera.emit(&[json!("lpr_data"), message.clone()]);
        let answer = camera.next();
        assert_eq!(answer.name, "lpr_response", "{}", answer.line);
        assert!(
            answer.args[0]["success"] == true
                && is_uuid(answer.args[0]["detection_id"].as_str().expect("an id"))
        );
        (message, answer.args[0]["detection_id"].clone())
    };
    let newest = || sent(&gateway, "limit=1")[0].clone();

    let (message, _) = send("north", json!(["ABC1234"]));
    assert_eq!(newest(), message, "nothing is said of a plate that nobody looks for");
    // A plate of the list, as cameras with confidences send it, JSON in a text.
    let (message, id) = send(
        "north",
        json!("[{\"text\": \"กข 1234\", \"confidence\": 0.9}, {\"text\": \"XY7712\", \"confidence\": 0.3}]"),
    );
    let hit = json!({ "plate": "กข1234", "confidence": 0.9, "listed": "กข-1234" });
    let read = json!([{ "text": "กข 1234", "confidence": 0.9 }, { "text": "XY7712", "confidence": 0.3 }]);
    let marked = json!({
        "ocr_results": read, "tags": ["watch-list"],
        "alerts": [{ "alert": "watch-list", "rule": "watch-list", "data": hit }],
    });
    assert_eq!(newest(), with(message, &marked), "with its pictures as sent");
    // Not for uplinks, and said so in the record; all rules have their say.
    let (message, _) = send("private", json!(["xy 770"]));
    let alert = json!({ "alert": "watch-list", "rule": "watch-list", "data": { "plate": "XY770", "listed": "XY 77*" } });
    let marked = json!({ "tags": ["private", "watch-list"], "alerts": [alert], "forward": false });
    assert_eq!(newest(), with(message, &marked));
    // Answered as if it was kept, and kept nowhere.
    let (_, dropped) = send("staff", json!(["กข 1234"]));
    let shown = get(&gateway, "/api/records")["records"].to_string();
    assert!(!shown.contains(dropped.as_str().expect("an id")) && !shown.contains("staff"), "{dropped}");
    let told: Vec<_> =
        (0..3).map(|_| dashboard.named("new_detection").args[0]["detection_id"].clone()).collect();
    assert_eq!(told[1], id);
    assert_eq!(get(&gateway, "/api/statistics")["data"]["total_detections"], 3);

    // An edit of the script on the running gateway; the connections stay.
    fs::write(
        rules.join("gate.rhai"),
        gate.replace("\"staff\"", "\"nobody\"").replace("tag(\"private\")", "tag(\"yard\")"),
    )
    .expect("written");
    until("the edited rule to tag", || {
        send("private", json!([]));
        (newest()["tags"] == json!(["yard"])).then_some(())
    });
    let (message, _) = send("staff", json!([]));
    assert_eq!(newest(), message, "it is kept now");
    // One that is broken changes nothing; and what the configuration tells the rules may change as well.
    fs::write(rules.join("gate.rhai"), "fn on_detection(event) { tag(\"broken\" }").expect("written");
    gateway.wait_log("gate.rhai:1:");
    gateway.write_config(&config.replace("XY 77*", "ZZ 1"));
    until("the edited list to hit", || {
        send("private", json!(["ZZ1"]));
        (newest()["tags"] == json!(["watch-list", "yard"])).then_some(())
    });
}

#[test]
fn with_socket_io_a_key_may_be_shown_in_the_headers_as_with_rest() {
    let keys = "[plugins.lpr.api_keys]\n\"1\" = \"the-key-of-camera-one\"\n";
    let gateway = Setup::with_config(&(CONFIG.to_owned() + keys)).start_ready();
    let url = format!("http://{}", address(&gateway));
    let right = [
        json!({ "X-API-Key": "the-key-of-camera-one" }),
        json!({ "Authorization": "Bearer the-key-of-camera-one" }),
    ];
    for (kind, option) in
        [(Kind::Python, "headers"), (Kind::Node4, "extraHeaders"), (Kind::Node2, "extraHeaders")]
    {
        for transport in ["polling", "websocket"] {
            let connect = |headers: &Value| {
                let mut options = json!({ "transports": [transport], option: headers });
                if kind == Kind::Node2 {
                    // The old client has its headers by transport.
                    options["transportOptions"] = json!({ transport: { "extraHeaders": headers } });
                }
                let mut camera = Client::connect(kind, &url, &options);
                camera.named("#connect");
                camera.emit(&[json!("lpr_data"), detection()]);
                camera.next()
            };
            for headers in &right {
                assert_eq!(connect(headers).name, "lpr_response", "{kind:?} {transport} {headers}");
            }
            for headers in [
                json!({}),
                json!({ "X-API-Key": "a-key-that-is-none" }),
                json!({ "Authorization": "Basic the-key-of-camera-one" }),
            ] {
                assert_eq!(connect(&headers).name, "error", "{kind:?} {transport} {headers}");
            }
        }
    }
    assert!(!gateway.log().contains("the-key-of-camera-one"));
}

/// Schemathesis makes requests of the description, right and wrong ones, and holds the answers against it.
#[test]
fn the_openapi_document_is_true() {
    let home = tempfile::tempdir().expect("a folder");
    for keys in ["", "[plugins.lpr.api_keys]\n\"*\" = \"the-key-of-everybody\"\n"] {
        let gateway = Setup::with_config(&(CONFIG.to_owned() + keys)).start_ready();
        // With keys, what is made systematically; without, also what is made at random.
        let phases = if keys.is_empty() { "examples,coverage,fuzzing" } else { "examples,coverage" };
        let done = Command::new(root().join("tests/clients/.venv/bin/schemathesis"))
            .args(["run", &format!("http://{}/openapi.json", address(&gateway)), "--checks", "all"])
            .args(["--seed", "1", "--max-examples", "20", "--phases", phases])
            .args(["--continue-on-failure", "--no-color", "--suppress-health-check", "all"])
            .args(["--header", "X-API-Key: the-key-of-everybody"])
            .current_dir(home.path())
            .env("NO_PROXY", "*")
            .output()
            .expect("the test clients: run `make test`, which installs them");
        let told = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{told}{}", String::from_utf8_lossy(&done.stderr));
        assert!(told.contains("10 selected / 10 total"), "{told}");
        // It is as well as before.
        assert_eq!(http::get(&address(&gateway), "/api/test").0, 200);
    }
}
