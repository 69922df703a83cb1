//! Records over the plugin border's services, as the operator's socket reaches them.

use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::until;
use serde_json::{Value, json};

fn call(gateway: &Gateway, service: &str, request: &Value) -> Value {
    let done = gateway.run(&["call", service, &request.to_string()]);
    assert!(done.status.success(), "{service}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn refusal(gateway: &Gateway, service: &str, request: &Value) -> String {
    let done = gateway.run(&["call", service, &request.to_string()]);
    assert!(!done.status.success(), "{service} {request}");
    String::from_utf8(done.stderr).expect("text")
}

fn append(gateway: &Gateway, n: u32) -> Value {
    call(
        gateway,
        "records.append",
        &json!({ "collection": "detections", "data": { "n": n, "camera": n % 2 } }),
    )
}

#[test]
fn records_are_appended_queried_and_consumed_over_a_power_cut() {
    let mut gateway = Setup::with_config("[cameras.main]\nsource = \"demo:?people=0\"\n").start_ready();
    let ids: Vec<Value> = (0..5).map(|n| append(&gateway, n)["id"].clone()).collect();
    let again = json!({ "collection": "detections", "data": 1, "dedup_key": "a" });
    let first = call(&gateway, "records.append", &again);
    assert_eq!(call(&gateway, "records.append", &again), json!({ "id": first["id"], "duplicate": true }));

    let wanted = json!({ "collection": "detections", "fields": [{ "path": ["camera"], "value": 1 }], "order": "oldest" });
    let found = call(&gateway, "records.query", &wanted);
    assert_eq!((&found["more"], found["records"].as_array().map(Vec::len)), (&json!(false), Some(2)));
    assert_eq!((&found["records"][0]["id"], &found["records"][1]["data"]["n"]), (&ids[1], &json!(3)));
    assert_eq!(
        call(&gateway, "records.count", &json!({ "collection": "detections" })),
        json!({ "count": 6 })
    );
    let one = call(&gateway, "records.query", &json!({ "collection": "detections", "id": ids[4] }));
    assert_eq!(one["records"][0]["data"]["n"], 4);
    let page = call(&gateway, "records.query", &json!({ "collection": "detections", "limit": 2 }));
    assert_eq!((&page["more"], &page["records"][0]["id"]), (&json!(true), &first["id"]));

    let name = json!({ "consumer": "uplink" });
    let open = json!({ "consumer": "uplink", "collections": ["detections"] });
    assert_eq!(call(&gateway, "records.open", &open)["count"], 6);
    let next = |gateway: &Gateway, limit: u32| {
        let batch = call(gateway, "records.next", &json!({ "consumer": "uplink", "limit": limit }));
        batch["records"].as_array().expect("records").iter().map(|r| r["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(next(&gateway, 2), ids[..2]);
    assert_eq!(next(&gateway, 2), ids[2..4]);
    call(&gateway, "records.ack", &json!({ "consumer": "uplink", "up_to": ids[1] }));
    call(&gateway, "records.rewind", &name);
    assert_eq!(next(&gateway, 1), ids[2..3]);
    assert_eq!(call(&gateway, "records.waiting", &name)["count"], 4);
    // What was acknowledged is on the disk with the next group.
    append(&gateway, 9);
    gateway.restart();
    gateway.wait_ready();
    assert!(refusal(&gateway, "records.next", &name).contains("records.open"));
    assert_eq!(call(&gateway, "records.open", &open)["count"], 5);
    assert_eq!(next(&gateway, 2), ids[2..4]);
}

#[test]
fn what_cannot_be_a_record_is_refused_with_the_reason() {
    let gateway = Setup::with_config("[cameras.main]\nsource = \"demo:?people=0\"\n").start_ready();
    for (request, says) in [
        (json!({ "collection": "audit", "data": {} }), "the runtime's own"),
        (json!({ "collection": "No Name", "data": {} }), "collection"),
        (json!({ "collection": "detections", "data": {}, "blobs": ["a"] }), "0 blobs have 1 names"),
        (json!({ "collection": "detections", "data": {}, "dedup_key": "" }), "deduplication"),
    ] {
        let answer = call(&gateway, "records.append", &request);
        assert_eq!(answer["refused"], "bad", "{answer}");
        assert!(answer["message"].as_str().is_some_and(|text| text.contains(says)), "{answer}");
    }
    assert!(refusal(&gateway, "records.append", &json!({ "colection": "a" })).contains("colection"));
    assert!(
        refusal(&gateway, "records.query", &json!({ "collection": "a", "limit": "many" })).contains("limit")
    );
    assert!(
        refusal(&gateway, "records.ack", &json!({ "consumer": "x", "up_to": "y" })).contains("records.ack")
    );
}

#[test]
fn rules_look_at_records_before_they_are_kept() {
    let rule = "fn on_detection(event) {
        let plate = event.data.plate;
        if plate == \"GONE\" { drop(); return; }
        if plate == \"WANTED\" { tag(\"wanted\"); alert(\"plates\", #{ plate: plate }); forward(false); }
        if plate == \"BROKEN\" { throw \"cannot read it\"; }
    }\n";
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("rules")).expect("a folder");
    std::fs::write(folder.path().join("rules/gate.rhai"), rule).expect("written");
    let scripts = folder.path().display().to_string();
    let config = format!("script_dir = {scripts:?}\n[cameras.main]\nsource = \"demo:?people=0\"\n");
    let gateway = Setup::with_config(&config).start_ready();
    let send = |plate: &str| {
        let data = json!({ "plate": plate });
        call(
            &gateway,
            "records.append",
            &json!({ "collection": "detections", "data": data, "hook": "on_detection" }),
        )
    };
    for plate in ["PLAIN", "WANTED", "BROKEN"] {
        assert!(send(plate)["id"].is_string(), "{plate}");
    }
    assert_eq!(send("GONE")["dropped"], true);
    let kept = call(&gateway, "records.query", &json!({ "collection": "detections", "order": "oldest" }));
    let data: Vec<&Value> = kept["records"].as_array().expect("records").iter().map(|r| &r["data"]).collect();
    let wanted = json!({
        "plate": "WANTED", "tags": ["wanted"],
        "alerts": [{ "alert": "plates", "rule": "gate", "data": { "plate": "WANTED" } }], "forward": false,
    });
    assert_eq!(data, [&json!({ "plate": "PLAIN" }), &wanted, &json!({ "plate": "BROKEN" })]);
    let unknown = json!({ "collection": "detections", "data": {}, "hook": "on_count" });
    assert_eq!(call(&gateway, "records.append", &unknown)["refused"], "bad");
}

#[test]
fn the_gateway_writes_down_how_it_and_its_parts_do() {
    let config =
        |source: &str| format!("[records]\nhealth_interval = \"1s\"\n[cameras.main]\nsource = {source:?}\n");
    let gateway = Setup::with_config(&config("rtsp://127.0.0.1:9/door")).start();
    let last = |component: &str| {
        let of = json!([{ "path": ["component"], "value": component }]);
        let asked = json!({ "collection": "gateway", "fields": of, "limit": 1 });
        call(&gateway, "records.query", &asked)["records"][0]["data"].clone()
    };
    until("the camera's trouble is kept", || (last("camera/main")["status"] == "error").then_some(()));
    let message = last("camera/main")["message"].to_string();
    assert!(message.contains("look at the camera"), "{message}");
    until("the whole is told of", || (last("gateway")["status"] == "error").then_some(()));
    gateway.write_config(&config("demo:?people=0"));
    until("the camera is well", || (last("camera/main")["status"] == "healthy").then_some(()));
    until("the gateway is well", || (last("gateway")["message"] == "everything works").then_some(()));
    // The second one after the start has seen two states of the processors.
    until("the machine is read", || last("gateway")["details"]["cpu_usage"].is_number().then_some(()));
    let details = last("gateway")["details"].clone();
    let percent = |name: &str| details[name].as_f64().is_some_and(|part| (0.0..=100.0).contains(&part));
    assert!(percent("cpu_usage") && percent("memory_usage") && percent("disk_usage"), "{details}");
}

#[test]
fn the_operator_says_how_much_of_a_collection_is_kept() {
    let config = |most: u32| {
        format!(
            "[records.collections.detections]\nmax_count = {most}\n[cameras.main]\nsource = \"demo:?people=0\"\n"
        )
    };
    let gateway = Setup::with_config(&config(3)).start_ready();
    (0..5).for_each(|n| _ = append(&gateway, n));
    let kept = || {
        let asked = json!({ "collection": "detections", "order": "oldest" });
        let found = call(&gateway, "records.query", &asked);
        let all = found["records"].as_array().expect("records");
        all.iter().filter_map(|record| record["data"]["n"].as_u64()).collect::<Vec<_>>()
    };
    until("the oldest go", || (kept() == [2, 3, 4]).then_some(()));
    gateway.write_config(&config(1));
    until("a smaller number holds at once", || (kept() == [4]).then_some(()));
}

#[test]
fn the_page_for_plugin_authors_names_every_service() {
    let gateway = Setup::with_config("[cameras.main]\nsource = \"demo:?people=0\"\n").start_ready();
    let told = refusal(&gateway, "nothing.of.the.kind", &json!({}));
    let names = told.trim().split("there are ").nth(1).expect("all names").split(", ");
    let page = std::fs::read_to_string(gantry_tests::root().join("runtime/SERVICES.md")).expect("the page");
    let missing: Vec<_> = names.filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
