//! The bodies that the world takes are the ones that Microsoft defines: its definitions make the file that is built in, and
//! its own examples pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hcs_simulator::Definitions;
use serde_json::{Map, Value, json};

use crate::judge::{bundle, specifications};
use crate::support::*;

/// What of a schema says how a body may look.
const KEPT: [&str; 15] = [
    "$ref",
    "additionalProperties",
    "allOf",
    "enum",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "properties",
    "readOnly",
    "required",
    "type",
];
/// Namespaces that the world knows nothing of.
const STRANGE: [&str; 2] = ["Microsoft.Solutions", "/dnsZones/"];

fn slim(schema: &Value) -> Value {
    match schema {
        Value::Array(rows) => rows.iter().map(slim).collect(),
        Value::Object(object) => {
            let kept = object.iter().filter(|(key, _)| KEPT.contains(&key.as_str()));
            let slimmed = kept.map(|(key, value)| {
                let inner = if key == "properties" {
                    let rows = value.as_object().into_iter().flatten();
                    Value::Object(rows.map(|(name, inner)| (name.clone(), slim(inner))).collect())
                } else {
                    slim(value)
                };
                (key.clone(), inner)
            });
            Value::Object(slimmed.collect())
        }
        other => other.clone(),
    }
}

fn references(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Array(rows) => rows.iter().for_each(|row| references(row, found)),
        Value::Object(object) => {
            if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                found.insert(reference.trim_start_matches("#/schemas/").replace("~1", "/"));
            }
            object.values().for_each(|inner| references(inner, found));
        }
        _ => {}
    }
}

/// An operation of the world's types that takes a body.
fn takes_a_body(row: &Value) -> bool {
    let path = row["path"].as_str().unwrap();
    ["PUT", "PATCH", "POST"].contains(&row["method"].as_str().unwrap())
        && row["body"].is_object()
        && !STRANGE.iter().any(|word| path.contains(word))
}

/// The operations of the world's types that take a body, and the schemas that they need; one of each in a line.
fn file_of(bundle: &Value) -> String {
    let mut operations = Vec::new();
    let mut todo = BTreeSet::new();
    for row in bundle["ops"].as_array().unwrap().iter().filter(|row| takes_a_body(row)) {
        let body = slim(&row["body"]);
        references(&body, &mut todo);
        let mut kept: Map<String, Value> =
            ["operationId", "method", "path", "apiVersion", "bodyRequired"]
                .map(|key| (key.to_owned(), row[key].clone()))
                .into_iter()
                .collect();
        kept.insert("body".to_owned(), body);
        operations.push(Value::Object(kept).to_string());
    }
    let mut schemas = BTreeMap::new();
    while let Some(name) = todo.pop_first() {
        let schema = slim(&bundle["schemas"][&name]);
        assert!(schema.is_object(), "{name} is not in the bundle");
        let mut more = BTreeSet::new();
        references(&schema, &mut more);
        schemas.insert(name, schema);
        todo.extend(more.into_iter().filter(|name| !schemas.contains_key(name)));
    }
    let schemas = schemas.iter().map(|(name, schema)| format!("{}: {schema}", json!(name)));
    format!(
        "{{\n\"operations\": [\n{}\n],\n\"schemas\": {{\n{}\n}}\n}}\n",
        operations.join(",\n"),
        schemas.collect::<Vec<_>>().join(",\n")
    )
}

/// The bundle with the two operations on private endpoints, which it leaves out; their definitions are beside it.
fn with_private_endpoints(mut bundle: Value) -> Value {
    let folder =
        "openapi/specification/network/resource-manager/Microsoft.Network/stable/2024-01-01";
    let file = specifications().join(folder).join("privateEndpoint.json");
    let text = std::fs::read_to_string(file).unwrap();
    let text = text
        .replace("#/definitions/", "#/schemas/privateEndpoint@2024-01-01~1")
        .replace("./network.json#/schemas/privateEndpoint", "#/schemas/network");
    let file: Value = serde_json::from_str(&text).unwrap();
    let of_groups = [
        "PrivateDnsZoneGroup",
        "PrivateDnsZoneGroupPropertiesFormat",
        "PrivateDnsZoneConfig",
        "PrivateDnsZonePropertiesFormat",
        "RecordSet",
    ];
    for name in of_groups {
        bundle["schemas"][format!("privateEndpoint@2024-01-01/{name}")] =
            file["definitions"][name].clone();
    }
    let paths = file["paths"].as_object().unwrap();
    for (path, verbs) in paths {
        let Some(put) = verbs.get("put") else { continue };
        let body = put["parameters"].as_array().unwrap().iter().find(|it| it["in"] == "body");
        bundle["ops"].as_array_mut().unwrap().push(json!({
            "operationId": put["operationId"], "method": "PUT", "path": path,
            "apiVersion": file["info"]["version"], "bodyRequired": true,
            "body": body.unwrap()["schema"],
        }));
    }
    bundle
}

#[test]
fn the_bodies_that_are_built_in_are_what_microsoft_defines() {
    let Some(bundle) = bundle() else { return };
    let bundle = with_private_endpoints(bundle);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/definitions/bodies.json");
    expect_test::expect_file![path].assert_eq(&file_of(&bundle));
}

#[test]
fn the_definitions_are_built_in() {
    let operations: Vec<&str> = Definitions::built_in().operations().collect();
    assert!(operations.len() >= 45, "{operations:?}");
    assert!(operations.contains(&"VirtualMachineScaleSets_CreateOrUpdate"));
}

/// Microsoft's examples of requests for a file of definitions, and the operation that each is for.
fn examples(bundle: &Value, folder: &Path) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for row in bundle["ops"].as_array().unwrap().iter().filter(|row| takes_a_body(row)) {
        let name = row["operationId"].as_str().unwrap();
        let beside = folder.join("openapi").join(row["file"].as_str().unwrap());
        for example in row["examples"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let path: PathBuf = beside.parent().unwrap().join(example);
            // The bundle names more examples than it brings.
            let Ok(text) = std::fs::read(&path) else { continue };
            let text: Value = serde_json::from_slice(&text).unwrap();
            let bodies = text["parameters"].as_object().into_iter().flatten();
            let bodies = bodies.filter(|(_, value)| value.is_object());
            for (_, body) in bodies {
                found.push((name.to_owned(), example.to_owned(), body.clone()));
            }
        }
    }
    found
}

/// Examples that are not what their own definitions say: this one wraps its body once more.
const MISTAKEN: [&str; 1] = ["./examples/PutRoleDefinition.json"];

#[test]
fn microsofts_own_examples_pass() {
    let Some(bundle) = bundle() else { return };
    let definitions = Definitions::built_in();
    let known: BTreeSet<&str> = definitions.operations().collect();
    let (mut tried, mut refused) = (0, Vec::new());
    for (operation, example, body) in examples(&bundle, &specifications()) {
        if !known.contains(operation.as_str()) {
            continue;
        }
        tried += 1;
        let complaints = definitions.complaints_of(&operation, &body);
        if !complaints.is_empty() && !MISTAKEN.contains(&example.as_str()) {
            refused.push(format!("{operation} {example}: {}", complaints.join("; ")));
        }
    }
    println!("{tried} examples of {} operations", known.len());
    assert!(refused.is_empty(), "{} of {tried}\n{}", refused.len(), refused.join("\n"));
    assert!(tried > 100, "only {tried} examples");
}

/// Each way in which a body can be wrong, with what the provider says; and what a client sends back as it read it.
#[test]
fn a_body_that_is_not_as_defined_is_refused_in_the_providers_words() {
    let mut sim = Sim::with_group();
    let network = |more: Value| {
        let mut body = vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]);
        for (key, value) in more.as_object().unwrap() {
            body["properties"][key] = value.clone();
        }
        body
    };
    for (more, said) in [
        (
            json!({"enableDdos": true}),
            "Could not find member 'enableDdos' on object of type 'VirtualNetworkPropertiesFormat'. Path 'properties.enableDdos'.",
        ),
        (
            json!({"enableDdosProtection": "yes"}),
            "Error converting value \"yes\" to type 'boolean'. Path 'properties.enableDdosProtection'.",
        ),
        (
            json!({"provisioningState": "Succeeded", "resourceGuid": "me"}),
            "Property 'properties.resourceGuid' is read-only and cannot be set.",
        ),
        (
            json!({"encryption": {"enforcement": "AllowUnencrypted"}}),
            "Property properties.encryption.enabled is missing in the request.",
        ),
        (
            json!({"encryption": {"enabled": true, "enforcement": "Sometimes"}}),
            "The value 'Sometimes' of parameter 'properties.encryption.enforcement' is not allowed. Allowed values are 'DropUnencrypted, AllowUnencrypted'.",
        ),
        (
            json!({"flowTimeoutInMinutes": 4.5}),
            "Error converting value 4.5 to type 'integer'. Path 'properties.flowTimeoutInMinutes'.",
        ),
        (
            json!({"subnets": [{"name": "s", "properties": {"addressPrefixx": "10.1.1.0/24"}}]}),
            "Could not find member 'addressPrefixx' on object of type 'SubnetPropertiesFormat'. Path 'properties.subnets[0].properties.addressPrefixx'.",
        ),
    ] {
        let answer = sim.put(VNET, NETWORK, &network(more.clone()));
        assert_eq!(
            (answer.status, answer.error_code()),
            (400, Some("InvalidRequestFormat")),
            "{more}"
        );
        assert_eq!(answer.body["error"]["details"][0]["message"], said);
    }
    // Names of properties have no case, and a known one that is null is not there.
    let made = sim.make(
        VNET,
        NETWORK,
        &network(json!({"ENABLEddosPROTECTION": false, "ddosProtectionPlan": null})),
    );
    // All that was read goes back as it is.
    let again = sim.put(VNET, NETWORK, &made);
    assert!(again.status < 300, "{:?}", again.body);
    sim.settle();
    let set = json!({"location": "westeurope", "sku": {"name": "Standard_D2s_v5", "capacity": 1, "teir": "x"}});
    let answer = sim.put(SET, COMPUTE, &set);
    assert_eq!(answer.error_code(), Some("InvalidRequestContent"));
    // Other versions than the one that is defined pass; the product sends none.
    let answer = sim.put(VNET, "2025-07-01", &network(json!({"newer": true})));
    assert!(answer.status < 300, "{:?}", answer.body);
}

/// As azurerm sends it: the name of a record stands in its body, too, where it is read-only.
#[test]
fn a_body_may_say_again_what_the_path_says_and_nothing_else() {
    let mut sim = Sim::with_group();
    let zone = "Microsoft.Network/privateDnsZones/c.internal";
    sim.make(zone, DNS, &json!({"location": "global"}));
    let record = |name: &str| {
        let properties = json!({"ttl": 60, "aRecords": [{"ipv4Address": "10.0.0.4"}]});
        json!({"name": name, "properties": properties})
    };
    let path = format!("{zone}/A/consul");
    let refused = sim.put(&path, DNS, &record("other"));
    assert_eq!(refused.error_code(), Some("InvalidRequestFormat"));
    assert!(sim.put(&path, DNS, &record("consul")).status < 300);
}
