//! Peerings: Initiated until the other side exists, then Connected on both.

use ipnet::Ipv4Net;
use serde_json::json;

use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::kind::{Kind, NETWORK, Prepared, Put, own_parts};
use crate::world::names;
use crate::world::resource::{Resource, State, default, list, text};

/// Peerings.
pub(crate) const PEERING: Kind = Kind {
    rtype: "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
    create_ms: 8_000,
    tracked: false,
    operation: "PutVirtualNetworkPeeringOperation",
    name: names::network,
    prepare,
    settled: |world, key| connect(world, key),
    removed: disconnect,
    render: |world, peering, body| {
        let now = world.visible(peering.text("/properties/remoteVirtualNetwork/id"));
        let now = now.map(|network| &network.body["properties"]["addressSpace"]);
        if now.is_some_and(|now| *now != body["properties"]["remoteAddressSpace"]) {
            body["properties"]["peeringSyncLevel"] = json!("LocalNotInSync");
        }
    },
    ..NETWORK
};

fn remote(peering: &Resource) -> String {
    ids::key(peering.text("/properties/remoteVirtualNetwork/id"))
}

fn prefixes(vnet: &Resource) -> Vec<Ipv4Net> {
    list(&vnet.body, "/properties/addressSpace/addressPrefixes")
        .iter()
        .filter_map(|p| p.as_str()?.parse().ok())
        .collect()
}

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let other = text(put.body, "/properties/remoteVirtualNetwork/id");
    if other.is_empty() {
        return Err(ArmError::missing_property("remoteVirtualNetwork.id"));
    }
    let own = ids::parent_of(put.id);
    let busy = world.visible(other).is_some_and(|v| v.state != State::Succeeded);
    if busy && let Some(vnet) = world.visible(other) {
        let mut error =
            ArmError::not_provisioned(&vnet.id, put.id, vnet.state.as_str(), &vnet.last_operation);
        error.status = 400;
        "ReferencedResourceNotProvisioned".clone_into(&mut error.code);
        return Err(error.after_ms(world.scaled(10_000)));
    }
    let remote_vnet =
        world.visible(other).ok_or_else(|| ArmError::reference_not_found(other, put.id))?;
    let own_vnet = world.visible(own);
    let mine = own_vnet.map(prefixes).unwrap_or_default();
    let theirs = prefixes(remote_vnet);
    if mine.iter().any(|m| theirs.iter().any(|t| m.contains(t) || t.contains(m))) {
        return Err(ArmError::invalid(
            "VnetAddressSpacesOverlap",
            format!(
                "Cannot create or update peering {}. Virtual networks {own} and {other} cannot be \
                 peered because their address spaces overlap.",
                put.id
            ),
        ));
    }
    let key = ids::key(put.id);
    let double = world
        .below(&ids::key(own))
        .any(|r| r.rtype == PEERING.rtype && r.key() != key && remote(r) == ids::key(other));
    if double {
        return Err(ArmError::invalid(
            "AnotherPeeringAlreadyReferencesRemoteVnet",
            format!("Virtual network {own} is already peered with {other}."),
        ));
    }
    let other_key = ids::key(other);
    let twin =
        world.below(&other_key).find(|r| r.rtype == PEERING.rtype && remote(r) == ids::key(own));
    if let (None, Some(twin)) = (put.old, twin)
        && twin.text("/properties/peeringState") == "Disconnected"
    {
        return Err(ArmError::invalid(
            "RemotePeeringIsDisconnected",
            format!(
                "Cannot create or update peering {} because remote peering {} referencing parent virtual network \
                 {own} is in Disconnected state. Update or re-create the remote peering to get it back to Initiated \
                 state. Peering gets Disconnected when remote vnet or remote peering is deleted and re-created.",
                put.id, twin.id
            ),
        ));
    }
    let mut body = own_parts(put.body);
    let properties = &mut body["properties"];
    default(properties, "allowVirtualNetworkAccess", json!(true));
    default(properties, "allowForwardedTraffic", json!(false));
    default(properties, "allowGatewayTransit", json!(false));
    default(properties, "useRemoteGateways", json!(false));
    default(properties, "doNotVerifyRemoteGateways", json!(false));
    default(properties, "peerCompleteVnets", json!(true));
    properties["remoteAddressSpace"] = remote_vnet.body["properties"]["addressSpace"].clone();
    properties["remoteVirtualNetworkAddressSpace"] = properties["remoteAddressSpace"].clone();
    let state = put.old.map_or("", |o| o.text("/properties/peeringState"));
    properties["peeringState"] = json!(if state.is_empty() { "Initiated" } else { state });
    properties["peeringSyncLevel"] = json!("FullyInSync");
    Ok(Prepared { body, ..Prepared::default() })
}

fn twin_of(world: &World, peering: &Resource) -> Option<String> {
    let own = ids::key(ids::parent_of(&peering.id));
    world
        .below(&remote(peering))
        .find(|r| r.rtype == PEERING.rtype && remote(r) == own)
        .map(Resource::key)
}

fn connect(world: &mut World, key: &str) {
    let twin = world.resources.get(key).and_then(|p| twin_of(world, p));
    let settled = twin
        .as_ref()
        .and_then(|t| world.resources.get(t))
        .is_some_and(|t| t.state == State::Succeeded);
    let both = if settled { vec![Some(key.to_owned()), twin] } else { Vec::new() };
    for side in both.into_iter().flatten() {
        if let Some(peering) = world.resources.get_mut(&side) {
            peering.body["properties"]["peeringState"] = json!("Connected");
        }
    }
    if !settled && let Some(peering) = world.resources.get_mut(key) {
        peering.body["properties"]["peeringState"] = json!("Initiated");
    }
}

/// The other side of a peering that is gone.
pub(crate) fn disconnect(world: &mut World, gone: &Resource) {
    if gone.rtype != PEERING.rtype {
        return;
    }
    if let Some(twin) = twin_of(world, gone)
        && let Some(peering) = world.resources.get_mut(&twin)
    {
        peering.body["properties"]["peeringState"] = json!("Disconnected");
    }
}
