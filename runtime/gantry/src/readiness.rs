//! Whether the gateway does all that its configuration asks for, and what does not if it does not.

use gantry_core::health::Level;
use serde::Serialize;

/// How a camera does.
#[derive(Debug, Clone)]
pub(crate) struct Camera {
    /// Its name.
    pub(crate) name: String,
    /// Whether frames flow.
    pub(crate) connected: bool,
    /// Its last report, if it has made one.
    pub(crate) health: Option<(Level, String)>,
}

/// How a plugin instance does.
#[derive(Debug, Clone)]
pub(crate) struct Plugin {
    /// The instance's name.
    pub(crate) id: String,
    /// `running` or what it does instead.
    pub(crate) state: String,
    /// Its last report, if it has made one.
    pub(crate) health: Option<(Level, String)>,
}

/// A part that does not do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// `camera/main`, `plugin/robocar`.
    pub(crate) part: String,
    /// What is the matter.
    pub(crate) message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.part, self.message)
    }
}

/// Every part that does not do its work. What works only in part (`degraded`) does.
pub(crate) fn problems(cameras: &[Camera], plugins: &[Plugin]) -> Vec<Problem> {
    let failed = |health: &Option<(Level, String)>| match health {
        Some((Level::Failed, message)) => Some(message.clone()),
        _ => None,
    };
    let of_camera = |camera: &Camera| {
        let message = match (failed(&camera.health), camera.connected) {
            (Some(message), _) => message,
            (None, true) => return None,
            (None, false) => "no frames yet".to_owned(),
        };
        Some(Problem { part: format!("camera/{}", camera.name), message })
    };
    let of_plugin = |plugin: &Plugin| {
        let message = match (failed(&plugin.health), plugin.state.as_str()) {
            (None, "running") => return None,
            (Some(message), "running") => message,
            (Some(message), state) => format!("{state}: {message}"),
            (None, state) => state.to_owned(),
        };
        Some(Problem { part: format!("plugin/{}", plugin.id), message })
    };
    cameras.iter().filter_map(of_camera).chain(plugins.iter().filter_map(of_plugin)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(connected: bool, health: Option<(Level, &str)>) -> Camera {
        Camera {
            name: "main".into(),
            connected,
            health: health.map(|(level, text)| (level, text.to_owned())),
        }
    }

    fn plugin(state: &str, health: Option<(Level, &str)>) -> Plugin {
        let health = health.map(|(level, text)| (level, text.to_owned()));
        Plugin { id: "robocar".into(), state: state.into(), health }
    }

    fn lines(cameras: &[Camera], plugins: &[Plugin]) -> Vec<String> {
        problems(cameras, plugins).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn ready_is_when_frames_flow_and_plugins_run_even_if_some_only_in_part() {
        assert!(lines(&[], &[]).is_empty());
        let cameras = [camera(true, None), camera(true, Some((Level::Degraded, "12 of 30 fps")))];
        let plugins = [plugin("running", None), plugin("running", Some((Level::Degraded, "uplink slow")))];
        assert!(lines(&cameras, &plugins).is_empty());
    }

    #[test]
    fn each_part_that_does_not_work_says_why() {
        let cameras =
            [camera(false, None), camera(false, Some((Level::Failed, "no /dev/video0, retried in 4 s")))];
        let plugins = [
            plugin("starting", None),
            plugin("running", Some((Level::Failed, "port 3000 is in use"))),
            plugin("backoff", Some((Level::Failed, "panicked in on_frame: oops"))),
            plugin("refused", None),
        ];
        assert_eq!(
            lines(&cameras, &plugins),
            [
                "camera/main: no frames yet",
                "camera/main: no /dev/video0, retried in 4 s",
                "plugin/robocar: starting",
                "plugin/robocar: port 3000 is in use",
                "plugin/robocar: backoff: panicked in on_frame: oops",
                "plugin/robocar: refused",
            ]
        );
    }
}
