//! What goes wrong, and how it goes on.

use super::*;

/// A detector whose model is a file that must say `good`.
fn of_file(config: &Analysis) -> Result<Box<dyn Detector>, String> {
    let path = config.model.as_deref().unwrap();
    match std::fs::read_to_string(path) {
        Ok(text) if text == "good" => script(|t| vec![person(0.1 * t)]),
        Ok(text) => Err(format!("{} says {text}: make it good", path.display())),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_broken_model_is_told_while_the_stream_goes_on_and_is_tried_when_its_file_changes() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model.onnx");
    std::fs::write(&model, "bad").unwrap();
    let mut bench = Bench::new(of_file);
    let mut section = with_door();
    (section["detector"], section["model"]) = (json!("onnx"), json!(model));
    bench.apply(section);
    bench.until("the model is refused", || bench.is_degraded("says bad: make it good"));
    let stream = bench.runtime.frames.stream("main/raw");
    (0..10).for_each(|n| stream.publish(&frame("main/raw", n, (32, 24), i420((32, 24), 0))));
    assert_eq!(bench.made.load(SeqCst), 1, "not for each frame");
    std::fs::write(&model, "good").unwrap();
    bench.analyses.call();
    bench.until("it is loaded", || bench.is_ok());
    for n in 20..80 {
        bench.publish(&frame("main/raw", n, (32, 24), i420((32, 24), 0)));
    }
    assert_eq!(crossings(&bench.all_seen()).len(), 1);
}

#[test]
fn what_cannot_be_loaded_is_tried_again_after_ten_seconds_whatever_its_file() {
    let is_good = Arc::<AtomicUsize>::default();
    let good = is_good.clone();
    let mut bench =
        Bench::new(move |_| if good.load(SeqCst) == 0 { Err("no memory: wait".into()) } else { nobody() });
    bench.apply(json!({"detector": "onnx", "model": "/nowhere"}));
    bench.until("it is refused", || bench.is_degraded("no memory: wait"));
    is_good.store(1, SeqCst);
    bench.wait(Duration::from_secs(9));
    bench.analyses.call();
    assert!(bench.is_degraded("no memory: wait"));
    bench.wait(Duration::from_secs(1));
    bench.until("it is loaded", || bench.is_ok());
}

#[test]
fn a_detector_that_panics_is_told_and_started_again_later() {
    let is_broken = Arc::new(AtomicUsize::new(1));
    let broken = is_broken.clone();
    let mut bench = Bench::new(move |_| {
        let broken = broken.clone();
        script(move |t| {
            assert!(broken.load(SeqCst) == 0 || t < 1.05, "index out of bounds");
            vec![person(0.1 * t)]
        })
    });
    bench.apply(with_door());
    bench.run_to(1.1);
    bench.until("the panic is told", || bench.is_degraded("the detector broke down (index out of bounds)"));
    bench.until("it does not run", || bench.state().unwrap()["running"] == false);
    is_broken.store(0, SeqCst);
    bench.wait(Duration::from_millis(900));
    assert_eq!(bench.made.load(SeqCst), 1);
    bench.wait(Duration::from_millis(200));
    bench.until("it is made again", || bench.made.load(SeqCst) == 2);
    assert!(bench.is_degraded("broke down"), "until it has looked at a picture");
    bench.run_to(7.0);
    assert!(bench.is_ok());
    let found = crossings(&bench.all_seen());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].2, 2, "number 1 was given before");
}

#[test]
fn a_detector_that_fails_with_a_picture_is_told_and_the_next_is_tried() {
    struct Fails;
    impl Detector for Fails {
        fn detect(&mut self, _: &gantry_vision::Frame<'_>, t: f64) -> Result<Vec<Detection>, Error> {
            let failed = || Error::Inference { path: "m.onnx".into(), reason: "no".into() };
            if t > 1.0 && t < 1.35 { Err(failed()) } else { Ok(vec![person(0.1 * t)]) }
        }
    }
    let mut bench = Bench::new(|_| Ok(Box::new(Fails)));
    bench.apply(with_door());
    bench.run_to(1.2);
    assert!(bench.is_degraded("the model m.onnx failed on a picture: no"));
    bench.run_to(2.0);
    assert!(bench.is_degraded("failed on a picture"), "for a while");
    bench.wait(Duration::from_secs(11));
    bench.run_until("it is well", Bench::is_ok);
    bench.run_to(7.0);
    assert_eq!(crossings(&bench.all_seen()).len(), 1);
    assert_eq!(bench.made.load(SeqCst), 1);
}

#[test]
fn a_broken_model_of_faces_does_not_stop_counting() {
    let mut bench =
        Bench::with_faces(|_| script(|t| vec![person(0.1 * t)]), |_| Err("it is broken: mend it".into()));
    let mut section = with_door();
    section["faces"] = json!({"model": "faces.onnx"});
    bench.apply(section);
    for n in 0..70 {
        bench.publish(&frame("main/raw", n, (32, 24), i420((32, 24), 0)));
    }
    assert!(bench.is_degraded("no faces: it is broken: mend it"));
    assert_eq!(bench.state().unwrap()["running"], true);
    assert_eq!(crossings(&bench.all_seen()).len(), 1);
}

#[test]
fn a_model_of_faces_that_panics_does_not_stop_counting() {
    let mut bench =
        Bench::with_faces(|_| script(|t| vec![person(0.1 * t)]), |_| script(|_| panic!("a bad face")));
    let mut section = with_door();
    section["faces"] = json!({"model": "faces.onnx"});
    bench.apply(section);
    for n in 0..70 {
        bench.publish(&frame("main/raw", n, (64, 48), i420((64, 48), 0)));
    }
    assert!(bench.is_degraded("the model of faces broke down (a bad face)"));
    assert_eq!(crossings(&bench.all_seen()).len(), 1);
}

#[test]
fn a_camera_that_is_there_without_the_stream_is_told_after_ten_seconds() {
    let mut bench = Bench::new(|_| nobody());
    bench.apply(json!({"detector": "onnx", "model": "m.onnx"}));
    bench.wait(Duration::from_secs(60));
    bench.until("it waits", || bench.is_ok());
    bench.runtime.state.set("cameras/main/connected", json!(true)).unwrap();
    bench.until("the threads know", || {
        bench.wait(Duration::from_secs(1));
        bench.is_degraded("camera main gives no stream `raw`: add one to its pipeline file")
    });
    bench.publish(&frame("main/raw", 1, (32, 24), i420((32, 24), 0)));
    bench.publish(&frame("main/raw", 2, (32, 24), i420((32, 24), 0)));
    assert!(bench.is_ok());
    bench.wait(Duration::from_secs(11));
    bench.until("it is gone", || bench.is_degraded("gives no more pictures on the stream `raw`"));
}

#[test]
fn pictures_that_cannot_be_looked_at_are_told_with_the_stream_named() {
    let mut bench = Bench::new(|_| nobody());
    bench.apply(json!({}));
    let stream = bench.runtime.frames.stream("main/analysis");
    bench.next = 1;
    let short = frame("main/analysis", 0, (32, 24), vec![0; 700]);
    stream.publish(&short);
    bench.until("it is told", || {
        bench.is_degraded("the stream `main/analysis` gives 700 bytes for 32x24 pixels")
    });
    bench.run_to(2.0);
    bench.wait(Duration::from_secs(11));
    bench.run_until("it is well", Bench::is_ok);
}

#[test]
fn a_detector_that_does_not_return_is_told_by_who_looks_until_it_returns() {
    let (go, gate) = channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let mut bench = Bench::new(move |_| {
        let gate = gate.clone();
        script(move |t| {
            if (2.0..2.05).contains(&t) {
                let _ = lock(&gate).recv();
            }
            vec![person(0.1 * t)]
        })
    });
    let mut section = with_door();
    section["zones"] = json!({"hall": {"corners": [[0.0, 0.0], [0.4, 0.0], [0.4, 1.0], [0.0, 1.0]]}});
    bench.apply(section);
    bench.run_to(2.0);
    let told = |bench: &Bench| match bench.next_seen() {
        Seen::Occupancy { people, .. } => people,
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&bench), 1);
    let look = |bench: &Bench, seconds| {
        *lock(&bench.clock) += Duration::from_secs(seconds);
        bench.analyses.look(*lock(&bench.clock));
    };
    look(&bench, 9);
    assert!(bench.is_ok());
    look(&bench, 1);
    assert!(bench.is_degraded("the detector has not returned for 10 s: use a smaller model"));
    assert_eq!(bench.state().unwrap()["running"], false);
    assert!(!bench.analyses.status()[0].running);
    assert_eq!(told(&bench), 0, "nobody is known to be there");
    look(&bench, 50);
    assert!(bench.is_degraded("for 60 s"));
    go.send(()).unwrap();
    bench.run_to(2.3);
    bench.until("it runs", || bench.state().unwrap()["running"] == true);
    assert_eq!(told(&bench), 1, "he is there still");
    look(&bench, 1);
    assert!(bench.is_ok());
}

#[test]
fn a_model_whose_loading_does_not_return_is_told() {
    let (go, gate) = channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let mut bench = Bench::new(move |_| {
        let _ = lock(&gate).recv();
        nobody()
    });
    bench.apply(json!({"detector": "onnx", "model": "m.onnx"}));
    bench.until("it is loaded", || bench.made.load(SeqCst) == 1);
    *lock(&bench.clock) += Duration::from_secs(11);
    bench.analyses.look(*lock(&bench.clock));
    assert!(bench.is_degraded("the loading of the model has not returned for 10 s"));
    go.send(()).unwrap();
    bench.until("it waits for pictures", || bench.is_ok());
}

#[test]
fn a_model_that_is_changed_is_used_at_once_and_who_is_followed_is_followed_on() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model.onnx");
    std::fs::write(&model, "good").unwrap();
    let mut bench = Bench::new(of_file);
    let mut section = with_door();
    (section["detector"], section["model"]) = (json!("onnx"), json!(model));
    bench.apply(section);
    let run = |bench: &mut Bench, from, to| {
        (from..to).for_each(|n| bench.publish(&frame("main/raw", n, (32, 24), i420((32, 24), 0))));
    };
    run(&mut bench, 0, 30);
    std::fs::write(&model, "broken").unwrap();
    *lock(&bench.clock) += Duration::from_secs(10);
    run(&mut bench, 30, 40);
    assert!(bench.is_degraded("the model was changed, and the one before is used still: "));
    assert!(bench.is_degraded("says broken: make it good"));
    assert_eq!(bench.state().unwrap()["running"], true);
    // Another file of the same name, as installers write it.
    let new = dir.path().join("new.onnx");
    std::fs::write(&new, "good").unwrap();
    std::fs::rename(&new, &model).unwrap();
    *lock(&bench.clock) += Duration::from_secs(10);
    run(&mut bench, 40, 70);
    assert!(bench.is_ok());
    assert_eq!(bench.made.load(SeqCst), 3);
    let found = crossings(&bench.all_seen());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].2, 1, "still the first one");
}

#[test]
fn a_detector_that_hangs_is_left_behind_and_not_heard_any_more() {
    let (go, gate) = channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let mut bench = Bench::new(move |_| {
        let gate = gate.clone();
        script(move |t| {
            if t > 2.0 {
                let _ = lock(&gate).recv();
                panic!("after all");
            }
            vec![person(0.3)]
        })
    });
    bench.apply(with_door());
    bench.run_to(2.1);
    bench.analyses.shutdown(Instant::now());
    assert_eq!((bench.report(), bench.state()), (None, None));
    drop(go);
    let (runtime, seen) = (bench.runtime.clone(), bench.seen);
    drop(bench.analyses);
    // Its way to tell ends with it.
    assert!(seen.iter().next().is_none());
    assert!(runtime.health.all().is_empty());
}
