//! A plugin in Rust behind the real border, on the test host: what it does wrong stays on its side.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

use gantry_plugin::test::Host as TestHost;
use gantry_plugin::{Error, Finding, Frame, Host, Plugin, abi, export_plugin};
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    panic_in: String,
    fail_in: String,
    keep: usize,
    blobs: bool,
}

impl Config {
    fn at(&self, place: &str) -> Result<(), Error> {
        assert!(self.panic_in != place, "told to panic");
        if self.fail_in == place { Err(Error::new("told to fail")) } else { Ok(()) }
    }
}

struct Subject {
    host: Host,
    config: Config,
    kept: Vec<Frame>,
}

impl Subject {
    fn at(&self, place: &str) {
        let _ = self.host.publish("was", place.as_bytes());
        let _ = self.config.at(place);
    }
}

impl Plugin for Subject {
    type Config = Config;

    fn validate(config: &Config) -> Vec<Finding> {
        let _ = config.at("validate");
        Vec::new()
    }

    fn create(host: Host, config: Config) -> Result<Self, Error> {
        config.at("create")?;
        host.subscribe("in/#")?;
        host.watch_state("key")?;
        host.watch_frames("main/jpeg", None)?;
        Ok(Self { host, config, kept: Vec::new() })
    }

    fn start(&mut self) -> Result<(), Error> {
        self.at("start");
        self.config.at("start")?;
        self.host.wake_after(Duration::from_secs(1), 1)?;
        if self.config.blobs {
            let refused = self.host.call_with("echo", &json!({}), &[b"blob"], 2).is_err();
            let _ = self.host.publish("was", if refused { b"blobs to echo are refused" } else { b"?" });
            self.host.call_with("count", &json!({}), &[b"blob", b""], 3)?;
        }
        self.host.call("echo", &json!({}), 1)
    }

    fn stop(&mut self) {
        self.at("stop");
    }

    fn on_frame(&mut self, frame: Frame) {
        self.at("on_frame");
        if self.kept.len() < self.config.keep {
            self.kept.push(frame);
        }
    }

    fn on_message(&mut self, _: &str, _: &[u8]) {
        self.at("on_message");
    }

    fn on_state(&mut self, _: &str, _: Value, _: u64) {
        self.at("on_state");
    }

    fn on_reply(&mut self, token: u64, reply: Result<Value, Error>) {
        let reply = reply.expect("an answer");
        if token == 3 {
            let _ = self.host.publish("was", format!("blobs {reply}").as_bytes());
        }
        self.at("on_reply");
    }

    fn on_wake(&mut self, _: u64) {
        self.at("on_wake");
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.at("drop");
    }
}

export_plugin!(Subject, "subject");

fn start(config: Value) -> Result<TestHost, String> {
    TestHost::start_with(&gantry_plugin_v1, config, |host| {
        host.offer("echo", Box::new(|request| Ok(request.clone())));
    })
}

/// What the instance was told, up to now.
fn was(host: &TestHost) -> Vec<String> {
    host.published().into_iter().map(|(_, place)| String::from_utf8(place).unwrap()).collect()
}

/// Everything that can come.
fn drive(host: &mut TestHost) {
    host.frame("main/jpeg", 2, 2, b"jpeg");
    host.message("in/a", b"x");
    host.set_state("key", json!(1));
    host.advance(Duration::from_secs(1));
}

#[test]
fn every_hook_is_told_and_the_end_is_in_order() {
    let mut host = start(json!({})).unwrap();
    drive(&mut host);
    assert_eq!(was(&host), ["start", "on_reply", "on_frame", "on_message", "on_state", "on_wake"]);
    assert!(!host.panicked());
}

#[test]
fn a_panic_in_any_hook_poisons_the_instance_and_says_where() {
    for place in ["on_reply", "on_frame", "on_message", "on_state", "on_wake"] {
        let mut host = start(json!({ "panic_in": place })).unwrap();
        drive(&mut host);
        assert!(host.panicked(), "{place}");
        // It is dropped at once, and nothing but `destroy` is called after it.
        assert_eq!(was(&host).last().unwrap(), "drop", "{place}");
        assert_eq!(was(&host).iter().filter(|was| *was == place).count(), 1, "{place}");
        let (level, message) = host.health().unwrap();
        assert_eq!(level, abi::HEALTH_FAILED);
        let expected = format!("panicked in {place}: told to panic (");
        assert!(message.starts_with(&expected) && message.contains("border.rs:"), "{message}");
    }
}

#[test]
fn what_fails_or_panics_before_it_runs_says_why() {
    for place in ["create", "start"] {
        let error = start(json!({ "fail_in": place })).err().unwrap();
        assert_eq!(error, "told to fail");
        let error = start(json!({ "panic_in": place })).err().unwrap();
        assert!(error.starts_with(&format!("panicked in {place}: told to panic (")), "{error}");
    }
}

#[test]
fn a_panic_in_stop_or_drop_is_survived() {
    for place in ["stop", "drop"] {
        start(json!({ "panic_in": place })).unwrap().stop();
    }
}

#[test]
fn what_is_wrong_with_a_configuration_is_told_with_its_path() {
    let findings = TestHost::validate(&gantry_plugin_v1, &json!({ "keep": "many" }));
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].path, "keep");
    let findings = TestHost::validate(&gantry_plugin_v1, &json!({ "panic_in": "validate" }));
    assert!(findings[0].message.starts_with("panicked in validate: told to panic ("), "{findings:?}");
    assert!(findings[0].message.ends_with(": tell the author of the plugin"), "{findings:?}");
}

#[test]
fn frames_are_kept_up_to_the_limit_and_given_back_with_the_instance() {
    let mut host = start(json!({ "keep": 100 })).unwrap();
    for _ in 0..40 {
        host.frame("main/jpeg", 2, 2, b"jpeg");
    }
    assert_eq!(host.kept_frames(), 32);
    assert_eq!(was(&host).iter().filter(|was| *was == "on_frame").count(), 32);
    assert!(!host.panicked());
}

#[test]
fn the_test_host_refuses_what_a_gateway_would_refuse() {
    struct Asks;
    impl Plugin for Asks {
        type Config = Value;
        fn create(host: Host, _: Value) -> Result<Self, Error> {
            assert!(host.publish("a/#", b"").is_err());
            assert!(host.publish("a", &vec![0; 64 * 1024 + 1]).is_err());
            assert!(host.subscribe("a/#/b").is_err());
            assert!(host.watch_state("").is_err());
            assert!(host.watch_frames("main/+", None).is_err());
            assert!(host.unsubscribe("never").is_err());
            assert!(host.call("any", &json!("x".repeat(256 * 1024)), 1).is_err());
            for n in 0..64 {
                host.subscribe(&format!("t/{n}"))?;
            }
            assert!(host.subscribe("one/more").is_err());
            host.subscribe("t/1")?;
            Ok(Self)
        }
    }
    static TABLE: abi::Plugin = gantry_plugin::__table::<Asks>("asks", "1");
    TestHost::start(&TABLE, json!({})).expect("every one is refused");
}

/// Arguments that only a runtime with a fault would pass.
#[test]
fn wrong_arguments_are_answered_and_nothing_else_happens() {
    let table = &gantry_plugin_v1;
    let bad = abi::Slice::new(b"a\xff");
    let null: *mut std::ffi::c_void = std::ptr::null_mut();
    // SAFETY: every entry looks at its pointers before it uses them; the slices are static.
    unsafe {
        assert_eq!((table.create.unwrap())(null.cast(), bad, bad, null.cast()), abi::INVALID);
        assert_eq!((table.start.unwrap())(null), abi::INVALID);
        assert_eq!((table.stop.unwrap())(null), abi::INVALID);
        assert_eq!((table.on_frame.unwrap())(null, null.cast()), abi::INVALID);
        assert_eq!((table.on_message.unwrap())(null, bad, bad), abi::INVALID);
        assert_eq!((table.on_state.unwrap())(null, bad, bad, 1), abi::INVALID);
        assert_eq!((table.on_reply.unwrap())(null, 1, abi::OK, bad), abi::INVALID);
        assert_eq!((table.on_wake.unwrap())(null, 1), abi::INVALID);
        assert_eq!((table.config_schema.unwrap())(None, null), abi::INVALID);
        assert_eq!((table.validate.unwrap())(bad, None, null), abi::INVALID);
        (table.destroy.unwrap())(null);
    }
}

#[cfg(feature = "tokio")]
mod worker {
    use super::*;
    use gantry_plugin::worker::Worker;

    struct Busy(Option<Worker>);

    impl Plugin for Busy {
        type Config = Value;
        fn create(host: Host, config: Value) -> Result<Self, Error> {
            let whole = config["panic"] == "main";
            let worker = Worker::spawn(host, "busy", async move |mut stopping| {
                let task = tokio::spawn(async { panic!("no lamp") });
                assert!(task.await.is_err());
                assert!(!whole, "told to panic");
                stopping.wait().await;
            });
            Ok(Self(Some(worker?)))
        }
        fn stop(&mut self) {
            self.0.take().unwrap().stop();
        }
    }

    static TABLE: abi::Plugin = gantry_plugin::__table::<Busy>("busy", "1");

    fn until(host: &mut TestHost, holds: impl Fn(&TestHost) -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while !holds(host) {
            assert!(std::time::Instant::now() < end, "{:?}", host.logs());
            host.advance(Duration::from_millis(1));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_panic_in_a_task_is_logged_and_the_worker_goes_on() {
        let mut host = TestHost::start(&TABLE, json!({})).unwrap();
        until(&mut host, |host| !host.logs().is_empty());
        let (level, line) = host.logs().remove(0);
        assert_eq!(level, abi::LOG_ERROR);
        assert!(line.starts_with("panicked on a worker thread: no lamp ("), "{line}");
        assert!(!host.panicked());
        host.stop();
    }

    #[test]
    fn a_panic_of_the_worker_ends_the_instance() {
        let mut host = TestHost::start(&TABLE, json!({ "panic": "main" })).unwrap();
        until(&mut host, TestHost::panicked);
        assert!(host.logs().iter().any(|(_, line)| line.contains("told to panic (")), "{:?}", host.logs());
    }
}

#[test]
fn blobs_reach_a_service_that_takes_them_and_no_other() {
    let mut host = TestHost::start_with(&gantry_plugin_v1, json!({ "blobs": true }), |host| {
        host.offer("echo", Box::new(|request| Ok(request.clone())));
        host.offer_with_blobs(
            "count",
            Box::new(|_, blobs| Ok(json!(blobs.iter().map(Vec::len).collect::<Vec<_>>()))),
        );
    })
    .unwrap();
    drive(&mut host);
    let told: Vec<_> = was(&host).into_iter().filter(|place| place.starts_with("blobs")).collect();
    assert_eq!(told, ["blobs to echo are refused", "blobs [4,0]"]);
}
