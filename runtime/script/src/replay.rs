//! Playing a recording through a rule: what it would have caused.

use crate::effect::Effect;
use crate::error::ScriptError;
use crate::offline::{Offline, on_a_large_stack};
use crate::rule::{HOOKS, Rule};
use crate::scripts::Settings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest line of a recording, in bytes.
const MAX_LINE: usize = 1024 * 1024;

/// One line of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The hook that was called.
    pub hook: String,
    /// The event that it was given.
    pub event: Value,
}

/// What one line of a recording caused.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Replayed<'a> {
    /// The line of the recording, from 1.
    line: usize,
    /// The hook.
    hook: &'a str,
    /// What it caused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    effects: Vec<Effect>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Plays a recording, JSON lines of `{"hook", "event"}`, through the rule of that name, from its first state. `out` gets a
/// JSON line for each event that caused something or failed: the same for the same recording, always.
///
/// The error says why nothing could be played: no such rule, a rule that is not good, a line that is not a recording's.
pub fn replay(
    settings: &Settings,
    rule: &str,
    lines: impl Iterator<Item = std::io::Result<String>> + Send,
    out: impl FnMut(String) + Send,
) -> Result<(), Vec<ScriptError>> {
    on_a_large_stack(move || {
        let offline = Offline::load(settings);
        let Some(rule) = offline.rules.get(rule) else {
            let file = settings.dir.join("rules").join(format!("{rule}.rhai")).display().to_string();
            let problems: Vec<_> = offline.problems.iter().filter(|p| p.file == file).cloned().collect();
            if !problems.is_empty() {
                return Err(problems);
            }
            let known: Vec<_> = offline.rules.keys().map(String::as_str).collect();
            let message = match gantry_core::spelling::nearest(rule, known.iter().copied()) {
                Some(near) => format!("there is no such rule; did you mean `{near}`?"),
                None if known.is_empty() => "there is no such rule, and no other: write one first".into(),
                None => format!("there is no such rule: there are {}", known.join(", ")),
            };
            return Err(vec![ScriptError::whole(&file, message)]);
        };
        play(rule, lines, out).map_err(|error| vec![error])
    })
}

fn play(
    rule: &Rule,
    lines: impl Iterator<Item = std::io::Result<String>>,
    mut out: impl FnMut(String),
) -> Result<(), ScriptError> {
    let mut state = rule.state(None);
    for (number, line) in lines.enumerate() {
        let number = number + 1;
        let bad = |message: String| ScriptError::at("recording", "", number, 1, message);
        let line = line.map_err(|e| bad(e.to_string()))?;
        if line.len() > MAX_LINE {
            return Err(bad(format!("the line has more than {MAX_LINE} bytes: is it a recording?")));
        }
        if line.trim().is_empty() {
            continue;
        }
        let recorded: Recorded = serde_json::from_str(&line)
            .map_err(|e| bad(format!("a line is {{\"hook\", \"event\"}}: {e}")))?;
        if !HOOKS.iter().any(|hook| hook.name == recorded.hook) {
            let names = HOOKS.map(|hook| hook.name);
            let hint = match gantry_core::spelling::nearest(&recorded.hook, names) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => format!(": it is one of {}", names.join(", ")),
            };
            return Err(bad(format!("there is no hook `{}`{hint}", recorded.hook)));
        }
        if !rule.has(&recorded.hook) {
            continue;
        }
        let (effects, error) = match rule.call(&recorded.hook, &recorded.event, &mut state) {
            Ok((effects, _)) => (effects, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        if effects.is_empty() && error.is_none() {
            continue;
        }
        let replayed = Replayed { line: number, hook: &recorded.hook, effects, error };
        out(serde_json::to_string(&replayed).map_err(|e| bad(e.to_string()))?);
    }
    Ok(())
}
