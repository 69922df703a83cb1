//! Single JPEG pictures: whatever the size, with one encoder.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use gantry_media::{I420View, MediaError, Still};
use support::jpeg_size;

/// A picture with something in it, in rows that are longer than the picture.
struct Picture {
    planes: [Vec<u8>; 3],
    width: u32,
    height: u32,
    strides: [usize; 2],
}

impl Picture {
    fn new(width: u32, height: u32) -> Self {
        let strides = [width as usize + 5, width.div_ceil(2) as usize + 3];
        let plane = |stride: usize, rows: usize, seed: usize| {
            (0..stride * rows).map(|n| ((n * 7 + seed) % 200) as u8 + 20).collect::<Vec<u8>>()
        };
        let (rows, half) = (height as usize, height.div_ceil(2) as usize);
        let planes = [plane(strides[0], rows, 0), plane(strides[1], half, 50), plane(strides[1], half, 90)];
        Self { planes, width, height, strides }
    }

    fn view(&self) -> I420View<'_> {
        let planes = [0, 1, 2].map(|n| self.planes[n].as_slice());
        I420View { planes, width: self.width, height: self.height, strides: self.strides }
    }
}

#[test]
fn pictures_of_any_size_follow_one_another() {
    let mut still = Still::new(85).unwrap();
    for (width, height) in [(64, 48), (64, 48), (65, 49), (1, 1), (17, 300), (640, 480), (64, 48)] {
        let jpeg = still.encode(&Picture::new(width, height).view()).unwrap();
        assert_eq!(jpeg_size(&jpeg), (width, height));
    }
}

#[test]
fn the_padding_of_rows_is_not_in_the_picture() {
    let mut still = Still::new(90).unwrap();
    let mut picture = Picture::new(33, 21);
    let before = still.encode(&picture.view()).unwrap();
    for row in picture.planes[0].chunks_mut(picture.strides[0]) {
        row[33..].fill(255);
    }
    assert_eq!(still.encode(&picture.view()).unwrap(), before);
}

#[test]
fn the_quality_can_change_between_two_pictures() {
    let picture = Picture::new(320, 240);
    let mut still = Still::new(95).unwrap();
    let fine = still.encode(&picture.view()).unwrap();
    still.set_quality(10);
    let coarse = still.encode(&picture.view()).unwrap();
    assert!(coarse.len() * 2 < fine.len(), "{} {}", coarse.len(), fine.len());
    assert_eq!(coarse, Still::new(10).unwrap().encode(&picture.view()).unwrap());
    still.set_quality(0);
    assert_eq!(jpeg_size(&still.encode(&picture.view()).unwrap()), (320, 240));
}

#[test]
fn a_picture_that_is_too_short_is_refused_and_the_next_one_is_encoded() {
    let mut still = Still::new(85).unwrap();
    let whole = Picture::new(64, 48);
    for plane in 0..3 {
        let mut short = Picture::new(64, 48);
        let stride = short.strides[plane.min(1)];
        let len = short.planes[plane].len();
        short.planes[plane].truncate(len - stride);
        let error = still.encode(&short.view()).expect_err("too short");
        assert!(
            matches!(&error, MediaError::Still(reason) if reason.contains(&format!("plane {plane}"))),
            "{error}"
        );
    }
    let none = I420View { width: 0, ..whole.view() };
    assert!(still.encode(&none).is_err());
    still.encode(&whole.view()).unwrap();
}

#[test]
fn an_encoder_may_move_to_another_thread() {
    let mut still = Still::new(85).unwrap();
    let picture = Picture::new(64, 48);
    let jpeg = std::thread::spawn(move || still.encode(&picture.view()).unwrap()).join().unwrap();
    assert_eq!(jpeg_size(&jpeg), (64, 48));
}
