//! Misspelt keys, found by a JSON Schema that closes its objects (`additionalProperties: false`).

use crate::config::Finding;
use crate::spelling::unknown_key;
use serde_json::{Map, Value};

/// Removes every key that the schema does not know and reports it with the nearest one that it does, so that whatever
/// looks at the value next speaks of the rest.
pub fn unknown_keys(schema: &Value, value: &mut Map<String, Value>) -> Vec<Finding> {
    let mut findings = Vec::new();
    walk(schema, schema, "", value, &mut findings);
    findings
}

/// Follows `$ref` and the non-null half of an optional.
fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    // Bounded: a schema may refer to itself.
    for _ in 0..16 {
        let next = if let Some(target) = schema["$ref"].as_str() {
            target.strip_prefix('#').and_then(|pointer| root.pointer(pointer))
        } else if let Some(choices) = schema["anyOf"].as_array() {
            let mut open = choices.iter().filter(|choice| choice["type"] != "null");
            // With more than one choice left there is no telling which one was meant.
            open.next().filter(|_| open.next().is_none())
        } else if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
            Some(only)
        } else {
            None
        };
        match next {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

fn walk(
    root: &Value,
    schema: &Value,
    path: &str,
    value: &mut Map<String, Value>,
    findings: &mut Vec<Finding>,
) {
    let schema = resolve(root, schema);
    let known = schema["properties"].as_object();
    let others = &schema["additionalProperties"];
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    if *others == Value::Bool(false) {
        let names: Vec<&str> = known.map(|k| k.keys().map(String::as_str).collect()).unwrap_or_default();
        value.retain(|key, _| {
            let is_known = names.contains(&key.as_str());
            if !is_known {
                findings
                    .push(Finding::new(join(key), unknown_key(key, names.iter().copied(), str::to_owned)));
            }
            is_known
        });
    }
    for (key, value) in value.iter_mut() {
        let schema = known.and_then(|known| known.get(key)).unwrap_or(others);
        if let Value::Object(map) = value {
            walk(root, schema, &join(key), map, findings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_unknown_key_is_found_at_every_depth_with_its_neighbour() {
        let schema = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "publish_rate": { "type": "number" },
                "limits": { "anyOf": [{ "$ref": "#/$defs/Limits" }, { "type": "null" }] },
                "blocks": { "type": "object", "additionalProperties": { "type": "string" } },
            },
            "$defs": { "Limits": {
                "additionalProperties": false, "properties": { "connections": {} }
            }},
        });
        let Value::Object(mut value) = json!({
            "publish_rat": 1, "zzz": 2, "limits": { "conections": 3, "connections": 4 },
            "blocks": { "lidar": "robot/lidar" },
        }) else {
            panic!("an object")
        };
        let found: Vec<_> = unknown_keys(&schema, &mut value).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "publish_rat: unknown key; did you mean `publish_rate`?",
                "zzz: unknown key: it can be `publish_rate`, `limits` or `blocks`",
                "limits.conections: unknown key; did you mean `connections`?",
            ]
        );
        assert_eq!(
            Value::Object(value),
            json!({"limits": {"connections": 4}, "blocks": {"lidar": "robot/lidar"}})
        );
    }
}
