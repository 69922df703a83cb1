//! Gateways with the C Pro state control, and its clients.

use crate::gateway::{Gateway, Setup};
use crate::websocket::{Client, Kind};
use crate::{http, root, until};
use std::fs;
use std::path::Path;

/// The password of every user here.
pub const PASSWORD: &str = "hunter2-and-a-half";

/// The table of observables as it is shipped.
fn shipped_state() -> String {
    let config = fs::read_to_string(root().join("config/gantry.toml")).expect("the default configuration");
    let from = config.find("[state]\n").expect("a table of observables");
    let table = &config[from..];
    table[..table.find("\n\n").unwrap_or(table.len())].to_owned() + "\n"
}

const SERVING: &str = r#"
[recording]
min_free_bytes = 0
[snapshots]
min_free_bytes = 0
[plugins.cpro]
bind = "127.0.0.1:0"
"#;

/// How large and how fast each camera is. A busy machine is no reason to call one lost.
const SMALL: &str = "width = 320\nheight = 240\nfps = 15\nstall_timeout = \"5s\"\n";

/// A folder of scripts, as text for `script_dir`.
fn scripts(dir: &Path) -> String {
    format!("script_dir = {:?}\n", dir.display().to_string())
}

/// A configuration with the shipped table of observables and one small camera.
#[must_use]
pub fn one_camera() -> String {
    with_scripts(&root().join("scripts"))
}

/// The same with scripts of the test's own.
#[must_use]
pub fn with_scripts(dir: &Path) -> String {
    scripts(dir) + &shipped_state() + "[cameras.main]\nsource = \"demo:\"\n" + SMALL + SERVING
}

/// Two lights more for a configuration: the folders `lights/cam1` and `lights/cam2` of `dir`.
///
/// # Panics
/// When the folders cannot be written.
#[must_use]
pub fn lights(dir: &Path) -> String {
    let mut text = String::new();
    for light in ["cam1", "cam2"] {
        let led = dir.join("lights").join(light);
        fs::create_dir_all(&led).expect("a folder");
        fs::write(led.join("brightness"), "0\n").expect("written");
        fs::write(led.join("max_brightness"), "255\n").expect("written");
        text += &format!("[lights.{light}]\nled = {:?}\n", led.display().to_string());
    }
    text
}

/// Robocar more for a configuration: where its pictures are seen.
pub const ROBOCAR: &str = "[plugins.robocar]\nbind = \"127.0.0.1:0\"\npublish_rate = 60\n";

/// More messages a second for a configuration: tests ask faster than people do.
pub const FAST: &str = "[plugins.cpro.limits]\nmessages_per_second = 10000\n";

/// A configuration in which every key of the document has something to act on: two cameras, mixed, with two sensors each,
/// and lights in `dir`. The first camera is a corridor, the second one a ball on black; the other sensor is the other
/// picture. Pictures go out over robocar too.
#[must_use]
pub fn two_cameras(dir: &Path) -> String {
    let state = shipped_state()
        .replace("cameras/main/connected", "cameras/cam1/connected")
        .replace("cameras/second/", "cameras/cam2/")
        .replace("camera/main/sensor", "camera/cam1/sensor")
        .replace("camera/second/", "camera/cam2/");
    let mut text = scripts(&root().join("scripts")) + &state + SERVING + &lights(dir) + ROBOCAR;
    for (camera, source, other) in [("cam1", "demo:", "test:"), ("cam2", "test:", "demo:?seed=2")] {
        text += &format!(
            "[cameras.{camera}]\nsource = \"{source}\"\nsensors = [\"{source}\", \"{other}\"]\n{SMALL}"
        );
    }
    text + "[cameras.main]\nsource = \"mix:cam1,cam2\"\n" + SMALL
}

/// A gateway with that configuration and the administrator `admin`, once it serves the state.
#[must_use]
pub fn start(config: &str) -> Gateway {
    start_with(Setup::with_config(config).user("admin", "administrator"))
}

/// Starts a gateway and waits until it serves the state: the keys come with the controls of its cameras.
#[must_use]
pub fn start_with(setup: Setup) -> Gateway {
    let gateway = setup.start_ready();
    wait_keys(&gateway);
    gateway
}

/// Waits until a gateway that is ready serves the state.
pub fn wait_keys(gateway: &Gateway) {
    let address = address(gateway);
    until("the keys to be served", || {
        let info = http::send(&address, "GET", "/api/info", "", b"");
        (info.status == 200 && info.json()["keys"]["brightness"].is_object()).then_some(())
    });
}

/// The address of the state control, `HOST:PORT`.
///
/// # Panics
/// When it has none.
#[must_use]
pub fn address(gateway: &Gateway) -> String {
    let url = gateway.url("cpro");
    url.split_once("//").expect("a URL").1.to_owned()
}

/// The URL of its WebSocket.
#[must_use]
pub fn url(gateway: &Gateway) -> String {
    gateway.url("cpro") + "/api/v1"
}

/// A client that has not logged in.
#[must_use]
pub fn anonymous(gateway: &Gateway) -> Client {
    Client::connect(Kind::Node, &url(gateway))
}

/// A client that has logged in.
#[must_use]
pub fn logged_in(gateway: &Gateway, user: &str) -> Client {
    let mut client = anonymous(gateway);
    client.log_in(user, PASSWORD);
    client
}
