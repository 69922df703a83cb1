//! Plugins that misbehave beside robocar, whose viewers must not notice.

use gantry_tests::client::{Client, Kind};
use gantry_tests::gateway::Setup;
use gantry_tests::until;
use serde_json::json;

/// Robocar beside a plugin that does what `faulty` says.
fn config(faulty: &str) -> String {
    format!(
        r#"
        [cameras.main]
        source = "demo:"
        [plugins.robocar]
        bind = "127.0.0.1:0"
        publish_rate = 20
        [plugins.faulty]
        library = "gantry_faulty"
        {faulty}
        "#
    )
}

/// The longest time between two ticks of `n`, in ticks.
fn longest_gap(client: &Client, n: usize) -> f64 {
    let times: Vec<f64> = (0..n).filter_map(|_| client.status()["timestamp"].as_f64()).collect();
    times.windows(2).map(|pair| (pair[1] - pair[0]) * 20.0).fold(0.0, f64::max)
}

#[test]
fn viewers_keep_their_rate_beside_a_plugin_that_panics() {
    let gateway = Setup::with_config(&config("stream = \"main/jpeg\"\npanic_in = \"on_frame\"")).start();
    let client =
        Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] }));
    until("two restarts", || {
        let report = gateway.plugin("faulty")?;
        (report["restarts"].as_u64()? >= 2).then_some(())
    });
    until("the reason to be shown", || {
        let report = gateway.plugin("faulty")?;
        report["health"]["message"].as_str().filter(|m| m.contains("panicked in on_frame")).map(drop)
    });
    assert!(longest_gap(&client, 60) < 10.0);
    assert_eq!(gateway.plugin("robocar").expect("reported")["restarts"], 0);
    until("not to be ready for it", || {
        let (status, body) = gateway.admin("/readyz");
        (status == 503 && body.contains("faulty")).then_some(())
    });
}

#[test]
fn viewers_keep_their_rate_beside_a_plugin_that_hangs() {
    let mut gateway = Setup::with_config(&config("stream = \"main/jpeg\"\nhang_in = \"on_frame\"")).start();
    let client =
        Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] }));
    until("it to be left behind", || (gateway.plugin("faulty")?["left_behind"].as_u64()? >= 1).then_some(()));
    assert!(longest_gap(&client, 60) < 10.0);
    // And the end comes in time all the same.
    gateway.signal("TERM");
    assert!(gateway.wait().success());
}

#[test]
fn viewers_keep_their_rate_beside_plugins_that_flood() {
    for flood in ["messages", "logs", "wakes"] {
        let gateway = Setup::with_config(&config(&format!("flood = \"{flood}\""))).start_ready();
        let client =
            Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] }));
        assert!(longest_gap(&client, 60) < 10.0, "{flood}");
        let lines = gateway.log().lines().count();
        assert!(lines < 2000, "{flood}: {lines} lines in the log");
        assert!(!gateway.log().contains("\nforged line"), "{flood}");
    }
}

#[test]
fn a_hang_in_stop_does_not_delay_the_end() {
    let mut gateway = Setup::with_config(&config("hang_in = \"stop\"")).start_ready();
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    assert!(gateway.log().contains("left behind"), "{}", gateway.log());
}
