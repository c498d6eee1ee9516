//! Private endpoints of storage accounts, their interfaces, and the zone groups that tell their addresses.
//!
//! Sources: Microsoft's definition `privateEndpoint.json` and its pages "What is a private endpoint?" and "Azure private
//! endpoint DNS integration".

use serde_json::{Value, json};

use super::vnet::SUBNET;
use crate::providers::private_dns::{LINK, RECORD_A};
use crate::providers::storage::account::ACCOUNT;
use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::kind::{Kind, NETWORK, Prepared, Put, own_parts};
use crate::world::names;
use crate::world::resource::{Resource, State, list, text};

/// The zone in which an account's name is looked for when it has a private endpoint.
const ZONE: &str = "privatelink.blob.core.windows.net";
const CONNECTIONS: &str = "/properties/privateLinkServiceConnections";
const TARGET: &str = "/properties/privateLinkServiceId";

/// Private endpoints.
pub(crate) const PRIVATE_ENDPOINT: Kind = Kind {
    rtype: "Microsoft.Network/privateEndpoints",
    create_ms: 40_000,
    operation: "PutPrivateEndpointOperation",
    name: names::network,
    prepare,
    settled: |world, key| {
        let Some(endpoint) = world.resources.get(key).cloned() else { return };
        let (id, location) = (interface_id(&endpoint), endpoint.location().to_owned());
        let body = json!({ "location": location, "properties": {
            "privateEndpoint": { "id": endpoint.id },
            "ipConfigurations": [ { "name": "privateEndpointIpConfig", "properties": {
                "privateIPAddress": endpoint.secret["privateIp"],
                "subnet": endpoint.body["properties"]["subnet"],
            } } ],
        } });
        world.store(&INTERFACE, &id, body, None, State::Succeeded);
    },
    render: |world, endpoint, body| {
        body["properties"]["networkInterfaces"] = json!([{ "id": interface_id(endpoint) }]);
        let account = ids::name_of(target_of(endpoint)).to_owned();
        // Where a zone group tells the address, nobody else has to.
        let key = endpoint.key();
        if world.below(&key).any(|group| group.rtype == ZONE_GROUP.rtype) {
            body["properties"]["customDnsConfigs"] = json!([]);
            return;
        }
        body["properties"]["customDnsConfigs"] = json!([{
            "fqdn": format!("{account}.blob.core.windows.net"),
            "ipAddresses": [endpoint.secret["privateIp"]],
        }]);
    },
    removed: |world, endpoint| {
        world.remove_tree(&ids::key(&interface_id(endpoint)));
    },
    ..NETWORK
};

/// The interface of a private endpoint, which lies in the group and carries no tags; or one that somebody makes for a machine.
pub(crate) const INTERFACE: Kind = Kind {
    rtype: "Microsoft.Network/networkInterfaces",
    operation: "PutNicOperation",
    prepare: super::nic::prepare,
    deletable: |world, interface| {
        let endpoint = interface.text("/properties/privateEndpoint/id");
        if world.visible(endpoint).is_none() {
            return Ok(());
        }
        Err(ArmError::invalid(
            "CannotDeleteNicInUseByPrivateEndpoint",
            format!("Network interface {} is in use by {endpoint}.", interface.id),
        ))
    },
    ..NETWORK
};

/// Zone groups of private endpoints.
pub(crate) const ZONE_GROUP: Kind = Kind {
    rtype: "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
    create_ms: 10_000,
    tracked: false,
    operation: "PutPrivateDnsZoneGroupOperation",
    name: names::network,
    prepare: prepare_group,
    settled: |world, key| {
        let Some(group) = world.resources.get(key).cloned() else { return };
        let endpoint = ids::key(ids::parent_of(&group.id));
        let Some(endpoint) = world.resources.get(&endpoint).cloned() else { return };
        for id in record_ids(&group, &endpoint) {
            let body = json!({ "properties": {
                "ttl": 10,
                "aRecords": [{ "ipv4Address": endpoint.secret["privateIp"] }],
                "metadata": { "creator": format!("created by private endpoint {}", endpoint.name()) },
            } });
            world.store(&RECORD_A, &id, body, None, State::Succeeded);
        }
    },
    render: |world, group, body| {
        let endpoint = ids::key(ids::parent_of(&group.id));
        let Some(endpoint) = world.resources.get(&endpoint) else { return };
        let configs = body.pointer_mut("/properties/privateDnsZoneConfigs");
        for config in configs.and_then(Value::as_array_mut).into_iter().flatten() {
            let account = ids::name_of(target_of(endpoint)).to_owned();
            config["id"] =
                json!(format!("{}/privateDnsZoneConfigs/{}", group.id, text(config, "/name")));
            config["properties"]["recordSets"] = json!([{
                "recordType": "A", "recordSetName": account, "fqdn": format!("{account}.{ZONE}"),
                "ttl": 10, "provisioningState": "Succeeded",
                "ipAddresses": [endpoint.secret["privateIp"]],
            }]);
        }
    },
    removed: |world, group| {
        // What it was for may be gone before it; the records say who made them.
        let endpoint =
            format!("created by private endpoint {}", ids::name_of(ids::parent_of(&group.id)));
        for zone in zones_of(&group.body) {
            let below = ids::key(&zone);
            let own: Vec<String> = world
                .below(&below)
                .filter(|record| record.text("/properties/metadata/creator") == endpoint)
                .map(Resource::key)
                .collect();
            for record in own {
                world.remove_tree(&record);
            }
        }
    },
    ..NETWORK
};

/// What an endpoint leads to.
fn target_of(endpoint: &Resource) -> &str {
    list(&endpoint.body, CONNECTIONS).first().map_or("", |row| text(row, TARGET))
}

fn interface_id(endpoint: &Resource) -> String {
    let chosen = endpoint.text("/properties/customNetworkInterfaceName");
    let name = if chosen.is_empty() {
        format!("{}.nic.{}", endpoint.name(), endpoint.etag.trim_matches('"'))
    } else {
        chosen.to_owned()
    };
    let group = endpoint.id.split("/providers/").next().unwrap_or_default();
    format!("{group}/providers/{}/{name}", INTERFACE.rtype)
}

fn zones_of(body: &Value) -> Vec<String> {
    list(body, "/properties/privateDnsZoneConfigs")
        .iter()
        .map(|config| text(config, "/properties/privateDnsZoneId").to_owned())
        .collect()
}

fn record_ids(group: &Resource, endpoint: &Resource) -> Vec<String> {
    let account = ids::name_of(target_of(endpoint)).to_owned();
    zones_of(&group.body).iter().map(|zone| format!("{zone}/A/{account}")).collect()
}

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let subnet_id = text(put.body, "/properties/subnet/id");
    if subnet_id.is_empty() {
        return Err(ArmError::missing_property("subnet"));
    }
    world.require_linked(
        put.principal,
        "Microsoft.Network/virtualNetworks/subnets/join/action",
        subnet_id,
        put.id,
    )?;
    let subnet = world.referenced(subnet_id, put.id)?;
    let network = world.visible(ids::parent_of(&subnet.id)).map(Resource::location);
    if network.is_some_and(|location| location != put.location) {
        return Err(ArmError::invalid(
            "InvalidResourceLocation",
            format!("Private endpoint {} and its subnet must be in the same region.", put.id),
        ));
    }
    let [connection] = list(put.body, CONNECTIONS) else {
        return Err(ArmError::missing_property("privateLinkServiceConnections"));
    };
    let target = text(connection, TARGET);
    world.require_linked(
        put.principal,
        "Microsoft.Storage/storageAccounts/privateEndpointConnectionsApproval/action",
        target,
        put.id,
    )?;
    let account = world.referenced(target, put.id)?;
    let groups = list(connection, "/properties/groupIds");
    if account.rtype != ACCOUNT.rtype || groups != [json!("blob")] {
        return Err(ArmError::invalid(
            "InvalidPrivateEndpointGroupId",
            "This world has private endpoints of storage accounts, for the group 'blob'.",
        ));
    }
    let address = match put.old {
        Some(old) if !ids::is(old.text("/properties/subnet/id"), subnet_id) => {
            return Err(ArmError::invalid(
                "PrivateEndpointCannotChangeSubnet",
                format!("The subnet of private endpoint {} cannot be changed.", put.id),
            ));
        }
        Some(old) => old.secret["privateIp"].clone(),
        None => json!(world.free_address(subnet_id, &[])?),
    };
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    body["properties"]["manualPrivateLinkServiceConnections"] = json!([]);
    if let Some(own) = body.pointer_mut(&format!("{CONNECTIONS}/0")) {
        own["id"] = json!(format!(
            "{}/privateLinkServiceConnections/{}",
            put.id,
            text(connection, "/name")
        ));
        own["properties"]["privateLinkServiceConnectionState"] = json!({ "status": "Approved", "description": "Auto-Approved", "actionsRequired": "None" });
    }
    Ok(Prepared { body, secret: json!({ "privateIp": address }), ..Prepared::default() })
}

fn prepare_group(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let endpoint = world.referenced(ids::parent_of(put.id), put.id)?;
    let key = endpoint.key();
    if put.old.is_none() && world.below(&key).any(|other| other.rtype == ZONE_GROUP.rtype) {
        return Err(ArmError::invalid(
            "MoreThanOnePrivateDnsZoneGroupPerPrivateEndpointNotAllowed",
            format!("Private endpoint {} has a private DNS zone group already.", endpoint.id),
        ));
    }
    for zone in zones_of(put.body) {
        let action = "Microsoft.Network/privateDnsZones/join/action";
        world.require_linked(put.principal, action, &zone, put.id)?;
        world.referenced(&zone, put.id)?;
        let before = put.old.map(|old| zones_of(&old.body)).unwrap_or_default();
        if !before.is_empty() && !before.iter().any(|own| ids::is(own, &zone)) {
            return Err(ArmError::invalid(
                "UpdatingPrivateDnsZoneConfigsNotAllowed",
                "The zone of a private DNS zone config cannot be changed.",
            ));
        }
    }
    Ok(Prepared { body: own_parts(put.body), ..Prepared::default() })
}

impl World {
    /// Private endpoints of an account.
    pub(crate) fn endpoints_of<'w>(
        &'w self,
        account: &'w str,
    ) -> impl Iterator<Item = &'w Resource> {
        self.resources.values().filter(move |endpoint| {
            endpoint.rtype == PRIVATE_ENDPOINT.rtype
                && endpoint.state == State::Succeeded
                && ids::is(target_of(endpoint), account)
        })
    }

    /// Addresses that private endpoints have in a subnet: whose, and which.
    pub(super) fn endpoint_addresses(&self, subnet_key: &str) -> Vec<(String, String)> {
        let endpoints = self.resources.values().filter(|endpoint| {
            endpoint.rtype == PRIVATE_ENDPOINT.rtype
                && ids::is(endpoint.text("/properties/subnet/id"), subnet_key)
        });
        endpoints
            .map(|endpoint| {
                let id =
                    format!("{}/ipConfigurations/privateEndpointIpConfig", interface_id(endpoint));
                (id, endpoint.secret["privateIp"].as_str().unwrap_or_default().to_owned())
            })
            .collect()
    }

    /// Whether a caller in this network comes to the account by a private endpoint: `None` where the account's name leads
    /// to its public address from there.
    pub(crate) fn reaches_privately(&self, network: &str, account: &Resource) -> Option<bool> {
        let account_key = account.key();
        self.endpoints_of(&account_key).next()?;
        // A network asks its own zones, or whatever resolver it was given in a network that it is peered with.
        let own = self.visible(network)?;
        let has_resolver = !list(&own.body, "/properties/dhcpOptions/dnsServers").is_empty();
        let resolvers: Vec<String> =
            if has_resolver { self.peers_of(network) } else { vec![ids::key(network)] };
        let links = self.resources.values().filter(|link| {
            link.rtype == LINK.rtype
                && resolvers.contains(&ids::key(link.text("/properties/virtualNetwork/id")))
        });
        let zones = links.map(|link| (link, ids::parent_of(&link.id).to_owned()));
        let mut zones = zones.filter(|(_, zone)| ids::name_of(zone).eq_ignore_ascii_case(ZONE));
        let (link, zone) = zones.next()?;
        let record = self.visible(&format!("{zone}/A/{}", account.name()));
        let Some(record) = record else {
            // The zone says that there is no such name, unless it was told to ask further.
            let falls_back = link.text("/properties/resolutionPolicy") == "NxDomainRedirect";
            return if falls_back { None } else { Some(false) };
        };
        let address = list(&record.body, "/properties/aRecords")
            .first()
            .map(|row| text(row, "/ipv4Address").to_owned())?;
        let mut reached = self.peers_of(network);
        reached.push(ids::key(network));
        let led = self.endpoints_of(&account_key).any(|endpoint| {
            let network = ids::parent_of(endpoint.text("/properties/subnet/id"));
            endpoint.secret["privateIp"] == json!(address) && reached.contains(&ids::key(network))
        });
        Some(led)
    }

    /// Keys of the networks that this one is peered with, both halves being there.
    fn peers_of(&self, network: &str) -> Vec<String> {
        let key = ids::key(network);
        self.below(&key)
            .filter(|half| {
                half.rtype == super::peering::PEERING.rtype
                    && half.text("/properties/peeringState") == "Connected"
            })
            .map(|half| ids::key(half.text("/properties/remoteVirtualNetwork/id")))
            .collect()
    }

    /// The network of a subnet, by their keys.
    pub(crate) fn network_of_subnet(&self, subnet: &str) -> Option<String> {
        self.visible(subnet)
            .filter(|it| it.rtype == SUBNET.rtype)
            .map(|it| ids::parent_of(&it.id).to_owned())
    }
}
