//! What is configured for one rule: its table `[rules.NAME]`.

use crate::error::ScriptError;
use crate::scripts::Settings;
use crate::source::{Folder, Sources};
use gantry_core::spelling::nearest;
use serde_json::Value;

/// The key that is the gateway's, and not the rule's.
const ENABLED: &str = "enabled";

/// A rule's table, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setup {
    /// Whether the rule runs.
    pub(crate) enabled: bool,
    /// What the rule sees as `config`.
    pub(crate) config: Option<Value>,
}

impl Setup {
    /// Reads a table; without one the rule runs. The error is a sentence.
    pub(crate) fn of(table: Option<&Value>) -> Result<Self, String> {
        let mut config = table.cloned();
        let enabled = config.as_mut().and_then(Value::as_object_mut).and_then(|table| table.remove(ENABLED));
        match enabled {
            None => Ok(Self { enabled: true, config }),
            Some(Value::Bool(enabled)) => Ok(Self { enabled, config }),
            Some(other) => Err(format!("`enabled` is {other} in the rule's table: write true or false")),
        }
    }

    /// Whether a table turns its rule off. One that cannot be read does not: the rule then fails to load, and
    /// says why.
    pub(crate) fn is_off(table: Option<&Value>) -> bool {
        Self::of(table).is_ok_and(|setup| !setup.enabled)
    }
}

/// The tables for which there is no script. A typing mistake there would configure nothing, without a word.
pub(crate) fn without_a_script(settings: &Settings, sources: &Sources) -> Vec<(String, ScriptError)> {
    let rules: Vec<&str> =
        sources.keys().filter(|id| id.folder == Folder::Rules).map(|id| id.name.as_str()).collect();
    let unknown = settings.rules.keys().filter(|name| !rules.contains(&name.as_str()));
    let error = |name: &String| {
        let hint = match nearest(name, rules.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write scripts/rules/{name}.rhai, or remove the table"),
        };
        let message = format!("there is no rule of that name; {hint}");
        (name.clone(), ScriptError::whole(&format!("[rules.{name}]"), message))
    };
    unknown.map(error).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn enabled_is_the_gateways_and_all_else_the_rules() {
        let of = |table| Setup::of(Some(&table));
        assert_eq!(Setup::of(None), Ok(Setup { enabled: true, config: None }));
        assert_eq!(of(json!({"n": 1})), Ok(Setup { enabled: true, config: Some(json!({"n": 1})) }));
        let off = Setup { enabled: false, config: Some(json!({"n": 1})) };
        assert_eq!(of(json!({"n": 1, "enabled": false})), Ok(off));
        assert!(of(json!({"enabled": "no"})).is_err_and(|e| e.contains("write true or false")));
        assert!(!Setup::is_off(Some(&json!({"enabled": "no"}))));
    }
}
