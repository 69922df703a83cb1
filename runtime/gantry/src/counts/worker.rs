//! The thread `counts`.

mod events;
mod telling;

use self::events::{Asked, Question};
use super::keeper::{COLLECTION, Keeper};
use super::{FaceRecorded, Order, Parts, Reply};
use crate::faces::{self, Face};
use gantry_analysis::{Direction, Seen};
use gantry_core::config::Config;
use gantry_counting::{CorrectionRecord, CrossingRecord, Ledger, LineCount, Places, Settings};
use gantry_store::{Draft, Uuid};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Rules hear of the time this often.
const TICK: Duration = Duration::from_secs(1);
/// What the store refused is given to it again every so many ticks.
const RETRY_TICKS: u32 = 60;
/// How long the end waits for records that are on their way to the disk.
const LAST_RECORDS: Duration = Duration::from_secs(1);

/// What is to be counted when its record is on the disk.
enum Entry {
    Crossing(CrossingRecord),
    Correction(CorrectionRecord, Reply),
}

/// An entry in its order. What the store refused is counted all the same: people have come, and the health says what is lost.
struct Waiting {
    ticket: u64,
    entry: Entry,
    recorded: Option<Option<Uuid>>,
}

pub(super) struct Worker {
    parts: Arc<Parts>,
    orders: Sender<Order>,
    /// How many strangers wait.
    strangers: Arc<AtomicUsize>,
    ledger: Ledger,
    keeper: Keeper,
    name: Arc<str>,
    waiting: VecDeque<Waiting>,
    tickets: u64,
    /// What rules are to be asked, and what they were asked last and have not answered.
    questions: VecDeque<Question>,
    asked: Option<Asked>,
    ticks: u32,
    /// Since when events run whose rule is gone, by the event.
    orphans: BTreeMap<String, Instant>,
    settings: Settings,
    config: Config,
}

fn places(config: &Config) -> BTreeMap<String, Places> {
    let running = config.analysis.iter().filter(|(_, analysis)| analysis.enabled);
    let places = running.map(|(camera, analysis)| {
        let lines: BTreeSet<String> = analysis.lines.keys().cloned().collect();
        (camera.clone(), Places { lines, zones: analysis.zones.keys().cloned().collect() })
    });
    places.collect()
}

/// The settings of a configuration that was checked.
fn settings(config: &Config) -> Settings {
    Settings::from_config(&config.counts).unwrap_or_else(|findings| {
        let text: Vec<_> = findings.iter().map(ToString::to_string).collect();
        tracing::error!("[counts] is not used as it is: {}", text.join("; "));
        // The default is made of the same rules, and was tested.
        Settings::from_config(&Default::default()).expect("the default is good")
    })
}

impl Worker {
    pub(super) fn new(
        parts: Arc<Parts>,
        orders: Sender<Order>,
        strangers: Arc<AtomicUsize>,
        config: &Config,
    ) -> Self {
        let settings = settings(config);
        let (keeper, mut ledger) = Keeper::open(config, settings.clone(), &parts.records, (parts.clock)());
        ledger.declare(places(config));
        let mut worker = Self {
            parts,
            orders,
            strangers,
            ledger,
            keeper,
            name: "counts".into(),
            waiting: VecDeque::new(),
            tickets: 0,
            questions: VecDeque::new(),
            asked: None,
            ticks: 0,
            orphans: BTreeMap::new(),
            settings,
            config: config.clone(),
        };
        worker.deliver(0);
        worker.advance();
        // Whoever starts next finds everything in place.
        worker.tell_state();
        worker
    }

    pub(super) fn run(&mut self, orders: &Receiver<Order>) {
        let mut due = Instant::now() + TICK;
        loop {
            let order = match orders.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Order::Stop(done)) => {
                    self.end(orders);
                    let _ = done.send(());
                    return;
                }
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.end(orders),
            };
            if let Some(order) = order {
                self.take(order);
            }
            if Instant::now() >= due {
                self.tick();
                due = (due + TICK).max(Instant::now());
            }
        }
    }

    /// Counts what is on its way to the disk, and writes everything down.
    fn end(&mut self, orders: &Receiver<Order>) {
        let until = Instant::now() + LAST_RECORDS;
        while !self.waiting.is_empty() {
            match orders.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(order) => self.take(order),
                Err(_) => break,
            }
        }
        self.keeper.save_last(&self.ledger);
    }

    fn now(&self) -> i64 {
        (self.parts.clock)()
    }

    fn take(&mut self, order: Order) {
        if order.is_asked() {
            self.strangers.fetch_sub(1, Ordering::AcqRel);
        }
        match order {
            Order::Seen(seen) => self.see(seen),
            Order::Recorded(ticket, record) => self.recorded(ticket, record),
            Order::Delivered(letter) => self.keeper.delivered(letter),
            Order::Face(face) => self.face(face),
            Order::Ruled(done) => self.ruled(done),
            Order::Correct(record, reply) => self.correct(record, reply),
            Order::Read(reply) => reply(Ok(json!(self.ledger.snapshot()))),
            Order::Hours(reply) => reply(Ok(json!(self.ledger.hours()))),
            Order::Record(hook, more, then) => self.ask_about_record(hook, more, then),
            Order::Configure(config, done) => {
                self.configure(&config);
                let _ = done.send(());
            }
            Order::Stop(_) => {}
        }
    }

    fn configure(&mut self, config: &Config) {
        let settings = settings(config);
        if settings != self.settings {
            self.ledger.configure(settings.clone(), self.now());
            self.settings = settings;
        }
        self.config.clone_from(config);
        self.ledger.declare(places(config));
        self.advance();
        self.tell_state();
    }

    /// What is in force.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Crossing { camera, line, direction, track, unix_ms } => {
                let record = CrossingRecord {
                    camera,
                    line,
                    direction: direction_of(direction),
                    track,
                    time_ms: unix_ms,
                };
                self.append(Entry::Crossing(record));
            }
            Seen::Occupancy { camera, zone, people, unix_ms } => {
                // The last word of a zone that is gone.
                if !self.ledger.occupancy(&camera, &zone, people) {
                    return;
                }
                self.tell_state();
                let message = json!({ "camera": camera, "zone": zone, "people": people, "time_ms": unix_ms });
                self.publish(&format!("counts/{camera}/occupancy"), &message);
                let more = json!({ "kind": "occupancy", "camera": camera, "zone": zone, "people": people });
                let next = self.ledger.next_crossing();
                self.ask_rules("on_count", unix_ms, more, next);
            }
            Seen::Face { camera, track, unix_ms, jpeg, width, height, score } => {
                let face_id = self.ledger.take_face_id();
                self.keeper.gives_face(face_id, &self.ledger);
                let face = Face { face_id, camera, track, time_ms: unix_ms, width, height };
                let mut json = json!(face);
                json["type"] = json!("face");
                json["score"] = json!(score);
                let draft = Draft {
                    collection: faces::COLLECTION.to_owned(),
                    time: Some(unix_ms),
                    json: json.to_string(),
                    dedup_key: Some(face_id.to_string()),
                    blobs: vec![(face.filename(), jpeg)],
                    // A face that is deleted must be gone.
                    blobs_as_files: true,
                    ..Draft::default()
                };
                let orders = self.orders.clone();
                self.parts.records.append(draft, move |record| {
                    let Face { face_id, camera, track, time_ms, .. } = face;
                    _ = orders.send(Order::Face(FaceRecorded { face_id, camera, track, time_ms, record }));
                });
            }
        }
    }

    /// Has it recorded; it is counted after that.
    fn append(&mut self, entry: Entry) {
        self.tickets += 1;
        let ticket = self.tickets;
        let (json, time) = match &entry {
            Entry::Crossing(record) => (json!(record), record.time_ms),
            Entry::Correction(record, _) => (json!(record), record.time_ms),
        };
        let draft = Draft {
            collection: COLLECTION.to_owned(),
            time: Some(time),
            json: json.to_string(),
            ..Draft::default()
        };
        self.waiting.push_back(Waiting { ticket, entry, recorded: None });
        let orders = self.orders.clone();
        self.parts.records.append(draft, move |record| _ = orders.send(Order::Recorded(ticket, record)));
    }

    fn recorded(&mut self, ticket: u64, record: Option<Uuid>) {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.ticket == ticket) {
            waiting.recorded = Some(record);
        }
        // In the order in which it was seen, whatever became of the records.
        while let Some(Waiting { recorded: Some(record), .. }) = self.waiting.front() {
            let record = *record;
            match self.waiting.pop_front().map(|waiting| waiting.entry) {
                Some(Entry::Crossing(crossing)) => self.count(&crossing, record),
                Some(Entry::Correction(correction, reply)) => match record {
                    Some(record) => self.corrected(&correction, record, reply),
                    None => {
                        reply(Err("counts.correct: it cannot be recorded: make room on the disk".to_owned()))
                    }
                },
                None => {}
            }
        }
    }

    fn count(&mut self, record: &CrossingRecord, recorded: Option<Uuid>) {
        // This may write a checkpoint, which must not say that it has what it has not.
        self.advance();
        let LineCount { number, count_in, count_out, .. } = self.ledger.crossing(record);
        self.keeper.counted(recorded);
        let CrossingRecord { camera, line, direction, track, time_ms } = record;
        let labels = [
            ("camera", camera.clone()),
            ("line", line.clone()),
            ("direction", name_of(*direction).to_owned()),
        ];
        metrics::counter!("gantry_crossings_total", &labels).increment(1);
        self.tell_state();
        let message = json!({
            "camera": camera, "line": line, "direction": direction, "track": track, "time_ms": time_ms,
            "count_in": count_in, "count_out": count_out,
        });
        self.publish(&format!("counts/{camera}/crossing"), &message);
        let more = json!({ "kind": "crossing", "camera": camera, "line": line, "direction": direction, "track": track });
        self.ask_rules("on_count", *time_ms, more, number);
    }

    fn correct(&mut self, record: CorrectionRecord, reply: Reply) {
        match self.ledger.check_correction(&record) {
            Ok(_) => self.append(Entry::Correction(record, reply)),
            Err(error) => reply(Err(format!("counts.correct: {error}"))),
        }
    }

    fn corrected(&mut self, record: &CorrectionRecord, recorded: Uuid, reply: Reply) {
        self.advance();
        let corrected = self.ledger.correct(record);
        self.keeper.counted(Some(recorded));
        let answer = match corrected {
            Ok(totals) => {
                let CorrectionRecord { camera, line, count_in, count_out, reason, .. } = record;
                tracing::info!(camera, line, count_in, count_out, reason, "the counts are corrected");
                Ok(json!({ "count_in": totals.count_in, "count_out": totals.count_out }))
            }
            Err(error) => Err(format!("counts.correct: {error}")),
        };
        self.tell_state();
        reply(answer);
    }

    fn face(&mut self, face: FaceRecorded) {
        let FaceRecorded { face_id, camera, track, time_ms, record } = face;
        // One that could not be kept is not there to be looked at.
        let Some(record) = record else { return };
        self.ledger.face(face_id, time_ms);
        self.keeper.face(record);
        self.tell_state();
        let message = json!({ "face_id": face_id, "camera": camera, "time_ms": time_ms, "track": track });
        self.publish(&format!("faces/{camera}"), &message);
    }

    fn tick(&mut self) {
        self.advance();
        self.tell_state();
        self.keeper.save_sometimes(&self.ledger);
        self.report();
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(RETRY_TICKS) {
            self.deliver(0);
        }
        self.end_orphans();
        // Rules that are slower than a second hear of the next one.
        if !self.questions.iter().any(|question| question.hook == "on_tick") {
            let next = self.ledger.next_crossing();
            self.ask_rules("on_tick", self.now(), json!({}), next);
        }
    }
}

fn name_of(direction: gantry_counting::Direction) -> &'static str {
    match direction {
        gantry_counting::Direction::In => "in",
        gantry_counting::Direction::Out => "out",
    }
}

fn direction_of(direction: Direction) -> gantry_counting::Direction {
    match direction {
        Direction::In => gantry_counting::Direction::In,
        Direction::Out => gantry_counting::Direction::Out,
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

#[cfg(test)]
mod tests;
