//! The private way to the storage account: an endpoint in the servers' subnet, and who tells its address.

use serde_json::{Value, json};

use super::{Builder, named, object};
use crate::arm::Kind;
use crate::names::Names;
use crate::observed::Observed;
use crate::reach::{StorageAccess, StorageZone};

/// Azure's word for an account's blobs.
const BLOBS: &str = "blob";

pub(super) fn build(builder: &mut Builder<'_>) {
    if builder.spec.storage_access != StorageAccess::PrivateEndpoint {
        return;
    }
    endpoint(builder);
    if builder.spec.storage_zone == StorageZone::System {
        zone(builder);
    }
    if let Some(zone) = builder.names.storage_zone() {
        let config = named("blob", json!({ "privateDnsZoneId": zone }));
        let mut needs = vec![object::PRIVATE_ENDPOINT];
        if builder.spec.storage_zone == StorageZone::System {
            needs.push(object::STORAGE_ZONE);
        }
        builder.add(
            object::STORAGE_ZONE_GROUP,
            Kind::PrivateDnsZoneGroup,
            builder.names.storage_zone_group(),
            json!({ "properties": { "privateDnsZoneConfigs": [config] } }),
            &needs,
        );
    }
}

fn endpoint(builder: &mut Builder<'_>) {
    let names = &builder.names;
    let connection = json!({
        "privateLinkServiceId": names.storage_account(),
        "groupIds": [BLOBS],
    });
    let body = json!({
        "location": builder.spec.location,
        "properties": {
            "subnet": { "id": names.subnet() },
            // Its interface lies in the group like an object of somebody else: so it is known by its name.
            "customNetworkInterfaceName": names.private_endpoint_interface().name(),
            "privateLinkServiceConnections": [named(BLOBS, connection)],
        },
    });
    let id = names.private_endpoint();
    let needs = [builder.network_needs(), &[object::STORAGE_ACCOUNT]].concat();
    builder.add(object::PRIVATE_ENDPOINT, Kind::PrivateEndpoint, id, body, &needs);
}

/// It answers in the servers' network alone: in somebody else's it would stand before the names of other accounts.
fn zone(builder: &mut Builder<'_>) {
    builder.add(
        object::STORAGE_ZONE,
        Kind::PrivateDnsZone,
        builder.names.own_storage_zone(),
        json!({ "location": "global" }),
        &[object::RESOURCE_GROUP],
    );
    let link = json!({
        "location": "global",
        "properties": {
            "virtualNetwork": { "id": builder.names.vnet() },
            "registrationEnabled": false,
            // Accounts of others that have private endpoints somewhere are found at their public addresses.
            "resolutionPolicy": "NxDomainRedirect",
        },
    });
    let mut needs = builder.network_needs().to_vec();
    needs.push(object::STORAGE_ZONE);
    let id = builder.names.storage_zone_link();
    builder.add(object::STORAGE_ZONE_LINK, Kind::PrivateDnsLink, id, link, &needs);
}

/// Whether the account takes no calls from outside of the networks that it has endpoints in.
pub(crate) fn is_closed(observed: &Observed, names: &Names) -> bool {
    let account = observed.object(&names.storage_account());
    let access = account.and_then(|body| body.pointer("/properties/publicNetworkAccess"));
    access.and_then(Value::as_str).is_some_and(|word| word.eq_ignore_ascii_case("Disabled"))
}

/// Who may call the account from where.
pub(super) fn access(builder: &Builder<'_>) -> Value {
    if builder.spec.storage_access == StorageAccess::PrivateEndpoint {
        return json!({
            "publicNetworkAccess": "Disabled",
            "networkAcls": { "defaultAction": "Deny", "bypass": "None" },
        });
    }
    let mut access = json!({ "publicNetworkAccess": "Enabled" });
    // Whom the account's own firewall lets in is not ours to say, but for one that was closed by us.
    if is_closed(builder.observed, &builder.names) {
        access["networkAcls"] = json!({ "defaultAction": "Allow", "bypass": "AzureServices" });
    }
    access
}
