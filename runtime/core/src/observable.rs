//! What an observable's values may be, in words that its clients understand.

use crate::config::{Finding, Kind, Observable};
use crate::{state, topic};
use serde_json::Value;

/// The longest text of an observable, in bytes.
pub const MAX_TEXT: usize = 4096;
/// The largest magnitude up to which every whole number is itself as a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Why a value is none of an observable's: a sentence for whoever sent it, without the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Observable {
    /// The value as it is kept, or why it cannot be one. Whole numbers are kept as such, also when they come as `75.0`.
    pub fn check(&self, value: &Value) -> Result<Value, Invalid> {
        let invalid = |wanted: &str| Err(Invalid(format!("Value must be {wanted}")));
        match self.kind {
            Kind::Bool => match value {
                Value::Bool(_) => Ok(value.clone()),
                _ => invalid("true or false"),
            },
            Kind::Int => match value.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= EXACT) {
                Some(number) => self.in_range(number, Value::from(number as i64)),
                None => invalid("a whole number"),
            },
            Kind::Float => match value.as_f64() {
                Some(number) => self.in_range(number, value.clone()),
                None => invalid("a number"),
            },
            Kind::String => match value.as_str() {
                Some(text) if text.len() > MAX_TEXT => invalid(&format!("text of at most {MAX_TEXT} bytes")),
                Some(_) => Ok(value.clone()),
                None => invalid("text"),
            },
            Kind::Enum => {
                let choices = self.choices.as_deref().unwrap_or_default();
                match value.as_str() {
                    Some(text) if choices.iter().any(|choice| choice == text) => Ok(value.clone()),
                    _ => invalid(&format!("one of {}", choices.join(", "))),
                }
            }
        }
    }

    fn in_range(&self, number: f64, value: Value) -> Result<Value, Invalid> {
        match self.range {
            Some([low, high]) if !(low..=high).contains(&number) => {
                Err(Invalid(format!("Value must be between {low} and {high}")))
            }
            _ => Ok(value),
        }
    }

    /// The value that it has before anybody has written one.
    #[must_use]
    pub fn initial(&self) -> Value {
        if let Some(value) = &self.default {
            return self.check(value).unwrap_or_else(|_| value.clone());
        }
        let least = self.range.map_or(0.0, |[low, high]| if low > 0.0 || high < 0.0 { low } else { 0.0 });
        match self.kind {
            Kind::Bool => Value::Bool(false),
            Kind::Int => Value::from(least.ceil() as i64),
            Kind::Float => Value::from(least),
            Kind::String => Value::from(""),
            Kind::Enum => Value::from(self.choices.as_deref().unwrap_or_default().first().cloned()),
        }
    }

    /// What is wrong with the declaration of the observable `name`, as findings about the keys of `[state.NAME]`.
    #[must_use]
    pub fn findings(&self, name: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |key: &str, message: String| {
            let path = if key.is_empty() { format!("state.{name}") } else { format!("state.{name}.{key}") };
            findings.push(Finding::new(path, message));
        };
        if topic::check_name(name).is_err() {
            find("", "is no name for an observable: use letters, digits, `-`, `_` and `/`".into());
        } else if let Some(own) = state::reserved(name) {
            find("", format!("is a name of the runtime's own: take one that does not begin with `{own}`"));
        }
        let is_number = matches!(self.kind, Kind::Int | Kind::Float);
        match self.range {
            Some(_) if !is_number => find("range", "only numbers have a range: remove it".into()),
            Some([low, high]) if !(low.is_finite() && high.is_finite() && low <= high) => {
                find("range", "the least value comes first: write [0, 100]".into());
            }
            _ => {}
        }
        match (self.kind, self.choices.as_deref()) {
            (Kind::Enum, None | Some([])) => {
                find("choices", "an enum needs its values: add choices = [\"off\", \"on\"]".into());
            }
            (Kind::Enum, Some(_)) | (_, None) => {}
            (_, Some(_)) => find("choices", "only an enum has choices: set type = \"enum\"".into()),
        }
        if let Some(Err(invalid)) = self.default.as_ref().map(|value| self.check(value)) {
            find("default", format!("is no value of this observable ({invalid}): correct it"));
        }
        if self.write < self.read {
            find(
                "write",
                format!("who writes it must be able to read it: set write = \"{}\" or read lower", self.read),
            );
        }
        if self.follows.is_some() && !self.acts_on.is_empty() {
            find("follows", "what follows another value cannot act: remove `follows` or `acts_on`".into());
        }
        for (i, target) in self.acts_on.iter().enumerate() {
            if let Err(message) = target.parse::<Target>() {
                find(&format!("acts_on[{i}]"), message);
            }
        }
        findings
    }
}

/// What a value acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `camera/NAME/CONTROL`.
    Control {
        /// The camera's name.
        camera: String,
        /// The control, as its pipeline file names it.
        control: String,
    },
    /// `camera/NAME/record`: off, on or pause.
    Record {
        /// The camera's name.
        camera: String,
    },
    /// `camera/NAME/snapshot`: `true` takes one.
    Snapshot {
        /// The camera's name.
        camera: String,
    },
    /// `light/NAME`.
    Light {
        /// The light's name.
        light: String,
    },
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            ["camera", camera, what] if !camera.is_empty() && !what.is_empty() => {
                let camera = camera.to_owned();
                Ok(match what {
                    "record" => Self::Record { camera },
                    "snapshot" => Self::Snapshot { camera },
                    control => Self::Control { camera, control: control.to_owned() },
                })
            }
            ["light", light] if !light.is_empty() => Ok(Self::Light { light: light.to_owned() }),
            _ => Err(format!(
                "`{text}` is nothing to act on: write `camera/NAME/CONTROL`, `camera/NAME/record`, `camera/NAME/snapshot` or `light/NAME`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn observable(toml: Value) -> Observable {
        serde_json::from_value(toml).expect("a declaration")
    }

    #[test]
    fn values_are_normalised_or_refused_in_words() {
        let percent = observable(json!({"type": "int", "range": [0, 100]}));
        assert_eq!(percent.check(&json!(75.0)), Ok(json!(75)));
        for (value, message) in [
            (json!(150), "Value must be between 0 and 100"),
            (json!(-1), "Value must be between 0 and 100"),
            (json!(7.5), "Value must be a whole number"),
            (json!("75"), "Value must be a whole number"),
            (json!(null), "Value must be a whole number"),
            (json!(1e300), "Value must be a whole number"),
            (json!([75]), "Value must be a whole number"),
        ] {
            assert_eq!(percent.check(&value), Err(Invalid(message.into())), "{value}");
        }
        let float = observable(json!({"type": "float", "range": [0.5, 1.5]}));
        assert_eq!(float.check(&json!(1)), Ok(json!(1)));
        assert_eq!(float.check(&json!(2)), Err(Invalid("Value must be between 0.5 and 1.5".into())));
        let switch = observable(json!({"type": "bool"}));
        assert_eq!(switch.check(&json!("on")), Err(Invalid("Value must be true or false".into())));
        let mode = observable(json!({"type": "enum", "choices": ["off", "on"]}));
        assert_eq!(mode.check(&json!("on")), Ok(json!("on")));
        assert_eq!(mode.check(&json!(true)), Err(Invalid("Value must be one of off, on".into())));
        let text = observable(json!({"type": "string"}));
        assert!(text.check(&json!("x".repeat(MAX_TEXT))).is_ok());
        assert!(text.check(&json!("x".repeat(MAX_TEXT + 1))).is_err());
    }

    #[test]
    fn an_observable_without_a_default_begins_with_the_least_of_its_values() {
        for (declared, initial) in [
            (json!({"type": "bool"}), json!(false)),
            (json!({"type": "int", "range": [5, 60]}), json!(5)),
            (json!({"type": "int", "range": [-5, 60]}), json!(0)),
            (json!({"type": "int", "default": 50.0}), json!(50)),
            (json!({"type": "float"}), json!(0.0)),
            (json!({"type": "string"}), json!("")),
            (json!({"type": "enum", "choices": ["auto", "manual"]}), json!("auto")),
        ] {
            assert_eq!(observable(declared.clone()).initial(), initial, "{declared}");
        }
    }

    #[test]
    fn everything_wrong_with_a_declaration_is_found_at_once() {
        let wrong = observable(json!({
            "type": "bool", "range": [1, 0], "choices": ["x"], "default": 3, "read": "operator", "write": "viewer",
            "follows": "cameras/main/connected", "acts_on": ["lamp/1"]
        }));
        let paths: Vec<_> = wrong.findings("x").into_iter().map(|finding| finding.path).collect();
        let keys = ["range", "choices", "default", "write", "follows", "acts_on[0]"];
        assert_eq!(paths, keys.map(|key| format!("state.x.{key}")));
        assert_eq!(observable(json!({"type": "enum"})).findings("x")[0].path, "state.x.choices");
        assert_eq!(observable(json!({"type": "bool"})).findings("cameras/x")[0].path, "state.cameras/x");
        assert!(observable(json!({"type": "int", "range": [0, 1]})).findings("light0").is_empty());
    }

    #[test]
    fn a_target_is_a_cameras_control_its_recorder_its_snapshot_or_a_light() {
        let camera = || "main".to_owned();
        assert_eq!(
            "camera/main/gain".parse(),
            Ok(Target::Control { camera: camera(), control: "gain".into() })
        );
        assert_eq!("camera/main/record".parse(), Ok(Target::Record { camera: camera() }));
        assert_eq!("camera/main/snapshot".parse(), Ok(Target::Snapshot { camera: camera() }));
        assert_eq!("light/ring".parse(), Ok(Target::Light { light: "ring".into() }));
        for wrong in ["", "light", "light/", "camera/main", "camera//gain", "camera/a/b/c", "door/main/x"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
