//! A folder of scripts, and the engine that watches it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use gantry_script::{
    Changed, Conversions, Direction, Done, Effect, Item, Mapping, ScriptError, Scripts, Settings,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;

pub struct Folder(TempDir);

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for kind in ["mappings", "rules", "lib"] {
            std::fs::create_dir(folder.0.path().join(kind)).expect("a folder");
        }
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).expect("written");
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).expect("removed");
    }

    pub fn settings(&self) -> Settings {
        let mut settings = Settings { dir: self.0.path().to_owned(), ..Settings::default() };
        // Long enough for a busy machine; what tests a deadline sets its own.
        settings.limits.deadline = std::time::Duration::from_secs(20);
        settings
    }

    /// What is wrong with the scripts, without the folder's name.
    pub fn problems(&self) -> Vec<String> {
        let dir = format!("{}/", self.0.path().display());
        gantry_script::check(&self.settings())
            .problems
            .iter()
            .map(|problem| problem.to_string().replace(&dir, ""))
            .collect()
    }
}

pub struct Running {
    pub folder: Folder,
    pub scripts: Scripts,
    pub changes: Receiver<Changed>,
}

impl Running {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = Folder::new(files);
        let settings = folder.settings();
        Self::with(folder, settings)
    }

    pub fn with(folder: Folder, settings: Settings) -> Self {
        let (tell, changes) = channel();
        let scripts = Scripts::start(settings, move |change| {
            let _ = tell.send(change);
        })
        .expect("a thread");
        Self { folder, scripts, changes }
    }

    /// What has changed since the last call, in words.
    pub fn changed(&self) -> Vec<String> {
        let dir = format!("{}/", self.folder.path("").display()).replace("//", "/");
        self.changes
            .try_iter()
            .map(|change| match change {
                Changed::Mapping(mapping) => format!("mapping {}", mapping.name()),
                Changed::Rule(name) => format!("rule {name}"),
                Changed::Removed(name) => format!("removed {name}"),
                Changed::Recovered(name) => format!("recovered {name}"),
                Changed::Problem(name, text) => format!("problem {name}: {}", text.replace(&dir, "")),
            })
            .collect()
    }

    /// The one mapping that has changed.
    pub fn mapping(&self) -> Arc<Mapping> {
        let mut found = None;
        for change in self.changes.try_iter() {
            match change {
                Changed::Mapping(mapping) => found = Some(mapping),
                Changed::Problem(name, text) => panic!("{name}: {text}"),
                _ => {}
            }
        }
        found.expect("a mapping")
    }

    pub fn convert(
        &self,
        mapping: &Arc<Mapping>,
        direction: Direction,
        items: &[(&str, Value)],
    ) -> Conversions {
        let items = items
            .iter()
            .map(|(key, value)| Item {
                key: (*key).into(),
                value: value.clone(),
                current: Some("off".into()),
            })
            .collect();
        let (reply, done) = channel();
        self.scripts.convert(mapping, direction, items, move |results| {
            let _ = reply.send(results);
        });
        done.recv().expect("a reply")
    }

    pub fn event(&self, hook: &str, event: Value) -> Done {
        let (reply, done) = channel();
        self.scripts.event(hook, event, move |results| {
            let _ = reply.send(results);
        });
        done.recv().expect("a reply")
    }

    /// Of the only rule.
    pub fn effects(&self, hook: &str, event: Value) -> Result<Vec<Effect>, ScriptError> {
        let mut done = self.event(hook, event);
        assert_eq!(done.len(), 1, "{done:?}");
        done.remove(0).1
    }

    pub fn states(&self) -> BTreeMap<String, Value> {
        let (reply, done) = channel();
        self.scripts.states(move |states| {
            let _ = reply.send(states);
        });
        done.recv().expect("a reply")
    }
}

/// An error as text, without the folder in front.
pub fn told(folder: &Folder, error: &ScriptError) -> String {
    error.to_string().replace(&format!("{}/", folder.path("").display()).replace("//", "/"), "")
}
