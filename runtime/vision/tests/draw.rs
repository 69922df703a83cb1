//! What is drawn into pictures, pixel by pixel.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

use gantry_vision::{Canvas, Line, LineMark, Overlay, PersonMark, Point, Rect, Zone, ZoneMark, annotate};
use proptest::prelude::*;

/// Grey of one level, so that what was drawn is what differs.
const GREY: u8 = 77;

struct Picture {
    planes: [Vec<u8>; 3],
    width: usize,
    height: usize,
    strides: [usize; 2],
}

impl Picture {
    /// With `padding` bytes after each row.
    fn new(width: usize, height: usize, padding: usize) -> Self {
        let (w, h) = (width.div_ceil(2), height.div_ceil(2));
        let strides = [width + padding, w + padding];
        let chroma = vec![128; strides[1] * h];
        Self { planes: [vec![GREY; strides[0] * height], chroma.clone(), chroma], width, height, strides }
    }

    fn annotated(mut self, overlay: &Overlay) -> Self {
        let [y, u, v] = &mut self.planes;
        let mut canvas = Canvas::i420([y, u, v], self.width, self.height, self.strides).unwrap();
        annotate(&mut canvas, overlay);
        self
    }

    fn luma(&self, x: usize, y: usize) -> u8 {
        self.planes[0][y * self.strides[0] + x]
    }

    fn colour(&self, x: usize, y: usize) -> (u8, u8) {
        let at = y / 2 * self.strides[1] + x / 2;
        (self.planes[1][at], self.planes[2][at])
    }

    fn is_touched(&self, x: usize, y: usize) -> bool {
        self.luma(x, y) != GREY || self.colour(x, y) != (128, 128)
    }

    fn touched(&self) -> Vec<(usize, usize)> {
        let places = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        places.filter(|(x, y)| self.is_touched(*x, *y)).collect()
    }
}

fn person(id: u64, rect: Rect) -> PersonMark {
    PersonMark { id, rect, hidden: false }
}

#[test]
fn a_person_is_a_coloured_box_with_a_number_above_and_nothing_else_is_touched() {
    let overlay = Overlay { people: vec![person(7, Rect::new(0.25, 0.5, 0.25, 0.25))], ..Overlay::default() };
    let picture = Picture::new(320, 240, 3).annotated(&overlay);
    // The box is 80 to 160 across and 120 to 180 down, two pixels thick.
    for (x, y) in [(80, 120), (81, 150), (159, 179), (120, 179), (158, 130), (100, 121)] {
        assert_eq!((picture.luma(x, y), picture.colour(x, y)), (170, (60, 60)), "{x} {y}");
    }
    for (x, y) in picture.touched() {
        let is_inside = (82..158).contains(&x) && (122..178).contains(&y);
        let is_box = (80..160).contains(&x) && (120..180).contains(&y) && !is_inside;
        let is_label = (80..90).contains(&x) && (106..120).contains(&y);
        assert!(is_box || is_label, "{x} {y}");
    }
    let [luma, u, _] = &picture.planes;
    assert!(luma.chunks(323).all(|row| row[320..].iter().all(|v| *v == GREY)));
    assert!(u.chunks(163).all(|row| row[160..].iter().all(|v| *v == 128)));
}

#[test]
fn letters_are_legible() {
    let overlay = Overlay { text: vec!["In 42".into()], ..Overlay::default() };
    let picture = Picture::new(320, 240, 0).annotated(&overlay);
    let rows: Vec<String> = (0..14)
        .map(|y| (0..34).map(|x| if picture.luma(x, y) > 200 { '#' } else { '.' }).collect())
        .collect();
    assert_eq!(rows, GOLDEN, "\n{}", rows.join("\n"));
    // On a dark ground that ends with the text.
    assert_eq!((picture.luma(0, 0), picture.luma(33, 13)), (32, 32));
    assert!(!picture.is_touched(34, 0) && !picture.is_touched(0, 14));
}

const GOLDEN: [&str; 14] = [
    "..................................",
    "..................................",
    "..................................",
    "...###.................#...###....",
    "....#.................##..#...#...",
    "....#...#.##.........#.#......#...",
    "....#...##..#.......#..#....##....",
    "....#...#...#.......#####..#......",
    "....#...#...#..........#..#.......",
    "...###..#...#..........#..#####...",
    "..................................",
    "..................................",
    "..................................",
    "..................................",
];

#[test]
fn letters_and_strokes_grow_with_the_picture() {
    let overlay = Overlay {
        text: vec!["8".into()],
        people: vec![person(1, Rect::new(0.5, 0.5, 0.25, 0.25))],
        ..Overlay::default()
    };
    let measure = |width: usize, height: usize| {
        let picture = Picture::new(width, height, 0).annotated(&overlay);
        let ground = (0..height).take_while(|y| picture.is_touched(0, *y)).count();
        let stroke = (width / 2..width).take_while(|x| picture.is_touched(*x, height * 5 / 8)).count();
        (ground, stroke)
    };
    assert_eq!(measure(320, 240), (14, 2));
    assert_eq!(measure(640, 480), (18, 2));
    assert_eq!(measure(1920, 1080), (38, 4));
}

#[test]
fn the_arrow_of_a_line_points_to_where_one_goes_in() {
    let arrow = |from: (f32, f32), to: (f32, f32)| {
        let line = Line::new("d", Point::new(from.0, from.1), Point::new(to.0, to.1)).unwrap();
        let overlay =
            Overlay { lines: vec![LineMark { line, count_in: 3, count_out: 2 }], ..Overlay::default() };
        let picture = Picture::new(640, 480, 0).annotated(&overlay);
        let is_drawn = |x: i32, y: i32| {
            picture.is_touched((320 + x).unsigned_abs() as usize, (240 + y).unsigned_abs() as usize)
        };
        // An arrow is short and slim; the label on the other side is long.
        ["right", "left", "down", "up"].into_iter().zip([(1, 0), (-1, 0), (0, 1), (0, -1)]).find_map(
            |(name, (x, y))| {
                let is_short = !is_drawn(30 * x, 30 * y);
                let is_slim = !is_drawn(14 * x + 20 * y, 14 * y + 20 * x);
                let is_line = !is_drawn(14 * x, 14 * y);
                (is_short && is_slim && !is_line).then_some(name)
            },
        )
    };
    assert_eq!(arrow((0.5, 0.1), (0.5, 0.9)), Some("right"));
    assert_eq!(arrow((0.5, 0.9), (0.5, 0.1)), Some("left"));
    assert_eq!(arrow((0.1, 0.5), (0.9, 0.5)), Some("up"));
    assert_eq!(arrow((0.9, 0.5), (0.1, 0.5)), Some("down"));
}

#[test]
fn counts_stand_beside_their_line_and_people_of_a_zone_in_it() {
    let line = Line::new("door", Point::new(0.5, 0.1), Point::new(0.5, 0.9)).unwrap();
    let corners = [(0.6, 0.6), (0.95, 0.6), (0.95, 0.95), (0.6, 0.95)];
    let zone = Zone::new("hall", corners.map(|(x, y)| Point::new(x, y)).to_vec()).unwrap();
    let overlay = Overlay {
        lines: vec![LineMark { line, count_in: 3, count_out: 2 }],
        zones: vec![ZoneMark { zone, people: 4 }],
        ..Overlay::default()
    };
    let picture = Picture::new(640, 480, 0).annotated(&overlay);
    // "door in 3 out 2": 15 letters of 7 pixels, the margin, and one to be even; left of the line, which counts to the right as in.
    let label = (0..316).filter(|x| picture.is_touched(*x, 240)).count();
    assert_eq!(label, 110);
    let dark = |x: std::ops::Range<usize>, y: std::ops::Range<usize>| {
        y.flat_map(|y| x.clone().map(move |x| (x, y)))
            .any(|(x, y)| picture.luma(x, y) == 235 || picture.luma(x, y) == 16)
    };
    assert!(dark(200..316, 230..250), "the counts have letters");
    assert!(dark(386..450, 290..310), "the zone has letters");
    assert!(picture.is_touched(500, 288) && picture.is_touched(607, 400) && !picture.is_touched(500, 400));
}

#[test]
fn who_is_hidden_is_dashed_and_dimmer_and_a_face_is_thin() {
    let rect = Rect::new(0.25, 0.25, 0.5, 0.5);
    let hidden = Overlay { people: vec![PersonMark { id: 1, rect, hidden: true }], ..Overlay::default() };
    let picture = Picture::new(320, 240, 0).annotated(&hidden);
    let side: Vec<bool> = (60..180).map(|y| picture.is_touched(239, y)).collect();
    let edges = side.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(edges >= 10 && side.iter().filter(|t| **t).count() * 3 < side.len() * 2, "{side:?}");
    assert!(picture.luma(239, 61) < 120);
    let face = Overlay { faces: vec![rect], ..Overlay::default() };
    let picture = Picture::new(320, 240, 0).annotated(&face);
    assert_eq!((picture.luma(80, 100), picture.luma(81, 100)), (215, GREY));
}

#[test]
fn what_is_no_number_or_outside_is_not_drawn() {
    let odd = [f32::NAN, f32::INFINITY, -1e30, 9.0];
    let people = odd.iter().map(|x| person(1, Rect::new(*x, 0.1, 0.2, 0.2))).collect();
    let faces = odd.iter().map(|x| Rect::new(0.1, 0.1, 0.2, -x.abs())).collect();
    let picture = Picture::new(64, 48, 0).annotated(&Overlay { people, faces, ..Overlay::default() });
    assert_eq!(picture.touched(), []);
}

#[test]
fn planes_that_are_too_small_are_refused_in_words() {
    let (mut y, mut u, mut v) = ([0; 12], [0; 4], [0; 3]);
    let error = Canvas::i420([&mut y, &mut u, &mut v], 4, 3, [4, 2]).unwrap_err().to_string();
    assert_eq!(error, "a 4x3 picture needs 4 bytes in its V plane and has 3: give whole frames");
}

fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => -0.5f32..1.5,
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -0.0]),
    ]
}

fn rects() -> impl Strategy<Value = Vec<Rect>> {
    let rect = (number(), number(), number(), number()).prop_map(|(x, y, w, h)| Rect::new(x, y, w, h));
    prop::collection::vec(rect, 0..6)
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    prop::collection::vec((0.0f32..=1.0, 0.0f32..=1.0).prop_map(|(x, y)| Point::new(x, y)), 2..9)
}

proptest! {
    #[test]
    fn any_overlay_on_any_picture_stays_in_the_picture(
        size in (1usize..90, 1usize..90), padding in 0usize..5,
        boxes in rects(), faces in rects(), points in points(), name in ".{0,40}",
        id in any::<u64>(), hidden in any::<bool>(),
    ) {
        let (width, height) = size;
        let line = Line::new(name.clone(), points[0], points[1]).ok();
        let zone = Zone::new(name.clone(), points).ok();
        let overlay = Overlay {
            lines: line.map(|line| LineMark { line, count_in: id, count_out: 0 }).into_iter().collect(),
            zones: zone.map(|zone| ZoneMark { zone, people: 1 }).into_iter().collect(),
            people: boxes.iter().map(|rect| PersonMark { id, rect: *rect, hidden }).collect(),
            faces,
            text: vec![name; 9],
        };
        let picture = Picture::new(width, height, padding).annotated(&overlay);
        let [luma, u, v] = &picture.planes;
        prop_assert!(luma.chunks(width + padding).all(|row| row[width..].iter().all(|p| *p == GREY)));
        for plane in [u, v] {
            let (row, used) = (picture.strides[1], width.div_ceil(2));
            prop_assert!(plane.chunks(row).all(|row| row[used..].iter().all(|p| *p == 128)));
        }
    }
}
