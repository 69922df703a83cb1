//! What is seen and told.

use super::*;
use gantry_vision::Direction::{In, Out};
use gantry_vision::{Motion, MotionSettings};

/// A textured room of this size with somebody in it, as a camera gives it.
fn room((width, height): (u32, u32), n: u64, person: Option<f32>) -> Vec<u8> {
    let noise = |seed: u64| (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 24) as f32;
    let at = |x: u32, y: u32| {
        let (across, down) = (x as f32 / width as f32, y as f32 / height as f32);
        let room = 110.0 + 14.0 * ((x / 9 + y / 7) % 2) as f32;
        let walker = person.filter(|p| (across - p).abs() < 0.06 && (0.4..0.8).contains(&down));
        let tone = walker.map_or(room, |_| if down < 0.6 { 50.0 } else { 35.0 });
        (tone + 6.0 * noise(n * 1_000_003 + u64::from(y * width + x))) as u8
    };
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| at(x, y)).collect()
}

fn motion() -> Bench {
    Bench::new(|_| Ok(Box::new(Motion::new(MotionSettings::default()))))
}

#[test]
fn who_walks_through_and_back_is_told_with_the_times_of_the_pictures() {
    let mut bench = motion();
    bench.apply(with_door());
    for n in 0..140u64 {
        let t = n as f32 / 10.0;
        // In the middle at 4.5 s, back there at 10.5 s.
        let x = if t < 7.5 { 0.2 * (t - 2.0) } else { 1.1 - 0.2 * (t - 7.5) };
        bench.publish(&frame("main/analysis", n, (160, 120), room((160, 120), n, Some(x))));
    }
    let found = crossings(&bench.all_seen());
    let ways: Vec<_> = found.iter().map(|(line, way, ..)| (line.as_str(), *way)).collect();
    assert_eq!(ways, [("door", In), ("door", Out)], "{found:?}");
    assert!((found[0].3 - 4.5).abs() < 0.2 && (found[1].3 - 10.5).abs() < 0.2, "{found:?}");
}

#[test]
fn pictures_of_another_size_are_nobody_and_counting_goes_on_in_them() {
    let mut bench = motion();
    bench.apply(with_door());
    for n in 0..130u64 {
        let t = n as f32 / 10.0;
        let size = if t < 6.0 { (160, 120) } else { (320, 240) };
        let person = (t > 8.0).then_some(0.2 * (t - 8.0));
        bench.publish(&frame("main/analysis", n, size, room(size, n, person)));
    }
    let found = crossings(&bench.all_seen());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!((found[0].3 - 10.5).abs() < 0.2, "{found:?}");
}

#[test]
fn a_slow_detector_looks_at_the_newest_frame_and_nobody_waits_for_it() {
    let (go, gate) = channel();
    let gate = Arc::new(Mutex::new(gate));
    let mut bench = Bench::new(move |_| {
        let gate = gate.clone();
        script(move |_| {
            let _ = lock(&gate).recv();
            Vec::new()
        })
    });
    bench.apply(with_door());
    bench.publish(&grey("main/analysis", 0, 32, 24, 0));
    let stream = bench.runtime.frames.stream("main/analysis");
    // The detector is stuck in the first frame; each of these calls returns all the same.
    for n in 1..=10 {
        stream.publish(&grey("main/analysis", n, 32, 24, 0));
    }
    go.send(()).unwrap();
    assert_eq!(bench.looks.recv_timeout(PATIENCE), Ok(1.0), "the tenth");
    go.send(()).unwrap();
    bench.publish(&grey("main/analysis", 11, 32, 24, 0));
    let status = &bench.analyses.status()[0];
    assert_eq!((status.frames, status.skipped), (2, 9), "and the eleventh is not done");
    drop(go);
}

#[test]
fn no_more_frames_are_looked_at_than_the_section_says() {
    let mut bench = Bench::new(|_| nobody());
    let mut section = with_door();
    section["fps"] = json!(2);
    bench.apply(section);
    let stream = bench.runtime.frames.stream("main/analysis");
    assert_eq!(stream.demand().max_millihertz, 2000);
    for n in (0..20).step_by(5) {
        stream.publish(&grey("main/analysis", n, 32, 24, 0));
        bench.looks.recv_timeout(PATIENCE).unwrap();
        (1..5).for_each(|more| stream.publish(&grey("main/analysis", n + more, 32, 24, 0)));
    }
    bench.all_seen();
    assert_eq!(bench.looks.try_iter().count(), 0);
}

#[test]
fn a_zone_tells_how_many_are_in_it_and_is_empty_when_no_pictures_come() {
    let mut bench =
        Bench::new(|_| script(|t| if t < 3.0 { vec![person(0.3), person(0.7)] } else { vec![person(0.3)] }));
    let corners = json!([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]);
    bench.apply(json!({"zones": {"hall": {"corners": corners}}}));
    bench.run_to(7.0);
    let told = |seen| match seen {
        Seen::Occupancy { camera, zone, people, unix_ms } => {
            assert_eq!((camera.as_str(), zone.as_str()), ("main", "hall"));
            (people, unix_ms as u64 - EPOCH_MS)
        }
        other => panic!("{other:?}"),
    };
    let (people, ms) = told(bench.next_seen());
    assert_eq!(people, 2);
    assert!((200..=500).contains(&ms), "{ms}");
    let (people, ms) = told(bench.next_seen());
    assert_eq!(people, 1, "one went");
    assert!((3000..=6000).contains(&ms), "{ms}");
    assert_eq!(bench.state(), Some(json!({"detector": "motion", "fps": 10, "running": true})));
    bench.wait(Duration::from_secs(6));
    let (people, ms) = told(bench.next_seen());
    assert_eq!((people, ms), (0, 13_000), "six seconds after the last picture");
    bench.until("it does not run", || bench.state().unwrap()["running"] == false);
    assert_eq!(bench.report().unwrap().message, "waits for pictures of camera main");
    bench.run_to(8.0);
    assert_eq!(told(bench.next_seen()).0, 1, "it is seen again");
}

#[test]
fn after_a_pause_nobody_is_the_one_of_before_and_the_detector_is() {
    // The same place before and after; a line between would be crossed by one who was followed on.
    let mut bench = Bench::new(|_| script(|t| vec![person(if t < 3.0 { 0.3 } else { 0.7 })]));
    bench.apply(with_door());
    bench.run_to(2.0);
    bench.next = 90;
    bench.run_to(12.0);
    assert_eq!(crossings(&bench.all_seen()), []);
    assert_eq!(bench.made.load(SeqCst), 1);
}

/// How bright a head that looks this way is at a place of its face's box: hair, eyes, nose, mouth.
fn head(u: f32, v: f32) -> Option<u8> {
    let is_in = |x0: f32, x1: f32, y0: f32, y1: f32| (x0..x1).contains(&u) && (y0..y1).contains(&v);
    is_in(0.0, 1.0, 0.0, 1.0).then(|| match () {
        () if v < 0.12 => 50,
        () if is_in(0.15, 0.4, 0.3, 0.42) || is_in(0.6, 0.85, 0.3, 0.42) => 60,
        () if is_in(0.42, 0.58, 0.35, 0.62) => 210,
        () if is_in(0.3, 0.7, 0.74, 0.82) => 90,
        () => 180,
    })
}

/// A camera that shows a face until `until`, in seconds.
fn with_a_face(until: f64) -> (Bench, Bytes) {
    // Nobody goes into parts of so small a picture: the face is where the detector says.
    let size = (320, 240);
    let while_there = move |found: Detection| move |t| if t < until { vec![found] } else { Vec::new() };
    let face = Detection { rect: Rect::new(0.25, 0.36, 0.1, 0.13), score: 0.95, class: Class::Face };
    let mut bench =
        Bench::with_faces(move |_| script(while_there(person(0.3))), move |_| script(while_there(face)));
    bench.apply(json!({"faces": {"model": "faces.onnx", "jpeg_quality": 77}}));
    let mut data = i420(size, 150);
    for (n, pixel) in data[..(320 * 240)].iter_mut().enumerate() {
        let (u, v) = (((n % 320) as f32 - 80.0) / 32.0, ((n / 320) as f32 - 86.4) / 31.2);
        *pixel = head(u, v).unwrap_or(*pixel);
    }
    (bench, Bytes::from(data))
}

#[test]
fn the_best_face_of_somebody_is_told_once_as_jpeg() {
    let (mut bench, data) = with_a_face(5.0);
    for n in 0..150 {
        bench.publish(&frame("main/raw", n, (320, 240), data.clone()));
    }
    let faces = bench.all_seen();
    let [Seen::Face { camera, track, unix_ms, score, jpeg, width, height }] = &faces[..] else {
        panic!("{} were told", faces.len());
    };
    assert_eq!((camera.as_str(), *track, jpeg[0]), ("main", 1, 77));
    assert_eq!(jpeg.len(), 1 + (width * height) as usize * 3 / 2);
    assert!(*score > 0.0 && *score <= 1.0);
    assert!((0..=5000).contains(&(unix_ms - i64::try_from(EPOCH_MS).unwrap())), "{unix_ms}");
}

#[test]
fn a_face_that_may_become_better_is_told_when_no_pictures_come() {
    let (mut bench, data) = with_a_face(5.0);
    for n in 0..15 {
        bench.publish(&frame("main/raw", n, (320, 240), data.clone()));
    }
    bench.wait(Duration::from_secs(6));
    let told = bench.next_seen();
    assert!(matches!(told, Seen::Face { track: 1, .. }), "{told:?}");
}
