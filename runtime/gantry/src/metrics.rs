//! What `/metrics` answers: everything recorded through the `metrics` facade, and the process itself.

use gantry_analysis::AnalysisStatus;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rustix::time::{ClockId, clock_gettime};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// The installed recorder.
#[derive(Clone)]
pub(crate) struct Metrics {
    recorder: PrometheusHandle,
    started_unix_s: f64,
}

/// Takes over what an analysis has counted.
pub(crate) fn analysis(status: &AnalysisStatus) {
    let labels = [("camera", status.camera.clone()), ("detector", status.detector.to_owned())];
    metrics::counter!("gantry_analysis_frames_total", &labels).absolute(status.frames);
    metrics::counter!("gantry_analysis_skipped_total", &labels).absolute(status.skipped);
    metrics::gauge!("gantry_analysis_busy_seconds", &labels).set(status.busy.as_secs_f64());
    metrics::gauge!("gantry_analysis_people", &labels).set(status.people as f64);
}

/// Upper bounds of histograms, in their own unit (seconds mostly): from half a millisecond, which is a frame handed on
/// quickly, to the ten seconds after which nobody waits.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Metrics {
    /// Installs the recorder of the process.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?;
        metrics::describe_counter!("gantry_analysis_frames_total", "Pictures that were looked at.");
        metrics::describe_counter!(
            "gantry_analysis_skipped_total",
            "Pictures that were not looked at: a newer one came."
        );
        metrics::describe_gauge!("gantry_analysis_busy_seconds", "Time spent looking, in seconds.");
        metrics::describe_gauge!("gantry_analysis_people", "People who are followed now.");
        metrics::describe_counter!(
            "gantry_looks_total",
            "Single pictures before a detector, by what became of them."
        );
        metrics::describe_gauge!(
            "gantry_looks_busy_seconds",
            "Time spent looking at single pictures, in seconds."
        );
        metrics::describe_counter!("gantry_crossings_total", "People who crossed a line.");
        metrics::describe_counter!(
            "gantry_config_reloads_total",
            "Changed configurations, applied or refused."
        );
        for result in ["applied", "refused"] {
            metrics::counter!("gantry_config_reloads_total", "result" => result).absolute(0);
        }
        let started_unix_s =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        Ok(Self { recorder, started_unix_s })
    }

    /// Lets the recorder sort what it has collected; without it, histograms that nobody scrapes would grow.
    pub(crate) fn upkeep(&self) {
        self.recorder.run_upkeep();
    }

    /// The text of Prometheus' exposition format.
    pub(crate) fn render(&self) -> String {
        let mut text = self.recorder.render();
        let mut one = |name: &str, kind: &str, help: &str, value: Option<f64>| {
            if let Some(value) = value {
                // Writing to a string does not fail.
                let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
            }
        };
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = |name| status_number(&status, name).map(|kib| kib * 1024.0);
        one(
            "process_cpu_seconds_total",
            "counter",
            "User and system time spent, in seconds.",
            Some(cpu_seconds()),
        );
        one("process_resident_memory_bytes", "gauge", "Memory in use, in bytes.", kib("VmRSS"));
        one("process_virtual_memory_bytes", "gauge", "Address space in use, in bytes.", kib("VmSize"));
        one("process_threads", "gauge", "Threads.", status_number(&status, "Threads"));
        one("process_open_fds", "gauge", "Open file descriptors.", open_files());
        one(
            "process_start_time_seconds",
            "gauge",
            "Start, in seconds since 1970.",
            Some(self.started_unix_s),
        );
        let version = env!("CARGO_PKG_VERSION");
        let _ = write!(
            text,
            "# HELP gantry_build_info The version that runs.\n# TYPE gantry_build_info gauge\n\
             gantry_build_info{{version=\"{version}\"}} 1\n"
        );
        text
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The number of a line such as `VmRSS:     1234 kB`.
fn status_number(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_files() -> Option<f64> {
    // The listing itself holds one open.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_a_status_file() {
        let status = "Name:\tgantry\nVmSize:\t  204800 kB\nVmRSS:\t   20480 kB\nThreads:\t7\n";
        assert_eq!(status_number(status, "VmRSS"), Some(20480.0));
        assert_eq!(status_number(status, "Threads"), Some(7.0));
        assert_eq!(status_number(status, "Vm"), None);
    }

    #[test]
    fn this_process_has_used_time_and_has_files_open() {
        assert!(cpu_seconds() > 0.0);
        assert!(open_files().is_some_and(|files| files >= 3.0));
    }
}
