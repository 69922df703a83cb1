//! One compiled script: what it defines, how its functions are called, and where it fails.

use crate::effect::Failure;
use crate::engine::Engines;
use crate::error::{ErrorKind, ScriptError};
use crate::session::Stop;
use gantry_core::spelling;
use rhai::{
    AST, ASTFlags, CallFnOptions, Dynamic, Engine, EvalAltResult, Map, ParseErrorType, Position, Scope, Stmt,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

/// How much longer than a call the search for the place of its error may take: each step of it calls back.
const SEARCH_FACTOR: u32 = 5;

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
    located: RefCell<HashMap<(String, String), (Option<String>, Position)>>,
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
            Err(error) => return Err(explain(engines, file, &texts, &[], text, &error, None)),
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
        program.value = program.top_level()?;
        Ok(program)
    }

    fn top_level(&self) -> Result<Dynamic, ScriptError> {
        let run = |engine: &Engine| {
            let whole = engine.eval_ast_with_scope::<Dynamic>(&mut Scope::new(), &self.ast)?;
            // Constants must be computable without what is not constant: functions see nothing else.
            engine.run_ast_with_scope(&mut Scope::new(), &self.calls)?;
            Ok(whole)
        };
        self.engines.session.begin(false, &self.config, self.engines.deadline());
        let result = guarded(|| run(&self.engines.plain));
        crate::effect::log_all(&self.file, &self.engines.session.take_effects());
        result.map_err(|error| self.error("", &error, |engine| run(engine).map(|_| ())))
    }

    /// Calls a function. `this` changes only when the call succeeds. What it caused is in the session.
    pub(crate) fn call(
        &self,
        name: &str,
        this: Option<&mut Dynamic>,
        args: Vec<Dynamic>,
        may_act: bool,
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
        session.begin(may_act, &self.config, self.engines.deadline());
        match guarded(|| run(&self.engines.plain, &mut bound, args.clone())) {
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
                Err(self.error(name, &error, move |engine| run(engine, &mut copy, args).map(|_| ())))
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
        explain(&self.engines, &self.file, &self.texts, &names, &self.text, error, place)
    }

    fn search(
        &self,
        again: impl FnOnce(&Engine) -> Result<(), Box<EvalAltResult>>,
    ) -> (Option<String>, Position) {
        let session = &self.engines.session;
        session.begin(session.may_act(), &self.config, self.engines.deadline() * SEARCH_FACTOR);
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

    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }
}

/// Runs the engine. It has no business to panic, and a script that found a way must not take the gateway's engine with it.
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

fn place(position: Position) -> (usize, usize) {
    let line = position.line().unwrap_or(0);
    (line, position.position().unwrap_or(usize::from(line > 0)))
}

/// The error that began it, and the file of the function that it happened in.
fn innermost(error: &EvalAltResult) -> (&EvalAltResult, Option<&str>) {
    let mut file = None;
    let mut error = error;
    loop {
        match error {
            EvalAltResult::ErrorInFunctionCall(_, source, inner, _) => {
                if !source.is_empty() {
                    file = Some(source.as_str());
                }
                error = inner;
            }
            EvalAltResult::ErrorInModule(_, inner, _) => error = inner,
            _ => return (error, file),
        }
    }
}

fn is_limit(error: &EvalAltResult) -> bool {
    matches!(
        error,
        EvalAltResult::ErrorTooManyOperations(..)
            | EvalAltResult::ErrorTooManyVariables(..)
            | EvalAltResult::ErrorStackOverflow(..)
            | EvalAltResult::ErrorDataTooLarge(..)
            | EvalAltResult::ErrorTerminated(..)
    )
}

/// An error of the engine as data.
fn explain(
    engines: &Engines,
    file: &str,
    texts: &Texts,
    functions: &[&str],
    text: &str,
    error: &EvalAltResult,
    searched: Option<(Option<String>, Position)>,
) -> ScriptError {
    let (inner, source) = innermost(error);
    let (source, position) = match &searched {
        Some((source, position)) => (source.as_deref(), *position),
        None => (source, inner.position()),
    };
    let kind = match inner {
        EvalAltResult::ErrorRuntime(thrown, _) if thrown.is_string() => ErrorKind::Refused,
        inner if is_limit(inner) => ErrorKind::Limit,
        _ => ErrorKind::Failed,
    };
    let message = message(engines, functions, text, inner);
    let file = source.filter(|source| texts.contains_key(*source)).unwrap_or(file);
    let (line, column) = place(position);
    let text = texts.get(file).map_or("", |text| text.as_ref());
    ScriptError { kind, ..ScriptError::at(file, text, line, column, message) }
}

/// What an error says, without its place, and with the next step where the engine has none.
fn message(engines: &Engines, functions: &[&str], text: &str, error: &EvalAltResult) -> String {
    use EvalAltResult as E;
    let limits = &engines.limits;
    let near = |word: &str, known: &[&str]| {
        spelling::nearest(word, known.iter().copied()).map(|near| format!("; did you mean `{near}`?"))
    };
    let deadline = || format!("it took longer than {:?}", limits.deadline);
    let operations = || format!("more than {} operations", limits.max_operations);
    match error {
        E::ErrorTooManyOperations(..) => {
            format!("{}: make the loop shorter, or raise scripts.max_operations", operations())
        }
        E::ErrorTerminated(token, _) => match stop(token) {
            Stop::Operations => {
                format!("{}: make the loop shorter, or raise scripts.max_operations", operations())
            }
            Stop::Deadline => format!("{}: make the loop shorter, or raise scripts.deadline", deadline()),
        },
        E::ErrorStackOverflow(..) => format!(
            "functions call each other more than {} deep: end the recursion, or raise scripts.max_call_levels",
            limits.max_call_levels
        ),
        E::ErrorDataTooLarge(what, _) if what.contains("string") => format!(
            "a text is longer than {} bytes: keep it shorter, or raise scripts.max_string_bytes",
            limits.max_string_bytes
        ),
        E::ErrorDataTooLarge(..) => format!(
            "an array or map has more than {} elements: keep fewer, or raise scripts.max_elements",
            limits.max_elements
        ),
        E::ErrorTooManyVariables(..) => "too many variables at once: put them in a map".into(),
        E::ErrorRuntime(thrown, _) => match thrown.read_lock::<Failure>() {
            Some(failure) => failure.0.clone(),
            None => thrown.to_string(),
        },
        E::ErrorFunctionNotFound(signature, _) => {
            let name = signature.split([' ', '(']).next().unwrap_or_default();
            let defined = functions.contains(&name);
            let hint = if defined { None } else { near(name, functions) };
            let hint = hint.unwrap_or_else(|| ": define it with `fn`, or look in scripts/api".into());
            format!("there is no function `{}`{hint}", signature.trim())
        }
        E::ErrorPropertyNotFound(name, _) => {
            format!("there is no property `{name}`: where it may be missing, write `.get(\"{name}\") ?? …`")
        }
        E::ErrorParsing(parse, _) => syntax(text, parse),
        E::ErrorSystem(said, _) => said.clone(),
        other => {
            let said = other.to_string();
            // The place is told in front.
            let place = format!(" ({})", other.position());
            said.strip_suffix(&place).unwrap_or(&said).to_owned()
        }
    }
}

fn syntax(text: &str, error: &ParseErrorType) -> String {
    match error {
        ParseErrorType::VariableUndefined(name) => {
            let is_constant = text.lines().any(|line| {
                let mut words = line.split_whitespace();
                words.next() == Some("const") && words.next().is_some_and(|w| w.trim_end_matches('=') == name)
            });
            if is_constant {
                format!("functions see constants of the script by their full name: write `global::{name}`")
            } else {
                format!("there is no variable `{name}`: define it with `let`, or correct its name")
            }
        }
        ParseErrorType::ModuleUndefined(name) => {
            format!("there is no `{name}::`: put the functions into scripts/lib/{name}.rhai")
        }
        ParseErrorType::Reserved(word)
        | ParseErrorType::BadInput(rhai::LexError::ImproperSymbol(word, _))
            if matches!(word.as_str(), "eval" | "import") =>
        {
            match word.as_str() {
                "eval" => "there is no `eval` here: write a function".into(),
                _ => "there is no `import` here: what lies in scripts/lib/NAME.rhai is called as `NAME::`"
                    .into(),
            }
        }
        ParseErrorType::Reserved(word) => {
            format!("`{word}` is a word that Rhai keeps for itself: choose another name")
        }
        ParseErrorType::DuplicatedProperty(name) => {
            format!("`{name}` is there twice: remove one of the two lines")
        }
        other => other.to_string(),
    }
}

/// Why the call was ended, from the token that says so.
fn stop(token: &Dynamic) -> Stop {
    match token.as_immutable_string_ref() {
        Ok(text) if text.as_str() == "deadline" => Stop::Deadline,
        _ => Stop::Operations,
    }
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
