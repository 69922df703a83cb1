//! What a process has used so far, from `/proc`.

use std::fs;
use std::ops::Sub;
use std::time::Instant;

/// CPU time and context switches of a process or of several.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Seconds in user space.
    pub user: f64,
    /// Seconds in the kernel.
    pub system: f64,
    /// Seconds that the threads which exist now have run; in nanoseconds where the other two are in hundredths.
    pub running: f64,
    /// Context switches of the threads that exist now.
    pub switches: f64,
}

impl Usage {
    /// The sum over `pids`; a process that has ended counts as nothing.
    pub fn of(pids: &[u32]) -> Self {
        let mut sum = Usage::default();
        for &pid in pids {
            let (user, system) = cpu_seconds(pid).unwrap_or_default();
            sum.user += user;
            sum.system += system;
            let (running, switches) = threads(pid);
            sum.running += running;
            sum.switches += switches;
        }
        sum
    }

    /// Seconds in user space and in the kernel.
    pub fn seconds(&self) -> f64 {
        let coarse = self.user + self.system;
        // The exact count loses threads that have ended; then the coarse one is larger by more than it is coarse.
        if coarse - self.running > 0.025 { coarse } else { self.running }
    }
}

impl Sub for Usage {
    type Output = Usage;

    fn sub(self, earlier: Usage) -> Usage {
        Usage {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
            running: self.running - earlier.running,
            switches: self.switches - earlier.switches,
        }
    }
}

/// What a server, this program and everybody else use from now on.
#[derive(Debug)]
pub struct Meter<'a> {
    pids: &'a [u32],
    begun: Instant,
    server: Usage,
    own: Usage,
    busy: f64,
    rss_mb: f64,
}

/// What a [`Meter`] found.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// How long it was.
    pub seconds: f64,
    /// What the server used.
    pub server: Usage,
    /// CPU of this program, in percent of one core.
    pub own_pct: f64,
    /// CPU of everybody else, in percent of one core.
    pub others_pct: f64,
    /// Resident memory of the server in MB: at the start, at the end, and the most it ever had.
    pub rss_mb: [f64; 3],
}

impl<'a> Meter<'a> {
    /// Begins. `pids` are the server's processes.
    pub fn start(pids: &'a [u32]) -> Self {
        let rss_mb = resident_mb(pids);
        let (server, own) = (Usage::of(pids), Usage::of(&[std::process::id()]));
        Self { pids, begun: Instant::now(), server, own, busy: machine_busy_seconds(), rss_mb }
    }

    /// Ends.
    pub fn stop(self) -> Measured {
        let seconds = self.begun.elapsed().as_secs_f64();
        let server = Usage::of(self.pids) - self.server;
        let own = (Usage::of(&[std::process::id()]) - self.own).seconds();
        let others = machine_busy_seconds() - self.busy - server.seconds() - own;
        Measured {
            seconds,
            server,
            own_pct: own / seconds * 100.0,
            others_pct: others.max(0.0) / seconds * 100.0,
            rss_mb: [self.rss_mb, resident_mb(self.pids), peak_mb(self.pids)],
        }
    }
}

/// Resident memory of `pids` together, in MB (of 1024 × 1024 bytes).
pub fn resident_mb(pids: &[u32]) -> f64 {
    pids.iter().map(|&pid| status_kb(pid, "VmRSS:")).sum::<f64>() / 1024.0
}

/// The most resident memory that each of `pids` ever had, in MB.
pub fn peak_mb(pids: &[u32]) -> f64 {
    pids.iter().map(|&pid| status_kb(pid, "VmHWM:")).sum::<f64>() / 1024.0
}

fn cpu_seconds(pid: u32) -> Option<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold spaces and brackets: count the fields after its end.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let seconds = |index: usize| Some(fields.get(index)?.parse::<f64>().ok()? / ticks);
    Some((seconds(11)?, seconds(12)?))
}

fn status_kb(pid: u32, key: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().find_map(|line| number_after(line, key)).unwrap_or(0.0)
}

/// Seconds that the threads of a process have run, and their context switches.
fn threads(pid: u32) -> (f64, f64) {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return (0.0, 0.0) };
    let (mut nanoseconds, mut switches) = (0.0, 0.0);
    for thread in threads.flatten() {
        let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        nanoseconds += number_after(&read("schedstat"), "").unwrap_or(0.0);
        let keys = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];
        let status = read("status");
        let counts = status.lines().filter_map(|line| keys.iter().find_map(|key| number_after(line, key)));
        switches += counts.sum::<f64>();
    }
    (nanoseconds / 1e9, switches)
}

/// Seconds that all cores together have been busy since the machine started, whoever kept them so.
pub fn machine_busy_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let cores = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    // user nice system idle iowait irq softirq steal; what follows is contained in user and nice.
    let ticks = cores.split_whitespace().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    let ticks: f64 = ticks.filter_map(|(_, ticks)| ticks.parse::<f64>().ok()).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

fn number_after(line: &str, key: &str) -> Option<f64> {
    line.strip_prefix(key)?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_an_ended_one_has_nothing() {
        let own = std::process::id();
        assert!(resident_mb(&[own]) > 0.0);
        assert!(peak_mb(&[own]) >= resident_mb(&[own]) * 0.5);
        assert!(Usage::of(&[own]).switches > 0.0);
        assert!(Usage::of(&[own]).seconds() <= machine_busy_seconds() + 0.025);
        assert_eq!(Usage::of(&[u32::MAX]).seconds(), 0.0);
        assert_eq!(resident_mb(&[u32::MAX]), 0.0);
    }

    #[test]
    fn a_meter_tells_what_a_process_used_while_it_ran() {
        let own = [std::process::id()];
        let measured = Meter::start(&own).stop();
        assert!(measured.server.seconds() >= 0.0 && measured.others_pct >= 0.0);
        assert!(measured.rss_mb.iter().all(|&mb| mb > 0.0));
    }
}
