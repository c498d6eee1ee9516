//! NAT gateways.

use serde_json::{Value, json};

use super::in_use;
use super::public_ip::check_zones;
use super::vnet::SUBNET;
use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::kind::{Kind, NETWORK, Prepared, Put, own_parts};
use crate::world::names;
use crate::world::resource::{default, list, text};

/// NAT gateways.
pub(crate) const NAT_GATEWAY: Kind = Kind {
    rtype: "Microsoft.Network/natGateways",
    create_ms: 10_000,
    operation: "PutNatGatewayOperation",
    name: names::network,
    prepare,
    render: |world, gateway, body| {
        let key = gateway.key();
        let subnets: Vec<Value> = world
            .resources
            .values()
            .filter(|r| r.rtype == SUBNET.rtype)
            .filter(|r| ids::is(r.text("/properties/natGateway/id"), &key))
            .map(|r| json!({"id": r.id}))
            .collect();
        if !subnets.is_empty() {
            body["properties"]["subnets"] = json!(subnets);
        }
    },
    deletable: in_use,
    ..NETWORK
};

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    check_zones(put)?;
    if text(put.body, "/sku/name") != "Standard" {
        return Err(ArmError::missing_property("sku.name"));
    }
    if list(put.body, "/zones").len() > 1 {
        return Err(ArmError::invalid(
            "ResourceSupportsSingleZoneOnly",
            "A NAT gateway is in one zone or in none.",
        ));
    }
    for address in list(put.body, "/properties/publicIpAddresses") {
        let address = world.referenced(text(address, "/id"), put.id)?;
        if address.text("/sku/name") != "Standard" {
            return Err(ArmError::invalid(
                "NatGatewayCannotUseBasicPublicIp",
                format!("NAT gateway {} needs a Standard public IP address.", put.id),
            ));
        }
        let taken =
            world.users_of(address).into_iter().find(|(u, _)| ids::key(u) != ids::key(put.id));
        if let Some((user, _)) = taken {
            return Err(ArmError::invalid(
                "PublicIPAddressInUse",
                format!("Resource {} is already in use by {user}.", address.id),
            ));
        }
    }
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    default(&mut body["properties"], "idleTimeoutInMinutes", json!(4));
    Ok(Prepared { body, ..Prepared::default() })
}
