//! HTTP beside the WebSocket, and tokens in URLs.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod common;

use common::{Rig, run, until};
use gantry_cpro::gantry_plugin_v1;
use gantry_plugin::test::Host;
use serde_json::{Value, json};

fn log_in(rig: &Rig) -> String {
    let (status, answer) = rig.json(
        "POST",
        "/api/login",
        "Content-Type: application/json\r\n",
        r#"{"username":"admin","password":"pass"}"#,
    );
    assert_eq!((status, &answer["user"], &answer["role"]), (200, &json!("admin"), &json!("operator")));
    answer["token"].as_str().expect("a token").to_owned()
}

#[test]
fn a_token_from_the_login_opens_connections_until_it_is_given_back() {
    run(json!({}), |rig| {
        let token = log_in(rig);
        for _ in 0..2 {
            let mut client = rig.client();
            client.say(json!({"username": "admin", "token": token}));
            client.say(json!({"fps": 20}));
            assert_eq!(client.hear()["authenticated"], true);
            client.hears(&[json!({"fps": 20, "info": ["fps"]}), json!({"fps": 20})]);
            drop(client);
        }
        let bearer = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(rig.json("POST", "/api/logout", &bearer, ""), (200, json!({"authenticated": false})));
        let mut client = rig.client();
        client.say(json!({"token": token}));
        client.hears(&[json!({"authenticated": false, "error": "Authentication failed"})]);
        assert_eq!(rig.json("POST", "/api/logout", "", "").0, 401);
    });
}

#[test]
fn a_token_in_the_url_holds_from_the_first_message_on_and_nothing_is_sent_on_connect() {
    run(json!({}), |rig| {
        let token = log_in(rig).replace(' ', "%20").replace('/', "%2F").replace('+', "%2B");
        for path in ["/api", "/api/v1", "/api/"] {
            let mut client = rig.client_at(&format!("{path}?token={token}"));
            client.say(json!({"gain": 11}));
            client.hears(&[json!({"gain": 11, "info": ["gain"]}), json!({"gain": 11})]);
        }
        let mut bad = rig.client_at("/api?token=invented");
        bad.hears(&[json!({"authenticated": false, "error": "Authentication failed"})]);
        bad.say(json!({"get": "fps"}));
        bad.hears(&[json!({"fps": 30})]);
        rig.client_at("/api").hears_nothing();
        rig.client_at("/api?token=").hears_nothing();
    });
}

#[test]
fn a_login_that_fails_says_why_by_its_status() {
    run(json!({}), |rig| {
        let login = |body: &str| rig.json("POST", "/api/login", "", body);
        let failed = json!({"error": "Authentication failed"});
        assert_eq!(login(r#"{"username":"admin","password":"no"}"#), (401, failed.clone()));
        assert_eq!(login("{"), (400, json!({"error": "Invalid JSON"})));
        for incomplete in
            ["{}", r#"{"username":"admin"}"#, r#"{"username":1,"password":"p"}"#, r#"{"token":"t"}"#]
        {
            let (status, answer) = login(incomplete);
            assert_eq!((status, &answer["error"]), (400, &json!("Invalid value")), "{incomplete}");
        }
        assert_eq!(login(&"x".repeat(2 << 20)).0, 413);
        let (status, head, body) =
            rig.http("POST", "/api/login", "", r#"{"username":"eager","password":"p"}"#);
        assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (429, failed));
        assert!(head.contains("retry-after: 12"), "{head}");
    });
}

#[test]
fn every_path_says_what_may_be_done_with_it() {
    run(json!({}), |rig| {
        for (method, path, status, allow) in [
            ("GET", "/api/login", 405, "allow: post"),
            ("GET", "/api/logout", 405, "allow: post"),
            ("POST", "/api/info", 405, "allow: get, head"),
            ("DELETE", "/api/status", 405, "allow: get, head"),
            ("PUT", "/", 405, "allow: get, head"),
            ("GET", "/api/v2", 404, ""),
            ("GET", "/api/v1", 426, "upgrade: websocket"),
            ("GET", "/api", 426, "upgrade: websocket"),
        ] {
            let (got, head, body) = rig.http(method, path, "", "");
            assert!(got == status && head.contains(allow), "{method} {path}: {head}");
            assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string(), "{body}");
        }
        assert_eq!(rig.http("HEAD", "/api/status", "", "").0, 200);
    });
}

#[test]
fn info_says_what_this_is_and_what_the_one_who_asks_may_do() {
    run(json!({}), |rig| {
        let (status, info) = rig.json("GET", "/api/info", "", "");
        assert_eq!((status, &info["name"], &info["version"]), (200, &json!("gantry"), &json!("0.1.0")));
        assert_eq!(info["keys"]["fps"], json!({"read": true, "write": false}));
        assert_eq!(info["keys"].get("gain"), None, "it is not even known of");
        let bearer = format!("Authorization: Bearer {}\r\n", log_in(rig));
        let (_, info) = rig.json("GET", "/api/info", &bearer, "");
        assert_eq!(info["keys"]["gain"], json!({"read": true, "write": true}));
    });
}

#[test]
fn status_counts_who_is_connected() {
    run(json!({}), |rig| {
        let clients = || {
            let (code, status) = rig.json("GET", "/api/status", "", "");
            assert_eq!((code, &status["status"], status["uptime"].is_u64()), (200, &json!("ok"), true));
            status["clients"].clone()
        };
        assert_eq!(clients(), 0);
        let mut one = rig.client();
        one.hears_nothing();
        assert_eq!(clients(), 1);
        drop(one);
        until("it is seen that it has gone", || clients() == 0);
    });
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    run(json!({}), |rig| {
        let (status, head, body) = rig.http("GET", "/", "", "");
        assert!(status == 200 && head.contains("text/html"), "{head}");
        for outside in ["http://", "https://", "src=", "@import", "<link", "url("] {
            assert!(!body.contains(outside), "{outside}");
        }
    });
}

#[test]
fn pages_of_other_origins_may_connect_unless_a_list_says_which() {
    run(json!({}), |rig| {
        let head = "Origin: https://any.example\r\nAccess-Control-Request-Headers: content-type\r\n";
        let (status, head, _) = rig.http("OPTIONS", "/api/login", head, "");
        assert_eq!(status, 204);
        assert!(head.contains("access-control-allow-origin: https://any.example"), "{head}");
        assert!(head.contains("access-control-allow-headers: content-type"), "{head}");
    });
    run(json!({"origins": ["https://dash.example"]}), |rig| {
        let get = |origin: &str| rig.http("GET", "/api/status", &format!("Origin: {origin}\r\n"), "");
        assert_eq!(get("https://evil.example").0, 403);
        let (status, head, _) = get("https://dash.example");
        assert!(
            status == 200 && head.contains("access-control-allow-origin: https://dash.example"),
            "{head}"
        );
        assert_eq!(rig.http("GET", "/api/v1", "Origin: https://evil.example\r\n", "").0, 403);
    });
}

#[test]
fn requests_under_another_name_are_refused_when_a_list_says_which() {
    run(json!({"hosts": ["gateway.local"]}), |rig| {
        let (status, _, body) = rig.http("GET", "/api/v1", "", "");
        assert!(status == 421 && body.contains("add it to `hosts`"), "{status} {body}");
    });
    // That is the name which this client asks under.
    run(json!({"hosts": ["x"]}), |rig| assert_eq!(rig.http("GET", "/api/status", "", "").0, 200));
}

#[test]
fn the_configuration_is_checked_before_anything_starts() {
    let findings =
        Host::validate(&gantry_plugin_v1, &json!({"mapping": "../x", "limits": {"connections": 0}}));
    let paths: Vec<_> = findings.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(paths, ["mapping", "limits.connections"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let Err(error) = Host::start(&gantry_plugin_v1, json!({"bind": address})) else { panic!("it cannot") };
    assert!(error.contains("another program has this port"), "{error}");
}
