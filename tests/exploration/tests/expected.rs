//! One cluster of each shape against what was written down by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use hcs_exploration::scenario::{Scenario, private, reachable, spec};
use hcs_exploration::snapshot::snapshot;
use hcs_judge::departures;
use serde_json::{Value, json};

const SUBSCRIPTION: &str = "/subscriptions/11111111-1111-4111-8111-111111111111";
/// Microsoft's built-in roles for blob data.
const READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
const CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
/// The first twelve digits of SHA-1 in version 5 of the managed group's id; the account's name ends with it.
const UID: &str = "4d2ee040945e";

/// The expectation of a cluster whose servers are in these zones.
fn expected(parts: &[&str], zones: &[&str]) -> Value {
    let group = format!("{SUBSCRIPTION}/resourceGroups/rg-mrg-demo");
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/hcs{UID}");
    let fill = |text: &str| {
        text.replace("{group}", &group).replace("{account}", &account).replace("{uid}", UID)
    };
    let mut objects: Vec<Value> = Vec::new();
    for part in parts {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("expected").join(part);
        let part: Value = serde_json::from_str(&fill(&fs::read_to_string(path).unwrap())).unwrap();
        let replaces = part["replaces"].as_array().cloned().unwrap_or_default();
        objects.retain(|object| !replaces.contains(&object["id"]));
        let roles = part["roles"].as_array().unwrap().iter().map(|role| {
            let on = role["on"].as_str().unwrap();
            let (to, role_id) = (role["to"].as_str().unwrap(), match role["role"].as_str() {
                Some("reader") => READER,
                _ => CONTRIBUTOR,
            });
            // The judge knows a role by what it gives to whom on what.
            let id = format!(
                "{account}/blobServices/default/containers/{on}: {SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role_id} to <principal of {to}>"
            );
            json!({ "for": role["for"], "id": id.to_lowercase(), "body": {} })
        });
        for object in part["objects"].as_array().unwrap().iter().cloned().chain(roles) {
            if object["for"] == "servers" {
                let text = object.to_string();
                objects.extend(zones.iter().enumerate().map(|(slot, zone)| {
                    let one = text.replace("{n}", &slot.to_string()).replace("{zone}", zone);
                    serde_json::from_str(&one).unwrap()
                }));
            } else {
                objects.push(object);
            }
        }
    }
    let addresses: Vec<Value> = (0..zones.len())
        .map(|slot| json!({ "ipv4Address": format!("<address of demo-server-{slot}>") }))
        .collect();
    let text = json!(objects).to_string().replace("\"{addresses}\"", &json!(addresses).to_string());
    let objects: Value = serde_json::from_str(&text).unwrap();
    // Machines, interfaces, pools and records that Azure makes along, the caller's own rights, and what is not ours.
    let unnamed = [
        "/virtualmachines/",
        "/backendaddresspools/",
        "/subnets/",
        "/securityrules/",
        "/soa/@",
        " to <drawn>$",
        "/resourcegroups/rg$",
        "/resourcegroups/rg/",
        "/resourcegroups/theirs",
    ];
    let unnamed: Vec<Value> = unnamed.iter().map(|part| json!(part)).collect();
    json!({ "objects": objects, "unnamed": unnamed })
}

#[test]
fn a_cluster_of_each_shape_is_what_was_written_down_by_hand() {
    let mut two_zones = spec(3);
    two_zones.zones.pop();
    let table = [
        ("1 server", spec(1), vec!["cluster.json"], vec!["1"]),
        ("3 servers", spec(3), vec!["cluster.json"], vec!["1", "2", "3"]),
        ("5 servers", spec(5), vec!["cluster.json"], vec!["1", "2", "3", "1", "2"]),
        ("endpoint", reachable(3), vec!["cluster.json", "endpoint.json"], vec!["1", "2", "3"]),
        ("closed", private(3), vec!["cluster.json", "private.json"], vec!["1", "2", "3"]),
        ("2 zones", two_zones, vec!["cluster.json", "two-zones.json"], vec!["1", "2", "1"]),
    ];
    for (name, to, parts, zones) in table {
        let scenario = Scenario {
            name: "shape",
            from: None,
            to: Some(to),
            lost: None,
            azure_speed: 1,
            keeps: &[],
        };
        let made = snapshot(&scenario.wanted().unwrap().estate);
        let told = departures(&made, &expected(&parts, &zones));
        assert_eq!(told, [""; 0], "{name}");
    }
}

/// What the judge is there for: a port with two digits turned is seen.
#[test]
fn a_port_with_two_digits_turned_is_seen() {
    let scenario = Scenario {
        name: "shape",
        from: None,
        to: Some(spec(1)),
        lost: None,
        azure_speed: 1,
        keeps: &[],
    };
    let made = snapshot(&scenario.wanted().unwrap().estate);
    let text = expected(&["cluster.json"], &["1"]).to_string().replace("8301", "8031");
    let told = departures(&made, &serde_json::from_str(&text).unwrap());
    assert!(told.iter().any(|line| line.contains("8031")), "{told:?}");
}
