//! Every owned property with its value and what a change of it does, as a golden: a port with two digits turned, or a
//! property that nobody has classified, is seen here.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::support::scenarios;
use expect_test::expect_file;
use hcs_planner::arm::Kind;
use hcs_planner::desired::{Desired, DesiredObject};
use hcs_planner::effect::{effect, is_classified};
use serde_json::Value;

/// Leaves of a body: path and value. Elements of named lists go by their names.
fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
    match value {
        Value::Object(map) if map.keys().any(|key| key.starts_with('$')) => {
            found.push((path.clone(), value.clone()));
        }
        Value::Object(map) => {
            for (name, inner) in map {
                path.push(name.clone());
                leaves(inner, path, found);
                path.pop();
            }
        }
        Value::Array(items)
            if items.iter().all(|item| item.get("name").is_some()) && !items.is_empty() =>
        {
            for item in items {
                path.push(item["name"].as_str().unwrap_or("?").to_owned());
                leaves(item, path, found);
                path.pop();
            }
        }
        leaf => found.push((path.clone(), leaf.clone())),
    }
}

fn of(object: &DesiredObject) -> Vec<(Vec<String>, Value)> {
    let mut found = Vec::new();
    leaves(&object.body, &mut Vec::new(), &mut found);
    found
}

/// The declarations of all scenarios.
fn everything() -> Vec<DesiredObject> {
    let specs = scenarios::all().into_iter().map(|scenario| scenario.now);
    specs.flat_map(|spec| Desired::new(&spec).objects.into_values()).collect()
}

#[test]
fn every_owned_property_is_classified() {
    let mut missing = BTreeSet::new();
    for object in everything() {
        for (path, _) in of(&object) {
            let words: Vec<&str> = path.iter().map(String::as_str).collect();
            if !is_classified(object.kind, &words) {
                missing.insert(format!("{:?} /{}", object.kind, path.join("/")));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_owned_property_is_as_it_was_written_down() {
    let mut lines = BTreeSet::new();
    for object in everything() {
        // One of the servers tells for all.
        let is_first = object.slot.is_none_or(|slot| slot == 0);
        for (path, value) in of(&object).into_iter().filter(|_| is_first) {
            let words: Vec<&str> = path.iter().map(String::as_str).collect();
            let effect = serde_json::to_value(effect(object.kind, &words)).unwrap();
            // What a declaration decides is told by the scenarios; here it would only be long.
            let value = match path.first().map(String::as_str) {
                Some("tags" | "location" | "zones") => "declared".to_owned(),
                _ if path.iter().any(|name| name == "customData") => "by hash".to_owned(),
                _ => value.to_string(),
            };
            let kind = format!("{:?}", object.kind);
            let mut line =
                format!("{kind:<21} {:<17} {}", effect.as_str().unwrap(), path.join("."));
            write!(line, " = {value}").unwrap();
            lines.insert(line);
        }
    }
    assert!(lines.iter().any(|line| line.starts_with(&format!("{:?}", Kind::ScaleSet))));
    let text = lines.into_iter().collect::<Vec<_>>().join("\n") + "\n";
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-properties.txt");
    expect_file![golden].assert_eq(&text);
}
