//! JSON held against a JSON Schema: the keywords that our own schema has, of draft 2020-12. One that isn't known here is an error.

use serde_json::Value;

/// All that is wrong with `value`, each with its place in it.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    check(schema, schema, (value, ""))
}

/// What is wrong with a value at a place, by a part of the whole schema.
fn check(root: &Value, schema: &Value, (value, at): (&Value, &str)) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(format!("{at}: {what}"));
    let number = value.as_f64();
    let length = value.as_array().map(Vec::len).or_else(|| value.as_str().map(|text| text.chars().count()));
    let below = |limit: &Value, fails: fn(f64, f64) -> bool, found: Option<f64>| {
        found.zip(limit.as_f64()).is_some_and(|(found, limit)| fails(found, limit))
    };
    for (keyword, says) in schema.as_object().expect("a schema is an object") {
        match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" => {}
            "type" => {
                let kinds = says.as_array().cloned().unwrap_or_else(|| vec![says.clone()]);
                if !kinds.iter().any(|kind| is(kind.as_str().expect("a name"), value)) {
                    fault(format!("is no {says}: {value}"));
                }
            }
            "const" if value != says => fault(format!("is not {says}")),
            "enum" if !says.as_array().expect("values").contains(value) => fault(format!("{value} is none of {says}")),
            "minimum" if below(says, |found, limit| found < limit, number) => fault(format!("{value} is below {says}")),
            "maximum" if below(says, |found, limit| found > limit, number) => fault(format!("{value} is over {says}")),
            "exclusiveMinimum" if below(says, |found, limit| found <= limit, number) => {
                fault(format!("{value} is not over {says}"));
            }
            "minItems" | "minLength" if below(says, |found, limit| found < limit, length.map(|n| n as f64)) => {
                fault(format!("is shorter than {says}"));
            }
            "maxItems" if below(says, |found, limit| found > limit, length.map(|n| n as f64)) => {
                fault(format!("is longer than {says}"));
            }
            "required" => {
                let keys = says.as_array().expect("keys").iter().filter_map(Value::as_str);
                if let (Some(object), Some(missing)) =
                    (value.as_object(), keys.clone().find(|key| value.get(key).is_none()))
                {
                    fault(format!("has no {missing:?} but {:?}", object.keys().collect::<Vec<_>>()));
                }
            }
            "additionalProperties" => {
                assert_eq!(says, &Value::Bool(false), "the only use that is known here");
                let known = |key: &&String| schema["properties"].get(key.as_str()).is_none();
                if let Some(unknown) = value.as_object().and_then(|object| object.keys().find(known)) {
                    fault(format!("has a {unknown:?}, which nobody knows"));
                }
            }
            "const" | "enum" | "minimum" | "maximum" | "exclusiveMinimum" | "minItems" | "minLength" | "maxItems" => {}
            "$ref" | "properties" | "items" | "anyOf" => {}
            other => panic!("the schema says {other:?}, which is not known here"),
        }
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let found = root.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} is nowhere"));
        faults.extend(check(root, found, (value, at)));
    }
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(key) {
            faults.extend(check(root, schema, (value, &format!("{at}/{key}"))));
        }
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (i, value) in values.iter().enumerate() {
            faults.extend(check(root, items, (value, &format!("{at}/{i}"))));
        }
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let all: Vec<Vec<String>> = choices.iter().map(|choice| check(root, choice, (value, at))).collect();
        if all.iter().all(|faults| !faults.is_empty()) {
            faults.push(format!("{at}: is none of several: {all:?}"));
        }
    }
    faults
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("no type of JSON's: {other:?}"),
    }
}

#[test]
fn what_is_wrong_is_found() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {
            "a": {"type": "integer", "minimum": 1}, "b": {"type": "array", "items": {"enum": ["x", null]}, "maxItems": 2},
            "c": {"anyOf": [{"$ref": "#/$defs/d"}, {"type": "null"}]},
        },
        "$defs": {"d": {"const": 4}},
    });
    let wrong = |value: Value| faults(&schema, &value).len();
    assert_eq!(wrong(serde_json::json!({"a": 1, "b": ["x", null], "c": 4})), 0);
    assert_eq!(wrong(serde_json::json!({"a": 0, "b": ["y", "x", "x"], "c": 5, "e": 1})), 5);
    assert_eq!([wrong(serde_json::json!({})), wrong(serde_json::json!(3))], [1, 1]);
}
