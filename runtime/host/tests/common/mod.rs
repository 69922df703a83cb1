//! A host with everything it needs, and libraries that are wrong.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use gantry_core::Runtime;
use gantry_core::config::Plugin;
use gantry_core::frames::{Format, Frame};
use gantry_host::{Plugins, Report, Settings};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The folder of the sources.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

/// The faulty plugin, which cargo has built beside this test.
pub fn faulty() -> String {
    let exe = std::env::current_exe().expect("a path");
    exe.with_file_name("libgantry_faulty.so").display().to_string()
}

/// Compiles a C fixture to `out`, as a plugin author would.
pub fn compile(source: &str, defines: &[&str], out: &Path) {
    let source = root().join(source);
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-Wextra", "-Werror", "-Wno-override-init", "-std=c11", "-fPIC", "-shared", "-I"]);
    cc.arg(root().join("runtime/abi/include")).args(defines).arg("-o").arg(out).arg(source);
    let output = cc.output().expect("a C compiler: run `make test`, which installs one");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A host in a folder of its own.
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub runtime: Runtime,
    pub plugins: Plugins,
    sequence: Mutex<u64>,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::default();
        let plugins = Plugins::new(runtime.clone(), settings(dir.path()));
        Self { dir, runtime, plugins, sequence: Mutex::new(0) }
    }

    /// Listens to a topic; what was heard grows in the returned list.
    pub fn hear(&self, filter: &str) -> Arc<Mutex<Vec<(String, String)>>> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = heard.clone();
        let me: Arc<str> = "test".into();
        let subscription = self.runtime.bus.subscribe(
            &me,
            filter,
            Arc::new(move |m| {
                let text = String::from_utf8_lossy(&m.payload).into_owned();
                log.lock().expect("sound").push((m.topic.to_string(), text));
            }),
        );
        std::mem::forget(subscription.expect("a good filter"));
        heard
    }

    pub fn say(&self, topic: &str, text: &str) {
        let me: Arc<str> = "test".into();
        self.runtime.bus.publish(&me, topic, text.to_owned().into()).expect("published");
    }

    /// Publishes one frame and returns it.
    pub fn frame(&self, stream: &str) -> Arc<Frame> {
        let stream = self.runtime.frames.stream(stream);
        let mut sequence = self.sequence.lock().expect("sound");
        *sequence += 1;
        let frame = Arc::new(Frame {
            stream: stream.name(),
            format: Format::Jpeg,
            width: 2,
            height: 2,
            sequence: *sequence,
            captured_unix_ns: *sequence,
            captured_monotonic_ns: *sequence,
            data: vec![7; 1000].into(),
        });
        stream.publish(&frame);
        frame
    }

    pub fn report(&self, id: &str) -> Option<Report> {
        self.plugins.reports().into_iter().find(|report| report.id == id)
    }

    pub fn state_of(&self, id: &str) -> String {
        let text = |r: Report| json!(r.state).as_str().unwrap_or_default().to_owned();
        self.report(id).map_or("none".to_owned(), text)
    }

    pub fn wait_for(&self, id: &str, state: &str) {
        until(
            &format!("{id} to be {state}"),
            || self.state_of(id) == state,
            || format!("{:?}", self.report(id)),
        );
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.plugins.shutdown(Instant::now() + Duration::from_secs(6));
    }
}

pub fn settings(dir: &Path) -> Settings {
    Settings { state_dir: dir.join("state"), plugin_dir: dir.to_owned() }
}

/// Waits until something holds, or fails with what there is instead.
pub fn until(what: &str, mut holds: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited 30 s for {what}; there is {}", otherwise());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A plugin section.
pub fn section(library: &str, own: &Value) -> Plugin {
    let own = own.as_object().cloned().unwrap_or_default();
    Plugin { library: Some(library.to_owned()), own, ..Plugin::default() }
}

/// A configuration's plugin sections.
pub fn sections<const N: usize>(list: [(&str, Plugin); N]) -> BTreeMap<String, Plugin> {
    list.into_iter().map(|(id, plugin)| (id.to_owned(), plugin)).collect()
}
