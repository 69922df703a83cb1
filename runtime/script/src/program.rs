//! One compiled script: what it defines, how its functions are called, and where it fails.

use crate::engine::Engines;
use crate::error::ScriptError;
use crate::explain::{About, Place, explain, innermost, is_limit, place};
use crate::session::May;
use rhai::{AST, ASTFlags, CallFnOptions, Dynamic, Engine, EvalAltResult, Expr, Map, Position, Scope, Stmt};
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How much longer than a call the search for the place of its error may take: each step of it calls back.
const SEARCH_FACTOR: u32 = 5;

/// How long the top level may take at least: it is rare, nobody waits for it, and a machine that is busy starting
/// must not end up without its scripts.
pub(crate) const LOAD_DEADLINE: Duration = Duration::from_secs(1);

/// The texts of a program and of the libraries that it uses, by file, for quoting lines.
pub(crate) type Texts = HashMap<Arc<str>, Arc<str>>;

/// A function that a script defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) params: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// One script, compiled and set up.
pub(crate) struct Program {
    pub(crate) file: Arc<str>,
    pub(crate) text: Arc<str>,
    engines: Rc<Engines>,
    texts: Texts,
    /// The whole script.
    ast: AST,
    /// Its functions, and those of its statements that define constants, which functions see as `global::NAME`.
    calls: AST,
    config: Dynamic,
    pub(crate) functions: Vec<Function>,
    /// What its last expression was.
    pub(crate) value: Dynamic,
    /// Places of limit errors that were searched for, by function.
    located: RefCell<HashMap<(String, String), Place>>,
}

impl Program {
    /// Compiles a script and runs its top level. `config` is what the script sees under that name.
    pub(crate) fn load(
        engines: &Rc<Engines>,
        file: &Arc<str>,
        text: &Arc<str>,
        mut texts: Texts,
        config: Dynamic,
    ) -> Result<Self, ScriptError> {
        texts.insert(file.clone(), text.clone());
        let mut scope = Scope::new();
        scope.push_constant("config", Dynamic::UNIT);
        let compiled =
            guarded(|| engines.plain.compile_with_scope(&scope, text.as_ref()).map_err(Into::into));
        let mut ast = match compiled {
            Ok(ast) => ast,
            Err(error) => {
                let about =
                    About { file, texts: &texts, functions: &[], operations: 0, deadline: LOAD_DEADLINE };
                return Err(explain(&engines.limits, &about, &error, None));
            }
        };
        ast.set_source(file.as_ref());
        let is_constant =
            |stmt: &&Stmt| matches!(stmt, Stmt::Var(_, flags, _) if flags.contains(ASTFlags::CONSTANT));
        let constants: Vec<Stmt> = ast.statements().iter().filter(is_constant).cloned().collect();
        let calls = AST::new_with_source(constants, ast.shared_lib().clone(), file.as_ref());
        let functions = functions(&ast, text);
        let mut program = Self {
            file: file.clone(),
            text: text.clone(),
            engines: engines.clone(),
            texts,
            ast,
            calls,
            config,
            functions,
            value: Dynamic::UNIT,
            located: RefCell::default(),
        };
        let (value, constants) = program.top_level()?;
        program.value = value;
        program.keep(&constants);
        Ok(program)
    }

    /// Puts the values of constants into the statements that define them, which run with every call: a list
    /// that takes long to make is made once.
    fn keep(&mut self, constants: &Scope<'_>) {
        let kept = |stmt: &Stmt| {
            let mut stmt = stmt.clone();
            if let Stmt::Var(var, ..) = &mut stmt
                && let Some(value) = constants.get(var.0.as_str())
            {
                let place = var.1.position();
                var.1 = Expr::DynamicConstant(Box::new(value.clone().flatten()), place);
            }
            stmt
        };
        let statements: Vec<Stmt> = self.calls.statements().iter().map(kept).collect();
        self.calls = AST::new_with_source(statements, self.ast.shared_lib().clone(), self.file.as_ref());
    }

    /// Runs the top level. Gives its value, and that of every constant by name.
    fn top_level(&self) -> Result<(Dynamic, Scope<'static>), ScriptError> {
        let run = |engine: &Engine| {
            let whole = engine.eval_ast_with_scope::<Dynamic>(&mut Scope::new(), &self.ast)?;
            // Constants must be computable without what is not constant: functions see nothing else.
            let mut constants = Scope::new();
            engine.run_ast_with_scope(&mut constants, &self.calls)?;
            Ok((whole, constants))
        };
        self.engines.session.begin(May::SetUp, &self.config, self.engines.deadline().max(LOAD_DEADLINE));
        let result = guarded(|| run(&self.engines.plain));
        crate::effect::log_all(&self.file, &self.engines.session.take_effects());
        result.map_err(|error| self.error("", &error, |engine| run(engine).map(|_| ())))
    }

    /// Calls a function. `this` changes only when the call succeeds. What it caused is in the session. `args`
    /// makes the arguments, and once more when the place of an error is to be found: a copy that is kept for that
    /// would cost more than most calls.
    pub(crate) fn call(
        &self,
        name: &str,
        this: Option<&mut Dynamic>,
        args: &dyn Fn() -> Vec<Dynamic>,
        may: May,
    ) -> Result<Dynamic, ScriptError> {
        let mut bound = this.as_deref().cloned();
        let run = |engine: &Engine, bound: &mut Option<Dynamic>, args: Vec<Dynamic>| {
            let mut options = CallFnOptions::new().eval_ast(true);
            if let Some(this) = bound.as_mut() {
                options = options.bind_this_ptr(this);
            }
            engine.call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &self.calls, name, args)
        };
        let session = &self.engines.session;
        session.begin(may, &self.config, self.engines.deadline());
        let mut outcome = guarded(|| run(&self.engines.plain, &mut bound, args()));
        if outcome.is_err() && matches!(may, May::Act | May::Judge) && session.was_late() {
            // Most likely the machine had something else to do, and a rule that misses an event counts wrongly. It
            // has changed nothing yet.
            bound = this.as_deref().cloned();
            session.begin(may, &self.config, self.engines.deadline());
            outcome = guarded(|| run(&self.engines.plain, &mut bound, args()));
        }
        match outcome {
            Ok(value) => {
                if let (Some(this), Some(bound)) = (this, bound) {
                    *this = bound;
                }
                Ok(value)
            }
            Err(error) => {
                // Lines for the log help to find out why; nothing else of a failed call is let out.
                crate::effect::log_all(&self.file, &session.take_effects());
                let mut copy = this.as_deref().cloned();
                Err(self.error(name, &error, move |engine| run(engine, &mut copy, args()).map(|_| ())))
            }
        }
    }

    /// The error of a call as data. `again` does the same once more, to find the place of an error that has none.
    fn error(
        &self,
        function: &str,
        error: &EvalAltResult,
        again: impl FnOnce(&Engine) -> Result<(), Box<EvalAltResult>>,
    ) -> ScriptError {
        let (inner, _) = innermost(error);
        let (operations, deadline) = (self.engines.session.max_operations(), self.engines.session.deadline());
        let place = if is_limit(inner) && inner.position().is_none() {
            let key = (function.to_owned(), inner.to_string());
            let known = self.located.borrow().get(&key).cloned();
            Some(known.unwrap_or_else(|| {
                let place = self.search(again);
                self.located.borrow_mut().insert(key, place.clone());
                place
            }))
        } else {
            None
        };
        let names: Vec<_> = self.functions.iter().map(|f| f.name.as_str()).collect();
        let about = About { file: &self.file, texts: &self.texts, functions: &names, operations, deadline };
        explain(&self.engines.limits, &about, error, place)
    }

    fn search(&self, again: impl FnOnce(&Engine) -> Result<(), Box<EvalAltResult>>) -> Place {
        let session = &self.engines.session;
        session.begin(session.may(), &self.config, session.deadline() * SEARCH_FACTOR);
        let outcome = guarded(|| again(&self.engines.locating));
        // What it caused this time is nobody's business.
        let _ = session.take_effects();
        match outcome {
            Err(_) => session.last(),
            // It was only slow, and this time it was not.
            Ok(()) => (None, Position::NONE),
        }
    }

    /// An error at a place of this script.
    pub(crate) fn error_at(&self, position: Position, message: impl Into<String>) -> ScriptError {
        let (line, column) = place(position);
        ScriptError::at(&self.file, &self.text, line, column, message)
    }

    /// An error about a function of this script.
    pub(crate) fn error_in(&self, function: &str, message: impl Into<String>) -> ScriptError {
        let (line, column) =
            self.functions.iter().find(|f| f.name == function).map_or((0, 0), |f| (f.line, f.column));
        ScriptError::at(&self.file, &self.text, line, column, message)
    }

    pub(crate) fn ast(&self) -> &AST {
        &self.ast
    }

    /// What the script sees as `config`.
    pub(crate) fn config(&self) -> &Dynamic {
        &self.config
    }

    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }
}

/// Runs the engine. It has no business to panic, and a script that found a way must not take the gateway's engine
/// with it.
fn guarded<T>(run: impl FnOnce() -> Result<T, Box<EvalAltResult>>) -> Result<T, Box<EvalAltResult>> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let message = format!(
            "the script engine broke ({}): write it in another way, and tell Gantry's developers",
            text.unwrap_or_else(|| "no reason given".into())
        );
        Err(EvalAltResult::ErrorSystem(message, "".into()).into())
    })
}

/// The functions that a script defines, with the places of their names.
fn functions(ast: &AST, text: &str) -> Vec<Function> {
    let mut found: Vec<Function> = ast
        .iter_functions()
        .filter(|f| !f.name.starts_with("anon$"))
        .map(|f| {
            let (line, column) = place_of_function(text, f.name);
            Function { name: f.name.to_owned(), params: f.params.len(), line, column }
        })
        .collect();
    found.sort_by_key(|f| (f.line, f.column));
    found
}

/// Where `fn NAME` stands; the engine keeps only where the body begins.
fn place_of_function(text: &str, name: &str) -> (usize, usize) {
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices(name) {
            let before = code[..at].trim_end();
            let is_fn =
                before.strip_suffix("fn").is_some_and(|b| !b.ends_with(|c: char| c.is_alphanumeric()));
            if is_fn && before.len() < at && code[at + name.len()..].trim_start().starts_with('(') {
                return (number + 1, code[..at].chars().count() + 1);
            }
        }
    }
    (0, 0)
}

/// Libraries see no `config`; an empty one spares each place an `Option`.
pub(crate) fn no_config() -> Dynamic {
    Map::new().into()
}
