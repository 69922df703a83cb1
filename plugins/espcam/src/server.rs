//! What the threads do between the sockets, the session and the runtime.

use crate::Call;
use crate::config::Config;
use crate::figures::Figures;
use crate::inbox::{Batch, Inbox};
use crate::picture::{APPEND, LOOK, Outcome};
use crate::session::{Effect, Moment, Session};
use crate::sight::{Change, Sight};
use crate::sockets::Sockets;
use gantry_plugin::worker::Stopping;
use gantry_plugin::{Health, Host, Metric, debug, info, warn};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Datagrams that are taken before anything else has its turn.
const BATCH: usize = 64;
/// How often times are looked at while there are transfers.
const TICK: Duration = Duration::from_millis(200);
/// A datagram that the socket did not give has left an error; it is not asked again before.
const BREATH: Duration = Duration::from_millis(50);

/// An answer of the runtime.
pub(crate) type Answer = (Call, Result<Value, String>);

/// What the worker is given when it starts.
pub(crate) struct Parts {
    pub(crate) host: Host,
    pub(crate) config: Config,
    /// Replies go out here.
    pub(crate) sockets: Sockets,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) answers: mpsc::UnboundedReceiver<Answer>,
}

/// Empties the sockets until the plugin stops.
pub(crate) async fn receive(host: Host, sockets: Sockets, inbox: Arc<Inbox>, mut stopping: Stopping) {
    let mut reading = match sockets.reading() {
        Ok(reading) => reading,
        Err(error) => {
            return host
                .health(Health::Failed, &format!("cannot use the socket: {error}: restart the gateway"));
        }
    };
    loop {
        let ready = tokio::select! {
            () = stopping.wait() => return,
            ready = reading.ready() => ready,
        };
        if let Err(error) = ready.and_then(|()| reading.empty(&inbox)) {
            debug!(host, "cannot receive: {error}");
            tokio::time::sleep(BREATH).await;
        }
    }
}

/// Serves until the plugin stops.
pub(crate) async fn run(parts: Parts, mut stopping: Stopping) {
    let Parts { host, config, sockets, inbox, mut answers } = parts;
    let address = sockets.address().unwrap_or(config.bind);
    let mut server = Server {
        host,
        sockets,
        analysis: config.analysis.clone(),
        analysis_timeout: config.analysis_timeout(),
        session: Session::new(config),
        effects: Vec::new(),
        meters: Meters::new(&host),
        start: Instant::now(),
        unsent: 0,
        address,
        refused: false,
        sight: Sight::default(),
    };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut metered, mut batch) = (server.start, Batch::default());
    loop {
        let busy = !server.session.is_idle() || server.meters.are_behind(&server.session.figures());
        tokio::select! {
            () = stopping.wait() => return,
            Some((call, answer)) = answers.recv() => server.answered(call, answer),
            () = inbox.fill(&mut batch) => server.receive(&mut batch),
            _ = ticks.tick(), if busy => {
                let now = server.now();
                server.session.tick(now, &mut server.effects);
                server.act();
                if metered.elapsed() >= Duration::from_secs(1) {
                    metered = Instant::now();
                    server.measure(inbox.dropped());
                }
            }
        }
    }
}

struct Server {
    host: Host,
    sockets: Sockets,
    /// The detector that pictures are shown, if there is one, and how long it may take.
    analysis: Option<String>,
    analysis_timeout: Duration,
    session: Session,
    /// Empty between two events.
    effects: Vec<Effect>,
    meters: Meters,
    start: Instant,
    /// Replies that the kernel had no room for.
    unsent: u64,
    address: SocketAddr,
    /// Whether the store refused last.
    refused: bool,
    sight: Sight,
}

impl Server {
    fn now(&self) -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { at: self.start.elapsed(), unix_ms: i64::try_from(since.as_millis()).unwrap_or_default() }
    }

    /// Takes some of what has come.
    fn receive(&mut self, batch: &mut Batch) {
        for _ in 0..BATCH {
            let now = self.now();
            let Some((from, bytes)) = batch.next() else { return };
            self.session.datagram(now, from, bytes, &mut self.effects);
            self.act();
        }
    }

    fn answered(&mut self, call: Call, answer: Result<Value, String>) {
        let now = self.now();
        match call {
            Call::Look(token) => {
                self.judge_sight(now, answer.as_ref().err());
                self.session.looked(now, token, answer, &mut self.effects);
            }
            Call::Store(token) => {
                let outcome = Outcome::of(answer);
                self.judge(&outcome);
                self.session.stored(now, token, outcome, &mut self.effects);
            }
        }
        self.act();
    }

    /// Tells whether pictures are looked at, when that has changed. Why a detector does not look is in its own health.
    fn judge_sight(&mut self, now: Moment, error: Option<&String>) {
        match self.sight.judge(now.at, error.is_none()) {
            Some(Change::Lost) => {
                let why = error.map_or("", String::as_str);
                warn!(self.host, "a picture is stored without having been looked at: {why}");
            }
            Some(Change::Back) => info!(self.host, "pictures are looked at again"),
            None => {}
        }
    }

    fn measure(&mut self, dropped: u64) {
        let lost = self.sockets.lost();
        if lost > 0 && self.meters.last_lost == 0 {
            let remedy = self.sockets.remedy();
            info!(self.host, "{lost} datagrams are lost: the system had no room for them: {remedy}");
        }
        self.meters.record(&self.session.figures(), self.unsent, dropped, lost);
    }

    /// Tells how the store does, when that has changed.
    fn judge(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Refused(why) if !self.refused => {
                self.refused = true;
                let text = format!("listening on {}, but pictures cannot be stored: {why}", self.address);
                self.host.health(Health::Degraded, &text);
                warn!(self.host, "a picture is refused by the store, its device is told to repeat it: {why}");
            }
            Outcome::Kept(_) | Outcome::Dropped if self.refused => {
                self.refused = false;
                self.host.health(Health::Ok, &format!("listening on {}", self.address));
                info!(self.host, "pictures are stored again");
            }
            _ => {}
        }
    }

    /// Does what the session wants.
    fn act(&mut self) {
        // A call that is refused at once makes the session want something more.
        while !self.effects.is_empty() {
            let mut effects = std::mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                self.act_on(effect);
            }
            if self.effects.is_empty() {
                // The memory is for the next time.
                self.effects = effects;
                return;
            }
        }
    }

    fn act_on(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, datagram } => {
                // Devices repeat what is not answered.
                if let Err(error) = self.sockets.send(&datagram, to) {
                    self.unsent += 1;
                    debug!(self.host, "no reply to {to}: {error}");
                }
            }
            Effect::Look { token, picture } => {
                let within = u64::try_from(self.analysis_timeout.as_millis()).unwrap_or(u64::MAX);
                let request = json!({ "detector": self.analysis, "within_ms": within });
                self.call(LOOK, &request, &picture.bytes, Call::Look(token));
            }
            Effect::Store { token, picture } => {
                self.call(APPEND, &picture.record(), &picture.bytes, Call::Store(token));
            }
            Effect::Publish { picture, record } => {
                let message = picture.message(&record).to_string();
                if let Err(error) = self.host.publish(&picture.topic(), message.as_bytes()) {
                    debug!(self.host, "nobody hears of picture {record}: {error}");
                }
            }
        }
    }
}

impl Server {
    /// Asks the runtime. What cannot be asked is answered at once.
    fn call(&mut self, service: &str, request: &Value, picture: &[u8], call: Call) {
        if let Err(error) = self.host.call_with(service, request, &[picture], call.token()) {
            let now = self.now();
            let why = error.to_string();
            match call {
                Call::Look(token) => {
                    self.judge_sight(now, Some(&why));
                    self.session.looked(now, token, Err(why), &mut self.effects);
                }
                Call::Store(token) => {
                    let outcome = Outcome::Refused(why);
                    self.judge(&outcome);
                    self.session.stored(now, token, outcome, &mut self.effects);
                }
            }
        }
    }
}

type Read = fn(&Figures) -> u64;

/// The plugin's metrics, fed from the session's figures.
struct Meters {
    counters: Vec<(Metric, Read)>,
    unsent: Metric,
    dropped: Metric,
    lost: Metric,
    open: Metric,
    held: Metric,
    last: Figures,
    last_unsent: u64,
    last_dropped: u64,
    last_lost: u64,
}

impl Meters {
    fn new(host: &Host) -> Self {
        let counter = |name, help, read: Read| (host.counter(name, help), read);
        let counters = vec![
            counter("datagrams", "Datagrams received", |f| f.datagrams),
            counter("malformed_datagrams", "Datagrams that no device sends", |f| f.malformed),
            counter("limited_datagrams", "Datagrams beyond the rates, dropped", |f| f.limited),
            counter("repeated_packets", "Packets received again", |f| f.repeated),
            counter("put_off_packets", "Packets that could not be kept when they came", |f| f.put_off),
            counter("refused_requests", "Requests refused", |f| f.refused),
            counter("transfers", "Requests accepted", |f| f.transfers),
            counter("completed_pictures", "Pictures stored", |f| f.completed),
            counter("dropped_pictures", "Pictures dropped by a rule", |f| f.dropped),
            counter("aborted_transfers", "Transfers that ended without a picture", |f| f.aborted),
            counter("looked_pictures", "Pictures that a detector has looked at", |f| f.looked),
            counter("unlooked_pictures", "Pictures that no detector got to look at", |f| f.unlooked),
            counter("store_refusals", "Attempts to store a picture that failed", |f| f.store_refusals),
            counter("picture_bytes", "Bytes of stored pictures", |f| f.bytes),
        ];
        Self {
            counters,
            unsent: host.counter("unsent_replies", "Replies that the system did not take"),
            dropped: host.counter("dropped_datagrams", "Datagrams that found no room before their turn"),
            lost: host.counter("lost_datagrams", "Datagrams that the system had no room for"),
            open: host.gauge("open_transfers", "Transfers going on"),
            held: host.gauge("held_bytes", "Bytes of pictures in memory"),
            last: Figures::default(),
            last_unsent: 0,
            last_dropped: 0,
            last_lost: 0,
        }
    }

    fn are_behind(&self, figures: &Figures) -> bool {
        self.last != *figures
    }

    fn record(&mut self, figures: &Figures, unsent: u64, dropped: u64, lost: u64) {
        for (metric, read) in &self.counters {
            add(metric, read(figures), read(&self.last));
        }
        add(&self.unsent, unsent, self.last_unsent);
        add(&self.dropped, dropped, self.last_dropped);
        add(&self.lost, lost, self.last_lost);
        self.open.record(figures.open_transfers as f64);
        self.held.record(figures.held_bytes as f64);
        (self.last, self.last_unsent, self.last_dropped, self.last_lost) = (*figures, unsent, dropped, lost);
    }
}

fn add(metric: &Metric, now: u64, before: u64) {
    if now > before {
        metric.record((now - before) as f64);
    }
}
