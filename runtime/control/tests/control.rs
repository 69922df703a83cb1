//! Control with invented cameras: what is written is checked, acted on, kept, remembered and told, in that order.

#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

use gantry_control::{
    Answer, Control, Conversion, Converter, Direction, Done, Item, Journal, Kept, Key, Mapping, Parts,
    Targets, Who, Writers,
};
use gantry_core::Runtime;
use gantry_core::access::Role;
use gantry_core::config::Observable;
use gantry_core::observable::Target;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

type Entry = (Option<String>, String, Value, Value);

/// Cameras and lights that note what is done to them.
#[derive(Default)]
struct Fakes {
    acted: Mutex<Vec<(Target, Value)>>,
    missing: Mutex<BTreeSet<String>>,
    held: Mutex<Vec<Done>>,
    journal: Mutex<Vec<Entry>>,
}

fn name(target: &Target) -> String {
    match target {
        Target::Control { control, .. } => control.clone(),
        Target::Record { .. } => "record".into(),
        Target::Snapshot { .. } => "snapshot".into(),
        Target::Light { light } => light.clone(),
    }
}

impl Targets for Fakes {
    fn available(&self, target: &Target) -> Result<(), String> {
        let name = name(target);
        if self.missing.lock().unwrap().contains(&name) {
            Err(format!("{name} is not there"))
        } else {
            Ok(())
        }
    }

    fn configured(&self, target: &Target) -> Option<Value> {
        (name(target) == "fps").then(|| json!(30))
    }

    fn act(&self, target: &Target, value: &Value, done: Done) -> Result<(), String> {
        if value == &json!(13) {
            return Err("the camera does not take 13".into());
        }
        self.acted.lock().unwrap().push((target.clone(), value.clone()));
        self.held.lock().unwrap().push(done);
        Ok(())
    }
}

impl Journal for Fakes {
    fn changed(&self, who: &Who, key: &str, from: &Value, to: &Value) {
        let entry = (who.user.clone(), key.to_owned(), from.clone(), to.clone());
        self.journal.lock().unwrap().push(entry);
    }
}

impl Converter for Fakes {
    fn convert(&self, _: &Mapping, direction: Direction, items: Vec<Item>) -> Vec<Result<Value, String>> {
        let convert = |item: Item| match (direction, item.value.as_i64()) {
            (Direction::Inward, Some(n)) if n >= 1 => Ok(json!(n - 1)),
            (Direction::Inward, _) => Err("Value must be 1 or more".to_owned()),
            (Direction::Outward, n) => Ok(json!(n.unwrap_or_default() + 1)),
        };
        items.into_iter().map(convert).collect()
    }
}

struct Rig {
    control: Control,
    runtime: Runtime,
    fakes: Arc<Fakes>,
    told: Receiver<Value>,
    _subscription: gantry_core::bus::Subscription,
}

fn observables() -> BTreeMap<String, Observable> {
    serde_json::from_value(json!({
        "brightness": {"type": "int", "range": [0, 100], "default": 50, "acts_on": ["camera/main/brightness"]},
        "fps": {"type": "int", "range": [5, 60], "acts_on": ["camera/main/fps"]},
        "cameraSwitch": {"type": "int", "range": [0, 1], "acts_on": ["camera/main/cameraSwitch"]},
        "takePicture": {"type": "bool", "momentary": true, "acts_on": ["camera/main/snapshot"]},
        "cam0Exists": {"type": "bool", "follows": "cameras/main/connected"},
        "secret": {"type": "string", "read": "operator", "write": "administrator", "acts_on": ["light/secret"]},
        "plain": {"type": "string"}
    }))
    .expect("declarations")
}

fn mapping() -> Mapping {
    let mut keys: BTreeMap<String, Key> =
        ["brightness", "fps", "secret", "plain"].map(|key| (key.to_owned(), Key::of(key))).into();
    keys.insert("snap".into(), Key::of("takePicture"));
    keys.insert("cam1-exists".into(), Key::of("cam0Exists"));
    let small = Arc::new(|value: &Value| {
        if value.as_str().is_some_and(|text| text.len() < 9) {
            Ok(())
        } else {
            Err("Value must be short".to_owned())
        }
    });
    keys.insert("short".into(), Key { accepts: Some(small), ..Key::of("plain") });
    let main = Key { inward: Conversion::Function, outward: Conversion::Function, ..Key::of("cameraSwitch") };
    keys.insert("main-camera".into(), main);
    keys.insert("guarded".into(), Key { write: Writers::AtLeast(Role::Administrator), ..Key::of("plain") });
    Mapping { name: "cpro".into(), generation: 1, keys }
}

fn rig() -> Rig {
    let (runtime, fakes) = (Runtime::default(), Arc::<Fakes>::default());
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let sink: gantry_core::bus::MessageSink = Arc::new(move |message| {
        let _ = tell.lock().unwrap().send(serde_json::from_slice(&message.payload).expect("JSON"));
    });
    let subscription =
        runtime.bus.subscribe(&"test".into(), "mappings/cpro/changed", sink).expect("a filter");
    let parts = Parts {
        runtime: runtime.clone(),
        targets: fakes.clone(),
        converter: fakes.clone(),
        journal: fakes.clone(),
    };
    let control = Control::start(parts).expect("a thread");
    control.declare(observables(), BTreeMap::new());
    control.map(mapping());
    control.settle();
    let rig = Rig { control, runtime, fakes, told, _subscription: subscription };
    rig.forget();
    rig
}

fn user(role: Role) -> Who {
    let user = (role > Role::Anonymous).then(|| role.name().to_owned());
    Who { user, role: Some(role), via: "cpro".into(), address: None }
}

impl Rig {
    fn forget(&self) {
        while self.told.try_recv().is_ok() {}
        self.fakes.acted.lock().unwrap().clear();
    }

    fn write(&self, role: Role, values: Value) -> Answer {
        let (tell, told) = channel();
        let Value::Object(values) = values else { panic!("an object") };
        let reply = Box::new(move |answer| tell.send(answer).expect("somebody waits"));
        self.control.write_mapped("cpro", user(role), values, reply);
        told.recv().expect("an answer").expect("a mapping of that name")
    }

    fn told(&self) -> Value {
        self.control.settle();
        self.told.try_recv().expect("a message")
    }

    fn nothing_told(&self) {
        self.control.settle();
        assert_eq!(self.told.try_recv().ok(), None);
    }
}

fn values(answer: &Answer) -> Value {
    Value::Object(answer.values.iter().cloned().collect::<Map<_, _>>())
}

fn errors(answer: &Answer) -> Vec<(&str, &str, &str)> {
    let all = answer.rejected.iter();
    all.map(|r| (r.error, r.key.as_str(), r.message.as_deref().unwrap_or_default())).collect()
}

#[test]
fn a_write_acts_is_kept_remembered_and_told_to_everybody() {
    let rig = rig();
    let answer = rig.write(Role::Operator, json!({"fps": 20, "brightness": 75.0}));
    assert_eq!(answer.values, [("fps".to_owned(), json!(20)), ("brightness".to_owned(), json!(75))]);
    assert_eq!(answer.rejected, []);
    let acted: Vec<_> = rig.fakes.acted.lock().unwrap().iter().map(|(t, v)| (name(t), v.clone())).collect();
    assert_eq!(acted, [("fps".to_owned(), json!(20)), ("brightness".to_owned(), json!(75))]);
    assert_eq!(rig.runtime.state.get("brightness").map(|(value, _)| value), Some(json!(75)));
    let who = Some("operator".to_owned());
    assert_eq!(
        *rig.fakes.journal.lock().unwrap(),
        [
            (who.clone(), "fps".to_owned(), json!(30), json!(20)),
            (who, "brightness".to_owned(), json!(50), json!(75))
        ]
    );
    let told = rig.told();
    assert_eq!(
        told["values"].to_string(),
        r#"{"fps":20,"brightness":75}"#,
        "one message, in the writer's order"
    );
    assert_eq!(told["read"], json!({"fps": "anonymous", "brightness": "anonymous"}));
    assert_eq!(told["sequence"], json!(answer.sequence + 1));
    // What is written again changes nothing, and everybody hears of it all the same.
    rig.write(Role::Operator, json!({"brightness": 75}));
    assert_eq!(rig.told()["sequence"], json!(answer.sequence + 2));
    assert_eq!(rig.fakes.journal.lock().unwrap().len(), 2);
}

#[test]
fn each_key_is_refused_alone_and_says_why() {
    let rig = rig();
    let answer = rig.write(
        Role::Operator,
        json!({"brightness": 150, "fps": 13, "nothing": 1, "cam1-exists": true, "secret": "x", "guarded": "x",
               "main-camera": 0, "plain": "kept", "short": "much too long"}),
    );
    assert_eq!(values(&answer), json!({"plain": "kept"}));
    assert_eq!(
        errors(&answer),
        [
            ("Invalid value", "brightness", "Value must be between 0 and 100"),
            ("Invalid value", "fps", "the camera does not take 13"),
            ("Unknown key", "nothing", ""),
            ("Permission denied", "cam1-exists", "This key can only be read"),
            ("Permission denied", "secret", "This needs the role administrator"),
            ("Permission denied", "guarded", "This needs the role administrator"),
            ("Invalid value", "main-camera", "Value must be 1 or more"),
            ("Invalid value", "short", "Value must be short"),
        ]
    );
    assert_eq!(rig.told()["values"], json!({"guarded": "kept", "plain": "kept", "short": "kept"}));
    let answer = rig.write(Role::Anonymous, json!({"brightness": 1}));
    assert_eq!(errors(&answer), [("Permission denied", "brightness", "Log in as operator")]);
    rig.nothing_told();
}

#[test]
fn reading_shows_what_somebody_may_read_and_nothing_else() {
    let rig = rig();
    let read = |role, keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        rig.control.read_mapped("cpro", &user(role), Some(&keys)).expect("a mapping")
    };
    let answer = read(Role::Anonymous, &["brightness", "secret", "x", "main-camera"]);
    assert_eq!(values(&answer), json!({"brightness": 50, "main-camera": 1}));
    assert_eq!(errors(&answer), [("Unknown key", "secret", ""), ("Unknown key", "x", "")]);
    assert_eq!(values(&read(Role::Operator, &["secret"])), json!({"secret": ""}));
    let nobody = Who { role: None, ..user(Role::Anonymous) };
    let all = |who| values(&rig.control.read_mapped("cpro", who, None).expect("a mapping"));
    assert_eq!(all(&nobody), json!({}));
    assert_eq!(all(&user(Role::Viewer)).as_object().map(Map::len), Some(8));
    let described = rig.control.describe("cpro", &user(Role::Operator)).expect("a mapping");
    let brightness = json!({"read": true, "write": true, "type": "int", "min": 0.0, "max": 100.0});
    assert_eq!(described["keys"]["brightness"], brightness);
    assert_eq!(described["keys"]["guarded"], json!({"read": true, "write": false, "type": "string"}));
    assert_eq!(
        described["keys"]["main-camera"],
        json!({"read": true, "write": true}),
        "what it takes is the script's"
    );
    assert!(described["permissions"].as_array().expect("a list").contains(&json!("write:brightness")));
    let error = rig.control.describe("cpr", &user(Role::Viewer)).expect_err("no such mapping");
    assert!(error.contains("use one of cpro"), "{error}");
}

#[test]
fn a_button_falls_back_when_what_it_began_is_done() {
    let rig = rig();
    assert_eq!(values(&rig.write(Role::Operator, json!({"snap": true}))), json!({"snap": true}));
    assert_eq!(rig.told()["values"], json!({"snap": true}));
    rig.nothing_told();
    let done = rig.fakes.held.lock().unwrap().pop().expect("it acts");
    done();
    assert_eq!(rig.told()["values"], json!({"snap": false}));
    // Letting go of a button does nothing.
    rig.forget();
    assert_eq!(values(&rig.write(Role::Operator, json!({"snap": false}))), json!({"snap": false}));
    assert!(rig.fakes.acted.lock().unwrap().is_empty());
}

#[test]
fn what_follows_the_cameras_changes_with_them() {
    let rig = rig();
    rig.runtime.state.set("cameras/main/connected", json!(true)).expect("set");
    assert_eq!(rig.told()["values"], json!({"cam1-exists": true}));
    rig.runtime.state.remove("cameras/main/connected");
    assert_eq!(rig.told()["values"], json!({"cam1-exists": false}));
    rig.control.report("cameraSwitch", json!(1));
    assert_eq!(rig.told()["values"], json!({"main-camera": 2}));
}

#[test]
fn what_has_nothing_to_act_on_is_missing_until_it_has() {
    let rig = rig();
    rig.fakes.missing.lock().unwrap().insert("brightness".into());
    rig.control.refresh();
    let answer = rig.write(Role::Operator, json!({"brightness": 10}));
    assert_eq!(errors(&answer), [("Unknown key", "brightness", "brightness is not there")]);
    let all = rig.control.read_mapped("cpro", &user(Role::Viewer), None).expect("a mapping");
    assert!(!values(&all).as_object().expect("an object").contains_key("brightness"));
    rig.nothing_told();
    rig.fakes.missing.lock().unwrap().clear();
    rig.control.refresh();
    assert_eq!(rig.told()["values"], json!({"brightness": 50}));
    // Why it is missing is told to those who may read it, and to nobody else.
    rig.fakes.missing.lock().unwrap().insert("secret".into());
    rig.control.refresh();
    rig.control.settle();
    let why = |role| rig.write(role, json!({"secret": "x"})).rejected[0].message.clone();
    assert_eq!(why(Role::Operator).as_deref(), Some("secret is not there"));
    assert_eq!(why(Role::Anonymous), None);
}

#[test]
fn a_mapping_that_is_loaded_anew_tells_what_has_become_other() {
    let rig = rig();
    let mut edited = mapping();
    edited.keys.insert("luma".into(), Key::of("brightness"));
    edited.keys.remove("plain");
    rig.control.map(edited);
    let told = rig.told();
    assert_eq!(told["values"], json!({"luma": 50}));
    let answer = rig.write(Role::Operator, json!({"luma": 60, "plain": "x"}));
    assert_eq!(values(&answer), json!({"luma": 60}));
    assert_eq!(answer.sequence, told["sequence"].as_u64().expect("a number"), "the numbers go on");
    assert_eq!(rig.told()["values"], json!({"luma": 60, "brightness": 60}));
    rig.control.unmap("cpro");
    rig.control.settle();
    assert!(rig.control.describe("cpro", &user(Role::Viewer)).is_err());
}

fn kept<const N: usize>(values: [(&str, Value, Value); N]) -> BTreeMap<String, Kept> {
    values.map(|(key, value, first)| (key.to_owned(), Kept { value, first })).into()
}

#[test]
fn what_was_kept_is_forgotten_when_the_configuration_has_changed_meanwhile() {
    let rig = rig();
    rig.control.declare(BTreeMap::new(), BTreeMap::new());
    rig.control.declare(observables(), kept([("brightness", json!(80), json!(45))]));
    rig.control.settle();
    assert_eq!(rig.runtime.state.get("brightness").map(|(value, _)| value), Some(json!(50)));
}

#[test]
fn values_from_before_hold_unless_the_configuration_says_another() {
    let rig = rig();
    let get = |key| rig.runtime.state.get(key).map(|(value, _)| value);
    assert_eq!(get("fps"), Some(json!(30)), "as the camera is configured");
    rig.write(Role::Operator, json!({"brightness": 70}));
    let mut declared = observables();
    rig.control.declare(declared.clone(), kept([("brightness", json!(1), json!(50))]));
    rig.control.settle();
    assert_eq!(get("brightness"), Some(json!(70)), "it has a value already");
    declared.get_mut("brightness").expect("declared").default = Some(json!(40));
    rig.forget();
    rig.control.declare(declared, BTreeMap::new());
    rig.control.settle();
    assert_eq!(get("brightness"), Some(json!(40)), "the operator has changed his mind");
    assert!(rig.fakes.acted.lock().unwrap().iter().any(|(t, v)| name(t) == "brightness" && v == &json!(40)));
    assert_eq!(rig.told()["values"], json!({"brightness": 40}));
}

#[test]
fn after_a_restart_what_was_kept_is_acted_on_again() {
    let rig = rig();
    rig.control.declare(BTreeMap::new(), BTreeMap::new());
    rig.control.settle();
    let before = [("brightness", json!(80), json!(50)), ("fps", json!("rubbish"), json!(30))];
    rig.control.declare(observables(), kept(before.clone()));
    rig.control.settle();
    assert_eq!(rig.runtime.state.get("brightness").map(|(value, _)| value), Some(json!(80)));
    assert_eq!(rig.runtime.state.get("fps").map(|(value, _)| value), Some(json!(30)));
    assert_eq!(rig.control.kept()["brightness"], kept(before)["brightness"]);
    assert!(!rig.control.kept().contains_key("takePicture"));
    let acted = rig.fakes.acted.lock().unwrap();
    assert!(acted.iter().any(|(target, value)| name(target) == "brightness" && value == &json!(80)));
    assert!(
        !acted.iter().any(|(target, _)| matches!(target, Target::Snapshot { .. })),
        "no picture by itself"
    );
}

#[test]
fn plugins_write_observables_by_name_and_words_of_their_own_all_or_nothing() {
    let rig = rig();
    let write = |batch: Value| {
        let (tell, told) = channel();
        let Value::Object(batch) = batch else { panic!("an object") };
        let reply = Box::new(move |answer| tell.send(answer).expect("somebody waits"));
        rig.control.write(Who::part("lidar"), batch, reply);
        told.recv().expect("an answer").expect("always")
    };
    let answer = write(json!({"brightness": 10, "robot/lidar": {"m": 2}, "cam0Exists": true}));
    assert_eq!(values(&answer), json!({}));
    assert_eq!(errors(&answer), [("Permission denied", "cam0Exists", "")]);
    rig.nothing_told();
    assert_eq!(rig.runtime.state.get("robot/lidar"), None);
    assert_eq!(errors(&write(json!({"brightness": 10, "a/#": 1}))).len(), 1);
    rig.nothing_told();
    let answer = write(json!({"brightness": 10, "robot/lidar": {"m": 2}}));
    assert_eq!(values(&answer), json!({"robot/lidar": {"m": 2}, "brightness": 10}));
    assert_eq!(rig.told()["values"], json!({"brightness": 10}));
}
