//! How the uplink does, in a sentence, in figures and in state.

use crate::line::{Line, Mode};
use gantry_plugin::{Health, Host, Metric};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// How long a record that was set aside is a reason for degraded health.
const ASIDE: Duration = Duration::from_secs(3600);
/// How often the sentence is said again when only figures in it have changed.
const AGAIN: Duration = Duration::from_secs(10);

/// What waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) count: u64,
    pub(crate) oldest_age_s: u64,
}

/// How it does at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    pub(crate) mode: Mode,
    pub(crate) is_degraded: bool,
    pub(crate) error: Option<String>,
    /// The record at which the upstream fails each time.
    pub(crate) held: Option<String>,
    /// Why not by Socket.IO.
    pub(crate) detour: Option<String>,
    /// Nothing before it was counted.
    pub(crate) backlog: Option<Backlog>,
    pub(crate) sent: u64,
    /// Records that were set aside lately.
    pub(crate) aside: u64,
}

impl View {
    pub(crate) fn of(line: &Line, backlog: Option<Backlog>, sent: u64, aside: u64) -> Self {
        Self {
            mode: line.mode(),
            is_degraded: line.is_degraded(),
            error: line.error().map(str::to_owned),
            held: line.holds_up().map(str::to_owned),
            detour: line.detour().map(str::to_owned),
            backlog,
            sent,
            aside,
        }
    }

    fn health(&self) -> Health {
        if self.is_degraded || self.aside > 0 { Health::Degraded } else { Health::Ok }
    }

    fn sentence(&self, upstream: &str) -> String {
        let mut text = match self.mode {
            Mode::SocketIo => format!("sends to {upstream} over Socket.IO"),
            Mode::Rest => {
                let why = self.detour.as_deref().unwrap_or_default();
                format!("sends to {upstream} over REST, for want of Socket.IO: {why}")
            }
            Mode::Offline if self.error.is_none() => format!("connects to {upstream}"),
            Mode::Offline => format!("{upstream} cannot be reached and is tried again"),
        };
        if let Some(error) = &self.error {
            let _ = write!(text, " ({error})");
        }
        if let Some(id) = &self.held {
            let _ = write!(text, "; record {id} holds up what is behind it: look into the upstream's log");
        }
        match self.backlog {
            None => {}
            Some(Backlog { count: 0, .. }) => text.push_str("; nothing waits"),
            Some(Backlog { count: 1, oldest_age_s }) => {
                let _ = write!(text, "; 1 record waits, for {oldest_age_s} s");
            }
            Some(Backlog { count, oldest_age_s }) => {
                let _ = write!(text, "; {count} records wait, the oldest for {oldest_age_s} s");
            }
        }
        if self.aside > 0 {
            let (n, s) = (self.aside, if self.aside == 1 { "" } else { "s" });
            let _ = write!(text, "; the upstream refused {n} record{s}: see `gantry records ls refused`");
        }
        text
    }

    fn values(&self) -> [(&'static str, Value); 5] {
        [
            ("mode", self.mode.name().into()),
            ("backlog", self.backlog.map(|backlog| backlog.count).into()),
            ("oldest_age_s", self.backlog.map(|backlog| backlog.oldest_age_s).into()),
            ("last_error", self.error.as_deref().unwrap_or_default().into()),
            ("sent", self.sent.into()),
        ]
    }
}

/// Where it is told.
pub(crate) struct Report {
    host: Host,
    upstream: String,
    /// The instance's name: state keys begin with it.
    instance: String,
    meters: Meters,
    told: Option<(View, Duration)>,
    /// When records were set aside, the last of them last.
    aside: Vec<Duration>,
}

struct Meters {
    sent: Metric,
    skipped: Metric,
    refused: Metric,
    tries: Metric,
    backlog: Metric,
    age: Metric,
    socket: Metric,
    rest: Metric,
}

impl Report {
    pub(crate) fn new(host: Host, upstream: String, instance: String) -> Self {
        let meters = Meters {
            sent: host.counter("sent_records", "Records that the upstream has taken"),
            skipped: host.counter("skipped_records", "Records that the rules kept back, or that are gone"),
            refused: host
                .counter("set_aside_records", "Records that the upstream refused, kept in `refused`"),
            tries: host.counter("failed_tries", "Tries to reach the upstream that failed"),
            backlog: host.gauge("backlog_records", "Records that wait"),
            age: host.gauge("oldest_record_seconds", "How long the oldest of them has waited"),
            socket: host.gauge("socketio", "1 while records go over Socket.IO"),
            rest: host.gauge("rest", "1 while records go over REST"),
        };
        Self { host, upstream, instance, meters, told: None, aside: Vec::new() }
    }

    pub(crate) fn sent(&self) {
        self.meters.sent.record(1.0);
    }

    pub(crate) fn skipped(&self) {
        self.meters.skipped.record(1.0);
    }

    pub(crate) fn failed(&self) {
        self.meters.tries.record(1.0);
    }

    pub(crate) fn set_aside(&mut self, now: Duration) {
        self.meters.refused.record(1.0);
        // So many are as bad as more.
        if self.aside.len() == 10_000 {
            self.aside.remove(0);
        }
        self.aside.push(now);
    }

    /// How many were set aside lately.
    pub(crate) fn aside(&mut self, now: Duration) -> u64 {
        self.aside.retain(|at| now.saturating_sub(*at) < ASIDE);
        self.aside.len() as u64
    }

    /// Tells how it does; the state values that have changed, to be written.
    pub(crate) fn tell(&mut self, now: Duration, view: View) -> Option<Value> {
        if self.told.as_ref().is_some_and(|(told, _)| *told == view) {
            return None;
        }
        let before = self.told.take();
        let is_news = before.as_ref().is_none_or(|(told, at)| {
            (told.mode, told.health(), &told.error, told.aside, &told.held)
                != (view.mode, view.health(), &view.error, view.aside, &view.held)
                || told.backlog.map(|backlog| backlog.count == 0)
                    != view.backlog.map(|backlog| backlog.count == 0)
                || now.saturating_sub(*at) >= AGAIN
        });
        let said_at = match &before {
            Some((_, at)) if !is_news => *at,
            _ => {
                self.host.health(view.health(), &view.sentence(&self.upstream));
                now
            }
        };
        let backlog = view.backlog.unwrap_or_default();
        self.meters.backlog.record(backlog.count as f64);
        self.meters.age.record(backlog.oldest_age_s as f64);
        self.meters.socket.record(f64::from(view.mode == Mode::SocketIo));
        self.meters.rest.record(f64::from(view.mode == Mode::Rest));
        let old = before.map(|(told, _)| told.values());
        let mut values = json!({});
        for (i, (key, value)) in view.values().into_iter().enumerate() {
            if old.as_ref().is_none_or(|old| old[i].1 != value) {
                values[format!("plugins/{}/{key}", self.instance)] = value;
            }
        }
        self.told = Some((view, said_at));
        (values != json!({})).then_some(values)
    }

    /// What removes it all.
    pub(crate) fn nothing(&self) -> Value {
        let mut values = json!({});
        for key in ["mode", "backlog", "oldest_age_s", "last_error", "sent"] {
            values[format!("plugins/{}/{key}", self.instance)] = Value::Null;
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::{Backlog, View};
    use crate::line::Mode;
    use gantry_plugin::Health;

    fn view(mode: Mode) -> View {
        View {
            mode,
            is_degraded: false,
            error: None,
            held: None,
            detour: None,
            backlog: Some(Backlog::default()),
            sent: 0,
            aside: 0,
        }
    }

    #[test]
    fn a_sentence_says_where_to_how_what_waits_and_what_went_wrong() {
        let unknown = View { backlog: None, ..view(Mode::Offline) };
        assert_eq!(unknown.sentence("up:1"), "connects to up:1");
        assert_eq!(view(Mode::SocketIo).sentence("up:1"), "sends to up:1 over Socket.IO; nothing waits");
        let backlog = Some(Backlog { count: 12, oldest_age_s: 35 });
        let view =
            View { backlog, error: Some("refused".to_owned()), is_degraded: true, ..view(Mode::Offline) };
        assert_eq!(
            view.sentence("up:1"),
            "up:1 cannot be reached and is tried again (refused); 12 records wait, the oldest for 35 s"
        );
        assert_eq!(view.health(), Health::Degraded);
        let view = View { backlog: None, held: Some("17".to_owned()), ..view };
        assert_eq!(
            view.sentence("up:1"),
            "up:1 cannot be reached and is tried again (refused); record 17 holds up what is behind it: look into the \
             upstream's log"
        );
    }

    #[test]
    fn what_was_set_aside_is_degraded_health() {
        let backlog = Some(Backlog { count: 1, oldest_age_s: 2 });
        let view = View { aside: 1, backlog, detour: Some("404".to_owned()), ..view(Mode::Rest) };
        assert_eq!(view.health(), Health::Degraded);
        assert_eq!(
            view.sentence("up:1"),
            "sends to up:1 over REST, for want of Socket.IO: 404; 1 record waits, for 2 s; the upstream refused 1 record: \
             see `gantry records ls refused`"
        );
    }
}
