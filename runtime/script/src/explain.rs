//! What the engine's errors say to an operator: which place, which words, which next step.

use crate::actions::Failure;
use crate::error::{ErrorKind, ScriptError};
use crate::program::Texts;
use crate::session::Stop;
use gantry_core::{config, spelling};
use rhai::{Dynamic, EvalAltResult, ParseErrorType, Position};
use std::time::Duration;

/// A place: the file, if it is known, and the position in it.
pub(crate) type Place = (Option<String>, Position);

pub(crate) fn place(position: Position) -> (usize, usize) {
    let line = position.line().unwrap_or(0);
    (line, position.position().unwrap_or(usize::from(line > 0)))
}

/// The error that began it, and the file of the function that it happened in.
pub(crate) fn innermost(error: &EvalAltResult) -> (&EvalAltResult, Option<&str>) {
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

pub(crate) fn is_limit(error: &EvalAltResult) -> bool {
    matches!(
        error,
        EvalAltResult::ErrorTooManyVariables(..)
            | EvalAltResult::ErrorStackOverflow(..)
            | EvalAltResult::ErrorDataTooLarge(..)
            | EvalAltResult::ErrorTerminated(..)
    )
}

/// The script and the call that an error is about.
pub(crate) struct About<'a> {
    pub(crate) file: &'a str,
    pub(crate) texts: &'a Texts,
    /// The names of its functions.
    pub(crate) functions: &'a [&'a str],
    /// How many operations the call was allowed to take.
    pub(crate) operations: u64,
    /// How long it was allowed to take.
    pub(crate) deadline: Duration,
}

/// An error of the engine as data.
pub(crate) fn explain(
    limits: &config::Scripts,
    about: &About<'_>,
    error: &EvalAltResult,
    searched: Option<Place>,
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
    let message = message(limits, about, inner);
    let file = source.filter(|source| about.texts.contains_key(*source)).unwrap_or(about.file);
    let (line, column) = place(position);
    let text = about.texts.get(file).map_or("", |text| text.as_ref());
    ScriptError { kind, ..ScriptError::at(file, text, line, column, message) }
}

/// What an error says, without its place, and with the next step where the engine has none.
fn message(limits: &config::Scripts, about: &About<'_>, error: &EvalAltResult) -> String {
    use EvalAltResult as E;
    let operations = || {
        let limit = about.operations;
        format!("more than {limit} operations: make the loop shorter, or raise scripts.max_operations")
    };
    match error {
        E::ErrorTerminated(token, _) => match stop(token) {
            Stop::Operations => operations(),
            Stop::Deadline => {
                let deadline = about.deadline;
                format!("it took longer than {deadline:?}: make the loop shorter, or raise scripts.deadline")
            }
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
            // One that is defined was called with other parameters: its own name is no help.
            let known = about.functions.iter().copied().filter(|known| *known != name);
            let hint = match spelling::nearest(name, known) {
                Some(near) if !about.functions.contains(&name) => format!("; did you mean `{near}`?"),
                _ => ": define it with `fn`, or look in scripts/api".into(),
            };
            format!("there is no function `{}`{hint}", signature.trim())
        }
        E::ErrorPropertyNotFound(name, _) => {
            format!("there is no property `{name}`: where it may be missing, write `.get(\"{name}\") ?? …`")
        }
        E::ErrorParsing(parse, _) => {
            syntax(about.texts.get(about.file).map_or("", |text| text.as_ref()), parse)
        }
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
