//! The plugin with a store that forgets, for trying clients against it: `cargo run -p gantry-lpr --example ingest [PORT]`.
//! With a second argument it is the key of every camera.
#![allow(clippy::unwrap_used, reason = "an example may")]

#[path = "../tests/common/mod.rs"]
mod common;

use serde_json::json;
use std::time::Duration;

fn main() {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8765".to_owned());
    let keys = std::env::args().nth(2).map_or_else(|| json!({}), |key| json!({ "*": key }));
    common::run(json!({"bind": format!("127.0.0.1:{port}"), "api_keys": keys}), |rig| {
        println!("http://{}/openapi.json", rig.address);
        loop {
            std::thread::sleep(Duration::from_secs(1));
            // It forgets, or a soak would fill the memory.
            let mut store = rig.store();
            store.appends.clear();
            let surplus = store.records.len().saturating_sub(2000);
            store.records.drain(..surplus);
        }
    });
}
