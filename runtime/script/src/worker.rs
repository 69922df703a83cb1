//! The script thread: everything that the engine owns, and the jobs it does.

use crate::convert::Converter;
use crate::effect::Effect;
use crate::engine::{Engines, Library};
use crate::error::ScriptError;
use crate::load;
use crate::mapping::Mapping;
use crate::program::Texts;
use crate::rule::Rule;
use crate::scripts::{Changed, Conversions, Direction, Done, Item, Settings};
use crate::setup::{Setup, without_a_script};
use crate::source::{self, Folder, Id, Source};
use crate::value;
use rhai::Dynamic;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Weak};

/// What was last tried for a script.
struct Attempt {
    source: Source,
    failed: bool,
}

struct LoadedLibrary {
    module: Library,
    file: Arc<str>,
    text: Arc<str>,
}

pub(crate) struct Worker {
    settings: Settings,
    on_change: Box<dyn Fn(Changed) + Send>,
    engines: Rc<Engines>,
    libraries: BTreeMap<String, LoadedLibrary>,
    mappings: BTreeMap<String, Arc<Mapping>>,
    /// The programs of all mappings that anybody still holds.
    programs: Vec<(Weak<Mapping>, Converter)>,
    rules: BTreeMap<String, Rule>,
    states: BTreeMap<String, (Dynamic, Value)>,
    /// States from before a restart, of rules that are not there yet.
    kept: BTreeMap<String, Value>,
    tried: BTreeMap<Id, Attempt>,
    /// Scripts that were not there at the last look. Some editors take a file away for a moment.
    missing: BTreeSet<Id>,
    folder_problem: Option<String>,
    /// Rules that are configured and not there.
    without_a_script: BTreeSet<String>,
    generation: u64,
}

impl Worker {
    pub(crate) fn new(settings: Settings, on_change: Box<dyn Fn(Changed) + Send>) -> Self {
        let engines = Rc::new(Engines::new(&settings.limits, &[]));
        Self {
            settings,
            on_change,
            engines,
            libraries: BTreeMap::new(),
            mappings: BTreeMap::new(),
            programs: Vec::new(),
            rules: BTreeMap::new(),
            states: BTreeMap::new(),
            kept: BTreeMap::new(),
            tried: BTreeMap::new(),
            missing: BTreeSet::new(),
            folder_problem: None,
            without_a_script: BTreeSet::new(),
            generation: 0,
        }
    }

    /// Takes new settings and tries again what they change: everything, or rules whose table is another one.
    pub(crate) fn configure(&mut self, settings: Settings) {
        if settings == self.settings {
            return;
        }
        let moved = settings.dir != self.settings.dir;
        let all = moved || settings.limits != self.settings.limits;
        let before = std::mem::replace(&mut self.settings, settings);
        for (id, attempt) in &mut self.tried {
            let table = |settings: &Settings| settings.rules.get(&id.name).cloned();
            if all || (id.folder == Folder::Rules && table(&before) != table(&self.settings)) {
                // Another text than any file has: it counts as changed.
                attempt.source.text = Err(String::new());
            }
        }
        self.poll();
        if moved {
            // Another folder is no editor's pause.
            self.poll();
        }
    }

    /// Looks at the folder and loads what has changed.
    pub(crate) fn poll(&mut self) {
        let sources = match source::read(&self.settings.dir) {
            Ok(sources) => sources,
            Err(problem) => {
                if self.folder_problem.as_ref() != Some(&problem) {
                    self.tell(Changed::Problem("scripts".into(), problem.clone()));
                    self.folder_problem = Some(problem);
                }
                return;
            }
        };
        if self.folder_problem.take().is_some() {
            self.tell(Changed::Recovered("scripts".into()));
        }
        let mut changed_libraries = self.remove_missing(&sources);
        self.look_for_rules(&sources);
        let changed: Vec<(Id, Source)> = sources
            .iter()
            .filter(|(id, source)| self.tried.get(id).is_none_or(|attempt| attempt.source != **source))
            .map(|(id, source)| (id.clone(), source.clone()))
            .collect();
        for (id, source) in changed.iter().filter(|(id, _)| id.folder == Folder::Lib) {
            if self.load_library(id, source) {
                changed_libraries.insert(id.name.clone());
            }
        }
        if !changed_libraries.is_empty() || self.engines.limits != self.settings.limits {
            let modules: Vec<_> = self.libraries.values().map(|library| library.module.clone()).collect();
            self.engines = Rc::new(Engines::new(&self.settings.limits, &modules));
        }
        let uses = |source: &Source| {
            let text = source.text.as_deref().unwrap_or_default();
            changed_libraries.iter().any(|name| text.contains(&format!("{name}::")))
        };
        for (id, source) in &sources {
            if changed.iter().any(|(changed, _)| changed == id) || uses(source) {
                match id.folder {
                    Folder::Lib => {}
                    Folder::Mappings => self.load_mapping(id, source),
                    Folder::Rules => self.load_rule(id, source),
                }
            }
        }
    }

    /// Tells of tables of rules that are not there.
    fn look_for_rules(&mut self, sources: &source::Sources) {
        let tried =
            |name: &String| self.tried.contains_key(&Id { folder: Folder::Rules, name: name.clone() });
        // What was there at the last look may be in an editor's pause.
        let mut unknown = without_a_script(&self.settings, sources);
        unknown.retain(|(name, _)| !tried(name));
        let names = unknown.iter().map(|(name, _)| name.clone()).collect();
        let before = std::mem::replace(&mut self.without_a_script, names);
        for (name, error) in unknown.iter().filter(|(name, _)| !before.contains(name)) {
            self.tell(Changed::Problem(format!("rules/{name}"), error.to_string()));
        }
        for name in before.difference(&self.without_a_script) {
            self.tell(Changed::Recovered(format!("rules/{name}")));
        }
    }

    /// Forgets what is gone for the second time; gives back the libraries among it.
    fn remove_missing(&mut self, sources: &source::Sources) -> BTreeSet<String> {
        let missing: BTreeSet<Id> =
            self.tried.keys().filter(|id| !sources.contains_key(id)).cloned().collect();
        let gone: Vec<Id> = missing.intersection(&self.missing).cloned().collect();
        self.missing = missing;
        let mut libraries = BTreeSet::new();
        for id in gone {
            self.tried.remove(&id);
            self.missing.remove(&id);
            match id.folder {
                Folder::Lib => {
                    self.libraries.remove(&id.name);
                    libraries.insert(id.name.clone());
                }
                Folder::Mappings => drop(self.mappings.remove(&id.name)),
                Folder::Rules => {
                    self.rules.remove(&id.name);
                    self.states.remove(&id.name);
                    self.kept.remove(&id.name);
                }
            }
            self.tell(Changed::Removed(id.to_string()));
        }
        libraries
    }

    fn load_library(&mut self, id: &Id, source: &Source) -> bool {
        let loaded = load::library(&self.settings.limits, &id.name, source).and_then(|module| {
            let text = load::text(source)?.clone();
            Ok(LoadedLibrary { module, file: source.file.clone(), text })
        });
        match loaded {
            Ok(library) => {
                self.libraries.insert(id.name.clone(), library);
                self.note(id, source, Ok(()));
                true
            }
            Err(error) => {
                self.note(id, source, Err(vec![error]));
                false
            }
        }
    }

    fn texts(&self) -> Texts {
        self.libraries.values().map(|library| (library.file.clone(), library.text.clone())).collect()
    }

    fn load_mapping(&mut self, id: &Id, source: &Source) {
        match load::mapping(&self.engines, source, self.texts()) {
            Ok((program, entries)) => {
                self.generation += 1;
                let mapping = Arc::new(Mapping::new(&id.name, &program, self.generation, entries));
                self.mappings.insert(id.name.clone(), mapping.clone());
                self.programs.retain(|(mapping, _)| mapping.strong_count() > 0);
                self.programs.push((Arc::downgrade(&mapping), Converter::new(program)));
                self.note(id, source, Ok(()));
                self.tell(Changed::Mapping(mapping));
            }
            Err(errors) => self.note(id, source, Err(errors)),
        }
    }

    fn load_rule(&mut self, id: &Id, source: &Source) {
        let table = self.settings.rules.get(&id.name);
        if Setup::is_off(table) {
            if self.rules.remove(&id.name).is_some() {
                // For when it is turned on again.
                self.kept.extend(self.states.remove(&id.name).map(|(_, kept)| (id.name.clone(), kept)));
                self.tell(Changed::Removed(id.to_string()));
            }
            return self.note(id, source, Ok(()));
        }
        match load::rule(&self.engines, source, self.texts(), table) {
            Ok(rule) => {
                let restored = self.kept.remove(&id.name);
                let was = restored.as_ref().or_else(|| self.states.get(&id.name).map(|(_, kept)| kept));
                let state = rule.state(was);
                let kept = value::to_json(&state).unwrap_or_default();
                self.states.insert(id.name.clone(), (state, kept));
                self.rules.insert(id.name.clone(), rule);
                self.note(id, source, Ok(()));
                self.tell(Changed::Rule(id.name.clone()));
            }
            Err(errors) => self.note(id, source, Err(errors)),
        }
    }

    /// Keeps what came of trying a script, and tells what others should know of it.
    fn note(&mut self, id: &Id, source: &Source, outcome: Result<(), Vec<ScriptError>>) {
        let failed = outcome.is_err();
        let before = self.tried.insert(id.clone(), Attempt { source: source.clone(), failed });
        match outcome {
            Err(errors) => {
                let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
                self.tell(Changed::Problem(id.to_string(), text));
            }
            Ok(()) if before.is_some_and(|attempt| attempt.failed) => {
                self.tell(Changed::Recovered(id.to_string()));
            }
            Ok(()) => {}
        }
    }

    fn tell(&self, changed: Changed) {
        (self.on_change)(changed);
    }

    /// Converts values; every one fails or succeeds alone.
    pub(crate) fn convert(&self, mapping: &Mapping, direction: Direction, items: &[Item]) -> Conversions {
        let is_it =
            |known: &Weak<Mapping>| known.upgrade().is_some_and(|known| std::ptr::eq(&*known, mapping));
        match self.programs.iter().find(|(known, _)| is_it(known)) {
            Some((_, converter)) => converter.all(mapping, direction, items),
            None => {
                let gone = ScriptError::whole(mapping.file(), "its program is gone: take the mapping anew");
                items.iter().map(|_| Err(gone.clone())).collect()
            }
        }
    }

    /// Whether any rule has the hook.
    pub(crate) fn listens(&self, hook: &str) -> bool {
        self.rules.values().any(|rule| rule.has(hook))
    }

    /// Gives an event to every rule that has the hook.
    pub(crate) fn event(&mut self, hook: &str, event: &Value) -> Done {
        let mut done = Vec::new();
        for (name, rule) in self.rules.iter().filter(|(_, rule)| rule.has(hook)) {
            let (state, kept) = self.states.entry(name.clone()).or_insert_with(|| {
                let state = rule.state(None);
                let kept = value::to_json(&state).unwrap_or_default();
                (state, kept)
            });
            let outcome: Result<Vec<Effect>, ScriptError> =
                rule.call(hook, event, state).map(|(effects, after)| {
                    *kept = after;
                    effects
                });
            done.push((name.clone(), outcome));
        }
        done
    }

    pub(crate) fn states(&self) -> BTreeMap<String, Value> {
        let known = self.states.iter().map(|(name, (_, kept))| (name.clone(), kept.clone()));
        self.kept.clone().into_iter().chain(known).collect()
    }

    pub(crate) fn restore(&mut self, states: BTreeMap<String, Value>) {
        for (name, was) in states {
            match self.rules.get(&name) {
                Some(rule) => {
                    let state = rule.state(Some(&was));
                    let kept = value::to_json(&state).unwrap_or_default();
                    self.states.insert(name, (state, kept));
                }
                None => {
                    self.kept.insert(name, was);
                }
            }
        }
    }
}
