//! Two subscriptions of one tenant: groups, roles and lists of each are its own, peerings reach from one to the other.

use hcs_simulator::{Method, Settings};
use serde_json::{Value, json};

use crate::support::{GROUPS, NETWORK, Sim, VNET, vnet};

const OTHER: &str = "99999999-9999-4999-8999-999999999999";

fn sim() -> Sim {
    let other_subscription_ids = vec![OTHER.to_owned()];
    Sim::with(Settings { other_subscription_ids, ..Settings::default() })
}

#[test]
fn groups_of_one_name_are_two_and_lists_are_of_one() {
    let mut sim = sim();
    let other = format!("/subscriptions/{OTHER}/resourceGroups/g");
    assert_eq!(sim.put("", GROUPS, &json!({"location": "westeurope"})).status, 201);
    assert_eq!(sim.get(&other, GROUPS).status, 404);
    assert_eq!(sim.put(&other, GROUPS, &json!({"location": "northeurope"})).status, 201);
    let own = format!("{}/resourceGroups", sim.subscription());
    for list in [own, format!("/subscriptions/{OTHER}/resourceGroups")] {
        let rows = sim.get(&list, GROUPS).body["value"].as_array().unwrap().clone();
        assert_eq!(rows.len(), 1, "{list}");
        assert!(rows[0]["id"].as_str().unwrap().starts_with(list.trim_end_matches('s')));
    }
    let all = sim.send(Method::Get, "/subscriptions?api-version=2022-12-01", Value::Null);
    assert_eq!(all.body["value"].as_array().unwrap().len(), 2);
    let third = "/subscriptions/88888888-8888-4888-8888-888888888888/resourceGroups/g";
    assert_eq!(sim.get(third, GROUPS).body["error"]["code"], "SubscriptionNotFound");
}

#[test]
fn networks_of_two_subscriptions_are_peered() {
    let mut sim = sim();
    let other = format!("/subscriptions/{OTHER}/resourceGroups/hub");
    sim.put("", GROUPS, &json!({"location": "westeurope"}));
    sim.put(&other, GROUPS, &json!({"location": "westeurope"}));
    let hub = format!("{other}/providers/{VNET}");
    sim.make(VNET, NETWORK, &vnet("10.0.0.0/16", &[]));
    sim.make(&hub, NETWORK, &vnet("10.1.0.0/16", &[]));
    let peering = |remote: &str| json!({"properties": {"remoteVirtualNetwork": {"id": remote}}});
    let near = sim.id(VNET);
    sim.make(&format!("{VNET}/virtualNetworkPeerings/to-hub"), NETWORK, &peering(&hub));
    sim.make(&format!("{hub}/virtualNetworkPeerings/back"), NETWORK, &peering(&near));
    let half = sim.get(&format!("{VNET}/virtualNetworkPeerings/to-hub"), NETWORK);
    assert_eq!(half.body["properties"]["peeringState"], "Connected");
}
