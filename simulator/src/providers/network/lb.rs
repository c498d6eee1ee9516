//! Standard load balancers: frontends, pools, probes, rules.

use serde_json::{Value, json};

use super::nsg::{inline, left_out};
use super::public_ip::check_zones;
use super::{dress, in_use};
use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::kind::{InlineChild, Kind, NETWORK, Prepared, Put, own_parts};
use crate::world::names;
use crate::world::resource::{Resource, default, list, text};

/// Load balancers.
pub(crate) const LOAD_BALANCER: Kind = Kind {
    rtype: "Microsoft.Network/loadBalancers",
    create_ms: 4_000,
    operation: "PutLoadBalancerOperation",
    name: names::network,
    prepare,
    render: |world, lb, body| {
        body["properties"]["backendAddressPools"] = inline(world, lb, &POOL);
        dress(lb.state, lb, body, &["frontendIPConfigurations", "probes", "loadBalancingRules"]);
    },
    deletable: in_use,
    ..NETWORK
};

/// Backend pools.
pub(crate) const POOL: Kind = Kind {
    rtype: "Microsoft.Network/loadBalancers/backendAddressPools",
    create_ms: 3_000,
    tracked: false,
    operation: "PutLoadBalancerBackendAddressPoolOperation",
    name: names::network,
    render: |world, pool, body| {
        let key = pool.key();
        let members: Vec<Value> = world
            .resources
            .values()
            .filter(|r| r.rtype.ends_with("/virtualMachineScaleSets/virtualMachines"))
            .filter(|r| list(&r.secret, "/pools").iter().any(|p| p.as_str() == Some(key.as_str())))
            .map(|r| json!({"id": super::nic::ip_configuration_id(r)}))
            .collect();
        if !members.is_empty() {
            body["properties"]["backendIPConfigurations"] = json!(members);
        }
    },
    deletable: |world, pool| {
        let key = pool.key();
        let user = world.resources.values().find(|r| {
            r.rtype.ends_with("/virtualMachineScaleSets")
                && crate::providers::compute::scale_set::pool_ids(&r.body)
                    .iter()
                    .any(|p| ids::key(p) == key)
        });
        match user {
            None => Ok(()),
            Some(user) => Err(ArmError::invalid(
                "LoadBalancerBackendAddressPoolInUse",
                format!("Backend pool {} is in use by {}.", pool.id, user.id),
            )),
        }
    },
    ..NETWORK
};

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    if text(put.body, "/sku/name") == "Basic" {
        return Err(ArmError::invalid(
            "BasicSkuLoadBalancerCreationNotAllowed",
            "Basic load balancers were retired; use sku Standard.",
        ));
    }
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    default(&mut body, "sku", json!({"name": "Standard"}));
    default(&mut body["sku"], "tier", json!("Regional"));
    let mut frontends = list(put.body, "/properties/frontendIPConfigurations").to_vec();
    for frontend in &mut frontends {
        fill_frontend(world, put, frontend)?;
    }
    let mut prepared = Prepared::default();
    for sent in list(put.body, "/properties/backendAddressPools") {
        let name = text(sent, "/name");
        names::network(name)?;
        let mut body = own_parts(sent);
        default(&mut body["properties"], "loadBalancerBackendAddresses", json!([]));
        let id = format!("{}/backendAddressPools/{name}", put.id);
        prepared.children.push(InlineChild { id, kind: &POOL, body });
    }
    prepared.removed = left_out(world, put.id, &POOL, &prepared.children);
    for key in &prepared.removed {
        if let Some(pool) = world.resources.get(key) {
            (POOL.deletable)(world, pool)?;
        }
    }
    check_rules(put)?;
    let properties = &mut body["properties"];
    properties["frontendIPConfigurations"] = json!(frontends);
    default(properties, "inboundNatRules", json!([]));
    default(properties, "outboundRules", json!([]));
    default(properties, "inboundNatPools", json!([]));
    for (rows, fills) in [
        ("probes", vec![("intervalInSeconds", json!(15)), ("numberOfProbes", json!(2))]),
        (
            "loadBalancingRules",
            vec![
                ("idleTimeoutInMinutes", json!(4)),
                ("enableFloatingIP", json!(false)),
                ("enableTcpReset", json!(false)),
                ("disableOutboundSnat", json!(false)),
                ("loadDistribution", json!("Default")),
            ],
        ),
    ] {
        default(properties, rows, json!([]));
        for row in properties[rows].as_array_mut().into_iter().flatten() {
            for (name, value) in &fills {
                default(&mut row["properties"], name, value.clone());
            }
        }
    }
    if let Some(properties) = properties.as_object_mut() {
        properties.remove("backendAddressPools");
    }
    prepared.body = body;
    Ok(prepared)
}

fn fill_frontend(world: &World, put: &Put<'_>, frontend: &mut Value) -> Answer<()> {
    let name = text(frontend, "/name").to_owned();
    names::network(&name)?;
    let subnet = text(frontend, "/properties/subnet/id").to_owned();
    let address = text(frontend, "/properties/publicIPAddress/id").to_owned();
    let zones = Put { body: frontend, old: None, ..*put };
    check_zones(&zones)?;
    if subnet.is_empty() == address.is_empty() {
        return Err(ArmError::invalid(
            "FrontendIPConfigurationMustHaveSubnetOrPublicIp",
            format!("Frontend {name} of {} needs either a subnet or a public address.", put.id),
        ));
    }
    if !address.is_empty() {
        world.referenced(&address, put.id)?;
        return Ok(());
    }
    world.referenced(&subnet, put.id)?;
    let old = put.old.and_then(|old| {
        list(&old.body, "/properties/frontendIPConfigurations")
            .iter()
            .find(|f| text(f, "/name") == name)
            .filter(|f| ids::key(text(f, "/properties/subnet/id")) == ids::key(&subnet))
            .map(|f| text(f, "/properties/privateIPAddress").to_owned())
    });
    let wanted = text(frontend, "/properties/privateIPAddress").to_owned();
    let is_static = text(frontend, "/properties/privateIPAllocationMethod") == "Static";
    let ip = if is_static && !wanted.is_empty() {
        let taken = world.addresses_in(&ids::key(&subnet));
        let own = format!("{}/frontendipconfigurations/{name}", ids::key(put.id));
        if let Some((user, _)) =
            taken.iter().find(|(user, ip)| *ip == wanted && ids::key(user) != own)
        {
            return Err(ArmError::invalid(
                "PrivateIPAddressInUse",
                format!(
                    "IP configuration {name} is using the private IP address {wanted} which is already allocated to resource {user}."
                ),
            ));
        }
        wanted
    } else {
        match old {
            Some(ip) if !ip.is_empty() => ip,
            _ => world.free_address(&subnet, &[])?,
        }
    };
    frontend["properties"]["privateIPAddress"] = json!(ip);
    default(&mut frontend["properties"], "privateIPAllocationMethod", json!("Dynamic"));
    default(&mut frontend["properties"], "privateIPAddressVersion", json!("IPv4"));
    Ok(())
}

/// Rules may only refer to children of the same balancer.
fn check_rules(put: &Put<'_>) -> Answer<()> {
    let own: Vec<String> = ["frontendIPConfigurations", "backendAddressPools", "probes"]
        .iter()
        .flat_map(|rows| {
            list(put.body, &format!("/properties/{rows}"))
                .iter()
                .map(move |row| ids::key(&format!("{}/{rows}/{}", put.id, text(row, "/name"))))
        })
        .collect();
    for rule in list(put.body, "/properties/loadBalancingRules") {
        for part in ["frontendIPConfiguration", "backendAddressPool", "probe"] {
            let id = text(rule, &format!("/properties/{part}/id"));
            if !id.is_empty() && !own.contains(&ids::key(id)) {
                return Err(ArmError::reference_not_found(id, put.id));
            }
            if id.is_empty() && part == "frontendIPConfiguration" {
                return Err(ArmError::missing_property("frontendIPConfiguration"));
            }
        }
        for part in ["protocol", "frontendPort"] {
            if rule.pointer(&format!("/properties/{part}")).is_none() {
                return Err(ArmError::missing_property(part));
            }
        }
    }
    Ok(())
}

/// Whether a pool exists and is at rest.
pub(crate) fn require_pool<'w>(world: &'w World, id: &str, user: &str) -> Answer<&'w Resource> {
    let lb = ids::parent_of(id);
    world.referenced(lb, user)?;
    world.visible(id).ok_or_else(|| ArmError::reference_not_found(id, user))
}
