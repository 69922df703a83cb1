//! Models of `gantry-vision` from files.

#![cfg(feature = "onnx")]

use super::*;
use crate::models::Files;
use std::path::{Path, PathBuf};

fn asset(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("GANTRY_TEST_ASSETS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = folder.join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there (set GANTRY_TEST_ASSETS)", path.display());
    None
}

fn bench() -> Bench {
    Bench::with_models(Box::new(Files), channel().1, Arc::default())
}

#[test]
fn garbage_is_no_model_and_is_told_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("garbage.onnx");
    std::fs::write(&model, vec![7; 5000]).unwrap();
    let mut bench = bench();
    bench.apply(json!({"detector": "onnx", "model": model}));
    bench.until("it is told", || bench.is_degraded(&format!("cannot load the model {}: ", model.display())));
}

#[test]
fn a_model_of_another_family_is_told_in_words_and_the_right_one_runs() {
    let (Some(person), Some(face)) =
        (asset("models/fastestdet-352.onnx"), asset("models/ultraface-rfb-320.onnx"))
    else {
        return;
    };
    let mut bench = bench();
    bench.apply(json!({"detector": "onnx", "model": face}));
    bench.until("it is refused", || bench.is_degraded("is no fastestdet: "));
    bench.apply(json!({"detector": "onnx", "model": person, "faces": {"model": face}}));
    bench.until("it is loaded", || bench.is_ok());
    let (size, stream) = ((640, 480), bench.runtime.frames.stream("main/raw"));
    stream.publish(&frame("main/raw", 1, size, i420(size, 114)));
    bench.until("it is looked at", || bench.analyses.status()[0].frames == 1);
    bench.until("it runs", || bench.state().unwrap()["running"] == true);
    assert!(bench.is_ok());
}
