use super::*;
use crate::counts::Acts;
use crate::records::Records;
use bytes::Bytes;
use gantry_control::{Control, Converter, Done as ButtonDone, Item, Journal, Mapping, Targets, Who};
use gantry_core::Runtime;
use gantry_core::observable::Target;
use gantry_script::Scripts;
use gantry_store::Query;
use std::sync::atomic::AtomicI64;
use std::sync::mpsc::channel;

/// Nothing to act on, nothing to convert, nothing to note.
struct Nothing;

impl Acts for Nothing {
    fn snapshot(&self, _: Option<&str>) {}
}

impl Targets for Nothing {
    fn available(&self, _: &Target) -> Result<(), String> {
        Ok(())
    }
    fn configured(&self, _: &Target) -> Option<Value> {
        None
    }
    fn act(&self, _: &Target, _: &Value, done: ButtonDone) -> Result<(), String> {
        done();
        Ok(())
    }
}

impl Converter for Nothing {
    fn convert(
        &self,
        _: &Mapping,
        _: gantry_control::Direction,
        items: Vec<Item>,
    ) -> Vec<Result<Value, String>> {
        items.into_iter().map(|item| Ok(item.value)).collect()
    }
}

impl Journal for Nothing {
    fn changed(&self, _: &Who, _: &str, _: &Value, _: &Value) {}
}

/// A worker whose time is the test's, and what it keeps over kills.
struct Bench {
    folder: tempfile::TempDir,
    time: Arc<AtomicI64>,
}

/// One life of it.
struct Life {
    worker: Worker,
    orders: Receiver<Order>,
    records: Arc<Records>,
}

/// Five minutes to eleven, UTC.
const MORNING: i64 = 1_763_722_500_000;
const MINUTE: i64 = 60_000;

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, time: Arc::new(AtomicI64::new(MORNING)) }
    }

    fn config(&self) -> Config {
        let text = json!({
            "state_dir": self.folder.path(),
            "analysis": { "main": { "lines": { "door": { "from": [0.5, 0.0], "to": [0.5, 1.0] } } } },
            "counts": { "time_zone": "UTC" },
        });
        serde_json::from_value(text).expect("a configuration")
    }

    fn life(&self) -> Life {
        let (config, runtime) = (self.config(), Runtime::default());
        let records = Arc::new(Records::open(&config, runtime.health.clone()).expect("a store"));
        let scripts = Scripts::start(gantry_script::Settings::default(), |_| {}).expect("a thread");
        let nothing = Arc::new(Nothing);
        let control = Control::start(gantry_control::Parts {
            runtime: runtime.clone(),
            targets: nothing.clone(),
            converter: nothing.clone(),
            journal: nothing.clone(),
        });
        let time = self.time.clone();
        let parts = Arc::new(Parts {
            runtime,
            records: records.clone(),
            scripts: Arc::new(scripts),
            control: Arc::new(control.expect("a thread")),
            acts: nothing,
            tape: Arc::default(),
            clock: Box::new(move || time.load(Ordering::Relaxed)),
            has_rule: Box::new(|_| true),
        });
        let (sender, orders) = channel();
        let worker = Worker::new(parts, sender, Arc::new(AtomicUsize::new(usize::MAX / 2)), &config);
        Life { worker, orders, records }
    }

    fn pass(&self, ms: i64) {
        self.time.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Life {
    fn cross(&mut self, time_ms: i64) {
        let (camera, line) = ("main".to_owned(), "door".to_owned());
        let direction = Direction::In;
        self.worker.take(Order::Seen(Seen::Crossing { camera, line, direction, track: 1, unix_ms: time_ms }));
    }

    fn face(&mut self, time_ms: i64) {
        let jpeg = Bytes::from(format!("jpeg {time_ms}"));
        let camera = "main".to_owned();
        let seen = Seen::Face { camera, track: 1, unix_ms: time_ms, score: 0.9, jpeg, width: 8, height: 8 };
        self.worker.take(Order::Seen(seen));
    }

    /// The next order of a kind, which the disk or the rules owe it.
    fn owed(&mut self, kind: impl Fn(&Order) -> bool) -> Order {
        loop {
            let order = self.orders.recv_timeout(Duration::from_secs(20)).expect("an order");
            if kind(&order) {
                return order;
            }
            self.worker.take(order);
        }
    }

    fn take(&mut self, kind: impl Fn(&Order) -> bool) {
        let order = self.owed(kind);
        self.worker.take(order);
    }

    fn counted(&self) -> u64 {
        self.worker.ledger.snapshot().count_in
    }

    fn records(&self, collection: &str) -> Vec<Value> {
        let found = self.records.store().read().query(&Query::collection(collection)).expect("readable");
        found.iter().map(|record| serde_json::from_str(&record.json).expect("JSON")).collect()
    }

    /// No last words.
    fn killed(self) {
        self.records.close();
    }
}

fn is_recorded(order: &Order) -> bool {
    matches!(order, Order::Recorded(..))
}

#[test]
fn the_first_crossing_after_an_hour_has_ended_is_there_after_a_kill() {
    let bench = Bench::new();
    let mut life = bench.life();
    life.cross(MORNING);
    life.take(is_recorded);
    // Recorded before the hour ended, and counted after it.
    life.cross(MORNING + 4 * MINUTE);
    let recorded = life.owed(is_recorded);
    bench.pass(6 * MINUTE);
    life.worker.take(recorded);
    assert_eq!(life.counted(), 2);
    life.killed();
    assert_eq!(bench.life().counted(), 2);
}

#[test]
fn the_sums_of_an_hour_are_told_until_the_store_has_them() {
    let bench = Bench::new();
    let mut life = bench.life();
    life.cross(MORNING);
    life.take(is_recorded);
    bench.pass(6 * MINUTE);
    // The end of the hour is in the checkpoint; the store goes away before it has its record.
    life.records.close();
    life.worker.advance();
    life.killed();
    let mut life = bench.life();
    life.take(|order| matches!(order, Order::Delivered(_)));
    let hours = life.records("hours");
    assert_eq!(hours.len(), 1, "{hours:?}");
    assert_eq!(hours[0]["lines"]["main/door"]["count_in"], 1);
    assert_eq!(life.worker.keeper.letters().count(), 0);
}

#[test]
fn an_event_and_its_record_survive_a_kill_and_are_there_once() {
    let bench = Bench::new();
    let mut life = bench.life();
    let begin = gantry_script::Effect::BeginEvent { name: "busy".to_owned(), data: json!({}) };
    life.worker.ask_rules("on_tick", MORNING, json!({}), 1);
    life.worker.ruled(vec![("busy-period".to_owned(), Ok(vec![begin]))]);
    life.take(|order| matches!(order, Order::Delivered(_)));
    // The checkpoint still has the letter.
    life.killed();
    let mut life = bench.life();
    assert!(life.worker.ledger.snapshot().events["busy"].active);
    life.take(|order| matches!(order, Order::Delivered(_)));
    let events = life.records("events");
    assert_eq!((events.len(), &events[0]["type"]), (1, &json!("event-started")));
}

#[test]
fn a_number_of_a_face_is_never_given_twice() {
    let bench = Bench::new();
    let mut life = bench.life();
    life.face(MORNING);
    life.take(|order| matches!(order, Order::Face(_)));
    assert_eq!(life.records("faces")[0]["face_id"], 1);
    assert_eq!(life.worker.ledger.snapshot().faces, 1);
    life.records.store().remove_all("faces").expect("removed");
    life.killed();
    let mut life = bench.life();
    life.face(MORNING);
    life.take(|order| matches!(order, Order::Face(_)));
    let second = life.records("faces")[0]["face_id"].as_u64().expect("a number");
    assert!(second > 1, "{second}");
}

#[test]
fn what_the_store_refuses_is_counted_and_kept_all_the_same() {
    let bench = Bench::new();
    let mut life = bench.life();
    life.records.close();
    life.cross(MORNING);
    life.take(is_recorded);
    let (reply, answer) = channel();
    let correction = CorrectionRecord {
        camera: "main".to_owned(),
        line: "door".to_owned(),
        count_in: 3,
        count_out: 0,
        reason: String::new(),
        time_ms: MORNING,
    };
    let reply = Box::new(move |answered| reply.send(answered).expect("somebody listens"));
    life.worker.take(Order::Correct(correction, reply));
    life.take(is_recorded);
    let refused = answer.recv().expect("an answer").expect_err("a correction that is not kept is none");
    assert!(refused.contains("cannot be recorded"), "{refused}");
    life.worker.tick();
    life.killed();
    assert_eq!(bench.life().counted(), 1);
}

#[test]
fn a_new_day_begins_with_nothing_counted_and_the_one_before_is_a_record() {
    let bench = Bench::new();
    let mut life = bench.life();
    let resets = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = resets.clone();
    let _subscription = life
        .worker
        .parts
        .runtime
        .bus
        .subscribe(
            &"test".into(),
            "counts/reset",
            Arc::new(move |message| heard.lock().expect("a list").push(message.payload.clone())),
        )
        .expect("a filter");
    life.cross(MORNING);
    life.take(is_recorded);
    // Past three o'clock of the next morning.
    bench.pass(17 * 60 * MINUTE);
    life.worker.tick();
    assert_eq!(life.counted(), 0);
    assert_eq!(resets.lock().expect("a list").len(), 1);
    while life.worker.keeper.letters().count() > 0 {
        life.take(|order| matches!(order, Order::Delivered(_)));
    }
    let days = life.records("days");
    assert_eq!((days.len(), &days[0]["count_in"]), (1, &json!(1)), "{days:?}");
    life.killed();
    assert_eq!(bench.life().counted(), 0);
}

#[test]
fn records_that_find_no_room_before_the_rules_are_refused_and_crossings_are_not_pushed_out_by_them() {
    let bench = Bench::new();
    let mut life = bench.life();
    let (told, answers) = channel();
    // The first is before the rules, 1024 wait.
    for n in 0..1027 {
        let told = told.clone();
        let then: crate::counts::Then = Box::new(move |marks| _ = told.send((n, marks.is_err())));
        life.worker.take(Order::Record("on_detection", json!({}), then));
    }
    assert_eq!(answers.try_iter().collect::<Vec<_>>(), [(1025, true), (1026, true)]);
    life.worker.ask_rules("on_count", MORNING, json!({}), 1);
    assert_eq!(life.worker.questions.back().map(|question| question.hook), Some("on_count"));
    drop(told);
    let mut looked = 0;
    while looked < 1025 {
        life.take(|order| matches!(order, Order::Ruled(_)));
        looked += answers.try_iter().filter(|(_, refused)| !refused).count();
    }
    assert_eq!(life.worker.questions.len(), 0, "the crossing was asked about, too");
}
