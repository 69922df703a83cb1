//! Real footage and real models, where they are: in `GANTRY_TEST_ASSETS`, or in `shared` beside the project. Clips are decoded
//! by `gst-launch-1.0`. What is not there is skipped with a message. The long clips are for the bench, not for here.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

use gantry_vision::{Counter, Event, Frame, Line, Motion, MotionSettings, Point, TrackerSettings};
use std::path::{Path, PathBuf};
use std::process::Command;

const WIDTH: usize = 192;
const HEIGHT: usize = 144;

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

/// All pictures of a clip, one after another.
fn decoded(path: &Path, format: &str, (width, height): (usize, usize)) -> Option<Vec<u8>> {
    let caps = format!("video/x-raw,format={format},width={width},height={height}");
    let output = Command::new("gst-launch-1.0")
        .args(["-q", "filesrc", &format!("location={}", path.display())])
        .args(["!", "decodebin", "!", "videoconvertscale", "add-borders=false", "!", &caps, "!", "fdsink"])
        .output();
    match output {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => Some(output.stdout),
        _ => {
            eprintln!("skipped: gst-launch-1.0 cannot decode {}", path.display());
            None
        }
    }
}

/// Crossings of the lines x = 0.8 and y = 0.75 by the motion detector, and the truth, each as (line, direction, seconds).
type Crossings = Vec<(String, String, f64)>;

fn counted(name: &str) -> Option<(Crossings, Crossings)> {
    let clip = asset(&format!("video/{name}"))?;
    let truth = std::fs::read_to_string(asset("video/ground_truth.json")?).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&truth).unwrap();
    let mut lines = Vec::new();
    let mut wanted = Crossings::new();
    for line in ["x80", "y75"] {
        let given = &truth[name]["lines"][line];
        let point = |end: &str| {
            let at = |n: usize| given[end][n].as_f64().unwrap() as f32;
            Point::new(at(0), at(1))
        };
        lines.push(Line::new(line, point("from"), point("to")).unwrap());
        for event in given["events"].as_array().unwrap() {
            let direction = match event["dir"].as_str().unwrap() {
                "left_to_right" | "bottom_to_top" => "in",
                _ => "out",
            };
            wanted.push((line.into(), direction.into(), event["t_s"].as_f64().unwrap()));
        }
    }
    let pixels = decoded(&clip, "GRAY8", (WIDTH, HEIGHT))?;
    let motion = Motion::new(MotionSettings::default());
    let mut counter = Counter::new(Box::new(motion), TrackerSettings::default(), lines, vec![]).unwrap();
    let mut found = Crossings::new();
    for (n, picture) in pixels.chunks_exact(WIDTH * HEIGHT).enumerate() {
        let frame = Frame::grey(picture, WIDTH, HEIGHT, WIDTH).unwrap();
        for event in counter.step(&frame, n as f64 / 10.0).unwrap() {
            if let Event::Crossing(c) = event {
                let direction = serde_json::to_value(c.direction).unwrap().as_str().unwrap().to_owned();
                found.push((c.line, direction, c.t_s));
            }
        }
    }
    Some((found, wanted))
}

fn assert_counted(name: &str) {
    let Some((mut found, mut wanted)) = counted(name) else { return };
    for list in [&mut found, &mut wanted] {
        list.sort_by(|a, b| a.0.cmp(&b.0).then(a.2.total_cmp(&b.2)));
    }
    assert_eq!(found.len(), wanted.len(), "{found:?}\n{wanted:?}");
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!((&found.0, &found.1), (&wanted.0, &wanted.1));
        assert!((found.2 - wanted.2).abs() < 1.0, "{found:?} {wanted:?}");
    }
}

#[test]
fn who_turns_back_and_who_goes_through_are_counted_as_they_went() {
    assert_counted("uturn.mp4");
}

#[test]
fn a_room_with_changing_light_counts_nobody() {
    assert_counted("empty.mp4");
}

#[cfg(feature = "onnx")]
mod onnx {
    use super::*;
    use gantry_vision::{Class, Detector, Error, Family, Onnx, OnnxSettings};

    fn load(path: &Path, family: Family) -> Result<Onnx, Error> {
        Onnx::load(path, OnnxSettings { family, ..Default::default() })
    }

    #[test]
    fn a_person_of_the_clip_is_found_by_the_model_where_he_is() {
        let Some(model) = asset("models/fastestdet-352.onnx") else { return };
        let Some(clip) = asset("video/uturn.mp4") else { return };
        let Some(pixels) = decoded(&clip, "RGB", (WIDTH, HEIGHT)) else { return };
        let mut onnx = load(&model, Family::FastestDet).unwrap();
        let mut look = |n: usize| {
            let picture = pixels.chunks_exact(3 * WIDTH * HEIGHT).nth(n).unwrap();
            let frame = Frame::rgb(picture, WIDTH, HEIGHT, 3 * WIDTH).unwrap();
            onnx.detect(&frame, 0.0).unwrap().into_iter().filter(|d| d.score > 0.5).collect::<Vec<_>>()
        };
        assert!(look(0).is_empty());
        let found = look(130);
        assert_eq!(found.len(), 1, "{found:?}");
        let rect = found[0].rect;
        assert!(
            rect.x < 0.55 && rect.right() > 0.5 && rect.h > 0.5 && found[0].class == Class::Person,
            "{rect:?}"
        );
    }

    #[test]
    fn the_faces_of_three_are_three() {
        let Some(model) = asset("models/ultraface-rfb-320.onnx") else { return };
        let Some(clip) = asset("video/three-faces.mp4") else { return };
        let Some(pixels) = decoded(&clip, "RGB", (640, 360)) else { return };
        let mut onnx = load(&model, Family::UltraFace).unwrap();
        let frame = Frame::rgb(&pixels[..3 * 640 * 360], 640, 360, 3 * 640).unwrap();
        let found: Vec<_> = onnx.detect(&frame, 0.0).unwrap().into_iter().collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|d| d.class == Class::Face));
    }

    #[test]
    fn a_model_of_another_family_is_refused_in_words() {
        let Some(model) = asset("models/ultraface-rfb-320.onnx") else { return };
        let error = load(&model, Family::FastestDet).err().expect("it is a face model").to_string();
        assert!(error.contains("is no fastestdet") && error.contains("[1, 4420, 2]"), "{error}");
    }

    #[test]
    fn files_that_are_no_models_and_files_that_are_not_there_are_refused() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        for path in [manifest.as_path(), Path::new("/nonexistent/model.onnx"), Path::new("/")] {
            let error = load(path, Family::YoloX).err().expect("it is no model");
            assert!(matches!(error, Error::Model { .. }), "{error}");
        }
    }

    #[test]
    fn a_model_that_is_cut_short_anywhere_is_an_error_and_no_panic() {
        let Some(model) = asset("models/fastestdet-352.onnx") else { return };
        let bytes = std::fs::read(model).unwrap();
        let path = std::env::temp_dir().join(format!("gantry-vision-{}.onnx", std::process::id()));
        for part in [0, 1, 10, 100, 1000, 100_000, bytes.len() / 2] {
            std::fs::write(&path, &bytes[..part]).unwrap();
            assert!(load(&path, Family::FastestDet).is_err(), "{part} bytes");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
