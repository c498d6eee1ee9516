//! Virtual networks and subnets.

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::in_use;
use super::nsg::{inline, left_out};
use super::peering::PEERING;
use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::kind::{InlineChild, Kind, NETWORK, Prepared, Put, own_parts};
use crate::world::names;
use crate::world::resource::{Resource, default, list, text};

/// Virtual networks.
pub(crate) const VNET: Kind = Kind {
    rtype: "Microsoft.Network/virtualNetworks",
    create_ms: 4_000,
    operation: "PutVirtualNetworkOperation",
    name: names::vnet,
    prepare,
    stored: |world, key| {
        let guid = world.drawn_for(key).guid();
        if let Some(vnet) = world.resources.get_mut(key) {
            default(&mut vnet.body["properties"], "resourceGuid", json!(guid));
        }
    },
    render: |world, vnet, body| {
        body["properties"]["subnets"] = inline(world, vnet, &SUBNET);
        body["properties"]["virtualNetworkPeerings"] = inline(world, vnet, &PEERING);
    },
    deletable: |world, vnet| {
        let key = vnet.key();
        for subnet in world.below(&key).filter(|r| r.rtype == SUBNET.rtype) {
            in_use(world, subnet)?;
        }
        Ok(())
    },
    removed: super::peering::disconnect,
    ..NETWORK
};

/// Subnets.
pub(crate) const SUBNET: Kind = Kind {
    rtype: "Microsoft.Network/virtualNetworks/subnets",
    create_ms: 5_000,
    update_ms: 4_000,
    tracked: false,
    operation: "PutSubnetOperation",
    name: names::network,
    prepare: |world, put| {
        let vnet_id = ids::parent_of(put.id);
        let vnet = ids::key(vnet_id);
        let spaces = world.resources.get(&vnet).map(space).unwrap_or_default();
        let key = ids::key(put.id);
        let others: Vec<(String, Ipv4Net)> = world
            .below(&vnet)
            .filter(|r| r.rtype == SUBNET.rtype && r.key() != key)
            .filter_map(|r| Some((r.name().to_owned(), subnet_prefix(r).parse().ok()?)))
            .collect();
        let body = subnet(world, vnet_id, put.id, put.body, &spaces, &others)?;
        Ok(Prepared { body, ..Prepared::default() })
    },
    render: |world, subnet, body| {
        let users: Vec<Value> = world
            .addresses_in(&subnet.key())
            .into_iter()
            .map(|(id, _)| json!({"id": id}))
            .collect();
        if !users.is_empty() {
            body["properties"]["ipConfigurations"] = json!(users);
        }
        let endpoints = world.resources.values().filter(|endpoint| {
            endpoint.rtype == super::private_endpoint::PRIVATE_ENDPOINT.rtype
                && ids::is(endpoint.text("/properties/subnet/id"), &subnet.id)
        });
        let endpoints: Vec<Value> = endpoints.map(|one| json!({"id": one.id})).collect();
        if !endpoints.is_empty() {
            body["properties"]["privateEndpoints"] = json!(endpoints);
        }
    },
    deletable: in_use,
    ..NETWORK
};

fn space(vnet: &Resource) -> Vec<Ipv4Net> {
    list(&vnet.body, "/properties/addressSpace/addressPrefixes")
        .iter()
        .filter_map(|p| p.as_str()?.parse().ok())
        .collect()
}

/// A subnet's one prefix.
pub(crate) fn subnet_prefix(subnet: &Resource) -> String {
    prefix_of(&subnet.body)
}

fn prefix_of(body: &Value) -> String {
    let one = text(body, "/properties/addressPrefix");
    if one.is_empty() {
        list(body, "/properties/addressPrefixes")
            .first()
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    } else {
        one.to_owned()
    }
}

fn subnet(
    world: &World,
    vnet_id: &str,
    id: &str,
    sent: &Value,
    spaces: &[Ipv4Net],
    others: &[(String, Ipv4Net)],
) -> Answer<Value> {
    let name = ids::name_of(id);
    let prefix = prefix_of(sent);
    if prefix.is_empty() {
        return Err(ArmError::missing_property("addressPrefix"));
    }
    let Some(net) = prefix.parse::<Ipv4Net>().ok().filter(|n| n.trunc() == *n) else {
        return Err(ArmError::invalid(
            "InvalidCIDRNotation",
            format!("The address prefix {prefix} in resource {id} has an invalid CIDR notation."),
        ));
    };
    if net.prefix_len() > 29 || !spaces.iter().any(|space| space.contains(&net)) {
        return Err(ArmError::invalid(
            "NetcfgSubnetRangeOutsideVnet",
            format!(
                "Subnet '{name}' is not valid because its IP address range is outside the IP \
                     address range of virtual network '{}'.",
                ids::name_of(vnet_id)
            ),
        ));
    }
    let clash = others.iter().find(|(_, other)| other.contains(&net) || net.contains(other));
    if let Some((other, _)) = clash {
        return Err(ArmError::invalid(
            "NetcfgSubnetRangesOverlap",
            format!(
                "Subnet '{name}' is not valid because its IP address range overlaps with that \
                     of an existing subnet '{other}' in virtual network '{}'.",
                ids::name_of(vnet_id)
            ),
        ));
    }
    for pointer in ["/properties/networkSecurityGroup/id", "/properties/natGateway/id"] {
        let referenced = text(sent, pointer);
        if !referenced.is_empty() {
            world.referenced(referenced, id)?;
        }
    }
    let old = world.resources.get(&ids::key(id));
    let used = old.is_some_and(|o| !world.addresses_in(&o.key()).is_empty());
    if used && old.is_some_and(|o| subnet_prefix(o) != prefix) {
        return Err(ArmError::invalid(
            "InUsePrefixCannotBeDeleted",
            format!(
                "IpPrefix {prefix} on Subnet {name} has active allocations and cannot be changed."
            ),
        ));
    }
    let mut body = own_parts(sent);
    default(&mut body["properties"], "delegations", json!([]));
    default(&mut body["properties"], "privateEndpointNetworkPolicies", json!("Disabled"));
    default(&mut body["properties"], "privateLinkServiceNetworkPolicies", json!("Enabled"));
    if let Some(properties) = body["properties"].as_object_mut() {
        properties.remove("ipConfigurations");
        properties.remove("privateEndpoints");
    }
    Ok(body)
}

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let prefixes = list(put.body, "/properties/addressSpace/addressPrefixes");
    if prefixes.is_empty() {
        return Err(ArmError::invalid(
            "InvalidRequestFormat",
            "Required property 'addressSpace.addressPrefixes' of a virtual network is missing.",
        ));
    }
    let mut spaces = Vec::new();
    for prefix in prefixes {
        let text = prefix.as_str().unwrap_or_default();
        let Some(net) = text.parse::<Ipv4Net>().ok().filter(|n| n.trunc() == *n) else {
            return Err(ArmError::invalid(
                "InvalidCIDRNotation",
                format!(
                    "The address prefix {text} in resource {} has an invalid CIDR notation.",
                    put.id
                ),
            ));
        };
        spaces.push(net);
    }
    let mut prepared = Prepared::default();
    let mut others: Vec<(String, Ipv4Net)> = Vec::new();
    for sent in list(put.body, "/properties/subnets") {
        let name = text(sent, "/name");
        names::network(name)?;
        let id = format!("{}/subnets/{name}", put.id);
        let body = subnet(world, put.id, &id, sent, &spaces, &others)?;
        if let Ok(net) = prefix_of(&body).parse() {
            others.push((name.to_owned(), net));
        }
        prepared.children.push(InlineChild { id, kind: &SUBNET, body });
    }
    prepared.removed = left_out(world, put.id, &SUBNET, &prepared.children);
    for key in &prepared.removed {
        if let Some(subnet) = world.resources.get(key) {
            in_use(world, subnet)?;
        }
    }
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    if let Some(properties) = body["properties"].as_object_mut() {
        properties.remove("subnets");
        properties.remove("virtualNetworkPeerings");
    }
    let guid = put.old.map(|o| o.body["properties"]["resourceGuid"].clone()).unwrap_or_default();
    if !guid.is_null() {
        body["properties"]["resourceGuid"] = guid;
    }
    default(&mut body["properties"], "enableDdosProtection", json!(false));
    prepared.body = body;
    Ok(prepared)
}
