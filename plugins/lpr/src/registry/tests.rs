//! What the registry knows after what.

use super::{Registry, name};
use crate::answer::Receipt;
use crate::clock::Days;
use crate::message::{Entry, Kind, object};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn registry(max: usize) -> Registry {
    Registry::new(Days::of(Some("UTC")).unwrap(), max, SignedDuration::from_mins(5), now())
}

fn receipt(kind: Kind, camera: Value, time: &str) -> Receipt {
    let body = json!({"type": "x", "camera_id": camera, "checkpoint_id": "c", "timestamp": time, "component": "c",
        "status": "healthy"});
    Receipt::new(&Entry::new(kind, object(body.to_string().as_bytes()).unwrap()).unwrap())
}

#[test]
fn what_is_kept_is_counted_once_whatever_time_it_says() {
    let mut registry = registry(10);
    for time in ["2024-12-19T10:00:00Z", "yesterday", ""] {
        registry.kept(&receipt(Kind::Detection, json!("1"), time), true, now());
    }
    registry.kept(&receipt(Kind::Detection, json!("1"), "t"), false, now());
    registry.kept(&receipt(Kind::Health, json!("1"), "t"), true, now());
    let statistics = registry.statistics(2, now());
    let expected = json!({"total_detections": 3, "today_detections": 3, "total_health_checks": 1,
        "today_health_checks": 1, "total_cameras": 1, "unique_cameras": 1, "active_cameras": 1,
        "connected_clients": 2, "last_update": "2026-11-21T10:00:00.000Z", "server_status": "running"});
    assert_eq!(statistics.to_string(), expected.to_string());
    let camera = &registry.cameras(now())[0];
    assert_eq!((&camera["detection_count"], &camera["health_status"]), (&json!(3), &json!("healthy")));
}

#[test]
fn a_new_day_begins_with_nothing_and_a_silent_camera_is_offline() {
    let mut registry = registry(10);
    registry.kept(&receipt(Kind::Detection, json!(1), "t"), true, now());
    let later = now() + 15.hours();
    let statistics = registry.statistics(0, later);
    assert_eq!((&statistics["total_detections"], &statistics["today_detections"]), (&json!(1), &json!(0)));
    assert_eq!(statistics["active_cameras"], 0);
    assert_eq!(registry.cameras(later)[0]["status"], "offline");
    registry.add_earlier(Kind::Detection, 10, 4, now(), later);
    assert_eq!(registry.statistics(0, later)["today_detections"], 0, "those were of the day before");
    registry.add_earlier(Kind::Health, 10, 4, later, later);
    assert_eq!(registry.statistics(0, later)["today_health_checks"], 4);
}

#[test]
fn a_day_that_a_wrong_clock_interrupted_goes_on_when_the_clock_comes_back() {
    let mut registry = registry(10);
    let mut send = |at: Timestamp| {
        registry.kept(&receipt(Kind::Detection, json!(1), "t"), true, at);
        registry.statistics(0, at)["today_detections"].clone()
    };
    assert_eq!((send(now()), send(now())), (json!(1), json!(2)));
    let far = now() + (10 * 365 * 24).hours();
    assert_eq!((send(far), send(now()), send(far)), (json!(1), json!(3), json!(2)));
    (0..100).for_each(|day| _ = send(now() - (24 * day).hours()));
    assert!(registry.other_days.len() <= super::DAYS);
    assert_eq!(registry.statistics(0, now())["total_detections"], 105);
}

#[test]
fn what_the_store_has_removed_is_no_longer_counted_and_what_came_meanwhile_is() {
    let mut registry = registry(10);
    let detect = |registry: &mut Registry, made: Timestamp| {
        registry.kept_of(&receipt(Kind::Detection, json!(1), "t"), true, made, made.max(now()));
    };
    (0..5).for_each(|_| detect(&mut registry, now()));
    let mark = now() + 1.minutes();
    registry.set_mark(mark);
    assert_eq!(registry.mark(), mark);
    detect(&mut registry, mark);
    // It was on its way when the mark was set: the store counts it as one from before.
    detect(&mut registry, mark - 1.seconds());
    assert!(!registry.recounted(Kind::Detection, 6, 6), "nothing is missing");
    assert_eq!(registry.statistics(0, mark)["total_detections"], 7);
    assert!(registry.recounted(Kind::Detection, 2, 2));
    registry.recounted_camera(&name(&json!(1), &json!("c")), 2);
    let statistics = registry.statistics(0, mark);
    assert_eq!((&statistics["total_detections"], &statistics["today_detections"]), (&json!(3), &json!(3)));
    assert_eq!(registry.cameras(mark)[0]["detection_count"], 3);
    let tomorrow = mark + 20.hours();
    detect(&mut registry, tomorrow);
    assert!(!registry.recounted(Kind::Detection, 2, 2));
    let statistics = registry.statistics(0, tomorrow);
    assert_eq!((&statistics["total_detections"], &statistics["today_detections"]), (&json!(4), &json!(1)));
}

#[test]
fn a_camera_that_sends_without_registering_is_to_be_recorded_once() {
    let mut registry = registry(10);
    assert!(registry.kept(&receipt(Kind::Detection, json!(1), "t"), true, now()));
    assert!(!registry.kept(&receipt(Kind::Health, json!(1), "t"), true, now()));
    registry.not_recorded(&json!(1), &json!("c"));
    assert!(registry.kept(&receipt(Kind::Detection, json!("1"), "t"), true, now()));
    assert!(!registry.kept(&receipt(Kind::Camera, json!(2), "t"), true, now()), "it is one itself");
}

#[test]
fn what_was_before_is_added_to_what_came_meanwhile() {
    let mut registry = registry(10);
    registry.kept(&receipt(Kind::Health, json!("1"), "t"), true, now());
    let (early, earlier) = (now() - 48.hours(), now() - 24.hours());
    registry.updated_earlier(early);
    assert_eq!(registry.statistics(0, now())["last_update"], "2026-11-21T10:00:00.000Z");
    registry.recorded(&json!("1"), &json!("c"), early);
    registry.recorded(&json!("2"), &json!("c"), early);
    registry.add_camera(&name(&json!("1"), &json!("c")), 7, Some(earlier), Some("error"));
    registry.add_camera(&name(&json!("2"), &json!("c")), 1, Some(earlier), Some("warning"));
    let cameras = registry.cameras(now());
    assert_eq!(cameras[0]["registered_at"], "2026-11-19T10:00:00.000Z");
    assert_eq!(
        (&cameras[0]["last_seen"], &cameras[0]["health_status"]),
        (&json!("2026-11-21T10:00:00.000Z"), &json!("healthy"))
    );
    let second = json!({"camera_id": "2", "checkpoint_id": "c", "registered_at": "2026-11-19T10:00:00.000Z",
        "last_seen": "2026-11-20T10:00:00.000Z", "status": "offline", "detection_count": 1, "health_status": "warning"});
    assert_eq!(cameras[1].to_string(), second.to_string());
}

#[test]
fn cameras_are_bounded_and_the_same_id_of_another_type_is_the_same_camera() {
    let mut registry = registry(2);
    for camera in [json!(1), json!("1"), json!(2), json!(3), json!("x".repeat(2000))] {
        registry.kept(&receipt(Kind::Detection, camera, "t"), true, now());
    }
    let statistics = registry.statistics(0, now());
    assert_eq!((&statistics["total_cameras"], &statistics["total_detections"]), (&json!(2), &json!(5)));
    assert_eq!(registry.cameras(now())[0]["camera_id"], "1", "as it wrote it last");
}
