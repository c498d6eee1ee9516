//! What tells one world from another.

use serde_json::Value;

use crate::Snapshot;
use crate::plain::plain;

/// Sentences on everything in which `actual` is another world than `wanted`; none: they are the same.
pub fn differences(actual: &Snapshot, wanted: &Snapshot) -> Vec<String> {
    let (actual, wanted) = (plain(actual), plain(wanted));
    let mut told = Vec::new();
    for (key, body) in &wanted {
        match actual.get(key) {
            None => told.push(format!("{key} is missing")),
            Some(own) => compare(key, "", own, body, &mut told),
        }
    }
    told.extend(
        actual
            .keys()
            .filter(|key| !wanted.contains_key(*key))
            .map(|key| format!("{key} is there and should not be")),
    );
    told
}

fn compare(key: &str, path: &str, actual: &Value, wanted: &Value, told: &mut Vec<String>) {
    match (actual, wanted) {
        (Value::Object(own), Value::Object(other)) => {
            for (name, wanted) in other {
                match own.get(name) {
                    None => told.push(format!("{key}: {path}/{name} is missing, wanted {wanted}")),
                    Some(actual) => compare(key, &format!("{path}/{name}"), actual, wanted, told),
                }
            }
            for (name, actual) in own.iter().filter(|(name, _)| !other.contains_key(*name)) {
                told.push(format!("{key}: {path}/{name} is {actual} and should not be there"));
            }
        }
        (Value::Array(own), Value::Array(other)) => {
            // Azure gives lists back in an order of its own.
            let (own, other) = (sorted(own), sorted(other));
            if own.len() == other.len() {
                for (at, (actual, wanted)) in own.iter().zip(&other).enumerate() {
                    compare(key, &format!("{path}/{at}"), actual, wanted, told);
                }
            } else {
                told.push(format!("{key}: {path} is {actual}, wanted {wanted}"));
            }
        }
        _ if actual == wanted => {}
        _ => told.push(format!("{key}: {path} is {actual}, wanted {wanted}")),
    }
}

fn sorted(items: &[Value]) -> Vec<&Value> {
    let mut sorted: Vec<&Value> = items.iter().collect();
    sorted.sort_by_cached_key(ToString::to_string);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn world(port: u16, principal: &str, address: &str) -> Snapshot {
        let identity = json!({
            "id": "/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i", "name": "i",
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
            "properties": { "principalId": principal },
        });
        let role = json!({
            "id": format!("/g/providers/Microsoft.Authorization/roleAssignments/{principal}"),
            "name": principal, "type": "Microsoft.Authorization/roleAssignments",
            "properties": { "principalId": principal, "roleDefinitionId": "/roles/reader" },
        });
        let ports = json!({
            "id": "/g/nsg", "type": "nsg", "etag": address,
            "properties": { "port": port, "to": [address, "10.0.0.9"] },
        });
        Snapshot {
            objects: vec![identity, role, ports],
            addresses: [("s".to_owned(), address.to_owned())].into(),
            ..Snapshot::default()
        }
    }

    const ONE: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
    const TWO: &str = "11111111-a8ff-443c-a75c-2fe8c4bcb635";

    #[test]
    fn worlds_that_were_made_twice_are_the_same() {
        assert_eq!(differences(&world(1, ONE, "10.0.0.4"), &world(1, TWO, "10.0.0.5")), [""; 0]);
    }

    #[test]
    fn a_wrong_port_a_missing_role_and_a_wrong_address_are_told() {
        let told = differences(&world(8031, ONE, "10.0.0.4"), &world(8301, ONE, "10.0.0.4"));
        assert_eq!(told, ["/g/nsg: /properties/port is 8031, wanted 8301"]);
        let mut less = world(1, ONE, "10.0.0.4");
        less.objects.remove(1);
        let told = differences(&less, &world(1, ONE, "10.0.0.4"));
        assert_eq!(told, ["/g: /roles/reader to <principal of i> is missing"]);
        let mut stale = world(1, ONE, "10.0.0.4");
        stale.addresses.insert("s".to_owned(), "10.0.0.7".to_owned());
        assert!(!differences(&stale, &world(1, ONE, "10.0.0.4")).is_empty());
    }
}
