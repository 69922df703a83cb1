//! One configuration: checked as a whole, applied as a difference.

use gantry_tests::client::{Client, Kind};
use gantry_tests::gateway::Setup;
use gantry_tests::until;
use serde_json::json;
use std::fs;

const GOOD: &str = r#"
[cameras.main]
source = "demo:"

[cameras.side]
source = "demo:?seed=2"

[plugins.robocar]
bind = "127.0.0.1:0"

[plugins.example]
stream = "main/jpeg"
"#;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_default_configuration_is_good() {
    let output = Setup::default().run(&["check"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn check_prints_all_findings_and_exits_78() {
    let setup = Setup::with_config(
        r#"
[cameras.main]
source = "demo:"
fsp = 30
width = 3

[cameras.door]
source = "carrier-pigeon://loft"

[plugins.robocar]
bind = "127.0.0.1:0"
publish_rat = 10

[plugins.lidar]
library = "no_such_plugin"

[admn]
bind = "127.0.0.1:0"
"#,
    );
    let output = setup.run(&["check"]);
    assert_eq!(output.status.code(), Some(78));
    let all = text(&output.stdout) + &text(&output.stderr);
    for expected in [
        ":4: cameras.main.fsp: unknown key; did you mean `fps`?",
        ":5: cameras.main.width",
        "cameras.door",
        "carrier-pigeon",
        ":12: plugins.robocar.publish_rat: unknown key; did you mean `publish_rate`?",
        "plugins.lidar",
        "libno_such_plugin.so",
        ":17: admn: unknown key; did you mean `admin`?",
    ] {
        assert!(all.contains(expected), "`{expected}` is missing in:\n{all}");
    }
    // Running says the same and does not start.
    let output = setup.run(&["run"]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn what_is_wrong_with_counting_is_found_at_once() {
    let setup = Setup::with_config(
        r#"
[cameras.main]
source = "demo:"
[analysis.main]
detector = "onnx"
fps = 500
lines.door = { from = [0.5, 0.5], to = [0.5, 0.5] }
[analysis.main.zones.hall]
corners = [[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
[analysis.yard]
lines.gate = { from = [0.0, 0.5], to = [1.0, 0.5] }
[counts]
reset = "25:00"
time_zone = "Middle/Earth"
[rules.busy-perod]
more_than = 3
[rules.crowded]
people = "many"
"#,
    );
    let output = setup.run(&["check"]);
    assert_eq!(output.status.code(), Some(78));
    let all = text(&output.stdout) + &text(&output.stderr);
    for expected in ["analysis.main.fps", "counts.reset"] {
        assert!(all.contains(expected), "`{expected}` is missing in:\n{all}");
    }
    // What types can tell is told first; the rest when that is mended.
    let good_types = fs::read_to_string(setup.dir().join("gantry.toml"))
        .expect("written")
        .replace("fps = 500", "fps = 5")
        .replace("25:00", "23:00");
    let output = Setup::with_config(&good_types).run(&["check"]);
    assert_eq!(output.status.code(), Some(78));
    let all = text(&output.stdout) + &text(&output.stderr);
    for expected in [
        "analysis.main.model",
        "analysis.main.lines.door",
        "analysis.main.zones.hall",
        "analysis.yard",
        "counts.time_zone",
        "Middle/Earth",
        "busy-period",
        "[rules.crowded] people",
    ] {
        assert!(all.contains(expected), "`{expected}` is missing in:\n{all}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_shown_where() {
    let output = Setup::with_config("[cameras.main\nsource = 'demo:'\n").run(&["check"]);
    assert_eq!(output.status.code(), Some(78));
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(all.contains("gantry.toml:1:") && all.contains('^'), "{all}");
}

#[test]
fn the_environment_is_checked_like_the_file() {
    let output = Setup::default().env("GANTRY_CAMERAS__MAIN__FSP", "3").run(&["check"]);
    assert_eq!(output.status.code(), Some(78));
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(all.contains("GANTRY_CAMERAS__MAIN__FSP"), "{all}");
    assert!(all.contains("did you mean `GANTRY_CAMERAS__MAIN__FPS`?"), "{all}");
}

#[test]
fn the_camera_flag_replaces_the_source_of_the_first_camera() {
    let gateway = Setup::with_config(
        "[cameras.zebra]\nsource = \"v4l2:///dev/none\"\n[cameras.ape]\nsource = \"demo:\"\n",
    )
    .arg("--camera")
    .arg("demo:?seed=5")
    .start_ready();
    assert_eq!(gateway.camera("zebra").expect("reported")["source"], "demo:?seed=5");
    assert_eq!(gateway.camera("ape").expect("reported")["source"], "demo:");
}

#[test]
fn a_change_restarts_what_changed_and_nothing_else() {
    let gateway = Setup::with_config(GOOD).start_ready();
    let url = gateway.url("robocar");
    let client = Client::connect(Kind::Node4, &url, &json!({ "transports": ["websocket"] }));
    client.status();
    let captured = |name: &str| gateway.camera(name).and_then(|c| c["frames_captured"].as_u64()).unwrap_or(0);
    let before = until("frames", || Some(captured("main")).filter(|n| *n > 10));

    // Another plugin's section: the client stays connected, the camera goes on counting.
    gateway.write_config(&GOOD.replace("stream = \"main/jpeg\"", "stream = \"side/jpeg\""));
    until("the example to watch the other camera", || {
        (gateway.metric("gantry_camera_frames_encoded_total", "side") > 0.0).then_some(())
    });
    client.status();
    assert_eq!(gateway.url("robocar"), url);
    assert!(captured("main") >= before);

    // One camera: the other one goes on.
    let side = captured("side");
    gateway
        .write_config(&GOOD.replace("source = \"demo:\"", "source = \"demo:\"\nwidth = 320\nheight = 240"));
    client.find("a picture of the new size", |e| {
        assert!(!e.name.starts_with("#dis"), "{}", e.line);
        e.args.first().is_some_and(|a| a["camera"]["width"] == 320)
    });
    assert!(captured("side") >= side);

    // Robocar itself: its clients are sent away and come back on their own where the port is fixed; here it is another.
    gateway.write_config(&GOOD.replace("bind = \"127.0.0.1:0\"", "bind = \"127.0.0.1:0\"\npublish_rate = 5"));
    client.named("#disconnect");
    until("robocar to be back", || (gateway.url("robocar") != url).then_some(()));
    assert_eq!(gateway.plugin("robocar").expect("reported")["restarts"], 0);
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let gateway = Setup::with_config(GOOD).start_ready();
    let client =
        Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] }));
    client.status();
    gateway.write_config(
        &(GOOD.replace("main/jpeg", "side/jpeg") + "\n[plugins.robocar.limits]\nconections = 3\n"),
    );
    gateway.wait_log("did you mean `connections`?");
    client.status();
    let (status, body) = gateway.admin("/readyz");
    assert!(body.contains("config"), "{status} {body}");
    // Repaired, it is taken.
    gateway.write_config(&GOOD.replace("main/jpeg", "side/jpeg"));
    until("the example to watch the other camera", || {
        (gateway.metric("gantry_camera_frames_encoded_total", "side") > 0.0).then_some(())
    });
    gateway.wait_ready();
}

#[test]
fn sighup_reloads() {
    let gateway = Setup::with_config(GOOD).start_ready();
    gateway.write_config(&GOOD.replace("[plugins.example]", "[plugins.example]\nenabled = false"));
    gateway.signal("HUP");
    until("the example to be gone", || gateway.plugin("example").is_none().then_some(()));
}
