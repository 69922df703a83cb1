//! Where each camera is in the picture of a mix, and when its next picture is due. Pure.

use std::time::Duration;

/// The most cameras of a mix.
pub(crate) const MAX_CAMERAS: usize = 4;
/// A mix whose cameras give nothing shows what it has this often.
const SILENT: Duration = Duration::from_millis(200);

/// What is shown beside the main camera: the next one of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pip {
    #[default]
    Off,
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
    SideBySide,
}

impl Pip {
    pub(crate) const NAMES: [(&str, Self); 6] = [
        ("off", Self::Off),
        ("top-left", Self::TopLeft),
        ("top-right", Self::TopRight),
        ("bottom-left", Self::BottomLeft),
        ("bottom-right", Self::BottomRight),
        ("side-by-side", Self::SideBySide),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, pip)| *pip)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, pip)| *pip == self).map_or("off", |(name, _)| *name)
    }
}

/// Where a camera is shown, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) width: i32,
    pub(crate) height: i32,
    /// What is higher covers what is lower.
    pub(crate) z: u32,
}

/// The place of each of `cameras` cameras in a picture; `None` is not shown.
pub(crate) fn places(width: u32, height: u32, cameras: usize, main: usize, pip: Pip) -> Vec<Option<Place>> {
    let (width, height) = (width as i32, height as i32);
    let mut places = vec![None; cameras];
    let Some(last) = cameras.checked_sub(1) else { return places };
    let main = main.min(last);
    let second = (main + 1) % cameras;
    let whole = Place { x: 0, y: 0, width, height, z: 0 };
    if pip == Pip::SideBySide && second != main {
        let half = even(width / 2);
        places[main] = Some(Place { width: half, ..whole });
        places[second] = Some(Place { x: half, width: width - half, ..whole });
        return places;
    }
    places[main] = Some(whole);
    if pip != Pip::Off && second != main {
        // A quarter of each side, a little away from the corner; chroma has half the pixels, so all of it is even.
        let (small_width, small_height) = (even(width / 4).max(2), even(height / 4).max(2));
        let margin = even(width.min(height) / 40);
        let (right, bottom) = (even(width - small_width - margin), even(height - small_height - margin));
        let x = if matches!(pip, Pip::TopLeft | Pip::BottomLeft) { margin } else { right };
        let y = if matches!(pip, Pip::TopLeft | Pip::TopRight) { margin } else { bottom };
        places[second] = Some(Place { x, y, width: small_width, height: small_height, z: 1 });
    }
    places
}

fn even(n: i32) -> i32 {
    n & !1
}

/// What has come since the last picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fresh {
    /// From the main camera.
    pub(crate) main: bool,
    /// From any that is shown.
    pub(crate) any: bool,
}

/// How long to wait for the next picture if nothing else comes. The main camera gives the pace; the other one is
/// followed when the main one is slow; and nobody waits for cameras that give nothing. `since` is the time since the last
/// picture, or since somebody began to watch when there was none.
pub(crate) fn due(fresh: Fresh, since: Duration, is_first: bool, interval: Duration) -> Duration {
    let after = match fresh {
        Fresh { main: true, .. } if is_first => Duration::ZERO,
        Fresh { main: true, .. } => interval / 2,
        Fresh { any: true, .. } if !is_first => interval * 5 / 4,
        _ => SILENT.max(interval),
    };
    after.saturating_sub(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn only_the_main_camera_is_shown_without_picture_in_picture() {
        let places = places(640, 480, 3, 1, Pip::Off);
        assert_eq!(places, [None, Some(Place { x: 0, y: 0, width: 640, height: 480, z: 0 }), None]);
    }

    #[test]
    fn the_next_camera_is_small_in_the_corner_that_was_chosen() {
        for (pip, x, y) in [
            (Pip::TopLeft, 12, 12),
            (Pip::TopRight, 468, 12),
            (Pip::BottomLeft, 12, 348),
            (Pip::BottomRight, 468, 348),
        ] {
            let places = places(640, 480, 2, 1, pip);
            assert_eq!(places[0], Some(Place { x, y, width: 160, height: 120, z: 1 }), "{pip:?}");
            assert_eq!(places[1].expect("shown").z, 0);
        }
        let halves = places(640, 480, 2, 0, Pip::SideBySide);
        assert_eq!(halves[1], Some(Place { x: 320, y: 0, width: 320, height: 480, z: 0 }));
    }

    proptest::proptest! {
        #[test]
        fn every_place_is_in_the_picture(
            width in 16u32..8192, height in 16u32..8192, cameras in 2usize..=4, main in 0usize..9, pip in 0usize..6
        ) {
            let places = places(width, height, cameras, main, Pip::NAMES[pip].1);
            let shown: Vec<_> = places.into_iter().flatten().collect();
            proptest::prop_assert_eq!(shown.len(), if pip == 0 { 1 } else { 2 });
            for place in shown {
                proptest::prop_assert!(place.x >= 0 && place.y >= 0 && place.width > 0 && place.height > 0);
                proptest::prop_assert!(place.x + place.width <= width as i32);
                proptest::prop_assert!(place.y + place.height <= height as i32);
                proptest::prop_assert!(place.x % 2 == 0 && place.y % 2 == 0);
            }
        }
    }

    #[test]
    fn the_main_camera_gives_the_pace_and_nobody_waits_for_one_that_is_silent() {
        let both = Fresh { main: true, any: true };
        let other = Fresh { main: false, any: true };
        let none = Fresh { main: false, any: false };
        assert_eq!(due(both, MS(33), false, MS(33)), MS(0));
        assert_eq!(due(both, MS(5), false, MS(40)), MS(15));
        assert_eq!(due(other, MS(10), false, MS(40)), MS(40));
        assert_eq!(due(other, MS(50), false, MS(40)), MS(0));
        assert_eq!(due(none, MS(150), false, MS(40)), MS(50));
        assert_eq!(due(both, MS(0), true, MS(40)), MS(0));
        assert_eq!(due(other, MS(0), true, MS(40)), MS(200));
    }

    #[test]
    fn names_are_read_and_shown() {
        for (name, pip) in Pip::NAMES {
            assert_eq!((Pip::named(name), pip.name()), (Some(pip), name));
        }
        assert_eq!(Pip::named("middle"), None);
    }
}
