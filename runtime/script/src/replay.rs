//! Playing a recording through a rule: what it would have caused.

use crate::effect::Effect;
use crate::error::ScriptError;
use crate::events::Events;
use crate::offline::{Offline, on_a_large_stack};
use crate::rule::{HOOKS, Rule};
use crate::scripts::Settings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest line of a recording, in bytes: a record of a device has up to half of that.
const MAX_LINE: usize = 2 * 1024 * 1024;

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
    /// The local time of the event, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// The hook.
    hook: &'a str,
    /// What it caused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    effects: Vec<Effect>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Plays a recording, JSON lines of `{"hook", "event"}`, through the rule of that name, from its first state.
/// `out` gets a JSON line for each event that caused something or failed: the same for the same recording, always.
/// A rule that is turned off can be played too.
///
/// What the recording says of events (`event.events`) is by what was configured when it was made. Of those that
/// the rule begins and ends itself it sees instead what it made of them while it was played, none of them running
/// at first: one recording does to try any configuration. They are the names that it writes in `begin_event` and
/// `end_event`; if it writes none there, those of its texts and of its configuration; and in any case those that
/// it has begun or ended.
///
/// The error says why nothing could be played: no such rule, a rule that is not good, a line that is not a
/// recording's.
pub fn replay(
    settings: &Settings,
    rule: &str,
    lines: impl Iterator<Item = std::io::Result<String>> + Send,
    out: impl FnMut(String) + Send,
) -> Result<(), Vec<ScriptError>> {
    on_a_large_stack(move || {
        let offline = Offline::load(settings);
        let rule = offline.rule(settings, rule)?;
        let mut player = Player::new(rule, Events::of_recording(rule.event_names()), out);
        let all = lines.enumerate().try_for_each(|(number, line)| player.line(number + 1, line));
        all.map_err(|error| vec![error])
    })
}

/// Gives one event to a rule, as it is. `out` gets a line as that of [`replay`], if the event caused something or
/// failed.
///
/// The error says why the rule could not be called.
pub fn call(
    settings: &Settings,
    rule: &str,
    event: Recorded,
    out: impl FnMut(String) + Send,
) -> Result<(), Vec<ScriptError>> {
    on_a_large_stack(move || {
        let offline = Offline::load(settings);
        let rule = offline.rule(settings, rule)?;
        Player::new(rule, Events::of_test(), out).event(1, event).map_err(|error| vec![error])
    })
}

struct Player<'a, Out> {
    rule: &'a Rule,
    state: rhai::Dynamic,
    events: Events,
    out: Out,
}

impl<'a, Out: FnMut(String)> Player<'a, Out> {
    fn new(rule: &'a Rule, events: Events, out: Out) -> Self {
        Self { rule, state: rule.state(None), events, out }
    }

    fn line(&mut self, number: usize, line: std::io::Result<String>) -> Result<(), ScriptError> {
        let line = line.map_err(|e| bad(number, e.to_string()))?;
        if line.len() > MAX_LINE {
            let message = format!("the line has more than {MAX_LINE} bytes: is it a recording?");
            return Err(bad(number, message));
        }
        if line.trim().is_empty() {
            return Ok(());
        }
        let recorded = serde_json::from_str(&line)
            .map_err(|e| bad(number, format!("a line is {{\"hook\", \"event\"}}: {e}")))?;
        self.event(number, recorded)
    }

    fn event(&mut self, line: usize, recorded: Recorded) -> Result<(), ScriptError> {
        let Recorded { hook, mut event } = recorded;
        if !HOOKS.iter().any(|known| known.name == hook) {
            let names = HOOKS.map(|hook| hook.name);
            let hint = match gantry_core::spelling::nearest(&hook, names) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => format!(": it is one of {}", names.join(", ")),
            };
            return Err(bad(line, format!("there is no hook `{hook}`{hint}")));
        }
        // Also for a hook that the rule has not: its events count who goes in.
        self.events.show(&mut event);
        if !self.rule.has(&hook) {
            return Ok(());
        }
        let (effects, error) = match self.rule.call(&hook, &event, &mut self.state) {
            Ok((effects, _)) => (effects, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        self.events.note(&event, &effects);
        if effects.is_empty() && error.is_none() {
            return Ok(());
        }
        let local = |key| event.get("local").and_then(|local| local.get(key)).and_then(Value::as_str);
        let at = local("date").zip(local("time")).map(|(date, time)| format!("{date} {time}"));
        let replayed = Replayed { line, at, hook: &hook, effects, error };
        (self.out)(serde_json::to_string(&replayed).map_err(|e| bad(line, e.to_string()))?);
        Ok(())
    }
}

fn bad(line: usize, message: String) -> ScriptError {
    ScriptError::at("recording", "", line, 1, message)
}
