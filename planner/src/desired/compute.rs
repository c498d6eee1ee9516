//! One server: its identity, its containers and rights, its zonal scale set of capacity 1.

use serde_json::{Map, Value, json};

use super::{Builder, encryption, images, object, shared, storage};
use crate::arm::{ArmId, Kind};
use crate::dataplane::{BootstrapConfig, container};
use crate::names::{ROLE_BLOB_CONTRIBUTOR, ROLE_BLOB_READER};
use crate::placement::Place;
use crate::reference::{cloud_init, output, parameter, parameter as params, set_cloud_init};

/// Logical unit number of the data disk.
const DATA_DISK_LUN: u32 = 10;

pub(super) fn build(builder: &mut Builder<'_>, slot: u32) {
    let identity = builder.names.server_identity(slot);
    let identity_object = object::server_identity(slot);
    let location = builder.spec.location.clone();
    if builder.has_identities() {
        builder.add_for_slot(
            &identity_object,
            Kind::Identity,
            identity.clone(),
            json!({ "location": location }),
            &[object::RESOURCE_GROUP],
            Some(slot),
        );
    }
    let (secrets, status) = (container::secrets(slot), container::status(slot));
    for name in [&secrets, &status] {
        storage::add_container(builder, name, Some(slot));
    }
    // Everything a server reads or writes must be there before it boots.
    let mut needs =
        builder.network_needs().iter().map(|need| (*need).to_owned()).collect::<Vec<_>>();
    needs.push(object::LOAD_BALANCER.to_owned());
    if builder.has_identities() {
        needs.push(object::SHARED_IDENTITY.to_owned());
        needs.extend(storage::shared_roles());
        needs.push(identity_object.clone());
    } else {
        // Their roles count on containers that are there.
        let shared = storage::SHARED_CONTAINERS.iter().map(|(name, _)| (*name).to_owned());
        let all = shared.chain([secrets.clone(), status.clone()]);
        needs.extend(all.map(|name| object::container(&name)));
    }
    let own = [(&secrets, ROLE_BLOB_READER), (&status, ROLE_BLOB_CONTRIBUTOR)];
    for (name, role) in own {
        let slot = Some(slot);
        needs.extend(storage::add_role(builder, &identity_object, &identity, name, role, slot));
    }
    let shared = builder.names.shared_identity();
    let (reader, of) = (ROLE_BLOB_READER, object::SHARED_IDENTITY);
    needs.extend(storage::add_role(builder, of, &shared, &status, reader, Some(slot)));
    scale_set(builder, slot, &needs);
}

fn scale_set(builder: &mut Builder<'_>, slot: u32, needs: &[String]) {
    let spec = builder.spec;
    let identities: Map<String, Value> =
        [builder.names.shared_identity(), builder.names.server_identity(slot)]
            .into_iter()
            .map(|id| (id.as_str().to_owned(), json!({})))
            .collect();
    let place = builder.place(slot);
    let id = builder.names.scale_set(slot);
    let mut body = json!({
        "location": spec.location,
        "sku": { "name": place.vm_size, "tier": "Standard", "capacity": 1 },
        "identity": { "type": "UserAssigned", "userAssignedIdentities": identities },
        "properties": {
            "orchestrationMode": "Uniform",
            "overprovision": false,
            "singlePlacementGroup": false,
            "platformFaultDomainCount": 1,
            // Nobody but the host managers may restart a server: they know the quorum.
            "upgradePolicy": { "mode": "Manual" },
            "virtualMachineProfile": {
                "diagnosticsProfile": { "bootDiagnostics": { "enabled": true } },
                // Azure's own default for such sizes and images; written down, so that it is the same everywhere.
                "securityProfile": {
                    "securityType": "TrustedLaunch",
                    "uefiSettings": { "secureBootEnabled": true, "vTpmEnabled": true },
                },
            },
        },
    });
    let profile = &mut body["properties"]["virtualMachineProfile"];
    if let Some(host) = encryption::host(builder, &id) {
        profile["securityProfile"]["encryptionAtHost"] = host;
    }
    profile["storageProfile"] = storage_profile(builder, &id);
    profile["osProfile"] = os_profile(builder, slot);
    profile["networkProfile"] = network_profile(builder);
    images::add(builder, &id, &mut body);
    set_place(&mut body, &place, &builder.names.subnet_in(place.zone.as_deref()));
    let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
    builder.add_for_slot(object::server(slot), Kind::ScaleSet, id, body, &needs, Some(slot));
    shared::tag(builder, &object::server(slot));
}

/// Writes zone, size and subnet, and all that follows from them, into a server's body.
pub(super) fn set_place(body: &mut Value, place: &Place, subnet_id: &ArmId) {
    body["sku"]["name"] = json!(place.vm_size);
    let is_zonal = place.zone.is_some();
    match (&place.zone, body.as_object_mut()) {
        (Some(zone), _) => body["zones"] = json!([zone]),
        (None, Some(map)) => {
            map.remove("zones");
        }
        (None, None) => {}
    }
    // Without zones Azure spreads fault domains itself; one would pin the set to a single rack.
    body["properties"]["platformFaultDomainCount"] = json!(if is_zonal { 1 } else { 5 });
    body["properties"]["singlePlacementGroup"] = json!(!is_zonal);
    let interface = "/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations/0/properties";
    if let Some(interface) = body.pointer_mut(interface) {
        let name = params::accelerated_networking(&place.vm_size);
        interface["enableAcceleratedNetworking"] = parameter(&name);
        interface["ipConfigurations"][0]["properties"]["subnet"] = json!({ "id": subnet_id });
    }
    let bootstrap = "/properties/virtualMachineProfile/osProfile/customData";
    if let Some(custom) = body.pointer_mut(bootstrap) {
        set_cloud_init(custom, "zone", json!(place.zone));
    }
}

fn storage_profile(builder: &Builder<'_>, id: &ArmId) -> Value {
    let spec = builder.spec;
    let disk = |kind: &str| {
        let mut disk = json!({ "storageAccountType": kind });
        if let Some(set) = encryption::disk_set(builder, id) {
            disk["diskEncryptionSet"] = set;
        }
        disk
    };
    json!({
        "imageReference": images::reference(builder),
        "osDisk": {
            "createOption": "FromImage",
            "caching": "ReadWrite",
            "diskSizeGB": spec.os_disk_gib,
            "managedDisk": disk("Premium_LRS"),
        },
        "dataDisks": [ {
            "lun": DATA_DISK_LUN,
            "createOption": "Empty",
            "caching": "None",
            "diskSizeGB": spec.data_disk_gib,
            "managedDisk": disk(spec.data_disk_type.as_str()),
        } ],
    })
}

fn os_profile(builder: &Builder<'_>, slot: u32) -> Value {
    let names = &builder.names;
    let bootstrap = BootstrapConfig {
        cluster_id: names.cluster_id.as_str().to_owned(),
        slot,
        node_name: names.server(slot),
        zone: None,
        blob_endpoint: String::new(),
        shared_identity_id: names.shared_identity().as_str().to_owned(),
        server_identity_id: names.server_identity(slot).as_str().to_owned(),
        host_manager_sha256: String::new(),
    };
    let mut bootstrap = json!(bootstrap);
    bootstrap["blob_endpoint"] =
        output(object::STORAGE_ACCOUNT, "/properties/primaryEndpoints/blob");
    bootstrap["host_manager_sha256"] = parameter(params::HOST_MANAGER_SHA256);
    let admin = "hcs";
    let mut profile = json!({
        "computerNamePrefix": format!("hcs-server-{slot}-"),
        "adminUsername": admin,
        "linuxConfiguration": {
            "disablePasswordAuthentication": true,
            "ssh": { "publicKeys": [ {
                "path": format!("/home/{admin}/.ssh/authorized_keys"),
                "keyData": parameter(params::SSH_PUBLIC_KEY),
            } ] },
        },
    });
    profile["customData"] = cloud_init(bootstrap);
    profile
}

fn network_profile(builder: &Builder<'_>) -> Value {
    let pool = builder.names.load_balancer().child("backendAddressPools", "servers");
    json!({ "networkInterfaceConfigurations": [ {
        "name": "primary",
        "properties": {
            "primary": true,
            "ipConfigurations": [ {
                "name": "primary",
                "properties": {
                    "primary": true,
                    "loadBalancerBackendAddressPools": [ { "id": pool } ],
                },
            } ],
        },
    } ] })
}
