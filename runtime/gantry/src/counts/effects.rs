//! What rules cause, done: events begin and end, messages, states and snapshots.

use super::Parts;
use bytes::Bytes;
use gantry_control::{Answer, Who};
use gantry_core::health::Level;
use gantry_core::{bus, state};
use gantry_script::{Effect, ScriptError};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What rules say about the record that they were asked about.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Marks {
    pub(crate) tags: BTreeSet<String>,
    /// Each with the rule that raised it.
    pub(crate) alerts: Vec<Value>,
    /// It is not to be stored.
    pub(crate) dropped: bool,
    /// It is not for uplinks.
    pub(crate) kept_back: bool,
}

/// An event that a rule begins or ends; what else it causes is done already.
pub(super) enum Turn {
    Begin(String, Value),
    End(String, Value),
}

/// Does what a rule caused, but for its events, which are the ledger's. A rule that failed is told about once for each way
/// in which it does.
pub(super) fn carry_out(
    parts: &Parts,
    hook: &str,
    rule: &str,
    done: Result<Vec<Effect>, ScriptError>,
    marks: &mut Marks,
) -> Vec<Turn> {
    let part = format!("script/rules/{rule}/{hook}");
    let effects = match done {
        Ok(effects) => {
            parts.runtime.health.forget(&part);
            effects
        }
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().to_owned();
            if parts.runtime.health.report(&part, Level::Degraded, first) {
                tracing::error!(rule, "the rule failed and had no effect:\n{text}");
            }
            return Vec::new();
        }
    };
    let mut turns = Vec::new();
    for effect in effects {
        match effect {
            Effect::BeginEvent { name, data } => turns.push(Turn::Begin(name, data)),
            Effect::EndEvent { name, data } => turns.push(Turn::End(name, data)),
            Effect::Emit { topic, data } => emit(parts, rule, &topic, &data),
            Effect::SetState { key, value } => set_state(parts, rule, key, value),
            Effect::Snapshot { camera } => parts.acts.snapshot(camera.as_deref()),
            // The script thread has logged it.
            Effect::Log { .. } => {}
            Effect::Tag { name } => _ = marks.tags.insert(name),
            Effect::Alert { name, data } => {
                tracing::info!(rule, alert = name, "an alert");
                marks.alerts.push(json!({ "alert": name, "rule": rule, "data": data }));
            }
            Effect::Drop => marks.dropped = true,
            Effect::Forward { forward } => marks.kept_back |= !forward,
        }
    }
    turns
}

fn emit(parts: &Parts, rule: &str, topic: &str, data: &Value) {
    let name: Arc<str> = format!("rule:{rule}").into();
    let sent = if bus::is_reserved(topic) {
        Err("only the runtime itself sends on it: use a topic of your own, such as `rules/door`".to_owned())
    } else {
        let sent = parts.runtime.bus.publish(&name, topic, Bytes::from(data.to_string()));
        sent.map(|_| ()).map_err(|error| error.to_string())
    };
    if let Err(why) = sent {
        tracing::warn!(rule, topic, "a message of the rule is not sent: {why}");
    }
}

fn set_state(parts: &Parts, rule: &str, key: String, value: Value) {
    if let Some(own) = state::reserved(&key) {
        let why = format!("what begins with `{own}` is the runtime's own: use another name");
        return tracing::warn!(rule, key, "a state of the rule is not set: {why}");
    }
    let (rule, shown) = (rule.to_owned(), key.clone());
    let done = move |answer: Result<Answer, String>| {
        let why = match answer {
            Ok(answer) => {
                answer.rejected.first().map(|r| r.message.clone().unwrap_or_else(|| r.error.to_owned()))
            }
            Err(message) => Some(message),
        };
        if let Some(why) = why {
            tracing::warn!(rule, key = shown, "a state of the rule is not set: {why}");
        }
    };
    parts.control.write(Who::part("rules"), Map::from_iter([(key, value)]), Box::new(done));
}
