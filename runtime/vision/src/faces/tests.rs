//! A picker in scenes that are drawn here, with a detector that knows what is in them.

use super::drawing::{Head, Picture as Scene};
use super::*;
use crate::{Point, Tracker};
use std::sync::{Arc, Mutex};

const SIZE: (usize, usize) = (640, 480);

/// What is in the scene, which the detector looks up by where the pixels that it was given come from.
#[derive(Default)]
struct World {
    faces: Vec<(Rect, f32)>,
    looks: Vec<(usize, usize)>,
    fails: bool,
}

/// Finds the faces of the world in whatever part it is given: the parts are marked by their colours.
struct Fake(Arc<Mutex<World>>);

impl Detector for Fake {
    fn detect(&mut self, frame: &Frame<'_>, _: f64) -> Result<Vec<Detection>, Error> {
        let mut world = self.0.lock().unwrap();
        world.looks.push((frame.width(), frame.height()));
        if world.fails {
            return Err(Error::Inference { path: "fake".into(), reason: "as told".into() });
        }
        let (x, y) = Scene::origin(frame);
        let (w, h) = (frame.width() as f32, frame.height() as f32);
        let place = |r: &Rect| {
            let left = (r.x * SIZE.0 as f32 - x as f32) / w;
            let top = (r.y * SIZE.1 as f32 - y as f32) / h;
            Rect::new(left, top, r.w * SIZE.0 as f32 / w, r.h * SIZE.1 as f32 / h)
        };
        let picture = Rect::new(0.0, 0.0, 1.0, 1.0);
        Ok(world
            .faces
            .iter()
            .map(|(rect, score)| Detection { rect: place(rect), score: *score, class: Class::Face })
            .filter(|d| d.rect.inside(&picture) > 0.5)
            .collect())
    }
}

struct Show {
    picker: Picker,
    world: Arc<Mutex<World>>,
    tracker: Tracker,
    given: Vec<BestFace>,
    frame: u32,
}

/// Somebody of a frame: how he looks, where his face's middle is, its height in pixels; whether he has a person's box.
type Somebody = (Head, f32, f32, f32, bool);

impl Show {
    fn new(settings: PickerSettings) -> Self {
        let world = Arc::<Mutex<World>>::default();
        let picker = Picker::new(Box::new(Fake(Arc::clone(&world))), settings);
        Self { picker, world, tracker: Tracker::default(), given: Vec::new(), frame: 0 }
    }

    /// A tenth of a second with these people, of whom `seen` tells whether the detector finds their faces.
    fn frame(&mut self, people: &[Somebody], seen: bool) {
        let heads: Vec<_> = people.iter().map(|(head, x, y, high, _)| (*head, *x, *y, *high)).collect();
        let bodies: Vec<Detection> = people
            .iter()
            .filter(|somebody| somebody.4)
            .map(|(_, x, y, high, _)| {
                let (w, h) = (0.75 * high / SIZE.0 as f32, high / SIZE.1 as f32);
                let rect = Rect::around(Point::new(*x, y + 2.2 * h), 2.2 * w, 5.6 * h);
                Detection { rect, score: 0.9, class: Class::Person }
            })
            .collect();
        self.scene(&heads, &bodies, seen);
    }

    /// The same with bodies of their own.
    fn scene(&mut self, heads: &[(Head, f32, f32, f32)], bodies: &[Detection], seen: bool) {
        let mut scene = Scene::new(SIZE.0, SIZE.1);
        let faces: Vec<_> =
            heads.iter().map(|(head, x, y, high)| (scene.head(*head, *x, *y, *high), 0.9)).collect();
        self.world.lock().unwrap().faces = if seen { faces } else { Vec::new() };
        let t = f64::from(self.frame) / 10.0;
        self.frame += 1;
        let tracks = self.tracker.step(bodies, t);
        self.given.extend(self.picker.step(&scene.frame(), tracks, t).unwrap());
    }

    fn frames(&mut self, count: u32, people: &[Somebody]) {
        for _ in 0..count {
            self.frame(people, true);
        }
    }

    fn end(mut self) -> Vec<BestFace> {
        self.given.extend(self.picker.finish());
        self.given
    }
}

fn show() -> Show {
    Show::new(PickerSettings::default())
}

const AT: Somebody = (Head::Front, 0.3, 0.3, 50.0, true);

#[test]
fn who_walks_up_and_goes_gives_the_largest_face_once() {
    let mut show = show();
    for n in 0..40u32 {
        let near = n as f32 / 40.0;
        show.frame(&[(Head::Front, 0.3 + 0.3 * near, 0.3, 30.0 + 40.0 * near, true)], true);
    }
    assert!(show.given.is_empty(), "it becomes better all the time");
    show.frames(80, &[]);
    assert_eq!(show.given.len(), 1);
    let face = &show.given[0];
    assert!(face.t > 3.35 && face.t < 3.95 && face.track == 1, "{face:?}");
    let (w, h) = (face.picture.width(), face.picture.height());
    assert!((110..140).contains(&h) && w < h, "{w}x{h}");
    assert_eq!(show.end().len(), 1);
}

#[test]
fn who_stands_still_is_given_when_it_gets_no_better_and_never_again() {
    let mut show = show();
    show.frames(29, &[AT]);
    assert!(show.given.is_empty());
    show.frames(300, &[AT]);
    assert_eq!(show.given.len(), 1);
    assert_eq!(show.end().len(), 1);
}

#[test]
fn who_gets_better_without_end_is_given_all_the_same() {
    let mut show = show();
    for n in 0..130u32 {
        show.frame(&[(Head::Front, 0.4, 0.4, 24.0 * 1.015f32.powi(n as i32), false)], true);
    }
    assert_eq!(show.given.len(), 1);
}

#[test]
fn a_face_without_a_person_is_found_and_stays_one_when_a_person_comes_and_goes_around_it() {
    let mut show = show();
    let alone = (AT.0, AT.1, AT.2, AT.3, false);
    for people in [alone, AT, alone, AT, alone] {
        show.frames(30, &[people]);
    }
    let given = show.end();
    assert_eq!(given.len(), 1, "{given:?}");
}

#[test]
fn a_face_that_flickers_or_is_away_for_a_moment_is_still_one() {
    let mut show = show();
    for n in 0..200 {
        let alone = (AT.0, AT.1, AT.2, AT.3, false);
        show.frame(&[alone], n % 3 != 0 && !(60..80).contains(&n));
    }
    assert_eq!(show.end().len(), 1);
}

#[test]
fn who_walks_with_his_face_away_and_turns_it_back_is_one() {
    let mut show = show();
    for n in 0..100u32 {
        let x = 0.15 + 0.007 * n as f32;
        show.frame(&[(Head::Front, x, 0.3, 40.0, true)], !(25..=70).contains(&n));
    }
    let given = show.end();
    assert_eq!(given.len(), 1, "{given:?}");
}

#[test]
fn two_in_one_box_are_two_and_two_who_pass_each_other_are_two() {
    let mut two = show();
    // The box of the first is around both.
    for _ in 0..60 {
        two.frame(&[(Head::Front, 0.3, 0.3, 50.0, true), (Head::Front, 0.37, 0.31, 48.0, false)], true);
    }
    assert_eq!(two.end().len(), 2);
    let mut passing = show();
    for n in 0..80u32 {
        let x = 0.01 * n as f32;
        passing
            .frame(&[(Head::Front, 0.1 + x, 0.3, 40.0, true), (Head::Front, 0.9 - x, 0.5, 56.0, true)], true);
    }
    assert_eq!(passing.end().len(), 2);
}

#[test]
fn a_face_that_comes_back_elsewhere_in_its_persons_box_is_still_one() {
    let mut show = show();
    let body = Detection { rect: Rect::new(0.3, 0.2, 0.3, 0.7), score: 0.9, class: Class::Person };
    for n in 0..80 {
        let x = if n < 30 { 0.34 } else { 0.56 };
        show.scene(&[(Head::Front, x, 0.3, 40.0)], &[body], !(25..45).contains(&n));
    }
    let given = show.end();
    assert_eq!(given.len(), 1, "{given:?}");
}

#[test]
fn two_who_were_seen_together_in_one_box_are_two_even_when_one_looks_away() {
    let mut show = show();
    let body = Detection { rect: Rect::new(0.3, 0.2, 0.3, 0.7), score: 0.9, class: Class::Person };
    let (one, other) = ((Head::Front, 0.36, 0.3, 40.0), (Head::Front, 0.52, 0.3, 40.0));
    for n in 0..60 {
        let both = [one, other];
        show.scene(&both[usize::from(n >= 12)..], &[body], true);
    }
    assert_eq!(show.end().len(), 2);
}

#[test]
fn who_comes_to_where_another_one_was_who_is_still_there_is_somebody_else() {
    let mut show = show();
    for n in 0..80u32 {
        let walked = 0.02 * (n.clamp(25, 50) - 25) as f32;
        let body = |x: f32| Detection {
            rect: Rect::around(Point::new(x, 0.5), 0.12, 0.5),
            score: 0.9,
            class: Class::Person,
        };
        let face = [(Head::Front, 0.3, 0.33, 50.0)];
        let is_away = (25..45).contains(&n);
        let mut bodies = vec![body(0.3 + walked)];
        bodies.extend((n >= 38).then(|| body(0.3)));
        show.scene(&face[usize::from(is_away)..], &bodies, true);
    }
    let given = show.end();
    assert_eq!(given.len(), 2, "{given:?}");
}

#[test]
fn who_comes_later_to_the_same_place_is_somebody_else() {
    let mut show = show();
    show.frames(50, &[AT]);
    show.frames(70, &[]);
    show.frames(50, &[AT]);
    assert_eq!(show.end().len(), 2);
}

#[test]
fn profiles_backs_of_heads_small_faces_and_a_moment_are_not_kept() {
    for head in [Head::Side, Head::Back] {
        let mut show = show();
        show.frames(60, &[(head, 0.4, 0.4, 60.0, true)]);
        assert_eq!(show.end(), []);
    }
    let mut small = show();
    small.frames(60, &[(Head::Front, 0.4, 0.4, 20.0, true)]);
    assert_eq!(small.end(), []);
    let mut moment = show();
    moment.frames(2, &[AT]);
    moment.frames(80, &[]);
    assert_eq!(moment.end(), []);
}

#[test]
fn small_faces_are_looked_for_in_parts_and_no_more_often_than_allowed() {
    let crowd: Vec<Somebody> =
        (0..6u8).map(|n| (Head::Front, 0.1 + 0.16 * f32::from(n), 0.3, 26.0, true)).collect();
    for looks in [1, 3] {
        let mut show = Show::new(PickerSettings { looks, ..PickerSettings::default() });
        for _ in 0..100 {
            show.world.lock().unwrap().looks.clear();
            show.frame(&crowd, true);
            let world = show.world.lock().unwrap();
            assert!(world.looks.len() <= looks, "{:?}", world.looks);
            assert!(world.looks.iter().all(|look| *look == SIZE || *look == (320, 240)), "{:?}", world.looks);
        }
        assert_eq!(show.end().len(), 6, "{looks}");
    }
}

#[test]
fn an_empty_room_is_looked_at_once_a_second_and_a_known_face_as_seldom() {
    let mut show = show();
    show.frames(100, &[]);
    assert_eq!(show.world.lock().unwrap().looks.len(), 10);
    show.frames(100, &[AT]);
    show.world.lock().unwrap().looks.clear();
    show.frames(100, &[AT]);
    let looks = show.world.lock().unwrap().looks.len();
    assert!(looks <= 20, "{looks}");
}

#[test]
fn an_error_of_the_detector_is_told_and_loses_nothing() {
    let mut show = show();
    show.frames(10, &[AT]);
    show.world.lock().unwrap().fails = true;
    let scene = Scene::new(SIZE.0, SIZE.1);
    assert!(show.picker.step(&scene.frame(), show.tracker.tracks(), 2.0).is_err());
    show.world.lock().unwrap().fails = false;
    assert_eq!(show.end().len(), 1);
}

#[test]
fn frames_of_the_past_and_of_no_time_are_ignored_and_odd_pictures_do_no_harm() {
    let mut show = show();
    show.frames(10, &[AT]);
    let (grey, tracks) = ([3; 6], show.tracker.tracks().to_vec());
    for t in [0.0, f64::NAN, f64::INFINITY] {
        let frame = Frame::grey(&grey, 2, 3, 2).unwrap();
        assert_eq!(show.picker.step(&frame, &tracks, t).unwrap(), []);
    }
    show.world.lock().unwrap().faces = vec![
        (Rect::new(f32::NAN, 0.0, 1.0, 1.0), 0.9),
        (Rect::new(0.0, 0.0, 1.0, 1.0), f32::NAN),
        (Rect::new(0.0, 0.0, 1e-9, 9.0), 5.0),
    ];
    for (n, (width, height)) in [(1, 1), (2, 3), (6, 1)].into_iter().enumerate() {
        let frame = Frame::grey(&grey, width, height, width).unwrap();
        let given = show.picker.step(&frame, &tracks, 2.0 + n as f64 / 10.0).unwrap();
        show.given.extend(given);
    }
    assert_eq!(show.end().len(), 1);
}

#[test]
fn no_more_faces_than_allowed_are_held() {
    let crowd: Vec<Somebody> =
        (0..8u8).map(|n| (Head::Front, 0.1 + 0.11 * f32::from(n), 0.3, 40.0, false)).collect();
    let mut show = Show::new(PickerSettings { most: 3, ..PickerSettings::default() });
    show.frames(60, &crowd);
    assert_eq!(show.end().len(), 3);
}
