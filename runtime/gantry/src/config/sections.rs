//! From the merged value to the types, section by section, so that one mistake does not hide the next.

use super::origin::{Located, Origins, keys_of};
use super::schema::{Schema, Wrong, must_be};
use gantry_core::config::Config;
use gantry_core::spelling::{nearest, unknown_key};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The longest name of a camera or plugin instance, in bytes: it becomes part of topics, file names and thread names.
const MAX_NAME: usize = 40;

/// The sections whose keys are names that the operator chooses.
const NAMED: [&str; 7] = ["analysis", "cameras", "detectors", "lights", "plugins", "rules", "state"];

/// The configuration without what is wrong, and what is wrong.
pub(super) fn read(merged: Value, schema: &Schema, origins: &Origins) -> (Config, Vec<Located>) {
    let mut findings = Vec::new();
    let mut broken = BTreeSet::new();
    for violation in schema.violations(&merged) {
        let message = match &violation.wrong {
            Wrong::Value(message) => message.clone(),
            Wrong::Unknown(known) => unknown(&violation.keys, known, origins),
        };
        findings.push(origins.locate(&violation.keys, message));
        broken.insert(section_of(&violation.keys));
    }
    let Value::Object(merged) = merged else { return (Config::default(), findings) };
    let mut good = Map::new();
    for (section, value) in sections(merged) {
        if broken.contains(&section) || broken.contains(&section[..1]) {
            continue;
        }
        let alone = nest(&section, value);
        let (mut wrong, config) =
            (bad_name(&section), serde_path_to_error::deserialize::<_, Config>(alone.clone()));
        match config {
            Ok(config) => wrong.extend(beyond_types(&config)),
            Err(error) => {
                let keys = keys_of(&error.path().to_string());
                let found = keys.iter().try_fold(&alone, |value, key| value.get(key)).unwrap_or(&Value::Null);
                let message = rewrite(&keys, found, &error.into_inner().to_string());
                wrong.push((keys, message));
            }
        }
        if wrong.is_empty() {
            merge(&mut good, alone);
        }
        findings.extend(wrong.into_iter().map(|(keys, message)| origins.locate(&keys, message)));
    }
    let config = serde_json::from_value(Value::Object(good)).expect("each section was read alone just now");
    (config, findings)
}

/// `["admin"]`, or `["cameras", "main"]` for what is named.
fn section_of(keys: &[String]) -> Vec<String> {
    let named = keys.first().is_some_and(|first| NAMED.contains(&first.as_str()));
    keys.iter().take(if named { 2 } else { 1 }).cloned().collect()
}

fn sections(merged: Map<String, Value>) -> Vec<(Vec<String>, Value)> {
    let mut all = Vec::new();
    for (key, value) in merged {
        match value {
            Value::Object(named) if NAMED.contains(&key.as_str()) => {
                all.extend(named.into_iter().map(|(name, value)| (vec![key.clone(), name], value)));
            }
            value => all.push((vec![key], value)),
        }
    }
    all
}

fn nest(keys: &[String], value: Value) -> Value {
    keys.iter().rev().fold(value, |below, key| Value::Object(Map::from_iter([(key.clone(), below)])))
}

fn merge(into: &mut Map<String, Value>, from: Value) {
    let Value::Object(from) = from else { return };
    for (key, value) in from {
        match into.get_mut(&key).and_then(Value::as_object_mut) {
            Some(below) => merge(below, value),
            None => _ = into.insert(key, value),
        }
    }
}

/// An unknown key in the environment is answered with the variable that was meant.
fn unknown(keys: &[String], known: &[String], origins: &Origins) -> String {
    let Some((key, above)) = keys.split_last() else { return String::new() };
    let known = known.iter().map(String::as_str);
    if origins.variable(keys).is_none() {
        return unknown_key(key, known, str::to_owned);
    }
    unknown_key(key, known, |known| {
        let levels: Vec<_> = above.iter().map(String::as_str).chain([known]).collect();
        format!("GANTRY_{}", levels.join("__").to_uppercase().replace('-', "_"))
    })
}

fn bad_name(section: &[String]) -> Vec<(Vec<String>, String)> {
    let [of, name] = section else { return Vec::new() };
    // The names of observables are keys of the state, which have rules of their own.
    if of == "state" {
        return Vec::new();
    }
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(good) {
        return Vec::new();
    }
    let message = format!("a name has 1 to {MAX_NAME} characters out of a-z, 0-9, `-` and `_`: rename it");
    vec![(section.to_vec(), message)]
}

/// The collections that Gantry and its plugins fill. Others are those of plugins that somebody else has written.
const COLLECTIONS: [&str; 10] = [
    "audit",
    "cameras",
    "detections",
    "events",
    "gateway",
    "health",
    "pictures",
    "recordings",
    "refused",
    "snapshots",
];

fn bad_collection(name: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
        let message = "a collection has 1 to 64 characters out of a-z, 0-9, `-` and `_`: correct its name";
        return Some(message.to_owned());
    }
    let is_own = COLLECTIONS.contains(&name)
        || crate::records::SAID_ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == name);
    // A slip is of about the same length; `gate-events` may well be somebody's own.
    let near = nearest(name, COLLECTIONS).filter(|near| !is_own && near.len().abs_diff(name.len()) <= 2)?;
    Some(format!("there is no such collection; did you mean `{near}`?"))
}

/// What neither the schema nor the types can say.
fn beyond_types(config: &Config) -> Vec<(Vec<String>, String)> {
    let mut wrong = Vec::new();
    if config.state_dir.as_os_str().is_empty() {
        wrong.push((
            keys_of("state_dir"),
            "it is empty: name a folder that the gateway may write to".to_owned(),
        ));
    }
    if let Err(message) = crate::log::check_level(&config.log.level) {
        wrong.push((keys_of("log.level"), message));
    }
    for (name, observable) in &config.state {
        let found = observable.findings(name).into_iter();
        wrong.extend(found.map(|finding| (keys_of(&finding.path), finding.message)));
    }
    for name in config.records.collections.keys() {
        if let Some(message) = bad_collection(name) {
            wrong.push((["records", "collections", name].map(str::to_owned).to_vec(), message));
        }
    }
    for (name, section) in crate::records::SAID_ELSEWHERE {
        if config.records.collections.contains_key(name) {
            let keys = ["records", "collections", name].map(str::to_owned).to_vec();
            wrong.push((keys, format!("what is kept of `{name}` is said in [{section}]: say it there")));
        }
    }
    wrong
}

/// The messages of the types that read text are about parsing; an operator wants to know what to write.
fn rewrite(keys: &[String], found: &Value, message: &str) -> String {
    match keys.last().map(String::as_str) {
        Some("bind") => must_be("an IP address and a port such as `127.0.0.1:9600`", found),
        Some(
            "stall_timeout" | "segment" | "max_age" | "max_history" | "session_lifetime" | "deadline"
            | "absorb" | "health_interval",
        ) => must_be("a duration such as `1s` or `500ms`", found),
        _ => message.to_owned(),
    }
}
