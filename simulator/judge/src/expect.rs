//! A world against what somebody wrote down by hand.
//!
//! An expectation is a list of objects. Each names its id below its group (`in` names the group, `id` the rest) and a
//! body. Every field of the body must be there with this value; lists must be equal, in any order; what Azure adds beside
//! is not looked at. An object of the world that no expectation names is told, unless its id holds a part that `unnamed`
//! lists, or ends with one that is marked by `$`.

use serde_json::Value;

use crate::Snapshot;
use crate::plain::plain;

/// Sentences on everything in which the world departs from the expectation.
pub fn departures(actual: &Snapshot, expected: &Value) -> Vec<String> {
    let actual = plain(actual);
    let mut told = Vec::new();
    let mut named = Vec::new();
    let list =
        |name: &str| expected.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    for object in list("objects") {
        let key = object["id"].as_str().unwrap_or_default().to_ascii_lowercase();
        match actual.get(&key) {
            None => told.push(format!("{key} is missing")),
            Some(own) => covers(&key, "", own, &object["body"], &mut told),
        }
        named.push(key);
    }
    let ignored: Vec<String> =
        list("unnamed").iter().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect();
    for key in actual.keys().filter(|key| key.starts_with('/') && !named.contains(key)) {
        let is_ignored = |part: &String| match part.strip_suffix('$') {
            Some(end) => key.ends_with(end),
            None => key.contains(part),
        };
        if !ignored.iter().any(is_ignored) {
            told.push(format!("{key} is there and nobody wrote it down"));
        }
    }
    told
}

fn covers(key: &str, path: &str, actual: &Value, wanted: &Value, told: &mut Vec<String>) {
    match (actual, wanted) {
        (Value::Object(own), Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                // A field may be an id, whose case says nothing.
                let same = |(own, _): &(&String, &Value)| own.eq_ignore_ascii_case(name);
                match own.iter().find(same).map(|(_, actual)| actual) {
                    None => told.push(format!("{key}: {path}/{name} is missing, wanted {wanted}")),
                    Some(actual) => covers(key, &format!("{path}/{name}"), actual, wanted, told),
                }
            }
        }
        (Value::Array(own), Value::Array(wanted)) => {
            let mut left: Vec<&Value> = own.iter().collect();
            for wanted in wanted {
                let found = left.iter().position(|actual| {
                    let mut inner = Vec::new();
                    covers(key, path, actual, wanted, &mut inner);
                    inner.is_empty()
                });
                match found {
                    Some(at) => drop(left.remove(at)),
                    None => told.push(format!("{key}: {path} holds no {wanted}, it is {actual}")),
                }
            }
            for more in left {
                told.push(format!("{key}: {path} holds {more}, which nobody wrote down"));
            }
        }
        (Value::String(own), Value::String(wanted)) if own.eq_ignore_ascii_case(wanted) => {}
        _ if actual == wanted => {}
        _ => told.push(format!("{key}: {path} is {actual}, wanted {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_missing_or_too_much_is_told() {
        let objects = vec![
            json!({ "id": "/g/nsg", "type": "nsg", "added": 1, "rules": [{ "port": "8031" }] }),
            json!({ "id": "/g/vnet", "type": "vnet" }),
        ];
        let world = Snapshot { objects, ..Snapshot::default() };
        let expected = json!({ "objects": [
            { "id": "/g/NSG", "body": { "rules": [{ "port": "8301" }] } },
            { "id": "/g/lb", "body": {} },
        ] });
        let told = departures(&world, &expected).join("\n");
        for words in ["holds no {\"port\":\"8301\"}", "/g/lb is missing", "/g/vnet is there"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let right = json!({ "unnamed": ["vnet"], "objects": [
            { "id": "/g/nsg", "body": { "rules": [{ "port": "8031" }] } },
        ] });
        assert_eq!(departures(&world, &right), [""; 0]);
    }
}
