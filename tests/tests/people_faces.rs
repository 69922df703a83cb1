//! Faces through the built gateway: kept once, shown to viewers, deleted for good.

use gantry_tests::eye::Picture;
use gantry_tests::gateway::Setup;
use gantry_tests::people::{self, answer, stats, viewer};
use gantry_tests::until;
use gantry_tests::websocket::Kind;
use serde_json::{Value, json};
use std::fs;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// A camera that shows two people who come nearer, once, and a model for their faces.
fn two_faces() -> Option<String> {
    let film = gantry_tests::assets::find("video/two-faces-walking.mp4")?;
    let model = gantry_tests::assets::find("models/ultraface-rfb-320.onnx")?;
    let (film, model) = (format!("file://{}", film.display()), model.display().to_string());
    // Twice as large as elsewhere: a face has to have some pixels.
    let config = people::config(&film).replace("width = 320\nheight = 240", "width = 768\nheight = 432");
    Some(config + &format!("[analysis.main]\nfps = 10\nfaces = {{ model = {model:?}, least_pixels = 12 }}\n"))
}

#[test]
fn faces_are_kept_once_shown_to_viewers_and_deleted_for_good() {
    let Some(config) = two_faces() else { return };
    let mut gateway = Setup::with_config(&config).start_ready();
    let mut one = viewer(&gateway, Kind::Python);
    stats(&one, "two faces", |stats| stats["face_count"] == 2);
    let all = answer(&mut one, &json!({ "type": "get_all_faces" }));
    assert_eq!(keys(&all), ["type", "faces"]);
    let faces = all["faces"].as_array().expect("faces").clone();
    assert_eq!(faces.len(), 2, "{all}");
    for face in &faces {
        assert_eq!(keys(face), ["face_id", "filename", "image_data"]);
        let id = face["face_id"].as_u64().expect("a number");
        assert_eq!(face["filename"], format!("face_{id}.jpg"));
        let picture = gantry_tests::base64(face["image_data"].as_str().expect("text"));
        assert!(Picture::decode(&picture).luminance() > 0.0);
        // As text, too, as the original reads it.
        for asked in [json!(id), json!(id.to_string())] {
            let single = answer(&mut one, &json!({ "type": "get_face", "face_id": asked }));
            assert_eq!(keys(&single), ["type", "face_id", "image_data", "filename"]);
            assert_eq!((&single["face_id"], &single["image_data"]), (&json!(id), &face["image_data"]));
        }
    }
    let newest = answer(&mut one, &json!({ "type": "get_all_faces", "limit": 1 }));
    assert_eq!(newest["faces"], json!([faces[0]]));
    let none = answer(&mut one, &json!({ "type": "get_all_faces", "limit": 0 }));
    assert_eq!(none["faces"], json!([]));

    // A power cut loses none, and their numbers are not given again.
    gateway.restart();
    gateway.wait_ready();
    let mut two = viewer(&gateway, Kind::Node);
    let first = stats(&two, "statistics after the restart", |_| true);
    assert!(first["face_count"].as_u64().is_some_and(|n| n >= 2), "{first}");
    let listed = gateway.run(&["faces", "ls", "--json", "--limit", "100"]);
    let text = String::from_utf8(listed.stdout).expect("text");
    let ids: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["face_id"].as_u64().expect("a number"))
        .collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert!(unique.len() == ids.len() && ids.contains(&1) && ids.contains(&2), "{ids:?}");

    // The picture of one goes by accident, the other on purpose.
    let blobs = gateway.dir().join("state/records");
    let picture = gantry_tests::base64(faces[0]["image_data"].as_str().expect("text"));
    let file = find_file(&blobs, &picture).expect("the picture is on the disk");
    fs::remove_file(file).expect("removed");
    let (lost, deleted) = (&faces[0]["face_id"], &faces[1]["face_id"]);
    let gone = answer(&mut two, &json!({ "type": "get_face", "face_id": lost }));
    assert_eq!(gone, json!({ "type": "face_image", "face_id": lost, "error": "Face image file not found" }));
    let done = gateway.run(&["faces", "rm", &deleted.to_string()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let gone = answer(&mut two, &json!({ "type": "get_face", "face_id": deleted }));
    assert_eq!(gone, json!({ "type": "face_image", "face_id": deleted, "error": "Face ID not found" }));
    let picture = gantry_tests::base64(faces[1]["image_data"].as_str().expect("text"));
    assert_eq!(find_file(&blobs, &picture), None, "its picture is still on the disk");
    until("the audit to have it", || {
        let audit = gateway.run(&["records", "ls", "audit", "--json"]);
        String::from_utf8_lossy(&audit.stdout).contains("faces-deleted").then_some(())
    });

    // The same without a gateway.
    gateway.signal("TERM");
    gateway.wait();
    let done = gateway.run(&["faces", "rm", "--all"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let listed = gateway.run(&["faces", "ls"]);
    assert!(listed.stdout.is_empty(), "{}", String::from_utf8_lossy(&listed.stdout));
}

/// The file below a folder that has this content.
fn find_file(folder: &std::path::Path, content: &[u8]) -> Option<std::path::PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return find_file(&path, content);
        }
        (fs::read(&path).ok()? == content).then_some(path)
    })
}

#[test]
fn who_may_not_see_faces_is_told_that_there_are_none() {
    let Some(config) = two_faces() else { return };
    let gateway = Setup::with_config(&(config + "[faces]\nread = \"operator\"\n")).start_ready();
    let mut one = viewer(&gateway, Kind::Node);
    stats(&one, "a face", |stats| stats["face_count"].as_u64() >= Some(1));
    let all = answer(&mut one, &json!({ "type": "get_all_faces" }));
    assert_eq!(all, json!({ "type": "all_faces", "error": "Face data not available on server" }));
    let face = answer(&mut one, &json!({ "type": "get_face", "face_id": 1 }));
    assert_eq!(face["error"], "Face ID not found");
}
