//! JSON as Rhai sees it, and back.

use rhai::{Dynamic, FLOAT, INT, Map};
use serde_json::{Number, Value};

/// How deep a value from a script may be nested.
const MAX_DEPTH: usize = 32;

/// How large a value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Bytes of one text.
    pub(crate) text: usize,
    /// Elements of all arrays and maps together.
    pub(crate) elements: usize,
}

/// JSON to Rhai. Fails when it is larger than a script may hold.
pub(crate) fn to_dynamic(value: &Value, size: Size) -> Result<Dynamic, String> {
    let mut left = size.elements;
    enter(value, size, &mut left, 0)
}

fn enter(value: &Value, size: Size, left: &mut usize, depth: usize) -> Result<Dynamic, String> {
    if depth > MAX_DEPTH {
        return Err("Value is nested too deep".into());
    }
    let mut take = |count: usize| {
        *left = left.checked_sub(count).ok_or("Value has too many elements")?;
        Ok::<_, String>(())
    };
    Ok(match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(bool) => Dynamic::from_bool(*bool),
        Value::Number(number) => number_to_dynamic(number),
        Value::String(text) => {
            within(text, size)?;
            text.as_str().into()
        }
        Value::Array(array) => {
            take(array.len())?;
            array.iter().map(|item| enter(item, size, left, depth + 1)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Value::Object(object) => {
            take(object.len())?;
            let mut map = Map::new();
            for (key, item) in object {
                within(key, size)?;
                map.insert(key.as_str().into(), enter(item, size, left, depth + 1)?);
            }
            map.into()
        }
    })
}

fn within(text: &str, size: Size) -> Result<(), String> {
    if text.len() > size.text { Err("Value is too long".into()) } else { Ok(()) }
}

fn number_to_dynamic(number: &Number) -> Dynamic {
    match number.as_i64() {
        Some(int) => Dynamic::from_int(int as INT),
        None => Dynamic::from_float(number.as_f64().unwrap_or(FLOAT::NAN)),
    }
}

/// Rhai to JSON. Fails when it is something that JSON does not have.
pub(crate) fn to_json(value: &Dynamic) -> Result<Value, String> {
    leave(value, 0)
}

fn leave(value: &Dynamic, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err("it is nested too deep".into());
    }
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(bool) = value.as_bool() {
        return Ok(Value::Bool(bool));
    }
    if let Ok(int) = value.as_int() {
        return Ok(Value::from(int));
    }
    if let Ok(float) = value.as_float() {
        return Number::from_f64(float).map(Value::Number).ok_or_else(|| format!("{float} is not a number"));
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(Value::String(text.as_str().to_owned()));
    }
    if let Ok(char) = value.as_char() {
        return Ok(Value::String(char.into()));
    }
    if let Ok(array) = value.as_array_ref() {
        return Ok(Value::Array(array.iter().map(|item| leave(item, depth + 1)).collect::<Result<_, _>>()?));
    }
    if let Ok(map) = value.as_map_ref() {
        let pairs = map.iter().map(|(key, item)| Ok((key.to_string(), leave(item, depth + 1)?)));
        return Ok(Value::Object(pairs.collect::<Result<_, String>>()?));
    }
    Err(format!("a {} cannot leave a script", value.type_name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const SIZE: Size = Size { text: 16, elements: 4 };

    #[test]
    fn large_and_deep_values_stay_outside() {
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!([deep]);
        }
        for value in [json!("x".repeat(17)), json!([1, 2, [3, 4, 5]]), deep, json!({"x".repeat(17): 1})] {
            assert!(to_dynamic(&value, SIZE).is_err(), "{value}");
        }
    }

    #[test]
    fn what_json_does_not_have_cannot_leave() {
        assert!(to_json(&Dynamic::from_float(FLOAT::NAN)).is_err());
        assert!(to_json(&rhai::FnPtr::new("f").expect("a name").into()).is_err());
        assert_eq!(to_json(&Dynamic::from_char('x')), Ok(json!("x")));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9f64).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_comes_back_as_it_went_in(value in any_json()) {
            let size = Size { text: 1000, elements: 1000 };
            let there = to_dynamic(&value, size).expect("small");
            prop_assert_eq!(to_json(&there).expect("JSON"), value);
        }
    }
}
