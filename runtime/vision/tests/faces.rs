//! Real faces, with the motion detector, where the clips and the model are: in `GANTRY_TEST_ASSETS`, or in `shared` beside the
//! project. What is not there is skipped with a message.

#![cfg(feature = "onnx")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

use gantry_vision::{
    BestFace, Counter, Family, Frame, Motion, MotionSettings, Onnx, OnnxSettings, Picker, PickerSettings,
    TrackerSettings,
};
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// All pictures of a clip as I420, one after another.
fn decoded(path: &Path, (width, height): (usize, usize)) -> Option<Vec<u8>> {
    let caps = format!("video/x-raw,format=I420,width={width},height={height}");
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

/// The faces of so many rounds of every `every`th picture of a clip; sides are multiples of four.
fn picked(clip: &str, size: (usize, usize), fps: f64, every: usize, rounds: usize) -> Option<Vec<BestFace>> {
    let model = asset("models/ultraface-rfb-320.onnx")?;
    let pixels = decoded(&asset(&format!("video/{clip}"))?, size)?;
    let family = OnnxSettings { family: Family::UltraFace, ..OnnxSettings::default() };
    let mut picker = Picker::new(Box::new(Onnx::load(&model, family).unwrap()), PickerSettings::default());
    let motion = Motion::new(MotionSettings::default());
    let mut counter = Counter::new(Box::new(motion), TrackerSettings::default(), vec![], vec![]).unwrap();
    let (width, height) = size;
    let pictures: Vec<&[u8]> = pixels.chunks_exact(width * height * 3 / 2).collect();
    let mut given = Vec::new();
    for n in (0..pictures.len() * rounds).step_by(every) {
        let (luma, colours) = pictures[n % pictures.len()].split_at(width * height);
        let (u, v) = colours.split_at(colours.len() / 2);
        let frame = Frame::i420([luma, u, v], width, height, [width, width / 2]).unwrap();
        let t = n as f64 / fps;
        counter.step(&frame, t).unwrap();
        given.extend(picker.step(&frame, counter.tracks(), t).unwrap());
    }
    given.extend(picker.finish());
    Some(given)
}

#[test]
fn two_who_walk_up_are_two_faces_of_the_last_second() {
    let Some(faces) = picked("two-faces-walking.mp4", (480, 272), 12.0, 2, 1) else { return };
    assert_eq!(faces.len(), 2, "{faces:?}");
    for face in faces {
        let height = face.picture.height();
        assert!(face.t > 1.9 && (40..80).contains(&height) && face.score > 0.5, "{face:?}");
    }
}

#[test]
fn three_who_stand_before_the_camera_are_three_faces_however_long_they_stand() {
    let Some(faces) = picked("three-faces.mp4", (480, 272), 12.0, 3, 4) else { return };
    assert_eq!(faces.len(), 3, "{faces:?}");
    for face in faces {
        let height = face.picture.height();
        assert!((100..180).contains(&height) && face.score > 0.7, "{face:?}");
    }
}

#[test]
fn a_room_without_people_and_people_who_turn_their_backs_give_no_face() {
    for (clip, every) in [("empty.mp4", 10), ("gate.mp4", 6)] {
        let Some(faces) = picked(clip, (768, 432), 10.0, every, 1) else { return };
        assert_eq!(faces, [], "{clip}");
    }
}
