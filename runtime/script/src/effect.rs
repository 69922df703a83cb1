//! What rules cause, and the functions by which they say so.

use crate::session::Session;
use crate::value;
use gantry_core::topic;
use rhai::{Dynamic, EvalAltResult, FuncRegistration, ImmutableString, Map, Module, Position};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::rc::Rc;

/// The longest line for the log, in characters.
const MAX_LOG_LINE: usize = 1024;

/// What a rule caused. Effects of a call are given out only when the whole call succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// An event of that name begins.
    BeginEvent {
        /// Its name, such as `busy`.
        name: String,
        /// What there is to tell about it.
        #[serde(default)]
        data: Value,
    },
    /// The event of that name ends.
    EndEvent {
        /// Its name.
        name: String,
        /// What there is to tell about it.
        #[serde(default)]
        data: Value,
    },
    /// A message for the bus.
    Emit {
        /// The topic.
        topic: String,
        /// The message.
        #[serde(default)]
        data: Value,
    },
    /// A new value of an observable.
    SetState {
        /// The observable.
        key: String,
        /// Its value.
        value: Value,
    },
    /// A picture is to be taken.
    Snapshot {
        /// The camera; without one the gateway's main camera.
        #[serde(default)]
        camera: Option<String>,
    },
    /// A line for the log. The script thread has logged it already.
    Log {
        /// How important it is.
        level: Level,
        /// The line.
        text: String,
    },
}

/// How important a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are the levels that everybody knows")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// Those that have a function `log::NAME`. `debug` is a word of the language, and a function without `log::`.
    pub(crate) const NAMED: [(&'static str, Self); 4] =
        [("trace", Self::Trace), ("info", Self::Info), ("warn", Self::Warn), ("error", Self::Error)];
}

/// Logs what a call said.
pub(crate) fn log_all(script: &str, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Log { level, text } = effect {
            match level {
                Level::Trace => tracing::trace!(script, "{text}"),
                Level::Debug => tracing::debug!(script, "{text}"),
                Level::Info => tracing::info!(script, "{text}"),
                Level::Warn => tracing::warn!(script, "{text}"),
                Level::Error => tracing::error!(script, "{text}"),
            }
        }
    }
}

/// A line for the log that is one line and no longer than it may be.
pub(crate) fn log_line(text: &str) -> String {
    text.chars().take(MAX_LOG_LINE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

type Done = Result<(), Box<EvalAltResult>>;

/// What a function of ours says when it fails. Not plain text, which would be a `throw` of the script.
#[derive(Debug, Clone)]
pub(crate) struct Failure(pub(crate) String);

fn fail(message: impl Into<String>) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(Dynamic::from(Failure(message.into())), Position::NONE).into()
}

fn json(value: &Dynamic) -> Result<Value, Box<EvalAltResult>> {
    value::to_json(value).map_err(fail)
}

fn named(what: &str, name: &str) -> Result<String, Box<EvalAltResult>> {
    topic::check_name(name).map_err(|e| fail(format!("{what} `{name}`: {e}")))?;
    Ok(name.to_owned())
}

/// A function's documentation: signature's parameters and comments.
struct Doc(&'static str, &'static [&'static str], &'static [&'static str]);

impl Doc {
    fn registration(&self) -> FuncRegistration {
        // Each call must happen: the optimizer may not take it for a constant.
        FuncRegistration::new(self.0)
            .in_global_namespace()
            .with_volatility(true)
            .with_params_info(self.1)
            .with_comments(self.2)
    }
}

/// The functions by which rules act.
pub(crate) fn actions(session: &Rc<Session>) -> Module {
    let mut module = Module::new();
    let cause = |session: &Session, effect| session.cause(effect).map_err(fail);

    let s = session.clone();
    Doc(
        "begin_event",
        &["name: &str", "data: Map", "Result<()>"],
        &[
            "/// An event begins. `data` is told to whoever listens; with a `camera` in it, only who that camera sees counts for \
             the event. An event that runs already goes on.",
        ],
    )
    .registration()
    .set_into_module(&mut module, move |name: &str, data: Map| -> Done {
        let name = named("event", name)?;
        cause(&s, Effect::BeginEvent { name, data: json(&data.into())? })
    });
    let s = session.clone();
    Doc("begin_event", &["name: &str", "Result<()>"], &["/// An event begins."])
        .registration()
        .set_into_module(&mut module, move |name: &str| -> Done {
            cause(&s, Effect::BeginEvent { name: named("event", name)?, data: Value::Null })
        });
    let s = session.clone();
    Doc(
        "end_event",
        &["name: &str", "data: Map", "Result<()>"],
        &["/// An event ends. `data` is told to whoever listens. One that does not run stays as it is."],
    )
    .registration()
    .set_into_module(&mut module, move |name: &str, data: Map| -> Done {
        let name = named("event", name)?;
        cause(&s, Effect::EndEvent { name, data: json(&data.into())? })
    });
    let s = session.clone();
    Doc("end_event", &["name: &str", "Result<()>"], &["/// An event ends."]).registration().set_into_module(
        &mut module,
        move |name: &str| -> Done {
            cause(&s, Effect::EndEvent { name: named("event", name)?, data: Value::Null })
        },
    );
    let s = session.clone();
    Doc(
        "emit",
        &["topic: &str", "data: ?", "Result<()>"],
        &["/// A message to whoever listens to the topic, such as `emit(\"rules/door\", #{ open: true })`. Topics of the \
           gateway itself, such as those below `events/`, are not for rules."],
    )
    .registration()
    .set_into_module(&mut module, move |topic: &str, data: Dynamic| -> Done {
        cause(&s, Effect::Emit { topic: named("topic", topic)?, data: json(&data)? })
    });
    let s = session.clone();
    Doc("set_state", &["observable: &str", "value: ?", "Result<()>"], &[
        "/// Gives an observable a value, such as `set_state(\"light0\", true)`. It is checked like a client's.",
    ])
    .registration()
    .set_into_module(&mut module, move |key: &str, value: Dynamic| -> Done {
        cause(&s, Effect::SetState { key: named("observable", key)?, value: json(&value)? })
    });
    let s = session.clone();
    Doc("snapshot", &["Result<()>"], &["/// Takes a picture with the main camera."])
        .registration()
        .set_into_module(&mut module, move || -> Done { cause(&s, Effect::Snapshot { camera: None }) });
    let s = session.clone();
    Doc("snapshot", &["camera: &str", "Result<()>"], &["/// Takes a picture with the camera of that name."])
        .registration()
        .set_into_module(&mut module, move |camera: &str| -> Done {
            cause(&s, Effect::Snapshot { camera: Some(named("camera", camera)?) })
        });
    module
}

/// `log::info(…)` and its like.
pub(crate) fn log_module(session: &Rc<Session>) -> Module {
    let mut module = Module::new();
    for (name, level) in Level::NAMED {
        let s = session.clone();
        FuncRegistration::new(name)
            .with_volatility(true)
            .with_params_info(["text: ?", "()"])
            .with_comments([format!(
                "/// Writes a line to the gateway's log, at level {}.",
                name.to_uppercase()
            )])
            .set_into_module(&mut module, move |text: Dynamic| {
                let text = match text.as_immutable_string_ref() {
                    Ok(text) => log_line(&text),
                    Err(_) => log_line(&ImmutableString::from(text.to_string())),
                };
                s.log(level, text);
            });
    }
    module
}
