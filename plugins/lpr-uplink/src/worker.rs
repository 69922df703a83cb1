//! The worker: does what the line wants, and tells it what came of it.

use crate::answer::Verdict;
use crate::aside::Refused;
use crate::config::{Config, host_name};
use crate::dial::Dialer;
use crate::line::{Line, Step, Way};
use crate::message::{Message, registration};
use crate::queue::{Item, Reader, Turn, acknowledgement, backlog, instance};
use crate::report::{Backlog, Report, View};
use crate::rest::Rest;
use crate::socket::{self, News};
use gantry_plugin::calls::Calls;
use gantry_plugin::worker::Stopping;
use gantry_plugin::{Host, debug, info, warn};
use serde_json::json;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

/// How often it is told how the uplink does.
const TELL: Duration = Duration::from_secs(1);
/// How long an answer that is on its way is waited for at the end.
const LAST: Duration = Duration::from_millis(1500);
/// Acknowledgements are on the disk with the store's next group. More of them in a second would be more groups.
const ACKNOWLEDGE: Duration = Duration::from_millis(100);
/// So many times as long as counting what waits has taken it is not counted again.
const COUNT_SHARE: u32 = 20;
/// Things that have happened and are not looked at yet.
const EVENTS: usize = 64;

/// What the worker is given when it starts.
pub(crate) struct Parts {
    pub(crate) host: Host,
    pub(crate) config: Config,
    pub(crate) calls: Arc<Calls>,
    pub(crate) dialer: Dialer,
    pub(crate) more: Arc<Notify>,
}

/// What has happened.
enum Event {
    /// On the connection with this number.
    Socket(u64, News),
    Rest(Verdict),
    Aside(Result<(), String>),
    /// Whether the store has heard what is done with.
    Acknowledged(Result<(), String>),
    /// What waits, and how long it took to count it.
    Backlog(Option<Backlog>, Duration),
}

/// Sends until the plugin stops.
pub(crate) async fn run(parts: Parts, mut stopping: Stopping) {
    let Parts { host, config, calls, dialer, more } = parts;
    let dialer = Arc::new(dialer);
    let upstream = dialer.address.to_string();
    let instance = tokio::select! {
        name = instance(&calls) => name,
        () = stopping.wait() => return,
    };
    let (items, mut waiting) = mpsc::channel(1);
    let origin = config.origin(&host_name());
    tokio::spawn(Reader { host, calls: calls.clone(), config: config.clone(), origin, more, items }.run());
    let (events, mut happened) = mpsc::channel(EVENTS);
    let jitter = (RandomState::new().hash_one(&upstream) % 1000) as f64 / 1000.0;
    let mut worker = Worker {
        host,
        calls,
        line: Line::new(config.line(jitter)),
        rest: Arc::new(Mutex::new(Rest::new(dialer.clone()))),
        report: Report::new(host, upstream, instance.clone()),
        instance,
        dialer,
        events,
        socket: None,
        generation: 0,
        head: None,
        done: None,
        unacknowledged: None,
        acknowledged: Instant::now(),
        sent: 0,
        tries: 0,
        backlog: None,
        is_counting: false,
        count_at: Instant::now(),
        start: Instant::now(),
    };
    let mut ticks = interval(TELL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let until = worker.work();
        let (wants, acknowledges) = (worker.head.is_none(), worker.acknowledge_at());
        tokio::select! {
            () = stopping.wait() => break,
            Some(event) = happened.recv() => worker.on(event),
            Some(item) = waiting.recv(), if wants => worker.take(item),
            _ = ticks.tick() => worker.tick(),
            () = at(acknowledges) => worker.acknowledge(),
            () = at(until.and_then(|until| worker.start.checked_add(until))) => {}
        }
    }
    // What is answered now need not be sent again.
    let last = async {
        while worker.line.is_sending() {
            let Some(event) = happened.recv().await else { return };
            worker.on(event);
        }
    };
    let _ = timeout(LAST, last).await;
    worker.end().await;
}

/// Returns at this moment, or never.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or_default()
}

struct Worker {
    host: Host,
    calls: Arc<Calls>,
    dialer: Arc<Dialer>,
    line: Line,
    rest: Arc<Mutex<Rest>>,
    report: Report,
    instance: String,
    events: mpsc::Sender<Event>,
    /// To the connection that is open or being opened.
    socket: Option<mpsc::Sender<Arc<Message>>>,
    generation: u64,
    head: Option<Turn>,
    /// The last record that is done with.
    done: Option<String>,
    /// The same, while the store does not know it.
    unacknowledged: Option<String>,
    acknowledged: Instant,
    sent: u64,
    /// As many as the line had when it was looked at last.
    tries: u32,
    backlog: Option<Backlog>,
    is_counting: bool,
    /// When what waits is counted next.
    count_at: Instant,
    start: Instant,
}

impl Worker {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Does what is to be done; until when there is nothing more.
    fn work(&mut self) -> Option<Duration> {
        loop {
            let now = self.now();
            match self.line.next(now, self.head.as_ref().map(Turn::head)) {
                Step::Wait(until) => return until,
                Step::Connect => self.connect(),
                Step::Test => {
                    let rest = self.rest.clone();
                    self.spawn(async move { Event::Rest(rest.lock().await.test().await) });
                }
                Step::Register(way) => {
                    if let Some(message) = self.message() {
                        self.send(way, Arc::new(registration(&message, unix_ms())));
                    }
                }
                Step::Send(way) => {
                    if let Some(message) = self.message() {
                        self.send(way, message);
                    }
                }
                Step::SetAside(reason) => self.set_aside(reason),
            }
        }
    }

    fn message(&self) -> Option<Arc<Message>> {
        self.head.as_ref()?.message.as_ref().ok().cloned()
    }

    fn spawn(&self, work: impl Future<Output = Event> + 'static + Send) {
        let events = self.events.clone();
        tokio::spawn(async move {
            let event = work.await;
            // A worker that has ended wants to know nothing.
            let _ = events.send(event).await;
        });
    }

    fn connect(&mut self) {
        self.generation += 1;
        let (messages, received) = mpsc::channel(1);
        self.socket = Some(messages);
        let (dialer, events, generation) = (self.dialer.clone(), self.events.clone(), self.generation);
        tokio::spawn(async move {
            let (tell, mut told) = mpsc::unbounded_channel();
            let serving = socket::run(dialer, received, move |news| {
                // There are at most two more of them than messages.
                let _ = tell.send(news);
            });
            let passing = async {
                while let Some(news) = told.recv().await {
                    let _ = events.send(Event::Socket(generation, news)).await;
                }
            };
            tokio::join!(serving, passing);
        });
    }

    fn send(&mut self, way: Way, message: Arc<Message>) {
        match way {
            Way::Rest => {
                let rest = self.rest.clone();
                self.spawn(async move { Event::Rest(rest.lock().await.post(&message).await) });
            }
            Way::SocketIo => {
                let sent = self.socket.as_ref().is_some_and(|socket| socket.try_send(message).is_ok());
                if !sent {
                    // It has ended, and that is on its way to us.
                    debug!(self.host, "the connection is gone");
                }
            }
        }
    }

    fn set_aside(&mut self, reason: String) {
        let Some(head) = &self.head else { return };
        let refused = Refused {
            id: head.id.clone(),
            collection: head.collection.clone(),
            reason: self.dialer.clean(&reason),
            upstream: self.dialer.address.to_string(),
            instance: self.instance.clone(),
            now_ms: unix_ms(),
        };
        let calls = self.calls.clone();
        self.spawn(async move { Event::Aside(refused.keep(&calls).await) });
    }

    /// A record's turn has come.
    fn take(&mut self, item: Item) {
        // What comes again because the store had to be asked anew is done with. Ids grow.
        if let Some(done) = self.done.as_deref().filter(|done| item.id() <= *done) {
            if item.id() == done {
                // The store does not know it: it would wait for ever if nothing came after it.
                self.unacknowledged = self.done.clone();
            }
            return;
        }
        match item {
            Item::Skip(id) => {
                self.report.skipped();
                self.finish(id);
            }
            Item::Send(turn) => self.head = Some(turn),
        }
    }

    fn finish(&mut self, id: String) {
        self.done = Some(id.clone());
        self.unacknowledged = Some(id);
        if let Some(backlog) = &mut self.backlog {
            backlog.count = backlog.count.saturating_sub(1);
        }
    }

    /// The head is done with.
    fn finish_head(&mut self) {
        if let Some(head) = self.head.take() {
            self.finish(head.id);
        }
    }

    fn on(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Socket(generation, news) if generation == self.generation => match news {
                News::Opened(max_payload) => {
                    info!(self.host, "connected to {} over Socket.IO", self.dialer.address);
                    self.line.opened(now, max_payload);
                }
                News::Answered(verdict) => self.answered(now, verdict),
                News::Ended(why) => {
                    self.socket = None;
                    self.line.lost(now, self.dialer.clean(&why));
                }
            },
            Event::Socket(..) => {}
            Event::Rest(verdict) => self.answered(now, verdict),
            Event::Aside(done) => {
                if self.line.set_aside(now, done) {
                    self.report.set_aside(now);
                    if let Some(head) = &self.head {
                        warn!(self.host, "the upstream refuses record {}: it is kept in `refused`", head.id);
                    }
                    self.finish_head();
                }
            }
            Event::Acknowledged(Ok(())) => {}
            Event::Acknowledged(Err(why)) => {
                debug!(self.host, "what was sent is not acknowledged: {why}; it is tried again");
                self.unacknowledged.clone_from(&self.done);
                self.acknowledged = Instant::now() + TELL;
            }
            Event::Backlog(backlog, took) => {
                self.is_counting = false;
                // Counting a long backlog takes the store a while: it is not kept busy with it.
                self.count_at = Instant::now() + took * COUNT_SHARE;
                self.backlog = backlog.or(self.backlog);
            }
        }
        self.note_tries();
    }

    fn answered(&mut self, now: Duration, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Taken => Verdict::Taken,
            Verdict::Refused(why) => Verdict::Refused(self.dialer.clean(&why)),
            Verdict::Failed(why) => Verdict::Failed(self.dialer.clean(&why)),
            Verdict::Absent(why) => Verdict::Absent(self.dialer.clean(&why)),
        };
        if self.line.is_sending() {
            if self.line.answered(now, verdict) {
                self.sent += 1;
                self.report.sent();
                self.finish_head();
            }
        } else if self.line.is_testing() {
            self.line.tested(now, verdict);
        } else {
            self.line.registered(now, verdict);
        }
    }

    fn note_tries(&mut self) {
        let tries = self.line.tries();
        if tries > self.tries {
            self.report.failed();
            let why = self.line.error().unwrap_or_default();
            debug!(self.host, "try {tries} to send to {} has failed: {why}", self.dialer.address);
        }
        self.tries = tries;
    }

    fn acknowledge_at(&self) -> Option<Instant> {
        self.unacknowledged.is_some().then(|| self.acknowledged + ACKNOWLEDGE)
    }

    /// Tells the store what is done with, and again when it has not heard it.
    fn acknowledge(&mut self) {
        if let Some(id) = self.unacknowledged.take() {
            let calls = self.calls.clone();
            self.spawn(async move {
                let heard = calls.ask("records.ack", &acknowledgement(&id)).await;
                Event::Acknowledged(heard.map(|_| ()))
            });
            self.acknowledged = Instant::now();
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        let aside = self.report.aside(now);
        let view = View::of(&self.line, self.backlog, self.sent, aside);
        if let Some(values) = self.report.tell(now, view) {
            self.calls.tell("state.write", &json!({ "values": values }));
        }
        if !self.is_counting && Instant::now() >= self.count_at {
            self.is_counting = true;
            let calls = self.calls.clone();
            self.spawn(async move {
                let began = Instant::now();
                Event::Backlog(backlog(&calls).await, began.elapsed())
            });
        }
    }

    async fn end(mut self) {
        // Without waiting for an answer. What it does not hear is sent again.
        if let Some(id) = self.unacknowledged.take() {
            self.calls.tell("records.ack", &acknowledgement(&id));
        }
        self.calls.tell("state.write", &json!({ "values": self.report.nothing() }));
        // A connection whose messages end says good-bye.
        if let Some(socket) = self.socket.take() {
            drop(socket);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
