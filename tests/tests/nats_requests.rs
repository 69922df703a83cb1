//! Requests over NATS, and the rights that they have.

use gantry_tests::cpro::PASSWORD;
use gantry_tests::fleet::{ask, call, config, detection, drained, send};
use gantry_tests::gateway::Setup;
use gantry_tests::lpr::address;
use gantry_tests::nats::{Client, Server};
use gantry_tests::until;
use serde_json::{Value, json};

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
    let at = address(&gateway);
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
