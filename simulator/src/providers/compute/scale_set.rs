//! Virtual machine scale sets: checks, defaults, and the instances that follow.

use base64::Engine as _;
use serde_json::{Value, json};

use super::{disks, gallery, images, skus};
use crate::providers::network::lb::require_pool;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::kind::{COMPUTE_VERSIONS, Kind, PLAIN, Prepared, Put, PutManner, own_parts};
use crate::world::operations::rfc3339;
use crate::world::resource::{default, list, text};
use crate::world::{World, names, regions};

/// Scale sets.
pub(crate) const SCALE_SET: Kind = Kind {
    rtype: "Microsoft.Compute/virtualMachineScaleSets",
    versions: COMPUTE_VERSIONS,
    put: PutManner::Async { retry_after_ms: 10_000 },
    delete_async: true,
    create_ms: 120_000,
    update_ms: 30_000,
    delete_ms: 90_000,
    tracked: true,
    patch_async: true,
    operation: "PutVirtualMachineScaleSetOperation",
    name: names::scale_set,
    prepare,
    stored: super::instances::reconcile,
    settled: super::instances::settle,
    render: |_, set, body| {
        // Azure gives ids of identities back in its own spelling.
        let map = set.body.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
        if let Some(map) = map {
            body["identity"]["userAssignedIdentities"] = map
                .iter()
                .map(|(id, v)| (id.replace("/resourceGroups/", "/resourcegroups/"), v.clone()))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
    },
    ..PLAIN
};

const NICS: &str =
    "/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations";

/// Interface configurations of a scale set's body.
pub(crate) fn nics(body: &Value) -> impl Iterator<Item = &Value> {
    list(body, NICS).iter()
}

/// Ids of the backend pools that a scale set's body names.
pub(crate) fn pool_ids(body: &Value) -> Vec<String> {
    nics(body)
        .flat_map(|nic| list(nic, "/properties/ipConfigurations"))
        .flat_map(|ip| list(ip, "/properties/loadBalancerBackendAddressPools"))
        .map(|pool| text(pool, "/id").to_owned())
        .collect()
}

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let sku = text(put.body, "/sku/name");
    if sku.is_empty() {
        return Err(ArmError::missing_property("sku.name"));
    }
    let Some(size) = skus::find(sku) else {
        return Err(ArmError::invalid(
            "InvalidParameter",
            format!(
                "The value {sku} provided for the VM size is not valid. The valid sizes in the current region are listed by the SKU API."
            ),
        ));
    };
    let capacity = put.body.pointer("/sku/capacity").and_then(Value::as_u64);
    let Some(capacity) = capacity else {
        return Err(ArmError::missing_property("sku.capacity"));
    };
    check_zones(put, size)?;
    if put.old.is_some_and(|o| {
        let mode = text(put.body, "/properties/orchestrationMode");
        !mode.is_empty() && o.text("/properties/orchestrationMode") != mode
    }) {
        return Err(ArmError::new(
            409,
            "PropertyChangeNotAllowed",
            "Changing property 'orchestrationMode' is not allowed.",
        ));
    }
    check_profile(world, put)?;
    disks::check(world, put)?;
    gallery::check(world, put)?;
    check_links(world, put, capacity)?;
    world.check_cores(put.location, size, capacity, &ids::key(put.id))?;
    Ok(fill(world, put))
}

fn check_zones(put: &Put<'_>, size: &skus::Size) -> Answer<()> {
    let Some(region) = regions::find(put.location) else { return Ok(()) };
    let texts = |v: &[Value]| {
        let mut zones: Vec<String> =
            v.iter().filter_map(|z| z.as_str().map(str::to_owned)).collect();
        zones.sort();
        zones
    };
    let wanted = texts(list(put.body, "/zones"));
    if let Some(old) = put.old
        && texts(list(&old.body, "/zones")) != wanted
    {
        return Err(ArmError::new(
            409,
            "PropertyChangeNotAllowed",
            "Changing property 'zones' is not allowed.",
        ));
    }
    let exist: Vec<String> = skus::zones(size, region).iter().map(u8::to_string).collect();
    if let Some(bad) = wanted.iter().find(|z| !exist.contains(z)) {
        return Err(ArmError::invalid(
            "AvailabilityZoneNotSupported",
            format!(
                "The zone(s) '{bad}' for resource 'Microsoft.Compute/virtualMachineScaleSets/{}' \
                 is not supported. The supported zones for location '{}' are '{}'.",
                ids::name_of(put.id),
                put.location,
                exist.join(",")
            ),
        ));
    }
    let withheld = match skus::restriction(size, region) {
        None => false,
        Some(skus::Restriction::Location) => true,
        Some(skus::Restriction::Zones(held)) => {
            wanted.iter().any(|z| held.iter().any(|h| h.to_string() == *z))
        }
    };
    if withheld && put.old.is_none() {
        return Err(ArmError::new(
            409,
            "SkuNotAvailable",
            format!(
                "The requested VM size for resource 'Following SKUs have failed for Capacity \
                 Restrictions: {}' is currently not available in location '{}'. Please try \
                 another size or deploy to a different location or different zone. See \
                 https://aka.ms/azureskunotavailable for details.",
                size.name, put.location
            ),
        ));
    }
    if put.body.pointer("/properties/zoneBalance").is_some_and(|z| z == true) && wanted.len() < 2 {
        return Err(ArmError::invalid(
            "InvalidParameter",
            "The zoneBalance property may be set only when the scale set has more than one zone.",
        ));
    }
    Ok(())
}

fn check_profile(world: &World, put: &Put<'_>) -> Answer<()> {
    let profile = "/properties/virtualMachineProfile";
    let at = |tail: &str| text(put.body, &format!("{profile}{tail}"));
    if put.body.pointer(profile).is_none() {
        return Err(ArmError::missing_property("virtualMachineProfile"));
    }
    if text(put.body, "/properties/upgradePolicy/mode").is_empty()
        && text(put.body, "/properties/orchestrationMode") != "Flexible"
    {
        return Err(ArmError::missing_property("upgradePolicy.mode"));
    }
    let image = |name: &str| at(&format!("/storageProfile/imageReference/{name}"));
    if image("id").is_empty() {
        images::check(world, image("publisher"), image("offer"), image("sku"), image("version"))?;
    }
    let prefix = at("/osProfile/computerNamePrefix");
    if prefix.is_empty() || prefix.len() > 58 {
        return Err(ArmError::missing_property("osProfile.computerNamePrefix"));
    }
    if at("/osProfile/adminUsername").is_empty() {
        return Err(ArmError::missing_property("osProfile.adminUsername"));
    }
    let keys = list(
        put.body,
        "/properties/virtualMachineProfile/osProfile/linuxConfiguration/ssh/publicKeys",
    );
    for key in keys {
        let data = text(key, "/keyData");
        if !["ssh-rsa ", "ssh-ed25519 "].iter().any(|p| data.starts_with(p)) {
            return Err(ArmError::invalid(
                "InvalidParameter",
                "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid.",
            ));
        }
    }
    if put.old.is_none() && keys.is_empty() && at("/osProfile/adminPassword").is_empty() {
        return Err(ArmError::invalid(
            "InvalidParameter",
            "Authentication using either SSH or by user name and password must be enabled in \
             Linux profile.",
        ));
    }
    let custom = at("/osProfile/customData");
    let decoded = base64::engine::general_purpose::STANDARD.decode(custom);
    match decoded {
        Err(_) => Err(ArmError::invalid(
            "InvalidParameter",
            "Custom data in OSProfile must be in Base64 encoding and with a maximum length of \
             87380 characters.",
        )),
        Ok(bytes) if bytes.len() > 65_535 => Err(ArmError::invalid(
            "InvalidParameter",
            "Custom data in OSProfile must be in Base64 encoding and with a maximum length of \
             87380 characters.",
        )),
        Ok(_) => Ok(()),
    }
}

/// The model may name another subnet, and never one of another network: azurerm issue 14532 quotes Azure's answer to the
/// latter, by whose words the former is inferred.
fn stays_in_network(put: &Put<'_>, vnet: &str) -> Answer<()> {
    let Some(old) = put.old else { return Ok(()) };
    let all = nics(&old.body).flat_map(|nic| list(nic, "/properties/ipConfigurations"));
    let mut before = all.map(|ip| ids::parent_of(text(ip, "/properties/subnet/id")));
    if before.any(|own| !own.is_empty() && !ids::is(own, vnet)) {
        return Err(ArmError::invalid(
            "VMScaleSetCannotBeUpdatedToReferenceSubnetsFromDifferentVirtualNetworks",
            format!(
                "VM scale set {} cannot be updated to reference subnets from different virtual networks.",
                put.id
            ),
        ));
    }
    Ok(())
}

fn check_links(world: &World, put: &Put<'_>, capacity: u64) -> Answer<()> {
    let mut subnets = 0;
    for nic in nics(put.body) {
        let nsg = text(nic, "/properties/networkSecurityGroup/id");
        if !nsg.is_empty() {
            world.referenced(nsg, put.id)?;
        }
        for ip in list(nic, "/properties/ipConfigurations") {
            let subnet = text(ip, "/properties/subnet/id");
            if subnet.is_empty() {
                return Err(ArmError::missing_property("ipConfigurations.subnet.id"));
            }
            subnets += 1;
            let vnet = ids::parent_of(subnet);
            stays_in_network(put, vnet)?;
            world.referenced(vnet, put.id)?;
            world.referenced(subnet, put.id)?;
            world.require_linked(
                put.principal,
                "Microsoft.Network/virtualNetworks/subnets/join/action",
                subnet,
                put.id,
            )?;
            let running = world
                .below(&ids::key(put.id))
                .filter(|r| r.rtype == super::instances::INSTANCE.rtype)
                .count() as u64;
            let mut planned = Vec::new();
            for _ in running..capacity {
                planned.push(world.free_address(subnet, &planned)?);
            }
            for pool in list(ip, "/properties/loadBalancerBackendAddressPools") {
                require_pool(world, text(pool, "/id"), put.id)?;
            }
        }
    }
    if subnets == 0 {
        return Err(ArmError::missing_property("networkProfile.networkInterfaceConfigurations"));
    }
    for id in identities(put.body) {
        if world.visible(&id).is_none() {
            return Err(ArmError::invalid(
                "FailedIdentityOperation",
                format!(
                    "Identity operation for resource '{}' failed with error 'Failed to perform \
                     resource identity operation. Status: 'BadRequest'. Response: Resource '{id}' \
                     was not found.'.",
                    put.id
                ),
            ));
        }
        world.require_linked(
            put.principal,
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
            &id,
            put.id,
        )?;
    }
    Ok(())
}

/// Azure does not give back an object without fields, such as `additionalCapabilities: {}` (the azurerm provider counts
/// on it).
fn without_empty_objects(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(without_empty_objects);
            fields.retain(|_, field| !field.as_object().is_some_and(serde_json::Map::is_empty));
        }
        Value::Array(items) => items.iter_mut().for_each(without_empty_objects),
        _ => {}
    }
}

fn identities(body: &Value) -> Vec<String> {
    body.pointer("/identity/userAssignedIdentities")
        .and_then(Value::as_object)
        .map(|map| map.iter().filter(|(_, v)| !v.is_null()).map(|(id, _)| id.clone()).collect())
        .unwrap_or_default()
}

fn fill(world: &World, put: &Put<'_>) -> Prepared {
    let mut body = own_parts(put.body);
    without_empty_objects(&mut body["properties"]);
    body["location"] = json!(put.location);
    default(&mut body["sku"], "tier", json!("Standard"));
    let ids = identities(put.body);
    if !ids.is_empty() {
        let map = ids.into_iter().map(|id| {
            let (principal, client) = world.identity_ids(&id).unwrap_or_default();
            (id, json!({"principalId": principal, "clientId": client}))
        });
        body["identity"]["userAssignedIdentities"] =
            Value::Object(map.collect::<serde_json::Map<_, _>>());
    }
    let properties = &mut body["properties"];
    default(properties, "orchestrationMode", json!("Uniform"));
    default(properties, "overprovision", json!(true));
    default(properties, "singlePlacementGroup", json!(true));
    default(properties, "doNotRunExtensionsOnOverprovisionedVMs", json!(false));
    default(properties, "platformFaultDomainCount", json!(5));
    properties["timeCreated"] = json!(rfc3339(put.old.map_or(world.now_ms, |old| old.created_ms)));
    let old_id = put.old.map(|old| old.text("/properties/uniqueId").to_owned());
    properties["uniqueId"] = json!(old_id.unwrap_or_else(|| {
        // Another set of the same name has another one.
        world.drawn_for(&ids::key(put.id)).guid()
    }));
    let profile = &mut properties["virtualMachineProfile"];
    profile["timeCreated"] = properties_time(put, world);
    let os = &mut profile["osProfile"];
    default(os, "secrets", json!([]));
    default(os, "allowExtensionOperations", json!(true));
    default(os, "requireGuestProvisionSignal", json!(true));
    let mut secret = put.old.map_or(json!({}), |old| old.secret.clone());
    if let Some(os) = os.as_object_mut() {
        for name in ["customData", "adminPassword"] {
            if let Some(value) = os.remove(name) {
                secret[name] = value;
            }
        }
    }
    if !os["linuxConfiguration"].is_null() {
        default(&mut os["linuxConfiguration"], "provisionVMAgent", json!(true));
        default(&mut os["linuxConfiguration"], "enableVMAgentPlatformUpdates", json!(false));
    }
    let storage = &mut profile["storageProfile"];
    default(storage, "diskControllerType", json!("SCSI"));
    if !storage["osDisk"].is_null() {
        default(&mut storage["osDisk"], "osType", json!("Linux"));
        default(&mut storage["osDisk"], "createOption", json!("FromImage"));
        default(&mut storage["osDisk"], "diskSizeGB", json!(30));
    }
    let nics = &mut profile["networkProfile"]["networkInterfaceConfigurations"];
    for nic in nics.as_array_mut().into_iter().flatten() {
        let nic = &mut nic["properties"];
        default(nic, "primary", json!(true));
        default(nic, "disableTcpStateTracking", json!(false));
        default(nic, "enableAcceleratedNetworking", json!(false));
        default(nic, "enableIPForwarding", json!(false));
        default(nic, "dnsSettings", json!({"dnsServers": []}));
        for ip in nic["ipConfigurations"].as_array_mut().into_iter().flatten() {
            default(&mut ip["properties"], "privateIPAddressVersion", json!("IPv4"));
        }
    }
    Prepared { body, secret, ..Prepared::default() }
}

fn properties_time(put: &Put<'_>, world: &World) -> Value {
    json!(rfc3339(put.old.map_or(world.now_ms, |old| old.created_ms)))
}
