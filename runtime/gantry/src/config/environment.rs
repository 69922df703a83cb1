//! `GANTRY_…` variables.

use super::file::value_from_text;
use super::origin::Located;
use super::schema::Schema;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// What every variable of ours begins with.
const PREFIX: &str = "GANTRY_";
/// Variables of the test suite, which are no configuration: `GANTRY_TEST_ASSETS`.
const TESTS: &str = "GANTRY_TEST_";

/// What the environment sets.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// The values, nested like those of the file.
    pub(super) values: Map<String, Value>,
    /// The variable that set each key.
    pub(super) names: BTreeMap<Vec<String>, String>,
    /// What cannot be understood.
    pub(super) findings: Vec<Located>,
}

/// Reads the variables. `file` and `schema` tell how the keys are really written: a variable has no case and no `-`.
pub(super) fn read(
    variables: &[(OsString, OsString)],
    file: &Map<String, Value>,
    schema: &Schema,
) -> Environment {
    let mut found = Environment::default();
    let mut ours: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, _)| starts_with(name, PREFIX) && !starts_with(name, TESTS))
        .collect();
    ours.sort();
    for (name, value) in ours {
        let segments: Vec<_> = name[PREFIX.len()..].split("__").collect();
        if segments.contains(&"") {
            let message =
                "it has an empty level: write GANTRY_ and the key, with two underscores between levels";
            found.findings.push(Located::of_variable(&name, message));
            continue;
        }
        let Some(text) = value.to_str() else {
            found.findings.push(Located::of_variable(&name, "its value is not UTF-8: set it anew"));
            continue;
        };
        let keys = spell(&segments, file, schema);
        if let Some(other) = found.names.get(&keys) {
            let message = format!("{other} sets the same key: remove one of them");
            found.findings.push(Located::of_variable(&name, message));
            continue;
        }
        set(&mut found.values, &keys, read_value(text, &keys, schema));
        found.names.insert(keys, name);
    }
    found
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The keys as the file or the schema writes them.
fn spell(segments: &[&str], file: &Map<String, Value>, schema: &Schema) -> Vec<String> {
    let fold = |key: &str| key.to_ascii_lowercase().replace('-', "_");
    let mut keys: Vec<String> = Vec::new();
    let mut table = Some(file);
    for segment in segments {
        let lower = segment.to_ascii_lowercase();
        let in_file = || table.and_then(|t| t.keys().find(|key| fold(key) == fold(segment)).cloned());
        let exact = table.and_then(|t| t.get_key_value(&lower)).map(|(key, _)| key.clone());
        let known = || schema.known(&keys).into_iter().find(|key| fold(key) == fold(segment));
        let key = exact.or_else(in_file).or_else(known).unwrap_or(lower);
        table = table.and_then(|t| t.get(&key)).and_then(Value::as_object);
        keys.push(key);
    }
    keys
}

/// A number, `true`, a list or a table where it is written like one, otherwise text; text in any case where the key takes
/// nothing else, so that a folder may be called `2024`.
fn read_value(text: &str, keys: &[String], schema: &Schema) -> Value {
    match value_from_text(text) {
        Some(value) if value.is_string() || !schema.is_text(keys) => value,
        _ => Value::String(text.to_owned()),
    }
}

fn set(table: &mut Map<String, Value>, keys: &[String], value: Value) {
    match keys {
        [] => {}
        [last] => _ = table.insert(last.clone(), value),
        [first, rest @ ..] => {
            let below = table.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            if let Some(below) = below.as_object_mut() {
                set(below, rest, value);
            }
        }
    }
}
