//! Scenes that are drawn here, through the whole counter.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

use gantry_vision::{
    Counter, Direction, Event, Frame, Line, Motion, MotionSettings, Point, TrackerSettings, Zone,
};

const WIDTH: usize = 160;
const HEIGHT: usize = 120;
const FPS: f64 = 10.0;

/// A picture to draw on; what it is drawn on is a textured room.
struct Picture {
    pixels: Vec<f32>,
}

/// Some number between 0 and 1 for a place.
fn random(seed: u64) -> f32 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
}

impl Picture {
    fn room() -> Self {
        let pixels = (0..WIDTH * HEIGHT)
            .map(|n| {
                let (x, y) = (n % WIDTH, n / WIDTH);
                let tile = (x / 9 + y / 7) % 2;
                110.0 + 14.0 * tile as f32 + 10.0 * random((x / 3 + y / 3 * 1000) as u64)
            })
            .collect();
        Self { pixels }
    }

    /// Somebody with his feet at (x, y), in parts of the picture: a head, a dark or light body with two tones.
    fn person(&mut self, x: f32, y: f32, height: f32, tone: f32) {
        let wide = height * 0.3;
        self.fill(x - wide * 0.2, x + wide * 0.2, y - height, y - height * 0.83, tone * 1.4);
        self.fill(x - wide * 0.5, x + wide * 0.5, y - height * 0.83, y - height * 0.4, tone);
        self.fill(x - wide * 0.4, x + wide * 0.4, y - height * 0.4, y, tone * 0.7);
    }

    fn fill(&mut self, left: f32, right: f32, top: f32, bottom: f32, tone: f32) {
        self.change(left, right, top, bottom, |_| tone);
    }

    fn change(&mut self, left: f32, right: f32, top: f32, bottom: f32, tone: impl Fn(f32) -> f32) {
        let across = |v: f32| (v * WIDTH as f32).round().clamp(0.0, WIDTH as f32) as usize;
        let down = |v: f32| (v * HEIGHT as f32).round().clamp(0.0, HEIGHT as f32) as usize;
        for y in down(top)..down(bottom) {
            for pixel in &mut self.pixels[y * WIDTH..][across(left)..across(right).max(across(left))] {
                *pixel = tone(*pixel);
            }
        }
    }

    fn light(&mut self, gain: f32) {
        self.pixels.iter_mut().for_each(|p| *p *= gain);
    }

    /// As a camera gives it: with noise of this many grey levels.
    fn taken(&self, frame: usize, noise: f32) -> Vec<u8> {
        let seed = (frame * WIDTH * HEIGHT) as u64;
        let noise = |n: usize| noise * (random(seed + n as u64) + random(!(seed + n as u64)) - 1.0) * 2.4;
        self.pixels.iter().enumerate().map(|(n, p)| (p + noise(n)).clamp(0.0, 255.0) as u8).collect()
    }
}

fn counter() -> Counter {
    let door = Line::new("door", Point::new(0.5, 0.0), Point::new(0.5, 1.0)).unwrap();
    let corners = [(0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)].map(|(x, y)| Point::new(x, y));
    let right = Zone::new("right", corners.to_vec()).unwrap();
    let motion = Motion::new(MotionSettings::default());
    Counter::new(Box::new(motion), TrackerSettings::default(), vec![door], vec![right]).unwrap()
}

/// Crossings of a scene of so many seconds: what is in the room at each time is drawn by `draw`.
fn crossings(seconds: f64, noise: f32, draw: impl Fn(&mut Picture, f32)) -> Vec<(Direction, f64)> {
    let events = events(seconds, noise, draw).into_iter();
    events
        .filter_map(|e| if let Event::Crossing(c) = e { Some((c.direction, c.t_s)) } else { None })
        .collect()
}

fn events(seconds: f64, noise: f32, draw: impl Fn(&mut Picture, f32)) -> Vec<Event> {
    let mut counter = counter();
    let mut events = Vec::new();
    for n in 0..(seconds * FPS) as usize {
        let t = n as f64 / FPS;
        let mut picture = Picture::room();
        draw(&mut picture, t as f32);
        let pixels = picture.taken(n, noise);
        events.extend(counter.step(&Frame::grey(&pixels, WIDTH, HEIGHT, WIDTH).unwrap(), t).unwrap());
    }
    events
}

fn directions(crossings: &[(Direction, f64)]) -> Vec<Direction> {
    crossings.iter().map(|c| c.0).collect()
}

use Direction::{In, Out};

#[test]
fn somebody_walks_through_and_the_time_is_right() {
    let found = crossings(8.0, 4.0, |p, t| p.person(0.2 * (t - 2.0), 0.8, 0.4, 50.0));
    assert_eq!(directions(&found), [In]);
    assert!((found[0].1 - 4.5).abs() < 0.2, "{found:?}");
}

#[test]
fn an_empty_room_with_a_noisy_camera_stays_empty() {
    assert!(events(6.0, 14.0, |_, _| ()).is_empty());
}

#[test]
fn who_turns_back_behind_the_line_counts_once_each_way() {
    let found = crossings(12.0, 4.0, |p, t| {
        let far = 0.15 * (t - 1.0);
        p.person(if far < 0.75 { far } else { 1.5 - far }, 0.8, 0.4, 210.0);
    });
    assert_eq!(directions(&found), [In, Out]);
}

#[test]
fn who_loiters_on_the_line_counts_once() {
    let found = crossings(20.0, 4.0, |p, t| {
        let x = match t {
            t if t < 4.0 => 0.125 * t,
            t if t < 16.0 => 0.5 + 0.012 * (t * 2.0).sin(),
            t => 0.5 + 0.2 * (t - 16.0),
        };
        p.person(x, 0.8, 0.4, 50.0);
    });
    assert_eq!(directions(&found), [In]);
}

#[test]
fn two_who_pass_each_other_on_the_line_are_two() {
    let found = crossings(9.0, 4.0, |p, t| {
        p.person(0.17 * (t - 1.0), 0.75, 0.4, 50.0);
        p.person(1.0 - 0.17 * (t - 1.0), 0.85, 0.45, 215.0);
    });
    let mut found = directions(&found);
    found.sort_unstable();
    assert_eq!(found, [In, Out]);
}

#[test]
fn a_lamp_that_goes_on_and_off_and_slow_dusk_count_nothing_and_hide_nobody() {
    let found = crossings(16.0, 4.0, |p, t| {
        p.person(0.2 * (t - 6.0), 0.8, 0.4, 40.0);
        p.light(if (3.0..5.0).contains(&t) { 1.4 } else { 1.0 - 0.03 * (t - 5.0).max(0.0) });
    });
    assert_eq!(directions(&found), [In]);
}

#[test]
fn a_shadow_that_falls_over_the_line_is_nobody() {
    let found = crossings(8.0, 3.0, |p, t| {
        let x = 0.2 * (t - 1.5);
        p.change(x - 0.1, x + 0.1, 0.3, 0.8, |was| was * 0.75);
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn two_who_walk_beside_each_other_in_shadows_that_touch_are_two() {
    let found = crossings(11.0, 3.0, |p, t| {
        // Far behind, somebody shows first how large people are.
        for (start, y) in [(1.0, 0.85), (4.5, 0.85), (5.25, 0.85)] {
            let x = 0.2 * (t - start);
            p.change(x + 0.03, x + 0.13, y - 0.04, y, |was| was * 0.6);
            p.person(x, y, 0.4, 45.0);
        }
    });
    assert_eq!(directions(&found), [In, In, In]);
}

#[test]
fn who_was_there_at_the_start_leaves_no_ghost_behind() {
    let found = crossings(14.0, 4.0, |p, t| {
        p.person(if t < 1.0 { 0.3 } else { 0.3 + 0.15 * (t - 1.0) }, 0.8, 0.4, 50.0);
        p.person(0.2 * (t - 8.0), 0.8, 0.4, 50.0);
    });
    assert_eq!(directions(&found), [In, In]);
}

#[test]
fn a_zone_knows_how_many_are_in_it_and_never_less_than_none() {
    let events = events(14.0, 4.0, |p, t| {
        p.person(0.2 * (t - 1.0), 0.8, 0.4, 50.0);
        p.person(0.2 * (t - 3.0), 0.8, 0.4, 50.0);
    });
    let people: Vec<usize> = events
        .iter()
        .filter_map(|e| if let Event::Occupancy { people, .. } = e { Some(*people) } else { None })
        .collect();
    assert_eq!(people, [1, 2, 1, 0]);
}

#[test]
fn the_same_frames_give_the_same_events() {
    let run = || {
        events(6.0, 6.0, |p, t| {
            p.person(0.25 * t, 0.8, 0.4, 50.0);
            p.person(1.0 - 0.2 * t, 0.7, 0.3, 200.0);
        })
    };
    assert_eq!(run(), run());
}
