//! Rules: scripts that react to events.

use crate::effect::{self, Effect};
use crate::error::{ErrorKind, ScriptError};
use crate::program::Program;
use crate::session::May;
use crate::value::{self, Size};
use gantry_core::spelling;
use rhai::{ASTNode, Dynamic, Expr, FnCallExpr, Map, Stmt};
use serde_json::Value;
use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};

/// A function that the gateway calls when something happens, if a rule defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: &'static str,
    /// When it is called.
    pub about: &'static str,
    /// Whether it is asked about a record before that is stored. Only there a rule can
    /// [tag](Effect::Tag) it, raise an [alert](Effect::Alert), [drop](Effect::Drop) it or keep it from being
    /// [forwarded](Effect::Forward).
    pub has_record: bool,
    /// What is in the event.
    pub fields: &'static [Field],
}

/// A part of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// How a rule writes it, such as `event.time`; names in capitals stand for any.
    pub path: &'static str,
    /// What it is.
    pub about: &'static str,
}

const fn field(path: &'static str, about: &'static str) -> Field {
    Field { path, about }
}

/// What hooks are told of a record.
const RECORD: [Field; 5] = [
    field("event.collection", "Where it is stored, such as `\"detections\"`."),
    field(
        "event.data",
        "What the device sent, without pictures, such as `event.data.camera_id`. Write \
         `event.data.get(\"plate\")` where it may be missing: that is `()` then.",
    ),
    field("event.blobs", "The pictures that came with it, a list: `event.blobs.len()` is how many."),
    field("event.blobs[0].name, .bytes", "What a picture is called, and how many bytes it has."),
    field("", "And all that `on_tick` has: `event.time` is when it arrived."),
];

/// All hooks.
pub const HOOKS: [Hook; 5] = [
    Hook {
        name: "on_count",
        about: "Somebody crossed a line, or the number of people in a zone has changed.",
        has_record: false,
        fields: &[
            field("event.kind", "`\"crossing\"` or `\"occupancy\"`."),
            field("event.camera", "The camera that saw it."),
            field("event.line", "Crossing: the line's name."),
            field("event.direction", "Crossing: `\"in\"` or `\"out\"`."),
            field(
                "event.track",
                "Crossing: the number that the camera gave to this person, for as long as it sees him.",
            ),
            field("event.zone", "Occupancy: the zone's name."),
            field("event.people", "Occupancy: how many people are in the zone now."),
            field("", "And all that `on_tick` has, after this was counted."),
        ],
    },
    Hook {
        name: "on_tick",
        about: "Once a second.",
        has_record: false,
        fields: &[
            field("event.time", "Unix time in ms. Time in a rule is always this: there is no clock."),
            field(
                "event.local.date, .time",
                "Texts such as `\"2026-11-21\"` and `\"10:15:02\"`, in the gateway's time zone.",
            ),
            field("event.local.hour, .minute, .second", "Whole numbers."),
            field("event.local.weekday", "1 is Monday, 7 is Sunday."),
            field("event.count_in, .count_out", "Who went in and out today, over all lines of all cameras."),
            field(
                "event.sums[\"5m\"].count_in, .count_out",
                "The same within the last 5 minutes; which windows there are is `[counts] windows`.",
            ),
            field(
                "event.cameras.CAMERA.count_in, .count_out, .sums",
                "The same of one camera. Write `event.cameras[name]` for a name in a variable, or one with `-`.",
            ),
            field("event.cameras.CAMERA.lines.LINE.count_in, .count_out", "Who crossed that line today."),
            field("event.cameras.CAMERA.zones.ZONE", "How many people are in that zone now."),
            field(
                "event.events.NAME.active",
                "Whether that event runs. An event that never began is not in `events`.",
            ),
            field("event.events.NAME.since_ms", "When it began, in Unix ms; `()` when it does not run."),
            field("event.events.NAME.count_in", "Who went in since it began; 0 when it does not run."),
            field("event.events.NAME.today", "How often it began today."),
        ],
    },
    Hook {
        name: "on_detection",
        about: "A device reported a detection, such as a number plate. Called before it is stored.",
        has_record: true,
        fields: &RECORD,
    },
    Hook {
        name: "on_picture",
        about: "A picture arrived from a device. Called before it is stored.",
        has_record: true,
        fields: &RECORD,
    },
    Hook {
        name: "on_health",
        about: "A device reported how it does. Called before that is stored.",
        has_record: true,
        fields: &RECORD,
    },
];

/// The most elements of an event. Not `scripts.max_elements`: an event has as many as the gateway has cameras,
/// lines and zones, and a rule that uses only its time must not fail by that.
const MAX_EVENT_ELEMENTS: usize = 65_536;

/// The longest text in an event, in bytes: as much as a plugin can send.
const MAX_EVENT_TEXT: usize = 1024 * 1024;

/// The hook of that name, as one of the names that live as long as the program.
pub(crate) fn hook(name: &str) -> Option<&'static str> {
    HOOKS.iter().map(|hook| hook.name).find(|known| *known == name)
}

/// One rule, ready to be called.
pub(crate) struct Rule {
    pub(crate) program: Program,
    hooks: Vec<&'static str>,
    initial: Map,
}

impl Rule {
    /// Looks whether a program is a rule; all that is wrong with it is found at once.
    pub(crate) fn new(program: Program) -> Result<Self, Vec<ScriptError>> {
        let mut problems = Vec::new();
        let called = called(&program);
        let mut hooks = Vec::new();
        for function in &program.functions {
            if let Some(hook) = hook(&function.name) {
                if function.params == 1 {
                    hooks.push(hook);
                } else {
                    let message = format!("a hook takes one parameter: write `fn {hook}(event)`");
                    problems.push(program.error_in(hook, message));
                }
                continue;
            }
            let names = HOOKS.map(|hook| hook.name);
            let near = spelling::nearest(&function.name, names);
            if !called.contains(&function.name)
                && let Some(near) = near
            {
                let message = format!("nothing calls `{}`; did you mean `{near}`?", function.name);
                problems.push(program.error_in(&function.name, message));
            } else if function.name.starts_with("on_") && !called.contains(&function.name) {
                let message =
                    format!("there is no hook `{}`: it is one of {}", function.name, names.join(", "));
                problems.push(program.error_in(&function.name, message));
            }
        }
        if hooks.is_empty() && problems.is_empty() {
            let names = HOOKS.map(|hook| format!("fn {}(event)", hook.name)).join(", ");
            let message = format!("a rule without a hook never runs: define one of {names}");
            problems.push(ScriptError::whole(&program.file, message));
        }
        let initial = match (program.value.is_unit(), program.value.as_map_ref()) {
            (true, _) => Map::new(),
            (false, Ok(map)) if value::to_json(&program.value).is_ok() => map.clone(),
            _ if matches!(program.value.as_bool(), Ok(false)) => {
                hooks.clear();
                Map::new()
            }
            _ => {
                let message = "the last expression of a rule is what `this` is at first, a map of plain values: write \
                               `#{ count: 0 }`, or end the line before with `;`; `false` is for a rule that has nothing \
                               to do";
                problems.push(ScriptError::whole(&program.file, message));
                Map::new()
            }
        };
        if problems.is_empty() { Ok(Self { program, hooks, initial }) } else { Err(problems) }
    }

    /// Whether the rule has that hook, and something to do.
    pub(crate) fn has(&self, hook: &str) -> bool {
        self.hooks.contains(&hook)
    }

    /// What `this` is, from what it was: what the script has new is added.
    pub(crate) fn state(&self, was: Option<&Value>) -> Dynamic {
        let mut state = self.initial.clone();
        if let Some(Value::Object(was)) = was {
            for (key, kept) in was {
                if let Ok(kept) = value::to_dynamic(kept, self.program.engines().size) {
                    state.insert(key.as_str().into(), kept);
                }
            }
        }
        state.into()
    }

    /// Calls a hook. `state` changes only when all of it succeeds.
    pub(crate) fn call(
        &self,
        hook: &str,
        event: &Value,
        state: &mut Dynamic,
    ) -> Result<(Vec<Effect>, Value), ScriptError> {
        let fail = |message: String| self.program.error_in(hook, message);
        let engines = self.program.engines();
        let Size { text, elements } = engines.size;
        let size = Size { text: text.max(MAX_EVENT_TEXT), elements: elements.max(MAX_EVENT_ELEMENTS) };
        let given = value::to_dynamic(event, size).map_err(|e| {
            let e = e.replacen("Value", "it", 1);
            let message = format!(
                "the event is too large for rules: {e}; at most {} elements and texts of {} bytes can be given: have \
                 its sender send less",
                size.elements, size.text
            );
            ScriptError { kind: ErrorKind::Limit, ..fail(message) }
        })?;
        let may = if HOOKS.iter().any(|known| known.name == hook && known.has_record) {
            May::Judge
        } else {
            May::Act
        };
        let given = Cell::new(Some(given));
        let args = || vec![given.take().or_else(|| value::to_dynamic(event, size).ok()).unwrap_or_default()];
        let mut after = state.clone();
        let _ = self.program.call(hook, Some(&mut after), &args, may)?;
        let effects = self.program.engines().session.take_effects();
        let kept = value::to_json(&after)
            .and_then(|kept| if kept.is_object() { Ok(kept) } else { Err("it is no map any more".into()) })
            .map_err(|e| fail(format!("`this` cannot be kept: {e}: keep numbers, texts, arrays and maps")))?;
        // Made anew from what is kept: a rule then goes on after a restart as it does now, and holds no more than
        // a script may. The engine itself does not look at the size of a map whose elements are assigned one by
        // one.
        *state = value::to_dynamic(&kept, self.program.engines().size).map_err(|e| {
            let e = e.replacen("Value", "it", 1);
            let kind = ErrorKind::Limit;
            ScriptError { kind, ..fail(format!("`this` cannot be kept: {e}: forget what is old")) }
        })?;
        effect::log_all(&self.program.file, &effects);
        Ok((effects, kept))
    }
}

impl Rule {
    /// By which names the rule may begin and end events, as far as its text tells: see [`replay`](crate::replay).
    pub(crate) fn event_names(&self) -> BTreeSet<String> {
        let (mut given, mut texts) = (BTreeSet::new(), BTreeSet::new());
        let mut all_given = true;
        let mut look = |call: &FnCallExpr| {
            if matches!(call.name.as_str(), "begin_event" | "end_event") {
                match call.args.first() {
                    Some(Expr::StringConstant(name, _)) => _ = given.insert(name.to_string()),
                    _ => all_given = false,
                }
            }
        };
        self.program.ast().walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Expr(Expr::StringConstant(text, _))) => _ = texts.insert(text.to_string()),
                Some(ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _))) => look(call),
                Some(ASTNode::Stmt(Stmt::FnCall(call, _))) => look(call),
                _ => {}
            }
            true
        });
        if !all_given {
            given.append(&mut texts);
            add_texts(&value::to_json(self.program.config()).unwrap_or_default(), &mut given);
        }
        given
    }
}

/// All texts in a value.
fn add_texts(value: &Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => _ = texts.insert(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| add_texts(item, texts)),
        Value::Object(object) => object.values().for_each(|item| add_texts(item, texts)),
        _ => {}
    }
}

/// The names of all functions that a script itself calls.
fn called(program: &Program) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut add = |call: &FnCallExpr| {
        names.insert(call.name.to_string());
        // `Fn("name")` and its like.
        names.extend(call.args.iter().filter_map(|arg| match arg {
            Expr::StringConstant(text, _) => Some(text.to_string()),
            _ => None,
        }));
    };
    program.ast().walk(&mut |path| {
        match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _))) => add(call),
            Some(ASTNode::Stmt(Stmt::FnCall(call, _))) => add(call),
            _ => {}
        }
        true
    });
    names
}
