//! Rules: scripts that react to events.

use crate::effect::{self, Effect};
use crate::error::{ErrorKind, ScriptError};
use crate::program::Program;
use crate::value;
use gantry_core::spelling;
use rhai::{ASTNode, Dynamic, Expr, FnCallExpr, Map, Stmt};
use serde_json::Value;
use std::collections::HashSet;

/// A function that the gateway calls when something happens, if a rule defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: &'static str,
    /// When it is called, and what is in the event.
    pub about: &'static str,
}

/// All hooks.
pub const HOOKS: [Hook; 5] = [
    Hook {
        name: "on_count",
        about: "Somebody crossed a line, or a zone's occupancy changed: the counts, and rolling sums.",
    },
    Hook { name: "on_tick", about: "Once a second: the time, and the same rolling sums." },
    Hook { name: "on_detection", about: "A device reported a detection, such as a number plate." },
    Hook { name: "on_picture", about: "A picture arrived from a device." },
    Hook { name: "on_health", about: "A device or a part of the gateway reported how it does." },
];

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
            _ => {
                let message = "the last expression of a rule is what `this` is at first, a map of plain values: write \
                               `#{ count: 0 }`, or end the line before with `;`";
                problems.push(ScriptError::whole(&program.file, message));
                Map::new()
            }
        };
        if problems.is_empty() { Ok(Self { program, hooks, initial }) } else { Err(problems) }
    }

    /// Whether the rule has that hook.
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
        let event = value::to_dynamic(event, self.program.engines().size)
            .map_err(|e| fail(format!("the event cannot be given to the script: {e}")))?;
        let mut after = state.clone();
        let _ = self.program.call(hook, Some(&mut after), vec![event], true)?;
        let effects = self.program.engines().session.take_effects();
        let kept = value::to_json(&after)
            .and_then(|kept| if kept.is_object() { Ok(kept) } else { Err("it is no map any more".into()) })
            .map_err(|e| fail(format!("`this` cannot be kept: {e}: keep numbers, texts, arrays and maps")))?;
        // Made anew from what is kept: a rule then goes on after a restart as it does now, and holds no more than a script
        // may. The engine itself does not look at the size of a map whose elements are assigned one by one.
        *state = value::to_dynamic(&kept, self.program.engines().size).map_err(|e| {
            let e = e.replacen("Value", "it", 1);
            let kind = ErrorKind::Limit;
            ScriptError { kind, ..fail(format!("`this` cannot be kept: {e}: forget what is old")) }
        })?;
        effect::log_all(&self.program.file, &effects);
        Ok((effects, kept))
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
