//! Feeds the demo scene to an appsrc, in real time, on the appsrc's own thread.

use super::Scene;
use crate::lock;
use gantry_core::config;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A machine that is late by more frames than this leaves some out, as a camera would; by less, it catches up.
const CATCH_UP: u64 = 2;

/// Ends a feed, wherever it waits.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    pub(crate) fn stop(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Waits until `due`; false when the feed has ended.
    fn wait_until(&self, due: Instant) -> bool {
        let mut stopped = lock(&self.0.0);
        while !*stopped {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.0.1.wait_timeout(stopped, left);
            stopped = woken.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        !*stopped
    }
}

/// Says which frame is next and when. Times are multiples of the frame time from the first, so that nothing drifts.
#[derive(Debug)]
struct Schedule {
    fps: u32,
    next: u64,
}

impl Schedule {
    fn new(fps: u32) -> Self {
        Self { fps: fps.max(1), next: 1 }
    }

    /// The number of the next frame and when it is due, both counted from the first, given the time since that.
    fn next(&mut self, since_first: Duration) -> (u64, Duration) {
        let newest = 1 + (since_first.as_nanos() * u128::from(self.fps) / 1_000_000_000) as u64;
        if newest > self.next + CATCH_UP {
            self.next = newest;
        }
        let number = self.next;
        self.next += 1;
        // Nanoseconds of the whole and not a sum of rounded frame times.
        let due = u128::from(number - 1) * 1_000_000_000 / u128::from(self.fps);
        (number, Duration::from_nanos(due as u64))
    }
}

/// Sets up an appsrc to give the demo scene, one frame each time it is asked.
pub(crate) fn attach(
    appsrc: &gst_app::AppSrc,
    camera: &config::Camera,
    seed: u64,
    people: u32,
    stop: Stop,
) -> Result<(), String> {
    let side = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, camera.width, camera.height)
        .fps(gst::Fraction::new(side(camera.fps), 1))
        .build()
        .map_err(|_| format!("no picture has {}x{}: change width and height", camera.width, camera.height))?;
    let caps = info.to_caps().map_err(|e| e.to_string())?;
    appsrc.set_caps(Some(&caps));
    appsrc.set_format(gst::Format::Time);
    appsrc.set_is_live(true);
    appsrc.set_do_timestamp(true);
    appsrc.set_max_bytes(0);
    appsrc.set_max_buffers(1);
    appsrc.set_property("emit-signals", false);
    let scene = Scene::new(camera.width, camera.height, camera.fps, seed, people);
    let pool = pool(&caps, &scene)?;
    let mut schedule = Schedule::new(camera.fps);
    let mut first: Option<Instant> = None;
    let clock = Clock::default();
    let need_data = move |appsrc: &gst_app::AppSrc, _| {
        let first = *first.get_or_insert_with(Instant::now);
        let (number, due) = schedule.next(first.elapsed());
        if !stop.wait_until(first + due) {
            let _ = appsrc.end_of_stream();
            return;
        }
        let Ok(mut buffer) = pool.acquire_buffer(None) else { return };
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_offset(number);
            if let Ok(mut picture) = buffer.map_writable() {
                scene.render(number, &clock.now(), &mut picture);
            }
        }
        // Refused only while the pipeline is being stopped.
        let _ = appsrc.push_buffer(buffer);
    };
    appsrc.set_callbacks(gst_app::AppSrcCallbacks::builder().need_data(need_data).build());
    Ok(())
}

/// Two buffers go round: one is drawn while the other is encoded.
fn pool(caps: &gst::Caps, scene: &Scene) -> Result<gst::BufferPool, String> {
    let size =
        u32::try_from(scene.size()).map_err(|_| "the picture is too large: reduce width and height")?;
    let pool = gst::BufferPool::new();
    let mut config = pool.config();
    config.set_params(Some(caps), size, 1, 0);
    pool.set_config(config).map_err(|e| e.to_string())?;
    pool.set_active(true).map_err(|e| e.to_string())?;
    Ok(pool)
}

/// The wall clock as text, made anew once a second.
#[derive(Default)]
struct Clock {
    shown: Mutex<(i64, String)>,
}

impl Clock {
    fn now(&self) -> String {
        let now = jiff::Timestamp::now();
        let mut shown = lock(&self.shown);
        if shown.1.is_empty() || shown.0 != now.as_second() {
            let zoned = now.to_zoned(jiff::tz::TimeZone::system());
            *shown = (now.as_second(), zoned.strftime("%H:%M:%S").to_string());
        }
        shown.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_laid_out_as_gstreamer_expects() {
        gst::init().expect("GStreamer");
        for (width, height) in [(640, 480), (641, 481), (18, 17), (1366, 768)] {
            let layout = crate::demo::draw::Layout::new(width as usize, height as usize);
            let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height)
                .build()
                .expect("info");
            assert_eq!(info.size(), layout.size, "{width}x{height}");
            assert_eq!(info.offset(), layout.offset, "{width}x{height}");
            assert_eq!(
                info.stride(),
                [layout.stride[0], layout.stride[1], layout.stride[1]].map(|s| s as i32)
            );
        }
    }

    #[test]
    fn frames_are_due_at_multiples_of_the_frame_time() {
        let mut schedule = Schedule::new(30);
        let mut now = Duration::ZERO;
        for n in 1..=3000 {
            let (number, due) = schedule.next(now);
            assert_eq!(number, n);
            now = now.max(due) + Duration::from_millis(5);
        }
        assert_eq!(schedule.next(now).1, Duration::from_secs(100));
    }

    #[test]
    fn a_small_delay_is_caught_up_and_a_long_one_is_left_out() {
        let mut schedule = Schedule::new(10);
        assert_eq!(schedule.next(Duration::ZERO), (1, Duration::ZERO));
        assert_eq!(schedule.next(Duration::from_millis(250)).0, 2);
        assert_eq!(schedule.next(Duration::from_millis(250)).0, 3);
        assert_eq!(schedule.next(Duration::from_secs(60)), (601, Duration::from_secs(60)));
        assert_eq!(schedule.next(Duration::from_secs(60)).0, 602);
    }
}
