//! Who may do what through the C Pro state control, and what is kept of it.

use gantry_tests::cpro::{self, PASSWORD};
use gantry_tests::gateway::{Gateway, Setup};
use gantry_tests::websocket::{Client, KINDS, Kind};
use gantry_tests::{http, until};
use serde_json::{Value, json};

fn login(gateway: &Gateway, user: &str, password: &str) -> http::Answer {
    http::post(&cpro::address(gateway), "/api/login", &json!({ "username": user, "password": password }))
}

fn token(gateway: &Gateway, user: &str) -> String {
    let answer = login(gateway, user, PASSWORD);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["token"].as_str().expect("a token").to_owned()
}

/// Whether a write is accepted now.
fn may_write(client: &mut Client) -> bool {
    client.send(&json!({ "sharpness": 30 }));
    let answer = client.find("an answer", |m| !m["info"].is_null() || m["key"] == "sharpness");
    assert!(answer["error"].is_null() || answer["error"] == "Permission denied", "{answer}");
    answer["error"].is_null()
}

#[test]
fn a_token_of_the_http_login_opens_any_number_of_connections() {
    let gateway = cpro::start(&cpro::one_camera());
    let token = token(&gateway, "admin");
    for kind in KINDS {
        // Reconnecting is connecting again with the same token.
        for round in 0..2 {
            let mut client = Client::connect(kind, &cpro::url(&gateway));
            let answer: Value = serde_json::from_str(&client.ask(&json!({ "token": token }))).expect("JSON");
            assert_eq!(answer["authenticated"], true, "{kind:?} {round}");
            assert!(answer["permissions"].as_array().is_some_and(|p| p.contains(&json!("write:brightness"))));
            assert!(may_write(&mut client), "{kind:?} {round}");
            client.close(1000);
        }
        // As the document's `credentials` have it, and in the URL, about which nothing is said.
        let mut client = Client::connect(kind, &cpro::url(&gateway));
        client.send(&json!({ "username": "admin", "token": token }));
        assert_eq!(client.next()["authenticated"], true, "{kind:?}");
        let url = format!("{}/api?token={token}", gateway.url("cpro"));
        let mut client = Client::connect(kind, &url);
        let confirmed = r#"{"gain":44,"info":["gain"]}"#;
        assert_eq!(client.ask(&json!({ "gain": 44 })), confirmed, "{kind:?}");
    }
    // A token in the URL that is none is said to be none, and the connection is anonymous.
    let mut client = Client::connect(Kind::Node, &format!("{}/api?token=guessed", gateway.url("cpro")));
    assert_eq!(client.text(), r#"{"authenticated":false,"error":"Authentication failed"}"#);
    assert_eq!(client.get("gain"), 44);
    assert!(!may_write(&mut client));
}

#[test]
fn http_beside_the_websocket_answers_as_it_should() {
    let gateway = cpro::start(&cpro::one_camera());
    let address = cpro::address(&gateway);
    assert_eq!(login(&gateway, "admin", "wrong").status, 401);
    assert_eq!(login(&gateway, "nobody", PASSWORD).status, 401);
    assert_eq!(http::post(&address, "/api/login", &json!(["admin"])).status, 400);
    assert_eq!(http::get(&address, "/api/login").0, 405);
    let info = http::send(&address, "GET", "/api/info", "", b"");
    assert_eq!((info.status, &info.json()["name"]), (200, &json!("gantry")));
    assert!(info.json()["version"].is_string(), "{info:?}");
    assert_eq!(http::get(&address, "/api/status").0, 200);
    // A session can be ended.
    let token = token(&gateway, "admin");
    let mut client = cpro::anonymous(&gateway);
    client.send(&json!({ "token": token }));
    assert_eq!(client.next()["authenticated"], true);
    let headers = format!("Authorization: Bearer {token}\r\nContent-Length: 0\r\n");
    assert_eq!(http::send(&address, "POST", "/api/logout", &headers, b"").status, 200);
    until("the session to be over", || (!may_write(&mut client)).then_some(()));
    let mut client = cpro::anonymous(&gateway);
    assert_eq!(
        client.ask(&json!({ "token": token })),
        r#"{"authenticated":false,"error":"Authentication failed"}"#
    );
}

#[test]
fn roles_decide_and_change_while_their_users_are_connected() {
    let setup = Setup::with_config(&cpro::one_camera()).user("olga", "operator").user("vera", "viewer");
    let gateway = cpro::start_with(setup);
    let (mut olga, mut vera) = (cpro::logged_in(&gateway, "olga"), cpro::logged_in(&gateway, "vera"));
    assert!(may_write(&mut olga) && !may_write(&mut vera));
    assert_eq!(vera.get("sharpness"), 30);
    let run = |arguments: &[&str]| {
        let output = gateway.run(arguments);
        assert!(output.status.success(), "{output:?}");
    };
    run(&["user", "role", "vera", "operator"]);
    until("the viewer to be an operator", || may_write(&mut vera).then_some(()));
    run(&["user", "role", "olga", "viewer"]);
    until("the operator to be a viewer", || (!may_write(&mut olga)).then_some(()));
    assert_eq!(olga.get("sharpness"), 30);
    // Who is removed is a stranger at once, and stays connected as one.
    run(&["user", "remove", "vera"]);
    until("the user to be gone", || (!may_write(&mut vera)).then_some(()));
    assert_eq!(vera.get("sharpness"), 30);
    vera.send(&json!({ "username": "vera", "password": PASSWORD }));
    vera.find("the refusal", |m| *m == json!({ "authenticated": false, "error": "Authentication failed" }));
}

#[test]
fn state_that_is_not_public_is_read_by_those_who_may() {
    let config = cpro::one_camera().replace(
        "gain = { type = \"int\"",
        "gain = { read = \"operator\", write = \"administrator\", type = \"int\"",
    );
    let setup = Setup::with_config(&config).user("admin", "administrator").user("olga", "operator");
    let gateway = cpro::start_with(setup.user("vera", "viewer"));
    let mut stranger = cpro::anonymous(&gateway);
    let [mut vera, mut olga, mut admin] =
        ["vera", "olga", "admin"].map(|user| cpro::logged_in(&gateway, user));
    let hidden = json!({ "get": ["gain"] });
    for client in [&mut stranger, &mut vera] {
        let answer: Value = serde_json::from_str(&client.ask(&hidden)).expect("JSON");
        assert!(answer["error"].is_string() && answer["key"] == "gain", "{answer}");
    }
    assert_eq!(olga.ask(&hidden), r#"{"gain":50}"#);
    let denied =
        r#"{"error":"Permission denied","key":"gain","message":"This needs the role administrator"}"#;
    assert_eq!(olga.ask(&json!({ "gain": 10 })), denied);
    assert_eq!(
        admin.ask(&json!({ "gain": 10, "contrast": 11 })),
        r#"{"gain":10,"contrast":11,"info":["gain","contrast"]}"#
    );
    assert_eq!(olga.next(), json!({ "gain": 10, "contrast": 11 }));
    for client in [&stranger, &vera] {
        assert_eq!(client.text(), r#"{"contrast":11}"#);
    }
    // Anonymous clients can be given nothing at all.
    gateway.write_config(&(config + "[access]\nanonymous = \"none\"\n"));
    until("strangers to see nothing", || {
        stranger.send(&json!({ "get": ["contrast"] }));
        let answer = stranger.find("an answer", |m| m["contrast"].is_number() || m["key"] == "contrast");
        answer["error"].is_string().then_some(())
    });
    // They are not told of changes either; the plugin hears of that a moment later.
    let mut level = 11;
    until("strangers not to be told", || {
        level += 1;
        admin.send(&json!({ "contrast": level }));
        vera.find("the change", |m| m["contrast"] == level);
        stranger.send(&json!({ "get": ["contrast"] }));
        let mut told = false;
        stranger.find("the refusal", |m| {
            told |= m["contrast"].is_number();
            m["key"] == "contrast"
        });
        (!told).then_some(())
    });
}

#[test]
fn guessing_passwords_is_slow_even_over_a_restart() {
    let mut gateway = cpro::start(&cpro::one_camera());
    let refused = r#"{"authenticated":false,"error":"Authentication failed"}"#;
    let mut client = cpro::anonymous(&gateway);
    for _ in 0..5 {
        assert_eq!(client.ask(&json!({ "username": "admin", "password": "guess" })), refused);
    }
    // Now the right one is refused too, until some time has passed.
    let throttled = |gateway: &Gateway| {
        until("to be told to wait", || {
            let answer = login(gateway, "admin", "guess");
            assert!([401, 429].contains(&answer.status), "{answer:?}");
            (answer.status == 429).then(|| answer.header("retry-after").and_then(|s| s.parse::<u32>().ok()))
        })
    };
    assert!(throttled(&gateway).is_some_and(|seconds| seconds >= 1));
    until("a longer wait", || (throttled(&gateway) >= Some(3)).then_some(()));
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    gateway.restart();
    cpro::wait_keys(&gateway);
    // Had it been forgotten, five more were free.
    let free = (0..5).take_while(|_| login(&gateway, "admin", "guess").status != 429).count();
    assert!(free <= 1, "{free} attempts were free after the restart");
}

#[test]
fn state_survives_a_power_cut_and_a_recording_does_not_go_on() {
    let mut gateway = cpro::start(&cpro::one_camera());
    let token = token(&gateway, "admin");
    let mut client = cpro::logged_in(&gateway, "admin");
    client.send(&json!({ "brightness": 75, "record": true, "auto-white-balance": "daylight", "resolution": "160x120" }));
    client.find("the confirmation", |m| m["info"].as_array().is_some_and(|info| info.len() == 4));
    let state = gateway.dir().join("state/state.json");
    until("it to be kept", || {
        let text = std::fs::read_to_string(&state).ok()?;
        (text.contains("75") && text.contains("daylight") && text.contains("160x120")).then_some(())
    });
    gateway.restart();
    cpro::wait_keys(&gateway);
    let mut client = cpro::anonymous(&gateway);
    let keys = json!({ "get": ["brightness", "record", "auto-white-balance", "resolution", "contrast"] });
    let kept = r#"{"brightness":75,"record":false,"auto-white-balance":"daylight","resolution":"160x120","contrast":50}"#;
    assert_eq!(client.ask(&keys), kept);
    // Sessions survive too.
    client.send(&json!({ "token": token }));
    assert_eq!(client.next()["authenticated"], true);
}

#[test]
fn the_first_start_makes_an_administrator_whose_password_is_said_once() {
    let mut gateway = cpro::start_with(Setup::with_config(&cpro::one_camera()));
    let said = gateway.log();
    let password =
        said.split("password `").nth(1).and_then(|rest| rest.split('`').next()).expect("a password");
    assert!(password.len() >= 12 && said.matches(password).count() == 1, "{said}");
    let mut client = cpro::anonymous(&gateway);
    client.log_in("admin", password);
    assert!(may_write(&mut client));
    let list = gateway.run(&["user", "list"]);
    let list = String::from_utf8_lossy(&list.stdout);
    assert!(list.contains("admin") && list.contains("administrator"), "{list}");
    gateway.restart();
    cpro::wait_keys(&gateway);
    assert!(!gateway.log().contains("password"), "{}", gateway.log());
    cpro::anonymous(&gateway).log_in("admin", password);
}

#[test]
fn no_password_and_no_token_is_ever_logged() {
    let config = cpro::one_camera() + "[log]\nlevel = \"trace\"\n";
    let gateway = cpro::start(&config);
    let token = token(&gateway, "admin");
    let _ = login(&gateway, "admin", "a-wrong-password");
    let mut client = cpro::logged_in(&gateway, "admin");
    client.send(&json!({ "token": token, "brightness": 1 }));
    client.find("the write", |m| !m["info"].is_null());
    let url = format!("{}/api?token={token}", gateway.url("cpro"));
    assert!(may_write(&mut Client::connect(Kind::Python, &url)));
    client.send_text(&format!("{{\"token\":\"{token}\",\"password\":\"{PASSWORD}\" broken"));
    client.find("the refusal", |m| m["error"] == "Invalid JSON");
    let output =
        gateway.run_with_input(&["user", "passwd", "admin", "--password-stdin"], "another-password-3");
    assert!(output.status.success(), "{output:?}");
    until("the old session to be over", || (!may_write(&mut client)).then_some(()));
    let told = gateway.log()
        + &gateway.admin("/plugins").1
        + &gateway.admin("/metrics").1
        + &gateway.admin("/readyz").1
        + &format!("{output:?}");
    for secret in [PASSWORD, "a-wrong-password", "another-password-3", &token] {
        assert!(!told.contains(secret), "{secret} is in:\n{told}");
    }
    // What lies in the state folder is no password and no token either.
    let access = gateway.dir().join("state/access");
    for entry in std::fs::read_dir(&access).expect("the folder of users").flatten() {
        use std::os::unix::fs::PermissionsExt;
        let (path, mode) = (entry.path(), entry.metadata().expect("there").permissions().mode());
        assert_eq!(mode & 0o077, 0, "{} may be read by others", path.display());
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
        assert!(!text.contains(PASSWORD) && !text.contains(&token), "{}", path.display());
    }
}

#[test]
fn who_changed_what_and_when_is_on_record() {
    let gateway = cpro::start_with(Setup::with_config(&cpro::one_camera()).user("olga", "operator"));
    let _ = login(&gateway, "olga", "a-wrong-password");
    let mut client = cpro::logged_in(&gateway, "olga");
    for level in [60, 61, 62] {
        client.send(&json!({ "brightness": level }));
        client.find("the confirmation", |m| *m == json!({ "brightness": level, "info": ["brightness"] }));
    }
    let records = |collection: &str| -> Vec<Value> {
        let output = gateway.run(&["records", "export", collection]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    };
    let changes = until("the change to be on record", || {
        let all = records("audit");
        let changes: Vec<_> = all.into_iter().filter(|r| r["data"]["observable"] == "brightness").collect();
        changes.last().is_some_and(|last| last["data"]["to"] == 62).then_some(changes)
    });
    let data = |n: usize| &changes[n]["data"];
    assert_eq!(
        (&data(0)["from"], &data(0)["user"], &data(0)["via"]),
        (&json!(50), &json!("olga"), &json!("cpro"))
    );
    assert!(data(0)["address"].as_str().is_some_and(|a| a.starts_with("127.0.0.1")), "{changes:?}");
    assert!(changes[0]["time"].is_string(), "{changes:?}");
    let times: u64 = changes.iter().filter_map(|r| r["data"]["times"].as_u64()).sum();
    assert_eq!(times, 3, "{changes:?}");
    let logins = records("audit").into_iter().filter(|r| r["data"]["type"] == "login");
    let outcomes: Vec<_> =
        logins.map(|r| (r["data"]["user"].clone(), r["data"]["outcome"].clone())).collect();
    for outcome in ["refused", "granted"] {
        assert!(outcomes.contains(&(json!("olga"), json!(outcome))), "{outcomes:?}");
    }
}

#[test]
fn check_finds_what_is_wrong_with_the_state() {
    let good = cpro::one_camera();
    let output = Setup::with_config(&good).run(&["check"]);
    assert!(output.status.success(), "{output:?}");
    let wrong = r#"[state]
zoom = { type = "int", range = [9, 1] }
mode = { type = "enum" }
lamp = { type = "bool", acts_on = ["lamp/1"] }
tilt = { type = "float", default = "up" }
pan = { type = "nit" }
iris = { type = "bool", reed = "viewer" }
"#;
    let output = Setup::with_config(&good.replace("[state]\n", wrong)).run(&["check"]);
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for expected in
        ["state.zoom.range", "state.mode.choices", "state.lamp.acts_on", "state.tilt.default", "state.pan"]
    {
        assert!(said.contains(expected), "`{expected}` is missing in:\n{said}");
    }
    assert!(said.contains("state.iris.reed: unknown key; did you mean `read`?"), "{said}");
    assert!(said.contains("gantry.toml:3:"), "{said}");
}
