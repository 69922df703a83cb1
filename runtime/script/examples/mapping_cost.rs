//! What a key of a mapping costs: `cargo run --release -p gantry-script --example mapping_cost`.

use gantry_script::{Changed, Direction, Item, Scripts, Settings};
use serde_json::{Value, json};
use std::hint::black_box;
use std::sync::mpsc::channel;
use std::time::Instant;

const ROUNDS: u32 = 20_000;
const BATCH: usize = 16;

fn main() -> std::io::Result<()> {
    let (changes, changed) = channel();
    let scripts = Scripts::start(Settings { dir: "scripts".into(), ..Settings::default() }, move |change| {
        let _ = changes.send(change);
    })?;
    let mapping = changed
        .try_iter()
        .find_map(|change| match change {
            Changed::Mapping(mapping) if mapping.name() == "cpro" => Some(mapping),
            _ => None,
        })
        .ok_or_else(|| std::io::Error::other("there is no mapping cpro: run it from the root of the tree"))?;

    let value = json!(75);
    let begun = Instant::now();
    for _ in 0..ROUNDS * 10 {
        let key = black_box(mapping.key(black_box("brightness")));
        black_box(key.map(|key| key.check(black_box(&value))).transpose().ok());
    }
    println!("table key, looked up and checked: {:>8.0} ns", per(begun, f64::from(ROUNDS * 10)));

    let item = |key: &str, value: Value| Item { key: key.into(), value, current: Some(json!("off")) };
    for (what, direction, item) in [
        ("record = true, in", Direction::In, item("record", json!(true))),
        ("record, out", Direction::Out, item("record", json!("on"))),
        ("main-camera = 2, in", Direction::In, item("main-camera", json!(2))),
        ("auto-exposure, out", Direction::Out, item("auto-exposure", json!("auto"))),
    ] {
        for size in [1, BATCH] {
            let begun = Instant::now();
            for _ in 0..ROUNDS {
                let (reply, done) = channel();
                scripts.convert(&mapping, direction, vec![item.clone(); size], move |results| {
                    let _ = reply.send(results);
                });
                let results = done.recv().map_err(std::io::Error::other)?;
                if let Some(Err(error)) = results.into_iter().find(Result::is_err) {
                    return Err(std::io::Error::other(error));
                }
            }
            let keys = f64::from(ROUNDS) * size as f64;
            println!(
                "{what}, {size:>2} at once, to the script thread and back: {:>8.0} ns a key",
                per(begun, keys)
            );
        }
    }
    Ok(())
}

fn per(begun: Instant, count: f64) -> f64 {
    begun.elapsed().as_nanos() as f64 / count
}
