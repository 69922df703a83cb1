//! Running it: the admin listener, signals, systemd, logs.

use gantry_tests::client::{Client, Kind};
use gantry_tests::gateway::{Setup, binary};
use gantry_tests::{http, until};
use serde_json::json;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_admin_listener_tells_how_it_is() {
    let gateway = Setup::default().start_ready();
    assert_eq!(gateway.admin("/healthz").0, 200);
    assert_eq!(gateway.admin("/nowhere").0, 404);
    assert_eq!(http::request(gateway.admin_address(), "POST", "/healthz", "Content-Length: 0\r\n").0, 405);
    // A page in a browser that was tricked into asking here is not answered.
    let mut evil = http_with_host(gateway.admin_address(), "evil.example");
    assert!(evil.starts_with("HTTP/1.1 4"), "{evil}");
    evil.clear();

    let client =
        Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] }));
    client.named("sensor_data");
    // Figures of plugins are brought up to date once a second.
    until("the client to be counted", || {
        (gateway.metric("gantry_plugin_clients", "robocar") == 1.0).then_some(())
    });
    let (_, metrics) = gateway.admin("/metrics");
    for name in [
        "gantry_camera_frames_captured_total{camera=\"main\"}",
        "gantry_camera_frames_encoded_total{camera=\"main\"}",
        "gantry_camera_frames_dropped_total{camera=\"main\"}",
        "gantry_plugin_clients{plugin=\"robocar\"} 1",
        "gantry_plugin_sent_bytes_total{plugin=\"robocar\"}",
        "gantry_plugin_skipped_frames_total{plugin=\"robocar\"}",
        "gantry_plugin_restarts_total{plugin=\"robocar\"} 0",
        "gantry_camera_restarts_total{camera=\"main\"} 0",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "# HELP gantry_plugin_clients ",
        "# TYPE gantry_plugin_clients gauge",
        "# TYPE gantry_plugin_sent_bytes_total counter",
    ] {
        assert!(metrics.contains(name), "{name} is missing in:\n{metrics}");
    }
    assert!(gateway.metric("process_resident_memory_bytes", "") > 1e6);
}

fn http_with_host(address: &str, host: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).expect("a listener");
    write!(stream, "GET /plugins HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn readiness_names_what_is_not_ready() {
    let gateway = Setup::default().arg("--camera").arg("v4l2:///dev/none").start();
    let body = until("not to be ready for the camera", || {
        let (status, body) = gateway.admin("/readyz");
        (status == 503 && body.contains("main") && !body.contains("robocar")).then_some(body)
    });
    assert!(body.contains("/dev/none"), "{body}");
    assert_eq!(gateway.admin("/healthz").0, 200);
}

#[test]
fn gantry_plugins_shows_the_running_gateway() {
    let gateway = Setup::default().start_ready();
    let url = gateway.url("robocar");
    let output = gateway.run(&["plugins"]);
    let table = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let line = table.lines().find(|line| line.contains("robocar")).unwrap_or_default();
    assert!(line.contains("running") && line.contains(&url), "{table}");
    // Without one it says so and what to do.
    let output = Setup::default().run(&["plugins"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("gantry run"), "{}", text(&output.stderr));
}

#[test]
fn the_end_is_clean_and_in_time() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Setup::default().start_ready();
        let client =
            Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] }));
        client.status();
        gateway.signal(signal);
        client.named("#disconnect");
        assert!(gateway.wait().success(), "{signal}");
        assert!(!gateway.dir().join("state/run.json").exists(), "{signal}");
    }
}

#[test]
fn a_library_that_cannot_be_loaded_is_one_plugin_less() {
    let gateway = Setup::with_config(
        "[cameras.main]\nsource = \"demo:\"\n[plugins.robocar]\nbind = \"127.0.0.1:0\"\n[plugins.lost]\n",
    )
    .start();
    let report = until("it to be refused", || gateway.plugin("lost").filter(|r| r["state"] == "refused"));
    assert!(
        report["health"]["message"].as_str().is_some_and(|m| m.contains("libgantry_lost.so")),
        "{report}"
    );
    let client =
        Client::connect(Kind::Node4, &gateway.url("robocar"), &json!({ "transports": ["websocket"] }));
    client.named("sensor_data");
    // `gantry check` is stricter.
    assert_eq!(gateway.run(&["check"]).status.code(), Some(78));
}

#[test]
fn a_plugin_that_hangs_in_validate_holds_up_nothing_but_its_reload() {
    let good = "[cameras.main]\nsource = \"demo:\"\n[plugins.robocar]\nbind = \"127.0.0.1:0\"\n";
    let mut gateway = Setup::with_config(good).start_ready();
    gateway.write_config(&format!(
        "{good}[plugins.faulty]\nlibrary = \"gantry_faulty\"\nhang_in = \"validate\"\n"
    ));
    gateway.wait_log("reloading the configuration");
    assert_eq!(gateway.admin("/healthz").0, 200);
    gateway.signal("TERM");
    assert!(gateway.wait().success());
}

#[test]
fn the_admin_listener_moves_with_its_configuration() {
    let config = |bind: &str| format!("[admin]\nbind = \"{bind}\"\n[cameras.main]\nsource = \"demo:\"\n");
    let mut setup = Setup::with_config(&config("127.0.0.1:0"));
    setup.unset("GANTRY_ADMIN__BIND");
    let gateway = setup.start_ready();
    let before = gateway.admin_address().to_owned();
    let port = before.rsplit_once(':').expect("a port").1;
    // The same port on all interfaces: the old listener is in the way of the new one.
    gateway.write_config(&config(&format!("0.0.0.0:{port}")));
    gateway.wait_log("can be reached from other machines");
    assert_eq!(http::get(&before, "/healthz").0, 200);
    // An address that is not ours changes nothing.
    gateway.write_config(&config("192.0.2.1:9600"));
    gateway.wait_log("was not applied");
    assert_eq!(http::get(&before, "/healthz").0, 200);
}

#[test]
fn two_gateways_do_not_share_a_state_folder() {
    let gateway = Setup::default().start_ready();
    let output = gateway.run(&["run"]);
    assert!(!output.status.success());
    let said = text(&output.stderr) + &text(&output.stdout);
    assert!(said.contains(&gateway.pid().to_string()), "{said}");
    // A crash leaves nothing behind that hinders the next start.
    gateway.signal("KILL");
    let mut gateway = gateway;
    let _ = gateway.wait();
    let output = gateway.run(&["check"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_port_in_use_is_named_and_tried_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let gateway = Setup::default().env("GANTRY_PLUGINS__ROBOCAR__BIND", &address).start();
    let report = until("it to be refused", || {
        let report = gateway.plugin("robocar")?;
        (report["state"] == "backoff").then_some(report)
    });
    assert!(report["health"]["message"].as_str().is_some_and(|m| m.contains(&address)), "{report}");
    drop(taken);
    gateway.wait_ready();
}

#[test]
fn systemd_is_told_and_the_watchdog_is_fed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(gantry_tests::PATIENCE)).expect("a timeout");
    let mut gateway = Setup::default()
        .env("NOTIFY_SOCKET", &path.display().to_string())
        .env("WATCHDOG_USEC", "400000")
        .start_ready();
    let mut told = Vec::new();
    let mut wait_for = |wanted: &str| {
        let mut buffer = [0; 4096];
        while !told.iter().any(|line: &String| line.starts_with(wanted)) {
            let n = socket
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("waited for {wanted}: {error}; {told:?}"));
            told.extend(text(&buffer[..n]).lines().map(str::to_owned));
        }
        told.clear();
    };
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    wait_for("WATCHDOG=1");
    gateway.signal("HUP");
    wait_for("RELOADING=1");
    wait_for("READY=1");
    gateway.signal("TERM");
    wait_for("STOPPING=1");
    assert!(gateway.wait().success());
}

#[test]
fn the_log_has_no_line_per_frame_or_client() {
    let gateway = Setup::default().env("GANTRY_PLUGINS__ROBOCAR__PUBLISH_RATE", "60").start_ready();
    let url = gateway.url("robocar");
    gateway.wait_log("admin: http");
    let before = gateway.log().lines().count();
    for round in 0..12 {
        let kind = if round % 2 == 0 { Kind::Node4 } else { Kind::Node2 };
        let client = Client::connect(kind, &url, &json!({ "transports": ["websocket"] }));
        for _ in 0..30 {
            client.named("sensor_data");
        }
        client.close();
    }
    let lines = gateway.log().lines().count() - before;
    assert_eq!(lines, 0, "{}", gateway.log());
}

#[test]
fn logs_are_json_under_systemd() {
    // systemd tells which file is the journal by device and inode; here it is the file that the log goes to.
    let setup = Setup::default();
    let file = std::fs::File::create(setup.dir().join("log")).expect("a log file");
    let meta = file.metadata().expect("there");
    let gateway = setup.env("JOURNAL_STREAM", &format!("{}:{}", meta.dev(), meta.ino())).start_ready();
    gateway.wait_log("running");
    let log = gateway.log();
    let lines: Vec<_> = log.lines().filter(|line| line.starts_with('{')).collect();
    assert!(!lines.is_empty(), "{log}");
    for line in lines {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(value["level"].is_string() && value["timestamp"].is_string(), "{line}");
    }
}

#[test]
fn the_c_example_runs_in_the_gateway() {
    let setup = Setup::with_config(
        "[cameras.main]\nsource = \"demo:\"\n[plugins.example-c]\nlibrary = \"STATE/libgantry_example_c.so\"\n",
    );
    let library = setup.dir().join("libgantry_example_c.so");
    let root = gantry_tests::root();
    let status = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-std=c11", "-O2", "-fPIC", "-shared", "-I"])
        .arg(root.join("runtime/abi/include"))
        .arg("-o")
        .arg(&library)
        .arg(root.join("plugins/example-c/plugin.c"))
        .status();
    assert!(status.expect("a C compiler").success());
    let gateway =
        setup.env("GANTRY_PLUGINS__EXAMPLE_C__LIBRARY", &library.display().to_string()).start_ready();
    assert_eq!(gateway.plugin("example-c").expect("reported")["name"], "example-c");
    until("it to see frames", || {
        (gateway.metric("gantry_camera_frames_encoded_total", "main") > 0.0).then_some(())
    });
}

#[test]
fn a_new_plugin_builds_and_passes_its_own_test_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(binary())
        .args(["plugin", "new", "door-bell"])
        .current_dir(folder.path())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let project = folder.path().join("door-bell");
    // With the versions that this workspace has, so that nothing has to be fetched.
    std::fs::copy(gantry_tests::root().join("Cargo.lock"), project.join("Cargo.lock")).expect("copied");
    let target = binary().with_file_name("new-plugin");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let cargo = |args: &[&str]| {
        let mut command = Command::new(&cargo);
        let command =
            command.args(args).arg("--offline").current_dir(&project).env("CARGO_TARGET_DIR", &target);
        let output = command.output().expect("cargo runs");
        assert!(output.status.success(), "{args:?}: {}{}", text(&output.stdout), text(&output.stderr));
    };
    cargo(&["test"]);
    cargo(&["build"]);
    let library = target.join("debug/libgantry_door_bell.so");
    let config = format!(
        "[cameras.main]\nsource = \"demo:\"\n[plugins.door-bell]\nlibrary = \"{}\"\n",
        library.display()
    );
    let gateway = Setup::with_config(&config).start_ready();
    assert_eq!(gateway.plugin("door-bell").expect("reported")["state"], "running");
    // The same name again is refused and changes nothing.
    let output = Command::new(binary())
        .args(["plugin", "new", "door-bell"])
        .current_dir(folder.path())
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    let output = Command::new(binary())
        .args(["plugin", "new", "../Evil"])
        .current_dir(folder.path())
        .output()
        .expect("it runs");
    assert!(!output.status.success());
}
