//! An upstream server of the plate-reading cameras' protocol, on python-socketio, that can be told to be ill (see
//! `tests/clients/upstream.py`).

use crate::PATIENCE;
use crate::nats::free_port;
use crate::process::{Process, python};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What it has kept of one message.
#[derive(Debug, Clone)]
pub struct Kept {
    /// `socketio` or `rest`.
    pub way: String,
    /// `lpr_data` or `health_status`.
    pub event: String,
    /// The message.
    pub body: Value,
}

impl Kept {
    /// The id of the message's record.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn id(&self) -> String {
        self.body["record_id"].as_str().unwrap_or_else(|| panic!("no id: {}", self.body)).to_owned()
    }
}

/// A running server. Dropping it ends it.
pub struct Upstream {
    process: Process,
    /// Where it listens.
    pub port: u16,
    /// Everything it has kept, in the order in which it came; what came twice is there twice.
    pub kept: Vec<Kept>,
    /// What it has told besides: names and arguments.
    pub told: Vec<(String, Value)>,
}

impl Upstream {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn start() -> Self {
        let mut server = python("upstream.py");
        // It listens there again when it was down.
        server.arg(free_port().to_string());
        let process = Process::start(server);
        let mut upstream = Self { process, port: 0, kept: Vec::new(), told: Vec::new() };
        upstream.until("it to listen", |upstream| !upstream.told.is_empty());
        upstream.port =
            upstream.told[0].1["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
        upstream
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Says how it is to be from now on, and waits until it is.
    pub fn be(&mut self, mode: &Value) {
        let before = self.modes();
        self.process.write([mode]);
        if mode.get("mode").is_some() {
            self.until("the mode to change", |upstream| upstream.modes() > before);
        }
    }

    fn modes(&self) -> usize {
        self.told.iter().filter(|(name, _)| name == "#mode").count()
    }

    /// Reads what it tells for so long.
    ///
    /// # Panics
    /// When it tells what is no JSON.
    pub fn listen(&mut self, time: Duration) {
        if let Some(line) = self.process.line_within(time) {
            let mut value: Value = serde_json::from_str(&line).expect("a line of JSON");
            let mut args = value["args"][0].take();
            if value["event"] == "record" {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let body = args["body"].take();
                self.kept.push(Kept { way: text(&args["way"]), event: text(&args["event"]), body });
            } else {
                self.told.push((value["event"].as_str().unwrap_or_default().to_owned(), args));
            }
        }
    }

    /// Reads what it tells until this is so.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}; {} kept", self.kept.len());
            self.listen(Duration::from_millis(20));
        }
    }

    /// The ids of what it has kept, each once, in the order in which they first came.
    #[must_use]
    pub fn first_arrivals(&self) -> Vec<String> {
        let mut seen = std::collections::BTreeSet::new();
        self.kept.iter().map(Kept::id).filter(|id| seen.insert(id.clone())).collect()
    }

    /// Whether it has kept all of these.
    #[must_use]
    pub fn has(&self, ids: &[String]) -> bool {
        let kept: std::collections::BTreeSet<_> = self.kept.iter().map(Kept::id).collect();
        ids.iter().all(|id| kept.contains(id))
    }

    /// `{"mode": mode}`.
    #[must_use]
    pub fn mode(mode: &str) -> Value {
        json!({ "mode": mode })
    }
}
