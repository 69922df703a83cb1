//! What the plugin's thread hands to the worker.

use crate::Config;
use crate::counts::{Counts, Stats};
use crate::message::Event;
use gantry_plugin::{Format, Frame};
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Events that may wait for the worker, which is never slow.
const WAITING: usize = 64;

/// The events, for the worker.
pub(crate) type Events = mpsc::Receiver<Event>;

/// What the plugin's thread hands to the worker. Of everything but events only the newest is there.
pub(crate) struct Inbox {
    config: Config,
    state: Mutex<State>,
    events: mpsc::Sender<Event>,
    changed: Notify,
}

struct State {
    frame: Option<Frame>,
    connected: Value,
    fps: Option<f64>,
    analysis: Value,
    counts: Counts,
}

/// What is to be watched and shown now.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) stream: String,
    /// Frames a second, at most; `None`: every one.
    pub(crate) rate: Option<f64>,
    pub(crate) away: bool,
    pub(crate) frame: Option<Frame>,
}

/// What the runtime knows of what is configured here.
pub(crate) struct Known {
    pub(crate) camera: bool,
    pub(crate) analysis: bool,
    /// The first of the lines on which nobody counts.
    pub(crate) uncounted: Option<usize>,
}

impl Inbox {
    pub(crate) fn new(config: &Config) -> (Arc<Self>, Events) {
        let (events, receiver) = mpsc::channel(WAITING);
        let counts = Counts::new(config);
        let state = State { frame: None, connected: Value::Null, fps: None, analysis: Value::Null, counts };
        let inbox = Self { config: config.clone(), state: state.into(), events, changed: Notify::new() };
        (Arc::new(inbox), receiver)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All keys that it wants to know.
    pub(crate) fn keys(&self) -> Vec<String> {
        let config = &self.config;
        let mut keys: Vec<_> = self.lock().counts.keys().map(str::to_owned).collect();
        keys.extend([config.connected_key(), config.fps_key(), config.analysis_key()]);
        keys
    }

    pub(crate) fn frame(&self, frame: Frame) {
        if frame.format() == Format::Jpeg {
            self.lock().frame = Some(frame);
            self.wake();
        }
    }

    pub(crate) fn state(&self, key: &str, value: &Value) {
        let mut state = self.lock();
        if key == self.config.connected_key() {
            state.connected = value.clone();
        } else if key == self.config.fps_key() {
            state.fps = value.as_f64().filter(|fps| *fps > 0.0);
        } else if key == self.config.analysis_key() {
            state.analysis = value.clone();
        } else {
            // These are looked at when it is time for them.
            return state.counts.set(key, value);
        }
        drop(state);
        self.wake();
    }

    /// Whether there was room for it.
    pub(crate) fn event(&self, event: Event) -> bool {
        self.events.try_send(event).is_ok()
    }

    /// Makes the worker look again.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Returns when it is time to look again.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is to be watched and shown now. The frame is taken.
    pub(crate) fn scene(&self) -> Scene {
        let mut state = self.lock();
        let away = state.connected == Value::Bool(false);
        // What was seen before must not be shown when the camera is back.
        let frame = state.frame.take().filter(|_| !away);
        // A detector that does not run draws nothing.
        let analysed = !state.analysis.is_null() && state.analysis["running"] != Value::Bool(false);
        let (stream, rate) = (self.config.stream(analysed), watch_rate(self.config.max_fps, state.fps));
        Scene { stream, rate, away, frame }
    }

    /// The numbers now.
    pub(crate) fn stats(&self) -> Stats {
        self.lock().counts.stats()
    }

    pub(crate) fn known(&self) -> Known {
        let state = self.lock();
        Known {
            camera: !state.connected.is_null(),
            analysis: !state.analysis.is_null(),
            uncounted: state.counts.uncounted().next(),
        }
    }
}

/// The rate at which to watch a camera, or `None` for every frame: a limit near the camera's own rate would only drop
/// frames that come a little early.
fn watch_rate(max_fps: f64, camera_fps: Option<f64>) -> Option<f64> {
    camera_fps.is_none_or(|fps| fps > max_fps * 1.2).then_some(max_fps)
}

#[cfg(test)]
mod tests {
    use super::{Inbox, WAITING, watch_rate};
    use crate::Config;
    use crate::message::Event;
    use serde_json::{Value, json};

    #[test]
    fn the_annotated_stream_is_watched_while_there_is_an_analysis_that_runs() {
        let (inbox, _events) = Inbox::new(&Config::default());
        assert_eq!(inbox.scene().stream, "main/jpeg");
        for (state, stream) in [
            (json!({"detector": "motion", "fps": 10, "running": true}), "main/annotated"),
            (json!({"detector": "onnx", "fps": 10, "running": false}), "main/jpeg"),
            (json!({"detector": "motion"}), "main/annotated"),
            (Value::Null, "main/jpeg"),
        ] {
            inbox.state("analysis/main", &state);
            assert_eq!(inbox.scene().stream, stream, "{state}");
        }
        let (plain, _events) = Inbox::new(&Config { annotate: false, ..Config::default() });
        plain.state("analysis/main", &json!({"running": true}));
        assert_eq!(plain.scene().stream, "main/jpeg");
    }

    #[test]
    fn a_camera_is_away_when_that_is_said_and_not_before() {
        let (inbox, _events) = Inbox::new(&Config::default());
        assert!(!inbox.scene().away && !inbox.known().camera);
        inbox.state("cameras/main/connected", &json!(false));
        assert!(inbox.scene().away && inbox.known().camera);
        inbox.state("cameras/main/connected", &json!(true));
        assert!(!inbox.scene().away);
    }

    #[test]
    fn a_camera_is_watched_in_full_unless_it_is_much_faster_than_wanted() {
        assert_eq!(watch_rate(30.0, Some(30.0)), None);
        assert_eq!(watch_rate(30.0, Some(60.0)), Some(30.0));
        assert_eq!(watch_rate(30.0, None), Some(30.0));
        assert_eq!(watch_rate(10.0, Some(30.0)), Some(10.0));
    }

    #[test]
    fn events_that_nobody_takes_are_bounded() {
        let (inbox, _events) = Inbox::new(&Config::default());
        let taken = (0..WAITING + 5).filter(|_| inbox.event(Event::Started { start_ms: 0 })).count();
        assert_eq!(taken, WAITING);
    }
}
