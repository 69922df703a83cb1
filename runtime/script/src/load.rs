//! From files to programs. Used by the script thread, and by whatever looks at scripts without running a gateway.

use crate::engine::{Engines, Library};
use crate::error::ScriptError;
use crate::mapping::Entry;
use crate::program::{LOAD_DEADLINE, Program, Texts, no_config};
use crate::rule::Rule;
use crate::session::May;
use crate::setup::Setup;
use crate::source::Source;
use crate::{table, value};
use gantry_core::config;
use rhai::{Dynamic, Module, Scope, Shared};
use serde_json::Value;
use std::rc::Rc;
use std::sync::Arc;

/// The text of a script, or the error that there is none.
pub(crate) fn text(source: &Source) -> Result<&Arc<str>, ScriptError> {
    source.text.as_ref().map_err(|message| ScriptError::whole(&source.file, message.as_str()))
}

/// Compiles shared code into a module. Libraries do not use each other.
pub(crate) fn library(limits: &config::Scripts, name: &str, source: &Source) -> Result<Library, ScriptError> {
    let text = text(source)?;
    let identifier = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(identifier) {
        let message =
            format!("`{name}::` cannot be written: name the file with a-z, 0-9 and _, a letter first");
        return Err(ScriptError::whole(&source.file, message));
    }
    if matches!(name, "log" | "global") {
        let message = format!("`{name}::` is there already: give the file another name");
        return Err(ScriptError::whole(&source.file, message));
    }
    let engines = Rc::new(Engines::new(limits, &[]));
    if engines.plain.compile(format!("let {name} = 1;")).is_err() {
        let message = format!("`{name}` is a word that Rhai keeps for itself: give the file another name");
        return Err(ScriptError::whole(&source.file, message));
    }
    // Loading it as a program first gives errors with their places, and limits.
    let program = Program::load(&engines, &source.file, text, Texts::new(), no_config())?;
    engines.session.begin(May::SetUp, &no_config(), LOAD_DEADLINE);
    let module = Module::eval_ast_as_new(Scope::new(), program.ast(), &engines.plain)
        .map_err(|e| ScriptError::whole(&source.file, e.to_string()))?;
    Ok((name.to_owned(), Shared::new(module)))
}

/// Compiles a mapping and reads its table.
pub(crate) fn mapping(
    engines: &Rc<Engines>,
    source: &Source,
    texts: Texts,
) -> Result<(Program, Vec<Entry>), Vec<ScriptError>> {
    let text = text(source).map_err(|e| vec![e])?;
    let program = Program::load(engines, &source.file, text, texts, no_config()).map_err(|e| vec![e])?;
    let keys = table::read(&program)?;
    Ok((program, keys))
}

/// Compiles a rule and looks at its hooks. `table` is what is configured for it.
pub(crate) fn rule(
    engines: &Rc<Engines>,
    source: &Source,
    texts: Texts,
    table: Option<&Value>,
) -> Result<Rule, Vec<ScriptError>> {
    let text = text(source).map_err(|e| vec![e])?;
    let setup = Setup::of(table).map_err(|e| vec![ScriptError::whole(&source.file, e)])?;
    let config = rule_config(engines, source, setup.config.as_ref()).map_err(|e| vec![e])?;
    let program = Program::load(engines, &source.file, text, texts, config).map_err(|e| vec![e])?;
    Rule::new(program)
}

fn rule_config(engines: &Engines, source: &Source, config: Option<&Value>) -> Result<Dynamic, ScriptError> {
    match config {
        None => Ok(no_config()),
        Some(config) => value::to_dynamic(config, engines.size).map_err(|e| {
            let message = format!("the rule's configuration cannot be given to it: {e}: make it smaller");
            ScriptError::whole(&source.file, message)
        }),
    }
}
