//! How the gateway and its parts do, as records: what an operator far away, or a fleet, wants to know later.
//!
//! A part that begins or ceases to do its work is a record of its own; besides there is one of the whole gateway and its machine
//! at every interval.

use gantry_core::health::{Level, Report};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a part must do the same before it is written down: what starts or is tried again is no news.
const HOLD: Duration = Duration::from_secs(3);

/// What has been written down.
pub(crate) struct Vitals {
    parts: BTreeMap<String, Part>,
    noted: Instant,
    ticks: Option<Ticks>,
    lost: Lost,
}

/// The parts whose last record was refused: it is made again.
#[derive(Clone, Default)]
pub(crate) struct Lost(Arc<Mutex<BTreeSet<String>>>);

impl Lost {
    /// This record was not kept.
    pub(crate) fn add(&self, component: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(component);
    }
}

struct Part {
    /// As it was written down; what was never written down was well.
    noted: Level,
    /// As it was written down before.
    before: Level,
    now: Level,
    since: Instant,
}

impl Vitals {
    pub(crate) fn new(now: Instant) -> Self {
        Self { parts: BTreeMap::new(), noted: now, ticks: None, lost: Lost::default() }
    }

    /// Where it is told that a record was not kept.
    pub(crate) fn lost(&self) -> Lost {
        self.lost.clone()
    }

    /// What is to be written down now; with an interval of 0 only changes are.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        interval: Duration,
        parts: &BTreeMap<String, Report>,
        machine: impl FnOnce() -> Machine,
    ) -> Vec<Value> {
        let mut records = Vec::new();
        for (name, report) in parts {
            let level = report.level;
            let part = Part { noted: Level::Ok, before: Level::Ok, now: level, since: now };
            self.parts.entry(name.clone()).or_insert(part);
        }
        for name in std::mem::take(&mut *self.lost.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            if let Some(part) = self.parts.get_mut(&name) {
                // Not at once: there may be no room for long.
                (part.noted, part.since) = (part.before, now);
            }
        }
        for (name, part) in &mut self.parts {
            let (level, message) = match parts.get(name) {
                Some(report) => (report.level, report.message.as_str()),
                // What nobody speaks of any more is well, or is no more.
                None => (Level::Ok, "nothing is the matter any more"),
            };
            if part.now != level {
                (part.now, part.since) = (level, now);
            }
            if level != part.noted && now.duration_since(part.since) >= HOLD {
                (part.before, part.noted) = (part.noted, level);
                records.push(json!({ "component": name, "status": status(level), "message": message }));
            }
        }
        // What was written down of one that is gone may still be lost.
        let is_over = |part: &Part| part.noted == Level::Ok && part.before == Level::Ok;
        self.parts.retain(|name, part| parts.contains_key(name) || !is_over(part));
        if !interval.is_zero() && now.duration_since(self.noted) >= interval {
            self.noted = now;
            let machine = machine();
            let worst = parts.values().map(|report| report.level).max().unwrap_or(Level::Ok);
            let said: Vec<_> = parts
                .iter()
                .filter(|(_, report)| report.level != Level::Ok)
                .map(|(name, report)| format!("{name}: {}", report.message))
                .collect();
            let message = if said.is_empty() { "everything works".to_owned() } else { said.join("; ") };
            let cpu = machine.ticks.zip(self.ticks).and_then(|(now, before)| now.busy_since(before));
            self.ticks = machine.ticks;
            records.push(json!({
                "component": "gateway", "status": status(worst), "message": message,
                "details": {
                    "cpu_usage": cpu.map(rounded),
                    "memory_usage": machine.memory.map(rounded),
                    "disk_usage": machine.disk.map(rounded),
                },
            }));
        }
        records
    }
}

/// The words of health checks that cameras send.
fn status(level: Level) -> &'static str {
    match level {
        Level::Ok => "healthy",
        Level::Degraded => "warning",
        Level::Failed => "error",
    }
}

fn rounded(percent: f64) -> f64 {
    (percent * 10.0).round() / 10.0
}

/// What the machine is busy with. What cannot be read is missing.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Machine {
    ticks: Option<Ticks>,
    /// Memory in use, in percent.
    memory: Option<f64>,
    /// Of the disk on which records are, in percent.
    disk: Option<f64>,
}

impl Machine {
    pub(crate) fn read(state_dir: &Path) -> Self {
        let file = |path| std::fs::read_to_string(path).unwrap_or_default();
        let disk = rustix::fs::statvfs(state_dir).ok().and_then(|stat| {
            let (all, free) = (stat.f_blocks as f64, stat.f_bfree as f64);
            (all > 0.0).then(|| (all - free) / all * 100.0)
        });
        Self { ticks: Ticks::of(&file("/proc/stat")), memory: memory(&file("/proc/meminfo")), disk }
    }
}

/// The time of all processors since the machine's start, in the kernel's own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Ticks {
    fn of(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user nice system idle iowait irq softirq steal: what comes after is counted in the first ones already.
        let numbers: Vec<u64> = line.split_whitespace().take(8).map_while(|n| n.parse().ok()).collect();
        let idle = numbers.get(3)? + numbers.get(4)?;
        Some(Self { all: numbers.iter().sum(), idle })
    }

    fn busy_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let idle = self.idle.saturating_sub(before.idle).min(all);
        Some((all - idle) as f64 / all as f64 * 100.0)
    }
}

fn memory(meminfo: &str) -> Option<f64> {
    let kib = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let (all, free) = (kib("MemTotal")?, kib("MemAvailable")?);
    (all > 0.0).then(|| (all - free) / all * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(all: &[(&str, Level, &str)]) -> BTreeMap<String, Report> {
        let report = |level, message: &str| Report { level, message: message.to_owned() };
        all.iter().map(|(name, level, message)| ((*name).to_owned(), report(*level, message))).collect()
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_part_that_ceases_to_work_is_written_down_once_and_again_when_it_works() {
        let begin = Instant::now();
        let mut vitals = Vitals::new(begin);
        let mut look = |s: u64, level, message| {
            let parts = parts(&[("camera/main", level, message), ("plugin/lpr", Level::Ok, "listening")]);
            vitals.look(begin + seconds(s), Duration::ZERO, &parts, Machine::default)
        };
        assert!(look(0, Level::Ok, "30 fps").is_empty(), "what works from the first is no news");
        assert!(look(10, Level::Failed, "no frames").is_empty());
        assert!(look(12, Level::Ok, "30 fps").is_empty(), "it was only a moment");
        assert!(look(20, Level::Failed, "no frames").is_empty());
        let said =
            json!({"component": "camera/main", "status": "error", "message": "no frames, retried in 4 s"});
        assert_eq!(look(23, Level::Failed, "no frames, retried in 4 s"), [said]);
        assert!(look(60, Level::Failed, "no frames, retried in 60 s").is_empty(), "said once");
        look(70, Level::Ok, "30 fps");
        let said = json!({"component": "camera/main", "status": "healthy", "message": "30 fps"});
        assert_eq!(look(73, Level::Ok, "30 fps"), [said]);
    }

    #[test]
    fn a_change_whose_record_was_refused_is_written_down_again_and_one_that_is_over_is_not() {
        let begin = Instant::now();
        let mut vitals = Vitals::new(begin);
        let lost = vitals.lost();
        let mut look = |s: u64, level| {
            let parts = parts(&[("camera/main", level, "no frames")]);
            vitals.look(begin + seconds(s), Duration::ZERO, &parts, Machine::default).len()
        };
        assert_eq!((look(0, Level::Failed), look(3, Level::Failed)), (0, 1));
        lost.add("camera/main".to_owned());
        assert_eq!((look(4, Level::Failed), look(6, Level::Failed), look(7, Level::Failed)), (0, 0, 1));
        assert_eq!(look(20, Level::Failed), 0, "this time it was kept");
        assert_eq!((look(30, Level::Ok), look(33, Level::Ok)), (0, 1));
        lost.add("camera/main".to_owned());
        assert_eq!((look(34, Level::Failed), look(40, Level::Failed)), (0, 0), "it is as was written down");
        assert_eq!((look(50, Level::Ok), look(53, Level::Ok), look(60, Level::Ok)), (0, 1, 0));
    }

    #[test]
    fn a_trouble_that_nobody_speaks_of_any_more_is_over() {
        let begin = Instant::now();
        let mut vitals = Vitals::new(begin);
        let mut look = |s: u64, parts: &BTreeMap<_, _>| {
            vitals.look(begin + seconds(s), Duration::ZERO, parts, Machine::default)
        };
        let bad = parts(&[("state", Level::Degraded, "cannot be kept")]);
        look(0, &bad);
        assert_eq!(look(3, &bad)[0]["status"], "warning");
        assert!(look(4, &BTreeMap::new()).is_empty());
        let over =
            json!({"component": "state", "status": "healthy", "message": "nothing is the matter any more"});
        assert_eq!(look(7, &BTreeMap::new()), [over]);
        assert!(look(20, &BTreeMap::new()).is_empty());
    }

    #[test]
    fn at_every_interval_the_whole_gateway_is_written_down_with_its_machine() {
        let begin = Instant::now();
        let mut vitals = Vitals::new(begin);
        let mut look = |s: u64, level, all, idle| {
            let machine = Machine { ticks: Some(Ticks { all, idle }), memory: Some(67.83), disk: None };
            let parts = parts(&[("plugin/lpr", level, "the port is in use"), ("x", Level::Ok, "")]);
            vitals.look(begin + seconds(s), seconds(60), &parts, move || machine)
        };
        assert!(look(59, Level::Ok, 0, 0).is_empty());
        let said = |status: &str, message: &str, cpu: Option<f64>| {
            json!({"component": "gateway", "status": status, "message": message,
                "details": {"cpu_usage": cpu, "memory_usage": 67.8, "disk_usage": null}})
        };
        assert_eq!(look(60, Level::Ok, 1000, 500), [said("healthy", "everything works", None)]);
        assert!(look(119, Level::Ok, 0, 0).is_empty());
        let second = look(120, Level::Degraded, 1100, 525);
        assert_eq!(second, [said("warning", "plugin/lpr: the port is in use", Some(75.0))]);
    }

    #[test]
    fn the_machine_is_read_from_what_the_kernel_says() {
        let stat = "cpu  10 2 5 100 3 0 1 4 7 0\ncpu0 1 1 1 1\n";
        assert_eq!(Ticks::of(stat), Some(Ticks { all: 125, idle: 103 }));
        assert_eq!(Ticks::of("cpu  10 x"), None);
        assert_eq!(memory("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n"), Some(75.0));
        assert_eq!(memory(""), None);
        let (now, before) = (Ticks { all: 5, idle: 5 }, Ticks { all: 9, idle: 0 });
        assert_eq!(now.busy_since(before), None, "a counter that went back");
        let read = Machine::read(Path::new("/"));
        assert!(read.ticks.is_some() && read.memory.is_some() && read.disk.is_some());
    }
}
