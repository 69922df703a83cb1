//! Pictures with what was seen in them.

use super::*;
use gantry_core::frames::Watch;

const SIZE: (u32, u32) = (320, 240);

/// Somebody who stands in the middle, and who watches the annotated stream.
struct Annotated {
    bench: Bench,
    pictures: Receiver<Arc<Frame>>,
    watch: Watch,
}

fn annotated() -> Annotated {
    let mut bench = Bench::new(|_| script(|_| vec![person(0.5)]));
    bench.config.cameras.get_mut("main").unwrap().jpeg_quality = 66;
    bench.apply(json!({"lines": {"door": {"from": [0.2, 0.9], "to": [0.8, 0.9]}}}));
    assert_eq!(bench.runtime.frames.stream("main/raw").demand().watchers, 0, "for nobody");
    let (tell, pictures) = channel();
    let sink = Arc::new(move |frame: &Arc<Frame>| _ = tell.send(frame.clone()));
    let watch = bench.runtime.frames.stream("main/annotated").watch(5_000, sink);
    bench.until_watched("main/raw", 1);
    bench.run_to(1.0);
    Annotated { bench, pictures, watch }
}

impl Annotated {
    fn picture(&self, n: u64) -> Arc<Frame> {
        self.bench.runtime.frames.stream("main/raw").publish(&frame("main/raw", n, SIZE, i420(SIZE, 90)));
        self.pictures.recv_timeout(PATIENCE).expect("an annotated picture")
    }
}

/// How many pixels of this part of the luminance are not what was published.
fn drawn(picture: &Frame, part: Rect) -> usize {
    let (width, height) = (SIZE.0 as f32, SIZE.1 as f32);
    let rows = (part.y * height) as usize..(part.bottom() * height) as usize;
    let columns = (part.x * width) as usize..(part.right() * width) as usize;
    let luma = &picture.data[1..];
    rows.flat_map(|y| columns.clone().map(move |x| (x, y)))
        .filter(|(x, y)| luma[y * SIZE.0 as usize + x] != 90)
        .count()
}

#[test]
fn who_is_followed_is_drawn_into_the_picture_of_its_time() {
    let annotated = annotated();
    let picture = annotated.picture(10);
    assert_eq!((&*picture.stream, picture.format), ("main/annotated", Format::Jpeg));
    assert_eq!((picture.sequence, picture.captured_monotonic_ns), (10, 1_000_000_000));
    assert_eq!(picture.captured_unix_ns, (EPOCH_MS + 1000) * 1_000_000);
    assert_eq!((picture.width, picture.height, picture.data[0]), (320, 240, 66));
    // The box of 0.45 to 0.55 and 0.35 to 0.65: its left side, and nothing in the corner.
    assert!(drawn(&picture, Rect::new(0.43, 0.4, 0.04, 0.2)) > 20, "the box");
    assert!(drawn(&picture, Rect::new(0.2, 0.88, 0.6, 0.04)) > 20, "the line");
    assert_eq!(drawn(&picture, Rect::new(0.9, 0.1, 0.1, 0.5)), 0);
    // Long after it was seen, it is not where it was.
    let later = annotated.picture(60);
    assert_eq!(drawn(&later, Rect::new(0.43, 0.4, 0.04, 0.2)), 0);
    assert_eq!(annotated.bench.analyses.status()[0].annotated, 2);
}

#[test]
fn counts_are_those_of_the_state() {
    let annotated = annotated();
    let before = annotated.picture(10);
    annotated.bench.runtime.state.set("counts/main/lines/door/in", json!(8)).unwrap();
    let after = annotated.picture(12);
    assert!(before.data != after.data, "8 and not 0");
}

#[test]
fn the_camera_is_watched_as_fast_as_somebody_wants_it_and_not_longer() {
    let annotated = annotated();
    let raw = annotated.bench.runtime.frames.stream("main/raw");
    assert_eq!(raw.demand().max_millihertz, 5_000);
    let (tell, told) = channel();
    raw.on_demand(Some(Box::new(move |demand| _ = tell.send((demand.watchers, demand.max_millihertz)))));
    let faster = annotated.bench.runtime.frames.stream("main/annotated").watch(20_000, Arc::new(|_| {}));
    while told.recv_timeout(PATIENCE).expect("the other rate") != (1, 20_000) {}
    drop(faster);
    while told.recv_timeout(PATIENCE).expect("the first rate") != (1, 5_000) {}
    drop(annotated.watch);
    while told.recv_timeout(PATIENCE).expect("the end") != (0, 0) {}
}

#[test]
fn a_camera_without_raw_pictures_is_told_only_while_they_are_wanted() {
    let annotated = annotated();
    let bench = &annotated.bench;
    bench.runtime.state.set("cameras/main/connected", json!(true)).unwrap();
    bench.until("it is told", || {
        bench.wait(Duration::from_secs(1));
        bench.is_degraded("no annotated pictures: camera main gives no stream `raw`")
    });
    drop(annotated.watch);
    bench.until("it is well", || !bench.is_degraded("no annotated pictures"));
}

#[test]
fn pictures_that_cannot_be_drawn_on_are_told() {
    let annotated = annotated();
    let bench = &annotated.bench;
    bench.runtime.frames.stream("main/raw").publish(&grey("main/raw", 1, 32, 24, 0));
    bench.until("it is told", || {
        bench.is_degraded("no annotated pictures: the stream `main/raw` gives GRAY8")
    });
}
