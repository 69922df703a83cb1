//! What the schema of the configuration says, in sentences for an operator.

use gantry_core::config::Config;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

/// A JSON Schema and what can be asked of it.
pub(super) struct Schema {
    root: Value,
}

/// Something that a value has and the schema does not allow.
pub(super) struct Violation {
    /// The key.
    pub(super) keys: Vec<String>,
    /// What is wrong.
    pub(super) wrong: Wrong,
}

/// What is wrong with a key.
pub(super) enum Wrong {
    /// There is no such key; these are the ones that there are.
    Unknown(Vec<String>),
    /// It has another value than it may; the sentence says which.
    Value(String),
}

impl Schema {
    /// The schema of `gantry.toml`, made from its types.
    pub(super) fn of_config() -> Self {
        Self { root: schemars::schema_for!(Config).to_value() }
    }

    /// Everything in `value` that the schema does not allow.
    pub(super) fn violations(&self, value: &Value) -> Vec<Violation> {
        let validator = jsonschema::validator_for(&self.root).expect("schemars writes valid schemas");
        let mut found: Vec<Violation> = Vec::new();
        for error in validator.iter_errors(value) {
            let keys = pointer(error.instance_path().as_str());
            if let Kind::AdditionalProperties { unexpected } = error.kind() {
                found.extend(unexpected.iter().map(|key| Violation {
                    wrong: Wrong::Unknown(self.known(&keys)),
                    keys: [keys.as_slice(), std::slice::from_ref(key)].concat(),
                }));
                continue;
            }
            // A number can be of the wrong kind and out of range at once; the sentence is the same.
            if found.iter().any(|other| other.keys == keys) {
                continue;
            }
            let message = match (error.kind(), self.at(&keys).and_then(|schema| self.wanted(schema))) {
                (Kind::Required { property }, _) => {
                    format!("the key `{}` is missing: add it", property.as_str().unwrap_or_default())
                }
                (_, Some(wanted)) => must_be(&wanted, error.instance()),
                _ => error.to_string(),
            };
            found.push(Violation { keys, wrong: Wrong::Value(message) });
        }
        found
    }

    /// The keys that a table has.
    pub(super) fn known(&self, keys: &[String]) -> Vec<String> {
        let properties = self.at(keys).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        properties.map(|all| all.keys().cloned().collect()).unwrap_or_default()
    }

    /// Whether a key takes text and nothing else.
    pub(super) fn is_text(&self, keys: &[String]) -> bool {
        let Some(schema) = self.at(keys) else { return false };
        match schema.get("type") {
            Some(Value::String(kind)) => kind == "string",
            Some(Value::Array(kinds)) => kinds.iter().all(|kind| kind == "string" || kind == "null"),
            _ => !choices(schema).is_empty(),
        }
    }

    /// The part of the schema that a key has to satisfy.
    fn at(&self, keys: &[String]) -> Option<&Value> {
        let mut schema = self.follow(&self.root);
        for key in keys {
            let below = schema
                .get("properties")
                .and_then(|all| all.get(key))
                .or_else(|| schema.get("additionalProperties").filter(|other| other.is_object()))
                .or_else(|| schema.get("items"))?;
            schema = self.follow(below);
        }
        Some(schema)
    }

    /// Goes through references, and through "this or null".
    fn follow<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let target = if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            self.root.pointer(name.trim_start_matches('#'))
        } else {
            let options = schema.get("anyOf").and_then(Value::as_array);
            options.and_then(|options| options.iter().find(|option| option.get("$ref").is_some()))
        };
        target.map_or(schema, |target| self.follow(target))
    }

    /// What a value has to be, as the end of a sentence.
    fn wanted(&self, schema: &Value) -> Option<String> {
        let choices = choices(schema);
        if !choices.is_empty() {
            return Some(any_of(&choices));
        }
        let kind = match schema.get("type")? {
            Value::String(kind) => kind.as_str(),
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null")?,
            _ => return None,
        };
        let limit = |name| schema.get(name).and_then(Value::as_i64);
        let number = if kind == "integer" { "a whole number" } else { "a number" };
        Some(match (kind, limit("minimum"), limit("maximum")) {
            ("integer" | "number", Some(min), Some(max)) => format!("{number} from {min} to {max}"),
            ("integer" | "number", Some(min), None) => format!("{number}, {min} or more"),
            ("integer" | "number", None, Some(max)) => format!("{number}, {max} or less"),
            ("integer" | "number", None, None) => number.to_owned(),
            ("boolean", ..) => "`true` or `false`".to_owned(),
            ("object", ..) => "a table".to_owned(),
            ("array", ..) => "a list".to_owned(),
            ("string", ..) => match schema.get("pattern").and_then(Value::as_str) {
                Some("^[0-9a-fA-F]{64}$") => "64 hexadecimal digits, as `sha256sum` prints them".to_owned(),
                Some(pattern) => format!("text that matches `{pattern}`"),
                None => "text in quotes".to_owned(),
            },
            _ => return None,
        })
    }
}

/// The constants that a value may be, as schemars writes an enum with and without documented variants.
fn choices(schema: &Value) -> Vec<String> {
    let mut found: Vec<&Value> = Vec::new();
    found.extend(schema.get("enum").and_then(Value::as_array).into_iter().flatten());
    for option in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
        found.extend(option.get("const"));
        found.extend(option.get("enum").and_then(Value::as_array).into_iter().flatten());
    }
    found.into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn any_of(choices: &[String]) -> String {
    let quoted: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// The sentence for a value that is not what it has to be.
pub(super) fn must_be(wanted: &str, found: &Value) -> String {
    let mut shown = match found {
        Value::Object(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    };
    if shown.chars().count() > 60 {
        shown = shown.chars().take(59).chain(['…']).collect();
    }
    format!("must be {wanted}, not {shown}")
}

/// The keys of a JSON pointer.
fn pointer(text: &str) -> Vec<String> {
    text.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect()
}
