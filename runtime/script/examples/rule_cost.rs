//! What an event costs a rule, from the call to the reply, as the median: `cargo run --release -p
//! gantry-script --example rule_cost`, from the root of the tree.

use gantry_script::{Scripts, Settings};
use serde_json::{Map, Value, json};
use std::sync::mpsc::channel;
use std::time::Instant;

const ROUNDS: u32 = 2_000;

fn main() -> std::io::Result<()> {
    for rule in ["busy-period", "crowded"] {
        for (cameras, parts) in [(1, 2), (4, 4), (20, 10)] {
            for hook in ["on_count", "on_tick"] {
                let other = if rule == "crowded" { "busy-period" } else { "crowded" };
                let rules = [(other.to_owned(), json!({"enabled": false}))].into();
                let settings = Settings { dir: "scripts".into(), rules, ..Settings::default() };
                let scripts = Scripts::start(settings, |_| {})?;
                let mut event = gateway(cameras, parts, rule == "crowded");
                let mut took = Vec::new();
                for n in 0..ROUNDS {
                    event["time"] = (1_000_000 + u64::from(n) * 1000).into();
                    let (reply, done) = channel();
                    let event = event.clone();
                    let begun = Instant::now();
                    scripts.event(hook, event, move |results| {
                        let _ = reply.send((begun.elapsed(), results));
                    });
                    let (time, results) = done.recv().map_err(std::io::Error::other)?;
                    if let Some((_, Err(error))) = results.into_iter().find(|(_, result)| result.is_err()) {
                        return Err(std::io::Error::other(error));
                    }
                    took.push(time);
                }
                took.sort();
                let us = took[took.len() / 2].as_secs_f64() * 1e6;
                println!(
                    "{rule}, {cameras:>2} cameras with {parts:>2} lines and zones, {hook}: {us:>6.1} us"
                );
            }
        }
    }
    Ok(())
}

/// An event of a gateway with that many cameras, each with that many lines and zones.
fn gateway(cameras: usize, parts: usize, occupancy: bool) -> Value {
    let count = || json!({"count_in": 123, "count_out": 456});
    let map = |names: &mut dyn Iterator<Item = String>, value: Value| -> Value {
        names.map(|name| (name, value.clone())).collect::<Map<_, _>>().into()
    };
    let sums = map(&mut ["1m", "5m", "10m", "15m", "30m", "1h"].iter().map(ToString::to_string), count());
    let lines = map(&mut (0..parts).map(|n| format!("line{n}")), count());
    let zones = map(&mut (0..parts).map(|n| format!("zone{n}")), json!(3));
    let camera = json!({"count_in": 1, "count_out": 2, "sums": sums, "lines": lines, "zones": zones});
    let cameras = map(&mut (0..cameras).map(|n| format!("camera{n}")), camera);
    let local = json!({"date": "2026-11-21", "time": "10:15:02", "hour": 10, "minute": 15, "second": 2, "weekday": 6});
    let kind = if occupancy { "occupancy" } else { "crossing" };
    json!({
        "time": 0, "local": local, "count_in": 1, "count_out": 2, "sums": sums, "cameras": cameras,
        "events": {"busy": {"active": false, "since_ms": null, "count_in": 0, "today": 1}},
        "kind": kind, "camera": "camera0", "line": "line0", "direction": "in", "track": 7, "zone": "zone0", "people": 3,
    })
}
