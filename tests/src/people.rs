//! Gateways that count people, and viewers of the people counter.

use crate::gateway::Gateway;
use crate::root;
use crate::websocket::{Client, Kind};
use serde_json::Value;
use std::path::Path;

/// A corridor of the demo camera in which somebody comes every two seconds.
pub const BUSY: &str = "demo:?seed=10&people=30";
/// Its timetable: when somebody crosses the middle, in seconds of the scene, and whether it is from left to right.
pub const TIMETABLE: [(f64, bool); 11] = [
    (3.8, true),
    (6.7, true),
    (9.0, true),
    (12.5, true),
    (15.2, true),
    (16.3, true),
    (18.5, false),
    (20.8, true),
    (22.7, true),
    (25.0, false),
    (26.5, false),
];

/// A configuration with one camera that is analysed, and the people counter.
#[must_use]
pub fn config(source: &str) -> String {
    with_scripts(source, &root().join("scripts"))
}

/// The same with scripts of the test's own.
#[must_use]
pub fn with_scripts(source: &str, scripts: &Path) -> String {
    let scripts = scripts.display().to_string();
    format!(
        "script_dir = {scripts:?}
[cameras.main]
source = {source:?}
width = 320
height = 240
fps = 15
stall_timeout = \"5s\"
[plugins.people-counter]
bind = \"127.0.0.1:0\"
camera = \"main\"
"
    )
}

/// A line down the middle of the camera's picture for a configuration.
pub const LINE: &str = "[analysis.main]\nfps = 10\nlines.door = { from = [0.5, 0.0], to = [0.5, 1.0] }\n";

/// Where viewers connect.
#[must_use]
pub fn url(gateway: &Gateway) -> String {
    gateway.url("people-counter")
}

/// A viewer.
#[must_use]
pub fn viewer(gateway: &Gateway, kind: Kind) -> Client {
    Client::connect(kind, &url(gateway))
}

/// The next message of a type.
pub fn next(viewer: &Client, kind: &str) -> Value {
    viewer.find(kind, |message| message["type"] == kind)
}

/// The next statistics that `wanted` takes.
pub fn stats(viewer: &Client, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
    viewer.find(what, |message| message["type"] == "stats" && wanted(&message["data"]))["data"].clone()
}

/// The answer to a question, between all that is pushed.
pub fn answer(viewer: &mut Client, question: &Value) -> Value {
    viewer.send(question);
    viewer
        .find("the answer", |message| !matches!(message["type"].as_str(), Some("frame" | "stats" | "event")))
}
