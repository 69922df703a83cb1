//! The functions by which rules act, and the log.

use crate::effect::{Effect, Level, log_line};
use crate::session::Session;
use crate::value;
use gantry_core::topic;
use rhai::{Dynamic, EvalAltResult, FuncRegistration, ImmutableString, Map, Module, Position};
use serde_json::Value;
use std::rc::Rc;

type Done = Result<(), Box<EvalAltResult>>;

/// What a function of ours says when it fails. Not plain text, which would be a `throw` of the script.
#[derive(Debug, Clone)]
pub(crate) struct Failure(pub(crate) String);

pub(crate) fn fail(message: impl Into<String>) -> Box<EvalAltResult> {
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
            "/// An event begins. `data` is told to whoever listens; with a `camera` in it, only who that camera sees \
             counts for the event. An event that runs already goes on.",
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
        &["/// A message to whoever listens to the topic, such as `emit(\"rules/door\", #{ open: true })`. Topics of \
           the gateway itself, such as those below `events/`, are not for rules."],
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
    of_records(&mut module, session);
    module
}

/// Those that say what becomes of the record that a hook is asked about.
fn of_records(module: &mut Module, session: &Rc<Session>) {
    let cause = |session: &Session, effect| session.cause(effect).map_err(fail);

    let s = session.clone();
    Doc("tag", &["name: &str", "Result<()>"], &["/// Adds a tag to the record. It is stored with it."])
        .registration()
        .set_into_module(module, move |name: &str| -> Done {
            cause(&s, Effect::Tag { name: named("tag", name)? })
        });
    let s = session.clone();
    Doc(
        "alert",
        &["name: &str", "data: Map", "Result<()>"],
        &["/// Marks the record as one that somebody should know of, such as a hit of a watch list. `data` is told with it."],
    )
    .registration()
    .set_into_module(module, move |name: &str, data: Map| -> Done {
        cause(&s, Effect::Alert { name: named("alert", name)?, data: json(&data.into())? })
    });
    let s = session.clone();
    Doc(
        "alert",
        &["name: &str", "Result<()>"],
        &["/// Marks the record as one that somebody should know of."],
    )
    .registration()
    .set_into_module(module, move |name: &str| -> Done {
        cause(&s, Effect::Alert { name: named("alert", name)?, data: Value::Null })
    });
    let s = session.clone();
    Doc("drop", &["Result<()>"], &[
        "/// The record is not stored; its sender is told that all is well. One rule that says so is enough.",
    ])
    .registration()
    .set_into_module(module, move || -> Done { cause(&s, Effect::Drop) });
    let s = session.clone();
    Doc("forward", &["yes: bool", "Result<()>"], &[
        "/// Whether uplinks get the record. They do unless a rule says `forward(false)`; one that says so is enough.",
    ])
    .registration()
    .set_into_module(module, move |forward: bool| -> Done { cause(&s, Effect::Forward { forward }) });
}

/// `log::info(…)` and its like.
pub(crate) fn log(session: &Rc<Session>) -> Module {
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
