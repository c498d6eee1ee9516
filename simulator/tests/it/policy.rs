//! Azure Policy in the way of writes.

use hcs_simulator::Policy;
use serde_json::{Value, json};

use crate::support::*;

fn with(policies: &Value) -> Sim {
    let mut sim = Sim::with_group();
    sim.world.assign(Policy::read(policies).unwrap());
    sim
}

#[allow(clippy::needless_pass_by_value)]
fn rule(name: &str, condition: Value, then: Value) -> Value {
    json!({"name": name, "properties": {"policyRule": {"if": condition, "then": then}}})
}

#[test]
fn a_denied_write_is_refused_with_the_policys_name() {
    let mut sim = with(&json!([rule(
        "subnets-have-a-group",
        json!({"allOf": [
            {"field": "type", "equals": "microsoft.network/VIRTUALnetworks"},
            {"count": {
                "field": "Microsoft.Network/virtualNetworks/subnets[*]",
                "where": {"field": "Microsoft.Network/virtualNetworks/subnets[*].networkSecurityGroup.id", "exists": "false"},
            }, "greater": 0},
        ]}),
        json!({"effect": "Deny"}),
    )]));
    let mut network = vnet("10.1.0.0/16", &[("s", "10.1.1.0/24"), ("t", "10.1.2.0/24")]);
    sim.make(NSG, NETWORK, &json!({"location": "westeurope"}));
    let group = json!({"id": sim.id(NSG)});
    network["properties"]["subnets"][0]["properties"]["networkSecurityGroup"] = group.clone();
    let refused = sim.put(VNET, NETWORK, &network);
    assert_eq!((refused.status, refused.error_code()), (403, Some("RequestDisallowedByPolicy")));
    assert!(refused.body.to_string().contains("subnets-have-a-group"), "{}", refused.body);
    assert_eq!(sim.get(VNET, NETWORK).status, 404, "nothing was made");
    network["properties"]["subnets"][1]["properties"]["networkSecurityGroup"] = group;
    sim.make(VNET, NETWORK, &network);
}

#[test]
fn what_policies_add_is_there_before_what_they_forbid_is_looked_at() {
    let tag = |operation: &str| {
        json!({"effect": "modify", "details": {"operations": [
        {"operation": operation, "field": "tags['owner']", "value": "platform"}]}})
    };
    let mut sim = with(&json!([
        rule(
            "owned",
            json!({"field": "tags['owner']", "exists": false}),
            json!({"effect": "deny"})
        ),
        rule("owner", json!({"field": "tags.owner", "notEquals": "platform"}), tag("addOrReplace")),
        rule("seen", json!({"field": "name", "like": "v-*"}), json!({"effect": "audit"})),
    ]));
    let mut network = vnet("10.1.0.0/16", &[]);
    network["tags"] = json!({"a": "b"});
    let made = sim.make(VNET, NETWORK, &network);
    assert_eq!(made["tags"], json!({"a": "b", "owner": "platform"}));
    sim.make(VNET, NETWORK, &network);
    let audited: Vec<&str> = sim.world.audited().iter().map(|row| row.policy.as_str()).collect();
    assert_eq!(audited, ["seen"], "once for an object");
}

#[test]
fn identity_and_extension_of_a_scale_set_are_appended_once() {
    let extensions = "Microsoft.Compute/virtualMachineScaleSets/virtualMachineProfile.extensionProfile.extensions[*]";
    let mut sim = with(&json!([]));
    let watch = "Microsoft.ManagedIdentity/userAssignedIdentities/watch";
    sim.make(watch, IDENTITY, &json!({"location": "westeurope"}));
    let watch = sim.id(watch);
    let extension = json!({"name": "watch", "properties": {"publisher": "P", "type": "T", "typeHandlerVersion": "1.0"}});
    let is_set = json!({"field": "type", "equals": "Microsoft.Compute/virtualMachineScaleSets"});
    sim.world.assign(
        Policy::read(&json!([
            rule(
                "ext",
                is_set.clone(),
                json!({"effect": "append", "details": [{"field": extensions, "value": extension}]})
            ),
            rule(
                "id",
                is_set,
                json!({"effect": "append", "details": [
                    {"field": "identity.type", "value": "UserAssigned"},
                    {"field": "identity.userAssignedIdentities", "value": {watch.as_str(): {}}},
                ]})
            ),
        ]))
        .unwrap(),
    );
    let subnet = sim.network();
    let body = scale_set(&subnet, &[], "");
    sim.make(SET, COMPUTE, &body);
    let made = sim.make(SET, COMPUTE, &body);
    let profile = &made["properties"]["virtualMachineProfile"];
    assert_eq!(profile["extensionProfile"]["extensions"].as_array().unwrap().len(), 1);
    assert!(made["identity"]["userAssignedIdentities"].to_string().contains("watch"));
}

#[test]
fn a_definition_that_is_not_understood_is_refused_by_name() {
    for (condition, effect, said) in [
        (
            json!({"field": "type", "equals": "x"}),
            "deployIfNotExists",
            "the effect 'deployifnotexists'",
        ),
        (json!({"field": "type", "matches": "x"}), "deny", "is not understood"),
        (json!({"value": "[resourceGroup().name]", "equals": "x"}), "deny", "is not understood"),
    ] {
        let error =
            Policy::read(&rule("p", condition, json!({"effect": effect}))).unwrap_err().to_string();
        assert!(error.starts_with("policy p: ") && error.contains(said), "{error}");
    }
}

#[test]
fn groups_and_tags_that_are_written_alone_are_held_to_policies_too() {
    let mut sim = with(&json!([rule(
        "groups-are-tagged",
        json!({"allOf": [
            {"field": "type", "equals": "Microsoft.Resources/subscriptions/resourceGroups"},
            {"field": "tags['owner']", "exists": false},
        ]}),
        json!({"effect": "deny"}),
    )]));
    let other = format!("{}/resourceGroups/other", sim.subscription());
    let refused = sim.put(&other, GROUPS, &json!({"location": "westeurope"}));
    assert_eq!(refused.error_code(), Some("RequestDisallowedByPolicy"));
    let tagged = json!({"location": "westeurope", "tags": {"owner": "a"}});
    assert!(sim.put(&other, GROUPS, &tagged).status < 300);
    let tags = format!("{other}/providers/Microsoft.Resources/tags/default");
    let refused = sim.put(&tags, "2024-07-01", &json!({"properties": {"tags": {"a": "b"}}}));
    assert_eq!(refused.error_code(), Some("RequestDisallowedByPolicy"));
    let kept = json!({"properties": {"tags": {"owner": "b"}}});
    assert!(sim.put(&tags, "2024-07-01", &kept).status < 300);
}
