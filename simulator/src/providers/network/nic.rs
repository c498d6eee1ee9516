//! Network interfaces: of scale set instances, seen through the scale set only, and of machines that stand alone.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::errors::{Answer, ArmError};
use crate::world::ids;
use crate::world::kind::{Prepared, Put, own_parts};
use crate::world::resource::{Resource, list, text};

/// One of a machine that stands alone: it has an address of its subnet from now on.
pub(crate) fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let mut body = own_parts(put.body);
    body["location"] = json!(put.location);
    let configurations = "/properties/ipConfigurations";
    if list(put.body, configurations).is_empty() {
        return Err(ArmError::missing_property("ipConfigurations"));
    }
    let rows = body.pointer_mut(configurations).and_then(Value::as_array_mut);
    for (at, row) in rows.into_iter().flatten().enumerate() {
        let subnet = text(row, "/properties/subnet/id").to_owned();
        world.referenced(&subnet, put.id)?;
        let known = put.old.map(|old| list(&old.body, configurations).get(at).cloned());
        let known = known.flatten().unwrap_or_default();
        let known = text(&known, "/properties/privateIPAddress").to_owned();
        if text(row, "/properties/privateIPAddress").is_empty() {
            let address = if known.is_empty() { world.free_address(&subnet, &[])? } else { known };
            row["properties"]["privateIPAddress"] = json!(address);
        }
    }
    Ok(Prepared { body, ..Prepared::default() })
}

fn set_id(instance: &Resource) -> &str {
    ids::parent_of(&instance.id)
}

/// Id of an instance's interface.
pub(crate) fn nic_id(instance: &Resource) -> String {
    let name = instance.secret["nicName"].as_str().unwrap_or_default();
    format!("{}/networkInterfaces/{name}", instance.id)
}

/// Id of the address configuration of an instance's interface.
pub(crate) fn ip_configuration_id(instance: &Resource) -> String {
    let name = instance.secret["ipConfigurationName"].as_str().unwrap_or_default();
    format!("{}/ipConfigurations/{name}", nic_id(instance))
}

/// An interface as the scale set's list shows it.
pub(crate) fn render(world: &World, instance: &Resource) -> Value {
    let set = world.visible(set_id(instance));
    let config = set.and_then(|set| {
        crate::providers::compute::scale_set::nics(&set.body).find(|nic| {
            text(nic, "/name") == instance.secret["nicName"].as_str().unwrap_or_default()
        })
    });
    let pools: Vec<Value> =
        list(&instance.secret, "/poolIds").iter().map(|id| json!({"id": id})).collect();
    let state = instance.state.as_str();
    let mut ip = json!({
        "name": instance.secret["ipConfigurationName"],
        "id": ip_configuration_id(instance),
        "etag": instance.etag,
        "properties": {
            "provisioningState": state,
            "privateIPAddress": instance.secret["privateIp"],
            "privateIPAllocationMethod": "Dynamic",
            "subnet": {"id": instance.secret["subnetId"]},
            "primary": true,
            "privateIPAddressVersion": "IPv4",
        },
    });
    if !pools.is_empty() {
        ip["properties"]["loadBalancerBackendAddressPools"] = json!(pools);
    }
    let mut nic = json!({
        "name": instance.secret["nicName"],
        "id": nic_id(instance),
        "etag": instance.etag,
        "properties": {
            "provisioningState": state,
            "ipConfigurations": [ip],
            "dnsSettings": {"dnsServers": [], "appliedDnsServers": []},
            "macAddress": instance.secret["mac"],
            "enableAcceleratedNetworking": false,
            "enableIPForwarding": false,
            "primary": true,
            "virtualMachine": {"id": instance.id},
        },
    });
    let nsg = config.map(|c| text(c, "/properties/networkSecurityGroup/id")).unwrap_or_default();
    if !nsg.is_empty() {
        nic["properties"]["networkSecurityGroup"] = json!({"id": nsg});
    }
    nic
}
