//! What happens when the configuration changes.

use super::*;
use gantry_vision::Direction::In;

/// Somebody who walks to the right from the left edge, a tenth of the picture a second.
fn walker() -> Bench {
    Bench::new(|_| script(|t| vec![person(0.1 * t)]))
}

#[test]
fn lines_that_change_leave_the_detector_and_those_who_are_followed() {
    let mut bench = walker();
    bench.apply(with_door());
    bench.run_to(6.0);
    assert!(matches!(bench.next_seen(), Seen::Crossing { line, .. } if line == "door"));
    let mut section = with_door();
    section["lines"]["gate"] = json!({"from": [0.8, 0.0], "to": [0.8, 1.0]});
    section["zones"]["end"] = json!({"corners": [[0.6, 0.0], [1.0, 0.0], [1.0, 1.0], [0.6, 1.0]]});
    bench.apply(section);
    bench.run_to(10.0);
    let seen = bench.all_seen();
    let found = crossings(&seen);
    assert_eq!(found.len(), 1, "the door was crossed before: {found:?}");
    assert_eq!((found[0].0.as_str(), found[0].1, found[0].2), ("gate", In, 1), "it is still the first one");
    assert!((found[0].3 - 8.0).abs() < 0.1, "{found:?}");
    assert!(seen.iter().any(|s| matches!(s, Seen::Occupancy { zone, people: 1, .. } if zone == "end")));
    assert_eq!(bench.made.load(SeqCst), 1);
}

#[test]
fn a_zone_that_is_moved_away_from_somebody_is_empty_and_one_that_is_not_is_not_told_again() {
    let mut bench = Bench::new(|_| script(|_| vec![person(0.3)]));
    let left = json!({"corners": [[0.1, 0.1], [0.5, 0.1], [0.5, 0.9], [0.1, 0.9]]});
    let right = json!({"corners": [[0.6, 0.1], [0.9, 0.1], [0.9, 0.9], [0.6, 0.9]]});
    bench.apply(json!({"zones": {"hall": left, "desk": left}}));
    bench.run_to(2.0);
    let told = |bench: &Bench| match bench.next_seen() {
        Seen::Occupancy { zone, people, .. } => (zone, people),
        other => panic!("{other:?}"),
    };
    assert_eq!([told(&bench), told(&bench)], [("desk".into(), 1), ("hall".into(), 1)]);
    bench.apply(json!({"zones": {"hall": right, "desk": left}}));
    bench.run_to(4.0);
    assert_eq!(told(&bench), ("hall".into(), 0));
    assert!(bench.all_seen().is_empty());
}

#[test]
fn another_detector_begins_anew_and_its_tracks_have_new_numbers() {
    let mut bench = walker();
    bench.apply(with_door());
    bench.run_to(3.0);
    let mut section = with_door();
    section["motion"] = json!({"threshold": 20});
    bench.apply(section);
    bench.run_until("made anew", |bench| bench.made.load(SeqCst) == 2);
    bench.run_to(7.0);
    let found = crossings(&bench.all_seen());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].2, 2, "number 1 was given before");
}

#[test]
fn a_camera_of_another_shape_is_looked_at_anew_when_it_was_said_how_wide_people_are() {
    for (motion, shapes) in [
        (json!({"person": {"top": 0.2, "bottom": 0.6, "aspect": 0.4}}), &[4.0 / 3.0, 16.0 / 9.0][..]),
        (json!({}), &[4.0 / 3.0]),
    ] {
        let mut bench = Bench::new(|_| nobody());
        bench.apply(json!({"motion": motion}));
        bench.run_to(1.0);
        let size = [("width", 1280), ("height", 720)].map(|(k, v)| (format!("cameras/main/{k}"), json!(v)));
        bench.runtime.state.set_all(size.into()).unwrap();
        bench.run_until("it has looked around", |bench| bench.next > 20);
        assert_eq!(*lock(&bench.shapes), shapes);
    }
}

#[test]
fn what_did_not_change_is_not_touched() {
    let mut bench = walker();
    bench.apply(with_door());
    bench.run_to(3.0);
    let stream = bench.runtime.frames.stream("main/analysis");
    let (tell, told) = channel();
    stream.on_demand(Some(Box::new(move |demand| _ = tell.send(demand.watchers))));
    bench.config.cameras.insert("other".into(), bench.config.cameras["main"].clone());
    bench.analyses.apply(&bench.config);
    bench.run_to(6.0);
    assert_eq!(crossings(&bench.all_seen()).len(), 1);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [1, 0], "watched until the end, without a break");
    assert_eq!(bench.made.load(SeqCst), 1);
}

#[test]
fn models_are_given_colours_and_another_rate_is_another_demand() {
    let mut bench = Bench::new(|_| nobody());
    bench.apply(json!({"fps": 5}));
    bench.apply(json!({"detector": "onnx", "model": "m.onnx", "fps": 12}));
    bench.until_watched("main/analysis", 0);
    assert_eq!(bench.runtime.frames.stream("main/raw").demand().max_millihertz, 12_000);
    bench.publish(&frame("main/raw", 1, (32, 24), i420((32, 24), 100)));
    bench.publish(&frame("main/raw", 2, (32, 24), i420((32, 24), 100)));
    assert_eq!(bench.state(), Some(json!({"detector": "onnx", "fps": 12, "running": true})));
    let status = &bench.analyses.status()[0];
    assert_eq!((status.detector, status.stream, status.running), ("onnx", "raw", true));
}

#[test]
fn what_is_not_enabled_watches_nothing_and_says_nothing() {
    let mut bench = Bench::new(|_| nobody());
    bench.apply(json!({"enabled": false}));
    let watch = bench.runtime.frames.stream("main/annotated").watch(0, Arc::new(|_| {}));
    for stream in ["main/analysis", "main/raw"] {
        assert_eq!(bench.runtime.frames.stream(stream).demand().watchers, 0);
    }
    assert_eq!((bench.report(), bench.state()), (None, None));
    assert_eq!(bench.made.load(SeqCst), 0);
    drop(watch);
}

#[test]
fn what_is_taken_away_leaves_nothing_behind() {
    let mut bench = Bench::new(|_| script(|_| vec![person(0.5)]));
    let corners = json!([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]);
    bench.apply(json!({"zones": {"hall": {"corners": corners}}}));
    bench.run_to(2.0);
    assert!(matches!(bench.next_seen(), Seen::Occupancy { people: 1, .. }));
    bench.config.analysis.clear();
    bench.analyses.apply(&bench.config);
    // All of it is done when `apply` returns.
    assert!(matches!(bench.seen.try_recv(), Ok(Seen::Occupancy { people: 0, .. })));
    assert_eq!(bench.runtime.frames.stream("main/analysis").demand().watchers, 0);
    assert_eq!((bench.report(), bench.state()), (None, None));
    assert!(bench.analyses.status().is_empty());
    bench.apply(json!({}));
    bench.run_to(3.0);
}

#[test]
fn a_restart_of_the_gateway_does_not_empty_the_room() {
    let mut bench = Bench::new(|_| script(|_| vec![person(0.5)]));
    let corners = json!([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]);
    bench.apply(json!({"zones": {"hall": {"corners": corners}}}));
    bench.run_to(2.0);
    assert!(bench.all_seen().iter().all(|s| matches!(s, Seen::Occupancy { people: 1, .. })));
    bench.analyses.apply(&bench.config);
    assert!(bench.analyses.status().is_empty(), "after the end nothing begins");
}

#[test]
fn a_section_of_no_camera_is_failed_until_it_has_one() {
    let mut bench = Bench::new(|_| nobody());
    let cameras = std::mem::take(&mut bench.config.cameras);
    bench.config.analysis.insert("main".into(), Analysis::default());
    bench.analyses.apply(&bench.config);
    let report = bench.report().unwrap();
    assert_eq!(report.level, Level::Failed);
    assert!(report.message.starts_with("there is no camera main: "), "{report:?}");
    bench.config.cameras = cameras;
    bench.analyses.apply(&bench.config);
    bench.until("it is well", || bench.is_ok());
}
