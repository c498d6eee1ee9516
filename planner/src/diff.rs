//! Desired against observed, as ARM means it: owned properties only, ids without case, named lists without order,
//! whatever else is there left alone.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::arm::Kind;
use crate::read_only;

/// One owned property that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Where, e.g. `properties.securityRules[consul-rpc].properties.access`.
    pub path: String,
    /// What Azure holds; `Null` when it is missing.
    pub observed: Value,
    /// What should be there.
    pub desired: Value,
}

/// Differences of `observed` from `desired`; `create_only` are JSON pointers that never count.
pub fn differences(desired: &Value, observed: &Value, create_only: &[&str]) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(desired, observed, "", "", create_only, &mut found);
    found
}

fn compare(
    desired: &Value,
    observed: &Value,
    path: &str,
    pointer: &str,
    create_only: &[&str],
    found: &mut Vec<Difference>,
) {
    if create_only.contains(&pointer) {
        return;
    }
    match (desired, observed) {
        (Value::Object(want), Value::Object(have)) => {
            for (key, value) in want {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let pointer = format!("{pointer}/{key}");
                let other = lookup(have, key).unwrap_or(&Value::Null);
                compare(value, other, &path, &pointer, create_only, found);
            }
        }
        (Value::Array(want), Value::Array(have)) => {
            compare_lists(want, have, path, pointer, create_only, found);
        }
        (want, have) if same_scalar(want, have) => {}
        // An empty list or object that ARM leaves out says the same.
        (Value::Array(want), Value::Null) if want.is_empty() => {}
        (Value::Object(want), Value::Null) if want.is_empty() => {}
        (want, have) => found.push(Difference {
            path: path.to_owned(),
            observed: have.clone(),
            desired: want.clone(),
        }),
    }
}

/// Ids as keys (attached identities) compare without case, too.
fn lookup<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    map.get(key).or_else(|| {
        key.starts_with('/')
            .then(|| map.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v))
            .flatten()
    })
}

fn same_scalar(want: &Value, have: &Value) -> bool {
    match (want, have) {
        (Value::String(a), Value::String(b)) => {
            a == b || (a.starts_with("/subscriptions/") && a.eq_ignore_ascii_case(b))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// What tells an element of a list from its neighbours, if anything does.
fn identity(element: &Value) -> Option<&str> {
    ["name", "id"].iter().find_map(|key| element.get(*key).and_then(Value::as_str))
}

fn compare_lists(
    want: &[Value],
    have: &[Value],
    path: &str,
    pointer: &str,
    create_only: &[&str],
    found: &mut Vec<Difference>,
) {
    // Elements with a name: ours must be there as they should be; others may be policy's or somebody's, and stay.
    if !want.is_empty() && want.iter().all(|element| identity(element).is_some()) {
        for element in want {
            let name = identity(element).unwrap_or_default();
            let other = have
                .iter()
                .find(|o| identity(o).is_some_and(|other| other.eq_ignore_ascii_case(name)));
            let short = name.rsplit('/').next().unwrap_or(name);
            let (path, pointer) = (format!("{path}[{short}]"), format!("{pointer}/{short}"));
            let mut element = element.clone();
            if let (Some(map), Some(_)) = (element.as_object_mut(), other) {
                // Matched without case already, which is how ARM means names.
                map.remove("name");
                map.remove("id");
            }
            compare(&element, other.unwrap_or(&Value::Null), &path, &pointer, create_only, found);
        }
        return;
    }
    // Anything else is one value whose order says nothing.
    let same = want.len() == have.len() && want.iter().all(|w| have.iter().any(|h| contains(w, h)));
    if !same {
        found.push(Difference {
            path: path.to_owned(),
            observed: Value::Array(have.to_vec()),
            desired: Value::Array(want.to_vec()),
        });
    }
}

fn contains(want: &Value, have: &Value) -> bool {
    let mut found = Vec::new();
    compare(want, have, "", "", &[], &mut found);
    found.is_empty()
}

/// The body to PUT: what Azure holds, with our properties over it, so that nobody's additions are lost. What ARM only
/// shows and does not take is left out.
pub fn merged(kind: Kind, desired: &Value, observed: &Value) -> Value {
    merge(kind, desired, observed, &mut Vec::new())
}

fn merge(kind: Kind, desired: &Value, observed: &Value, path: &mut Vec<String>) -> Value {
    match (desired, observed) {
        (Value::Object(want), Value::Object(have)) => {
            let mut out = Map::new();
            for (key, value) in have {
                if lookup(want, key).is_some() {
                    continue;
                }
                path.push(key.clone());
                if !read_only::is_read_only(kind, path) {
                    out.insert(key.clone(), writable(kind, value, path));
                }
                path.pop();
            }
            for (key, value) in want {
                path.push(key.clone());
                let other = lookup(have, key).unwrap_or(&Value::Null);
                out.insert(key.clone(), merge(kind, value, other, path));
                path.pop();
            }
            Value::Object(out)
        }
        (Value::Array(want), Value::Array(have))
            if !want.is_empty() && want.iter().all(|element| identity(element).is_some()) =>
        {
            let same = |a: &Value, b: &Value| match (identity(a), identity(b)) {
                (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
                _ => false,
            };
            path.push("*".to_owned());
            let ours = want.iter().map(|w| {
                let other = have.iter().find(|h| same(w, h)).unwrap_or(&Value::Null);
                (w, other)
            });
            let mut out: Vec<Value> = ours.map(|(w, h)| merge(kind, w, h, path)).collect();
            let theirs = have.iter().filter(|h| !want.iter().any(|w| same(w, h)));
            out.extend(theirs.map(|h| writable(kind, h, path)));
            path.pop();
            Value::Array(out)
        }
        (want, _) => want.clone(),
    }
}

/// What somebody else put there, without what ARM only shows.
fn writable(kind: Kind, value: &Value, path: &mut Vec<String>) -> Value {
    match value {
        Value::Object(_) => merge(kind, &Value::Object(Map::new()), value, path),
        Value::Array(items) => {
            path.push("*".to_owned());
            let kept = items.iter().map(|item| writable(kind, item, path)).collect();
            path.pop();
            Value::Array(kept)
        }
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(desired: &Value, observed: &Value) -> Vec<String> {
        differences(desired, observed, &[]).into_iter().map(|d| d.path).collect()
    }

    #[test]
    fn what_arm_adds_or_respells_is_no_difference() {
        let desired = json!({
            "location": "westeurope",
            "tags": { "hcs-cluster": "a" },
            "properties": {
                "subnet": { "id": "/subscriptions/S/resourceGroups/G/x" },
                "rules": [ { "name": "a", "properties": { "priority": 1 } } ],
                "ports": ["1", "2"],
                "empty": [],
            },
        });
        let observed = json!({
            "id": "/subscriptions/s/...", "etag": "W/1", "location": "westeurope",
            "tags": { "hcs-cluster": "a", "costCenter": "policy" },
            "properties": {
                "provisioningState": "Succeeded",
                "subnet": { "id": "/subscriptions/s/resourcegroups/g/X" },
                "rules": [
                    { "name": "other", "properties": {} },
                    { "name": "A", "id": "x", "properties": { "priority": 1.0, "access": "Allow" } },
                ],
                "ports": ["2", "1"],
            },
        });
        assert_eq!(paths(&desired, &observed), Vec::<String>::new());
    }

    #[test]
    fn changed_and_missing_owned_properties_are_named() {
        let desired = json!({
            "tags": { "a": "1" },
            "properties": { "rules": [ { "name": "r", "properties": { "access": "Allow" } } ] },
        });
        let observed = json!({
            "properties": { "rules": [ { "name": "r", "properties": { "access": "Deny" } } ] },
        });
        assert_eq!(paths(&desired, &observed), ["properties.rules[r].properties.access", "tags"]);
    }

    #[test]
    fn create_only_pointers_never_count() {
        let desired = json!({ "properties": { "osProfile": { "customData": "new" }, "x": 1 } });
        let observed = json!({ "properties": { "x": 1 } });
        assert!(differences(&desired, &observed, &["/properties/osProfile"]).is_empty());
    }

    #[test]
    fn a_merge_keeps_what_is_not_ours_and_drops_what_arm_only_shows() {
        let rule = |name: &str, priority: u32| json!({ "name": name, "properties": { "priority": priority } });
        let desired = json!({
            "tags": { "ours": "2" },
            "properties": { "securityRules": [rule("r", 1)] },
        });
        let mut theirs = rule("policy", 9);
        theirs["etag"] = json!("y");
        theirs["properties"]["provisioningState"] = json!("Succeeded");
        let observed = json!({
            "id": "/x", "name": "nsg", "etag": "x",
            "tags": { "ours": "1", "theirs": "t" },
            "properties": {
                "provisioningState": "Succeeded",
                "defaultSecurityRules": [rule("AllowVnetInBound", 65000)],
                "securityRules": [theirs, rule("R", 0)],
            },
        });
        assert_eq!(
            merged(Kind::NetworkSecurityGroup, &desired, &observed),
            json!({
                "id": "/x",
                "tags": { "ours": "2", "theirs": "t" },
                "properties": { "securityRules": [rule("r", 1), rule("policy", 9)] },
            })
        );
    }

    #[test]
    fn a_storage_account_is_written_with_what_its_create_takes() {
        let desired =
            json!({ "tags": { "a": "1" }, "properties": { "allowSharedKeyAccess": false } });
        let observed = json!({
            "kind": "StorageV2",
            "properties": {
                "primaryEndpoints": { "blob": "https://x/" }, "creationTime": "now",
                "statusOfPrimary": "available", "accessTier": "Cool", "allowSharedKeyAccess": true,
            },
        });
        let body = merged(Kind::StorageAccount, &desired, &observed);
        let expected = json!({ "accessTier": "Cool", "allowSharedKeyAccess": false });
        assert_eq!(body["properties"], expected);
    }
}
