//! The demo scene as a film.

use super::{FilmFormat, FilmFrame, FilmStop, Shot, Wanted};
use crate::demo::Scene;
use crate::demo::draw::Layout;
use gantry_core::config;
use std::time::{Duration, Instant};

/// So often somebody who waits for a picture looks whether the film has been stopped.
const LOOK: Duration = Duration::from_millis(50);
/// The largest side of a scene, in pixels.
const LARGEST: u32 = 8192;

/// Draws the demo scene, picture by picture. Time is the scene's own, so that what it shows is what its timetable says.
pub(super) struct Drawn {
    scene: Scene,
    layout: Layout,
    fps: u32,
    is_grey: bool,
    number: u64,
    begun: Option<Instant>,
    realtime: bool,
}

impl Drawn {
    pub(super) fn new(seed: u64, people: u32, wanted: Wanted) -> Result<Self, String> {
        let camera = config::Camera::default();
        let (width, height, is_grey) = match wanted.format {
            FilmFormat::Grey { width, height } => (width, height, true),
            FilmFormat::I420 { longest } => {
                let part = longest.map_or(1.0, |n| f64::from(n) / f64::from(camera.width.max(camera.height)));
                let side = |n: u32| (f64::from(n) * part.min(1.0)).round().max(2.0) as u32;
                (side(camera.width), side(camera.height), false)
            }
        };
        if !(2..=LARGEST).contains(&width) || !(2..=LARGEST).contains(&height) {
            return Err(format!("no scene has {width}x{height}: choose a size from 2 to {LARGEST}"));
        }
        let scene = Scene::new(width, height, camera.fps, seed, people);
        let layout = Layout::new(width as usize, height as usize);
        Ok(Self {
            scene,
            layout,
            fps: camera.fps,
            is_grey,
            number: 0,
            begun: None,
            realtime: wanted.realtime,
        })
    }

    pub(super) fn rate(&self) -> f64 {
        f64::from(self.fps)
    }

    /// The next picture's time and number; `None` when the film has been stopped.
    pub(super) fn next(&mut self, stop: &FilmStop) -> Option<(f64, Shot)> {
        self.number += 1;
        let time = self.scene.time(self.number);
        if self.realtime {
            let due = *self.begun.get_or_insert_with(Instant::now) + time;
            while !stop.is_set() && Instant::now() < due {
                std::thread::sleep(due.saturating_duration_since(Instant::now()).min(LOOK));
            }
        }
        (!stop.is_set()).then(|| (time.as_secs_f64(), Shot::Number(self.number)))
    }

    pub(super) fn frame(&self, number: u64, t_s: f64) -> FilmFrame {
        let mut data = vec![0; self.scene.size()];
        self.scene.render(number, &format!("{t_s:08.2}"), &mut data);
        let Layout { width, height, stride, offset, .. } = self.layout;
        FilmFrame {
            t_s,
            width: width as u32,
            height: height as u32,
            data: data.into(),
            is_grey: self.is_grey,
            offsets: offset,
            strides: stride,
        }
    }
}
