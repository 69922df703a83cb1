//! All scripts of a folder, loaded once and without a thread: for checking, testing, replaying.

use crate::engine::Engines;
use crate::error::ScriptError;
use crate::load;
use crate::mapping::Mapping;
use crate::program::{Program, Texts};
use crate::rule::Rule;
use crate::scripts::Settings;
use crate::setup::{Setup, without_a_script};
use crate::source::{self, Folder, Id};
use gantry_core::spelling::nearest;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// How long a call may take at least: what a recording gives may not depend on what else the machine does
/// meanwhile. Calls are limited by their operations as ever.
const DEADLINE: Duration = Duration::from_secs(5);

/// All scripts of a folder.
pub(crate) struct Offline {
    pub(crate) engines: Rc<Engines>,
    pub(crate) sources: source::Sources,
    pub(crate) texts: Texts,
    pub(crate) mappings: BTreeMap<String, (Mapping, Program)>,
    pub(crate) rules: BTreeMap<String, Rule>,
    pub(crate) problems: Vec<ScriptError>,
    /// What is wrong with rules that are turned off: nobody's business until somebody wants to try them.
    off: Vec<ScriptError>,
}

impl Offline {
    pub(crate) fn load(settings: &Settings) -> Self {
        let mut problems = Vec::new();
        let read = source::read(&settings.dir);
        let is_read = read.is_ok();
        let sources = read.unwrap_or_else(|problem| {
            problems.push(ScriptError::whole(&settings.dir.display().to_string(), problem));
            source::Sources::new()
        });
        let mut libraries = Vec::new();
        let mut texts = Texts::new();
        let of = |folder: Folder| {
            sources.iter().filter(move |(id, _)| id.folder == folder).map(|(Id { name, .. }, s)| (name, s))
        };
        for (name, source) in of(Folder::Lib) {
            match (load::library(&settings.limits, name, source), &source.text) {
                (Ok(library), Ok(text)) => {
                    libraries.push(library);
                    texts.insert(source.file.clone(), text.clone());
                }
                (Err(error), _) => problems.push(error),
                (Ok(_), Err(message)) => problems.push(ScriptError::whole(&source.file, message.as_str())),
            }
        }
        let mut limits = settings.limits.clone();
        limits.deadline = limits.deadline.max(DEADLINE);
        let engines = Rc::new(Engines::new(&limits, &libraries));
        let mut mappings = BTreeMap::new();
        for (name, source) in of(Folder::Mappings) {
            match load::mapping(&engines, source, texts.clone()) {
                Ok((program, entries)) => {
                    mappings.insert(name.clone(), (Mapping::new(name, &program, 0, entries), program));
                }
                Err(errors) => problems.extend(errors),
            }
        }
        let mut rules = BTreeMap::new();
        let mut off = Vec::new();
        for (name, source) in of(Folder::Rules) {
            let table = settings.rules.get(name);
            match load::rule(&engines, source, texts.clone(), table) {
                Ok(rule) => drop(rules.insert(name.clone(), rule)),
                Err(errors) if Setup::is_off(table) => off.extend(errors),
                Err(errors) => problems.extend(errors),
            }
        }
        if is_read {
            problems.extend(without_a_script(settings, &sources).into_iter().map(|(_, error)| error));
        }
        Self { engines, sources, texts, mappings, rules, problems, off }
    }

    /// The rule of that name, whether it is turned on or off.
    pub(crate) fn rule(&self, settings: &Settings, name: &str) -> Result<&Rule, Vec<ScriptError>> {
        if let Some(rule) = self.rules.get(name) {
            return Ok(rule);
        }
        let id = Id { folder: Folder::Rules, name: name.to_owned() };
        if let Some(source) = self.sources.get(&id) {
            let its = |problem: &&ScriptError| problem.file == *source.file;
            return Err(self.problems.iter().chain(&self.off).filter(its).cloned().collect());
        }
        let known: Vec<_> = self.rules.keys().map(String::as_str).collect();
        let message = match nearest(name, known.iter().copied()) {
            Some(near) => format!("there is no such rule; did you mean `{near}`?"),
            None if known.is_empty() => "there is no such rule, and no other: write one first".into(),
            None => format!("there is no such rule: there are {}", known.join(", ")),
        };
        let file = settings.dir.join("rules").join(format!("{name}.rhai")).display().to_string();
        Err(vec![ScriptError::whole(&file, message)])
    }
}

/// What is in a folder of scripts, and what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The good scripts, such as `mappings/cpro`, sorted.
    pub good: Vec<String>,
    /// What is wrong, in the order of the files, and then the tables `[rules.NAME]` without a script. What is
    /// wrong with a rule that is turned off is not among it.
    pub problems: Vec<ScriptError>,
}

/// Loads every script of a folder and runs none of their functions.
#[must_use]
pub fn check(settings: &Settings) -> Check {
    on_a_large_stack(|| {
        let offline = Offline::load(settings);
        let bad = offline.problems.iter().chain(&offline.off).map(|problem| problem.file.as_str());
        let bad: Vec<&str> = bad.collect();
        let is_good = |source: &&source::Source| !bad.contains(&source.file.as_ref());
        let good = offline.sources.iter().filter(|(_, source)| is_good(source)).map(|(id, _)| id.to_string());
        Check { good: good.collect(), problems: offline.problems.clone() }
    })
}

/// Runs something on a thread like the script thread: the engine recurses.
pub(crate) fn on_a_large_stack<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("script".into()).stack_size(crate::scripts::STACK);
        let thread = builder.spawn_scoped(scope, run).expect("a thread can be started where a program runs");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
