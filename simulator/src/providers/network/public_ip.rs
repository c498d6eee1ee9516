//! Public addresses.

use serde_json::json;

use super::in_use;
use crate::world::errors::{Answer, ArmError};
use crate::world::kind::{Kind, NETWORK, Prepared, Put, own_parts};
use crate::world::resource::{default, list, text};
use crate::world::{World, ids, names, regions};

/// Public addresses.
pub(crate) const PUBLIC_IP: Kind = Kind {
    rtype: "Microsoft.Network/publicIPAddresses",
    create_ms: 2_000,
    operation: "PutPublicIpAddressOperation",
    name: names::network,
    prepare,
    settled: |world, key| {
        let number = world.drawn_for(key).below(250 * 250);
        let ip = format!("203.0.{}.{}", number / 250 + 1, number % 250 + 1);
        if let Some(address) = world.resources.get_mut(key) {
            default(&mut address.body["properties"], "ipAddress", json!(ip));
        }
    },
    render: |world, address, body| {
        if let Some((user, _)) = world.users_of(address).into_iter().next() {
            let gateway = user.contains("/natGateways/");
            let name = if gateway { "natGateway" } else { "ipConfiguration" };
            body["properties"][name] = json!({"id": user});
        }
    },
    deletable: in_use,
    ..NETWORK
};

/// Checks a `zones` list against the location.
pub(crate) fn check_zones(put: &Put<'_>) -> Answer<()> {
    let known = regions::find(put.location).map_or(0, |r| r.zones);
    for zone in list(put.body, "/zones") {
        let number: u8 = zone.as_str().and_then(|z| z.parse().ok()).unwrap_or(0);
        if number == 0 || number > known {
            return Err(ArmError::invalid(
                "InvalidAvailabilityZone",
                format!(
                    "The zone(s) '{}' for resource '{}' is not supported. The supported zones for \
                     location '{}' are '{}'.",
                    zone.as_str().unwrap_or_default(),
                    put.id,
                    put.location,
                    (1..=known).map(|z| z.to_string()).collect::<Vec<_>>().join(",")
                ),
            ));
        }
    }
    let sorted = |zones: &[serde_json::Value]| {
        let mut zones: Vec<String> = zones.iter().map(ToString::to_string).collect();
        zones.sort();
        zones
    };
    if let Some(old) = put.old
        && sorted(list(&old.body, "/zones")) != sorted(list(put.body, "/zones"))
    {
        return Err(ArmError::invalid(
            "ResourceAvailabilityZonesCannotBeModified",
            format!(
                "Resource {} has an existing availability zone constraint that cannot be modified.",
                put.id
            ),
        ));
    }
    Ok(())
}

/// A label is unique in its region.
fn check_label(world: &World, put: &Put<'_>, label: &str) -> Answer<()> {
    let valid = (3..=63).contains(&label.len())
        && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && label.starts_with(|c: char| c.is_ascii_lowercase());
    if !valid {
        return Err(ArmError::invalid(
            "InvalidDomainNameLabel",
            format!(
                "The domain name label {label} is invalid. It must conform to the following \
                 regular expression: ^[a-z][a-z0-9-]{{1,61}}[a-z0-9]$."
            ),
        ));
    }
    let taken = world.resources.values().any(|other| {
        other.rtype == PUBLIC_IP.rtype
            && other.key() != ids::key(put.id)
            && other.location() == put.location
            && other.text("/properties/dnsSettings/domainNameLabel") == label
    });
    if taken {
        return Err(ArmError::invalid(
            "DnsRecordInUse",
            format!(
                "DNS record {label}.{}.cloudapp.azure.com is already used by another public IP.",
                put.location
            ),
        ));
    }
    Ok(())
}

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    check_zones(put)?;
    let sku = text(put.body, "/sku/name");
    let method = text(put.body, "/properties/publicIPAllocationMethod");
    if sku == "Standard" && method != "Static" {
        return Err(ArmError::invalid(
            "StandardSkuPublicIpMustBeStatic",
            "Standard sku publicIp must have AllocationMethod set to Static.",
        ));
    }
    let used = world
        .resources
        .values()
        .filter(|r| r.rtype == PUBLIC_IP.rtype && r.location() == put.location)
        .count() as u64;
    if put.old.is_none() && used >= world.settings.public_ip_limit {
        return Err(ArmError::invalid(
            "PublicIPCountLimitReached",
            format!(
                "Cannot create more than {} public IP addresses for this subscription in this \
                 region.",
                world.settings.public_ip_limit
            ),
        ));
    }
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    default(&mut body, "sku", json!({"name": "Basic"}));
    default(&mut body["sku"], "tier", json!("Regional"));
    let properties = &mut body["properties"];
    default(properties, "publicIPAllocationMethod", json!("Dynamic"));
    default(properties, "publicIPAddressVersion", json!("IPv4"));
    default(properties, "idleTimeoutInMinutes", json!(4));
    default(properties, "ipTags", json!([]));
    default(properties, "ddosSettings", json!({"protectionMode": "VirtualNetworkInherited"}));
    let label = text(put.body, "/properties/dnsSettings/domainNameLabel").to_owned();
    if !label.is_empty() {
        check_label(world, put, &label)?;
        let fqdn = format!("{label}.{}.cloudapp.azure.com", put.location);
        properties["dnsSettings"]["fqdn"] = json!(fqdn);
    }
    if let Some(old) = put.old {
        properties["resourceGuid"] = old.body["properties"]["resourceGuid"].clone();
        let ip = old.body["properties"]["ipAddress"].clone();
        if !ip.is_null() {
            properties["ipAddress"] = ip;
        }
    }
    Ok(Prepared { body, ..Prepared::default() })
}
