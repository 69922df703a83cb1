//! Tests as data: `NAME.test.toml` beside `NAME.rhai`.
//!
//! For a mapping, what becomes of what clients write, and what they read:
//!
//! ```toml
//! [[write]]
//! key = "record"
//! value = "on"
//! current = "off"      # what the observable is; only functions with two parameters see it
//! becomes = "on"       # or `refused = "a part of the sentence that the client gets"`
//!
//! [[read]]
//! key = "record"
//! value = "off"        # what the observable is
//! shows = false
//! ```
//!
//! For a rule, what it causes step by step:
//!
//! ```toml
//! [[case]]
//! name = "three people are a crowd"
//! config = { n = 3 }
//! state = { busy = false }     # what `this` is at first, over what the script says
//! event = { camera = "main" }  # what every event has, if the step does not say it otherwise
//!
//! [[case.step]]
//! hook = "on_count"
//! event = { entered = 4 }
//! effects = [{ effect = "begin_event", name = "crowd", data = {} }]
//! # or `fails = "a part of the error"`
//!
//! [[case]]
//! name = "a crowd must be made of numbers"
//! config = { n = "three" }
//! fails = "n must be"          # the script refuses to be loaded with that
//! ```
//!
//! Events that a step begins run in the steps after it: `event.events` is made of what the rule caused. What
//! a step itself says in `events` holds instead, from there on.

use crate::effect::Effect;
use crate::error::{ErrorKind, ScriptError};
use crate::events::Events;
use crate::offline::{Offline, on_a_large_stack};
use crate::rule::{HOOKS, Rule};
use crate::scripts::{Direction, Item, Settings};
use crate::source::{Folder, Id};
use crate::{convert, load};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The largest test file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// What came of all tests of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many tests held.
    pub passed: usize,
    /// What did not hold, each a sentence that begins with the file.
    pub failed: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    write: Vec<Write>,
    #[serde(default)]
    read: Vec<Read>,
    #[serde(default)]
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Write {
    key: String,
    value: Value,
    current: Option<Value>,
    becomes: Option<Value>,
    refused: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    key: String,
    value: Value,
    shows: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    config: Option<Value>,
    state: Option<Value>,
    event: Option<Map<String, Value>>,
    #[serde(default)]
    step: Vec<Step>,
    fails: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    hook: String,
    event: Value,
    #[serde(default)]
    effects: Vec<Effect>,
    fails: Option<String>,
}

/// Runs every test of a folder of scripts. Scripts that are not good count as failed.
#[must_use]
pub fn run(settings: &Settings) -> Report {
    on_a_large_stack(|| {
        let offline = Offline::load(settings);
        let mut report = Report::default();
        report.failed.extend(offline.problems.iter().map(ToString::to_string));
        for folder in [Folder::Mappings, Folder::Rules] {
            for path in tests_of(&settings.dir.join(folder.name())) {
                let mut runner = Runner { file: path.display().to_string(), report: &mut report };
                runner.file(&offline, folder, &path);
            }
        }
        report
    })
}

/// The `*.test.toml` of a folder, sorted.
fn tests_of(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_test = |path: &PathBuf| {
        path.file_name()
            .and_then(|n| n.to_str())
            .is_some_and(|n| n.ends_with(".test.toml") && !n.starts_with('.'))
    };
    let mut paths: Vec<_> = entries.filter(is_test).collect();
    paths.sort();
    paths
}

struct Runner<'a> {
    file: String,
    report: &'a mut Report,
}

impl Runner<'_> {
    fn check(&mut self, what: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.report.passed += 1,
            Err(problem) => self.report.failed.push(format!("{}: {what}: {problem}", self.file)),
        }
    }

    fn file(&mut self, offline: &Offline, folder: Folder, path: &Path) {
        let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".test.toml"));
        let name = name.unwrap_or_default().to_owned();
        let file = match read(path) {
            Ok(file) => file,
            Err(problem) => return self.report.failed.push(format!("{}: {problem}", self.file)),
        };
        let source = offline.sources.get(&Id { folder, name: name.clone() });
        let Some(source) = source else {
            let problem = format!("there is no {name}.rhai beside it: rename one of the two");
            return self.report.failed.push(format!("{}: {problem}", self.file));
        };
        if let Some((mapping, program)) = offline.mappings.get(&name).filter(|_| folder == Folder::Mappings) {
            let convert = |key: &str, direction, value: Value, current| {
                let known = mapping.key(key).ok_or_else(|| format!("the mapping has no key `{key}`"))?;
                let item = Item { key: key.to_owned(), value, current };
                Ok::<_, String>(convert::one(program, known, direction, &item))
            };
            for (number, test) in file.write.iter().enumerate() {
                let what = format!("[[write]] {} (`{}` = {})", number + 1, test.key, test.value);
                let outcome = convert(&test.key, Direction::In, test.value.clone(), test.current.clone())
                    .and_then(|outcome| test.judge(outcome));
                self.check(&what, outcome);
            }
            for (number, test) in file.read.iter().enumerate() {
                let what = format!("[[read]] {} (`{}` of {})", number + 1, test.key, test.value);
                let outcome =
                    convert(&test.key, Direction::Out, test.value.clone(), None).and_then(|outcome| {
                        match outcome {
                            Ok(shown) if shown == test.shows => Ok(()),
                            Ok(shown) => Err(format!("shows {shown}, and not {}", test.shows)),
                            Err(error) => Err(error.to_string()),
                        }
                    });
                self.check(&what, outcome);
            }
            if !file.case.is_empty() {
                self.check(
                    "[[case]]",
                    Err("these are for rules: a mapping has [[write]] and [[read]]".into()),
                );
            }
        }
        if offline.rules.contains_key(&name) && folder == Folder::Rules {
            for case in &file.case {
                let rule = load::rule(&offline.engines, source, offline.texts.clone(), case.config.as_ref());
                let told = |errors: Vec<ScriptError>| {
                    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
                };
                let outcome = match (rule.map_err(told), &case.fails) {
                    (Ok(rule), None) => case.run(&rule),
                    (Ok(_), Some(_)) => Err("it is loaded, and does not fail".into()),
                    (Err(error), Some(part)) if error.contains(part) => Ok(()),
                    (Err(error), _) => Err(error),
                };
                self.check(&format!("\"{}\"", case.name), outcome);
            }
            if !(file.write.is_empty() && file.read.is_empty()) {
                self.check("[[write]], [[read]]", Err("these are for mappings: a rule has [[case]]".into()));
            }
        }
    }
}

impl Write {
    fn judge(&self, outcome: Result<Value, ScriptError>) -> Result<(), String> {
        match (outcome, &self.becomes, &self.refused) {
            (_, None, None) | (_, Some(_), Some(_)) => {
                Err("say either what it `becomes`, or `refused` with the sentence".into())
            }
            (Ok(value), Some(becomes), None) if value == *becomes => Ok(()),
            (Ok(value), Some(becomes), None) => Err(format!("becomes {value}, and not {becomes}")),
            (Ok(value), None, Some(_)) => Err(format!("becomes {value}, and is not refused")),
            (Err(error), None, Some(part))
                if error.kind == ErrorKind::Refused && error.message.contains(part) =>
            {
                Ok(())
            }
            (Err(error), ..) => Err(error.to_string()),
        }
    }
}

impl Case {
    fn run(&self, rule: &Rule) -> Result<(), String> {
        let mut state = rule.state(self.state.as_ref());
        let mut events = Events::of_test();
        if self.step.is_empty() {
            return Err("it has no step: add [[case.step]] with hook, event and effects".into());
        }
        for (number, step) in self.step.iter().enumerate() {
            let told = |problem: String| format!("step {}: {problem}", number + 1);
            if !HOOKS.iter().any(|hook| hook.name == step.hook) {
                let names = HOOKS.map(|hook| hook.name).join(", ");
                return Err(told(format!("there is no hook `{}`: it is one of {names}", step.hook)));
            }
            let mut event = self.event_of(step);
            events.show(&mut event);
            let outcome = if rule.has(&step.hook) {
                rule.call(&step.hook, &event, &mut state).map(|(effects, _)| effects)
            } else {
                Ok(Vec::new())
            };
            match (outcome, &step.fails) {
                (Ok(effects), None) => {
                    events.note(&event, &effects);
                    let caused: Vec<_> =
                        effects.into_iter().filter(|e| !matches!(e, Effect::Log { .. })).collect();
                    if caused != step.effects {
                        return Err(told(format!(
                            "it caused {}, and not {}",
                            list(&caused),
                            list(&step.effects)
                        )));
                    }
                }
                (Ok(_), Some(_)) => return Err(told("it does not fail".into())),
                (Err(error), Some(part)) if error.message.contains(part) => {}
                (Err(error), _) => return Err(told(error.to_string())),
            }
        }
        Ok(())
    }
}

impl Case {
    /// The step's event over what every event has.
    fn event_of(&self, step: &Step) -> Value {
        match (&self.event, &step.event) {
            (Some(all), Value::Object(event)) => {
                let both = all.iter().chain(event).map(|(key, value)| (key.clone(), value.clone()));
                Value::Object(both.collect())
            }
            (_, event) => event.clone(),
        }
    }
}

fn list(effects: &[Effect]) -> String {
    serde_json::to_string(effects).unwrap_or_else(|_| format!("{effects:?}"))
}

fn read(path: &Path) -> Result<File, String> {
    let meta = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if !meta.is_file() || meta.len() > MAX_FILE {
        return Err(format!("it is no file of at most {} KiB: split it", MAX_FILE / 1024));
    }
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    toml::from_str(&text).map_err(|e| e.to_string().trim_end().to_owned())
}
