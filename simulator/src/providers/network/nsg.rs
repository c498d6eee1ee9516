//! Network security groups and their rules.

use serde_json::{Value, json};

use super::in_use;
use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::kind::{InlineChild, Kind, NETWORK, Prepared, Put, own_parts};
use crate::world::names;
use crate::world::resource::{Resource, default, list, text};

/// Network security groups.
pub(crate) const NSG: Kind = Kind {
    rtype: "Microsoft.Network/networkSecurityGroups",
    create_ms: 5_000,
    operation: "PutNetworkSecurityGroupOperation",
    name: names::network,
    prepare,
    render,
    deletable: in_use,
    ..NETWORK
};

/// Security rules.
pub(crate) const RULE: Kind = Kind {
    rtype: "Microsoft.Network/networkSecurityGroups/securityRules",
    create_ms: 4_000,
    tracked: false,
    operation: "PutSecurityRuleOperation",
    name: names::network,
    prepare: |world, put| {
        let parent = ids::key(ids::parent_of(put.id));
        let key = ids::key(put.id);
        let others: Vec<&Value> = world
            .below(&parent)
            .filter(|r| r.rtype == RULE.rtype && r.key() != key)
            .map(|r| &r.body)
            .collect();
        let body = rule(ids::name_of(put.id), put.body, &others)?;
        Ok(Prepared { body, ..Prepared::default() })
    },
    ..NETWORK
};

fn rule(name: &str, sent: &Value, others: &[&Value]) -> Answer<Value> {
    let invalid = |what: &str| {
        ArmError::invalid(
            "SecurityRuleInvalidParameter",
            format!("Security rule {name} has invalid or missing {what}."),
        )
    };
    let one_of = |pointer: &str, words: &[&str]| {
        let value = text(sent, pointer);
        words.iter().any(|w| w.eq_ignore_ascii_case(value))
    };
    if !one_of("/properties/protocol", &["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"]) {
        return Err(invalid("protocol"));
    }
    if !one_of("/properties/access", &["Allow", "Deny"]) {
        return Err(invalid("access"));
    }
    if !one_of("/properties/direction", &["Inbound", "Outbound"]) {
        return Err(invalid("direction"));
    }
    let priority = sent.pointer("/properties/priority").and_then(Value::as_i64).unwrap_or(0);
    if !(100..=4096).contains(&priority) {
        return Err(ArmError::invalid(
            "SecurityRuleInvalidPriority",
            format!(
                "Security rule has invalid priority. Value must be in the range of 100-4096. \
                 Rule: {name}."
            ),
        ));
    }
    for (one, many) in [
        ("sourceAddressPrefix", "sourceAddressPrefixes"),
        ("destinationAddressPrefix", "destinationAddressPrefixes"),
        ("sourcePortRange", "sourcePortRanges"),
        ("destinationPortRange", "destinationPortRanges"),
    ] {
        let missing = text(sent, &format!("/properties/{one}")).is_empty()
            && list(sent, &format!("/properties/{many}")).is_empty();
        if missing {
            return Err(invalid(one));
        }
    }
    let direction = text(sent, "/properties/direction");
    let clash = others.iter().find(|other| {
        other.pointer("/properties/priority").and_then(Value::as_i64) == Some(priority)
            && text(other, "/properties/direction").eq_ignore_ascii_case(direction)
    });
    if clash.is_some() {
        return Err(ArmError::invalid(
            "SecurityRuleConflict",
            format!(
                "Security rule {name} conflicts with another rule. Rules cannot have the same \
                 Priority and Direction."
            ),
        ));
    }
    let mut body = own_parts(sent);
    for many in [
        "sourceAddressPrefixes",
        "destinationAddressPrefixes",
        "sourcePortRanges",
        "destinationPortRanges",
    ] {
        default(&mut body["properties"], many, json!([]));
    }
    Ok(body)
}

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    let mut prepared = Prepared::default();
    let mut seen: Vec<Value> = Vec::new();
    for sent in list(put.body, "/properties/securityRules") {
        let name = text(sent, "/name");
        names::network(name)?;
        let others: Vec<&Value> = seen.iter().collect();
        let rule = rule(name, sent, &others)?;
        seen.push(rule.clone());
        prepared.children.push(InlineChild {
            id: format!("{}/securityRules/{name}", put.id),
            kind: &RULE,
            body: rule,
        });
    }
    if let Some(properties) = body["properties"].as_object_mut() {
        properties.remove("securityRules");
        properties.remove("defaultSecurityRules");
    }
    prepared.removed = left_out(world, put.id, &RULE, &prepared.children);
    prepared.body = body;
    Ok(prepared)
}

/// Children of a type that a full list leaves out.
pub(crate) fn left_out(
    world: &World,
    parent: &str,
    kind: &Kind,
    kept: &[InlineChild],
) -> Vec<String> {
    let kept: Vec<String> = kept.iter().map(|c| ids::key(&c.id)).collect();
    world
        .below(&ids::key(parent))
        .filter(|r| r.rtype == kind.rtype)
        .map(Resource::key)
        .filter(|key| !kept.contains(key))
        .collect()
}

/// Children of a type in order of their creation, as their parent shows them.
pub(crate) fn inline(world: &World, parent: &Resource, kind: &Kind) -> Value {
    let key = parent.key();
    let mut rows: Vec<&Resource> =
        world.below(&key).filter(|r| r.rtype == kind.rtype && !r.hidden).collect();
    rows.sort_by_key(|r| r.sequence);
    rows.into_iter().map(|r| world.render(r)).collect()
}

fn render(world: &World, nsg: &Resource, body: &mut Value) {
    body["properties"]["securityRules"] = inline(world, nsg, &RULE);
    let defaults = [
        ("AllowVnetInBound", "Inbound", 65000, "Allow", "VirtualNetwork", "VirtualNetwork"),
        ("AllowAzureLoadBalancerInBound", "Inbound", 65001, "Allow", "AzureLoadBalancer", "*"),
        ("DenyAllInBound", "Inbound", 65500, "Deny", "*", "*"),
        ("AllowVnetOutBound", "Outbound", 65000, "Allow", "VirtualNetwork", "VirtualNetwork"),
        ("AllowInternetOutBound", "Outbound", 65001, "Allow", "*", "Internet"),
        ("DenyAllOutBound", "Outbound", 65500, "Deny", "*", "*"),
    ];
    let rows = defaults.map(|(name, direction, priority, access, from, to)| {
        json!({
            "id": format!("{}/defaultSecurityRules/{name}", nsg.id),
            "name": name,
            "etag": nsg.etag,
            "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
            "properties": {
                "provisioningState": "Succeeded", "protocol": "*", "direction": direction,
                "priority": priority, "access": access,
                "sourceAddressPrefix": from, "destinationAddressPrefix": to,
                "sourcePortRange": "*", "destinationPortRange": "*",
                "sourcePortRanges": [], "destinationPortRanges": [],
                "sourceAddressPrefixes": [], "destinationAddressPrefixes": [],
            },
        })
    });
    body["properties"]["defaultSecurityRules"] = json!(rows);
}
